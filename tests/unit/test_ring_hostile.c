/* SPDX-License-Identifier: MIT */

/*
 * ring.c against another side that writes what it likes: it gets -EPROTO, and
 * nothing beyond the ring is touched (its neighbours are pages without access).
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>

#include "ring_box.h"

static void test_impossible_headers_are_refused(void **state)
{
	static const struct {
		uint64_t pos, header;
	} t[] = {
		{ 0, 0x000000010F0E0E0Cull }, { 0, 0x0000000000000001ull },
		{ 0, 0x000000000F0E0E0Bull },		/* data without bytes */
		{ 0, 0xffffffff0F0E0E0Bull }, { 0, 0x800000000F0E0E0Bull },
		{ 0, 0x000040010F0E0E0Bull },		/* longer than a record can be */
		{ 0, 0x000100000F0E0E0Bull },
		{ 65536 - 8, 0x000000010F0E0E0Bull },	/* over the end of the ring */
		{ 65536 - 16, 0x000000090F0E0E0Bull },
		{ 65536 - 1024, 0x000003f90F0E0E0Bull },
		{ 0, 0x000000010D0A0E0Dull }, { 0, 0x000000010D0E0E0Eull },
		{ 0, 0x000000010A0E000Full }, { 0, 0x0000000500000000ull },
		{ 0, 0x000000000A0E000Full },		/* wraps onto itself */
		{ 65536 - 64, 0x000000000A0E000Full },	/* nothing where it wraps to */
	};
	uint8_t *buf = guarded(8192);

	(void)state;
	for (size_t i = 0; i < NR(t); i++) {
		enum shmfd_ring_end e;
		const uint8_t *data;

		begin(65536);
		in.rd_pos = t[i].pos;
		memcpy(ring.base + t[i].pos, &t[i].header, 8);
		assert_int_equal(get(buf, 8192, false, &e), -EPROTO);
		assert_int_equal(get(buf, 8192, true, &e), -EPROTO);
		assert_int_equal(shmfd_ring_next(&ring, &in), -EPROTO);
		assert_int_equal(shmfd_ring_unread(&ring, &in, NULL), -EPROTO);
		assert_int_equal(shmfd_ring_frontier(&ring, &in), t[i].pos);
		assert_int_equal(in.rd_pos, t[i].pos);
		out.wr_pos = t[i].pos + 16;
		out.resend_pos = t[i].pos;
		assert_int_equal(shmfd_ring_resend_run(&ring, &out, &data), -EPROTO);
		end();
	}
	unguard(buf, 8192);
}

static void test_good_bytes_before_rubbish_are_given_first(void **state)
{
	uint64_t rubbish = 0x4242424242424242ull;
	enum shmfd_ring_end e;
	char buf[16];

	(void)state;
	begin(65536);
	put("abc", 3);
	memcpy(ring.base + 16, &rubbish, 8);
	assert_int_equal(get(buf, 16, false, &e), 3);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(get(buf, 16, false, &e), -EPROTO);
	end();
}

static void test_shrunk_record_is_refused(void **state)
{
	uint64_t header = shmfd_header(SHMFD_TAG_DATA, 2);
	enum shmfd_ring_end e;
	char buf[16];

	(void)state;
	begin(65536);
	put("abcdef", 6);
	assert_int_equal(take(buf, 4), 4);
	memcpy(ring.base, &header, 8);
	assert_int_equal(get(buf, 16, false, &e), -EPROTO);
	assert_int_equal(shmfd_ring_unread(&ring, &in, NULL), -EPROTO);
	end();
}

static void test_impossible_read_position_is_refused(void **state)
{
	static const uint64_t pos[] = { 65, 1000, 1ull << 40, 1ull << 63,
					(uint64_t)-65536 };
	struct shmfd_span span;

	(void)state;
	for (size_t i = 0; i < NR(pos); i++) {
		begin(65536);
		assert_int_equal(put("0123456789abcdef0123456789abcdef0123456789abcdef", 48), 48);
		assert_int_equal(out.wr_pos, 56);
		store_relaxed(&dir.rd_pos, pos[i]);
		out.look_pos = 0;	/* as after some KiB */
		assert_int_equal(shmfd_ring_reserve(&ring, &out, 8, &span), -EPROTO);
		assert_int_equal(put("x", 1), -EPROTO);
		out.rd_cache = out.wr_pos - 60000;	/* little room: it looks */
		assert_int_equal(shmfd_ring_room(&ring, &out), 0);
		assert_int_equal(out.wr_pos, 56);
		end();
	}
}

