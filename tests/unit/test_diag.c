/* SPDX-License-Identifier: MIT */

/*
 * diag.c: the kernel's answers for real sockets, and answers that it should
 * not give.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

#include "diag.h"
#include "pair.h"
#include "sys.h"

static struct shmfd_sys real;

static uint64_t cookie(int fd)
{
	uint64_t val = 0;
	socklen_t len = sizeof(val);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &val, &len), 0);
	return val;
}

static uint64_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

struct ends {
	struct sockaddr_storage local, peer;
};

static struct ends ends_of(int fd)
{
	struct ends e;
	socklen_t len = sizeof(e.local);

	memset(&e, 0, sizeof(e));
	assert_int_equal(getsockname(fd, (struct sockaddr *)&e.local, &len), 0);
	len = sizeof(e.peer);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&e.peer, &len), 0);
	return e;
}

static int tcp(const struct sockaddr_storage *far, const struct sockaddr_storage *near,
	       struct shmfd_diag *d)
{
	return shmfd_diag_tcp((const struct sockaddr *)far, (const struct sockaddr *)near, d);
}

static void test_tcp_names_exactly_the_far_end(void **state)
{
	static const int family[] = { AF_INET, AF_INET6 };

	(void)state;
	for (size_t i = 0; i < NR(family); i++) {
		int before = pair_count_fds(), fd[2];

		pair_open(family[i], fd);
		for (int k = 0; k < 2; k++) {
			struct ends e = ends_of(fd[k]);
			struct shmfd_diag d;

			memset(&d, 0, sizeof(d));
			assert_int_equal(tcp(&e.peer, &e.local, &d), 0);
			assert_int_equal(d.cookie, cookie(fd[!k]));
			assert_int_not_equal(d.cookie, cookie(fd[k]));
			assert_int_equal(d.uid, getuid());
			assert_int_equal(d.inode, inode(fd[!k]));
		}
		close(fd[0]);
		close(fd[1]);
		assert_int_equal(pair_count_fds(), before);
	}
}

/* A listener on the port is not the connection. */
static void test_tcp_without_that_connection_is_enoent(void **state)
{
	struct shmfd_diag d = { .cookie = 42 };
	struct sockaddr_in *far, *near;
	struct ends e;
	int fd[2], l;

	(void)state;
	pair_open(AF_INET, fd);
	e = ends_of(fd[0]);
	close(fd[0]);
	close(fd[1]);
	l = socket(AF_INET, SOCK_STREAM, 0);
	far = (struct sockaddr_in *)&e.peer;
	near = (struct sockaddr_in *)&e.local;
	far->sin_port = 0;
	assert_int_equal(bind(l, (struct sockaddr *)far, sizeof(*far)), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)far, &(socklen_t){ sizeof(*far) }), 0);
	near->sin_port = htons(1);
	assert_int_equal(tcp(&e.peer, &e.local, &d), -ENOENT);
	close(l);
	assert_int_equal(tcp(&e.peer, &e.local, &d), -ENOENT);
	assert_int_equal(d.cookie, 42);
}

