/* SPDX-License-Identifier: MIT */
/*
 * Part of mixed.c: the ways to wait for readiness, changed now and then while
 * the stream is in use.  What a wait reports is checked against what it was
 * asked, and epoll's data against what was registered.
 *
 * Edge-triggered waits are only made after EAGAIN, or after a short transfer,
 * in each direction waited for; the flags "may" of the flows see to that.
 */
#include "mixed.h"

#include <sys/epoll.h>
#include <sys/select.h>

enum wait_mode {
	WAIT_POLL,
	WAIT_PPOLL,
	WAIT_SELECT,
	WAIT_PSELECT,
	WAIT_EPOLL_FRESH, /* a new set each time */
	WAIT_EPOLL_LEVEL,
	WAIT_EPOLL_EDGE,
	WAIT_EPOLL_ONESHOT,
	WAIT_MODES
};

/* In the trace: what was asked, and the events. */
static const char *const wait_names[WAIT_MODES] = {
	"poll", "ppoll", "select", "pselect", "epoll fresh", "epoll level", "epoll edge",
	"epoll one-shot",
};

void waiter_init(struct waiter *w, struct flow *f)
{
	*w = (struct waiter){ .flow = f, .rng = &f->rng, .ep = -1, .fd = -1 };
}

void waiter_reset(struct waiter *w)
{
	struct epoll_event unused;

	if (w->ep < 0)
		return;
	if (w->fd >= 0 && rng_one_in(w->rng, 2) &&
	    epoll_ctl(w->ep, EPOLL_CTL_DEL, w->fd, &unused) < 0)
		fail(w->flow, "EPOLL_CTL_DEL: %s", strerror(errno));
	close(w->ep);
	w->ep = -1;
	w->fd = -1;
}

/* Another mode; a set that was in use is kept now and then, and modified. */
static void waiter_change(struct waiter *w)
{
	w->mode = (int)rng_below(w->rng, WAIT_MODES);
	w->left = 1 + (unsigned int)rng_below(w->rng, 30);
	if (w->mode < WAIT_EPOLL_LEVEL || !rng_one_in(w->rng, 3))
		waiter_reset(w);
	w->armed = 0;
}

bool waiter_is_level(const struct waiter *w)
{
	return w->left && w->mode != WAIT_EPOLL_EDGE;
}

static struct timespec *timespec_of(struct timespec *t, int ms)
{
	if (ms < 0)
		return NULL;
	*t = (struct timespec){ ms / 1000, ms % 1000 * 1000000L };
	return t;
}

static int wait_poll(struct waiter *w, int fd, int ask, int ms)
{
	struct pollfd p[3] = { { .fd = -1 }, { .fd = fd, .events = (short)ask }, { .fd = -7 } };
	struct timespec t;
	sigset_t none;
	int n;

	sigemptyset(&none);
	if (w->mode == WAIT_POLL)
		n = poll(p, 3, ms);
	else
		n = ppoll(p, 3, timespec_of(&t, ms), rng_one_in(w->rng, 2) ? &none : NULL);
	if (n < 0)
		return -errno;
	if (n != !!p[1].revents || p[0].revents || p[2].revents)
		fail(w->flow, "poll returned %d with events %#x", n, (unsigned int)p[1].revents);
	return p[1].revents;
}

static int wait_select(struct waiter *w, int fd, int ask, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	struct timespec t;
	fd_set in, out;
	int n, events = 0;

	FD_ZERO(&in);
	FD_ZERO(&out);
	if (ask & ASK_IN)
		FD_SET(fd, &in);
	if (ask & ASK_OUT)
		FD_SET(fd, &out);
	if (w->mode == WAIT_SELECT)
		n = select(fd + 1, &in, &out, NULL, ms < 0 ? NULL : &tv);
	else
		n = pselect(fd + 1, &in, &out, NULL, timespec_of(&t, ms), NULL);
	if (n < 0)
		return -errno;
	if (FD_ISSET(fd, &in))
		events |= ASK_IN;
	if (FD_ISSET(fd, &out))
		events |= ASK_OUT;
	if (n != !!(events & ASK_IN) + !!(events & ASK_OUT))
		fail(w->flow, "select returned %d with events %#x", n, (unsigned int)events);
	return events;
}

