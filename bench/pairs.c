/* SPDX-License-Identifier: MIT */
/*
 * Description: several pairs of processes at once on two CPUs, beside programs that want them too.
 *
 *   pairs [--family tcp4|tcp6|unix] [--hogs N] [--bytes N] PAIRS SECONDS
 *
 *   --hogs     processes that only compute, 0 unless told
 *   --bytes    of a message, 64 unless told
 *
 * Each pair makes blocking round trips as pingpong.c does.  The scheduler places all of them on
 * the first two CPUs as it likes.  Prints one line: round trips per second of all pairs, the
 * spread of their times, and the work that the hogs got done, in million steps per second.
 */
#include "bench.h"

#include <getopt.h>
#include <sys/mman.h>

#include "histogram.h"

enum { MOST_PAIRS = 64, MOST_HOGS = 16, MOST_BYTES = 65536, WARMUP = 100 };

struct shared {
	uint32_t ready, go, stop;	/* by __atomic builtins */
	uint64_t steps[MOST_HOGS];
	struct histogram times[MOST_PAIRS];
};

static struct shared *shared;
static char buf[MOST_BYTES];

static uint32_t look(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void wait_until(const uint32_t *word, uint32_t least)
{
	while (look(word) < least)
		usleep(1000);
}

static void serve(int listener, const struct bench_address *a, size_t bytes)
{
	int fd = bench_accept(listener, a);

	close(listener);
	while (bench_read_all(fd, buf, bytes))
		bench_write_all(fd, buf, bytes);
	close(fd);
	exit(0);
}

static void trip(int fd, size_t bytes)
{
	bench_write_all(fd, buf, bytes);
	if (!bench_read_all(fd, buf, bytes)) {
		errno = ECONNABORTED;
		bench_die("read");
	}
}

/* One pair: the child that this makes is its server. */
static void run_pair(struct histogram *h, const char *family, size_t bytes)
{
	struct bench_address a;
	int fd, listener = bench_listen(&a, family);
	pid_t server = bench_fork();

	if (server == 0)
		serve(listener, &a, bytes);
	close(listener);
	fd = bench_connect(&a);
	for (int i = 0; i < WARMUP; i++)
		trip(fd, bytes);
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_ACQ_REL);
	wait_until(&shared->go, 1);
	while (!look(&shared->stop)) {
		uint64_t start = bench_now_ns();

		trip(fd, bytes);
		histogram_add(h, bench_now_ns() - start);
	}
	close(fd);
	bench_reap(server);
	exit(0);
}

static void run_hog(uint64_t *ret_steps)
{
	uint64_t x = 88172645463325252u, steps = 0;

	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_ACQ_REL);
	wait_until(&shared->go, 1);
	while (!look(&shared->stop)) {
		for (int i = 0; i < 10000; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		steps += 10000;
	}
	*ret_steps = x ? steps : 0;
	_exit(0);
}

/* Everybody, this process too, on the first two CPUs. */
static void confine(void)
{
	cpu_set_t allowed, wanted;
	int cpu, nr = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		bench_die("sched_getaffinity");
	CPU_ZERO(&wanted);
	for (cpu = 0; cpu < CPU_SETSIZE && nr < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed)) {
			CPU_SET(cpu, &wanted);
			nr++;
		}
	if (nr < 2) {
		errno = ENODEV;
		bench_die("two CPUs are needed");
	}
	if (sched_setaffinity(0, sizeof(wanted), &wanted) < 0)
		bench_die("sched_setaffinity");
}

static void run(const char *family, int pairs, int hogs, size_t bytes, double seconds)
{
	pid_t pid[MOST_PAIRS + MOST_HOGS];
	struct histogram *all = calloc(1, sizeof(*all));
	double steps = 0, elapsed;
	uint64_t start;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || !all)
		bench_die("mmap");
	confine();
	for (int i = 0; i < pairs + hogs; i++) {
		pid[i] = bench_fork();
		if (pid[i] == 0 && i < pairs)
			run_pair(&shared->times[i], family, bytes);
		if (pid[i] == 0)
			run_hog(&shared->steps[i - pairs]);
	}
	wait_until(&shared->ready, (uint32_t)(pairs + hogs));
	start = bench_now_ns();
	__atomic_store_n(&shared->go, 1, __ATOMIC_RELEASE);
	usleep((useconds_t)(seconds * 1e6));
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
	elapsed = (double)(bench_now_ns() - start) / 1e9;
	for (int i = 0; i < pairs + hogs; i++)
		bench_reap(pid[i]);
	for (int i = 0; i < pairs; i++)
		histogram_merge(all, &shared->times[i]);
	for (int i = 0; i < hogs; i++)
		steps += (double)shared->steps[i];
	printf("pairs %s pairs=%d hogs=%d bytes=%zu: %.0f trips/s %.3f M steps/s ", family, pairs,
	       hogs, bytes, (double)all->nr / elapsed, steps / 1e6 / elapsed);
	histogram_print(all);
	putchar('\n');
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: pairs [--family tcp4|tcp6|unix] [--hogs N] [--bytes N] "
			"PAIRS SECONDS\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "family", required_argument, NULL, 'f' },
		{ "hogs", required_argument, NULL, 'h' },
		{ "bytes", required_argument, NULL, 'b' },
		{ 0 },
	};
	const char *family = "tcp4";
	long hogs = 0, bytes = 64;
	double seconds;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			family = optarg;
		else if (c == 'h')
			hogs = bench_number("--hogs", optarg, 0, MOST_HOGS);
		else if (c == 'b')
			bytes = bench_number("--bytes", optarg, 1, MOST_BYTES);
		else
			usage();
	}
	if (argc - optind != 2)
		usage();
	seconds = strtod(argv[optind + 1], NULL);
	if (!(seconds > 0))
		usage();
	run(family, (int)bench_number("PAIRS", argv[optind], 1, MOST_PAIRS), (int)hogs,
	    (size_t)bytes, seconds);
	return 0;
}
