/* SPDX-License-Identifier: MIT */
/*
 * Description: a set knows open files, not numbers: dups are separate entries, an
 * entry survives close while a dup lives, the last close removes it.
 */
#include "duo.h"

#include <sys/epoll.h>

static int set;

static void show(const char *what, int timeout_ms)
{
	struct epoll_event events[4];
	unsigned long long sum = 0;
	int n;

	memset(events, 0, sizeof(events));
	n = epoll_wait(set, events, 4, timeout_ms);
	for (int i = 0; i < n; i++)
		sum += events[i].data.u64;
	say("%s -> %d: data in sum %llu", what, n, sum);
}

static int ctl(int op, int fd, uint64_t data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};

	return epoll_ctl(set, op, fd, &event);
}

static void server(int fd)
{
	int copy, second, other;
	char buf[100];

	duo_warmup(fd);
	other = duo_another_warm();
	set = epoll_create1(EPOLL_CLOEXEC);
	copy = dup(fd);
	say_result("ADD", ctl(EPOLL_CTL_ADD, fd, 1));
	say_result("ADD of the dup", ctl(EPOLL_CTL_ADD, copy, 10));
	duo_post();
	duo_poll(fd, POLLIN, -1);
	show("both", -1);
	say_result("DEL of the dup", ctl(EPOLL_CTL_DEL, copy, 0));
	show("the first", 0);
	say_result("close of the first", close(fd));
	show("its entry lives", 0);
	say_result("MOD by the closed number", ctl(EPOLL_CTL_MOD, fd, 3));
	say_result("DEL by the closed number", ctl(EPOLL_CTL_DEL, fd, 0));
	say_result("MOD by the dup", ctl(EPOLL_CTL_MOD, copy, 3));
	say_result("read by the dup", read(copy, buf, sizeof(buf)));
	show("empty", 10);
	duo_post();
	show("asleep", -1);
	/* The number comes back as another open file. */
	second = dup2(other, fd);
	say("number taken %d", second == fd);
	say_result("ADD of the new file", ctl(EPOLL_CTL_ADD, second, 100));
	show("the old entry", 0);
	say_result("close of the dup", close(copy));
	show("gone", 10);
	duo_post();
	duo_poll(other, POLLIN, -1);
	show("the new file", -1);
	say_result("dup2 over it", dup2(STDOUT_FILENO, second) == second ? 0 : -1);
	show("its entry lives by the other number", 0);
	say_result("close", close(other));
	show("gone", 10);
	duo_post();
}

static void client(int fd)
{
	int other;

	duo_warmup(fd);
	other = duo_another_warm();
	duo_await();
	duo_write_all(fd, "one", 3);
	duo_await();
	duo_write_all(fd, "two", 3);
	duo_await();
	/* The server closed with input unread. */
	say("poll: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	duo_write_all(other, "three", 5);
	duo_await();
}

DUO_PROGRAM(.description = "dups and closes in an epoll set", .server = server, .client = client)
