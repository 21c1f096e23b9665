/* SPDX-License-Identifier: MIT */
/*
 * Description: edge-triggered epoll: once per arrival, again at the next arrival
 * though old input is unread, not after a partial read, again after MOD.
 */
#include "duo.h"

#include <sys/epoll.h>

static int set;

static void show(const char *what, int timeout_ms)
{
	struct epoll_event event = {.events = 0};
	int n = epoll_wait(set, &event, 1, timeout_ms);

	say("%s -> %d: %s", what, n, n > 0 ? duo_epoll_bits(event.events) : "-");
}

/* One message, known to have arrived. */
static void arrive(int fd, int total)
{
	duo_tell(1);
	duo_await();
	duo_await_bytes(fd, total);
}

static void modify(int op, int fd, uint32_t bits)
{
	struct epoll_event event = {.events = bits | EPOLLET};

	say_result("epoll_ctl", epoll_ctl(set, op, fd, &event));
}

static void run(int fd)
{
	char buf[100];

	modify(EPOLL_CTL_ADD, fd, EPOLLIN);
	show("nothing", 0);
	arrive(fd, 5);
	show("arrival", 5000);
	show("no further arrival", 20);
	say_result("read 2", read(fd, buf, 2));
	show("after a partial read", 20);
	arrive(fd, 8);
	show("arrival on unread input", 5000);
	show("once", 20);
	arrive(fd, 13);
	arrive(fd, 18);
	show("two arrivals", 5000);
	show("are one event", 20);
	say_result("read all", read(fd, buf, sizeof(buf)));
	show("empty", 0);
	arrive(fd, 5);
	show("arrival after empty", 5000);
	modify(EPOLL_CTL_MOD, fd, EPOLLIN);
	show("MOD with input", 0);
	show("once", 0);
	say_result("read all", read(fd, buf, sizeof(buf)));
	modify(EPOLL_CTL_MOD, fd, EPOLLIN);
	show("MOD without input", 0);
	/* Asleep when it comes. */
	duo_tell(2);
	show("asleep", -1);
	show("once", 20);
	say_result("read all", read(fd, buf, sizeof(buf)));
	modify(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
	show("in and out", 0);
	show("once", 20);
	arrive(fd, 5);
	show("arrival", 5000);
	show("once", 20);
	/* Input that came and was read before anybody asked is no event. */
	say_result("read all", read(fd, buf, sizeof(buf)));
	arrive(fd, 5);
	say_result("read all", read(fd, buf, sizeof(buf)));
	modify(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLRDHUP);
	show("read before the wait", 20);
	duo_tell(3);
	duo_poll(fd, POLLRDHUP, 5000);
	show("end", 5000);
	show("once", 20);
	say_result("read", read(fd, buf, sizeof(buf)));
	show("after reading 0", 20);
	say_result("close", close(set));
}

static void server(int fd)
{
	set = epoll_create1(EPOLL_CLOEXEC);
	duo_warmup(fd);
	run(fd);
	duo_tell(4);
}

static void client(int fd)
{
	int word;

	duo_warmup(fd);
	while ((word = duo_hear()) != 4) {
		if (word == 3) {
			shutdown(fd, SHUT_WR);
			continue;
		}
		duo_write_all(fd, "hello", 5);
		if (word == 1)
			duo_post();
	}
}

DUO_PROGRAM(.description = "edge-triggered epoll", .server = server, .client = client)
