/* SPDX-License-Identifier: MIT */
/*
 * Description: file actions of posix_spawn close, replace and keep the numbers of streams
 * in the child; the parent's streams go on, and what the child writes comes in between.
 * At last they were made before the stream.
 */
#include "duo.h"

#include <spawn.h>

#define WAYS 6
#define EARLY 5 /* a way: actions for the number of a stream to come */
#define SIZE 1000

extern char **environ;

static void prepare(posix_spawn_file_actions_t *a, int way, int fd, int other)
{
	posix_spawn_file_actions_init(a);
	switch (way) {
	case EARLY:
		posix_spawn_file_actions_adddup2(a, fd, 9);
		break;
	case 0:
		posix_spawn_file_actions_addclosefrom_np(a, 3);
		break;
	case 1:
		posix_spawn_file_actions_addopen(a, fd, "/dev/null", O_RDWR, 0);
		posix_spawn_file_actions_addclose(a, other);
		break;
	case 2:
		posix_spawn_file_actions_adddup2(a, STDERR_FILENO, fd);
		posix_spawn_file_actions_adddup2(a, STDERR_FILENO, other);
		break;
	case 3:
		/* the same number: it stays open (posix_spawn_file_actions_adddup2(3)) */
		posix_spawn_file_actions_adddup2(a, fd, fd);
		break;
	default:
		posix_spawn_file_actions_addchdir_np(a, "/");
		posix_spawn_file_actions_adddup2(a, other, 9);
		posix_spawn_file_actions_addclosefrom_np(a, 10);
	}
}

/* The number that the next stream gets. */
static int next_number(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

static void client(int fd)
{
	for (int way = 0; way < WAYS; way++) {
		char number[16];
		char script[] = "case $1 in 0) exit 4;; *) printf 'the child' >&$1;; esac";
		char *argv[] = {"sh", "-c", script, "sh", number, NULL};
		posix_spawn_file_actions_t actions;
		int other, early = next_number();
		pid_t child;

		if (way == EARLY)
			prepare(&actions, way, early, -1);
		fd = duo_another_warm();
		other = duo_another_warm();
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(other, F_SETFD, FD_CLOEXEC);
		snprintf(number, sizeof(number), "%d", way == 3 ? fd : way >= 4 ? 9 : 0);
		if (way == EARLY)
			say("the number foreseen: %d", fd == early);
		else
			prepare(&actions, way, fd, other);
		if (posix_spawnp(&child, "sh", &actions, NULL, argv, environ))
			die("posix_spawnp");
		posix_spawn_file_actions_destroy(&actions);
		duo_reap(child, "child");
		duo_send_pattern(fd, SIZE, 1);
		duo_say_received(fd, "first", SIZE);
		duo_send_pattern(other, SIZE, 2);
		duo_say_received(other, "second", SIZE);
		close(fd);
		close(other);
	}
}

/* Takes what the child wrote, and the parent's, and answers. */
static void answer(int fd, bool of_child)
{
	if (of_child)
		duo_say_received(fd, "of the child", 9);
	duo_say_received(fd, "of the parent", SIZE);
	duo_send_pattern(fd, SIZE, 3);
}

static void server(int fd)
{
	for (int way = 0; way < WAYS; way++) {
		char byte;
		int other;

		fd = duo_another_warm();
		other = duo_another_warm();
		answer(fd, way == 3 || way == EARLY);
		answer(other, way == 4);
		say_result("read at end", read(fd, &byte, 1));
		say_result("read at end", read(other, &byte, 1));
		close(fd);
		close(other);
	}
}

DUO_PROGRAM(.description = "posix_spawn with file actions", .traits = DUO_OWN_SETUP,
	    .server = server, .client = client)
