/* SPDX-License-Identifier: MIT */
/*
 * Description: a signal handler leaves a blocked read, write, poll or epoll_wait by
 * siglongjmp, as time-outs of scripts do; the stream is used, and closed, as before.
 * So it is in a program with a second thread.
 */
#include "duo.h"

#include <setjmp.h>
#include <sys/epoll.h>

static sigjmp_buf out;
static char buf[1 << 16];

static void leave(int sig)
{
	(void)sig;
	siglongjmp(out, 1);
}

/* Sleeps in one of the calls until the peer's signal; false: it came back. */
static bool sleep_in(int fd, int kind)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	if (sigsetjmp(out, 1))
		return true;
	duo_tell(getpid());
	switch (kind) {
	case 0:
		read(fd, buf, 1);
		break;
	case 1:
		for (;;)
			write(fd, buf, sizeof(buf));
	case 2:
		duo_poll(fd, POLLIN, -1);
		break;
	default:
		epoll_wait(set, &event, 1, -1);
	}
	return false;
}

/* The second thread sleeps; signals are for the first one. */
static void sleep_on(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void start_second(void)
{
	static struct duo_thread thread;
	sigset_t set, old;

	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	duo_thread_start(&thread, sleep_on, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void one(int kind)
{
	int fd = duo_another_warm();

	for (int i = 0; i < 3; i++)
		say("kind %d: left %d", kind, sleep_in(fd, kind));
	if (kind == 1)
		duo_set_nonblock(fd, true);
	duo_post();
	if (kind != 1) {
		say_result("read", read(fd, buf, 1));
		say_result("write", write(fd, "y", 1));
	}
	say_result("close", close(fd));
}

static void server(int fd)
{
	struct sigaction action = {.sa_handler = leave};

	sigaction(SIGUSR1, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	duo_warmup(fd);
	for (int i = 0; i < 8; i++) {
		if (i == 4)
			start_second();
		one(i % 4);
	}
	duo_post();
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 8; i++) {
		int kind = i % 4;

		fd = duo_another_warm();
		for (int k = 0; k < 3; k++) {
			pid_t peer = duo_hear();

			duo_await_asleep(peer, peer);
			kill(peer, SIGUSR1);
		}
		duo_await();
		if (kind == 1) {
			say("all of it: %d", duo_drain(fd) > 0);
		} else {
			duo_write_all(fd, "x", 1);
			say_result("read", read(fd, buf, 10));
			say_result("read at end", read(fd, buf, 10));
		}
		close(fd);
	}
	duo_await();
}

DUO_PROGRAM(.description = "siglongjmp out of blocked calls", .server = server, .client = client)
