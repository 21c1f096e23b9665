/* SPDX-License-Identifier: MIT */
/*
 * Description: a used stream handed over by SCM_RIGHTS: to a forked child that
 * had closed it, and to the sender itself; with input waiting meanwhile.
 */
#include "duo.h"

static char buf[5000];

static void answer(int fd, const char *who)
{
	size_t got = duo_read_all(fd, buf, 2000);

	say("%s read %zu sum %016llx", who, got, (unsigned long long)duo_sum(buf, got));
	duo_pattern(buf, 5000, (uint32_t)who[0]);
	duo_write_all(fd, buf, 5000);
}

static void server(int fd)
{
	int pair[2], mine;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	duo_warmup(fd);
	child = duo_fork();
	if (child == 0) {
		close(fd);
		close(pair[0]);
		fd = duo_receive_fd(pair[1]);
		answer(fd, "child");
		answer(fd, "child");
		_exit(0);
	}
	close(pair[1]);
	/* Unread input goes along. */
	duo_await_bytes(fd, 2000);
	duo_pass_fd(pair[0], fd);
	close(fd);
	duo_reap(child, "child");
	close(pair[0]);
	duo_post();

	fd = duo_another_warm();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	duo_await_bytes(fd, 2000);
	duo_pass_fd(pair[0], fd);
	answer(fd, "old number");
	mine = duo_receive_fd(pair[1]);
	answer(mine, "new number");
	close(fd);
	answer(mine, "new number alone");
	close(mine);
}

static void use(int fd, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		size_t got;

		duo_pattern(buf, 2000, (uint32_t)i);
		duo_write_all(fd, buf, 2000);
		got = duo_read_all(fd, buf, 5000);
		say("answer %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	}
}

static void client(int fd)
{
	duo_warmup(fd);
	use(fd, 2);
	duo_await();
	say_result("read at end", read(fd, buf, 1));
	close(fd);
	fd = duo_another_warm();
	use(fd, 3);
	say_result("read at end", read(fd, buf, 1));
}

DUO_PROGRAM(.description = "SCM_RIGHTS hands a stream over", .server = server, .client = client)
