/* SPDX-License-Identifier: MIT */

/*
 * Sending.  The order of bytes is kernel, ring, kernel (stream.h); this file
 * decides for every call where its bytes go, and sleeps when there is no room.
 * Locks are never held across a system call that can sleep.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

#include "meet.h"
#include "mend.h"
#include "ready.h"
#include "stream.h"
#include "sys.h"

#define ROOM_PART	4	/* a writer wakes when this part of the ring is free */
#define SHORT_WRITE	(PIPE_BUF + 1024u)	/* one that goes as a whole, and a wrap */
#define SPIN_LOOKS	16
#define HOLD_BYTES	(16u << 10)	/* corked; the kernel holds back less than a segment */
#define CLAMP_IOV	SHMFD_CLAMP_IOV

/* One send call of the host. */
struct transmit {
	struct shmfd_stream *s;
	struct shmfd_record *rec;
	const struct msghdr *msg;
	int fd;
	int flags;
	size_t total;
	size_t done;
	int64_t deadline;	/* 0: none */
	bool slept;		/* waited for room */
};

enum { AGAIN = -5000, FULL };

void shmfd_send_wake(struct shmfd_stream *s)
{
	/* [wait.S] the publication before this was a full fence */
	struct shmfd_dir *d = s->rings->tx.dir;
	uint32_t attn = load_seq_cst(&d->attn);
	uint64_t nap;

	store_relaxed(&s->rings->held, 0);
	if (likely(!(attn & SHMFD_SLEEP)))
		return;
	nap = shmfd_nap_key(s->rings->peer, load_seq_cst(&d->nap)); /* [wait.N] */
	if (shmfd_sleep_wake(&d->attn, nap, attn, s->rings->wait.link))
		counter_add(&shmfd_stream_record(s)->bells_tx, 1);
}

/* More is to come in a moment, little is held back, and the reader looks by itself if not. */
static bool holds_back(const struct shmfd_stream *s)
{
	uint64_t from = load_relaxed(&s->rings->corked);	/* the host's own order */
	uint64_t sent = load_relaxed(&shmfd_stream_record(s)->ring_tx_bytes) + 1;

	return from && sent - from < HOLD_BYTES &&
		load_seq_cst(&s->rings->tx.dir->attn) & SHMFD_BRIEF; /* [wait.S] */
}

void shmfd_send_tell(struct shmfd_stream *s)
{
	if (unlikely(load_relaxed(&s->rings->corked))) {
		/* before the look: a handler may push now */
		store_relaxed(&s->rings->held, 1);
		fence_signal();
		if (holds_back(s))
			return;
	}
	shmfd_send_wake(s);
}

static inline bool is_frozen(struct shmfd_stream *s)
{
	return shmfd_dir_state(s->rings->tx.dir) == SHMFD_DIR_FROZEN;
}

/* Now and then, while the reader does not advance: is it still there? */
static void look_at_link(struct transmit *t)
{
	struct shmfd_record *rec = t->rec;
	uint64_t pos;

	if (likely(++rec->since_look < SHMFD_LOOK_EVERY))
		return;
	rec->since_look = 0;
	pos = load_acquire(&t->s->rings->tx.dir->rd_pos); /* [ring.R] */
	if (pos == rec->look_rd && shmfd_wait_has_ended(&t->s->rings->wait)) {
		shmfd_unlock(rec, &rec->tx_lock);
		shmfd_stream_peer_left(t->s);
		shmfd_lock(rec, &rec->tx_lock);
	}
	rec->look_rd = pos;
}

/* ---- ring ------------------------------------------------------------------ */

