/* SPDX-License-Identifier: MIT */
/*
 * Description: a stream enters a set with input unread, at its end, or in between, in every
 * mode; then partial reads, arrivals and MOD go on from there.
 */
#include "sets.h"

static const struct {
	const char *name;
	uint32_t bits;
} modes[] = {
	{"level", EPOLLIN},
	{"edge", EPOLLIN | EPOLLET},
	{"one-shot", EPOLLIN | EPOLLONESHOT},
	{"edge one-shot", EPOLLIN | EPOLLET | EPOLLONESHOT},
	{"edge, both ways", EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET},
	{"end only", EPOLLRDHUP | EPOLLET},
};

#define MODES (sizeof(modes) / sizeof(modes[0]))

enum { MESSAGE = 1, SHUT, NEXT };

static void arrive(int fd, int total)
{
	duo_tell(MESSAGE);
	duo_await_bytes(fd, total);
}

static void one_mode(int fd, size_t mode)
{
	uint32_t bits = modes[mode].bits;
	int set = duo_set_new();
	char buf[64];

	say("-- %s", modes[mode].name);
	arrive(fd, 5);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, bits, 1);
	say_event(set, "unread at ADD", 0);
	say_event(set, "again", 0);
	say_result("read 2", read(fd, buf, 2));
	say_event(set, "part of it", 0);
	duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
	say_event(set, "deleted", 0);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, bits, 2);
	say_event(set, "added with a part", 0);
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, bits, 3);
	say_event(set, "MOD with a part", 0);
	say_event(set, "again", 0);
	arrive(fd, 8);
	say_event(set, "arrival", 0);
	say_result("read all", read(fd, buf, sizeof(buf)));
	say_event(set, "empty", 0);
	duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, bits, 4);
	say_event(set, "added empty", 0);
	duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
	arrive(fd, 5);
	say_event(set, "arrival while deleted", 0);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, bits, 5);
	say_event(set, "added after it", 0);
	say_result("read all", read(fd, buf, sizeof(buf)));
	/* disarmed and armed twice, without and with */
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, 0, 6);
	arrive(fd, 5);
	say_event(set, "asked for nothing", 0);
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, bits, 7);
	say_event(set, "asked again", 0);
	duo_tell(SHUT);
	duo_poll(fd, POLLRDHUP, 5000);
	say_event(set, "end behind input", 0);
	duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, bits, 8);
	say_event(set, "added at the end behind input", 0);
	say_result("read all", read(fd, buf, sizeof(buf)));
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, bits, 9);
	say_event(set, "MOD at the end", 0);
	say_result("read at end", read(fd, buf, sizeof(buf)));
	duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, bits, 10);
	say_event(set, "added at the end", 0);
	close(set);
	close(fd);
	duo_tell(NEXT);
}

static void server(int fd)
{
	for (size_t i = 0; i < MODES; i++) {
		fd = i ? duo_another() : fd;
		duo_warmup(fd);
		one_mode(fd, i);
	}
}

static void client(int fd)
{
	for (size_t i = 0; i < MODES; i++) {
		int word;

		fd = i ? duo_another() : fd;
		duo_warmup(fd);
		while ((word = duo_hear()) != NEXT) {
			if (word == MESSAGE)
				duo_write_all(fd, "hello", 5);
			else
				shutdown(fd, SHUT_WR);
		}
		close(fd);
	}
}

DUO_PROGRAM(.description = "ADD and MOD with input unread", .server = server, .client = client)
