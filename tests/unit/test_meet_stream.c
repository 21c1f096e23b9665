/* SPDX-License-Identifier: MIT */

/*
 * meet.c and stream.c with send.c and recv.c: two ends of a real stream in one
 * process meet, move to rings and back, and end as the kernel's streams do.
 * What happens when the system refuses something, or somebody else answers on
 * the rendezvous, is in test_meet_fail.c, a hostile peer in test_stream_hostile.c.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "meet.h"
#include "pair.h"
#include "segment.h"
#include "sys.h"

static const int families[] = { AF_INET, AF_INET6, AF_UNIX };

static uint8_t byte_at(uint64_t n)
{
	return (uint8_t)(n % 249 ^ n >> 12);
}

/* Sends @len bytes of the stream from number @from on.  Bytes taken, or -errno. */
static ssize_t send_bytes(int fd, uint64_t from, size_t len, int flags)
{
	static uint8_t buf[200000];

	assert_true(len <= sizeof(buf));
	for (size_t i = 0; i < len; i++)
		buf[i] = byte_at(from + i);
	return pair_send(fd, buf, len, flags);
}

/* Receives up to @len bytes that have to be number @from and on. */
static ssize_t take_bytes(int fd, uint64_t from, size_t len, int flags)
{
	static uint8_t buf[200000];
	ssize_t n;

	assert_true(len <= sizeof(buf));
	n = pair_recv(fd, buf, len, flags);
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(buf[i], byte_at(from + (uint64_t)i));
	return n;
}

/* ---- life ------------------------------------------------------------------ */

static void test_both_ends_meet_and_leave_no_descriptor_behind(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int before = pair_count_fds(), fd[2];

		pair_meet(families[i], fd);
		/* two sockets and two ends of the link; listener and memfd are gone */
		assert_int_equal(pair_count_fds(), before + 4);
		for (int k = 0; k < 2; k++) {
			struct shmfd_stream *s = pair_stream(fd[k]);

			assert_int_equal(load_relaxed(&pair_record(fd[k])->phase), SHMFD_PAIRED);
			assert_int_equal(s->listener, -1);
			assert_true(shmfd_fd_is(s->rings->wait.link, SHMFD_FD_HIDDEN));
			assert_true(fcntl(s->rings->wait.link, F_GETFD) & FD_CLOEXEC);
			assert_int_equal(s->rings->rx.cap, 65536);
		}
		pair_close(fd);
		assert_null(pair_stream(fd[0]));
		assert_int_equal(pair_count_fds(), before);
	}
}

static void test_eager_ends_meet_before_any_byte(void **state)
{
	char c;

	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2];

		pair_adopt(families[i], fd);
		shmfd_meet_all();
		for (int k = 0; k < 2; k++) {
			assert_int_equal(load_relaxed(&pair_record(fd[k])->phase), SHMFD_PAIRED);
			assert_int_equal(load_relaxed(&pair_record(fd[k])->ops), 0);
		}
		/* the first message goes by the kernel, the second by ring */
		assert_int_equal(send_bytes(fd[0], 0, 100, 0), 100);
		assert_int_equal(send_bytes(fd[0], 100, 50, 0), 50);
		assert_int_equal(load_relaxed(&pair_record(fd[0])->kernel_tx_bytes), 100);
		assert_int_equal(take_bytes(fd[1], 0, 100, 0), 100);
		assert_int_equal(take_bytes(fd[1], 100, 50, 0), 50);
		assert_int_equal(recv(fd[1], &c, 1, MSG_DONTWAIT), -1);
		pair_close(fd);
	}
}

