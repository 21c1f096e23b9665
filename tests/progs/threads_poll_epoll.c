/* SPDX-License-Identifier: MIT */
/*
 * Description: one thread sleeps in poll for input, another registers the stream in a
 * set and sleeps there for room; each is woken by what it waits for.
 */
#include "duo.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#define ROUNDS 20

struct reader {
	int fd;
	_Atomic pid_t tid;
	short events;
};

static void *wait_for_input(void *arg)
{
	struct reader *r = arg;

	r->tid = (pid_t)syscall(SYS_gettid);
	r->events = duo_poll(r->fd, POLLIN, -1);
	return NULL;
}

static void one_round(int fd, uint32_t bits)
{
	struct epoll_event event = {.events = bits};
	struct reader reader = {.fd = fd};
	pthread_t thread;
	char byte;
	int set = epoll_create1(EPOLL_CLOEXEC);
	size_t filled;

	if (pthread_create(&thread, NULL, wait_for_input, &reader))
		die("pthread_create");
	while (!reader.tid)
		usleep(100);
	duo_await_asleep(getpid(), reader.tid);
	filled = duo_fill_up(fd);
	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
		die("ADD");
	duo_tell((int)filled);
	if (epoll_wait(set, &event, 1, 10000) != 1 || !(event.events & EPOLLOUT))
		die("no room: %s", duo_epoll_bits(event.events));
	pthread_join(thread, NULL);
	if (reader.events != POLLIN || read(fd, &byte, 1) != 1)
		die("no input: %s", duo_poll_bits(reader.events));
	close(set);
}

static void server(int fd)
{
	for (int i = 0; i < ROUNDS; i++) {
		fd = duo_another_warm();
		duo_set_nonblock(fd, true);
		one_round(fd, i % 2 ? EPOLLOUT : EPOLLOUT | EPOLLET);
		close(fd);
	}
	say("%d rounds", ROUNDS);
}

static void client(int fd)
{
	static char buf[1 << 16];
	size_t left, part;

	for (int i = 0; i < ROUNDS; i++) {
		fd = duo_another_warm();
		for (left = (size_t)duo_hear(); left; left -= part) {
			part = duo_read_all(fd, buf, left < sizeof(buf) ? left : sizeof(buf));
			if (!part)
				die("end");
		}
		/* at once: who takes the news of one thread takes it of both */
		duo_write_all(fd, "x", 1);
		duo_read_all(fd, buf, 1);
		close(fd);
	}
}

DUO_PROGRAM(.description = "threads in poll and in an epoll set", .server = server,
	    .client = client)
