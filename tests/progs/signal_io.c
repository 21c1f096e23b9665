/* SPDX-License-Identifier: MIT */
/*
 * Description: a handler that reads and writes the stream whose blocked or busy
 * caller it interrupts, many times; nothing is lost and nothing hangs.
 */
#include "duo.h"

#include <sys/time.h>

static int stream;
static volatile sig_atomic_t writes, alarms;

static void on_alarm(int signal_nr)
{
	int saved = errno;

	(void)signal_nr;
	alarms++;
	if (writes < 100 && write(stream, "H", 1) == 1)
		writes++;
	errno = saved;
}

/* Echo; bytes H come from the handler of the other end. */
static void server(int fd)
{
	char buf[1000];
	ssize_t n;
	size_t handler = 0;

	duo_warmup(fd);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		size_t kept = 0;

		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] == 'H')
				handler++;
			else
				buf[kept++] = buf[i];
		}
		duo_write_all(fd, buf, kept);
	}
	duo_tell((int)handler);
}

static void client(int fd)
{
	struct itimerval often = {{0, 500}, {0, 500}};
	struct itimerval never = {{0, 0}, {0, 0}};
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	char out[500], in[500];
	int rounds = 0;

	duo_warmup(fd);
	stream = fd;
	/* VTALRM and PROF count processor time; REAL needs alarm()'s signal. */
	alarm(0);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	memset(out, 'm', sizeof(out));
	while (writes < 100 && rounds < 1000000) {
		duo_write_all(fd, out, 1 + (size_t)(rounds % 500));
		if (duo_read_all(fd, in, 1 + (size_t)(rounds % 500)) != 1 + (size_t)(rounds % 500))
			die("short read");
		if (memcmp(in, out, 1 + (size_t)(rounds % 500)) != 0)
			die("wrong bytes");
		rounds++;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	shutdown(fd, SHUT_WR);
	say("handler wrote %d, arrived %d", (int)writes, duo_hear());
	say_result("read at end", read(fd, in, 1));
}

DUO_PROGRAM(.description = "I/O in signal handlers", .server = server, .client = client)