static void test_bytes_go_by_memory_alone(void **state)
{
	char c;

	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		uint64_t kernel, ring;
		int fd[2];

		pair_meet(families[i], fd);
		kernel = load_relaxed(&pair_record(fd[0])->kernel_tx_bytes);
		ring = load_relaxed(&pair_record(fd[0])->ring_tx_bytes);
		assert_int_equal(kernel + ring,
				 load_relaxed(&pair_record(fd[1])->kernel_rx_bytes) +
				 load_relaxed(&pair_record(fd[1])->ring_rx_bytes));
		assert_int_equal(send_bytes(fd[0], 0, 1000, 0), 1000);
		assert_int_equal(recv(fd[1], &c, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(take_bytes(fd[1], 0, 2000, MSG_DONTWAIT), 1000);
		assert_int_equal(load_relaxed(&pair_record(fd[0])->kernel_tx_bytes), kernel);
		assert_int_equal(load_relaxed(&pair_record(fd[0])->ring_tx_bytes), ring + 1000);
		pair_close(fd);
	}
}

/* Random sizes both ways, never asleep; all flags that take bytes. */
static void flow(const int fd[2], uint64_t seed, int steps, uint64_t sent[2], uint64_t taken[2])
{
	uint64_t rnd = seed;

	for (int i = 0; i < steps; i++) {
		int d = (int)unit_below(&rnd, 2);
		size_t len = 1 + unit_below(&rnd, unit_below(&rnd, 4) ? 3000 : 90000);
		ssize_t n;

		if (unit_below(&rnd, 2)) {
			n = send_bytes(fd[d], sent[d], len, MSG_DONTWAIT | MSG_NOSIGNAL);
			assert_true(n > 0 || n == -EAGAIN);
			sent[d] += n > 0 ? (uint64_t)n : 0;
			continue;
		}
		if (unit_below(&rnd, 4) == 0) {
			n = take_bytes(fd[!d], taken[d], len, MSG_DONTWAIT | MSG_PEEK);
			assert_true(n > 0 || n == -EAGAIN);
		}
		n = take_bytes(fd[!d], taken[d], len, MSG_DONTWAIT);
		assert_true(n > 0 || n == -EAGAIN);
		taken[d] += n > 0 ? (uint64_t)n : 0;
		assert_true(taken[d] <= sent[d]);
	}
}

/* Both ends shut down; all that was sent comes, then end-of-file for ever. */
static void drain(const int fd[2], uint64_t sent[2], uint64_t taken[2])
{
	bool eof[2] = { false, false };

	assert_int_equal(pair_shutdown(fd[0], SHUT_WR), 0);
	assert_int_equal(pair_shutdown(fd[1], SHUT_WR), 0);
	while (!eof[0] || !eof[1]) {
		struct pollfd p[2] = { { .fd = fd[1], .events = POLLIN },
				       { .fd = fd[0], .events = POLLIN } };

		assert_true(pair_poll(p, 2, 5000) > 0);
		for (int d = 0; d < 2; d++) {
			ssize_t n = take_bytes(fd[!d], taken[d], 50000, MSG_DONTWAIT);

			assert_true(n >= 0 || n == -EAGAIN);
			taken[d] += n > 0 ? (uint64_t)n : 0;
			eof[d] |= n == 0;
			if (eof[d])
				assert_int_equal(n, 0);
		}
	}
	assert_int_equal(taken[0], sent[0]);
	assert_int_equal(taken[1], sent[1]);
}

static void test_random_flow_both_ways_keeps_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		uint64_t sent[2] = { 0, 0 }, taken[2] = { 0, 0 };
		int fd[2];

		pair_meet(families[i], fd);
		flow(fd, 100 + i, 1500, sent, taken);
		assert_true(pair_is_ring(fd[0]) && pair_is_ring(fd[1]));
		assert_true(sent[0] > 500000 && sent[1] > 500000);
		drain(fd, sent, taken);
		pair_close(fd);
	}
}

