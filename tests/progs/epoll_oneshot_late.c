/* SPDX-License-Identifier: MIT */
/*
 * Description: a one-shot registration fires, and is armed again only after a long
 * exchange by blocking calls, in which a promotion would come.
 */
#include "duo.h"

#include <sys/epoll.h>

#define LINES 300

static char line[16] = "a line of text\n";

/* Waits for one event; says its bits. */
static void say_wait(int set, const char *what, int ms)
{
	struct epoll_event ev = {0};
	int n = epoll_wait(set, &ev, 1, ms);

	say("%s: %d %s %d", what, n, n > 0 ? duo_epoll_bits(ev.events) : "-",
	    n > 0 ? ev.data.fd : -1);
}

static void arm(int set, int op, int fd, int data)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = data};

	if (epoll_ctl(set, op, fd, &ev))
		die("epoll_ctl: %s", strerror(errno));
}

static void server(int fd)
{
	int set = epoll_create1(0);
	char buf[16];

	arm(set, EPOLL_CTL_ADD, fd, 70);
	say_wait(set, "first", -1);
	for (int i = 0; i < LINES; i++) {
		duo_read_all(fd, buf, sizeof(buf));
		duo_write_all(fd, buf, sizeof(buf));
	}
	duo_await_bytes(fd, sizeof(buf));
	say_wait(set, "not armed", 100);
	arm(set, EPOLL_CTL_MOD, fd, 71);
	say_wait(set, "armed", 100);
	say_wait(set, "fired", 100);
	for (int i = 0; i < LINES; i++) {
		duo_read_all(fd, buf, sizeof(buf));
		duo_write_all(fd, buf, sizeof(buf));
		if (i >= 3)
			continue;
		duo_await_bytes(fd, sizeof(buf));
		say_wait(set, "not armed", 20);
		arm(set, EPOLL_CTL_MOD, fd, 72 + i);
		say_wait(set, "armed", 100);
	}
	close(set);
}

static void client(int fd)
{
	char buf[16];

	for (int i = 0; i < 2 * LINES; i++) {
		duo_write_all(fd, line, sizeof(line));
		duo_read_all(fd, buf, sizeof(buf));
	}
}

DUO_PROGRAM(.description = "a one-shot that fired before the promotion stays disarmed",
	    .server = server, .client = client)
