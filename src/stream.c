/* SPDX-License-Identifier: MIT */

/*
 * Life of a stream, promotion and retreat; the protocols are in stream.h.
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
#include "ready.h"
#include "segment.h"
#include "sys.h"

#define DEATH_MS	20

struct shmfd_stream shmfd_streams[SHMFD_TABLE_RECORDS];
uint32_t shmfd_pid;

static struct shmfd_totals ended;	/* of streams that were closed here */
static _Atomic uint32_t high;		/* one above the highest index used here */

/* ---- fork --------------------------------------------------------------- */

/* A byte that the kernel clears in every kind of forked child. */
static char not_forked_yet = 1;
static char *not_forked = &not_forked_yet;

static void watch_fork(void)
{
	char *p;

	if (not_forked != &not_forked_yet)
		return;
	p = mmap(NULL, SHMFD_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return;
	if (madvise(p, SHMFD_PAGE, MADV_WIPEONFORK)) {
		munmap(p, SHMFD_PAGE);
		return;
	}
	*p = 1;
	not_forked = p;
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
	*not_forked = 1;
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
		store_relaxed(&rec->holder_pid[0], shmfd_pid);
		/* the threads that used it stayed behind */
		if (load_relaxed(&s->wait.blocked)) {
			store_relaxed(&s->wait.turn, 0);
			store_relaxed(&s->wait.leader, 0);
			store_relaxed(&s->wait.followers, 0);
			store_relaxed(&s->wait.blocked, 0);
		}
		if (s->wait.link_ms)	/* either process may have set it since */
			s->wait.link_ms = -1;
		if (load_relaxed(&s->users))
			store_relaxed(&s->users, 0);
		if (load_relaxed(&s->pollers))
			store_relaxed(&s->pollers, s->reg.counted ? SHMFD_IN_SET : 0);
		for (int k = 0; k < SHMFD_KICKS; k++) {
			if (load_relaxed(&s->kick[k]))
				store_relaxed(&s->kick[k], 0);
		}
	}
	shmfd_ready_fork_child();
	shmfd_kick_fork_child();
}

bool shmfd_stream_is_forked(void)
{
	return !*not_forked;
}

void shmfd_stream_notice_fork(void)
{
	if (unlikely(!*not_forked))
		shmfd_stream_fork_child(false);
}

/* ---- life ---------------------------------------------------------------- */

struct shmfd_stream *shmfd_stream_get(int fd)
{
	for (;;) {
		uint32_t word = shmfd_fd_lookup(fd);
		struct shmfd_stream *s;

		if ((word & SHMFD_FD_KIND_MASK) != (uint32_t)SHMFD_FD_STREAM)
			return NULL;
		shmfd_stream_notice_fork();
		s = &shmfd_streams[word & SHMFD_FD_INDEX_MASK];
		if (likely(__libc_single_threaded)) {
			/* relaxed: only signal handlers of this thread look */
			store_relaxed(&s->users, load_relaxed(&s->users) + 1);
			return s;
		}
		fetch_add_acq_rel(&s->users, 1);
		if (likely(shmfd_fd_lookup(fd) == word))
			return s;
		shmfd_stream_put(s);
	}
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

	if (!shmfd_pid)
		shmfd_pid = (uint32_t)getpid();
	if (shmfd_fd_is(fd, SHMFD_FD_STREAM))	/* closed behind our back */
		shmfd_stream_close(fd, NULL);
	if ((unsigned int)fd >= SHMFD_FD_MAX || load_relaxed(&no_more))
		return;
	index = shmfd_table_alloc();
	if (index < 0) {
		no_table(-index);
		return;
	}
	watch_fork();
	s = &shmfd_streams[index];
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->keep_fd = -1;
	s->listener = -1;
	s->wait.link = -1;
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
		if (shmfd_fd_lookup((int)fd) == word)
			return (int)fd;
	}
	return -1;
}

