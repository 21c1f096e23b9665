/* SPDX-License-Identifier: MIT */

/*
 * Writers whose peer does not read.
 *
 * The kernel's TCP takes some megabytes before a write waits (tcp_wmem and
 * tcp_rmem, tcp(7)), a ring 256 KiB to 2 MiB.  Two programs that both write more than
 * that before either reads work on the kernel and would wait for each other for
 * ever on rings; so would one that writes a megabyte and then tells the reader
 * by other means that it is there.  So a ring that stays full for a second, and of
 * which the peer has read nothing meanwhile, is left: the peer takes what is in
 * it, and more goes by the kernel's buffers, as it always did.  Less than a second
 * would be mistaken: on a crowded machine a peer that wants to read was seen to get
 * no processor for more than 100 ms.
 *
 * AF_UNIX takes 208 KiB with its bookkeeping (net.core.wmem_default), no more
 * than a ring of the default size: there only smaller rings are left, and those
 * that are full because of what an early wrap skipped (ring.h).
 *
 * Who looks: the writer itself, and every call of the process that is about to
 * sleep, as the writer may have been told EAGAIN and now waits elsewhere; it
 * sleeps no longer than until the next look.  A place in the list is all that a
 * full stream costs; when there is none, the next note tries again.
 *
 * Concurrency: any thread.  Times and positions are hints of one process; a
 * stream that leaves for nothing only gets slower.
 */
#include <errno.h>

#include "config.h"
#include "ready.h"
#include "stream.h"

#define PLACES		32

/* Stream index plus 1; 0: free. */
static _Atomic uint32_t places[PLACES];
_Atomic uint32_t shmfd_stuck;
int64_t shmfd_stuck_after_ns = 1000000000;

static bool kernel_holds_more(const struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);

	return rec->family != AF_UNIX || s->rings->tx.cap < SHMFD_RING_SMALL ||
		/* [ring.R] the reader has not come to it */
		(rec->wrap_pos && load_acquire(&s->rings->tx.dir->rd_pos) <= rec->wrap_pos);
}

/* The ring is full since when?  Now, if the peer has read since the last look. */
static int64_t full_since(struct shmfd_stream *s, int64_t now)
{
	/* [ring.R] and what it has of the record there */
	const struct shmfd_dir *d = s->rings->tx.dir;
	uint64_t pos = load_acquire(&d->rd_pos) + load_relaxed(&d->rd_part);

	if (load_relaxed(&s->rings->full_since) && load_relaxed(&s->rings->full_pos) == pos)
		return load_relaxed(&s->rings->full_since);
	store_relaxed(&s->rings->full_pos, pos);
	store_relaxed(&s->rings->full_since, now);
	return now;
}

static void take_place(const struct shmfd_stream *s)
{
	uint32_t me = shmfd_stream_index(s) + 1;

	for (int i = 0; i < PLACES; i++) {
		if (load_relaxed(&places[i]) == me)
			return;
	}
	for (int i = 0; i < PLACES; i++) {
		uint32_t none = 0;

		if (cas_acquire(&places[i], &none, me)) {
			fetch_add_relaxed(&shmfd_stuck, 1);
			return;
		}
	}
}

bool shmfd_stuck_note(struct shmfd_stream *s)
{
	int64_t now;

	if (!kernel_holds_more(s))
		return false;
	now = shmfd_now_ns();
	if (now - full_since(s, now) < shmfd_stuck_after_ns) {
		take_place(s);
		return false;
	}
	store_relaxed(&s->rings->full_since, 0);
	shmfd_stream_retreat(s, SHMFD_WHY_STUCK);
	return load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_LEFT;
}

/* True if its writer still finds the ring full.  A lock, as another thread may write;
 * in a handler that interrupted that: nothing is known. */
static bool is_full(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool ret;

	if (!s->seg || shmfd_lock(rec, &rec->tx_lock))
		return false;
	ret = load_relaxed(&rec->tx_mode) == SHMFD_MODE_RING &&
		load_relaxed(&s->rings->full_since) && !shmfd_send_has_room(s);
	shmfd_unlock(rec, &rec->tx_lock);
	return ret;
}

/* True if @s is still full; *sleep_ns becomes at most the time to its next look. */
static bool look_at(struct shmfd_stream *s, int64_t now, int64_t *sleep_ns)
{
	int64_t left;

	if (!is_full(s) || shmfd_stuck_note(s)) {
		store_relaxed(&s->rings->full_since, 0);
		return false;
	}
	left = full_since(s, now) + shmfd_stuck_after_ns - now;
	if (left < 1000000)
		left = 1000000;
	if (*sleep_ns < 0 || *sleep_ns > left)
		*sleep_ns = left;
	return true;
}

int64_t shmfd_stuck_look(int64_t sleep_ns)
{
	int64_t now = shmfd_now_ns();
	int saved = errno;

	for (int i = 0; i < PLACES; i++) {
		uint32_t place = load_relaxed(&places[i]);
		struct shmfd_stream *s;
		bool full = false;

		if (!place)
			continue;
		s = shmfd_stream_get_at(place - 1);
		if (s) {
			full = look_at(s, now, &sleep_ns);
			shmfd_stream_put(s);
		}
		if (!full && cas_acquire(&places[i], &place, 0))
			fetch_sub_acq_rel(&shmfd_stuck, 1);
	}
	errno = saved;
	return sleep_ns;
}
