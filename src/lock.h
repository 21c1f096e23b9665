/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_LOCK_H
#define SHMFD_LOCK_H

/*
 * A lock in the table: shared by threads and forked processes, never mapped
 * by the peer.  The word is 0 or the owner's tid, plus WAITERS.
 *
 * It is held for a copy of bytes, never across a sleep.  A signal handler that
 * meets a lock of its own thread is told so (-EDEADLK) and must not wait.
 *
 * The frame that holds a lock can vanish: its process is killed (kill -9 of one of
 * several holders), then a waiter takes over; or a signal handler interrupts it and
 * leaves by longjmp(3), then the wrapper of that lets go of the lock before it jumps.
 * Either mends what was left half done (mend.c).  For the jump each thread notes its
 * locks and the frames that took them; a frame below the target of the jump is gone,
 * and so is what was taken after it.  A handler that only jumps within itself, on this
 * stack or on the alternate one (sigaltstack(2)), leaves no such frame.
 * Not seen: frames left by a C++ exception thrown in a handler, by setcontext(3) or by
 * __builtin_longjmp: their locks stay held (-EDEADLK for ever in that thread).
 *
 * A note is made before the lock is taken and dropped after it was let go, so it may
 * stand for nothing; the word says whether the lock is this thread's.
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

#define SHMFD_HOLDS		6	/* a call takes up to three, a handler in it as well;
					 * what finds no place is not let go at a jump */

/* The locks of this thread, in the order in which it took them.  volatile: a handler
 * may come between any two stores, and adds behind nr. */
struct shmfd_holds {
	volatile uint32_t nr;
	struct {
		_Atomic uint32_t *volatile word;
		volatile uintptr_t frame;
	} of[SHMFD_HOLDS];
	/* the frame of a poll or select, which leaves to the kernel what is not on rings: a
	 * handler in it must not move that there.  0: none */
	volatile uintptr_t passing;
};
extern __thread struct shmfd_holds shmfd_holds __attribute__((tls_model("initial-exec")));

/* Drops the last note of @word, which is not the last of all. */
void shmfd_hold_drop_slow(const _Atomic uint32_t *word);
/* True if a longjmp to where the stack pointer is @sp leaves @frame for good. */
bool shmfd_is_left(uintptr_t frame, uintptr_t sp);
/* This thread is about to longjmp to where the stack pointer is @sp: mends and lets go
 * of what frames below it hold. */
void shmfd_lock_jump(uintptr_t sp);

static inline void shmfd_hold_add(_Atomic uint32_t *word, uintptr_t frame)
{
	uint32_t nr = shmfd_holds.nr;

	/* first the place: a handler takes the next one */
	shmfd_holds.nr = nr + 1;
	if (likely(nr < SHMFD_HOLDS)) {
		shmfd_holds.of[nr].word = word;
		shmfd_holds.of[nr].frame = frame;
	}
	fence_signal();
}

static inline void shmfd_hold_drop(const _Atomic uint32_t *word)
{
	uint32_t nr = shmfd_holds.nr;

	fence_signal();
	if (likely(nr - 1 < SHMFD_HOLDS && shmfd_holds.of[nr - 1].word == word))
		shmfd_holds.nr = nr - 1;
	else
		shmfd_hold_drop_slow(word);
}

/* Around such a wait; the end gets what the begin gave. */
static inline uintptr_t shmfd_pass_begin(void)
{
	uintptr_t before = shmfd_holds.passing;

	shmfd_holds.passing = (uintptr_t)__builtin_frame_address(0);
	fence_signal();
	return before;
}

static inline void shmfd_pass_end(uintptr_t before)
{
	fence_signal();
	shmfd_holds.passing = before;
}

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
	int ret;

	shmfd_hold_add(word, (uintptr_t)__builtin_frame_address(0));
	if (likely(shmfd_alone(rec) && load_relaxed(word) == 0)) {
		/* relaxed: only this thread can see it */
		store_relaxed(word, shmfd_tid());
		return 0;
	}
	if (likely(cas_acquire(word, &none, shmfd_tid()))) /* [lock.L] */
		return 0;
	ret = shmfd_lock_slow(word);
	if (ret)
		shmfd_hold_drop(word);
	return ret;
}

static inline void shmfd_unlock(const struct shmfd_record *rec, _Atomic uint32_t *word)
{
	if (likely(shmfd_alone(rec)))
		store_release(word, 0); /* [lock.L] */
	else
		shmfd_unlock_slow(word);
	shmfd_hold_drop(word);
}

#endif
