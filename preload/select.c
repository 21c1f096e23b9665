/* SPDX-License-Identifier: MIT */

/*
 * select (__select), pselect.  They become poll: the bits that count for each set
 * are the kernel's (linux/fs/select.c), and so is what it makes of a number that is
 * not open: EBADF when the call begins, nothing at all beyond the table of numbers;
 * closed by another thread later, it is ready in each of its sets.
 */
#include "shim.h"

#include <string.h>
#include <sys/mman.h>

#include "../src/ready.h"

#define SELECT_IN	(POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR | POLLNVAL)
#define SELECT_OUT	(POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR | POLLNVAL)
#define SELECT_EX	(POLLPRI | POLLNVAL)

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
		*ret_ours |= shim_poll_concerns_us(&p, 1);
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

/* Rewrites the sets.  Returns bits set. */
static int to_sets(struct sets *s, const struct pollfd *p, nfds_t nr)
{
	size_t bytes = (size_t)((s->nr + WORD_BITS - 1) / WORD_BITS) * sizeof(unsigned long);
	int bits = 0;

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

/* Numbers that are not open ask for nothing any more.  True: there were some. */
static bool drop_closed(struct pollfd *p, nfds_t nr)
{
	bool any = false;

	for (nfds_t i = 0; i < nr; i++) {
		if (p[i].revents & POLLNVAL) {
			p[i] = (struct pollfd){ .fd = -1 };
			any = true;
		}
	}
	return any;
}

/* What the kernel thinks of numbers that are not open: 0, or -errno. */
static int ask_kernel(const struct sets *s)
{
	size_t bytes = (size_t)((s->nr + WORD_BITS - 1) / WORD_BITS) * sizeof(unsigned long);
	struct timeval now = { 0 };
	unsigned long *room, *from[3] = { s->in, s->out, s->ex };
	int ret;

	room = mmap(NULL, 3 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return -ENOMEM;
	for (int i = 0; i < 3; i++) {
		if (from[i])
			memcpy((char *)room + (size_t)i * bytes, from[i], bytes);
	}
	ret = real.select(shmfd_fd_within_table(s->nr), (void *)room,
			  (void *)((char *)room + bytes), (void *)((char *)room + 2 * bytes), &now);
	ret = ret < 0 ? -errno : 0;
	munmap(room, 3 * bytes);
	return ret;
}

/* The answer over @p, -errno, or SHMFD_PASS. */
static int answer(struct sets *s, struct pollfd *p, nfds_t nr, int64_t timeout_ns,
		  const sigset_t *mask)
{
	struct timespec t = {
		.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000,
	};
	/* without a sleep first: what is closed now is an error; @mask may let a pending
	 * signal in, whatever the time */
	int ret = shmfd_poll(p, nr, 0, timeout_ns ? NULL : mask);
	bool dropped = ret > 0 && drop_closed(p, nr);

	if (dropped) {
		ret = ask_kernel(s);
		if (ret)
			return ret;
	}
	if (dropped || (!ret && timeout_ns))
		ret = shmfd_poll(p, nr, timeout_ns, mask);
	if (dropped && ret == SHMFD_PASS)
		ret = (int)shim_outcome(real.ppoll(p, nr, timeout_ns < 0 ? NULL : &t, mask));
	return ret < 0 ? ret : to_sets(s, p, nr);
}

static bool is_bad(const unsigned long *set)
{
	return set && shmfd_is_bad_pointer(set, sizeof(*set));
}

/* The core's answer, or SHMFD_PASS. */
static int select_ours(struct sets *s, int64_t timeout_ns, const sigset_t *mask)
{
	struct pollfd stack[SHIM_STACK_FDS], *p = stack;
	bool ours;
	nfds_t nr;
	int ret;

	if (is_bad(s->in) || is_bad(s->out) || is_bad(s->ex))
		return SHMFD_PASS;
	nr = count(s, &ours);
	if (!ours)
		return SHMFD_PASS;
	if (nr > SHIM_STACK_FDS) {
		p = mmap(NULL, nr * sizeof(*p), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return -ENOMEM;
	}
	from_sets(s, p);
	ret = answer(s, p, nr, timeout_ns, mask);
	if (p != stack)
		munmap(p, nr * sizeof(*p));
	return ret;
}

/*
 * The kernel looks at no more of the sets than its table of descriptors has room
 * for, and callers of old give getdtablesize() and sets of FD_SETSIZE.  Our hidden
 * descriptors made the table larger.
 */
static int within_table(int nr)
{
	return nr > FD_SETSIZE ? shmfd_fd_within_table(nr) : nr;
}

int select(int nr, fd_set *in, fd_set *out, fd_set *ex, struct timeval *t)
{
	struct sets s = {
		.in = (void *)in, .out = (void *)out, .ex = (void *)ex, .nr = within_table(nr),
	};
	int64_t timeout = -1, began = 0, left;
	int ret;

	if (t) {
		if (t->tv_sec < 0 || t->tv_usec < 0)
			return real.select(s.nr, in, out, ex, t);
		timeout = t->tv_sec > INT64_MAX / 2000000000 ? INT64_MAX / 2 :
			t->tv_sec * 1000000000ll + t->tv_usec * 1000;
		began = shmfd_now_ns();
	}
	ret = select_ours(&s, timeout, NULL);
	if (ret == SHMFD_PASS)
		return real.select(s.nr, in, out, ex, t);
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
		.in = (void *)in, .out = (void *)out, .ex = (void *)ex, .nr = within_table(nr),
	};
	int ret;

	if (t && (t->tv_sec < 0 || (unsigned long)t->tv_nsec >= 1000000000))
		return real.pselect(s.nr, in, out, ex, t, mask);
	ret = select_ours(&s, shim_to_ns(t), mask);
	return ret == SHMFD_PASS ? real.pselect(s.nr, in, out, ex, t, mask) :
		(int)shim_result(ret);
}
