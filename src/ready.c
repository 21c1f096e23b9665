/* SPDX-License-Identifier: MIT */

/*
 * Ready bits of one stream, and poll over many.  epoll is in epoll.c.
 *
 * Poll: look at the rings; the kernel is asked for the rest without waiting if
 * something is ready, else after a spin with links in the place of the streams.
 * Bits follow tcp_poll and unix_poll (linux/net/ipv4/tcp.c, net/unix/af_unix.c):
 * end-of-file is IN|RDHUP, both directions shut is HUP, an error is ERR.
 *
 * Concurrency: any thread.  Threads that sleep on one stream in poll kick each
 * other (kick.h).  Where one of them sleeps in a single call or in an epoll set
 * the stream retreats, and the kernel wakes both.
 */
#define _GNU_SOURCE
#include "ready.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kick.h"
#include "pin.h"
#include "sys.h"

#define IN_BITS		(POLLIN | POLLRDNORM | POLLPRI | POLLRDBAND)
#define OUT_BITS	(POLLOUT | POLLWRNORM | POLLWRBAND)
#define STACK_ITEMS	32
#define SPIN_LOOKS	8
#define KERNEL_LOOK_NS	8000	/* kernel descriptors wait no longer for a spin */

/*
 * The peer has shut its direction, and what it sent before can be read.  Its word
 * in memory is true while the ring is the way to the end; one that left the ring
 * after it still has to send by the kernel what was unread.
 */
static bool is_far_shut(struct shmfd_stream *s)
{
	const struct shmfd_record *rec = shmfd_stream_record(s);
	struct pollfd p = { .fd = load_relaxed(&s->fd), .events = POLLRDHUP };
	int saved = errno;
	bool ret;

	if (!(load_acquire(&s->rings->rx.dir->w_flags) & SHMFD_W_SHUT)) /* [stream.X] */
		return false;
	if (load_relaxed(&rec->rx_eof))
		return true;
	if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING &&
	    (!rec->drain_end || rec->drain_eof))
		return true;
	if (shmfd_stream_has_seam(s))
		return true;
	ret = shmfd_sys.poll(&p, 1, 0) > 0 && (p.revents & POLLRDHUP);
	errno = saved;
	return ret;
}

/* Only for who asks: the reader's position is on a line that it has just written, which
 * takes as long to come as a message (pingpong poll, two processors: 300 ns, 284 without). */
static uint32_t room_bits(struct shmfd_stream *s, const struct shmfd_record *rec)
{
	if (shmfd_send_has_room(s) || (load_relaxed(&rec->wr_shut) && rec->family != AF_UNIX))
		return POLLOUT | POLLWRNORM | (rec->family == AF_UNIX ? POLLWRBAND : 0);
	store_relaxed(&s->rings->tx_nospace, 1);
	if (!load_relaxed(&s->rings->full_since))
		shmfd_stuck_note(s);
	return 0;
}

