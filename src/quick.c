/* SPDX-License-Identifier: MIT */

/*
 * The short way of a send and of a receive: few bytes, a direction that is on its ring,
 * and nothing else to do.  What send.c and recv.c ask one after the other for all kinds
 * of calls is here one look each; whatever is out of the ordinary takes the long way,
 * before anything was done.  A program with edges reads on until EAGAIN: that answer has a
 * short way too.  On a 2-vCPU VM a write and a read of 8 bytes take 46 ns
 * together, by the long way 80.
 *
 * A reader on another processor that finds each record as soon as it is there pays for
 * each line of the ring by itself, and takes it from the writer in the middle of its
 * work.  While records come one way only, and soon after each other, it lets the writer
 * get ahead for up to a microsecond, up to six where they are long: then the processor
 * loads lines in advance (64-byte messages through a bare ring, same machine: 16 M/s, with
 * the lag 26 M/s).
 */
#include "quick.h"

#define IOV_MOST	8u	/* parts of a send */
#define LAG_MOST	96u	/* pauses, some 12 ns each */
#define LAG_STEPS	12u	/* to the most */
#define BULK_BYTES	4096u	/* found by one wait: it may be that many times more */
#define BULK_MOST	512u
#define SOON_ROUNDS	16u	/* of looks: some microseconds */
#define ASK_NS		20000	/* less than a process takes to end and be waited for */
#define DRY_MOST	4u	/* without a word of the set: the program waits elsewhere */

/* The bytes of all parts; 0: none, bad ones, or too many for the short way. */
static inline size_t total_of(const struct iovec *iov, size_t nr)
{
	size_t sum = 0;

	if (unlikely(nr > IOV_MOST))
		return 0;
	for (size_t i = 0; i < nr; i++) {
		if (unlikely(iov[i].iov_len > SHMFD_RING_PUT_MAX ||
			     shmfd_is_bad_pointer(iov[i].iov_base, iov[i].iov_len)))
			return 0;
		sum += iov[i].iov_len;
	}
	return sum <= SHMFD_RING_PUT_MAX ? sum : 0;
}

/* All of this has to hold for the short ways; a hint, looked at again under the lock. */
static inline bool is_plain(const struct shmfd_record *rec, const _Atomic uint32_t *mode)
{
	return load_relaxed(mode) == SHMFD_MODE_RING &&
		load_relaxed(&rec->phase) == SHMFD_PAIRED &&
		load_relaxed(&rec->user_pid) == shmfd_pid;
}

ssize_t shmfd_send_quick(struct shmfd_stream *s, int fd, const struct iovec *iov, size_t nr)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	size_t len = total_of(iov, nr);
	uint32_t attn;
	bool done;

	if (unlikely(!len || !is_plain(rec, &rec->tx_mode) || load_relaxed(&s->rings->full_since) ||
		     rec->since_look + 1 >= SHMFD_LOOK_EVERY ||
		     shmfd_dir_state(s->rings->tx.dir) == SHMFD_DIR_FROZEN))
		return 0;
	if (unlikely(shmfd_lock(rec, &rec->tx_lock)))
		return 0;
	done = likely(load_relaxed(&rec->tx_mode) == SHMFD_MODE_RING) &&
		!load_relaxed(&rec->wr_shut) && shmfd_ring_put(&s->rings->tx, rec, iov, nr, len);
	if (done) {
		rec->since_look++;
		counter_add(&rec->ring_tx_bytes, len);
		counter_add(&rec->ring_tx_msgs, 1);
		/* [wait.S] the publication before this was a full fence */
		attn = load_seq_cst(&s->rings->tx.dir->attn);
		if (unlikely(attn & SHMFD_SLEEP))
			shmfd_send_tell(s);
		if (unlikely((attn & SHMFD_DIR_STATE_MASK) == SHMFD_DIR_FROZEN))
			shmfd_resend_frozen(s, shmfd_stream_fd(s, fd));
	}
	shmfd_unlock(rec, &rec->tx_lock);
	return done ? (ssize_t)len : 0;
}

/* Again nothing: it is time to ask.  What is remembered is a hint. */
static bool asks(const struct shmfd_stream *s)
{
	counter_add(&s->rings->dry, 1);
	/* its set hears of the end, and tells of the stream between two of these */
	if (s->reg.tagged && load_relaxed(&s->rings->dry) < DRY_MOST)
		return false;
	return shmfd_now_ns() - load_relaxed(&s->rings->asked_ns) >= ASK_NS;
}

bool shmfd_recv_is_over(struct shmfd_stream *s)
{
	if (load_acquire(&shmfd_stream_record(s)->phase) != SHMFD_PAIRED || !asks(s))
		return false;
	store_relaxed(&s->rings->asked_ns, shmfd_now_ns());
	return shmfd_wait_has_ended(&s->rings->wait) && shmfd_stream_peer_left(s);
}

ssize_t shmfd_recv_quick(struct shmfd_stream *s, void *buf, size_t len, bool dontwait)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	ssize_t n = 0;
	bool no_wait;

	if (unlikely(!is_plain(rec, &rec->rx_mode) || shmfd_is_bad_pointer(buf, len) ||
		     shmfd_resend_is_pending(s)))
		return 0;
	no_wait = len && (dontwait || load_relaxed(&rec->nonblock));
	if (no_wait && shmfd_alone(rec) && shmfd_recv_is_empty(s))
		return asks(s) ? 0 : -EAGAIN;
	if (unlikely(shmfd_lock(rec, &rec->rx_lock)))
		return 0;
	if (likely(load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING)) {
		n = (ssize_t)shmfd_ring_take(&s->rings->rx, rec, buf, len);
		if (n) {
			counter_add(&rec->ring_rx_bytes, (size_t)n);
			counter_add(&rec->ring_rx_msgs, 1);
			shmfd_recv_wake(s);
		} else if (no_wait && shmfd_recv_is_empty(s)) {
			n = asks(s) ? 0 : -EAGAIN;
		}
	}
	shmfd_unlock(rec, &rec->rx_lock);
	return n;
}

void shmfd_recv_lag(struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);
	struct shmfd_rings *r = s->rings;
	/* relaxed: hints */
	uint64_t sent = load_relaxed(&rec->ring_tx_bytes);
	uint64_t taken = load_relaxed(&rec->ring_rx_bytes);
	uint32_t most = taken - r->lag_taken >= BULK_BYTES ? BULK_MOST : LAG_MOST;
	uint32_t lag = r->lag + most / LAG_STEPS;

	if (r->lag_sent != sent || r->lag_rounds > SOON_ROUNDS)
		lag = 0;	/* it answers, the next one waits for us; or nothing came soon */
	r->lag_sent = sent;
	r->lag_taken = taken;
	r->lag = (uint16_t)(lag < most ? lag : most);
	for (uint32_t i = r->lag; i; i--)
		cpu_pause();
}
