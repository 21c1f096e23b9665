/* SPDX-License-Identifier: MIT */

/* See mend.h. */
#define _GNU_SOURCE
#include "mend.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ready.h"

#define MASK_OF(sig)	(1ull << ((sig) - 1))
#define SYNCHRONOUS	(MASK_OF(SIGSEGV) | MASK_OF(SIGBUS) | MASK_OF(SIGFPE) | \
			 MASK_OF(SIGILL) | MASK_OF(SIGTRAP) | MASK_OF(SIGSYS))

bool shmfd_signals_free;

static void mend_tx(struct shmfd_stream *s, struct shmfd_record *rec)
{
	if (load_relaxed(&rec->tx_mode) != SHMFD_MODE_RING)
		return;
	shmfd_ring_mend_tx(&s->rings->tx, rec);
	shmfd_send_wake(s);
	if (shmfd_dir_state(s->rings->tx.dir) == SHMFD_DIR_FROZEN)
		shmfd_resend_frozen(s, load_relaxed(&s->fd));
}

static void mend_rx(struct shmfd_stream *s, struct shmfd_record *rec)
{
	if (load_relaxed(&rec->rx_mode) != SHMFD_MODE_RING)
		return;
	shmfd_ring_mend_rx(&s->rings->rx, rec);
	rec->room_mark = 0;	/* a writer may sleep for what is free since */
	shmfd_recv_wake(s);
}

void shmfd_mend(_Atomic uint32_t *word)
{
	struct shmfd_stream *s;
	struct shmfd_record *rec;
	uintptr_t at;

	if (!shmfd_table)
		return;
	at = (uintptr_t)word - (uintptr_t)shmfd_table->record;
	if (at >= sizeof(shmfd_table->record)) {
		shmfd_ready_mend(word);
		return;
	}
	s = &shmfd_streams[at / sizeof(*rec)];
	rec = shmfd_stream_record(s);
	if (!s->seg)
		return;
	if (word == &rec->tx_lock)
		mend_tx(s, rec);
	else if (word == &rec->rx_lock)
		mend_rx(s, rec);
}

uint64_t shmfd_signals_block(void)
{
	uint64_t all = ~SYNCHRONOUS, mask = 0;

	/* not libc's, which leaves out the signals of its own */
	if (likely(!shmfd_signals_free))
		syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &mask, sizeof(mask));
	return mask;
}

void shmfd_signals_restore(uint64_t mask)
{
	int saved = errno;

	if (likely(!shmfd_signals_free))
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	errno = saved;
}
