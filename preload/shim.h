/* SPDX-License-Identifier: MIT */
#ifndef SHIM_H
#define SHIM_H

/*
 * What every wrapper uses.
 *
 * Rules of this directory:
 *  - a wrapper decodes its arguments, asks the core, or makes the real call;
 *    no policy, no sleeping, no allocation
 *  - a call that is not ours leaves errno exactly as libc left it
 *  - it may run before our constructor, in a signal handler, and in a vfork
 *    child on its parent's memory: calls that change numbers ask shim_is_vfork
 *  - the twins (_chk, 64, v, mmsg) use the same core function
 *
 * Life of one call:  shim_get (one array look-up; NULL: not ours) -> core
 * (bytes, -errno, or SHMFD_PASS) -> real call and its accounting, if PASS ->
 * shim_put (errno, SIGPIPE).  Most take a short way through the core, early.h or
 * quick.h; each of these is tried first.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../src/early.h"
#include "../src/fdmap.h"
#include "../src/stream.h"

/* glibc's, without a public prototype */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags,
		       struct sockaddr *sa, socklen_t *sa_len);
int __poll_chk(struct pollfd *p, nfds_t nr, int timeout, size_t room);
int __ppoll_chk(struct pollfd *p, nfds_t nr, const struct timespec *t,
		const sigset_t *mask, size_t room);
int __dprintf_chk(int fd, int flag, const char *fmt, ...);
int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap);
pid_t _Fork(void);
FILE *_IO_fdopen(int fd, const char *mode);
FILE *_IO_popen(const char *command, const char *type);
int _IO_fclose(FILE *f);
_Noreturn void __longjmp_chk(struct __jmp_buf_tag env[1], int val);

/* liburing's, whose headers need not be there */
struct io_uring;
struct io_uring_params;
int io_uring_queue_init(unsigned int nr, struct io_uring *r, unsigned int flags);
int io_uring_queue_init_params(unsigned int nr, struct io_uring *r, struct io_uring_params *p);
int io_uring_queue_init_mem(unsigned int nr, struct io_uring *r, struct io_uring_params *p,
			    void *buf, size_t len);
int io_uring_setup(unsigned int nr, struct io_uring_params *p);

/* libaio's; also before the system call by number */
int io_submit(aio_context_t ctx, long nr, struct iocb **list);
void shim_before_io_submit(long nr, struct iocb *const *list);

/* The real functions, one pointer per CALL of calls.def. */
struct shim_real {
#define CALL(name)		__typeof__(name) *name;
#define OTHER(name)
#define ALIAS(name, of)
#include "calls.def"
#undef CALL
#undef ALIAS
#undef OTHER
	uint32_t ready;
};
extern struct shim_real shim_real_table;

/* Fills the core's table of system calls (src/sys.h) from them. */
void shim_fill_sys(void);

/* Looks all of them up; once, in the constructor or at the first call. */
void shim_real_resolve(void);
/* What another library, of this @file name, has under @name; may be NULL. */
void *shim_real_other(const char *file, const char *name);

static inline struct shim_real *shim_real(void)
{
	if (unlikely(!shim_real_table.ready))
		shim_real_resolve();
	return &shim_real_table;
}
#define real (*shim_real())

/* 1 once the start-up succeeded; 0: everything passes through. */
extern _Atomic uint32_t shim_active;

/* The stream behind @fd, to be given back by a put; NULL: not ours. */
static inline struct shmfd_stream *shim_get(int fd)
{
	return shmfd_stream_get(fd);
}

/*
 * True if a call that moves bytes by @fd is not ours: nothing is known of the number, or
 * its stream is the kernel's for good.  Asked first, so that such a call costs a look at
 * one word; the rest is in functions of its own (SHIM_LONG).  False before the start-up.
 */
static inline bool shim_passes(int fd)
{
	return likely(shim_real_table.ready) &&
		((shmfd_fd_lookup(fd) ^ SHMFD_FD_STREAM) & (SHMFD_FD_KIND_MASK | SHMFD_FD_PLAIN));
}
#define SHIM_LONG __attribute__((noinline))

