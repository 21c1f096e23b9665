/* SPDX-License-Identifier: MIT */
/*
 * Description: short connections: connect, 64 bytes there, 64 back, close, COUNT times.
 *
 *   connrate [--family tcp4|tcp6|unix] [--bytes N] COUNT [plain|epoll] [PLACEMENT]
 *
 *   plain      the server accepts and serves one connection after the other
 *   epoll      the server is one epoll loop over listener and connections
 *   PLACEMENT  two CPUs, one, or free
 *
 * The client has one connection at a time.  Prints one line: connections per
 * second, then the spread of the time each took from socket() to close().
 */
#include "bench.h"

#include <getopt.h>
#include <sys/epoll.h>

enum { MOST_BYTES = 65536 };

static char buf[MOST_BYTES];

/* Answers one request; 0 at the end of the stream. */
static int answer(int fd, size_t bytes)
{
	if (!bench_read_all(fd, buf, bytes))
		return 0;
	bench_write_all(fd, buf, bytes);
	return 1;
}

static void serve_plain(int listener, const struct bench_address *a, long count, size_t bytes)
{
	while (count--) {
		int fd = bench_accept(listener, a);

		while (answer(fd, bytes))
			;
		close(fd);
	}
}

static void watch(int ep, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		bench_die("epoll_ctl");
}

static void serve_epoll(int listener, const struct bench_address *a, long count, size_t bytes)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0)
		bench_die("epoll_create1");
	watch(ep, listener);
	while (count) {
		struct epoll_event ev[16];
		int nr = epoll_wait(ep, ev, 16, -1);

		if (nr < 0 && errno != EINTR)
			bench_die("epoll_wait");
		for (int i = 0; i < nr; i++) {
			int fd = ev[i].data.fd;

			if (fd == listener) {
				watch(ep, bench_accept(listener, a));
			} else if (!answer(fd, bytes)) {
				close(fd);
				count--;
			}
		}
	}
	close(ep);
}

static uint64_t one_connection(const struct bench_address *a, size_t bytes)
{
	uint64_t start = bench_now_ns();
	int fd = bench_connect(a);

	bench_write_all(fd, buf, bytes);
	if (!bench_read_all(fd, buf, bytes)) {
		errno = ECONNABORTED;
		bench_die("read");
	}
	close(fd);
	return bench_now_ns() - start;
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: connrate [--family tcp4|tcp6|unix] [--bytes N] COUNT "
			"[plain|epoll] [two|one|free]\n");
	exit(2);
}

static void run(const char *family, long count, size_t bytes, const char *server_kind,
		const char *placement)
{
	long warmup = 20 + count / 20;
	struct bench_address a;
	uint32_t *ns = calloc((size_t)count, sizeof(*ns));
	int listener = bench_listen(&a, family);
	uint64_t start;
	double seconds;
	pid_t server;

	if (!ns)
		bench_die("calloc");
	server = bench_fork();
	bench_pin(placement, server == 0);
	if (server == 0) {
		if (!strcmp(server_kind, "plain"))
			serve_plain(listener, &a, warmup + count, bytes);
		else
			serve_epoll(listener, &a, warmup + count, bytes);
		exit(0);
	}
	close(listener);
	for (long i = 0; i < warmup; i++)
		one_connection(&a, bytes);
	start = bench_now_ns();
	for (long i = 0; i < count; i++)
		ns[i] = bench_sample(one_connection(&a, bytes));
	seconds = (double)(bench_now_ns() - start) / 1e9;
	bench_reap(server);
	printf("connrate %s %s %s bytes=%zu count=%ld: %.0f conn/s ", family, server_kind,
	       placement, bytes, count, (double)count / seconds);
	bench_print_spread(ns, (size_t)count);
	putchar('\n');
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "family", required_argument, NULL, 'f' },
		{ "bytes", required_argument, NULL, 'b' },
		{ 0 },
	};
	const char *family = "tcp4", *server_kind = "plain", *placement = "free";
	long count, bytes = 64;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			family = optarg;
		else if (c == 'b')
			bytes = bench_number("--bytes", optarg, 1, MOST_BYTES);
		else
			usage();
	}
	if (argc - optind < 1)
		usage();
	count = bench_number("COUNT", argv[optind], 1, 10000000);
	for (int i = optind + 1; i < argc; i++) {
		if (!strcmp(argv[i], "plain") || !strcmp(argv[i], "epoll"))
			server_kind = argv[i];
		else if (bench_is_placement(argv[i]))
			placement = argv[i];
		else
			usage();
	}
	run(family, count, (size_t)bytes, server_kind, placement);
	return 0;
}
