/* SPDX-License-Identifier: MIT */

/*
 * See fdmap.h.  Hidden numbers stay below 16384 + what is in use: the kernel
 * sizes a process' descriptor table by its highest number, and fork copies it.
 */
#define _GNU_SOURCE
#include "fdmap.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ready.h"
#include "stream.h"
#include "sys.h"

#define HIDE_FROM_MAX	16384u
#define HIDE_ROOM	262144u
#define RAISE_TRIES	1000
#define TABLE_MIN	64	/* NR_OPEN_DEFAULT */
#define TABLE_STEP	128	/* 1024 bytes of pointers, then doubled */

_Atomic uint32_t shmfd_fdmap[SHMFD_FD_MAX];
_Atomic uint32_t shmfd_fd_high;

/* The soft limit is the host's: raised for one call, by one thread at a time. */
static _Atomic uint32_t raising;	/* RAISE_* */
enum { RAISE_FREE, RAISE_HELD, RAISE_DONE };
static struct rlimit before_raise;

/* A duplicate at @from or above it. */
static int dup_above(int fd, int from, const struct rlimit *raised)
{
	int ret;

	store_release(&raising, RAISE_DONE); /* [fdmap.R] */
	setrlimit(RLIMIT_NOFILE, raised);
	ret = shmfd_sys.fcntl(fd, F_DUPFD_CLOEXEC, from);
	setrlimit(RLIMIT_NOFILE, &before_raise);
	return ret;
}

/* The duplicate, or -1.  Under `raising`. */
static int dup_hidden(int fd)
{
	struct rlimit raised;
	int from;

	if (getrlimit(RLIMIT_NOFILE, &before_raise))
		return -1;
	raised = before_raise;
	from = (int)(raised.rlim_cur < HIDE_FROM_MAX ? raised.rlim_cur : HIDE_FROM_MAX);
	if (raised.rlim_cur < (rlim_t)from + HIDE_ROOM)
		raised.rlim_cur = (rlim_t)from + HIDE_ROOM;
	if (raised.rlim_cur > raised.rlim_max)
		raised.rlim_cur = raised.rlim_max;
	if (raised.rlim_cur <= (rlim_t)from)	/* no room above: high below it */
		from -= from / 4;
	if (raised.rlim_cur > before_raise.rlim_cur)
		return dup_above(fd, from, &raised);
	return shmfd_sys.fcntl(fd, F_DUPFD_CLOEXEC, from);
}

/* False if it is held for long: by a call that a handler has left for good. */
static bool may_raise(void)
{
	for (int i = 0; i < RAISE_TRIES; i++) {
		uint32_t free = RAISE_FREE;

		if (cas_acquire(&raising, &free, RAISE_HELD)) /* [fdmap.R] */
			return true;
		sched_yield();
	}
	return false;
}

int shmfd_hide_fd(int fd)
{
	int ret = -1;

	if (may_raise()) {
		ret = dup_hidden(fd);
		store_release(&raising, RAISE_FREE); /* [fdmap.R] */
	}
	if ((unsigned int)ret >= SHMFD_FD_MAX) {
		if (ret >= 0)
			shmfd_sys.close(ret);
		shmfd_sys.close(fd);
		return -EMFILE;
	}
	shmfd_sys.close(fd);
	shmfd_fd_set(ret, SHMFD_FD_HIDDEN);
	return ret;
}

void shmfd_hide_fork_child(void)
{
	if (load_acquire(&raising) == RAISE_DONE) /* [fdmap.R] */
		setrlimit(RLIMIT_NOFILE, &before_raise);
	store_relaxed(&raising, RAISE_FREE);
}

/* The host's highest number, or -1: no /proc. */
static int highest(void)
{
	_Alignas(struct dirent64) char room[4096];
	/* of the thread: the first one may have ended */
	int dir = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/fd",
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	int top = -1;
	long n;

	if (dir < 0)
		return -1;
	while ((n = syscall(SYS_getdents64, dir, room, sizeof(room))) > 0) {
		const struct dirent64 *d;

		for (long at = 0; at < n; at += d->d_reclen) {
			int fd;

			d = (const void *)(room + at);
			fd = atoi(d->d_name);	/* "." and "..": 0 */
			if (fd > top && fd != dir && !shmfd_fd_is(fd, SHMFD_FD_HIDDEN))
				top = fd;
		}
	}
	shmfd_sys.close(dir);
	return top;
}

int shmfd_fd_within_table(int nr)
{
	int saved = errno, top = highest(), size = TABLE_MIN;

	errno = saved;
	if (top < 0)
		return nr;
	if (top >= TABLE_MIN) {
		for (size = TABLE_STEP; size <= top; size *= 2)
			;
	}
	return nr < size ? nr : size;
}

void shmfd_unhide_close(int fd)
{
	int saved;

	if (fd <= 0)
		return;
	saved = errno;
	shmfd_fd_set(fd, SHMFD_FD_NONE);
	shmfd_sys.close(fd);
	errno = saved;
}

void shmfd_fd_forget(int fd)
{
	switch (shmfd_fd_lookup(fd) & SHMFD_FD_KIND_MASK) {
	case SHMFD_FD_STREAM:
		shmfd_stream_close(fd, NULL);
		break;
	case SHMFD_FD_EPOLL:
		shmfd_epoll_close(fd);
		break;
	case SHMFD_FD_SOCKET:
		shmfd_fd_set(fd, SHMFD_FD_NONE);
		break;
	default:
		break;
	}
}
