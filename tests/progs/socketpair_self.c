/* SPDX-License-Identifier: MIT */
/*
 * Description: socket pairs that stay with the kernel: both ends in one process, used by
 * one thread, by two, and by a signal handler; and held by parent and child alike.
 */
#include "duo.h"

static int pair[2];
static char buf[3000];

static void on_signal(int sig)
{
	int saved = errno;

	(void)sig;
	if (write(pair[0], "s", 1) != 1)
		_exit(96);
	errno = saved;
}

static void echo(void *arg)
{
	int *left = arg;

	while ((*left)--) {
		ssize_t n = read(pair[1], buf, 100);

		duo_write_all(pair[1], buf, (size_t)n);
	}
}

static void make_pair(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		die("socketpair");
}

/* As an event loop has it: a handler wakes its own thread. */
static void self_pipe(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct pollfd p;
	size_t got = 0;

	make_pair();
	p = (struct pollfd){.fd = pair[1], .events = POLLIN};
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 300; i++) {
		raise(SIGUSR1);
		if (poll(&p, 1, -1) != 1)
			die("poll");
		got += duo_read_all(pair[1], buf, 1);
	}
	say("self-pipe: %zu bytes", got);
}

static void two_threads(void)
{
	struct duo_thread t;
	int left = 500;
	size_t got = 0;

	duo_thread_start(&t, echo, &left);
	for (int i = 0; i < 500; i++) {
		duo_write_all(pair[0], "hello", 5);
		got += duo_read_all(pair[0], buf + 100, 5);
	}
	duo_thread_join(&t);
	say("two threads: %zu bytes", got);
	close(pair[0]);
	close(pair[1]);
}

/* Nobody closes the end that it does not use. */
static void both_hold_both(void)
{
	pid_t child;
	int left = 500;
	size_t got = 0;

	make_pair();
	child = duo_fork();
	if (child == 0) {
		echo(&left);
		_exit(0);
	}
	for (int i = 0; i < 500; i++) {
		duo_write_all(pair[0], "hello", 5);
		got += duo_read_all(pair[0], buf + 100, 5);
	}
	say("a child: %zu bytes", got);
	duo_reap(child, "child");
	/* the parent holds both again */
	say_result("write", write(pair[0], "x", 1));
	say_result("read", read(pair[1], buf, 10));
}

static void server(int fd)
{
	(void)fd;
	self_pipe();
	two_threads();
	both_hold_both();
}

DUO_PROGRAM(.description = "socket pairs of one process",
	    .traits = DUO_SOLO | DUO_UNIX | DUO_KERNEL_ONLY, .server = server)
