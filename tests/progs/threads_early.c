/* SPDX-License-Identifier: MIT */
/*
 * Description: readers sleep in read from the first moment while others write, so
 * that any promotion happens around blocked calls; all three ways of waiting.
 */
#include "duo.h"

#include <pthread.h>
#include <sys/epoll.h>

#define RECORDS 400

static int stream;

static void *writer(void *arg)
{
	static const struct timespec pause = {.tv_nsec = 50000};
	char text[33];

	(void)arg;
	for (int i = 0; i < RECORDS; i++) {
		snprintf(text, sizeof(text), "record %024d\n", i);
		duo_write_all(stream, text, 32);
		/* Let the reader fall asleep now and then. */
		if (i % 8 == 7)
			nanosleep(&pause, NULL);
	}
	shutdown(stream, SHUT_WR);
	return NULL;
}

static ssize_t wait_and_read(int way, int set, char *to, size_t len)
{
	struct epoll_event event;

	if (way == 1 && !duo_poll(stream, POLLIN, 10000))
		die("poll: nothing came");
	if (way == 2 && epoll_wait(set, &event, 1, 10000) != 1)
		die("epoll_wait: nothing came");
	return read(stream, to, len);
}

static void one_way(int fd, int way)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);
	static char all[RECORDS * 32 + 1];
	pthread_t thread;
	size_t got = 0;
	ssize_t n;

	stream = fd;
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	if (pthread_create(&thread, NULL, writer, NULL))
		die("pthread_create");
	while ((n = wait_and_read(way, set, all + got, sizeof(all) - got)) > 0)
		got += (size_t)n;
	pthread_join(thread, NULL);
	say("way %d: %zu bytes sum %016llx, then %zd", way, got,
	    (unsigned long long)duo_sum(all, got), n);
	close(set);
	duo_meet();
	close(fd);
}

static void run(int fd)
{
	for (int way = 0; way < 3; way++)
		one_way(way ? duo_another() : fd, way);
}

static void server(int fd)
{
	run(fd);
}

static void client(int fd)
{
	run(fd);
}

/* Promotion races with the readers: any road, as long as no byte is lost. */
DUO_PROGRAM(.description = "blocked readers from the start", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
