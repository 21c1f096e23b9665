/* SPDX-License-Identifier: MIT */

/*
 * read, readv, recv, preadv2 with offset -1, and their twins __read, __read_chk,
 * __recv_chk, preadv64v2.  Ours: streams.  Everything else passes through.
 */
#include "shim.h"

#include "../src/pin.h"
#include "../src/quick.h"

ssize_t shim_receive(struct shmfd_stream *s, int fd, struct msghdr *m, int flags, bool is_read)
{
	ssize_t ret;
	int saved;

	shmfd_cancel_point();
	shim_test_retreat(s);
	if (shmfd_recv_early(s, flags))
		return SHMFD_PASS;
	saved = errno;
	ret = shmfd_recv(s, fd, m, flags, is_read);
	errno = saved;	/* a success does not touch it */
	return ret;
}

/* The short way of read and recv: bytes, -EAGAIN, or 0. */
static inline ssize_t receive_quick(struct shmfd_stream *s, void *buf, size_t len, bool dontwait)
{
	if (unlikely(shim_test_retreat_every))
		return 0;
	shmfd_cancel_point();
	return shmfd_recv_quick(s, buf, len, dontwait);
}

/* The long way of read, with no flags, and recv. */
static SHIM_LONG ssize_t receive_long(struct shmfd_stream *s, int fd, void *buf, size_t len,
				      int flags, bool is_read)
{
	struct iovec v = { .iov_base = buf, .iov_len = shim_length(len) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	ssize_t ret;
	bool again;

	do {
		again = false;
		ret = is_read && len > SSIZE_MAX ? -EFAULT :
			shim_receive(s, fd, &m, flags, is_read);
		if (ret == SHMFD_PASS) {
			ret = shim_outcome(is_read ? real.read(fd, buf, len) :
					   real.recv(fd, buf, len, flags));
			again = shim_recv_end(s, fd, ret, flags);
		}
	} while (unlikely(again));
	return shim_put(s, ret);
}

static SHIM_LONG ssize_t recv_stream(int fd, void *buf, size_t len, int flags, bool is_read)
{
	struct shmfd_stream *s = shim_get(fd);
	ssize_t ret;

	if (!s)
		return is_read ? real.read(fd, buf, len) : real.recv(fd, buf, len, flags);
	ret = flags & ~MSG_DONTWAIT || (is_read && len > SSIZE_MAX) ? 0 :
		receive_quick(s, buf, shim_length(len), flags);
	return likely(ret) ? shim_put(s, ret) : receive_long(s, fd, buf, len, flags, is_read);
}

ssize_t read(int fd, void *buf, size_t len)
{
	if (shim_passes(fd))
		return shim_real_table.read(fd, buf, len);
	return recv_stream(fd, buf, len, 0, true);
}

ssize_t __read(int fd, void *buf, size_t len) __attribute__((alias("read")));

ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (len > room || !shim_get_is(fd))
		return real.__read_chk(fd, buf, len, room);
	return read(fd, buf, len);
}

static SHIM_LONG ssize_t readv_stream(int fd, const struct iovec *iov, int nr)
{
	struct shmfd_stream *s = shim_get(fd);
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)nr };
	ssize_t ret;
	bool again;

	if (!s)
		return real.readv(fd, iov, nr);
	do {
		again = false;
		ret = nr < 0 ? -EINVAL : shim_receive(s, fd, &m, 0, true);
		if (ret == SHMFD_PASS) {
			ret = shim_outcome(real.readv(fd, iov, nr));
			again = shim_recv_end(s, fd, ret, 0);
		}
	} while (unlikely(again));
	return shim_put(s, ret);
}

ssize_t readv(int fd, const struct iovec *iov, int nr)
{
	if (shim_passes(fd))
		return shim_real_table.readv(fd, iov, nr);
	return readv_stream(fd, iov, nr);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	if (shim_passes(fd))
		return shim_real_table.recv(fd, buf, len, flags);
	return recv_stream(fd, buf, len, flags, false);
}

ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
	if (len > room || !shim_get_is(fd))
		return real.__recv_chk(fd, buf, len, room, flags);
	return recv(fd, buf, len, flags);
}

static ssize_t preadv2_stream(int fd, const struct iovec *iov, int nr, int flags)
{
	struct shmfd_stream *s = shim_get(fd);
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)nr };
	ssize_t ret;
	bool again;

	if (!s)
		return real.preadv2(fd, iov, nr, -1, flags);
	do {
		again = false;
		ret = flags & ~(RWF_NOWAIT | RWF_HIPRI | RWF_DSYNC | RWF_SYNC) ? -EOPNOTSUPP :
			nr < 0 ? -EINVAL :
			shim_receive(s, fd, &m, flags & RWF_NOWAIT ? MSG_DONTWAIT : 0, true);
		if (ret == SHMFD_PASS) {
			ret = shim_outcome(real.preadv2(fd, iov, nr, -1, flags));
			again = shim_recv_end(s, fd, ret, 0);
		}
	} while (unlikely(again));
	return shim_put(s, ret);
}

ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t off, int flags)
{
	if (off != -1 || !shim_get_is(fd))
		return real.preadv2(fd, iov, nr, off, flags);
	return preadv2_stream(fd, iov, nr, flags);
}

ssize_t preadv64v2(int fd, const struct iovec *iov, int nr, off64_t off, int flags)
{
	if (off != -1 || !shim_get_is(fd))
		return real.preadv64v2(fd, iov, nr, off, flags);
	return preadv2_stream(fd, iov, nr, flags);
}
