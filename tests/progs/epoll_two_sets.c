/* SPDX-License-Identifier: MIT */
/*
 * Description: a stream in two epoll sets, before and after its first bytes, with input
 * unread: MOD, one-shot, DEL and ADD in each, and each reports what it was asked.
 */
#include "duo.h"

#include <sys/epoll.h>

static int set[2];

static void ctl(int which, int op, int fd, uint32_t bits, uint64_t data)
{
	struct epoll_event event = {.events = bits, .data.u64 = data};

	if (epoll_ctl(set[which], op, fd, &event) < 0)
		say("set %d, op %d: %s", which, op, duo_errno(errno));
}

/* Both sets, without waiting for what is not there. */
static void show(const char *what, int ms)
{
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = {0};
		int n = epoll_wait(set[i], &event, 1, ms);

		say("%s, set %d: %d %s %llu", what, i, n,
		    n > 0 ? duo_epoll_bits(event.events) : "-",
		    (unsigned long long)event.data.u64);
	}
}

static void input(int fd, int total)
{
	duo_tell(5);
	duo_await_bytes(fd, total);
}

static void asked(int fd)
{
	char buf[64];

	show("nothing to read", 0);
	input(fd, 5);
	show("input", 2000);
	ctl(0, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT, 3);
	show("MOD of 0", 2000);
	ctl(1, EPOLL_CTL_MOD, fd, EPOLLIN, 4);
	show("MOD of 1", 2000);
	ctl(0, EPOLL_CTL_MOD, fd, EPOLLOUT, 5);
	show("MOD of 0 to out", 2000);
	say_result("read", read(fd, buf, sizeof(buf)));
	show("read", 0);
	ctl(0, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, 6);
	ctl(1, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET, 7);
	input(fd, 5);
	show("one-shot and edge", 2000);
	show("once", 20);
	input(fd, 10);
	duo_await_bytes(fd, 10);
	show("again", 20);
	ctl(0, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, 8);
	show("armed again", 20);
	ctl(0, EPOLL_CTL_DEL, fd, 0, 0);
	ctl(1, EPOLL_CTL_MOD, fd, EPOLLIN, 9);
	show("DEL of 0", 20);
	ctl(0, EPOLL_CTL_MOD, fd, EPOLLIN, 10);
	ctl(0, EPOLL_CTL_ADD, fd, EPOLLIN, 11);
	ctl(0, EPOLL_CTL_ADD, fd, EPOLLIN, 12);
	show("ADD to 0", 20);
	ctl(1, EPOLL_CTL_DEL, fd, 0, 0);
	ctl(0, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT, 13);
	show("DEL of 1", 20);
	say_result("read", read(fd, buf, sizeof(buf)));
	ctl(1, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, 14);
	duo_tell(0);
	duo_poll(fd, POLLRDHUP, 5000);
	show("end", 2000);
}

static void first(int fd)
{
	ctl(0, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
}

static void second(int fd)
{
	ctl(1, EPOLL_CTL_ADD, fd, EPOLLOUT, 2);
}

static void server(int fd)
{
	char buf[64];

	for (int way = 0; way < 4; way++) {
		say("-- way %d", way);
		fd = way ? duo_another() : fd;
		set[0] = epoll_create1(EPOLL_CLOEXEC);
		set[1] = epoll_create1(EPOLL_CLOEXEC);
		if (way == 0 || way == 1)
			first(fd);
		if (way == 0)
			second(fd);
		duo_warmup(fd);
		if (way == 3)
			input(fd, 5);
		if (way == 2 || way == 3)
			first(fd);
		if (way == 3)
			show("one set", 20);
		if (way)
			second(fd);
		if (way == 3) {
			show("unread at ADD", 2000);
			say_result("read", read(fd, buf, sizeof(buf)));
			duo_write_all(fd, "go", 2);
		}
		asked(fd);
		close(set[0]);
		close(set[1]);
		close(fd);
	}
}

static void client(int fd)
{
	char buf[2];

	for (int way = 0; way < 4; way++) {
		int word;

		fd = way ? duo_another() : fd;
		duo_warmup(fd);
		if (way == 3) {
			/* what the server has not read goes to its socket meanwhile */
			duo_write_all(fd, "hello", (size_t)duo_hear());
			say_result("read", duo_read_all(fd, buf, 2));
		}
		while ((word = duo_hear()) != 0)
			duo_write_all(fd, "hello", (size_t)word);
		shutdown(fd, SHUT_WR);
		say_result("read at end", read(fd, buf, 1));
		close(fd);
	}
}

DUO_PROGRAM(.description = "a stream in two epoll sets", .server = server, .client = client)
