/* SPDX-License-Identifier: MIT */

/*
 * epoll sets with streams on rings.
 *
 * The kernel's set stays the truth.  A stream that is paired is held there by
 * its socket, asked only for the directions that are not on rings, and by its
 * link; both carry a tag in place of the host's data: a random prefix and the
 * stream's index.  The host's data is kept in the registration and given back
 * with every event.  A host that registers a value with our prefix, for
 * whatever descriptor, gets a set without rings.
 *
 *   hot    looked at in memory at every wait
 *   cold   armed: silent in memory, the peer rings the link
 *
 * A stream becomes hot when its bell rings or its registration changes, and cold when
 * the set goes to sleep, unless it naps, or after IDLE_WAITS waits that had events for
 * others only.  So a wait costs what is hot, never what is registered.  Every
 * KERNEL_EVERY waits that found something in memory ask the kernel too, first, so that
 * neither side starves; not sooner than 8 us after it had nothing (a question takes
 * 250 ns, a short wait 50).
 *
 * Edge: fires when a record was published since the last look, however much is
 * unread before it; OUT when a send had found the ring full and there is room
 * again; after ADD and MOD once with the present state (epoll(7)).
 *
 * A one-shot that was registered before the stream was paired may have been
 * delivered, or be on its way to another thread: only the kernel knows.  Such a
 * stream is held: both directions stay in the kernel until the host arms it
 * again.
 *
 * Naps: a sleep of the set under the words of several streams is one nap (wait.h): who
 * sends to some of them rings once.  In it are streams that had an event a few sleeps
 * ago; they stay hot, and are armed and looked at anew at the next sleep.  So a stream
 * leaves the hot list only armed alone, or with its link; and a link that leaves the
 * kernel's set while somebody sleeps there kicks it.
 *
 * What is not done here exactly, and so makes streams retreat: several threads in
 * one set's wait, asleep or not (one would take the bells of another), a set shared
 * over fork (EPOLL: the set goes on reporting what is unread in a ring); a stream that
 * is registered twice, a set that is itself polled or nested (SETS: the kernel answers
 * for it, so what is unread goes there first).
 *
 * P: postponed: up behind the state of the stream, down before the walk: another thread
 * that walks between the two finds the flag again at the next use.  The walk ends a stream
 * under the lock that the look below the handler has.
 *
 * U: used: a place is taken by CAS, and free again when its streams have forgotten the set.
 *
 * Concurrency: the set's lock covers its list and the registrations in it.  It may be
 * taken while no stream lock is held, never the other way round.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "epoll_set.h"
#include "kick.h"
#include "sys.h"

#define SETS		1024u

struct shmfd_set shmfd_sets[SETS];
uint32_t shmfd_set_prefix;
const struct shmfd_record shmfd_set_record = { .holders = 1 };

void shmfd_ready_init(uint32_t random)
{
	/* not 0 and not all ones: what small integers and -1 would have */
	shmfd_set_prefix = (random | 0x00010000u) & ~0x80000000u;
}

struct shmfd_set *shmfd_set_of_lock(const _Atomic uint32_t *word)
{
	uintptr_t at = (uintptr_t)word - (uintptr_t)shmfd_sets;

	return at < sizeof(shmfd_sets) ? &shmfd_sets[at / sizeof(shmfd_sets[0])] : NULL;
}

static struct shmfd_set *set_make(int ep)
{
	struct shmfd_set *e = shmfd_set_of(ep);

	if (e || shmfd_fd_lookup(ep) != (uint32_t)SHMFD_FD_NONE)
		return e;
	for (uint32_t i = 0; i < SETS; i++) {
		uint32_t none = 0;

		e = &shmfd_sets[i];
		if (!cas_acquire(&e->used, &none, 1)) /* [epoll.U] */
			continue;
		e->fd = ep;
		e->hot = e->tail = 0;
		e->waits = e->served = e->nested = 0;
		e->told = e->napping = e->naps = e->reach = 0;
		e->looked_ns = 0;
		e->collides = e->shaken = e->is_long = false;
		e->kick = 0;
		store_relaxed(&e->tagged, 0);
		store_relaxed(&e->ever_tagged, 0);
		store_relaxed(&e->inside, 0);
		store_relaxed(&e->sleepers, 0);
		store_relaxed(&e->plain, 0);
		store_relaxed(&e->closed, 0);
		store_relaxed(&e->inherited, 0);
		store_relaxed(&e->postponed, 0);
		shmfd_fd_set(ep, SHMFD_FD_EPOLL | i);
		return e;
	}
	return NULL;
}

