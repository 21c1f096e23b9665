/* SPDX-License-Identifier: MIT */
/*
 * Description: shutdown of either direction and of both, twice, with a bad
 * argument, with input still queued, and after the peer has gone.
 */
#include "duo.h"

static const short all = POLLIN | POLLOUT | POLLRDHUP;
static char buf[100];

static void state(const char *when, int fd)
{
	say("%s: %s", when, duo_poll_bits(duo_poll(fd, all, 0)));
	say_result("  read", recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	say_result("  write", send(fd, "w", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static void rd_server(int fd)
{
	duo_await();
	duo_await_bytes(fd, 6);
	say_result("shutdown RD", shutdown(fd, SHUT_RD));
	say("poll: %s", duo_poll_bits(duo_poll(fd, all, 0)));
	say_result("read of what was there", recv(fd, buf, 4, MSG_DONTWAIT));
	say_result("read of what was there", recv(fd, buf, 10, MSG_DONTWAIT));
	say_result("read of nothing", recv(fd, buf, 10, MSG_DONTWAIT));
	say_result("blocking read of nothing", read(fd, buf, 10));
	state("after shutdown RD", fd);
	say_result("shutdown RD again", shutdown(fd, SHUT_RD));
	duo_post();
	duo_await();
	duo_post();
	duo_await();
	close(fd);
}

static void rd_client(int fd)
{
	duo_write_all(fd, "before", 6);
	duo_post();
	duo_await();
	say_result("read", read(fd, buf, sizeof(buf)));
	/* What a shut reader is sent differs: TCP takes it, AF_UNIX refuses. */
	say("poll: %s", duo_poll_bits(duo_poll(fd, all, 0)));
	say_result("write", send(fd, "after", 5, MSG_NOSIGNAL));
	duo_post();
	duo_await();
	say_result("shutdown WR", shutdown(fd, SHUT_WR));
	close(fd);
	duo_post();
}

static void both_server(int fd)
{
	say_result("shutdown 7", shutdown(fd, 7));
	say_result("shutdown -1", shutdown(fd, -1));
	duo_await();
	duo_await_bytes(fd, 6);
	say_result("shutdown RDWR", shutdown(fd, SHUT_RDWR));
	say_result("read of what was there", recv(fd, buf, 100, MSG_DONTWAIT));
	state("after shutdown RDWR", fd);
	say_result("shutdown RDWR again", shutdown(fd, SHUT_RDWR));
	duo_meet();
	duo_meet();
	close(fd);
}

static void both_client(int fd)
{
	duo_write_all(fd, "before", 6);
	duo_post();
	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLRDHUP, 5000) & POLLRDHUP));
	duo_meet();
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("shutdown WR", shutdown(fd, SHUT_WR));
	say("poll: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	duo_meet();
	close(fd);
}

static void twice_server(int fd)
{
	say_result("shutdown WR", shutdown(fd, SHUT_WR));
	say_result("shutdown WR again", shutdown(fd, SHUT_WR));
	duo_meet();
	say("poll: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("write", send(fd, "w", 1, MSG_NOSIGNAL));
	duo_meet();
	/* TCP: a finished connection is no longer connected. */
	say_result("shutdown RD", shutdown(fd, SHUT_RD));
	say_result("shutdown RDWR", shutdown(fd, SHUT_RDWR));
	close(fd);
}

static void twice_client(int fd)
{
	duo_meet();
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("shutdown WR", shutdown(fd, SHUT_WR));
	say("poll: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	duo_meet();
	close(fd);
}

static void server(int fd)
{
	duo_warmup(fd);
	rd_server(fd);
	both_server(duo_another_warm());
	twice_server(duo_another_warm());
}

static void client(int fd)
{
	duo_warmup(fd);
	rd_client(fd);
	both_client(duo_another_warm());
	twice_client(duo_another_warm());
}

DUO_PROGRAM(.description = "shutdown RD, WR, RDWR, twice", .server = server, .client = client)
