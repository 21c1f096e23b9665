/* SPDX-License-Identifier: MIT */

/*
 * Life of a stream, and promotion; the protocols are in stream.h, the way back is
 * in retreat.c.
 * Any thread may call any function here.  A forked child inherits the private
 * part by copy and the record by the shared table.
 */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kick.h"
#include "meet.h"
#include "pin.h"
#include "ready.h"
#include "segment.h"
#include "sys.h"

struct shmfd_stream shmfd_streams[SHMFD_TABLE_RECORDS];
static struct shmfd_rings rings_of[SHMFD_TABLE_RECORDS];
uint32_t shmfd_pid;

static struct shmfd_totals ended;	/* of streams that were closed here */
static _Atomic uint32_t high;		/* one above the highest index used here */

/* ---- fork --------------------------------------------------------------- */

/* Until there is a page that the kernel clears in forked children. */
static char not_forked_yet = 1;
char *shmfd_not_forked = &not_forked_yet;

void shmfd_stream_know_process(void)
{
	char *p;

	shmfd_stream_notice_fork();
	if (!shmfd_pid)
		shmfd_pid = (uint32_t)getpid();
	if (shmfd_not_forked != &not_forked_yet)
		return;
	p = mmap(NULL, SHMFD_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return;
	if (madvise(p, SHMFD_PAGE, MADV_WIPEONFORK)) {
		munmap(p, SHMFD_PAGE);
		return;
	}
	*p = 1;
	shmfd_not_forked = p;
}

static void add_holders(uint32_t n)
{
	for (uint32_t i = 0; i < load_relaxed(&high); i++) {
		if (load_relaxed(&shmfd_streams[i].numbers))
			fetch_add_acq_rel(&shmfd_table_record(i)->holders, n);
	}
}

void shmfd_stream_fork_prepare(void)
{
	add_holders(1);
}

void shmfd_stream_fork_failed(void)
{
	add_holders((uint32_t)-1);
}

void shmfd_stream_fork_child(bool counted)
{
	int signs = -1;		/* not asked yet */

	*shmfd_not_forked = 1;
	shmfd_pid = (uint32_t)getpid();
	shmfd_tid_cached = 0;
	memset(&ended, 0, sizeof(ended));
	for (uint32_t i = 0; i < load_relaxed(&high); i++) {
		struct shmfd_stream *s = &shmfd_streams[i];
		struct shmfd_record *rec;

		if (!load_relaxed(&s->numbers))
			continue;
		rec = shmfd_table_record(i);
		if (!counted)
			fetch_add_acq_rel(&rec->holders, 1);
		if (signs < 0)
			signs = shmfd_table_sign(shmfd_pid);
		s->joined = signs && shmfd_table_join(i, shmfd_pid) ? shmfd_pid : 0;
		/* the threads that used it stayed behind */
		if (load_relaxed(&s->rings->wait.blocked)) {
			store_relaxed(&s->rings->wait.turn, 0);
			store_relaxed(&s->rings->wait.leader, 0);
			store_relaxed(&s->rings->wait.followers, 0);
			store_relaxed(&s->rings->wait.blocked, 0);
		}
		if (s->rings->wait.link_ms)	/* either process may have set it since */
			s->rings->wait.link_ms = -1;
		if (load_relaxed(&s->users))
			store_relaxed(&s->users, 0);
		if (load_relaxed(&s->pollers))
			store_relaxed(&s->pollers, s->reg.counted ? SHMFD_IN_SET : 0);
		for (int k = 0; k < SHMFD_KICKS; k++) {
			if (load_relaxed(&s->rings->kick[k]))
				store_relaxed(&s->rings->kick[k], 0);
		}
	}
	shmfd_ready_fork_child();
	shmfd_kick_fork_child();
	shmfd_hide_fork_child();
}

bool shmfd_stream_is_forked(void)
{
	return !*shmfd_not_forked;
}

void shmfd_stream_notice_fork(void)
{
	if (unlikely(!*shmfd_not_forked))
		shmfd_stream_fork_child(false);
}

/* ---- life ---------------------------------------------------------------- */

struct shmfd_stream *shmfd_stream_get_slow(int fd)
{
	for (;;) {
		uint32_t word = shmfd_fd_lookup(fd);
		struct shmfd_stream *s;

		if ((word & SHMFD_FD_KIND_MASK) != (uint32_t)SHMFD_FD_STREAM)
			return NULL;
		shmfd_stream_notice_fork();
		s = &shmfd_streams[word & SHMFD_FD_INDEX_MASK];
		if (__libc_single_threaded) {
			/* relaxed: only signal handlers of this thread look, and may close it */
			store_relaxed(&s->users, load_relaxed(&s->users) + 1);
		} else {
			fetch_add_acq_rel(&s->users, 1);
			shmfd_pin_add(s);
		}
		fence_signal();
		if (likely(shmfd_fd_lookup(fd) == word))
			return s;
		shmfd_stream_put(s);
	}
}

struct shmfd_stream *shmfd_stream_get_at(uint32_t index)
{
	struct shmfd_stream *s = shmfd_stream_get(load_relaxed(&shmfd_streams[index].fd));

	if (!s || shmfd_stream_index(s) == index)
		return s;
	shmfd_stream_put(s);	/* the number has gone on to another */
	return NULL;
}

static _Atomic uint32_t no_more;

void shmfd_stream_adopt_no_more(void)
{
	store_relaxed(&no_more, 1);
}

/* Once in a process: there will be no stream whose reason could be read. */
static void no_table(int err)
{
	static _Atomic uint32_t told;
	int saved = errno;

	if (!xchg_seq_cst(&told, 1)) {
		errno = err;
		shmfd_log(1, "streams stay with the kernel: no table for them: %m");
	}
	errno = saved;
}

void shmfd_stream_adopt(int fd, int family, bool accepted, bool nonblock)
{
	struct shmfd_stream *s;
	struct shmfd_record *rec;
	uint32_t top;
	int index;

	shmfd_stream_know_process();
	if (shmfd_fd_is(fd, SHMFD_FD_STREAM))	/* closed behind our back */
		shmfd_stream_close(fd, NULL);
	if ((unsigned int)fd >= SHMFD_FD_MAX || load_relaxed(&no_more))
		return;
	index = shmfd_table_alloc();
	if (index < 0) {
		no_table(-index);
		return;
	}
	s = &shmfd_streams[index];
	memset(s, 0, offsetof(struct shmfd_stream, rings));
	s->rings = &rings_of[index];
	s->fd = fd;
	s->keep_fd = -1;
	s->listener = -1;
	rec = shmfd_table_record((uint32_t)index);
	rec->family = (uint16_t)family;
	rec->accepted = accepted;
	store_relaxed(&rec->user_pid, shmfd_pid);
	store_relaxed(&rec->fd, fd);
	store_relaxed(&rec->nonblock, nonblock);
	store_relaxed(&rec->next_try, shmfd_config.after ? 2 * (uint64_t)shmfd_config.after : 1);
	store_relaxed(&rec->reason, SHMFD_WHY_BELOW);
	if (fd <= 2) {	/* stdio reads and writes it unseen */
		store_relaxed(&rec->phase, SHMFD_LEFT);
		store_relaxed(&rec->reason, SHMFD_WHY_STDIO_FD);
	}
	top = load_relaxed(&high);
	while (top <= (uint32_t)index && !cas_acquire(&high, &top, (uint32_t)index + 1))
		;
	ended.streams++;
	store_relaxed(&s->numbers, 1);
	shmfd_fd_set(fd, SHMFD_FD_STREAM | (uint32_t)index);
}

void shmfd_stream_dup(int fd, int new_fd)
{
	struct shmfd_stream *s = shmfd_stream_get(fd);

	if (!s)
		return;
	if ((unsigned int)new_fd >= SHMFD_FD_MAX) {
		/* a number that we could not follow */
		shmfd_stream_retreat(s, SHMFD_WHY_NO_FD);
	} else {
		fetch_add_acq_rel(&s->numbers, 1);
		shmfd_fd_set(new_fd, SHMFD_FD_STREAM | shmfd_stream_index(s));
		if (new_fd <= 2)
			shmfd_stream_retreat(s, SHMFD_WHY_STDIO_FD);
	}
	shmfd_stream_put(s);
}

static void add_totals(struct shmfd_totals *t, const struct shmfd_record *rec)
{
	t->ring_rx_bytes += load_relaxed(&rec->ring_rx_bytes);
	t->ring_rx_msgs += load_relaxed(&rec->ring_rx_msgs);
	t->ring_tx_bytes += load_relaxed(&rec->ring_tx_bytes);
	t->ring_tx_msgs += load_relaxed(&rec->ring_tx_msgs);
	t->kernel_rx_bytes += load_relaxed(&rec->kernel_rx_bytes);
	t->kernel_rx_msgs += load_relaxed(&rec->kernel_rx_msgs);
	t->kernel_tx_bytes += load_relaxed(&rec->kernel_tx_bytes);
	t->kernel_tx_msgs += load_relaxed(&rec->kernel_tx_msgs);
}

void shmfd_stream_totals(struct shmfd_totals *ret)
{
	*ret = ended;
	for (uint32_t i = 0; i < load_relaxed(&high); i++) {
		if (load_relaxed(&shmfd_streams[i].numbers) &&
		    load_relaxed(&shmfd_table_record(i)->user_pid) == shmfd_pid)
			add_totals(ret, shmfd_table_record(i));
	}
}

/* Another number of the stream, after one was closed. */
static int other_number(const struct shmfd_stream *s)
{
	uint32_t word = SHMFD_FD_STREAM | shmfd_stream_index(s);

	for (uint32_t fd = 0; fd <= shmfd_fd_top(); fd++) {
		if ((shmfd_fd_lookup((int)fd) & ~SHMFD_FD_PLAIN) == word)
			return (int)fd;
	}
	return -1;
}

/* For no time: the close is a reset.  Or not at all (socket(7)). */
static void set_linger(int fd, bool on)
{
	struct linger none = { .l_onoff = on, .l_linger = 0 };

	shmfd_sys.setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

/* A close with unread input is a reset, as the kernel has it. */
static void reset_peer(struct shmfd_stream *s, int fd)
{
	if (shmfd_stream_record(s)->family == AF_UNIX)
		fetch_or_seq_cst(&s->rings->tx.dir->w_flags, SHMFD_W_RESET); /* [stream.X] */
	else
		set_linger(fd, true);
}

/* No other process has it any more. */
static bool is_last_holder(const struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);

	if (unlikely(load_acquire(&rec->holders) != 1))
		shmfd_table_drop_gone(shmfd_stream_index(s));
	return load_acquire(&rec->holders) == 1;
}

/* Leaves the rings for the last close; @fd still reaches the kernel socket. */
static void part(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool last = is_last_holder(s);

	store_relaxed(&s->parted, SHMFD_PARTED);
	if (load_relaxed(&rec->user_pid) == shmfd_pid)
		add_totals(&ended, rec);
	if (!last || !s->seg)
		return;
	if (load_relaxed(&rec->wr_shut) && shmfd_stream_has_fin(s))
		set_linger(fd, false);	/* both have ended: nothing is a reset any more */
	else if ((load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING || shmfd_stream_has_seam(s)) &&
		 shmfd_ring_unread(&s->rings->rx, rec, NULL) > 0)
		reset_peer(s, fd);
	shmfd_stream_leave_at_close(s, fd);
	if (load_relaxed(&rec->tx_mode) == SHMFD_MODE_RESEND)
		shmfd_stream_flush(s, fd);
}

/* Closed where we could not see it: the number is another file's by now. */
static bool is_lost(const struct shmfd_stream *s, int fd)
{
	return s->seg && shmfd_cookie(fd) != shmfd_stream_record(s)->cookie;
}

/* That file is not touched; to the peer it is a death: it sees the link's end. */
static void lose(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	store_relaxed(&s->parted, SHMFD_LOST);
	store_relaxed(&s->fd, -1);
	if (load_relaxed(&rec->user_pid) == shmfd_pid)
		add_totals(&ended, rec);
}

/* The kernel's FIN is out, or will be at once. */
static void tell_closed(struct shmfd_stream *s)
{
	if (load_relaxed(&s->parted) == SHMFD_LOST)
		return;
	if (s->seg && load_relaxed(&shmfd_stream_record(s)->holders) == 1 &&
	    !(load_acquire(&s->rings->tx.dir->w_flags) & SHMFD_W_SHUT)) /* [stream.X] */
		/* [stream.X] */
		fetch_or_seq_cst(&s->rings->tx.dir->w_flags, SHMFD_W_SHUT | SHMFD_W_CLOSED);
}

/* What was never written stays so: of its page there may be nothing yet. */
static void forget_rings(struct shmfd_rings *r)
{
	static const struct shmfd_rings none;

	if (memcmp(r, &none, sizeof(none)))
		memset(r, 0, sizeof(*r));
}

/*
 * The last number is closed by the only thread, though calls are inside: one
 * that this handler interrupted, or one that a handler left by siglongjmp(3) and
 * that never comes back.  The peer must not wait for it.  Memory, and the place
 * in the table, stay for a call that goes on; it finds the link ended.
 */
static void let_go(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (!shmfd_ready_is_looking(s))
		shmfd_ready_forget(s);
	shmfd_meet_drop(s);
	tell_closed(s);
	shmfd_unhide_close(s->rings->wait.link);
	s->rings->wait.link = 0;
	store_release(&s->rings->wait.ended, 1);
	if (load_relaxed(&rec->user_pid) == shmfd_pid)
		store_relaxed(&rec->user_pid, 0);
}

/* Frees what is left once nobody is inside. */
static void finish(struct shmfd_stream *s)
{
	uint32_t index = shmfd_stream_index(s);
	struct shmfd_record *rec = shmfd_table_record(index);
	uint32_t joined;

	if (unlikely(shmfd_ready_is_looking(s))) {
		let_go(s);
		shmfd_ready_postpone(s);
		return;
	}
	if (!load_relaxed(&s->parted))
		part(s, s->keep_fd);
	shmfd_unhide_close(s->keep_fd);
	shmfd_ready_forget(s);
	shmfd_meet_drop(s);
	tell_closed(s);
	shmfd_unhide_close(s->rings->wait.link);
	if (s->seg)
		shmfd_segment_unmap(s->seg, s->rings->rx.cap);
	forget_rings(s->rings);
	joined = s->joined;
	memset(s, 0, offsetof(struct shmfd_stream, rings));
	if (load_relaxed(&rec->user_pid) == shmfd_pid)
		store_relaxed(&rec->user_pid, 0);
	shmfd_table_leave(index, joined);
}

void shmfd_stream_finish(struct shmfd_stream *s)
{
	uint32_t postponed = SHMFD_POSTPONED;

	if (cas_acquire(&s->closing, &postponed, 1)) /* [epoll.P] */
		finish(s);
}

void shmfd_stream_end(struct shmfd_stream *s)
{
	int saved = errno;

	finish(s);
	errno = saved;
}

void shmfd_stream_put_slow(struct shmfd_stream *s)
{
	shmfd_pin_drop(s);
	if (unlikely(fetch_sub_acq_rel(&s->users, 1) == 1 && load_acquire(&s->closing)))
		shmfd_stream_end(s);
}

int shmfd_stream_close(int fd, int (*real_close)(int fd))
{
	struct shmfd_stream *s = shmfd_stream_get(fd);
	int ret, saved = errno;

	if (!s)
		return real_close ? real_close(fd) : 0;
	shmfd_fd_set(fd, SHMFD_FD_NONE);
	if (fetch_sub_acq_rel(&s->numbers, 1) > 1) {
		if (load_relaxed(&s->fd) == fd) {
			store_relaxed(&s->fd, other_number(s));
			store_relaxed(&shmfd_stream_record(s)->fd, load_relaxed(&s->fd));
		}
		shmfd_ready_number_closed(s, fd);
		errno = saved;
		ret = real_close ? real_close(fd) : 0;
		shmfd_stream_put(s);
		return ret;
	}
	if (!real_close && is_lost(s, fd)) {
		lose(s);
	} else if (load_acquire(&s->users) > 1 && __libc_single_threaded) {
		part(s, fd);
		let_go(s);
	} else if (load_acquire(&s->users) > 1) {
		/* a blocked call keeps the connection, as in the kernel */
		s->keep_fd = shmfd_hide_fd(shmfd_sys.fcntl(fd, F_DUPFD_CLOEXEC, 0));
		store_relaxed(&s->fd, s->keep_fd);
	} else {
		part(s, fd);
	}
	errno = saved;
	ret = real_close ? real_close(fd) : 0;
	store_release(&s->closing, 1);
	shmfd_stream_put(s);
	return ret;
}

void shmfd_stream_exit(void)
{
	if (!shmfd_pid || !__libc_single_threaded)
		return;
	shmfd_stream_notice_fork();
	for (uint32_t i = 0; i < load_relaxed(&high); i++) {
		struct shmfd_record *rec = shmfd_table_record(i);
		struct shmfd_stream *s;
		int fd;

		if (!load_relaxed(&shmfd_streams[i].numbers) || load_acquire(&rec->holders) <= 1)
			continue;
		s = shmfd_stream_get_at(i);
		while (s && (fd = other_number(s)) >= 0) {
			shmfd_fd_set(fd, SHMFD_FD_NONE);
			if (fetch_sub_acq_rel(&s->numbers, 1) == 1)
				shmfd_table_leave(i, s->joined);
		}
		if (s)
			shmfd_stream_put(s);
	}
}

/* ---- promotion ------------------------------------------------------------ */

void shmfd_stream_sync_options(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct timeval tv;
	socklen_t len = sizeof(tv);
	int busy_us = 0, fl = shmfd_sys.fcntl(fd, F_GETFL, 0);
	uint32_t ceiling;

	if (fl >= 0)
		store_relaxed(&rec->nonblock, (fl & O_NONBLOCK) != 0);
	if (!shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len))
		rec->rcvtimeo_ns = tv.tv_sec * 1000000000ll + tv.tv_usec * 1000;
	len = sizeof(tv);
	if (!shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len))
		rec->sndtimeo_ns = tv.tv_sec * 1000000000ll + tv.tv_usec * 1000;
	len = sizeof(busy_us);
	if (shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &busy_us, &len))
		return;
	ceiling = busy_us > 0 && busy_us <= 1000000 ? (uint32_t)busy_us * 1000 : 0;
	if (s->rings->spin.ceiling_ns != ceiling)
		s->rings->spin.ceiling_ns = ceiling;
}

