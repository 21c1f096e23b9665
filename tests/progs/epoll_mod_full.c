/* SPDX-License-Identifier: MIT */
/*
 * Description: a thread sleeps in epoll_wait since before the first byte; the kernel's
 * send buffer is full when the stream moves; MOD wakes the sleeper, and so does room.
 */
#include "duo.h"

#include <sys/epoll.h>

#define BLOCK  (4u << 20)

/* Where the big message may be the last by the kernel: messages before it, and
 * receives of nothing; and once long after. */
static const struct {
	int messages, looks;
} rounds[] = {{1, 0}, {1, 1}, {4, 0}, {4, 1}, {4, 2}, {5, 0}, {20, 0}};

#define ROUNDS (sizeof(rounds) / sizeof(rounds[0]))

struct waiter {
	struct duo_thread thread;
	int set;
	int result;
	struct epoll_event event;
};

static void wait_in_set(void *arg)
{
	struct waiter *w = arg;

	w->result = epoll_wait(w->set, &w->event, 1, 5000);
}

static void ctl(const struct waiter *w, int op, int fd, uint32_t bits, uint64_t data)
{
	struct epoll_event event = {.events = bits, .data.u64 = data};

	if (epoll_ctl(w->set, op, fd, &event) < 0)
		die("epoll_ctl");
}

static void finish(struct waiter *w, size_t round, const char *what)
{
	duo_thread_join(&w->thread);
	say("round %zu, %s: %d %s %llu", round, what, w->result,
	    w->result > 0 ? duo_epoll_bits(w->event.events) : "-",
	    (unsigned long long)w->event.data.u64);
}

/* Never asleep in a receive: another thread sleeps on the stream. */
static void exchange(int fd, int messages)
{
	char buf[16];

	for (int i = 0; i < messages; i++) {
		duo_await_bytes(fd, sizeof(buf));
		duo_read_all(fd, buf, sizeof(buf));
		duo_write_all(fd, buf, sizeof(buf));
	}
}

static void one_round(int fd, size_t round)
{
	struct waiter w = {.set = epoll_create1(EPOLL_CLOEXEC)};
	static char block[BLOCK];
	size_t filled;
	ssize_t n;
	char byte;

	ctl(&w, EPOLL_CTL_ADD, fd, 0, 1);
	duo_thread_asleep(&w.thread, wait_in_set, &w);
	exchange(fd, rounds[round].messages);
	duo_await();
	for (int i = 0; i < rounds[round].looks; i++)
		recv(fd, &byte, 1, MSG_DONTWAIT);
	/* more than fits: if this is the last message by the kernel, it fills that */
	n = send(fd, block, BLOCK, MSG_DONTWAIT);
	if (n <= 0)
		die("send %zd", n);
	filled = (size_t)n + duo_fill_up(fd);
	duo_tell((int)filled);
	duo_await_bytes(fd, 1);
	if (read(fd, &byte, 1) != 1)
		die("read");
	duo_post();
	duo_await_bytes(fd, 1);
	duo_await_asleep(getpid(), w.thread.tid);
	ctl(&w, EPOLL_CTL_MOD, fd, EPOLLIN, 2);
	finish(&w, round, "MOD");

	ctl(&w, EPOLL_CTL_MOD, fd, EPOLLOUT, 3);
	duo_thread_asleep(&w.thread, wait_in_set, &w);
	ctl(&w, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT, 4);
	finish(&w, round, "MOD with input");

	if (read(fd, &byte, 1) != 1)
		die("read");
	ctl(&w, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT, 5);
	duo_thread_asleep(&w.thread, wait_in_set, &w);
	duo_post();
	finish(&w, round, "room");
	close(w.set);
}

static void server(int fd)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		fd = i ? duo_another() : fd;
		one_round(fd, i);
		close(fd);
	}
}

static void client(int fd)
{
	static char buf[1 << 16];
	size_t left, part;

	for (size_t i = 0; i < ROUNDS; i++) {
		fd = i ? duo_another() : fd;
		for (int k = 0; k < rounds[i].messages; k++) {
			duo_write_all(fd, "a line of text\n", 16);
			duo_read_all(fd, buf, 16);
		}
		duo_post();
		left = (size_t)duo_hear();
		/* the first of them may be the last by the kernel */
		for (int k = 0; k < 2; k++) {
			duo_write_all(fd, "x", 1);
			duo_await();
		}
		for (; left; left -= part) {
			part = duo_read_all(fd, buf, left < sizeof(buf) ? left : sizeof(buf));
			if (!part)
				die("end");
		}
		say_result("read at end", read(fd, buf, 1));
		close(fd);
	}
}

DUO_PROGRAM(.description = "MOD wakes a sleeper though the kernel's buffer is full",
	    .server = server, .client = client)
