/* SPDX-License-Identifier: MIT */
/*
 * Description: a thread sleeps in epoll_wait since before the first byte of a stream; just
 * when that may move to the rings a hundred one-shots become ready: all are told.
 */
#include "sets.h"

#include <sys/eventfd.h>

#define STREAMS  3
#define MESSAGES 12
#define SHOTS    100

static int set, shots[SHOTS];
static _Atomic int told, stop;

static void arm(int op)
{
	for (int i = 0; i < SHOTS; i++)
		duo_set_ctl(set, op, shots[i], EPOLLIN | EPOLLET | EPOLLONESHOT, (uint64_t)i);
}

/* Every one-shot once, then the next round. */
static void count(void *arg)
{
	struct epoll_event events[2 * SHOTS];

	(void)arg;
	while (!stop) {
		int n = epoll_wait(set, events, 2 * SHOTS, -1);

		if (n < 0)
			die("epoll_wait");
		told += n;
	}
}

static void all_at_once(pid_t tid)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t one = 1;

	duo_write_all(shots[0], &one, 8);
	for (int i = 0; i < 2000 && told < SHOTS; i++)
		nanosleep(&pause, NULL);
	if (told != SHOTS)
		die("%d of %d were told", told, SHOTS);
	duo_await_asleep(getpid(), tid);
	duo_read_all(shots[0], &one, 8);
	told = 0;
	arm(EPOLL_CTL_MOD);
}

static void one_stream(int fd)
{
	struct duo_thread thread;
	char buf[16];

	set = duo_set_new();
	told = stop = 0;
	shots[0] = eventfd(0, EFD_CLOEXEC);
	for (int i = 1; i < SHOTS; i++)
		shots[i] = dup(shots[0]);
	arm(EPOLL_CTL_ADD);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLRDHUP, SHOTS);
	duo_thread_asleep(&thread, count, NULL);
	for (int i = 0; i < MESSAGES; i++) {
		duo_await_bytes(fd, 16);
		duo_read_all(fd, buf, 16);
		all_at_once(thread.tid);
		duo_write_all(fd, buf, 16);
		all_at_once(thread.tid);
	}
	stop = 1;
	duo_post();
	duo_thread_join(&thread);
	for (int i = 0; i < SHOTS; i++)
		close(shots[i]);
	close(set);
	close(fd);
}

static void server(int fd)
{
	for (int i = 0; i < STREAMS; i++)
		one_stream(i ? duo_another() : fd);
	say("%d streams", STREAMS);
}

static void client(int fd)
{
	char buf[16];

	for (int i = 0; i < STREAMS; i++) {
		fd = i ? duo_another() : fd;
		for (int k = 0; k < MESSAGES; k++) {
			duo_write_all(fd, "a line of text\n", 16);
			duo_read_all(fd, buf, 16);
		}
		duo_await();
		close(fd);
	}
}

DUO_PROGRAM(.description = "many one-shots at the moment of a promotion",
	    .traits = DUO_ANY_ROAD, .server = server, .client = client)
