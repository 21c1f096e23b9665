/* SPDX-License-Identifier: MIT */

/*
 * ring.c: bytes come out as they went in, whatever the sizes, wraps and partial
 * reads; the marks never fail.  The hostile other side is in test_ring_hostile.c.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ring_box.h"

/* ---- examples ----------------------------------------------------------- */

static void test_empty_ring_gives_nothing(void **state)
{
	enum shmfd_ring_end e = SHMFD_RING_EOF;
	int tag = 99;
	char c = 7;

	(void)state;
	begin(65536);
	assert_true(shmfd_ring_is_empty(&ring, 0));
	assert_int_equal(get(&c, 1, false, &e), 0);
	assert_int_equal(e, SHMFD_RING_MORE);
	assert_int_equal(c, 7);
	assert_int_equal(shmfd_ring_next(&ring, &in), SHMFD_TAG_NONE);
	assert_int_equal(shmfd_ring_unread(&ring, &in, &tag), 0);
	assert_int_equal(tag, SHMFD_TAG_NONE);
	assert_false(shmfd_ring_arrived(&ring, &in));
	assert_int_equal(shmfd_ring_frontier(&ring, &in), 0);
	assert_true(shmfd_ring_is_drained(&ring, &in));
	assert_int_equal(in.rd_pos, 0);
	end();
}

static void test_zero_bytes_publish_nothing(void **state)
{
	struct iovec none[2] = { { 0 } };

	(void)state;
	begin(65536);
	assert_int_equal(put("", 0), 0);
	assert_int_equal(shmfd_ring_writev(&ring, &out, none, 2, 0), 0);
	assert_int_equal(shmfd_ring_writev(&ring, &out, NULL, 0, 0), 0);
	assert_int_equal(out.wr_pos, 0);
	assert_true(shmfd_ring_is_empty(&ring, 0));
	end();
}

static void test_record_is_as_the_contract_says(void **state)
{
	uint64_t word;

	(void)state;
	begin(65536);
	assert_int_equal(put("hello", 5), 5);
	memcpy(&word, ring.base, 8);
	assert_int_equal(word, 0x000000050F0E0E0Bull);
	assert_memory_equal(ring.base + 8, "hello", 5);
	assert_int_equal(out.wr_pos, 16);
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_EOF);
	memcpy(&word, ring.base + 16, 8);
	assert_int_equal(word, 0x0D0A0E0Dull);
	assert_int_equal(out.wr_pos, 24);
	memcpy(&word, ring.base + 24, 8);
	assert_int_equal(word, 0);
	end();
}

static void test_partial_reads_keep_their_place(void **state)
{
	char buf[8] = "";

	(void)state;
	begin(65536);
	assert_int_equal(put("abcdefg", 7), 7);
	assert_int_equal(put("hi", 2), 2);
	assert_int_equal(take(buf, 3), 3);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(in.rd_pos, 0);
	assert_int_equal(in.rd_part, 3);
	/* what the writer of a dead reader finds */
	assert_int_equal(load_relaxed(&dir.rd_part), 3);
	assert_int_equal(shmfd_ring_unread(&ring, &in, NULL), 6);
	assert_int_equal(shmfd_ring_next(&ring, &in), SHMFD_TAG_DATA);
	assert_int_equal(take(buf, 8), 6);
	assert_memory_equal(buf, "defghi", 6);
	assert_int_equal(in.rd_pos, out.wr_pos);
	assert_int_equal(load_relaxed(&dir.rd_pos), out.wr_pos);
	assert_int_equal(load_relaxed(&dir.rd_part), 0);
	end();
}

static void test_peek_consumes_nothing(void **state)
{
	enum shmfd_ring_end e;
	char buf[8] = "";

	(void)state;
	begin(65536);
	put("abc", 3);
	put("def", 3);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(get(buf, 5, true, &e), 5);
		assert_memory_equal(buf, "abcde", 5);
		assert_int_equal(in.rd_pos, 0);
		assert_int_equal(load_relaxed(&dir.rd_pos), 0);
	}
	assert_int_equal(take(buf, 2), 2);
	assert_int_equal(get(buf, 8, true, &e), 4);
	assert_memory_equal(buf, "cdef", 4);
	assert_int_equal(in.rd_part, 2);
	end();
}

