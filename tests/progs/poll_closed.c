/* SPDX-License-Identifier: MIT */
/*
 * Description: a number that one thread closes, or puts another file behind, while
 * another sleeps on it in poll or select: each look is at what is behind the number
 * then.  What is closed is POLLNVAL to poll, and ready to select.
 */
#include "duo.h"

#include <sys/select.h>

struct sleeper {
	int fd, wake;
	bool by_select;
};

static void sleep_in_poll(struct sleeper *s)
{
	struct pollfd p[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->wake, .events = POLLIN}};

	say_result("poll", poll(p, 2, -1));
	say("stream %s, pipe %s", duo_poll_bits(p[0].revents), duo_poll_bits(p[1].revents));
}

static void sleep_in_select(struct sleeper *s)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(s->fd, &in);
	FD_SET(s->wake, &in);
	say_result("select", select(FD_SETSIZE, &in, NULL, NULL, NULL));
	say("stream %d, pipe %d", FD_ISSET(s->fd, &in), FD_ISSET(s->wake, &in));
	FD_SET(s->fd, &in);
	say_result("select again", select(FD_SETSIZE, &in, NULL, NULL, NULL));
}

static void run(void *arg)
{
	struct sleeper *s = arg;

	if (s->by_select)
		sleep_in_select(s);
	else
		sleep_in_poll(s);
}

/* What it was asleep on is closed or replaced; then a byte comes on that stream. */
static void take_away(int fd, bool by_select, bool replace)
{
	struct duo_thread t;
	int wake[2], other[2];
	struct sleeper s = {.fd = fd, .by_select = by_select};

	if (pipe(wake) || pipe(other))
		die("pipe");
	s.wake = wake[0];
	duo_thread_asleep(&t, run, &s);
	if (replace)
		say_result("dup2", dup2(other[0], fd) - fd);
	else
		say_result("close", close(fd));
	duo_meet();
	duo_meet();	/* the byte is there */
	if (replace)
		duo_write_all(wake[1], "w", 1);
	duo_thread_join(&t);
	if (replace)
		close(fd);
	for (int i = 0; i < 2; i++) {
		close(wake[i]);
		close(other[i]);
	}
	duo_meet();
}

static void server(int fd)
{
	duo_warmup(fd);
	for (int round = 0; round < 3; round++) {
		say("round %d", round);
		take_away(fd, round == 1, round == 2);
		if (round < 2)
			fd = duo_another_warm();
	}
}

static void client(int fd)
{
	char byte;

	duo_warmup(fd);
	for (int round = 0; round < 3; round++) {
		duo_meet();
		say_result("write", write(fd, "x", 1));
		duo_meet();
		duo_meet();
		say_result("read", read(fd, &byte, 1));
		close(fd);
		if (round < 2)
			fd = duo_another_warm();
	}
}

DUO_PROGRAM(.description = "a number closed under a sleeper in poll or select", .server = server,
	    .client = client)
