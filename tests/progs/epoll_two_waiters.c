/* SPDX-License-Identifier: MIT */
/*
 * Description: one thread sleeps in an epoll set, another looks at it without waiting
 * now and then, as thread pools do; every request is answered, by either.
 */
#include "duo.h"

#include <sys/epoll.h>

#define STREAMS 3
#define ROUNDS 300

static const uint32_t kinds[] = {EPOLLIN, EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLET};
static uint32_t kind;
static int set;
static _Atomic int answered, looks_due;

static void answer(struct epoll_event *ev)
{
	char c;

	while (recv(ev->data.fd, &c, 1, MSG_DONTWAIT) == 1) {
		answered++;
		duo_write_all(ev->data.fd, &c, 1);
	}
	if (kind & EPOLLONESHOT) {
		ev->events = kind;
		epoll_ctl(set, EPOLL_CTL_MOD, ev->data.fd, ev);
	}
}

static void sleep_in_set(void *arg)
{
	struct epoll_event ev;

	(void)arg;
	while (answered < STREAMS * ROUNDS) {
		if (epoll_wait(set, &ev, 1, 1000) == 1)
			answer(&ev);
		looks_due = 1;
	}
}

/* Some looks after each request, then none: the sleeper alone has to notice. */
static void look_at_set(void *arg)
{
	static const struct timespec pause = {.tv_nsec = 50000};
	struct epoll_event ev;

	(void)arg;
	while (answered < STREAMS * ROUNDS) {
		if (!looks_due) {
			nanosleep(&pause, NULL);
			continue;
		}
		looks_due = 0;
		for (int i = 0; i < 20; i++) {
			if (epoll_wait(set, &ev, 1, 0) == 1)
				answer(&ev);
		}
	}
}

static void server(int fd)
{
	int fds[STREAMS];

	close(fd);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct duo_thread sleeper, looker;

		kind = kinds[k];
		answered = 0;
		set = epoll_create1(EPOLL_CLOEXEC);
		for (int i = 0; i < STREAMS; i++) {
			struct epoll_event ev = {.events = kind};

			fds[i] = duo_another_warm();
			ev.data.fd = fds[i];
			epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &ev);
		}
		duo_thread_start(&sleeper, sleep_in_set, NULL);
		duo_thread_start(&looker, look_at_set, NULL);
		duo_thread_join(&sleeper);
		duo_thread_join(&looker);
		say("answered %d", answered);
		for (int i = 0; i < STREAMS; i++)
			close(fds[i]);
		close(set);
	}
}

static int stream[STREAMS];

static void ask(void *arg)
{
	const int *fd = arg;
	unsigned int pause = (unsigned int)(fd - stream) * 7;
	char c = 'x';

	for (int i = 0; i < ROUNDS; i++) {
		struct timespec t = {.tv_nsec = (pause = (pause * 61 + 17) % 300) * 1000};

		nanosleep(&t, NULL);
		duo_write_all(*fd, &c, 1);
		/* a wake-up that is lost would be found by the next look */
		if (!duo_poll(*fd, POLLIN, 900))
			say("late");
		duo_read_all(*fd, &c, 1);
	}
}

static void client(int fd)
{
	struct duo_thread threads[STREAMS];

	close(fd);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (int i = 0; i < STREAMS; i++)
			stream[i] = duo_another_warm();
		for (int i = 0; i < STREAMS; i++)
			duo_thread_start(&threads[i], ask, &stream[i]);
		for (int i = 0; i < STREAMS; i++)
			duo_thread_join(&threads[i]);
		for (int i = 0; i < STREAMS; i++)
			close(stream[i]);
	}
	say("all came");
}

DUO_PROGRAM(.description = "a sleeper and a looker in one epoll set", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
