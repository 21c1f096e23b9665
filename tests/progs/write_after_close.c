/* SPDX-License-Identifier: MIT */
/*
 * Description: writing to a peer that closed in good order gives the errors the
 * kernel gives, in its order.
 */
#include "duo.h"

static void server(int fd)
{
	char buf[10];

	duo_warmup(fd);
	duo_read_all(fd, buf, 5);
	say_result("close", close(fd));
	duo_meet();
}

static void client(int fd)
{
	const short all = POLLIN | POLLOUT | POLLRDHUP;
	char buf[10];

	signal(SIGPIPE, SIG_IGN);
	duo_warmup(fd);
	duo_write_all(fd, "hello", 5);
	duo_meet();
	say("poll RDHUP: %s", duo_poll_bits(duo_poll(fd, POLLRDHUP, 5000)));
	say("poll all: %s", duo_poll_bits(duo_poll(fd, all, 0)));
	say_result("first write", write(fd, "a", 1));
	/* On TCP the write was taken and met nobody: wait for the answer. */
	say("poll nothing: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	say_result("second write", write(fd, "b", 1));
	say_result("third write", write(fd, "c", 1));
	say_result("send", send(fd, "d", 1, MSG_NOSIGNAL));
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("read", read(fd, buf, sizeof(buf)));
	say("poll all: %s", duo_poll_bits(duo_poll(fd, all, 0)));
}

DUO_PROGRAM(.description = "write after the peer closed", .server = server, .client = client)