static void test_iovecs_scatter_and_gather(void **state)
{
	char a[2], b[1], c[8];
	struct iovec w[] = { { .iov_base = (void *)(uintptr_t)"xxab", .iov_len = 4 },
			     { .iov_base = NULL, .iov_len = 0 },
			     { .iov_base = (void *)(uintptr_t)"cde", .iov_len = 3 } };
	struct iovec r[] = { { .iov_base = a, .iov_len = 2 }, { .iov_base = NULL, .iov_len = 0 },
			     { .iov_base = b, .iov_len = 1 }, { .iov_base = c, .iov_len = 8 } };
	enum shmfd_ring_end e;

	(void)state;
	begin(65536);
	assert_int_equal(shmfd_ring_writev(&ring, &out, w, 3, 2), 5);
	assert_int_equal(shmfd_ring_writev(&ring, &out, w, 3, 7), 0);
	assert_int_equal(shmfd_ring_readv(&ring, &in, r, 4, false, &e), 5);
	assert_memory_equal(a, "ab", 2);
	assert_memory_equal(b, "c", 1);
	assert_memory_equal(c, "de", 2);
	end();
}

static void test_eof_is_met_after_the_bytes_and_stays(void **state)
{
	enum shmfd_ring_end e;
	char buf[8];
	int tag;

	(void)state;
	begin(65536);
	put("ab", 2);
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_EOF);
	assert_int_equal(get(buf, 1, false, &e), 1);
	assert_int_equal(e, SHMFD_RING_MORE);
	assert_int_equal(get(buf, 8, false, &e), 1);
	assert_int_equal(e, SHMFD_RING_EOF);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(get(buf, 8, false, &e), 0);
		assert_int_equal(e, SHMFD_RING_EOF);
		assert_int_equal(shmfd_ring_next(&ring, &in), SHMFD_TAG_EOF);
		assert_int_equal(shmfd_ring_unread(&ring, &in, &tag), 0);
		assert_int_equal(tag, SHMFD_TAG_EOF);
		assert_false(shmfd_ring_is_drained(&ring, &in));
	}
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_END);
	shmfd_ring_pass(&ring, &in);
	assert_int_equal(get(buf, 8, false, &e), 0);
	assert_int_equal(e, SHMFD_RING_END);
	shmfd_ring_pass(&ring, &in);
	assert_int_equal(shmfd_ring_next(&ring, &in), SHMFD_TAG_NONE);
	assert_int_equal(in.rd_pos, out.wr_pos);
	end();
}

static void test_arrived_tells_each_record_once(void **state)
{
	char buf[8];

	(void)state;
	begin(65536);
	assert_false(shmfd_ring_arrived(&ring, &in));
	put("ab", 2);
	assert_true(shmfd_ring_arrived(&ring, &in));
	assert_false(shmfd_ring_arrived(&ring, &in));
	/* a new one fires although the old is unread */
	put("cd", 2);
	put("ef", 2);
	assert_true(shmfd_ring_arrived(&ring, &in));
	assert_false(shmfd_ring_arrived(&ring, &in));
	assert_int_equal(take(buf, 8), 6);
	assert_false(shmfd_ring_arrived(&ring, &in));
	/* read before anybody looked: no edge left */
	put("gh", 2);
	assert_int_equal(take(buf, 8), 2);
	assert_false(shmfd_ring_arrived(&ring, &in));
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_EOF);
	assert_true(shmfd_ring_arrived(&ring, &in));
	assert_false(shmfd_ring_arrived(&ring, &in));
	end();
}