/* Under tx_lock, which it releases.  Bytes in all, AGAIN or FULL. */
static ssize_t to_ring(struct transmit *t)
{
	struct shmfd_stream *s = t->s;
	struct shmfd_record *rec = t->rec;
	size_t left = t->total - t->done;
	ssize_t n = 0;

	if (load_relaxed(&rec->wr_shut)) {
		shmfd_unlock(rec, &rec->tx_lock);
		/* a reset comes before it (linux/net/ipv4/tcp.c, do_error) */
		if (rec->family != AF_UNIX && load_acquire(&rec->phase) == SHMFD_PAIRED &&
		    shmfd_wait_has_ended(&s->rings->wait) && shmfd_stream_peer_left(s))
			return AGAIN;
		return t->done ? (ssize_t)t->done : -EPIPE;
	}
	if (unlikely(is_frozen(s))) {
		shmfd_resend_frozen(s, shmfd_stream_fd(s, t->fd));
		shmfd_unlock(rec, &rec->tx_lock);
		shmfd_ready_changed(s);
		return AGAIN;
	}
	/* short writes of several writers do not mix */
	if (left > PIPE_BUF || shmfd_ring_room(&s->rings->tx, rec) >= left)
		n = shmfd_ring_writev(&s->rings->tx, rec, t->msg->msg_iov, t->msg->msg_iovlen,
				      t->done);
	if (unlikely(n < 0)) {
		shmfd_unlock(rec, &rec->tx_lock);
		shmfd_stream_retreat(s, SHMFD_WHY_PROTOCOL);
		shmfd_sys.shutdown(shmfd_stream_fd(s, t->fd), SHUT_RDWR);
		return t->done ? (ssize_t)t->done : -ECONNRESET;
	}
	if (n > 0) {
		t->done += (size_t)n;
		counter_add(&rec->ring_tx_bytes, (uint64_t)n);
		counter_add(&rec->ring_tx_msgs, 1);
		shmfd_send_tell(s);
		if (unlikely(is_frozen(s)))
			shmfd_resend_frozen(s, shmfd_stream_fd(s, t->fd));
		else
			look_at_link(t);
	}
	if (unlikely(t->done < t->total))	/* who waits for the reader holds nothing back */
		shmfd_send_wake(s);
	shmfd_unlock(rec, &rec->tx_lock);
	if (t->done < t->total)
		return FULL;
	if (unlikely(load_relaxed(&s->rings->full_since)))	/* nobody waits for room now */
		store_relaxed(&s->rings->full_since, 0);
	return (ssize_t)t->done;
}

bool shmfd_send_has_room(struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);
	uint64_t pos = load_seq_cst(&s->rings->tx.dir->rd_pos); /* [ring.R] */
	uint64_t cap = s->rings->tx.cap, room = cap - (rec->wr_pos - pos), need = cap / ROOM_PART;

	/* before the reader has come to an early wrap the lap is all there is */
	if (rec->wrap_pos && pos <= rec->wrap_pos)
		need = (rec->wrap_pos & (cap - 1)) / ROOM_PART;
	if (need < SHORT_WRITE)
		need = SHORT_WRITE;
	/* an impossible position ends the wait: the next write finds it */
	return room >= need || is_frozen(s);
}

/* The same for one that waits to write: after a shutdown EPIPE is due. */
static bool has_room(struct shmfd_stream *s, const struct shmfd_record *rec)
{
	return shmfd_send_has_room(s) || load_seq_cst(&rec->wr_shut);
}


static bool spin_room(struct shmfd_stream *s, struct shmfd_record *rec,
		      struct shmfd_spinner *sp)
{
	if (!shmfd_spin_begin(sp, &s->rings->spin, shmfd_stream_same_cpu(s), -1))
		return false;
	do {
		for (int i = 0; i < SPIN_LOOKS; i++) {
			if (has_room(s, rec)) {
				shmfd_spin_paid(sp);
				return true;
			}
			cpu_pause();
		}
	} while (shmfd_spin_more(sp));
	return false;
}

