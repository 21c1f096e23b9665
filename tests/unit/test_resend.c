/* SPDX-License-Identifier: MIT */

/*
 * resend.c: what a reader left unread in a ring that it handed over goes by the
 * kernel, at once or with the later calls of its writer.  stuck.c: a ring that
 * stays full is left.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "pair.h"
#include "segment.h"
#include "sys.h"

static struct shmfd_sys as_ever;	/* what a test may replace */

static int refuse(int fd, int level, int name, const void *val, socklen_t len)
{
	(void)fd, (void)level, (void)name, (void)val, (void)len;
	errno = EPERM;
	return -1;
}

/* A ring full of small messages that fd[1] hands over: more than the kernel
 * takes at once, and its limit can not be raised.  Returns their number. */
static int hand_over_many(int fd[2])
{
	int sent = 0, least = 0;

	pair_meet(AF_UNIX, fd);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	shmfd_sys.setsockopt = refuse;
	while (pair_send(fd[0], "x", 1, MSG_DONTWAIT) == 1)
		sent++;
	assert_true(sent > 2000);
	pair_retreat(fd[1], SHMFD_WHY_PASSED);
	return sent;
}

static int take_all(int fd)
{
	int got = 0;
	char c;

	while (recv(fd, &c, 1, MSG_DONTWAIT) == 1)
		got++;
	return got;
}

/* The host does not call again: what it wrote is the kernel's at once. */
static void test_hand_over_leaves_nothing_to_later_calls(void **state)
{
	static const uint8_t large[60000];
	const size_t sizes[] = { 1, 3583, 3584, 20000, sizeof(large) };

	(void)state;
	for (size_t i = 0; i < NR(sizes); i++) {
		int fd[2], before = 0, after = 1, n;
		socklen_t len = sizeof(before);
		size_t sent = 0, got = 0;
		static uint8_t buf[65536];

		pair_meet(AF_UNIX, fd);
		while ((n = (int)pair_send(fd[0], large, sizes[i], MSG_DONTWAIT)) > 0)
			sent += (size_t)n;
		getsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &before, &len);
		pair_retreat(fd[1], SHMFD_WHY_PASSED);
		pair_retreat(fd[0], SHMFD_WHY_PASSED);
		assert_int_equal(load_relaxed(&pair_record(fd[0])->tx_mode), SHMFD_MODE_KERNEL);
		getsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &after, &len);
		assert_int_equal(before, after);
		while ((n = (int)recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			got += (size_t)n;
		assert_int_equal(got, sent);
		pair_close(fd);
	}
}

