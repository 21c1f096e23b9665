/* SPDX-License-Identifier: MIT */

/*
 * sendfile, sendfile64, splice.  sendfile into a stream on its ring reads the
 * file straight into the ring.  splice into a stream, and sendfile out of one,
 * make it retreat: the kernel moves those bytes.  splice out of a stream into a
 * pipe can not leave unread ring bytes to the kernel, as their writer may never
 * call again: it copies, by a peek, a write of what the pipe has room for, and a
 * receive of as much.
 */
#include "shim.h"

#include <sys/stat.h>

#define PIPE_PART	4096	/* a pipe that polls writable takes it (pipe(7)) */

/* The real call, counted when a stream is the receiver. */
static ssize_t by_kernel(struct shmfd_stream *s, int out, int in, off_t *off, size_t len)
{
	ssize_t n = shim_outcome(real.sendfile(out, in, off, len));
	int saved = errno;

	shmfd_send_end(s, out, n);
	errno = saved;
	return shim_put(s, n);
}

/* pread(2) can not read it there; what sendfile(2) makes of that is the kernel's to say. */
static bool is_no_file(ssize_t ret)
{
	return ret == -EBADF || ret == -EISDIR || ret == -ESPIPE || ret == -EINVAL;
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
	if (!len)	/* nothing moves: the kernel looks at the numbers only */
		return shim_put(s, shim_outcome(real.sendfile(out, in, off, len)));
	from = off ? *off : lseek(in, 0, SEEK_CUR);
	ret = -EBADF;
	if (from >= 0) {
		shim_test_retreat(s);
		ret = shmfd_sendfile(s, out, in, from, len < 0x7ffff000 ? len : 0x7ffff000);
	}
	if (unlikely(is_no_file(ret))) {
		shmfd_stream_retreat(s, SHMFD_WHY_SPLICE);
		ret = shmfd_send(s, out, &(struct msghdr){ 0 }, MSG_MORE);
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

static bool is_pipe(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISFIFO(st.st_mode);
}

/* Waits for room, unless @nonblock.  0 or -errno. */
static ssize_t pipe_room(int fd, bool nonblock)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	bool dontwait = nonblock || (real.fcntl(fd, F_GETFL) & O_NONBLOCK);
	int n = real.poll(&p, 1, dontwait ? 0 : -1);

	return n < 0 ? -errno : n ? 0 : -EAGAIN;
}

/*
 * One part from the stream into the pipe.  Bytes, 0 at the end, -errno, or
 * SHMFD_PASS: nothing is left in memory, and the kernel's splice is due.
 */
static ssize_t splice_part(struct shmfd_stream *s, int in, int out, size_t len, int flags,
			   bool nonblock)
{
	char buf[PIPE_PART];
	struct iovec v = { buf, len < sizeof(buf) ? len : sizeof(buf) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	ssize_t n = pipe_room(out, nonblock);

	if (!n)
		n = shmfd_recv(s, in, &m, flags | MSG_PEEK, false);
	if (n <= 0)
		return n;
	n = shim_outcome(real.write(out, buf, (size_t)n));
	if (n <= 0)
		return n;
	v.iov_len = (size_t)n;
	m = (struct msghdr){ .msg_iov = &v, .msg_iovlen = 1 };
	if (shmfd_recv(s, in, &m, MSG_DONTWAIT, false) == SHMFD_PASS)
		shim_recv_end(s, in, shim_outcome(real.recv(in, buf, (size_t)n, MSG_DONTWAIT)), 0);
	return n;
}

/* Out of a stream. */
static ssize_t splice_out(struct shmfd_stream *s, int in, int out, size_t len,
			  unsigned int flags)
{
	bool nonblock = flags & SPLICE_F_NONBLOCK;
	int wait = nonblock && shmfd_stream_record(s)->family == AF_UNIX ? MSG_DONTWAIT : 0;
	ssize_t n = 0, sum = 0;

	while ((size_t)sum < len) {
		n = splice_part(s, in, out, len - (size_t)sum, sum ? MSG_DONTWAIT : wait,
				nonblock || sum);
		if (n <= 0)
			break;
		sum += n;
	}
	if (n != SHMFD_PASS)
		return sum ? sum : n;
	n = 0;	/* counted as inside the kernel: what it takes is its own */
	if (!sum)
		n = shim_outcome(real.splice(in, NULL, out, NULL, len, flags));
	shim_recv_end(s, in, n, 0);
	return sum ? sum : n;
}

ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
	       unsigned int flags)
{
	struct shmfd_stream *s;
	int saved = errno;
	ssize_t n;

	retreat_fd(out, SHMFD_WHY_SPLICE);
	s = !in_off && !out_off && len && is_pipe(out) ? shim_get(in) : NULL;
	if (s) {
		n = splice_out(s, in, out, len, flags);
		errno = saved;
		return shim_put(s, n);
	}
	retreat_fd(in, SHMFD_WHY_SPLICE);
	return real.splice(in, in_off, out, out_off, len, flags);
}
