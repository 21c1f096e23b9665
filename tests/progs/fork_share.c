/* SPDX-License-Identifier: MIT */
/*
 * Description: parent and forked child use one stream in turn; the child exits
 * without close and the parent goes on.
 */
#include "duo.h"

static char buf[4000];

static void turn(int fd, const char *who)
{
	size_t got = duo_read_all(fd, buf, sizeof(buf));

	say("%s read %zu sum %016llx", who, got, (unsigned long long)duo_sum(buf, got));
	duo_pattern(buf, sizeof(buf), (uint32_t)who[0]);
	duo_write_all(fd, buf, sizeof(buf));
}

static void server(int fd)
{
	int go[2], done[2];
	char byte = 0;
	pid_t child;

	if (pipe(go) < 0 || pipe(done) < 0)
		die("pipe");
	duo_warmup(fd);
	child = duo_fork();
	if (child == 0) {
		for (int i = 0; i < 3; i++) {
			if (read(go[0], &byte, 1) != 1)
				_exit(97);
			turn(fd, "child");
			if (write(done[1], &byte, 1) != 1)
				_exit(97);
		}
		_exit(0);
	}
	for (int i = 0; i < 3; i++) {
		turn(fd, "parent");
		if (write(go[1], &byte, 1) != 1 || read(done[0], &byte, 1) != 1)
			die("pipe");
	}
	duo_reap(child, "child");
	turn(fd, "parent");
	say_result("read at end", read(fd, buf, 1));
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 7; i++) {
		size_t got;

		duo_pattern(buf, sizeof(buf), (uint32_t)i);
		duo_write_all(fd, buf, sizeof(buf));
		got = duo_read_all(fd, buf, sizeof(buf));
		say("read %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	}
	close(fd);
}

DUO_PROGRAM(.description = "parent and forked child take turns", .server = server, .client = client)
