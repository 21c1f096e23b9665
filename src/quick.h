/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_QUICK_H
#define SHMFD_QUICK_H

/*
 * The short ways; see quick.c.
 */
#include <stddef.h>
#include <sys/types.h>

#include "stream.h"

/*
 * Sends all of @iov (memory that can be read), without a flag that says more than
 * MSG_DONTWAIT or MSG_NOSIGNAL, or receives what is there, at most @len.  Returns the
 * bytes, or 0: nothing was done, take the long way (shmfd_send, shmfd_recv).  A receive with
 * @dontwait, or of a file that does not block, may also return -EAGAIN.  Keep errno.
 * Concurrency: any threads; s is pinned.
 */
ssize_t shmfd_send_quick(struct shmfd_stream *s, int fd, const struct iovec *iov, size_t nr);
ssize_t shmfd_recv_quick(struct shmfd_stream *s, void *buf, size_t len, bool dontwait);

/* Nothing there now, and neither an end nor a way back: who does not wait has to look again
 * later.  On the ring; under rx_lock, or where nobody else can be at it (shmfd_alone). */
static inline bool shmfd_recv_is_empty(const struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);

	return !rec->rd_part && !rec->drain_end &&
		shmfd_ring_is_empty(&s->rings->rx, rec->rd_pos) &&
		!load_relaxed(&rec->rd_shut) && load_acquire(&rec->phase) == SHMFD_PAIRED;
}

/*
 * A receive that does not wait found nothing.  A peer that died, or just ended, leaves
 * nothing in memory: true if the kernel, asked now and then, says that the link has ended.
 * The stream has left then; look again.  Concurrency: any threads.
 */
bool shmfd_recv_is_over(struct shmfd_stream *s);

/* What a lag takes at most, about; a shorter spin has none. */
#define SHMFD_LAG_NS	10000u
/*
 * Before a receiver on another processor than its writer begins to look, and after: it found
 * something after @rounds of looks, or UINT32_MAX: nothing.  That is only noted, as whoever
 * sent it waits for an answer; the next lag makes something of it.
 * Concurrency: any threads; what is remembered is a hint.
 */
void shmfd_recv_lag(struct shmfd_stream *s);

static inline void shmfd_recv_lag_found(struct shmfd_stream *s, uint32_t rounds)
{
	s->rings->lag_rounds = rounds;
}

#endif
