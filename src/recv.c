/* SPDX-License-Identifier: MIT */

/*
 * Receiving.  The order of bytes is kernel, ring, kernel (stream.h); this file
 * decides for every call which of them is next, and sleeps when none has any.
 * Locks are never held across a system call that can sleep.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>

#include "meet.h"
#include "quick.h"
#include "ready.h"
#include "stream.h"
#include "sys.h"

#define SPIN_LOOKS	16	/* looks at the ring between looks at the clock */
#define ERESTARTSYS	512	/* the kernel's own, let out under a storm of signals */

/* One receive call of the host. */
struct receive {
	struct shmfd_stream *s;
	struct shmfd_record *rec;
	struct msghdr *msg;
	int fd;
	int flags;
	size_t total;		/* bytes asked for */
	size_t got;		/* bytes so far (MSG_WAITALL) */
	int64_t deadline;	/* 0: none */
	bool filled;		/* the kernel set the message header */
	bool pending;		/* waited for our own unread bytes to go */
	bool crowded;		/* others of this process sleep on the link */
	bool border;		/* got some at a border: take more only if it is there */
	bool waits;		/* may sleep */
	uint64_t news;		/* a peek that wants all waits for what comes there; 0: none */
};

/* Outcome of one attempt. */
enum { AGAIN = -5000, EMPTY };

/* Nothing done: the host's own call goes to the kernel, counted as in flight. */
static ssize_t pass(struct shmfd_record *rec, int flags)
{
	/* MSG_WAITALL weighs 2: one last kernel message would not wake it */
	if (load_acquire(&rec->phase) != SHMFD_LEFT)
		fetch_add_acq_rel(&rec->rx_inflight, flags & MSG_WAITALL ? 2 : 1);
	return SHMFD_PASS;
}

static bool has_bytes(int fd)
{
	int there = 0;

	return !shmfd_sys.ioctl(fd, FIONREAD, &there) && there;
}

/* An error stands in the socket and no byte before it: a receive would take it. */
static bool has_error(int fd)
{
	struct pollfd p = { .fd = fd };

	return shmfd_sys.poll(&p, 1, 0) > 0 && (p.revents & POLLERR) && !has_bytes(fd);
}

/* A kernel receive of at most @max bytes, made by us. */
static ssize_t by_kernel(struct receive *r, size_t max, int flags)
{
	struct iovec part[SHMFD_CLAMP_IOV];
	struct msghdr m = *r->msg;
	ssize_t n;

	/* behind bytes that are returned now it stays where all look for it */
	if (r->got && has_error(shmfd_stream_fd(r->s, r->fd)))
		return -EAGAIN;
	m.msg_iov = part;
	m.msg_iovlen = shmfd_iov_part(part, r->msg, r->got, max);
	n = shmfd_sys.recvmsg(shmfd_stream_fd(r->s, r->fd), &m, flags);
	if (n < 0) {
		n = -errno;
		/* it came since: the kernel tells it once; ERESTARTSYS is none (wait.c) */
		if (r->got && n != -EAGAIN && n != -EINTR && n != -ERESTARTSYS)
			store_relaxed(&r->rec->pending_err, (uint32_t)-n);
		return n;
	}
	if (!n && r->got)	/* the end behind bytes of the ring: theirs is the name */
		return 0;
	r->msg->msg_namelen = m.msg_namelen;
	r->msg->msg_controllen = m.msg_controllen;
	r->msg->msg_flags = m.msg_flags;
	r->filled = true;
	return n;
}

static void count_kernel(struct shmfd_record *rec, ssize_t n, int flags)
{
	if (unlikely(n == -ECONNRESET))
		store_relaxed(&rec->reset_told, 1);
	if (n > 0 && !(flags & (MSG_PEEK | MSG_ERRQUEUE))) {
		fetch_add_relaxed(&rec->kernel_rx_bytes, (uint64_t)n);
		counter_add(&rec->kernel_rx_msgs, 1);
	}
}

