/* SPDX-License-Identifier: MIT */
/*
 * Description: non-blocking connect: EINPROGRESS, writability, SO_ERROR, a second
 * connect; the stream then works, registered in epoll from before the connect.
 */
#include "duo.h"

#include <sys/epoll.h>

static void client(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = duo_address(&address);
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	int set = epoll_create1(EPOLL_CLOEXEC);
	int error = 55, n, one = 1;
	socklen_t error_len = sizeof(error);
	char buf[10];

	fd = duo_socket();
	say_result("write before connect", send(fd, "x", 1, MSG_NOSIGNAL));
	say_result("read before connect", recv(fd, buf, 1, MSG_DONTWAIT));
	say_result("FIONBIO", ioctl(fd, FIONBIO, &one));
	say_result("epoll_ctl", epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	n = epoll_wait(set, &event, 1, 0);
	say("before connect: %s", n > 0 ? duo_epoll_bits(event.events) : "-");
	say_result("connect", connect(fd, (struct sockaddr *)&address, len));
	say("poll OUT: %s", duo_poll_bits(duo_poll(fd, POLLOUT, 5000)));
	/* AF_UNIX connected at once, without an event. */
	n = epoll_wait(set, &event, 1, 20);
	say("connected: %s", n > 0 ? duo_epoll_bits(event.events) : "-");
	say_result("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len));
	say("error %s", duo_errno(error));
	/* TCP lets the second call report success once, then EISCONN. */
	say_result("connect again", connect(fd, (struct sockaddr *)&address, len));
	say_result("connect again", connect(fd, (struct sockaddr *)&address, len));
	duo_set_nonblock(fd, false);
	duo_warmup(fd);
	duo_set_nonblock(fd, true);
	while (epoll_wait(set, &event, 1, 0) > 0)
		;
	duo_post();
	n = epoll_wait(set, &event, 1, 5000);
	say("event: %d %s", n, n > 0 ? duo_epoll_bits(event.events & EPOLLIN) : "-");
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("connect when used", connect(fd, (struct sockaddr *)&address, len));
	duo_post();
}

static void server(int fd)
{
	fd = duo_another_warm();
	duo_await();
	duo_write_all(fd, "hello", 5);
	duo_await();
}

DUO_PROGRAM(.description = "non-blocking connect", .traits = DUO_OWN_SETUP, .server = server,
	    .client = client)
