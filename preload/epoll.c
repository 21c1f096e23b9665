/* SPDX-License-Identifier: MIT */

/*
 * epoll_create, epoll_create1, epoll_ctl, epoll_wait, epoll_pwait, epoll_pwait2.
 * Ours: sets that hold a stream.
 */
#include "shim.h"

#include "../src/ready.h"

static int created(int ep)
{
	int saved = errno;

	if (ep >= 0 && load_acquire(&shim_active) && !shim_is_vfork()) {
		shmfd_fd_forget(ep);
		shmfd_epoll_created(ep);
	}
	errno = saved;
	return ep;
}

int epoll_create(int size)
{
	return created(real.epoll_create(size));
}

int epoll_create1(int flags)
{
	return created(real.epoll_create1(flags));
}

int epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	int ret = SHMFD_PASS;

	if (op == EPOLL_CTL_ADD)
		shim_socket_registered(fd);
	if (shmfd_fd_lookup(fd) != (uint32_t)SHMFD_FD_NONE ||
	    shmfd_fd_lookup(ep) != (uint32_t)SHMFD_FD_NONE)
		ret = shmfd_epoll_ctl(ep, op, fd, ev);
	return ret == SHMFD_PASS ? real.epoll_ctl(ep, op, fd, ev) : (int)shim_result(ret);
}

int epoll_pwait(int ep, struct epoll_event *ev, int max, int timeout, const sigset_t *mask)
{
	int64_t ns = timeout < 0 ? -1 : timeout * 1000000ll;
	struct shmfd_set *early;
	int ret;

	if (!shmfd_fd_is(ep, SHMFD_FD_EPOLL))
		return real.epoll_pwait(ep, ev, max, timeout, mask);
	early = shmfd_epoll_early(ep, ns);
	if (early) {
		ret = mask ? real.epoll_pwait(ep, ev, max, timeout, mask) :
			real.epoll_wait(ep, ev, max, timeout);
		ret = shmfd_epoll_early_end(early, ev, ret);
		if (likely(ret != SHMFD_PASS))
			return ret;
	}
	ret = shmfd_epoll_wait(ep, ev, max, ns, mask);
	return ret == SHMFD_PASS ? real.epoll_pwait(ep, ev, max, timeout, mask) :
		(int)shim_result(ret);
}

int epoll_wait(int ep, struct epoll_event *ev, int max, int timeout)
{
	if (!shmfd_fd_is(ep, SHMFD_FD_EPOLL))
		return real.epoll_wait(ep, ev, max, timeout);
	return epoll_pwait(ep, ev, max, timeout, NULL);
}

int epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *t,
		 const sigset_t *mask)
{
	struct shmfd_set *early;
	int64_t ns = -1;
	int ret;

	/* EFAULT and EINVAL are the kernel's */
	if (!shmfd_fd_is(ep, SHMFD_FD_EPOLL) ||
	    (t && (shmfd_is_bad_pointer(t, sizeof(*t)) || t->tv_sec < 0 ||
		   (unsigned long)t->tv_nsec >= 1000000000)))
		return real.epoll_pwait2(ep, ev, max, t, mask);
	if (t && t->tv_sec < INT64_MAX / 2000000000)	/* longer is for ever */
		ns = t->tv_sec * 1000000000ll + t->tv_nsec;
	early = shmfd_epoll_early(ep, ns);
	if (early) {
		ret = real.epoll_pwait2(ep, ev, max, t, mask);
		ret = shmfd_epoll_early_end(early, ev, ret);
		if (likely(ret != SHMFD_PASS))
			return ret;
	}
	ret = shmfd_epoll_wait(ep, ev, max, ns, mask);
	return ret == SHMFD_PASS ? real.epoll_pwait2(ep, ev, max, t, mask) :
		(int)shim_result(ret);
}
