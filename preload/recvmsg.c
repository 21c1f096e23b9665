/* SPDX-License-Identifier: MIT */

/*
 * recvmsg, recvfrom and its twin __recvfrom_chk: receives that also tell a name.  Ours:
 * streams.
 *
 * The kernel writes a name after the bytes were taken (linux/net/socket.c, __sys_recvfrom()
 * and ____sys_recvmsg()), so a place where it cannot be written costs the bytes.  The core is
 * given a place of ours and the host's is written at the end, in that order.
 */
#include "shim.h"

#include "../src/pin.h"

#include <string.h>

bool shim_is_bad_name(const void *name, socklen_t len)
{
	if (!name || !len)
		return false;
	if (len > sizeof(struct sockaddr_storage))
		len = (int)len < 0 ? 0 : sizeof(struct sockaddr_storage);
	return !len || shmfd_is_bad_pointer(name, len);
}

/* @len bytes of @name to the host's @to, which has *@to_len.  0, or -errno. */
static int tell_name(const struct sockaddr_storage *name, socklen_t len, void *to,
		     socklen_t *to_len)
{
	socklen_t room;

	if (shmfd_is_bad_pointer(to_len, sizeof(*to_len)))
		return -EFAULT;
	room = *to_len;
	if ((int)room < 0)
		return -EINVAL;
	if (room > len)
		room = len;
	if (room && shmfd_is_bad_pointer(to, room))
		return -EFAULT;
	memcpy(to, name, room);
	*to_len = len;
	return 0;
}

static ssize_t receive_msg(struct shmfd_stream *s, int fd, struct msghdr *msg, int flags)
{
	struct sockaddr_storage name;
	struct msghdr m;
	ssize_t n;
	int bad;

	if (shmfd_is_bad_pointer(msg, sizeof(*msg)))
		return -EFAULT;
	if (likely(!msg->msg_name))
		return shim_receive(s, fd, msg, flags, false);
	if ((int)msg->msg_namelen < 0)
		return -EINVAL;
	m = *msg;
	m.msg_name = &name;
	m.msg_namelen = sizeof(name);
	n = shim_receive(s, fd, &m, flags, false);
	if (n < 0)
		return n;
	bad = tell_name(&name, m.msg_namelen, msg->msg_name, &msg->msg_namelen);
	if (bad)
		return bad;
	msg->msg_flags = m.msg_flags;
	msg->msg_controllen = m.msg_controllen;
	return n;
}

SHIM_LONG ssize_t shim_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct shmfd_stream *s = shim_get(fd);
	ssize_t ret;
	bool again;

	if (!s)
		return real.recvmsg(fd, msg, flags);
	do {
		again = false;
		ret = receive_msg(s, fd, msg, flags);
		if (ret == SHMFD_PASS) {
			ret = shim_outcome(real.recvmsg(fd, msg, flags));
			again = shim_recv_end(s, fd, ret, flags);
		}
	} while (unlikely(again));
	return shim_put(s, ret);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (shim_passes(fd))
		return shim_real_table.recvmsg(fd, msg, flags);
	return shim_recvmsg(fd, msg, flags);
}

static SHIM_LONG ssize_t recvfrom_stream(int fd, void *buf, size_t len, int flags,
					 __SOCKADDR_ARG sa, socklen_t *sa_len)
{
	struct shmfd_stream *s = shim_get(fd);
	struct sockaddr *to = sa.__sockaddr__;
	struct iovec v = { .iov_base = buf, .iov_len = shim_length(len) };
	struct sockaddr_storage name;
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1,
		.msg_name = to ? &name : NULL, .msg_namelen = to ? sizeof(name) : 0,
	};
	ssize_t ret;
	bool again;
	int bad;

	if (!s)
		return real.recvfrom(fd, buf, len, flags, sa, sa_len);
	do {
		again = false;
		ret = shim_receive(s, fd, &m, flags, false);
		if (ret == SHMFD_PASS) {
			ret = shim_outcome(real.recvfrom(fd, buf, len, flags, sa, sa_len));
			again = shim_recv_end(s, fd, ret, flags);
		} else if (ret >= 0 && to) {
			bad = tell_name(&name, m.msg_namelen, to, sa_len);
			ret = bad ? bad : ret;
		}
	} while (unlikely(again));
	return shim_put(s, ret);
}

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, __SOCKADDR_ARG sa, socklen_t *sa_len)
{
	if (shim_passes(fd))
		return shim_real_table.recvfrom(fd, buf, len, flags, sa, sa_len);
	return recvfrom_stream(fd, buf, len, flags, sa, sa_len);
}

ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags,
		       struct sockaddr *sa, socklen_t *sa_len)
{
	if (len > room || !shim_get_is(fd))
		return real.__recvfrom_chk(fd, buf, len, room, flags, sa, sa_len);
	return recvfrom(fd, buf, len, flags, sa, sa_len);
}