/* What the kernel makes of the length of one buffer (linux/fs/read_write.c, MAX_RW_COUNT);
 * read(2) and write(2) refuse one beyond SSIZE_MAX before. */
static inline size_t shim_length(size_t len)
{
	return len < 0x7ffff000 ? len : 0x7ffff000;
}

/* True if @fd is a stream now. */
static inline bool shim_get_is(int fd)
{
	return shmfd_fd_is(fd, SHMFD_FD_STREAM);
}

/* Core's -errno or value to libc's convention. */
static inline ssize_t shim_result(ssize_t ret)
{
	if (unlikely(ret < 0)) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

static inline ssize_t shim_put(struct shmfd_stream *s, ssize_t ret)
{
	shmfd_stream_put(s);
	return shim_result(ret);
}

/* For sends: EPIPE raises SIGPIPE in this thread unless @nosignal. */
ssize_t shim_put_send(struct shmfd_stream *s, ssize_t ret, int flags);

/* Accounting after a real call: errno stays what that call left.  True: the
 * receive has to begin again. */
static inline bool shim_recv_end(struct shmfd_stream *s, int fd, ssize_t n, int flags)
{
	bool again;
	int saved;

	if (likely(shmfd_recv_early_end(s, fd, n, flags)))
		return false;
	saved = errno;
	again = shmfd_recv_end(s, fd, n, flags);
	errno = saved;
	return again;
}

/* errno of the real call as a core result: n, or -errno. */
static inline ssize_t shim_outcome(ssize_t n)
{
	return n < 0 ? -errno : n;
}

/* A receive of any kind (read.c).  Bytes, -errno or SHMFD_PASS. */
ssize_t shim_receive(struct shmfd_stream *s, int fd, struct msghdr *m, int flags, bool is_read);
/* True for a name that the kernel refuses before it looks at the bytes to be sent, with
 * EINVAL (a length below zero) or EFAULT (recvmsg.c). */
bool shim_is_bad_name(const void *name, socklen_t len);
/* recvmsg and sendmsg, for what is made of them (mmsg.c): errno, -1. */
ssize_t shim_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t shim_sendmsg(int fd, const struct msghdr *msg, int flags);
/* Streams among the descriptors of @msg go back to the kernel first (write.c). */
void shim_before_passing(const struct msghdr *msg);

/* True in a vfork child: a different process on this memory (vfork.c). */
bool shim_is_vfork(void);
/* Before a process is made with these flags of clone(2). */
void shim_note_clone(unsigned long flags);
/* Those that were made are over; the question is not asked before the next one. */
void shim_forget_clones(void);
/* In a seccomp sandbox: no system calls of our own but the host's kinds. */
extern bool shim_sandboxed;

/* True if the core has something to say about these numbers (poll.c). */
bool shim_poll_concerns_us(const struct pollfd *p, nfds_t nr);
/* ns, -1 without @t (poll.c). */
int64_t shim_to_ns(const struct timespec *t);
/* Entries that need no memory of their own. */
#define SHIM_STACK_FDS	64

/* One call in SHMFD_TEST_RETREAT lets its stream retreat. */
void shim_test_retreat_slow(struct shmfd_stream *s);
extern uint32_t shim_test_retreat_every;
static inline void shim_test_retreat(struct shmfd_stream *s)
{
	if (unlikely(shim_test_retreat_every))
		shim_test_retreat_slow(s);
}

/* Code whose calls we do not see is there: all streams go to the kernel, and stay. */
void shim_streams_stay(enum shmfd_reason why);
/* The process is about to limit its system calls (seccomp(2)): its streams go back
 * to the kernel while that is allowed, and no new one comes to us. */
void shim_before_sandbox(void);
/* Writes the line of SHMFD_STATS, once. */
void shim_summary(void);
/* Streams that an exec would hand on go back to the kernel. */
void shim_before_exec(void);

/* A socket that is not connected yet is added to an epoll set (nginx does so
 * with its upstreams): it becomes a stream now, to remember the registration. */
void shim_socket_registered(int fd);
/* The unconnected socket @fd has got the number @new_fd, too. */
void shim_socket_copied(int fd, int new_fd);

#endif
