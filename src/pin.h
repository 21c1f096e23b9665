/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_PIN_H
#define SHMFD_PIN_H

/*
 * Which streams a thread is inside of.  A thread that is cancelled in a call, or ends
 * in a handler that interrupted one, never gives its stream back, nor does a call that
 * a handler leaves by longjmp(3).  The place here is where the thread's end, or the
 * wrapper of that, finds it, and does.  Else close would wait for that call for ever,
 * and the peer for the end of the stream.
 *
 * Only in processes with several threads: no other can be cancelled and live.
 * Concurrency: places are the thread's own; its signal handlers nest.  What finds no
 * place is not given back; nor is what a handler leaves in the two instructions between
 * the count of users and its note here.
 */
#include <pthread.h>
#include <stdint.h>

#include "atomic.h"
#include "lock.h"

struct shmfd_stream;

/* Once, before there are threads. */
void shmfd_pin_init(void);
void shmfd_pin_add(const struct shmfd_stream *s);
/* The last one of @s that was added, if it has a place. */
void shmfd_pin_drop(const struct shmfd_stream *s);
/* This thread is about to longjmp to where the stack pointer is @sp. */
void shmfd_pin_jump(uintptr_t sp);

/*
 * read(2) and its kin are cancellation points also where they need no system call;
 * before they take or send anything.
 */
static inline void shmfd_cancel_point(void)
{
	if (unlikely(!__libc_single_threaded))
		pthread_testcancel();
}

#endif
