/* SPDX-License-Identifier: MIT */
/*
 * Description: bytes went one way only; the receiver becomes cat with input unread,
 * while the sender sleeps in a blocking read, with a signal now and then.
 */
#include "duo.h"

#define LINES 300

static void on_signal(int sig)
{
	(void)sig;
}

static void server(int fd)
{
	char line[16];
	pid_t peer = duo_hear();

	for (int i = 0; i < LINES; i++) {
		duo_read_all(fd, line, sizeof(line));
		duo_post();
	}
	duo_await_bytes(fd, 5);
	duo_await_asleep(peer, peer);
	for (int i = 0; i < 3; i++) {
		kill(peer, SIGUSR1);
		duo_await_asleep(peer, peer);
	}
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	execlp("cat", "cat", (char *)NULL);
	die("exec");
}

static void client(int fd)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	char line[16] = "a line of text\n";

	/* every handler restarts: the read must not be cut short */
	sigaction(SIGUSR1, &action, NULL);
	duo_tell(getpid());
	for (int i = 0; i < LINES; i++) {
		duo_write_all(fd, line, sizeof(line));
		duo_await();
	}
	duo_write_all(fd, "12345", 5);
	say_result("read", read(fd, line, sizeof(line)));
	say("%.5s", line);
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say_result("read at end", read(fd, line, sizeof(line)));
}

/* The end that execs never exits: it has no statistics to write. */
DUO_PROGRAM(.description = "exec of the receiver of a one-way stream", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