static int wait_room(struct transmit *t)
{
	struct shmfd_stream *s = t->s;
	struct shmfd_spinner sp;
	int64_t start;
	uint32_t turn;
	int ret;

	shmfd_stream_show_cpu(s);
	if (spin_room(s, t->rec, &sp))
		return 0;
	if (shmfd_ready_may_sleep(s)) {
		shmfd_stream_retreat(s, SHMFD_WHY_SLEEPERS);
		return 0;
	}
	if (!shmfd_wait_enter(&s->rings->wait, &s->pollers)) {
		shmfd_stream_retreat(s, SHMFD_WHY_SLEEPERS);
		return 0;
	}
	turn = shmfd_wait_turn(&s->rings->wait);
	shmfd_stream_arm_room(s); /* [wait.S] */
	if (has_room(s, t->rec)) {
		shmfd_wait_exit(&s->rings->wait);
		return 0;
	}
	start = sp.tried ? shmfd_now_ns() : 0;
	ret = shmfd_stream_sleep(s, turn, t->deadline, -1, t->done);
	if (sp.tried)
		shmfd_spin_slept(&sp, shmfd_now_ns() - start);
	shmfd_ready_rang(s);
	if (ret == 1 && !shmfd_stream_peer_left(s))
		return -EINTR;
	return ret < 0 ? ret : 0;
}

/* ---- kernel ---------------------------------------------------------------- */

/* The rest of a call whose first part went by ring. */
static ssize_t rest_by_kernel(struct transmit *t)
{
	struct iovec part[CLAMP_IOV];
	struct msghdr m = { .msg_iov = part };
	size_t asked;
	ssize_t n;

	do {
		m.msg_iovlen = shmfd_iov_part(part, t->msg, t->done, SIZE_MAX);
		asked = shmfd_iov_total(part, m.msg_iovlen);
		n = shmfd_sys.sendmsg(shmfd_stream_fd(t->s, t->fd), &m,
				      t->flags | MSG_NOSIGNAL);
		if (n <= 0)
			break;
		t->done += (size_t)n;
		fetch_add_relaxed(&t->rec->kernel_tx_bytes, (uint64_t)n);
		/* less: a signal, or its time is over */
	} while ((size_t)n == asked && t->done < t->total);
	return (ssize_t)t->done;
}

/* Flushes unread bytes first.  0, or -errno. */
static ssize_t resend_first(struct transmit *t, bool dontwait)
{
	struct shmfd_record *rec = t->rec;
	int fd = shmfd_stream_fd(t->s, t->fd), ret;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	ret = shmfd_resend(t->s, fd, false);
	shmfd_unlock(rec, &rec->tx_lock);
	if (!ret) {
		shmfd_ready_changed(t->s);
		return AGAIN;
	}
	if (dontwait)	/* nothing can always be sent */
		return t->done || !t->total ? (ssize_t)t->done : -EAGAIN;
	if (shmfd_sys.poll(&p, 1, -1) < 0)
		return t->done ? (ssize_t)t->done : -errno;
	return AGAIN;
}

/* Nothing done: the host's own call goes to the kernel, counted as in flight. */
static ssize_t pass(struct shmfd_record *rec)
{
	if (load_acquire(&rec->phase) != SHMFD_LEFT)
		fetch_add_acq_rel(&rec->tx_inflight, 1);
	return SHMFD_PASS;
}

