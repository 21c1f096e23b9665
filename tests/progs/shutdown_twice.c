/* SPDX-License-Identifier: MIT */
/*
 * Description: both directions are shut by two calls, in either order, and the socket
 * stays open: the kernel's TCP resets a peer that goes on writing.
 */
#include "duo.h"

static void server(int fd)
{
	for (int i = 0; i < 2; i++) {
		int s = duo_another_warm();

		say_result("first", shutdown(s, i ? SHUT_RD : SHUT_WR));
		say_result("second", shutdown(s, i ? SHUT_WR : SHUT_RD));
		duo_post();
		duo_await();
		close(s);
	}
	close(fd);
}

static void client(int fd)
{
	for (int i = 0; i < 2; i++) {
		int s = duo_another_warm(), n;
		char buf[10] = "";

		duo_await();
		for (n = 0; n < 50 && send(s, buf, sizeof(buf), MSG_NOSIGNAL) > 0; n++)
			poll(NULL, 0, 2);
		say("%s", n < 50 ? "refused" : "taken for ever");
		say("poll: %s", duo_poll_bits(duo_poll(s, 0, 0)));
		duo_post();
		close(s);
	}
	close(fd);
}

DUO_PROGRAM(.description = "both directions shut by two calls", .server = server,
	    .client = client)
