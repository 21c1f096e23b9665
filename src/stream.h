/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_STREAM_H
#define SHMFD_STREAM_H

/*
 * One stream: how a number becomes one, how it moves to rings and back, how it
 * ends.  Sending is in send.c, receiving in recv.c, the way to the peer in
 * meet.c, readiness in ready.c.
 *
 *   COUNTING --qualifies--> MEETING --both proven--> PAIRED --retreat--> LEFT
 *      \________________________\______ gives up, pinned ______________/
 *
 * COUNTING, MEETING: all bytes go by the kernel, calls are counted.
 * PAIRED: the segment is mapped; each direction enters its ring by itself.
 * LEFT: the kernel again, for good.  A direction may still have to drain its
 * ring (rx_mode RING) or to send again what the peer did not read (RESEND).
 *
 * Switching a direction to its ring, W the writer, R the reader:
 *   R  [X] rx_ready = 1
 *   W  sees rx_ready at a send, nobody else of its end inside a kernel send:
 *      [X] w_flags |= INTENT; sends this one message by the kernel;
 *      [X] switch_at = bytes sent by kernel; later messages go by ring
 *   R  knows switch_at: takes exactly the bytes before it from the kernel, then
 *      CAS OFFERED -> RING, then reads the ring.  The CAS comes earlier where a
 *      peek or FIONREAD shows what the ring holds: from then on it can not be
 *      cancelled.
 * A reader that entered a plain kernel receive before it saw INTENT is woken by
 * that last kernel message; so no reader ever sleeps beside its ring.
 *
 * Retreat, by either end, each direction by CAS on its state in attn:
 *   reader leaves:  OFFERED|RING -> FROZEN (it has not entered: it may still
 *                   take what is in the ring, after switch_at).  From which position on do the
 *                   bytes go by kernel?  Both may say, one CAS of `split`
 *                   decides.  The reader, after its swap, proposes the end of
 *                   what it finds published, and reads that out of the ring at
 *                   leisure: nothing of it has to be sent again.  The writer
 *                   looks at attn after every record and proposes its wr_pos:
 *                   what was published, FIONREAD or poll may have told.
 *                   A reader that hands the socket over (exec, SCM_RIGHTS,
 *                   stdio) can take nothing along: HAND_OVER in the same swap,
 *                   the writer sends all after rd_pos, rd_part by kernel.
 *   writer leaves:  OFFERED -> FROZEN (nothing of the ring was read: it sends
 *                   all by kernel itself), or RING -> ENDED and an END record:
 *                   the reader drains the ring, then reads the kernel.
 * A writer may not end a direction whose reader has not entered: a reader
 * inside a kernel receive could take newer kernel bytes before the ring's.
 * Then the link is shut down, which wakes every sleeper of both ends.  A link
 * that ended while the words say otherwise is a death: the survivor makes both
 * swaps for the dead and goes on the same way.  Model: tests/model/retreat.pml.
 *
 * Labels:
 * A: attn, split: who leaves a direction stores its position and records first;
 *    who sees the state sees them.
 * X: switch_at, w_flags, rx_ready: a switch is seen with the bytes before it.
 * P: phase: PAIRED is stored after the rings and the mapping are set, LEFT
 *    after both directions were left.  A call that finds an earlier phase counts
 *    itself as inside the kernel, then looks at the phase again, both without a
 *    lock (early.h): who pairs and then looks at the count sees it, or it sees PAIRED.
 *
 * Locks: rx_lock before tx_lock; meet_lock before both.  Never held asleep.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "fdmap.h"
#include "lock.h"
#include "report.h"
#include "ring.h"
#include "shmfd/layout.h"
#include "spin.h"
#include "table.h"
#include "wait.h"

enum shmfd_phase {
	SHMFD_COUNTING = 0,
	SHMFD_MEETING,
	SHMFD_PAIRED,
	SHMFD_LEFT,
};

/* The epoll registration of a stream; one, more make it retreat (epoll.c). */
struct shmfd_reg {
	uint32_t set;		/* index of the set plus 1; 0: none */
	int fd;			/* the number it was registered under */
	uint64_t data;		/* the host's, never changed */
	uint32_t events;	/* what the host asked for */
	uint32_t watched;	/* what the kernel watches on the socket */
	uint32_t served;	/* the set's count when it last had an event */
	uint32_t next, prev;	/* hot list: stream index plus 1 */
	uint16_t nap;		/* the set's count of sleeps then */
	bool tagged;		/* the kernel's set holds our tag and the link */
	bool counted;		/* among the stream's pollers */
	bool unlinked;		/* the link was taken out: it has ended */
	bool fresh;		/* added or modified: report the present state */
	bool parked;		/* deleted by the host, left in the kernel's set */
	bool disarmed;		/* one-shot was delivered */
	bool held;		/* a one-shot from before the pairing: see epoll.c */
	bool hot;		/* in the hot list */
	bool many;		/* registered more than once: kernel only */
	bool lost;		/* its number was closed: the kernel's entry stays as it is */
};

