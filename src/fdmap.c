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
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ready.h"
#include "stream.h"
#include "sys.h"

#define HIDE_FROM_MAX	16384u
#define HIDE_ROOM	262144u
#define TABLE_MIN	64	/* NR_OPEN_DEFAULT */
#define TABLE_STEP	128	/* 1024 bytes of pointers, then doubled */

_Atomic uint32_t shmfd_fdmap[SHMFD_FD_MAX];
_Atomic uint32_t shmfd_fd_high;

int shmfd_hide_fd(int fd)
{
	struct rlimit lim, raised;
	int from, ret;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		goto fail;
	from = (int)(lim.rlim_cur < HIDE_FROM_MAX ? lim.rlim_cur : HIDE_FROM_MAX);
	raised = lim;
	if (raised.rlim_cur < (rlim_t)from + HIDE_ROOM)
		raised.rlim_cur = (rlim_t)from + HIDE_ROOM;
	if (raised.rlim_cur > lim.rlim_max)
		raised.rlim_cur = lim.rlim_max;
	if (raised.rlim_cur <= (rlim_t)from)	/* no room above: high below it */
		from -= from / 4;
	if (raised.rlim_cur > lim.rlim_cur)
		setrlimit(RLIMIT_NOFILE, &raised);
	ret = shmfd_sys.fcntl(fd, F_DUPFD_CLOEXEC, from);
	if (raised.rlim_cur > lim.rlim_cur)
		setrlimit(RLIMIT_NOFILE, &lim);
	if (ret < 0)
		goto fail;
	if ((unsigned int)ret >= SHMFD_FD_MAX) {
		shmfd_sys.close(ret);
		goto fail;
	}
	shmfd_sys.close(fd);
	shmfd_fd_set(ret, SHMFD_FD_HIDDEN);
	return ret;
fail:
	shmfd_sys.close(fd);
	return -EMFILE;
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
	int saved = errno;

	if (fd >= 0) {
		shmfd_fd_set(fd, SHMFD_FD_NONE);
		shmfd_sys.close(fd);
	}
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
