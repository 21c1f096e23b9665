/* SPDX-License-Identifier: MIT */

/*
 * The core's table of system calls (src/sys.h).  A call of the core that does not
 * sleep is not libc's function: that would be a cancellation point in the middle of
 * what the host's call has begun, under a lock, or in calls of the host that are none.
 */
#include "shim.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../src/sys.h"

struct shmfd_sys shmfd_sys;

static ssize_t sys_read(int fd, void *buf, size_t len)
{
	return real.syscall(SYS_read, fd, buf, len);
}

static ssize_t sys_write(int fd, const void *buf, size_t len)
{
	return real.syscall(SYS_write, fd, buf, len);
}

static ssize_t sys_pread(int fd, void *buf, size_t len, off_t off)
{
	return real.syscall(SYS_pread64, fd, buf, len, off);
}

static ssize_t sys_recv(int fd, void *buf, size_t len, int flags)
{
	if (!(flags & MSG_DONTWAIT))
		return real.recv(fd, buf, len, flags);
	return real.syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

static ssize_t sys_send(int fd, const void *buf, size_t len, int flags)
{
	return real.syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

static ssize_t sys_recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (!(flags & MSG_DONTWAIT))
		return real.recvmsg(fd, msg, flags);
	return real.syscall(SYS_recvmsg, fd, msg, flags);
}

static ssize_t sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (!(flags & MSG_DONTWAIT))
		return real.sendmsg(fd, msg, flags);
	return real.syscall(SYS_sendmsg, fd, msg, flags);
}

static int sys_recvmmsg_now(int fd, struct mmsghdr *v, unsigned int nr)
{
	return (int)real.syscall(SYS_recvmmsg, fd, v, nr, MSG_DONTWAIT, NULL);
}

static int sys_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	return (int)real.syscall(SYS_connect, fd, sa, len);
}

static int sys_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	return (int)real.syscall(SYS_accept4, fd, sa, len, flags);
}

static int sys_fcntl(int fd, int cmd, long arg)
{
	return real.fcntl(fd, cmd, arg);
}

static int sys_ioctl(int fd, unsigned long req, void *arg)
{
	return real.ioctl(fd, req, arg);
}

static int sys_close(int fd)
{
	return (int)real.syscall(SYS_close, fd);
}

/* Of several milliseconds at the most, but for those of the host's own calls. */
static int sys_poll(struct pollfd *p, nfds_t nr, int timeout_ms)
{
	if (timeout_ms < 0)
		return real.poll(p, nr, timeout_ms);
	return (int)real.syscall(SYS_poll, p, nr, timeout_ms);
}

static int sys_ppoll(struct pollfd *p, nfds_t nr, const struct timespec *t,
		     const sigset_t *mask)
{
	struct timespec now = { 0 };

	if (!t || t->tv_sec || t->tv_nsec)
		return real.ppoll(p, nr, t, mask);
	return (int)real.syscall(SYS_ppoll, p, nr, &now, mask, _NSIG / 8);
}

static int sys_epoll_pwait(int ep, struct epoll_event *ev, int nr, int timeout_ms,
			   const sigset_t *mask)
{
	if (timeout_ms)
		return mask ? real.epoll_pwait(ep, ev, nr, timeout_ms, mask) :
			real.epoll_wait(ep, ev, nr, timeout_ms);
	return (int)real.syscall(SYS_epoll_pwait, ep, ev, nr, 0, mask, _NSIG / 8);
}

static int sys_epoll_pwait2(int ep, struct epoll_event *ev, int nr, const struct timespec *t,
			    const sigset_t *mask)
{
	struct timespec now = { 0 };

	if (!t || t->tv_sec || t->tv_nsec)
		return real.epoll_pwait2(ep, ev, nr, t, mask);
	return (int)real.syscall(SYS_epoll_pwait2, ep, ev, nr, &now, mask, _NSIG / 8);
}

void shim_fill_sys(void)
{
	shmfd_sys = (struct shmfd_sys){
		.read = sys_read, .write = sys_write, .pread = sys_pread,
		.sendfile = real.sendfile, .recv = sys_recv, .send = sys_send,
		.recvmsg = sys_recvmsg, .sendmsg = sys_sendmsg,
		.recvmmsg_now = sys_recvmmsg_now,
		.socket = real.socket, .socketpair = real.socketpair,
		.bind = bind, .listen = listen,
		.connect = sys_connect, .accept4 = sys_accept4,
		.shutdown = real.shutdown,
		.getsockname = getsockname, .getpeername = getpeername,
		.getsockopt = real.getsockopt, .setsockopt = real.setsockopt,
		.fcntl = sys_fcntl, .ioctl = sys_ioctl,
		.close = sys_close, .dup3 = real.dup3,
		.poll = sys_poll, .ppoll = sys_ppoll,
		.epoll_ctl = real.epoll_ctl, .epoll_pwait = sys_epoll_pwait,
		.epoll_pwait2 = sys_epoll_pwait2,
		.memfd_create = memfd_create, .ftruncate = ftruncate,
	};
}
