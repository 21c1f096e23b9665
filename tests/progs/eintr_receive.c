/* SPDX-License-Identifier: MIT */
/*
 * Description: a signal, with and without SA_RESTART, and SIGSTOP with SIGCONT, in the
 * sleep of every call that receives; with SO_RCVTIMEO and without (signal(7)).
 */
#include "calls.h"

static void one(int fd, const struct receive_call *call, enum trouble what, bool timed)
{
	char buf[10];
	ssize_t n;

	set_timeout(fd, SO_RCVTIMEO, timed ? 8000 : 0);
	signals_seen = 0;
	expect_trouble(what);
	n = call->run(fd, buf, sizeof(buf));
	say("%s, %s%s: %zd %s, signals %d", call->name, trouble_names[what],
	    timed ? " and a time-out" : "", n, n < 0 ? duo_errno(errno) : "", (int)signals_seen);
	/* "data" comes in any case */
	if (n < 0)
		say_result("read", read(fd, buf, sizeof(buf)));
}

static void server(int fd)
{
	duo_warmup(fd);
	for (int what = 0; what < TROUBLES; what++) {
		for (size_t i = 0; i < RECEIVE_CALLS; i++) {
			one(fd, &receive_calls[i], (enum trouble)what, false);
			one(fd, &receive_calls[i], (enum trouble)what, true);
		}
	}
}

static void client(int fd)
{
	char byte;

	duo_warmup(fd);
	for (size_t i = 0; i < TROUBLES * RECEIVE_CALLS * 2; i++) {
		make_trouble();
		duo_write_all(fd, "data", 4);
	}
	say_result("read at end", read(fd, &byte, 1));
}

DUO_PROGRAM(.description = "signals and stops in every receiving call", .server = server,
	    .client = client)