struct shmfd_stream *shmfd_set_next(const struct shmfd_set *e, uint32_t *i)
{
	while (shmfd_table && *i < load_relaxed(&shmfd_table->high)) {
		struct shmfd_stream *s = &shmfd_streams[(*i)++];

		if (load_relaxed(&s->numbers) && shmfd_set_of_stream(s) == e)
			return s;
	}
	return NULL;
}

/* ---- the kernel's set -------------------------------------------------------------- */

uint64_t shmfd_set_tag(const struct shmfd_stream *s, bool link)
{
	return (uint64_t)shmfd_set_prefix << 32 | (link ? SHMFD_SET_TAG_LINK : 0) |
		shmfd_stream_index(s);
}

/* The present state has to be reported, and the kernel knows a part of it. */
static void freshen(struct shmfd_set *e, struct shmfd_stream *s)
{
	s->reg.fresh = true;
	if (s->reg.watched) {
		e->waits = SHMFD_SET_KERNEL_EVERY;
		e->looked_ns = 0;
	}
}

/* What the kernel watches on the socket of a tagged stream. */
uint32_t shmfd_set_kernel_events(struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);
	uint32_t rx = load_relaxed(&rec->rx_mode), tx = load_relaxed(&rec->tx_mode);
	uint32_t want = 0;

	if (s->reg.disarmed || s->reg.parked)
		return 0;
	/* of one that left also while its ring is unread: arrivals behind it are
	 * edges, and hang-up is the kernel's to tell */
	if (rx != SHMFD_MODE_RING || load_relaxed(&rec->phase) == SHMFD_LEFT)
		want |= s->reg.events & SHMFD_SET_IN;
	if (tx != SHMFD_MODE_RING)
		want |= s->reg.events & SHMFD_SET_OUT;
	if (tx == SHMFD_MODE_RESEND)	/* to go on with it, not for the host */
		want |= EPOLLOUT;
	if (unlikely(shmfd_ready_shut_unseen(s)))
		want |= EPOLLRDHUP;
	return want ? want | (s->reg.events & EPOLLET) : 0;
}

/* A forked child shares the kernel's set with its parent, which goes on with it: what
 * the child closes or leaves changes nothing there, before it uses the set itself. */
static int set_ctl(struct shmfd_set *e, int op, int fd, struct epoll_event *ev)
{
	return load_relaxed(&e->inherited) ? 0 : shmfd_sys.epoll_ctl(e->fd, op, fd, ev);
}

int shmfd_set_kernel_mod(struct shmfd_set *e, struct shmfd_stream *s, uint32_t events,
			 uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	if (unlikely(load_relaxed(&e->inherited)))
		return 0;
	s->reg.watched = events;
	if (unlikely(s->reg.lost))
		return 0;
	/* under our tag (again, if a fork's child gave it back): to be restored */
	if (data >> 32 == shmfd_set_prefix)
		store_relaxed(&shmfd_stream_record(s)->reg_restored, 0);
	return shmfd_sys.epoll_ctl(e->fd, EPOLL_CTL_MOD, s->reg.fd, &ev);
}

/* Brings what the kernel watches up to the modes of the directions. */
static int watch(struct shmfd_set *e, struct shmfd_stream *s)
{
	uint32_t want = shmfd_set_kernel_events(s);

	/* a fork's child may have given the registration back */
	if (want == s->reg.watched && !load_relaxed(&shmfd_stream_record(s)->reg_restored))
		return 0;
	return shmfd_set_kernel_mod(e, s, want, shmfd_set_tag(s, false));
}

