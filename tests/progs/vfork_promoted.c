/* SPDX-License-Identifier: MIT */
/*
 * Description: a stream that is not close-on-exec is promoted by one thread while the
 * vfork child of another waits; that execs, and the stream goes on.
 */
#include "duo.h"

static volatile int in_child;
static int go[2];

static void vfork_and_exec(void *arg)
{
	volatile pid_t child;
	char c;

	(void)arg;
	child = vfork();
	if (child == 0) {
		in_child = 1;
		while (read(go[0], &c, 1) != 1)
			;
		execl("/bin/true", "true", (char *)NULL);
		_exit(126);
	}
	duo_reap(child, "child");
}

static void server(int fd)
{
	static const struct timespec pause = {.tv_nsec = 100000};
	struct duo_thread thread;

	fcntl(fd, F_SETFD, 0);
	if (pipe2(go, O_CLOEXEC))
		die("pipe2");
	duo_thread_start(&thread, vfork_and_exec, NULL);
	while (!in_child)
		nanosleep(&pause, NULL);
	duo_post();
	duo_warmup(fd);
	duo_write_all(go[1], "g", 1);
	duo_thread_join(&thread);
	duo_warmup(fd);
	say("both went on");
}

static void client(int fd)
{
	duo_await();
	duo_warmup(fd);
	duo_warmup(fd);
	say("both went on");
}

DUO_PROGRAM(.description = "a promotion beside a vfork child", .server = server,
	    .client = client)
