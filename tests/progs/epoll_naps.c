/* SPDX-License-Identifier: MIT */
/*
 * Description: many streams in one set whose waiter sleeps: whichever of them have input, in
 * whatever order, each is told, and the waiter is woken; also while another thread closes the
 * stream that was the first to have some.
 */
#include "sets.h"

#define STREAMS 12
#define ROUNDS 1500
#define CLOSES 150

/* The same numbers at both ends. */
static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void spin_us(uint32_t us)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 <
		 us);
}

/* Events one, two or three at a time, until as many bytes were read; each is answered. */
static void serve(int set, const int *fds, int bytes, uint32_t *random)
{
	struct epoll_event ev[3];
	char buf[16];

	while (bytes) {
		int n = epoll_wait(set, ev, 1 + (int)(next(random) % 3), 15000);

		if (n <= 0)
			die("slept through %d", bytes);
		for (int i = 0; i < n; i++) {
			int fd = fds[ev[i].data.u64];
			ssize_t got;

			while ((got = read(fd, buf, sizeof(buf))) > 0) {
				duo_write_all(fd, buf, (size_t)got);
				bytes -= (int)got;
			}
			if (got == 0)
				die("end");
		}
	}
}

/* Of one stream or of most of them, a moment between. */
static uint32_t chosen(uint32_t *random)
{
	uint32_t mask = next(random) & next(random) & ((1u << STREAMS) - 1);

	return mask ? mask : 1u << next(random) % STREAMS;
}

static void rounds_server(const int *fds)
{
	uint32_t plan = 1, random = 2;
	int set = duo_set_new(), bytes = 0;

	for (int i = 0; i < STREAMS; i++) {
		duo_set_nonblock(fds[i], true);
		duo_set_ctl(set, EPOLL_CTL_ADD, fds[i], i % 2 ? EPOLLIN : EPOLLIN | EPOLLET,
			    (uint64_t)i);
	}
	for (int round = 0; round < ROUNDS; round++)
		bytes += __builtin_popcount(chosen(&plan));
	serve(set, fds, bytes, &random);
	say("%d rounds", ROUNDS);
	close(set);
}

static void rounds_client(const int *fds)
{
	uint32_t plan = 1, random = 3;
	char c;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t mask = chosen(&plan);
		int first = (int)(next(&random) % STREAMS);

		for (int k = 0; k < STREAMS; k++) {
			int i = (first + k) % STREAMS;

			if (!(mask & 1u << i))
				continue;
			duo_write_all(fds[i], "x", 1);
			if (next(&random) % 4 == 0)
				spin_us(next(&random) % 100);
		}
		for (int i = 0; i < STREAMS; i++) {
			if (mask & 1u << i && duo_read_all(fds[i], &c, 1) != 1)
				die("answer");
		}
	}
}

/* ---- a stream that is closed ---------------------------------------------------- */

struct waiter {
	struct duo_thread thread;
	int set;
	int stays;
};

/* Until the stream that stays has something; the other may. */
static void wait_for_it(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event ev;
	char c;

	do {
		if (epoll_wait(w->set, &ev, 1, 15000) != 1)
			die("slept through it");
	} while (ev.data.u64 != 1);
	if (duo_read_all(w->stays, &c, 1) != 1)
		die("read");
}

static void closes_server(int stays)
{
	uint32_t random = 4, told = 5;

	for (int round = 0; round < CLOSES; round++) {
		int goes = duo_another_warm(), fds[2] = {goes, stays};
		struct waiter w = {.set = duo_set_new(), .stays = stays};

		duo_set_nonblock(goes, true);
		duo_set_ctl(w.set, EPOLL_CTL_ADD, goes, EPOLLIN | EPOLLET, 0);
		duo_set_ctl(w.set, EPOLL_CTL_ADD, stays, EPOLLIN, 1);
		/* both in one sleep, several times */
		serve(w.set, fds, 12, &told);
		duo_thread_asleep(&w.thread, wait_for_it, &w);
		duo_post();
		spin_us(next(&random) % 120);
		close(goes);
		duo_thread_join(&w.thread);
		close(w.set);
	}
	say("%d closes", CLOSES);
}

static void closes_client(int stays)
{
	for (int round = 0; round < CLOSES; round++) {
		int goes = duo_another_warm();
		char c;

		for (int k = 0; k < 6; k++) {
			duo_write_all(goes, "x", 1);
			duo_write_all(stays, "x", 1);
			if (duo_read_all(goes, &c, 1) != 1 || duo_read_all(stays, &c, 1) != 1)
				die("answer");
		}
		duo_await();
		send(goes, "x", 1, MSG_NOSIGNAL);
		duo_write_all(stays, "x", 1);
		close(goes);
	}
}

static void open_all(int fd, int *fds)
{
	for (int i = 0; i < STREAMS; i++) {
		fds[i] = i ? duo_another() : fd;
		duo_warmup(fds[i]);
	}
}

static void server(int fd)
{
	int fds[STREAMS];

	open_all(fd, fds);
	rounds_server(fds);
	closes_server(fd);
}

static void client(int fd)
{
	int fds[STREAMS];

	open_all(fd, fds);
	rounds_client(fds);
	closes_client(fd);
}

DUO_PROGRAM(.description = "input of many streams while their set sleeps", .server = server,
	    .client = client)
