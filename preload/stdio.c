/* SPDX-License-Identifier: MIT */

/*
 * dprintf, vdprintf, __dprintf_chk, __vdprintf_chk, fdopen (_IO_fdopen),
 * fclose, freopen, freopen64.
 *
 * stdio reads and writes inside libc, where we do not see it.  A stream that
 * reaches it retreats first and stays with the kernel.
 */
#include "shim.h"

#include "../src/handover.h"

static void retreat_fd(int fd)
{
	if (shim_get_is(fd))
		shmfd_hand_over(fd, SHMFD_WHY_FDOPEN, false);
}

int vdprintf(int fd, const char *fmt, va_list ap)
{
	retreat_fd(fd);
	return real.vdprintf(fd, fmt, ap);
}

int dprintf(int fd, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = vdprintf(fd, fmt, ap);
	va_end(ap);
	return ret;
}

int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap)
{
	retreat_fd(fd);
	return real.__vdprintf_chk(fd, flag, fmt, ap);
}

int __dprintf_chk(int fd, int flag, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = __vdprintf_chk(fd, flag, fmt, ap);
	va_end(ap);
	return ret;
}

FILE *fdopen(int fd, const char *mode)
{
	retreat_fd(fd);
	return real.fdopen(fd, mode);
}

FILE *_IO_fdopen(int fd, const char *mode) __attribute__((alias("fdopen")));

/* The number is closed inside libc: forget it first. */
static void forget(FILE *f)
{
	int saved = errno, fd = f ? fileno(f) : -1;

	errno = saved;
	if (fd < 0 || shim_is_vfork())
		return;
	if (shim_get_is(fd)) {
		fflush(f);
		shmfd_stream_close(fd, NULL);
	} else if (shmfd_fd_is(fd, SHMFD_FD_SOCKET)) {
		shmfd_fd_set(fd, SHMFD_FD_NONE);
	}
}

int fclose(FILE *f)
{
	forget(f);
	return real.fclose(f);
}

int _IO_fclose(FILE *f) __attribute__((alias("fclose")));

FILE *freopen(const char *path, const char *mode, FILE *f)
{
	forget(f);
	return real.freopen(path, mode, f);
}

FILE *freopen64(const char *path, const char *mode, FILE *f)
{
	forget(f);
	return real.freopen64(path, mode, f);
}
