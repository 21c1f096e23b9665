/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_SYS_H
#define SHMFD_SYS_H

/*
 * The seam: the only libc calls on descriptors that the core makes go through
 * this table.  In the preload library it holds the real functions behind our
 * own names; the command and the unit tests fill it with libc's or with fakes.
 * Filled once before any other thread runs, constant afterwards.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct mmsghdr;		/* of _GNU_SOURCE */

struct shmfd_sys {
	ssize_t (*read)(int fd, void *buf, size_t len);
	ssize_t (*write)(int fd, const void *buf, size_t len);
	ssize_t (*pread)(int fd, void *buf, size_t len, off_t off);
	ssize_t (*sendfile)(int out, int in, off_t *off, size_t len);
	ssize_t (*recv)(int fd, void *buf, size_t len, int flags);
	ssize_t (*send)(int fd, const void *buf, size_t len, int flags);
	ssize_t (*recvmsg)(int fd, struct msghdr *msg, int flags);
	ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);
	/* never waits */
	int (*recvmmsg_now)(int fd, struct mmsghdr *v, unsigned int nr);
	int (*socket)(int family, int type, int protocol);
	int (*socketpair)(int family, int type, int protocol, int ret[2]);
	int (*bind)(int fd, const struct sockaddr *sa, socklen_t len);
	int (*listen)(int fd, int backlog);
	int (*connect)(int fd, const struct sockaddr *sa, socklen_t len);
	int (*accept4)(int fd, struct sockaddr *sa, socklen_t *len, int flags);
	int (*shutdown)(int fd, int how);
	int (*getsockname)(int fd, struct sockaddr *sa, socklen_t *len);
	int (*getpeername)(int fd, struct sockaddr *sa, socklen_t *len);
	int (*getsockopt)(int fd, int level, int name, void *val, socklen_t *len);
	int (*setsockopt)(int fd, int level, int name, const void *val, socklen_t len);
	int (*fcntl)(int fd, int cmd, long arg);
	int (*ioctl)(int fd, unsigned long req, void *arg);
	int (*close)(int fd);
	int (*dup3)(int fd, int new_fd, int flags);
	int (*poll)(struct pollfd *p, nfds_t nr, int timeout_ms);
	int (*ppoll)(struct pollfd *p, nfds_t nr, const struct timespec *t,
		     const sigset_t *mask);
	int (*epoll_ctl)(int ep, int op, int fd, struct epoll_event *ev);
	int (*epoll_pwait)(int ep, struct epoll_event *ev, int nr, int timeout_ms,
			   const sigset_t *mask);
	int (*epoll_pwait2)(int ep, struct epoll_event *ev, int nr, const struct timespec *t,
			    const sigset_t *mask);
	int (*memfd_create)(const char *name, unsigned int flags);
	int (*ftruncate)(int fd, off_t len);
};

extern struct shmfd_sys shmfd_sys;

#endif