static void test_reserve_and_commit_a_part(void **state)
{
	struct shmfd_span span;
	char buf[16];

	(void)state;
	begin(65536);
	assert_int_equal(shmfd_ring_reserve(&ring, &out, 100, &span), 1);
	assert_int_equal(span.len, 100);
	assert_false(span.wrapped);
	assert_ptr_equal(span.data, ring.base + 8);
	memcpy(span.data, "abc", 3);
	assert_true(shmfd_ring_is_empty(&ring, 0));
	assert_int_equal(out.wr_pos, 0);
	shmfd_ring_commit(&ring, &out, &span, 3);
	assert_int_equal(out.wr_pos, 16);
	assert_int_equal(take(buf, 16), 3);
	assert_memory_equal(buf, "abc", 3);
	/* a long wish is cut to what one record carries */
	assert_int_equal(shmfd_ring_reserve(&ring, &out, 1 << 20, &span), 1);
	assert_true(span.len <= ring.cap / 2);
	end();
}

/* One request of @len bytes, taken, and an answer on the other ring. */
static void exchange(char *buf, size_t len)
{
	assert_int_equal(put(buf, len), len);
	assert_int_equal(take(buf, len), len);
	counter_add(&out.ring_rx_bytes, 1);
}

/* Request and answer stay in the first pages, and wherever they stand a writer whose
 * reader stops has room for about a lap. */
static void test_empty_ring_wraps_early(void **state)
{
	char buf[1024] = "";
	int wraps = 0;
	uint32_t burst;

	(void)state;
	begin(256 << 10);
	for (int i = 0; i < 500; i++) {
		uint64_t before = out.wr_pos;

		exchange(buf, 1024);
		if ((before & (ring.cap - 1)) > ((out.wr_pos - 1) & (ring.cap - 1)))
			wraps++;
		assert_true((out.wr_pos & (ring.cap - 1)) <= 8192 + 2048);
	}
	assert_true(wraps >= 50);
	/* unread bytes: no early wrap, on it goes */
	assert_int_equal(put(buf, 1024), 1024);
	for (uint64_t at = out.wr_pos & (ring.cap - 1); at < 32768; at += 1032) {
		assert_int_equal(put(buf, 1024), 1024);
		assert_int_equal(out.wr_pos & (ring.cap - 1), at + 1032);
	}
	while (take(buf, 1024) > 0)
		;
	for (int i = 0; i < 500; i++) {
		for (burst = 0; put(buf, 1000) == 1000; burst += 1000)
			;
		/* each time it was full the lap has doubled */
		assert_true(burst >= (i < 5 ? 8192u << i : ring.cap / 2) - 4096);
		while (take(buf, 1024) > 0)
			;
		for (int k = 0; k < i % 70; k++)
			exchange(buf, 1024);
	}
	end();
}

/* Without an answer, and for records that are long for it, the lap grows. */
static void test_a_lap_grows(void **state)
{
	char buf[16384] = "";
	uint64_t most;

	(void)state;
	begin(256 << 10);
	most = 0;
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(put(buf, 1000), 1000);
		assert_int_equal(take(buf, 1000), 1000);
		if ((out.wr_pos & (ring.cap - 1)) > most)
			most = out.wr_pos & (ring.cap - 1);
	}
	assert_true(most > ring.cap - 1200);
	end();
	begin(256 << 10);
	most = 0;
	for (int i = 0; i < 2000; i++) {
		exchange(buf, 12000);
		if ((out.wr_pos & (ring.cap - 1)) > most)
			most = out.wr_pos & (ring.cap - 1);
	}
	assert_true(most > 16384 && most < 16384 + 2 * 12008);
	end();
}

/* In up to three parts. */
static bool put_short(uint8_t *src, size_t len, uint32_t seed)
{
	size_t a = seed % (len + 1), b = a + (seed >> 12) % (len - a + 1);
	struct iovec v[3] = { { src, a }, { src + a, b - a }, { src + b, len - b } };

	if (seed % 4 == 1)
		return shmfd_ring_put(&ring, &out, &(struct iovec){ src, len }, 1, len);
	return shmfd_ring_put(&ring, &out, v, 3, len);
}

