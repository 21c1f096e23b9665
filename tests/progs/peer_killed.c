/* SPDX-License-Identifier: MIT */
/*
 * Description: a peer killed by SIGKILL is end of stream, or a reset if it left
 * input unread; a blocked reader, poller or writer wakes.
 */
#include "duo.h"

static char buf[100000];

/* The stream's only holder is a child of the server, killed when asked. */
static pid_t victim(int fd, int unread)
{
	pid_t child = duo_fork();

	if (child == 0) {
		duo_warmup(fd);
		if (unread)
			duo_await_bytes(fd, unread);
		duo_write_all(fd, "ready", 5);
		for (;;)
			pause();
	}
	close(fd);
	return child;
}

static void server(int fd)
{
	for (int round = 0; round < 5; round++) {
		pid_t child;

		if (round)
			fd = duo_another();
		child = victim(fd, round == 3 ? 3 : 0);
		/* The client's word, and the thread of it that is to sleep. */
		duo_await_asleep(duo_hear(), duo_hear());
		kill(child, SIGKILL);
		duo_reap(child, "child");
		duo_meet();
	}
}

/* Some process that sleeps for certain, where the client is not to. */
static void sleeps(pid_t pid)
{
	duo_tell(pid);
	duo_tell(pid);
}

static void client(int fd)
{
	ssize_t n;

	signal(SIGPIPE, SIG_IGN);
	duo_warmup(fd);
	duo_read_all(fd, buf, 5);
	sleeps(getpid());
	say_result("blocked read", read(fd, buf, sizeof(buf)));
	say_result("read again", read(fd, buf, sizeof(buf)));
	duo_meet();
	close(fd);

	fd = duo_another_warm();
	duo_read_all(fd, buf, 5);
	sleeps(getpid());
	say("blocked poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLRDHUP, -1)));
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_meet();
	close(fd);

	fd = duo_another_warm();
	duo_read_all(fd, buf, 5);
	/* Fill up: what is unread makes the death a reset. */
	duo_fill_up(fd);
	sleeps(getpid());
	n = write(fd, buf, sizeof(buf));
	/* A part may have gone; then the next write has the error. */
	if (n > 0 && n < (ssize_t)sizeof(buf))
		n = write(fd, buf, sizeof(buf));
	say_result("blocked write", n);
	duo_meet();
	say_result("next write", write(fd, buf, sizeof(buf)));
	close(fd);

	fd = duo_another_warm();
	duo_write_all(fd, "abc", 3);
	duo_read_all(fd, buf, 5);
	sleeps(getpid());
	say_result("blocked read, peer had input", read(fd, buf, sizeof(buf)));
	say_result("read again", read(fd, buf, sizeof(buf)));
	say_result("write", write(fd, buf, 1));
	duo_meet();
	close(fd);

	fd = duo_another_warm();
	duo_poll(fd, POLLIN, -1);
	sleeps(getppid());
	duo_meet();
	duo_poll(fd, POLLRDHUP, 5000);
	say_result("read of the last words", read(fd, buf, sizeof(buf)));
	say_result("read after them", read(fd, buf, sizeof(buf)));
}

DUO_PROGRAM(.description = "peer killed by SIGKILL", .server = server, .client = client)