uint32_t shmfd_ready_bits(struct shmfd_stream *s, uint32_t events, uint32_t *ret_kernel)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	uint32_t bits = 0, kernel = 0, mode;
	bool far_shut, left = load_acquire(&rec->phase) == SHMFD_LEFT; /* [stream.P] */
	int tag;

	if (!s->seg) {
		*ret_kernel = events;
		return 0;
	}
	/* the common case needs no lock: data is next */
	if (load_relaxed(&rec->rx_mode) == SHMFD_MODE_RING &&
	    !rec->drain_end &&
	    shmfd_ring_is_data(&s->rings->rx, rec->rd_pos)) {
		shmfd_ring_fetch_ahead(&s->rings->rx, rec->rd_pos);
		tag = (int)SHMFD_TAG_DATA;
	} else {
		tag = shmfd_recv_settle(s);
	}
	mode = load_relaxed(&rec->rx_mode);
	far_shut = is_far_shut(s);
	if (mode == SHMFD_MODE_RING) {
		if (tag != (int)SHMFD_TAG_NONE)	/* also rubbish: the read reports it */
			bits |= POLLIN | POLLRDNORM;
		if (tag == (int)SHMFD_TAG_EOF || far_shut)
			bits |= POLLRDHUP;
		if (load_relaxed(&rec->rd_shut))
			bits |= POLLIN | POLLRDNORM | POLLRDHUP;
		if (left)	/* the socket knows its end */
			kernel |= events & POLLRDHUP;
		kernel |= events & (POLLPRI | POLLRDBAND);
	} else if (load_relaxed(&rec->rx_eof)) {
		bits |= POLLIN | POLLRDNORM | POLLRDHUP;
	} else {
		kernel |= events & (IN_BITS | POLLRDHUP);
		if (far_shut)
			bits |= POLLRDHUP;
	}
	if (load_relaxed(&rec->tx_mode) != SHMFD_MODE_RING)
		kernel |= events & OUT_BITS;
	else if (events & OUT_BITS)
		bits |= room_bits(s, rec);
	if (far_shut && load_relaxed(&rec->wr_shut))
		bits |= POLLHUP;
	if (unlikely(load_relaxed(&rec->pending_err) || shmfd_stream_is_reset(s)))
		bits |= POLLERR | POLLHUP | POLLIN | POLLRDNORM | POLLRDHUP;
	*ret_kernel = kernel;
	return bits & (events | POLLERR | POLLHUP);
}

void shmfd_ready_arm(struct shmfd_stream *s, uint32_t events, uint64_t nap, bool brief)
{
	if (!s->seg)
		return;
	if (events & OUT_BITS)
		shmfd_stream_arm_room(s);
	shmfd_stream_arm(s, nap, brief); /* [wait.S] */
}

/* ---- poll ------------------------------------------------------------------ */

/* One call.  The arrays hold one entry per pollfd, then the links. */
struct many {
	struct pollfd *host;
	struct shmfd_stream **stream;	/* NULL: the kernel's alone; pinned */
	struct pollfd *kernel;		/* 2 * nr */
	nfds_t nr;
	nfds_t kernel_nr;		/* host entries that the kernel must answer */
	bool any_ring;
	int kick;			/* our eventfd while asleep, or -1 */
};

/* Still the number of that stream: another thread may have closed or replaced it,
 * and each look is at what is behind the number then (linux/fs/select.c). */
static bool is_current(const struct many *m, nfds_t i)
{
	return m->stream[i] && likely(shmfd_fd_lookup(m->host[i].fd) ==
				      (SHMFD_FD_STREAM | shmfd_stream_index(m->stream[i])));
}

/* Fills revents from rings; kernel[] gets what is left.  Returns ready. */
static int look(struct many *m)
{
	int ready = 0;

	m->kernel_nr = 0;
	for (nfds_t i = 0; i < m->nr; i++) {
		uint32_t kernel, bits;

		m->kernel[i] = m->host[i];
		m->kernel[i].revents = 0;
		m->host[i].revents = 0;
		if (!is_current(m, i)) {
			m->kernel_nr += m->host[i].fd >= 0;
			continue;
		}
		bits = shmfd_ready_bits(m->stream[i], (uint16_t)m->host[i].events, &kernel);
		m->host[i].revents = (short)bits;
		/* told here, before its bell came to the set: the set has to know */
		if (unlikely(bits && m->stream[i]->reg.set))
			shmfd_ready_rang(m->stream[i]);
		if (unlikely(shmfd_resend_is_pending(m->stream[i])) &&
		    !shmfd_resend_continue(m->stream[i], m->host[i].fd))
			kernel |= POLLOUT;	/* to go on with it, not for the host */
		if (unlikely(shmfd_ready_shut_unseen(m->stream[i])))
			kernel |= POLLRDHUP;
		/* without events the kernel still tells of errors and hang-up, and
		 * of a peer that closed before it says so in memory */
		m->kernel[i].events = (short)(kernel | (m->host[i].events & POLLRDHUP));
		m->kernel_nr += kernel || shmfd_ready_may_have_hung_up(m->stream[i]);
		ready += bits != 0;
	}
	return ready;
}

