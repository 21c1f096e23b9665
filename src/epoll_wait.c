/* SPDX-License-Identifier: MIT */

/*
 * epoll_wait: memory for what is hot, the kernel for the rest.  See epoll.c for
 * the protocol, epoll(7) for what is imitated.
 *
 * Sleeps.  S: sleepers: who is asleep in the kernel's set, or about to be.  What changes
 * under our tag is to be seen by them too:
 *
 *   sleep_set               kick, under the set's lock
 *     sleepers++              the change: hot
 *     arm_all, under lock:    sleepers?  an event for the set's
 *       looks at what is hot     eventfd, which stays
 *     sleep in the kernel
 *
 *  - the change before arm_all has the lock: it is found there
 *  - after: the lock shows that there is a sleeper; its sleep ends at once, if it comes later
 *  - shmfd_epoll_early, of a set without tags and of the only thread, takes no lock; who
 *    changes something is a handler.  Before sleepers is up: the look at ever_tagged behind it
 *    (T, fence_signal between) sees that; after: it kicks.  So threads, which find the store
 *    by the handler that made them
 *
 * T: ever_tagged: up before the kernel knows the first tag, so who has an event with one
 * from there sees it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "epoll_set.h"
#include "kick.h"
#include "mend.h"
#include "pin.h"
#include "sys.h"

#define IDLE_WAITS	256
#define SPIN_LOOKS	8	/* the first is a whole one */
#define KERNEL_LOOK_NS	8000
#define KERNEL_BATCH	64
#define HANG_UP_MS	10
#define MS_NS		1000000
#define NAP_WORTH	32	/* streams in a nap, for each event beside the first */
#define REACH_MOST	64
#define BRIEF_NAPS	4u	/* sleeps since a stream had an event: then its sleep is long */
/* all of them are taken then; the link takes some 270, fewer where an operator has lowered
 * net.core.wmem_default */
#define BELLS_UNREAD	SHMFD_WAIT_DRAIN_MOST
/* EP_MAX_EVENTS of linux/fs/eventpoll.c */
#define EVENTS_MAX	(INT_MAX / (int)sizeof(struct epoll_event))

/* ---- waking who sleeps in the set, under its lock ---------------------------------- */

/* The set's eventfd, made at the first need.  -1: no descriptor left. */
static int kick_fd(struct shmfd_set *e)
{
	struct epoll_event ev = {
		.events = EPOLLIN,
		.data.u64 = (uint64_t)shmfd_set_prefix << 32 | SHMFD_SET_TAG_KICK,
	};
	int fd;

	if (e->kick)
		return e->kick - 1;
	fd = shmfd_kick_get();
	if (fd >= 0 && shmfd_sys.epoll_ctl(e->fd, EPOLL_CTL_ADD, fd, &ev)) {
		shmfd_kick_put(fd);
		return -1;
	}
	e->kick = fd + 1;
	return fd;
}

void shmfd_set_drop_kick(struct shmfd_set *e)
{
	struct epoll_event none = { 0 };

	if (!e->kick)
		return;
	shmfd_sys.epoll_ctl(e->fd, EPOLL_CTL_DEL, e->kick - 1, &none);
	shmfd_kick_put(e->kick - 1);
	e->kick = 0;
}

/* Without a descriptor for it: by the socket, if that is writable. */
void shmfd_set_kick(struct shmfd_set *e, struct shmfd_stream *s)
{
	int fd;

	if (!s->reg.tagged || !load_relaxed(&e->sleepers)) /* [epoll_wait.S] */
		return;
	fd = kick_fd(e);
	if (fd < 0 || !shmfd_kick(fd))
		shmfd_set_kernel_mod(e, s, EPOLLOUT | EPOLLONESHOT, shmfd_set_tag(s, false));
}

/* ---- reports ------------------------------------------------------------------- */

/* Level-triggered, and the kernel knows a part: what it says now. */
static uint32_t kernel_part(const struct shmfd_stream *s)
{
	uint32_t want = s->reg.watched | (s->reg.events & EPOLLRDHUP);
	struct pollfd p = { .fd = load_relaxed(&s->fd), .events = (short)want };

	if ((s->reg.events & EPOLLET) || shmfd_sys.poll(&p, 1, 0) <= 0)
		return 0;
	return shmfd_ready_hang_up(s, (uint16_t)p.revents) & (want | EPOLLHUP | EPOLLERR);
}