void shmfd_stream_offer(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (load_acquire(&rec->phase) != SHMFD_PAIRED ||
	    load_relaxed(&rec->rx_mode) != SHMFD_MODE_KERNEL ||
	    shmfd_lock(rec, &rec->rx_lock))
		return;
	if (load_acquire(&rec->phase) == SHMFD_PAIRED &&
	    load_relaxed(&rec->rx_mode) == SHMFD_MODE_KERNEL &&
	    load_seq_cst(&rec->rx_inflight) <= 1 && !load_relaxed(&rec->rx_eof) && /* [stream.P] */
	    !s->reg.held &&
	    shmfd_dir_state(s->rings->rx.dir) == SHMFD_DIR_OFFERED) {
		store_relaxed(&rec->rx_mode, SHMFD_MODE_OFFER);
		store_release(&s->rings->rx.dir->rx_ready, 1); /* [stream.X] */
	}
	shmfd_unlock(rec, &rec->rx_lock);
}

bool shmfd_stream_pair(struct shmfd_stream *s, struct shmfd_segment *seg,
		       uint32_t ring_cap)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint8_t *rings = (uint8_t *)seg + SHMFD_PAGE;
	int out = rec->accepted ? 1 : 0;

	s->rings->tx = (struct shmfd_ring){
		.base = rings + (size_t)out * ring_cap,
		.cap = ring_cap,
		.dir = &seg->dir[out],
	};
	s->rings->rx = (struct shmfd_ring){
		.base = rings + (size_t)!out * ring_cap,
		.cap = ring_cap,
		.dir = &seg->dir[!out],
	};
	s->seg = seg;
	s->rings->link_cookie = shmfd_cookie(s->rings->wait.link);
	ended.promoted++;
	store_relaxed(&rec->reason, SHMFD_WHY_NONE);
	store_seq_cst(&rec->phase, SHMFD_PAIRED); /* [stream.P] */
	/* a child that was forked since the meeting began has no rings: counted before
	 * it exists, so either we see it, or it has what is set above */
	if (load_seq_cst(&rec->holders) != 1)
		return false;
	shmfd_log(3, "fd %d may go by rings of %u bytes", load_relaxed(&s->fd), ring_cap);
	/* who sleeps in poll since before watches the socket only */
	shmfd_kick_others(s, -1);
	if (!shmfd_ready_paired(s))
		return false;
	shmfd_stream_offer(s);
	return true;
}

bool shmfd_stream_is_user(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (likely(load_relaxed(&rec->user_pid) == shmfd_pid))
		return true;
	if (load_acquire(&rec->phase) == SHMFD_COUNTING) {
		store_relaxed(&rec->user_pid, shmfd_pid);
		store_relaxed(&rec->fd, load_relaxed(&s->fd));
		return true;
	}
	if (load_acquire(&rec->phase) != SHMFD_LEFT)
		shmfd_stream_retreat(s, SHMFD_WHY_OTHER_PID);
	return false;
}
