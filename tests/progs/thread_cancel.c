/* SPDX-License-Identifier: MIT */
/*
 * Description: read, recv, poll and epoll_wait are cancellation points; the stream
 * can be used after its blocked thread was cancelled.
 */
#include "duo.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static int stream, set;
static volatile pid_t tid;

static void *run(void *arg)
{
	struct epoll_event event;
	struct pollfd p = {.fd = stream, .events = POLLIN};
	char buf[10];
	long r = 0;

	tid = (pid_t)syscall(SYS_gettid);
	switch (*(int *)arg) {
	case 0:
		r = read(stream, buf, sizeof(buf));
		break;
	case 1:
		r = recv(stream, buf, sizeof(buf), 0);
		break;
	case 2:
		r = poll(&p, 1, -1);
		break;
	default:
		r = epoll_wait(set, &event, 1, -1);
	}
	say("returned %ld", r);
	return NULL;
}

static void server(int fd)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	static const char *const names[] = {"read", "recv", "poll", "epoll_wait"};
	struct epoll_event event = {.events = EPOLLIN};
	char buf[10];

	duo_warmup(fd);
	stream = fd;
	set = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	for (int which = 0; which < 4; which++) {
		pthread_t thread;
		void *result;

		tid = 0;
		if (pthread_create(&thread, NULL, run, &which))
			die("pthread_create");
		while (!tid)
			nanosleep(&pause, NULL);
		duo_await_asleep(getpid(), tid);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		say("%s cancelled %d", names[which], result == PTHREAD_CANCELED);
		duo_post();
		say_result("read", read(fd, buf, sizeof(buf)));
		say_result("write", write(fd, "ok", 2));
	}
}

static void client(int fd)
{
	char buf[10];

	duo_warmup(fd);
	for (int which = 0; which < 4; which++) {
		duo_await();
		duo_write_all(fd, "hello", 5);
		say_result("read", read(fd, buf, sizeof(buf)));
	}
}

DUO_PROGRAM(.description = "cancellation points", .server = server, .client = client)
