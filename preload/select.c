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

/* The sets, in the order of select's arguments: what they ask for, and what they are told. */
static const struct {
	short events, told;
} kinds[3] = {
	{ POLLIN | POLLRDNORM | POLLRDBAND,
	  POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR | POLLNVAL },
	{ POLLOUT | POLLWRNORM | POLLWRBAND,
	  POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR | POLLNVAL },
	{ POLLPRI, POLLPRI | POLLNVAL },
};

struct sets {
	unsigned long *of[3];
	int nr;
	bool ours;		/* a number in them concerns us */
	uintptr_t before;	/* then; see shmfd_pass_begin */
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

/* What is asked of this number; 0: nothing. */
static short events_of(const struct sets *s, int fd)
{
	short events = 0;

	for (int k = 0; k < 3; k++)
		events |= has(s->of[k], fd) ? kinds[k].events : 0;
	return events;
}

/* Numbers in the sets; whether they concern us. */
static nfds_t count(struct sets *s)
{
	nfds_t n = 0;

	for (int fd = 0; fd < s->nr; fd++) {
		if (!events_of(s, fd))
			continue;
		n++;
		s->ours |= shim_poll_concerns_us(&(struct pollfd){ .fd = fd }, 1);
	}
	return n;
}

static void from_sets(const struct sets *s, struct pollfd *p)
{
	for (int fd = 0; fd < s->nr; fd++) {
		short events = events_of(s, fd);

		if (events)
			*p++ = (struct pollfd){ .fd = fd, .events = events };
	}
}

static size_t bytes_of(const struct sets *s)
{
	return (size_t)((s->nr + WORD_BITS - 1) / WORD_BITS) * sizeof(unsigned long);
}

/* Rewrites the sets.  Returns bits set. */
static int to_sets(struct sets *s, const struct pollfd *p, nfds_t nr)
{
	int bits = 0;

	for (int k = 0; k < 3; k++) {
		if (s->of[k])
			memset(s->of[k], 0, bytes_of(s));
	}
	for (nfds_t i = 0; i < nr; i++) {
		for (int k = 0; k < 3; k++) {
			if (p[i].events & kinds[k].events && p[i].revents & kinds[k].told) {
				put(s->of[k], p[i].fd);
				bits++;
			}
		}
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
	size_t bytes = bytes_of(s);
	struct timeval now = { 0 };
	unsigned long *room;
	int ret;

	room = mmap(NULL, 3 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return -ENOMEM;
	for (int i = 0; i < 3; i++) {
		if (s->of[i])
			memcpy((char *)room + (size_t)i * bytes, s->of[i], bytes);
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
	struct timespec t = shmfd_timespec(timeout_ns);
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

/* The core's answer, or SHMFD_PASS. */
static int select_ours(struct sets *s, int64_t timeout_ns, const sigset_t *mask)
{
	struct pollfd stack[SHIM_STACK_FDS], *p = stack;
	nfds_t nr;
	int ret;

	for (int k = 0; k < 3; k++) {
		if (s->of[k] && shmfd_is_bad_pointer(s->of[k], sizeof(*s->of[k])))
			return SHMFD_PASS;
	}
	nr = count(s);
	if (!s->ours)
		return SHMFD_PASS;
	s->before = shmfd_pass_begin();
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
static struct sets sets_of(int nr, fd_set *in, fd_set *out, fd_set *ex)
{
	return (struct sets){
		.of = { (void *)in, (void *)out, (void *)ex },
		.nr = nr > FD_SETSIZE ? shmfd_fd_within_table(nr) : nr,
	};
}

int select(int nr, fd_set *in, fd_set *out, fd_set *ex, struct timeval *t)
{
	struct sets s = sets_of(nr, in, out, ex);
	int64_t timeout = -1, began = t ? shmfd_now_ns() : 0, left;
	bool bad = t && (t->tv_sec < 0 || t->tv_usec < 0);
	int ret = SHMFD_PASS;

	if (t && !bad)
		timeout = t->tv_sec > INT64_MAX / 2000000000 ? INT64_MAX / 2 :
			t->tv_sec * 1000000000ll + t->tv_usec * 1000;
	if (!bad)
		ret = select_ours(&s, timeout, NULL);
	if (ret == SHMFD_PASS && !s.ours)
		return real.select(s.nr, in, out, ex, t);
	if (ret == SHMFD_PASS) {
		ret = real.select(s.nr, in, out, ex, t);
	} else {
		if (t) {	/* Linux leaves the rest of the time in it (select(2)) */
			left = timeout - (shmfd_now_ns() - began);
			t->tv_sec = left > 0 ? left / 1000000000 : 0;
			t->tv_usec = left > 0 ? left % 1000000000 / 1000 : 0;
		}
		ret = (int)shim_result(ret);
	}
	shmfd_pass_end(s.before);
	return ret;
}

int __select(int nr, fd_set *in, fd_set *out, fd_set *ex, struct timeval *t)
	__attribute__((alias("select")));

int pselect(int nr, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *t,
	    const sigset_t *mask)
{
	struct sets s = sets_of(nr, in, out, ex);
	int ret = SHMFD_PASS;

	if (!t || (t->tv_sec >= 0 && (unsigned long)t->tv_nsec < 1000000000))
		ret = select_ours(&s, shim_to_ns(t), mask);
	if (!s.ours)
		return real.pselect(s.nr, in, out, ex, t, mask);
	ret = ret == SHMFD_PASS ? real.pselect(s.nr, in, out, ex, t, mask) :
		(int)shim_result(ret);
	shmfd_pass_end(s.before);
	return ret;
}
