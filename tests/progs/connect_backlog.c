/* SPDX-License-Identifier: MIT */
/*
 * Description: connects to a listener whose backlog is full: non-blocking, with
 * SO_SNDTIMEO, interrupted by a signal; what such a socket says of itself, and that
 * all are streams once there was room.
 */
#include "calls.h"

#define WAITING 3

static void state(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer), error_len = sizeof(int);
	int error = 55;
	char byte;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
	say("  SO_ERROR %s", duo_errno(error));
	say("  poll %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT, 20)));
	say_result("  getpeername", getpeername(fd, (struct sockaddr *)&peer, &len));
	say_result("  read", recv(fd, &byte, 1, MSG_DONTWAIT));
	say_result("  write", send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static int try_connect(const char *what, int fd)
{
	struct sockaddr_storage address;
	socklen_t len = duo_address(&address);
	int ret = connect(fd, (struct sockaddr *)&address, len);

	return (int)say_result(what, ret);
}

static void client(int fd)
{
	int waiting[WAITING], first = duo_socket();

	(void)fd;
	duo_await();
	try_connect("first", first);
	/* Is in the queue, and used before it is accepted. */
	say_result("write", write(first, "early", 5));
	for (int i = 0; i < WAITING; i++)
		waiting[i] = duo_socket();

	duo_set_nonblock(waiting[0], true);
	try_connect("non-blocking", waiting[0]);
	state(waiting[0]);
	try_connect("again", waiting[0]);

	set_timeout(waiting[1], SO_SNDTIMEO, 60);
	try_connect("with a time-out", waiting[1]);
	state(waiting[1]);

	expect_trouble(SIGNAL);
	try_connect("interrupted", waiting[2]);
	duo_post();
	state(waiting[2]);

	duo_post();
	/* TCP goes on by itself; AF_UNIX has to be asked again. */
	for (int i = 0; i < WAITING; i++) {
		struct sockaddr_storage address;
		socklen_t len = duo_address(&address);

		duo_set_nonblock(waiting[i], false);
		set_timeout(waiting[i], SO_SNDTIMEO, 0);
		if (connect(waiting[i], (struct sockaddr *)&address, len) < 0 && errno != EISCONN)
			say("connect %d: %s", i, duo_errno(errno));
	}
	duo_warmup(first);
	for (int i = 0; i < WAITING; i++) {
		duo_warmup(waiting[i]);
		say("stream %d is one", i);
		/* in the order in which they were accepted */
		close(waiting[i]);
	}
}

static int by_poll_and_accept(void)
{
	int fd;

	duo_poll(duo_listener(), POLLIN, -1);
	fd = accept(duo_listener(), NULL, NULL);
	if (fd < 0)
		die("accept");
	return fd;
}

static void server(int fd)
{
	int first, others[WAITING];
	char buf[5];

	(void)fd;
	if (listen(duo_listener(), 0) < 0)
		die("listen");
	duo_post();
	make_trouble();
	duo_await();
	duo_await();
	/* room for all, or TCP would drop one of them again */
	if (listen(duo_listener(), 16) < 0)
		die("listen");
	first = by_poll_and_accept();
	duo_read_all(first, buf, 5);
	for (int i = 0; i < WAITING; i++)
		others[i] = by_poll_and_accept();
	duo_warmup(first);
	/* whichever came first */
	for (int i = 0; i < WAITING; i++) {
		struct pollfd p[WAITING];

		for (int k = 0; k < WAITING; k++)
			p[k] = (struct pollfd){.fd = others[k], .events = POLLIN};
		poll(p, WAITING, -1);
		for (int k = 0; k < WAITING; k++) {
			if (!p[k].revents)
				continue;
			duo_warmup(others[k]);
			say_result("read at end", read(others[k], buf, 1));
			close(others[k]);
			others[k] = -1;
			break;
		}
	}
}

DUO_PROGRAM(.description = "connect and a full backlog", .traits = DUO_OWN_SETUP,
	    .server = server, .client = client)
