/* SPDX-License-Identifier: MIT */
/*
 * Description: a full stream in a set, in every mode: no room is no event, room is, asleep
 * and awake, round after round, with input meanwhile and partial drains.
 */
#include "sets.h"

static const struct {
	const char *name;
	uint32_t bits;
} modes[] = {
	{"level", EPOLLOUT},
	{"edge", EPOLLOUT | EPOLLET},
	{"one-shot", EPOLLOUT | EPOLLONESHOT},
	{"edge one-shot", EPOLLOUT | EPOLLET | EPOLLONESHOT},
	{"edge, both ways", EPOLLIN | EPOLLOUT | EPOLLET},
};

#define MODES  (sizeof(modes) / sizeof(modes[0]))
#define ROUNDS 3

/* How often the kernel tells that there is room while the peer reads is its own affair. */
static void drop(int set, uint32_t bits)
{
	struct epoll_event event;

	while ((bits & EPOLLET) && epoll_wait(set, &event, 1, 0) == 1)
		;
}

static void one_round(int fd, int set, size_t mode, int round)
{
	uint32_t bits = modes[mode].bits;
	bool shot = bits & EPOLLONESHOT;
	char byte;
	size_t filled;

	filled = duo_fill_up(fd);
	if (shot)
		duo_set_ctl(set, EPOLL_CTL_MOD, fd, bits, 2);
	else
		drop(set, bits);
	say_event(set, "full", 0);
	say_event(set, "full for 20 ms", 20);
	if (bits & EPOLLIN) {
		duo_tell(0);
		say_event(set, "input while full", 5000);
		say_result("read", read(fd, &byte, 1));
		say_event(set, "read", 0);
	}
	duo_tell((int)filled);
	if (round == 0) {
		say_event(set, "asleep", -1);
	} else if (round == 1) {
		duo_await();
		say_event(set, "drained before", 0);
	} else {
		duo_poll(fd, POLLOUT, -1);
		say_event(set, "polled before", 0);
	}
	if (round != 1)
		duo_await();
	if (!(bits & EPOLLET) && !shot)
		say_event(set, "level goes on", 0);
	if (shot)
		say_event(set, "one-shot is silent", 20);
	drop(set, bits);
}

static void server(int fd)
{
	for (size_t i = 0; i < MODES; i++) {
		int set = duo_set_new();

		fd = i ? duo_another() : fd;
		duo_warmup(fd);
		say("-- %s", modes[i].name);
		duo_set_ctl(set, EPOLL_CTL_ADD, fd, modes[i].bits, 1);
		say_event(set, "room at first", 0);
		for (int round = 0; round < ROUNDS; round++)
			one_round(fd, set, i, round);
		close(set);
		close(fd);
	}
}

static void client(int fd)
{
	static char buf[1 << 16];

	for (size_t i = 0; i < MODES; i++) {
		fd = i ? duo_another() : fd;
		duo_warmup(fd);
		for (int round = 0; round < ROUNDS; ) {
			size_t left = (size_t)duo_hear(), part;

			if (!left) {
				duo_write_all(fd, "i", 1);
				continue;
			}
			for (; left; left -= part) {
				part = duo_read_all(fd, buf,
						    left < sizeof(buf) ? left : sizeof(buf));
				if (!part)
					die("end");
			}
			duo_post();
			round++;
		}
		duo_drain(fd);
		close(fd);
	}
}

DUO_PROGRAM(.description = "room in epoll sets", .server = server, .client = client)
