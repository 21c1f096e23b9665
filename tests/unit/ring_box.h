/* SPDX-License-Identifier: MIT */
#ifndef UNIT_RING_BOX_H
#define UNIT_RING_BOX_H

/*
 * One ring with both of its ends, between pages without access, and a stream of
 * bytes that is known at every position.  For the ring tests.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "ring.h"

#define RESERVE	SHMFD_RING_RESERVE

/* Both ends of one direction. */
static struct shmfd_ring ring;
static struct shmfd_record out, in;	/* the producer's and the consumer's */
static struct shmfd_dir dir;

/* @len bytes between two pages without access, at the end of their room. */
static inline uint8_t *guarded(size_t len)
{
	size_t page = 4096, room = (len + page - 1) & ~(page - 1);
	uint8_t *p = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + page, room, PROT_READ | PROT_WRITE), 0);
	return p + page + room - len;
}

static inline void unguard(uint8_t *p, size_t len)
{
	size_t page = 4096, room = (len + page - 1) & ~(page - 1);

	munmap(p - page - (room - len), room + 2 * page);
}

static inline void begin(uint32_t cap)
{
	memset(&out, 0, sizeof(out));
	memset(&in, 0, sizeof(in));
	memset(&dir, 0, sizeof(dir));
	ring = (struct shmfd_ring){ .base = guarded(cap), .cap = cap, .dir = &dir };
}

static inline void end(void)
{
	unguard(ring.base, ring.cap);
}

/* Byte number @n of the stream; no period that is a power of two. */
static inline uint8_t byte_at(uint64_t n)
{
	return (uint8_t)(n % 251 ^ n >> 11);
}

static inline void make_bytes(uint8_t *p, uint64_t from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = byte_at(from + i);
}

static inline bool are_bytes(const uint8_t *p, uint64_t from, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != byte_at(from + i))
			return false;
	}
	return true;
}

static inline ssize_t put(const void *p, size_t len)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)p, .iov_len = len };

	return shmfd_ring_writev(&ring, &out, &v, 1, 0);
}

static inline ssize_t get(void *p, size_t len, bool peek, enum shmfd_ring_end *e)
{
	struct iovec v = { .iov_base = p, .iov_len = len };

	return shmfd_ring_readv(&ring, &in, &v, 1, peek, e);
}

/* The same with a fresh @e, for tests that do not look at it. */
static inline ssize_t take(void *p, size_t len)
{
	enum shmfd_ring_end e;

	return get(p, len, false, &e);
}

static inline size_t some_size(uint64_t *rnd, size_t max)
{
	static const size_t edge[] = { 1, 2, 7, 8, 9, 15, 16, 255, 256, 257, 4095, 4096, 4097,
				       16384, 16385 };
	size_t n;

	switch (unit_below(rnd, 4)) {
	case 0:
		n = edge[unit_below(rnd, NR(edge))];
		break;
	case 1:
		n = 1 + unit_below(rnd, 64);
		break;
	case 2:
		n = 1 + unit_below(rnd, 3000);
		break;
	default:
		n = 1 + unit_below(rnd, max);
	}
	return n < max ? n : max;
}

#endif
