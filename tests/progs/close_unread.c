/* SPDX-License-Identifier: MIT */
/*
 * Description: closing with unread input resets the stream; the peer still gets
 * what was sent before, then ECONNRESET once, then end of stream.
 */
#include "duo.h"

static void server(int fd)
{
	char buf[100];

	signal(SIGPIPE, SIG_IGN);
	for (int with_answer = 0; with_answer < 2; with_answer++) {
		duo_warmup(fd);
		duo_await_bytes(fd, 5000);
		say_result("read a part", read(fd, buf, sizeof(buf)));
		if (with_answer)
			duo_write_all(fd, "answer", 6);
		say_result("close", close(fd));
		duo_meet();
		if (!with_answer)
			fd = duo_another();
	}
}

static void client(int fd)
{
	static char buf[5000];

	signal(SIGPIPE, SIG_IGN);
	for (int with_answer = 0; with_answer < 2; with_answer++) {
		short bits;

		duo_warmup(fd);
		duo_write_all(fd, buf, sizeof(buf));
		duo_meet();
		/* ERR and HUP come unasked; wait for the reset itself. */
		bits = duo_poll(fd, 0, 5000);
		say("poll nothing: %s", duo_poll_bits(bits));
		say("poll all: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)));
		for (int i = 0; i < 4; i++)
			say_result("read", read(fd, buf, sizeof(buf)));
		say("poll all: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)));
		say_result("write", write(fd, buf, 1));
		say_result("write", write(fd, buf, 1));
		say_result("close", close(fd));
		if (!with_answer)
			fd = duo_another();
	}
}

DUO_PROGRAM(.description = "close with unread input is a reset", .server = server, .client = client)