/* A close with unread input is a reset, as the kernel has it. */
static void reset_peer(struct shmfd_stream *s, int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (shmfd_stream_record(s)->family == AF_UNIX)
		fetch_or_seq_cst(&s->tx.dir->w_flags, SHMFD_W_RESET); /* [stream.X] */
	else
		shmfd_sys.setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void leave_rings_at_close(struct shmfd_stream *s, int fd);

/* Leaves the rings for the last close; @fd still reaches the kernel socket. */
static void part(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool last = load_acquire(&rec->holders) == 1;

	store_relaxed(&s->parted, SHMFD_PARTED);
	if (load_relaxed(&rec->user_pid) == shmfd_pid)
		add_totals(&ended, rec);
	if (!last || !s->seg)
		return;
	if ((load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING || shmfd_stream_has_seam(s)) &&
	    shmfd_ring_unread(&s->rx, rec, NULL) > 0)
		reset_peer(s, fd);
	leave_rings_at_close(s, fd);
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
	    !(load_acquire(&s->tx.dir->w_flags) & SHMFD_W_SHUT)) /* [stream.X] */
		/* [stream.X] */
		fetch_or_seq_cst(&s->tx.dir->w_flags, SHMFD_W_SHUT | SHMFD_W_CLOSED);
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

	shmfd_ready_forget(s);
	shmfd_meet_drop(s);
	tell_closed(s);
	shmfd_unhide_close(s->wait.link);
	s->wait.link = -1;
	store_release(&s->wait.ended, 1);
	if (load_relaxed(&rec->user_pid) == shmfd_pid)
		store_relaxed(&rec->user_pid, 0);
}

/* Frees what is left once nobody is inside. */
static void finish(struct shmfd_stream *s)
{
	uint32_t index = shmfd_stream_index(s);
	struct shmfd_record *rec = shmfd_table_record(index);

	if (!load_relaxed(&s->parted))
		part(s, s->keep_fd);
	shmfd_unhide_close(s->keep_fd);
	shmfd_ready_forget(s);
	shmfd_meet_drop(s);
	tell_closed(s);
	shmfd_unhide_close(s->wait.link);
	if (s->seg)
		shmfd_segment_unmap(s->seg, s->rx.cap);
	memset(s, 0, sizeof(*s));
	if (load_relaxed(&rec->user_pid) == shmfd_pid)
		store_relaxed(&rec->user_pid, 0);
	if (fetch_sub_acq_rel(&rec->holders, 1) == 1)
		shmfd_table_free(index);
}

void shmfd_stream_put(struct shmfd_stream *s)
{
	uint32_t before;

	if (likely(__libc_single_threaded)) {
		before = load_relaxed(&s->users);
		/* relaxed: only signal handlers of this thread look */
		store_relaxed(&s->users, before - 1);
	} else {
		before = fetch_sub_acq_rel(&s->users, 1);
	}
	if (unlikely(before == 1 && load_acquire(&s->closing)))
		finish(s);
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
	saved = errno;
	store_release(&s->closing, 1);
	shmfd_stream_put(s);
	errno = saved;
	return ret;
}

