/* SPDX-License-Identifier: MIT */
/*
 * Description: poll and select over more entries than a small array holds: one stream many
 * times with other events, negative and closed numbers between, more entries than the limit.
 */
#include "duo.h"

#include <sys/resource.h>
#include <sys/select.h>

#define STREAMS 3
#define MOST    600

/* volatile: the compiler must not know. */
static volatile nfds_t all_numbers = (nfds_t)-1;
static int fds[STREAMS];
static struct pollfd p[MOST];

/* Each stream in turn, with each kind of events; others between. */
static void fill(int nr)
{
	static const short events[] = {POLLIN, POLLOUT, POLLIN | POLLOUT, 0, POLLRDHUP};

	for (int i = 0; i < nr; i++) {
		p[i] = (struct pollfd){.fd = fds[i % STREAMS], .events = events[i / 3 % 5],
				       .revents = 0x7fff};
		if (i % 7 == 5)
			p[i].fd = -i;
		if (i % 11 == 7)
			p[i].fd = 850;
	}
}

static void show(const char *what, int nr, int ms)
{
	unsigned long long sum = 0;
	int n, counts[5] = {0};

	fill(nr);
	n = poll(p, (nfds_t)nr, ms);
	for (int i = 0; i < nr; i++) {
		sum = sum * 31 + (unsigned long long)p[i].revents + 1;
		counts[0] += !!(p[i].revents & POLLIN);
		counts[1] += !!(p[i].revents & POLLOUT);
		counts[2] += !!(p[i].revents & (POLLRDHUP | POLLHUP));
		counts[3] += p[i].revents == POLLNVAL;
		counts[4] += !p[i].revents;
	}
	say("%s, %d -> %d: in %d, out %d, end %d, bad %d, none %d, sum %llx", what, nr, n,
	    counts[0], counts[1], counts[2], counts[3], counts[4], sum);
}

static void show_all(const char *what)
{
	static const int sizes[] = {1, 3, 8, 31, 32, 33, 64, 65, 100, MOST};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		show(what, sizes[i], 0);
}

/* Only what has nothing yet, so that it sleeps. */
static int sleep_in(int nr)
{
	for (int i = 0; i < nr; i++)
		p[i] = (struct pollfd){.fd = i % 5 ? fds[i % STREAMS] : -1,
				       .events = i % 2 ? POLLIN : POLLRDHUP};
	return poll(p, (nfds_t)nr, -1);
}

static void select_many(void)
{
	int copies[200], top = 0, readable = 0, n;
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	for (int i = 0; i < 200; i++) {
		copies[i] = dup(fds[i % STREAMS]);
		FD_SET(copies[i], &in);
		if (i % 2)
			FD_SET(copies[i], &out);
		top = copies[i] > top ? copies[i] : top;
	}
	n = select(top + 1, &in, &out, NULL, NULL);
	for (int i = 0; i < 200; i++) {
		readable += !!FD_ISSET(copies[i], &in);
		close(copies[i]);
	}
	say("select %d: %d readable", n, readable);
	say("select of a set full of closed ones: %d",
	    (memset(&in, 0xff, sizeof(in)), select(FD_SETSIZE, &in, NULL, NULL, NULL)));
}

static void limits(void)
{
	struct rlimit before, low;

	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = 40;
	setrlimit(RLIMIT_NOFILE, &low);
	fill(MOST);
	say_result("41 entries, limit 40", poll(p, 41, 0));
	say_result("100 entries, limit 40", poll(p, 100, 0));
	say_result("40 entries, limit 40", poll(p, 40, 0));
	say_result("select beyond the limit", select(1000, NULL, NULL, NULL,
						     &(struct timeval){0, 0}));
	setrlimit(RLIMIT_NOFILE, &before);
	say_result("all numbers", poll(p, all_numbers, 0));
}

static void server(int fd)
{
	char buf[16];

	for (int i = 0; i < STREAMS; i++) {
		fds[i] = i ? duo_another() : fd;
		duo_warmup(fds[i]);
	}
	show_all("idle");
	duo_post();
	say("asleep: %d", sleep_in(100));
	duo_await_bytes(fds[1], 5);
	show_all("input");
	limits();
	select_many();
	say_result("read", read(fds[1], buf, sizeof(buf)));
	show_all("read");
	duo_post();
	say("asleep: %d", sleep_in(35));
	show_all("end");
}

static void client(int fd)
{
	for (int i = 0; i < STREAMS; i++) {
		fds[i] = i ? duo_another() : fd;
		duo_warmup(fds[i]);
	}
	duo_await();
	duo_write_all(fds[1], "hello", 5);
	duo_await();
	shutdown(fds[2], SHUT_WR);
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "poll and select over many entries", .server = server,
	    .client = client)
