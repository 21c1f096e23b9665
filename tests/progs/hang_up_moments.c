/* SPDX-License-Identifier: MIT */
/*
 * Description: both ends shut their direction, at every count of messages before: who asks
 * for nothing else is told of the hang-up, after it or asleep before it.
 */
#include "sets.h"

#define ROUNDS 14

enum { POLL, LEVEL, EDGE, KINDS };

static const char *const names[] = { "poll", "level", "edge" };

static void chat(int fd, int rounds)
{
	char line[16] = "a line of text\n";

	for (int k = 0; k < rounds; k++) {
		if (duo_is_server())
			duo_read_all(fd, line, sizeof(line));
		duo_write_all(fd, line, sizeof(line));
		if (!duo_is_server())
			duo_read_all(fd, line, sizeof(line));
	}
}

static void wait_for_it(int fd, const char *what, int kind, int set)
{
	if (kind == POLL)
		say("%s: %s", what, duo_poll_bits(duo_poll(fd, 0, 5000)));
	else
		say_event(set, what, 5000);
}

/* The first to shut waits, before the other shuts or after it. */
static void first(int fd, int rounds, int kind, bool asleep)
{
	char what[48];
	int set = duo_set_new();

	snprintf(what, sizeof(what), "%d rounds, %s, %s", rounds, names[kind],
		 asleep ? "before" : "after");
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, kind == EDGE ? EPOLLET : 0, 7);
	shutdown(fd, SHUT_WR);
	duo_tell(asleep ? getpid() : 0);
	if (!asleep)
		duo_await();
	wait_for_it(fd, what, kind, set);
	if (asleep)
		duo_await();
	wait_for_it(fd, "poll then", POLL, set);
	duo_meet();
	close(set);
	close(fd);
}

static void second(int fd)
{
	pid_t sleeper = (pid_t)duo_hear();

	if (sleeper)
		duo_await_asleep(sleeper, sleeper);
	shutdown(fd, SHUT_WR);
	duo_post();
	duo_meet();
	close(fd);
}

static void streams(bool is_first)
{
	for (int i = 0; i < ROUNDS * KINDS * 2; i++) {
		int s = duo_another(), kind = i / 2 % KINDS, rounds = i / 2 / KINDS;

		chat(s, rounds);
		if (is_first)
			first(s, rounds, kind, i % 2);
		else
			second(s);
	}
}

/* Each end is the first of half of them. */
static void server(int fd)
{
	streams(true);
	streams(false);
	close(fd);
}

static void client(int fd)
{
	streams(false);
	streams(true);
	close(fd);
}

DUO_PROGRAM(.description = "hang-up by two shutdowns, at every moment",
	    .traits = DUO_ANY_ROAD, .server = server, .client = client)