/* What did not fit goes on with calls on other streams, and sleeps in steps. */
static void test_hand_over_goes_on_beside_other_streams(void **state)
{
	int fd[2], sent = hand_over_many(fd), got = 0, other[2];
	struct pollfd p = { .events = POLLIN };
	struct timeval limit = { .tv_usec = 2000 };
	char c;

	(void)state;
	pair_retreat(fd[0], SHMFD_WHY_PASSED);
	assert_int_equal(load_relaxed(&pair_record(fd[0])->tx_mode), SHMFD_MODE_RESEND);
	pair_meet(AF_INET, other);
	p.fd = other[0];
	for (int i = 0; i < 100; i++) {
		assert_int_equal(pair_poll(&p, 1, 1), 0);
		got += take_all(fd[1]);
	}
	assert_in_range(got, 1, sent);
	setsockopt(other[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	shmfd_stream_sync_options(pair_stream(other[0]), other[0]);
	for (int i = 0; i < 400 && got < sent; i++) {
		assert_int_equal(pair_recv(other[0], &c, 1, 0), -EAGAIN);
		got += take_all(fd[1]);
	}
	assert_int_equal(got, sent);
	assert_int_equal(load_relaxed(&pair_record(fd[0])->tx_mode), SHMFD_MODE_KERNEL);
	assert_int_equal(shmfd_resend_all(-1), -1);
	pair_close(other);
	pair_close(fd);
}

/* The writer does not write again, it asks for the answer: what the kernel did
 * not take at first still has to go out. */
static void test_hand_over_is_completed_by_a_host_that_polls(void **state)
{
	int fd[2], sent = hand_over_many(fd), got = 0;

	(void)state;
	for (int i = 0; i < 200 && got < sent; i++) {
		struct pollfd p = { .fd = fd[0], .events = POLLIN };

		assert_int_equal(pair_poll(&p, 1, 1), 0);
		got += take_all(fd[1]);
	}
	assert_int_equal(got, sent);
	pair_close(fd);
}

static void test_hand_over_is_completed_by_a_host_that_tries_to_read(void **state)
{
	int fd[2], sent = hand_over_many(fd), got = 0;
	struct pollfd p = { .fd = fd[0], .events = POLLIN };
	char c;

	(void)state;
	assert_int_equal(pair_poll(&p, 1, 1), 0);	/* sees that the reader left */
	for (int i = 0; i < 200 && got < sent; i++) {
		assert_int_equal(pair_recv(fd[0], &c, 1, MSG_DONTWAIT), -EAGAIN);
		got += take_all(fd[1]);
	}
	assert_int_equal(got, sent);
	pair_close(fd);
}

/* While they wait: no room for a byte, but a write of none succeeds, as it does
 * on a full socket. */
static void test_writes_beside_bytes_that_have_to_go_first(void **state)
{
	int fd[2], sent = hand_over_many(fd);
	struct pollfd p = { .fd = fd[0], .events = POLLIN };

	(void)state;
	assert_int_equal(pair_poll(&p, 1, 1), 0);	/* sees that the reader left */
	assert_int_equal(load_relaxed(&pair_record(fd[0])->tx_mode), SHMFD_MODE_RESEND);
	assert_int_equal(pair_send(fd[0], "x", 1, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(pair_send(fd[0], "", 0, MSG_DONTWAIT), 0);
	for (int i = 0; i < 200 && sent; i++) {
		sent -= take_all(fd[1]);
		assert_int_equal(pair_send(fd[0], "", 0, MSG_DONTWAIT), 0);
	}
	assert_int_equal(sent, 0);
	pair_close(fd);
}

struct answer {
	int fd;
	_Atomic int tid;
	ssize_t n;
};

static void *wait_for_answer(void *arg)
{
	struct answer *a = arg;
	char c;

	store_release(&a->tid, (int)gettid());
	a->n = pair_recv(a->fd, &c, 1, 0);
	return NULL;
}

/* True if that thread sleeps in the kernel. */
static bool is_asleep(int tid)
{
	char path[64], text[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strrchr(text, ')') && strrchr(text, ')')[2] == 'S';
}

static void test_hand_over_is_completed_by_a_host_that_sleeps_in_recv(void **state)
{
	struct timeval limit = { .tv_sec = 1 };
	struct answer a = { .n = -1 };
	int fd[2], sent = hand_over_many(fd), got = 0;
	pthread_t t;
	char c;

	(void)state;
	a.fd = fd[0];
	assert_int_equal(pthread_create(&t, NULL, wait_for_answer, &a), 0);
	while (load_relaxed(&pair_record(fd[0])->tx_mode) != SHMFD_MODE_RESEND ||
	       !is_asleep(load_acquire(&a.tid)))
		sched_yield();
	setsockopt(fd[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while (got < sent && recv(fd[1], &c, 1, 0) == 1)
		got++;
	send(fd[1], "y", 1, 0);
	pthread_join(t, NULL);
	assert_int_equal(got, sent);
	assert_int_equal(a.n, 1);
	pair_close(fd);
}

/*
 * Where the kernel takes over after a freeze, in the orders that a race can
 * give: three records "aaa", "bb", "c" at 0, 16 and 32 were published.
 */
static void test_frozen_direction_goes_on_where_both_ends_agreed(void **state)
{
	static const struct {
		uint64_t rd_pos;
		uint32_t part, hand_over;
		uint64_t said;		/* by the reader, plus 1; 0: nothing yet */
		const char *by_kernel;
		uint64_t split;		/* afterwards, plus 1 */
	} t[] = {
		{ 0, 0, 0, 49, "", 49 },		/* the reader keeps all three */
		{ 0, 0, 0, 33, "c", 33 },		/* it did not see the last */
		{ 0, 1, 0, 17, "bbc", 17 },
		{ 0, 0, 0, 0, "", 49 },			/* the writer is first to say */
		{ 16, 1, 0, 0, "", 49 },
		{ 48, 0, 0, 0, "", 49 },		/* taken already */
		{ 0, 2, SHMFD_DIR_HAND_OVER, 0, "abbc", 0 },
		{ 16, 1, SHMFD_DIR_HAND_OVER, 0, "bc", 0 },
		{ 48, 0, SHMFD_DIR_HAND_OVER, 0, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < NR(t); i++) {
		struct shmfd_segment *seg;
		struct shmfd_stream *s;
		struct shmfd_record *rec;
		int fd[2], link[2], memfd;
		char buf[16] = "";
		size_t len = strlen(t[i].by_kernel);

		pair_adopt(AF_UNIX, fd);
		seg = shmfd_segment_create(65536, &memfd);
		assert_non_null(seg);
		close(memfd);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link), 0);
		s = pair_stream(fd[0]);
		rec = pair_record(fd[0]);
		s->rings->wait.link = shmfd_hide_fd(link[0]);
		assert_true(shmfd_stream_pair(s, seg, 65536));
		store_relaxed(&rec->tx_mode, SHMFD_MODE_RING);
		store_relaxed(&s->rings->tx.dir->attn, SHMFD_DIR_RING);
		assert_int_equal(pair_send(fd[0], "aaa", 3, 0), 3);
		assert_int_equal(pair_send(fd[0], "bb", 2, 0), 2);
		assert_int_equal(pair_send(fd[0], "c", 1, 0), 1);
		assert_int_equal(rec->wr_pos, 48);
		store_relaxed(&s->rings->tx.dir->rd_pos, t[i].rd_pos);
		store_relaxed(&s->rings->tx.dir->rd_part, t[i].part);
		store_relaxed(&s->rings->tx.dir->split, t[i].said);
		store_relaxed(&s->rings->tx.dir->attn, SHMFD_DIR_FROZEN | t[i].hand_over);
		shmfd_resend_frozen(s, fd[0]);
		assert_int_equal(load_relaxed(&rec->tx_mode), SHMFD_MODE_KERNEL);
		assert_int_equal(load_relaxed(&s->rings->tx.dir->split), t[i].split);
		assert_int_equal(load_relaxed(&rec->pending_err), 0);
		for (size_t got = 0; got < len;) {
			ssize_t n = recv(fd[1], buf + got, len - got, 0);

			assert_true(n > 0);
			got += (size_t)n;
		}
		assert_memory_equal(buf, t[i].by_kernel, len);
		assert_int_equal(recv(fd[1], buf, 1, MSG_DONTWAIT), -1);
		close(link[1]);
		pair_close(fd);
	}
}

/* Fills the ring; returns the bytes. */
static size_t fill(int fd)
{
	static uint8_t block[4096];
	size_t sum = 0;
	ssize_t n;

	while ((n = pair_send(fd, block, sizeof(block), MSG_DONTWAIT)) > 0)
		sum += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	return sum;
}

/* Neither reads: back to the kernel's larger buffers, once somebody waits for room,
 * or for anything else.  The rings of this test are small, so AF_UNIX leaves too. */
static void test_full_for_long_leaves_the_ring(void **state)
{
	const int family[] = { AF_INET, AF_INET6, AF_UNIX };

	(void)state;
	for (size_t i = 0; i < NR(family); i++) {
		int fd[2], other[2];
		struct pollfd p = { .events = POLLOUT };
		int64_t start;

		pair_meet(family[i], fd);
		pair_meet(AF_UNIX, other);
		fill(fd[0]);
		fill(fd[1]);
		start = shmfd_now_ns();
		p.fd = fd[0];
		assert_int_equal(pair_poll(&p, 1, 300), 1);
		assert_true(shmfd_now_ns() - start >= 90000000);
		assert_int_equal(pair_reason(fd[0]), SHMFD_WHY_STUCK);
		assert_false(pair_is_ring(fd[0]));
		pair_close(fd);

		/* its writer waits on another stream */
		pair_meet(family[i], fd);
		fill(fd[0]);
		p = (struct pollfd){ .fd = other[0], .events = POLLIN };
		assert_int_equal(pair_poll(&p, 1, 300), 0);
		assert_int_equal(pair_reason(fd[0]), SHMFD_WHY_STUCK);
		pair_close(fd);
		pair_close(other);
	}
}

/* A ring that is full, but whose writer got all it had to say into it, and one
 * whose reader goes on, however slowly, stay. */
static void test_full_but_moving_stays(void **state)
{
	struct pollfd p = { .events = POLLOUT };
	uint8_t buf[64];
	int fd[2];

	(void)state;
	pair_meet(AF_INET, fd);
	fill(fd[0]);
	p.fd = fd[0];
	for (int i = 0; i < 5; i++) {
		assert_int_equal(pair_poll(&p, 1, 60), 0);
		assert_int_equal(pair_recv(fd[1], buf, sizeof(buf), 0), sizeof(buf));
	}
	assert_true(pair_is_ring(fd[0]));
	for (int i = 0; i < 100; i++)
		assert_int_equal(pair_recv(fd[1], buf, sizeof(buf), 0), sizeof(buf));
	while (pair_send(fd[0], buf, sizeof(buf), MSG_DONTWAIT) != sizeof(buf))
		assert_int_equal(pair_recv(fd[1], buf, sizeof(buf), 0), sizeof(buf));
	p = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	assert_int_equal(pair_poll(&p, 1, 150), 0);
	assert_int_equal(pair_poll(&p, 1, 150), 0);
	assert_true(pair_is_ring(fd[0]));
	pair_close(fd);
}

static int setup(void **state)
{
	(void)state;
	as_ever = shmfd_sys;
	shmfd_stuck_after_ns = 100000000;
	pair_init();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	shmfd_sys = as_ever;
	return 0;
}

/* A test that replaces calls. */
#define TEST(name)	cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_hand_over_leaves_nothing_to_later_calls),
		TEST(test_hand_over_goes_on_beside_other_streams),
		TEST(test_hand_over_is_completed_by_a_host_that_polls),
		TEST(test_hand_over_is_completed_by_a_host_that_tries_to_read),
		TEST(test_writes_beside_bytes_that_have_to_go_first),
		TEST(test_hand_over_is_completed_by_a_host_that_sleeps_in_recv),
		cmocka_unit_test(test_frozen_direction_goes_on_where_both_ends_agreed),
		cmocka_unit_test(test_full_for_long_leaves_the_ring),
		cmocka_unit_test(test_full_but_moving_stays),
	};

	alarm(UNIT_SECONDS);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(test, setup, NULL);
}
