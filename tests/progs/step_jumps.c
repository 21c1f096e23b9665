/* SPDX-License-Identifier: MIT */
/*
 * Description: a handler leaves a call by siglongjmp, at every instruction of it, as far
 * as that goes.  The stream and its set go on, and the close is seen.
 */
#include "sets.h"
#include "steps.h"

#include <setjmp.h>

static sigjmp_buf out;
static int stream, set;
static volatile sig_atomic_t in_time;

static void leave(int signal_nr)
{
	(void)signal_nr;
	in_time = true;
	siglongjmp(out, 1);
}

/* The call sleeps, and the instruction that was meant is behind that. */
static void give_up(int signal_nr)
{
	(void)signal_nr;
	siglongjmp(out, 1);
}

/* --- the calls ---------------------------------------------------------------- */

static char bytes[3000];

static void by_write(int fd)
{
	write(fd, bytes, sizeof(bytes));
}

static void by_read(int fd)
{
	char c;

	read(fd, &c, 1);
}

static void by_recv(int fd)
{
	char c;

	duo_write_all(fd, "q", 1);
	duo_await_bytes(fd, 1);
	recv(fd, &c, 1, MSG_PEEK);
}

static void by_poll(int fd)
{
	duo_poll(fd, POLLIN, -1);
}

static void by_select(int fd)
{
	steps_select(fd);
}

static void by_epoll(int fd)
{
	struct epoll_event event;

	(void)fd;
	epoll_wait(set, &event, 1, -1);
}

static void by_ctl(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7};

	epoll_ctl(set, EPOLL_CTL_DEL, fd, &event);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

static const struct {
	const char *name;
	void (*call)(int fd);
} kinds[] = {
	{"write", by_write}, {"read asleep", by_read}, {"recv", by_recv}, {"poll", by_poll},
	{"select", by_select}, {"epoll", by_epoll}, {"epoll_ctl", by_ctl},
};

#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))

static size_t kind;

/* After the jump: what was sent, as much of it as went, and then a mark, which the set
 * tells of as well.
 */
static void goes_on(long instructions)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7};
	char c = 0;

	/* a jump out of epoll_ctl may have left it either way */
	if (epoll_ctl(set, EPOLL_CTL_ADD, stream, &event) < 0 && errno != EEXIST)
		die("epoll_ctl");
	duo_write_all(stream, "Z", 1);
	while (c != 'Z') {
		if (epoll_wait(set, &event, 1, -1) != 1 || event.data.u64 != 7)
			die("%s: no event, %ld instructions", kinds[kind].name, instructions);
		if (read(stream, &c, 1) != 1 || (c != 'q' && c != 'Z'))
			die("%s: wrong byte, %ld instructions", kinds[kind].name, instructions);
	}
	if (recv(stream, &c, 1, MSG_DONTWAIT) >= 0)
		die("%s: a byte too many, %ld instructions", kinds[kind].name, instructions);
}

static bool one(long instructions)
{
	stream = duo_another_warm();
	set = duo_set_new();
	duo_set_ctl(set, EPOLL_CTL_ADD, stream, EPOLLIN, 7);
	in_time = false;
	if (!sigsetjmp(out, 1)) {
		steps_start(instructions);
		kinds[kind].call(stream);
		steps_stop();
	}
	steps_no_rescue();
	goes_on(instructions);
	close(stream);
	close(set);
	return in_time;
}

/* Echo of one stream after the other, until one ends with X. */
static void server(int fd)
{
	char buf[sizeof(bytes)];
	ssize_t n;
	bool last = false;

	duo_warmup(fd);
	while (!last) {
		fd = duo_another_warm();
		while ((n = read(fd, buf, sizeof(buf))) > 0) {
			last = buf[n - 1] == 'X';
			duo_write_all(fd, buf, (size_t)n);
		}
		close(fd);
	}
}

static void client(int fd)
{
	duo_warmup(fd);
	memset(bytes, 'q', sizeof(bytes));
	steps_handlers(leave, give_up);
	for (kind = 0; kind < KINDS; kind++) {
		steps_through(one, 25);
		say("%s: goes on", kinds[kind].name);
	}
	fd = duo_another_warm();
	duo_write_all(fd, "X", 1);
	shutdown(fd, SHUT_WR);
	say_result("read at end", (ssize_t)duo_drain(fd));
}

DUO_PROGRAM(.description = "siglongjmp from every instruction",
	    .server = server, .client = client)
