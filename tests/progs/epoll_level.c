/* SPDX-License-Identifier: MIT */
/*
 * Description: level-triggered epoll: reports as long as input is there, hands
 * back all 64 bits of data, follows MOD and DEL, keeps its time-outs.
 */
#include "duo.h"

#include <sys/epoll.h>

#define COOKIE 0xfedcba9876543211u

static int set;

static void show(const char *what, int timeout_ms)
{
	struct epoll_event events[8];
	int64_t start = duo_now_ms();
	int n;

	memset(events, 0, sizeof(events));
	n = epoll_wait(set, events, 8, timeout_ms);
	say("%s -> %d: %s data %016llx", what, n, n > 0 ? duo_epoll_bits(events[0].events) : "-",
	    (unsigned long long)events[0].data.u64);
	if (n == 0 && timeout_ms > 0)
		say("waited %d", duo_now_ms() - start >= timeout_ms);
}

static void modify(int op, int fd, uint32_t bits, uint64_t data)
{
	struct epoll_event event = {.events = bits, .data.u64 = data};

	say_result("epoll_ctl", epoll_ctl(set, op, fd, &event));
}

static void server(int fd)
{
	char buf[100];

	duo_warmup(fd);
	set = epoll_create1(EPOLL_CLOEXEC);
	modify(EPOLL_CTL_ADD, fd, EPOLLIN, COOKIE);
	show("nothing", 0);
	show("nothing, 25 ms", 25);
	duo_post();
	show("data", -1);
	show("data", 0);
	say_result("read 2", read(fd, buf, 2));
	show("part left", 0);
	say_result("read 3", read(fd, buf, 3));
	show("empty", 0);
	duo_post();
	show("data again", 5000);
	modify(EPOLL_CTL_MOD, fd, EPOLLOUT, 0xffffffffffffffffu);
	show("out only", 0);
	modify(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, 1);
	show("in and out", -1);
	modify(EPOLL_CTL_MOD, fd, 0, 2);
	show("nothing wanted", 0);
	modify(EPOLL_CTL_MOD, fd, EPOLLIN, 0);
	show("in, data 0", 0);
	say_result("epoll_ctl DEL", epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL));
	show("deleted", 10);
	modify(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDNORM, (uint32_t)fd);
	show("added again", -1);
	say_result("read", read(fd, buf, sizeof(buf)));
	show("empty", 0);
	duo_post();
	show("end", 5000);
	say_result("read", read(fd, buf, sizeof(buf)));
	show("end", 0);
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 2; i++) {
		duo_await();
		duo_write_all(fd, "hello", 5);
	}
	duo_await();
	shutdown(fd, SHUT_WR);
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "level-triggered epoll", .server = server, .client = client)
