/* SPDX-License-Identifier: MIT */
/*
 * Description: a preforking server: each child serves its stream and leaves in its
 * own way, _exit without close, closing everything first, or killed.
 */
#include "duo.h"

static char buf[2000];

static void serve(int fd, int way)
{
	size_t got = duo_read_all(fd, buf, 1000);

	duo_pattern(buf + got, 1000, (uint32_t)way);
	duo_write_all(fd, buf, 2000);
	switch (way) {
	case 0:
		_exit(3);
	case 1:
		shutdown(fd, SHUT_RDWR);
		close(fd);
		exit(4);
	case 2:
		if (close_range(3, ~0u, 0) < 0)
			_exit(90);
		_exit(5);
	case 3:
		closefrom(3);
		_exit(6);
	default:
		duo_post();
		for (;;)
			pause();
	}
}

static void server(int fd)
{
	for (int way = 0; way < 5; way++) {
		pid_t child;

		if (way)
			fd = duo_another();
		duo_warmup(fd);
		child = duo_fork();
		if (child == 0)
			serve(fd, way);
		close(fd);
		if (way == 4) {
			duo_await();
			kill(child, SIGKILL);
		}
		duo_reap(child, "child");
	}
}

static void client(int fd)
{
	for (int way = 0; way < 5; way++) {
		size_t got;

		if (way)
			fd = duo_another();
		duo_warmup(fd);
		duo_pattern(buf, 1000, 99);
		duo_write_all(fd, buf, 1000);
		got = duo_read_all(fd, buf, 2000);
		say("read %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
		if (way == 4)
			duo_post();
		say_result("read at end", read(fd, buf, 1));
		close(fd);
	}
}

DUO_PROGRAM(.description = "children of a preforking server", .server = server, .client = client)