/* Behind what an edge has told of. */
static uint64_t unseen(const struct shmfd_record *rec)
{
	return rec->seen_pos > rec->rd_pos ? rec->seen_pos : rec->rd_pos;
}

/* True if a record came into the ring since the last call. */
static bool arrived(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool ret = false;

	if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING && shmfd_alone(rec) &&
	    shmfd_ring_is_empty(&s->rings->rx, unseen(rec)))
		return false;
	if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_KERNEL || shmfd_lock(rec, &rec->rx_lock))
		return false;
	if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING ||
	    shmfd_stream_knows_switch(s))
		ret = shmfd_ring_arrived(&s->rings->rx, rec);
	shmfd_unlock(rec, &rec->rx_lock);
	return ret;
}

/*
 * What a tagged stream of the set has to report now; @kbits came from the kernel.
 * Under the set's lock.
 */
static uint32_t report(struct shmfd_set *e, struct shmfd_stream *s, uint32_t kbits)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint32_t unused, bits, want = s->reg.events | EPOLLERR | EPOLLHUP;
	bool edge;

	if (s->reg.disarmed || s->reg.parked)
		return 0;
	kbits = shmfd_ready_hang_up(s, kbits);
	edge = s->reg.fresh || (kbits & want);
	if (unlikely(shmfd_resend_is_pending(s)) &&
	    !shmfd_resend_try(s, load_relaxed(&s->fd)))
		kbits &= ~(uint32_t)SHMFD_SET_OUT;
	/* reading may have finished a ring since */
	if (unlikely(load_acquire(&rec->phase) == SHMFD_LEFT) || /* [stream.P] */
	    shmfd_set_kernel_events(s) != s->reg.watched) {
		shmfd_recv_settle(s);
		shmfd_set_changed(e, s);
		if (!s->reg.tagged)	/* the kernel reports all of it by itself */
			return 0;
	}
	if (unlikely(s->reg.lost) && load_acquire(&rec->phase) == SHMFD_LEFT)
		kbits |= kernel_part(s);
	/* arrivals before bits: a record between the two looks is reported now,
	 * not counted as seen and forgotten */
	if ((s->reg.events & EPOLLET) && arrived(s)) {
		edge |= s->reg.events & SHMFD_SET_IN;
		/* before the ring is entered: the last kernel bytes are unread */
		if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_OFFER)
			kbits |= EPOLLIN | EPOLLRDNORM;
	}
	bits = (shmfd_ready_bits(s, s->reg.events, &unused) | kbits) & want & ~EPOLLET;
	if (unlikely(shmfd_set_kernel_events(s) != s->reg.watched)) {
		/* the look passed the end of the ring */
		shmfd_set_changed(e, s);
		if (!s->reg.tagged)
			return 0;
	}
	edge |= (bits & SHMFD_SET_OUT) && load_relaxed(&s->rings->tx_nospace);
	if (!bits || ((s->reg.events & EPOLLET) && !edge))
		return 0;
	if (bits & SHMFD_SET_OUT)
		store_relaxed(&s->rings->tx_nospace, 0);
	if (unlikely(s->reg.watched || shmfd_ready_may_have_hung_up(s)) &&
	    !shmfd_resend_is_pending(s))
		bits |= kernel_part(s) & want;
	s->reg.fresh = false;
	shmfd_set_served(e, s);
	e->told++;
	store_relaxed(&s->rings->dry, 0);
	if (s->reg.events & EPOLLONESHOT)
		s->reg.disarmed = true;
	return bits;
}

/* A disarmed one-shot must be silent in the kernel too. */
static void silence(struct shmfd_set *e, struct shmfd_stream *s)
{
	if (s->reg.disarmed && s->reg.tagged && s->reg.watched)
		shmfd_set_kernel_mod(e, s, 0, shmfd_set_tag(s, false));
}

/* Hang-up and errors, which the kernel always tells, of a registration that is
 * to be silent: a one-shot of the kernel's own shuts it up. */
static void hush(struct shmfd_set *e, struct shmfd_stream *s)
{
	shmfd_set_kernel_mod(e, s, EPOLLONESHOT, shmfd_set_tag(s, false));
}

static void emit(struct epoll_event *ev, const struct shmfd_stream *s, uint32_t bits)
{
	ev->events = bits;
	ev->data.u64 = s->reg.data;
}

