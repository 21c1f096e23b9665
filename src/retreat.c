/* SPDX-License-Identifier: MIT */

/*
 * How a stream leaves its rings; the protocol is in stream.h, what was unread and
 * goes by the kernel again is resend.c's.  Any thread may call any function here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>

#include "meet.h"
#include "mend.h"
#include "ready.h"
#include "stream.h"
#include "sys.h"

#define DEATH_MS	20	/* a dying process closes in any order */

/* One swap of the state of a direction; true if it was @from. */
static bool swap(struct shmfd_dir *d, uint32_t from, uint32_t to)
{
	uint32_t old = load_seq_cst(&d->attn); /* [stream.A] */

	while ((old & SHMFD_DIR_STATE_MASK) == from) {
		/* [stream.A] */
		if (cas_seq_cst(&d->attn, &old, (old & ~SHMFD_DIR_STATE_MASK) | to))
			return true;
	}
	return false;
}

bool shmfd_stream_enter(struct shmfd_stream *s)
{
	return swap(s->rings->rx.dir, SHMFD_DIR_OFFERED, SHMFD_DIR_RING) ||
		shmfd_dir_state(s->rings->rx.dir) != SHMFD_DIR_FROZEN;
}

/* How an end leaves. */
struct leaving {
	enum shmfd_reason why;
	int fd;			/* reaches the kernel socket */
	bool peer_gone;		/* the link had ended */
	bool hand_over;		/* others read the socket next: leave bytes to them */
};

/* Under rx_lock. */
static void leave_rx(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct shmfd_dir *d = s->rings->rx.dir;
	uint32_t mode = load_relaxed(&rec->rx_mode);
	uint64_t end, open = 0;

	if (l->peer_gone) {
		/* the bytes of the dead are still due: recv.c takes them in
		 * order; a writer that left cancelled or ended by itself */
		if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_KERNEL)
			swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER);
		else
			swap(d, SHMFD_DIR_RING, SHMFD_DIR_ENDED);
		return;
	}
	/* a receive inside the kernel, begun before the switch, takes whatever
	 * comes there: nothing may stay in the ring before that */
	if (mode == SHMFD_MODE_KERNEL || l->hand_over ||
	    (mode == SHMFD_MODE_OFFER && load_acquire(&rec->rx_inflight))) {
		/* who has not entered took nothing: a hand-over at 0 */
		if (!swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER) &&
		    !swap(d, SHMFD_DIR_RING, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER) &&
		    shmfd_dir_state(d) == SHMFD_DIR_ENDED)
			return;	/* the ring is read to its end first */
		store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
		return;
	}
	if (!swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN) &&
	    !swap(d, SHMFD_DIR_RING, SHMFD_DIR_FROZEN)) {
		if (mode == SHMFD_MODE_OFFER && shmfd_dir_state(d) == SHMFD_DIR_FROZEN)
			/* the writer cancelled */
			store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
		return;
	}
	end = shmfd_ring_frontier(&s->rings->rx, rec);
	if (!cas_seq_cst(&d->split, &open, end + 1)) { /* [stream.A] */
		end = shmfd_ring_frontier(&s->rings->rx, rec);	/* the writer published before */
		if (open - 1 < end && open - 1 >= rec->rd_pos)
			end = open - 1;
	}
	/* end-of-file that is there already needs no word of the writer */
	rec->drain_eof = shmfd_ring_is_eof(&s->rings->rx, end);
	rec->drain_end = end;
	if (end == rec->rd_pos) {
		/* before the switch kernel bytes come first, then this EOF */
		if (mode == SHMFD_MODE_RING || !rec->drain_eof)
			store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
		if (mode == SHMFD_MODE_RING)
			store_relaxed(&rec->rx_eof, load_relaxed(&rec->rx_eof) | rec->drain_eof);
	}
}

/*
 * True if the kernel says that the far socket is closed.  A dying process lets
 * go of its descriptors in any order, so it may take a moment after the link's
 * end; what is not closed then lives on in another program.
 */
static bool far_is_closed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return shmfd_sys.poll(&p, 1, DEATH_MS) > 0 &&
		(p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* The peer died without a word: what it had not read goes by the kernel. */
static void unread_of_dead(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	const uint8_t *unused;

	rec->resend_pos = load_acquire(&s->rings->tx.dir->rd_pos); /* [ring.R] */
	rec->resend_part = load_acquire(&s->rings->tx.dir->rd_part);
	if (rec->wr_pos - rec->resend_pos <= s->rings->tx.cap &&
	    shmfd_ring_resend_run(&s->rings->tx, rec, &unused) > 0 && far_is_closed(l->fd)) {
		/* the kernel resets when a process dies with unread input */
		shmfd_resend_lost(s);
		rec->resend_pos = rec->wr_pos;
		shmfd_sys.shutdown(l->fd, SHUT_RDWR);
	}
	shmfd_resend_begin(s, l->fd, rec->resend_pos, rec->resend_part);
}

/* Under tx_lock. */
static void leave_tx(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct shmfd_dir *d = s->rings->tx.dir;
	bool mine;

	if (load_relaxed(&rec->tx_mode) == SHMFD_MODE_RESEND)
		return;
	if (load_relaxed(&rec->tx_mode) != SHMFD_MODE_RING) {
		swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER);
		store_relaxed(&rec->tx_mode, SHMFD_MODE_KERNEL);
		return;
	}
	mine = swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER);
	if (mine && !l->peer_gone) {
		shmfd_resend_begin(s, l->fd, 0, 0);
		return;
	}
	/* only what no end of the link had decided is a death */
	if (l->peer_gone && (mine || swap(d, SHMFD_DIR_RING, SHMFD_DIR_FROZEN))) {
		unread_of_dead(s, l);
		return;
	}
	if (shmfd_dir_state(d) == SHMFD_DIR_FROZEN) {
		shmfd_resend_frozen(s, l->fd);
		return;
	}
	if (!swap(d, SHMFD_DIR_RING, SHMFD_DIR_ENDED)) {
		/* the reader was faster */
		shmfd_resend_frozen(s, l->fd);
		return;
	}
	store_relaxed(&rec->peer_end, rec->wr_pos);
	shmfd_ring_mark(&s->rings->tx, rec, SHMFD_TAG_END);
	store_relaxed(&rec->tx_mode, SHMFD_MODE_KERNEL);
	if (load_relaxed(&rec->wr_shut))
		shmfd_sys.shutdown(l->fd, SHUT_WR);
}

