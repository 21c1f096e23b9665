/* SPDX-License-Identifier: MIT */

/*
 * The seam of sys.h for the command: libc's own functions.  Wrappers stand
 * where libc's declaration has another type: a variable argument list, or with
 * _GNU_SOURCE a transparent union in place of struct sockaddr *.
 */
#define _GNU_SOURCE
#include "sys.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int sys_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	return bind(fd, sa, len);
}

static int sys_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	return connect(fd, sa, len);
}

static int sys_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	return accept4(fd, sa, len, flags);
}

static int sys_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getsockname(fd, sa, len);
}

static int sys_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getpeername(fd, sa, len);
}

static int sys_fcntl(int fd, int cmd, long arg)
{
	return fcntl(fd, cmd, arg);
}

static int sys_recvmmsg_now(int fd, struct mmsghdr *v, unsigned int nr)
{
	return recvmmsg(fd, v, nr, MSG_DONTWAIT, NULL);
}

static int sys_ioctl(int fd, unsigned long req, void *arg)
{
	return ioctl(fd, req, arg);
}

struct shmfd_sys shmfd_sys = {
	.read		= read,
	.write		= write,
	.pread		= pread,
	.recv		= recv,
	.send		= send,
	.recvmsg	= recvmsg,
	.sendmsg	= sendmsg,
	.recvmmsg_now	= sys_recvmmsg_now,
	.socket		= socket,
	.socketpair	= socketpair,
	.bind		= sys_bind,
	.listen		= listen,
	.connect	= sys_connect,
	.accept4	= sys_accept4,
	.shutdown	= shutdown,
	.getsockname	= sys_getsockname,
	.getpeername	= sys_getpeername,
	.getsockopt	= getsockopt,
	.setsockopt	= setsockopt,
	.fcntl		= sys_fcntl,
	.ioctl		= sys_ioctl,
	.close		= close,
	.dup3		= dup3,
	.poll		= poll,
	.ppoll		= ppoll,
	.epoll_ctl	= epoll_ctl,
	.epoll_pwait	= epoll_pwait,
	.epoll_pwait2	= epoll_pwait2,
	.memfd_create	= memfd_create,
	.ftruncate	= ftruncate,
};
