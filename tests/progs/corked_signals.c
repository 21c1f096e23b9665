/* SPDX-License-Identifier: MIT */
/*
 * Description: signals beside a writer with TCP_CORK: one around the time at which nothing is
 * held back any longer ends a wait (EINTR); a handler that takes the cork out at any
 * instruction of a write, one that writes at any instruction of taking it out, and a forked
 * child that takes it out leave nothing held back.
 */
#include "sets.h"
#include "steps.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

enum {
	ROUNDS = 12,
	FIRST_US = 199900,	/* the signals, since just before the wait */
	STEP_US = 30,
	LOST_MS = 1500,
	IN_TIME_MS = 150,	/* less than the kernel, and we, hold anything back */
	PLACES = 60,
};

static int stream;
static pid_t sleeper;

static void cork(int on)
{
	if (setsockopt(stream, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)) < 0)
		die("setsockopt");
}

static void write_one(void)
{
	duo_write_all(stream, "w", 1);
}

/* ---- the writer ---------------------------------------------------------- */

static void uncork(void)
{
	cork(0);
}

static void nothing(void)
{
}

static volatile sig_atomic_t written;

/* By ring EINTR where it finds the stream at work (README.md). */
static void try_to_write(void)
{
	written = write(stream, "h", 1) == 1;
	if (!written && errno != EINTR)
		die("write in the handler");
}

/* Until the sleeper has answered as many bytes. */
static void await_in_time(const char *what, size_t bytes)
{
	int64_t began = duo_now_ms();
	char answers[2];

	duo_read_all(stream, answers, bytes);
	if (duo_now_ms() - began >= IN_TIME_MS)
		die("%s: late", what);
}

static bool uncorked_in_write(long instructions)
{
	duo_await_asleep(sleeper, sleeper);
	cork(1);
	steps_start(instructions);
	write_one();
	steps_stop();
	if (!steps_in_time)
		uncork();
	await_in_time("taken out in a write", 1);
	return steps_in_time;
}

static bool written_in_uncork(long instructions)
{
	duo_await_asleep(sleeper, sleeper);
	written = false;
	cork(1);
	write_one();
	steps_start(instructions);
	uncork();
	steps_stop();
	await_in_time("written while taken out", written ? 2 : 1);
	return steps_in_time;
}

static void uncorked_by_child(void)
{
	pid_t child;

	duo_await_asleep(sleeper, sleeper);
	cork(1);
	write_one();
	child = duo_fork();
	if (!child) {
		uncork();
		_exit(0);
	}
	await_in_time("taken out by a child", 1);
	duo_reap(child, "the child");
}

static void server(int fd)
{
	stream = fd;
	duo_warmup(fd);
	sleeper = duo_hear();
	for (int i = 0; i < ROUNDS; i++) {
		duo_await_asleep(sleeper, sleeper);
		cork(1);
		write_one();
		uncork();
		duo_hear();
	}
	steps_actions(uncork, nothing);
	steps_through(uncorked_in_write, PLACES);
	say("taken out in a write: in time");
	steps_actions(try_to_write, nothing);
	steps_through(written_in_uncork, PLACES);
	say("written while taken out: in time");
	uncorked_by_child();
	say("taken out by a child: in time");
	shutdown(fd, SHUT_WR);
	say_result("read at end", (ssize_t)duo_drain(fd));
}

/* ---- the sleeper --------------------------------------------------------- */

static void on_signal(int number)
{
	(void)number;
}

/* True: it ended the wait. */
static bool interrupted(int set, timer_t timer, int after_us)
{
	struct itimerspec in = {.it_value.tv_nsec = after_us * 1000L};
	struct epoll_event event;

	if (timer_settime(timer, 0, &in, NULL) < 0)
		die("timer_settime");
	return epoll_wait(set, &event, 1, LOST_MS) < 0 && errno == EINTR;
}

static void await_one(int set)
{
	struct epoll_event event;
	char byte;

	if (epoll_wait(set, &event, 1, -1) != 1 || read(stream, &byte, 1) != 1)
		die("no byte");
}

static void client(int fd)
{
	struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct sigaction action = {.sa_handler = on_signal};
	int set = duo_set_new(), lost = 0;
	struct epoll_event event;
	timer_t timer;
	char byte;

	stream = fd;
	duo_warmup(fd);
	if (sigaction(SIGUSR1, &action, NULL) || timer_create(CLOCK_MONOTONIC, &how, &timer))
		die("timer");
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN, 0);
	duo_tell(getpid());
	for (int i = 0; i < ROUNDS; i++) {
		await_one(set);
		lost += !interrupted(set, timer, FIRST_US + i * STEP_US);
		duo_tell(i);
	}
	say("signals that ended no wait: %d", lost);
	while (epoll_wait(set, &event, 1, -1) == 1 && read(fd, &byte, 1) == 1)
		duo_write_all(fd, &byte, 1);
}

DUO_PROGRAM(.description = "signals beside a corked writer", .traits = DUO_TCP,
	    .server = server, .client = client)