void shmfd_stream_exit(void)
{
	uint32_t top = shmfd_fd_top();

	if (!shmfd_pid || !__libc_single_threaded)
		return;
	shmfd_stream_notice_fork();
	for (uint32_t fd = 0; fd <= top; fd++) {
		struct shmfd_stream *s = shmfd_stream_get((int)fd);
		struct shmfd_record *rec;

		if (!s)
			continue;
		rec = shmfd_stream_record(s);
		if (load_acquire(&rec->holders) > 1) {
			shmfd_fd_set((int)fd, SHMFD_FD_NONE);
			if (fetch_sub_acq_rel(&s->numbers, 1) == 1)
				fetch_sub_acq_rel(&rec->holders, 1);
		}
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

	if (fl >= 0)
		store_relaxed(&rec->nonblock, (fl & O_NONBLOCK) != 0);
	if (!shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len))
		rec->rcvtimeo_ns = tv.tv_sec * 1000000000ll + tv.tv_usec * 1000;
	len = sizeof(tv);
	if (!shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len))
		rec->sndtimeo_ns = tv.tv_sec * 1000000000ll + tv.tv_usec * 1000;
	len = sizeof(busy_us);
	if (!shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &busy_us, &len))
		s->spin.ceiling_ns = busy_us > 0 && busy_us <= 1000000 ?
			(uint32_t)busy_us * 1000 : 0;
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
	    shmfd_dir_state(s->rx.dir) == SHMFD_DIR_OFFERED) {
		store_relaxed(&rec->rx_mode, SHMFD_MODE_OFFER);
		store_release(&s->rx.dir->rx_ready, 1); /* [stream.X] */
	}
	shmfd_unlock(rec, &rec->rx_lock);
}

bool shmfd_stream_pair(struct shmfd_stream *s, struct shmfd_segment *seg,
		       uint32_t ring_cap)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint8_t *rings = (uint8_t *)seg + SHMFD_PAGE;
	int out = rec->accepted ? 1 : 0;

	s->tx = (struct shmfd_ring){
		.base = rings + (size_t)out * ring_cap,
		.cap = ring_cap,
		.dir = &seg->dir[out],
	};
	s->rx = (struct shmfd_ring){
		.base = rings + (size_t)!out * ring_cap,
		.cap = ring_cap,
		.dir = &seg->dir[!out],
	};
	s->seg = seg;
	s->link_cookie = shmfd_cookie(s->wait.link);
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

/* ---- retreat ---------------------------------------------------------------- */

/* One swap of the state of a direction; true if it was @from. */
static bool swap(struct shmfd_dir *d, uint32_t from, uint32_t to)
{
	uint32_t old = load_seq_cst(&d->attn); /* [stream.A] */

	while ((old & SHMFD_DIR_STATE_MASK) == from) {
		/* [stream.A] */
		if (cas_seq_cst(&d->attn, &old, (old & ~SHMFD_DIR_STATE_MASK) | to))
			return true;
	}
	return false;
}

bool shmfd_stream_enter(struct shmfd_stream *s)
{
	return swap(s->rx.dir, SHMFD_DIR_OFFERED, SHMFD_DIR_RING) ||
		shmfd_dir_state(s->rx.dir) != SHMFD_DIR_FROZEN;
}

/* How an end leaves. */
struct leaving {
	enum shmfd_reason why;
	int fd;			/* reaches the kernel socket */
	bool peer_gone;		/* the link had ended */
	bool hand_over;		/* others read the socket next: leave bytes to them */
};

