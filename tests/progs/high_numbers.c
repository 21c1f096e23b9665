/* SPDX-License-Identifier: MIT */
/*
 * Description: streams on numbers above FD_SETSIZE in poll, epoll, and select with sets of
 * many words; select counts no number beyond the process's table of descriptors.
 */
#include "sets.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>

#define HIGH   1500
#define HIGHER 3100
#define MOST   65536

/* Three sets of MOST numbers. */
static unsigned long words[3][MOST / 64];

static void put(int set, int fd)
{
	words[set][fd / 64] |= 1ul << (fd % 64);
}

static int has(int set, int fd)
{
	return (int)(words[set][fd / 64] >> (fd % 64) & 1);
}

static int choose(int nr, int ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	return select(nr, (fd_set *)words[0], (fd_set *)words[1], (fd_set *)words[2],
		      ms < 0 ? NULL : &tv);
}

static void show(const char *what, int fd, int nr, int ms)
{
	int n;

	memset(words, 0, sizeof(words));
	put(0, HIGH);
	put(1, HIGH);
	put(0, fd);
	put(2, fd);
	n = choose(nr, ms);
	say("%s -> %d: high %d %d, other %d %d", what, n, has(0, HIGH), has(1, HIGH), has(0, fd),
	    has(2, fd));
}

/* A set of FD_SETSIZE numbers, and memory that is not there behind it. */
static fd_set *at_the_edge(void)
{
	char *room = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED || mprotect(room + 4096, 4096, PROT_NONE))
		die("mmap");
	return (fd_set *)(void *)(room + 4096 - sizeof(fd_set));
}

/* Many programs of old say getdtablesize(): the kernel looks at no more of the
 * sets than its table has numbers (select(2)), here FD_SETSIZE. */
static void table_size(int fd)
{
	fd_set *in = at_the_edge(), *out = at_the_edge();
	struct timeval none = {0, 0};

	FD_ZERO(in);
	FD_ZERO(out);
	FD_SET(fd, in);
	FD_SET(fd, out);
	say("select up to the limit -> %d: %d %d",
	    select(getdtablesize(), in, out, NULL, &none), !!FD_ISSET(fd, in),
	    !!FD_ISSET(fd, out));
	memset(words, 0, sizeof(words));
	put(0, 10000);
	put(1, 20000);
	put(1, fd);
	say("select of numbers beyond the table -> %d: %d", choose(MOST, 0), has(1, fd));
}

static void raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 4096)
		die("the hard limit of descriptors is too low");
	limit.rlim_cur = 4096;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("setrlimit");
}

static void server(int fd)
{
	int set = duo_set_new(), other;
	struct pollfd p[3];
	char buf[16];

	raise_limit();
	duo_warmup(fd);
	table_size(fd);
	if (dup2(fd, HIGH) != HIGH)
		die("dup2");
	close(fd);
	other = duo_another_warm();
	if (dup2(other, HIGHER) != HIGHER)
		die("dup2");
	duo_set_ctl(set, EPOLL_CTL_ADD, HIGH, EPOLLIN, 1);
	duo_set_ctl(set, EPOLL_CTL_ADD, HIGHER, EPOLLIN | EPOLLET, 2);
	say_event(set, "nothing", 0);
	show("select, writable", other, HIGHER + 1, 0);
	duo_post();
	say_event(set, "asleep", -1);
	show("select, input", other, HIGHER + 1, -1);
	show("the number is out of range", other, HIGH, 0);
	p[0] = (struct pollfd){.fd = HIGH, .events = POLLIN};
	p[1] = (struct pollfd){.fd = 4000, .events = POLLIN};
	p[2] = (struct pollfd){.fd = HIGHER, .events = POLLIN | POLLOUT};
	say_result("poll", poll(p, 3, -1));
	say("%s %s %s", duo_poll_bits(p[0].revents), duo_poll_bits(p[1].revents),
	    duo_poll_bits(p[2].revents));
	say_result("read", read(HIGH, buf, sizeof(buf)));
	close(other);
	duo_post();
	memset(words, 0, sizeof(words));
	put(0, HIGHER);
	put(0, HIGH);
	say_result("select asleep", choose(HIGHER + 1, -1));
	say("%d %d", has(0, HIGHER), has(0, HIGH));
	say_event(set, "by epoll", 0);
	say_result("read", read(HIGHER, buf, sizeof(buf)));
	put(0, 3500);
	put(0, HIGH);
	say_result("select of a closed one", choose(3501, 0));
	say_result("close", close(HIGHER));
	say_result("close", close(HIGH));
	say_event(set, "empty", 0);
}

static void client(int fd)
{
	int other;

	duo_warmup(fd);
	other = duo_another_warm();
	duo_await();
	duo_write_all(fd, "hello", 5);
	duo_await();
	duo_write_all(other, "hello", 5);
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "numbers above FD_SETSIZE", .server = server, .client = client)
