/* SPDX-License-Identifier: MIT */
/*
 * Description: poll(POLLOUT) of a full AF_UNIX stream whose sending side is shut down:
 * the kernel says not writable while there is no room.
 */
#include "duo.h"

static void server(int fd)
{
	duo_warmup(fd);
	duo_tell((int)duo_fill_up(fd));
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLOUT, 100)));
	say_result("send", send(fd, "s", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	duo_meet();
}

static void client(int fd)
{
	size_t filled;

	duo_warmup(fd);
	filled = (size_t)duo_hear();
	duo_meet();
	say("all: %d", duo_drain(fd) == filled);
}

DUO_PROGRAM(.description = "no room is no room, shut down or not", .traits = DUO_UNIX,
	    .server = server, .client = client)
