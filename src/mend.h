/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_MEND_H
#define SHMFD_MEND_H

/*
 * What a frame left half done that vanished with a lock of a stream in hand (lock.h):
 * a record that is published and not counted, a position that is stored in part, a
 * sleeper that was not woken, a freeze that was not answered.  Counters for statistics
 * may miss that call.  With the lock of an epoll set: its list.
 *
 * Of a stream only the two copies of bytes are mended, and the words around them.  What is
 * rarer and has more steps (meeting, the switch, leaving, sending again) runs with signals
 * blocked, so that no handler comes between; synchronous ones stay, it does nothing
 * that raises them.
 */
#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"

/* @word, a lock, is held by the caller now; none of a record or a set: nothing to do. */
void shmfd_mend(_Atomic uint32_t *word);

/* Blocks them in this thread, and gives back the mask as it was.  Both do nothing once
 * the process limits its system calls. */
uint64_t shmfd_signals_block(void);
extern bool shmfd_signals_free;		/* it does */
void shmfd_signals_restore(uint64_t mask);

#endif
