/* SPDX-License-Identifier: MIT */
/*
 * Description: several threads block in read of one stream; every byte goes to
 * exactly one of them, and all see the end.
 */
#include "duo.h"

#include <pthread.h>

#define READERS 4
#define TOTAL   500000u

/* Each byte value is counted; single bytes have no order between readers. */
static unsigned int counts[READERS][256];
static int stream;

static void *reader(void *arg)
{
	unsigned int *mine = counts[(uintptr_t)arg];
	unsigned char buf[3000];
	ssize_t n;

	while ((n = read(stream, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			mine[buf[i]]++;
	}
	if (n < 0)
		die("read");
	return NULL;
}

static void server(int fd)
{
	pthread_t threads[READERS];
	unsigned int sums[256] = {0}, total = 0;

	duo_warmup(fd);
	stream = fd;
	for (uintptr_t i = 0; i < READERS; i++) {
		if (pthread_create(&threads[i], NULL, reader, (void *)i))
			die("pthread_create");
	}
	for (int i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		for (int value = 0; value < 256; value++) {
			sums[value] += counts[i][value];
			total += counts[i][value];
		}
	}
	say("%u bytes, counts %016llx", total, (unsigned long long)duo_sum(sums, sizeof(sums)));
}

static void client(int fd)
{
	static unsigned char out[TOTAL];
	size_t at = 0, size = 1;

	duo_warmup(fd);
	duo_pattern(out, TOTAL, 5);
	while (at < TOTAL) {
		size_t part = size < TOTAL - at ? size : TOTAL - at;

		duo_write_all(fd, out + at, part);
		at += part;
		size = size * 5 % 4001;
	}
	close(fd);
}

DUO_PROGRAM(.description = "several blocked readers", .server = server, .client = client)
