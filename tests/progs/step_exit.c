/* SPDX-License-Identifier: MIT */
/*
 * Description: a handler says good-bye by the stream in whose write its program is busy,
 * and ends the process, at every instruction of that write, as far as that goes.
 */
#include "steps.h"

#define PLACES	20
#define LONG	20000

static char bytes[LONG];
static int stream;

static void good_bye(int signal_nr)
{
	(void)signal_nr;
	duo_write_all(stream, "bye", 3);
	_exit(7);
}

static void never(int signal_nr)
{
	(void)signal_nr;
}

static void write_in_steps(long instructions)
{
	memset(bytes, 'q', sizeof(bytes));
	steps_handlers(good_bye, never);
	steps_start(instructions);
	duo_write_all(stream, bytes, sizeof(bytes));
	steps_stop();
}

/* What came, up to the end of the stream: whole writes are not asked for. */
static void server(int fd)
{
	static char buf[2 * LONG];
	size_t len;

	duo_warmup(fd);
	say("first: %zu", duo_drain(fd));
	for (int i = 0; i < PLACES; i++) {
		fd = duo_another_warm();
		len = duo_read_all(fd, buf, sizeof(buf));
		say("%d: ends in %.3s", i, len >= 3 ? buf + len - 3 : "nothing");
		close(fd);
	}
}

static void client(int fd)
{
	long all;

	duo_warmup(fd);
	stream = fd;
	write_in_steps(LONG_MAX);
	all = steps_taken;
	close(fd);
	for (int i = 0; i < PLACES; i++) {
		pid_t child = duo_fork();

		if (!child) {
			stream = duo_another_warm();
			write_in_steps(1 + (all * i + getpid() % 97) / PLACES);
			/* a shorter way than the first: nothing was left to interrupt */
			raise(SIGUSR1);
		}
		duo_reap(child, "child");
	}
}

DUO_PROGRAM(.description = "a handler that ends the process in the midst of a write",
	    .server = server, .client = client)
