/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_SPIN_H
#define SHMFD_SPIN_H

/*
 * Whether, and how long, a waiter looks at memory before it sleeps.  Knows the
 * clock and the scheduler; nothing of links, streams or rings.
 *
 *	if (shmfd_spin_begin(&sp, &governor, same_cpu, limit_ns)) {
 *		do {
 *			look some times, cpu_pause() between;
 *			found: shmfd_spin_paid(&sp), done
 *		} while (shmfd_spin_more(&sp));
 *	}
 *	sleep; shmfd_spin_slept(&sp, how long)
 *
 * Two ways.  With the other end on another processor: busy looks, as long as most of
 * the latest ones were answered.  A spin in vain costs up to 50 us of processor time, a
 * sleep some 10 us on both sides together, so at two in vain out of five it is off, and
 * only tried from time to time: one message in 100 us or in 1 ms takes no more processor
 * time than by the kernel then (16 connections, 1000 messages/s, two cores: 60 us each;
 * when each short sleep led to a longer spin it was 105 us).  With
 * the other end on this processor a busy look only delays it: the processor is
 * yielded to it a few times instead (sched_yield(2)), which saves it the bell
 * and us the sleep.  Measured with both ends on one core: 64 bytes to and fro
 * 6.2 -> 4.4 us, 64 KiB one way 3.7 -> 9.0 GB/s (kernel TCP 13.4 us, 4.6 GB/s).
 * But where a third program wants that core, each yield costs its time slice
 * (3 ms): one that was long is not tried again for a while.  And those in vain count as
 * busy looks do (1000 messages/s on one core: 81 -> 72 us each, kernel TCP 73).
 *
 * What has to be respected, measured on a 2-vCPU VM: waking an idle core costs
 * about 35 us, so a spin across cores pays 100-fold; with one busy competitor a
 * fixed 50 us spin made p99 40 ms.  So a hole in the clock in which another thread had
 * the processor turns busy looks off for a while, and long yields the yields: each
 * for all streams of the thread, each by itself.  Not so a hole that the machine below made,
 * nor context switches alone: the kernel's own threads run for microseconds, and the 20 ms
 * without a busy look after them were the slowest percent of all round trips (8 bytes: p99
 * 6.0 times p50, without that 1.4).
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "atomic.h"

/* What came of one way of it. */
struct shmfd_tries {
	uint16_t in_vain;		/* share of the latest ones, in 1/256 */
	uint16_t distance;		/* off: waits between tries; 0: on */
	uint16_t skip;			/* waits until the next try */
};

/* What was learned about one waiter.  Zeroed is the initial state. */
struct shmfd_spin {
	struct shmfd_tries looks, yields;
	uint32_t ceiling_ns;		/* of its own; 0: shmfd_spin_max_ns */
};

/* One spin, on the stack of who waits. */
struct shmfd_spinner {
	struct shmfd_tries *tried;	/* NULL: neither way, a sleep after it says nothing */
	uint32_t budget_ns;		/* 0: none, or by yields */
	uint32_t yields;		/* left */
	int64_t start, last;		/* times in ns; last: the latest look at the clock */
};

/*
 * @same_cpu: the other end runs on this processor.  @limit_ns: the caller's own
 * time-out, < 0: none.  False: sleep at once.
 */
bool shmfd_spin_begin(struct shmfd_spinner *sp, struct shmfd_spin *s, bool same_cpu,
		      int64_t limit_ns);
/* After some looks: looks at the clock, or yields.  False: sleep now. */
bool shmfd_spin_more(struct shmfd_spinner *sp);
/* Something was found: whoever sent it waits for an answer, and most spins teach nothing. */
void shmfd_spin_learn(const struct shmfd_spinner *sp);

static inline void shmfd_spin_paid(const struct shmfd_spinner *sp)
{
	if (unlikely(!sp->budget_ns || sp->tried->in_vain || sp->tried->distance))
		shmfd_spin_learn(sp);
}

/* @sp was followed by a sleep; it ended @block_ns after it began. */
void shmfd_spin_slept(const struct shmfd_spinner *sp, int64_t block_ns);

/* Ceiling of a spin in ns, 0: never; set once from the environment. */
extern uint32_t shmfd_spin_max_ns;

/* Monotonic time in ns. */
int64_t shmfd_now_ns(void);

static inline struct timespec shmfd_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

/* The processor this thread runs on, plus 1; 0 if not known cheaply. */
uint32_t shmfd_cpu(void);

/* True if this process may use one processor only. */
bool shmfd_one_cpu(void);

#endif
