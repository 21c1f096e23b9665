/* SPDX-License-Identifier: MIT */
/*
 * Description: a timer's handler leaves reads and writes by siglongjmp, asleep or at
 * work, many times: no write is torn, no byte comes twice, and the stream is usable.
 */
#include "duo.h"

#include <setjmp.h>
#include <sys/time.h>

#define JUMPS 2000
#define BATCH 256	/* records between two waits: they fit into any buffer */
#define WORDS 25
#define LAST  0xffffffffu

#define CYCLE 251	/* values of the bytes that are read */
#define CHUNK 100
#define STOP  255

static sigjmp_buf out;
static volatile sig_atomic_t armed;
static volatile int jumps;

static void leave(int sig)
{
	(void)sig;
	if (!armed)
		return;
	armed = 0;
	jumps++;
	siglongjmp(out, 1);
}

static void timer(long us)
{
	struct itimerval often = {{0, us}, {0, us}};

	if (setitimer(ITIMER_REAL, &often, NULL) < 0)
		die("setitimer");
}

/* ---- writes that are left: records of one number throughout ------------------- */

static void write_record(int fd, uint32_t number)
{
	uint32_t r[WORDS];

	for (int i = 0; i < WORDS; i++)
		r[i] = number;
	if (write(fd, r, sizeof(r)) != sizeof(r))
		die("write of record %u", number);
}

/* Whether a write that was left had been done, nobody knows. */
static void write_and_leave(int fd)
{
	static volatile uint32_t number;

	sigsetjmp(out, 1);
	while (jumps < JUMPS) {
		if (++number % BATCH == 0) {
			write_record(fd, number);
			duo_await();
			continue;
		}
		armed = 1;
		write_record(fd, number);
		armed = 0;
	}
	write_record(fd, LAST);
}

static void read_records(int fd)
{
	uint32_t r[WORDS], before = 0;

	while (before != LAST && duo_read_all(fd, r, sizeof(r)) == sizeof(r)) {
		for (int i = 1; i < WORDS; i++) {
			if (r[i] != r[0])
				die("a torn record after %u", before);
		}
		if (r[0] <= before)
			die("record %u after %u", r[0], before);
		before = r[0];
		if (before % BATCH == 0)
			duo_post();
	}
	say("the last record came: %d", before == LAST);
}

/* ---- reads that are left: bytes that count up ----------------------------------- */

/* Returns the value that comes next; @lost: how many bytes may be missing before. */
static int check(const unsigned char *buf, ssize_t n, int next, int lost)
{
	if ((buf[0] + CYCLE - next) % CYCLE > lost)
		die("byte %d in place of %d, at most %d are lost", buf[0], next, lost);
	for (ssize_t i = 1; i < n; i++) {
		if (buf[i] != STOP && buf[i] != (buf[i - 1] + 1) % CYCLE)
			die("byte %d after %d", buf[i], buf[i - 1]);
	}
	return (buf[n - 1] + 1) % CYCLE;
}

static void read_and_leave(int fd)
{
	static volatile int next, seen;
	unsigned char buf[CHUNK];
	ssize_t n;

	sigsetjmp(out, 1);
	while (jumps < JUMPS) {
		int lost = (jumps - seen) * CHUNK;

		armed = 1;
		n = read(fd, buf, sizeof(buf));
		armed = 0;
		if (n <= 0)
			die("read %zd", n);
		next = check(buf, n, next, lost);
		seen += lost / CHUNK;
	}
	timer(0);
	duo_post();
	for (int lost = CYCLE; buf[n = read(fd, buf, sizeof(buf)) - 1] != STOP; lost = 0)
		next = check(buf, n + 1, next, lost);
	say("the last byte came");
}

static void write_bytes(int fd, size_t len)
{
	static unsigned char cycle[64 * CYCLE];

	for (size_t i = 0; i < sizeof(cycle); i++)
		cycle[i] = (unsigned char)(i % CYCLE);
	for (size_t at = 0; at < len; at += sizeof(cycle))
		duo_write_all(fd, cycle, sizeof(cycle));
}

static void server(int fd)
{
	struct sigaction action = {.sa_handler = leave, .sa_flags = SA_RESTART};
	char byte;

	duo_warmup(fd);
	/* VTALRM and PROF count processor time; REAL takes alarm()'s signal */
	alarm(0);
	sigaction(SIGALRM, &action, NULL);
	timer(97);
	write_and_leave(fd);
	timer(0);
	duo_warmup(fd);
	jumps = 0;
	fd = duo_another_warm();
	timer(97);
	read_and_leave(fd);
	duo_post();
	duo_warmup(fd);
	say_result("read at end", read(fd, &byte, 1));
}

static void client(int fd)
{
	unsigned char stop = STOP;

	duo_warmup(fd);
	read_records(fd);
	duo_warmup(fd);
	fd = duo_another_warm();
	write_bytes(fd, 8 << 20);
	duo_await();
	write_bytes(fd, 1 << 20);
	duo_write_all(fd, &stop, 1);
	duo_await();
	duo_warmup(fd);
}

DUO_PROGRAM(.description = "siglongjmp out of calls at work", .server = server, .client = client)
