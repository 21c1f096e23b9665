/* SPDX-License-Identifier: MIT */
/*
 * Every call that receives from a stream, and every one that sends, behind one
 * prototype each: for programs that ask the same of all of them.
 *
 * Those that splice move bytes through a pipe of their own.  Splicing into a
 * stream, and sendfile, may change the way its bytes go: they are the last.
 */
#ifndef CALLS_H
#define CALLS_H

#include "duo.h"

#include <sys/mman.h>
#include <sys/sendfile.h>

/* glibc's, without a public prototype */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags,
		       struct sockaddr *sa, socklen_t *sa_len);

struct receive_call {
	const char *name;
	ssize_t (*run)(int fd, void *buf, size_t len);
};

struct send_call {
	const char *name;
	ssize_t (*run)(int fd, const void *buf, size_t len);
};

/* --- receiving ------------------------------------------------------------- */

static ssize_t by_readv(int fd, void *buf, size_t len)
{
	struct iovec v[2] = {{buf, 1}, {(char *)buf + 1, len - 1}};

	return readv(fd, v, 2);
}

static ssize_t by_preadv2(int fd, void *buf, size_t len)
{
	struct iovec v = {buf, len};

	return preadv2(fd, &v, 1, -1, 0);
}

static ssize_t by_recv(int fd, void *buf, size_t len)
{
	return recv(fd, buf, len, 0);
}

static ssize_t by_recvfrom(int fd, void *buf, size_t len)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);

	return recvfrom(fd, buf, len, 0, (struct sockaddr *)&from, &from_len);
}

static ssize_t by_recvmsg(int fd, void *buf, size_t len)
{
	struct iovec v = {buf, len};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	return recvmsg(fd, &m, 0);
}

static ssize_t by_recvmmsg(int fd, void *buf, size_t len)
{
	struct iovec v = {buf, len};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
	int n = recvmmsg(fd, &m, 1, 0, NULL);

	return n > 0 ? (ssize_t)m.msg_len : n;
}

static ssize_t by_read_chk(int fd, void *buf, size_t len)
{
	return __read_chk(fd, buf, len, len);
}

static ssize_t by_recv_chk(int fd, void *buf, size_t len)
{
	return __recv_chk(fd, buf, len, len, 0);
}

static ssize_t by_recvfrom_chk(int fd, void *buf, size_t len)
{
	return __recvfrom_chk(fd, buf, len, len, 0, NULL, NULL);
}

/* The two ends of a pipe that lasts as long as the process. */
static const int *own_pipe(void)
{
	static int p[2] = {-1, -1};

	if (p[0] < 0 && pipe2(p, O_CLOEXEC) < 0)
		die("pipe2");
	return p;
}

static ssize_t by_splice_out(int fd, void *buf, size_t len)
{
	const int *p = own_pipe();
	ssize_t n = splice(fd, NULL, p[1], NULL, len, 0);

	if (n > 0 && read(p[0], buf, (size_t)n) != n)
		die("pipe");
	return n;
}

__attribute__((unused)) static const struct receive_call receive_calls[] = {
	{"read", read},
	{"readv", by_readv},
	{"preadv2", by_preadv2},
	{"recv", by_recv},
	{"recvfrom", by_recvfrom},
	{"recvmsg", by_recvmsg},
	{"recvmmsg", by_recvmmsg},
	{"__read_chk", by_read_chk},
	{"__recv_chk", by_recv_chk},
	{"__recvfrom_chk", by_recvfrom_chk},
	{"splice", by_splice_out},
};

#define RECEIVE_CALLS (sizeof(receive_calls) / sizeof(receive_calls[0]))

/* --- sending --------------------------------------------------------------- */

static ssize_t by_writev(int fd, const void *buf, size_t len)
{
	char *from = (char *)(uintptr_t)buf;
	struct iovec v[3] = {{from, len / 3}, {NULL, 0}, {from + len / 3, len - len / 3}};

	return writev(fd, v, 3);
}

static ssize_t by_pwritev2(int fd, const void *buf, size_t len)
{
	struct iovec v = {(void *)(uintptr_t)buf, len};

	return pwritev2(fd, &v, 1, -1, 0);
}