/* In `pollers`: the stream is registered in an epoll set.  Who raises one half
 * looks at what the other half was, in one step: of a thread that begins to poll
 * and one that registers the stream, at least one sees the other. */
#define SHMFD_IN_SET	0x10000u

/* Threads that may sleep in poll on one stream at a time. */
#define SHMFD_KICKS	4

/* Records between looks at a peer that does not read. */
#define SHMFD_LOOK_EVERY	64u

enum { SHMFD_PARTED = 1, SHMFD_LOST };

/*
 * What only a stream with rings, or on its way there, needs.  Zeroed is the initial state,
 * and nothing is written before: ten thousand that never get there touch no page of it.
 */
struct shmfd_rings {
	struct shmfd_ring rx, tx;
	struct shmfd_wait wait;		/* wait.link: 0 before MEETING */
	struct shmfd_spin spin;
	uint32_t peer;			/* process that made the link's other end, as the kernel
					 * says; 0: of another pid namespace */
	_Atomic uint32_t tx_nospace;	/* a send found the ring full */
	_Atomic int kick[SHMFD_KICKS];	/* sleepers' eventfds plus 1 (kick.h) */
	_Atomic int64_t full_since;	/* in ns, 0: it is not known to be full (stuck.c) */
	_Atomic uint64_t full_pos;	/* how far the peer had read then */
	uint64_t lag_sent;		/* ring_tx_bytes at the last wait for input (quick.c) */
	uint64_t lag_taken;		/* and ring_rx_bytes */
	uint64_t link_cookie;		/* of wait.link, once PAIRED */
	_Atomic int64_t asked_ns;	/* when a receive without data last looked at the link */
	_Atomic uint32_t dry;		/* receives without data since its set last told of it */
	_Atomic uint32_t armed;		/* words, since its set took bells (epoll_wait.c) */
	_Atomic uint64_t corked;	/* ring_tx_bytes when it began, plus 1; 0: it is not */
	_Atomic uint32_t held;		/* a bell is due when it ends, under tx_lock */
	bool had_more;			/* a kernel message had MSG_MORE, maybe the last */
	uint32_t lag_rounds;		/* of looks at the last one, UINT32_MAX: in vain */
	uint16_t lag;			/* pauses before it */
};

#define SHMFD_POSTPONED	2u

