/* SPDX-License-Identifier: MIT */

/*
 * Socket pairs (socketpair(2)).  Both ends begin in one process, where the kernel
 * keeps them: a self-pipe gains nothing.  After a fork each process closes the end
 * that it does not use, and then two processes hold one end each:
 *
 *   parent  [a][b]   fork   [a][b] | [a][b]   close   [a] | [b]
 *
 * Each end asks that for itself, before it looks for the other (meet.c): nobody
 * else holds it (the record's holders), and this process does not hold the other
 * end (below).  As both records were made by one call, the roles are, too: the
 * first end connects, the second accepts.
 *
 * An end that comes by exec or SCM_RIGHTS is no stream of the process that gets
 * it, so nobody comes to hold both ends again.
 *
 * Concurrency: any thread; what has_partner says is a hint that errs towards the
 * kernel: the place of a partner that is being closed counts until it is free.
 */
#define _GNU_SOURCE
#include <sys/socket.h>

#include "stream.h"

void shmfd_stream_adopt_pair(const int fd[2], bool nonblock)
{
	uint32_t index[2];

	for (int i = 0; i < 2; i++)
		shmfd_stream_adopt(fd[i], AF_UNIX, i == 1, nonblock);
	for (int i = 0; i < 2; i++) {
		if (!shmfd_fd_is(fd[i], SHMFD_FD_STREAM))	/* no memory */
			return;
		index[i] = shmfd_fd_lookup(fd[i]) & SHMFD_FD_INDEX_MASK;
	}
	for (int i = 0; i < 2; i++)
		store_relaxed(&shmfd_streams[index[i]].partner, index[!i] + 1);
}

bool shmfd_stream_has_partner(const struct shmfd_stream *s)
{
	uint32_t partner = load_relaxed(&s->partner);
	const struct shmfd_stream *p = &shmfd_streams[partner ? partner - 1 : 0];

	/* its place may be another stream's by now, which does not point back */
	return partner && load_acquire(&p->numbers) &&
		load_relaxed(&p->partner) == shmfd_stream_index(s) + 1;
}
