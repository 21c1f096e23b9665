/* SPDX-License-Identifier: MIT */
/*
 * Description: with room for one event at a time every ready descriptor has its
 * turn: many streams, and kernel descriptors beside a stream that is always ready.
 */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#define NR 12

static int fds[NR], set;

static void add(int fd, uint32_t bits, uint64_t data)
{
	struct epoll_event event = {.events = bits, .data.u64 = data};

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

/* Which of the data values come within so many waits of max events each. */
static unsigned int turns(int waits, int max)
{
	struct epoll_event events[NR + 4];
	unsigned int seen = 0;

	while (waits-- > 0) {
		int n = epoll_wait(set, events, max, 0);

		if (n < 0 || n > max)
			die("epoll_wait %d", n);
		for (int i = 0; i < n; i++)
			seen |= 1u << events[i].data.u64;
	}
	return seen;
}

static void server(int fd)
{
	uint64_t value = 1;
	int pipes[2], event;
	char buf[100];

	set = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < NR; i++) {
		fds[i] = i ? duo_another() : fd;
		duo_warmup(fds[i]);
		add(fds[i], EPOLLIN, (uint64_t)i);
	}
	say("idle %x", turns(3, NR));
	duo_post();
	for (int i = 0; i < NR; i++)
		duo_poll(fds[i], POLLIN, -1);
	say("all at once %x", turns(1, NR + 4));
	say("one at a time %x", turns(4 * NR, 1));
	say("five at a time %x", turns(20, 5));
	for (int i = 1; i < NR; i++)
		duo_read_all(fds[i], buf, 5);
	say("one is ready %x", turns(3, 1));
	if (pipe(pipes) < 0)
		die("pipe");
	event = eventfd(0, 0);
	add(pipes[0], EPOLLIN, NR);
	add(event, EPOLLIN, NR + 1);
	duo_write_all(pipes[1], "x", 1);
	say("stream and pipe %x", turns(50, 1));
	duo_write_all(event, &value, 8);
	say("stream, pipe and event %x", turns(100, 1));
	say("two at a time %x", turns(20, 2));
	/* Always ready the other way: writable. */
	add(dup(fds[1]), EPOLLOUT, NR + 2);
	say("and a writable one %x", turns(100, 1));
	duo_read_all(fds[0], buf, 5);
	duo_read_all(pipes[0], buf, 1);
	duo_read_all(event, &value, 8);
	say("the writable one %x", turns(5, 1));
	say("the writable one %x", turns(5, NR));
	duo_post();
}

static void client(int fd)
{
	for (int i = 0; i < NR; i++) {
		fds[i] = i ? duo_another() : fd;
		duo_warmup(fds[i]);
	}
	duo_await();
	for (int i = 0; i < NR; i++)
		duo_write_all(fds[i], "hello", 5);
	duo_await();
}

DUO_PROGRAM(.description = "no ready descriptor starves", .server = server, .client = client)
