/* SPDX-License-Identifier: MIT */

/*
 * syscall: the calls of the families we cover, made by number (Node closes its
 * sockets so), go to the same wrappers.  io_uring_setup is answered ENOSYS: a
 * ring of the kernel's would move bytes behind our back, and its users fall
 * back (libuv, src/unix/linux.c).
 */
#include "shim.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#define P(n)	((void *)a[n])
#define I(n)	((int)a[n])
#define U(n)	((unsigned int)a[n])
#define Z(n)	((size_t)a[n])

/* The data calls.  *ret_known: it was one of them. */
static long data_call(long nr, const long *a, bool *ret_known)
{
	*ret_known = true;
	switch (nr) {
	case SYS_read: return read(I(0), P(1), Z(2));
	case SYS_write: return write(I(0), P(1), Z(2));
	case SYS_readv: return readv(I(0), P(1), I(2));
	case SYS_writev: return writev(I(0), P(1), I(2));
	case SYS_recvfrom:
		return recvfrom(I(0), P(1), Z(2), I(3), (struct sockaddr *)P(4), P(5));
	case SYS_sendto:
		return sendto(I(0), P(1), Z(2), I(3), (struct sockaddr *)P(4), U(5));
	case SYS_recvmsg: return recvmsg(I(0), P(1), I(2));
	case SYS_sendmsg: return sendmsg(I(0), P(1), I(2));
	case SYS_recvmmsg: return recvmmsg(I(0), P(1), U(2), I(3), P(4));
	case SYS_sendmmsg: return sendmmsg(I(0), P(1), U(2), I(3));
	case SYS_preadv2: return preadv2(I(0), P(1), I(2), a[3], I(5));
	case SYS_pwritev2: return pwritev2(I(0), P(1), I(2), a[3], I(5));
	case SYS_sendfile: return sendfile(I(0), I(1), P(2), Z(3));
	case SYS_splice: return splice(I(0), P(1), I(2), P(3), Z(4), U(5));
	default:
		*ret_known = false;
		return 0;
	}
}

static long fd_call(long nr, const long *a, bool *ret_known)
{
	*ret_known = true;
	switch (nr) {
	case SYS_close: return close(I(0));
	case SYS_close_range: return close_range(U(0), U(1), I(2));
	case SYS_dup: return dup(I(0));
#ifdef SYS_dup2
	case SYS_dup2: return dup2(I(0), I(1));
#endif
	case SYS_dup3: return dup3(I(0), I(1), I(2));
	case SYS_fcntl: return fcntl(I(0), I(1), a[2]);
	case SYS_ioctl: return ioctl(I(0), (unsigned long)a[1], P(2));
	case SYS_socket: return socket(I(0), I(1), I(2));
	case SYS_connect: return connect(I(0), (struct sockaddr *)P(1), U(2));
	case SYS_accept: return accept(I(0), (struct sockaddr *)P(1), P(2));
	case SYS_accept4: return accept4(I(0), (struct sockaddr *)P(1), P(2), I(3));
	case SYS_shutdown: return shutdown(I(0), I(1));
	case SYS_getsockopt: return getsockopt(I(0), I(1), I(2), P(3), P(4));
	case SYS_setsockopt: return setsockopt(I(0), I(1), I(2), P(3), U(4));
#ifdef SYS_epoll_create
	case SYS_epoll_create: return epoll_create(I(0));
#endif
	case SYS_epoll_create1: return epoll_create1(I(0));
	case SYS_epoll_ctl: return epoll_ctl(I(0), I(1), I(2), P(3));
	case SYS_execve:
	case SYS_execveat:
		shim_before_exec();
		*ret_known = false;
		return 0;
	case SYS_prctl:
		return prctl(I(0), a[1], a[2], a[3], a[4]);
	case SYS_seccomp:
		if (a[0] == SECCOMP_SET_MODE_STRICT ||
		    (a[0] == SECCOMP_SET_MODE_FILTER && a[2]))
			shim_before_sandbox();
		*ret_known = false;
		return 0;
	case SYS_io_submit:
		shim_before_io_submit(a[1], P(2));
		*ret_known = false;
		return 0;
	case SYS_io_uring_setup:
		errno = ENOSYS;
		return -1;
	case SYS_clone:
	case SYS_clone3:	/* its flags are in memory: any */
	case SYS_vfork:
		shim_note_clone(nr == SYS_clone ? (unsigned long)a[0] : CLONE_VM);
		*ret_known = false;
		return 0;
	default:
		*ret_known = false;
		return 0;
	}
}

