/* SPDX-License-Identifier: MIT */
/* Description: a process that used a stream becomes a daemon and goes on with it. */
#include "duo.h"

static char buf[1000];

static void echo(int fd, const char *who)
{
	size_t got = duo_read_all(fd, buf, 1000);

	say("%s read %zu", who, got);
	duo_write_all(fd, buf, got);
}

static void server(int fd)
{
	pid_t child;
	int p[2], go[2];
	char byte;

	if (pipe(p) < 0 || pipe(go) < 0)
		die("pipe");
	duo_warmup(fd);
	echo(fd, "before");
	child = duo_fork();
	if (child == 0) {
		close(p[0]);
		echo(fd, "child");
		/* stdout is the transcript: stays open. */
		if (daemon(1, 1) < 0)
			die("daemon");
		alarm(20);
		if (read(go[0], &byte, 1) != 1)
			die("pipe");
		echo(fd, "daemon");
		echo(fd, "daemon");
		if (write(p[1], "x", 1) != 1)
			die("pipe");
		_exit(0);
	}
	close(p[1]);
	duo_reap(child, "child");
	if (write(go[1], "x", 1) != 1)
		die("pipe");
	if (read(p[0], &byte, 1) != 1)
		die("no word from the daemon");
	echo(fd, "parent");
}

static void client(int fd)
{
	duo_warmup(fd);
	for (uint32_t i = 0; i < 5; i++) {
		size_t got;

		duo_pattern(buf, 1000, i);
		duo_write_all(fd, buf, 1000);
		got = duo_read_all(fd, buf, 1000);
		say("echo %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	}
}

DUO_PROGRAM(.description = "daemon()", .server = server, .client = client)
