/* SPDX-License-Identifier: MIT */

/*
 * Description: one call of each function that a program can write, as glibc's
 * headers turn it into symbols.  Nothing is called unless there is an argument:
 * the loader's bindings and the symbol table are what is looked at.  Compiled
 * with every level of _FORTIFY_SOURCE, with 64-bit names, as a program that is
 * position-independent and one that is not, and as an object for dlopen.
 *
 * Array sizes are known and lengths are not, so that fortified calls appear.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <aio.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

extern char **environ;

static char buf[64];
static char *args[] = { buf, NULL };
static long sum;

static int child(void *arg)
{
	return arg != NULL;
}

static void data_calls(int fd, size_t n)
{
	struct iovec iov = { buf, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr mm = { .msg_hdr = m };
	off_t off = 0;
	loff_t loff = 0;

	sum += read(fd, buf, n) + readv(fd, &iov, 1) + recv(fd, buf, n, 0);
	sum += recvfrom(fd, buf, n, 0, NULL, NULL) + recvmsg(fd, &m, 0);
	sum += recvmmsg(fd, &mm, 1, 0, NULL) + preadv2(fd, &iov, 1, -1, 0);
	sum += write(fd, buf, n) + writev(fd, &iov, 1) + send(fd, buf, n, 0);
	sum += sendto(fd, buf, n, 0, NULL, 0) + sendmsg(fd, &m, 0);
	sum += sendmmsg(fd, &mm, 1, 0) + pwritev2(fd, &iov, 1, -1, 0);
	sum += sendfile(fd, fd, &off, n) + splice(fd, &loff, fd, NULL, n, 0);
#ifdef __USE_LARGEFILE64
	off64_t off64 = 0;

	sum += sendfile64(fd, fd, &off64, n);
	sum += preadv64v2(fd, &iov, 1, -1, 0) + pwritev64v2(fd, &iov, 1, -1, 0);
#endif
}

static void formatted(int fd, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	sum += vdprintf(fd, fmt, ap);
	va_end(ap);
}

static void stream_calls(int fd, size_t n)
{
	FILE *f = fdopen(fd, "r");
	FILE *p = popen(buf, "r");

	sum += dprintf(fd, "%zu", n);
	formatted(fd, "%zu", n);
	f = freopen(buf, "r", f);
#ifdef __USE_LARGEFILE64
	f = freopen64(buf, "r", f);
#endif
	sum += fclose(f) + (p != NULL);
}

static void ready_calls(int fd, size_t n)
{
	struct pollfd p[4] = { { .fd = fd } };
	struct epoll_event ev[4] = { { 0 } };
	struct timespec t = { 0 };
	struct timeval tv = { 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	sum += poll(p, n, 0) + ppoll(p, n, &t, NULL);
	sum += select(fd + 1, &set, NULL, NULL, &tv) + pselect(fd + 1, &set, NULL, NULL, &t, NULL);
	sum += epoll_create(1) + epoll_create1(0) + epoll_ctl(fd, EPOLL_CTL_ADD, fd, ev);
	sum += epoll_wait(fd, ev, (int)n, 0) + epoll_pwait(fd, ev, (int)n, 0, NULL);
	sum += epoll_pwait2(fd, ev, (int)n, &t, NULL);
}

static void socket_calls(int fd)
{
	int pair[2] = { fd, fd }, one = 1;
	struct sockaddr sa = { 0 };
	socklen_t len = sizeof(sa);

	sum += socket(AF_UNIX, SOCK_STREAM, 0) + socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	sum += connect(fd, &sa, len) + accept(fd, &sa, &len) + accept4(fd, &sa, &len, 0);
	sum += shutdown(fd, SHUT_WR) + getsockopt(fd, SOL_SOCKET, SO_TYPE, &one, &len);
	sum += setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	sum += fcntl(fd, F_GETFL) + ioctl(fd, FIONREAD, &one);
#ifdef __USE_LARGEFILE64
	sum += fcntl64(fd, F_GETFL);
#endif
	sum += dup(fd) + dup2(fd, 9) + dup3(fd, 9, 0);
	sum += close_range(70, 80, 0) + syscall(SYS_close, fd) + close(fd);
	closefrom(1000);
}

static void process_calls(int fd)
{
	posix_spawn_file_actions_t actions;
	char stack[256];
	pid_t pid;

	sum += fork() + _Fork() + clone(child, stack + sizeof(stack), 0, NULL);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	sum += posix_spawn(&pid, buf, &actions, NULL, args, environ);
	sum += posix_spawnp(&pid, buf, &actions, NULL, args, environ);
	sum += system(buf) + execve(buf, args, environ) + execv(buf, args);
	sum += execvp(buf, args) + execvpe(buf, args, environ);
	sum += execl(buf, buf, (char *)NULL) + execlp(buf, buf, (char *)NULL);
	sum += execle(buf, buf, (char *)NULL, environ) + fexecve(fd, args, environ);
	sum += execveat(fd, buf, args, environ, 0);
	if (fd > 1)
		_exit(1);
	_Exit(1);
}

static void aio_calls(int fd, size_t n)
{
	struct aiocb a = { .aio_fildes = fd, .aio_buf = buf, .aio_nbytes = n };
	struct aiocb *list[] = { &a };

	sum += aio_read(&a) + aio_write(&a) + lio_listio(LIO_NOWAIT, list, 1, NULL);
#ifdef __USE_LARGEFILE64
	struct aiocb64 a64 = { .aio_fildes = fd, .aio_buf = buf, .aio_nbytes = n };
	struct aiocb64 *list64[] = { &a64 };

	sum += aio_read64(&a64) + aio_write64(&a64) + lio_listio64(LIO_NOWAIT, list64, 1, NULL);
#endif
}

int all_calls(int fd, size_t n);
int all_calls(int fd, size_t n)
{
	data_calls(fd, n);
	stream_calls(fd, n);
	ready_calls(fd, n);
	socket_calls(fd);
	aio_calls(fd, n);
	process_calls(fd);
	return (int)sum;
}

#ifndef NO_MAIN
int main(int argc, char **argv)
{
	(void)argv;
	return argc > 1 ? all_calls(argc, (size_t)argc) : 0;
}
#endif
