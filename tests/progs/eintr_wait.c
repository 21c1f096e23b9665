/* SPDX-License-Identifier: MIT */
/*
 * Description: a signal, with and without SA_RESTART, and SIGSTOP with SIGCONT, in the
 * sleep of poll, ppoll, select, pselect, epoll_wait, epoll_pwait and epoll_pwait2.
 */
#include "calls.h"

#include <sys/epoll.h>
#include <sys/select.h>

static struct pollfd p;
static int set;
static const struct timespec long_time = {.tv_sec = 8};

static int by_poll(bool timed)
{
	return poll(&p, 1, timed ? 8000 : -1);
}

static int by_ppoll(bool timed)
{
	return ppoll(&p, 1, timed ? &long_time : NULL, NULL);
}

static int by_select(bool timed)
{
	struct timeval tv = {.tv_sec = 8};
	fd_set in;

	FD_ZERO(&in);
	FD_SET(p.fd, &in);
	return select(p.fd + 1, &in, NULL, NULL, timed ? &tv : NULL);
}

static int by_pselect(bool timed)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(p.fd, &in);
	return pselect(p.fd + 1, &in, NULL, NULL, timed ? &long_time : NULL, NULL);
}

static int by_epoll_wait(bool timed)
{
	struct epoll_event event;

	return epoll_wait(set, &event, 1, timed ? 8000 : -1);
}

static int by_epoll_pwait(bool timed)
{
	struct epoll_event event;

	return epoll_pwait(set, &event, 1, timed ? 8000 : -1, NULL);
}

static int by_epoll_pwait2(bool timed)
{
	struct epoll_event event;

	return epoll_pwait2(set, &event, 1, timed ? &long_time : NULL, NULL);
}

static const struct {
	const char *name;
	int (*run)(bool timed);
} calls[] = {
	{"poll", by_poll},
	{"ppoll", by_ppoll},
	{"select", by_select},
	{"pselect", by_pselect},
	{"epoll_wait", by_epoll_wait},
	{"epoll_pwait", by_epoll_pwait},
	{"epoll_pwait2", by_epoll_pwait2},
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static void one(size_t i, enum trouble what, bool timed)
{
	char buf[10];
	int n;

	signals_seen = 0;
	expect_trouble(what);
	n = calls[i].run(timed);
	say("%s, %s%s: %d %s, signals %d", calls[i].name, trouble_names[what],
	    timed ? " and a time-out" : "", n, n < 0 ? duo_errno(errno) : "", (int)signals_seen);
	say_result("read", read(p.fd, buf, sizeof(buf)));
}

/* The set's stream is not the one that is polled. */
static void server(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int in_set = duo_another_warm();

	duo_warmup(fd);
	set = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(set, EPOLL_CTL_ADD, in_set, &event) < 0)
		die("epoll_ctl");
	for (size_t i = 0; i < CALLS; i++) {
		p = (struct pollfd){.fd = i < 4 ? fd : in_set, .events = POLLIN};
		for (int what = 0; what < TROUBLES; what++) {
			one(i, (enum trouble)what, false);
			one(i, (enum trouble)what, true);
		}
	}
}

static void client(int fd)
{
	int in_set = duo_another_warm();
	char byte;

	duo_warmup(fd);
	for (size_t i = 0; i < CALLS * TROUBLES * 2; i++) {
		make_trouble();
		duo_write_all(i < 4 * TROUBLES * 2 ? fd : in_set, "data", 4);
	}
	say_result("read at end", read(fd, &byte, 1));
}

DUO_PROGRAM(.description = "signals and stops in every call that waits", .server = server,
	    .client = client)
