/* SPDX-License-Identifier: MIT */

/*
 * handover.c: what a peer that is gone left unread is in the socket for code that
 * is not ours; where that can not be, it stays for our own calls, and a peer that
 * lives is asked to send again.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handover.h"
#include "pair.h"
#include "sys.h"

static const int families[] = { AF_INET, AF_INET6, AF_UNIX };

static void left_unread(int family, int fd[2])
{
	pair_meet(family, fd);
	assert_int_equal(pair_send(fd[0], "unread", 6, 0), 6);
}

static void test_peer_that_closed(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2], second, open_before;
		struct sockaddr_storage name;
		socklen_t len = sizeof(name);
		char buf[10];

		/* the first stream of a process makes a descriptor that stays */
		pair_meet(families[i], fd);
		pair_close(fd);
		open_before = pair_count_fds();
		left_unread(families[i], fd);
		second = dup(fd[1]);
		shmfd_stream_dup(fd[1], second);
		pair_close_one(fd[0]);
		shmfd_hand_over(fd[1], SHMFD_WHY_PASSED, false);
		assert_null(shmfd_stream_get(fd[1]));
		assert_null(shmfd_stream_get(second));
		/* one socket behind both numbers, of the same family */
		assert_int_equal(getsockname(second, (struct sockaddr *)&name, &len), 0);
		assert_int_equal(name.ss_family, families[i]);
		assert_int_equal(recv(second, buf, 3, 0), 3);
		assert_int_equal(recv(fd[1], buf + 3, 7, 0), 3);
		assert_memory_equal(buf, "unread", 6);
		assert_int_equal(recv(fd[1], buf, 1, 0), 0);
		close(fd[1]);
		close(second);
		assert_int_equal(pair_count_fds(), open_before);
	}
}

static void test_peer_that_lives_sends_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		char buf[10];
		int fd[2];

		left_unread(families[i], fd);
		assert_int_equal(pair_shutdown(fd[0], SHUT_WR), 0);
		shmfd_hand_over(fd[1], SHMFD_WHY_PASSED, false);
		assert_non_null(pair_stream(fd[1]));
		assert_int_equal(recv(fd[1], buf, 10, MSG_DONTWAIT), -1);
		assert_int_equal(pair_recv(fd[0], buf, 10, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(recv(fd[1], buf, 10, 0), 6);
		assert_memory_equal(buf, "unread", 6);
		assert_int_equal(recv(fd[1], buf, 1, 0), 0);
		assert_int_equal(send(fd[1], "answer", 6, 0), 6);
		assert_int_equal(pair_recv(fd[0], buf, 10, 0), 6);
		pair_close(fd);
	}
}

static int no_pair(int family, int type, int protocol, int ret[2])
{
	(void)family, (void)type, (void)protocol, (void)ret;
	errno = EMFILE;
	return -1;
}

static int no_accept(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	(void)fd, (void)sa, (void)len, (void)flags;
	errno = EMFILE;
	return -1;
}

/* Takes one byte, then no more. */
static ssize_t one_byte(int fd, const void *buf, size_t len, int flags)
{
	static int calls;

	(void)len;
	if (calls++ % 2)
		return send(fd, buf, 1, flags);
	errno = EAGAIN;
	return -1;
}

static void test_without_a_pair_all_stays(void **state)
{
	struct shmfd_sys saved = shmfd_sys;

	(void)state;
	for (size_t i = 0; i < 2 * NR(families); i++) {
		int fd[2], open_before;
		char buf[10];

		left_unread(families[i / 2], fd);
		pair_close_one(fd[0]);
		open_before = pair_count_fds();
		if (i % 2)
			shmfd_sys.send = one_byte;
		else
			shmfd_sys.socketpair = no_pair, shmfd_sys.accept4 = no_accept;
		errno = 77;
		shmfd_hand_over(fd[1], SHMFD_WHY_PASSED, false);
		assert_int_equal(errno, 77);
		shmfd_sys = saved;
		/* the link's end was noticed, no more */
		assert_true(pair_count_fds() <= open_before);
		assert_int_equal(pair_recv(fd[1], buf, 10, 0), 6);
		assert_memory_equal(buf, "unread", 6);
		assert_int_equal(pair_recv(fd[1], buf, 1, 0), 0);
		pair_close_one(fd[1]);
	}
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_peer_that_closed),
		cmocka_unit_test(test_peer_that_lives_sends_again),
		cmocka_unit_test(test_without_a_pair_all_stays),
	};

	pair_init();
	return unit_run(test);
}
