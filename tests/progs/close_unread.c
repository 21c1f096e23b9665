/* SPDX-License-Identifier: MIT */
/*
 * Description: a peer that sent a last answer closes, or exits, with input unread, at
 * every count of messages before, its direction shut or not: what the other reads, and what
 * poll tells it.
 */
#include "duo.h"

#define STREAMS 12
#define ALL	(4 * STREAMS)	/* two that leave, with a shutdown before or without */

static void chat(int fd, int rounds, bool first)
{
	char line[16] = "a line of text\n";

	for (int k = 0; k < rounds; k++) {
		if (first)
			duo_write_all(fd, line, sizeof(line));
		duo_read_all(fd, line, sizeof(line));
		if (!first)
			duo_write_all(fd, line, sizeof(line));
	}
}

/* The one that leaves: its answer is out before the request comes. */
static void leave(int fd, int rounds, bool first, bool shut)
{
	static char answer[197];

	chat(fd, rounds, first);
	duo_write_all(fd, answer, sizeof(answer));
	if (shut)
		shutdown(fd, SHUT_WR);
	duo_meet();
	duo_await();
	close(fd);
	duo_post();
}

static void stay(int fd, int rounds, bool first)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};
	static char request[32], buf[241];
	size_t got = 0;
	ssize_t n;

	chat(fd, rounds, first);
	duo_meet();
	duo_write_all(fd, request, sizeof(request));
	duo_post();
	duo_await();
	/* the reset may still be on its way, on TCP */
	duo_poll(fd, POLLRDHUP, -1);
	poll(&p, 1, 0);
	say("%d %s: %s", rounds, first ? "asked" : "was asked", duo_poll_bits(p.revents));
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		got += (size_t)n;
	say("read %zu, then %s", got, n < 0 ? duo_errno(errno) : "the end");
	say_result("read again", read(fd, buf, sizeof(buf)));
	close(fd);
}

static void server(int fd)
{
	for (int i = 0; i < ALL; i++) {
		int s = duo_another();

		if (i % 2)
			leave(s, i / 4, false, i & 2);
		else
			stay(s, i / 4, false);
	}
	close(fd);
}

static void client(int fd)
{
	for (int i = 0; i < ALL; i++) {
		int s = duo_another();

		if (i % 2)
			stay(s, i / 4, true);
		else
			leave(s, i / 4, true, i & 2);
	}
	close(fd);
}

DUO_PROGRAM(.description = "a peer that closes with input unread, at every moment",
	    .server = server, .client = client)