/* The short ways move the same bytes as the long ones, in any mixture. */
static void test_short_ways_and_long_ones_mix(void **state)
{
	static uint8_t src[65536], dst[65536];
	uint32_t seed = 1;
	size_t sent = 0, taken = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 7 + (i >> 8));
	begin(65536);
	while (taken < 50 * sizeof(src)) {
		size_t len, n, want, again;

		seed = seed * 1103515245 + 12345;
		len = 1 + (seed >> 16) % ((seed >> 8) % 4 ? 100 : 3000);
		if (len > sizeof(src) - sent % sizeof(src))
			len = sizeof(src) - sent % sizeof(src);
		again = (seed >> 20) % 4;
		if (seed % 2 && put_short(src + sent % sizeof(src), len, seed))
			sent += len;
		else
			sent += (size_t)put(src + sent % sizeof(src), len);
		if (again && sent - taken < 50000)
			continue;
		seed = seed * 1103515245 + 12345;
		want = sent - taken;
		len = 1 + (seed >> 16) % ((seed >> 8) % 4 ? 150 : 5000);
		n = shmfd_ring_take(&ring, &in, dst, len);
		/* all that is there and fits, or the long way is to be taken */
		if (n)
			assert_int_equal(n, want < len ? want : len);
		else if (seed % 3)
			n = (size_t)take(dst, len);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(dst[i], src[(taken + i) % sizeof(src)]);
		taken += n;
	}
	end();
}

/* ---- boundaries ----------------------------------------------------------- */

/* However the ring was filled: EOF and END fit, and all comes out. */
static void fill_and_mark(size_t size, uint64_t offset)
{
	static uint8_t src[20000], dst[1 << 16];
	enum shmfd_ring_end e;
	uint64_t sent = 0, taken = 0;
	ssize_t n;

	begin(65536);
	/* positions have gone round before */
	out.wr_pos = out.rd_cache = out.look_pos = offset;
	in.rd_pos = in.seen_pos = offset;
	store_relaxed(&dir.rd_pos, offset);
	for (;;) {
		make_bytes(src, sent, size);
		n = put(src, size);
		assert_true(n >= 0);
		sent += (uint64_t)n;
		assert_true(out.wr_pos - offset <= ring.cap - RESERVE);
		if (n < (ssize_t)size)
			break;
	}
	assert_true(sent >= size);
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_EOF);
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_END);
	assert_true(out.wr_pos - offset < ring.cap);
	assert_int_equal(shmfd_ring_unread(&ring, &in, NULL), sent);
	while ((n = get(dst, 777, false, &e)) > 0) {
		assert_true(are_bytes(dst, taken, (size_t)n));
		taken += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(taken, sent);
	assert_int_equal(e, SHMFD_RING_EOF);
	shmfd_ring_pass(&ring, &in);
	assert_int_equal(shmfd_ring_next(&ring, &in), SHMFD_TAG_END);
	shmfd_ring_pass(&ring, &in);
	assert_int_equal(in.rd_pos, out.wr_pos);
	end();
}

static void test_marks_fit_at_every_fill_level(void **state)
{
	static const size_t size[] = { 1, 7, 8, 9, 16, 17, 100, 255, 256, 257, 1000, 4096,
				       16383, 16384, 16385, 20000 };

	(void)state;
	for (size_t i = 0; i < NR(size); i++) {
		for (uint64_t off = 0; off < 600; off += 8)
			fill_and_mark(size[i], off);
		for (uint64_t back = 8; back < 600; back += 8)
			fill_and_mark(size[i], 3 * 65536 - back);
	}
}

static void test_positions_may_pass_64_bits(void **state)
{
	(void)state;
	fill_and_mark(1000, UINT64_MAX - 30000 + 1 - (UINT64_MAX - 30000 + 1) % 8);
}

