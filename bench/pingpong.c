/* SPDX-License-Identifier: MIT */
/*
 * Description: round-trip time of a stream: SIZE bytes there, the same back, COUNT times.
 *
 *   pingpong [--family tcp4|tcp6|unix] [--warmup N] [--seconds S] SIZE COUNT [MODE] [PLACEMENT]
 *
 *   --seconds  end after this time, with fewer round trips than COUNT
 *   MODE       how both ends wait: blocking (in read), poll, epoll, epoll-et
 *   PLACEMENT  two CPUs, one, or free
 *
 * Prints one line: the settings, then p50, p99, p99.9 and mean in ns per round
 * trip, each round trip timed by itself.
 */
#include "bench.h"

#include <getopt.h>
#include <sys/epoll.h>

enum mode { MODE_BLOCKING, MODE_POLL, MODE_EPOLL, MODE_EPOLL_ET, MODES };

static const char *const mode_names[MODES] = { "blocking", "poll", "epoll", "epoll-et" };

struct end {
	int fd;
	int ep;
	enum mode mode;
	char *buf;
	size_t size;
};

static void end_init(struct end *e, int fd, enum mode mode, size_t size)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	*e = (struct end){ .fd = fd, .ep = -1, .mode = mode, .size = size };
	e->buf = calloc(1, size + 1);
	if (!e->buf)
		bench_die("calloc");
	if (mode == MODE_BLOCKING)
		return;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		bench_die("O_NONBLOCK");
	if (mode == MODE_POLL)
		return;
	if (mode == MODE_EPOLL_ET)
		ev.events |= EPOLLET;
	e->ep = epoll_create1(EPOLL_CLOEXEC);
	if (e->ep < 0 || epoll_ctl(e->ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		bench_die("epoll");
}

static void end_wait(struct end *e)
{
	struct epoll_event ev;

	if (e->mode == MODE_POLL)
		bench_wait(e->fd, POLLIN);
	else if (epoll_wait(e->ep, &ev, 1, -1) < 0 && errno != EINTR)
		bench_die("epoll_wait");
}

/*
 * One message: wait, then read, as an event loop does.  The buffer has a byte
 * more than the message, so that a read always comes back short and says by
 * that, as epoll(7) allows, that the next edge may be waited for.
 */
static int end_receive(struct end *e)
{
	size_t done = 0;

	if (e->mode == MODE_BLOCKING)
		return bench_read_all(e->fd, e->buf, e->size);
	while (done < e->size) {
		ssize_t n;

		end_wait(e);
		n = read(e->fd, e->buf + done, e->size + 1 - done);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n < 0)
			bench_die("read");
		if (n == 0)
			return 0;
		done += (size_t)n;
	}
	return 1;
}

static void serve(int listener, const struct bench_address *a, enum mode mode, size_t size)
{
	struct end e;

	end_init(&e, bench_accept(listener, a), mode, size);
	while (end_receive(&e))
		bench_write_all(e.fd, e.buf, size);
	close(e.fd);
	exit(0);
}

/* Returns ns of one round trip. */
static uint64_t round_trip(struct end *e)
{
	uint64_t start = bench_now_ns();

	bench_write_all(e->fd, e->buf, e->size);
	if (!end_receive(e)) {
		errno = ECONNABORTED;
		bench_die("read");
	}
	return bench_now_ns() - start;
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: pingpong [--family tcp4|tcp6|unix] [--warmup N] [--seconds S] "
			"SIZE COUNT [blocking|poll|epoll|epoll-et] [two|one|free]\n");
	exit(2);
}

static void run(const char *family, size_t size, long count, long warmup, double seconds,
		enum mode mode, const char *placement)
{
	uint64_t until;
	long done = 0;
	struct bench_address a;
	struct end e;
	uint32_t *ns = malloc((size_t)count * sizeof(*ns));
	int listener = bench_listen(&a, family);
	pid_t server;

	if (!ns)
		bench_die("malloc");
	server = bench_fork();
	bench_pin(placement, server == 0);
	if (server == 0)
		serve(listener, &a, mode, size);
	close(listener);
	end_init(&e, bench_connect(&a), mode, size);
	memset(ns, 0, (size_t)count * sizeof(*ns)); /* no page fault in the loop */
	for (long i = 0; i < warmup; i++)
		round_trip(&e);
	until = bench_now_ns() + (uint64_t)(seconds * 1e9);
	do {
		ns[done] = bench_sample(round_trip(&e));
	} while (++done < count && (done % 16 || bench_now_ns() < until));
	close(e.fd);
	bench_reap(server);
	printf("pingpong %s %s %s size=%zu count=%ld: ", family, mode_names[mode], placement, size,
	       done);
	bench_print_spread(ns, (size_t)done);
	putchar('\n');
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "family", required_argument, NULL, 'f' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "seconds", required_argument, NULL, 's' },
		{ 0 },
	};
	const char *family = "tcp4", *placement = "free";
	long size, count, warmup = -1;
	enum mode mode = MODE_BLOCKING;
	double seconds = 3600;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			family = optarg;
		else if (c == 'w')
			warmup = bench_number("--warmup", optarg, 0, 100000000);
		else if (c == 's')
			seconds = strtod(optarg, NULL);
		else
			usage();
	}
	if (argc - optind < 2)
		usage();
	size = bench_number("SIZE", argv[optind], 1, 64 << 20);
	count = bench_number("COUNT", argv[optind + 1], 1, 100000000);
	for (int i = optind + 2; i < argc; i++) {
		int m = 0;

		while (m < MODES && strcmp(argv[i], mode_names[m]))
			m++;
		if (m < MODES)
			mode = (enum mode)m;
		else if (bench_is_placement(argv[i]))
			placement = argv[i];
		else
			usage();
	}
	if (warmup < 0)
		warmup = 100 + count / 10;
	run(family, (size_t)size, count, warmup, seconds, mode, placement);
	return 0;
}
