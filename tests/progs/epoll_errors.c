/* SPDX-License-Identifier: MIT */
/* Description: the errors of epoll_create, epoll_ctl and epoll_wait, and EPOLLEXCLUSIVE. */
#include "duo.h"

#include <sys/epoll.h>

/* volatile: the compiler must not know. */
static struct epoll_event *volatile bad_pointer = (struct epoll_event *)8;
static volatile int zero, minus_one = -1;

static void server(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct epoll_event exclusive = {.events = EPOLLIN | EPOLLEXCLUSIVE};
	struct epoll_event wrong = {.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT};
	int set, copy, file;

	duo_warmup(fd);
	say_result("create 0", epoll_create(zero));
	say_result("create1 flags", epoll_create1(0x1234));
	set = epoll_create(5);
	copy = dup(set);
	file = open("/dev/null", O_RDONLY);
	say("cloexec %d", fcntl(set, F_GETFD));
	say_result("MOD before ADD", epoll_ctl(set, EPOLL_CTL_MOD, fd, &event));
	say_result("DEL before ADD", epoll_ctl(set, EPOLL_CTL_DEL, fd, &event));
	say_result("ADD of NULL", epoll_ctl(set, EPOLL_CTL_ADD, fd, NULL));
	say_result("ADD of a bad pointer", epoll_ctl(set, EPOLL_CTL_ADD, fd, bad_pointer));
	say_result("ADD", epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	say_result("ADD again", epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	say_result("ADD by the other number of the set",
		   epoll_ctl(copy, EPOLL_CTL_ADD, fd, &event));
	say_result("MOD by it", epoll_ctl(copy, EPOLL_CTL_MOD, fd, &event));
	say_result("ADD of -1", epoll_ctl(set, EPOLL_CTL_ADD, -1, &event));
	say_result("ADD of a closed one", epoll_ctl(set, EPOLL_CTL_ADD, 700, &event));
	say_result("ADD to -1", epoll_ctl(-1, EPOLL_CTL_ADD, fd, &event));
	say_result("ADD to a stream", epoll_ctl(fd, EPOLL_CTL_ADD, set, &event));
	say_result("ADD to itself", epoll_ctl(set, EPOLL_CTL_ADD, set, &event));
	say_result("ADD of a file", epoll_ctl(set, EPOLL_CTL_ADD, file, &event));
	say_result("operation 77", epoll_ctl(set, 77, fd, &event));
	say_result("wait for 0", epoll_wait(set, &event, zero, 0));
	say_result("wait for -1", epoll_wait(set, &event, minus_one, 0));
	say_result("wait on a stream", epoll_wait(fd, &event, 1, 0));
	say_result("wait on -1", epoll_wait(-1, &event, 1, 0));
	say_result("wait on a closed one", epoll_wait(701, &event, 1, 0));
	say_result("wait, nothing there", epoll_wait(set, &event, 1, 0));
	duo_meet();
	duo_poll(fd, POLLIN, -1);
	say_result("wait into a bad pointer", epoll_wait(set, bad_pointer, 1, 0));
	say_result("wait", epoll_wait(copy, &event, 1, 0));
	say_result("DEL", epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL));
	say_result("DEL again", epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL));
	say_result("exclusive with oneshot", epoll_ctl(set, EPOLL_CTL_ADD, fd, &wrong));
	say_result("ADD exclusive", epoll_ctl(set, EPOLL_CTL_ADD, fd, &exclusive));
	say_result("MOD exclusive", epoll_ctl(set, EPOLL_CTL_MOD, fd, &event));
	say_result("wait", epoll_wait(set, &event, 1, -1));
	say_result("close", close(set));
	say_result("wait by the other number", epoll_wait(copy, &event, 1, 0));
	say_result("wait by the closed number", epoll_wait(set, &event, 1, 0));
	say_result("close", close(copy));
	say_result("wait", epoll_wait(copy, &event, 1, 0));
	duo_post();
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_meet();
	duo_write_all(fd, "x", 1);
	duo_await();
}

DUO_PROGRAM(.description = "epoll errors", .server = server, .client = client)
