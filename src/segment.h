/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_SEGMENT_H
#define SHMFD_SEGMENT_H

/*
 * Makes, seals, maps and checks the memory that both ends of a stream share.
 * Knows nothing of sockets.  No state of its own: any thread, any process.
 */
#include <stddef.h>
#include <stdint.h>

#include "shmfd/layout.h"

/* Bytes of a segment with rings of @ring_cap. */
size_t shmfd_segment_bytes(uint32_t ring_cap);

/*
 * A memfd of @bytes, close-on-exec, with memfd_create(2) @flags.  Returns it, or
 * -errno; -EFBIG: beyond RLIMIT_FSIZE, where the kernel would send SIGXFSZ.
 */
int shmfd_segment_memfd(const char *name, unsigned int flags, size_t bytes);

/*
 * Creates a segment with two rings of @ring_cap bytes and seals it against
 * growing and shrinking.  *ret_fd: the caller closes it once it was passed.
 * Returns the mapping (caller unmaps), or NULL with *ret_fd = -errno: -ENOMEM,
 * -EMFILE, -EPERM (seccomp), -EFBIG, …
 * Source: memfd_create(2), fcntl(2) "File Sealing".
 */
struct shmfd_segment *shmfd_segment_create(uint32_t ring_cap, int *ret_fd);

/*
 * Maps what a peer passed, after checking that it is a memfd that can neither
 * shrink (no SIGBUS) nor grow, of the size for its rings, with our version.
 * Returns the mapping, or NULL with *ret_err = -EPROTO or -ENOMEM.  Closes @fd
 * in no case.
 */
struct shmfd_segment *shmfd_segment_map(int fd, uint32_t ring_cap, int *ret_err);

void shmfd_segment_unmap(struct shmfd_segment *seg, uint32_t ring_cap);

#endif
