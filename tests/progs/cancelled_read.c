/* SPDX-License-Identifier: MIT */
/*
 * Description: bytes went one way by ring; the receiver answers once and becomes head or
 * cat, before its answer's ring was entered; the sender reads on, asleep in read.
 */
#include "duo.h"

#define LINES 60

static void serve(int fd, bool ends)
{
	char line[10];
	pid_t child;

	for (int i = 0; i < LINES; i++)
		duo_read_all(fd, line, 5);
	duo_post();
	duo_await_bytes(fd, 10);
	duo_write_all(fd, "hello", 5);
	child = duo_fork();
	if (child == 0) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		close(fd);
		if (ends)
			execlp("cat", "cat", (char *)NULL);
		execlp("head", "head", "-c", "10", (char *)NULL);
		die("exec");
	}
	close(fd);
	duo_reap(child, ends ? "cat" : "head");
}

static void ask(int fd, bool ends)
{
	char text[10];
	size_t got;

	for (int i = 0; i < LINES; i++)
		duo_write_all(fd, "12345", 5);
	duo_await();
	duo_write_all(fd, "0123456789", 10);
	if (ends)
		shutdown(fd, SHUT_WR);
	say_result("answer", recv(fd, text, 5, MSG_WAITALL));
	got = duo_read_all(fd, text, 10);
	say("then %.*s", (int)got, text);
	say_result("end", read(fd, text, 1));
	close(fd);
}

static void server(int fd)
{
	close(fd);
	for (int i = 0; i < 8; i++)
		serve(duo_another(), i % 2);
}

static void client(int fd)
{
	close(fd);
	for (int i = 0; i < 8; i++)
		ask(duo_another(), i % 2);
}

DUO_PROGRAM(.description = "a read whose ring is cancelled by a hand-over",
	    .traits = DUO_ANY_ROAD, .server = server, .client = client)