/* Collects from memory.  What was reported goes to the end of the list, so
 * that a small @max starves nobody. */
static int collect(struct shmfd_set *e, struct epoll_event *ev, int max)
{
	uint32_t next, last = e->tail;
	int n = 0;

	for (uint32_t i = e->hot; i && n < max; i = next) {
		struct shmfd_stream *s = shmfd_set_at(i);
		uint32_t bits = report(e, s, 0);

		next = i == last ? 0 : s->reg.next;
		if (bits) {
			emit(&ev[n++], s, bits);
			silence(e, s);
			if (n == max) {
				/* only then does the order matter */
				shmfd_set_rotate(e, i);
				break;
			}
		} else if (e->served - s->reg.served > IDLE_WAITS) {
			shmfd_ready_arm(s, s->reg.events, 0, false);
			bits = report(e, s, 0);
			if (bits) {
				emit(&ev[n++], s, bits);
				silence(e, s);
			} else {
				shmfd_set_cool(e, s);
			}
		}
	}
	e->served += n > 0;
	return n;
}

/*
 * The kernel says that the connection is over.  The link's end follows within
 * microseconds when the peer closes or dies; when it does not (a reset from
 * elsewhere), this end leaves.
 */
static void hung_up(struct shmfd_stream *s)
{
	struct pollfd p = { .fd = s->rings->wait.link, .events = POLLRDHUP };
	int saved = errno;

	if (load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_PAIRED) {
		if (shmfd_sys.poll(&p, 1, HANG_UP_MS) > 0)
			shmfd_stream_peer_left(s);
		else
			shmfd_stream_retreat(s, SHMFD_WHY_PEER_GONE);
	}
	errno = saved;
}

/*
 * The link has something.  It is edge-triggered: each bell is an event, though others
 * lie there unread, so they are taken now and then only, which saves a system call for
 * each wake-up.  Where that could go wrong:
 *  - the link is full, the peer's bell is refused (EAGAIN) and no edge comes: a peer of
 *    ours sends one bell for each arming at most, and those are counted
 *  - the bell comes before the set sleeps: its event waits in the kernel's set
 *  - the bell comes between the event and its taking, and is taken with the others: its
 *    own event comes all the same; the look at the ring follows the taking
 *  - the peer dies: the end is an edge of its own, and stays true (HUP, RDHUP)
 *  - a single call sleeps on the link next: bells left there are wakes for nothing
 *  - a forked child that waits in the set takes events of the parent: it makes the set
 *    plain first, and the link's end reaches both
 * A peer that scribbles or floods loses its own wake-ups.
 */
static void link_event(struct shmfd_stream *s, uint32_t events)
{
	int n = 0;

	if (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) {
		do {
			n = shmfd_wait_drain(&s->rings->wait);
		} while (n == SHMFD_WAIT_DRAIN_MOST);
	} else if (load_relaxed(&s->rings->armed) >= BELLS_UNREAD) {
		store_relaxed(&s->rings->armed, 0);
		n = shmfd_wait_drain(&s->rings->wait);
	}
	if (n < 0)
		shmfd_stream_peer_left(s);
	else
		counter_add(&shmfd_stream_record(s)->bells_rx, 1);
}

/* One event of the kernel's set for a stream of ours.  Host bits, or 0: that of a link is
 * found in memory, with what else is there. */
static uint32_t tagged_event(struct shmfd_set *e, struct shmfd_stream *s, bool link,
			     uint32_t events)
{
	uint32_t bits = 0;

	if (link) {
		link_event(s, events);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		hung_up(s);
	}
	shmfd_set_lock(e);
	if (s->reg.tagged) {
		uint32_t kbits = link ? 0 : events &
			(shmfd_set_kernel_events(s) | EPOLLHUP | EPOLLERR) & ~EPOLLET;

		if (!s->reg.parked)
			shmfd_set_heat(e, s);
		e->rang += link;
		bits = link ? 0 : report(e, s, kbits);
		if (!link && (s->reg.disarmed || s->reg.parked))
			hush(e, s);
		else if (bits)
			silence(e, s);
		else if (!link && s->reg.tagged) /* a kick, or spurious: what we really want */
			shmfd_set_kernel_mod(e, s, shmfd_set_kernel_events(s),
					     shmfd_set_tag(s, false));
	}
	shmfd_set_unlock(e);
	return bits;
}

