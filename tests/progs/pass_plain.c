/* SPDX-License-Identifier: MIT */
/*
 * Description: a used stream goes to a program that is not preloaded: handed over
 * by SCM_RIGHTS, and inherited through exec; then it comes back to its first owner.
 */
#include "duo.h"

static char buf[4000];

static void answer(int fd, const char *who)
{
	size_t got = duo_read_all(fd, buf, 2000);

	say("%s read %zu sum %016llx", who, got, (unsigned long long)duo_sum(buf, got));
	duo_pattern(buf, 4000, (uint32_t)who[0]);
	duo_write_all(fd, buf, 4000);
}

/* This program once more, without the preload; number is open in it. */
static pid_t start_plain(const char *role, int number)
{
	pid_t child = duo_fork();
	char text[32];

	if (child)
		return child;
	snprintf(text, sizeof(text), "%d", number);
	unsetenv("LD_PRELOAD");
	setenv(role, text, 1);
	fcntl(number, F_SETFD, 0);
	execl("/proc/self/exe", "pass_plain", "server", duo_family(), duo_addrfile(), (char *)NULL);
	_exit(126);
}

static void server(int fd)
{
	int pair[2];
	pid_t child;

	if (getenv("PLAIN_RECEIVER")) {
		answer(duo_receive_fd(atoi(getenv("PLAIN_RECEIVER"))), "plain receiver");
		return;
	}
	if (getenv("PLAIN_HEIR")) {
		answer(atoi(getenv("PLAIN_HEIR")), "plain heir");
		return;
	}
	fd = duo_another_warm();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	answer(fd, "first owner");
	child = start_plain("PLAIN_RECEIVER", pair[1]);
	duo_pass_fd(pair[0], fd);
	duo_reap(child, "plain receiver");
	answer(fd, "first owner");
	duo_warmup(fd);
	child = start_plain("PLAIN_HEIR", fd);
	duo_reap(child, "plain heir");
	answer(fd, "first owner");
	duo_warmup(fd);
	say_result("read at end", read(fd, buf, 1));
}

static void ask(int fd, uint32_t round)
{
	size_t got;

	duo_pattern(buf, 2000, round);
	duo_write_all(fd, buf, 2000);
	got = duo_read_all(fd, buf, 4000);
	say("answer %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
}

static void client(int fd)
{
	fd = duo_another_warm();
	ask(fd, 0);
	ask(fd, 1);
	ask(fd, 2);
	duo_warmup(fd);
	ask(fd, 3);
	ask(fd, 4);
	duo_warmup(fd);
	close(fd);
}

DUO_PROGRAM(.description = "a stream visits programs without the preload", .traits = DUO_OWN_SETUP,
	    .server = server, .client = client)
