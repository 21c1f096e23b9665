/* SPDX-License-Identifier: MIT */

/*
 * What went wrong on a stream, told once, as SO_ERROR and the next call tell it.
 * It is in one of three places: pending_err, where a call of ours took it from the
 * kernel; SHMFD_W_RESET, where the peer of an AF_UNIX stream closed with input unread
 * in its ring; the kernel's socket, for all else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "ready.h"
#include "stream.h"
#include "sys.h"

bool shmfd_take_reset(struct shmfd_stream *s)
{
	return shmfd_stream_is_reset(s) &&
		!xchg_seq_cst(&shmfd_stream_record(s)->reset_told, 1);
}

int shmfd_take_error(struct shmfd_stream *s)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	int same;
	socklen_t len = sizeof(same);

	if (load_relaxed(&rec->pending_err)) {
		/* the kernel may know it too: it is told once */
		shmfd_sys.getsockopt(load_relaxed(&s->fd), SOL_SOCKET, SO_ERROR, &same, &len);
		return (int)xchg_seq_cst(&rec->pending_err, 0);
	}
	return shmfd_take_reset(s) ? ECONNRESET : 0;
}

int shmfd_socket_error(struct shmfd_stream *s, int err)
{
	struct shmfd_record *rec = shmfd_stream_record(s);

	if (err != ECONNRESET || !s->seg)
		return err ? err : shmfd_take_error(s);
	store_relaxed(&rec->reset_told, 1);
	store_relaxed(&rec->pending_err, 0);
	return shmfd_reset_error(s);
}

int shmfd_take_any_error(struct shmfd_stream *s, int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) ? 0 :
		shmfd_socket_error(s, err);
}

bool shmfd_error_is_next(struct shmfd_stream *s, int fd)
{
	struct pollfd p = { .fd = fd };
	uint32_t unused;
	ssize_t unread;
	int there = 0, saved = errno;
	bool ret = (shmfd_ready_bits(s, 0, &unused) & POLLERR) ||
		(shmfd_sys.poll(&p, 1, 0) > 0 && (p.revents & POLLERR));

	if (ret) {
		unread = shmfd_unread(s, fd);
		if (unread == SHMFD_PASS && !shmfd_sys.ioctl(fd, FIONREAD, &there))
			unread = there;
		ret = unread <= 0;
	}
	errno = saved;
	return ret;
}
