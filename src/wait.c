/* SPDX-License-Identifier: MIT */

/*
 * See wait.h for the protocols.  This file owns the only sleeping system calls
 * for a single stream, and the bell.
 */
#define _GNU_SOURCE
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lock.h"
#include "spin.h"
#include "sys.h"

#define BELL_BYTES	8
#define DRAIN_BATCH	32
#define RUNG		64u

void shmfd_wait_exit(struct shmfd_wait *w)
{
	fetch_sub_acq_rel(&w->blocked, 1);
}

/* What a sleeper must undo when it leaves, also by cancellation. */
struct sleeper {
	struct shmfd_wait *w;
	uint32_t turn;		/* as it was before the last look */
	bool leads;
	bool fragile;
	bool nested;		/* in a handler that interrupted this thread's own lead */
};

/* The leader's receive on the link, begun or not, returns after a moment. */
static void set_short(struct shmfd_wait *w)
{
	struct timeval t = { .tv_usec = 1 };
	int saved = errno;

	store_relaxed(&w->is_short, 1);
	w->link_ms = -1;
	shmfd_sys.setsockopt(w->link, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	errno = saved;
}

static void leave(void *arg)
{
	struct sleeper *me = arg;
	struct shmfd_wait *w = me->w;
	uint32_t mine, old;

	shmfd_wait_exit(w);
	if (!me->leads) {
		fetch_sub_acq_rel(&w->followers, 1);
		return;
	}
	mine = shmfd_tid();
	if (cas_seq_cst(&w->leader, &mine, 0)) {
		old = load_seq_cst(&w->turn); /* [wait.G] */
		while (!cas_seq_cst(&w->turn, &old, (old & ~1u) + 2)) /* [wait.G] */
			;
	} else {
		fetch_add_seq_cst(&w->turn, 2); /* [wait.G] */
	}
	if (load_seq_cst(&w->followers))
		syscall(SYS_futex, &w->turn, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	if (me->nested)
		set_short(w);
}

/*
 * True if this result of a receive is the link's end.  Everything else is not:
 * under a storm of signals a 6.18 kernel was seen to hand out ERESTARTSYS
 * (512), and what is taken for an end costs the stream its bytes.
 */
static bool is_end(ssize_t n)
{
	return n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE ||
				    errno == ENOTCONN || errno == EBADF || errno == ENOTSOCK));
}

/*
 * True if no handler of this process was installed without SA_RESTART: a
 * receive without a time-out would go on after any of them (signal(7)).
 */
bool shmfd_wait_restarts(void)
{
	struct sigaction sa;

	for (int sig = 1; sig < NSIG; sig++) {
		if (!sigaction(sig, NULL, &sa) && sa.sa_handler != SIG_DFL &&
		    sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_RESTART))
			return false;
	}
	return true;
}

/* Sleeps by ppoll.  1: the link has something; 0: look again; or -errno. */
static int lead_by_poll(const struct shmfd_wait *w, int64_t timeout_ns, int beside)
{
	struct timespec t = shmfd_timespec(timeout_ns);
	struct pollfd p[2] = {
		{ .fd = w->link, .events = POLLIN },
		{ .fd = beside, .events = POLLIN },
	};
	int nr = shmfd_sys.ppoll(p, 2, timeout_ns >= 0 ? &t : NULL, NULL);

	if (nr > 0)
		return p[0].revents != 0;
	if (nr == 0)
		return -ETIMEDOUT;
	return errno == EINTR && timeout_ns < 0 && shmfd_wait_restarts() ? 0 : -errno;
}

/* How long a recv of the link may sleep; < 0: for ever.  Whole milliseconds, so that
 * the same time-out of the host is most often the same here, too. */
