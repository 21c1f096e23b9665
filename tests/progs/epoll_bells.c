/* SPDX-License-Identifier: MIT */
/*
 * Description: a thousand messages, each of which finds the other end asleep in epoll, level-
 * and edge-triggered: none is slept through, however many wake-ups there were before; and one
 * that was written is room for the next.
 */
#include "duo.h"

#include <poll.h>
#include <sys/epoll.h>

#define MESSAGES 1000
#define LONG 1000

static void wait_for(int set)
{
	struct epoll_event ev;

	if (epoll_wait(set, &ev, 1, 20000) != 1)
		die("slept through it");
}

static int set_of(int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events};
	int set = epoll_create1(0);

	if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll");
	return set;
}

static void answer(int fd, uint32_t events)
{
	int set = set_of(fd, events);
	char buf[LONG];

	for (int i = 0; i < MESSAGES; i++) {
		wait_for(set);
		if (duo_read_all(fd, buf, 1) != 1)
			die("end");
		usleep(100); /* the other end sleeps by then */
		duo_write_all(fd, buf, 1);
	}
	close(set);
}

static void ask(int fd, uint32_t events)
{
	int set = set_of(fd, events);
	char byte = 'x';

	for (int i = 0; i < MESSAGES; i++) {
		usleep(100);
		duo_write_all(fd, &byte, 1);
		wait_for(set);
		if (duo_read_all(fd, &byte, 1) != 1)
			die("end");
	}
	close(set);
	say("%d answers", MESSAGES);
}

static void client(int fd)
{
	char buf[LONG] = "";
	int full = 0;

	duo_warmup(fd);
	ask(fd, EPOLLIN);
	ask(fd, EPOLLIN | EPOLLET);
	for (int i = 0; i < 200; i++) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		duo_write_all(fd, buf, LONG);
		full += poll(&p, 1, 0) != 1;
		duo_read_all(fd, buf, LONG);
	}
	say("no room beside %d bytes: %d times", LONG, full);
}

static void server(int fd)
{
	char buf[LONG];

	duo_warmup(fd);
	answer(fd, EPOLLIN);
	answer(fd, EPOLLIN | EPOLLET);
	for (int i = 0; i < 200; i++) {
		duo_read_all(fd, buf, LONG);
		duo_write_all(fd, buf, LONG);
	}
}

DUO_PROGRAM(.description = "a thousand wake-ups in epoll", .server = server, .client = client)
