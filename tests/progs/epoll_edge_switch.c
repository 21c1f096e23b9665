/* SPDX-License-Identifier: MIT */
/*
 * Description: edge-triggered, and only a part is ever read: an edge for each message,
 * wherever in the conversation that begins; with answers and one way.
 */
#include "duo.h"

#include <sys/epoll.h>

#define COUNTS   41
#define MESSAGES 8
#define LEN      16

static void text_of(char *to, int nr)
{
	snprintf(to, LEN + 1, "message %8d", nr);
}

/* The edges of messages of which a part is read.  False: one was missing. */
static bool partly(int fd, int set, int first)
{
	char got[MESSAGES * LEN], want[MESSAGES * LEN + 1];
	struct epoll_event event;
	size_t nr = 0;

	for (int i = 0; i < MESSAGES; i++) {
		duo_post();
		if (epoll_wait(set, &event, 1, 2000) != 1 || !(event.events & EPOLLIN))
			return false;
		duo_await();
		/* the move to the ring may report what is there once more */
		while (epoll_wait(set, &event, 1, 0) == 1)
			;
		if (i % 3 != 2)
			nr += duo_read_all(fd, got + nr, i % 3 ? 3 : 1);
	}
	duo_read_all(fd, got + nr, sizeof(got) - nr);
	for (int i = 0; i < MESSAGES; i++)
		text_of(want + i * LEN, first + i);
	if (memcmp(got, want, sizeof(got)) != 0)
		die("wrong bytes");
	return true;
}

static void conversation(int fd, int count, bool answers)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int set = epoll_create1(EPOLL_CLOEXEC);
	char buf[LEN], want[LEN + 1];

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	for (int i = 0; i < count; i++) {
		duo_post();
		if (epoll_wait(set, &event, 1, 2000) != 1)
			die("no edge for message %d of %d", i, count);
		duo_read_all(fd, buf, LEN);
		text_of(want, i);
		if (memcmp(buf, want, LEN) != 0)
			die("wrong bytes");
		if (answers)
			duo_write_all(fd, buf, LEN);
	}
	if (!partly(fd, set, count))
		die("an edge is missing behind %d messages", count);
	close(set);
	close(fd);
}

static void server(int fd)
{
	for (int i = 0; i < 2 * COUNTS; i++)
		conversation(i ? duo_another() : fd, i / 2, i % 2);
	say("%d conversations", 2 * COUNTS);
}

static void client(int fd)
{
	char buf[LEN + 1];

	for (int i = 0; i < 2 * COUNTS; i++) {
		fd = i ? duo_another() : fd;
		for (int k = 0; k < i / 2 + MESSAGES; k++) {
			duo_await();
			text_of(buf, k);
			duo_write_all(fd, buf, LEN);
			if (k >= i / 2)
				duo_post();
			else if (i % 2)
				duo_read_all(fd, buf, LEN);
		}
		duo_drain(fd);
		close(fd);
	}
}

DUO_PROGRAM(.description = "edges around the switch to the ring", .server = server,
	    .client = client)