/* What one process knows of a stream beside its record.  Copied by fork. */
struct shmfd_stream {
	_Atomic uint32_t users;		/* calls inside; pins it against close */
	_Atomic uint32_t numbers;	/* descriptors of this process, 0: free */
	_Atomic uint32_t closing;	/* last number closed, users still inside;
					 * SHMFD_POSTPONED: none is, but its set may look */
	_Atomic uint32_t parted;	/* SHMFD_PARTED: the rings were left for the close;
					 * SHMFD_LOST: closed where we could not see it */
	_Atomic int fd;			/* one of its numbers */
	int keep_fd;			/* hidden duplicate for those users, or -1 */
	int listener;			/* rendezvous while MEETING, or -1 */
	_Atomic uint32_t partner;	/* of a socket pair: index of the other end plus 1 */
	struct shmfd_segment *seg;	/* NULL before PAIRED */
	struct shmfd_reg reg;
	_Atomic uint32_t pollers;	/* sleepers beside single calls: threads in poll or
					 * select; SHMFD_IN_SET: a set may sleep on it */
	uint32_t joined;	/* got by fork: by this id the record lists us, or 0 (table.h) */
	/* last: once set, it stays, whoever still looks */
	struct shmfd_rings *rings;
};
_Static_assert(sizeof(struct shmfd_stream) <= 104, "for connections by the thousand");

extern struct shmfd_stream shmfd_streams[SHMFD_TABLE_RECORDS];
/* This process; changes in a forked child. */
extern uint32_t shmfd_pid;

/* Result of a begin: the caller makes its own real call, then calls end. */
#define SHMFD_PASS	(-4096)

static inline uint32_t shmfd_stream_index(const struct shmfd_stream *s)
{
	return (uint32_t)(s - shmfd_streams);
}

static inline struct shmfd_record *shmfd_stream_record(const struct shmfd_stream *s)
{
	return shmfd_table_record(shmfd_stream_index(s));
}

/* ---- life -------------------------------------------------------------- */

/* State of a direction.  [stream.A] seq_cst: ordered with the publications. */
static inline uint32_t shmfd_dir_state(struct shmfd_dir *d)
{
	return load_seq_cst(&d->attn) & SHMFD_DIR_STATE_MASK; /* [stream.A] */
}

/* At a byte that the kernel clears in every kind of forked child. */
extern char *shmfd_not_forked;

struct shmfd_stream *shmfd_stream_get_slow(int fd);
/* Of a process with several threads. */
void shmfd_stream_put_slow(struct shmfd_stream *s);
/* The last number is closed and nobody is inside.  Keeps errno. */
void shmfd_stream_end(struct shmfd_stream *s);

/* Gives it back; keeps errno. */
static inline void shmfd_stream_put(struct shmfd_stream *s)
{
	uint32_t left;

	if (unlikely(!__libc_single_threaded)) {
		shmfd_stream_put_slow(s);
		return;
	}
	left = load_relaxed(&s->users) - 1;
	/* relaxed: only signal handlers of this thread look */
	store_relaxed(&s->users, left);
	if (unlikely(!left && load_acquire(&s->closing)))
		shmfd_stream_end(s);
}

/* The stream behind @fd, pinned until put; NULL if it is none of ours. */
static inline struct shmfd_stream *shmfd_stream_get(int fd)
{
	uint32_t word = shmfd_fd_lookup(fd);
	struct shmfd_stream *s;

	if ((word & SHMFD_FD_KIND_MASK) != (uint32_t)SHMFD_FD_STREAM)
		return NULL;
	if (unlikely(!__libc_single_threaded || !*shmfd_not_forked))
		return shmfd_stream_get_slow(fd);
	s = &shmfd_streams[word & SHMFD_FD_INDEX_MASK];
	/* relaxed: only signal handlers of this thread look, and may close it */
	store_relaxed(&s->users, load_relaxed(&s->users) + 1);
	fence_signal();
	if (likely(shmfd_fd_lookup(fd) == word))
		return s;
	shmfd_stream_put(s);	/* a handler closed it */
	return shmfd_stream_get_slow(fd);
}

/* The same for the one with this index; NULL if it was closed. */
struct shmfd_stream *shmfd_stream_get_at(uint32_t index);

/* Ends a closed one that had to wait for its set (POSTPONED). */
void shmfd_stream_finish(struct shmfd_stream *s);

