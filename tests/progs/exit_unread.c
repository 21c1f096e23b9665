/* SPDX-License-Identifier: MIT */
/*
 * Description: the peer exits, shuts both ways or is killed while what it sent is
 * unread: POLLRDHUP and EPOLLRDHUP come at once, and stay, beside the input.
 */
#include "duo.h"

#include <sys/epoll.h>

static void leave(int fd, int way)
{
	char bytes[100] = "";
	pid_t child = duo_fork();

	if (child) {
		close(fd);
		duo_reap(child, "child");
		duo_post();
		return;
	}
	duo_side_open();
	duo_warmup(fd);
	duo_write_all(fd, bytes, sizeof(bytes));
	if (way == 0)
		shutdown(fd, SHUT_RDWR);
	if (way < 2)
		_exit(0);
	kill(getpid(), SIGKILL);
}

static void stay(int fd)
{
	struct epoll_event ev = {.events = EPOLLRDHUP}, got = {0};
	int set = epoll_create1(0);
	char buf[200];

	duo_warmup(fd);
	say("poll for RDHUP: %s", duo_poll_bits(duo_poll(fd, POLLRDHUP, 2000)));
	duo_await();
	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
	epoll_wait(set, &got, 1, 2000);
	say("epoll for RDHUP: %s", duo_epoll_bits(got.events));
	say("poll for all: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)));
	say_result("read", read(fd, buf, sizeof(buf)));
	say("poll for all: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)));
	say_result("read", read(fd, buf, sizeof(buf)));
	close(set);
	close(fd);
}

static void server(int fd)
{
	for (int i = 0; i < 3; i++)
		leave(duo_another(), i);
	close(fd);
}

static void client(int fd)
{
	for (int i = 0; i < 3; i++)
		stay(duo_another());
	close(fd);
}

DUO_PROGRAM(.description = "a peer that exits while what it sent is unread",
	    .traits = DUO_ANY_ROAD, .server = server, .client = client)
