/* SPDX-License-Identifier: MIT */
/*
 * Description: a process forks after every number of messages, so also in the middle of
 * a promotion; it goes on with the stream, then the child sends, shuts down or execs.
 */
#include "duo.h"

#define MOST 10
#define ROUNDS 20

static void serve(int fd, int before, int way)
{
	char c;
	int go[2];
	pid_t child;

	for (int i = 0; i < before; i++) {
		duo_read_all(fd, &c, 1);
		duo_write_all(fd, &c, 1);
	}
	if (pipe2(go, O_CLOEXEC))
		die("pipe2");
	child = duo_fork();
	if (child == 0) {
		fcntl(fd, F_SETFD, 0);
		duo_read_all(go[0], &c, 1);
		if (way == 0)
			duo_write_all(fd, "child", 5);
		else if (way == 1)
			shutdown(fd, SHUT_WR);
		else
			execl("/bin/true", "true", (char *)NULL);
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		duo_read_all(fd, &c, 1);
		duo_write_all(fd, &c, 1);
	}
	duo_write_all(go[1], "g", 1);
	duo_reap(child, "child");
	say_result("read at end", read(fd, &c, 1));
	close(go[0]);
	close(go[1]);
	close(fd);
}

static void ask(int fd, int before)
{
	char text[16], c = 'x';
	size_t got;

	for (int i = 0; i < before + ROUNDS; i++) {
		duo_write_all(fd, &c, 1);
		duo_read_all(fd, &c, 1);
	}
	shutdown(fd, SHUT_WR);
	got = duo_read_all(fd, text, sizeof(text));
	say("then '%.*s'", (int)got, text);
	close(fd);
}

static void server(int fd)
{
	close(fd);
	for (int i = 0; i < 3 * MOST; i++)
		serve(duo_another(), i / 3, i % 3);
}

static void client(int fd)
{
	close(fd);
	for (int i = 0; i < 3 * MOST; i++)
		ask(duo_another(), i / 3);
}

DUO_PROGRAM(.description = "fork in the middle of a promotion", .server = server,
	    .client = client)
