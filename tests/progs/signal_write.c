/* SPDX-License-Identifier: MIT */
/*
 * Description: a handler uses the stream inside whose write, or read, its own thread is
 * asleep: it writes, blocking and not, polls for room, or writes to another stream.
 * The interrupted call restarts, or is cut short, as the handler was installed.
 */
#include "duo.h"

#define BIG     (16u << 20)	/* more than any buffer between the ends */
#define MARK    0x80
#define SIGNALS 5

enum way { WRITE, DONTWAIT, POLL, OTHER, IN_READ, WAYS };

static int stream, other;
static char *big;
static volatile sig_atomic_t way, came;
static struct {
	ssize_t got;
	int error;
} result[SIGNALS];

static void write_all(int fd, const char *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("write %zd", n);
		done += (size_t)n;
	}
}

static void on_signal(int sig)
{
	struct pollfd p = {.fd = stream, .events = POLLOUT};
	int saved = errno, nr = came;
	char mark = (char)MARK;

	(void)sig;
	if (nr == SIGNALS)
		return;
	errno = 0;
	switch (way) {
	case WRITE:
		result[nr].got = write(stream, &mark, 1);
		break;
	case DONTWAIT:
		result[nr].got = send(stream, &mark, 1, MSG_DONTWAIT);
		break;
	case POLL:
		result[nr].got = poll(&p, 1, -1);
		break;
	case OTHER:
		result[nr].got = write(other, &mark, 1);
		break;
	default:
		write_all(stream, big, BIG);
		result[nr].got = BIG;
	}
	result[nr].error = errno;
	came = nr + 1;
	errno = saved;
}

/* The bytes of the interrupted call, and of a handler that sent as many. */
static void one_way(bool restarts)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = restarts ? SA_RESTART : 0};
	ssize_t n;
	char byte;

	came = 0;
	sigaction(SIGUSR1, &action, NULL);
	duo_tell(getpid());
	if (way == IN_READ) {
		n = say_result("read", read(stream, &byte, 1));
		if (n < 0)
			say_result("read again", read(stream, &byte, 1));
	} else {
		write_all(stream, big, BIG);
	}
	shutdown(stream, SHUT_WR);
	say_result("end", read(stream, &byte, 1));
	for (int i = 0; i < came && way != DONTWAIT; i++)
		say("handler: %zd %s", result[i].got, duo_errno(result[i].error));
}

static void server(int fd)
{
	close(fd);
	big = malloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)(i % 127);
	for (int i = 0; i < 2 * WAYS; i++) {
		way = i % WAYS;
		stream = duo_another_warm();
		other = way == OTHER ? duo_another_warm() : -1;
		one_way(i < WAYS);
		close(stream);
		if (other >= 0)
			close(other);
	}
	free(big);
}

/* Bytes without a mark are the pattern, whatever stands between them. */
static void hear(int fd, size_t want, bool says_marks)
{
	static unsigned char buf[1 << 16];
	size_t plain = 0, marks = 0;
	ssize_t n = 0;

	while (plain < want && (n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] == MARK)
				marks++;
			else if (buf[i] != plain++ % 127)
				die("byte %zu is wrong", plain - 1);
		}
	}
	say("%zu bytes", plain);
	marks += duo_drain(fd);
	if (says_marks)
		say("%zu from the handler", marks);
}

static void client(int fd)
{
	close(fd);
	for (int i = 0; i < 2 * WAYS; i++) {
		int s = duo_another_warm();
		int o = i % WAYS == OTHER ? duo_another_warm() : -1;
		pid_t peer = duo_hear();

		duo_await_asleep(peer, peer);
		/* where handlers sleep, later signals would wait together */
		for (int k = 0; k < (i % WAYS == DONTWAIT || o >= 0 ? SIGNALS : 1); k++) {
			kill(peer, SIGUSR1);
			duo_await_asleep(peer, peer);
		}
		if (i % WAYS == IN_READ) {
			size_t left = BIG, n = 1;
			static char buf[1 << 16];

			for (; left && n; left -= n)
				n = duo_read_all(s, buf, left < sizeof(buf) ? left : sizeof(buf));
			duo_await_asleep(peer, peer);
			duo_write_all(s, "x", 1);
			say("%u bytes", BIG - (unsigned int)left);
			shutdown(s, SHUT_WR);
		} else {
			shutdown(s, SHUT_WR);
			hear(s, BIG, i % WAYS == WRITE);
		}
		close(s);
		if (o >= 0) {
			say_result("other", (ssize_t)duo_drain(o));
			close(o);
		}
	}
}

DUO_PROGRAM(.description = "a handler that writes inside a blocked call", .server = server,
	    .client = client)
