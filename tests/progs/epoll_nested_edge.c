/* SPDX-License-Identifier: MIT */
/*
 * Description: sets in sets, edge and one-shot: an edge for each arrival in the inner set,
 * three deep, asleep and awake; circles and depth; poll and select of set and stream.
 */
#include "sets.h"

#include <sys/select.h>

#define DEPTH 3

static int sets[DEPTH];

static void arrive(int fd, int total)
{
	duo_post();
	duo_await_bytes(fd, total);
}

static void limits(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int chain[8], nr = 0, extra = duo_set_new();

	say_result("into itself", epoll_ctl(extra, EPOLL_CTL_ADD, extra, &event));
	say_result("a circle", epoll_ctl(sets[0], EPOLL_CTL_ADD, sets[DEPTH - 1], &event));
	chain[0] = extra;
	for (int i = 1; i < 8; i++) {
		chain[i] = duo_set_new();
		if (epoll_ctl(chain[i], EPOLL_CTL_ADD, chain[i - 1], &event) < 0)
			break;
		nr = i;
	}
	say("depth %d: %s", nr, duo_errno(errno));
	for (int i = 0; i <= nr; i++)
		close(chain[i]);
	close(chain[nr + 1]);
}

static void mixed_waits(int fd, int inner)
{
	struct pollfd p[4] = {
		{.fd = fd, .events = POLLIN},
		{.fd = inner, .events = POLLIN | POLLOUT | POLLRDHUP},
		{.fd = inner, .events = 0},
		{.fd = fd, .events = POLLIN | POLLOUT},
	};
	struct timeval none = {0, 0};
	fd_set in, out, ex;
	int n = poll(p, 4, 0);

	say("poll %d: %s %s %s %s", n, duo_poll_bits(p[0].revents), duo_poll_bits(p[1].revents),
	    duo_poll_bits(p[2].revents), duo_poll_bits(p[3].revents));
	FD_ZERO(&in);
	FD_SET(fd, &in);
	FD_SET(inner, &in);
	out = ex = in;
	n = select((fd > inner ? fd : inner) + 1, &in, &out, &ex, &none);
	say("select %d: stream %d %d %d, set %d %d %d", n, !!FD_ISSET(fd, &in),
	    !!FD_ISSET(fd, &out), !!FD_ISSET(fd, &ex), !!FD_ISSET(inner, &in),
	    !!FD_ISSET(inner, &out), !!FD_ISSET(inner, &ex));
}

static void run(int fd, uint32_t inner_bits, uint32_t outer_bits)
{
	char buf[64];

	say("-- inner %x, outer %x", inner_bits, outer_bits);
	duo_set_ctl(sets[0], EPOLL_CTL_ADD, fd, inner_bits, 1);
	duo_set_ctl(sets[DEPTH - 1], EPOLL_CTL_MOD, sets[DEPTH - 2], outer_bits, 3);
	mixed_waits(fd, sets[0]);
	say_event(sets[2], "nothing", 0);
	arrive(fd, 5);
	mixed_waits(fd, sets[0]);
	say_event(sets[2], "outer", 0);
	say_event(sets[2], "outer again", 0);
	say_event(sets[1], "middle", 0);
	say_event(sets[0], "inner", 0);
	say_event(sets[0], "inner again", 0);
	arrive(fd, 10);
	say_event(sets[2], "outer at the next arrival", 0);
	say_event(sets[0], "inner at the next arrival", 0);
	say_result("read", read(fd, buf, 10));
	say_event(sets[2], "outer, read", 0);
	if (outer_bits & EPOLLONESHOT)
		duo_set_ctl(sets[2], EPOLL_CTL_MOD, sets[1], outer_bits, 4);
	if (inner_bits & EPOLLONESHOT)
		duo_set_ctl(sets[0], EPOLL_CTL_MOD, fd, inner_bits, 2);
	duo_tell(0x600d);
	say_event(sets[2], "outer asleep", -1);
	say_event(sets[0], "inner", 0);
	say_result("read", read(fd, buf, 5));
	duo_set_ctl(sets[0], EPOLL_CTL_DEL, fd, 0, 0);
	say_event(sets[2], "empty", 0);
}

static void server(int fd)
{
	static const uint32_t bits[][2] = {
		{EPOLLIN, EPOLLIN},
		{EPOLLIN, EPOLLIN | EPOLLET},
		{EPOLLIN | EPOLLET, EPOLLIN | EPOLLET},
		{EPOLLIN | EPOLLET, EPOLLIN},
		{EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLONESHOT},
	};

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		for (int k = 0; k < DEPTH; k++)
			sets[k] = duo_set_new();
		for (int k = 1; k < DEPTH; k++)
			duo_set_ctl(sets[k], EPOLL_CTL_ADD, sets[k - 1], EPOLLIN, (uint64_t)k);
		limits();
		fd = i ? duo_another() : fd;
		duo_warmup(fd);
		run(fd, bits[i][0], bits[i][1]);
		for (int k = 0; k < DEPTH; k++)
			close(sets[k]);
		close(fd);
	}
}

static void client(int fd)
{
	for (int i = 0; i < 5; i++) {
		fd = i ? duo_another() : fd;
		duo_warmup(fd);
		for (int k = 0; k < 3; k++) {
			duo_await();
			duo_write_all(fd, "hello", 5);
		}
		duo_drain(fd);
		close(fd);
	}
}

DUO_PROGRAM(.description = "nested sets, edge and one-shot", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
