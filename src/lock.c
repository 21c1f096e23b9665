/* SPDX-License-Identifier: MIT */

/* See lock.h. */
#define _GNU_SOURCE
#include "lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mend.h"

#define SPINS		200
#define LOOK_NS		20000000	/* between looks at a dead owner */

__thread uint32_t shmfd_tid_cached __attribute__((tls_model("initial-exec")));
__thread struct shmfd_holds shmfd_holds __attribute__((tls_model("initial-exec")));

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
		    cas_acquire(word, &old, me | SHMFD_LOCK_WAITERS)) { /* [lock.L] */
			shmfd_mend(word);
			break;
		}
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

/* ---- frames that vanish in a jump ------------------------------------------- */

void shmfd_hold_drop_slow(const _Atomic uint32_t *word)
{
	uint32_t nr = shmfd_holds.nr, i = nr < SHMFD_HOLDS ? nr : SHMFD_HOLDS;

	while (i && shmfd_holds.of[i - 1].word != word)
		i--;
	if (!i && nr <= SHMFD_HOLDS)
		return;
	for (; i && i < nr && i < SHMFD_HOLDS; i++) {
		shmfd_holds.of[i - 1].word = shmfd_holds.of[i].word;
		shmfd_holds.of[i - 1].frame = shmfd_holds.of[i].frame;
	}
	fence_signal();
	shmfd_holds.nr = nr - 1;
}

static bool is_on(const stack_t *alt, uintptr_t at)
{
	return !(alt->ss_flags & SS_DISABLE) && at - (uintptr_t)alt->ss_sp < alt->ss_size;
}

bool shmfd_is_left(uintptr_t frame, uintptr_t sp)
{
	stack_t alt = { .ss_flags = SS_DISABLE };

	syscall(SYS_sigaltstack, NULL, &alt);
	/* from the alternate stack to the other one, never back */
	return is_on(&alt, frame) == is_on(&alt, sp) ? frame < sp : is_on(&alt, frame);
}

/* The notes that a jump to @sp leaves. */
static uint32_t first_gone(uintptr_t sp, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		if (shmfd_is_left(shmfd_holds.of[i].frame, sp))
			return i;
	}
	return nr;
}

static bool is_noted(const _Atomic uint32_t *word, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		if (shmfd_holds.of[i].word == word)
			return true;
	}
	return false;
}

void shmfd_lock_jump(uintptr_t sp)
{
	uint32_t nr = shmfd_holds.nr < SHMFD_HOLDS ? shmfd_holds.nr : SHMFD_HOLDS;
	int saved = errno;
	uint32_t stay = first_gone(sp, nr);

	for (uint32_t i = nr; i > stay; i--) {
		_Atomic uint32_t *word = shmfd_holds.of[i - 1].word;

		/* not noted in full yet (old notes stand for nothing), a try of a handler
		 * to take what the frame below it holds, or over */
		if (!word || is_noted(word, stay) ||
		    (load_relaxed(word) & ~SHMFD_LOCK_WAITERS) != shmfd_tid())
			continue;
		shmfd_mend(word);
		shmfd_unlock_slow(word);
	}
	if (stay < nr)
		shmfd_holds.nr = stay;
	if (shmfd_holds.passing && shmfd_is_left(shmfd_holds.passing, sp))
		shmfd_holds.passing = 0;
	errno = saved;
}
