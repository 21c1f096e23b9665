/* SPDX-License-Identifier: MIT */

/* See segment.h. */
#define _GNU_SOURCE
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "atomic.h"
#include "sys.h"

#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

size_t shmfd_segment_bytes(uint32_t ring_cap)
{
	return SHMFD_PAGE + 2 * (size_t)ring_cap;
}

static struct shmfd_segment *map(int fd, uint32_t ring_cap)
{
	void *p = mmap(NULL, shmfd_segment_bytes(ring_cap),
		       PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

int shmfd_segment_memfd(const char *name, unsigned int flags, size_t bytes)
{
	struct rlimit most;
	int fd, err;

	/* the kernel kills who makes a file longer than that (setrlimit(2)) */
	if (!getrlimit(RLIMIT_FSIZE, &most) && most.rlim_cur < bytes)
		return -EFBIG;
	fd = shmfd_sys.memfd_create(name, flags | MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (shmfd_sys.ftruncate(fd, (off_t)bytes)) {
		err = -errno;
		shmfd_sys.close(fd);
		return err;
	}
	return fd;
}

struct shmfd_segment *shmfd_segment_create(uint32_t ring_cap, int *ret_fd)
{
	struct shmfd_segment *seg;
	int fd = shmfd_segment_memfd(SHMFD_SEGMENT_NAME, MFD_ALLOW_SEALING,
				     shmfd_segment_bytes(ring_cap));

	if (fd < 0) {
		*ret_fd = fd;
		return NULL;
	}
	if (shmfd_sys.fcntl(fd, F_ADD_SEALS, SEALS))
		goto fail;
	seg = map(fd, ring_cap);
	if (!seg)
		goto fail;
	seg->magic = SHMFD_SEGMENT_MAGIC;
	seg->version = SHMFD_LAYOUT_VERSION;
	seg->ring_cap = ring_cap;
	for (int i = 0; i < 2; i++) {
		/* relaxed: the segment is not passed yet */
		store_relaxed(&seg->dir[i].switch_at, SHMFD_SWITCH_UNKNOWN);
	}
	*ret_fd = fd;
	return seg;
fail:
	*ret_fd = -errno;
	shmfd_sys.close(fd);
	return NULL;
}

struct shmfd_segment *shmfd_segment_map(int fd, uint32_t ring_cap, int *ret_err)
{
	struct shmfd_segment *seg;
	struct stat st;
	int seals = shmfd_sys.fcntl(fd, F_GET_SEALS, 0);

	*ret_err = -EPROTO;
	if (ring_cap < SHMFD_RING_MIN || ring_cap > SHMFD_RING_MAX ||
	    (ring_cap & (ring_cap - 1)))
		return NULL;
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) !=
	    (F_SEAL_SHRINK | F_SEAL_GROW))
		return NULL;
	if (fstat(fd, &st) || st.st_size != (off_t)shmfd_segment_bytes(ring_cap))
		return NULL;
	seg = map(fd, ring_cap);
	if (!seg) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	if (seg->magic != SHMFD_SEGMENT_MAGIC ||
	    seg->version != SHMFD_LAYOUT_VERSION || seg->ring_cap != ring_cap) {
		shmfd_segment_unmap(seg, ring_cap);
		return NULL;
	}
	return seg;
}

void shmfd_segment_unmap(struct shmfd_segment *seg, uint32_t ring_cap)
{
	munmap(seg, shmfd_segment_bytes(ring_cap));
}