/* Positions that are possible but wrong spoil only the bytes in the ring. */
static void test_lying_reader_cannot_make_the_writer_leave_the_ring(void **state)
{
	static uint8_t src[40000];
	uint64_t rnd = 5;
	int refused = 0;

	(void)state;
	begin(65536);
	for (int i = 0; i < 20000; i++) {
		uint64_t pos = out.wr_pos - unit_below(&rnd, ring.cap + 1);
		ssize_t n;

		store_relaxed(&dir.rd_pos, pos);
		n = put(src, some_size(&rnd, sizeof(src)));
		assert_true(n >= 0 || n == -EPROTO);
		refused += n < 0;
		assert_true(shmfd_ring_room(&ring, &out) < ring.cap);
	}
	assert_true(out.wr_pos > 100ull * ring.cap);
	assert_true(refused > 0 && refused < 20000);
	end();
}

/* Rubbish of which much looks like headers; the reader works on. */
static void test_rubbish_never_leads_outside(void **state)
{
	static const uint32_t tag[] = { SHMFD_TAG_DATA, SHMFD_TAG_DATA, SHMFD_TAG_DATA,
					SHMFD_TAG_WRAP, SHMFD_TAG_EOF, SHMFD_TAG_END, 0, 1 };
	uint8_t *buf = guarded(100000);
	uint64_t rnd = 77;

	(void)state;
	begin(65536);
	for (int i = 0; i < 20000; i++) {
		enum shmfd_ring_end e;
		const uint8_t *data;
		size_t len;
		ssize_t n;

		for (int k = 0; k < 4; k++) {
			uint64_t word = shmfd_header(tag[unit_below(&rnd, NR(tag))],
				unit_below(&rnd, 8) ? (uint32_t)unit_below(&rnd, 17000) :
				(uint32_t)unit_random(&rnd));
			size_t at = k ? unit_below(&rnd, ring.cap / 8) * 8 :
				in.rd_pos & (ring.cap - 1);

			if (tag[0] && (uint32_t)word != SHMFD_TAG_DATA && unit_below(&rnd, 2))
				word = (uint32_t)word;
			memcpy(ring.base + at, &word, 8);
		}
		if (unit_below(&rnd, 2)) {
			in.rd_part = 0;
			in.drain_end =
				unit_below(&rnd, 9) ? 0 : in.rd_pos + unit_below(&rnd, 70000);
		}
		len = some_size(&rnd, 100000);
		n = get(buf + 100000 - len, len, unit_below(&rnd, 2), &e);
		assert_true(n == -EPROTO || (n >= 0 && n <= (ssize_t)len));
		n = shmfd_ring_unread(&ring, &in, NULL);
		assert_true(n == -EPROTO || (n >= 0 && n <= (ssize_t)ring.cap + 16384));
		shmfd_ring_arrived(&ring, &in);
		assert_true(shmfd_ring_frontier(&ring, &in) - in.rd_pos <= 2 * ring.cap + 16384);
		shmfd_ring_next(&ring, &in);
		assert_int_equal(in.rd_pos % 8, 0);
		out.wr_pos = in.rd_pos + unit_below(&rnd, ring.cap / 8) * 8;
		out.resend_pos = in.rd_pos;
		out.resend_part = (uint32_t)unit_below(&rnd, 20);
		for (int k = 0; k < 50; k++) {
			n = shmfd_ring_resend_run(&ring, &out, &data);
			assert_true(n >= -EPROTO);
			if (n <= 0)
				break;
			assert_true(data >= ring.base && data + n <= ring.base + ring.cap);
			shmfd_ring_resent(&ring, &out, 1 + (uint32_t)unit_below(&rnd, (size_t)n));
		}
		/* do not stand at one bad header for ever */
		in.rd_pos = unit_below(&rnd, 3 * ring.cap / 8) * 8;
	}
	end();
	unguard(buf, 100000);
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_impossible_headers_are_refused),
		cmocka_unit_test(test_good_bytes_before_rubbish_are_given_first),
		cmocka_unit_test(test_shrunk_record_is_refused),
		cmocka_unit_test(test_impossible_read_position_is_refused),
		cmocka_unit_test(test_lying_reader_cannot_make_the_writer_leave_the_ring),
		cmocka_unit_test(test_rubbish_never_leads_outside),
	};

	return unit_run(test);
}