/* What room promises, a short write gets whole; 0 is what a full ring has. */
static void test_room_is_not_promised_in_vain(void **state)
{
	static uint8_t buf[4096], bin[1 << 16];
	uint64_t rnd = 3;

	(void)state;
	begin(65536);
	for (int i = 0; i < 20000; i++) {
		size_t want = 1 + unit_below(&rnd, sizeof(buf));
		size_t room = shmfd_ring_room(&ring, &out);

		assert_true(room < ring.cap);
		if (room >= want)
			assert_int_equal(put(buf, want), want);
		if (unit_below(&rnd, 3) == 0)
			take(bin, 1 + unit_below(&rnd, 9000));
	}
	while (put(buf, 1) == 1)
		;
	assert_int_equal(shmfd_ring_room(&ring, &out), 0);
	end();
}

/* ---- property -------------------------------------------------------------- */

/* Splits @len bytes at @p into up to 6 entries, some of them empty. */
static size_t split(uint64_t *rnd, struct iovec *v, uint8_t *p, size_t len)
{
	size_t n = 0;

	while (n < 5 && len) {
		size_t part = unit_below(rnd, 4) ? unit_below(rnd, len + 1) : 0;

		v[n++] = (struct iovec){ .iov_base = p, .iov_len = part };
		p += part;
		len -= part;
	}
	v[n++] = (struct iovec){ .iov_base = p, .iov_len = len };
	return n;
}

struct model {
	uint64_t rnd, sent, taken;
	uint8_t *buf;
	size_t max;
	bool edge;		/* published since the last look */
};

static void model_write(struct model *m)
{
	struct iovec v[6];
	size_t len = some_size(&m->rnd, m->max), skip = 0, nr;
	struct shmfd_span span;
	ssize_t n;

	if (unit_below(&m->rnd, 4) == 0) {
		int ret = shmfd_ring_reserve(&ring, &out, len, &span);

		assert_true(ret == 0 || ret == 1);
		if (!ret)
			return;
		assert_true(span.len > 0 && span.len <= len);
		n = (ssize_t)(1 + unit_below(&m->rnd, span.len));
		make_bytes(span.data, m->sent, (size_t)n);
		shmfd_ring_commit(&ring, &out, &span, (uint32_t)n);
	} else {
		if (unit_below(&m->rnd, 3) == 0)
			skip = unit_below(&m->rnd, len);
		make_bytes(m->buf, m->sent - skip, len);
		nr = split(&m->rnd, v, m->buf, len);
		n = shmfd_ring_writev(&ring, &out, v, nr, skip);
		assert_true(n >= 0 && n <= (ssize_t)(len - skip));
	}
	m->sent += (uint64_t)n;
	m->edge |= n > 0;
}

static void model_read(struct model *m)
{
	struct iovec v[6];
	size_t len = some_size(&m->rnd, m->max);
	bool peek = unit_below(&m->rnd, 4) == 0;
	size_t nr = split(&m->rnd, v, m->buf, len);
	enum shmfd_ring_end e;
	uint64_t want = m->sent - m->taken < len ? m->sent - m->taken : len;
	ssize_t n = shmfd_ring_readv(&ring, &in, v, nr, peek, &e);

	assert_int_equal(n, want);
	assert_int_equal(e, SHMFD_RING_MORE);
	assert_true(are_bytes(m->buf, m->taken, (size_t)n));
	if (peek)
		return;
	m->taken += (uint64_t)n;
	if (m->taken == m->sent)
		m->edge = false;
}

static void model_look(struct model *m)
{
	bool some = m->sent != m->taken;

	assert_int_equal(shmfd_ring_unread(&ring, &in, NULL), m->sent - m->taken);
	switch (unit_below(&m->rnd, 3)) {
	case 0:
		assert_int_equal(shmfd_ring_next(&ring, &in),
				 some ? (int)SHMFD_TAG_DATA : (int)SHMFD_TAG_NONE);
		break;
	case 1:
		if (m->edge || !some)
			assert_int_equal(shmfd_ring_arrived(&ring, &in), m->edge);
		else
			shmfd_ring_arrived(&ring, &in);
		m->edge = false;
		break;
	default:
		assert_int_equal(shmfd_ring_frontier(&ring, &in), some ? out.wr_pos : in.rd_pos);
		assert_int_equal(shmfd_ring_is_drained(&ring, &in), !some);
	}
}

