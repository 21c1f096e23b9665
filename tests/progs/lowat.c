/* SPDX-License-Identifier: MIT */
/*
 * Description: SO_RCVLOWAT holds back readiness as the family does.  No blocking
 * read starts below the mark: TCP would take the first bytes and then wait for
 * the whole mark again.
 */
#include "duo.h"

static void server(int fd)
{
	char buf[100];
	int ten = 10, one = 1, got = 0;
	socklen_t len = sizeof(got);

	duo_warmup(fd);
	say_result("SO_RCVLOWAT", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &ten, sizeof(ten)));
	say_result("getsockopt", getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &got, &len));
	say("lowat %d", got);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 4);
	say("poll at 4: %s", duo_poll_bits(duo_poll(fd, POLLIN, 0)));
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	say("poll at 10: %s", duo_poll_bits(duo_poll(fd, POLLIN, 5000)));
	say_result("blocking read of 20", read(fd, buf, 20));
	say_result("set to 1", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one)));
	duo_post();
	say_result("blocking read of 20", read(fd, buf, 20));
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "four", 4);
	duo_post();
	duo_await();
	duo_write_all(fd, "sixsix", 6);
	duo_post();
	duo_await();
	duo_write_all(fd, "1", 1);
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "SO_RCVLOWAT", .server = server, .client = client)