static void test_half_close_ends_one_direction(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2];

		pair_meet(families[i], fd);
		assert_int_equal(send_bytes(fd[0], 0, 10, 0), 10);
		assert_int_equal(pair_shutdown(fd[0], SHUT_WR), 0);
		assert_int_equal(send_bytes(fd[0], 0, 1, MSG_NOSIGNAL), -EPIPE);
		assert_int_equal(take_bytes(fd[1], 0, 6, 0), 6);
		assert_int_equal(take_bytes(fd[1], 6, 100, 0), 4);
		for (int k = 0; k < 3; k++)
			assert_int_equal(take_bytes(fd[1], 0, 100, 0), 0);
		assert_int_equal(send_bytes(fd[1], 0, 70, 0), 70);
		assert_int_equal(take_bytes(fd[0], 0, 100, 0), 70);
		pair_close_one(fd[1]);
		assert_int_equal(take_bytes(fd[0], 0, 100, 0), 0);
		pair_close_one(fd[0]);
	}
}

static void test_shutdown_fits_into_a_full_ring(void **state)
{
	uint64_t sent = 0, taken = 0;
	int fd[2];
	ssize_t n;

	(void)state;
	pair_meet(AF_INET, fd);
	while ((n = send_bytes(fd[0], sent, 777, MSG_DONTWAIT)) > 0)
		sent += (uint64_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(pair_shutdown(fd[0], SHUT_WR), 0);
	while ((n = take_bytes(fd[1], taken, 5000, 0)) > 0)
		taken += (uint64_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(taken, sent);
	pair_close(fd);
}

static void test_close_gives_the_rest_then_end_of_file(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2];

		pair_meet(families[i], fd);
		assert_int_equal(send_bytes(fd[1], 0, 30000, 0), 30000);
		pair_close_one(fd[1]);
		assert_int_equal(take_bytes(fd[0], 0, 20000, 0), 20000);
		assert_int_equal(take_bytes(fd[0], 20000, 20000, 0), 10000);
		assert_int_equal(take_bytes(fd[0], 0, 1, 0), 0);
		assert_int_equal(take_bytes(fd[0], 0, 1, 0), 0);
		pair_close_one(fd[0]);
	}
}

/* The same calls on sockets that the core does not know say what is right. */
static void test_close_with_unread_input_resets_as_the_kernel_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		ssize_t result[2][2];

		for (int ours = 0; ours < 2; ours++) {
			int fd[2];

			if (ours)
				pair_meet(families[i], fd);
			else
				pair_open(families[i], fd);
			assert_int_equal(send_bytes(fd[0], 0, 100, 0), 100);
			pair_close_one(fd[1]);
			result[ours][0] = take_bytes(fd[0], 0, 100, 0);
			result[ours][1] = take_bytes(fd[0], 0, 100, 0);
			pair_close_one(fd[0]);
		}
		assert_int_equal(result[0][0], -ECONNRESET);
		assert_int_equal(result[1][0], result[0][0]);
		assert_int_equal(result[1][1], result[0][1]);
	}
}

static void test_write_to_a_closed_end_is_epipe(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		ssize_t n = 0;
		int fd[2];

		pair_meet(families[i], fd);
		pair_close_one(fd[1]);
		/* the first may still be taken, as TCP takes it */
		for (int k = 0; k < 200 && n >= 0; k++)
			n = send_bytes(fd[0], 0, 1, MSG_NOSIGNAL);
		assert_true(n == -EPIPE || n == -ECONNRESET);
		pair_close_one(fd[0]);
	}
}

static void test_stream_lives_until_its_last_number_is_closed(void **state)
{
	int before = pair_count_fds(), fd[2], two;

	(void)state;
	pair_meet(AF_INET, fd);
	two = dup(fd[0]);
	shmfd_stream_dup(fd[0], two);
	assert_ptr_equal(pair_stream(two), pair_stream(fd[0]));
	pair_close_one(fd[0]);
	assert_null(pair_stream(fd[0]));
	assert_int_equal(load_relaxed(&pair_record(two)->fd), two);
	fd[0] = two;
	pair_chat(fd, 5);
	assert_true(pair_is_ring(fd[0]) && pair_is_ring(fd[1]));
	pair_close(fd);
	assert_int_equal(pair_count_fds(), before);
}