/*
 * Makes @fd, just connected or accepted, a stream in the kernel phase.
 * @family: AF_INET, AF_INET6 or AF_UNIX.  @nonblock: O_NONBLOCK of the file.
 * Failure (no memory) leaves it unknown, that is with the kernel.
 */
void shmfd_stream_adopt(int fd, int family, bool accepted, bool nonblock);

/* The same for both ends of a socket pair; the first counts as connected (pair.c). */
void shmfd_stream_adopt_pair(const int fd[2], bool nonblock);
/* True if this process holds both ends of the socket pair that @s is of. */
bool shmfd_stream_has_partner(const struct shmfd_stream *s);

/* No descriptor of this process becomes a stream from now on. */
void shmfd_stream_adopt_no_more(void);

/* @new_fd is now another number of the stream behind @fd. */
void shmfd_stream_dup(int fd, int new_fd);

/*
 * The host closes @fd (or replaces it by dup2).  If it is the last number here,
 * the ring directions are ended and the peer is told.  The caller then closes
 * the number with @real_close, or, NULL, replaces it itself and calls nothing; or it
 * got the number from the kernel, for another file: the stream was closed unseen.
 * Returns what real_close returned, 0 without.
 */
int shmfd_stream_close(int fd, int (*real_close)(int fd));

/* The number under which the kernel socket of a pinned stream is reachable. */
static inline int shmfd_stream_fd(const struct shmfd_stream *s, int fd)
{
	return unlikely(load_relaxed(&s->closing)) && s->keep_fd >= 0 ? s->keep_fd : fd;
}

/*
 * The process exits: streams that others hold too are theirs alone from now on.
 * Does nothing where other threads may still be in a call.
 */
void shmfd_stream_exit(void);

/* Sums of the streams that ended here and of those that live. */
void shmfd_stream_totals(struct shmfd_totals *ret);

/* fork: holders are counted before the child exists. */
void shmfd_stream_fork_prepare(void);
void shmfd_stream_fork_failed(void);
void shmfd_stream_fork_child(bool counted);
/* Takes note of this process: a forked child of it can be told from now on, however it
 * was made. */
void shmfd_stream_know_process(void);
/* Does what a forked child has to do at its first call, if it is one. */
void shmfd_stream_notice_fork(void);
/* True in a forked child that has not been noticed yet. */
bool shmfd_stream_is_forked(void);

/* ---- moving ------------------------------------------------------------ */

/*
 * Takes the mapped segment over and becomes PAIRED.  Called by meet.c under
 * meet_lock; false: the caller must let the stream retreat after unlocking.
 */
bool shmfd_stream_pair(struct shmfd_stream *s, struct shmfd_segment *seg,
		       uint32_t ring_cap);

/*
 * Moves the stream back to the kernel and keeps it there, whatever its phase.
 * Exact at any moment, never sleeps, idempotent.  Caller holds no lock.
 */
void shmfd_stream_retreat(struct shmfd_stream *s, enum shmfd_reason why);

/* Leaves the rings for the last close: nobody else is inside.  @fd still reaches the
 * kernel socket. */
void shmfd_stream_leave_at_close(struct shmfd_stream *s, int fd);

/*
 * After a retreat, before code that we do not see uses the socket: sends what
 * the peer had not read.  Waits for the kernel's buffer, bounded.
 */
void shmfd_stream_flush(struct shmfd_stream *s, int fd);

/* The link ended: retreat for a peer that left, or died.  False: not now, in a
 * signal handler that interrupted our own work on the stream. */
bool shmfd_stream_peer_left(struct shmfd_stream *s);

/*
 * True if this process may use the rings; otherwise (a forked child of the one
 * that promoted it) the stream retreats and false is returned.
 */
bool shmfd_stream_is_user(struct shmfd_stream *s);

