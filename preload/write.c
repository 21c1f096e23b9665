/* SPDX-License-Identifier: MIT */

/*
 * write, writev, send, sendto, sendmsg, pwritev2 with offset -1, and
 * their twins __write, __send, pwritev64v2.  Ours: streams; and descriptors of
 * streams that sendmsg would pass to another process.
 */
#include "shim.h"

#include "../src/handover.h"
#include "../src/pin.h"
#include "../src/quick.h"

#include <limits.h>
#include <string.h>

static ssize_t transmit(struct shmfd_stream *s, int fd, const struct msghdr *m, int flags)
{
	ssize_t ret;
	int saved;

	shmfd_cancel_point();
	shim_test_retreat(s);
	if (shmfd_send_early(s, m, flags))
		return SHMFD_PASS;
	saved = errno;
	ret = shmfd_send(s, fd, m, flags);
	errno = saved;	/* a success does not touch it */
	return ret;
}

/* The short way: bytes, or 0. */
static inline ssize_t transmit_quick(struct shmfd_stream *s, int fd, const struct iovec *iov,
				     size_t nr)
{
	if (unlikely(shim_test_retreat_every || nr > IOV_MAX ||
		     shmfd_is_bad_pointer(iov, nr * sizeof(*iov))))
		return 0;
	shmfd_cancel_point();
	return shmfd_send_quick(s, fd, iov, nr);
}

/* The result of a real send: libc raised SIGPIPE itself. */
static ssize_t sent(struct shmfd_stream *s, int fd, ssize_t n)
{
	int saved;

	n = shim_outcome(n);
	if (!shmfd_send_early_end(s, fd, n)) {
		saved = errno;
		shmfd_send_end(s, fd, n);
		errno = saved;
	}
	return shim_put(s, n);
}

/* The long way of write, with no flags, and send. */
static SHIM_LONG ssize_t transmit_long(struct shmfd_stream *s, int fd, const void *buf,
				       size_t len, int flags, bool is_write)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)buf, .iov_len = shim_length(len) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	ssize_t ret = is_write && len > SSIZE_MAX ? -EFAULT : transmit(s, fd, &m, flags);

	if (ret == SHMFD_PASS)
		return sent(s, fd, is_write ? real.write(fd, buf, len) :
			    real.send(fd, buf, len, flags));
	return shim_put_send(s, ret, flags);
}

static SHIM_LONG ssize_t send_stream(int fd, const void *buf, size_t len, int flags,
				     bool is_write)
{
	struct shmfd_stream *s = shim_get(fd);
	struct iovec v = { .iov_base = (void *)(uintptr_t)buf, .iov_len = shim_length(len) };
	ssize_t ret;

	if (!s)
		return is_write ? real.write(fd, buf, len) : real.send(fd, buf, len, flags);
	ret = flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL) || len > v.iov_len ? 0 :
		transmit_quick(s, fd, &v, 1);
	return likely(ret > 0) ? shim_put(s, ret) :
		transmit_long(s, fd, buf, len, flags, is_write);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	if (shim_passes(fd))
		return shim_real_table.write(fd, buf, len);
	return send_stream(fd, buf, len, 0, true);
}

ssize_t __write(int fd, const void *buf, size_t len) __attribute__((alias("write")));

/* A vector without bytes writes nothing, whatever the socket's state
 * (linux/fs/read_write.c). */
static bool is_empty(const struct msghdr *m)
{
	if (m->msg_iovlen > IOV_MAX || shmfd_check_msg(m))
		return false;
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		if (m->msg_iov[i].iov_len)
			return false;
	}
	return true;
}

static SHIM_LONG ssize_t writev_stream(int fd, const struct iovec *iov, int nr)
{
	struct shmfd_stream *s = shim_get(fd);
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)nr };
	ssize_t ret;

	if (!s)
		return real.writev(fd, iov, nr);
	ret = nr < 1 ? 0 : transmit_quick(s, fd, iov, (size_t)nr);
	if (likely(ret > 0))
		return shim_put(s, ret);
	ret = nr < 0 ? -EINVAL : is_empty(&m) ? 0 : transmit(s, fd, &m, 0);
	if (ret == SHMFD_PASS)
		return sent(s, fd, real.writev(fd, iov, nr));
	return shim_put_send(s, ret, 0);
}

ssize_t writev(int fd, const struct iovec *iov, int nr)
{
	if (shim_passes(fd))
		return shim_real_table.writev(fd, iov, nr);
	return writev_stream(fd, iov, nr);
}

