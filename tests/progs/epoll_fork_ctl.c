/* SPDX-License-Identifier: MIT */
/*
 * Description: a forked child changes the set that it shares with its parent: DEL, ADD of
 * its own stream, one-shot; the parent's sleep, and what it is told afterwards.
 */
#include "sets.h"

#include <sys/eventfd.h>

static void child_of(const char *what, void (*act)(int set, int fd), int set, int fd)
{
	pid_t child = duo_fork();

	if (child == 0) {
		act(set, fd);
		_exit(0);
	}
	duo_reap(child, what);
}

static void delete(int set, int fd)
{
	duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
}

static void ask_for_room(int set, int fd)
{
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT, 2);
}

static void ask_once(int set, int fd)
{
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, 3);
	duo_post();
	say_event(set, "child", 5000);
	say_event(set, "child again", 0);
}

static void use_own_set(int set, int fd)
{
	int own = duo_set_new();
	char buf[8];

	close(set);
	duo_set_ctl(own, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, 9);
	duo_post();
	say_event(own, "child's own set", 5000);
	say_result("child's read", read(fd, buf, sizeof(buf)));
	duo_post();
	say_event(own, "child's own set", 5000);
	say_event(own, "child's own set again", 0);
}

static void look(int set, int fd)
{
	say_event(set, "child", 0);
	close(fd);
}

/* Both sleep in the set; who is woken by the edge serves it, and who gets the last byte tells
 * the other. */
static void both_sleep(int set, int fd)
{
	int over = eventfd(0, 0), mine = 0, n;
	struct epoll_event event;
	bool last = false;
	pid_t child;
	char byte;

	duo_set_ctl(set, EPOLL_CTL_ADD, over, EPOLLIN, 7);
	child = duo_fork();
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, EPOLLIN, 6);
	do {
		n = epoll_wait(set, &event, 1, 5000);
		last = n == 1 && event.data.u64 == 7;
		if (!last && n == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) == 1) {
			mine++;
			last = byte == 'q';
			if (last)
				eventfd_write(over, 1);
			else
				duo_write_all(fd, &byte, 1);
		}
	} while (n == 1 && !last);
	if (child == 0)
		_exit(n != 1);
	duo_reap(child, "sleeping child");
	say("parent %d, served %d", n, mine >= 0);
	close(over);
}

static void server(int fd)
{
	int set = duo_set_new();
	char buf[16];

	duo_warmup(fd);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
	child_of("child with DEL", delete, set, fd);
	duo_post();
	duo_await_bytes(fd, 5);
	say_event(set, "deleted", 20);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, 1);
	say_event(set, "added", 5000);
	say_result("read", read(fd, buf, sizeof(buf)));
	child_of("child with MOD", ask_for_room, set, fd);
	say_event(set, "parent", 0);
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, EPOLLIN, 1);
	child_of("child with one-shot", ask_once, set, fd);
	say_event(set, "parent, not armed", 20);
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, EPOLLIN, 4);
	say_event(set, "parent", 0);
	say_result("read", read(fd, buf, sizeof(buf)));
	child_of("child with its own set", use_own_set, set, fd);
	say_event(set, "parent", 5000);
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_post();
	both_sleep(set, fd);
	close(set);
	close(fd);

	/* the set is the parent's, the stream the child's own and gone with it */
	fd = duo_another_warm();
	set = duo_set_new();
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
	child_of("child that looks", look, set, fd);
	duo_post();
	say_event(set, "parent", 5000);
}

static void client(int fd)
{
	char byte = 'x';

	duo_warmup(fd);
	for (int i = 0; i < 4; i++) {
		duo_await();
		duo_write_all(fd, "hello", 5);
	}
	duo_await();
	for (int i = 0; i < 30; i++) {
		duo_write_all(fd, &byte, 1);
		duo_read_all(fd, &byte, 1);
	}
	duo_write_all(fd, "q", 1);
	shutdown(fd, SHUT_WR);
	duo_poll(fd, POLLRDHUP, 10000);
	close(fd);
	fd = duo_another_warm();
	duo_await();
	duo_write_all(fd, "hello", 5);
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "a child changes an inherited set", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