/* Puts a stream that has rings under our tag.  False: the kernel refused. */
static bool tag(struct shmfd_set *e, struct shmfd_stream *s)
{
	struct epoll_event link = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
				    .data.u64 = shmfd_set_tag(s, true) };
	bool left = load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_LEFT;
	bool alone = true;

	store_relaxed(&e->ever_tagged, 1); /* [epoll_wait.T] */
	/* the link of one that left has ended: it would be reported for ever */
	if (!left && shmfd_sys.epoll_ctl(e->fd, EPOLL_CTL_ADD, s->rings->wait.link, &link))
		return false;
	/* among threads a registration counts as a sleeper on the link: see
	 * shmfd_ready_may_sleep, and `others` of shmfd_wait_sleep */
	s->reg.counted = !__libc_single_threaded;
	if (s->reg.counted)
		alone = !fetch_add_seq_cst(&s->pollers, SHMFD_IN_SET);
	s->reg.tagged = true;
	s->reg.unlinked = left;
	fetch_add_acq_rel(&e->tagged, 1);
	if (shmfd_set_kernel_mod(e, s, shmfd_set_kernel_events(s), shmfd_set_tag(s, false)))
		return false;
	freshen(e, s);
	shmfd_set_heat(e, s);
	return alone && (!s->reg.counted || !load_seq_cst(&s->rings->wait.blocked));
}

/* A link leaves the kernel's set, and its bell with it, which may have ended a nap of
 * others.  Under the set's lock. */
static void unlink_from(struct shmfd_set *e, struct shmfd_stream *s)
{
	struct epoll_event none = { 0 };

	s->reg.unlinked = true;
	set_ctl(e, EPOLL_CTL_DEL, s->rings->wait.link, &none);
	if (e->hot)
		shmfd_set_kick(e, shmfd_set_at(e->hot));
}

/* Gives the registration back to the kernel, as the host made it. */
static void untag(struct shmfd_set *e, struct shmfd_stream *s, bool closing)
{
	struct epoll_event none = { 0 };

	shmfd_set_cool(e, s);
	if (!s->reg.tagged)
		return;
	s->reg.tagged = false;
	if (s->reg.counted)
		fetch_sub_acq_rel(&s->pollers, SHMFD_IN_SET);
	s->reg.counted = false;
	fetch_sub_acq_rel(&e->tagged, 1);
	if (!s->reg.unlinked)
		unlink_from(e, s);
	if (s->reg.parked) {	/* the host has deleted it long ago */
		set_ctl(e, EPOLL_CTL_DEL, s->reg.fd, &none);
		s->reg.parked = false;
		s->reg.set = 0;
		return;
	}
	/* once among the processes that share the set over fork */
	if (!closing && !xchg_seq_cst(&shmfd_stream_record(s)->reg_restored, 1))
		shmfd_set_kernel_mod(e, s, s->reg.disarmed ? 0 : s->reg.events, s->reg.data);
}

/* ---- stream events ------------------------------------------------------------------- */


bool shmfd_ready_paired(struct shmfd_stream *s)
{
	struct shmfd_set *e = shmfd_set_of_stream(s);
	int saved = errno;
	bool ok;

	if (!e)
		return !s->reg.many;
	/* one thread asleep in a receive, others that may sleep in the set: two
	 * kinds of sleepers, before it begins */
	if (!__libc_single_threaded && load_acquire(&shmfd_stream_record(s)->rx_inflight))
		return false;
	shmfd_set_lock(e);
	ok = !load_relaxed(&e->plain) && !load_relaxed(&e->inherited) && !s->reg.many;
	if (ok && !s->reg.tagged && (s->reg.events & EPOLLONESHOT))
		s->reg.held = true;
	else if (ok)
		ok = s->reg.tagged || tag(e, s);
	if (ok)
		shmfd_set_kick(e, s);
	shmfd_set_unlock(e);
	errno = saved;
	return ok;
}

/*
 * The stream has left.  While ring bytes are unread the registration stays
 * tagged and hot: only memory knows of them.  A one-shot that was delivered stays
 * tagged until the host arms it: given back, it would tell hang-up and errors.  So would
 * an edge of one that was reset, once more.
 * Under the set's lock.
 */
