/* SPDX-License-Identifier: MIT */
/*
 * Description: a mask that lets a pending signal in, where ppoll, pselect, epoll_pwait(2)
 * need not wait: at time-out 0 the signal comes, beside data it stays pending.
 */
#include "sets.h"

#include <sys/select.h>

enum { PPOLL, PSELECT, EPOLL_PWAIT, EPOLL_PWAIT2, WAYS };

static volatile sig_atomic_t seen;
static int stream, set;

static void on_signal(int signal_nr)
{
	(void)signal_nr;
	seen++;
}

static ssize_t call(int way, const struct timespec *t, const sigset_t *mask)
{
	struct pollfd p = {.fd = stream, .events = POLLIN};
	struct epoll_event event;
	fd_set fds;

	switch (way) {
	case PPOLL:
		return ppoll(&p, 1, t, mask);
	case PSELECT:
		FD_ZERO(&fds);
		FD_SET(stream, &fds);
		return pselect(stream + 1, &fds, NULL, NULL, t, mask);
	case EPOLL_PWAIT:
		return epoll_pwait(set, &event, 1, t ? (int)t->tv_sec * 1000 : -1, mask);
	default:
		return epoll_pwait2(set, &event, 1, t, mask);
	}
}

static void show(const char *what, ssize_t result)
{
	sigset_t pending;

	say_result(what, result);
	sigpending(&pending);
	say("  signals %d, pending %d", (int)seen, sigismember(&pending, SIGUSR1));
}

static void one_way(int way)
{
	static const char *const names[WAYS] = {"ppoll", "pselect", "epoll_pwait",
						"epoll_pwait2"};
	static const struct timespec none, long_time = {.tv_sec = 10};
	sigset_t open, shut;
	char buf[8];

	say("-- %s", names[way]);
	seen = 0;
	sigfillset(&shut);
	sigdelset(&shut, SIGALRM);
	sigemptyset(&open);
	raise(SIGUSR1);
	show("no time, no mask", call(way, &none, NULL));
	show("no time, shut", call(way, &none, &shut));
	show("no time, open", call(way, &none, &open));
	show("no time, nothing pending", call(way, &none, &open));
	duo_post();
	duo_await_bytes(stream, 4);
	raise(SIGUSR1);
	show("data, no time, open", call(way, &none, &open));
	show("data, time, open", call(way, &long_time, &open));
	show("data, endless, open", call(way, NULL, &open));
	say_result("read", read(stream, buf, sizeof(buf)));
	show("read, endless, open", call(way, NULL, &open));
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
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
	for (int way = 0; way < WAYS; way++)
		one_way(way);
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int way = 0; way < WAYS; way++) {
		duo_await();
		duo_write_all(fd, "data", 4);
	}
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "masks of waits that need not wait", .server = server,
	    .client = client)