/* Wakes the writer that sleeps for room, once a useful amount is free. */
void shmfd_recv_wake(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint32_t seen;

	if (rec->rd_pos - rec->room_mark < s->rings->rx.cap / 4)
		return;
	rec->room_mark = rec->rd_pos;
	/* [wait.S] the locked instruction orders rd_pos before this load */
	seen = fetch_or_seq_cst(&s->rings->rx.dir->room_sleep, 0);
	if (shmfd_sleep_wake(&s->rings->rx.dir->room_sleep, 0, seen, s->rings->wait.link))
		counter_add(&rec->bells_tx, 1);
}

/* The segment is rubbish: this stream is reset, nothing else is touched. */
static ssize_t broken(struct receive *r)
{
	store_relaxed(&r->rec->rx_mode, SHMFD_MODE_KERNEL);
	shmfd_unlock(r->rec, &r->rec->rx_lock);
	shmfd_stream_retreat(r->s, SHMFD_WHY_PROTOCOL);
	shmfd_sys.shutdown(shmfd_stream_fd(r->s, r->fd), SHUT_RDWR);
	return r->got ? (ssize_t)r->got : -ECONNRESET;
}

/* The stream has left and this was all of the ring.  Under rx_lock. */
static void ring_is_done(struct shmfd_record *rec)
{
	store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
	if (rec->drain_eof)
		store_relaxed(&rec->rx_eof, 1);
}

/*
 * A peek that wants all (TCP only: AF_UNIX peeks at what is there, MSG_WAITALL or
 * not) has seen @got: true if it has to wait for more in the ring.  Under rx_lock.
 */
static bool peek_waits(struct receive *r, size_t got)
{
	r->news = 0;
	if (likely(!(r->flags & MSG_PEEK) || !(r->flags & MSG_WAITALL)) || !r->waits ||
	    got >= r->total || r->rec->family == AF_UNIX ||
	    load_acquire(&r->rec->phase) == SHMFD_LEFT)
		return false;
	r->news = shmfd_ring_frontier(&r->s->rings->rx, r->rec);
	return true;
}

/* Peeked at @n bytes of the ring; at its end the kernel goes on.  Under rx_lock,
 * which it releases. */
static ssize_t peeked(struct receive *r, ssize_t n, enum shmfd_ring_end end)
{
	struct shmfd_record *rec = r->rec;
	bool all = end == SHMFD_RING_END || (end == SHMFD_RING_MORE &&
		load_acquire(&rec->phase) == SHMFD_LEFT &&
		shmfd_ring_unread(&r->s->rings->rx, rec, NULL) == n);
	bool waits = end == SHMFD_RING_MORE && peek_waits(r, (size_t)n);

	shmfd_unlock(rec, &rec->rx_lock);
	if (waits)
		return EMPTY;
	r->got = (size_t)n;
	if (!all || r->got == r->total)
		return n;
	n = by_kernel(r, SIZE_MAX, (r->flags & ~MSG_WAITALL) | MSG_DONTWAIT);
	return (ssize_t)r->got + (n > 0 ? n : 0);
}

/* One look at the ring.  Under rx_lock, which it releases. */
static ssize_t from_ring(struct receive *r)
{
	struct shmfd_stream *s = r->s;
	struct shmfd_record *rec = r->rec;
	struct iovec part[SHMFD_CLAMP_IOV];
	const struct iovec *iov = r->msg->msg_iov;
	size_t iov_nr = r->msg->msg_iovlen;
	enum shmfd_ring_end end;
	ssize_t n;

	if (unlikely(r->got)) {
		iov_nr = shmfd_iov_part(part, r->msg, r->got, SIZE_MAX);
		iov = part;
	}
	n = shmfd_ring_readv(&s->rings->rx, rec, iov, iov_nr, r->flags & MSG_PEEK, &end);
	if (unlikely(n < 0))
		return broken(r);
	if (n > 0 && !(r->flags & MSG_PEEK)) {
		counter_add(&rec->ring_rx_bytes, (uint64_t)n);
		counter_add(&rec->ring_rx_msgs, 1);
		shmfd_recv_wake(s);
	}
	if (n > 0 && (r->flags & MSG_PEEK))
		return peeked(r, n, end);
	if (n > 0) {
		shmfd_unlock(rec, &rec->rx_lock);
		r->got += (size_t)n;
		if (r->got == r->total || end == SHMFD_RING_EOF)
			return (ssize_t)r->got;
		if (end == SHMFD_RING_END || shmfd_ring_is_drained(&s->rings->rx, rec))
			r->border = load_acquire(&rec->phase) == SHMFD_LEFT ||
				end == SHMFD_RING_END;
		return (r->flags & MSG_WAITALL) || r->border ? AGAIN : (ssize_t)r->got;
	}
	if (end == SHMFD_RING_EOF) {
		store_relaxed(&rec->rx_eof, 1);
		shmfd_unlock(rec, &rec->rx_lock);
		return (ssize_t)r->got;
	}
	if (end == SHMFD_RING_END) {
		shmfd_ring_pass(&s->rings->rx, rec);
		store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
		shmfd_unlock(rec, &rec->rx_lock);
		shmfd_stream_peer_left(s);
		shmfd_ready_changed(s);
		return AGAIN;
	}
	if (!r->total && !shmfd_ring_is_empty(&s->rings->rx, rec->rd_pos)) {
		shmfd_unlock(rec, &rec->rx_lock);
		return 0;
	}
	if (load_acquire(&rec->phase) == SHMFD_LEFT && shmfd_ring_is_drained(&s->rings->rx, rec)) {
		ring_is_done(rec);
		shmfd_unlock(rec, &rec->rx_lock);
		shmfd_ready_changed(s);
		return AGAIN;
	}
	shmfd_unlock(rec, &rec->rx_lock);
	return load_relaxed(&rec->rd_shut) ? (ssize_t)r->got : EMPTY;
}