static void test_descriptors_0_to_2_stay_with_the_kernel(void **state)
{
	int fd[2], saved = dup(0), was;

	(void)state;
	pair_open(AF_INET, fd);
	was = fd[1];
	assert_int_equal(dup2(fd[1], 0), 0);
	close(was);
	fd[1] = 0;
	shmfd_stream_adopt(fd[0], AF_INET, false, false);
	shmfd_stream_adopt(0, AF_INET, true, false);
	pair_chat(fd, 30);
	assert_int_equal(pair_reason(0), SHMFD_WHY_STDIO_FD);
	assert_false(pair_is_ring(fd[0]));
	shmfd_stream_close(0, NULL);
	dup2(saved, 0);
	close(saved);
	pair_close_one(fd[0]);
}

/* ---- the way back ------------------------------------------------------------- */

static void test_retreat_at_any_moment_keeps_every_byte(void **state)
{
	static const enum shmfd_reason why[] = { SHMFD_WHY_TEST, SHMFD_WHY_PASSED };

	(void)state;
	for (uint64_t seed = 1; seed <= 48; seed++) {
		uint64_t sent[2] = { 0, 0 }, taken[2] = { 0, 0 };
		int before = pair_count_fds(), fd[2], end = (int)(seed & 1);

		if (seed % 8 < 6)
			pair_meet(families[seed % 3], fd);
		else	/* while they meet */
			pair_adopt(families[seed % 3], fd);
		flow(fd, seed, (int)(seed * 7 % 90), sent, taken);
		pair_retreat(fd[end], why[seed / 2 % 2]);
		if (seed % 5 == 0)
			pair_retreat(fd[!end], SHMFD_WHY_TEST);
		assert_int_equal(pair_reason(fd[end]), why[seed / 2 % 2]);
		flow(fd, seed + 1000, 60, sent, taken);
		drain(fd, sent, taken);
		assert_false(pair_is_ring(fd[0]) || pair_is_ring(fd[1]));
		pair_close(fd);
		assert_int_equal(pair_count_fds(), before);
	}
}

/* After a hand-over whoever has the socket finds every byte in the kernel. */
static void test_hand_over_leaves_unread_bytes_to_the_kernel(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		char buf[40] = "";
		int fd[2];

		pair_meet(families[i], fd);
		assert_int_equal(pair_send(fd[0], "abcdefghij", 10, 0), 10);
		assert_int_equal(pair_recv(fd[1], buf, 4, 0), 4);
		pair_retreat(fd[1], SHMFD_WHY_PASSED);
		assert_int_equal(pair_send(fd[0], "klm", 3, 0), 3);
		assert_int_equal(recv(fd[1], buf, 9, MSG_WAITALL), 9);
		assert_memory_equal(buf, "efghijklm", 9);
		assert_int_equal(recv(fd[1], buf, 9, MSG_DONTWAIT), -1);
		pair_close(fd);
	}
}

/* What is set on the socket holds on the ring. */
static void test_options_that_the_ring_has_to_know(void **state)
{
	struct timeval rcv = { .tv_sec = 1, .tv_usec = 2 }, snd = { .tv_sec = 3 };
	int fd[2], us = 0;
	socklen_t len = sizeof(us);

	(void)state;
	pair_meet(AF_INET, fd);
	assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &rcv, sizeof(rcv)), 0);
	assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &snd, sizeof(snd)), 0);
	us = 77;	/* more than the default needs CAP_NET_ADMIN (socket(7)) */
	setsockopt(fd[0], SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us));
	assert_int_equal(getsockopt(fd[0], SOL_SOCKET, SO_BUSY_POLL, &us, &len), 0);
	shmfd_stream_sync_options(pair_stream(fd[0]), fd[0]);
	assert_int_equal(pair_stream(fd[0])->rings->spin.ceiling_ns, us * 1000);
	/* in ticks of the kernel, rounded up */
	assert_in_range(pair_record(fd[0])->rcvtimeo_ns, 1000002000, 1012000000);
	assert_int_equal(pair_record(fd[0])->sndtimeo_ns, 3000000000ll);
	pair_close(fd);
}

