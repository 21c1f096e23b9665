/* SPDX-License-Identifier: MIT */

/*
 * fdmap.c: what is known of a number, for any int; descriptors that are hidden
 * from the host under every kind of limit.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fdmap.h"
#include "sys.h"

static int a_file(void)
{
	int fd = open("/dev/null", O_RDWR);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_every_number_has_an_answer(void **state)
{
	static const int fd[] = { -1, -2, INT_MIN, INT_MAX, SHMFD_FD_MAX, SHMFD_FD_MAX + 1 };

	(void)state;
	for (size_t i = 0; i < NR(fd); i++) {
		assert_int_equal(shmfd_fd_lookup(fd[i]), SHMFD_FD_NONE);
		shmfd_fd_set(fd[i], SHMFD_FD_HIDDEN);
		assert_int_equal(shmfd_fd_lookup(fd[i]), SHMFD_FD_NONE);
		assert_false(shmfd_fd_is(fd[i], SHMFD_FD_HIDDEN));
		shmfd_fd_forget(fd[i]);
	}
	assert_int_equal(shmfd_fd_lookup(0), SHMFD_FD_NONE);
	assert_int_equal(shmfd_fd_lookup(SHMFD_FD_MAX - 1), SHMFD_FD_NONE);
}

static void test_top_is_the_highest_number_ever_set(void **state)
{
	uint32_t was = shmfd_fd_top();

	(void)state;
	shmfd_fd_set((int)was + 10, SHMFD_FD_SOCKET);
	assert_int_equal(shmfd_fd_top(), was + 10);
	shmfd_fd_set((int)was + 5, SHMFD_FD_SOCKET);
	assert_int_equal(shmfd_fd_top(), was + 10);
	shmfd_fd_set((int)was + 10, SHMFD_FD_NONE);
	assert_int_equal(shmfd_fd_top(), was + 10);
	shmfd_fd_set((int)was + 5, SHMFD_FD_NONE);
}

static void test_word_keeps_kind_and_index(void **state)
{
	(void)state;
	shmfd_fd_set(50, SHMFD_FD_STREAM | 0x123456);
	assert_true(shmfd_fd_is(50, SHMFD_FD_STREAM));
	assert_false(shmfd_fd_is(50, SHMFD_FD_SOCKET));
	assert_int_equal(shmfd_fd_lookup(50) & SHMFD_FD_INDEX_MASK, 0x123456);
	shmfd_fd_set(50, SHMFD_FD_SOCKET);
	shmfd_fd_forget(50);
	assert_int_equal(shmfd_fd_lookup(50), SHMFD_FD_NONE);
	/* ours: the kernel does not give it to the host */
	shmfd_fd_set(50, SHMFD_FD_HIDDEN);
	shmfd_fd_forget(50);
	assert_int_equal(shmfd_fd_lookup(50), SHMFD_FD_HIDDEN);
	shmfd_fd_set(50, SHMFD_FD_NONE);
}

static void test_unhide_closes_and_keeps_errno(void **state)
{
	int fd = shmfd_hide_fd(a_file());

	(void)state;
	assert_true(is_open(fd));
	errno = 77;
	shmfd_unhide_close(fd);
	shmfd_unhide_close(-1);
	shmfd_unhide_close(-EMFILE);
	assert_int_equal(errno, 77);
	assert_false(is_open(fd));
	assert_int_equal(shmfd_fd_lookup(fd), SHMFD_FD_NONE);
}

static int refuse_dup(int fd, int cmd, long arg)
{
	if (cmd == F_DUPFD_CLOEXEC) {
		errno = EMFILE;
		return -1;
	}
	return fcntl(fd, cmd, arg);
}

static void test_no_number_left_is_emfile(void **state)
{
	struct shmfd_sys saved = shmfd_sys;
	int fd = a_file();

	(void)state;
	shmfd_sys.fcntl = refuse_dup;
	assert_int_equal(shmfd_hide_fd(fd), -EMFILE);
	shmfd_sys = saved;
	assert_false(is_open(fd));
	assert_int_equal(shmfd_hide_fd(-1), -EMFILE);
}