/*
 * Publishes rx_ready, unless two or more receives are inside the kernel: the
 * last kernel message wakes only one; or the registration is held.
 */
void shmfd_stream_offer(struct shmfd_stream *s);

/*
 * For recv.c: CAS OFFERED -> RING; false if the writer cancelled.  Possible before
 * the last kernel bytes were taken, once the switch is known and no receive is
 * inside the kernel: what was shown by a peek can not be withdrawn.
 */
bool shmfd_stream_enter(struct shmfd_stream *s);

static inline bool shmfd_stream_has_ring(const struct shmfd_stream *s)
{
	return s->seg != NULL;
}

/* The peer closed with input unread, in an AF_UNIX stream. */
static inline bool shmfd_stream_was_reset(const struct shmfd_stream *s)
{
	return s->seg && shmfd_stream_record(s)->family == AF_UNIX &&
		(load_acquire(&s->rings->rx.dir->w_flags) & SHMFD_W_RESET); /* [stream.X] */
}

/* The same, and the error is due. */
static inline bool shmfd_stream_is_reset(const struct shmfd_stream *s)
{
	return shmfd_stream_was_reset(s) &&
		!load_relaxed(&shmfd_stream_record(s)->reset_told);
}

/* The peer told where its bytes leave the kernel for the ring. */
static inline bool shmfd_stream_knows_switch(const struct shmfd_stream *s)
{
	return load_acquire(&s->rings->rx.dir->switch_at) != SHMFD_SWITCH_UNKNOWN; /* [stream.X] */
}

/*
 * The ring is not entered, but what it holds is input, behind the last bytes of the
 * kernel; not so when its writer cancelled: it sends them by the kernel.
 */
static inline bool shmfd_stream_has_seam(const struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);

	return load_relaxed(&rec->rx_mode) == SHMFD_MODE_OFFER &&
		shmfd_stream_knows_switch(s) &&
		(rec->drain_end || rec->drain_eof ||
		 shmfd_dir_state(s->rings->rx.dir) != SHMFD_DIR_FROZEN);
}

/* Its calls alone find bytes of ours since an end left: its close may be a reset, which no
 * kernel knows of. */
static inline bool shmfd_stream_peer_may_reset(const struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);

	return s->seg && rec->family == AF_UNIX && !load_relaxed(&rec->reset_told) &&
		load_relaxed(&s->rings->tx.dir->rd_pos) < load_relaxed(&rec->peer_end);
}

/* Of a stream that has left: something is to be reported from memory. */
static inline bool shmfd_stream_knows_more(const struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);

	return load_relaxed(&rec->rx_mode) != SHMFD_MODE_KERNEL ||
		load_relaxed(&rec->tx_mode) != SHMFD_MODE_KERNEL ||
		load_relaxed(&rec->pending_err) || load_relaxed(&rec->rx_eof) ||
		shmfd_stream_is_reset(s) || shmfd_stream_peer_may_reset(s);
}

/*
 * Sleep flag for data, in the nap with this number (0: alone), or for room.  At most one
 * bell comes for each, and each is counted, whoever sleeps: a set takes them off the link
 * before there are too many.  @brief: of a set, for a sleep that its time ends, if nobody
 * else sleeps on the stream.
 */
static inline void shmfd_stream_arm(struct shmfd_stream *s, uint64_t nap, bool brief)
{
	counter_add(&s->rings->armed, 1);	/* a count lost among threads is one bell of 270 */
	store_relaxed(&s->rings->rx.dir->nap, nap); /* [wait.N] before the CAS */
	if (brief)
		shmfd_sleep_set_brief(&s->rings->rx.dir->attn, &s->pollers); /* [wait.S] */
	else
		shmfd_sleep_set(&s->rings->rx.dir->attn); /* [wait.S] */
}

/* The peer may hold bells back. */
static inline bool shmfd_stream_peer_holds(const struct shmfd_stream *s)
{
	return load_acquire(&s->rings->rx.dir->w_flags) & SHMFD_W_HOLDS; /* [stream.X] */
}

