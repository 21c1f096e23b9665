/* SPDX-License-Identifier: MIT */
/*
 * Description: ppoll, pselect and epoll_pwait(2) change the signal mask for the wait
 * alone: a blocked, pending signal is delivered inside, and only there.
 */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/select.h>

static volatile sig_atomic_t seen;
static const struct timespec long_time = {.tv_sec = 10};
static const struct timespec short_time = {.tv_nsec = 20000000};
static struct pollfd p;
static int set;

static void on_signal(int signal_nr)
{
	(void)signal_nr;
	seen++;
}

static int call(int which, const struct timespec *timeout, const sigset_t *mask)
{
	struct epoll_event event;
	fd_set fds;

	switch (which) {
	case 0:
		return ppoll(&p, 1, timeout, mask);
	case 1:
		FD_ZERO(&fds);
		FD_SET(p.fd, &fds);
		return pselect(p.fd + 1, &fds, NULL, NULL, timeout, mask);
	case 2:
		return epoll_pwait2(set, &event, 1, timeout, mask);
	default:
		return epoll_pwait(set, &event, 1,
				   (int)(timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000),
				   mask);
	}
}

static void one(int fd, int which)
{
	static const char *const names[] = {"ppoll", "pselect", "epoll_pwait2", "epoll_pwait"};
	sigset_t open, blocked, now;
	char buf[10];

	say("-- %s", names[which]);
	sigemptyset(&open);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	seen = 0;
	say_result("time-out", call(which, &short_time, &blocked));
	raise(SIGUSR1);
	say_result("pending, still blocked", call(which, &short_time, &blocked));
	say_result("pending, no mask given", call(which, &short_time, NULL));
	say("signals %d", (int)seen);
	say_result("pending, open", call(which, &long_time, &open));
	say("signals %d", (int)seen);
	sigprocmask(SIG_BLOCK, NULL, &now);
	say("blocked again %d", sigismember(&now, SIGUSR1));
	/* Asleep when the signal comes. */
	duo_tell(getpid());
	say_result("sleeping, open", call(which, &long_time, &open));
	say("signals %d", (int)seen);
	duo_tell(0);
	say_result("data, open", call(which, &long_time, &open));
	say_result("read", read(fd, buf, sizeof(buf)));
	say("signals %d", (int)seen);
	/* Both at once: data is there and a signal is pending. */
	duo_tell(0);
	duo_poll(fd, POLLIN, -1);
	say_result("data, blocked", call(which, &long_time, &blocked));
	say_result("read", read(fd, buf, sizeof(buf)));
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	say("signals %d", (int)seen);
}

static void server(int fd)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct epoll_event event = {.events = EPOLLIN};

	sigaction(SIGUSR1, &sa, NULL);
	duo_warmup(fd);
	set = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	for (int which = 0; which < 4; which++)
		one(fd, which);
	duo_tell(-1);
}

static void client(int fd)
{
	int word;

	duo_warmup(fd);
	while ((word = duo_hear()) != -1) {
		if (word > 0) {
			duo_await_asleep(word, word);
			kill(word, SIGUSR1);
		} else {
			duo_write_all(fd, "data", 4);
		}
	}
}

DUO_PROGRAM(.description = "signal masks of ppoll, pselect, epoll_pwait", .server = server,
	    .client = client)