static void set_link_timeout(struct shmfd_wait *w, int64_t timeout_ns)
{
	int64_t all = timeout_ns < 0 ? 0 : (timeout_ns + 999999) / 1000000;
	int32_t ms = all < INT32_MAX ? (int32_t)all : INT32_MAX;
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (ms == w->link_ms)
		return;
	w->link_ms = ms;
	shmfd_sys.setsockopt(w->link, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

/* A handler of this thread has taken bells that were not for it alone. */
static bool take_short(struct shmfd_wait *w)
{
	if (likely(!load_relaxed(&w->is_short)))
		return false;
	store_relaxed(&w->is_short, 0);
	return true;
}

static int lead(struct shmfd_wait *w, int64_t timeout_ns, int beside, bool fragile)
{
	char buf[BELL_BYTES];
	ssize_t n;

	if (beside >= 0 || timeout_ns == 0 || (timeout_ns > 0 && !fragile)) {
		int ret = lead_by_poll(w, timeout_ns, beside);

		if (ret != 1)
			return ret;
		n = shmfd_sys.recv(w->link, buf, sizeof(buf), MSG_DONTWAIT);
	} else {
		set_link_timeout(w, timeout_ns);
		/* left by a handler until now: that call may have undone it */
		if (unlikely(take_short(w)))
			return 0;
		n = shmfd_sys.recv(w->link, buf, sizeof(buf), 0);
		if (n < 0 && errno == EINTR && timeout_ns < 0 && take_short(w))
			/* but for that time-out it would have been restarted */
			return shmfd_wait_restarts() ? 0 : -EINTR;
		if (n < 0 && errno == EAGAIN && !take_short(w) && timeout_ns > 0)
			return timeout_ns / 1000000 < INT32_MAX ? -ETIMEDOUT : 0;
	}
	if (n > 0 || !is_end(n))
		return n < 0 && errno != EAGAIN ? -EINTR : 0;
	store_release(&w->ended, 1);
	return 1;
}

static int follow(struct shmfd_wait *w, uint32_t turn, int64_t timeout_ns)
{
	struct timespec t = shmfd_timespec(timeout_ns);
	int type, ret = 0;

	/* a raw futex is no cancellation point: make it one, as glibc does */
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	if (syscall(SYS_futex, &w->turn, FUTEX_WAIT_PRIVATE, turn,
		    timeout_ns >= 0 ? &t : NULL, NULL, 0) < 0 && errno != EAGAIN)
		ret = -errno;
	pthread_setcanceltype(type, NULL);
	return ret;
}

bool shmfd_wait_enter(struct shmfd_wait *w, _Atomic uint32_t *others)
{
	/* seq_cst: blocked is raised before others is looked at */
	fetch_add_seq_cst(&w->blocked, 1);
	if (!load_seq_cst(others))
		return true;
	fetch_sub_acq_rel(&w->blocked, 1);
	return false;
}

static int sleep_as(struct sleeper *me, int64_t timeout_ns, int beside)
{
	int ret;

	pthread_cleanup_push(leave, me);
	ret = me->leads ? lead(me->w, timeout_ns, beside, me->fragile) :
		follow(me->w, me->turn, timeout_ns);
	pthread_cleanup_pop(1);
	return ret;
}

bool shmfd_wait_may_lead(struct shmfd_wait *w, uint32_t turn)
{
	uint32_t leader;

	if (!(turn & 1))
		return true;
	leader = load_acquire(&w->leader);
	/* 0: a handler, between the two stores of its only thread's shmfd_wait_sleep */
	return leader == shmfd_tid() || (!leader && __libc_single_threaded);
}

int shmfd_wait_sleep(struct shmfd_wait *w, uint32_t turn, int64_t timeout_ns, int beside,
		     bool fragile)
{
	struct sleeper me = {
		.w = w, .turn = turn, .leads = shmfd_wait_may_lead(w, turn), .fragile = fragile,
	};
	uint32_t seen = turn;

	me.nested = me.leads && (turn & 1);

	if (load_acquire(&w->ended)) {
		shmfd_wait_exit(w);
		return 1;
	}
	if (me.leads && !(turn & 1)) {
		if (!cas_seq_cst(&w->turn, &seen, turn | 1)) { /* [wait.G] */
			shmfd_wait_exit(w);
			return 0;
		}
		store_seq_cst(&w->leader, shmfd_tid());
	}
	if (!me.leads)
		fetch_add_acq_rel(&w->followers, 1);
	return sleep_as(&me, timeout_ns, beside);
}

/* ---- naps ------------------------------------------------------------------ */

static _Atomic uint64_t nap_last;
/* Keys of naps that this process has ended by a bell, each where its number says; what
 * finds another there rings once more. */
static _Atomic uint64_t rung[RUNG];

void shmfd_nap_init(uint64_t now_ns)
{
	store_relaxed(&nap_last, now_ns);
}

uint64_t shmfd_nap_new(void)
{
	uint64_t nap;

	do {
		nap = (fetch_add_relaxed(&nap_last, 1) + 1) & ((1ull << SHMFD_NAP_BITS) - 1);
	} while (!nap);
	return nap;
}

bool shmfd_sleep_wake(_Atomic uint32_t *word, uint64_t nap, uint32_t seen, int link)
{
	if (!(seen & SHMFD_SLEEP))
		return false;
	if (nap && load_acquire(&rung[nap % RUNG]) == nap) /* [wait.N] */
		return false;
	if (shmfd_wait_ring(link) && nap)
		store_release(&rung[nap % RUNG], nap); /* [wait.N] */
	/* fails when the sleeper woke and sleeps again: that sleep is not ours;
	 * or when the owner's bits changed: the next publication sees SLEEP */
	cas_seq_cst(word, &seen, seen & ~SHMFD_SLEEP); /* [wait.S] */
	return true;
}

bool shmfd_wait_ring(int link)
{
	static const char bell[BELL_BYTES];
	int saved = errno;
	bool ret;

	/* EAGAIN: bells enough lie there already; EPIPE: nobody to wake */
	ret = shmfd_sys.send(link, bell, sizeof(bell), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
	errno = saved;
	return ret;
}

int shmfd_wait_drain(struct shmfd_wait *w)
{
	char buf[BELL_BYTES];
	struct iovec part = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct mmsghdr v[DRAIN_BATCH];
	int nr = 0, n, k;

	/* bounded: a peer may ring faster than we listen */
	do {
		for (k = 0; k < DRAIN_BATCH; k++)
			v[k] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } };
		n = shmfd_sys.recvmmsg_now(w->link, v, DRAIN_BATCH);
		for (k = 0; k < n && v[k].msg_len; k++)
			;
		/* the end is a message of no bytes, again and again */
		if (n < 0 ? is_end(n) : k < n) {
			store_release(&w->ended, 1);
			return -EPIPE;
		}
		nr += k;
	} while (n == DRAIN_BATCH && nr < SHMFD_WAIT_DRAIN_MOST);
	if (nr && unlikely(load_acquire(&w->leader) == shmfd_tid()))
		set_short(w);	/* in a handler: our own sleep below it has lost them */
	return nr;
}

bool shmfd_wait_has_ended(struct shmfd_wait *w)
{
	struct pollfd p = { .fd = w->link, .events = POLLRDHUP };
	int saved = errno;

	if (load_acquire(&w->ended))
		return true;
	if (shmfd_sys.poll(&p, 1, 0) > 0)
		store_release(&w->ended, 1);
	errno = saved;
	return load_acquire(&w->ended);
}