static inline void shmfd_stream_arm_room(struct shmfd_stream *s)
{
	counter_add(&s->rings->armed, 1);
	shmfd_sleep_set(&s->rings->tx.dir->room_sleep); /* [wait.S] */
}

/* Of a stream that has left: without rings there is nothing that its data calls would
 * have to know, through @fd. */
static inline void shmfd_stream_pass_for_good(const struct shmfd_stream *s, int fd)
{
	if (!s->seg && !shmfd_stream_knows_more(s))
		shmfd_fd_make_plain(fd, SHMFD_FD_STREAM | shmfd_stream_index(s));
}

/* Tells the peer's governor where this end runs. */
static inline void shmfd_stream_show_cpu(struct shmfd_stream *s)
{
	uint32_t cpu = shmfd_cpu();

	/* relaxed: a hint; stored only when it changes */
	if (cpu && load_relaxed(&s->rings->rx.dir->r_cpu) != cpu)
		store_relaxed(&s->rings->rx.dir->r_cpu, cpu);
}

/* Both ends run on one processor now: spinning would only delay the peer. */
static inline bool shmfd_stream_same_cpu(const struct shmfd_stream *s)
{
	uint32_t cpu = shmfd_cpu();
	/* relaxed: hints for the governor */
	uint32_t peer = load_relaxed(&s->rings->tx.dir->r_cpu);

	return cpu && peer ? peer == cpu : shmfd_one_cpu();
}

/* The kernel's number of the socket behind @fd, never used twice; 0: no socket (meet.c). */
uint64_t shmfd_cookie(int fd);

/* Seconds etc. of SO_RCVTIMEO/SO_SNDTIMEO, O_NONBLOCK: read from the kernel. */
void shmfd_stream_sync_options(struct shmfd_stream *s, int fd);

/*
 * True for memory that no process can have: the first page, and beyond user
 * space.  The kernel's EFAULT for those costs us a comparison; any other bad
 * pointer faults in the host, as it does in the vDSO (vdso(7)).
 */
static inline bool shmfd_is_bad_pointer(const void *p, size_t len)
{
	uintptr_t at = (uintptr_t)p;

	return at < SHMFD_PAGE || at + len < at || at + len > 0x7ffffffff000ull;
}

/* The same for every part of a message.  0, -EINVAL (a length below zero), -EFAULT, in
 * the kernel's order (linux/lib/iov_iter.c), or 1: EFAULT once a byte is copied there. */
int shmfd_check_msg(const struct msghdr *m);

/*
 * shmfd_wait_sleep() on the link until @deadline (0: none), in steps while bytes
 * of another stream wait to be sent again.  @part: the call has moved some bytes,
 * and returns those after any signal.
 */
int shmfd_stream_sleep(struct shmfd_stream *s, uint32_t turn, int64_t deadline, int beside,
		       bool part);

/* ---- data -------------------------------------------------------------- */

/*
 * Receives into @msg with recv(2) @flags (DONTWAIT, PEEK, WAITALL, TRUNC).  The
 * name, control and flags members of @msg are set as recvmsg(2) would.
 * Returns bytes, 0 at end of stream, -errno, or SHMFD_PASS: nothing was done,
 * make the real call, then shmfd_recv_end() with its result (bytes or -errno).
 * The short ways of it are in early.h and quick.h.
 * @is_read: read(2) family, where a zero-length request returns 0 at once.
 * Concurrency: any threads; sleeps without locks; EINTR as the kernel has it.
 * Source: recv(2), read(2), tcp(7), unix(7).
 */
ssize_t shmfd_recv(struct shmfd_stream *s, int fd, struct msghdr *msg, int flags,
		   bool is_read);
/* True: that was not the end of the stream, begin again. */
bool shmfd_recv_end(struct shmfd_stream *s, int fd, ssize_t n, int flags);

