/* SPDX-License-Identifier: MIT */
/*
 * Description: pselect6, ppoll, epoll_pwait and epoll_pwait2 through syscall(): asleep and
 * at once, with a mask that lets a pending signal in, and the time left, which libc hides.
 * Regression: the time left was written into a constant (SIGSEGV).
 */
#include "sets.h"

#include <sys/select.h>
#include <sys/syscall.h>

enum { PSELECT6, PPOLL, EPOLL_PWAIT, EPOLL_PWAIT2, WAYS };

static volatile sig_atomic_t seen;
static int stream, set;

static void on_signal(int signal_nr)
{
	(void)signal_nr;
	seen++;
}

/* Constants: where it may not write, the kernel leaves the time as it is. */
static const struct timespec brief = {.tv_nsec = 1000000};
static const struct timeval brief_val = {.tv_usec = 1000};

static struct timespec *constant(void)
{
	return (struct timespec *)(uintptr_t)&brief;
}

static void select_constant(void)
{
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(stream, &fds);
	say_result("select, constant time", syscall(SYS_select, (long)stream + 1, &fds, NULL, NULL,
						    (struct timeval *)(uintptr_t)&brief_val));
}

/* @mask: 8 bytes, the kernel's. */
static long call(int way, struct timespec *t, const uint64_t *mask)
{
	struct { const uint64_t *mask; size_t len; } sixth = {mask, 8};
	struct pollfd p = {.fd = stream, .events = POLLIN};
	struct epoll_event event = {.events = 0};
	fd_set fds;
	long n;

	switch (way) {
	case PSELECT6:
		FD_ZERO(&fds);
		FD_SET(stream, &fds);
		n = syscall(SYS_pselect6, (long)stream + 1, &fds, NULL, NULL, t, &sixth);
		return n > 0 && !FD_ISSET(stream, &fds) ? 77 : n;
	case PPOLL:
		n = syscall(SYS_ppoll, &p, 1L, t, mask, 8L);
		return n > 0 && p.revents != POLLIN ? 77 : n;
	case EPOLL_PWAIT:
		n = syscall(SYS_epoll_pwait, set, &event, 1L,
			    t ? (long)t->tv_sec * 1000 + t->tv_nsec / 1000000 : -1L, mask, 8L);
		break;
	default:
		n = syscall(SYS_epoll_pwait2, set, &event, 1L, t, mask, 8L);
	}
	return n > 0 && event.data.u64 != 7 ? 77 : n;
}

static void one_way(int way)
{
	static const char *const names[WAYS] = {"pselect6", "ppoll", "epoll_pwait",
						"epoll_pwait2"};
	static const uint64_t open, shut = 1ull << (SIGUSR1 - 1);
	struct timespec t = {.tv_nsec = 20000000}, wrong = {.tv_nsec = 1000000000};
	char buf[8];

	say("-- %s", names[way]);
	seen = 0;
	say_result("time-out", call(way, &t, NULL));
	say("left %lld", way <= PPOLL ? (long long)t.tv_sec + t.tv_nsec : 0);
	if (way != EPOLL_PWAIT)
		say_result("constant time", call(way, constant(), NULL));
	if (way != EPOLL_PWAIT)
		say_result("wrong time", call(way, &wrong, NULL));
	raise(SIGUSR1);
	t = (struct timespec){.tv_nsec = 20000000};
	say_result("pending, shut", call(way, &t, &shut));
	t = (struct timespec){.tv_sec = 9, .tv_nsec = 5};
	say_result("pending, open", call(way, &t, &open));
	say("signals %d, changed %d", (int)seen, t.tv_sec != 9 || t.tv_nsec != 5);
	duo_tell(getpid());
	t = (struct timespec){.tv_sec = 9, .tv_nsec = 5};
	say_result("asleep", call(way, &t, NULL));
	say("changed %d", t.tv_sec != 9 || t.tv_nsec != 5);
	t = (struct timespec){0, 0};
	say_result("at once", call(way, &t, &open));
	say_result("endless", call(way, NULL, NULL));
	say_result("read", read(stream, buf, sizeof(buf)));
	duo_tell(getpid());
	say_result("endless, asleep", call(way, NULL, &open));
	say_result("read", read(stream, buf, sizeof(buf)));
	say("signals %d", (int)seen);
}

static void server(int fd)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigset_t blocked;

	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	duo_warmup(fd);
	stream = fd;
	set = duo_set_new();
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN, 7);
	for (int way = 0; way < WAYS; way++)
		one_way(way);
	select_constant();
	duo_tell(0);
}

static void client(int fd)
{
	pid_t peer;

	duo_warmup(fd);
	while ((peer = duo_hear()) != 0) {
		duo_await_asleep(peer, peer);
		duo_write_all(fd, "data", 4);
	}
}

DUO_PROGRAM(.description = "waits by syscall()", .server = server, .client = client)
