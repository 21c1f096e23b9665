/* SPDX-License-Identifier: MIT */
/*
 * Description: a server forks twice and leaves its stream to the grandchild, as daemons
 * do: before and after the stream was used, with input waiting, and by daemon(0, 0).
 */
#include "duo.h"

#include <sys/prctl.h>

#define SIZE 3000
#define WAYS 4

static char buf[2 * SIZE];

/* The grandchild: the only one that still has the stream.  Ends with exit code 0. */
static void serve(int fd)
{
	size_t n;

	while ((n = duo_read_all(fd, buf, SIZE)) > 0) {
		for (size_t i = 0; i < n; i++)
			buf[i] ^= 0x55;
		duo_write_all(fd, buf, n);
	}
	duo_write_all(fd, "the end", 7);
	_exit(fd > 2 ? 0 : 1);
}

static void middle(int fd, int way)
{
	pid_t grandchild;

	setsid();
	if (way == 3) {
		/* stdin, stdout, stderr are /dev/null; the parent is told by the reaper */
		if (daemon(0, 0) < 0)
			_exit(96);
		alarm(20);
		serve(fd);
	}
	grandchild = duo_fork();
	if (grandchild < 0)
		_exit(97);
	if (grandchild == 0)
		serve(fd);
	if (way == 1)
		close(fd);
	if (way == 2)
		exit(0);
	_exit(0);
}

static void server(int fd)
{
	close(fd);
	/* orphans come to us */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		die("subreaper");
	for (int i = 0; i < 2 * WAYS; i++) {
		pid_t child;
		int status;

		fd = i < WAYS ? duo_another() : duo_another_warm();
		if (i % 2)
			duo_await_bytes(fd, SIZE);
		child = duo_fork();
		if (child == 0)
			middle(fd, i % WAYS);
		close(fd);
		duo_reap(child, "child");
		if (wait(&status) < 0)
			die("no grandchild");
		say("grandchild exits %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	}
}

static void client(int fd)
{
	close(fd);
	for (int i = 0; i < 2 * WAYS; i++) {
		size_t got = 0;
		uint64_t sum = 0;

		fd = i < WAYS ? duo_another() : duo_another_warm();
		for (uint32_t k = 0; k < 12; k++) {
			size_t n;

			duo_pattern(buf, SIZE, k);
			duo_write_all(fd, buf, SIZE);
			n = duo_read_all(fd, buf, SIZE);
			sum = sum * 31 + duo_sum(buf, n);
			got += n;
		}
		say("%zu sum %016llx", got, (unsigned long long)sum);
		shutdown(fd, SHUT_WR);
		got = duo_read_all(fd, buf, SIZE);
		say("'%.*s'", (int)got, buf);
		close(fd);
	}
}

DUO_PROGRAM(.description = "a stream left to a grandchild", .server = server, .client = client)
