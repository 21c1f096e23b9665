/* SPDX-License-Identifier: MIT */
/*
 * Description: while a thread sleeps in epoll_wait, another closes the set, replaces its
 * number, or closes the stream; the sleeper's call goes on with what it began with.
 */
#include "sets.h"

struct waiter {
	struct duo_thread thread;
	int set;
	int timeout_ms;
	int result;
	int error;
	struct epoll_event event;
};

static void wait_in_set(void *arg)
{
	struct waiter *w = arg;

	w->result = epoll_wait(w->set, &w->event, 1, w->timeout_ms);
	w->error = errno;
}

static void start(struct waiter *w, int fd, uint32_t bits, int timeout_ms)
{
	*w = (struct waiter){.set = duo_set_new(), .timeout_ms = timeout_ms};
	duo_set_ctl(w->set, EPOLL_CTL_ADD, fd, bits, 7);
	duo_thread_asleep(&w->thread, wait_in_set, w);
}

static void finish(struct waiter *w, const char *what)
{
	duo_thread_join(&w->thread);
	errno = w->error;
	if (w->result < 0)
		say_result(what, w->result);
	else
		say("%s -> %d: %s %llu", what, w->result,
		    w->result ? duo_epoll_bits(w->event.events) : "-",
		    (unsigned long long)w->event.data.u64);
}

static void server(int fd)
{
	struct waiter w;
	char buf[16];
	int other;

	duo_warmup(fd);
	start(&w, fd, EPOLLIN, 10000);
	say_result("close of the set", close(w.set));
	duo_post();
	finish(&w, "input after it");
	say_result("read", read(fd, buf, sizeof(buf)));
	start(&w, fd, EPOLLIN | EPOLLET, 400);
	say_result("close of the set", close(w.set));
	finish(&w, "time-out after it");

	start(&w, fd, EPOLLIN | EPOLLONESHOT, 10000);
	other = duo_set_new();
	say_result("another set takes its number", dup2(other, w.set) == w.set ? 0 : -1);
	duo_post();
	finish(&w, "input after it");
	say_event(w.set, "the new set", 0);
	say_result("read", read(fd, buf, sizeof(buf)));
	close(other);
	close(w.set);

	/* the only number: the kernel takes it out of the set */
	start(&w, fd, EPOLLIN | EPOLLRDHUP, 400);
	say_result("close of the stream", close(fd));
	duo_post();
	finish(&w, "nothing more");
	close(w.set);

	fd = duo_another_warm();
	other = dup(fd);
	start(&w, fd, EPOLLIN | EPOLLRDHUP, 10000);
	say_result("close of one of two", close(fd));
	duo_post();
	finish(&w, "input after it");
	say_result("read", read(other, buf, sizeof(buf)));
	say_result("close", close(other));
	say_event(w.set, "the set", 20);
	close(w.set);

	fd = duo_another_warm();
	other = duo_another_warm();
	start(&w, fd, EPOLLIN, 10000);
	say_result("another stream takes the number", dup2(other, fd) == fd ? 0 : -1);
	duo_set_ctl(w.set, EPOLL_CTL_ADD, fd, EPOLLIN, 8);
	duo_post();
	finish(&w, "input of it");
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_post();
}

static void client(int fd)
{
	char byte;
	int other;

	duo_warmup(fd);
	for (int i = 0; i < 2; i++) {
		duo_await();
		duo_write_all(fd, "hello", 5);
	}
	duo_await();
	say_result("read at end", read(fd, &byte, 1));
	close(fd);
	fd = duo_another_warm();
	duo_await();
	duo_write_all(fd, "hello", 5);
	say_result("read at end", read(fd, &byte, 1));
	close(fd);
	fd = duo_another_warm();
	other = duo_another_warm();
	duo_await();
	duo_write_all(other, "hello", 5);
	say_result("read at end", read(fd, &byte, 1));
	duo_await();
}

DUO_PROGRAM(.description = "sets and streams closed while a thread waits", .server = server,
	    .client = client)
