/* SPDX-License-Identifier: MIT */
/*
 * Description: children that had a stream by fork are other programs by now, or were killed:
 * it has one owner again, as its first bytes go out, and when it is closed.
 */
#include "duo.h"

enum { SLEEPERS = 2, KILLED = 1, SIZE = 100000 };

static void become_sleep(void)
{
	char *const argv[] = {"sleep", "30", NULL};

	execvp("sleep", argv);
	_exit(126);
}

/* Lives until it is killed; as another program, or as it is. */
static pid_t start(bool execs)
{
	int ready[2];
	char byte;
	pid_t child;

	if (pipe2(ready, O_CLOEXEC))
		die("pipe2");
	child = duo_fork();
	if (!child && execs)
		become_sleep();
	if (!child)
		pause();
	/* the end comes when exec has closed what it closes */
	close(ready[1]);
	if (execs)
		duo_read_all(ready[0], &byte, 1);
	else
		duo_await_asleep(child, child);
	close(ready[0]);
	return child;
}

static void server(int fd)
{
	pid_t child[SLEEPERS + KILLED];

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	for (int i = 0; i < SLEEPERS + KILLED; i++)
		child[i] = start(i < SLEEPERS);
	for (int i = SLEEPERS; i < SLEEPERS + KILLED; i++) {
		kill(child[i], SIGKILL);
		duo_reap(child[i], "killed");
	}
	duo_warmup(fd);
	duo_send_pattern(fd, SIZE, 1);
	duo_say_received(fd, "server", SIZE);
	say_result("close", close(fd));
	duo_post();
	for (int i = 0; i < SLEEPERS; i++) {
		kill(child[i], SIGKILL);
		duo_reap(child[i], "sleeper");
	}
}

static void client(int fd)
{
	char byte;

	duo_warmup(fd);
	duo_say_received(fd, "client", SIZE);
	duo_send_pattern(fd, SIZE, 2);
	say_result("end", read(fd, &byte, 1));
	duo_await();
}

DUO_PROGRAM(.description = "a stream that exec'd children had", .server = server,
	    .client = client)