/* tx_mode KERNEL or OFFER.  Under tx_lock, which it releases. */
static ssize_t to_kernel(struct transmit *t)
{
	struct shmfd_stream *s = t->s;
	struct shmfd_record *rec = t->rec;
	uint32_t phase = load_acquire(&rec->phase);

	if (t->done && !load_relaxed(&rec->pending_err)) {
		shmfd_unlock(rec, &rec->tx_lock);
		return rest_by_kernel(t);
	}
	if (t->done) {
		shmfd_unlock(rec, &rec->tx_lock);
		return (ssize_t)t->done;
	}
	/* AF_UNIX tells a writer that slept, and any other EPIPE (net/unix/af_unix.c) */
	if (unlikely(load_relaxed(&rec->pending_err) || shmfd_stream_is_reset(s)) &&
	    (rec->family != AF_UNIX || t->slept)) {
		shmfd_unlock(rec, &rec->tx_lock);
		return -shmfd_take_error(s);
	}
	pass(rec);
	if (unlikely(t->flags & MSG_MORE) && phase == SHMFD_PAIRED)
		s->rings->had_more = true;
	/* not with a sendfile, which comes without bytes: a file of less than the ring would be
	 * sent whatever becomes of the reader (CPython's test_asyncio sees that) */
	if (phase == SHMFD_PAIRED && load_relaxed(&rec->tx_mode) == SHMFD_MODE_KERNEL &&
	    t->total && load_relaxed(&rec->tx_inflight) == 1 && !s->reg.held &&
	    load_acquire(&s->rings->tx.dir->rx_ready) && /* [stream.X] */
	    shmfd_dir_state(s->rings->tx.dir) == SHMFD_DIR_OFFERED) {
		fetch_or_seq_cst(&s->rings->tx.dir->w_flags, SHMFD_W_INTENT); /* [stream.X] */
		store_relaxed(&rec->tx_mode, SHMFD_MODE_OFFER);
	}
	shmfd_unlock(rec, &rec->tx_lock);
	return SHMFD_PASS;
}

/* What MSG_MORE holds back for up to 200 ms goes out with this (tcp(7)): nothing that comes
 * by ring would push it. */
static void push_kernel(int fd)
{
	int was = 1, on = 1;
	socklen_t len = sizeof(was);

	if (!shmfd_sys.getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &was, &len) &&
	    !shmfd_sys.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) && !was)
		shmfd_sys.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &was, sizeof(was));
}

/* After the last kernel message: the ring is next.  Under tx_lock. */
static void switch_over(struct shmfd_stream *s, struct shmfd_record *rec, int fd)
{
	uint64_t mask;

	if (load_acquire(&rec->phase) != SHMFD_PAIRED ||
	    shmfd_dir_state(s->rings->tx.dir) != SHMFD_DIR_OFFERED) {
		store_relaxed(&rec->tx_mode, SHMFD_MODE_KERNEL);
		return;
	}
	mask = shmfd_signals_block();
	/* [stream.X] */
	store_seq_cst(&s->rings->tx.dir->switch_at, load_relaxed(&rec->kernel_tx_bytes));
	store_relaxed(&rec->tx_mode, SHMFD_MODE_RING);
	if (s->rings->had_more && rec->family != AF_UNIX)
		push_kernel(fd);
	shmfd_cork_switch(s, fd);
	shmfd_send_wake(s);
	shmfd_signals_restore(mask);
}

void shmfd_send_end(struct shmfd_stream *s, int fd, ssize_t n)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool switched = false;

	if (n > 0) {
		fetch_add_relaxed(&rec->kernel_tx_bytes, (uint64_t)n);
		counter_add(&rec->kernel_tx_msgs, 1);
	}
	if (load_acquire(&rec->phase) == SHMFD_LEFT && !load_relaxed(&rec->tx_inflight))
		return;
	if (fetch_sub_acq_rel(&rec->tx_inflight, 1) == 1 && n > 0 &&
	    load_relaxed(&rec->tx_mode) == SHMFD_MODE_OFFER &&
	    !shmfd_lock(rec, &rec->tx_lock)) {
		if (load_relaxed(&rec->tx_mode) == SHMFD_MODE_OFFER &&
		    !load_relaxed(&rec->tx_inflight)) {
			switch_over(s, rec, fd);
			switched = true;
		}
		shmfd_unlock(rec, &rec->tx_lock);
	}
	if (switched)
		shmfd_ready_changed(s);
	shmfd_meet_tick(s, fd);
}

/* ---- calls ------------------------------------------------------------------ */

