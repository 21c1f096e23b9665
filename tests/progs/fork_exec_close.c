/* SPDX-License-Identifier: MIT */
/*
 * Description: a child became another program and its copy of the stream was closed by
 * exec; its parent closes, with bytes unread by the other end, by itself, by nobody.
 */
#include "duo.h"

#include <spawn.h>

#define SIZE 5000
#define ENDS 4
#define WAYS 3

extern char **environ;

static char buf[2 * SIZE];

/* A program that lives on until it is killed. */
static pid_t start(int way)
{
	char *const argv[] = {"sleep", "30", NULL};
	volatile pid_t child = 0;
	int ready[2];

	if (pipe2(ready, O_CLOEXEC))
		die("pipe2");
	if (way == 2) {
		pid_t pid;

		if (posix_spawnp(&pid, "sleep", NULL, NULL, argv, environ))
			die("posix_spawnp");
		child = pid;
	} else {
		child = way ? vfork() : duo_fork();
		if (child == 0) {
			execvp("sleep", argv);
			_exit(126);
		}
	}
	/* the end comes when exec has closed the child's copy, and the stream's */
	close(ready[1]);
	duo_read_all(ready[0], buf, 1);
	close(ready[0]);
	return child;
}

static void server(int fd)
{
	close(fd);
	for (int i = 0; i < ENDS * WAYS; i++) {
		int end = i / WAYS;
		pid_t child;

		fd = duo_another_warm();
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		child = start(i % WAYS);
		if (end == 0) {
			pid_t peer = duo_hear();

			duo_await_asleep(peer, peer);
		}
		if (end == 1 || end == 3)
			duo_send_pattern(fd, SIZE, 1);
		if (end == 2 || end == 3)
			duo_await_bytes(fd, SIZE);
		say_result("close", close(fd));
		duo_post();
		kill(child, SIGKILL);
		duo_reap(child, "child");
		duo_await();
	}
}

static void client(int fd)
{
	signal(SIGPIPE, SIG_IGN);
	close(fd);
	for (int i = 0; i < ENDS * WAYS; i++) {
		int end = i / WAYS;
		ssize_t n;
		size_t got = 0;

		fd = duo_another_warm();
		if (end == 0)
			duo_tell(getpid());
		if (end == 2 || end == 3)
			duo_send_pattern(fd, SIZE, 2);
		if (end)
			duo_await();
		while ((n = read(fd, buf + got, sizeof(buf) - got)) > 0)
			got += (size_t)n;
		say_result("the last read", n);
		say("%zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
		if (!end)
			duo_await();
		duo_poll(fd, 0, 50);
		say_result("a write", write(fd, buf, 1));
		close(fd);
		duo_post();
	}
}

DUO_PROGRAM(.description = "close beside a child that became another program", .server = server,
	    .client = client)