/* A kernel receive inside the protocol, counted as in flight. */
static ssize_t counted_kernel(struct receive *r, size_t max, int flags)
{
	struct shmfd_record *rec = r->rec;
	ssize_t n;

	fetch_add_acq_rel(&rec->rx_inflight, 1);
	shmfd_unlock(rec, &rec->rx_lock);
	n = by_kernel(r, max, flags & ~MSG_WAITALL);
	count_kernel(rec, n, flags);
	fetch_sub_acq_rel(&rec->rx_inflight, 1);
	if (n == 0 && max == SIZE_MAX && r->total &&
	    shmfd_stream_knows_switch(r->s))
		return AGAIN;	/* end-of-file of the kernel, but the ring comes before it */
	if (n <= 0)
		return n;
	r->got += (size_t)n;
	if (r->got == r->total || (flags & MSG_PEEK))
		return (ssize_t)r->got;
	r->border = true;
	return AGAIN;
}

/*
 * Waits for kernel bytes and watches the link beside it.  Called where the last
 * kernel message is on its way or was taken, so that the switch comes by a bell;
 * and where our own bytes lie unread in the other ring: should the peer hand its
 * socket over, its link ends and we have to send them again.
 */
static ssize_t sleep_beside(struct receive *r, bool dontwait)
{
	struct shmfd_stream *s = r->s;
	ssize_t n = counted_kernel(r, SIZE_MAX, r->flags | MSG_DONTWAIT);
	uint32_t turn;
	int ret;

	if (n != -EAGAIN || dontwait || (r->border && !(r->flags & MSG_WAITALL)))
		return n;
	if (r->rec->rcvtimeo_ns && !r->deadline)
		r->deadline = shmfd_now_ns() + r->rec->rcvtimeo_ns;
	if (shmfd_ready_may_sleep(s) || !shmfd_wait_enter(&s->rings->wait, &s->pollers)) {
		r->crowded = true;
		return AGAIN;
	}
	turn = shmfd_wait_turn(&s->rings->wait);
	shmfd_stream_arm(s, 0, false); /* [wait.S] */
	if (!shmfd_wait_may_lead(&s->rings->wait, turn) ||
	    load_seq_cst(&s->rings->rx.dir->switch_at) != SHMFD_SWITCH_UNKNOWN) { /* [stream.X] */
		shmfd_wait_exit(&s->rings->wait);
		r->crowded = !shmfd_wait_may_lead(&s->rings->wait, turn);
		return AGAIN;
	}
	ret = shmfd_stream_sleep(s, turn, r->deadline, shmfd_stream_fd(s, r->fd), r->got);
	shmfd_ready_rang(s);
	if (ret == 1 && !shmfd_stream_peer_left(s))
		return -EINTR;
	if (ret < 0)
		return ret == -ETIMEDOUT ? -EAGAIN : ret;
	return AGAIN;
}