static void settle_left(struct shmfd_set *e, struct shmfd_stream *s)
{
	bool told = s->reg.disarmed || (s->reg.events & EPOLLET && shmfd_stream_was_reset(s));

	if (!shmfd_stream_knows_more(s) && !told && !s->reg.lost) {
		untag(e, s, false);
		return;
	}
	if (!s->reg.unlinked) {	/* an ended link would be reported for ever */
		freshen(e, s);
		unlink_from(e, s);
	}
	shmfd_set_heat(e, s);
	watch(e, s);
}

/* A direction may have changed its mode.  Under the set's lock. */
void shmfd_set_changed(struct shmfd_set *e, struct shmfd_stream *s)
{
	if (!s->reg.tagged || load_relaxed(&e->inherited))
		return;
	if (load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_LEFT)
		settle_left(e, s);
	else
		watch(e, s);
}

void shmfd_ready_changed(struct shmfd_stream *s)
{
	struct shmfd_set *e = shmfd_set_of_stream(s);
	int saved = errno;

	if (!e)
		return;
	shmfd_set_lock(e);
	shmfd_set_changed(e, s);
	if (s->reg.tagged) {
		shmfd_set_heat(e, s);
		shmfd_set_kick(e, s);
	}
	shmfd_set_unlock(e);
	errno = saved;
}

/* Ends a parked registration of another set or number. */
static void end_parked(struct shmfd_stream *s)
{
	struct shmfd_set *e = shmfd_set_of_stream(s);

	if (!e || !s->reg.parked)
		return;
	shmfd_set_lock(e);
	untag(e, s, true);
	shmfd_set_unlock(e);
}

void shmfd_ready_number_closed(struct shmfd_stream *s, int fd)
{
	struct shmfd_set *e = shmfd_set_of_stream(s);

	if (!e || s->reg.fd != fd)
		return;
	end_parked(s);
	if (!s->reg.tagged || load_relaxed(&e->inherited))
		return;
	/* the kernel's set holds on to the file, but nobody can change that any
	 * more without the number (epoll(7)): for good, it tells every change, and
	 * report() asks the socket */
	shmfd_set_lock(e);
	shmfd_set_kernel_mod(e, s, (s->reg.events & (SHMFD_SET_IN | SHMFD_SET_OUT)) | EPOLLET,
			     shmfd_set_tag(s, false));
	s->reg.lost = true;
	s->reg.fd = -1;
	shmfd_set_heat(e, s);
	shmfd_set_unlock(e);
}

void shmfd_ready_rang(struct shmfd_stream *s)
{
	struct shmfd_set *e = shmfd_set_of_stream(s);

	if (!e)
		return;
	shmfd_set_lock(e);
	if (s->reg.tagged) {
		shmfd_set_heat(e, s);
		shmfd_set_kick(e, s);	/* of a handler that took the bell of the sleep below it */
	}
	shmfd_set_unlock(e);
}

void shmfd_ready_poke(struct shmfd_stream *s)
{
	struct shmfd_set *e = shmfd_set_of_stream(s);
	int saved = errno;

	if (!e)
		return;
	shmfd_set_lock(e);
	if (s->reg.tagged) {
		freshen(e, s);
		shmfd_set_heat(e, s);
		shmfd_set_kick(e, s);
	}
	shmfd_set_unlock(e);
	errno = saved;
}

/* True in a handler that interrupted our own work on the set. */
static bool is_inside(const struct shmfd_set *e)
{
	return (load_relaxed(&e->lock) & ~SHMFD_LOCK_WAITERS) == shmfd_tid();
}

bool shmfd_ready_is_looking(const struct shmfd_stream *s)
{
	const struct shmfd_set *e = shmfd_set_of_stream(s);

	return e && is_inside(e);
}

void shmfd_ready_postpone(struct shmfd_stream *s)
{
	struct shmfd_set *e = shmfd_set_of_stream(s);

	store_release(&s->closing, SHMFD_POSTPONED);	/* from here on it may vanish */
	store_release(&e->postponed, 1); /* [epoll.P] */
}

