/* SPDX-License-Identifier: MIT */
/*
 * Description: one stream by two numbers in one set, level and edge, and a one-shot by a
 * third: each entry tells what it was asked; partial reads, MOD, DEL, closed numbers.
 */
#include "sets.h"

static int set;

/* Data of the entries that tell something, each with its bits. */
static void show(const char *what, int ms)
{
	struct epoll_event events[8];
	char text[100] = "";
	int n = epoll_wait(set, events, 8, ms);

	for (uint64_t data = 0; data < 8; data++) {
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == data)
				snprintf(text + strlen(text), sizeof(text) - strlen(text),
					 " %d:%s", (int)data, duo_epoll_bits(events[i].events));
		}
	}
	say("%s -> %d:%s", what, n, text);
}

static void arrive(int fd, int total)
{
	duo_post();
	duo_await_bytes(fd, total);
}

static void one_stream(int fd, bool close_first)
{
	int edge = dup(fd), shot = dup(fd);
	char buf[64];

	set = duo_set_new();
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
	duo_set_ctl(set, EPOLL_CTL_ADD, edge, EPOLLIN | EPOLLET, 2);
	duo_set_ctl(set, EPOLL_CTL_ADD, shot, EPOLLIN | EPOLLONESHOT, 3);
	show("nothing", 0);
	arrive(fd, 5);
	show("arrival", 5000);
	show("level goes on", 0);
	say_result("read 2 by the edge's", read(edge, buf, 2));
	show("after a partial read", 0);
	arrive(fd, 8);
	show("arrival on unread input", 5000);
	show("level goes on", 0);
	duo_set_ctl(set, EPOLL_CTL_MOD, shot, EPOLLIN | EPOLLONESHOT | EPOLLET, 4);
	show("one-shot with edge, armed with input", 5000);
	show("level goes on", 0);
	duo_set_ctl(set, EPOLL_CTL_MOD, edge, EPOLLIN | EPOLLOUT | EPOLLET, 5);
	show("MOD of the edge", 5000);
	duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
	show("DEL of the level", 0);
	say_result("read all", read(shot, buf, sizeof(buf)));
	show("nothing", 0);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, 6);
	if (close_first) {
		say_result("close of the edge's number", close(edge));
		arrive(fd, 5);
		show("its entry lives", 5000);
		say_result("read all", read(fd, buf, sizeof(buf)));
	}
	duo_set_ctl(set, EPOLL_CTL_MOD, shot, EPOLLIN | EPOLLONESHOT | EPOLLET, 7);
	duo_post();
	duo_poll(fd, POLLRDHUP, 5000);
	show("end", 5000);
	show("level goes on", 0);
	close(shot);
	if (!close_first)
		close(edge);
	close(set);
	close(fd);
}

static void server(int fd)
{
	duo_warmup(fd);
	one_stream(fd, false);
	one_stream(duo_another_warm(), true);
	/* the entries are older than the rings */
	fd = duo_another();
	set = duo_set_new();
	one_stream(fd, false);
}

static void messages(int fd, int nr)
{
	for (int i = 0; i < nr; i++) {
		duo_await();
		duo_write_all(fd, "hello", 5);
	}
	duo_await();
	shutdown(fd, SHUT_WR);
	duo_drain(fd);
	close(fd);
}

static void client(int fd)
{
	duo_warmup(fd);
	messages(fd, 2);
	messages(duo_another_warm(), 3);
	messages(duo_another(), 2);
}

DUO_PROGRAM(.description = "one stream, level and edge, in one set", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