/* What we sent by ring and the peer has not taken. */
static bool has_unread_out(const struct shmfd_stream *s, const struct shmfd_record *rec)
{
	return load_relaxed(&rec->tx_mode) == SHMFD_MODE_RING &&
		/* [ring.R] */
		load_acquire(&s->rings->tx.dir->rd_pos) != *(const volatile uint64_t *)&rec->wr_pos;
}

/* rx_mode OFFER and the switch is not known yet.  Under rx_lock, which it releases. */
static ssize_t before_switch(struct receive *r, bool dontwait)
{
	bool intent = load_acquire(&r->s->rings->rx.dir->w_flags) & SHMFD_W_INTENT; /* [stream.X] */

	if (!intent && !r->crowded && has_unread_out(r->s, r->rec))
		return sleep_beside(r, dontwait);
	if (!intent)	/* that last message will wake it; others watch the link */
		return counted_kernel(r, SIZE_MAX, r->flags);
	if (!r->crowded)
		return sleep_beside(r, dontwait);
	shmfd_unlock(r->rec, &r->rec->rx_lock);
	shmfd_stream_retreat(r->s, SHMFD_WHY_SLEEPERS);
	return AGAIN;
}

/*
 * Peeks at the last @left bytes before the switch, and at the ring behind them.
 * Under rx_lock, which it releases.
 */
static ssize_t peek_seam(struct receive *r, size_t left)
{
	struct shmfd_record *rec = r->rec;
	struct iovec part[SHMFD_CLAMP_IOV];
	enum shmfd_ring_end end;
	ssize_t n = by_kernel(r, left, (r->flags & ~MSG_WAITALL) | MSG_DONTWAIT), more = 0;
	bool waits = false;

	if (n == -EAGAIN || !n)		/* on their way */
		return counted_kernel(r, left, r->flags);
	if (n > 0 && (size_t)n == left && left < r->total &&
	    (rec->drain_end || rec->drain_eof || shmfd_stream_enter(r->s))) {
		more = shmfd_ring_readv(&r->s->rings->rx, rec, part,
					shmfd_iov_part(part, r->msg, left, SIZE_MAX), true, &end);
		if (more < 0)		/* rubbish: the read that comes there reports it */
			more = 0;
		waits = peek_waits(r, left + (size_t)more);
	}
	shmfd_unlock(rec, &rec->rx_lock);
	return n < 0 ? n : waits ? EMPTY : n + more;
}

/* rx_mode OFFER: the switch is followed.  Under rx_lock, which it releases. */
static ssize_t offered(struct receive *r, bool dontwait)
{
	struct shmfd_record *rec = r->rec;
	struct shmfd_dir *d = r->s->rings->rx.dir;
	uint64_t taken, at = load_acquire(&d->switch_at); /* [stream.X] */

	if (load_acquire(&rec->rx_inflight) && load_acquire(&rec->phase) != SHMFD_LEFT) {
		/* two readers in the kernel: one would sleep beside the ring */
		shmfd_unlock(rec, &rec->rx_lock);
		shmfd_stream_retreat(r->s, SHMFD_WHY_SLEEPERS);
		return AGAIN;
	}
	/* at a border the caller has bytes: never sleep for more */
	if (r->border && !(r->flags & MSG_WAITALL))
		r->flags |= MSG_DONTWAIT;
	if (at == SHMFD_SWITCH_UNKNOWN) {
		if (load_acquire(&rec->phase) == SHMFD_LEFT &&
		    load_acquire(&d->switch_at) == SHMFD_SWITCH_UNKNOWN) { /* [stream.X] */
			store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
			shmfd_unlock(rec, &rec->rx_lock);
			return AGAIN;
		}
		return before_switch(r, dontwait);
	}
	taken = load_relaxed(&rec->kernel_rx_bytes);
	if (taken < at && (shmfd_stream_has_seam(r->s) || !(r->flags & MSG_PEEK)))
		return unlikely(r->flags & MSG_PEEK) ? peek_seam(r, at - taken) :
			counted_kernel(r, at - taken, r->flags);
	/* a peek at what the writer cancelled sees the kernel's bytes, all of them */
	if (taken == at && (rec->drain_end || rec->drain_eof || shmfd_stream_enter(r->s))) {
		rec->room_mark = 0;
		store_relaxed(&rec->rx_mode, SHMFD_MODE_RING);
		shmfd_unlock(rec, &rec->rx_lock);
		shmfd_ready_changed(r->s);
		return AGAIN;
	}
	store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
	shmfd_unlock(rec, &rec->rx_lock);
	/* cancelled by a peer that leaves, not by its shutdown: a receive in the kernel
	 * would not see the link's end, and what we owe it */
	if (load_seq_cst(&d->attn) & SHMFD_DIR_HAND_OVER) /* [stream.A] */
		shmfd_stream_peer_left(r->s);
	return AGAIN;
}

