/* SPDX-License-Identifier: MIT */
/*
 * Description: a vfork child closes some or all numbers, each way there is, and dups, on
 * its parent's memory, then execs; before, a child that clone(2) makes the same way closes
 * them.  The parent's streams are untouched.
 */
#include "duo.h"

#include <sched.h>

#define WAYS 5

static char buf[1000], stack[65536] __attribute__((aligned(16)));

static void ask(int fd, const char *when)
{
	size_t got;

	duo_write_all(fd, buf, 1000);
	got = duo_read_all(fd, buf, 1000);
	say("%s: %zu sum %016llx", when, got, (unsigned long long)duo_sum(buf, got));
}

static int close_both(void *arg)
{
	const int *fds = arg;

	close(fds[0]);
	close(fds[1]);
	_exit(5);
}

/* As vfork(2) does, and the process has not done that yet. */
static void child_of_clone(int fd, int other)
{
	int fds[2] = { fd, other };
	pid_t child = clone(close_both, stack + sizeof(stack),
			    CLONE_VM | CLONE_VFORK | SIGCHLD, fds);

	if (child < 0)
		die("clone");
	duo_reap(child, "clone child");
	ask(fd, "first stream");
	ask(other, "second stream");
}

static void client(int fd)
{
	volatile int other;
	volatile pid_t child;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	duo_pattern(buf, sizeof(buf), 1);
	duo_warmup(fd);
	other = duo_another_warm();
	child_of_clone(fd, other);
	for (volatile int way = 0; way < WAYS; way++) {
		child = vfork();
		if (child == 0) {
			if (way == 0) {
				close(fd);
				close(other);
				dup2(null, fd);
			} else if (way == 1) {
				close_range(3, ~0u, 0);
			} else if (way == 2) {
				for (int i = 3; i < 2048; i++)
					close(i);
			} else if (way == 3) {
				closefrom(3);
			} else {
				dup2(fd, other);
				fcntl(fd, F_SETFD, 0);
				dup2(null, STDIN_FILENO);
			}
			execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
			_exit(126);
		}
		duo_reap(child, "child");
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		ask(fd, "first stream");
		ask(other, "second stream");
	}
}

static void server(int fd)
{
	int other;

	duo_warmup(fd);
	other = duo_another_warm();
	for (int i = 0; i < 2 * (WAYS + 1); i++) {
		int from = i % 2 ? other : fd;
		size_t got = duo_read_all(from, buf, 1000);

		duo_write_all(from, buf, got);
	}
	say_result("read", read(fd, buf, 1));
	say_result("read", read(other, buf, 1));
}

DUO_PROGRAM(.description = "vfork children and their parent", .server = server, .client = client)
