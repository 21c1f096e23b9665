/* SPDX-License-Identifier: MIT */

/*
 * socket, socketpair, connect (__connect), accept, accept4, shutdown.
 *
 * A number of a stream socket that is not connected is marked SOCKET, with its
 * family in the low bits (0: not eligible).  It becomes a stream when connect
 * succeeds or is under way, and by accept.
 */
#include "shim.h"

#include <netinet/in.h>

#include "../src/ready.h"

#define FAMILY_MASK	0xffu

static bool is_eligible(int family, int type, int protocol)
{
	if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM)
		return false;
	if (family == AF_UNIX)
		return true;
	return (family == AF_INET || family == AF_INET6) &&
		(protocol == 0 || protocol == IPPROTO_TCP);
}

int socket(int family, int type, int protocol)
{
	int fd = real.socket(family, type, protocol);

	if (fd < 0 || !load_acquire(&shim_active) || shim_is_vfork())
		return fd;
	shmfd_fd_forget(fd);
	if (is_eligible(family, type, protocol))
		shmfd_fd_set(fd, SHMFD_FD_SOCKET | (uint32_t)family);
	return fd;
}

/* Both ends belong to one process: a self-pipe.  The kernel keeps it. */
int socketpair(int family, int type, int protocol, int fd[2])
{
	int ret = real.socketpair(family, type, protocol, fd);

	if (!ret && load_acquire(&shim_active) && !shim_is_vfork()) {
		shmfd_fd_forget(fd[0]);
		shmfd_fd_forget(fd[1]);
	}
	return ret;
}

int connect(int fd, __CONST_SOCKADDR_ARG sa, socklen_t len)
{
	uint32_t word = shmfd_fd_lookup(fd);
	int family = (int)(word & FAMILY_MASK), ret;

	if ((word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_STREAM && sa.__sockaddr__ &&
	    len >= sizeof(sa_family_t) && sa.__sockaddr__->sa_family == AF_UNSPEC) {
		struct shmfd_stream *s = shim_get(fd);

		if (s) {
			shmfd_stream_retreat(s, SHMFD_WHY_RECONNECT);
			shmfd_stream_put(s);
		}
	}
	ret = real.connect(fd, sa, len);
	if ((word & SHMFD_FD_KIND_MASK) != (uint32_t)SHMFD_FD_SOCKET || !family ||
	    (ret && errno != EINPROGRESS && errno != EINTR) || shim_is_vfork())
		return ret;
	if (len >= sizeof(sa_family_t) && sa.__sockaddr__->sa_family != AF_UNSPEC) {
		int saved = errno;

		shmfd_stream_adopt(fd, family, false, false);
		errno = saved;
	}
	return ret;
}

void shim_socket_registered(int fd)
{
	uint32_t word = shmfd_fd_lookup(fd);
	int listens = 0, saved = errno;
	socklen_t len = sizeof(listens);

	if ((word & SHMFD_FD_KIND_MASK) != (uint32_t)SHMFD_FD_SOCKET || !(word & FAMILY_MASK))
		return;
	if (!real.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && !listens)
		shmfd_stream_adopt(fd, (int)(word & FAMILY_MASK), false, false);
	errno = saved;
}

int __connect(int fd, __CONST_SOCKADDR_ARG sa, socklen_t len) __attribute__((alias("connect")));

/* The family of a listener that we did not see being made. */
static uint32_t learn(int fd)
{
	int family = 0, type = 0, protocol = 0;
	socklen_t len = sizeof(int);
	uint32_t word = SHMFD_FD_SOCKET;

	if (!real.getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) &&
	    !real.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) &&
	    !real.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	    is_eligible(family, type, protocol))
		word |= (uint32_t)family;
	shmfd_fd_set(fd, word);
	return word;
}

static int accepted(int listener, int fd)
{
	uint32_t word = shmfd_fd_lookup(listener);
	int saved = errno;

	if (fd < 0 || !load_acquire(&shim_active) || shim_is_vfork())
		return fd;
	shmfd_fd_forget(fd);
	if (word == (uint32_t)SHMFD_FD_NONE)
		word = learn(listener);
	if ((word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_STREAM) /* in a set before listen */
		word = SHMFD_FD_SOCKET | shmfd_table_record(word & SHMFD_FD_INDEX_MASK)->family;
	if ((word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_SOCKET && (word & FAMILY_MASK))
		shmfd_stream_adopt(fd, (int)(word & FAMILY_MASK), true, false);
	errno = saved;
	return fd;
}

int accept(int fd, __SOCKADDR_ARG sa, socklen_t *len)
{
	return accepted(fd, real.accept(fd, sa, len));
}

int accept4(int fd, __SOCKADDR_ARG sa, socklen_t *len, int flags)
{
	return accepted(fd, real.accept4(fd, sa, len, flags));
}

int shutdown(int fd, int how)
{
	struct shmfd_stream *s = shim_get(fd);
	int ret, saved;

	if (!s)
		return real.shutdown(fd, how);
	saved = errno;
	ret = shmfd_shutdown(s, how);
	errno = saved;
	if (ret == SHMFD_PASS)
		ret = (int)shim_outcome(real.shutdown(fd, how));
	return (int)shim_put(s, ret);
}
