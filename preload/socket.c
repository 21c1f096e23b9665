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

#include "../src/meet.h"
#include "../src/ready.h"

#define FAMILY_MASK	0xffu
#define PACKETS		0x100u	/* SOCK_SEQPACKET: listed, never moved */
#define COPIED		0x200u	/* may have other numbers */

/* The low bits of a number's word; 0: none of ours. */
static uint32_t kind_of(int family, int type, int protocol)
{
	type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (family == AF_UNIX && type == SOCK_SEQPACKET)
		return AF_UNIX | PACKETS;
	if (type != SOCK_STREAM)
		return 0;
	if (family == AF_UNIX || ((family == AF_INET || family == AF_INET6) &&
				  (protocol == 0 || protocol == IPPROTO_TCP)))
		return (uint32_t)family;
	return 0;
}

/* True if @fd, which the kernel has just handed out, is to be known; what was known of it is
 * forgotten.  A number that a vfork child makes, or has closed, is its parent's business. */
static bool is_new(int fd)
{
	if (fd < 0 || !load_acquire(&shim_active) || shim_is_vfork())
		return false;
	shmfd_fd_forget(fd);
	return true;
}

void shim_socket_copied(int fd, int new_fd)
{
	uint32_t word = shmfd_fd_lookup(fd) | COPIED;

	shmfd_fd_set(fd, word);
	shmfd_fd_set(new_fd, word);
}

/* What goes by the other numbers of a new stream has to be counted, too. */
static void adopt_copies(int fd)
{
	uint64_t cookie = shmfd_cookie(fd);
	uint32_t top = shmfd_fd_top();

	for (uint32_t n = 0; n <= top; n++) {
		uint32_t word = shmfd_fd_lookup((int)n);

		if ((word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_SOCKET && word & COPIED &&
		    shmfd_cookie((int)n) == cookie)
			shmfd_stream_dup(fd, (int)n);
	}
}

static void adopt(int fd, uint32_t word, bool accepted)
{
	struct shmfd_stream *s;

	shmfd_stream_adopt(fd, (int)(word & FAMILY_MASK), accepted, false);
	/* not later either: its bytes are not counted */
	if (!shmfd_fd_is(fd, SHMFD_FD_STREAM))
		shmfd_fd_set(fd, SHMFD_FD_SOCKET);
	else if (word & COPIED && !accepted)
		adopt_copies(fd);
	s = word & PACKETS ? shim_get(fd) : NULL;
	if (s) {
		shmfd_stream_retreat(s, SHMFD_WHY_PACKETS);
		shmfd_stream_put(s);
	}
	if (accepted && unlikely(shmfd_config.test_eager))
		shmfd_meet_all();
}

int socket(int family, int type, int protocol)
{
	int fd = real.socket(family, type, protocol);
	uint32_t kind = kind_of(family, type, protocol);

	if (is_new(fd) && kind)
		shmfd_fd_set(fd, SHMFD_FD_SOCKET | kind);
	return fd;
}

/* The kernel keeps it until its ends belong to two processes. */
int socketpair(int family, int type, int protocol, int fd[2])
{
	int ret = real.socketpair(family, type, protocol, fd);
	uint32_t kind = kind_of(family, type, protocol);

	if (!ret && is_new(fd[0]) && is_new(fd[1])) {
		if (kind == AF_UNIX)
			shmfd_stream_adopt_pair(fd, type & SOCK_NONBLOCK);
		for (int i = 0; kind & PACKETS && i < 2; i++)
			adopt(fd[i], kind, i == 1);
	}
	return ret;
}

int connect(int fd, __CONST_SOCKADDR_ARG sa, socklen_t len)
{
	uint32_t word = shmfd_fd_lookup(fd);
	int ret;

	if ((word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_STREAM &&
	    (int)len >= (int)sizeof(sa_family_t) &&	/* the kernel's length is signed */
	    !shmfd_is_bad_pointer(sa.__sockaddr__, sizeof(sa_family_t)) &&
	    sa.__sockaddr__->sa_family == AF_UNSPEC) {
		struct shmfd_stream *s = shim_get(fd);

		if (s) {
			shmfd_stream_retreat(s, SHMFD_WHY_RECONNECT);
			shmfd_stream_put(s);
		}
	}
	ret = real.connect(fd, sa, len);
	if ((word & SHMFD_FD_KIND_MASK) != (uint32_t)SHMFD_FD_SOCKET || !(word & FAMILY_MASK) ||
	    (ret && errno != EINPROGRESS && errno != EINTR))
		return ret;
	if (len >= sizeof(sa_family_t) && sa.__sockaddr__->sa_family != AF_UNSPEC) {
		int saved = errno;

		adopt(fd, word, false);
		errno = saved;
	}
	return ret;
}

void shim_socket_registered(int fd)
{
	uint32_t word = shmfd_fd_lookup(fd);
	int listens = 0, saved = errno;
	socklen_t len = sizeof(listens), none = 0;
	struct sockaddr unused;

	if ((word & SHMFD_FD_KIND_MASK) != (uint32_t)SHMFD_FD_SOCKET || !(word & FAMILY_MASK) ||
	    (word & PACKETS))
		return;
	if (!getpeername(fd, &unused, &none))	/* connected unseen: in use already */
		shmfd_fd_set(fd, SHMFD_FD_SOCKET);
	else if (!real.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && !listens)
		adopt(fd, word, false);
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
	    !real.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len))
		word |= kind_of(family, type, protocol);
	shmfd_fd_set(fd, word);
	return word;
}

static int accepted(int listener, int fd)
{
	uint32_t word = shmfd_fd_lookup(listener);
	int saved = errno;

	if (!is_new(fd))
		return fd;
	if (word == (uint32_t)SHMFD_FD_NONE)
		word = learn(listener);
	if ((word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_STREAM) /* in a set before listen */
		word = SHMFD_FD_SOCKET | shmfd_table_record(word & SHMFD_FD_INDEX_MASK)->family;
	if ((word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_SOCKET && (word & FAMILY_MASK))
		adopt(fd, word, true);
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
