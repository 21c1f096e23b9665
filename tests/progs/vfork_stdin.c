/* SPDX-License-Identifier: MIT */
/*
 * Description: a vfork child makes its parent's used stream, which is close-on-exec,
 * the input and output of cat: by dup2, and by F_DUPFD; before and after it closes all
 * other numbers.
 */
#include "duo.h"

#define SIZE 5000

static char buf[SIZE];

static void as_input(int fd, bool close_first)
{
	if (close_first) {
		closefrom(fd + 1);
		close_range(3, (unsigned int)fd - 1, 0);
	}
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	close_range(3, ~0u, 0);
	execlp("cat", "cat", (char *)NULL);
	_exit(126);
}

static void as_number(int fd)
{
	static char command[64];

	snprintf(command, sizeof(command), "cat <&%d >&%d", fcntl(fd, F_DUPFD, 7), 7);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(126);
}

static void server(int first)
{
	close(first);
	for (volatile int i = 0; i < 6; i++) {
		volatile int fd = duo_another_warm();
		volatile pid_t child;

		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (i % 3)
			duo_await_bytes(fd, SIZE);
		child = vfork();
		if (child == 0) {
			if (i % 2)
				as_number(fd);
			else
				as_input(fd, i < 3);
		}
		duo_reap(child, "cat");
		say_result("read at end", read(fd, buf, 1));
		duo_write_all(fd, "parent", 6);
		close(fd);
	}
}

static void client(int fd)
{
	close(fd);
	for (int i = 0; i < 6; i++) {
		size_t got;

		fd = duo_another_warm();
		duo_pattern(buf, SIZE, (uint32_t)i);
		duo_write_all(fd, buf, SIZE);
		got = duo_read_all(fd, buf, SIZE);
		say("echo %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
		shutdown(fd, SHUT_WR);
		got = duo_read_all(fd, buf, SIZE);
		say("then %zu: %.*s", got, (int)got, buf);
		close(fd);
	}
}

DUO_PROGRAM(.description = "a vfork child that execs with the stream as input",
	    .server = server, .client = client)
