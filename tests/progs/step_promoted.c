/* SPDX-License-Identifier: MIT */
/*
 * Description: a handler does so much by a fresh stream that it is promoted, at every
 * instruction of a call that is about to sleep on it: what comes afterwards wakes the call.
 */
#include "sets.h"
#include "steps.h"

#define PLACES		12
#define WHILE_NS	2000000	/* the server waits before it sends the last byte */

static int stream, set;

static void talk(void)
{
	char c;

	for (int i = 0; i < 200; i++) {
		if (write(stream, "q", 1) != 1 || read(stream, &c, 1) != 1 || c != 'q')
			die("talk in the handler");
	}
}

static void ask(void)
{
	if (write(stream, "w", 1) != 1)
		die("write in the handler");
}

static void talk_and_ask(void)
{
	talk();
	ask();
}

/* --- the calls ---------------------------------------------------------------- */

static bool by_read(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_PEEK) == 1 && c == 'w';
}

static bool by_poll(int fd)
{
	return duo_poll(fd, POLLIN, -1) == POLLIN;
}

static bool by_epoll(int fd)
{
	struct epoll_event event = {.events = 0, .data.u64 = 0};

	(void)fd;
	return epoll_wait(set, &event, 1, -1) == 1 && event.data.u64 == 7;
}

static const struct {
	const char *name;
	bool (*call)(int fd);
	uint32_t events;	/* of the stream in a set; 0: none */
} kinds[] = {
	{"recv", by_read, 0}, {"poll", by_poll, 0}, {"select", steps_select, 0},
	{"epoll", by_epoll, EPOLLIN}, {"edge", by_epoll, EPOLLIN | EPOLLET},
};

#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))

static size_t kind;

static bool one(long instructions)
{
	char c;
	bool done;

	stream = duo_another();
	if (kinds[kind].events) {
		set = duo_set_new();
		duo_set_ctl(set, EPOLL_CTL_ADD, stream, kinds[kind].events, 7);
	}
	steps_start(instructions);
	done = kinds[kind].call(stream);
	steps_stop();
	if (!steps_late && !done)
		die("%s: no result, %ld instructions", kinds[kind].name, instructions);
	if (read(stream, &c, 1) != 1 || c != 'w' || recv(stream, &c, 1, MSG_DONTWAIT) >= 0)
		die("%s: wrong bytes, %ld instructions", kinds[kind].name, instructions);
	close(stream);
	if (kinds[kind].events)
		close(set);
	return steps_in_time;
}

/* Echo of one stream after the other, until one ends with X. */
static void server(int fd)
{
	const struct timespec a_while = {.tv_nsec = WHILE_NS};
	char c = 0;

	duo_warmup(fd);
	while (c != 'X') {
		fd = duo_another();
		while (read(fd, &c, 1) == 1) {
			if (c == 'w')
				nanosleep(&a_while, NULL);
			duo_write_all(fd, &c, 1);
		}
		close(fd);
	}
}

static void client(int fd)
{
	duo_warmup(fd);
	steps_actions(talk_and_ask, ask);
	for (kind = 0; kind < KINDS; kind++) {
		steps_through(one, PLACES);
		say("%s: woken", kinds[kind].name);
	}
	fd = duo_another();
	duo_write_all(fd, "X", 1);
	shutdown(fd, SHUT_WR);
	say_result("read at end", (ssize_t)duo_drain(fd));
}

DUO_PROGRAM(.description = "promoted by a handler, at every instruction",
	    .server = server, .client = client)