/* Looks until something is published at @pos.  True if it paid. */
static bool spin(struct shmfd_stream *s, uint64_t pos, struct shmfd_spinner *sp)
{
	uint32_t rounds = 0;

	if (!shmfd_spin_begin(sp, &s->rings->spin, shmfd_stream_same_cpu(s), -1))
		return false;
	if (sp->budget_ns >= SHMFD_LAG_NS)
		shmfd_recv_lag(s);
	do {
		for (int i = 0; i < SPIN_LOOKS; i++) {
			if (!shmfd_ring_is_empty(&s->rings->rx, pos)) {
				shmfd_ring_fetch_ahead(&s->rings->rx, pos);
				shmfd_recv_lag_found(s, rounds);
				shmfd_spin_paid(sp);
				return true;
			}
			cpu_pause();
		}
		rounds++;
	} while (shmfd_spin_more(sp));
	shmfd_recv_lag_found(s, UINT32_MAX);
	return false;
}

/* Spins, then sleeps until the ring may have something.  0, or -errno. */
static int wait_data(struct receive *r)
{
	struct shmfd_stream *s = r->s;
	uint64_t pos = r->news ? r->news : r->rec->rd_pos;
	struct shmfd_spinner sp;
	uint32_t turn;
	int64_t start;
	int ret;

	shmfd_stream_show_cpu(s);
	if (spin(s, pos, &sp))
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
	shmfd_stream_arm(s, 0, false); /* [wait.S] */
	/* [wait.S] seq_cst by the CAS above.  The position anew: another thread
	 * may have read on, and the ring may have wrapped over the old one */
	if (!r->news)
		pos = *(volatile uint64_t *)&r->rec->rd_pos;
	if (!shmfd_ring_is_empty(&s->rings->rx, pos) ||
	    load_seq_cst(&r->rec->rd_shut)) {
		shmfd_wait_exit(&s->rings->wait);
		return 0;
	}
	start = sp.tried ? shmfd_now_ns() : 0;
	ret = shmfd_stream_sleep(s, turn, r->deadline, -1, r->got || r->news);
	if (sp.tried)
		shmfd_spin_slept(&sp, shmfd_now_ns() - start);
	if (ret == 0)
		counter_add(&r->rec->bells_rx, 1);
	shmfd_ready_rang(s);
	if (ret == 1 && !shmfd_stream_peer_left(s))
		return -EINTR;
	return ret < 0 ? ret : 0;
}

/* What recvmsg reports beside the bytes. */
static void fill_msg(struct receive *r, ssize_t n)
{
	struct msghdr *m = r->msg;

	m->msg_flags = r->flags & MSG_CMSG_CLOEXEC;
	m->msg_controllen = 0;
	if (m->msg_name && n > 0 && r->rec->family == AF_UNIX) {
		/* only a bound sender has a name there (unix(7)) */
		struct sockaddr_un un;
		socklen_t len = sizeof(un);

		if (!shmfd_sys.getpeername(shmfd_stream_fd(r->s, r->fd),
					   (struct sockaddr *)&un, &len) &&
		    len > sizeof(sa_family_t)) {
			memcpy(m->msg_name, &un, len < m->msg_namelen ? len : m->msg_namelen);
			m->msg_namelen = len;
			return;
		}
	}
	if (m->msg_name)	/* who did not ask keeps his length */
		m->msg_namelen = 0;
}