static void test_retreat_twice_is_retreat_once(void **state)
{
	int fd[2];

	(void)state;
	pair_meet(AF_INET, fd);
	pair_retreat(fd[0], SHMFD_WHY_FDOPEN);
	pair_retreat(fd[0], SHMFD_WHY_OOB);
	assert_int_equal(pair_reason(fd[0]), SHMFD_WHY_FDOPEN);
	pair_chat(fd, 20);
	assert_int_equal(pair_reason(fd[1]), SHMFD_WHY_PEER_LEFT);
	assert_int_equal(load_relaxed(&pair_record(fd[0])->phase), SHMFD_LEFT);
	assert_int_equal(load_relaxed(&pair_record(fd[1])->phase), SHMFD_LEFT);
	pair_close(fd);
}

/* ---- threads ---------------------------------------------------------------------- */

#define FLOW	400000

struct mover {
	int fd;
	uint64_t nr;
	uint64_t seed;
	bool bad;
};

static void *move_out(void *arg)
{
	struct mover *m = arg;
	uint8_t buf[9000];

	while (m->nr < FLOW) {
		size_t len = 1 + unit_below(&m->seed, sizeof(buf));
		ssize_t n;

		for (size_t i = 0; i < len; i++)
			buf[i] = byte_at(m->nr + i);
		n = pair_send(m->fd, buf, len, 0);
		if (n != (ssize_t)len) {
			m->bad = true;
			break;
		}
		m->nr += (uint64_t)n;
	}
	pair_shutdown(m->fd, SHUT_WR);
	return NULL;
}

static void *move_in(void *arg)
{
	struct mover *m = arg;
	uint8_t buf[9000];

	for (;;) {
		ssize_t n = pair_recv(m->fd, buf, 1 + unit_below(&m->seed, sizeof(buf)), 0);

		for (ssize_t i = 0; i < n; i++)
			m->bad |= buf[i] != byte_at(m->nr + (uint64_t)i);
		if (n <= 0) {
			m->bad |= n < 0;
			return NULL;
		}
		m->nr += (uint64_t)n;
	}
}

/* Writers sleep for room, readers for data, both ways, and wake each other. */
static void move_both_ways(const int fd[2])
{
	struct mover m[4];
	pthread_t t[4];

	for (int k = 0; k < 4; k++) {
		m[k] = (struct mover){ .fd = fd[(k & 1) ^ (k >> 1)], .seed = (uint64_t)k };
		assert_int_equal(pthread_create(&t[k], NULL, k < 2 ? move_out : move_in, &m[k]), 0);
	}
	for (int k = 0; k < 4; k++)
		pthread_join(t[k], NULL);
	for (int k = 0; k < 4; k++)
		assert_false(m[k].bad);
	assert_int_equal(m[0].nr, m[2].nr);
	assert_int_equal(m[1].nr, m[3].nr);
	assert_true(m[0].nr >= FLOW);
}

static void test_sleeping_ends_wake_each_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2];

		pair_meet(families[i], fd);
		move_both_ways(fd);
		pair_close(fd);
	}
}

/* The same with one mapping for both ends: the thread sanitizer knows memory by
 * its address, and sees nothing across two mappings of one page. */