/* The same for send(2).  -EPIPE: the caller raises SIGPIPE unless NOSIGNAL. */
ssize_t shmfd_send(struct shmfd_stream *s, int fd, const struct msghdr *msg,
		   int flags);
void shmfd_send_end(struct shmfd_stream *s, int fd, ssize_t n);

/*
 * sendfile(2) from a descriptor that pread can read, straight into the ring.
 * *off as in sendfile, NULL: the file's own position (the caller moved there).
 */
ssize_t shmfd_sendfile(struct shmfd_stream *s, int fd, int in_fd, off_t off,
		       size_t len);

/*
 * shutdown(2).  Returns 0, -errno, or SHMFD_PASS: make the real call.
 */
int shmfd_shutdown(struct shmfd_stream *s, int how);

/* Bytes FIONREAD and SIOCOUTQ report, or SHMFD_PASS (queue.c). */
ssize_t shmfd_unread(struct shmfd_stream *s, int fd);
ssize_t shmfd_unsent(struct shmfd_stream *s);

/*
 * Brings the receiving direction on where that needs no byte: enters a ring
 * that is due, leaves one that is done.  Returns the tag that is next in the
 * ring; NONE: empty, or not on a ring; -EPROTO.
 */
int shmfd_recv_settle(struct shmfd_stream *s);

/*
 * At the end of the stream: the peer of an AF_UNIX stream closed with input unread,
 * which is told once (net/unix/af_unix.c).
 */
bool shmfd_take_reset(struct shmfd_stream *s);
/* Takes the error SO_ERROR has to report and clears it; 0 if none. */
int shmfd_take_error(struct shmfd_stream *s);
/* The kernel took @err for SO_ERROR, 0: none.  What to report. */
int shmfd_socket_error(struct shmfd_stream *s, int err);
/* What SO_ERROR would report, taken; 0 if nothing. */
int shmfd_take_any_error(struct shmfd_stream *s, int fd);
/* True if the next receive would report an error, no byte before it. */
bool shmfd_error_is_next(struct shmfd_stream *s, int fd);

/* Bytes of all entries. */
size_t shmfd_iov_total(const struct iovec *iov, size_t nr);

/*
 * Copies up to SHMFD_CLAMP_IOV entries of @from, without the first @skip bytes
 * and limited to @max bytes.  Returns entries.
 */
#define SHMFD_CLAMP_IOV	16
size_t shmfd_iov_part(struct iovec *to, const struct msghdr *from, size_t skip,
		      size_t max);
/* True if a writer that found the ring full may try again. */
bool shmfd_send_has_room(struct shmfd_stream *s);
/* Rings the reader of the tx direction if it sleeps. */
void shmfd_send_wake(struct shmfd_stream *s);
/* The same after a record; it may hold the bell back (wait.h, H).  Under tx_lock. */
void shmfd_send_tell(struct shmfd_stream *s);
/*
 * TCP_CORK (cork.c).  The host sets it to @in: true if the library keeps that, false if the
 * kernel is to be told, and told() then called.  push: TCP_NODELAY was set, which sends what
 * is held.  is_in: what the host is to read where the kernel says @kernels.  switch: the
 * ring begins, leave: the kernel answers for it from now on; @fd reaches the socket; under
 * tx_lock.
 * Concurrency: any threads.  Source: tcp(7); net/ipv4/tcp.c, __tcp_sock_set_cork.
 */
bool shmfd_cork(struct shmfd_stream *s, bool in);
void shmfd_cork_told(struct shmfd_stream *s, bool in);
void shmfd_cork_push(struct shmfd_stream *s);
int shmfd_cork_is_in(struct shmfd_stream *s, int kernels);
void shmfd_cork_switch(struct shmfd_stream *s, int fd);
void shmfd_cork_leave(struct shmfd_stream *s, int fd);
/* Rings the writer of the rx direction if it sleeps and has room.  Under rx_lock. */
void shmfd_recv_wake(struct shmfd_stream *s);