/* MSG_TRUNC on TCP: bytes are dropped, not copied (tcp(7)). */
static ssize_t discard(struct receive *r)
{
	char bin[4096];
	struct iovec v = { .iov_base = bin };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	struct receive part = *r;
	ssize_t n = 0;

	part.msg = &m;
	part.flags &= ~(MSG_TRUNC | MSG_WAITALL);
	while (r->got < r->total) {
		v.iov_len = r->total - r->got < sizeof(bin) ? r->total - r->got : sizeof(bin);
		part.total = v.iov_len;
		part.got = 0;
		if (shmfd_lock(r->rec, &r->rec->rx_lock))
			break;
		if (load_relaxed(&r->rec->rx_mode) != SHMFD_MODE_RING) {
			shmfd_unlock(r->rec, &r->rec->rx_lock);
			break;
		}
		n = from_ring(&part);
		r->got += part.got;	/* also at a border */
		if (n <= 0 && n != AGAIN)
			break;
	}
	/* the ring is done: what is in the kernel goes the same way */
	if (r->got && r->got < r->total && load_relaxed(&r->rec->rx_mode) == SHMFD_MODE_KERNEL) {
		n = by_kernel(r, SIZE_MAX, (r->flags & ~MSG_WAITALL) | MSG_DONTWAIT);
		count_kernel(r->rec, n, r->flags);
		r->got += n > 0 ? (size_t)n : 0;
		n = EMPTY;
	}
	if (r->got && !((r->flags & MSG_WAITALL) && r->got < r->total && n == EMPTY))
		return (ssize_t)r->got;
	return n ? n : (ssize_t)r->got;
}

/*
 * Bytes that the peer's successor has to read first are still here: sends them,
 * or waits until something can be read.  0, or -errno.
 */
static int send_pending(struct shmfd_stream *s, int fd)
{
	struct pollfd p = { .fd = shmfd_stream_fd(s, fd), .events = POLLIN | POLLOUT };

	while (!shmfd_resend_continue(s, p.fd) && shmfd_resend_is_pending(s)) {
		if (shmfd_sys.poll(&p, 1, -1) < 0)
			return -errno;
		if (p.revents & ~POLLOUT)
			break;
	}
	shmfd_ready_changed(s);
	return 0;
}

/* One attempt: bytes, -errno, PASS, AGAIN or EMPTY. */
static ssize_t attempt(struct receive *r, bool dontwait)
{
	struct shmfd_record *rec = r->rec;
	uint32_t mode;
	ssize_t n;

	if (unlikely((r->flags & (MSG_TRUNC | MSG_PEEK)) == (MSG_TRUNC | MSG_PEEK) &&
		     rec->family != AF_UNIX)) {
		/* TCP counts, and copies nothing (tcp(7)) */
		n = shmfd_unread(r->s, shmfd_stream_fd(r->s, r->fd));
		if (n > 0)
			return n < (ssize_t)r->total ? n : (ssize_t)r->total;
	}
	if (shmfd_lock(rec, &rec->rx_lock))
		return r->got ? (ssize_t)r->got : dontwait ? -EAGAIN : -EINTR;
	mode = load_relaxed(&rec->rx_mode);
	if (load_relaxed(&rec->rx_eof) && mode == SHMFD_MODE_KERNEL) {
		shmfd_unlock(rec, &rec->rx_lock);
		return (ssize_t)r->got;
	}
	if (mode == SHMFD_MODE_RING) {
		if (unlikely((r->flags & (MSG_TRUNC | MSG_PEEK)) == MSG_TRUNC &&
			     rec->family != AF_UNIX && r->total)) {
			shmfd_unlock(rec, &rec->rx_lock);
			return discard(r);
		}
		return from_ring(r);
	}
	if (mode == SHMFD_MODE_OFFER)
		return offered(r, dontwait);
	if (r->got) {	/* the rest of a MSG_WAITALL comes by the kernel */
		shmfd_unlock(rec, &rec->rx_lock);
		n = by_kernel(r, SIZE_MAX, r->flags & MSG_WAITALL ? r->flags :
			      r->flags | MSG_DONTWAIT);
		count_kernel(rec, n, r->flags);
		return (ssize_t)r->got + (n > 0 ? n : 0);
	}
	if (unlikely(load_relaxed(&rec->pending_err))) {
		shmfd_unlock(rec, &rec->rx_lock);
		/* what is there is read before the error is told */
		n = by_kernel(r, SIZE_MAX, (r->flags & ~MSG_WAITALL) | MSG_DONTWAIT);
		count_kernel(rec, n, r->flags);
		if (n > 0 || (!n && (r->total ? shmfd_stream_has_fin(r->s) :
				     has_bytes(shmfd_stream_fd(r->s, r->fd)))))
			return n;
		return -shmfd_take_error(r->s);
	}
	if (unlikely(shmfd_resend_is_pending(r->s)) && !dontwait && !r->pending) {
		shmfd_unlock(rec, &rec->rx_lock);
		r->pending = true;
		n = send_pending(r->s, r->fd);
		return n ? n : AGAIN;
	}
	pass(rec, r->flags);
	shmfd_unlock(rec, &rec->rx_lock);
	return SHMFD_PASS;
}

