/* SPDX-License-Identifier: MIT */
/* Description: socketpair streams, within a process and to a forked child. */
#include "duo.h"

static char buf[50000];

static void echo(int fd)
{
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		duo_write_all(fd, buf, (size_t)n);
}

static void server(int fd)
{
	int pair[2];
	pid_t child;

	(void)fd;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	duo_warmup_pair(pair[0], pair[1]);
	say_result("write", write(pair[0], "hello", 5));
	say_result("read", read(pair[1], buf, 100));
	child = duo_fork();
	if (child == 0) {
		close(pair[0]);
		echo(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	for (uint32_t i = 0; i < 50; i++) {
		size_t len = i * 600 + 1, got;

		duo_pattern(buf, len, i);
		duo_write_all(pair[0], buf, len);
		got = duo_read_all(pair[0], buf, len);
		if (i % 7 == 0)
			say("echo %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	}
	shutdown(pair[0], SHUT_WR);
	say_result("read at end", read(pair[0], buf, 1));
	duo_reap(child, "child");
	signal(SIGPIPE, SIG_IGN);
	say_result("write", write(pair[0], buf, 1));
}

DUO_PROGRAM(.description = "socketpair", .traits = DUO_SOLO | DUO_UNIX,
	    .server = server)
