/* SPDX-License-Identifier: MIT */

/*
 * See fdmap.h.  Hidden numbers stay below 16384 + what is in use: the kernel
 * sizes a process' descriptor table by its highest number, and fork copies it.
 */
#define _GNU_SOURCE
#include "fdmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "sys.h"

#define HIDE_FROM_MAX	16384u
#define HIDE_ROOM	262144u

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

void shmfd_unhide_close(int fd)
{
	int saved = errno;

	if (fd >= 0) {
		shmfd_fd_set(fd, SHMFD_FD_NONE);
		shmfd_sys.close(fd);
	}
	errno = saved;
}
