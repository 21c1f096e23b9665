/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_RING_H
#define SHMFD_RING_H

/*
 * One-way record ring in shared memory: memory only, no system calls, nothing
 * that knows a socket.
 *
 *   producer                               consumer
 *   clear the header slot after the record
 *   copy the payload
 *   [H] xchg header          ---------->   [H] load_acquire header
 *                                          copy the payload out
 *   [R] load_acquire rd_pos  <----------   [R] store rd_pos
 *   reuse the space
 *
 * H: a header that is not NONE means its payload is complete, and that the
 *    slot after it is either NONE or a later complete header.
 * R: space before rd_pos is free, the consumer's loads of it are over.
 *
 * The consumer polls the header itself, so a small message crosses between
 * two cores in one cache line; a tail index beside the data would be a second
 * one (measured on a 2-vCPU VM: 337 against 498 ns a round trip of 8 bytes).
 *
 * When the ring is empty at the end of a lap the producer wraps early to offset 0, so
 * that request/response lives in few pages, and in the cache (1 KiB round trip 1435 ->
 * 551 ns on the same machine).  A lap begins with 8 KiB.  It doubles when nothing came
 * the other way during one, when a record is too long for it, and when the ring was
 * found full: a one-way stream soon uses all of a large ring.  That pays twice: lines
 * that the consumer still has in its cache are slow to write (7 to 9 GB/s, where it
 * reads 35 GB/s); those that a lap of megabytes has pushed out of it are not (16 KiB
 * writes both ways, rings of 256 KiB and 2 MiB: 11 and 29 GB/s, same machine).
 * What a wrap skips counts as used until the consumer comes to the WRAP.
 *
 * A wrap is published after the record at offset 0: the consumer that sees the
 * WRAP header finds a complete record there.
 *
 * RESERVE bytes are always kept free, so that an end-of-file and an end record
 * can never fail however full the ring is.
 *
 * A position of this side is stored after what it stands for, so that whoever takes
 * the lock of a frame that vanished can go on (shmfd_ring_mend_tx, _rx).
 *
 * Positions are free-running byte counts; offset = position & (cap - 1).  They
 * live in memory of the caller that the other side can not write.  The header
 * and rd_pos can be rubbish: both are checked, and rubbish is -EPROTO.
 *
 * Concurrency: one producer and one consumer at a time; callers lock.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "atomic.h"
#include "shmfd/layout.h"

#define SHMFD_RING_RESERVE	64u

/* A mapped ring: where it is and the shared words of its direction. */
struct shmfd_ring {
	uint8_t *base;
	uint32_t cap;
	struct shmfd_dir *dir;
};

/* Contiguous room that was reserved; constant until committed. */
struct shmfd_span {
	uint8_t *data;		/* payload goes here */
	uint32_t len;		/* bytes of room, > 0 */
	uint64_t pos;		/* position of the record's header */
	bool wrapped;		/* a WRAP at wr_pos goes out with it */
};

static inline uint64_t shmfd_header(uint32_t tag, uint32_t len)
{
	return (uint64_t)len << 32 | tag;
}

static inline _Atomic uint64_t *shmfd_ring_slot(const struct shmfd_ring *r,
						uint64_t pos)
{
	return (_Atomic uint64_t *)(void *)(r->base + (pos & (r->cap - 1)));
}

/* True if nothing is published at @pos.  [ring.H] acquire. */
static inline bool shmfd_ring_is_empty(const struct shmfd_ring *r, uint64_t pos)
{
	return load_acquire(shmfd_ring_slot(r, pos)) == 0; /* [ring.H] */
}

/* Bytes of a record's payload that lie in the line of its header. */
static inline size_t shmfd_ring_beside_header(uint64_t pos)
{
	return SHMFD_LINE - SHMFD_HEADER_BYTES - (size_t)(pos & (SHMFD_LINE - 1));
}

/*
 * What was found at @pos goes on in a second line: asks for that, while the caller still has
 * other things to do before it takes it (to and fro, 2-vCPU VM: 64 bytes 221 -> 200 ns, with
 * epoll 291 -> 271, with poll 271 -> 250; 1 KiB 335 -> 320).  Not for a line that it does not
 * need: the producer writes there next.  A header can be rubbish, nothing is read here.
 * Concurrency: consumer.
 */
static inline void shmfd_ring_fetch_ahead(const struct shmfd_ring *r, uint64_t pos)
{
	uint64_t header = load_relaxed(shmfd_ring_slot(r, pos));

	if ((header >> 32) > shmfd_ring_beside_header(pos))
		__builtin_prefetch(r->base + (((pos | (SHMFD_LINE - 1)) + 1) & (r->cap - 1)));
}

/*
 * Finds room for up to @want payload bytes, contiguous.
 * Returns 1 and *ret_span; 0: full; -EPROTO: the consumer's position is
 * impossible.  Nothing is visible to the consumer before the commit.
 * Concurrency: producer only.  Order: acquires [ring.R].
 * Source: none, our choice.
 */
int shmfd_ring_reserve(const struct shmfd_ring *r, struct shmfd_record *rec,
		       size_t want, struct shmfd_span *ret_span);

/*
 * Publishes @len > 0 bytes that were copied to @span.
 * Order: full fence after the publication, see wait.h.
 */
void shmfd_ring_commit(const struct shmfd_ring *r, struct shmfd_record *rec,
		       const struct shmfd_span *span, uint32_t len);

/*
 * Copies from an iovec array, skipping @skip bytes, as much as fits.
 * Returns bytes written (0: full), or -EPROTO.
 */
