/* SPDX-License-Identifier: MIT */

/*
 * send.c, recv.c and queue.c: the calls beside plain sends and receives, on a stream
 * whose both directions are on rings: counts, MSG_TRUNC, sendfile, and a send
 * whose ring ends in the middle.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "pair.h"

#define LONG	(1 << 20)	/* more than a ring, and the kernel, hold */

static const int families[] = { AF_INET, AF_UNIX };
static char sent[LONG], got[LONG];

static void fill(void)
{
	uint64_t rnd = 1;

	for (size_t i = 0; i < LONG; i++)
		sent[i] = (char)unit_random(&rnd);
	memset(got, 0, LONG);
}

static void test_counts_of_unread_and_unsent(void **state)
{
	char buf[10];

	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2];

		pair_meet(families[i], fd);
		assert_int_equal(shmfd_unread(pair_stream(fd[1]), fd[1]), 0);
		assert_int_equal(pair_send(fd[0], "12345", 5, 0), 5);
		assert_int_equal(pair_send(fd[0], "678", 3, 0), 3);
		assert_int_equal(shmfd_unread(pair_stream(fd[1]), fd[1]), 8);
		assert_int_equal(pair_recv(fd[1], buf, 2, 0), 2);
		assert_int_equal(shmfd_unread(pair_stream(fd[1]), fd[1]), 6);
		/* TCP: what is delivered is acknowledged (tcp(7)) */
		if (families[i] == AF_UNIX)
			assert_true(shmfd_unsent(pair_stream(fd[0])) >= 6);
		else
			assert_int_equal(shmfd_unsent(pair_stream(fd[0])), 0);
		assert_int_equal(pair_recv(fd[1], buf, sizeof(buf), 0), 6);
		assert_int_equal(shmfd_unsent(pair_stream(fd[0])), 0);
		pair_retreat(fd[0], SHMFD_WHY_TEST);
		assert_int_equal(shmfd_unsent(pair_stream(fd[0])), SHMFD_PASS);
		pair_close(fd);
	}
}

/* At the switch the kernel may hold a part only of what comes before the ring. */
static void test_ring_behind_bytes_on_their_way_is_not_counted(void **state)
{
	char buf[32];

	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		struct shmfd_stream *s;
		struct shmfd_record *rec;
		int fd[2], one = 1;

		pair_meet(families[i], fd);
		if (families[i] == AF_INET)
			setsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		s = pair_stream(fd[1]);
		rec = pair_record(fd[1]);
		assert_int_equal(pair_send(fd[0], "abcdefgh", 8, 0), 8);
		store_relaxed(&rec->rx_mode, SHMFD_MODE_OFFER);
		store_relaxed(&s->rings->rx.dir->attn, SHMFD_DIR_OFFERED);
		store_relaxed(&s->rings->rx.dir->switch_at, rec->kernel_rx_bytes + 6);
		assert_int_equal(shmfd_unread(s, fd[1]), SHMFD_PASS);
		assert_int_equal(send(fd[0], "1234", 4, 0), 4);
		assert_int_equal(shmfd_unread(s, fd[1]), SHMFD_PASS);
		assert_int_equal(send(fd[0], "56", 2, 0), 2);
		assert_int_equal(shmfd_unread(s, fd[1]), 14);
		assert_int_equal(pair_recv(fd[1], buf, 14, MSG_DONTWAIT), 14);
		assert_memory_equal(buf, "123456abcdefgh", 14);
		assert_int_equal(shmfd_unread(s, fd[1]), 0);
		pair_close(fd);
	}
}

static void test_trunc_drops_bytes_of_tcp_and_copies_those_of_unix(void **state)
{
	char buf[8] = "-------";
	int fd[2];

	(void)state;
	pair_meet(AF_INET, fd);
	assert_int_equal(pair_send(fd[0], "abcdefgh", 8, 0), 8);
	assert_int_equal(pair_recv(fd[1], buf, 3, MSG_TRUNC), 3);
	assert_memory_equal(buf, "---", 3);
	assert_int_equal(pair_recv(fd[1], buf, 4, MSG_TRUNC | MSG_PEEK), 4);
	assert_int_equal(pair_recv(fd[1], buf, 8, 0), 5);
	assert_memory_equal(buf, "defgh", 5);
	assert_int_equal(pair_recv(fd[1], buf, 3, MSG_TRUNC | MSG_DONTWAIT), -EAGAIN);
	pair_close(fd);
	pair_meet(AF_UNIX, fd);
	assert_int_equal(pair_send(fd[0], "abc", 3, 0), 3);
	assert_int_equal(pair_recv(fd[1], buf, 8, MSG_TRUNC), 3);
	assert_memory_equal(buf, "abc", 3);
	pair_close(fd);
}

