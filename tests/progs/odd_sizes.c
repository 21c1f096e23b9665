/* SPDX-License-Identifier: MIT */
/*
 * Description: writer and reader use unrelated, changing sizes, down to one byte
 * at a time; the bytes come whole and in order.
 */
#include "duo.h"

#define TOTAL 400000u

static unsigned char data[TOTAL], got[TOTAL + 1];

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static size_t size_for(int mode, uint32_t *state, size_t left)
{
	size_t size;

	if (mode == 0)
		size = 1;
	else if (mode == 1)
		size = 1 + next(state) % 200;
	else
		size = (size_t)1 << (next(state) % 17);
	return size < left ? size : left;
}

/* Mode 0 is slow; fewer bytes show the same. */
static size_t total_for(int mode)
{
	return mode == 0 ? 3000 : TOTAL;
}

static void produce(int fd, int mode, uint32_t seed)
{
	size_t total = total_for(mode);
	size_t at = 0;

	duo_pattern(data, total, seed);
	while (at < total) {
		size_t size = size_for(mode, &seed, total - at);

		duo_write_all(fd, data + at, size);
		at += size;
	}
	say("wrote %zu sum %016llx", at, (unsigned long long)duo_sum(data, total));
}

static void consume(int fd, int mode, uint32_t seed)
{
	size_t total = total_for(mode);
	size_t at = 0;

	while (at < total) {
		ssize_t n = read(fd, got + at, size_for(mode, &seed, total - at));

		if (n <= 0)
			die("read %zd at %zu", n, at);
		at += (size_t)n;
	}
	say("read %zu sum %016llx", at, (unsigned long long)duo_sum(got, total));
}

static void server(int fd)
{
	duo_warmup(fd);
	for (int mode = 0; mode < 3; mode++) {
		consume(fd, mode, 77);
		produce(fd, mode, 78);
	}
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int mode = 0; mode < 3; mode++) {
		produce(fd, mode, 79);
		consume(fd, mode, 80);
	}
}

DUO_PROGRAM(.description = "one byte at a time and random sizes", .server = server,
	    .client = client)