/* Adds what the kernel said.  Returns ready entries in all. */
static int merge(struct many *m)
{
	int ready = 0;

	for (nfds_t i = 0; i < m->nr; i++) {
		short got = m->kernel[i].revents;

		if (is_current(m, i)) {
			if (unlikely(shmfd_resend_is_pending(m->stream[i])))
				got &= (short)~OUT_BITS;
			got = (short)shmfd_ready_hang_up(m->stream[i], (uint16_t)got);
		}
		/* what was asked for a resend is not the host's */
		got &= (short)(m->host[i].events | POLLERR | POLLHUP | POLLNVAL);
		m->host[i].revents |= got;
		ready += m->host[i].revents != 0;
	}
	return ready;
}

/* Puts the links of paired streams behind the host's entries.  Returns the
 * length of the kernel's array. */
static nfds_t add_links(struct many *m, short events)
{
	nfds_t n = m->nr;

	for (nfds_t i = 0; i < m->nr; i++) {
		struct shmfd_stream *s = m->stream[i];

		if (s && load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_PAIRED)
			m->kernel[n++] = (struct pollfd){ .fd = s->rings->wait.link,
							  .events = events };
	}
	return n;
}

/*
 * Takes ends, and with @bells the bells, from the links.  True: something
 * changed in memory.  Only who has claimed the streams takes bells: another
 * thread may sleep for one.
 */
static bool take_links(struct many *m, nfds_t n, bool bells)
{
	bool changed = false;

	for (nfds_t i = 0, k = m->nr; i < m->nr && k < n; i++) {
		struct shmfd_stream *s = m->stream[i];

		if (!s || m->kernel[k].fd != s->rings->wait.link)
			continue;
		if (!m->kernel[k++].revents)
			continue;
		changed = true;
		if (!bells || shmfd_wait_drain(&s->rings->wait) < 0)
			shmfd_stream_peer_left(s);
		if (bells && m->kick >= 0)
			shmfd_kick_others(s, m->kick);
		shmfd_ready_rang(s);
	}
	return changed;
}

static int count_ready(const struct many *m)
{
	int ready = 0;

	for (nfds_t i = 0; i < m->nr; i++)
		ready += m->host[i].revents != 0;
	return ready;
}

/*
 * True if the kernel has refused the links beside the host's entries: it takes no
 * more entries than RLIMIT_NOFILE (poll(2)).  The streams have gone back.
 */
static bool is_too_many(const struct many *m, nfds_t nr)
{
	if (errno != EINVAL || nr == m->nr)
		return false;
	for (nfds_t i = 0; i < m->nr; i++) {
		if (m->stream[i])
			shmfd_stream_retreat(m->stream[i], SHMFD_WHY_NO_FD);
	}
	return true;
}

/* The kernel's answer without waiting.  Ready entries in all, or -errno. */
static int ask_kernel(struct many *m, const sigset_t *mask)
{
	static const struct timespec now;

	for (;;) {
		nfds_t n = add_links(m, POLLRDHUP);
		int ret = shmfd_sys.ppoll(m->kernel, n, &now, mask);

		/* EINTR though it need not wait: not where something is ready */
		if (ret < 0 && !is_too_many(m, n))
			return count_ready(m) ? count_ready(m) : -errno;
		if (ret >= 0 && !take_links(m, n, false))
			return merge(m);
		look(m);
	}
}

/* The first stream on rings: its governor speaks for the call.  *ret_same: the
 * peer of one of them runs on this processor.  Tells all where we are. */
static struct shmfd_stream *first_ring(const struct many *m, bool *ret_same)
{
	struct shmfd_stream *first = NULL;

	*ret_same = false;
	for (nfds_t i = 0; i < m->nr; i++) {
		struct shmfd_stream *s = m->stream[i];

		if (!s || !s->seg)
			continue;
		if (!first)
			first = s;
		shmfd_stream_show_cpu(s);
		*ret_same |= shmfd_stream_same_cpu(s);
	}
	return first;
}

