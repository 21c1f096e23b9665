/* SPDX-License-Identifier: MIT */

/*
 * The way back of a sending direction that was left with bytes unread, where
 * the reader can not take them from the ring: they go by the kernel again, in
 * the place of the ring (RESEND, see stream.h).
 *
 * The kernel has to take them at once: a host whose write has returned may
 * never call again, as those bytes are the kernel's business.  A socket of
 * AF_UNIX holds 208 KiB by default, bookkeeping included (unix(7),
 * net.core.wmem_default), less than a full ring and what may lie there before.
 * So its limit is raised for the moment, as far as net.core.wmem_max allows
 * (socket(7)); lowering it again drops nothing.
 *
 * What does not fit even so goes on with every call of this process that may
 * sleep, on whatever descriptor (shmfd_resend_all), and those sleep in steps as
 * long as something is left.
 *
 * Concurrency: tx_lock of the stream.  The count is of this process and a hint:
 * too high costs a look at the table, which corrects it; never too low, as who
 * adds to it does so after tx_mode is RESEND.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "mend.h"
#include "ready.h"
#include "stream.h"
#include "sys.h"

#define PIECE_BYTES	3584	/* what a buffer of one page holds beside its own needs */
#define BLOCK_MAX_NS	5000000000ll
#define BLOCK_STEP_MS	100
#define SLEEP_STEP_NS	20000000ll	/* while something is left */
#define LONG_NS		1000000000000000ll	/* 11 days: for ever, but with an end */

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK	72	/* Linux 5.14, commit 04190bf8944d */
#endif

_Atomic uint32_t shmfd_resends;

/* A send buffer limit that was raised for a moment. */
struct widened {
	int bytes;		/* as it was; 0: not raised */
	int locks;		/* SO_BUF_LOCK as it was, or -1 */
};

/* Makes room for what is unread.  SO_SNDBUF is set to half of what it reads
 * (socket(7)); for TCP setting it ends auto-tuning, which SO_BUF_LOCK gives
 * back: without it TCP is left alone. */
static void widen(struct widened *w, int fd, const struct shmfd_record *rec)
{
	socklen_t len = sizeof(w->bytes);
	uint64_t want;
	int half;

	if (shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &w->bytes, &len))
		goto no;
	len = sizeof(w->locks);
	if (shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &w->locks, &len))
		w->locks = -1;
	if (w->locks < 0 && rec->family != AF_UNIX)
		goto no;
	/* twice the bytes, for the kernel's bookkeeping of each buffer */
	want = (uint64_t)w->bytes / 2 + (rec->wr_pos - rec->resend_pos);
	half = want < INT32_MAX / 2 ? (int)want : INT32_MAX / 2;
	if (!shmfd_sys.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half)))
		return;
no:
	w->bytes = 0;
}

static void narrow(const struct widened *w, int fd)
{
	int half = w->bytes / 2;

	if (!w->bytes)
		return;
	shmfd_sys.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
	if (w->locks >= 0)
		shmfd_sys.setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &w->locks, sizeof(w->locks));
}

/*
 * The next bytes in one piece: a long record as it is, short ones in @buf.  Each
 * send costs the kernel a buffer, whose bookkeeping of 768 bytes and more counts
 * against the limit.  Bytes, 0 at the end, -EPROTO.
 */
static ssize_t next_piece(const struct shmfd_stream *s, const struct shmfd_record *rec,
			  uint8_t *buf, const uint8_t **ret_data)
{
	/* positions move on when the kernel has the bytes, not before */
	struct shmfd_record at = {
		.wr_pos = rec->wr_pos,
		.resend_pos = rec->resend_pos,
		.resend_part = rec->resend_part,
	};
	size_t sum = 0;
	ssize_t run;

	*ret_data = buf;
	while ((run = shmfd_ring_resend_run(&s->rings->tx, &at, ret_data)) > 0) {
		if (!sum && run >= PIECE_BYTES)
			return run;
		if ((size_t)run > PIECE_BYTES - sum)
			run = (ssize_t)(PIECE_BYTES - sum);
		memcpy(buf + sum, *ret_data, (size_t)run);
		sum += (size_t)run;
		if (sum == PIECE_BYTES)
			break;
		shmfd_ring_resent(&s->rings->tx, &at, (uint32_t)run);
	}
	*ret_data = buf;
	return run < 0 ? run : (ssize_t)sum;
}

/* Counts @n bytes, of whatever records, as sent. */
static void pass_by(struct shmfd_stream *s, size_t n)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	const uint8_t *unused;

	while (n) {
		ssize_t run = shmfd_ring_resend_run(&s->rings->tx, rec, &unused);

		if (run <= 0)
			return;
		if ((size_t)run > n)
			run = (ssize_t)n;
		shmfd_ring_resent(&s->rings->tx, rec, (uint32_t)run);
		n -= (size_t)run;
	}
}

void shmfd_resend_lost(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	/* AF_UNIX tells it behind the input; the peer may have said so itself */
	if (rec->family == AF_UNIX)
		fetch_or_seq_cst(&s->rings->rx.dir->w_flags, SHMFD_W_RESET); /* [stream.X] */
	else if (!xchg_seq_cst(&rec->reset_told, 1))
		store_relaxed(&rec->pending_err, (uint32_t)shmfd_reset_error(s));
}

