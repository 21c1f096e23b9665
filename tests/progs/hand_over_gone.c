/* SPDX-License-Identifier: MIT */
/*
 * Description: input of a peer that closed, was killed, or closed with input of its own
 * unread, is read by somebody else: cat behind fork, vfork, posix_spawn and popen, the
 * receiver of SCM_RIGHTS, stdio; or by nobody else, though a child inherits the number.
 */
#include "duo.h"

#include <spawn.h>
#include <sys/epoll.h>

#define SIZE 5000
#define FIRST 100

extern char **environ;

static char buf[2 * SIZE];

/* What comes out of the pipe @from, which cat writes. */
static void hear_cat(int from, const char *who)
{
	size_t got = duo_read_all(from, buf, sizeof(buf));

	say("%s: %zu sum %016llx", who, got, (unsigned long long)duo_sum(buf, got));
	close(from);
}

static void be_cat(int fd, const int out[2])
{
	dup2(fd, STDIN_FILENO);
	dup2(out[1], STDOUT_FILENO);
	close(STDERR_FILENO);
	close(out[0]);
	close(out[1]);
	execlp("cat", "cat", (char *)NULL);
	_exit(126);
}

static void by_child(int fd, bool vforked)
{
	volatile pid_t child;
	int out[2];

	if (pipe2(out, O_CLOEXEC))
		die("pipe2");
	child = vforked ? vfork() : duo_fork();
	if (child == 0)
		be_cat(fd, out);
	close(out[1]);
	hear_cat(out[0], vforked ? "vfork" : "fork");
	duo_reap(child, "cat");
}

static void by_spawn(int fd)
{
	char *argv[] = {"cat", NULL};
	posix_spawn_file_actions_t actions;
	pid_t child;
	int out[2];

	if (pipe2(out, O_CLOEXEC))
		die("pipe2");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, STDERR_FILENO);
	if (posix_spawnp(&child, "cat", &actions, NULL, argv, environ))
		die("posix_spawnp");
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	hear_cat(out[0], "posix_spawn");
	duo_reap(child, "cat");
}

static void by_popen(int fd)
{
	char command[64];
	size_t got;
	FILE *f;

	fcntl(fd, F_SETFD, 0);
	snprintf(command, sizeof(command), "exec cat <&%d 2>&-", fd);
	f = popen(command, "r");
	got = fread(buf, 1, sizeof(buf), f);
	say("popen: %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	say("status %d", pclose(f));
}

static void by_stdio(int fd)
{
	FILE *f = fdopen(dup(fd), "r");
	size_t got = fread(buf, 1, sizeof(buf), f);

	say("stdio: %zu sum %016llx, error %d", got, (unsigned long long)duo_sum(buf, got),
	    ferror(f) != 0);
	fclose(f);
}

/* A program that inherits the number and does not care; its parent reads on. */
static void by_nobody(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = 77};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	size_t got = 0;
	ssize_t n;

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	fcntl(fd, F_SETFD, 0);
	say("system %d", system("exit 3"));
	n = epoll_wait(ep, &ev, 1, 0);
	say("%zd event %s of %u", n, duo_poll_bits((short)ev.events), ev.data.u32);
	while ((n = read(fd, buf + got, sizeof(buf) - got)) > 0)
		got += (size_t)n;
	say_result("the last read", n);
	say("system: %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	close(ep);
}

static void read_passed(int over)
{
	int fd = duo_receive_fd(over);
	size_t got = 0;
	ssize_t n;

	while ((n = read(fd, buf + got, sizeof(buf) - got)) > 0)
		got += (size_t)n;
	say_result("the last read", n);
	say("passed: %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	_exit(0);
}

/* @child was there before the stream: it has nothing of it but what it is passed. */
static void by_passing(int fd, pid_t child, int over)
{
	duo_pass_fd(over, fd);
	duo_reap(child, "receiver");
}

#define WAYS 7
#define ENDINGS 3

static void server(int fd)
{
	close(fd);
	for (int i = 0; i < WAYS * ENDINGS; i++) {
		pid_t child = 0;
		int over[2];

		if (i % WAYS == 5) {
			if (socketpair(AF_UNIX, SOCK_STREAM, 0, over) < 0)
				die("socketpair");
			child = duo_fork();
			if (child == 0)
				read_passed(over[1]);
			close(over[1]);
		}
		fd = duo_another_warm();
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (i / WAYS == 2)
			duo_write_all(fd, "unread", 6);
		duo_post();
		duo_await();
		duo_await_bytes(fd, SIZE);
		duo_read_all(fd, buf, FIRST);
		duo_poll(fd, POLLRDHUP, -1);
		switch (i % WAYS) {
		case 0:
			by_child(fd, false);
			break;
		case 1:
			by_child(fd, true);
			break;
		case 2:
			by_spawn(fd);
			break;
		case 3:
			by_popen(fd);
			break;
		case 4:
			by_stdio(fd);
			break;
		case 6:
			by_nobody(fd);
			break;
		default:
			by_passing(fd, child, over[0]);
			close(over[0]);
		}
		close(fd);
	}
}

static void send_all(int i)
{
	int fd = duo_another_warm();

	duo_await();
	duo_pattern(buf, SIZE, (uint32_t)i);
	duo_write_all(fd, buf, SIZE);
	if (i / WAYS == 1)
		kill(getpid(), SIGKILL);
	close(fd);
}

static void client(int fd)
{
	close(fd);
	for (int i = 0; i < WAYS * ENDINGS; i++) {
		if (i / WAYS == 1) {
			pid_t child = duo_fork();

			if (child == 0)
				send_all(i);
			duo_reap(child, "sender");
		} else {
			send_all(i);
		}
		duo_post();
	}
}

DUO_PROGRAM(.description = "somebody else reads what a peer left that is gone",
	    .server = server, .client = client)
