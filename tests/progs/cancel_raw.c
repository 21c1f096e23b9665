/* SPDX-License-Identifier: MIT */
/*
 * Description: syscall() is no cancellation point: a cancellation that is pending stays so over
 * reads, writes, waits and closes by number, of streams and of other files; a thread that may
 * be cancelled anywhere ends in one.
 */
#include "duo.h"

#include <sys/syscall.h>

enum { READ, WRITE, PPOLL, CLOSE, WAYS };

struct job {
	int fd;
	int way;
	bool came_back;
};

static void pending(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}

static void *by_number(void *arg)
{
	struct timespec t = {.tv_nsec = 1000000};
	struct job *job = arg;
	struct pollfd p = {.fd = job->fd, .events = POLLPRI};
	int copy = dup(job->fd);
	char c = 'w';

	pending();
	switch (job->way) {
	case READ:
		syscall(SYS_recvfrom, job->fd, &c, 1L, (long)MSG_DONTWAIT, NULL, NULL);
		break;
	case WRITE:
		syscall(SYS_write, job->fd, &c, 1L);
		break;
	case PPOLL:
		syscall(SYS_ppoll, &p, 1L, &t, NULL, 8L);
		break;
	default:
		syscall(SYS_close, copy);
		copy = -1;
	}
	job->came_back = true;
	if (copy >= 0)
		syscall(SYS_close, copy);
	pthread_testcancel();
	return NULL;
}

static void one(const char *what, int fd, int way)
{
	struct job job = {.fd = fd, .way = way};
	void *result = NULL;
	pthread_t thread;

	if (pthread_create(&thread, NULL, by_number, &job))
		die("pthread_create");
	pthread_join(thread, &result);
	say("%s, way %d: came back %d, cancelled %d", what, way, job.came_back,
	    result == PTHREAD_CANCELED);
}

static void *anywhere(void *arg)
{
	const struct job *job = arg;
	char c;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	syscall(SYS_read, job->fd, &c, 1L);
	return NULL;
}

static void server(int fd)
{
	struct job job = {.fd = fd};
	int pair[2];
	pthread_t thread;
	void *result = NULL;

	duo_warmup(fd);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	for (int way = 0; way < WAYS; way++) {
		one("stream", fd, way);
		one("other", pair[0], way);
	}
	if (pthread_create(&thread, NULL, anywhere, &job))
		die("pthread_create");
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("anywhere: cancelled %d", result == PTHREAD_CANCELED);
	duo_write_all(fd, "end", 3);
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_say_received(fd, "client", 4);
}

DUO_PROGRAM(.description = "cancellation and syscall()", .server = server, .client = client)