/* ---- limits: each case in a process of its own -------------------------------- */

#define CHECK(cond)	do { if (!(cond)) _exit(__LINE__ % 250 + 1); } while (0)

static void limited(rlim_t soft, rlim_t hard, void (*run)(rlim_t soft, rlim_t hard))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct rlimit lim = { .rlim_cur = soft, .rlim_max = hard };

		alarm(UNIT_SECONDS);
		CHECK(!setrlimit(RLIMIT_NOFILE, &lim));
		run(soft, hard);
		CHECK(!getrlimit(RLIMIT_NOFILE, &lim));
		CHECK(lim.rlim_cur == soft && lim.rlim_max == hard);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("limits %lu %lu: status %#x (line modulo 250, plus 1)",
			 (unsigned long)soft, (unsigned long)hard, (unsigned int)status);
}

static void above(rlim_t soft, rlim_t hard)
{
	(void)hard;
	for (int i = 0; i < 50; i++) {
		int was = open("/dev/null", O_RDONLY), fd;

		CHECK(was >= 0);
		fd = shmfd_hide_fd(was);
		CHECK(fd >= (int)soft || fd >= 16384);
		CHECK(shmfd_fd_is(fd, SHMFD_FD_HIDDEN));
		CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
		/* the old number is the host's again */
		CHECK(fcntl(was, F_GETFD) < 0);
		CHECK(shmfd_fd_lookup(was) == SHMFD_FD_NONE);
	}
	/* the host still cannot have such a number */
	CHECK(fcntl(0, F_DUPFD, (int)soft) < 0);
}

static void high_below(rlim_t soft, rlim_t hard)
{
	int fd = shmfd_hide_fd(open("/dev/null", O_RDONLY));

	(void)hard;
	CHECK(fd >= (int)(soft - soft / 4) && fd < (int)soft);
	CHECK(shmfd_fd_is(fd, SHMFD_FD_HIDDEN));
}

static void exhausted(rlim_t soft, rlim_t hard)
{
	int fd, last = -1, nr = 0;

	(void)hard;
	/* all that is left for us, then one more */
	while ((fd = shmfd_hide_fd(open("/dev/null", O_RDONLY))) >= 0)
		CHECK(++nr <= (int)soft);
	CHECK(fd == -EMFILE);
	CHECK(nr > 0);
	/* the host's own numbers are not used up by that */
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		last = fd;
	CHECK(last >= 0 && last < (int)(soft - soft / 4));
	CHECK(shmfd_hide_fd(last) == -EMFILE);
	CHECK(fcntl(last, F_GETFD) < 0);
}

static void test_hidden_above_the_soft_limit(void **state)
{
	struct rlimit lim;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	assert_true(lim.rlim_max >= 4096);
	limited(64, 4096, above);
	limited(1024, 4096, above);
	limited(4095, 4096 < lim.rlim_max ? lim.rlim_max : 4096 + 64, above);
}

static void test_hidden_high_below_when_soft_is_hard(void **state)
{
	(void)state;
	limited(64, 64, high_below);
	limited(1024, 1024, high_below);
	limited(4096, 4096, high_below);
}

static void test_exhausted_limit_is_emfile(void **state)
{
	(void)state;
	limited(64, 64, exhausted);
	limited(256, 256, exhausted);
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_every_number_has_an_answer),
		cmocka_unit_test(test_top_is_the_highest_number_ever_set),
		cmocka_unit_test(test_word_keeps_kind_and_index),
		cmocka_unit_test(test_unhide_closes_and_keeps_errno),
		cmocka_unit_test(test_no_number_left_is_emfile),
		cmocka_unit_test(test_hidden_above_the_soft_limit),
		cmocka_unit_test(test_hidden_high_below_when_soft_is_hard),
		cmocka_unit_test(test_exhausted_limit_is_emfile),
	};

	return unit_run(test);
}
