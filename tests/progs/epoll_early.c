/* SPDX-License-Identifier: MIT */
/*
 * Description: a stream that entered the set before its first byte, level or edge
 * triggered, works like one that entered late; a whole ping-pong runs on events.
 */
#include "duo.h"

#include <sys/epoll.h>

#define ROUNDS 60

static int add(int fd, uint32_t bits)
{
	struct epoll_event event = {.events = bits, .data.u64 = 0x8000000000000001u};
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	return set;
}

static void one_message(int set, int fd, uint32_t bits, int round)
{
	struct epoll_event event;
	char buf[32], want[17];
	size_t got = 0;

	snprintf(want, sizeof(want), "message %8d", round);
	while (got < 16) {
		ssize_t n = recv(fd, buf + got, 16 - got, MSG_DONTWAIT);

		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		if (n == 0 || errno != EAGAIN)
			die("read %zd in round %d", n, round);
		if (epoll_wait(set, &event, 1, 10000) != 1)
			die("no event in round %d", round);
		if (event.data.u64 != 0x8000000000000001u)
			die("data %llx", (unsigned long long)event.data.u64);
		/* Level and writable: the set has nothing to wait for. */
		if (event.events == EPOLLOUT && !(bits & EPOLLET))
			duo_poll(fd, POLLIN, 10000);
		if (!(bits & EPOLLOUT) && event.events != EPOLLIN)
			die("events %s in round %d", duo_epoll_bits(event.events), round);
	}
	if (memcmp(buf, want, 16) != 0)
		die("wrong message in round %d", round);
}

static void pingpong(int fd, uint32_t bits)
{
	int set = add(fd, bits);
	struct epoll_event event;
	char text[17];
	int n;

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(text, sizeof(text), "message %8d", i);
		if (duo_is_server())
			one_message(set, fd, bits, i);
		duo_write_all(fd, text, 16);
		if (!duo_is_server())
			one_message(set, fd, bits, i);
	}
	duo_meet();
	n = epoll_wait(set, &event, 1, 0);
	/* Edge: whether the last event was waited for depends on the pace. */
	if (!(bits & EPOLLET))
		say("%d rounds, then %d: %s", ROUNDS, n,
		    n > 0 ? duo_epoll_bits(event.events) : "-");
	duo_meet();
	if (duo_is_server()) {
		shutdown(fd, SHUT_WR);
		duo_post();
	} else {
		duo_await();
		n = epoll_wait(set, &event, 1, 5000);
		say("end %d: %s", n, n > 0 ? duo_epoll_bits(event.events) : "-");
	}
	duo_meet();
	close(set);
	close(fd);
}

static void run(int fd)
{
	static const uint32_t bits[] = {
		EPOLLIN,
		EPOLLIN | EPOLLET,
		EPOLLIN | EPOLLOUT | EPOLLET,
		EPOLLIN | EPOLLOUT,
	};

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		say("-- %s%s", duo_epoll_bits(bits[i] & ~(uint32_t)EPOLLET),
		    bits[i] & EPOLLET ? " edge" : "");
		pingpong(i ? duo_another() : fd, bits[i]);
	}
}

static void server(int fd)
{
	run(fd);
}

static void client(int fd)
{
	run(fd);
}

DUO_PROGRAM(.description = "registered before promotion", .server = server, .client = client)
