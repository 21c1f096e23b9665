/* SPDX-License-Identifier: MIT */

/* See pair.h. */
#define _GNU_SOURCE
#include "unit.h"

#include "pair.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "meet.h"
#include "ready.h"

void pair_init(void)
{
	char after[] = "SHMFD_AFTER=0", ring[] = "SHMFD_RING=64K";
	char *env[] = { after, ring, NULL };
	char err[256];

	assert_int_equal(shmfd_config_parse(&shmfd_config, env, err, sizeof(err)), 0);
	shmfd_spin_max_ns = 0;
	shmfd_ready_init(0x12345678u);
}

void pair_open(int family, int fd[2])
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} a;
	socklen_t len = family == AF_INET ? sizeof(a.in) :
		family == AF_INET6 ? sizeof(a.in6) : sizeof(sa_family_t);
	int l = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(&a, 0, sizeof(a));
	a.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (family == AF_INET6)
		a.in6.sin6_addr = in6addr_loopback;
	assert_true(l >= 0);
	assert_int_equal(bind(l, &a.sa, len), 0);
	assert_int_equal(listen(l, 1), 0);
	len = sizeof(a);
	assert_int_equal(getsockname(l, &a.sa, &len), 0);
	fd[0] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd[0] >= 0);
	assert_int_equal(connect(fd[0], &a.sa, len), 0);
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd[1] >= 0);
	close(l);
}

void pair_adopt(int family, int fd[2])
{
	pair_open(family, fd);
	shmfd_stream_adopt(fd[0], family, false, false);
	shmfd_stream_adopt(fd[1], family, true, false);
	assert_non_null(pair_stream(fd[0]));
	assert_non_null(pair_stream(fd[1]));
}

void pair_meet(int family, int fd[2])
{
	pair_adopt(family, fd);
	for (int i = 0; i < 100 && !(pair_is_ring(fd[0]) && pair_is_ring(fd[1])); i++)
		pair_chat(fd, 1);
	assert_int_equal(pair_reason(fd[0]), SHMFD_WHY_NONE);
	assert_int_equal(pair_reason(fd[1]), SHMFD_WHY_NONE);
	assert_true(pair_is_ring(fd[0]));
	assert_true(pair_is_ring(fd[1]));
}

static void one_message(int from, int to, unsigned int nr)
{
	unsigned char out[5], in[5];
	size_t got = 0;

	memset(out, (int)(nr % 251), sizeof(out));
	assert_int_equal(pair_send(from, out, sizeof(out), MSG_NOSIGNAL), sizeof(out));
	while (got < sizeof(in)) {
		ssize_t n = pair_recv(to, in + got, sizeof(in) - got, 0);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_memory_equal(in, out, sizeof(in));
}

void pair_chat(const int fd[2], int rounds)
{
	static unsigned int nr;

	for (int i = 0; i < rounds; i++) {
		one_message(fd[0], fd[1], nr++);
		one_message(fd[1], fd[0], nr++);
	}
}

void pair_close(const int fd[2])
{
	pair_close_one(fd[0]);
	pair_close_one(fd[1]);
}

ssize_t pair_send(int fd, const void *buf, size_t len, int flags)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	struct shmfd_stream *s = shmfd_stream_get(fd);
	ssize_t n = s ? shmfd_send(s, fd, &m, flags) : SHMFD_PASS;

	if (n == SHMFD_PASS) {
		n = send(fd, buf, len, flags | MSG_NOSIGNAL);
		n = n < 0 ? -errno : n;
		if (s)
			shmfd_send_end(s, fd, n);
	}
	if (s)
		shmfd_stream_put(s);
	return n;
}

ssize_t pair_recv(int fd, void *buf, size_t len, int flags)
{
	struct iovec v = { .iov_base = buf, .iov_len = len };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	struct shmfd_stream *s = shmfd_stream_get(fd);
	bool again;
	ssize_t n;

	do {
		again = false;
		n = s ? shmfd_recv(s, fd, &m, flags, false) : SHMFD_PASS;
		if (n == SHMFD_PASS) {
			n = recv(fd, buf, len, flags);
			n = n < 0 ? -errno : n;
			again = s && shmfd_recv_end(s, fd, n, flags);
		}
	} while (again);
	if (s)
		shmfd_stream_put(s);
	return n;
}

int pair_shutdown(int fd, int how)
{
	struct shmfd_stream *s = shmfd_stream_get(fd);
	int ret = s ? shmfd_shutdown(s, how) : SHMFD_PASS;

	if (ret == SHMFD_PASS)
		ret = shutdown(fd, how) ? -errno : 0;
	if (s)
		shmfd_stream_put(s);
	return ret;
}

int pair_close_one(int fd)
{
	return shmfd_stream_close(fd, close);
}

int pair_poll(struct pollfd *p, nfds_t nr, int ms)
{
	int ret = shmfd_poll(p, nr, ms < 0 ? -1 : ms * 1000000ll, NULL);

	if (ret == SHMFD_PASS) {
		ret = poll(p, nr, ms);
		ret = ret < 0 ? -errno : ret;
	}
	return ret;
}

void pair_retreat(int fd, enum shmfd_reason why)
{
	struct shmfd_stream *s = shmfd_stream_get(fd);

	assert_non_null(s);
	shmfd_stream_retreat(s, why);
	shmfd_stream_put(s);
}

struct shmfd_stream *pair_stream(int fd)
{
	uint32_t word = shmfd_fd_lookup(fd);

	return (word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_STREAM ?
		&shmfd_streams[word & SHMFD_FD_INDEX_MASK] : NULL;
}

struct shmfd_record *pair_record(int fd)
{
	struct shmfd_stream *s = pair_stream(fd);

	assert_non_null(s);
	return shmfd_stream_record(s);
}

bool pair_is_ring(int fd)
{
	struct shmfd_record *rec = pair_record(fd);

	return load_acquire(&rec->rx_mode) == SHMFD_MODE_RING &&
		load_acquire(&rec->tx_mode) == SHMFD_MODE_RING;
}

enum shmfd_reason pair_reason(int fd)
{
	return (enum shmfd_reason)load_relaxed(&pair_record(fd)->reason);
}

int pair_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = -3;	/* ., .. and the directory itself */

	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}
