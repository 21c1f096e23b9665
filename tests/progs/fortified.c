/* SPDX-License-Identifier: MIT */
/*
 * Description: a program built with _FORTIFY_SOURCE calls __read_chk, __recv_chk,
 * __recvfrom_chk and __poll_chk; they work, and still stop an overflow.
 */
#ifndef LEVEL
#define LEVEL 2
#endif
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE LEVEL
#include "duo.h"

#include <sys/prctl.h>

/* Not constant for the compiler: the checked variants must be called. */
static volatile size_t length = 10;

static void server(int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1}};
	char buf[20];

	duo_warmup(fd);
	duo_post();
	say_result("poll", poll(p, length / 5, 5000));
	say("%s", duo_poll_bits(p[0].revents));
	say_result("read", read(fd, buf, length));
	duo_post();
	say_result("recv", recv(fd, buf, length, 0));
	duo_post();
	say_result("recvfrom", recvfrom(fd, buf, length, 0, NULL, NULL));
	/* No core file for a death that is asked for. */
	prctl(PR_SET_DUMPABLE, 0);
	length = 21;
	say("about to die");
	say_result("read too much", read(fd, buf, length));
}

static void client(int fd)
{
	char byte;

	duo_warmup(fd);
	for (int i = 0; i < 3; i++) {
		duo_await();
		say_result("write", write(fd, "0123456789", length));
	}
	say_result("read at end", read(fd, &byte, length / 10));
}

DUO_PROGRAM(.description = "_FORTIFY_SOURCE=2 variants", .server = server, .client = client)