static ssize_t attempt(struct transmit *t, bool dontwait)
{
	struct shmfd_record *rec = t->rec;

	if (shmfd_lock(rec, &rec->tx_lock))
		return t->done ? (ssize_t)t->done : dontwait ? -EAGAIN : -EINTR;
	switch (load_relaxed(&rec->tx_mode)) {
	case SHMFD_MODE_RING:
		if (t->msg->msg_name && t->msg->msg_namelen && rec->family == AF_UNIX) {
			shmfd_unlock(rec, &rec->tx_lock);
			return -EISCONN;
		}
		return to_ring(t);
	case SHMFD_MODE_RESEND:
		return resend_first(t, dontwait);
	default:
		return to_kernel(t);
	}
}

ssize_t shmfd_send(struct shmfd_stream *s, int fd, const struct msghdr *msg, int flags)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct transmit t = { .s = s, .rec = rec, .msg = msg, .fd = fd, .flags = flags };
	bool dontwait = (flags & MSG_DONTWAIT) || load_relaxed(&rec->nonblock);
	ssize_t n;

	if (load_acquire(&rec->phase) == SHMFD_LEFT &&
	    load_relaxed(&rec->tx_mode) == SHMFD_MODE_KERNEL &&
	    !load_relaxed(&rec->pending_err)) {
		shmfd_stream_pass_for_good(s, fd);
		return SHMFD_PASS;
	}
	if (unlikely((flags & MSG_OOB) || msg->msg_controllen))
		shmfd_stream_retreat(s, flags & MSG_OOB ? SHMFD_WHY_OOB : SHMFD_WHY_ANCILLARY);
	if (unlikely(flags & MSG_FASTOPEN) && rec->family != AF_UNIX)	/* an error, all its own */
		shmfd_stream_retreat(s, SHMFD_WHY_OPTION);
	if (unlikely(msg->msg_iovlen > IOV_MAX || (!shmfd_stream_is_user(s) && !s->seg)))
		return pass(rec);
	n = shmfd_check_msg(msg);
	if (unlikely(n > 0))	/* what a send of nothing has to tell comes first */
		n = shmfd_send(s, fd, &(struct msghdr){ 0 }, flags) ?: -EFAULT;
	if (unlikely(n))
		return n;
	t.total = shmfd_iov_total(msg->msg_iov, msg->msg_iovlen);
	for (;;) {
		n = attempt(&t, dontwait);
		if (n == AGAIN)
			continue;
		if (n != FULL)
			return n;
		store_relaxed(&s->rings->tx_nospace, 1);
		if (shmfd_stuck_note(s))
			continue;
		if (dontwait)
			return t.done ? (ssize_t)t.done : -EAGAIN;
		if (rec->sndtimeo_ns && !t.deadline)
			t.deadline = shmfd_now_ns() + rec->sndtimeo_ns;
		n = wait_room(&t);
		t.slept = true;
		if (n < 0)
			return t.done ? (ssize_t)t.done : n == -ETIMEDOUT ? -EAGAIN : n;
	}
}

/* One span from the file into the ring.  Under tx_lock. */
static ssize_t file_span(struct shmfd_stream *s, struct shmfd_record *rec, int in_fd,
			 off_t off, size_t len)
{
	struct shmfd_span span;
	ssize_t n;
	int ret = shmfd_ring_reserve(&s->rings->tx, rec, len, &span);

	if (!ret)
		shmfd_send_wake(s);
	if (ret <= 0)
		return ret ? ret : FULL;
	n = shmfd_sys.pread(in_fd, span.data, span.len, off);
	if (n <= 0)
		return n ? -errno : 0;
	shmfd_ring_commit(&s->rings->tx, rec, &span, (uint32_t)n);
	counter_add(&rec->ring_tx_bytes, (uint64_t)n);
	shmfd_send_tell(s);
	if (unlikely(is_frozen(s)))
		shmfd_resend_frozen(s, load_relaxed(&s->fd));
	return n;
}

