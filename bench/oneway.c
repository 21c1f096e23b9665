/* SPDX-License-Identifier: MIT */
/*
 * Description: throughput of a stream in one direction: SIZE-byte writes for SECONDS.
 *
 *   oneway [--family tcp4|tcp6|unix] [--buffer BYTES] [--hello N] SIZE SECONDS [PLACEMENT]
 *
 *   --buffer   what the receiver offers to each read, 256 KiB unless told
 *   --hello    round trips of 8 bytes before the stream, as most protocols have
 *              some; 16 unless told, 0 for a stream that is one way from its first byte
 *   PLACEMENT  two CPUs, one, or free
 *
 * Both ends block.  The receiver counts, from a fifth of the time on, so that
 * the start is not measured.  Prints one line: MB/s and million messages per second.
 */
#include "bench.h"

#include <getopt.h>

enum { HELLO_BYTES = 8 };

static void *get_buffer(size_t len)
{
	void *buf = malloc(len);

	if (!buf)
		bench_die("malloc");
	memset(buf, 'x', len);
	return buf;
}

static void hello(int fd, long nr, int speaks_first)
{
	char buf[HELLO_BYTES] = "hello";

	for (long i = 0; i < nr; i++) {
		if (speaks_first)
			bench_write_all(fd, buf, sizeof(buf));
		if (!bench_read_all(fd, buf, sizeof(buf)))
			bench_die("hello");
		if (!speaks_first)
			bench_write_all(fd, buf, sizeof(buf));
	}
}

static void send_stream(int fd, size_t size, double seconds)
{
	char *buf = get_buffer(size);
	uint64_t end = bench_now_ns() + (uint64_t)(seconds * 1e9);
	/* The clock costs as much as a small message: not each time. */
	unsigned int every = size < 16384 ? 64 : 1;

	do {
		for (unsigned int i = 0; i < every; i++)
			bench_write_all(fd, buf, size);
	} while (bench_now_ns() < end);
	free(buf);
}

/* Returns bytes per second. */
static double receive_stream(int fd, size_t buffer_len, double seconds)
{
	char *buf = get_buffer(buffer_len);
	uint64_t start = bench_now_ns(), now = start, begin = start + (uint64_t)(seconds * 0.2e9);
	uint64_t since = 0, bytes = 0, reads = 0;
	ssize_t n;

	while ((n = read(fd, buf, buffer_len)) > 0) {
		bytes += (uint64_t)n;
		if (++reads % 16 && n < 16384)
			continue;
		now = bench_now_ns();
		if (!since && now >= begin) {
			since = now;
			bytes = 0;
		}
	}
	if (n < 0)
		bench_die("read");
	now = bench_now_ns();
	free(buf);
	if (!since) {
		errno = ENODATA;
		bench_die("the stream ended before the measurement began");
	}
	return (double)bytes * 1e9 / (double)(now - since);
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: oneway [--family tcp4|tcp6|unix] [--buffer BYTES] [--hello N] "
			"SIZE SECONDS [two|one|free]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "family", required_argument, NULL, 'f' },
		{ "buffer", required_argument, NULL, 'b' },
		{ "hello", required_argument, NULL, 'h' },
		{ 0 },
	};
	const char *family = "tcp4", *placement = "free";
	long size, buffer_len = 256 << 10, hellos = 16;
	struct bench_address a;
	double seconds, rate;
	int c, fd, listener;
	char *end;
	pid_t sender;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			family = optarg;
		else if (c == 'b')
			buffer_len = bench_number("--buffer", optarg, 1, 64 << 20);
		else if (c == 'h')
			hellos = bench_number("--hello", optarg, 0, 1000000);
		else
			usage();
	}
	if (argc - optind < 2 || argc - optind > 3)
		usage();
	size = bench_number("SIZE", argv[optind], 1, 64 << 20);
	seconds = strtod(argv[optind + 1], &end);
	if (*end || !(seconds > 0 && seconds < 3600))
		usage();
	if (argc - optind == 3)
		placement = argv[optind + 2];
	if (!bench_is_placement(placement))
		usage();

	listener = bench_listen(&a, family);
	sender = bench_fork();
	bench_pin(placement, sender != 0);
	if (sender == 0) {
		close(listener);
		fd = bench_connect(&a);
		hello(fd, hellos, 1);
		send_stream(fd, (size_t)size, seconds);
		close(fd);
		return 0;
	}
	fd = bench_accept(listener, &a);
	hello(fd, hellos, 0);
	rate = receive_stream(fd, (size_t)buffer_len, seconds);
	close(fd);
	bench_reap(sender);
	printf("oneway %s %s size=%ld buffer=%ld: %.1f MB/s %.4f M msg/s\n", family, placement,
	       size, buffer_len, rate / 1e6, rate / 1e6 / (double)size);
	return 0;
}
