/* SPDX-License-Identifier: MIT */
/*
 * Description: input comes again and again to one who waits for something else: the
 * wait ends at its time, not before and not later than that by each arrival.
 */
#include "sets.h"

#include <sys/select.h>

#define TIME_MS 120

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int wait_for_other(int way, int fd, int set)
{
	struct timespec t = {.tv_nsec = TIME_MS * 1000000};
	struct timeval tv = {.tv_usec = TIME_MS * 1000};
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	struct epoll_event event;
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(fd, &fds);
	switch (way) {
	case 0:
		return poll(&p, 1, TIME_MS);
	case 1:
		return ppoll(&p, 1, &t, NULL);
	case 2:
		return select(fd + 1, NULL, NULL, &fds, &tv);
	case 3:
		return epoll_wait(set, &event, 1, TIME_MS);
	default:
		return epoll_pwait2(set, &event, 1, &t, NULL);
	}
}

static void server(int fd)
{
	static const char *const names[] = {"poll", "ppoll", "select", "epoll_wait",
					    "epoll_pwait2"};

	close(fd);
	for (int way = 0; way < 10; way++) {
		int set = duo_set_new(), n;
		int64_t start;

		fd = duo_another_warm();
		duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLRDHUP | (way < 5 ? 0 : EPOLLET), 1);
		duo_post();
		duo_await_bytes(fd, 1);
		start = now_ns();
		n = wait_for_other(way % 5, fd, set);
		say("%s -> %d, too short %d", names[way % 5], n,
		    now_ns() - start < TIME_MS * 1000000);
		duo_post();
		say("input %d", duo_drain(fd) > 0);
		close(set);
		close(fd);
	}
}

static void drip(void *arg)
{
	static const struct timespec pause = {.tv_nsec = 2000000};
	int fd = *(int *)arg;

	while (send(fd, "d", 1, MSG_NOSIGNAL) == 1)
		nanosleep(&pause, NULL);
}

static void client(int fd)
{
	close(fd);
	for (int way = 0; way < 10; way++) {
		struct duo_thread thread;

		fd = duo_another_warm();
		duo_await();
		duo_thread_start(&thread, drip, &fd);
		duo_await();
		shutdown(fd, SHUT_WR);
		duo_thread_join(&thread);
		close(fd);
	}
}

DUO_PROGRAM(.description = "input that is not waited for", .server = server, .client = client)
