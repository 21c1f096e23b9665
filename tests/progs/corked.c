/* SPDX-License-Identifier: MIT */
/*
 * Description: a writer with TCP_CORK: a reader that sleeps gets what was written when the cork
 * is out, when TCP_NODELAY pushes it, when the writer waits for room or ends; and soon after
 * if none of these comes, however long it has been asleep.
 */
#include "sets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

enum {
	ROUNDS = 20,
	ROUND_MS = 150,		/* less than the kernel, and we, hold anything back */
	LONG_MS = 300,		/* more */
	SIGNAL_MS = 150,	/* into each wait with a mask */
	PART = 8,
	MUCH = 1 << 20,
};

enum way { LEVEL, EDGE, BESIDE_POLL, MASKED, POLL, RECEIVE, WAYS };
static const char *const names[WAYS] = {
	"epoll", "epoll, edges", "epoll, and a thread in poll", "epoll, a signal blocked meanwhile",
	"poll", "read",
};

/* ---- the writer ---------------------------------------------------------- */

static void set_option(int fd, int name, int on)
{
	if (setsockopt(fd, IPPROTO_TCP, name, &on, sizeof(on)) < 0)
		die("setsockopt");
}

static void await_answer(int fd)
{
	char byte;

	duo_read_all(fd, &byte, 1);
}

static void write_and_await(int fd)
{
	duo_write_all(fd, "12345678", PART);
	await_answer(fd);
}

static void answers(int fd, pid_t reader)
{
	int64_t began = duo_now_ms();

	for (int i = 0; i < ROUNDS; i++) {
		duo_await_asleep(reader, reader);
		set_option(fd, TCP_CORK, 1);
		duo_write_all(fd, "head", PART / 2);
		duo_write_all(fd, "body", PART / 2);
		set_option(fd, TCP_CORK, 0);
		await_answer(fd);
	}
	say("answers: %s", duo_now_ms() - began < ROUNDS * ROUND_MS ? "in time" : "late");
}

static void server(int fd)
{
	for (enum way way = 0; way < WAYS; way++) {
		const struct timespec pause = {.tv_nsec = LONG_MS * 1000000};
		pid_t reader;

		fd = duo_another_warm();
		reader = duo_hear();
		say("%s", names[way]);
		answers(fd, reader);
		set_option(fd, TCP_CORK, 1);
		write_and_await(fd);
		say("left corked: came");
		set_option(fd, TCP_CORK, 0);
		duo_await_asleep(reader, reader);
		nanosleep(&pause, NULL);
		set_option(fd, TCP_CORK, 1);
		write_and_await(fd);
		say("left corked after a long sleep: came");
		duo_write_all(fd, "12345678", PART);
		set_option(fd, TCP_NODELAY, 1);
		await_answer(fd);
		say("pushed: came");
		duo_send_pattern(fd, MUCH, 1);
		await_answer(fd);
		say("much: came");
		duo_write_all(fd, "12345678", PART);
		shutdown(fd, SHUT_WR);
		await_answer(fd);
		say("end: came");
		close(fd);
	}
}

/* ---- the reader ---------------------------------------------------------- */

static int watched;
static volatile sig_atomic_t early;

/* Blocked in the wait, it comes when there is something. */
static void on_signal(int number)
{
	int there = 0;

	(void)number;
	early += ioctl(watched, FIONREAD, &there) || !there;
}

static void wait_masked(int fd, int set)
{
	struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec in = {.it_value.tv_nsec = SIGNAL_MS * 1000000};
	struct epoll_event event;
	sigset_t mask;
	timer_t timer;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	watched = fd;
	signal(SIGUSR1, on_signal);
	if (timer_create(CLOCK_MONOTONIC, &how, &timer) || timer_settime(timer, 0, &in, NULL))
		die("timer");
	if (epoll_pwait(set, &event, 1, -1, &mask) != 1)
		die("epoll_pwait");
	timer_delete(timer);
}

static void wait_for(enum way way, int fd, int set)
{
	struct epoll_event event;

	if (way == MASKED)
		wait_masked(fd, set);
	else if (way == POLL)
		duo_poll(fd, POLLIN, -1);
	else if (way != RECEIVE && epoll_wait(set, &event, 1, -1) != 1)
		die("epoll_wait");
}

/* Returns less than @len at the end. */
static size_t take(enum way way, int fd, int set, size_t len)
{
	static char buf[MUCH];
	size_t done = 0;
	ssize_t n = 1;

	while (done < len && n) {
		wait_for(way, fd, set);
		do {
			n = read(fd, buf, len - done);
			if (n < 0 && errno != EAGAIN)
				die("read");
			done += n > 0 ? (size_t)n : 0;
		} while (way == EDGE && n > 0 && done < len);
	}
	return done;
}

struct poller {
	struct duo_thread thread;
	int fd;
	short bits;
};

static void wait_for_end(void *arg)
{
	struct poller *p = arg;

	p->bits = duo_poll(p->fd, POLLRDHUP, -1);
}

static void client(int fd)
{
	for (enum way way = 0; way < WAYS; way++) {
		struct poller poller;
		int set = duo_set_new();

		fd = duo_another_warm();
		poller.fd = fd;
		duo_set_nonblock(fd, way == EDGE);
		if (way <= MASKED)
			duo_set_ctl(set, EPOLL_CTL_ADD, fd,
				    EPOLLIN | (way == EDGE ? EPOLLET : 0), 0);
		if (way == BESIDE_POLL)
			duo_thread_asleep(&poller.thread, wait_for_end, &poller);
		duo_tell(getpid());
		for (int i = 0; i < ROUNDS + 3; i++) {
			take(way, fd, set, PART);
			duo_write_all(fd, "a", 1);
		}
		say("much: %zu", take(way, fd, set, MUCH));
		duo_write_all(fd, "a", 1);
		say("end: %zu", take(way, fd, set, PART + 1));
		duo_write_all(fd, "a", 1);
		if (way == BESIDE_POLL) {
			duo_thread_join(&poller.thread);
			say("the thread in poll: %s", duo_poll_bits(poller.bits));
		}
		close(fd);
		close(set);
	}
	say("signals in a wait that blocks them: %d", (int)early);
}

DUO_PROGRAM(.description = "a corked writer and readers that sleep", .traits = DUO_TCP,
	    .server = server, .client = client)
