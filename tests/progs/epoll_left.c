/* SPDX-License-Identifier: MIT */
/*
 * Description: input that lies unread when an option sends the stream back to the
 * kernel is reported by every kind of set that is made afterwards, or held it before.
 */
#include "duo.h"

#include <sys/epoll.h>

static void add(int set, int fd, uint32_t bits)
{
	struct epoll_event event = {.events = bits, .data.fd = fd};

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static void show(const char *what, int set, int timeout_ms)
{
	struct epoll_event event = {.events = 0};
	int n = epoll_wait(set, &event, 1, timeout_ms);

	say("%s -> %d: %s", what, n, duo_epoll_bits(event.events));
}

static void take(int fd, size_t len)
{
	char buf[64];

	say_result("read", (ssize_t)duo_read_all(fd, buf, len));
}

/* Five bytes are unread; another five come when these are read. */
static void new_set(int fd, const char *what, uint32_t bits)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	say("%s", what);
	add(set, fd, bits);
	show("unread", set, 5000);
	take(fd, 2);
	show("part of it", set, bits & EPOLLET ? 0 : 5000);
	take(fd, 3);
	show("none", set, 10);
	duo_post();
	if (bits & EPOLLOUT)
		duo_await_bytes(fd, 5);
	show("new ones", set, 5000);
	take(fd, 5);
	close(set);
}

static void leave(int fd, int len)
{
	int one = 1;

	duo_await_bytes(fd, len);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one)) < 0)
		die("SO_RCVLOWAT");
}

static void old_set(int fd)
{
	int set = epoll_create1(EPOLL_CLOEXEC), other = epoll_create1(EPOLL_CLOEXEC);

	say("a set that held it before");
	add(set, fd, EPOLLIN);
	leave(fd, 5);
	show("unread", set, 5000);
	epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
	show("deleted", set, 10);
	add(other, fd, EPOLLIN | EPOLLRDHUP);
	show("in the other", other, 5000);
	take(fd, 5);
	show("none", other, 10);
	duo_write_all(fd, "y", 1);
	close(other);
	close(set);
}

static void two_sets(int fd)
{
	int set = epoll_create1(EPOLL_CLOEXEC), other = epoll_create1(EPOLL_CLOEXEC);

	say("in two sets");
	duo_await_bytes(fd, 5);
	add(set, fd, EPOLLIN);
	add(other, fd, EPOLLIN);
	show("the first", set, 5000);
	show("the second", other, 5000);
	take(fd, 5);
	duo_write_all(fd, "y", 1);
	close(other);
	close(set);
}

static void polled_set(int fd)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	say("a set that is polled");
	duo_await_bytes(fd, 5);
	add(set, fd, EPOLLIN);
	say("poll: %s", duo_poll_bits(duo_poll(set, POLLIN, 5000)));
	show("the set", set, 5000);
	take(fd, 5);
	duo_write_all(fd, "y", 1);
	close(set);
}

static void server(int fd)
{
	static const struct {
		const char *what;
		uint32_t bits;
	} kinds[] = {
		{"level", EPOLLIN},
		{"edge", EPOLLIN | EPOLLET},
		{"writable too", EPOLLIN | EPOLLOUT},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		fd = duo_another_warm();
		duo_post();
		leave(fd, 5);
		new_set(fd, kinds[i].what, kinds[i].bits);
		close(fd);
	}
	fd = duo_another_warm();
	duo_post();
	old_set(fd);
	fd = duo_another_warm();
	duo_post();
	two_sets(fd);
	fd = duo_another_warm();
	duo_post();
	polled_set(fd);
	duo_post();
}

static void client(int fd)
{
	char buf[1];

	for (int i = 0; i < 6; i++) {
		fd = duo_another_warm();
		duo_await();
		duo_write_all(fd, "abcde", 5);
		if (i < 3) {
			duo_await();
			duo_write_all(fd, "fghij", 5);
		} else {
			/* asleep on the stream, as a client is */
			duo_poll(fd, POLLIN, -1);
			duo_read_all(fd, buf, 1);
		}
	}
	duo_await();
}

DUO_PROGRAM(.description = "epoll after a retreat with unread input", .server = server,
	    .client = client)