static void run_model(uint32_t cap, uint64_t seed, int steps)
{
	struct model m = { .rnd = seed, .max = 40000 };
	size_t write_weight = 5;

	m.buf = malloc(m.max);
	assert_non_null(m.buf);
	begin(cap);
	for (int i = 0; i < steps; i++) {
		size_t what;

		if (unit_below(&m.rnd, 50) == 0)	/* now fuller, now emptier */
			write_weight = 1 + unit_below(&m.rnd, 9);
		what = unit_below(&m.rnd, 12);
		if (what < write_weight)
			model_write(&m);
		else if (what < 10)
			model_read(&m);
		else
			model_look(&m);
		assert_true(out.wr_pos - in.rd_pos <= cap - RESERVE);
		assert_int_equal(load_relaxed(&dir.rd_pos), in.rd_pos);
		assert_int_equal(load_relaxed(&dir.rd_part), in.rd_part);
	}
	assert_true(out.wr_pos > 3ull * cap);
	end();
	free(m.buf);
}

static void test_random_calls_keep_every_byte(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		run_model(64 << 10, seed, 3000);
		run_model(128 << 10, seed, 3000);
		run_model(512 << 10, seed, 3000);
	}
}

/* ---- freeze ----------------------------------------------------------------- */

static void test_drain_end_is_a_wall(void **state)
{
	enum shmfd_ring_end e;
	char buf[16];

	(void)state;
	begin(65536);
	put("abc", 3);
	put("def", 3);
	assert_int_equal(take(buf, 1), 1);
	in.drain_end = shmfd_ring_frontier(&ring, &in);
	assert_int_equal(in.drain_end, 32);
	put("ghi", 3);		/* goes by kernel: not ours any more */
	assert_false(shmfd_ring_is_drained(&ring, &in));
	assert_int_equal(shmfd_ring_unread(&ring, &in, NULL), 5);
	assert_int_equal(shmfd_ring_frontier(&ring, &in), 32);
	assert_int_equal(get(buf, 16, false, &e), 5);
	assert_memory_equal(buf, "bcdef", 5);
	assert_int_equal(e, SHMFD_RING_MORE);
	assert_true(shmfd_ring_is_drained(&ring, &in));
	assert_int_equal(get(buf, 16, false, &e), 0);
	assert_int_equal(shmfd_ring_next(&ring, &in), SHMFD_TAG_NONE);
	assert_false(shmfd_ring_arrived(&ring, &in));
	/* the writer sees how far we are */
	assert_int_equal(load_relaxed(&dir.rd_pos), 32);
	assert_int_equal(load_relaxed(&dir.rd_part), 0);
	end();
}

static void test_frontier_stops_at_marks(void **state)
{
	(void)state;
	begin(65536);
	put("abc", 3);
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_EOF);
	assert_int_equal(shmfd_ring_frontier(&ring, &in), 16);
	end();
}

/* Collects what the writer would send again from (@pos, @part). */
static size_t resend(uint64_t pos, uint32_t part, uint8_t *to, uint32_t step)
{
	const uint8_t *data;
	size_t sum = 0;
	ssize_t n;

	out.resend_pos = pos;
	out.resend_part = part;
	while ((n = shmfd_ring_resend_run(&ring, &out, &data)) > 0) {
		uint32_t now = n < (ssize_t)step ? (uint32_t)n : step;

		assert_true(data >= ring.base && data + n <= ring.base + ring.cap);
		memcpy(to + sum, data, now);
		shmfd_ring_resent(&ring, &out, now);
		sum += now;
	}
	assert_int_equal(n, 0);
	return sum;
}

