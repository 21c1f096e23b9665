/* SPDX-License-Identifier: MIT */
/* Description: one thread of each end writes while another reads, blocking, 3 MiB each way. */
#include "duo.h"

#include <pthread.h>

#define TOTAL (3u << 20)

static unsigned char out[TOTAL], in[TOTAL];

static void *writer(void *arg)
{
	int fd = *(int *)arg;
	size_t at = 0, size = 1;

	while (at < TOTAL) {
		size_t part = size < TOTAL - at ? size : TOTAL - at;

		duo_write_all(fd, out + at, part);
		at += part;
		size = size * 7 % 60013;
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void run(int fd, uint32_t seed)
{
	pthread_t thread;
	size_t got;

	duo_warmup(fd);
	duo_pattern(out, TOTAL, seed);
	if (pthread_create(&thread, NULL, writer, &fd))
		die("pthread_create");
	got = duo_read_all(fd, in, TOTAL);
	say("read %zu sum %016llx", got, (unsigned long long)duo_sum(in, got));
	say_result("read at end", read(fd, in, 1));
	pthread_join(thread, NULL);
}

static void server(int fd)
{
	run(fd, 3);
}

static void client(int fd)
{
	run(fd, 4);
}

DUO_PROGRAM(.description = "full duplex by two threads", .server = server, .client = client)