static SHIM_LONG ssize_t sendto_stream(int fd, const void *buf, size_t len, int flags,
				       __CONST_SOCKADDR_ARG sa, socklen_t sa_len)
{
	struct shmfd_stream *s = shim_get(fd);
	struct iovec v = { .iov_base = (void *)(uintptr_t)buf, .iov_len = shim_length(len) };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1,
		.msg_name = (void *)(uintptr_t)sa.__sockaddr__, .msg_namelen = sa_len,
	};
	ssize_t ret;

	if (!s)
		return real.sendto(fd, buf, len, flags, sa, sa_len);
	if (unlikely(sa.__sockaddr__ && (sa_len > sizeof(struct sockaddr_storage) ||
					 shim_is_bad_name(sa.__sockaddr__, sa_len))))
		return shim_put(s, shim_outcome(real.sendto(fd, buf, len, flags, sa, sa_len)));
	ret = transmit(s, fd, &m, flags);
	if (ret == SHMFD_PASS)
		return sent(s, fd, real.sendto(fd, buf, len, flags, sa, sa_len));
	return shim_put_send(s, ret, flags);
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, __CONST_SOCKADDR_ARG sa,
	       socklen_t sa_len)
{
	if (shim_passes(fd))
		return shim_real_table.sendto(fd, buf, len, flags, sa, sa_len);
	return sendto_stream(fd, buf, len, flags, sa, sa_len);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	if (shim_passes(fd))
		return shim_real_table.send(fd, buf, len, flags);
	return send_stream(fd, buf, len, flags, false);
}

ssize_t __send(int fd, const void *buf, size_t len, int flags) __attribute__((alias("send")));

void shim_before_passing(const struct msghdr *msg)
{
	struct msghdr m = *msg;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i + sizeof(int) <= bytes; i += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i, sizeof(fd));
			if (shim_get_is(fd))
				shmfd_hand_over(fd, SHMFD_WHY_PASSED, false);
		}
	}
}

SHIM_LONG ssize_t shim_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct shmfd_stream *s = shim_get(fd);
	ssize_t ret;

	if (unlikely(shmfd_is_bad_pointer(msg, sizeof(*msg)) ||
		     (msg->msg_name && shim_is_bad_name(msg->msg_name, msg->msg_namelen)))) {
		ssize_t n = real.sendmsg(fd, msg, flags);

		return s ? shim_put(s, shim_outcome(n)) : n;
	}
	if (unlikely(msg->msg_control && msg->msg_controllen))
		shim_before_passing(msg);
	if (!s)
		return real.sendmsg(fd, msg, flags);
	ret = (flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) || msg->msg_controllen || msg->msg_name ?
		0 : transmit_quick(s, fd, msg->msg_iov, msg->msg_iovlen);
	if (likely(ret > 0))
		return shim_put(s, ret);
	ret = transmit(s, fd, msg, flags);
	if (ret == SHMFD_PASS)
		return sent(s, fd, real.sendmsg(fd, msg, flags));
	return shim_put_send(s, ret, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return shim_sendmsg(fd, msg, flags);
}

static ssize_t pwritev2_stream(int fd, const struct iovec *iov, int nr, int flags)
{
	struct shmfd_stream *s = shim_get(fd);
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)nr };
	ssize_t ret;

	if (!s)
		return real.pwritev2(fd, iov, nr, -1, flags);
	ret = flags & ~(RWF_NOWAIT | RWF_HIPRI | RWF_DSYNC | RWF_SYNC) ? -EOPNOTSUPP :
		nr < 0 ? -EINVAL : is_empty(&m) ? 0 :
		transmit(s, fd, &m, flags & RWF_NOWAIT ? MSG_DONTWAIT : 0);
	if (ret == SHMFD_PASS)
		return sent(s, fd, real.pwritev2(fd, iov, nr, -1, flags));
	return shim_put_send(s, ret, 0);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int nr, off_t off, int flags)
{
	if (off != -1 || !shim_get_is(fd))
		return real.pwritev2(fd, iov, nr, off, flags);
	return pwritev2_stream(fd, iov, nr, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *iov, int nr, off64_t off, int flags)
{
	if (off != -1 || !shim_get_is(fd))
		return real.pwritev64v2(fd, iov, nr, off, flags);
	return pwritev2_stream(fd, iov, nr, flags);
}
