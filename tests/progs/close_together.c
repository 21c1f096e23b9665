/* SPDX-License-Identifier: MIT */
/*
 * Description: both ends end at the same time: both shut, both close, with and without
 * bytes on their way; each does so before it hears of the other.
 */
#include "duo.h"

static char buf[5000];

static void say_error(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		die("SO_ERROR");
	say("SO_ERROR %s", duo_errno(error));
}

/* Both have written, then shut, and only then read. */
static void both_shut(int fd, int how, size_t len)
{
	const short in = POLLIN | POLLRDHUP;
	size_t got;

	duo_warmup(fd);
	duo_pattern(buf, len, 3);
	duo_write_all(fd, buf, len);
	duo_meet();
	/* all of it is there */
	duo_await_bytes(fd, (int)len);
	duo_meet();
	say_result("shutdown", shutdown(fd, how));
	duo_meet();
	say("poll: %s", duo_poll_bits(duo_poll(fd, in, 5000) & in));
	got = duo_read_all(fd, buf, sizeof(buf));
	say("read %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	say_result("read at end", read(fd, buf, 1));
	say_result("write", send(fd, "x", 1, MSG_NOSIGNAL));
	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0)));
	say_error(fd);
	duo_meet();
	say_result("close", close(fd));
}

/* A second number of each end stays: nobody closes for good.  Then both do. */
static void both_close(int fd, size_t unread)
{
	int copy;

	duo_warmup(fd);
	duo_write_all(fd, buf, unread);
	duo_meet();
	duo_await_bytes(fd, (int)unread);
	copy = dup(fd);
	duo_meet();
	say_result("close", close(fd));
	duo_meet();
	say_error(copy);
	say("poll: %s", duo_poll_bits(duo_poll(copy, POLLIN | POLLOUT | POLLRDHUP, 0)));
	duo_meet();
	say_result("close", close(copy));
	duo_meet();
}

static void both(int fd)
{
	static const int hows[] = {SHUT_WR, SHUT_RDWR};

	close(fd);
	for (int i = 0; i < 2; i++) {
		both_shut(duo_another(), hows[i], 0);
		both_shut(duo_another(), hows[i], 4000);
	}
	both_close(duo_another(), 0);
	both_close(duo_another(), 3000);
	/* nothing of it harms the next */
	duo_warmup(duo_another());
}

DUO_PROGRAM(.description = "both ends end at the same time", .server = both, .client = both)