/* ---- the way back (resend.c) ------------------------------------------------- */

/*
 * The direction is FROZEN: tx_mode RESEND from @pos, @part on, and a first try.
 * Caller holds tx_lock.
 */
void shmfd_resend_begin(struct shmfd_stream *s, int fd, uint64_t pos, uint32_t part);
/* The reader froze the direction: agrees on the split and begins to resend. */
void shmfd_resend_frozen(struct shmfd_stream *s, int fd);
/* Sends what the peer did not read to the kernel.  Caller holds tx_lock.
 * Returns 0 when all is sent, -EAGAIN, or -errno. */
int shmfd_resend(struct shmfd_stream *s, int fd, bool may_block);
/* TCP: the peer shut its direction before it closed, by the ring or by the kernel. */
static inline bool shmfd_stream_has_fin(const struct shmfd_stream *s)
{
	uint32_t flags = s->seg ? load_acquire(&s->rings->rx.dir->w_flags) : 0; /* [stream.X] */
	bool shut = (flags & (SHMFD_W_SHUT | SHMFD_W_CLOSED)) == SHMFD_W_SHUT;

	return shmfd_stream_record(s)->family != AF_UNIX && (shut || (flags & SHMFD_W_FIN));
}
/* What a reset of the peer is to this end: after end-of-file TCP says EPIPE
 * (linux/net/ipv4/tcp_input.c, tcp_reset). */
static inline int shmfd_reset_error(const struct shmfd_stream *s)
{
	return shmfd_stream_has_fin(s) ? EPIPE : ECONNRESET;
}
/* Nobody will read what was unread: the connection is reset. */
void shmfd_resend_lost(struct shmfd_stream *s);
/* Goes on with a RESEND without waiting.  True: it is done now, and the epoll set knows.
 * Under the set's lock: try, which leaves that to the caller. */
bool shmfd_resend_continue(struct shmfd_stream *s, int fd);
bool shmfd_resend_try(struct shmfd_stream *s, int fd);
static inline bool shmfd_resend_is_pending(const struct shmfd_stream *s)
{
	return load_relaxed(&shmfd_stream_record(s)->tx_mode) == SHMFD_MODE_RESEND;
}

/* Streams of this process that may have something to send again; a hint. */
extern _Atomic uint32_t shmfd_resends;
/*
 * Goes on with all of them, without waiting: the host may never call on those
 * streams again.  Returns the longest sleep in ns after which it has to be done
 * again, or @sleep_ns (< 0: for ever) if nothing is left.
 */
int64_t shmfd_resend_all(int64_t sleep_ns);

/* ---- a peer that does not read (stuck.c) ------------------------------------- */

/*
 * A send, or a poll for POLLOUT, found the ring full.  True: that has lasted, and
 * the stream went back to the kernel, whose buffers are larger.
 */
bool shmfd_stuck_note(struct shmfd_stream *s);
/* Looks at all that are full.  Returns as shmfd_resend_all(). */
int64_t shmfd_stuck_look(int64_t sleep_ns);
/* Streams of this process that were found full; a hint. */
extern _Atomic uint32_t shmfd_stuck;
/* How long that is; set once, before any stream, by tests. */
extern int64_t shmfd_stuck_after_ns;

/* What every call does that is about to sleep, at most @sleep_ns (< 0: for ever).
 * Returns how long it may. */
static inline int64_t shmfd_before_sleep(int64_t sleep_ns)
{
	if (unlikely(load_relaxed(&shmfd_resends))) /* hints, both */
		sleep_ns = shmfd_resend_all(sleep_ns);
	if (unlikely(load_relaxed(&shmfd_stuck)))
		sleep_ns = shmfd_stuck_look(sleep_ns);
	return sleep_ns;
}

#endif
