/* SPDX-License-Identifier: MIT */

/*
 * poll (__poll), ppoll, __poll_chk, __ppoll_chk, select (__select), pselect.
 * Ours as soon as one of the numbers is a stream on rings; an epoll set among
 * them is left to the kernel for good.  select becomes poll: the bits that
 * count for each of its sets are the kernel's (linux/fs/select.c).
 */
#include "shim.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "../src/ready.h"

#define SELECT_IN	(POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT	(POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX	POLLPRI
#define STACK_FDS	64

/* True if the core has something to say about these numbers. */
static bool concerns_us(const struct pollfd *p, nfds_t nr)
{
	struct rlimit most;
	bool ours = false;

	/* EINVAL, without a look at the array (poll(2)) */
	if (nr > STACK_FDS && !getrlimit(RLIMIT_NOFILE, &most) && nr > most.rlim_cur)
		return false;
	for (nfds_t i = 0; i < nr; i++) {
		uint32_t kind = shmfd_fd_lookup(p[i].fd) & SHMFD_FD_KIND_MASK;

		if (kind == (uint32_t)SHMFD_FD_EPOLL)
			shmfd_epoll_expose(p[i].fd);
		ours |= kind == (uint32_t)SHMFD_FD_STREAM;
	}
	return ours;
}

