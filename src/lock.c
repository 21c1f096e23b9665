/* SPDX-License-Identifier: MIT */

/* See lock.h. */
#define _GNU_SOURCE
#include "lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPINS		200
#define LOOK_NS		20000000	/* between looks at a dead owner */

__thread uint32_t shmfd_tid_cached __attribute__((tls_model("initial-exec")));

uint32_t shmfd_tid_slow(void)
{
	shmfd_tid_cached = (uint32_t)syscall(SYS_gettid);
	return shmfd_tid_cached;
}

int shmfd_lock_slow(_Atomic uint32_t *word)
{
	uint32_t me = shmfd_tid();
	int saved = errno;

	for (int i = 0;; i++) {
		uint32_t old = 0;
		struct timespec t = { .tv_nsec = LOOK_NS };

		/* [lock.L] */
		if (cas_acquire(word, &old, i < SPINS ? me : me | SHMFD_LOCK_WAITERS))
			break;
		if ((old & ~SHMFD_LOCK_WAITERS) == me) {
			errno = saved;
			return -EDEADLK;
		}
		if (i < SPINS) {
			cpu_pause();
			continue;
		}
		if (!(old & SHMFD_LOCK_WAITERS) &&
		    !cas_acquire(word, &old, old | SHMFD_LOCK_WAITERS))
			continue;
		old |= SHMFD_LOCK_WAITERS;
		/* not private: the word may be shared with a forked process */
		if (syscall(SYS_futex, word, FUTEX_WAIT, old, &t, NULL, 0) == 0 ||
		    errno != ETIMEDOUT)
			continue;
		if (syscall(SYS_tkill, old & ~SHMFD_LOCK_WAITERS, 0) && errno == ESRCH &&
		    cas_acquire(word, &old, me | SHMFD_LOCK_WAITERS)) /* [lock.L] */
			break;
	}
	errno = saved;
	return 0;
}

void shmfd_unlock_slow(_Atomic uint32_t *word)
{
	uint32_t old = xchg_seq_cst(word, 0); /* [lock.L] release */

	if (old & SHMFD_LOCK_WAITERS) {
		int saved = errno;

		syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
		errno = saved;
	}
}