static ssize_t by_send(int fd, const void *buf, size_t len)
{
	return send(fd, buf, len, 0);
}

static ssize_t by_sendto(int fd, const void *buf, size_t len)
{
	return sendto(fd, buf, len, 0, NULL, 0);
}

static ssize_t by_sendmsg(int fd, const void *buf, size_t len)
{
	struct iovec v = {(void *)(uintptr_t)buf, len};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	return sendmsg(fd, &m, 0);
}

static ssize_t by_sendmmsg(int fd, const void *buf, size_t len)
{
	struct iovec v = {(void *)(uintptr_t)buf, len};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
	int n = sendmmsg(fd, &m, 1, 0);

	return n > 0 ? (ssize_t)m.msg_len : n;
}

static ssize_t by_sendfile(int fd, const void *buf, size_t len)
{
	int file = memfd_create("bytes", MFD_CLOEXEC);
	off_t offset = 0;
	ssize_t n;
	int saved;

	if (file < 0)
		die("memfd_create");
	duo_write_all(file, buf, len);
	n = sendfile(fd, file, &offset, len);
	saved = errno;
	close(file);
	errno = saved;
	return n;
}

/* A pipe is not large: of more than it holds, what it holds. */
static ssize_t by_splice_in(int fd, const void *buf, size_t len)
{
	char bin[4096];
	size_t part = len < 65536 ? len : 65536;
	const int *p = own_pipe();
	ssize_t n;
	size_t left;
	int saved;

	duo_write_all(p[1], buf, part);
	n = splice(p[0], NULL, fd, NULL, part, 0);
	saved = errno;
	/* empty for the next */
	for (left = part - (n > 0 ? (size_t)n : 0); left > 0;)
		left -= duo_read_all(p[0], bin, left < sizeof(bin) ? left : sizeof(bin));
	errno = saved;
	return n;
}

__attribute__((unused)) static const struct send_call send_calls[] = {
	{"write", write},
	{"writev", by_writev},
	{"pwritev2", by_pwritev2},
	{"send", by_send},
	{"sendto", by_sendto},
	{"sendmsg", by_sendmsg},
	{"sendmmsg", by_sendmmsg},
	{"sendfile", by_sendfile},
	{"splice", by_splice_in},
};

#define SEND_CALLS (sizeof(send_calls) / sizeof(send_calls[0]))

/* --- waits that a signal or a stop ends ------------------------------------- */

/* What befalls a call that sleeps. */
enum trouble { SIGNAL, RESTARTING_SIGNAL, STOP, TROUBLES };

__attribute__((unused)) static const char *const trouble_names[TROUBLES] = {
	"signal", "SA_RESTART", "SIGSTOP"};

__attribute__((unused)) static void count_signal(int signal_nr);
static volatile sig_atomic_t signals_seen;

static void count_signal(int signal_nr)
{
	(void)signal_nr;
	signals_seen++;
}

/* The one who will sleep: handles what comes, and tells the other end. */
__attribute__((unused)) static void expect_trouble(enum trouble what)
{
	struct sigaction sa = {
		.sa_handler = count_signal,
		.sa_flags = what == RESTARTING_SIGNAL ? SA_RESTART : 0,
	};

	sigaction(SIGUSR1, &sa, NULL);
	duo_tell((int)what);
	duo_tell(getpid());
}

/* The other end: makes it, to a process that sleeps, and returns once it sleeps
 * again, in the same call or behind it.
 */
__attribute__((unused)) static void make_trouble(void)
{
	int what = duo_hear();
	pid_t pid = duo_hear();

	duo_await_asleep(pid, pid);
	if (what == STOP)
		duo_stop_and_go(pid);
	else
		kill(pid, SIGUSR1);
	duo_await_asleep(pid, pid);
}

__attribute__((unused)) static void set_timeout(int fd, int option, int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	if (setsockopt(fd, SOL_SOCKET, option, &tv, sizeof(tv)) < 0)
		die("setsockopt of a time-out");
}

#endif
