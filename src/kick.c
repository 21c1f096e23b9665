/* SPDX-License-Identifier: MIT */

/* See kick.h. */
#define _GNU_SOURCE
#include "kick.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "sys.h"

#define POOL	64

/* fd plus 1; 0: free place */
static _Atomic int pool[POOL];

int shmfd_kick_get(void)
{
	int saved = errno, fd;

	for (int i = 0; i < POOL; i++) {
		fd = load_relaxed(&pool[i]); /* a hint for the swap */
		if (fd && cas_acquire(&pool[i], &fd, 0))
			return fd - 1;
	}
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd >= 0)
		fd = shmfd_hide_fd(fd);
	errno = saved;
	return fd < 0 ? -1 : fd;
}

void shmfd_kick_put(int fd)
{
	int saved = errno;

	if (fd < 0)
		return;
	shmfd_kick_take(fd);
	errno = saved;
	for (int i = 0; i < POOL; i++) {
		int none = 0;

		if (cas_acquire(&pool[i], &none, fd + 1))
			return;
	}
	shmfd_unhide_close(fd);
}

void shmfd_kick_fork_child(void)
{
	for (int i = 0; i < POOL; i++) {
		if (load_relaxed(&pool[i])) {
			shmfd_unhide_close(load_relaxed(&pool[i]) - 1);
			store_relaxed(&pool[i], 0);
		}
	}
}

bool shmfd_kick_join(struct shmfd_stream *s, int fd)
{
	for (int i = 0; i < SHMFD_KICKS; i++) {
		int none = 0;

		/* seq_cst: entered before this sleeper's last look */
		if (cas_seq_cst(&s->rings->kick[i], &none, fd + 1))
			return true;
	}
	return false;
}

void shmfd_kick_leave(struct shmfd_stream *s, int fd)
{
	for (int i = 0; i < SHMFD_KICKS; i++) {
		if (load_relaxed(&s->rings->kick[i]) == fd + 1) {
			store_release(&s->rings->kick[i], 0);
			return;
		}
	}
}

bool shmfd_kick(int fd)
{
	static const uint64_t one = 1;

	return shmfd_sys.write(fd, &one, sizeof(one)) == sizeof(one);
}

void shmfd_kick_take(int fd)
{
	uint64_t count;

	shmfd_sys.read(fd, &count, sizeof(count));
}

void shmfd_kick_others(struct shmfd_stream *s, int fd)
{
	int saved = errno;

	for (int i = 0; i < SHMFD_KICKS; i++) {
		int other = load_seq_cst(&s->rings->kick[i]) - 1;

		/* one that left meanwhile empties it before it sleeps again */
		if (other >= 0 && other != fd)
			shmfd_kick(other);
	}
	errno = saved;
}