static void test_resend_gives_exactly_the_unread(void **state)
{
	static uint8_t buf[1 << 16], again[1 << 16];
	uint64_t rnd = 11, sent = 0, taken = 0;

	(void)state;
	begin(65536);
	for (int i = 0; i < 400; i++) {
		size_t len = some_size(&rnd, 30000);
		ssize_t n;

		make_bytes(buf, sent, len);
		n = put(buf, len);
		assert_true(n >= 0);
		sent += (uint64_t)n;
		n = take(buf, some_size(&rnd, 30000));
		taken += (uint64_t)n;
		n = (ssize_t)resend(in.rd_pos, in.rd_part, again,
				    1 + (uint32_t)unit_below(&rnd, 5000));
		assert_int_equal(n, sent - taken);
		assert_true(are_bytes(again, taken, (size_t)n));
	}
	assert_true(out.wr_pos > 4 * 65536);
	/* a shutdown mark is passed over */
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_EOF);
	assert_int_equal(resend(in.rd_pos, in.rd_part, again, 1000), sent - taken);
	assert_int_equal(out.resend_pos, out.wr_pos);
	end();
}

/* ---- two threads --------------------------------------------------------------- */

#define FLOW	(3u << 20)

static void *produce(void *arg)
{
	static uint8_t src[30000];
	uint64_t rnd = 21, sent = 0;

	(void)arg;
	while (sent < FLOW) {
		size_t len = some_size(&rnd, sizeof(src));
		ssize_t n;

		make_bytes(src, sent, len);
		n = put(src, len);
		if (n < 0)
			return (void *)1;
		if (!n)
			sched_yield();
		sent += (uint64_t)n;
	}
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_EOF);
	return NULL;
}

/* For the thread sanitizer: every byte is published before it is read. */
static void test_two_threads_pass_bytes_in_order(void **state)
{
	static uint8_t dst[30000];
	enum shmfd_ring_end e = SHMFD_RING_MORE;
	uint64_t rnd = 22, taken = 0;
	pthread_t t;
	void *bad;
	bool good = true;

	(void)state;
	begin(65536);
	assert_int_equal(pthread_create(&t, NULL, produce, NULL), 0);
	while (e != SHMFD_RING_EOF && good) {
		ssize_t n = get(dst, some_size(&rnd, sizeof(dst)), false, &e);

		good = n >= 0 && are_bytes(dst, taken, (size_t)n);
		taken += n > 0 ? (uint64_t)n : 0;
		if (!n)
			sched_yield();
	}
	if (!good)	/* let the producer end */
		store_release(&dir.rd_pos, 1ull << 60);
	pthread_join(t, &bad);
	assert_true(good);
	assert_null(bad);
	assert_true(taken >= FLOW);
	end();
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_empty_ring_gives_nothing),
		cmocka_unit_test(test_zero_bytes_publish_nothing),
		cmocka_unit_test(test_record_is_as_the_contract_says),
		cmocka_unit_test(test_partial_reads_keep_their_place),
		cmocka_unit_test(test_peek_consumes_nothing),
		cmocka_unit_test(test_iovecs_scatter_and_gather),
		cmocka_unit_test(test_eof_is_met_after_the_bytes_and_stays),
		cmocka_unit_test(test_arrived_tells_each_record_once),
		cmocka_unit_test(test_reserve_and_commit_a_part),
		cmocka_unit_test(test_empty_ring_wraps_early),
		cmocka_unit_test(test_a_lap_grows),
		cmocka_unit_test(test_short_ways_and_long_ones_mix),
		cmocka_unit_test(test_marks_fit_at_every_fill_level),
		cmocka_unit_test(test_positions_may_pass_64_bits),
		cmocka_unit_test(test_room_is_not_promised_in_vain),
		cmocka_unit_test(test_random_calls_keep_every_byte),
		cmocka_unit_test(test_drain_end_is_a_wall),
		cmocka_unit_test(test_frontier_stops_at_marks),
		cmocka_unit_test(test_resend_gives_exactly_the_unread),
		cmocka_unit_test(test_two_threads_pass_bytes_in_order),
	};

	return unit_run(test);
}
