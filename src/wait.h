/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_WAIT_H
#define SHMFD_WAIT_H

/*
 * Sleeping and waking on one link.  Knows a link descriptor and
 * words in memory; nothing of sockets, streams or rings.
 *
 * Sleep and wake ("S"), one direction:
 *
 *   who publishes                          who sleeps
 *   [S] xchg header in the ring            [S] CAS attn, SLEEP
 *   [S] load_seq_cst attn                  [S] look at the ring again
 *       SLEEP set: ring bell, clear it         still empty: recv(link)
 *
 * Both sides store, then load the other's word, with sequential consistency.
 * Without that order on either side this loses a wake:
 *       publisher loads attn = 0 (its header still in the store buffer);
 *       sleeper sets SLEEP, sees the old, empty header; publisher's header
 *       lands; nobody rings, the sleeper sleeps beside its data.
 * With it, one of the two loads sees the other side's store.  tests/model
 * checks this, and that a mutant without the order fails.
 *
 * A bell is a hint: a sleeper that was rung looks again and may sleep again.
 * A stale bell (rung while the sleeper gave up) costs one spurious wake.
 * The link's end-of-file wakes for ever: the other end left or died.
 *
 * The bell goes out before SLEEP is cleared: a signal handler between the two,
 * that publishes more and waits for an answer, must not find a silent sleeper.
 * The word carries a number that every sleeper raises; the publisher clears
 * SLEEP by CAS from the value it saw, so that it never clears a later sleep.
 *
 * Naps: one sleep under several words, each of which has a link that ends it, such as
 * that of an epoll set.  Who publishes for several of them needs to ring once only:
 *
 *   who publishes                          who sleeps
 *   [S] header in the ring, load attn      n = a new number, used once; for each word:
 *   [N] load nap; rung[n] says that            [N] nap = n
 *       we rang for it: no bell                [S] CAS attn, SLEEP
 *       else ring, then rung[n]                [S] look at the ring again
 *                                          still empty, all: sleep on all links
 *
 * N: a nap that was rung for is over, or will be at once: its bell is in a link.  After
 * it the sleeper looks at every word that still has its number, and before any other
 * sleep gives it another number, or 0 (alone), and looks again.  So who still sees n
 * after it published is seen by that look.  Numbers are marked after the bell: a handler
 * between the two rings by itself.  They are marked for the process that the kernel names
 * at the other end of the link: a peer that repeats the number of another keeps nobody
 * asleep but itself.  A link that is taken from the sleep takes its bell along: who does
 * so has to end the sleep (epoll.c).
 *
 * Held bells ("H"): a publisher whose host has more to come in a moment (TCP_CORK) may hold
 * the bell back from a brief sleep.  That one ends by itself after SHMFD_BRIEF_NS, and the
 * next one under the word is long: nobody holds a bell back from it.
 *
 *   who publishes                          who sleeps
 *   [S] header in the ring, load attn      [S] CAS attn, SLEEP and BRIEF; look
 *       BRIEF: no bell yet                     nothing: sleep, the time ends
 *       ...                                [S] CAS attn, SLEEP alone; look again
 *   [S] there was no more: load attn
 *       SLEEP: ring
 *
 * The publisher may never come to the second load: whoever slept briefly looks again after
 * it has said that it sleeps long, and finds what was published before; what comes after
 * is rung for.  So it must look at every word that it armed so, and a sleep that is not
 * ended by time must not be armed so, nor change the word of one that is long.
 *
 * Several threads of a process on one link: leader and followers.  The leader
 * sleeps in recv(link); followers sleep on the futex `turn`, which holds a
 * count and, in bit 0, whether somebody leads.  Everybody reads turn before the
 * last look at its own condition.  To lead is to CAS exactly that value; when
 * that fails the condition is looked at again, because the bell may have been
 * taken by a leader that left in between.  A leader that leaves for whatever
 * reason stores the next count and wakes the followers.
 *
 * A signal handler that interrupted the leader's sleep, and sleeps itself, leads
 * in its place; so does a thread whose handler left a sleep by siglongjmp(3):
 * what that sleep held (blocked) is never given back, which only makes others
 * careful.  Who leaves and is no longer the leader leaves the lead alone.
 * The kernel restarts the interrupted receive (SA_RESTART) on a link whose bells
 * the handler has taken, beside news that are for the interrupted call as well:
 * so that handler leaves a time-out on the link, and the receive returns.
 *
 * G: turn: what a leader saw before it left is seen by who reads the next
 * count.
 *
 * Why recv: it has exactly the contract of the call that the host made, EINTR
 * or restart by SA_RESTART, and is a cancellation point.  With a time-out the
 * kernel's recv (SO_RCVTIMEO) never restarts, not even after SIGSTOP and SIGCONT
 * without a handler (signal(7)); and a call that has moved a part of its bytes
 * returns that part after either.  The link gets a time-out for those.  A futex
 * wait has the same contract, but for a stop.  Beside another descriptor, and for
 * a time that the host did not ask for, it has to be ppoll; after a signal it goes
 * on when all handlers of the process have SA_RESTART, and is EINTR when one has
 * not.
 */
#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"