/* The kernel writes from then on; reading stays ours, and what is there stays readable. */
static void test_splice_into_a_stream_leaves_its_input(void **state)
{
	char buf[10];

	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2];

		pair_meet(families[i], fd);
		assert_int_equal(pair_send(fd[0], "there", 5, 0), 5);
		pair_retreat(fd[1], SHMFD_WHY_SPLICE);
		assert_int_equal(pair_recv(fd[1], buf, 10, MSG_DONTWAIT), 5);
		assert_int_equal(pair_recv(fd[1], buf, 10, MSG_DONTWAIT), -EAGAIN);
		pair_close(fd);
	}
}

static void test_sendfile_reads_into_the_ring(void **state)
{
	int fd[2], file = memfd_create("input", MFD_CLOEXEC);
	size_t all = 0;
	ssize_t n;

	(void)state;
	fill();
	assert_int_equal(write(file, sent, LONG), LONG);
	pair_meet(AF_UNIX, fd);
	assert_int_equal(shmfd_sendfile(pair_stream(fd[0]), fd[0], file, 100, 5000), 5000);
	assert_int_equal(pair_recv(fd[1], got, LONG, 0), 5000);
	assert_memory_equal(got, sent + 100, 5000);
	/* not beyond the end of the file */
	assert_int_equal(shmfd_sendfile(pair_stream(fd[0]), fd[0], file, LONG - 7, 100), 7);
	assert_int_equal(pair_recv(fd[1], got, LONG, 0), 7);
	assert_int_equal(shmfd_sendfile(pair_stream(fd[0]), fd[0], file, LONG, 100), 0);
	/* what fits, then nothing */
	store_relaxed(&pair_record(fd[0])->nonblock, 1);
	n = shmfd_sendfile(pair_stream(fd[0]), fd[0], file, 0, LONG);
	assert_true(n > 0 && n < (ssize_t)pair_stream(fd[0])->rings->tx.cap);
	assert_int_equal(shmfd_sendfile(pair_stream(fd[0]), fd[0], file, n, LONG), -EAGAIN);
	while (all < (size_t)n)
		all += (size_t)pair_recv(fd[1], got + all, LONG - all, 0);
	assert_memory_equal(got, sent, n);
	assert_int_equal(shmfd_sendfile(pair_stream(fd[0]), fd[0], -1, 0, 10), -EBADF);
	assert_int_equal(pair_shutdown(fd[0], SHUT_WR), 0);
	assert_int_equal(shmfd_sendfile(pair_stream(fd[0]), fd[0], file, 0, 10), -EPIPE);
	pair_close(fd);
	close(file);
}

struct call {
	int fd;
	ssize_t n;
};

static void *send_all(void *arg)
{
	struct call *c = arg;

	c->n = pair_send(c->fd, sent, LONG, 0);
	return NULL;
}

/* One blocking send; the reader leaves the ring when it has taken a part. */
static void test_send_goes_on_by_kernel_when_the_ring_ends(void **state)
{
	static const enum shmfd_reason why[] = { SHMFD_WHY_TEST, SHMFD_WHY_PASSED };

	(void)state;
	for (size_t i = 0; i < NR(why); i++) {
		struct call c = { .n = -1 };
		size_t all = 0;
		pthread_t thread;
		int fd[2];

		fill();
		pair_meet(AF_INET, fd);
		c.fd = fd[0];
		assert_int_equal(pthread_create(&thread, NULL, send_all, &c), 0);
		while (all < 100000)
			all += (size_t)pair_recv(fd[1], got + all, 50000, 0);
		pair_retreat(fd[1], why[i]);
		while (all < LONG) {
			ssize_t n = pair_recv(fd[1], got + all, LONG - all, 0);

			if (n == SHMFD_PASS) {
				n = recv(fd[1], got + all, LONG - all, 0);
				shmfd_recv_end(pair_stream(fd[1]), fd[1], n, 0);
			}
			assert_true(n > 0);
			all += (size_t)n;
		}
		pthread_join(thread, NULL);
		assert_int_equal(c.n, LONG);
		assert_memory_equal(got, sent, LONG);
		pair_close(fd);
	}
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_counts_of_unread_and_unsent),
		cmocka_unit_test(test_ring_behind_bytes_on_their_way_is_not_counted),
		cmocka_unit_test(test_trunc_drops_bytes_of_tcp_and_copies_those_of_unix),
		cmocka_unit_test(test_splice_into_a_stream_leaves_its_input),
		cmocka_unit_test(test_sendfile_reads_into_the_ring),
		cmocka_unit_test(test_send_goes_on_by_kernel_when_the_ring_ends),
	};

	pair_init();
	return unit_run(test);
}
