/* SPDX-License-Identifier: MIT */

/*
 * TCP_CORK.  It holds back what follows until it is out; by ring that is a bell only, in
 * send.c: a reader that looks has all there is.
 *
 * The kernel's own cork has no work while the bytes go by ring, and a server that puts it in
 * and out for each answer makes two system calls for nothing (nginx with tcp_nopush, a file of
 * 1 KiB: 153 k requests/s with them, 190 without; 2-vCPU VM).  So it is kept here, and the
 * kernel is told when the stream leaves its rings.
 *
 *   KERNEL   nothing is known, or the kernel has it in: it is told of all     --out-->  OUT
 *                                                           to the ring, with it in -->  IN
 *   OUT, IN  the kernel has it out, since we told it; the host wants it so    --leave-> KERNEL
 *
 * What the kernel held back goes out when the ring begins: what is behind it there, a shutdown
 * as well, would wait for it.  What goes by the kernel after a peer left is not held back until
 * the host's next one: that costs a packet, no byte waits for it.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "stream.h"
#include "sys.h"

/* Under tx_lock. */
static void hold(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct shmfd_dir *d = s->rings->tx.dir;

	if (load_relaxed(&s->rings->corked))
		return;
	store_relaxed(&s->rings->corked, load_relaxed(&rec->ring_tx_bytes) + 1);
	if (!(load_relaxed(&d->w_flags) & SHMFD_W_HOLDS))
		fetch_or_seq_cst(&d->w_flags, SHMFD_W_HOLDS); /* [stream.X] */
}

/* Under tx_lock, or in a handler that interrupted its owner. */
static void push(struct shmfd_stream *s)
{
	if (load_relaxed(&s->rings->held))
		shmfd_send_wake(s);
}

static void turn(struct shmfd_stream *s, bool in)
{
	if (in) {
		hold(s);
	} else if (load_relaxed(&s->rings->corked)) {
		store_relaxed(&s->rings->corked, 0);
		push(s);
	}
}

bool shmfd_cork(struct shmfd_stream *s, bool in)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool kept;

	/* another process has it in as well: the stream goes back */
	if (!s->seg || !shmfd_stream_is_user(s) || shmfd_lock(rec, &rec->tx_lock))
		return false;
	kept = load_relaxed(&rec->cork) != SHMFD_CORK_KERNEL &&
		load_relaxed(&rec->tx_mode) == SHMFD_MODE_RING;
	if (kept) {
		store_relaxed(&rec->cork, in ? SHMFD_CORK_IN : SHMFD_CORK_OUT);
		turn(s, in);
	}
	shmfd_unlock(rec, &rec->tx_lock);
	return kept;
}

void shmfd_cork_told(struct shmfd_stream *s, bool in)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool locked;

	store_relaxed(&rec->cork, in ? SHMFD_CORK_KERNEL : SHMFD_CORK_OUT);
	if (!s->seg || !shmfd_stream_is_user(s))
		return;
	locked = !shmfd_lock(rec, &rec->tx_lock);
	if (locked || !in)
		turn(s, in);
	if (locked)
		shmfd_unlock(rec, &rec->tx_lock);
}

void shmfd_cork_push(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool locked;

	if (!s->seg || !shmfd_stream_is_user(s) || !load_relaxed(&s->rings->corked))
		return;
	locked = !shmfd_lock(rec, &rec->tx_lock);
	push(s);
	if (locked)
		shmfd_unlock(rec, &rec->tx_lock);
}

int shmfd_cork_is_in(struct shmfd_stream *s, int kernels)
{
	uint32_t cork = load_relaxed(&shmfd_stream_record(s)->cork);

	return cork == SHMFD_CORK_KERNEL ? kernels : cork == SHMFD_CORK_IN;
}

void shmfd_cork_switch(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	const int out = 0;
	int in = 0;
	socklen_t len = sizeof(in);

	if (rec->family == AF_UNIX || load_relaxed(&rec->cork) != SHMFD_CORK_KERNEL ||
	    shmfd_sys.getsockopt(fd, IPPROTO_TCP, TCP_CORK, &in, &len) || !in)
		return;
	if (!shmfd_sys.setsockopt(fd, IPPROTO_TCP, TCP_CORK, &out, sizeof(out)))
		store_relaxed(&rec->cork, SHMFD_CORK_IN);
}

void shmfd_cork_leave(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	const int in = 1;

	if (load_relaxed(&rec->cork) == SHMFD_CORK_IN)
		shmfd_sys.setsockopt(fd, IPPROTO_TCP, TCP_CORK, &in, sizeof(in));
	store_relaxed(&rec->cork, SHMFD_CORK_KERNEL);
}
