/* SPDX-License-Identifier: MIT */

/*
 * recvmmsg and sendmmsg: message by message by the wrappers of one.
 */
#include "shim.h"

/* What is left until @until, as the kernel writes it back; false: nothing. */
static bool time_left(struct timespec *t, int64_t until)
{
	int64_t ns = until - shmfd_now_ns();

	*t = shmfd_timespec(ns < 0 ? 0 : ns);
	return ns > 0;
}

/* The order of linux/net/socket.c, do_recvmmsg(): an error of the socket is told
 * before the first message; behind a message it stays in the socket. */
int recvmmsg(int fd, struct mmsghdr *v, unsigned int nr, int flags, struct timespec *t)
{
	bool bad_time = t && (t->tv_sec < 0 || t->tv_nsec < 0 || t->tv_nsec >= 1000000000);
	int64_t until = t ? shmfd_now_ns() + t->tv_sec * 1000000000ll + t->tv_nsec : 0;
	struct shmfd_stream *s = shim_get(fd);
	int saved = errno;
	unsigned int i = 0;
	ssize_t ret = 0;

	if (!s)
		return real.recvmmsg(fd, v, nr, flags, t);
	if (bad_time || shmfd_is_bad_pointer(v, nr * sizeof(*v)))
		return (int)shim_put(s, shim_outcome(real.recvmmsg(fd, v, nr, flags, t)));
	if (!(flags & MSG_ERRQUEUE))
		ret = -shmfd_take_any_error(s, fd);
	errno = saved;
	while (!ret && i < nr && !(i && shmfd_error_is_next(s, fd))) {
		ssize_t n = shim_recvmsg(fd, &v[i].msg_hdr, (flags & ~MSG_WAITFORONE) |
				    (i && (flags & MSG_WAITFORONE) ? MSG_DONTWAIT : 0));

		if (n < 0)
			ret = i ? 0 : -errno;
		if (n < 0)
			break;
		v[i++].msg_len = (unsigned int)n;
		/* looked at between messages only (recvmmsg(2), BUGS) */
		if (t && !time_left(t, until))
			break;
	}
	if (i)
		errno = saved;
	return (int)shim_put(s, ret ? ret : (ssize_t)i);
}

int sendmmsg(int fd, struct mmsghdr *v, unsigned int nr, int flags)
{
	unsigned int i;

	if (!shim_get_is(fd) || shmfd_is_bad_pointer(v, nr * sizeof(*v))) {
		for (i = 0; !shmfd_is_bad_pointer(v, nr * sizeof(*v)) && i < nr; i++) {
			if (v[i].msg_hdr.msg_control && v[i].msg_hdr.msg_controllen)
				shim_before_passing(&v[i].msg_hdr);
		}
		return real.sendmmsg(fd, v, nr, flags);
	}
	for (i = 0; i < nr; i++) {
		ssize_t n = shim_sendmsg(fd, &v[i].msg_hdr, flags);

		if (n < 0)
			break;
		v[i].msg_len = (unsigned int)n;
		if ((size_t)n < shmfd_iov_total(v[i].msg_hdr.msg_iov, v[i].msg_hdr.msg_iovlen)) {
			i++;
			break;	/* later messages would overtake the rest */
		}
	}
	return i || !nr ? (int)i : -1;
}
