/* SPDX-License-Identifier: MIT */
/*
 * Description: a used stream becomes descriptors 0 and 1 of another program, by
 * fork and exec and by posix_spawn; cat echoes on it.
 */
#include "duo.h"

#include <spawn.h>

static char buf[20000];
extern char **environ;

static void server(int fd)
{
	char *const argv[] = {(char *)"cat", NULL};
	posix_spawn_file_actions_t actions;
	pid_t child;

	duo_warmup(fd);
	child = duo_fork();
	if (child == 0) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		execlp("cat", "cat", (char *)NULL);
		_exit(126);
	}
	close(fd);
	duo_reap(child, "cat by exec");
	fd = duo_another_warm();
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, fd);
	if (posix_spawnp(&child, "cat", &actions, NULL, argv, environ) != 0)
		die("posix_spawnp");
	posix_spawn_file_actions_destroy(&actions);
	close(fd);
	duo_reap(child, "cat by posix_spawn");
	fd = duo_another_warm();
	/* The parent keeps its own hold and goes on after the child. */
	child = duo_fork();
	if (child == 0) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		execlp("head", "head", "-c", "5", (char *)NULL);
		_exit(126);
	}
	duo_reap(child, "head");
	duo_post();
	duo_write_all(fd, "parent", 6);
	close(fd);
}

static void use_cat(int fd)
{
	for (uint32_t i = 0; i < 5; i++) {
		size_t len = 4000 * i + 1, got;

		duo_pattern(buf, len, i);
		duo_write_all(fd, buf, len);
		got = duo_read_all(fd, buf, len);
		say("echo %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	}
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say_result("read at end", read(fd, buf, 1));
	close(fd);
}

static void client(int fd)
{
	duo_warmup(fd);
	use_cat(fd);
	use_cat(duo_another_warm());
	fd = duo_another_warm();
	duo_write_all(fd, "12345", 5);
	/* asleep on the stream: unread input goes to the new program from here */
	duo_poll(fd, POLLIN, 10000);
	duo_await();
	say_result("head and parent", (ssize_t)duo_read_all(fd, buf, 100));
	say("'%.11s'", buf);
	close(fd);
}

DUO_PROGRAM(.description = "streams on 0 and 1 of other programs", .server = server,
	    .client = client)
