/* SPDX-License-Identifier: MIT */
/*
 * Description: bytes sent with MSG_MORE or under TCP_CORK arrive in order and
 * complete once the last part is sent, the cork is pulled or the end comes.
 */
#include "duo.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

static void receive(int fd, size_t len)
{
	char buf[100] = "";
	size_t got = duo_read_all(fd, buf, len);

	say("read %zu '%.*s'", got, (int)got, buf);
}

static void server(int fd)
{
	duo_warmup(fd);
	receive(fd, 9);
	duo_post();
	receive(fd, 6);
	duo_post();
	receive(fd, 4);
	receive(fd, 4);
}

static void client(int fd)
{
	int on = 1, off = 0;

	duo_warmup(fd);
	say_result("send more", send(fd, "one", 3, MSG_MORE));
	say_result("send more", send(fd, "two", 3, MSG_MORE));
	say_result("send", send(fd, "six", 3, 0));
	duo_await();
	if (duo_is_tcp())
		say_result("cork", setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)));
	say_result("write", write(fd, "abc", 3));
	say_result("write", write(fd, "def", 3));
	if (duo_is_tcp())
		say_result("uncork", setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off)));
	duo_await();
	say_result("send more", send(fd, "last", 4, MSG_MORE));
	say_result("close", close(fd));
}

DUO_PROGRAM(.description = "MSG_MORE and TCP_CORK", .server = server, .client = client)
