/* SPDX-License-Identifier: MIT */
/*
 * Description: an epoll set is itself a descriptor: inside another set, in poll
 * and in select it is readable while something in it is ready.
 */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int inner, outer;

static void show(const char *what)
{
	struct epoll_event event = {.events = 0};
	struct timeval none = {0, 0};
	fd_set fds;
	int n, selected;

	FD_ZERO(&fds);
	FD_SET(inner, &fds);
	selected = select(inner + 1, &fds, NULL, NULL, &none);
	n = epoll_wait(outer, &event, 1, 0);
	say("%s: poll %s, select %d, outer %d data %llu", what,
	    duo_poll_bits(duo_poll(inner, POLLIN, 0)), selected, n,
	    (unsigned long long)event.data.u64);
}

static void server(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7};
	struct timeval long_time = {10, 0};
	char buf[100];
	fd_set fds;

	duo_warmup(fd);
	inner = epoll_create1(EPOLL_CLOEXEC);
	outer = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(inner, EPOLL_CTL_ADD, fd, &event);
	event.data.u64 = 8;
	say_result("ADD", epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event));
	say_result("ADD in a circle", epoll_ctl(inner, EPOLL_CTL_ADD, outer, &event));
	show("idle");
	duo_post();
	say("poll asleep: %s", duo_poll_bits(duo_poll(inner, POLLIN, 10000)));
	show("ready");
	say_result("read", read(fd, buf, sizeof(buf)));
	show("empty");
	duo_post();
	say_result("outer asleep", epoll_wait(outer, &event, 1, 10000));
	say_result("inner", epoll_wait(inner, &event, 1, 0));
	say("data %llu", (unsigned long long)event.data.u64);
	say_result("read", read(fd, buf, sizeof(buf)));
	show("empty");
	duo_post();
	FD_ZERO(&fds);
	FD_SET(inner, &fds);
	say_result("select asleep", select(inner + 1, &fds, NULL, NULL, &long_time));
	show("ready");
	say_result("read", read(fd, buf, sizeof(buf)));
	show("empty");
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 3; i++) {
		duo_await();
		duo_write_all(fd, "hello", 5);
	}
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "epoll sets in sets, poll and select", .server = server,
	    .client = client)
