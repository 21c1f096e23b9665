/* SPDX-License-Identifier: MIT */
/*
 * Description: throughput of a stream in both directions at once: SIZE-byte writes for SECONDS.
 *
 *   twoway [--family tcp4|tcp6|unix] SIZE SECONDS [PLACEMENT]
 *
 *   PLACEMENT  two CPUs, one, or free
 *
 * Each end is one thread, which writes what fits, reads what is there, and waits in poll when it
 * can do neither.  Some round trips come first, as in oneway.c.  Counted is what one end wrote
 * and read from a fifth of the time on.  Prints one line: MB/s and million messages per second,
 * both directions together.
 */
#include "bench.h"

#include <getopt.h>

enum { HELLO_BYTES = 8, HELLOS = 16, READ_BYTES = 256 << 10 };

struct end {
	int fd;
	size_t size, written;	/* of the message at hand */
	char *out, *in;
	uint64_t bytes;
};

static void end_init(struct end *e, int fd, size_t size, int speaks_first)
{
	char buf[HELLO_BYTES] = "hello";

	*e = (struct end){ .fd = fd, .size = size };
	e->out = calloc(1, size);
	e->in = calloc(1, READ_BYTES);
	if (!e->out || !e->in)
		bench_die("calloc");
	for (int i = 0; i < 2 * HELLOS; i++) {
		if ((i & 1) != speaks_first)
			bench_write_all(fd, buf, sizeof(buf));
		else if (!bench_read_all(fd, buf, sizeof(buf)))
			bench_die("hello");
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		bench_die("O_NONBLOCK");
}

/* Bytes that were written now. */
static size_t write_some(struct end *e)
{
	ssize_t n = send(e->fd, e->out + e->written, e->size - e->written, MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		bench_die("send");
	e->written += (size_t)n;
	if (e->written == e->size)
		e->written = 0;
	return (size_t)n;
}

/* Bytes that were read now, -1 at the end of the stream. */
static ssize_t read_some(struct end *e)
{
	ssize_t n = read(e->fd, e->in, READ_BYTES);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		bench_die("read");
	return n ? n : -1;
}

/* Returns bytes per second, both directions. */
static double exchange(struct end *e, double seconds)
{
	uint64_t start = bench_now_ns(), now = start, end = start + (uint64_t)(seconds * 1e9);
	uint64_t begin = start + (uint64_t)(seconds * 0.2e9), since = 0;

	for (unsigned int turn = 0; now < end; turn++) {
		size_t put = write_some(e);
		ssize_t got = read_some(e);

		if (got < 0)
			break;
		e->bytes += put + (size_t)got;
		if (!put && !got) {
			struct pollfd p = { .fd = e->fd, .events = POLLIN | POLLOUT };

			if (poll(&p, 1, 100) < 0 && errno != EINTR)
				bench_die("poll");
		}
		if (turn % 16 && e->size < 16384)
			continue;
		now = bench_now_ns();
		if (!since && now >= begin) {
			since = now;
			e->bytes = 0;
		}
	}
	return since && now > since ? (double)e->bytes * 1e9 / (double)(now - since) : 0;
}

/* The other end goes on until this one, which measures, closes. */
static void accompany(struct end *e)
{
	int open = 1;

	signal(SIGPIPE, SIG_IGN);
	while (open) {
		struct pollfd p = { .fd = e->fd, .events = POLLIN | POLLOUT };
		ssize_t n = send(e->fd, e->out + e->written, e->size - e->written, MSG_NOSIGNAL);
		ssize_t got = read(e->fd, e->in, READ_BYTES);

		if (n > 0)
			e->written = (e->written + (size_t)n) % e->size;
		if ((n < 0 && errno != EAGAIN && got == 0) || got == 0 ||
		    (got < 0 && errno != EAGAIN))
			open = 0;
		else if (n <= 0 && got <= 0)
			poll(&p, 1, 100);
	}
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: twoway [--family tcp4|tcp6|unix] SIZE SECONDS [two|one|free]\n");
	exit(2);
}

static void run(const char *family, size_t size, double seconds, const char *placement)
{
	struct bench_address a;
	int listener = bench_listen(&a, family);
	pid_t other = bench_fork();
	struct end e;
	double rate;

	bench_pin(placement, other != 0);
	if (other == 0) {
		close(listener);
		end_init(&e, bench_connect(&a), size, 1);
		accompany(&e);
		exit(0);
	}
	end_init(&e, bench_accept(listener, &a), size, 0);
	rate = exchange(&e, seconds);
	close(e.fd);
	bench_reap(other);
	if (rate <= 0) {
		errno = ENODATA;
		bench_die("the stream ended before the measurement");
	}
	printf("twoway %s %s size=%zu: %.1f MB/s %.4f M msg/s\n", family, placement, size,
	       rate / 1e6, rate / 1e6 / (double)size);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "family", required_argument, NULL, 'f' },
		{ 0 },
	};
	const char *family = "tcp4", *placement = "free";
	double seconds;
	long size;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'f')
			usage();
		family = optarg;
	}
	if (argc - optind < 2 || argc - optind > 3)
		usage();
	size = bench_number("SIZE", argv[optind], 1, 64 << 20);
	seconds = strtod(argv[optind + 1], NULL);
	if (argc - optind == 3)
		placement = argv[optind + 2];
	if (!(seconds > 0) || !bench_is_placement(placement))
		usage();
	run(family, (size_t)size, seconds, placement);
	return 0;
}