/* Under rx_lock. */
static void leave_rx(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct shmfd_dir *d = s->rx.dir;
	uint32_t mode = load_relaxed(&rec->rx_mode);
	uint64_t end, open = 0;

	if (l->peer_gone) {
		/* the bytes of the dead are still due: recv.c takes them in
		 * order; a writer that left cancelled or ended by itself */
		if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_KERNEL)
			swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER);
		else
			swap(d, SHMFD_DIR_RING, SHMFD_DIR_ENDED);
		return;
	}
	/* a receive inside the kernel, begun before the switch, takes whatever
	 * comes there: nothing may stay in the ring before that */
	if (mode == SHMFD_MODE_KERNEL || l->hand_over ||
	    (mode == SHMFD_MODE_OFFER && load_acquire(&rec->rx_inflight))) {
		/* who has not entered took nothing: a hand-over at 0 */
		if (!swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER) &&
		    !swap(d, SHMFD_DIR_RING, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER) &&
		    shmfd_dir_state(d) == SHMFD_DIR_ENDED)
			return;	/* the ring is read to its end first */
		store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
		return;
	}
	if (!swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN) &&
	    !swap(d, SHMFD_DIR_RING, SHMFD_DIR_FROZEN)) {
		if (mode == SHMFD_MODE_OFFER && shmfd_dir_state(d) == SHMFD_DIR_FROZEN)
			/* the writer cancelled */
			store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
		return;
	}
	end = shmfd_ring_frontier(&s->rx, rec);
	if (!cas_seq_cst(&d->split, &open, end + 1)) { /* [stream.A] */
		end = shmfd_ring_frontier(&s->rx, rec);	/* the writer published before */
		if (open - 1 < end && open - 1 >= rec->rd_pos)
			end = open - 1;
	}
	/* end-of-file that is there already needs no word of the writer */
	rec->drain_eof = shmfd_ring_is_eof(&s->rx, end);
	rec->drain_end = end;
	if (end == rec->rd_pos) {
		/* before the switch kernel bytes come first, then this EOF */
		if (mode == SHMFD_MODE_RING || !rec->drain_eof)
			store_relaxed(&rec->rx_mode, SHMFD_MODE_KERNEL);
		if (mode == SHMFD_MODE_RING)
			store_relaxed(&rec->rx_eof, load_relaxed(&rec->rx_eof) | rec->drain_eof);
	}
}

/*
 * True if the kernel says that the far socket is closed.  A dying process lets
 * go of its descriptors in any order, so it may take a moment after the link's
 * end; what is not closed then lives on in another program.
 */
static bool far_is_closed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return shmfd_sys.poll(&p, 1, DEATH_MS) > 0 &&
		(p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* The peer died without a word: what it had not read goes by the kernel. */
static void unread_of_dead(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	const uint8_t *unused;

	rec->resend_pos = load_acquire(&s->tx.dir->rd_pos); /* [ring.R] */
	rec->resend_part = load_acquire(&s->tx.dir->rd_part);
	if (rec->wr_pos - rec->resend_pos <= s->tx.cap &&
	    shmfd_ring_resend_run(&s->tx, rec, &unused) > 0 && far_is_closed(l->fd)) {
		/* the kernel resets when a process dies with unread input */
		shmfd_resend_lost(s);
		rec->resend_pos = rec->wr_pos;
		shmfd_sys.shutdown(l->fd, SHUT_RDWR);
	}
	shmfd_resend_begin(s, l->fd, rec->resend_pos, rec->resend_part);
}

/* Under tx_lock. */
static void leave_tx(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct shmfd_dir *d = s->tx.dir;
	bool mine;

	if (load_relaxed(&rec->tx_mode) == SHMFD_MODE_RESEND)
		return;
	if (load_relaxed(&rec->tx_mode) != SHMFD_MODE_RING) {
		swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER);
		store_relaxed(&rec->tx_mode, SHMFD_MODE_KERNEL);
		return;
	}
	mine = swap(d, SHMFD_DIR_OFFERED, SHMFD_DIR_FROZEN | SHMFD_DIR_HAND_OVER);
	if (mine && !l->peer_gone) {
		shmfd_resend_begin(s, l->fd, 0, 0);
		return;
	}
	/* only what no end of the link had decided is a death */
	if (l->peer_gone && (mine || swap(d, SHMFD_DIR_RING, SHMFD_DIR_FROZEN))) {
		unread_of_dead(s, l);
		return;
	}
	if (shmfd_dir_state(d) == SHMFD_DIR_FROZEN) {
		shmfd_resend_frozen(s, l->fd);
		return;
	}
	if (!swap(d, SHMFD_DIR_RING, SHMFD_DIR_ENDED)) {
		/* the reader was faster */
		shmfd_resend_frozen(s, l->fd);
		return;
	}
	shmfd_ring_mark(&s->tx, rec, SHMFD_TAG_END);
	store_relaxed(&rec->tx_mode, SHMFD_MODE_KERNEL);
	if (load_relaxed(&rec->wr_shut))
		shmfd_sys.shutdown(l->fd, SHUT_WR);
}

