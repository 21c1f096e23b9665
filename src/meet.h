/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_MEET_H
#define SHMFD_MEET_H

/*
 * The way to the peer: names, link, proof, hand-over of the segment.  Runs in
 * steps from inside the host's own data calls, never waits.
 */
#include "config.h"
#include "stream.h"

/* The settings of this process; constant after start. */
extern struct shmfd_config shmfd_config;

/* Called after a data call in the kernel phase; cheap unless it is time. */
void shmfd_meet_step(struct shmfd_stream *s, int fd);

/*
 * For tests whose streams have both ends in this process and are too short to
 * meet by their own calls (SHMFD_TEST_EAGER): takes every step of the streams
 * in the first 256 places that can be taken now, and lets the readers of the
 * paired ones say that they are ready.
 */
void shmfd_meet_all(void);

/* Drops listener and link of a stream that will not be promoted. */
void shmfd_meet_drop(struct shmfd_stream *s);

static inline void shmfd_meet_tick(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint64_t ops;

	/* relaxed: a count that two threads may race on costs a step, no more */
	if (load_relaxed(&rec->phase) > SHMFD_MEETING)
		return;
	ops = load_relaxed(&rec->ops) + 1;
	store_relaxed(&rec->ops, ops);
	if (unlikely(ops >= load_relaxed(&rec->next_try)))
		shmfd_meet_step(s, fd);
	if (unlikely(shmfd_config.test_eager))
		shmfd_meet_all();
}

#endif