/*
 * Translates what the kernel delivered in @in[0..n), KERNEL_BATCH at most, to @out,
 * which may be the same array.  Returns the events that are the host's.
 */
static int translate(struct shmfd_set *e, const struct epoll_event *in, int n,
		     struct epoll_event *out)
{
	uint32_t from[KERNEL_BATCH];
	int j, k = 0;

	for (int i = 0; i < n; i++) {
		struct epoll_event ev = in[i];
		struct shmfd_stream *s;
		uint32_t low = (uint32_t)ev.data.u64;

		if (ev.data.u64 >> 32 != shmfd_set_prefix || e->collides ||
		    !load_relaxed(&e->ever_tagged)) {
			from[k] = UINT32_MAX;
			out[k++] = ev;
			continue;
		}
		if (low == SHMFD_SET_TAG_KICK && e->kick)
			shmfd_kick_take(e->kick - 1);
		if ((low & ~SHMFD_SET_TAG_LINK) >= SHMFD_TABLE_RECORDS)
			continue;
		s = shmfd_stream_get_at(low & ~SHMFD_SET_TAG_LINK);
		if (!s)		/* closed by another thread */
			continue;
		ev.events = shmfd_set_of_stream(s) != e ? 0 :
			tagged_event(e, s, low & SHMFD_SET_TAG_LINK, ev.events);
		if (ev.events)
			emit(&ev, s, ev.events);
		shmfd_stream_put(s);
		if (!ev.events)
			continue;
		/* one event a registration, though it came by link and socket */
		for (j = 0; j < k && from[j] != low % SHMFD_SET_TAG_LINK; j++)
			;
		if (j < k) {
			out[j].events |= ev.events;
			continue;
		}
		from[k] = low % SHMFD_SET_TAG_LINK;
		out[k++] = ev;
	}
	return k;
}

/* Waits in the kernel; epoll_pwait2 where whole milliseconds are too coarse. */
static int kernel_wait(const struct shmfd_set *e, struct epoll_event *ev, int max, int64_t ns,
		       const sigset_t *mask)
{
	struct timespec t = shmfd_timespec(ns);
	int64_t ms = ns < 0 ? -1 : (ns + MS_NS - 1) / MS_NS;
	int n;

	if (ns > 0 && ns % MS_NS) {
		n = shmfd_sys.epoll_pwait2(e->fd, ev, max, &t, mask);
		if (n >= 0 || errno != ENOSYS)
			return n;
	}
	return shmfd_sys.epoll_pwait(e->fd, ev, max, ms > INT_MAX ? INT_MAX : (int)ms, mask);
}

/* The same of all events, where no stream was on rings when the kernel was asked.  If one
 * is now, an edge or a one-shot among these does not come again. */
static int translate_late(struct shmfd_set *e, struct epoll_event *ev, int n)
{
	int told = 0;

	if (likely(!load_relaxed(&e->ever_tagged))) /* [epoll_wait.T] */
		return n;
	for (int i = 0; i < n; i += KERNEL_BATCH)
		told += translate(e, ev + i, n - i < KERNEL_BATCH ? n - i : KERNEL_BATCH,
				  ev + told);
	return told;
}

/*
 * The kernel's epoll_pwait, translated.  Tagged events pass through a buffer of
 * ours: the host's array is written only where an event is returned.
 * @ns < 0: for ever.  Returns events, 0, or -errno.
 */
static int ask_kernel(struct shmfd_set *e, struct epoll_event *ev, int max, int64_t ns,
		      const sigset_t *mask)
{
	struct epoll_event buf[KERNEL_BATCH];
	uint32_t rang = e->rang;
	int n, told = 0;

	if (!load_relaxed(&e->ever_tagged)) {
		n = kernel_wait(e, ev, max, ns, mask);
		return n < 0 ? -errno : translate_late(e, ev, n);
	}
	/* bells, and a stream that goes back, are no events: what is behind them is
	 * due now where the caller does not wait */
	for (int i = 0; i < KERNEL_BATCH; i++) {
		n = kernel_wait(e, buf, max < KERNEL_BATCH ? max : KERNEL_BATCH, ns, mask);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		told = translate(e, buf, n, ev);
		if (!told && e->rang != rang) {
			shmfd_set_lock(e);
			told = collect(e, ev, max);
			shmfd_set_unlock(e);
		}
		if (told || ns)
			return told;
	}
	return 0;
}

