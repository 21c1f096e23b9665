/* SPDX-License-Identifier: MIT */
/*
 * Description: connect to AF_UNSPEC dissolves a TCP stream, the peer sees its end;
 * the same socket then connects anew and works.
 */
#include "duo.h"

static void client(int fd)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_storage address;
	socklen_t len = duo_address(&address);
	char buf[10];

	duo_warmup(fd);
	say_result("disconnect", connect(fd, &none, sizeof(none)));
	say_result("write", send(fd, "x", 1, MSG_NOSIGNAL));
	say_result("read", recv(fd, buf, 1, MSG_DONTWAIT));
	duo_await();
	say_result("connect anew", connect(fd, (struct sockaddr *)&address, len));
	duo_warmup(fd);
	say_result("read", read(fd, buf, sizeof(buf)));
}

static void server(int fd)
{
	char buf[10];
	short bits;

	duo_warmup(fd);
	/* The kernel sets the error first and the state next (linux/net/ipv4/tcp_input.c,
	 * tcp_reset): who looks in between sees ERR alone for an instant. */
	do {
		bits = duo_poll(fd, 0, 5000);
	} while (bits == POLLERR);
	say("poll: %s", duo_poll_bits(bits));
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_post();
	close(fd);
	fd = duo_another_warm();
	duo_write_all(fd, "hello", 5);
}

DUO_PROGRAM(.description = "AF_UNSPEC disconnects", .traits = DUO_TCP, .server = server,
	    .client = client)
