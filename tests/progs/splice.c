/* SPDX-License-Identifier: MIT */
/* Description: splice moves bytes from a pipe to a stream and from a stream to a pipe. */
#include "duo.h"

static char buf[9000];

static void server(int fd)
{
	int p[2];
	size_t got = 0;

	if (pipe(p) < 0)
		die("pipe");
	duo_warmup(fd);
	/* TCP asks the socket's flag, AF_UNIX either. */
	duo_set_nonblock(fd, true);
	say_result("splice, nothing there", splice(fd, NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
	duo_set_nonblock(fd, false);
	duo_post();
	while (got < sizeof(buf)) {
		ssize_t n = splice(fd, NULL, p[1], NULL, sizeof(buf) - got, 0);

		if (n <= 0)
			die("splice %zd", n);
		if (read(p[0], buf + got, (size_t)n) != n)
			die("pipe");
		got += (size_t)n;
	}
	say("spliced in %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	duo_write_all(fd, buf, got);
	say_result("splice at end", splice(fd, NULL, p[1], NULL, 100, 0));
}

static void client(int fd)
{
	size_t sent = 0;
	int p[2];

	if (pipe(p) < 0)
		die("pipe");
	duo_warmup(fd);
	duo_pattern(buf, sizeof(buf), 4);
	duo_write_all(p[1], buf, sizeof(buf));
	duo_await();
	while (sent < sizeof(buf)) {
		ssize_t n = splice(p[0], NULL, fd, NULL, sizeof(buf) - sent, 0);

		if (n <= 0)
			die("splice %zd", n);
		sent += (size_t)n;
	}
	say("spliced out %zu", sent);
	memset(buf, 0, sizeof(buf));
	sent = duo_read_all(fd, buf, sizeof(buf));
	say("read %zu sum %016llx", sent, (unsigned long long)duo_sum(buf, sent));
	say_result("shutdown", shutdown(fd, SHUT_WR));
}

DUO_PROGRAM(.description = "splice both ways", .server = server, .client = client)