/* The rest of a file whose first part went by ring, where the host waits for all of it. */
static void file_by_kernel(struct transmit *t, int in_fd, off_t off)
{
	off_t at = off + (off_t)t->done;
	ssize_t n = shmfd_sys.sendfile(shmfd_stream_fd(t->s, t->fd), in_fd, &at,
				       t->total - t->done);

	if (n <= 0)
		return;
	t->done += (size_t)n;
	fetch_add_relaxed(&t->rec->kernel_tx_bytes, (uint64_t)n);
}

ssize_t shmfd_sendfile(struct shmfd_stream *s, int fd, int in_fd, off_t off, size_t len)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct transmit t = { .s = s, .rec = rec, .fd = fd, .total = len };
	bool dontwait = load_relaxed(&rec->nonblock);
	ssize_t n = 0;

	if (!shmfd_stream_is_user(s) && !s->seg)
		return pass(rec);
	while (t.done < len) {
		if (shmfd_lock(rec, &rec->tx_lock))
			return t.done ? (ssize_t)t.done : -EINTR;
		if (load_relaxed(&rec->tx_mode) != SHMFD_MODE_RING || is_frozen(s)) {
			bool pass = load_relaxed(&rec->tx_mode) == SHMFD_MODE_KERNEL;

			shmfd_unlock(rec, &rec->tx_lock);
			if (t.done && pass && !dontwait)
				file_by_kernel(&t, in_fd, off);
			if (pass || (t.done && dontwait))
				break;
			/* an empty send brings the direction on */
			n = shmfd_send(s, fd, &(struct msghdr){ 0 }, 0);
			if (n < 0 && !(t.done && n == SHMFD_PASS))
				return t.done ? (ssize_t)t.done : n;
			if (dontwait && shmfd_resend_is_pending(s))
				return -EAGAIN;
			continue;
		}
		if (load_relaxed(&rec->wr_shut)) {
			shmfd_unlock(rec, &rec->tx_lock);
			return t.done ? (ssize_t)t.done : -EPIPE;
		}
		n = file_span(s, rec, in_fd, off + (off_t)t.done, len - t.done);
		if (n > 0)
			look_at_link(&t);
		shmfd_unlock(rec, &rec->tx_lock);
		if (n > 0) {
			t.done += (size_t)n;
			continue;
		}
		if (n != FULL)
			break;
		store_relaxed(&s->rings->tx_nospace, 1);
		n = -EAGAIN;
		if (shmfd_stuck_note(s))
			continue;
		if (dontwait)
			break;
		if (rec->sndtimeo_ns && !t.deadline)
			t.deadline = shmfd_now_ns() + rec->sndtimeo_ns;
		n = wait_room(&t);
		if (n < 0) {
			n = n == -ETIMEDOUT ? -EAGAIN : n;
			break;
		}
	}
	if (t.done)
		counter_add(&rec->ring_tx_msgs, 1);
	if (!t.done && !n && len && load_relaxed(&rec->tx_mode) == SHMFD_MODE_KERNEL) {
		struct msghdr none = { 0 };

		/* counted as in flight like any kernel send */
		return shmfd_send(s, fd, &none, MSG_MORE);
	}
	return t.done ? (ssize_t)t.done : n;
}

/* Ends the sending direction on whatever way it is.  *ret_sleeper: a thread of ours
 * sleeps for room.  0, or PASS.  Under tx_lock. */
