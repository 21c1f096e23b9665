/* SPDX-License-Identifier: MIT */
/*
 * Description: a handler closes a stream at every instruction of a wait for it and
 * another, or of a receive from it, as far as that goes.  The other goes on to be told,
 * the closed one is not, and its peer sees the end.
 */
#include "sets.h"
#include "steps.h"

#define PLACES	30

static int wake, victim, set;
static volatile sig_atomic_t closed;

static void close_and_wake(void)
{
	/* the server waits for nothing but the next stream after the close */
	if (write(wake, "q", 1) != 1 || close(victim) < 0)
		die("close and write");
	closed = true;
}

/* --- the calls ---------------------------------------------------------------- */

static void by_epoll(void)
{
	struct epoll_event events[4];

	epoll_wait(set, events, 4, -1);
}

static void by_recv(void)
{
	char c;

	recv(victim, &c, 1, MSG_DONTWAIT);
}

static const struct {
	const char *name;
	void (*call)(void);
	uint32_t events;
	bool before;	/* the stream has something to read */
} kinds[] = {
	{"epoll", by_epoll, EPOLLIN, false}, {"epoll, ready", by_epoll, EPOLLIN, true},
	{"edge", by_epoll, EPOLLIN | EPOLLET, false},
	{"edge, ready", by_epoll, EPOLLIN | EPOLLET, true},
	{"recv", by_recv, EPOLLIN, false}, {"recv, ready", by_recv, EPOLLIN, true},
};

static size_t kind;

/* Nothing but what is there to be read by the stream that is left. */
static void goes_on(long instructions)
{
	struct epoll_event event;
	char c;

	duo_await_bytes(wake, 1);
	duo_set_ctl(set, EPOLL_CTL_MOD, wake, kinds[kind].events, 1);
	if (epoll_wait(set, &event, 1, 5000) != 1 || event.data.u64 != 1)
		die("%s: not told, %ld instructions", kinds[kind].name, instructions);
	if (read(wake, &c, 1) != 1 || recv(wake, &c, 1, MSG_DONTWAIT) >= 0)
		die("%s: wrong bytes, %ld instructions", kinds[kind].name, instructions);
	if (epoll_wait(set, &event, 1, 0) != 0)
		die("%s: told too much, %ld instructions", kinds[kind].name, instructions);
}

static bool one(long instructions)
{
	victim = duo_another_warm();
	set = duo_set_new();
	duo_set_ctl(set, EPOLL_CTL_ADD, wake, kinds[kind].events, 1);
	duo_set_ctl(set, EPOLL_CTL_ADD, victim, kinds[kind].events, 2);
	closed = false;
	if (kinds[kind].before) {
		duo_write_all(victim, "v", 1);
		duo_await_bytes(victim, 1);
	}
	steps_start(instructions);
	kinds[kind].call();
	steps_stop();
	if (!closed)
		close_and_wake();
	goes_on(instructions);
	close(set);
	return steps_in_time;
}

/* Echo on @fd and one stream beside it after the other, each until it ends. */
static void server(int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.events = POLLIN}};
	char c = 0;

	duo_warmup(fd);
	p[1].fd = duo_another_warm();
	while (c != 'X') {
		int i;

		if (poll(p, 2, -1) < 0)
			die("poll");
		/* an end comes behind what the other stream brought */
		i = !duo_poll(fd, POLLIN, 0);
		if (read(p[i].fd, &c, 1) == 1) {
			duo_write_all(p[i].fd, &c, 1);
		} else if (i) {
			close(p[i].fd);
			p[i].fd = duo_another_warm();
		} else {
			die("the first stream ended");
		}
	}
}

static void client(int fd)
{
	duo_warmup(fd);
	wake = fd;
	steps_actions(close_and_wake, close_and_wake);
	for (kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		steps_through(one, PLACES);
		say("%s: goes on", kinds[kind].name);
	}
	victim = duo_another_warm();
	duo_write_all(victim, "X", 1);
	say_result("read", (ssize_t)duo_read_all(victim, (char[2]){0}, 1));
}

DUO_PROGRAM(.description = "closed by a handler, at every instruction",
	    .server = server, .client = client)
