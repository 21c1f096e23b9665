/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_KICK_H
#define SHMFD_KICK_H

/*
 * Eventfds by which threads of a process wake each other.  A set of epoll.c has
 * one of its own when it needs it.  The rest is for poll:
 *
 * Several threads of a process that sleep in poll or select on one link.  Who
 * wakes first takes the bell, and the kernel lets the others sleep on.  So each
 * has an eventfd of its own in its set, and whoever takes a bell kicks the
 * others: they look by themselves.  Only in processes with threads; the
 * eventfds are kept in a pool, as many as ever slept at once.
 *
 * Concurrency: any thread; not after fork with the parent's (forget them).
 */
#include "stream.h"

/* An eventfd out of the pool, or -1: none can be had. */
int shmfd_kick_get(void);
/* Empties it and gives it back. */
void shmfd_kick_put(int fd);
/* Wakes who sleeps on @fd.  False: that failed. */
bool shmfd_kick(int fd);
/* Takes the kicks that lie in @fd.  Never blocks. */
void shmfd_kick_take(int fd);
/* A forked child: the pool is the parent's. */
void shmfd_kick_fork_child(void);

/* Enters @fd among the sleepers of @s.  False: too many. */
bool shmfd_kick_join(struct shmfd_stream *s, int fd);
void shmfd_kick_leave(struct shmfd_stream *s, int fd);
/* A bell was taken by the owner of @fd: wakes the others. */
void shmfd_kick_others(struct shmfd_stream *s, int fd);

#endif
