/* SPDX-License-Identifier: MIT */
/*
 * Description: epoll's bits at half close, close of both halves and reset, with
 * RDHUP asked for and not, level and edge.
 */
#include "duo.h"

#include <sys/epoll.h>

static int set[4];
static const uint32_t wanted[4] = {
	EPOLLIN,
	EPOLLIN | EPOLLOUT | EPOLLRDHUP,
	EPOLLIN | EPOLLRDHUP | EPOLLET,
	0,
};

static void add_all(int fd)
{
	for (int i = 0; i < 4; i++) {
		struct epoll_event event = {.events = wanted[i]};

		set[i] = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(set[i], EPOLL_CTL_ADD, fd, &event);
	}
}

static void show(const char *what)
{
	const char *names[4];

	for (int i = 0; i < 4; i++) {
		struct epoll_event event = {.events = 0};
		int n = epoll_wait(set[i], &event, 1, 0);

		names[i] = n > 0 ? duo_epoll_bits(event.events) : "-";
	}
	say("%s: IN %s, all %s, edge %s, none %s", what, names[0], names[1], names[2], names[3]);
}

static void server(int fd)
{
	char buf[100];

	duo_warmup(fd);
	add_all(fd);
	show("idle");
	duo_post();
	duo_poll(fd, POLLRDHUP, -1);
	show("half closed with input");
	show("again");
	say_result("read", read(fd, buf, sizeof(buf)));
	show("input read");
	say_result("read", read(fd, buf, sizeof(buf)));
	show("end read");
	shutdown(fd, SHUT_WR);
	duo_poll(fd, 0, -1);
	show("both closed");
	show("again");
	close(fd);
	show("gone");
	duo_meet();

	fd = duo_another_warm();
	add_all(fd);
	duo_write_all(fd, "unread", 6);
	duo_post();
	duo_poll(fd, 0, -1);
	show("reset");
	show("again");
	say_result("read", read(fd, buf, sizeof(buf)));
	show("error read");
	close(fd);

	fd = duo_another_warm();
	add_all(fd);
	shutdown(fd, SHUT_RD);
	show("own shutdown RD");
	shutdown(fd, SHUT_WR);
	show("own shutdown WR");
	duo_post();
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "bye", 3);
	shutdown(fd, SHUT_WR);
	duo_meet();
	close(fd);
	fd = duo_another_warm();
	duo_await();
	duo_await_bytes(fd, 6);
	close(fd);
	fd = duo_another_warm();
	duo_await();
}

DUO_PROGRAM(.description = "epoll bits at the ends of a stream", .server = server, .client = client)
