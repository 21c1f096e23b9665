/* SPDX-License-Identifier: MIT */
/* epoll sets in a few words, for the programs that use little else. */
#ifndef SETS_H
#define SETS_H

#include "duo.h"

#include <sys/epoll.h>

/* epoll_create1() and epoll_ctl() that must succeed. */
static inline int duo_set_new(void)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set < 0)
		die("epoll_create1");
	return set;
}

static inline void duo_set_ctl(int set, int op, int fd, uint32_t bits, uint64_t data)
{
	struct epoll_event event = {.events = bits, .data.u64 = data};

	if (epoll_ctl(set, op, fd, &event) < 0)
		die("epoll_ctl");
}

/* One event of a set: "what: 1 IN 7", or "what: 0 - 0"; returns the count. */
static inline int say_event(int set, const char *what, int timeout_ms)
{
	struct epoll_event event = {.events = 0, .data.u64 = 0};
	int n = epoll_wait(set, &event, 1, timeout_ms);

	if (n < 0)
		say_result(what, n);
	else
		say("%s: %d %s %llu", what, n, n ? duo_epoll_bits(event.events) : "-",
		    (unsigned long long)event.data.u64);
	return n;
}

#endif
