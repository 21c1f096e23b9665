/* SPDX-License-Identifier: MIT */
/*
 * Description: a writer fills the stream, whose reader has stopped at every possible
 * moment of a promotion, joins a second epoll set, and never calls on it again.
 */
#include "duo.h"

#include <sys/epoll.h>

#define STREAMS 16

/* Joins two sets: what is in a ring has to go to the kernel. */
static void join_sets(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};

	for (int i = 0; i < 2; i++) {
		int set = epoll_create1(0);

		if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev))
			die("epoll: %s", strerror(errno));
	}
}

static size_t fill(int fd)
{
	static char block[8192];
	size_t sum = 0;
	ssize_t n;

	while ((n = send(fd, block, sizeof(block), MSG_DONTWAIT)) > 0)
		sum += (size_t)n;
	return sum;
}

static void server(int fd)
{
	static char buf[1 << 16];
	char line[16];

	for (int i = 0; i < STREAMS; i++) {
		int s = duo_another();
		size_t got = 0, sent;

		for (int k = 0; k < i; k++) {
			duo_read_all(s, line, sizeof(line));
			duo_post();
		}
		sent = (size_t)duo_hear();
		while (got < sent) {
			size_t n = sent - got < sizeof(buf) ? sent - got : sizeof(buf);

			got += duo_read_all(s, buf, n);
		}
		duo_post();
		close(s);
	}
	close(fd);
}

static void client(int fd)
{
	char line[16] = "a line of text\n";

	for (int i = 0; i < STREAMS; i++) {
		int s = duo_another();
		size_t sent;

		for (int k = 0; k < i; k++) {
			duo_write_all(s, line, sizeof(line));
			duo_await();
		}
		sent = fill(s);
		join_sets(s);
		duo_tell((int)sent);
		duo_await();	/* in a read of a FIFO: no call of ours */
		close(s);
	}
	close(fd);
	say("%d streams", STREAMS);
}

DUO_PROGRAM(.description = "a writer that leaves a full stream and never calls again",
	    .traits = DUO_ANY_ROAD, .server = server, .client = client)