/* Streams that were closed meanwhile. */
static void finish_postponed(struct shmfd_set *e)
{
	if (is_inside(e))
		return;
	if (!xchg_seq_cst(&e->postponed, 0)) /* [epoll.P] */
		return;
	for (uint32_t i = 0; shmfd_table && i < load_relaxed(&shmfd_table->high); i++)
		shmfd_stream_finish(&shmfd_streams[i]);
}

void shmfd_ready_forget(struct shmfd_stream *s)
{
	struct shmfd_set *e = shmfd_set_of_stream(s);
	int saved = errno;

	if (!e)
		return;
	shmfd_set_lock(e);
	untag(e, s, true);
	s->reg.set = 0;
	s->reg.held = false;
	shmfd_set_unlock(e);
	errno = saved;
}

bool shmfd_ready_may_sleep(const struct shmfd_stream *s)
{
	return s->reg.tagged && !__libc_single_threaded;
}

/* No rings in this set from now on. */
void shmfd_set_make_plain(struct shmfd_set *e, enum shmfd_reason why)
{
	struct shmfd_stream *s;

	if (xchg_seq_cst(&e->plain, 1))
		return;
	for (uint32_t i = 0; load_relaxed(&e->tagged) && (s = shmfd_set_next(e, &i));) {
		s = s->reg.tagged ? shmfd_stream_get_at(i - 1) : NULL;
		if (!s)
			continue;
		shmfd_stream_retreat(s, why);
		/* one that had left before this process looked */
		shmfd_ready_changed(s);
		shmfd_stream_put(s);
	}
}

/* The host's data looks like our tags: nothing of ours may come by this set. */
static void set_collides(struct shmfd_set *e)
{
	e->collides = true;
	shmfd_set_make_plain(e, SHMFD_WHY_SETS);
}

/* The first use of an inherited set in this process. */
void shmfd_set_disown(struct shmfd_set *e)
{
	shmfd_stream_notice_fork();
	if (unlikely(load_relaxed(&e->postponed)))
		finish_postponed(e);
	if (unlikely(load_relaxed(&e->inherited))) {
		store_relaxed(&e->inherited, 0);
		shmfd_set_make_plain(e, SHMFD_WHY_EPOLL);
	}
}

void shmfd_epoll_created(int ep)
{
	set_make(ep);
}

void shmfd_epoll_expose(int ep)
{
	struct shmfd_set *e = set_make(ep);

	if (e)
		shmfd_set_make_plain(e, SHMFD_WHY_SETS);
}

void shmfd_epoll_close(int ep)
{
	struct shmfd_set *e = shmfd_set_of(ep);
	struct shmfd_stream *s;
	bool kept;

	if (!e)
		return;
	if (load_relaxed(&e->postponed))
		finish_postponed(e);
	kept = shmfd_set_keep(e);
	shmfd_fd_set(ep, SHMFD_FD_NONE);
	for (uint32_t i = 0; (s = shmfd_set_next(e, &i));) {
		shmfd_set_lock(e);
		if (kept)
			untag(e, s, false);
		shmfd_set_cool(e, s);
		if (s->reg.counted)
			fetch_sub_acq_rel(&s->pollers, SHMFD_IN_SET);
		s->reg = (struct shmfd_reg){ .many = s->reg.many };
		shmfd_set_unlock(e);
	}
	shmfd_set_drop_kick(e);
	if (kept)
		shmfd_set_leave(e);
	else
		store_release(&e->used, 0); /* [epoll.U] */
}

/* A set is one open file.  The parent goes on with it; a child that uses it
 * makes it plain first. */
void shmfd_ready_fork_child(void)
{
	for (uint32_t i = 0; i < SETS; i++) {
		struct shmfd_set *e = &shmfd_sets[i];

		if (!load_relaxed(&e->used))
			continue;
		store_relaxed(&e->lock, 0);
		e->nested = 0;
		store_relaxed(&e->inside, 0);
		store_relaxed(&e->sleepers, 0);
		store_relaxed(&e->inherited, 1);
		if (load_relaxed(&e->closed)) {	/* the threads are the parent's */
			fetch_add_acq_rel(&e->inside, 1);
			shmfd_set_leave(e);
		}
		if (e->kick)	/* the parent's goes on in the kernel's set */
			shmfd_unhide_close(e->kick - 1);
		e->kick = 0;
	}
}

