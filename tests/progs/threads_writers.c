/* SPDX-License-Identifier: MIT */
/*
 * Description: many threads, then threads of two processes, write framed records of at
 * most PIPE_BUF bytes, one call each; no record is torn, each writer's order holds, also
 * of writers that slept for room.
 */
#include "duo.h"

#include <limits.h>

#define WRITERS 6

struct record {
	uint32_t length;
	uint32_t writer;
	uint32_t number;
	unsigned char bytes[PIPE_BUF - 12];
};

static int stream;

/* TCP lets go of a socket whose buffer is full: only AF_UNIX is filled. */
static bool is_filled(void)
{
	return !duo_is_tcp();
}

/* Of one writer; more than a ring of 2 MiB holds, where it is to be filled. */
static uint32_t records(void)
{
	return is_filled() ? 1200 : 150;
}

static size_t length_of(uint32_t writer, uint32_t number)
{
	return 12 + (writer * 977 + number * 131) % (PIPE_BUF - 12 + 1);
}

static void writer(void *arg)
{
	uint32_t me = (uint32_t)(uintptr_t)arg;
	struct record r;

	for (uint32_t i = 0; i < records(); i++) {
		size_t len = length_of(me, i);
		ssize_t n;

		r.length = (uint32_t)len;
		r.writer = me;
		r.number = i;
		duo_pattern(r.bytes, len - 12, me * 1000 + i);
		n = write(stream, &r, len);
		if (n != (ssize_t)len)
			die("write %zd of %zu", n, len);
	}
}

static void run_writers(uintptr_t from, uintptr_t to, bool sleep)
{
	struct duo_thread threads[WRITERS];

	for (uintptr_t i = from; i < to; i++)
		duo_thread_start(&threads[i], writer, (void *)i);
	if (sleep) {
		while (!threads[from].tid)
			usleep(100);
		duo_await_asleep(getpid(), threads[from].tid);
		duo_post();
	}
	for (uintptr_t i = from; i < to; i++)
		duo_thread_join(&threads[i]);
}

static void client(int fd)
{
	pid_t child;

	duo_warmup(fd);
	stream = fd;
	run_writers(0, WRITERS, is_filled());
	close(fd);
	stream = duo_another_warm();
	/* Half of the writers in a child that shares the stream. */
	child = duo_fork();
	if (child == 0) {
		run_writers(WRITERS / 2, WRITERS, false);
		_exit(0);
	}
	run_writers(0, WRITERS / 2, false);
	duo_reap(child, "child");
}

static void hear(int fd)
{
	uint32_t next[WRITERS] = {0};
	static struct record r, want;
	int total = 0;

	for (;;) {
		size_t got = duo_read_all(fd, &r, 12);

		if (got == 0)
			break;
		if (got != 12 || r.writer >= WRITERS || r.number != next[r.writer] ||
		    r.length != length_of(r.writer, r.number))
			die("torn record %d: length %u writer %u number %u", total, r.length,
			    r.writer, r.number);
		next[r.writer]++;
		got = r.length - 12;
		if (duo_read_all(fd, r.bytes, got) != got)
			die("short record");
		duo_pattern(want.bytes, got, r.writer * 1000 + r.number);
		if (memcmp(want.bytes, r.bytes, got) != 0)
			die("wrong bytes in record %u of writer %u", r.number, r.writer);
		total++;
	}
	say("%d records", total);
}

static void server(int fd)
{
	duo_warmup(fd);
	if (is_filled())
		duo_await();
	hear(fd);
	hear(duo_another_warm());
}

DUO_PROGRAM(.description = "many writers, whole records", .server = server, .client = client)
