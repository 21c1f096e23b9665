/* SPDX-License-Identifier: MIT */
/* Description: EPOLLONESHOT reports once and is silent until MOD, level and edge. */
#include "duo.h"

#include <sys/epoll.h>

static int set;

static void show(const char *what, int timeout_ms)
{
	struct epoll_event event = {.events = 0, .data.u64 = 0};
	int n = epoll_wait(set, &event, 1, timeout_ms);

	say("%s -> %d: %s %llu", what, n, n > 0 ? duo_epoll_bits(event.events) : "-",
	    (unsigned long long)event.data.u64);
}

static void arrive(int fd, int total)
{
	duo_tell(1);
	duo_await();
	duo_await_bytes(fd, total);
}

static void modify(int op, int fd, uint32_t bits, uint64_t data)
{
	struct epoll_event event = {.events = bits | EPOLLONESHOT, .data.u64 = data};

	say_result("epoll_ctl", epoll_ctl(set, op, fd, &event));
}

static void run(int fd, uint32_t edge)
{
	char buf[100];

	say("-- %s", edge ? "edge" : "level");
	modify(EPOLL_CTL_ADD, fd, EPOLLIN | edge, 1);
	show("nothing", 0);
	arrive(fd, 5);
	show("arrival", 5000);
	show("silent", 20);
	arrive(fd, 10);
	show("silent at a new arrival", 20);
	say_result("read 3", read(fd, buf, 3));
	show("silent after a read", 0);
	modify(EPOLL_CTL_MOD, fd, EPOLLIN | edge, 2);
	show("armed again with input", 0);
	show("silent", 0);
	say_result("read", read(fd, buf, sizeof(buf)));
	modify(EPOLL_CTL_MOD, fd, EPOLLIN | edge, 3);
	show("armed, nothing there", 20);
	duo_tell(2);
	show("asleep", -1);
	show("silent", 20);
	modify(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT | edge, 4);
	show("in and out", 0);
	show("silent", 0);
	say_result("read", read(fd, buf, sizeof(buf)));
	modify(EPOLL_CTL_MOD, fd, EPOLLIN | edge, 5);
	duo_tell(3);
	show("end", 5000);
	show("silent", 20);
	modify(EPOLL_CTL_MOD, fd, EPOLLIN | edge, 6);
	show("end again", 0);
	say_result("epoll_ctl DEL", epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL));
	close(fd);
}

static void server(int fd)
{
	set = epoll_create1(EPOLL_CLOEXEC);
	duo_warmup(fd);
	run(fd, 0);
	run(duo_another_warm(), EPOLLET);
}

static void serve(int fd)
{
	int word;

	while ((word = duo_hear()) != 3) {
		duo_write_all(fd, "hello", 5);
		if (word == 1)
			duo_post();
	}
	close(fd);
}

static void client(int fd)
{
	duo_warmup(fd);
	serve(fd);
	serve(duo_another_warm());
}

DUO_PROGRAM(.description = "one-shot epoll", .server = server, .client = client)