/* False in a signal handler that interrupted our own copy: not now. */
static bool leave_rings(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (shmfd_lock(rec, &rec->rx_lock))
		return false;
	if (shmfd_lock(rec, &rec->tx_lock)) {
		shmfd_unlock(rec, &rec->rx_lock);
		return false;
	}
	leave_rx(s, l);
	shmfd_unlock(rec, &rec->rx_lock);
	leave_tx(s, l);
	shmfd_unlock(rec, &rec->tx_lock);
	/* before a close: the peer asks the kernel from then on, which knows when */
	fetch_or_seq_cst(&s->tx.dir->w_flags, SHMFD_W_LEFT); /* [stream.X] */
	return true;
}

/* Nobody else is inside: the last number is being closed. */
static void leave_rings_at_close(struct shmfd_stream *s, int fd)
{
	struct leaving l = {
		.fd = fd,
		.peer_gone = shmfd_wait_has_ended(&s->wait),
		.hand_over = true,
	};

	leave_rings(s, &l);
}

static void leave(struct shmfd_stream *s, const struct leaving *l)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	int saved = errno;
	uint32_t phase;

	if (load_acquire(&rec->phase) == SHMFD_LEFT)
		return;
	if (shmfd_lock(rec, &rec->meet_lock))
		return;
	phase = load_relaxed(&rec->phase);
	/* in such a child: who paired is about to leave, and used no ring */
	if (phase == SHMFD_PAIRED && (!s->seg || !leave_rings(s, l))) {
		shmfd_unlock(rec, &rec->meet_lock);
		return;
	}
	if (phase != SHMFD_LEFT) {
		store_relaxed(&rec->reason, l->why);
		store_release(&rec->phase, SHMFD_LEFT); /* [stream.P] */
	}
	shmfd_unlock(rec, &rec->meet_lock);
	shmfd_log(2, "fd %d goes back to the kernel: %s", l->fd, shmfd_report_reason(l->why));
	if (phase == SHMFD_PAIRED) {
		shmfd_sys.shutdown(s->wait.link, SHUT_RDWR);
		shmfd_ready_changed(s);
	} else {
		shmfd_meet_drop(s);
	}
	errno = saved;
}

/* The next reader of the socket is not this library. */
static bool is_hand_over(enum shmfd_reason why)
{
	switch (why) {
	case SHMFD_WHY_EXEC:
	case SHMFD_WHY_PASSED:
	case SHMFD_WHY_FDOPEN:
	case SHMFD_WHY_STDIO_FD:
	case SHMFD_WHY_ASYNC:
	case SHMFD_WHY_SETS:	/* a set that only the kernel answers for */
		return true;
	default:
		return false;
	}
}

void shmfd_stream_retreat(struct shmfd_stream *s, enum shmfd_reason why)
{
	struct leaving l = {
		.why = why,
		.fd = load_relaxed(&s->fd),
		.peer_gone = s->seg && shmfd_wait_has_ended(&s->wait),
		.hand_over = is_hand_over(why),
	};

	leave(s, &l);
}

void shmfd_stream_flush(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (!s->seg || load_relaxed(&rec->tx_mode) != SHMFD_MODE_RESEND ||
	    shmfd_lock(rec, &rec->tx_lock))
		return;
	if (load_relaxed(&rec->tx_mode) == SHMFD_MODE_RESEND)
		shmfd_resend(s, fd, true);
	shmfd_unlock(rec, &rec->tx_lock);
}

bool shmfd_stream_peer_left(struct shmfd_stream *s)
{
	struct leaving l = {
		.why = SHMFD_WHY_PEER_LEFT,
		.fd = load_relaxed(&s->fd),
		.peer_gone = true,
	};

	leave(s, &l);
	return load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_LEFT;
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