/* ---- epoll_ctl -------------------------------------------------------------------------- */

/* The registration that was left in the kernel's set is used again. */
static int ctl_unpark(struct shmfd_set *e, struct shmfd_stream *s, struct epoll_event *ev)
{
	s->reg.parked = false;
	s->reg.disarmed = false;
	s->reg.events = ev->events;
	s->reg.data = ev->data.u64;
	watch(e, s);
	freshen(e, s);
	shmfd_set_heat(e, s);
	shmfd_set_kick(e, s);
	return 0;
}

static int ctl_add(struct shmfd_set *e, struct shmfd_stream *s, int fd, struct epoll_event *ev)
{
	struct shmfd_set *other;
	uint32_t phase;

	end_parked(s);
	if (shmfd_sys.epoll_ctl(e->fd, EPOLL_CTL_ADD, fd, ev))
		return -errno;
	if (s->reg.set || load_relaxed(&e->plain)) {
		other = shmfd_set_of_stream(s);
		if (other) {
			shmfd_set_lock(other);
			s->reg.many = true;
			shmfd_set_unlock(other);
		}
		shmfd_stream_retreat(s, SHMFD_WHY_SETS);
		if (other)
			return 0;
	}
	shmfd_set_lock(e);
	s->reg = (struct shmfd_reg){
		.set = (uint32_t)(e - shmfd_sets) + 1,
		.fd = fd,
		.events = ev->events,
		.data = ev->data.u64,
	};
	/* also one that left, while bytes that only memory knows are unread */
	phase = load_acquire(&shmfd_stream_record(s)->phase);
	if (phase == SHMFD_PAIRED || (phase == SHMFD_LEFT && shmfd_stream_has_ring(s) &&
				      shmfd_stream_knows_more(s) && !e->collides)) {
		if (tag(e, s)) {
			shmfd_set_changed(e, s);
			shmfd_set_kick(e, s);
			shmfd_set_unlock(e);
			return 0;
		}
		shmfd_set_unlock(e);
		shmfd_stream_retreat(s, SHMFD_WHY_EPOLL);
		return 0;
	}
	shmfd_set_unlock(e);
	return 0;
}

/* Under the set's lock, which it releases. */
static int mod_untagged(struct shmfd_set *e, struct shmfd_stream *s, struct epoll_event *ev)
{
	bool held = s->reg.held && load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_PAIRED;
	struct shmfd_reg before = s->reg;
	int ret = 0;

	s->reg.events = ev->events;
	s->reg.data = ev->data.u64;
	s->reg.held = false;
	/* armed under our tag at once: armed before, it might be delivered twice */
	if (held && tag(e, s)) {
		shmfd_set_kick(e, s);
		shmfd_set_unlock(e);
		shmfd_stream_offer(s);
		return 0;
	}
	if (!s->reg.tagged && shmfd_sys.epoll_ctl(e->fd, EPOLL_CTL_MOD, s->reg.fd, ev)) {
		ret = -errno;
		s->reg.events = before.events;
		s->reg.data = before.data;
	}
	shmfd_set_unlock(e);
	if (held)	/* no tag: the kernel refused */
		shmfd_stream_retreat(s, SHMFD_WHY_EPOLL);
	return ret;
}

static int ctl_mod(struct shmfd_set *e, struct shmfd_stream *s, struct epoll_event *ev)
{
	uint32_t want;
	int ret = 0;

	shmfd_set_lock(e);
	if (!s->reg.tagged)
		return mod_untagged(e, s, ev);
	s->reg.events = ev->events;
	s->reg.data = ev->data.u64;
	s->reg.disarmed = false;
	want = shmfd_set_kernel_events(s);
	/* the same again: an edge that was told is told again, by the kernel what is its */
	if (want & EPOLLET ? shmfd_set_kernel_mod(e, s, want, shmfd_set_tag(s, false)) :
	    watch(e, s))
		ret = -errno;
	freshen(e, s);
	shmfd_set_heat(e, s);
	shmfd_set_kick(e, s);
	shmfd_set_unlock(e);
	return ret;
}

