/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_FDMAP_H
#define SHMFD_FDMAP_H

/*
 * What the library knows of a descriptor number: one word per number, in
 * zeroed memory, so that it answers "nothing" before any start-up code ran.
 * Private to the process; fork copies it.
 *
 * Hidden descriptors are ours (links, listeners, the table): the host must not
 * meet or close them.
 *
 * F: a word is seen with the record or set that was made before it.
 * R: the limit that a hiding thread has noted is seen with the word that says so.
 *
 * Concurrency: plain loads and stores of one word; the kernel hands a number
 * to one caller at a time, so two threads never set the same one.  But PLAIN is set by a
 * data call, beside which another thread may close the number: by CAS, from the word that
 * the call began with, whose stream it holds, so that the index is no other's by then.
 */
#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"

#define SHMFD_FD_MAX	(1u << 20)

enum shmfd_fd_kind {
	SHMFD_FD_NONE	= 0x00000000u,	/* nothing known: pass through */
	SHMFD_FD_SOCKET	= 0x10000000u,	/* stream socket, not connected yet */
	SHMFD_FD_STREAM	= 0x20000000u,	/* low bits: index of the record */
	SHMFD_FD_EPOLL	= 0x30000000u,	/* low bits: index of the set */
	SHMFD_FD_HIDDEN	= 0x40000000u,
};
#define SHMFD_FD_KIND_MASK	0xf0000000u
/* Of a STREAM: it left without ever having rings, so its data calls need not be seen. */
#define SHMFD_FD_PLAIN		0x08000000u
#define SHMFD_FD_INDEX_MASK	0x00ffffffu

extern _Atomic uint32_t shmfd_fdmap[SHMFD_FD_MAX];

/* The word of @fd; NONE for negative and huge numbers. */
static inline uint32_t shmfd_fd_lookup(int fd)
{
	if (unlikely((unsigned int)fd >= SHMFD_FD_MAX))
		return SHMFD_FD_NONE;
	return load_acquire(&shmfd_fdmap[fd]); /* [fdmap.F] */
}

/* From now on @fd is PLAIN, unless it is something else than @word by now. */
static inline void shmfd_fd_make_plain(int fd, uint32_t word)
{
	if ((unsigned int)fd < SHMFD_FD_MAX)
		/* the old word is another's to have published */
		cas_acquire(&shmfd_fdmap[fd], &word, word | SHMFD_FD_PLAIN);
}

/* One above the highest number that was ever set. */
extern _Atomic uint32_t shmfd_fd_high;

static inline void shmfd_fd_set(int fd, uint32_t word)
{
	uint32_t high = load_relaxed(&shmfd_fd_high); /* only grows */

	if ((unsigned int)fd >= SHMFD_FD_MAX)
		return;
	while (high <= (uint32_t)fd && !cas_acquire(&shmfd_fd_high, &high, (uint32_t)fd + 1))
		;
	store_release(&shmfd_fdmap[fd], word); /* [fdmap.F] */
}

/* The highest number that may be known to us; 0: none. */
static inline uint32_t shmfd_fd_top(void)
{
	uint32_t high = load_relaxed(&shmfd_fd_high); /* a bound of a walk */

	return high ? high - 1 : 0;
}

/*
 * The kernel gave @fd to a new file, or is about to: whatever we still know of
 * the number is stale, or ends here.
 */
void shmfd_fd_forget(int fd);

static inline bool shmfd_fd_is(int fd, enum shmfd_fd_kind kind)
{
	return (shmfd_fd_lookup(fd) & SHMFD_FD_KIND_MASK) == (uint32_t)kind;
}

/*
 * Moves @fd, which is closed in any case, out of the host's sight: above its
 * soft RLIMIT_NOFILE where the hard limit allows, else high below it.
 * Returns the new close-on-exec number, or -EMFILE if none is left.
 * Concurrency: any thread; the limit is raised for an instant.
 * Source: getrlimit(2): a descriptor above the limit stays valid.
 */
int shmfd_hide_fd(int fd);
/* In a forked child: what a thread of the parent was about to put back. */
void shmfd_hide_fork_child(void);
/*
 * @nr, or less: the size that the kernel's table of descriptors would have for the
 * host's own numbers.  Source: expand_files and alloc_fdtable, linux/fs/file.c.
 */
int shmfd_fd_within_table(int nr);
/* Closes a hidden descriptor; <= 0 is ignored, which none is.  Keeps errno. */
void shmfd_unhide_close(int fd);

#endif
