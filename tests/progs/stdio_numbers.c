/* SPDX-License-Identifier: MIT */
/*
 * Description: an inetd-style server puts a used stream on 0, 1 and 2 and speaks
 * with printf, fgets and perror; the old 1 comes back afterwards.
 */
#include "duo.h"

static void server(int fd)
{
	char line[100];
	int saved_out = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);

	duo_warmup(fd);
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	setvbuf(stdin, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		printf("you said %s", line);
		fflush(stdout);
	}
	errno = ENOENT;
	perror("perror");
	puts("bye");
	fflush(stdout);
	dup2(saved_out, STDOUT_FILENO);
	dup2(saved_err, STDERR_FILENO);
	say("stdout is back");
	say_result("read", read(STDIN_FILENO, line, 1));
	duo_await();
	say_result("close", close(STDIN_FILENO));
	duo_post();
}

static void client(int fd)
{
	char buf[1000];
	size_t got;

	duo_warmup(fd);
	for (int i = 0; i < 5; i++) {
		int len = snprintf(buf, sizeof(buf), "line %d\n", i);

		duo_write_all(fd, buf, (size_t)len);
		got = duo_read_all(fd, buf, (size_t)len + 9);
		say("'%.*s'", (int)got - 1, buf);
	}
	shutdown(fd, SHUT_WR);
	got = duo_read_all(fd, buf, 38);
	say("'%.*s'", (int)got, buf);
	duo_post();
	duo_await();
	say_result("read at end", read(fd, buf, 1));
}

DUO_PROGRAM(.description = "a stream on 0, 1 and 2", .server = server, .client = client)
