/* SPDX-License-Identifier: MIT */
/*
 * Description: a program closes its streams by system calls that no library sees, and libc
 * gives the numbers to other sockets and sets; seeds UNSEEN_FIRST to UNSEEN_LAST (1 to 3).
 *
 * Both ends draw the same steps.  The peer must see the end, or the reset, asleep or
 * not; nothing of the old stream may be met under the number.  Left out is what is told
 * otherwise of a peer that died, too: the write that finds it out, and poll's first bits.
 */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define STREAMS	3
#define STEPS	12
#define TEXT	"what stands in the file"

enum reuse { STREAM, PAIR, COPY, SET, REUSES };
static const char *const reuse_names[REUSES] = {
	"another stream", "a socket pair", "a copy of a file", "an epoll set",
};

enum look { ASLEEP_READ, ASLEEP_EPOLL, LATER_READ, LOOKS };
static const char *const look_names[LOOKS] = {
	"asleep in read", "asleep in epoll", "reads later",
};

static int fd_of[STREAMS];
static uint64_t state;
static char buf[40000];
static int file;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

static long raw(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

/* No number below @fd is free: the next file gets it once it is closed. */
static void fill_below(int fd)
{
	int other;

	while ((other = (int)raw(SYS_open, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0)) < fd)
		;
	raw(SYS_close, other, 0, 0);
}

/* A new file, which must have the number @fd; its other end, if it has one, in *@other. */
static void reuse(int fd, enum reuse how, int *other)
{
	int two[2] = {-1, -1};

	*other = -1;
	switch (how) {
	case STREAM:
		two[0] = duo_another_warm();
		break;
	case PAIR:
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, two))
			die("socketpair");
		break;
	case COPY:
		two[0] = dup(file);
		lseek(two[0], 0, SEEK_SET);
		break;
	default:
		two[0] = epoll_create1(EPOLL_CLOEXEC);
	}
	if (two[0] != fd)
		die("the number is %d, not %d", two[0], fd);
	*other = two[1];
}

/* What is found under the number. */
static void use(int fd, enum reuse how, int other)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (other >= 0)
		duo_write_all(other, TEXT, sizeof(TEXT));
	say("number in use: poll %d", poll(&p, 1, 0));
	say("%s", duo_poll_bits(p.revents));
	memset(buf, 0, sizeof(TEXT));
	if (how == STREAM) {
		duo_write_all(fd, TEXT, sizeof(TEXT));
		duo_read_all(fd, buf, sizeof(TEXT));
	} else {
		say_result("number in use: read", read(fd, buf, sizeof(buf)));
	}
	say("'%s'", buf);
	if (how == PAIR) {
		say_result("number in use: write", write(fd, TEXT, sizeof(TEXT)));
		say_result("other end: read", read(other, buf, sizeof(buf)));
		close(other);
	}
	say_result("number in use: close", close(fd));
}

/* The peer of a stream that is used again under the old number. */
static void answer(void)
{
	int fd = duo_another_warm();

	duo_read_all(fd, buf, sizeof(TEXT));
	duo_write_all(fd, buf, sizeof(TEXT));
	say_result("read at the end of the new stream", read(fd, buf, sizeof(buf)));
	close(fd);
}

static void actor(int fd, enum look look, enum reuse how, bool unread)
{
	int other, pid;

	if (unread)
		duo_await();
	pid = duo_hear();
	fill_below(fd);
	if (look <= ASLEEP_EPOLL)
		duo_await_asleep(pid, pid);
	say_result("close", raw(SYS_close, fd, 0, 0));
	reuse(fd, how, &other);
	use(fd, how, other);
	duo_post();
	duo_await();
}

static void see_end(int fd, enum look look)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int set;

	if (look == ASLEEP_EPOLL) {
		set = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev);
		say_result("epoll_wait", epoll_wait(set, &ev, 1, -1));
		say("epoll %s", duo_epoll_bits(ev.events & EPOLLIN));
		close(set);
	}
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("read again", read(fd, buf, sizeof(buf)));
}

static void peer(int fd, enum look look, enum reuse how, bool unread)
{
	if (unread) {
		duo_write_all(fd, "never read", 10);
		duo_post();
	}
	duo_tell((int)getpid());
	if (look <= ASLEEP_EPOLL)
		see_end(fd, look);
	if (how == STREAM)
		answer();
	duo_await();
	if (look > ASLEEP_EPOLL)
		see_end(fd, look);
	duo_post();
	close(fd);
}

static void talk(int fd, bool mine, uint32_t seed)
{
	size_t len = draw(3) ? 1 + draw(300) : 1 + draw(sizeof(buf));

	if (mine) {
		duo_pattern(buf, len, seed);
		duo_write_all(fd, buf, len);
	} else {
		size_t n = duo_read_all(fd, buf, len);

		say("%zu bytes, sum %llx", n, (unsigned long long)duo_sum(buf, n));
	}
}

static void play(bool server)
{
	for (int i = 0; i < STREAMS; i++)
		fd_of[i] = duo_another_warm();
	for (uint32_t step = 0; step < STEPS; step++) {
		bool mine = draw(2) == (uint32_t)server, unread;
		int *fd = &fd_of[draw(STREAMS)];
		enum look look;
		enum reuse how;

		if (draw(3)) {
			talk(*fd, mine, (uint32_t)state);
			continue;
		}
		unread = draw(4) == 0;
		look = (enum look)draw(LOOKS);
		how = (enum reuse)draw(REUSES);
		if (how == STREAM)	/* which needs the peer awake */
			look = LATER_READ;
		say("%s: %s under its number, the peer %s", mine ? "closes" : "sees",
		    reuse_names[how], look_names[look]);
		if (mine)
			actor(*fd, look, how, unread);
		else
			peer(*fd, look, how, unread);
		*fd = duo_another_warm();
	}
	for (int i = 0; i < STREAMS; i++)
		close(fd_of[i]);
}

static int number(const char *name, int otherwise)
{
	const char *text = getenv(name);

	return text ? atoi(text) : otherwise;
}

static void end(int fd)
{
	int last = number("UNSEEN_LAST", 3);

	close(fd);
	file = memfd_create("file", MFD_CLOEXEC);
	duo_write_all(file, TEXT, sizeof(TEXT));
	for (int seed = number("UNSEEN_FIRST", 1); seed <= last; seed++) {
		say("seed %d", seed);
		state = (uint64_t)seed * 0x9e3779b97f4a7c15u;
		play(duo_is_server());
		duo_meet();
	}
}

DUO_PROGRAM(.description = "streams closed unseen, numbers used again", .server = end,
	    .client = end)
