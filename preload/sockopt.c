/* SPDX-License-Identifier: MIT */

/*
 * getsockopt, setsockopt, ioctl.  Ours: the error that a ring has to report,
 * time-outs, byte counts, O_NONBLOCK, TCP_CORK.  Options that the rings do not have
 * make the stream retreat.
 */
#include "shim.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD	76
#endif

/* Options under which only the kernel's own path behaves right. */
static bool needs_kernel(int level, int name)
{
	if (level == SOL_SOCKET) {
		switch (name) {
		case SO_RCVLOWAT: case SO_OOBINLINE: case SO_PEEK_OFF: case SO_PASSCRED:
		case SO_PASSSEC: case SO_PASSPIDFD: case SO_ZEROCOPY: case SO_TIMESTAMP:
		case SO_TIMESTAMPNS: case SO_TIMESTAMPING: case SO_ATTACH_FILTER:
		case SO_ATTACH_BPF: case SO_DETACH_FILTER: case SO_RXQ_OVFL:
			return true;
		default:
			return false;
		}
	}
	if (level == IPPROTO_TCP) {
		switch (name) {
		case TCP_ULP: case TCP_REPAIR: case TCP_FASTOPEN_CONNECT: case TCP_MD5SIG:
		case TCP_ZEROCOPY_RECEIVE:
			return true;
		default:
			return false;
		}
	}
	return false;
}

/* True: done without the kernel. */
static bool cork_is_kept(struct shmfd_stream *s, const void *val, socklen_t len)
{
	/* the kernel's length is signed */
	return (int)len >= (int)sizeof(int) && !shmfd_is_bad_pointer(val, sizeof(int)) &&
		shmfd_cork(s, *(const int *)val);
}

int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	struct shmfd_stream *s = shim_get(fd);
	int ret;

	if (!s) {
		/* not connected yet: streams of it will not be ours */
		if (shmfd_fd_is(fd, SHMFD_FD_SOCKET) && needs_kernel(level, name))
			shmfd_fd_set(fd, SHMFD_FD_SOCKET);
		return real.setsockopt(fd, level, name, val, len);
	}
	if (level == IPPROTO_TCP && name == TCP_CORK && cork_is_kept(s, val, len))
		return (int)shim_put(s, 0);
	if (needs_kernel(level, name))
		shmfd_stream_retreat(s, SHMFD_WHY_OPTION);
	ret = (int)shim_outcome(real.setsockopt(fd, level, name, val, len));
	if (!ret && level == IPPROTO_TCP && name == TCP_CORK)
		shmfd_cork_told(s, *(const int *)val);
	if (!ret && level == IPPROTO_TCP && name == TCP_NODELAY && *(const int *)val)
		shmfd_cork_push(s);
	if (!ret && level == SOL_SOCKET &&
	    (name == SO_RCVTIMEO || name == SO_SNDTIMEO || name == SO_BUSY_POLL))
		shmfd_stream_sync_options(s, fd);
	return (int)shim_put(s, ret);
}

/* The first @len bytes of an int, as the kernel wrote them. */
static void tell_cork(struct shmfd_stream *s, void *val, socklen_t len)
{
	int in = 0;

	len = len < sizeof(in) ? len : sizeof(in);
	memcpy(&in, val, len);
	in = shmfd_cork_is_in(s, in);
	memcpy(val, &in, len);
}

int getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	struct shmfd_stream *s = shim_get(fd);
	int ret;

	if (!s)
		return real.getsockopt(fd, level, name, val, len);
	ret = (int)shim_outcome(real.getsockopt(fd, level, name, val, len));
	if (!ret && level == SOL_SOCKET && name == SO_ERROR && *len >= sizeof(int))
		*(int *)val = shmfd_socket_error(s, *(int *)val);
	if (!ret && level == IPPROTO_TCP && name == TCP_CORK)
		tell_cork(s, val, *len);
	return (int)shim_put(s, ret);
}

static int stream_ioctl(struct shmfd_stream *s, int fd, unsigned long req, void *arg)
{
	ssize_t n;
	int ret;

	switch (req) {
	case FIONREAD:	/* = SIOCINQ */
		n = shmfd_unread(s, fd);
		break;
	case TIOCOUTQ:	/* = SIOCOUTQ */
	case SIOCOUTQNSD:
		n = shmfd_unsent(s);
		break;
	case FIOASYNC:
	case FIOSETOWN:
	case SIOCSPGRP:
		shmfd_stream_retreat(s, SHMFD_WHY_ASYNC);
		n = SHMFD_PASS;
		break;
	default:
		n = SHMFD_PASS;
	}
	if (n != SHMFD_PASS && !shmfd_is_bad_pointer(arg, sizeof(int))) {
		*(int *)arg = (int)n;
		return 0;
	}
	ret = (int)shim_outcome(real.ioctl(fd, req, arg));
	if (!ret && req == FIONBIO)
		store_relaxed(&shmfd_stream_record(s)->nonblock, *(int *)arg != 0);
	return ret;
}

int ioctl(int fd, unsigned long req, ...)
{
	struct shmfd_stream *s = shim_get(fd);
	va_list ap;
	void *arg;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (!s)
		return real.ioctl(fd, req, arg);
	return (int)shim_put(s, stream_ioctl(s, fd, req, arg));
}
