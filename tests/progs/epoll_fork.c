/* SPDX-License-Identifier: MIT */
/*
 * Description: a forked child waits on the set it inherited, reads, and changes
 * it; the parent goes on with the same set.
 */
#include "duo.h"

#include <sys/epoll.h>

static int set;

static void show(const char *what, int fd)
{
	struct epoll_event event = {.events = 0, .data.u64 = 0};
	char buf[100];
	int n = epoll_wait(set, &event, 1, 10000);

	say("%s -> %d: %s data %llu", what, n, n > 0 ? duo_epoll_bits(event.events) : "-",
	    (unsigned long long)event.data.u64);
	say_result("read", read(fd, buf, sizeof(buf)));
}

static void server(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1};
	pid_t child;

	duo_warmup(fd);
	set = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	child = duo_fork();
	if (child == 0) {
		duo_post();
		show("child", fd);
		event.data.u64 = 2;
		say_result("MOD", epoll_ctl(set, EPOLL_CTL_MOD, fd, &event));
		_exit(0);
	}
	duo_reap(child, "child");
	duo_post();
	show("parent", fd);
	child = duo_fork();
	if (child == 0) {
		close(set);
		close(fd);
		_exit(0);
	}
	duo_reap(child, "closing child");
	duo_post();
	show("parent", fd);
	say_result("nothing", epoll_wait(set, &event, 1, 0));
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

DUO_PROGRAM(.description = "an inherited epoll set", .server = server, .client = client)
