/* SPDX-License-Identifier: MIT */

/* cork.c: which calls the kernel is told of, and what it knows once a stream has left. */
#define _GNU_SOURCE
#include "unit.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "pair.h"

static int kernels(int fd)
{
	int in = -1;
	socklen_t len = sizeof(in);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CORK, &in, &len), 0);
	return in;
}

/* As the wrapper.  True: the kernel was not told. */
static bool set(int fd, int in)
{
	struct shmfd_stream *s = pair_stream(fd);

	if (shmfd_cork(s, in))
		return true;
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &in, sizeof(in)), 0);
	shmfd_cork_told(s, in);
	return false;
}

static int hosts(int fd)
{
	return shmfd_cork_is_in(pair_stream(fd), kernels(fd));
}

/* By ring; the first two the kernel has to know. */
static void meet_and_keep(int fd[2])
{
	pair_meet(AF_INET, fd);
	assert_false(set(fd[0], 1));
	assert_int_equal(kernels(fd[0]), 1);
	assert_false(set(fd[0], 0));
	assert_int_equal(kernels(fd[0]), 0);
	assert_true(set(fd[0], 1));
	assert_true(set(fd[0], 0));
	assert_int_equal(hosts(fd[0]), 0);
	assert_true(set(fd[0], 1));
	assert_int_equal(hosts(fd[0]), 1);
	assert_int_equal(kernels(fd[0]), 0);
}

static void test_kept_by_ring(void **state)
{
	int fd[2];

	(void)state;
	meet_and_keep(fd);
	/* the other end has one of its own */
	assert_int_equal(hosts(fd[1]), 0);
	assert_false(set(fd[1], 1));
	assert_int_equal(hosts(fd[1]), 1);
	pair_close(fd);
}

static void test_the_kernels_before_the_ring(void **state)
{
	int fd[2];

	(void)state;
	pair_adopt(AF_INET, fd);
	for (int i = 0; i < 2; i++) {
		assert_false(set(fd[0], 1));
		assert_false(set(fd[0], 0));
	}
	assert_false(pair_is_ring(fd[0]));
	pair_close(fd);
}

static void test_given_to_the_kernel_at_the_end(void **state)
{
	int fd[2];

	(void)state;
	meet_and_keep(fd);
	pair_retreat(fd[0], SHMFD_WHY_OPTION);
	assert_int_equal(kernels(fd[0]), 1);
	assert_int_equal(hosts(fd[0]), 1);
	assert_false(set(fd[0], 0));
	assert_false(set(fd[0], 1));
	assert_int_equal(kernels(fd[0]), 1);
	pair_close(fd);
}

/* Taken out before: the kernel is not bothered. */
static void test_nothing_to_give(void **state)
{
	int fd[2];

	(void)state;
	meet_and_keep(fd);
	assert_true(set(fd[0], 0));
	pair_retreat(fd[0], SHMFD_WHY_OPTION);
	assert_int_equal(kernels(fd[0]), 0);
	pair_close(fd);
}

static void test_a_peer_that_left(void **state)
{
	int fd[2];
	char buf[4];

	(void)state;
	meet_and_keep(fd);
	pair_retreat(fd[1], SHMFD_WHY_OPTION);
	assert_int_equal(pair_send(fd[0], "left", 4, 0), 4);
	assert_int_equal(pair_recv(fd[1], buf, 4, MSG_WAITALL), 4);
	assert_int_equal(hosts(fd[0]), 1);
	assert_false(set(fd[0], 0));
	assert_int_equal(hosts(fd[0]), 0);
	pair_close(fd);
}

static void test_not_of_af_unix(void **state)
{
	int fd[2];

	(void)state;
	pair_meet(AF_UNIX, fd);
	assert_false(shmfd_cork(pair_stream(fd[0]), true));
	assert_false(shmfd_cork(pair_stream(fd[0]), false));
	pair_close(fd);
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_kept_by_ring),
		cmocka_unit_test(test_the_kernels_before_the_ring),
		cmocka_unit_test(test_given_to_the_kernel_at_the_end),
		cmocka_unit_test(test_nothing_to_give),
		cmocka_unit_test(test_a_peer_that_left),
		cmocka_unit_test(test_not_of_af_unix),
	};

	pair_init();
	return unit_run(test);
}
