/* SPDX-License-Identifier: MIT */
/*
 * Description: a stream goes back to the kernel, by this end or by the other, just when
 * another thread enters poll on it; what is sent afterwards wakes that poll.  It has no
 * time-out: at its end the library would look once more.
 */
#include "duo.h"

#include <sys/epoll.h>

#define ROUNDS 40

struct poller {
	struct duo_thread thread;
	int fd;
	short revents;
	_Atomic int go;
};

static void in_poll(void *arg)
{
	struct poller *p = arg;

	while (!p->go)
		;
	p->revents = duo_poll(p->fd, POLLIN, -1);
}

/* In two sets: only the kernel can do that. */
static void two_sets(int fd, int set[2])
{
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = {.events = EPOLLRDHUP};

		set[i] = epoll_create1(EPOLL_CLOEXEC);
		if (epoll_ctl(set[i], EPOLL_CTL_ADD, fd, &event) < 0)
			die("epoll_ctl");
	}
}

static void drop_sets(const int set[2])
{
	close(set[0]);
	close(set[1]);
}

/* Some delay, another in each round; not for order. */
static void dither(int round)
{
	for (volatile int i = 0; i < round * 9973 % 60000; i++)
		;
}

static void one_round(int fd, int round)
{
	struct poller p = {.fd = fd};
	bool here = round % 2;
	char buf[8];
	int set[2];

	duo_thread_start(&p.thread, in_poll, &p);
	while (!p.thread.tid)
		;
	if (!here)
		duo_tell(round);
	p.go = 1;
	if (here) {
		dither(round);
		two_sets(fd, set);
		duo_tell(round);
	}
	duo_thread_join(&p.thread);
	if (p.revents != POLLIN)
		die("round %d: %s", round, duo_poll_bits(p.revents));
	if (duo_read_all(fd, buf, 5) != 5 || memcmp(buf, "hello", 5))
		die("round %d: wrong bytes", round);
	duo_write_all(fd, "world", 5);
	if (here)
		drop_sets(set);
}

static void server(int fd)
{
	close(fd);
	for (int i = 0; i < ROUNDS; i++) {
		fd = duo_another_warm();
		one_round(fd, i);
		close(fd);
	}
	say("%d rounds", ROUNDS);
}

static void client(int fd)
{
	char buf[8];
	int set[2];

	close(fd);
	for (int i = 0; i < ROUNDS; i++) {
		fd = duo_another_warm();
		duo_hear();
		if (i % 2 == 0) {
			dither(i);
			two_sets(fd, set);
		}
		duo_write_all(fd, "hello", 5);
		if (duo_read_all(fd, buf, 5) != 5 || memcmp(buf, "world", 5))
			die("round %d: wrong answer", i);
		if (i % 2 == 0)
			drop_sets(set);
		close(fd);
	}
	say("%d rounds", ROUNDS);
}

DUO_PROGRAM(.description = "a retreat while a thread enters poll", .server = server,
	    .client = client)