static void epoll_arm(struct waiter *w, int fd, int ask)
{
	struct epoll_event ev = { .events = (uint32_t)ask };
	int op = EPOLL_CTL_MOD;

	if (w->ep < 0) {
		w->ep = epoll_create1(EPOLL_CLOEXEC);
		if (w->ep < 0)
			fail(w->flow, "epoll_create1: %s", strerror(errno));
	}
	if (w->fd != fd) {
		op = EPOLL_CTL_ADD;
		w->fd = fd;
		w->armed = 0;
	}
	if (w->mode == WAIT_EPOLL_EDGE)
		ev.events = EPOLLIN | EPOLLOUT;
	if (op == EPOLL_CTL_MOD && w->armed == ev.events && w->mode != WAIT_EPOLL_ONESHOT)
		return;
	w->armed = ev.events;
	if (w->mode == WAIT_EPOLL_EDGE)
		ev.events |= EPOLLET;
	else if (w->mode == WAIT_EPOLL_ONESHOT)
		ev.events |= EPOLLONESHOT;
	/* Not without IN: it would come back at once, again and again. */
	if (ev.events & EPOLLIN && rng_one_in(w->rng, 2))
		ev.events |= EPOLLRDHUP;
	w->cookie = rng_next(w->rng);
	ev.data.u64 = w->cookie;
	if (epoll_ctl(w->ep, op, fd, &ev) < 0)
		fail(w->flow, "epoll_ctl %d: %s", op, strerror(errno));
}

static int wait_epoll(struct waiter *w, int fd, int ask, int ms)
{
	struct epoll_event ev[3];
	struct timespec t;
	sigset_t none;
	int n;

	if (w->mode == WAIT_EPOLL_FRESH)
		waiter_reset(w);
	epoll_arm(w, fd, ask);
	sigemptyset(&none);
	switch (rng_below(w->rng, 3)) {
	case 0:
		n = epoll_wait(w->ep, ev, 1 + (int)rng_below(w->rng, 3), ms);
		break;
	case 1:
		n = epoll_pwait(w->ep, ev, 3, ms, rng_one_in(w->rng, 2) ? &none : NULL);
		break;
	default:
		n = epoll_pwait2(w->ep, ev, 3, timespec_of(&t, ms), NULL);
	}
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	if (n != 1 || ev[0].data.u64 != w->cookie)
		fail(w->flow, "epoll_wait: %d events, data %#llx for %#llx", n,
		     (unsigned long long)ev[0].data.u64, (unsigned long long)w->cookie);
	/* The bits of poll and epoll are the same. */
	return (int)ev[0].events;
}

int waiter_wait(struct waiter *w, int fd, int ask, int ms)
{
	int events;

	if (w->left == 0)
		waiter_change(w);
	w->left--;
	switch (w->mode) {
	case WAIT_POLL:
	case WAIT_PPOLL:
		events = wait_poll(w, fd, ask, ms);
		break;
	case WAIT_SELECT:
	case WAIT_PSELECT:
		events = wait_select(w, fd, ask, ms);
		break;
	default:
		events = wait_epoll(w, fd, ask, ms);
	}
	trace_call(w->flow, wait_names[w->mode], (size_t)ask, events);
	if (events == -EINTR && interrupted)
		return 0;
	if (events < 0)
		fail(w->flow, "wait mode %d: %s", w->mode, strerror(-events));
	if (events & BAD_EVENTS)
		fail(w->flow, "wait mode %d: events %#x", w->mode, (unsigned int)events);
	if (events & ~(ask | HANGUP) && w->mode != WAIT_EPOLL_EDGE)
		fail(w->flow, "wait mode %d asked %#x: events %#x", w->mode, (unsigned int)ask,
		     (unsigned int)events);
	if (events == 0 && ms < 0)
		fail(w->flow, "wait mode %d without a time came back with nothing", w->mode);
	return events;
}
