/* SPDX-License-Identifier: MIT */
#ifndef BENCH_H
#define BENCH_H

/*
 * What the side-by-side programs of this directory share: sockets, placement,
 * the clock.  They are plain socket programs, built without any of the
 * library's headers; what they measure is decided by who preloads what.
 * (Only floors.c knows the library, and has no sockets.)
 *
 * The server is forked before the connection exists, so that each end of the
 * stream is held by one process.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct bench_address {
	struct sockaddr_storage sa;
	socklen_t len;
};

__attribute__((noreturn)) static inline void bench_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static inline uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A whole number within the bounds, or the end of the program. */
static inline long bench_number(const char *what, const char *text, long least, long most)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < least || n > most) {
		fprintf(stderr, "%s: %s: '%s' is not a number from %ld to %ld\n",
			program_invocation_short_name, what, text, least, most);
		exit(2);
	}
	return n;
}

static inline int bench_is_placement(const char *text)
{
	return !strcmp(text, "two") || !strcmp(text, "one") || !strcmp(text, "free");
}

/* "two": a CPU for each of both ends; "one": the same for both; "free": the scheduler's. */
static inline void bench_pin(const char *placement, int is_server)
{
	cpu_set_t allowed, wanted;
	int cpu, skip;

	if (!strcmp(placement, "free"))
		return;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		bench_die("sched_getaffinity");
	skip = !strcmp(placement, "two") && !is_server;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && skip-- == 0)
			break;
	if (cpu == CPU_SETSIZE) {
		errno = ENODEV;
		bench_die("placement 'two' wants two CPUs");
	}
	CPU_ZERO(&wanted);
	CPU_SET(cpu, &wanted);
	if (sched_setaffinity(0, sizeof(wanted), &wanted) < 0)
		bench_die("sched_setaffinity");
}

static inline void bench_address_init(struct bench_address *a, const char *family)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->sa;

	memset(a, 0, sizeof(*a));
	if (!strcmp(family, "tcp4")) {
		v4->sin_family = AF_INET;
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a->len = sizeof(*v4);
	} else if (!strcmp(family, "tcp6")) {
		v6->sin6_family = AF_INET6;
		v6->sin6_addr = in6addr_loopback;
		a->len = sizeof(*v6);
	} else if (!strcmp(family, "unix")) {
		/* No name: the kernel picks a free abstract one. */
		a->sa.ss_family = AF_UNIX;
		a->len = sizeof(sa_family_t);
	} else {
		fprintf(stderr, "%s: family '%s' is not tcp4, tcp6 or unix\n",
			program_invocation_short_name, family);
		exit(2);
	}
}

/* Listens on a free address of the family, left in *a. */
static inline int bench_listen(struct bench_address *a, const char *family)
{
	int fd;

	bench_address_init(a, family);
	fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a->sa, a->len) < 0 || listen(fd, 128) < 0)
		bench_die("listen");
	a->len = sizeof(a->sa);
	if (getsockname(fd, (struct sockaddr *)&a->sa, &a->len) < 0)
		bench_die("getsockname");
	return fd;
}

/* As echo.c prints and load.c takes it: a port of 127.0.0.1, [PORT] of ::1, @NAME (abstract). */
static inline void bench_print_address(const struct bench_address *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->sa;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;

	if (a->sa.ss_family == AF_INET)
		printf("%d\n", ntohs(v4->sin_port));
	else if (a->sa.ss_family == AF_INET6)
		printf("[%d]\n", ntohs(v6->sin6_port));
	else
		printf("@%.*s\n", (int)(a->len - offsetof(struct sockaddr_un, sun_path) - 1),
		       un->sun_path + 1);
	fflush(stdout);
}

static inline void bench_parse_address(struct bench_address *a, const char *text)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
	size_t len = strlen(text);

	if (*text == '@' || *text == '/') {
		bench_address_init(a, "unix");
		if (len >= sizeof(un->sun_path)) {
			errno = ENAMETOOLONG;
			bench_die(text);
		}
		memcpy(un->sun_path, text, len);
		if (*text == '@')
			un->sun_path[0] = '\0';
		a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	} else if (*text == '[') {
		bench_address_init(a, "tcp6");
		((struct sockaddr_in6 *)&a->sa)->sin6_port = htons((uint16_t)atoi(text + 1));
	} else {
		bench_address_init(a, "tcp4");
		((struct sockaddr_in *)&a->sa)->sin_port =
			htons((uint16_t)bench_number("port", text, 1, 65535));
	}
}

static inline void bench_tune(int fd, const struct bench_address *a)
{
	int one = 1;

	if (a->sa.ss_family == AF_UNIX)
		return;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		bench_die("TCP_NODELAY");
	/* Pacing of BBR would be measured otherwise.  Cubic may be missing. */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

static inline int bench_connect(const struct bench_address *a)
{
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		bench_die("socket");
	bench_tune(fd, a);
	if (connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0)
		bench_die("connect");
	return fd;
}

static inline int bench_accept(int listener, const struct bench_address *a)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		bench_die("accept");
	bench_tune(fd, a);
	return fd;
}

/* Waits for what a non-blocking call has to wait for. */
static inline void bench_wait(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, -1) < 0 && errno != EINTR)
		bench_die("poll");
}

static inline void bench_write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0) {
			if (errno != EAGAIN)
				bench_die("write");
			bench_wait(fd, POLLOUT);
			continue;
		}
		buf += n;
		len -= (size_t)n;
	}
}

/* 1, or 0 at the end of the stream before the first byte. */
static inline int bench_read_all(int fd, char *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, buf + done, len - done);

		if (n < 0)
			bench_die("read");
		if (n == 0 && done == 0)
			return 0;
		if (n == 0) {
			errno = ECONNABORTED;
			bench_die("end inside a message");
		}
		done += (size_t)n;
	}
	return 1;
}

/* The child: returns 0 in it.  It does not outlive its parent. */
static inline pid_t bench_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		bench_die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

static inline void bench_reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		bench_die("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "%s: the server failed (wait status %#x)\n",
			program_invocation_short_name, (unsigned int)status);
		exit(1);
	}
}

static inline int bench_compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Sorts the samples and prints their spread. */
static inline void bench_print_spread(uint32_t *ns, size_t nr)
{
	double sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += ns[i];
	qsort(ns, nr, sizeof(*ns), bench_compare_u32);
	printf("p50=%u p99=%u p99.9=%u mean=%.0f ns", ns[nr / 2], ns[nr - 1 - nr / 100],
	       ns[nr - 1 - nr / 1000], sum / (double)nr);
}

static inline uint32_t bench_sample(uint64_t ns)
{
	return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

#endif
