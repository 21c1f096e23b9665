/* SPDX-License-Identifier: MIT */
/* Description: MSG_TRUNC throws bytes away on TCP and is ignored by AF_UNIX streams. */
#include "duo.h"

static void show(const char *what, ssize_t n, const char *buf)
{
	say("%s -> %zd %s '%.4s'", what, n, n < 0 ? duo_errno(errno) : "", buf);
}

static void server(int fd)
{
	char buf[100] = "----";

	duo_warmup(fd);
	duo_await();
	duo_await_bytes(fd, 20);
	show("recv trunc 4", recv(fd, buf, 4, MSG_TRUNC), buf);
	memcpy(buf, "----", 5);
	show("recv trunc peek 4", recv(fd, buf, 4, MSG_TRUNC | MSG_PEEK), buf);
	memcpy(buf, "----", 5);
	show("recv 4", recv(fd, buf, 4, 0), buf);
	memcpy(buf, "----", 5);
	show("recv trunc 100", recv(fd, buf, 100, MSG_TRUNC), buf);
	memcpy(buf, "----", 5);
	show("recv trunc dontwait", recv(fd, buf, 100, MSG_TRUNC | MSG_DONTWAIT), buf);
	if (duo_is_tcp()) {
		duo_post();
		duo_await();
		duo_await_bytes(fd, 20);
		show("recv trunc into NULL", recv(fd, NULL, 10, MSG_TRUNC), "");
		show("recv", recv(fd, buf, 4, 0), buf);
	}
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_write_all(fd, "abcdefghijklmnopqrst", 20);
	duo_post();
	if (duo_is_tcp()) {
		duo_await();
		duo_write_all(fd, "abcdefghijklmnopqrst", 20);
		duo_post();
	}
	/* Leave only after the peer. */
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "MSG_TRUNC", .server = server, .client = client)
