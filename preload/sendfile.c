/* SPDX-License-Identifier: MIT */

/*
 * sendfile, sendfile64, splice.  sendfile into a stream on its ring reads the
 * file straight into the ring.  splice, and sendfile out of a stream, make the
 * stream retreat: the kernel moves those bytes.
 */
#include "shim.h"

/* The real call, counted when a stream is the receiver. */
static ssize_t by_kernel(struct shmfd_stream *s, int out, int in, off_t *off, size_t len)
{
	ssize_t n = shim_outcome(real.sendfile(out, in, off, len));
	int saved = errno;

	shmfd_send_end(s, out, n);
	errno = saved;
	return shim_put(s, n);
}

/* A stream that a call of the kernel reads or writes by itself. */
static void retreat_fd(int fd, enum shmfd_reason why)
{
	struct shmfd_stream *s = shim_get(fd);

	if (!s)
		return;
	shmfd_stream_retreat(s, why);
	shmfd_stream_put(s);
}

ssize_t sendfile(int out, int in, off_t *off, size_t len)
{
	struct shmfd_stream *s;
	int saved = errno;
	off_t from;
	ssize_t ret;

	retreat_fd(in, SHMFD_WHY_SPLICE);
	s = shim_get(out);
	if (!s)
		return real.sendfile(out, in, off, len);
	from = off ? *off : lseek(in, 0, SEEK_CUR);
	if (from < 0 || (real.fcntl(in, F_GETFL) & O_ACCMODE) == O_WRONLY) {
		/* no file with positions: the kernel knows what to do */
		shmfd_stream_retreat(s, SHMFD_WHY_SPLICE);
		ret = shmfd_send(s, out, &(struct msghdr){ 0 }, MSG_MORE);
	} else {
		shim_test_retreat(s);
		ret = shmfd_sendfile(s, out, in, from, len < 0x7ffff000 ? len : 0x7ffff000);
	}
	errno = saved;
	if (ret == SHMFD_PASS)
		return by_kernel(s, out, in, off, len);
	if (ret > 0) {
		if (off)
			*off = from + ret;
		else
			lseek(in, from + ret, SEEK_SET);
	}
	return shim_put_send(s, ret, 0);
}

ssize_t sendfile64(int out, int in, off64_t *off, size_t len)
	__attribute__((alias("sendfile")));

ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
	       unsigned int flags)
{
	retreat_fd(in, SHMFD_WHY_SPLICE);
	retreat_fd(out, SHMFD_WHY_SPLICE);
	return real.splice(in, in_off, out, out_off, len, flags);
}