static void test_unix_names_both_ends(void **state)
{
	int pair[2], fd[2];
	struct shmfd_diag d;
	uint64_t peer;

	(void)state;
	pair_open(AF_UNIX, fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (int k = 0; k < 4; k++) {
		int self = k < 2 ? fd[k] : pair[k - 2], other = k < 2 ? fd[!k] : pair[k == 2];

		peer = 1;
		assert_int_equal(shmfd_diag_unix(inode(self), &d, &peer), 0);
		assert_int_equal(d.cookie, cookie(self));
		assert_int_equal(d.inode, inode(self));
		assert_int_equal(d.uid, getuid());
		assert_int_equal(peer, inode(other));
	}
	close(fd[1]);
	assert_int_equal(shmfd_diag_unix(inode(fd[0]), &d, &peer), 0);
	assert_int_equal(peer, 0);
	peer = inode(fd[0]);
	close(fd[0]);
	assert_true(shmfd_diag_unix(peer, &d, &peer) < 0);
	close(pair[0]);
	close(pair[1]);
}

/* ---- answers by hand ---------------------------------------------------------- */

static union {
	struct nlmsghdr h;
	char bytes[2048];
} answer;
static ssize_t answer_len;
static int answer_errno;

static ssize_t answer_recv(int fd, void *buf, size_t len, int flags)
{
	(void)fd;
	(void)flags;
	if (answer_errno) {
		errno = answer_errno;
		return -1;
	}
	memcpy(buf, &answer, len < (size_t)answer_len ? len : (size_t)answer_len);
	return len < (size_t)answer_len ? (ssize_t)len : answer_len;
}

static int ask_unix(struct shmfd_diag *d, uint64_t *peer)
{
	int before = pair_count_fds(), ret;

	shmfd_sys.recv = answer_recv;
	ret = shmfd_diag_unix(12345, d, peer);
	shmfd_sys = real;
	assert_int_equal(pair_count_fds(), before);
	return ret;
}

/* A message for AF_UNIX with room for attributes. */
static struct unix_diag_msg *good_answer(void)
{
	memset(&answer, 0, sizeof(answer));
	answer_errno = 0;
	answer.h.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	answer.h.nlmsg_len = NLMSG_LENGTH(sizeof(struct unix_diag_msg));
	answer_len = (ssize_t)answer.h.nlmsg_len;
	return NLMSG_DATA(&answer.h);
}

static void add_attribute(uint16_t type, uint16_t rta_len, uint32_t val)
{
	struct rtattr *a = (struct rtattr *)(void *)(answer.bytes + answer_len);

	a->rta_type = type;
	a->rta_len = rta_len;
	memcpy(RTA_DATA(a), &val, sizeof(val));
	answer_len += (ssize_t)RTA_LENGTH(sizeof(val));
	answer.h.nlmsg_len = (uint32_t)answer_len;
}

static void test_answers_are_read_by_their_own_lengths(void **state)
{
	struct unix_diag_msg *m = good_answer();
	struct shmfd_diag d;
	uint64_t peer = 5;

	(void)state;
	m->udiag_ino = 12345;
	m->udiag_cookie[0] = 0x11111111;
	m->udiag_cookie[1] = 0x22222222;
	assert_int_equal(ask_unix(&d, &peer), 0);
	assert_int_equal(d.cookie, 0x2222222211111111ull);
	assert_int_equal(peer, 0);
	/* no owner told: nobody's */
	assert_int_equal(d.uid, (uid_t)-1);

	good_answer();
	add_attribute(UNIX_DIAG_SHUTDOWN, RTA_LENGTH(1), 3);
	add_attribute(UNIX_DIAG_PEER, RTA_LENGTH(4), 777);
	add_attribute(UNIX_DIAG_UID, RTA_LENGTH(4), 33);
	assert_int_equal(ask_unix(&d, &peer), 0);
	assert_int_equal(peer, 777);
	assert_int_equal(d.uid, 33);

	/* an attribute that is longer than the message, or has no length */
	for (uint16_t len = 0; len < 3; len++) {
		good_answer();
		add_attribute(UNIX_DIAG_PEER, len == 2 ? 60000 : len, 777);
		assert_int_equal(ask_unix(&d, &peer), 0);
		assert_int_equal(peer, 0);
	}
}

static void test_broken_answers_are_errors(void **state)
{
	struct shmfd_diag d;
	struct nlmsgerr *e;
	uint64_t peer;

	(void)state;
	good_answer();
	answer_errno = EAGAIN;
	assert_int_equal(ask_unix(&d, &peer), -EPROTO);
	good_answer();
	answer_len = 0;
	assert_int_equal(ask_unix(&d, &peer), -EPROTO);
	good_answer();
	answer_len = 15;
	assert_int_equal(ask_unix(&d, &peer), -EPROTO);
	good_answer();
	answer.h.nlmsg_len++;	/* more than came */
	assert_int_equal(ask_unix(&d, &peer), -EPROTO);
	good_answer();
	answer.h.nlmsg_len--;	/* less than a message needs */
	assert_int_equal(ask_unix(&d, &peer), -EPROTO);
	good_answer();
	answer.h.nlmsg_type = NLMSG_DONE;
	assert_int_equal(ask_unix(&d, &peer), -EPROTO);
	good_answer();
	answer.h.nlmsg_type = NLMSG_ERROR;
	e = NLMSG_DATA(&answer.h);
	e->error = -EACCES;
	answer_len = NLMSG_LENGTH(sizeof(*e));
	answer.h.nlmsg_len = (uint32_t)answer_len;
	assert_int_equal(ask_unix(&d, &peer), -EACCES);
	e->error = 0;		/* an acknowledgement is no answer */
	assert_int_equal(ask_unix(&d, &peer), -EPROTO);
	/* 0 as a length of the header */
	good_answer();
	answer.h.nlmsg_len = 0;
	assert_true(ask_unix(&d, &peer) < 0);
}

static int no_netlink(int family, int type, int protocol)
{
	(void)family;
	(void)type;
	(void)protocol;
	errno = EPROTONOSUPPORT;
	return -1;
}

static void test_no_socket_is_its_errno(void **state)
{
	struct shmfd_diag d;
	uint64_t peer;

	(void)state;
	shmfd_sys.socket = no_netlink;
	assert_int_equal(shmfd_diag_unix(1, &d, &peer), -EPROTONOSUPPORT);
	shmfd_sys = real;
}

static int restore(void **state)
{
	(void)state;
	shmfd_sys = real;
	return 0;
}

#define T(f)	cmocka_unit_test_teardown(f, restore)

int main(void)
{
	static const struct CMUnitTest test[] = {
		T(test_tcp_names_exactly_the_far_end),
		T(test_tcp_without_that_connection_is_enoent),
		T(test_unix_names_both_ends),
		T(test_answers_are_read_by_their_own_lengths),
		T(test_broken_answers_are_errors),
		T(test_no_socket_is_its_errno),
	};

	real = shmfd_sys;
	return unit_run(test);
}