/* True if waits find so much in memory that the kernel has to be asked beside.  Where
 * they are short and it had nothing last time, it may rest for a moment. */
static bool kernel_is_due(struct shmfd_set *e)
{
	int64_t now;

	if (e->waits < SHMFD_SET_KERNEL_EVERY)
		return false;
	e->waits = 0;
	now = shmfd_now_ns();
	if (now - e->looked_ns < KERNEL_LOOK_NS)
		return false;
	e->looked_ns = now;
	return true;
}

/* Memory and, now and then, the kernel.  Returns events. */
static int look(struct shmfd_set *e, struct epoll_event *ev, int max)
{
	int n = 0, more;

	if (!e->hot)
		return 0;
	if (kernel_is_due(e)) {
		n = ask_kernel(e, ev, max, 0, NULL);
		if (n < 0)
			n = 0;
		if (n) {
			e->looked_ns = 0;
			return n;	/* hot ones are level: next time */
		}
	}
	shmfd_set_lock(e);
	more = collect(e, ev + n, max - n);
	shmfd_set_unlock(e);
	if (more)
		e->waits++;
	return n + more;
}

/* True if the peers of the hot streams run on this processor; a few speak for
 * all.  Tells them where we are. */
static bool same_cpu(struct shmfd_set *e)
{
	bool same = true;

	shmfd_set_lock(e);
	for (uint32_t i = e->hot, k = 0; i && k < 4; i = shmfd_set_at(i)->reg.next, k++) {
		if (!shmfd_set_at(i)->seg)
			continue;
		shmfd_stream_show_cpu(shmfd_set_at(i));
		same &= shmfd_stream_same_cpu(shmfd_set_at(i));
	}
	shmfd_set_unlock(e);
	return same;
}

/* Nothing came into the rings since the last report, at a glance: no more than a hint.
 * Under the set's lock. */
static bool is_quiet(const struct shmfd_set *e)
{
	for (uint32_t i = e->hot; i; i = shmfd_set_at(i)->reg.next) {
		const struct shmfd_stream *s = shmfd_set_at(i);
		const struct shmfd_record *rec = shmfd_stream_record(s);
		uint64_t pos = s->reg.events & EPOLLET ? unseen(rec) : rec->rd_pos;

		if (load_relaxed(&rec->rx_mode) != SHMFD_MODE_RING ||
		    load_relaxed(&s->rings->tx_nospace) || !shmfd_ring_is_empty(&s->rings->rx, pos))
			return false;
	}
	return true;
}

static int spin(struct shmfd_set *e, struct epoll_event *ev, int max, int64_t limit_ns,
		struct shmfd_spinner *sp)
{
	int64_t kernel_at = 0;
	uint32_t rang;
	int n;

	sp->tried = NULL;
	if (!e->hot || !shmfd_spin_begin(sp, &e->spin, same_cpu(e), limit_ns))
		return 0;
	do {
		for (int i = 0; i < SPIN_LOOKS; i++) {
			shmfd_set_lock(e);
			n = i && is_quiet(e) ? 0 : collect(e, ev, max);
			shmfd_set_unlock(e);
			if (n) {
				shmfd_spin_paid(sp);
				e->waits++;
				return n;
			}
			cpu_pause();
		}
		if (!kernel_at)
			kernel_at = sp->last;
		if (sp->last - kernel_at > KERNEL_LOOK_NS) {
			kernel_at = sp->last;
			rang = e->rang;
			n = ask_kernel(e, ev, max, 0, NULL);
			if (n && e->rang != rang)
				shmfd_spin_paid(sp);
			else if (n)	/* a sleep would have told it as well */
				shmfd_spin_slept(sp, sp->last - sp->start);
			if (n)
				return n > 0 ? n : 0;
		}
	} while (shmfd_spin_more(sp));
	return 0;
}

/*
 * A nap costs for each stream in it some 75 ns of this process, a bell 2 us of either: it
 * reaches back to streams that had an event so many naps ago, as long as there are several
 * events for each sleep, and not too many streams.
 */
static void set_reach(struct shmfd_set *e)
{
	if (e->napping > NAP_WORTH * (e->told ? e->told - 1 : 0))
		e->reach /= 2;
	else if (e->told > 1 && e->reach < REACH_MOST)
		e->reach = e->reach ? 2 * e->reach : 1;
	e->told = 0;
	e->napping = 0;
}