/* Looks at the rings for a while, and at the kernel now and then. */
static int spin(struct many *m, int64_t limit_ns, struct shmfd_spinner *sp)
{
	bool same;
	struct shmfd_stream *first = first_ring(m, &same);
	int64_t kernel_at = 0;
	int ret;

	sp->tried = NULL;
	if (!first || !shmfd_spin_begin(sp, &first->rings->spin, same, limit_ns))
		return 0;
	do {
		for (int i = 0; i < SPIN_LOOKS; i++) {
			/* found in the middle of the array: what stands before
			 * may be ready too, or be the same stream */
			ret = look(m);
			if (ret && m->nr > 1)
				ret = look(m);
			if (ret) {
				shmfd_spin_paid(sp);
				return m->kernel_nr ? ask_kernel(m, NULL) : ret;
			}
			cpu_pause();
		}
		if (!kernel_at)
			kernel_at = sp->last;
		if (m->kernel_nr && sp->last - kernel_at > KERNEL_LOOK_NS) {
			kernel_at = sp->last;
			ret = ask_kernel(m, NULL);
			if (ret)	/* a sleep would have told it as well */
				shmfd_spin_slept(sp, sp->last - sp->start);
			if (ret)
				return ret;
		}
	} while (shmfd_spin_more(sp));
	return 0;
}

/* True if an earlier entry is the same stream. */
static bool is_repeated(const struct many *m, nfds_t i)
{
	for (nfds_t k = 0; k < i; k++) {
		if (m->stream[k] == m->stream[i])
			return true;
	}
	return false;
}

/* Two kinds of sleepers on one link: the kernel can do that, we leave it. */
static bool claim(struct many *m)
{
	bool clean = true;

	for (nfds_t i = 0; i < m->nr; i++) {
		struct shmfd_stream *s = m->stream[i];
		uint32_t before;
		bool alone;

		if (!s || is_repeated(m, i))
			continue;
		/* seq_cst: pollers is raised before blocked is looked at */
		before = fetch_add_seq_cst(&s->pollers, 1);
		alone = !before;
		if (m->kick >= 0)
			alone = shmfd_kick_join(s, m->kick) && before < SHMFD_IN_SET;
		if (alone && !load_seq_cst(&s->rings->wait.blocked) && !shmfd_ready_may_sleep(s))
			continue;
		if (load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_PAIRED) {
			shmfd_stream_retreat(s, SHMFD_WHY_SLEEPERS);
			clean = false;
		}
	}
	return clean;
}

static void release(void *arg)
{
	struct many *m = arg;

	for (nfds_t i = 0; i < m->nr; i++) {
		if (!m->stream[i] || is_repeated(m, i))
			continue;
		if (m->kick >= 0)
			shmfd_kick_leave(m->stream[i], m->kick);
		fetch_sub_acq_rel(&m->stream[i]->pollers, 1);
	}
	shmfd_kick_put(m->kick);
	m->kick = -1;
}

/* ppoll(2), a cancellation point. */
static int sleep_on(struct many *m, nfds_t nr, const struct timespec *t, const sigset_t *mask)
{
	int ret;

	pthread_cleanup_push(release, m);
	ret = shmfd_sys.ppoll(m->kernel, nr, t, mask);
	pthread_cleanup_pop(0);
	return ret;
}

/* Sleeps in the kernel.  0: look again, < 0: -errno, 1: timed out. */
static int sleep_many(struct many *m, int64_t left_ns, const sigset_t *mask)
{
	struct timespec t = shmfd_timespec(left_ns);
	nfds_t n;
	int ret = 0;

	m->kick = __libc_single_threaded ? -1 : shmfd_kick_get();
	if (!claim(m))
		goto out;
	for (nfds_t i = 0; i < m->nr; i++) {
		struct shmfd_stream *s = m->stream[i];

		if (s && load_acquire(&shmfd_stream_record(s)->phase) == SHMFD_PAIRED)
			shmfd_ready_arm(s, (uint16_t)m->host[i].events, 0, false);
	}
	/* links before the last look: one that ends after it wakes us, and what the
	 * look then asks of the kernel holds until it does */
	n = add_links(m, POLLIN);
	if (look(m))
		goto out;
	if (m->kick >= 0)
		m->kernel[n++] = (struct pollfd){ .fd = m->kick, .events = POLLIN };
	ret = sleep_on(m, n, left_ns >= 0 ? &t : NULL, mask);
	if (ret < 0) {
		ret = is_too_many(m, n) ? 0 : -errno;
		goto out;
	}
	take_links(m, n, true);
	ret = ret == 0;
out:
	release(m);
	return ret;
}

