/* SPDX-License-Identifier: MIT */

/*
 * Description: one process with both ends of a TCP connection, which does one thing behind the
 * back of every preloaded library, or nothing of the kind.  The detector must report exactly that
 * thing.
 *
 *	sly WAY		clean, or one of the names in ways[]
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int client, server;

/* The instruction itself: no name of libc's that a library could define. */
static long raw(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

static void connected_pair(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || bind(listener, (struct sockaddr *)&sa, sizeof(sa)) ||
	    listen(listener, 1) || getsockname(listener, (struct sockaddr *)&sa, &len))
		err(1, "listener");
	client = socket(AF_INET, SOCK_STREAM, 0);
	if (client < 0 || connect(client, (struct sockaddr *)&sa, len))
		err(1, "connect");
	server = accept(listener, NULL, NULL);
	if (server < 0)
		err(1, "accept");
	close(listener);
}

static void talk(void)
{
	char byte = 'a';

	for (int i = 0; i < 4; i++)
		if (send(client, &byte, 1, 0) != 1 || recv(server, &byte, 1, 0) != 1 ||
		    write(server, &byte, 1) != 1 || read(client, &byte, 1) != 1)
			err(1, "talk");
}

static void raw_write(void)
{
	raw(SYS_write, client, (long)"x", 1, 0);
}

static void raw_read(void)
{
	char c;

	raw(SYS_recvfrom, server, (long)&c, 1, MSG_DONTWAIT);
}

static void raw_close(void)
{
	raw(SYS_close, client, 0, 0, 0);
}

static void raw_close_range(void)
{
	raw(SYS_close_range, client, server, 0, 0);
}

static void raw_dup(void)
{
	raw(SYS_dup, client, 0, 0, 0);
}

static void raw_dup2_over(void)
{
	raw(SYS_dup2, 2, client, 0, 0);
}

static void raw_flags(void)
{
	raw(SYS_fcntl, client, F_SETFL, O_NONBLOCK, 0);
}

static void raw_poll(void)
{
	struct pollfd p[2] = { { .fd = -1 }, { .fd = client, .events = POLLIN } };

	raw(SYS_poll, (long)p, 2, 0, 0);
}

static void raw_epoll(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0);

	if (epoll_ctl(ep, EPOLL_CTL_ADD, client, &e))
		err(1, "epoll_ctl");
	raw(SYS_epoll_wait, ep, (long)&e, 1, 0);
	close(ep);
}

static void raw_fork(void)
{
	long pid = raw(SYS_fork, 0, 0, 0, 0);

	if (!pid)
		raw(SYS_exit_group, 0, 0, 0, 0);
	waitpid((int)pid, NULL, 0);
}

/* libc's own close, found by a handle: not the one of the global scope. */
static void handle_close(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY);
	int (*f)(int);

	if (!libc)
		errx(1, "no libc.so.6");
	*(void **)&f = dlsym(libc, "close");
	f(client);
}

/* Calls that the library leaves to the kernel, and stdio behind fdopen. */
static void clean(void)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	FILE *f = fdopen(dup(client), "w");

	if (!f || getsockname(client, (struct sockaddr *)&sa, &len) ||
	    fcntl(client, F_GETFD) < 0 || isatty(client))
		err(1, "clean");
	fputs("text", f);
	fflush(f);
	fclose(f);
	system("exit 0");
}

static const struct {
	const char *name;
	void (*run)(void);
} ways[] = {
	{ "clean", clean }, { "write", raw_write }, { "recvfrom", raw_read },
	{ "close", raw_close }, { "close_range", raw_close_range }, { "dup", raw_dup },
	{ "dup2", raw_dup2_over }, { "fcntl", raw_flags }, { "poll", raw_poll },
	{ "epoll", raw_epoll }, { "fork", raw_fork }, { "handle", handle_close },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (strcmp(argv[1], ways[i].name))
			continue;
		connected_pair();
		talk();
		ways[i].run();
		return 0;
	}
	errx(2, "usage: sly WAY");
}
