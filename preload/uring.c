/* SPDX-License-Identifier: MIT */

/*
 * io_uring_queue_init, io_uring_queue_init_params, io_uring_queue_init_mem and
 * io_uring_setup of liburing (2.3, src/arch/x86/syscall.h): its system calls are
 * instructions of its own, no names of libc's.  A ring of the kernel's reads,
 * writes and polls where we do not see it, so the streams of a process that gets
 * one go to the kernel, and stay.  Calls by number: syscall.c.
 */
#include "shim.h"

/* @ret of a call that makes a ring: below 0 there is none. */
static int made(int ret)
{
	if (ret >= 0)
		shim_streams_stay(SHMFD_WHY_URING);
	return ret;
}

#define REAL(name)	((__typeof__(name) *)shim_real_other("liburing.so.2", #name))

int io_uring_queue_init(unsigned int nr, struct io_uring *r, unsigned int flags)
{
	__typeof__(io_uring_queue_init) *f = REAL(io_uring_queue_init);

	return f ? made(f(nr, r, flags)) : -ENOSYS;
}

int io_uring_queue_init_params(unsigned int nr, struct io_uring *r, struct io_uring_params *p)
{
	__typeof__(io_uring_queue_init_params) *f = REAL(io_uring_queue_init_params);

	return f ? made(f(nr, r, p)) : -ENOSYS;
}

int io_uring_queue_init_mem(unsigned int nr, struct io_uring *r, struct io_uring_params *p,
			    void *buf, size_t len)
{
	__typeof__(io_uring_queue_init_mem) *f = REAL(io_uring_queue_init_mem);

	return f ? made(f(nr, r, p, buf, len)) : -ENOSYS;
}

int io_uring_setup(unsigned int nr, struct io_uring_params *p)
{
	__typeof__(io_uring_setup) *f = REAL(io_uring_setup);

	return f ? made(f(nr, p)) : -ENOSYS;
}