static int64_t to_ns(const struct timespec *t)
{
	if (!t)
		return -1;
	if (t->tv_sec > INT64_MAX / 1000000000 - 1)
		return INT64_MAX;
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

int poll(struct pollfd *p, nfds_t nr, int timeout)
{
	int ret = SHMFD_PASS;

	if (!shmfd_is_bad_pointer(p, sizeof(*p)) && concerns_us(p, nr))
		ret = shmfd_poll(p, nr, timeout < 0 ? -1 : timeout * 1000000ll, NULL);
	return ret == SHMFD_PASS ? real.poll(p, nr, timeout) : (int)shim_result(ret);
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
	int ret = SHMFD_PASS;

	if (!shmfd_is_bad_pointer(p, sizeof(*p)) && concerns_us(p, nr) &&
	    (!t || (t->tv_sec >= 0 && (unsigned long)t->tv_nsec < 1000000000)))
		ret = shmfd_poll(p, nr, to_ns(t), mask);
	return ret == SHMFD_PASS ? real.ppoll(p, nr, t, mask) : (int)shim_result(ret);
}

int __ppoll_chk(struct pollfd *p, nfds_t nr, const struct timespec *t,
		const sigset_t *mask, size_t room)
{
	if (room / sizeof(*p) < nr)
		return real.__ppoll_chk(p, nr, t, mask, room);
	return ppoll(p, nr, t, mask);
}

/* ---- select ------------------------------------------------------------------ */

struct sets {
	unsigned long *in, *out, *ex;
	int nr;
};

#define WORD_BITS	(8 * (int)sizeof(unsigned long))

static bool has(const unsigned long *set, int fd)
{
	return set && (set[fd / WORD_BITS] >> (fd % WORD_BITS) & 1);
}

static void put(unsigned long *set, int fd)
{
	set[fd / WORD_BITS] |= 1ul << (fd % WORD_BITS);
}

static bool any(const struct sets *s, int fd)
{
	return has(s->in, fd) || has(s->out, fd) || has(s->ex, fd);
}

/* Numbers in the sets; *ret_ours: one of them concerns us. */
static nfds_t count(const struct sets *s, bool *ret_ours)
{
	nfds_t n = 0;

	*ret_ours = false;
	for (int fd = 0; fd < s->nr; fd++) {
		struct pollfd p = { .fd = fd };

		if (!any(s, fd))
			continue;
		n++;
		*ret_ours |= concerns_us(&p, 1);
	}
	return n;
}

static void from_sets(const struct sets *s, struct pollfd *p)
{
	for (int fd = 0; fd < s->nr; fd++) {
		short ev = 0;

		if (has(s->in, fd))
			ev |= POLLIN | POLLRDNORM | POLLRDBAND;
		if (has(s->out, fd))
			ev |= POLLOUT | POLLWRNORM | POLLWRBAND;
		if (has(s->ex, fd))
			ev |= POLLPRI;
		if (any(s, fd))
			*p++ = (struct pollfd){ .fd = fd, .events = ev };
	}
}

/* Rewrites the sets.  Returns bits set, or -EBADF. */
static int to_sets(struct sets *s, const struct pollfd *p, nfds_t nr)
{
	size_t bytes = (size_t)((s->nr + WORD_BITS - 1) / WORD_BITS) * sizeof(unsigned long);
	int bits = 0;

	for (nfds_t i = 0; i < nr; i++) {
		if (p[i].revents & POLLNVAL)
			return -EBADF;
	}
	for (nfds_t i = 0; i < nr; i++)
		bits += (p[i].events & POLLIN && p[i].revents & SELECT_IN) +
			(p[i].events & POLLOUT && p[i].revents & SELECT_OUT) +
			(p[i].events & POLLPRI && p[i].revents & SELECT_EX);
	if (s->in)
		memset(s->in, 0, bytes);
	if (s->out)
		memset(s->out, 0, bytes);
	if (s->ex)
		memset(s->ex, 0, bytes);
	for (nfds_t i = 0; i < nr; i++) {
		if (p[i].events & POLLIN && p[i].revents & SELECT_IN)
			put(s->in, p[i].fd);
		if (p[i].events & POLLOUT && p[i].revents & SELECT_OUT)
			put(s->out, p[i].fd);
		if (p[i].events & POLLPRI && p[i].revents & SELECT_EX)
			put(s->ex, p[i].fd);
	}
	return bits;
}

/* The core's answer, or SHMFD_PASS. */
static int select_ours(struct sets *s, int64_t timeout_ns, const sigset_t *mask)
{
	struct pollfd stack[STACK_FDS], *p = stack;
	bool ours;
	nfds_t nr = count(s, &ours);
	int ret;

	if (!ours)
		return SHMFD_PASS;
	if (nr > STACK_FDS) {
		p = mmap(NULL, nr * sizeof(*p), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return -ENOMEM;
	}
	from_sets(s, p);
	ret = shmfd_poll(p, nr, timeout_ns, mask);
	if (ret >= 0)
		ret = to_sets(s, p, nr);
	if (p != stack)
		munmap(p, nr * sizeof(*p));
	return ret;
}

int select(int nr, fd_set *in, fd_set *out, fd_set *ex, struct timeval *t)
{
	struct sets s = {
		.in = (void *)in, .out = (void *)out, .ex = (void *)ex, .nr = nr,
	};
	int64_t timeout = -1, began = 0, left;
	int ret;

	if (t) {
		if (t->tv_sec < 0 || t->tv_usec < 0)
			return real.select(nr, in, out, ex, t);
		timeout = t->tv_sec > INT64_MAX / 1000000000 - 1 ? INT64_MAX :
			t->tv_sec * 1000000000ll + t->tv_usec * 1000;
		began = shmfd_now_ns();
	}
	ret = select_ours(&s, timeout, NULL);
	if (ret == SHMFD_PASS)
		return real.select(nr, in, out, ex, t);
	if (t) {	/* Linux leaves the rest of the time in it (select(2)) */
		left = timeout - (shmfd_now_ns() - began);
		if (left < 0)
			left = 0;
		t->tv_sec = left / 1000000000;
		t->tv_usec = left % 1000000000 / 1000;
	}
	return (int)shim_result(ret);
}

int __select(int nr, fd_set *in, fd_set *out, fd_set *ex, struct timeval *t)
	__attribute__((alias("select")));

int pselect(int nr, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *t,
	    const sigset_t *mask)
{
	struct sets s = {
		.in = (void *)in, .out = (void *)out, .ex = (void *)ex, .nr = nr,
	};
	int ret;

	if (t && (t->tv_sec < 0 || (unsigned long)t->tv_nsec >= 1000000000))
		return real.pselect(nr, in, out, ex, t, mask);
	ret = select_ours(&s, to_ns(t), mask);
	return ret == SHMFD_PASS ? real.pselect(nr, in, out, ex, t, mask) :
		(int)shim_result(ret);
}
