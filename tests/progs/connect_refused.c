/* SPDX-License-Identifier: MIT */
/*
 * Description: a refused connect, blocking and not; the socket may be used again;
 * a listener's socket and an unconnected one refuse data calls.
 */
#include "duo.h"

static void client(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = duo_address(&address);
	int error = 55;
	socklen_t error_len = sizeof(error);
	char buf[10];

	duo_warmup(fd);
	duo_await();
	duo_warmup(fd);
	close(fd);
	fd = duo_socket();
	say_result("connect", connect(fd, (struct sockaddr *)&address, len));
	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT, 0) & (POLLERR | POLLNVAL)));
	say_result("write", send(fd, "x", 1, MSG_NOSIGNAL));
	say_result("connect again", connect(fd, (struct sockaddr *)&address, len));
	close(fd);
	fd = duo_socket();
	duo_set_nonblock(fd, true);
	if (connect(fd, (struct sockaddr *)&address, len) < 0 && errno == EINPROGRESS) {
		say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT, 5000)));
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
		say("error %s", duo_errno(error));
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
		say("error %s", duo_errno(error));
	} else {
		say("at once: %s", duo_errno(errno));
	}
	say_result("read", recv(fd, buf, sizeof(buf), 0) < 0 ? -1 : 0);
	duo_post();
}

static void server(int fd)
{
	int listener = duo_listener();
	char buf[10];

	duo_warmup(fd);
	say_result("read of the listener", recv(listener, buf, 1, MSG_DONTWAIT));
	say_result("write to the listener", send(listener, buf, 1, MSG_NOSIGNAL));
	duo_set_nonblock(listener, true);
	say_result("accept of nothing", accept(listener, NULL, NULL));
	say("poll listener: %s", duo_poll_bits(duo_poll(listener, POLLIN, 0)));
	say_result("accept of a stream", accept(fd, NULL, NULL));
	duo_unlisten();
	duo_post();
	duo_warmup(fd);
	duo_await();
}

DUO_PROGRAM(.description = "refused connects and listeners", .server = server, .client = client)
