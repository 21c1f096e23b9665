/* SPDX-License-Identifier: MIT */
/* Description: close with SO_LINGER on and 0 seconds resets a TCP stream, unless both ends
 * have shut their direction. */
#include "duo.h"

static void server(int fd)
{
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};
	struct linger got = {0, 0};
	socklen_t len = sizeof(got);

	duo_warmup(fd);
	duo_write_all(fd, "last words", 10);
	duo_await();
	say_result("SO_LINGER", setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
	say_result("SO_LINGER back", getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &len));
	say("linger %d %d", got.l_onoff, got.l_linger);
	say_result("close", close(fd));
	duo_meet();

	fd = duo_another_warm();
	shutdown(fd, SHUT_WR);
	duo_meet();
	say_result("read", read(fd, &got, sizeof(got)));
	say_result("SO_LINGER", setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
	say_result("close", close(fd));
	duo_post();
}

static void client(int fd)
{
	char buf[100];
	int error = 0;
	socklen_t len = sizeof(error);

	signal(SIGPIPE, SIG_IGN);
	duo_warmup(fd);
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_post();
	duo_meet();
	say("poll nothing: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	say("poll all: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)));
	say_result("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	say("error %s", duo_errno(error));
	say_result("SO_ERROR again", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	say("error %s", duo_errno(error));
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("write", write(fd, buf, 1));
	say_result("write", send(fd, buf, 1, MSG_NOSIGNAL));

	fd = duo_another_warm();
	shutdown(fd, SHUT_WR);
	duo_meet();
	duo_await();
	say("both shut: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)));
	say_result("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	say("error %s", duo_errno(error));
	say_result("read", read(fd, buf, sizeof(buf)));
}

DUO_PROGRAM(.description = "SO_LINGER 0 resets", .server = server, .client = client)
