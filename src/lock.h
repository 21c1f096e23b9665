/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_LOCK_H
#define SHMFD_LOCK_H

/*
 * A lock in the table: shared by threads and forked processes, never mapped
 * by the peer.  The word is 0 or the owner's tid, plus WAITERS.
 *
 * It is held for a copy of bytes, never across a sleep.  A signal handler that
 * meets a lock of its own thread is told so (-EDEADLK) and must not wait.
 * When the owner died (kill -9 of one of several holders) a waiter takes over:
 * positions are stored last in every operation, so the state is consistent.
 *
 * L: word: what was done under the lock is seen by its next owner.
 *
 * In a process with one thread that is the only holder the word is set without
 * a locked instruction; fork raises the holder count before the child exists.
 */
#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"
#include "shmfd/layout.h"

#define SHMFD_LOCK_WAITERS	0x80000000u

/* Returns 0, or -EDEADLK: this thread holds it already (signal handler). */
int shmfd_lock_slow(_Atomic uint32_t *word);
void shmfd_unlock_slow(_Atomic uint32_t *word);
uint32_t shmfd_tid_slow(void);

extern __thread uint32_t shmfd_tid_cached
	__attribute__((tls_model("initial-exec")));
/* One thread in this process; glibc keeps it (sys/single_threaded.h). */
extern char __libc_single_threaded;

static inline uint32_t shmfd_tid(void)
{
	return likely(shmfd_tid_cached) ? shmfd_tid_cached : shmfd_tid_slow();
}

static inline bool shmfd_alone(const struct shmfd_record *rec)
{
	return __libc_single_threaded && load_relaxed(&rec->holders) == 1;
}

static inline int shmfd_lock(const struct shmfd_record *rec, _Atomic uint32_t *word)
{
	uint32_t none = 0;

	if (likely(shmfd_alone(rec) && load_relaxed(word) == 0)) {
		/* relaxed: only this thread can see it */
		store_relaxed(word, shmfd_tid());
		return 0;
	}
	if (likely(cas_acquire(word, &none, shmfd_tid()))) /* [lock.L] */
		return 0;
	return shmfd_lock_slow(word);
}

static inline void shmfd_unlock(const struct shmfd_record *rec, _Atomic uint32_t *word)
{
	if (likely(shmfd_alone(rec)))
		store_release(word, 0); /* [lock.L] */
	else
		shmfd_unlock_slow(word);
}

#endif
