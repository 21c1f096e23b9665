/* SPDX-License-Identifier: MIT */

/*
 * poll (__poll), ppoll, __poll_chk, __ppoll_chk.  Ours as soon as one of the
 * numbers is a stream on rings; an epoll set among them is left to the kernel for
 * good.
 */
#include "shim.h"

#include <sys/resource.h>

#include "../src/ready.h"

#define FEW_FDS	16

bool shim_poll_concerns_us(const struct pollfd *p, nfds_t nr)
{
	struct rlimit most;
	bool ours = false;

	/* EINVAL, without a look at the array (poll(2)) */
	if (nr > FEW_FDS && !getrlimit(RLIMIT_NOFILE, &most) && nr > most.rlim_cur)
		return false;
	for (nfds_t i = 0; i < nr; i++) {
		uint32_t kind = shmfd_fd_lookup(p[i].fd) & (SHMFD_FD_KIND_MASK | SHMFD_FD_PLAIN);

		if (kind == (uint32_t)SHMFD_FD_EPOLL)
			shmfd_epoll_expose(p[i].fd);
		ours |= kind == (uint32_t)SHMFD_FD_STREAM;
	}
	return ours;
}

/* True if nothing but the kernel has to say something, as in most calls: a quick answer
 * for a few numbers.  @all: nor will it, whatever a handler does meanwhile. */
static inline bool passes(const struct pollfd *p, nfds_t nr, bool all)
{
	/* relaxed: hints */
	if (!shim_real_table.ready || nr > FEW_FDS || shmfd_is_bad_pointer(p, sizeof(*p)) ||
	    unlikely(load_relaxed(&shmfd_resends) | load_relaxed(&shmfd_stuck)))
		return false;
	for (nfds_t i = 0; i < nr; i++) {
		uint32_t word = shmfd_fd_lookup(p[i].fd);
		uint32_t kind = word & (SHMFD_FD_KIND_MASK | SHMFD_FD_PLAIN);

		if (kind == (uint32_t)SHMFD_FD_EPOLL)
			return false;
		/* not on rings, and no other thread can change that meanwhile */
		if (kind == (uint32_t)SHMFD_FD_STREAM &&
		    (all || !__libc_single_threaded ||
		     load_relaxed(&shmfd_table_record(word & SHMFD_FD_INDEX_MASK)->phase) >=
		     SHMFD_PAIRED))
			return false;
	}
	return true;
}

int64_t shim_to_ns(const struct timespec *t)
{
	if (!t)
		return -1;
	if (t->tv_sec > INT64_MAX / 2000000000)	/* a hundred years: now + it fits */
		return INT64_MAX / 2;
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static SHIM_LONG int poll_streams(struct pollfd *p, nfds_t nr, int timeout)
{
	uintptr_t before = shmfd_pass_begin();
	int ret = SHMFD_PASS;

	if (!passes(p, nr, false) && !shmfd_is_bad_pointer(p, sizeof(*p)) &&
	    shim_poll_concerns_us(p, nr))
		ret = shmfd_poll(p, nr, timeout < 0 ? -1 : timeout * 1000000ll, NULL);
	ret = ret == SHMFD_PASS ? real.poll(p, nr, timeout) : (int)shim_result(ret);
	shmfd_pass_end(before);
	return ret;
}

/* A tail call where it can be: a return behind a system call is not predicted, and takes
 * 16 ns here. */
int poll(struct pollfd *p, nfds_t nr, int timeout)
{
	if (passes(p, nr, true))
		return shim_real_table.poll(p, nr, timeout);
	return poll_streams(p, nr, timeout);
}

int __poll(struct pollfd *p, nfds_t nr, int timeout) __attribute__((alias("poll")));

int __poll_chk(struct pollfd *p, nfds_t nr, int timeout, size_t room)
{
	if (room / sizeof(*p) < nr)
		return real.__poll_chk(p, nr, timeout, room);
	return poll(p, nr, timeout);
}

int ppoll(struct pollfd *p, nfds_t nr, const struct timespec *t, const sigset_t *mask)
{
	uintptr_t before;
	int ret;

	if (shmfd_is_bad_pointer(p, sizeof(*p)) || !shim_poll_concerns_us(p, nr) ||
	    (t && (t->tv_sec < 0 || (unsigned long)t->tv_nsec >= 1000000000)))
		return real.ppoll(p, nr, t, mask);
	before = shmfd_pass_begin();
	ret = shmfd_poll(p, nr, shim_to_ns(t), mask);
	ret = ret == SHMFD_PASS ? real.ppoll(p, nr, t, mask) : (int)shim_result(ret);
	shmfd_pass_end(before);
	return ret;
}

int __ppoll_chk(struct pollfd *p, nfds_t nr, const struct timespec *t,
		const sigset_t *mask, size_t room)
{
	if (room / sizeof(*p) < nr)
		return real.__ppoll_chk(p, nr, t, mask, room);
	return ppoll(p, nr, t, mask);
}
