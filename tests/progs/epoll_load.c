/* SPDX-License-Identifier: MIT */
/*
 * Description: a stream that is never without input, or never without room, in one set with
 * a timer, a pipe, an eventfd and other streams: none of them starves, whatever maxevents.
 */
#include "sets.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define ROUNDS 12

enum { FLOOD, TIMER, PIPE, EVENT, QUIET, NR };

static int fds[NR], back, set;
static _Atomic int counts[NR];
static char buf[65536];

/* Another thread and the client want an answer for each before they go on. */
static void ping(void *arg)
{
	uint64_t one = 1;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		if (write(back, "p", 1) != 1 || write(fds[EVENT], &one, 8) != 8)
			die("ping");
		while (counts[PIPE] <= i || counts[EVENT] <= i)
			usleep(200);	/* not a third program that is never idle */
	}
}

static void serve(int which, bool out)
{
	uint64_t value;
	char byte;

	switch (which) {
	case FLOOD:
		if (out)
			(void)!send(fds[FLOOD], buf, 2000, MSG_DONTWAIT);
		else if (recv(fds[FLOOD], buf, sizeof(buf), MSG_DONTWAIT) == 0)
			die("the flood ended");
		break;
	case QUIET:
		duo_read_all(fds[QUIET], &byte, 1);
		duo_write_all(fds[QUIET], &byte, 1);
		break;
	case PIPE:
		duo_read_all(fds[PIPE], &byte, 1);
		break;
	default:
		duo_read_all(fds[which], &value, sizeof(value));
	}
	counts[which]++;	/* behind the read, which would take the next one as well */
}

static bool is_done(void)
{
	for (int i = TIMER; i < NR; i++) {
		if (counts[i] < ROUNDS)
			return false;
	}
	return counts[FLOOD] > 0;
}

static void one_way(bool out, uint32_t edge, int max)
{
	const struct itimerspec tick = {{.tv_nsec = 1000000}, {.tv_nsec = 1000000}};
	struct epoll_event events[NR];
	struct duo_thread thread;
	int pipes[2];

	for (int i = 0; i < NR; i++)
		counts[i] = 0;
	set = duo_set_new();
	if (pipe(pipes) < 0)
		die("pipe");
	back = pipes[1];
	fds[PIPE] = pipes[0];
	fds[EVENT] = eventfd(0, EFD_CLOEXEC);
	fds[TIMER] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(fds[TIMER], 0, &tick, NULL);
	for (int i = 0; i < NR; i++)
		duo_set_ctl(set, EPOLL_CTL_ADD, fds[i],
			    i ? EPOLLIN | edge : out ? EPOLLOUT : EPOLLIN, (uint64_t)i);
	duo_post();
	duo_thread_start(&thread, ping, NULL);
	while (!is_done()) {
		int n = epoll_wait(set, events, max, 5000);

		if (n <= 0 || n > max)
			die("epoll_wait %d", n);
		for (int i = 0; i < n; i++)
			serve((int)events[i].data.u64, out);
	}
	duo_thread_join(&thread);
	say("%s%s, %d at a time: all had their turns", out ? "out" : "in",
	    edge ? ", others by edge" : "", max);
	close(set);
	close(pipes[0]);
	close(pipes[1]);
	close(fds[EVENT]);
	close(fds[TIMER]);
}

static void server(int fd)
{
	close(fd);
	for (int i = 0; i < 8; i++) {
		fds[FLOOD] = duo_another_warm();
		fds[QUIET] = duo_another_warm();
		one_way(i & 1, i & 2 ? EPOLLET : 0, i & 4 ? NR : 1);
		close(fds[FLOOD]);
		close(fds[QUIET]);
	}
}

static void ask(void *arg)
{
	int fd = *(int *)arg;
	char byte = 'q';

	for (int i = 0; i < ROUNDS; i++) {
		duo_write_all(fd, &byte, 1);
		duo_read_all(fd, &byte, 1);
	}
}

static void client(int fd)
{
	signal(SIGPIPE, SIG_IGN);
	close(fd);
	for (int i = 0; i < 8; i++) {
		int flood = duo_another_warm(), quiet = duo_another_warm();
		struct duo_thread thread;

		duo_await();
		duo_thread_start(&thread, ask, &quiet);
		if (i & 1) {
			while (recv(flood, buf, sizeof(buf), 0) > 0)
				;
		} else {
			while (send(flood, buf, sizeof(buf), 0) > 0)
				;
		}
		duo_thread_join(&thread);
		close(flood);
		close(quiet);
	}
}

DUO_PROGRAM(.description = "nothing starves beside a busy stream", .server = server,
	    .client = client)
