/* SPDX-License-Identifier: MIT */
/*
 * Description: poll's bits through the life of a stream: idle, data, half close,
 * both halves closed; time-outs 0 and short.
 */
#include "duo.h"

static const short all = POLLIN | POLLOUT | POLLRDHUP | POLLPRI | POLLRDNORM | POLLWRNORM;

static void show(const char *when, int fd)
{
	say("%s: all %s, IN %s, OUT %s, none %s", when, duo_poll_bits(duo_poll(fd, all, 0)),
	    duo_poll_bits(duo_poll(fd, POLLIN, 0)), duo_poll_bits(duo_poll(fd, POLLOUT, 0)),
	    duo_poll_bits(duo_poll(fd, 0, 0)));
}

static void server(int fd)
{
	char buf[100];
	int64_t start;

	duo_warmup(fd);
	show("idle", fd);
	start = duo_now_ms();
	say("poll IN 30 ms: %s", duo_poll_bits(duo_poll(fd, POLLIN, 30)));
	say("waited %d", duo_now_ms() - start >= 30);
	duo_post();
	say("poll IN: %s", duo_poll_bits(duo_poll(fd, POLLIN, -1)));
	show("data", fd);
	say_result("read a part", read(fd, buf, 3));
	show("part left", fd);
	say_result("read the rest", read(fd, buf, 100));
	show("empty", fd);
	duo_post();
	say("poll RDHUP: %s", duo_poll_bits(duo_poll(fd, POLLRDHUP, -1)));
	show("half closed with data", fd);
	say_result("read", read(fd, buf, 100));
	show("half closed", fd);
	say_result("read", read(fd, buf, 100));
	show("half closed, read 0", fd);
	say_result("write", write(fd, "reply", 5));
	duo_meet();
	say_result("shutdown WR", shutdown(fd, SHUT_WR));
	say("poll HUP: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	show("both closed", fd);
	duo_meet();
}

static void client(int fd)
{
	char buf[100];

	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "hello", 5);
	duo_await();
	duo_write_all(fd, "bye", 3);
	say_result("shutdown WR", shutdown(fd, SHUT_WR));
	say("poll IN: %s", duo_poll_bits(duo_poll(fd, POLLIN, -1)));
	duo_meet();
	say_result("read", (ssize_t)duo_read_all(fd, buf, 100));
	say("poll HUP: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	show("both closed", fd);
	duo_meet();
}

DUO_PROGRAM(.description = "poll bits through the life of a stream", .server = server,
	    .client = client)
