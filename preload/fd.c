/* SPDX-License-Identifier: MIT */

/*
 * close (__close), close_range, closefrom, dup, dup2 (__dup2), dup3, fcntl
 * (fcntl64, __fcntl): the life of a number.
 *
 * Hidden descriptors are not there for the host.  A vfork child has a table of
 * its own in the kernel but our memory: it touches nothing of ours, but a stream
 * that it duplicates goes back to the kernel for what it will exec.  Hidden
 * descriptors are close-on-exec, so it may keep them.
 */
#include "shim.h"

#include <linux/close_range.h>

#include "../src/handover.h"
#include "../src/ready.h"

int close(int fd)
{
	uint32_t kind = shmfd_fd_lookup(fd) & SHMFD_FD_KIND_MASK;

	if (likely(kind == (uint32_t)SHMFD_FD_NONE))
		return real.close(fd);
	if (kind == (uint32_t)SHMFD_FD_HIDDEN) {
		errno = EBADF;
		return -1;
	}
	if (shim_is_vfork())
		return real.close(fd);
	switch (kind) {
	case SHMFD_FD_STREAM:
		return shmfd_stream_close(fd, real.close);
	case SHMFD_FD_EPOLL:
		shmfd_epoll_close(fd);
		return real.close(fd);
	default:
		shmfd_fd_set(fd, SHMFD_FD_NONE);
		return real.close(fd);
	}
}

int __close(int fd) __attribute__((alias("close")));

int close_range(unsigned int first, unsigned int last, int flags)
{
	unsigned int top = shmfd_fd_top(), from = first;
	bool not_ours;
	int ret = 0;

	if (first > last || (flags & ~(int)CLOSE_RANGE_UNSHARE) || !top)
		return real.close_range(first, last, flags);
	/* its links have to ring when it hands a stream over to what it execs; and a thread that
	 * leaves the others' table closes nothing of theirs */
	not_ours = shim_is_vfork() ||
		((flags & (int)CLOSE_RANGE_UNSHARE) && !__libc_single_threaded);
	for (unsigned int fd = first; fd <= last && fd <= top; fd++) {
		uint32_t kind = shmfd_fd_lookup((int)fd) & SHMFD_FD_KIND_MASK;

		if (kind == (uint32_t)SHMFD_FD_HIDDEN) {
			if (fd > from)
				ret |= real.close_range(from, fd - 1, flags);
			from = fd + 1;
		} else if (kind != (uint32_t)SHMFD_FD_NONE && !not_ours) {
			close((int)fd);
		}
	}
	if (from <= last)
		ret |= real.close_range(from, last, flags);
	return ret;
}

void closefrom(int from)
{
	close_range(from > 0 ? (unsigned int)from : 0, ~0u, 0);
}

/* @fd got the second number @new_fd from the kernel. */
static int duplicated(int fd, int new_fd)
{
	int saved = errno;

	if (new_fd < 0 || fd == new_fd || shim_is_vfork())
		return new_fd;
	shmfd_fd_forget(new_fd);
	if (shim_get_is(fd))
		shmfd_stream_dup(fd, new_fd);
	else if (shmfd_fd_is(fd, SHMFD_FD_SOCKET))
		shim_socket_copied(fd, new_fd);
	else if (shmfd_fd_is(fd, SHMFD_FD_EPOLL))
		shmfd_epoll_expose(fd);	/* two numbers of one set */
	errno = saved;
	return new_fd;
}

/* A vfork child makes a number that we can not follow, for what it execs.  -1: the number
 * is none of the host's, errno is set. */
static int before_duplicating(int fd)
{
	if (shmfd_fd_is(fd, SHMFD_FD_HIDDEN)) {
		errno = EBADF;
		return -1;
	}
	if (shim_get_is(fd) && unlikely(shim_is_vfork()))
		shmfd_hand_over(fd, SHMFD_WHY_EXEC, true);
	return 0;
}

int dup(int fd)
{
	return before_duplicating(fd) ? -1 : duplicated(fd, real.dup(fd));
}

/* 0: go on; -1: the host must not, errno is set. */
static int before_replacing(int fd, int new_fd)
{
	uint32_t kind = shmfd_fd_lookup(new_fd) & SHMFD_FD_KIND_MASK;

	if (kind == (uint32_t)SHMFD_FD_NONE || fd == new_fd || shim_is_vfork())
		return 0;
	if (kind == (uint32_t)SHMFD_FD_HIDDEN) {
		errno = EBADF;
		return -1;
	}
	if (real.fcntl(fd, F_GETFD) < 0)
		return -1;
	shmfd_fd_forget(new_fd);
	return 0;
}

int dup2(int fd, int new_fd)
{
	if (before_replacing(fd, new_fd) || before_duplicating(fd))
		return -1;
	return duplicated(fd, real.dup2(fd, new_fd));
}

int __dup2(int fd, int new_fd) __attribute__((alias("dup2")));

int dup3(int fd, int new_fd, int flags)
{
	if (before_replacing(fd, new_fd) || before_duplicating(fd))
		return -1;
	return duplicated(fd, real.dup3(fd, new_fd, flags));
}

/* What a changed flag or owner means for a stream. */
static int stream_fcntl(struct shmfd_stream *s, int fd, int cmd, long arg)
{
	int ret;

	if (cmd == F_SETOWN || cmd == F_SETSIG || cmd == F_SETOWN_EX ||
	    (cmd == F_SETFL && (arg & O_ASYNC)))
		shmfd_stream_retreat(s, SHMFD_WHY_ASYNC);
	ret = (int)shim_outcome(real.fcntl(fd, cmd, arg));
	if (ret < 0)
		return (int)shim_put(s, ret);
	if (cmd == F_SETFL)
		store_relaxed(&shmfd_stream_record(s)->nonblock, (arg & O_NONBLOCK) != 0);
	shmfd_stream_put(s);
	return ret;
}

static int do_fcntl(int fd, int cmd, long arg)
{
	struct shmfd_stream *s;

	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		return before_duplicating(fd) ? -1 : duplicated(fd, real.fcntl(fd, cmd, arg));
	if (shmfd_fd_is(fd, SHMFD_FD_HIDDEN)) {
		errno = EBADF;
		return -1;
	}
	s = shim_get(fd);
	return s ? stream_fcntl(s, fd, cmd, arg) : real.fcntl(fd, cmd, arg);
}

int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

int __fcntl(int fd, int cmd, ...) __attribute__((alias("fcntl")));

int fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}
