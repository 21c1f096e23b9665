/* SPDX-License-Identifier: MIT */
/*
 * Description: children that a server forked before share its listener; each serves what
 * it accepts. One is killed in the midst of its stream, the others go on.
 */
#include "duo.h"

#define CHILDREN 4
#define STREAMS  24

static char buf[5000];

/* Serves streams until one asks it to stop, or to be killed. */
static void serve(int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		ssize_t n;

		if (fd < 0)
			die("accept");
		while ((n = read(fd, buf, sizeof(buf))) > 0) {
			if (buf[0] == 'S')
				_exit(0);
			if (buf[0] == 'K')
				kill(getpid(), SIGKILL);
			duo_write_all(fd, buf, (size_t)n);
		}
		close(fd);
	}
}

static void server(int fd)
{
	pid_t child[CHILDREN];
	int listener;
	int killed = 0, ended = 0;

	duo_warmup(fd);
	close(fd);
	listener = duo_listener();
	for (int i = 0; i < CHILDREN; i++) {
		child[i] = duo_fork();
		if (child[i] == 0)
			serve(listener);
	}
	duo_unlisten();
	for (int i = 0; i < CHILDREN; i++) {
		int status;

		if (waitpid(child[i], &status, 0) < 0)
			die("waitpid");
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		ended += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	say("%d children ended, %d was killed", ended, killed);
}

static void ask(int fd, int stream)
{
	size_t got = 0;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 20; i++) {
		char back[sizeof(buf)];
		size_t len = 200 * i + 1;

		duo_pattern(buf, len, i);
		buf[0] = 'x';
		duo_write_all(fd, buf, len);
		got += duo_read_all(fd, back, len);
		sum ^= duo_sum(back, len);
	}
	if (stream % 6 == 0)
		say("stream %d: %zu sum %016llx", stream, got, (unsigned long long)sum);
}

static void client(int fd)
{
	int streams[STREAMS];

	duo_warmup(fd);
	close(fd);
	for (int i = 0; i < STREAMS; i++) {
		fd = duo_another();
		ask(fd, i);
		if (i == STREAMS / 2) {
			duo_write_all(fd, "K", 1);
			say_result("read of the killed", read(fd, buf, 1));
		}
		close(fd);
	}
	/* each child that is left has one of these */
	for (int i = 0; i < CHILDREN - 1; i++) {
		streams[i] = duo_another();
		ask(streams[i], 6 * i);
	}
	for (int i = 0; i < CHILDREN - 1; i++) {
		duo_write_all(streams[i], "S", 1);
		say_result("read of the stopped", read(streams[i], buf, 1));
	}
}

DUO_PROGRAM(.description = "a server of forked children that accept", .server = server,
	    .client = client)