static int run(struct many *m, int64_t timeout_ns, const sigset_t *mask)
{
	int64_t deadline = timeout_ns > 0 ? shmfd_now_ns() + timeout_ns : 0;
	int64_t left = timeout_ns, step, began;
	struct shmfd_spinner sp;
	int ret;

	for (;;) {
		shmfd_before_sleep(0);
		ret = look(m);
		if (ret)	/* the mask is for a wait: a pending signal stays so */
			return m->kernel_nr ? ask_kernel(m, NULL) : ret;
		if (!timeout_ns)
			return ask_kernel(m, mask);
		ret = spin(m, left, &sp);
		if (ret)
			return ret;
		began = shmfd_now_ns();
		step = shmfd_before_sleep(left);
		ret = sleep_many(m, step, mask);
		shmfd_spin_slept(&sp, shmfd_now_ns() - began);
		if (ret < 0)
			return ret;
		look(m);
		/* what woke us, without waiting again */
		ret = ask_kernel(m, NULL);
		if (ret)
			return ret;
		if (!deadline)
			continue;
		left = deadline - shmfd_now_ns();
		if (left <= 0)
			return 0;
	}
}

/*
 * On rings, or with something left that only memory knows; or another thread may
 * move it to rings while this one sleeps: it kicks us then.
 */
static bool concerns_us(const struct shmfd_stream *s)
{
	switch (load_acquire(&shmfd_stream_record(s)->phase)) {
	case SHMFD_PAIRED:
		return true;
	case SHMFD_LEFT:
		return s->seg && shmfd_stream_knows_more(s);
	default:
		return !__libc_single_threaded;
	}
}

int shmfd_poll(struct pollfd *p, nfds_t nr, int64_t timeout_ns, const sigset_t *mask)
{
	struct shmfd_stream *streams[STACK_ITEMS];
	struct pollfd kernel[2 * STACK_ITEMS + 1];
	struct many m = { .host = p, .stream = streams, .kernel = kernel, .nr = nr,
			  .kick = -1 };
	size_t bytes = nr * (sizeof(*m.stream) + 2 * sizeof(*m.kernel)) + sizeof(*m.kernel);
	void *room = NULL;
	int ret, saved = errno;

	shmfd_cancel_point();
	if (nr > STACK_ITEMS) {
		room = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (room == MAP_FAILED)
			return -ENOMEM;
		m.stream = room;
		m.kernel = (struct pollfd *)(void *)(m.stream + nr);
	}
	for (nfds_t i = 0; i < nr; i++) {
		struct shmfd_stream *s = p[i].fd >= 0 ? shmfd_stream_get(p[i].fd) : NULL;

		if (s && !concerns_us(s)) {
			shmfd_stream_put(s);
			s = NULL;
		}
		if (s)
			shmfd_stream_is_user(s); /* or it retreats */
		m.stream[i] = s;
		m.any_ring |= s != NULL;
	}
	m.any_ring |= load_relaxed(&shmfd_resends) || load_relaxed(&shmfd_stuck); /* hints */
	ret = m.any_ring ? run(&m, timeout_ns, mask) : SHMFD_PASS;
	errno = saved;	/* a success does not touch it */
	for (nfds_t i = nr; i-- > 0;) {	/* the last pin first */
		if (m.stream[i])
			shmfd_stream_put(m.stream[i]);
	}
	if (room)
		munmap(room, bytes);
	return ret;
}
