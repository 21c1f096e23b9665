/* SPDX-License-Identifier: MIT */
/*
 * Description: a used stream goes to a program that is linked statically, with bytes
 * unread on both sides: by fork and exec, by exec in place, by posix_spawn, by vfork.
 */
#include "duo.h"

#include <spawn.h>

#define UNREAD 7000
#define MORE   3000

extern char **environ;

static char buf[UNREAD + MORE];
static char heir[4200];

/* In the program that got it, which makefiles call exec_static.static. */
static void use(int fd)
{
	duo_say_received(fd, "heir", UNREAD + MORE);
	duo_send_pattern(fd, MORE, 3);
	say_result("read at end", read(fd, buf, 1));
	duo_write_all(fd, "heir ends", 9);
}

static void spawn(int fd, char *const argv[])
{
	posix_spawn_file_actions_t actions;
	pid_t child;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 50);
	if (posix_spawn(&child, heir, &actions, NULL, argv, environ) != 0)
		die("posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
	close(fd);
	duo_reap(child, "spawned heir");
}

static void hand_on(volatile int fd, volatile int way, char *const argv[])
{
	volatile pid_t child;

	if (way == 2) {
		spawn(fd, argv);
		return;
	}
	child = way == 1 ? vfork() : duo_fork();
	if (child == 0) {
		dup2(fd, 50);
		execv(heir, argv);
		_exit(126);
	}
	close(fd);
	duo_reap(child, "heir");
}

static void server(int fd)
{
	char *argv[] = {heir, "server", (char *)duo_family(), (char *)duo_addrfile(), NULL};
	ssize_t n = readlink("/proc/self/exe", heir, sizeof(heir) - 10);

	if (getenv("HEIR")) {
		use(50);
		return;
	}
	if (n < 0)
		die("readlink");
	strcpy(heir + n, ".static");
	setenv("HEIR", "1", 1);
	for (int way = 0; way < 4; way++) {
		fd = duo_another_warm();
		duo_send_pattern(fd, UNREAD, 1);
		duo_await_bytes(fd, UNREAD);
		duo_post();
		if (way < 3) {
			hand_on(fd, way, argv);
			continue;
		}
		dup2(fd, 50);
		close(fd);
		execv(heir, argv);
		die("exec");
	}
}

static void client(int fd)
{
	size_t got;

	for (int way = 0; way < 4; way++) {
		fd = duo_another_warm();
		duo_send_pattern(fd, UNREAD, 2);
		duo_await_bytes(fd, UNREAD);
		duo_await();
		duo_send_pattern(fd, MORE, 2);
		duo_say_received(fd, "client", UNREAD);
		duo_say_received(fd, "client", MORE);
		shutdown(fd, SHUT_WR);
		got = duo_read_all(fd, buf, sizeof(buf));
		say("'%.*s'", (int)got, buf);
		close(fd);
	}
}

/* The end that execs never exits: it has no statistics to write. */
DUO_PROGRAM(.description = "exec of a static program", .traits = DUO_OWN_SETUP | DUO_ANY_ROAD,
	    .server = server, .client = client)