static int ctl_del(struct shmfd_set *e, struct shmfd_stream *s, int fd)
{
	struct epoll_event none = { 0 };

	shmfd_set_lock(e);
	if (s->reg.tagged && !s->reg.unlinked && !shmfd_set_kernel_events(s)) {
		/* both directions are on rings, the kernel watches nothing: it
		 * stays there, silent, for the next ADD (redis-benchmark does a
		 * DEL and an ADD for every request) */
		s->reg.parked = true;
		shmfd_set_cool(e, s);
		watch(e, s);
		shmfd_set_unlock(e);
		return 0;
	}
	shmfd_set_unlock(e);
	if (shmfd_sys.epoll_ctl(e->fd, EPOLL_CTL_DEL, fd, &none))
		return -errno;
	shmfd_set_lock(e);
	untag(e, s, true);
	s->reg.set = 0;
	s->reg.held = false;
	shmfd_set_unlock(e);
	return 0;
}

static int ctl_stream(struct shmfd_set *e, struct shmfd_stream *s, int op, int fd,
		      struct epoll_event *ev)
{
	bool known = shmfd_set_of_stream(s) == e && s->reg.fd == fd;

	/* EINVAL, of one that is deleted as well (linux/fs/eventpoll.c) */
	if ((op == EPOLL_CTL_MOD && ev->events & EPOLLEXCLUSIVE) ||
	    (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL))
		return SHMFD_PASS;
	if (known && s->reg.parked) {
		int ret = -ENOENT;

		shmfd_set_lock(e);
		known = s->reg.parked;
		if (known && op == EPOLL_CTL_ADD && !(ev->events & EPOLLEXCLUSIVE))
			ret = ctl_unpark(e, s, ev);
		shmfd_set_unlock(e);
		if (known && (op != EPOLL_CTL_ADD || !ret))
			return ret;
		known = false;
	}
	if (op == EPOLL_CTL_ADD && !known && ev)
		return ctl_add(e, s, fd, ev);
	if (op == EPOLL_CTL_MOD && known && ev && !(s->reg.events & EPOLLEXCLUSIVE))
		return ctl_mod(e, s, ev);
	if (op == EPOLL_CTL_DEL && known)
		return ctl_del(e, s, fd);
	/* EEXIST, ENOENT, EFAULT, several registrations: the kernel's answer */
	return SHMFD_PASS;
}

int shmfd_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	struct shmfd_stream *s;
	struct shmfd_set *e = shmfd_set_of(ep);
	int ret;

	if (op != EPOLL_CTL_DEL && shmfd_is_bad_pointer(ev, sizeof(*ev)))
		return SHMFD_PASS;
	if (op != EPOLL_CTL_DEL && ev->data.u64 >> 32 == shmfd_set_prefix && e)
		set_collides(e);
	if (shmfd_fd_is(fd, SHMFD_FD_EPOLL) && op == EPOLL_CTL_ADD)
		shmfd_epoll_expose(fd);
	if (e)
		shmfd_set_disown(e);
	s = shmfd_stream_get(fd);
	if (!s)
		return SHMFD_PASS;
	if (!e)
		e = set_make(ep);
	if (e)
		ret = ctl_stream(e, s, op, fd, ev);
	else
		ret = SHMFD_PASS;
	if (ret == SHMFD_PASS && op == EPOLL_CTL_ADD && !e)
		shmfd_stream_retreat(s, SHMFD_WHY_SETS);
	shmfd_stream_put(s);
	return ret;
}

void shmfd_epoll_again(const struct shmfd_reg *reg)
{
	struct epoll_event ev = { .events = reg->events, .data.u64 = reg->data };

	if (reg->set && !reg->parked)
		shmfd_sys.epoll_ctl(shmfd_sets[reg->set - 1].fd, EPOLL_CTL_ADD, reg->fd, &ev);
}
