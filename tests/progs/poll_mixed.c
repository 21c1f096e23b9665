/* SPDX-License-Identifier: MIT */
/*
 * Description: one poll set of streams, a pipe, an eventfd, a timerfd, a negative
 * and a closed descriptor; each wakes the sleeper, the count is right.
 */
#include "duo.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

enum { STREAM, STREAM2, PIPE, EVENT, TIMER, NEGATIVE, SAME, NR };

static struct pollfd p[NR + 1];

static void show(const char *what, int nr, int timeout_ms)
{
	int n = poll(p, (nfds_t)nr, timeout_ms);

	say("%s -> %d: stream %s, second %s, pipe %s, event %s, timer %s, negative %s, same %s",
	    what, n, duo_poll_bits(p[STREAM].revents), duo_poll_bits(p[STREAM2].revents),
	    duo_poll_bits(p[PIPE].revents), p[EVENT].revents ? "yes" : "no",
	    p[TIMER].revents ? "yes" : "no", p[NEGATIVE].revents ? "yes" : "no",
	    p[SAME].revents ? "yes" : "no");
}

static void server(int fd)
{
	const struct itimerspec soon = { .it_value.tv_nsec = 20000000 };
	uint64_t value = 1;
	int pipes[2], fd2;
	char buf[100];

	duo_warmup(fd);
	fd2 = duo_another_warm();
	if (pipe(pipes) < 0)
		die("pipe");
	p[STREAM] = (struct pollfd){ fd, POLLIN, 0 };
	p[STREAM2] = (struct pollfd){ fd2, POLLIN, 0 };
	p[PIPE] = (struct pollfd){ pipes[0], POLLIN, 0 };
	p[EVENT] = (struct pollfd){ eventfd(0, 0), POLLIN, 0 };
	p[TIMER] = (struct pollfd){ timerfd_create(CLOCK_MONOTONIC, 0), POLLIN, 0 };
	p[NEGATIVE] = (struct pollfd){ -5, POLLIN, 0x7f };
	p[SAME] = (struct pollfd){ fd, POLLIN, 0 };
	show("nothing", NR, 0);
	show("nothing, 20 ms", NR, 20);
	duo_write_all(pipes[1], "x", 1);
	show("pipe", NR, -1);
	duo_read_all(pipes[0], buf, 1);
	duo_write_all(p[EVENT].fd, &value, 8);
	show("event", NR, 5000);
	duo_read_all(p[EVENT].fd, &value, 8);
	timerfd_settime(p[TIMER].fd, 0, &soon, NULL);
	show("timer", NR, -1);
	duo_read_all(p[TIMER].fd, &value, 8);
	duo_tell(1);
	show("stream", NR, -1);
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_tell(2);
	show("second", NR, -1);
	duo_tell(3);
	duo_poll(fd, POLLIN, -1);
	duo_write_all(pipes[1], "x", 1);
	show("all but event and timer", NR, -1);
	p[NR] = (struct pollfd){ 800, POLLIN, 0 };
	p[STREAM].events = 0;
	p[SAME].events = POLLOUT;
	show("with a closed one", NR + 1, -1);
	say("closed: %s", duo_poll_bits(p[NR].revents));
	say_result("poll of none", poll(p, 0, 10));
	say_result("poll of none at NULL", poll(NULL, 0, 0));
	duo_tell(4);
	duo_await();
}

static void client(int fd)
{
	int fd2, word;

	duo_warmup(fd);
	fd2 = duo_another_warm();
	while ((word = duo_hear()) != 4)
		duo_write_all(word == 2 ? fd2 : fd, "wake", 4);
	duo_post();
}

DUO_PROGRAM(.description = "poll over all kinds of descriptors", .server = server,
	    .client = client)
