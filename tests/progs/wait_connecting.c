/* SPDX-License-Identifier: MIT */
/*
 * Description: sockets in poll, select and epoll sets before and while they connect, and a
 * listener beside streams: what is told at each step, and that the registrations serve the
 * stream later; a refused connect.
 */
#include "sets.h"

#include <sys/select.h>

static const uint32_t modes[] = {
	EPOLLIN | EPOLLOUT,
	EPOLLIN | EPOLLOUT | EPOLLET,
	EPOLLOUT | EPOLLONESHOT,
	EPOLLIN | EPOLLRDHUP,
};

#define MODES (sizeof(modes) / sizeof(modes[0]))

static int select_all(int fd)
{
	struct timeval none = {0, 0};
	fd_set in, out, ex;
	int n;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	out = ex = in;
	n = select(fd + 1, &in, &out, &ex, &none);
	return n < 0 ? n : !!FD_ISSET(fd, &in) + 2 * !!FD_ISSET(fd, &out) + 4 * !!FD_ISSET(fd, &ex);
}

static void show(const char *what, int fd, int set)
{
	say("%s: poll %s, select %d", what,
	    duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)), select_all(fd));
	say_event(set, what, 0);
	say_event(set, "again", 0);
}

static void connect_it(size_t mode, bool late)
{
	struct sockaddr_storage address;
	socklen_t len = duo_address(&address);
	int fd = duo_socket(), set = duo_set_new(), error = 0, result;
	socklen_t error_len = sizeof(error);
	char buf[8];

	say("-- mode %zu, %s", mode, late ? "registered after connect" : "registered before");
	duo_set_nonblock(fd, true);
	if (!late) {
		duo_set_ctl(set, EPOLL_CTL_ADD, fd, modes[mode], 1);
		show("new socket", fd, set);
		if (modes[mode] & EPOLLONESHOT)
			duo_set_ctl(set, EPOLL_CTL_MOD, fd, modes[mode], 2);
	}
	result = connect(fd, (struct sockaddr *)&address, len);
	if (result < 0 && errno != EINPROGRESS)
		die("connect");
	if (late)
		duo_set_ctl(set, EPOLL_CTL_ADD, fd, modes[mode], 3);
	duo_await();
	duo_poll(fd, POLLOUT, 5000);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
	say("error %s", duo_errno(error));
	show("connected", fd, set);
	duo_set_nonblock(fd, false);
	duo_warmup(fd);
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, EPOLLIN | (modes[mode] & EPOLLET), 4);
	while (modes[mode] & EPOLLET && epoll_wait(set, &(struct epoll_event){0}, 1, 0) == 1)
		;
	duo_post();
	say_event(set, "input", 5000);
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, modes[mode], 5);
	say_event(set, "as it was", 0);
	duo_post();
	close(set);
	close(fd);
}

static void refused(uint32_t bits)
{
	struct sockaddr_storage address;
	socklen_t len = duo_address(&address);
	int fd = duo_socket(), set = duo_set_new(), error = 0;
	socklen_t error_len = sizeof(error);

	say("-- refused, %x", bits);
	duo_set_nonblock(fd, true);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, bits, 1);
	say_event(set, "before", 0);
	if (connect(fd, (struct sockaddr *)&address, len) < 0)
		say("%s", errno == EINPROGRESS ? "EINPROGRESS" : duo_errno(errno));
	/* loopback answers within the call */
	show("refused", fd, set);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
	say("error %s", duo_errno(error));
	show("error read", fd, set);
	close(set);
	close(fd);
}

static void client(int fd)
{
	struct sockaddr_storage address;

	(void)fd;
	duo_address(&address);
	duo_await();
	for (size_t mode = 0; mode < MODES; mode++) {
		connect_it(mode, false);
		connect_it(mode, true);
	}
	duo_await();
	for (size_t mode = 0; mode < MODES; mode++)
		refused(modes[mode]);
}

static void server(int fd)
{
	int listener = duo_listener(), set = duo_set_new(), streams = duo_set_new();

	duo_set_ctl(set, EPOLL_CTL_ADD, listener, EPOLLIN, 100);
	show("listener", listener, set);
	duo_post();
	for (size_t i = 0; i < 2 * MODES; i++) {
		if (i % 2)
			duo_set_ctl(set, EPOLL_CTL_MOD, listener, EPOLLIN | EPOLLET, 101);
		say_event(set, "somebody comes", 10000);
		say("poll %s, select %d", duo_poll_bits(duo_poll(listener, POLLIN | POLLOUT, 0)),
		    select_all(listener));
		fd = accept(listener, NULL, NULL);
		say_event(set, "accepted", 0);
		duo_set_ctl(streams, EPOLL_CTL_ADD, fd, EPOLLIN, i);
		duo_post();
		duo_warmup(fd);
		duo_await();
		duo_write_all(fd, "hello", 5);
		duo_await();
		say_event(streams, "end", 5000);
		close(fd);
	}
	duo_unlisten();
	duo_post();
}

DUO_PROGRAM(.description = "waits for connecting sockets and listeners",
	    .traits = DUO_OWN_SETUP, .server = server, .client = client)
