/* SPDX-License-Identifier: MIT */
/*
 * Description: a signal, with and without SA_RESTART, and SIGSTOP with SIGCONT, in the
 * sleep of every call that sends; with SO_SNDTIMEO and without; before anything was
 * sent, and after a part was.
 */
#include "calls.h"

#define BIG (16u << 20) /* more than all buffers between the ends */
#define PROBE_MS 190	/* TCP's first window probe makes room 200 ms after the window closed */

static char big[BIG];

/* What the call made of it; the client reads all that was sent.  False: there was room
 * before the trouble came, on a machine so slow that the kernel had probed. */
static bool one_try(int fd, const struct send_call *call, size_t len, enum trouble what, bool timed)
{
	size_t filled = 0;
	int64_t since;
	ssize_t n;
	bool ok;

	set_timeout(fd, SO_SNDTIMEO, timed ? 8000 : 0);
	signals_seen = 0;
	since = duo_now_ms();
	/* how much fits may change with the first splice */
	if (call->run == by_splice_in)
		filled += (size_t)call->run(fd, big, 1);
	if (len < BIG)
		filled += duo_fill(fd);
	expect_trouble(what);
	duo_tell((int)filled);
	n = call->run(fd, big, len);
	ok = what == STOP || n != (ssize_t)len || signals_seen || !duo_is_tcp() ||
	     duo_now_ms() - since < PROBE_MS;
	if (ok)
		say("%s, %s%s: %s %s, signals %d", call->name, trouble_names[what],
		    timed ? " and a time-out" : "",
		    n < 0 ? "-1" : n == (ssize_t)len ? "all" : "a part",
		    n < 0 ? duo_errno(errno) : "", (int)signals_seen);
	duo_tell((int)n);
	duo_await();
	duo_tell(ok);
	return ok;
}

static void one(int fd, const struct send_call *call, size_t len, enum trouble what, bool timed)
{
	while (!one_try(fd, call, len, what, timed))
		;
}

static bool may_part(const struct send_call *call)
{
	return call->run != by_splice_in;
}

static void server(int fd)
{
	duo_warmup(fd);
	for (int what = 0; what < TROUBLES; what++) {
		for (size_t i = 0; i < SEND_CALLS; i++) {
			one(fd, &send_calls[i], 10, (enum trouble)what, false);
			one(fd, &send_calls[i], 10, (enum trouble)what, true);
			if (what != STOP && may_part(&send_calls[i]))
				one(fd, &send_calls[i], BIG, (enum trouble)what, i % 2);
		}
		/* what a splice did to the stream is over with it */
		close(fd);
		fd = duo_another_warm();
	}
}

/* Reads that many. */
static void take(int fd, size_t len)
{
	static char bin[1 << 16];

	while (len > 0) {
		size_t n = duo_read_all(fd, bin, len < sizeof(bin) ? len : sizeof(bin));

		if (!n)
			die("end of stream");
		len -= n;
	}
}

static void client_one(int fd)
{
	size_t filled;
	int n;

	do {
		make_trouble();
		filled = (size_t)duo_hear();
		take(fd, filled);
		n = duo_hear();
		if (n > 0)
			take(fd, (size_t)n);
		duo_post();
	} while (!duo_hear());
}

static void client(int fd)
{
	char byte;

	duo_warmup(fd);
	for (int what = 0; what < TROUBLES; what++) {
		for (size_t i = 0; i < SEND_CALLS; i++) {
			client_one(fd);
			client_one(fd);
			if (what != STOP && may_part(&send_calls[i]))
				client_one(fd);
		}
		say_result("read at end", read(fd, &byte, 1));
		close(fd);
		fd = duo_another_warm();
	}
}

DUO_PROGRAM(.description = "signals and stops in every sending call", .server = server,
	    .client = client)
