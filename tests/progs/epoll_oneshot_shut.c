/* SPDX-License-Identifier: MIT */
/*
 * Description: a one-shot fired and is not armed; this end shuts the stream down, or
 * the peer goes: silence until it is armed again.
 */
#include "duo.h"

#include <sys/epoll.h>

static void say_wait(int set, const char *what, int ms)
{
	struct epoll_event ev = {0};
	int n = epoll_wait(set, &ev, 1, ms);

	say("%s: %d %s %d", what, n, n > 0 ? duo_epoll_bits(ev.events) : "-",
	    n > 0 ? ev.data.fd : -1);
}

static void server(int fd)
{
	for (int i = 0; i < 2; i++) {
		struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = 70};
		int s = duo_another_warm(), set = epoll_create1(0);
		char c;

		if (epoll_ctl(set, EPOLL_CTL_ADD, s, &ev))
			die("ADD");
		duo_post();
		say_wait(set, "first", -1);
		duo_read_all(s, &c, 1);
		duo_post();
		duo_await();
		if (i == 0)
			say_result("shutdown", shutdown(s, SHUT_RDWR));
		for (int k = 0; k < 3; k++)
			say_wait(set, "not armed", 20);
		ev.data.fd = 71;
		if (epoll_ctl(set, EPOLL_CTL_MOD, s, &ev))
			die("MOD");
		say_wait(set, "armed", 1000);
		say_wait(set, "fired", 20);
		duo_post();
		close(set);
		close(s);
	}
	close(fd);
}

static void client(int fd)
{
	for (int i = 0; i < 2; i++) {
		int s = duo_another_warm();

		duo_await();
		duo_write_all(s, "x", 1);
		duo_await();
		if (i)
			shutdown(s, SHUT_RDWR);
		duo_post();
		duo_await();
		close(s);
	}
	close(fd);
}

DUO_PROGRAM(.description = "a one-shot that is not armed, and the end of its stream",
	    .server = server, .client = client)