/* A kernel sigset has 8 bytes, the start of glibc's. */
static const sigset_t *mask_of(const void *from, sigset_t *room)
{
	if (!from)
		return NULL;
	sigemptyset(room);
	__builtin_memcpy(room, from, 8);
	return room;
}

/* When the time in @t is over.  No clock where there is none: seccomp's strict mode
 * takes it away (prctl(2), PR_SET_TSC). */
static int64_t end_of(const struct timespec *t)
{
	return t ? shmfd_now_ns() + shim_to_ns(t) : 0;
}

/* @rest, a timespec or a timeval, to @t: nothing where the program may not write, as
 * the kernel has it (linux/fs/select.c).  Asked of a call that writes as many bytes,
 * which a sandbox may not allow. */
static void put_rest(void *t, const void *rest)
{
	int saved = errno;

	if (shim_sandboxed || !real.syscall(SYS_clock_getres, CLOCK_MONOTONIC, t))
		__builtin_memcpy(t, rest, sizeof(struct timespec));
	errno = saved;
}

/* The kernel leaves the rest of the time in @t; libc's functions hide that (select(2)). */
static int leave_rest(struct timespec *t, int64_t end_ns, int ret)
{
	struct timespec rest;
	int64_t left;

	if (!t || (ret < 0 && errno != EINTR) || (!t->tv_sec && !t->tv_nsec))
		return ret;
	left = end_ns - shmfd_now_ns();
	if (left < 0)
		left = 0;
	rest = (struct timespec){ left / 1000000000, left % 1000000000 };
	put_rest(t, &rest);
	return ret;
}

/* libc's function writes to the time itself, whether it may or not. */
static int select_call(const long *a)
{
	struct timeval *t = P(4), rest;
	int ret;

	if (!t)
		return select(I(0), P(1), P(2), P(3), NULL);
	rest = *t;
	ret = select(I(0), P(1), P(2), P(3), &rest);
	if (t->tv_sec || t->tv_usec)
		put_rest(t, &rest);
	return ret;
}

/* The calls that wait. */
static long ready_call(long nr, const long *a, bool *ret_known)
{
	sigset_t mask;
	int64_t end_ns;

	*ret_known = shmfd_fd_top() > 0;
	if (!*ret_known)	/* no stream on any number: the kernel knows it all */
		return 0;
	switch (nr) {
#ifdef SYS_poll
	case SYS_poll: return poll(P(0), (nfds_t)a[1], I(2));
#endif
#ifdef SYS_select
	case SYS_select: return select_call(a);
#endif
#ifdef SYS_epoll_wait
	case SYS_epoll_wait: return epoll_wait(I(0), P(1), I(2), I(3));
#endif
	case SYS_epoll_pwait:
		return epoll_pwait(I(0), P(1), I(2), I(3), mask_of(P(4), &mask));
	case SYS_epoll_pwait2:
		return epoll_pwait2(I(0), P(1), I(2), P(3), mask_of(P(4), &mask));
	case SYS_ppoll:
		end_ns = end_of(P(2));
		return leave_rest(P(2), end_ns,
				  ppoll(P(0), (nfds_t)a[1], P(2), mask_of(P(3), &mask)));
	case SYS_pselect6:	/* the last one: the mask and its length */
		end_ns = end_of(P(4));
		return leave_rest(P(4), end_ns,
				  pselect(I(0), P(1), P(2), P(3), P(4),
					  mask_of(a[5] ? *(void **)P(5) : NULL, &mask)));
	default:
		*ret_known = false;
		return 0;
	}
}

/* libc's functions are cancellation points, syscall() is none, but that a thread may be
 * cancelled anywhere if it asked for that.  True: to be allowed again. */
static bool hold_cancel(void)
{
	int type, state;

	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
	if (type == PTHREAD_CANCEL_ASYNCHRONOUS) {
		pthread_setcanceltype(type, NULL);
		return false;
	}
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return state == PTHREAD_CANCEL_ENABLE;
}

long syscall(long nr, ...)
{
	bool known, held;
	long a[6], ret;
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (load_acquire(&shim_active)) {
		/* not for each futex of a program's own locks */
		held = nr != SYS_futex && !__libc_single_threaded && shmfd_fd_top() &&
			hold_cancel();
		ret = data_call(nr, a, &known);
		if (!known)
			ret = fd_call(nr, a, &known);
		if (!known)
			ret = ready_call(nr, a, &known);
		if (held)
			pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		if (known)
			return ret;
	}
	return real.syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
