/* SPDX-License-Identifier: MIT */
/*
 * Description: system, popen and posix_spawn beside open streams change nothing;
 * a child of popen may even inherit and use one.
 */
#include "duo.h"

#include <spawn.h>

static char buf[1000];
extern char **environ;

static void ask(int fd, const char *when)
{
	size_t got;

	duo_write_all(fd, buf, 1000);
	got = duo_read_all(fd, buf, 1000);
	say("%s: %zu sum %016llx", when, got, (unsigned long long)duo_sum(buf, got));
}

static void client(int fd)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 5", NULL};
	char line[100] = "", command[100];
	pid_t child;
	FILE *f;

	duo_pattern(buf, sizeof(buf), 1);
	duo_warmup(fd);
	say("system %d", WEXITSTATUS(system("exit 3")));
	ask(fd, "after system");
	f = popen("echo from popen", "re");
	if (!f || !fgets(line, sizeof(line), f))
		die("popen");
	ask(fd, "during popen");
	say("popen '%.10s' %d", line, pclose(f));
	ask(fd, "after popen");
	if (posix_spawnp(&child, "sh", NULL, NULL, argv, environ) != 0)
		die("posix_spawnp");
	duo_reap(child, "spawned");
	ask(fd, "after posix_spawn");
	/* The shell writes on the stream itself. */
	fcntl(fd, F_SETFD, 0);
	snprintf(command, sizeof(command), "printf 'the shell was here' >&%d", fd);
	say("system %d", WEXITSTATUS(system(command)));
	ask(fd, "after the shell");
}

static void server(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 5; i++) {
		size_t got;

		if (i == 4) {
			got = duo_read_all(fd, buf, 18);
			say("'%.*s'", (int)got, buf);
		}
		got = duo_read_all(fd, buf, 1000);
		duo_write_all(fd, buf, got);
	}
	say_result("read", read(fd, buf, 1));
}

DUO_PROGRAM(.description = "system, popen, posix_spawn beside a stream", .server = server,
	    .client = client)
