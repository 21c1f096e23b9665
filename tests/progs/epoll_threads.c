/* SPDX-License-Identifier: MIT */
/*
 * Description: while one thread sleeps in epoll_wait, another adds, changes and
 * removes streams; the sleeper sees it.  Several sleepers: each event is served.
 */
#include "duo.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static int set;

struct waiter {
	pthread_t thread;
	volatile pid_t tid;
	int timeout_ms;
	int result;
	struct epoll_event event;
};

static void *run(void *arg)
{
	struct waiter *w = arg;

	w->tid = (pid_t)syscall(SYS_gettid);
	w->result = epoll_wait(set, &w->event, 1, w->timeout_ms);
	return NULL;
}

static void start(struct waiter *w, int timeout_ms)
{
	static const struct timespec pause = {.tv_nsec = 1000000};

	memset(w, 0, sizeof(*w));
	w->timeout_ms = timeout_ms;
	if (pthread_create(&w->thread, NULL, run, w))
		die("pthread_create");
	while (!w->tid)
		nanosleep(&pause, NULL);
	duo_await_asleep(getpid(), w->tid);
}

static void finish(struct waiter *w, const char *what)
{
	pthread_join(w->thread, NULL);
	say("%s -> %d: %s data %llu", what, w->result,
	    w->result > 0 ? duo_epoll_bits(w->event.events) : "-",
	    (unsigned long long)w->event.data.u64);
}

static int ctl(int op, int fd, uint32_t bits, uint64_t data)
{
	struct epoll_event event = {.events = bits, .data.u64 = data};

	return epoll_ctl(set, op, fd, &event);
}

static void server(int fd)
{
	struct waiter w, w2;
	char buf[100];
	int fd2;

	duo_warmup(fd);
	fd2 = duo_another_warm();
	set = epoll_create1(EPOLL_CLOEXEC);
	start(&w, 10000);
	say_result("ADD writable", ctl(EPOLL_CTL_ADD, fd, EPOLLOUT, 1));
	finish(&w, "woken by ADD");
	say_result("MOD", ctl(EPOLL_CTL_MOD, fd, EPOLLIN, 2));
	start(&w, 10000);
	say_result("MOD writable", ctl(EPOLL_CTL_MOD, fd, EPOLLOUT, 3));
	finish(&w, "woken by MOD");
	say_result("MOD", ctl(EPOLL_CTL_MOD, fd, EPOLLIN, 4));
	start(&w, 10000);
	say_result("ADD", ctl(EPOLL_CTL_ADD, fd2, EPOLLIN, 5));
	duo_tell(2);
	finish(&w, "woken by a stream added meanwhile");
	say_result("read", read(fd2, buf, sizeof(buf)));
	start(&w, 400);	/* a busy machine has to see it asleep by then */
	say_result("DEL", ctl(EPOLL_CTL_DEL, fd2, 0, 0));
	duo_tell(2);
	finish(&w, "not woken by a removed stream");
	say_result("read", read(fd2, buf, sizeof(buf)));
	start(&w, 400);	/* a busy machine has to see it asleep by then */
	say_result("MOD to nothing", ctl(EPOLL_CTL_MOD, fd, 0, 6));
	duo_tell(1);
	finish(&w, "not woken by an unwanted event");
	start(&w, 10000);
	say_result("MOD", ctl(EPOLL_CTL_MOD, fd, EPOLLIN, 7));
	finish(&w, "woken by what was there");
	say_result("read", read(fd, buf, sizeof(buf)));
	/* Two sleepers, two streams, one-shot: each gets one. */
	say_result("MOD", ctl(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, 10));
	say_result("ADD", ctl(EPOLL_CTL_ADD, fd2, EPOLLIN | EPOLLONESHOT, 20));
	start(&w, 10000);
	start(&w2, 10000);
	duo_tell(1);
	duo_tell(2);
	pthread_join(w.thread, NULL);
	pthread_join(w2.thread, NULL);
	say("two sleepers: %d %d, data in sum %llu", w.result, w2.result,
	    (unsigned long long)(w.event.data.u64 + w2.event.data.u64));
	duo_tell(0);
}

static void client(int fd)
{
	int fd2, word;

	duo_warmup(fd);
	fd2 = duo_another_warm();
	while ((word = duo_hear()) != 0)
		duo_write_all(word == 2 ? fd2 : fd, "hello", 5);
}

DUO_PROGRAM(.description = "epoll_wait and other threads", .server = server, .client = client)
