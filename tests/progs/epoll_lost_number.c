/* SPDX-License-Identifier: MIT */
/*
 * Description: the number by which a stream is registered is closed while a duplicate
 * lives; its entry goes on telling, after the peer has closed, too.
 */
#include "duo.h"

#include <sys/epoll.h>

static int set;

static void show(const char *when)
{
	struct epoll_event ev = {0};
	int n = epoll_wait(set, &ev, 1, 5000);

	say("%s: %d events %s of %llu", when, n, duo_poll_bits((short)ev.events),
	    (unsigned long long)ev.data.u64);
}

static void server(int first)
{
	close(first);
	for (int i = 0; i < 2; i++) {
		struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = 7};
		int fd = duo_another_warm(), copy = dup(fd);
		char buf[16];

		set = epoll_create1(EPOLL_CLOEXEC);
		say_result("ADD", epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev));
		say_result("close", close(fd));
		duo_post();
		show("asleep");
		say_result("read", read(copy, buf, sizeof(buf)));
		duo_meet();
		/* the second peer leaves bytes behind */
		duo_poll(copy, POLLRDHUP, -1);
		show("gone");
		show("still gone");
		if (i)
			say_result("read", read(copy, buf, sizeof(buf)));
		say_result("read at end", read(copy, buf, sizeof(buf)));
		show("at the end");
		close(copy);
		close(set);
	}
}

static void client(int first)
{
	close(first);
	for (int i = 0; i < 2; i++) {
		int fd = duo_another_warm();

		duo_await();
		duo_write_all(fd, "hello", 5);
		duo_meet();
		if (i)
			duo_write_all(fd, "left", 4);
		close(fd);
	}
}

DUO_PROGRAM(.description = "an epoll entry without its number", .server = server,
	    .client = client)