/* False in a signal handler that interrupted our own copy: not now. */
static bool leave_rings(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (shmfd_lock(rec, &rec->rx_lock))
		return false;
	if (shmfd_lock(rec, &rec->tx_lock)) {
		shmfd_unlock(rec, &rec->rx_lock);
		return false;
	}
	leave_rx(s, l);
	shmfd_unlock(rec, &rec->rx_lock);
	leave_tx(s, l);
	shmfd_cork_leave(s, l->fd);
	shmfd_unlock(rec, &rec->tx_lock);
	/* before a close: the peer asks the kernel from then on, which knows when */
	fetch_or_seq_cst(&s->rings->tx.dir->w_flags, SHMFD_W_LEFT); /* [stream.X] */
	return true;
}

void shmfd_stream_leave_at_close(struct shmfd_stream *s, int fd)
{
	struct leaving l = {
		.fd = fd,
		.peer_gone = shmfd_wait_has_ended(&s->rings->wait),
		.hand_over = true,
	};
	uint64_t mask = shmfd_signals_block();

	leave_rings(s, &l);
	shmfd_signals_restore(mask);
}

static void leave(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	int saved = errno;
	uint32_t phase;
	uint64_t mask;

	if (load_acquire(&rec->phase) == SHMFD_LEFT)
		return;
	mask = shmfd_signals_block();
	if (shmfd_lock(rec, &rec->meet_lock))
		goto out;
	phase = load_relaxed(&rec->phase);
	/* in such a child: who paired is about to leave, and used no ring */
	if (phase == SHMFD_PAIRED && (!s->seg || !leave_rings(s, l))) {
		shmfd_unlock(rec, &rec->meet_lock);
		goto out;
	}
	if (phase != SHMFD_LEFT) {
		store_relaxed(&rec->reason, l->why);
		store_release(&rec->phase, SHMFD_LEFT); /* [stream.P] */
	}
	shmfd_unlock(rec, &rec->meet_lock);
	shmfd_log(2, "fd %d goes back to the kernel: %s", l->fd, shmfd_report_reason(l->why));
	if (phase == SHMFD_PAIRED) {
		shmfd_sys.shutdown(s->rings->wait.link, SHUT_RDWR);
		shmfd_ready_changed(s);
	} else {
		shmfd_meet_drop(s);
	}
out:
	shmfd_signals_restore(mask);
	errno = saved;
}

/* The next reader of the socket is not this library. */
static bool is_hand_over(enum shmfd_reason why)
{
	switch (why) {
	case SHMFD_WHY_EXEC:
	case SHMFD_WHY_PASSED:
	case SHMFD_WHY_FDOPEN:
	case SHMFD_WHY_STDIO_FD:
	case SHMFD_WHY_ASYNC:
	case SHMFD_WHY_URING:
	case SHMFD_WHY_SETS:	/* a set that only the kernel answers for */
	case SHMFD_WHY_UNBOUND:
		return true;
	default:
		return false;
	}
}

void shmfd_stream_retreat(struct shmfd_stream *s, enum shmfd_reason why)
{
	struct leaving l = {
		.why = why,
		.fd = load_relaxed(&s->fd),
		.peer_gone = s->seg && shmfd_wait_has_ended(&s->rings->wait),
		.hand_over = is_hand_over(why),
	};

	leave(s, &l);
}

void shmfd_stream_flush(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (!s->seg || load_relaxed(&rec->tx_mode) != SHMFD_MODE_RESEND ||
	    shmfd_lock(rec, &rec->tx_lock))
		return;
	if (load_relaxed(&rec->tx_mode) == SHMFD_MODE_RESEND)
		shmfd_resend(s, fd, true);
	shmfd_unlock(rec, &rec->tx_lock);
}

bool shmfd_stream_peer_left(struct shmfd_stream *s)
{
	struct leaving l = {
		.why = SHMFD_WHY_PEER_LEFT,
		.fd = load_relaxed(&s->fd),
		.peer_gone = true,
	};

	leave(s, &l);
	return load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_LEFT;
}
