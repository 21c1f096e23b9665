/* SPDX-License-Identifier: MIT */
/*
 * Description: children made by _Fork, by the raw fork call and by clone, which
 * run no atfork handlers, use the stream; the parent goes on after each.
 */
#include "duo.h"

#include <sched.h>
#include <sys/syscall.h>

static char buf[3000], stack[65536] __attribute__((aligned(16)));

static void turn(int fd, const char *who)
{
	size_t got = duo_read_all(fd, buf, sizeof(buf));

	say("%s read %zu sum %016llx", who, got, (unsigned long long)duo_sum(buf, got));
	duo_pattern(buf, sizeof(buf), (uint32_t)who[0]);
	duo_write_all(fd, buf, sizeof(buf));
}

static int cloned(void *arg)
{
	alarm(20);
	turn(*(int *)arg, "clone child");
	turn(*(int *)arg, "clone child");
	_exit(2);
}

static void server(int fd)
{
	pid_t child;

	duo_warmup(fd);
	child = _Fork();
	if (child == 0) {
		alarm(20);
		turn(fd, "_Fork child");
		turn(fd, "_Fork child");
		_exit(0);
	}
	duo_reap(child, "_Fork child");
	turn(fd, "parent");
	child = (pid_t)syscall(SYS_fork);
	if (child == 0) {
		alarm(20);
		turn(fd, "raw child");
		turn(fd, "raw child");
		_exit(1);
	}
	duo_reap(child, "raw child");
	turn(fd, "parent");
	child = clone(cloned, stack + sizeof(stack), SIGCHLD, &fd);
	if (child < 0)
		die("clone");
	duo_reap(child, "clone child");
	turn(fd, "parent");
	say_result("read at end", read(fd, buf, 1));
}

static void client(int fd)
{
	duo_warmup(fd);
	for (uint32_t i = 0; i < 9; i++) {
		size_t got;

		duo_pattern(buf, sizeof(buf), i);
		duo_write_all(fd, buf, sizeof(buf));
		got = duo_read_all(fd, buf, sizeof(buf));
		say("answer %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	}
}

DUO_PROGRAM(.description = "children without atfork handlers", .server = server, .client = client)