ssize_t shmfd_ring_writev(const struct shmfd_ring *r, struct shmfd_record *rec,
			  const struct iovec *iov, size_t iov_nr, size_t skip);

/*
 * The same for short buffers of @len bytes in all, in the common case: false, and nothing
 * done, where it takes a look at the consumer, a wrap or more room, or @len is 0 or beyond
 * SHMFD_RING_PUT_MAX; shmfd_ring_writev() does those.
 */
#define SHMFD_RING_PUT_MAX	2048u
bool shmfd_ring_put(const struct shmfd_ring *r, struct shmfd_record *rec,
		    const struct iovec *iov, size_t iov_nr, size_t len);

/*
 * Copies what is there to @buf, @room bytes at most.  Returns bytes, or 0: nothing is
 * there, or something that takes the long way, shmfd_ring_readv(): the consumer stands
 * within a record, or an END comes within @room.  *buf may have changed then.
 */
size_t shmfd_ring_take(const struct shmfd_ring *r, struct shmfd_record *rec,
		       void *buf, size_t room);

/* Publishes a record without payload (EOF, END).  Can not fail. */
void shmfd_ring_mark(const struct shmfd_ring *r, struct shmfd_record *rec,
		     enum shmfd_tag tag);

/*
 * The frame that held the lock of this end is gone, between any two stores (lock.h).
 * Sending: a record is published first, then wr_pos passes it: goes past what is
 * published.  What was not published never was; a record behind a WRAP that is not
 * is written over when the ring comes there.
 * Receiving: rd_pos and rd_part together say what comes next.  Where both change,
 * rd_to stands for (rd_to, 0) meanwhile; (rd_pos, 0) before rd_part is as good: a
 * call that has not returned has consumed a part of what it copied, no byte twice.
 */
void shmfd_ring_mend_tx(const struct shmfd_ring *r, struct shmfd_record *rec);
void shmfd_ring_mend_rx(const struct shmfd_ring *r, struct shmfd_record *rec);

/* Payload bytes that could be written now, at least; 0 when full. */
size_t shmfd_ring_room(const struct shmfd_ring *r, struct shmfd_record *rec);

/* What the consumer met. */
enum shmfd_ring_end {
	SHMFD_RING_MORE = 0,	/* nothing special: empty, or buffer full */
	SHMFD_RING_EOF	= 1,	/* stands before an end-of-file record */
	SHMFD_RING_END	= 2,	/* stands before an end record */
};

/*
 * Copies up to the room of @iov from the ring, over record borders.
 * With @peek nothing is consumed.
 * Returns bytes copied (0: nothing there), or -EPROTO for an impossible header.
 * *ret_end says whether the ring stands before EOF or END after them.
 * Concurrency: consumer only.  Order: acquires [ring.H], releases [ring.R].
 */
ssize_t shmfd_ring_readv(const struct shmfd_ring *r, struct shmfd_record *rec,
			 const struct iovec *iov, size_t iov_nr, bool peek,
			 enum shmfd_ring_end *ret_end);

/* Steps over the EOF or END record that the consumer stands before. */
void shmfd_ring_pass(const struct shmfd_ring *r, struct shmfd_record *rec);

/*
 * Steps over a WRAP if one is next, and tells what comes then:
 * SHMFD_TAG_NONE, DATA, EOF, END, or -EPROTO.
 */
int shmfd_ring_next(const struct shmfd_ring *r, struct shmfd_record *rec);

/*
 * The position behind all records that are published now, at most at an EOF or
 * END.  Concurrency: consumer.
 */
uint64_t shmfd_ring_frontier(const struct shmfd_ring *r, const struct shmfd_record *rec);

/* True if a data record stands at @pos. */
static inline bool shmfd_ring_is_data(const struct shmfd_ring *r, uint64_t pos)
{
	return (uint32_t)load_acquire(shmfd_ring_slot(r, pos)) == SHMFD_TAG_DATA; /* [ring.H] */
}

/* True if an end-of-file record stands at @pos. */
static inline bool shmfd_ring_is_eof(const struct shmfd_ring *r, uint64_t pos)
{
	return (uint32_t)load_acquire(shmfd_ring_slot(r, pos)) == SHMFD_TAG_EOF; /* [ring.H] */
}

/* True if the consumer took all there is, or all that a freeze left to it. */
bool shmfd_ring_is_drained(const struct shmfd_ring *r, const struct shmfd_record *rec);

/* Unread payload bytes, or -EPROTO.  Walks the headers; *ret_tag (may be NULL):
 * the tag that stands behind them. */
ssize_t shmfd_ring_unread(const struct shmfd_ring *r, struct shmfd_record *rec,
			  int *ret_tag);

/*
 * True if a record was published since the last call: the edge of an
 * edge-triggered reader, however much is unread before it.
 */
bool shmfd_ring_arrived(const struct shmfd_ring *r, struct shmfd_record *rec);

/*
 * For the producer after a freeze: the payload run at (*pos, *part), which is
 * advanced by shmfd_ring_resent().  Returns length and *ret_data, 0 when all
 * was passed, -EPROTO when the headers are impossible; a shutdown mark is
 * passed over.
 */
ssize_t shmfd_ring_resend_run(const struct shmfd_ring *r,
			      struct shmfd_record *rec, const uint8_t **ret_data);
void shmfd_ring_resent(const struct shmfd_ring *r, struct shmfd_record *rec,
		       uint32_t len);

#endif
