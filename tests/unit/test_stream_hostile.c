/* SPDX-License-Identifier: MIT */

/*
 * stream.c, send.c and recv.c against a proven peer that writes rubbish into the
 * segment: its own stream is reset, nothing else is touched.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "pair.h"
#include "segment.h"

static void test_rubbish_header_resets_this_stream_alone(void **state)
{
	uint64_t rubbish = 0x0123456789abcdefull;
	int fd[2], other[2];
	char c;

	(void)state;
	pair_meet(AF_INET, other);
	pair_meet(AF_INET, fd);
	memcpy(pair_stream(fd[0])->rings->tx.base + (pair_record(fd[0])->wr_pos & 65535), &rubbish,
	       8);
	assert_int_equal(pair_recv(fd[1], &c, 1, 0), -ECONNRESET);
	assert_int_equal(pair_reason(fd[1]), SHMFD_WHY_PROTOCOL);
	pair_chat(other, 5);
	assert_true(pair_is_ring(other[0]) && pair_is_ring(other[1]));
	pair_close(fd);
	pair_close(other);
}

static void test_impossible_read_position_resets_the_writer(void **state)
{
	ssize_t n = 0;
	int fd[2];

	(void)state;
	pair_meet(AF_INET, fd);
	store_relaxed(&pair_stream(fd[1])->rings->rx.dir->rd_pos, 1ull << 50);
	for (int i = 0; i < 100000 && n >= 0; i++)
		n = pair_send(fd[0], "0123456789", 10, MSG_DONTWAIT);
	assert_int_equal(n, -ECONNRESET);
	assert_int_equal(pair_reason(fd[0]), SHMFD_WHY_PROTOCOL);
	pair_close(fd);
}

/*
 * A reader that froze the direction says where to go on: any number, also one
 * that is no record border.  The ring is the last thing of its mapping here.
 */
static void frozen_at(uint64_t rd_pos, uint64_t split_plus_1, uint32_t part)
{
	size_t bytes = shmfd_segment_bytes(65536), page = 4096;
	struct shmfd_segment *seg;
	struct shmfd_stream *s;
	struct shmfd_record *rec;
	int fd[2], link[2];
	uint8_t *p;

	pair_adopt(AF_INET, fd);
	p = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + bytes, page, PROT_NONE), 0);
	seg = (struct shmfd_segment *)(void *)p;
	seg->magic = SHMFD_SEGMENT_MAGIC;
	seg->version = SHMFD_LAYOUT_VERSION;
	seg->ring_cap = 65536;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link), 0);
	s = pair_stream(fd[1]);
	rec = pair_record(fd[1]);
	s->rings->wait.link = shmfd_hide_fd(link[0]);
	assert_true(shmfd_stream_pair(s, seg, 65536));
	/* the sender has gone round and filled its ring */
	store_relaxed(&rec->tx_mode, SHMFD_MODE_RING);
	rec->wr_pos = rec->rd_cache = rec->look_pos = 65536;
	rec->wr_pos = 65536 + 65536 - 64;
	store_relaxed(&seg->dir[1].rd_pos, rd_pos);
	store_relaxed(&seg->dir[1].rd_part, part);
	store_relaxed(&seg->dir[1].split, split_plus_1);
	store_relaxed(&seg->dir[1].attn, SHMFD_DIR_FROZEN);
	/* headers that make no sense anywhere: nothing may be sent again */
	memset(p + 4096, 0x5a, 2 * 65536);
	pair_send(fd[1], "x", 1, MSG_DONTWAIT);
	assert_int_equal(load_relaxed(&rec->tx_mode), SHMFD_MODE_KERNEL);
	close(link[1]);
	pair_close(fd);
	munmap(p + bytes, page);
}

static void test_frozen_at_impossible_places_stays_inside_the_ring(void **state)
{
	(void)state;
	for (uint64_t back = 1; back <= 16; back++) {
		frozen_at(131072 - 64 - back, 0, 0);
		frozen_at(131072 - 64, 131072 - 64 - back + 1, 0);
	}
	frozen_at(131072 - 64, 1ull << 60, 0);
	frozen_at(1ull << 60, 0, 0);
	frozen_at(65536, 0, UINT32_MAX);
}

static void test_frozen_at_the_last_bytes_of_the_mapping(void **state)
{
	(void)state;
	/* an 8-byte header there would reach over the end */
	for (uint64_t back = 1; back < 8; back++) {
		frozen_at(65536, 131072 - back - 65536 + 1, 0);
		frozen_at(131072 - back - 65536, 0, 0);
	}
}

static int setup(void **state)
{
	(void)state;
	pair_init();
	return 0;
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_rubbish_header_resets_this_stream_alone),
		cmocka_unit_test(test_impossible_read_position_resets_the_writer),
		cmocka_unit_test(test_frozen_at_impossible_places_stays_inside_the_ring),
		cmocka_unit_test(test_frozen_at_the_last_bytes_of_the_mapping),
	};

	alarm(UNIT_SECONDS);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(test, setup, NULL);
}
