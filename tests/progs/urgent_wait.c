/* SPDX-License-Identifier: MIT */
/*
 * Description: urgent data of a TCP stream in use wakes select for exceptions, epoll with
 * PRI, level, edge and one-shot, and poll; asleep, and beside ordinary input.
 */
#include "sets.h"

#include <sys/select.h>

static int select_exceptions(int fd)
{
	struct timeval tv = {5, 0};
	fd_set in, ex;
	int n;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	ex = in;
	n = select(fd + 1, &in, NULL, &ex, &tv);
	return n < 0 ? n : !!FD_ISSET(fd, &in) + 2 * !!FD_ISSET(fd, &ex);
}

static int only_exceptions(int fd)
{
	struct timeval tv = {5, 0};
	fd_set ex;

	FD_ZERO(&ex);
	FD_SET(fd, &ex);
	return select(fd + 1, NULL, NULL, &ex, &tv);
}

static void one_stream(int fd, int wait)
{
	static const uint32_t bits[] = {EPOLLPRI, EPOLLPRI | EPOLLIN | EPOLLET,
					EPOLLPRI | EPOLLONESHOT};
	int set = duo_set_new();
	char buf[32];

	if (wait < 3)
		duo_set_ctl(set, EPOLL_CTL_ADD, fd, bits[wait], 1);
	duo_tell(getpid());
	if (wait < 3) {
		say_event(set, "PRI", 5000);
	} else if (wait == 3) {
		say_result("exceptions alone", only_exceptions(fd));
	} else {
		say("poll %s", duo_poll_bits(duo_poll(fd, POLLPRI, 5000)));
	}
	duo_await();
	say("select %d", select_exceptions(fd));
	if (wait < 3 && !(bits[wait] & EPOLLET))
		say_event(set, "again", 0);
	say("poll %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLPRI | POLLRDBAND, 0)));
	say_result("recv OOB", recv(fd, buf, 1, MSG_OOB));
	say("'%c', poll %s", buf[0], duo_poll_bits(duo_poll(fd, POLLIN | POLLPRI, 0)));
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("read", recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	duo_post();
	say("select %d", select_exceptions(fd));
	close(set);
}

static void server(int fd)
{
	for (int wait = 0; wait < 5; wait++) {
		fd = wait ? duo_another() : fd;
		duo_warmup(fd);
		say("-- wait %d", wait);
		one_stream(fd, wait);
		close(fd);
	}
}

static void client(int fd)
{
	for (int wait = 0; wait < 5; wait++) {
		pid_t peer;

		fd = wait ? duo_another() : fd;
		duo_warmup(fd);
		peer = duo_hear();
		duo_await_asleep(peer, peer);
		say_result("send OOB", send(fd, "in!", 3, MSG_OOB));
		duo_post();
		duo_await();
		shutdown(fd, SHUT_WR);
		duo_drain(fd);
		close(fd);
	}
}

DUO_PROGRAM(.description = "urgent data and waits", .traits = DUO_TCP, .server = server,
	    .client = client)
