/* SPDX-License-Identifier: MIT */
/*
 * Description: both ends write more than a ring holds before either reads; the
 * kernel's TCP takes some megabytes.  By blocking writes, and by waiting for
 * POLLOUT in poll, epoll, and an edge-triggered set.
 */
#include "duo.h"

#include <sys/epoll.h>

#define BYTES (800u << 10)

static void wait_by_poll(int fd, int set)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	(void)set;
	if (poll(&p, 1, -1) != 1)
		die("poll");
}

static void wait_by_epoll(int fd, int set)
{
	struct epoll_event ev;

	(void)fd;
	if (epoll_wait(set, &ev, 1, -1) != 1)
		die("epoll_wait");
}

static void write_all(int fd, const char *buf, int set, void (*wait)(int fd, int set))
{
	size_t done = 0;

	duo_set_nonblock(fd, true);
	while (done < BYTES) {
		ssize_t n = write(fd, buf + done, BYTES - done);

		if (n > 0)
			done += (size_t)n;
		else
			wait(fd, set);
	}
	duo_set_nonblock(fd, false);
}

static void both(int fd)
{
	static const uint32_t triggers[] = {0, EPOLLOUT, EPOLLOUT | EPOLLET};
	static char out[BYTES], in[BYTES];

	duo_pattern(out, sizeof(out), 7);
	duo_warmup(fd);
	duo_write_all(fd, out, sizeof(out));
	duo_read_all(fd, in, sizeof(in));
	say("blocking: %s", memcmp(in, out, sizeof(in)) ? "wrong" : "right");
	for (int i = 0; i < 3; i++) {
		int s = duo_another_warm(), set = epoll_create1(0);
		struct epoll_event ev = {.events = triggers[i]};

		if (triggers[i] && epoll_ctl(set, EPOLL_CTL_ADD, s, &ev))
			die("epoll_ctl");
		write_all(s, out, set, triggers[i] ? wait_by_epoll : wait_by_poll);
		memset(in, 0, sizeof(in));
		duo_read_all(s, in, sizeof(in));
		say("trigger %d: %s", i, memcmp(in, out, sizeof(in)) ? "wrong" : "right");
		duo_meet();
		close(set);
		close(s);
	}
}

DUO_PROGRAM(.description = "both ends write much before either reads",
	    .traits = DUO_TCP, .server = both, .client = both)