/* Something came: by the short way, if there is nothing to do but to take it.  On two
 * processors each message waits for this.  Bytes, or 0: nothing was done. */
static ssize_t take_quick(const struct receive *r)
{
	const struct iovec *v = r->msg->msg_iov;
	ssize_t n;

	if (r->flags || r->got || r->msg->msg_iovlen != 1)
		return 0;
	n = shmfd_recv_quick(r->s, v->iov_base, v->iov_len, false);
	return n > 0 ? n : 0;
}

/* What a call returns whose wait ended with @err. */
static ssize_t waited_in_vain(const struct receive *r, ssize_t err)
{
	/* nothing was asked for: TCP waits once, then is content */
	if (r->got || (!r->total && r->rec->family != AF_UNIX))
		return (ssize_t)r->got;
	return err == -ETIMEDOUT ? -EAGAIN : err;
}

/* The kernel notices memory that is missing when it has something to put there. */
static ssize_t no_memory(struct shmfd_stream *s, int fd, int flags)
{
	char byte;
	struct iovec v = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	ssize_t n = shmfd_recv(s, fd, &m, (flags & ~MSG_TRUNC) | MSG_PEEK, false);

	return n > 0 ? -EFAULT : n;
}

/*
 * What needs no look at bytes: calls for the kernel, as it was or as it is again, and those
 * that are refused.  True: *ret is the result.
 */
static bool is_settled(struct receive *r, bool is_read, ssize_t *ret)
{
	struct shmfd_stream *s = r->s;
	struct shmfd_record *rec = r->rec;
	const struct msghdr *msg = r->msg;

	*ret = SHMFD_PASS;
	if (unlikely(shmfd_resend_is_pending(s))) {
		shmfd_resend_continue(s, shmfd_stream_fd(s, r->fd));
	} else if (load_acquire(&rec->phase) == SHMFD_LEFT &&
		   load_relaxed(&rec->rx_mode) == SHMFD_MODE_KERNEL &&
		   !load_relaxed(&rec->pending_err) && !load_relaxed(&rec->rx_eof)) {
		shmfd_stream_pass_for_good(s, r->fd);
		return true;
	}
	if (unlikely(r->flags & (MSG_OOB | MSG_ERRQUEUE))) {
		if (r->flags & MSG_OOB)
			shmfd_stream_retreat(s, SHMFD_WHY_OOB);
		pass(rec, r->flags);
		return true;
	}
	/* EINVAL or EMSGSIZE by the kernel; or a fork's child */
	if (unlikely(msg->msg_iovlen > IOV_MAX || (!shmfd_stream_is_user(s) && !s->seg))) {
		pass(rec, r->flags);
		return true;
	}
	/* rejected by the kernel, before it would take a byte */
	*ret = shmfd_check_msg(msg);
	if (unlikely(*ret) && !((r->flags & MSG_TRUNC) && rec->family != AF_UNIX)) {
		if (*ret > 0)
			*ret = no_memory(s, r->fd, r->flags);
		return true;
	}
	r->total = shmfd_iov_total(msg->msg_iov, msg->msg_iovlen);
	*ret = 0;
	return is_read && !r->total;
}

