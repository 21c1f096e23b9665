/* SPDX-License-Identifier: MIT */

/*
 * What lies between the ends: FIONREAD and SIOCOUTQ (tcp(7), unix(7)).
 *
 * A host may ask for exactly what FIONREAD said, and count on it.  So the ring
 * counts together with the kernel only if one receive can take both.
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>

#include "ready.h"
#include "stream.h"
#include "sys.h"

/* All that comes before the ring is in the kernel: one receive can take both.  Under
 * rx_lock. */
static bool reaches_ring(struct shmfd_stream *s, int fd)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);
	int there;

	return shmfd_stream_has_seam(s) && !load_acquire(&rec->rx_inflight) &&
		!shmfd_sys.ioctl(fd, FIONREAD, &there) &&
		load_relaxed(&rec->kernel_rx_bytes) + (unsigned int)there >=
		load_acquire(&s->rings->rx.dir->switch_at) && /* [stream.X] */
		(rec->drain_end || rec->drain_eof || shmfd_stream_enter(s));
}

/* Whoever has the peer's socket now waits for what the peer had not read; a host may ask
 * for counts again and again, and call nothing else. */
static void give(struct shmfd_stream *s, int fd)
{
	if (unlikely(shmfd_resend_is_pending(s)))
		shmfd_resend_continue(s, fd);
	else if (unlikely(shmfd_dir_state(s->rings->tx.dir) == SHMFD_DIR_FROZEN) &&
		 load_relaxed(&shmfd_stream_record(s)->tx_mode) == SHMFD_MODE_RING &&
		 shmfd_wait_has_ended(&s->rings->wait))
		shmfd_stream_peer_left(s);
}

ssize_t shmfd_unread(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	ssize_t n = SHMFD_PASS;
	int kernel = 0, tag = (int)SHMFD_TAG_NONE;
	bool seam;

	if (!s->seg)
		return SHMFD_PASS;
	give(s, fd);
	shmfd_recv_settle(s);
	if (shmfd_lock(rec, &rec->rx_lock))
		return SHMFD_PASS;
	seam = reaches_ring(s, fd);
	if (seam || load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING)
		n = shmfd_ring_unread(&s->rings->rx, rec, &tag);
	shmfd_unlock(rec, &rec->rx_lock);
	if (n < 0)
		return SHMFD_PASS;
	/* told here, before the bell came to the set: the set has to know */
	if (n > 0 && s->reg.set)
		shmfd_ready_rang(s);
	/* behind the end of the ring, and before its start, is the kernel */
	if ((seam || tag == (int)SHMFD_TAG_END || load_acquire(&rec->phase) == SHMFD_LEFT) &&
	    !shmfd_sys.ioctl(fd, FIONREAD, &kernel))
		n += kernel;
	return n;
}

ssize_t shmfd_unsent(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint64_t used;

	if (!s->seg || load_relaxed(&rec->tx_mode) != SHMFD_MODE_RING)
		return SHMFD_PASS;
	if (rec->family != AF_UNIX)
		return 0;	/* delivered is acknowledged (tcp(7)) */
	used = rec->wr_pos - load_acquire(&s->rings->tx.dir->rd_pos); /* [ring.R] */
	return used > s->rings->tx.cap ? 0 : (ssize_t)used;
}