/* Per process and link.  Zeroed is the initial state. */
struct shmfd_wait {
	int link;			/* 0: none yet */
	_Atomic uint32_t ended;		/* end-of-file was seen on the link */
	_Atomic uint32_t turn;		/* count << 1 | somebody leads; a futex */
	_Atomic uint32_t leader;	/* its thread id, 0: none */
	_Atomic uint32_t followers;
	_Atomic uint32_t blocked;	/* threads between enter and exit */
	int32_t link_ms;		/* the link's SO_RCVTIMEO, -1: unknown; the leader's */
	_Atomic uint32_t is_short;	/* a handler made that a moment */
};

/* Reads the turn.  [wait.G] acquire. */
static inline uint32_t shmfd_wait_turn(struct shmfd_wait *w)
{
	return load_acquire(&w->turn); /* [wait.G] */
}

/*
 * A sleeper's word: bit 0 says that it sleeps, bit 1 that it does so briefly, bits 16..31
 * count the sleeps, bits between are the owner's.  set: full fence, returns nothing; the
 * caller looks again after it.  Any threads.
 */
#define SHMFD_SLEEP	1u
#define SHMFD_BRIEF	2u
#define SHMFD_SLEEP_ONE	0x10000u

/* As long as the kernel holds back what is corked (tcp(7)). */
#define SHMFD_BRIEF_NS	200000000ll

static inline void shmfd_sleep_set(_Atomic uint32_t *word)
{
	uint32_t old = load_relaxed(word);

	/* [wait.S] */
	while (!cas_seq_cst(word, &old, ((old + SHMFD_SLEEP_ONE) & ~SHMFD_BRIEF) | SHMFD_SLEEP))
		;
}

/* The same for a brief sleep.  @others counts those that sleep long under the word, in its
 * lower half; they raise it first.  Beside any of them the word says a long sleep: one that
 * comes behind the look at them makes the CAS fail, or finds a brief one and changes it. */
static inline void shmfd_sleep_set_brief(_Atomic uint32_t *word, _Atomic uint32_t *others)
{
	uint32_t old, new;

	do {
		old = load_seq_cst(word); /* [wait.S] */
		new = ((old + SHMFD_SLEEP_ONE) & ~SHMFD_BRIEF) | SHMFD_SLEEP;
		if (!(load_seq_cst(others) & 0xffffu)) /* [wait.S] */
			new |= SHMFD_BRIEF;
	} while (!cas_seq_cst(word, &old, new)); /* [wait.S] */
}

/* Wakes who sleeps on @word, after a publication that was a full fence.  @nap: what it is
 * part of, loaded after @seen, as a key; 0: alone.
 * True if a bell was rung.  Called with the word as loaded by seq_cst. */
bool shmfd_sleep_wake(_Atomic uint32_t *word, uint64_t nap, uint32_t seen, int link);

/* The number of a new nap, never 0, below 2^40.  Any threads. */
uint64_t shmfd_nap_new(void);
/* They begin behind this one, the time in ns: so that a process never goes on where
 * another stopped that had its number, or what it was before exec. */
void shmfd_nap_init(uint64_t now_ns);

#define SHMFD_NAP_BITS	40
/* What is marked: the nap of this process.  A peer can name no other's; 0: not known. */
static inline uint64_t shmfd_nap_key(uint32_t process, uint64_t nap)
{
	nap &= (1ull << SHMFD_NAP_BITS) - 1;
	return nap && process < 1u << (64 - SHMFD_NAP_BITS) && process ?
		(uint64_t)process << SHMFD_NAP_BITS | nap : 0;
}

/*
 * Sleeps until a bell, the link's end, a signal or the time-out.
 * @turn: from shmfd_wait_turn(), read before the caller's last look.
 * @timeout_ns: < 0 for ever.  @beside: another descriptor that wakes when it
 * can be read, -1: none; only for a caller that may lead with this turn, as
 * who follows does not watch it.  @fragile: -EINTR after any signal, whatever
 * its handler's flags, and after a stop; only with a time-out.
 * Returns 0: look again; 1: the link has ended; -EINTR; -ETIMEDOUT.
 * Concurrency: any threads.  A cancellation point if the host's call is one.
 * Source: recv(2), signal(7), pthreads(7).
 */
int shmfd_wait_sleep(struct shmfd_wait *w, uint32_t turn, int64_t timeout_ns, int beside,
		     bool fragile);

/*
 * Before a sleeper arms its word: it counts as blocked until exit, or until its
 * sleep is over, also by cancellation.  False: a
 * sleeper of another kind is on this link; @others counts those, they raise it
 * first and then look at `blocked`, so that one of both sees the other before
 * either can take a bell that was meant for the other.
 */
bool shmfd_wait_enter(struct shmfd_wait *w, _Atomic uint32_t *others);
/* True if a sleep with this @turn would lead, unless another thread is faster. */
bool shmfd_wait_may_lead(struct shmfd_wait *w, uint32_t turn);
void shmfd_wait_exit(struct shmfd_wait *w);

/* True if every handler of this process has SA_RESTART: a sleep without a
 * time-out goes on after a signal. */
bool shmfd_wait_restarts(void);

/* Rings the bell: wakes the other end's sleeper.  True if it was taken.  Never blocks,
 * keeps errno. */
bool shmfd_wait_ring(int link);

/* Takes bells that lie in the link, so many at most.  Returns their number, -EPIPE at
 * its end. */
#define SHMFD_WAIT_DRAIN_MOST	64
int shmfd_wait_drain(struct shmfd_wait *w);

/* True if the link ended; asks the kernel. */
bool shmfd_wait_has_ended(struct shmfd_wait *w);

#endif
