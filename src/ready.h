/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_READY_H
#define SHMFD_READY_H

/*
 * Readiness: what poll, select and epoll say of a stream, and sleeping on many.
 * The kernel answers for a direction that is not on its ring; memory answers
 * for one that is.
 */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>

#include "stream.h"

/*
 * Ready bits (POLL* and EPOLL* have the same values) of the directions that
 * are on rings.  *ret_kernel: which of @events the kernel has to answer.
 * Brings the receiving direction on if it stands at a switch.
 */
uint32_t shmfd_ready_bits(struct shmfd_stream *s, uint32_t events, uint32_t *ret_kernel);

/* Of one that left, or whose peer left, or shut its direction and may have closed:
 * only the kernel knows errors and hang-up. */
static inline bool shmfd_ready_may_have_hung_up(const struct shmfd_stream *s)
{
	uint32_t flags = s->seg ? load_acquire(&s->rings->rx.dir->w_flags) : 0; /* [stream.X] */

	return load_relaxed(&shmfd_stream_record(s)->phase) == SHMFD_LEFT ||
		(flags & (SHMFD_W_SHUT | SHMFD_W_LEFT));
}

/* This end's end-of-file is a record, which the kernel does not see: should the peer's come by
 * the kernel, its POLLRDHUP is a hang-up. */
static inline bool shmfd_ready_shut_unseen(const struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);
	uint32_t tx = load_relaxed(&rec->tx_mode);

	return s->seg && unlikely(load_relaxed(&rec->wr_shut)) &&
		(tx == SHMFD_MODE_RING || tx == SHMFD_MODE_RESEND) &&
		load_relaxed(&rec->rx_mode) != SHMFD_MODE_RING;
}

static inline uint32_t shmfd_ready_hang_up(const struct shmfd_stream *s, uint32_t kernel)
{
	return (kernel & EPOLLRDHUP) && shmfd_ready_shut_unseen(s) ? kernel | EPOLLHUP :
		kernel;
}

/*
 * Arms the bells for @events: after it the peer rings the link when one of
 * them comes.  The caller looks once more before it sleeps.
 */
void shmfd_ready_arm(struct shmfd_stream *s, uint32_t events, uint64_t nap, bool brief);

/*
 * poll(2)/ppoll(2) over numbers of which some are streams.
 * @timeout_ns < 0: for ever.  @mask: as ppoll, may be NULL.
 * Returns as poll, -errno, or SHMFD_PASS: no stream of @p is on rings.
 */
int shmfd_poll(struct pollfd *p, nfds_t nr, int64_t timeout_ns, const sigset_t *mask);

/* ---- epoll (epoll.c) ------------------------------------------------------ */

/*
 * epoll_ctl(2).  Returns 0, -errno, or SHMFD_PASS: nothing of ours.
 */
int shmfd_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);

/*
 * epoll_pwait(2) in ns.  Returns the count, -errno, or SHMFD_PASS: the set has
 * no stream that we know.
 */
int shmfd_epoll_wait(int ep, struct epoll_event *ev, int max, int64_t timeout_ns,
		     const sigset_t *mask);

/*
 * The short way of a wait in a set in which no stream was on rings yet, of the only thread:
 * make the host's own call, then the end with what it returned.  NULL: take the long way,
 * nothing was done.  The end returns that, with its errno, or SHMFD_PASS: nothing of it was
 * for the host, take the long way now.
 * Concurrency: signal handlers come in between (epoll_wait.c, Sleeps).
 */
struct shmfd_set;
struct shmfd_set *shmfd_epoll_early(int ep, int64_t timeout_ns);
int shmfd_epoll_early_end(struct shmfd_set *e, struct epoll_event *ev, int n);

/* @ep was just made. */
void shmfd_epoll_created(int ep);
/* The host closes the set @ep, polls it, or puts it into another one. */
void shmfd_epoll_close(int ep);
void shmfd_epoll_expose(int ep);
/* Another socket has taken the number of @reg: registers it as the old one was. */
void shmfd_epoll_again(const struct shmfd_reg *reg);

/*
 * True if another thread may sleep, now or later, in an epoll set that holds
 * @s: a single call must not sleep on the same link then.
 */
bool shmfd_ready_may_sleep(const struct shmfd_stream *s);

/* The stream was paired (false: its registrations do not allow rings), changed
 * the mode of a direction or left, is closed. */
bool shmfd_ready_paired(struct shmfd_stream *s);
void shmfd_ready_changed(struct shmfd_stream *s);
/* A bell was taken outside of the set: the set has to look by itself. */
void shmfd_ready_rang(struct shmfd_stream *s);
/* A state that an edge-triggered set has to report came about here. */
void shmfd_ready_poke(struct shmfd_stream *s);
/* One of several numbers of the stream is being closed. */
void shmfd_ready_number_closed(struct shmfd_stream *s, int fd);
void shmfd_ready_forget(struct shmfd_stream *s);
/* True in a handler whose thread may be looking at the stream, with the lock of its set:
 * it has to stay as it is. */
bool shmfd_ready_is_looking(const struct shmfd_stream *s);
/* Makes such a one POSTPONED: shmfd_stream_finish is called at the next use of the set. */
void shmfd_ready_postpone(struct shmfd_stream *s);
/* A frame vanished with this lock in hand, which the caller has now: what it left is made
 * anew by who has it next.  Of no set: nothing to do. */
void shmfd_ready_mend(const _Atomic uint32_t *word);
void shmfd_ready_fork_child(void);
void shmfd_ready_init(uint32_t random);

#endif