ssize_t shmfd_recv(struct shmfd_stream *s, int fd, struct msghdr *msg, int flags,
		   bool is_read)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct receive r = {
		.s = s, .rec = rec, .msg = msg, .fd = fd, .flags = flags,
	};
	bool dontwait = (flags & MSG_DONTWAIT) || load_relaxed(&rec->nonblock);
	ssize_t n;

	if (is_settled(&r, is_read, &n))
		return n;
	r.waits = !dontwait;
	for (;;) {
		n = attempt(&r, dontwait);
		if (n == AGAIN)
			continue;
		if (n != EMPTY) {
			/* an error or the end behind bytes: next time */
			if (n <= 0 && n != SHMFD_PASS && r.got)
				n = (ssize_t)r.got;
			break;
		}
		if (dontwait || (r.border && !(flags & MSG_WAITALL))) {
			n = r.got ? (ssize_t)r.got : -EAGAIN;
			if (n < 0 && shmfd_recv_is_over(s))
				continue;
			break;
		}
		if (rec->rcvtimeo_ns && !r.deadline)
			r.deadline = shmfd_now_ns() + rec->rcvtimeo_ns;
		n = wait_data(&r);
		if (!n) {
			n = take_quick(&r);
			if (n)
				break;
		}
		if (n < 0 && r.news) {	/* the part that is there */
			r.waits = false;
			r.news = 0;
			continue;
		}
		if (n < 0) {
			n = waited_in_vain(&r, n);
			break;
		}
	}
	/* the end of TCP is the end, whatever comes later; an error of AF_UNIX is told first */
	if (!n && r.total && rec->family == AF_UNIX)
		n = -shmfd_take_any_error(s, shmfd_stream_fd(s, fd));
	else if (!n && r.total && !shmfd_stream_has_fin(s) && !load_relaxed(&rec->rx_eof))
		n = -shmfd_take_error(s);
	if (n >= 0 && !r.filled)
		fill_msg(&r, n);
	return n;
}

bool shmfd_recv_end(struct shmfd_stream *s, int fd, ssize_t n, int flags)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint32_t mode;

	count_kernel(rec, n, flags);
	/* [stream.P] */
	if (load_acquire(&rec->phase) != SHMFD_LEFT || load_relaxed(&rec->rx_inflight)) {
		fetch_sub_acq_rel(&rec->rx_inflight, flags & MSG_WAITALL ? 2 : 1);
		shmfd_stream_offer(s);
		shmfd_meet_tick(s, fd);
	}
	if (n || !s->seg)
		return false;
	/* at the end, that is, not a receive of nothing */
	if (shmfd_stream_is_reset(s) && !has_bytes(fd) && shmfd_take_reset(s)) {
		store_relaxed(&rec->pending_err, ECONNRESET);
		return true;
	}
	/* the kernel's end-of-file, but bytes of a ring come before it: the call
	 * began before the switch */
	mode = load_relaxed(&rec->rx_mode);
	return mode == SHMFD_MODE_RING ||
		(mode == SHMFD_MODE_OFFER && shmfd_stream_knows_switch(s));
}

int shmfd_recv_settle(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	int tag = (int)SHMFD_TAG_NONE;

	if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING && shmfd_alone(rec) &&
	    shmfd_recv_is_empty(s))
		return tag;
	if (shmfd_lock(rec, &rec->rx_lock))
		return tag;
	if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_OFFER &&
	    /* [stream.X] */
	    load_relaxed(&rec->kernel_rx_bytes) == load_acquire(&s->rings->rx.dir->switch_at) &&
	    !load_acquire(&rec->rx_inflight)) {
		bool entered = rec->drain_end || rec->drain_eof || shmfd_stream_enter(s);

		store_relaxed(&rec->rx_mode, entered ? SHMFD_MODE_RING : SHMFD_MODE_KERNEL);
	}
	if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING) {
		tag = shmfd_ring_next(&s->rings->rx, rec);
		if (tag == (int)SHMFD_TAG_END) {
			shmfd_ring_pass(&s->rings->rx, rec);
			store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
			tag = (int)SHMFD_TAG_NONE;
		} else if (tag == (int)SHMFD_TAG_NONE &&
			   load_acquire(&rec->phase) == SHMFD_LEFT &&
			   shmfd_ring_is_drained(&s->rings->rx, rec)) {
			ring_is_done(rec);
		}
	}
	shmfd_unlock(rec, &rec->rx_lock);
	return tag;
}
