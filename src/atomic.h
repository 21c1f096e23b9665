/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_ATOMIC_H
#define SHMFD_ATOMIC_H

/*
 * The only file that includes <stdatomic.h>.  The memory order is in the name
 * of the operation, so that a reader sees it at the call.  `seq_cst` stands
 * only where a store must be ordered before a later load of another word:
 * the "publish, then look for a sleeper" step explained in wait.h.
 */
#include <stdatomic.h>

#define load_relaxed(p)		atomic_load_explicit(p, memory_order_relaxed)
#define load_acquire(p)		atomic_load_explicit(p, memory_order_acquire)
#define load_seq_cst(p)		atomic_load_explicit(p, memory_order_seq_cst)
#define store_relaxed(p, v)	atomic_store_explicit(p, v, memory_order_relaxed)
#define store_release(p, v)	atomic_store_explicit(p, v, memory_order_release)
#define store_seq_cst(p, v)	atomic_store_explicit(p, v, memory_order_seq_cst)
#define xchg_seq_cst(p, v)	atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define fetch_or_seq_cst(p, v)	atomic_fetch_or_explicit(p, v, memory_order_seq_cst)
#define fetch_and_seq_cst(p, v)	atomic_fetch_and_explicit(p, v, memory_order_seq_cst)
#define fetch_add_relaxed(p, v)	atomic_fetch_add_explicit(p, v, memory_order_relaxed)
#define fetch_add_acq_rel(p, v)	atomic_fetch_add_explicit(p, v, memory_order_acq_rel)
#define fetch_sub_acq_rel(p, v)	atomic_fetch_sub_explicit(p, v, memory_order_acq_rel)
#define fetch_add_seq_cst(p, v)	atomic_fetch_add_explicit(p, v, memory_order_seq_cst)
#define cas_seq_cst(p, old, v)						\
	atomic_compare_exchange_strong_explicit(p, old, v,		\
		memory_order_seq_cst, memory_order_seq_cst)
#define cas_acquire(p, old, v)						\
	atomic_compare_exchange_strong_explicit(p, old, v,		\
		memory_order_acquire, memory_order_relaxed)

/* Orders nothing but what a signal handler of this thread finds. */
#define fence_signal()		atomic_signal_fence(memory_order_seq_cst)

/* A counter that only the holder of a lock writes: no locked instruction. */
#define counter_add(p, v)	store_relaxed(p, load_relaxed(p) + (v))

static inline void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

/* Asks for the line at @p to be written soon.  Never faults; where the processor
 * has no such instruction it does nothing. */
static inline void cpu_prefetch_write(const void *p)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#endif