static int shut_tx(struct shmfd_stream *s, int how, bool *ret_sleeper)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	int ret = SHMFD_PASS;
	uint64_t mask;

	switch (load_relaxed(&rec->tx_mode)) {
	case SHMFD_MODE_RING:
		ret = 0;
		if (load_relaxed(&rec->wr_shut))
			break;
		mask = shmfd_signals_block();
		shmfd_ring_mark(&s->rings->tx, rec, SHMFD_TAG_EOF);
		fetch_or_seq_cst(&s->rings->tx.dir->w_flags, SHMFD_W_SHUT); /* [stream.X] */
		store_seq_cst(&rec->wr_shut, 1);
		/* [wait.S] a thread of ours that sleeps for room: EPIPE is due */
		*ret_sleeper = load_seq_cst(&s->rings->tx.dir->room_sleep) & SHMFD_SLEEP &&
			(load_seq_cst(&s->rings->wait.blocked) || load_seq_cst(&s->pollers));
		if (is_frozen(s))
			shmfd_resend_frozen(s, load_relaxed(&s->fd));
		else
			shmfd_send_wake(s);
		shmfd_signals_restore(mask);
		break;
	case SHMFD_MODE_RESEND:
		fetch_or_seq_cst(&s->rings->tx.dir->w_flags, SHMFD_W_FIN); /* [stream.X] */
		if (shmfd_resend(s, load_relaxed(&s->fd), true)) {
			/* goes out behind what is left */
			store_seq_cst(&rec->wr_shut, 1);
			ret = 0;
			if (how == SHUT_RDWR)
				shmfd_sys.shutdown(load_relaxed(&s->fd), SHUT_RD);
		}
		break;
	default: {
		uint32_t old = load_seq_cst(&s->rings->tx.dir->attn); /* [stream.A] */

		/* end-of-file goes by the kernel: never switch any more */
		while ((old & SHMFD_DIR_STATE_MASK) == SHMFD_DIR_OFFERED &&
		       /* [stream.A] */
		       !cas_seq_cst(&s->rings->tx.dir->attn, &old, old | SHMFD_DIR_FROZEN))
			;
		fetch_or_seq_cst(&s->rings->tx.dir->w_flags, SHMFD_W_FIN); /* [stream.X] */
		store_seq_cst(&rec->wr_shut, 1);
	}
	}
	return ret;
}

int shmfd_shutdown(struct shmfd_stream *s, int how)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool own_sleeper = false;
	int ret;

	if (how < 0 || how > 2)
		return SHMFD_PASS;
	/* a peer that closed: the kernel knows what that means for this call */
	if (load_acquire(&rec->phase) == SHMFD_PAIRED && shmfd_wait_has_ended(&s->rings->wait))
		shmfd_stream_peer_left(s);
	if (s->seg && rec->family != AF_UNIX && load_relaxed(&rec->wr_shut) &&
	    (load_acquire(&s->rings->rx.dir->w_flags) & SHMFD_W_SHUT)) /* [stream.X] */
		return -ENOTCONN;	/* both ends have sent their FIN */
	/* both, by one call or by two: the kernel resets who writes on */
	if (how == SHUT_RD && rec->family != AF_UNIX && s->seg &&
	    !load_relaxed(&rec->wr_shut) &&
	    load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING) {
		/* what arrives is still readable (linux/net/ipv4/tcp.c); seq_cst:
		 * a sleeper counts itself, then looks at this */
		store_seq_cst(&rec->rd_shut, 1);
		if (!load_seq_cst(&s->rings->wait.blocked) && !load_seq_cst(&s->pollers) &&
		    !shmfd_ready_may_sleep(s)) {
			shmfd_ready_poke(s);
			return SHMFD_PASS;
		}
	}
	/* AF_UNIX refuses a peer that writes on; first, as the retreat wakes it */
	if (how != SHUT_WR && rec->family == AF_UNIX && s->seg) {
		if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING)
			store_seq_cst(&rec->rd_shut, 1);	/* the sleepers here */
		shmfd_sys.shutdown(load_relaxed(&s->fd), SHUT_RD);
	}
	if (how != SHUT_WR || !s->seg || load_relaxed(&rec->rd_shut))
		shmfd_stream_retreat(s, SHMFD_WHY_SHUTDOWN);
	if (how == SHUT_RD)
		return SHMFD_PASS;
	if (!s->seg || shmfd_lock(rec, &rec->tx_lock))
		return SHMFD_PASS;
	ret = shut_tx(s, how, &own_sleeper);
	shmfd_unlock(rec, &rec->tx_lock);
	if (own_sleeper)
		shmfd_stream_retreat(s, SHMFD_WHY_SHUTDOWN);
	shmfd_ready_poke(s);
	return ret;
}
