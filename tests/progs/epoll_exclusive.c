/* SPDX-License-Identifier: MIT */
/*
 * Description: EPOLLEXCLUSIVE: what the kernel refuses; a listener in the sets of several
 * processes and a stream in the sets of two threads: everything is answered.
 */
#include "sets.h"

#define CLIENTS 12
#define ROUNDS 40

static void ctl(const char *what, int set, int op, int fd, uint32_t bits)
{
	struct epoll_event event = {.events = bits, .data.u64 = 7};

	say_result(what, epoll_ctl(set, op, fd, &event));
}

static void refusals(int fd)
{
	int set = duo_set_new(), inner = duo_set_new();

	ctl("with RDHUP", set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP | EPOLLEXCLUSIVE);
	ctl("with PRI", set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLPRI | EPOLLEXCLUSIVE);
	ctl("with one-shot", set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT | EPOLLEXCLUSIVE);
	ctl("of a set", set, EPOLL_CTL_ADD, inner, EPOLLIN | EPOLLEXCLUSIVE);
	ctl("ADD", set, EPOLL_CTL_ADD, fd, EPOLLIN);
	ctl("ADD again", set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE);
	ctl("MOD to exclusive", set, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLEXCLUSIVE);
	say_event(set, "nothing", 0);
	ctl("DEL", set, EPOLL_CTL_DEL, fd, EPOLLEXCLUSIVE);
	ctl("MOD of none", set, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLEXCLUSIVE);
	ctl("MOD of none", set, EPOLL_CTL_MOD, fd, EPOLLIN);
	ctl("operation 77", set, 77, fd, EPOLLIN);
	ctl("edge", set, EPOLL_CTL_ADD, fd,
	    EPOLLIN | EPOLLOUT | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE);
	say_event(set, "writable", 0);
	say_event(set, "once", 0);
	ctl("MOD of exclusive", set, EPOLL_CTL_MOD, fd, EPOLLIN);
	ctl("DEL", set, EPOLL_CTL_DEL, fd, 0);
	ctl("ADD", set, EPOLL_CTL_ADD, fd, EPOLLIN);
	duo_post();
	say_event(set, "input", 5000);
	duo_post();
	duo_drain(fd);
	close(inner);
	close(set);
}

/* A child: serves whom it can accept, until it is killed. */
static void serve(int listener)
{
	int set = duo_set_new();
	struct epoll_event event;
	char buf[16];

	duo_set_ctl(set, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLEXCLUSIVE, (uint64_t)-1);
	for (;;) {
		int fd = -1;

		if (epoll_wait(set, &event, 1, -1) != 1)
			die("epoll_wait");
		if (event.data.u64 == (uint64_t)-1) {
			fd = accept(listener, NULL, NULL);
			if (fd >= 0)
				duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE,
					    (uint64_t)fd);
			continue;
		}
		fd = (int)event.data.u64;
		if (duo_read_all(fd, buf, sizeof(buf)) == sizeof(buf))
			duo_write_all(fd, buf, sizeof(buf));
		else
			close(fd);
	}
}

struct taker {
	struct duo_thread thread;
	int fd;
	int set;
};

static _Atomic int taken;

static void take(void *arg)
{
	struct taker *t = arg;
	struct epoll_event event;
	char byte;

	for (;;) {
		if (epoll_wait(t->set, &event, 1, -1) != 1)
			die("epoll_wait");
		while (recv(t->fd, &byte, 1, MSG_DONTWAIT) == 1) {
			if (byte == 'q') {
				duo_post();
				return;
			}
			taken++;
			duo_write_all(t->fd, &byte, 1);
		}
	}
}

static void server(int fd)
{
	struct taker takers[2];
	pid_t children[3];

	duo_warmup(fd);
	refusals(fd);
	close(fd);

	duo_set_nonblock(duo_listener(), true);
	for (int i = 0; i < 3; i++) {
		children[i] = duo_fork();
		if (children[i] == 0)
			serve(duo_listener());
	}
	duo_meet();
	for (int i = 0; i < 3; i++) {
		kill(children[i], SIGKILL);
		duo_reap(children[i], "child");
	}
	duo_set_nonblock(duo_listener(), false);

	duo_post();
	fd = duo_another_warm();
	for (int i = 0; i < 2; i++) {
		takers[i] = (struct taker){.fd = fd, .set = duo_set_new()};
		duo_set_ctl(takers[i].set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE, 1);
		duo_thread_asleep(&takers[i].thread, take, &takers[i]);
	}
	duo_post();
	for (int i = 0; i < 2; i++)
		duo_thread_join(&takers[i].thread);
	say("taken %d", taken);
}

static void client(int fd)
{
	int fds[CLIENTS];
	char byte = 'x';

	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "input", 5);
	duo_await();
	close(fd);

	for (int i = 0; i < CLIENTS; i++)
		fds[i] = duo_another();
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CLIENTS; i++) {
			char text[17], buf[16];

			snprintf(text, sizeof(text), "round %3d of %3d", round, i);
			duo_write_all(fds[i], text, 16);
			if (duo_read_all(fds[i], buf, 16) != 16 || memcmp(buf, text, 16))
				die("wrong answer");
		}
	}
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	say("all answered");
	duo_meet();

	duo_await();
	fd = duo_another_warm();
	duo_await();
	for (int i = 0; i < ROUNDS; i++) {
		duo_write_all(fd, &byte, 1);
		duo_read_all(fd, &byte, 1);
	}
	for (int i = 0; i < 2; i++) {
		duo_write_all(fd, "q", 1);
		duo_await();
	}
}

DUO_PROGRAM(.description = "EPOLLEXCLUSIVE", .server = server, .client = client)