static void test_sleeping_ends_of_one_mapping_wake_each_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		struct shmfd_segment *seg;
		int fd[2], link[2], memfd;

		pair_adopt(families[i], fd);
		seg = shmfd_segment_create(65536, &memfd);
		assert_non_null(seg);
		close(memfd);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link), 0);
		for (int k = 0; k < 2; k++) {
			pair_stream(fd[k])->rings->wait.link = shmfd_hide_fd(link[k]);
			assert_true(shmfd_stream_pair(pair_stream(fd[k]), seg, 65536));
		}
		for (int k = 0; k < 10; k++)
			pair_chat(fd, 1);
		assert_true(pair_is_ring(fd[0]) && pair_is_ring(fd[1]));
		move_both_ways(fd);
		/* each end unmaps what it thinks is its own */
		pair_retreat(fd[0], SHMFD_WHY_TEST);
		pair_retreat(fd[1], SHMFD_WHY_TEST);
		pair_close_one(fd[0]);
		assert_ptr_equal(mmap(seg, shmfd_segment_bytes(65536), PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), seg);
		pair_close_one(fd[1]);
	}
}

static int setup(void **state)
{
	int fd[2];

	(void)state;
	pair_init();
	/* the table is made once: not a descriptor of any one test */
	pair_adopt(AF_INET, fd);
	pair_close(fd);
	return 0;
}

static int told;	/* the errno of a receive from the kernel */

static ssize_t fail_recvmsg(int fd, struct msghdr *msg, int flags)
{
	(void)fd, (void)msg, (void)flags;
	errno = told;
	return -1;
}

/* The kernel fails behind the last bytes of a ring: an error is told after them, but
 * not that a signal came, in whichever way the kernel says so. */
static void test_failure_behind_the_last_bytes_of_the_ring(void **state)
{
	static const struct { int told, error; } of[] = {
		{ EAGAIN, 0 }, { EINTR, 0 }, { 512, 0 }, { ECONNRESET, ECONNRESET },
	};
	struct shmfd_sys as_ever = shmfd_sys;

	(void)state;
	for (size_t i = 0; i < NR(of); i++) {
		char buf[10];
		int fd[2];

		pair_meet(AF_UNIX, fd);
		assert_int_equal(pair_send(fd[0], "abc", 3, 0), 3);
		pair_retreat(fd[0], SHMFD_WHY_TEST);
		told = of[i].told;
		shmfd_sys.recvmsg = fail_recvmsg;
		assert_int_equal(pair_recv(fd[1], buf, 10, 0), 3);
		shmfd_sys = as_ever;
		assert_int_equal(shmfd_take_error(pair_stream(fd[1])), of[i].error);
		pair_close(fd);
	}
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_both_ends_meet_and_leave_no_descriptor_behind),
		cmocka_unit_test(test_eager_ends_meet_before_any_byte),
		cmocka_unit_test(test_bytes_go_by_memory_alone),
		cmocka_unit_test(test_random_flow_both_ways_keeps_every_byte),
		cmocka_unit_test(test_half_close_ends_one_direction),
		cmocka_unit_test(test_shutdown_fits_into_a_full_ring),
		cmocka_unit_test(test_close_gives_the_rest_then_end_of_file),
		cmocka_unit_test(test_close_with_unread_input_resets_as_the_kernel_does),
		cmocka_unit_test(test_write_to_a_closed_end_is_epipe),
		cmocka_unit_test(test_stream_lives_until_its_last_number_is_closed),
		cmocka_unit_test(test_descriptors_0_to_2_stay_with_the_kernel),
		cmocka_unit_test(test_retreat_at_any_moment_keeps_every_byte),
		cmocka_unit_test(test_hand_over_leaves_unread_bytes_to_the_kernel),
		cmocka_unit_test(test_options_that_the_ring_has_to_know),
		cmocka_unit_test(test_failure_behind_the_last_bytes_of_the_ring),
		cmocka_unit_test(test_retreat_twice_is_retreat_once),
		cmocka_unit_test(test_sleeping_ends_wake_each_other),
		cmocka_unit_test(test_sleeping_ends_of_one_mapping_wake_each_other),
	};

	alarm(UNIT_SECONDS);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(test, setup, NULL);
}
