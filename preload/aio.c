/* SPDX-License-Identifier: MIT */

/*
 * aio_read, aio_write, lio_listio and their 64 twins: a helper thread of libc
 * does the I/O unseen, so the stream retreats first.  io_submit of libaio, whose
 * system calls are its own instructions: the kernel reads, writes or polls.
 */
#include "shim.h"

#include "../src/handover.h"

static void retreat_fd(int fd)
{
	if (shim_get_is(fd))
		shmfd_hand_over(fd, SHMFD_WHY_ASYNC, false);
}

int aio_read(struct aiocb *cb)
{
	retreat_fd(cb->aio_fildes);
	return real.aio_read(cb);
}

int aio_read64(struct aiocb64 *cb)
{
	retreat_fd(cb->aio_fildes);
	return real.aio_read64(cb);
}

int aio_write(struct aiocb *cb)
{
	retreat_fd(cb->aio_fildes);
	return real.aio_write(cb);
}

int aio_write64(struct aiocb64 *cb)
{
	retreat_fd(cb->aio_fildes);
	return real.aio_write64(cb);
}

int lio_listio(int mode, struct aiocb *const list[], int nr, struct sigevent *sig)
{
	for (int i = 0; i < nr; i++) {
		if (list[i])
			retreat_fd(list[i]->aio_fildes);
	}
	return real.lio_listio(mode, list, nr, sig);
}

int lio_listio64(int mode, struct aiocb64 *const list[], int nr, struct sigevent *sig)
{
	for (int i = 0; i < nr; i++) {
		if (list[i])
			retreat_fd(list[i]->aio_fildes);
	}
	return real.lio_listio64(mode, list, nr, sig);
}

void shim_before_io_submit(long nr, struct iocb *const *list)
{
	if (!shmfd_fd_top() || shmfd_is_bad_pointer(list, sizeof(*list)))
		return;
	for (long i = 0; i < nr; i++) {
		if (shmfd_is_bad_pointer(list[i], sizeof(*list[i])))
			return;
		retreat_fd((int)list[i]->aio_fildes);
	}
}

int io_submit(aio_context_t ctx, long nr, struct iocb **list)
{
	__typeof__(io_submit) *f =
		(__typeof__(io_submit) *)shim_real_other("libaio.so.1", "io_submit");

	shim_before_io_submit(nr, list);
	return f ? f(ctx, nr, list) : -ENOSYS;
}
