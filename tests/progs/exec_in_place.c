/* SPDX-License-Identifier: MIT */
/*
 * Description: a process that used a stream execs cat on it, without fork, with
 * input waiting; nothing is lost on the way into the new program.
 */
#include "duo.h"

static char buf[20000];

static void server(int fd)
{
	duo_warmup(fd);
	duo_write_all(fd, "before exec", 11);
	duo_await_bytes(fd, 5000);
	say("exec");
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	execlp("cat", "cat", (char *)NULL);
	die("exec");
}

static void client(int fd)
{
	size_t got;

	duo_warmup(fd);
	duo_pattern(buf, 5000, 1);
	duo_write_all(fd, buf, 5000);
	got = duo_read_all(fd, buf, 11);
	say("'%.*s'", (int)got, buf);
	for (uint32_t i = 0; i < 5; i++) {
		got = duo_read_all(fd, buf, 5000);
		say("echo %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
		duo_pattern(buf, 5000, i);
		duo_write_all(fd, buf, 5000);
	}
	say_result("shutdown", shutdown(fd, SHUT_WR));
	got = duo_read_all(fd, buf, sizeof(buf));
	say("rest %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
}

/* The end that execs never exits: it has no statistics to write. */
DUO_PROGRAM(.description = "exec in place", .traits = DUO_ANY_ROAD, .server = server,
	    .client = client)
