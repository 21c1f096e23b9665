/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_EARLY_H
#define SHMFD_EARLY_H

/*
 * The short way of a data call before its stream has met its peer: it goes to the kernel,
 * and all there is to do is to count.  Most connections are over before they meet.
 *
 * Who pairs the stream looks at the count of calls inside the kernel afterwards ([stream.P]);
 * and the switch of a direction begins only where nobody else is inside, so that the end of
 * a call that began early never has to do it.
 *
 * Concurrency: any threads; s is pinned.  The count is changed by one locked instruction, also
 * in a process with one thread: a handler may fork between a load and a store, and its child
 * comes and goes beside us.
 */
#include "meet.h"

/* A call of @weight goes to the kernel and is counted until its end.  False: it has to take
 * the long way, nothing was done. */
static inline bool shmfd_early(const struct shmfd_record *rec, _Atomic uint32_t *inflight,
			       uint32_t weight)
{
	/* relaxed: a hint, looked at again */
	if (load_relaxed(&rec->phase) >= SHMFD_PAIRED ||
	    unlikely(load_relaxed(&rec->user_pid) != shmfd_pid))
		return false;
	fetch_add_seq_cst(inflight, weight); /* [stream.P] */
	if (likely(load_seq_cst(&rec->phase) < SHMFD_PAIRED)) /* [stream.P] */
		return true;
	fetch_sub_acq_rel(inflight, weight);
	return false;
}

/* The end of a call of weight 1.  True: the stream is still as it was. */
static inline bool shmfd_early_end(struct shmfd_stream *s, _Atomic uint32_t *inflight, int fd)
{
	fetch_sub_acq_rel(inflight, 1);
	if (unlikely(load_acquire(&shmfd_stream_record(s)->phase) >= SHMFD_PAIRED))
		return false;
	shmfd_meet_tick(s, fd);
	return true;
}

/* In place of shmfd_recv() and shmfd_send(): make the real call.  False: nothing was done. */
static inline bool shmfd_recv_early(struct shmfd_stream *s, int flags)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	return !(flags & (MSG_OOB | MSG_ERRQUEUE)) &&
		shmfd_early(rec, &rec->rx_inflight, flags & MSG_WAITALL ? 2 : 1);
}

static inline bool shmfd_send_early(struct shmfd_stream *s, const struct msghdr *msg, int flags)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	return !(flags & MSG_OOB) && !msg->msg_controllen &&
		shmfd_early(rec, &rec->tx_inflight, 1);
}

/* In place of shmfd_recv_end() and shmfd_send_end(), whichever way the call began.  False:
 * nothing was done.  Keep errno. */
static inline bool shmfd_recv_early_end(struct shmfd_stream *s, int fd, ssize_t n, int flags)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if ((n <= 0 && n != -EAGAIN) ||
	    unlikely(flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_WAITALL)) ||
	    load_acquire(&rec->phase) >= SHMFD_PAIRED)
		return false;
	if (n > 0) {
		fetch_add_relaxed(&rec->kernel_rx_bytes, (uint64_t)n);
		counter_add(&rec->kernel_rx_msgs, 1);
	}
	if (unlikely(!shmfd_early_end(s, &rec->rx_inflight, fd)))
		shmfd_stream_offer(s);
	return true;
}

static inline bool shmfd_send_early_end(struct shmfd_stream *s, int fd, ssize_t n)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (n <= 0 || load_acquire(&rec->phase) >= SHMFD_PAIRED)
		return false;
	fetch_add_relaxed(&rec->kernel_tx_bytes, (uint64_t)n);
	counter_add(&rec->kernel_tx_msgs, 1);
	shmfd_early_end(s, &rec->tx_inflight, fd);
	return true;
}

#endif