/* The peer may hold bells back from this sleep: a stream that had an event just now, so that
 * few have to be looked at after it. */
static bool is_brief(const struct shmfd_set *e, const struct shmfd_stream *s)
{
	return !e->is_long && (uint16_t)(e->naps - s->reg.nap) < BRIEF_NAPS &&
		shmfd_stream_peer_holds(s);
}

/*
 * Arms what is hot: what had an event not long ago in a nap, or briefly, and it stays hot, the
 * rest alone, and it is cold then.  Once there is an event there will be no sleep: the others
 * are looked at only, and stay hot.  Returns events; 0: nothing became ready meanwhile, sleep.
 * @brief_too: whether any may be armed briefly, and then whether one was.
 */
static int arm_all(struct shmfd_set *e, struct epoll_event *ev, int max, bool *brief_too)
{
	bool may = *brief_too;
	uint64_t nap;
	int n = 0;
	uint32_t next;

	*brief_too = false;
	shmfd_set_lock(e);
	if (e->told)
		e->is_long = false;
	set_reach(e);
	nap = e->reach ? shmfd_nap_new() : 0;
	for (uint32_t i = e->hot; i; i = next) {
		struct shmfd_stream *s = shmfd_set_at(i);
		bool naps = (uint16_t)(e->naps - s->reg.nap) < e->reach;
		bool brief = may && is_brief(e, s);
		uint32_t bits;

		next = s->reg.next;
		if (!n) {
			e->napping += naps;
			*brief_too |= brief;
			shmfd_ready_arm(s, s->reg.events, naps ? nap : 0, brief);
		} else if (n >= max) {
			break;
		}
		bits = report(e, s, 0);
		if (bits) {
			emit(&ev[n++], s, bits);
			silence(e, s);
		} else if (!naps && !brief && !n) {
			shmfd_set_cool(e, s);
		}
	}
	e->naps++;
	shmfd_set_unlock(e);
	return n;
}

/*
 * A brief sleep, and the long one behind it.  To the host it is one wait: a signal that comes
 * between the two stays pending, and ends the second (EINTR) if @mask, or what was open
 * before, lets it.  As sleep_set.
 */
static int sleep_briefly(struct shmfd_set *e, struct epoll_event *ev, int max, int64_t left_ns,
			 const sigset_t *mask)
{
	uint64_t before = shmfd_signals_block();
	uint32_t rang = e->rang;
	sigset_t open = { 0 };
	bool brief;
	int n;

	if (mask)
		open = *mask;
	else
		memcpy(&open, &before, sizeof(before));
	n = ask_kernel(e, ev, max, SHMFD_BRIEF_NS, &open);
	e->is_long = !n && e->rang == rang;
	if (e->is_long) {
		brief = false;
		n = arm_all(e, ev, max, &brief);
		if (!n)
			n = ask_kernel(e, ev, max, left_ns < 0 ? -1 : left_ns - SHMFD_BRIEF_NS,
				       &open);
	}
	shmfd_signals_restore(before);
	return n;
}

/* Sleeps in the kernel's set.  Events or -errno; 0: look again. */
static int sleep_set(struct shmfd_set *e, struct epoll_event *ev, int max, int64_t left_ns,
		     const sigset_t *mask)
{
	bool longer = left_ns < 0 || left_ns > SHMFD_BRIEF_NS;
	/* longer, it is two sleeps, and signals have to wait in between */
	bool brief = !longer || (!shmfd_signals_free &&
				 !(mask && shmfd_is_bad_pointer(mask, sizeof(*mask))));
	int n;

	fetch_add_acq_rel(&e->sleepers, 1); /* [epoll_wait.S] */
	n = arm_all(e, ev, max, &brief);
	if (!n && brief && longer)
		n = sleep_briefly(e, ev, max, left_ns, mask);
	else if (!n)
		n = ask_kernel(e, ev, max, left_ns, mask);
	fetch_sub_acq_rel(&e->sleepers, 1);
	return n;
}

