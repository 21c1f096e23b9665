/* SPDX-License-Identifier: MIT */
/*
 * Description: EPOLL_CTL_MOD with the same edge-triggered events tells the present state
 * again, in every message around a promotion, with answers and without.
 */
#include "sets.h"

#define ROUNDS 60

static const struct {
	const char *name;
	uint32_t bits;
	bool answers;
} ways[] = {
	{"input", EPOLLIN | EPOLLET, true},
	{"input, no answers", EPOLLIN | EPOLLET, false},
	{"both", EPOLLIN | EPOLLOUT | EPOLLET, true},
	{"both, no answers", EPOLLIN | EPOLLOUT | EPOLLET, false},
	{"room", EPOLLOUT | EPOLLET, true},
	{"room, no answers", EPOLLOUT | EPOLLET, false},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* All that is told within a second, until it is @want: the two may come one by one. */
static uint32_t told(int set, uint32_t want)
{
	struct epoll_event event;
	uint32_t bits = 0;

	while ((bits & want) != want && epoll_wait(set, &event, 1, 1000) == 1)
		bits |= event.events;
	return bits;
}

static void one_way(size_t way)
{
	uint32_t want = ways[way].bits & ~(uint32_t)EPOLLET;
	int fd = duo_another(), set = duo_set_new(), missed = 0;
	struct epoll_event event;
	char buf[16];

	duo_set_ctl(set, EPOLL_CTL_ADD, fd, ways[way].bits, way);
	for (int i = 0; i < ROUNDS; i++) {
		duo_post();
		duo_await_bytes(fd, 16);
		if (read(fd, buf, 8) != 8)
			die("read");
		while (epoll_wait(set, &event, 1, 0) > 0)
			;
		duo_set_ctl(set, EPOLL_CTL_MOD, fd, ways[way].bits, way);
		missed += told(set, want) != want;
		if (read(fd, buf, 8) != 8)
			die("read");
		if (ways[way].answers)
			duo_write_all(fd, buf, 1);
	}
	say("%s: %d of %d told nothing, or too little", ways[way].name, missed, ROUNDS);
	close(set);
	close(fd);
}

static void server(int fd)
{
	duo_warmup(fd);
	for (size_t way = 0; way < WAYS; way++)
		one_way(way);
}

static void client(int fd)
{
	char buf[16] = "sixteen bytes..";

	duo_warmup(fd);
	for (size_t way = 0; way < WAYS; way++) {
		fd = duo_another();
		for (int i = 0; i < ROUNDS; i++) {
			duo_await();
			duo_write_all(fd, buf, 16);
			if (ways[way].answers)
				duo_read_all(fd, buf, 1);
		}
		say_result("read at end", read(fd, buf, 1));
		close(fd);
	}
}

DUO_PROGRAM(.description = "MOD with the same edge-triggered events", .server = server,
	    .client = client)
