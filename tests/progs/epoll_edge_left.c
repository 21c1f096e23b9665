/* SPDX-License-Identifier: MIT */
/*
 * Description: edge-triggered; an end goes back to the kernel while ring bytes are unread;
 * the messages after that still give an edge each.
 */
#include "duo.h"

#include <sys/epoll.h>

#define LEN 16

/* Only the kernel knows it. */
static void leave(int fd)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one)) < 0)
		die("SO_RCVLOWAT");
}

/* way 0: nobody leaves, 1: the client, 2: the server. */
static void one_way(int fd, int way, int part)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int set = epoll_create1(EPOLL_CLOEXEC), edges = 0;
	char buf[4 * LEN];

	duo_warmup(fd);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	for (int i = 0; i < 4; i++) {
		if (i == 1 && way == 2)
			leave(fd);
		while (epoll_wait(set, &event, 1, 0) == 1)
			;
		duo_post();
		edges += epoll_wait(set, &event, 1, 1000) == 1;
		duo_await();
		while (epoll_wait(set, &event, 1, 0) == 1)
			;
		if (part)
			duo_read_all(fd, buf, (size_t)part);
	}
	say("way %d, part %d: %d edges for 4 messages", way, part, edges);
	say("rest: %zu", duo_read_all(fd, buf, sizeof(buf) - 4 * (size_t)part));
	close(set);
	close(fd);
}

static void server(int fd)
{
	for (int i = 0; i < 6; i++)
		one_way(i ? duo_another() : fd, i / 2, i % 2);
}

static void client(int fd)
{
	for (int i = 0; i < 6; i++) {
		fd = i ? duo_another() : fd;
		duo_warmup(fd);
		for (int k = 0; k < 4; k++) {
			duo_await();
			if (k == 1 && i / 2 == 1)
				leave(fd);
			duo_write_all(fd, "a line of text\n", LEN);
			duo_post();
		}
		duo_drain(fd);
		close(fd);
	}
}

DUO_PROGRAM(.description = "edges after a retreat with unread ring bytes", .server = server,
	    .client = client)
