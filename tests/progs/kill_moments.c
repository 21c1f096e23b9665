/* SPDX-License-Identifier: MIT */
/*
 * Description: kill -9 at any moment of an end that writes, of one that reads, of one
 * that does both, and of one of two holders of an end; what the other end sees fits.
 */
#include "duo.h"

#include <sys/mman.h>

#define ROUNDS 12	/* of each kind, at growing times */
#define STEP_US 400
#define RECORD 100

/* Told by the victim, outside of the stream. */
struct told {
	_Atomic uint64_t written;	/* bytes that write() has taken */
};

static struct told *told;

static void pause_us(long us)
{
	struct timespec t = {.tv_nsec = us * 1000};

	nanosleep(&t, NULL);
}

/* Byte at a position, so that a lost or doubled one is found. */
static char byte_at(uint64_t pos)
{
	return (char)(pos * 7 % 251);
}

static void write_for_ever(int fd)
{
	char buf[5 * RECORD];
	uint64_t pos = 0;

	for (size_t size = 1;; size = size * 3 % sizeof(buf) + 1) {
		ssize_t n;

		for (size_t i = 0; i < size; i++)
			buf[i] = byte_at(pos + i);
		n = write(fd, buf, size);
		if (n <= 0)
			_exit(1);
		pos += (uint64_t)n;
		told->written = pos;
	}
}

static void read_for_ever(int fd)
{
	char buf[700];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
	_exit(1);
}

static void echo_for_ever(int fd)
{
	char buf[700];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0 && write(fd, buf, (size_t)n) == n)
		;
	_exit(1);
}

static void records_for_ever(int fd, char who)
{
	char buf[RECORD];

	memset(buf, who, sizeof(buf));
	while (write(fd, buf, sizeof(buf)) == sizeof(buf))
		;
	_exit(1);
}

/* Two holders of one end; the first is killed and the second sends its records on. */
static pid_t two_holders(int fd, pid_t *ret_second, int stop)
{
	pid_t first = duo_fork();

	if (first == 0)
		records_for_ever(fd, 'a');
	*ret_second = duo_fork();
	if (*ret_second == 0) {
		char buf[RECORD], byte;

		memset(buf, 'b', sizeof(buf));
		do {
			duo_write_all(fd, buf, sizeof(buf));
		} while (recv(stop, &byte, 1, MSG_DONTWAIT) < 0);
		duo_write_all(fd, memset(buf, 'z', sizeof(buf)), sizeof(buf));
		_exit(0);
	}
	return first;
}

static void kill_round(int kind, int round)
{
	int fd = duo_another_warm(), stop[2];
	pid_t child, second = 0;

	told->written = 0;
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, stop) < 0)
		die("socketpair");
	child = kind == 3 ? two_holders(fd, &second, stop[1]) : duo_fork();
	if (child == 0 && kind == 0)
		write_for_ever(fd);
	if (child == 0 && kind == 1)
		read_for_ever(fd);
	if (child == 0)
		echo_for_ever(fd);
	close(fd);
	pause_us(round * STEP_US);
	kill(child, SIGKILL);
	duo_reap(child, "victim");
	if (second) {
		pause_us(STEP_US);
		send(stop[0], "", 1, 0);
		duo_reap(second, "second holder");
	}
	duo_tell((int)told->written);
	duo_await();
	close(stop[0]);
	close(stop[1]);
}

static void server(int fd)
{
	close(fd);
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 4 * ROUNDS; i++)
		kill_round(i / ROUNDS, i % ROUNDS);
}

/* Everything that a write had taken is there, then the end. */
static void hear_writer(int fd)
{
	char buf[3000];
	uint64_t pos = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++, pos++) {
			if (buf[i] != byte_at(pos))
				die("byte %llu is wrong", (unsigned long long)pos);
		}
	}
	say("all that was written: %d, then %zd", pos >= (uint64_t)duo_hear(), n);
}

/* Its death is an error of a write, sooner or later, and stays one. */
static void write_to_reader(int fd)
{
	char buf[600] = "";
	ssize_t n;

	while ((n = write(fd, buf, sizeof(buf))) > 0)
		;
	duo_hear();
	say("error of a write: %d", errno == EPIPE || errno == ECONNRESET);
	n = write(fd, buf, sizeof(buf));
	say_result("next write", n);
	n = read(fd, buf, sizeof(buf));
	say("read: end or reset %d", n == 0 || (n < 0 && errno == ECONNRESET));
}

/* Answers are right as far as they come. */
static void talk_to_echo(int fd)
{
	uint64_t sent = 0, got = 0;
	char buf[500];
	ssize_t n = 1;

	for (size_t size = 1; n > 0; size = size * 3 % sizeof(buf) + 1) {
		for (size_t i = 0; i < size; i++)
			buf[i] = byte_at(sent + i);
		n = write(fd, buf, size);
		sent += n > 0 ? (uint64_t)n : 0;
		while (n > 0 && got < sent) {
			n = read(fd, buf, sizeof(buf));
			for (ssize_t i = 0; i < n; i++, got++) {
				if (buf[i] != byte_at(got))
					die("byte %llu is wrong", (unsigned long long)got);
			}
		}
	}
	duo_hear();
	say("ended: %d", n == 0 || errno == EPIPE || errno == ECONNRESET);
	say_result("read at end", read(fd, buf, 1));
}

/*
 * Records of both; the last is the second holder's.  None is torn, but by TCP, which
 * lets go of a socket whose buffer is full.
 */
static void hear_holders(int fd)
{
	char buf[RECORD], last = 0;
	size_t n;

	while ((n = duo_read_all(fd, buf, sizeof(buf))) > 0) {
		for (size_t i = 1; i < n && !duo_is_tcp(); i++) {
			if (buf[i] != buf[0] || n != sizeof(buf))
				die("a torn record");
		}
		last = buf[n - 1];
	}
	duo_hear();
	say("the last record is of '%c'", last);
}

static void client(int fd)
{
	signal(SIGPIPE, SIG_IGN);
	close(fd);
	for (int i = 0; i < 4 * ROUNDS; i++) {
		fd = duo_another_warm();
		if (i / ROUNDS == 0)
			hear_writer(fd);
		else if (i / ROUNDS == 1)
			write_to_reader(fd);
		else if (i / ROUNDS == 2)
			talk_to_echo(fd);
		else
			hear_holders(fd);
		close(fd);
		duo_post();
	}
}

DUO_PROGRAM(.description = "kill -9 at any moment", .server = server, .client = client)