static int wait_set(struct shmfd_set *e, struct epoll_event *ev, int max, int64_t timeout_ns,
		    const sigset_t *mask)
{
	int64_t deadline, left = timeout_ns, step, began;
	struct shmfd_spinner sp;
	int n;

	/* in a handler that interrupted a sleep here: it would take the bell of that nap */
	if (unlikely(load_relaxed(&e->sleepers)))
		shmfd_set_make_plain(e, SHMFD_WHY_EPOLL);
	deadline = timeout_ns > 0 ? shmfd_now_ns() + timeout_ns : 0;
	for (;;) {
		shmfd_before_sleep(0);
		n = look(e, ev, max);
		if (n)
			return n;
		if (!timeout_ns)
			return ask_kernel(e, ev, max, 0, mask);
		n = spin(e, ev, max, left, &sp);
		if (n)
			return n;
		began = sp.tried ? shmfd_now_ns() : 0;
		step = shmfd_before_sleep(left);
		/* what is left of whole milliseconds: epoll_wait's rounding */
		if (step > 0 && timeout_ns % MS_NS == 0)
			step = (step + MS_NS - 1) / MS_NS * MS_NS;
		n = sleep_set(e, ev, max, step, mask);
		if (began)
			shmfd_spin_slept(&sp, shmfd_now_ns() - began);
		if (n)
			return n;
		if (!deadline)
			continue;
		left = deadline - shmfd_now_ns();
		if (left <= 0)
			return 0;
	}
}

/* The kernel lets who is in a wait go on with a set whose number is closed or taken
 * by another file (epoll_wait(2)): it answers for the streams from now on. */
bool shmfd_set_keep(struct shmfd_set *e)
{
	int fd;

	if (!load_acquire(&e->inside))
		return false;
	shmfd_set_make_plain(e, SHMFD_WHY_EPOLL);
	fd = shmfd_hide_fd(shmfd_sys.fcntl(e->fd, F_DUPFD_CLOEXEC, 0));
	if (fd < 0)
		return false;
	e->fd = fd;
	fetch_add_acq_rel(&e->inside, 1);
	store_release(&e->closed, 1);
	return true;
}

void shmfd_set_leave(struct shmfd_set *e)
{
	if (fetch_sub_acq_rel(&e->inside, 1) != 1 || !load_acquire(&e->closed))
		return;
	shmfd_unhide_close(e->fd);
	store_relaxed(&e->closed, 0);
	store_release(&e->used, 0); /* [epoll.U] */
}

struct shmfd_set *shmfd_epoll_early(int ep, int64_t timeout_ns)
{
	struct shmfd_set *e = shmfd_set_of(ep);

	if (!e || e->fd != ep || !__libc_single_threaded || load_relaxed(&e->ever_tagged))
		return NULL;
	shmfd_set_disown(e);
	if (load_relaxed(&e->sleepers) || shmfd_before_sleep(timeout_ns) != timeout_ns)
		return NULL;
	store_relaxed(&e->sleepers, 1); /* [epoll_wait.S] */
	fence_signal();
	if (likely(!load_relaxed(&e->ever_tagged))) /* [epoll_wait.T] */
		return e;
	store_relaxed(&e->sleepers, 0);
	return NULL;
}

int shmfd_epoll_early_end(struct shmfd_set *e, struct epoll_event *ev, int n)
{
	int saved;

	fence_signal();
	store_relaxed(&e->sleepers, 0);
	if (likely(n <= 0 || !load_relaxed(&e->ever_tagged))) /* [epoll_wait.T] */
		return n;
	saved = errno;
	n = translate_late(e, ev, n);
	errno = saved;
	return n ? n : SHMFD_PASS;
}

int shmfd_epoll_wait(int ep, struct epoll_event *ev, int max, int64_t timeout_ns,
		     const sigset_t *mask)
{
	struct shmfd_set *e = shmfd_set_of(ep);
	int n, saved = errno;
	bool counted;

	if (!e || e->fd != ep || max <= 0 || max > EVENTS_MAX ||
	    shmfd_is_bad_pointer(ev, sizeof(*ev)))
		return SHMFD_PASS;
	shmfd_set_disown(e);
	shmfd_cancel_point();
	/* a bell is for one thread, and taken by whoever looks first: leave it to the
	 * kernel.  Of two that come, one sees the other, before either may sleep */
	counted = !__libc_single_threaded;
	if (counted && fetch_add_acq_rel(&e->inside, 1))
		shmfd_set_make_plain(e, SHMFD_WHY_EPOLL);
	n = wait_set(e, ev, max, timeout_ns, mask);
	if (counted)
		shmfd_set_leave(e);
	errno = saved;	/* a success does not touch it */
	return n;
}
