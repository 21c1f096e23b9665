/* SPDX-License-Identifier: MIT */
/*
 * Description: several threads asleep in one epoll_wait with room for one event: an
 * edge, a one-shot or a level that is taken is told once, to one of them.
 */
#include "sets.h"

#define THREADS 4

struct waiter {
	struct duo_thread thread;
	_Atomic int result;
	struct epoll_event event;
};

static int set;

static void wait_in_set(void *arg)
{
	struct waiter *w = arg;

	w->result = epoll_wait(set, &w->event, 1, 10000);
}

/* All threads sleep; nr of the streams get input: so many wake. */
static void one_round(const int *fds, int nr, uint32_t bits)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	struct waiter w[THREADS];
	unsigned int told = 0, twice = 0;
	int woken;

	for (int i = 0; i < THREADS; i++) {
		w[i].result = -2;
		duo_thread_asleep(&w[i].thread, wait_in_set, &w[i]);
	}
	duo_tell(nr);
	do {
		woken = 0;
		for (int i = 0; i < THREADS; i++)
			woken += w[i].result != -2;
		nanosleep(&pause, NULL);
	} while (woken < nr);
	duo_await();
	/* nobody else was woken; the rest gets what comes next */
	for (int i = 0; i < THREADS; i++) {
		if (w[i].result == -2)
			duo_await_asleep(getpid(), w[i].thread.tid);
	}
	duo_tell(-1);
	for (int i = 0; i < THREADS; i++) {
		duo_thread_join(&w[i].thread);
		if (w[i].result != 1)
			die("thread %d: %d", i, w[i].result);
		twice |= told & 1u << w[i].event.data.u64;
		told |= 1u << w[i].event.data.u64;
	}
	say("%d streams: woken %d, told %x, twice %x", nr, woken, told, twice);
	say_event(set, "nothing more", 20);
	for (int i = 0; i < THREADS; i++) {
		char buf[16];

		if (duo_read_all(fds[i], buf, 5) != 5)
			die("read");
		if (bits & EPOLLONESHOT)
			duo_set_ctl(set, EPOLL_CTL_MOD, fds[i], bits, (uint64_t)i);
	}
	duo_post();
}

static void server(int fd)
{
	static const uint32_t kinds[] = {EPOLLIN | EPOLLET, EPOLLIN | EPOLLONESHOT,
					 EPOLLIN | EPOLLET | EPOLLONESHOT};
	int fds[THREADS];

	for (int i = 0; i < THREADS; i++) {
		fds[i] = i ? duo_another() : fd;
		duo_warmup(fds[i]);
	}
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		set = duo_set_new();
		for (int i = 0; i < THREADS; i++)
			duo_set_ctl(set, EPOLL_CTL_ADD, fds[i], kinds[k], (uint64_t)i);
		for (int nr = 1; nr <= THREADS; nr++)
			one_round(fds, nr, kinds[k]);
		close(set);
	}
	duo_tell(0);
}

static void client(int fd)
{
	int fds[THREADS], nr;

	for (int i = 0; i < THREADS; i++) {
		fds[i] = i ? duo_another() : fd;
		duo_warmup(fds[i]);
	}
	while ((nr = duo_hear()) > 0) {
		for (int i = 0; i < nr; i++)
			duo_write_all(fds[i], "hello", 5);
		duo_post();
		if (duo_hear() != -1)
			die("order");
		for (int i = nr; i < THREADS; i++)
			duo_write_all(fds[i], "hello", 5);
		duo_await();
	}
}

DUO_PROGRAM(.description = "threads in one epoll_wait", .server = server, .client = client)