/* Sends until nothing is left (0) or the kernel takes no more (-EAGAIN). */
static int send_runs(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint8_t buf[PIECE_BYTES];
	const uint8_t *data;
	ssize_t run, n;

	while ((run = next_piece(s, rec, buf, &data)) > 0) {
		n = shmfd_sys.send(fd, data, (size_t)run, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			pass_by(s, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		run = -EPIPE;	/* nobody is there to read them: the kernel's own reset */
		break;
	}
	if (run < 0)
		shmfd_resend_lost(s);
	return 0;
}

/* As much as the kernel takes at once, into a wider buffer if need be. */
static int send_now(struct shmfd_stream *s, int fd, bool may_widen)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint64_t mask = shmfd_signals_block();
	struct widened w = { 0 };
	int ret = send_runs(s, fd);

	if (ret && may_widen) {
		widen(&w, fd, rec);
		if (w.bytes)
			ret = send_runs(s, fd);
		narrow(&w, fd);
	}
	if (!ret) {
		store_relaxed(&rec->tx_mode, SHMFD_MODE_KERNEL);
		if (load_relaxed(&rec->wr_shut))
			shmfd_sys.shutdown(fd, SHUT_WR);
	}
	shmfd_signals_restore(mask);
	return ret;
}

int shmfd_resend(struct shmfd_stream *s, int fd, bool may_block)
{
	int64_t limit = may_block ? shmfd_now_ns() + BLOCK_MAX_NS : 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int ret = send_now(s, fd, true);

	while (ret && may_block && shmfd_now_ns() < limit) {
		shmfd_sys.poll(&p, 1, BLOCK_STEP_MS);
		ret = send_now(s, fd, false);
	}
	return ret;
}

void shmfd_resend_begin(struct shmfd_stream *s, int fd, uint64_t pos, uint32_t part)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint64_t mask = shmfd_signals_block();

	rec->resend_pos = pos;
	rec->resend_part = part;
	/* rubbish: nothing can be saved */
	if (rec->wr_pos - pos > s->rings->tx.cap || pos % SHMFD_HEADER_BYTES) {
		rec->resend_pos = rec->wr_pos;
		shmfd_resend_lost(s);
	}
	store_relaxed(&rec->tx_mode, SHMFD_MODE_RESEND);
	if (shmfd_resend(s, fd, false))
		/* relaxed: a hint */
		fetch_add_relaxed(&shmfd_resends, 1);
	shmfd_signals_restore(mask);
}

void shmfd_resend_frozen(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct shmfd_dir *d = s->rings->tx.dir;
	uint64_t taken = load_acquire(&d->rd_pos); /* [ring.R] stored before the swap */
	uint32_t part = load_acquire(&d->rd_part);
	uint64_t open = 0, pos = taken;

	if (!(load_seq_cst(&d->attn) & SHMFD_DIR_HAND_OVER)) { /* [stream.A] */
		pos = rec->wr_pos;
		if (!cas_seq_cst(&d->split, &open, pos + 1)) /* [stream.A] */
			pos = open - 1;
		store_relaxed(&rec->peer_end, pos);
	}
	shmfd_resend_begin(s, fd, pos, pos == taken ? part : 0);
}

bool shmfd_resend_try(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool done = false;

	if (shmfd_lock(rec, &rec->tx_lock))
		return false;
	if (load_relaxed(&rec->tx_mode) == SHMFD_MODE_RESEND)
		done = !shmfd_resend(s, fd, false);
	shmfd_unlock(rec, &rec->tx_lock);
	return done;
}

bool shmfd_resend_continue(struct shmfd_stream *s, int fd)
{
	bool done = shmfd_resend_try(s, fd);

	if (done)
		shmfd_ready_changed(s);
	return done;
}

int64_t shmfd_resend_all(int64_t sleep_ns)
{
	uint32_t left = 0;
	int saved = errno;

	xchg_seq_cst(&shmfd_resends, 0);
	for (uint32_t i = 0; i < load_relaxed(&shmfd_table->high); i++) {
		struct shmfd_stream *s;

		if (!load_relaxed(&shmfd_streams[i].numbers))
			continue;
		s = shmfd_stream_get_at(i);
		if (!s)
			continue;
		if (s->seg && shmfd_resend_is_pending(s)) {
			shmfd_resend_continue(s, load_relaxed(&s->fd));
			left += shmfd_resend_is_pending(s);
		}
		shmfd_stream_put(s);
	}
	fetch_add_relaxed(&shmfd_resends, left);
	errno = saved;
	return left && (sleep_ns < 0 || sleep_ns > SLEEP_STEP_NS) ? SLEEP_STEP_NS : sleep_ns;
}

int shmfd_stream_sleep(struct shmfd_stream *s, uint32_t turn, int64_t deadline, int beside,
		       bool part)
{
	int64_t left = -1, step;
	int ret;

	if (deadline) {
		left = deadline - shmfd_now_ns();
		if (left < 0)
			left = 0;
	}
	step = shmfd_before_sleep(left);
	if (unlikely(part) && step < 0)
		step = LONG_NS;
	ret = shmfd_wait_sleep(&s->rings->wait, turn, step, beside, deadline || part);
	if (unlikely(step != left) &&
	    (ret == -ETIMEDOUT ||
	     (ret == -EINTR && left < 0 && !part && shmfd_wait_restarts())))
		return 0;
	return ret;
}
