/* SPDX-License-Identifier: MIT */
/*
 * Description: what this machine can do at best: the floors under the other figures.
 *
 *   floors line1 COUNT          round trips of one cache line between two CPUs
 *   floors line2 COUNT          the same with the payload in a second line
 *   floors ring SIZE COUNT      round trips of SIZE bytes through two bare rings (src/ring.c)
 *   floors stream SIZE SECONDS  SIZE-byte writes one way through a bare ring
 *   floors memcpy SIZE SECONDS  copies of SIZE bytes by one CPU from where a stream's would come
 *   floors give SIZE SECONDS    copies to SIZE bytes that the other CPU has just read
 *   floors take SIZE SECONDS    copies from SIZE bytes that the other CPU has just written
 *
 * All but memcpy run in two processes, one on each CPU, which look without a pause: no sockets,
 * no sleeping, no system call.  Round trips are timed one by one like those of pingpong.c, COUNT
 * of them or as many as half a second has.
 */
#include "bench.h"

#include <sys/mman.h>

#include "ring.h"

enum { RING_CAP = 256 << 10, MOST_SIZE = 1 << 20, MEMCPY_ROOM = 256 << 10,
       MOST_NS = 500000000 };

struct shared {
	_Alignas(64) _Atomic uint64_t there;
	_Alignas(64) uint64_t there_payload[8];
	_Alignas(64) _Atomic uint64_t back;
	_Alignas(64) uint64_t back_payload[8];
	_Alignas(64) struct shmfd_dir dir[2];
	_Alignas(4096) uint8_t ring[2][RING_CAP];
};

/* Both directions as one end has them. */
struct end {
	struct shmfd_ring out, in;
	struct shmfd_record out_record, in_record;
	char *buf;
};

static struct shared *shared;
static uint64_t payload_sum;	/* keeps the loads of line2 */

static void *get_memory(size_t len, int flags)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_POPULATE,
		       -1, 0);

	if (p == MAP_FAILED)
		bench_die("mmap");
	return p;
}

static void end_init(struct end *e, int server)
{
	memset(e, 0, sizeof(*e));
	e->out = (struct shmfd_ring){ shared->ring[server], RING_CAP, &shared->dir[server] };
	e->in = (struct shmfd_ring){ shared->ring[!server], RING_CAP, &shared->dir[!server] };
	e->buf = get_memory(MOST_SIZE, MAP_PRIVATE);
	memset(e->buf, 'x', MOST_SIZE);
}

/* ---- lines --------------------------------------------------------------- */

__attribute__((noreturn)) static void serve_lines(int with_payload)
{
	for (uint64_t i = 1;; i++) {
		while (load_acquire(&shared->there) != i)
			;
		if (with_payload) {
			payload_sum += shared->there_payload[0];
			shared->back_payload[0] = i;
		}
		store_release(&shared->back, i);
	}
}

static void trip_lines(uint64_t i, int with_payload)
{
	if (with_payload)
		shared->there_payload[0] = i;
	store_release(&shared->there, i);
	while (load_acquire(&shared->back) != i)
		;
	if (with_payload)
		payload_sum += shared->back_payload[0];
}

/* ---- rings --------------------------------------------------------------- */

static void ring_send(struct end *e, size_t len)
{
	struct iovec v = { e->buf, len };
	size_t done = 0;

	while (done < len) {
		ssize_t n = shmfd_ring_writev(&e->out, &e->out_record, &v, 1, done);

		if (n < 0)
			abort();
		done += (size_t)n;
	}
}

static size_t ring_receive(struct end *e, size_t least, size_t most)
{
	enum shmfd_ring_end what;
	size_t done = 0;

	/* both directions are one record to the ring: it wraps as in a stream (ring.h) */
	counter_add(&e->out_record.ring_rx_bytes, 1);
	while (done < least) {
		struct iovec v = { e->buf + done, most - done };
		ssize_t n;

		/* As the library does: look at the header before the work of a read. */
		while (shmfd_ring_is_empty(&e->in, e->in_record.rd_pos))
			cpu_pause();
		n = shmfd_ring_readv(&e->in, &e->in_record, &v, 1, false, &what);
		if (n < 0)
			abort();
		done += (size_t)n;
	}
	return done;
}

/* ---- modes --------------------------------------------------------------- */

/* The other end serves until it is killed. */
__attribute__((noreturn)) static void serve(const char *mode, struct end *e, size_t size)
{
	if (!strcmp(mode, "line1") || !strcmp(mode, "line2"))
		serve_lines(mode[4] == '2');
	for (;;) {
		ring_receive(e, size, size);
		ring_send(e, size);
	}
}

static uint64_t trip(const char *mode, struct end *e, size_t size)
{
	static uint64_t nr;
	uint64_t start = bench_now_ns();

	if (mode[0] == 'l') {
		trip_lines(++nr, mode[4] == '2');
	} else {
		ring_send(e, size);
		ring_receive(e, size, size);
	}
	return bench_now_ns() - start;
}

static void round_trips(const char *mode, size_t size, long count)
{
	uint32_t *ns = malloc((size_t)count * sizeof(*ns));
	uint64_t until;
	struct end e;
	pid_t server;
	long nr = 0;

	if (!ns)
		bench_die("malloc");
	memset(ns, 1, (size_t)count * sizeof(*ns));
	server = bench_fork();
	bench_pin("two", server == 0);
	end_init(&e, server == 0);
	if (server == 0)
		serve(mode, &e, size);
	/* Where others want the CPUs as well, a round trip can take milliseconds. */
	until = bench_now_ns() + MOST_NS / 5;
	do {
		trip(mode, &e, size);
	} while (++nr < count / 10 && bench_now_ns() < until);
	until = bench_now_ns() + MOST_NS;
	nr = 0;
	do {
		ns[nr] = bench_sample(trip(mode, &e, size));
	} while (++nr < count && (nr % 16 || bench_now_ns() < until));
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	printf("floors %s two size=%zu count=%ld: ", mode, size, nr);
	bench_print_spread(ns, (size_t)nr);
	putchar('\n');
}

static void stream(size_t size, double seconds)
{
	uint64_t bytes = 0, start, end;
	struct end e;
	pid_t sender = bench_fork();

	bench_pin("two", sender != 0);
	end_init(&e, sender == 0);
	if (sender == 0) {
		for (;;)	/* until its parent is done with it */
			ring_send(&e, size);
	}
	ring_receive(&e, size, MOST_SIZE);
	start = bench_now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	do {
		for (int i = 0; i < 16; i++)
			bytes += ring_receive(&e, 1, RING_CAP);
	} while (bench_now_ns() < end);
	seconds = (double)(bench_now_ns() - start) / 1e9;
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0);
	printf("floors stream two size=%zu: %.1f MB/s %.4f M msg/s\n", size,
	       (double)bytes / 1e6 / seconds, (double)bytes / 1e6 / (double)size / seconds);
}

static void copies(size_t size, double seconds)
{
	char *from = get_memory(MEMCPY_ROOM + size, MAP_PRIVATE);
	char *to = get_memory(size, MAP_PRIVATE);
	uint64_t nr = 0, start, end;
	size_t off = 0;

	bench_pin("one", 1);
	memset(from, 'x', MEMCPY_ROOM + size);
	memset(to, 'y', size);
	start = bench_now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	do {
		for (int i = 0; i < 64; i++) {
			memcpy(to, from + off, size);
			__asm__ volatile("" : : "r"(to) : "memory");
			off = off + size < MEMCPY_ROOM ? off + size : 0;
		}
		nr += 64;
	} while (bench_now_ns() < end);
	seconds = (double)(bench_now_ns() - start) / 1e9;
	printf("floors memcpy one size=%zu: %.1f MB/s %.4f M msg/s\n", size,
	       (double)nr * (double)size / 1e6 / seconds, (double)nr / 1e6 / seconds);
}

/* ---- memory that goes to and fro ------------------------------------------- */

static uint64_t copy_ns(void *to, const void *from, size_t size)
{
	uint64_t start = bench_now_ns();

	memcpy(to, from, size);
	__asm__ volatile("" : : "r"(to) : "memory");
	return bench_now_ns() - start;
}

/* One writes, then the other reads; only what one of the two does is counted. */
static void give_and_take(int counts_take, size_t size, double seconds)
{
	char *own = get_memory(size, MAP_PRIVATE), *both = get_memory(size, MAP_SHARED);
	uint64_t ns = 0, end, turn, bytes = 0;
	pid_t other = bench_fork();

	bench_pin("two", other == 0);
	memset(own, 'x', size);
	for (turn = 1; other == 0; turn++) {
		while (load_acquire(&shared->there) != turn)
			cpu_pause();
		shared->back_payload[0] = copy_ns(own, both, size);
		store_release(&shared->back, turn);
	}
	end = bench_now_ns() + (uint64_t)(seconds * 1e9);
	do {
		uint64_t mine = copy_ns(both, own, size);

		store_release(&shared->there, turn);
		while (load_acquire(&shared->back) != turn)
			cpu_pause();
		/* the first rounds meet memory that nobody has touched */
		if (turn++ > 16) {
			ns += counts_take ? shared->back_payload[0] : mine;
			bytes += size;
		}
	} while (bench_now_ns() < end || !bytes);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	printf("floors %s two size=%zu: %.1f MB/s\n", counts_take ? "take" : "give", size,
	       (double)bytes * 1e3 / (double)ns);
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: floors line1|line2 COUNT | ring SIZE COUNT | "
			"stream|memcpy|give|take SIZE SECONDS\n");
	exit(2);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	size_t size;

	shared = get_memory(sizeof(*shared), MAP_SHARED);
	if (argc == 3 && (!strcmp(mode, "line1") || !strcmp(mode, "line2"))) {
		round_trips(mode, mode[4] == '1' ? 0 : 8,
			    bench_number("COUNT", argv[2], 1, 100000000));
		return 0;
	}
	if (argc != 4)
		usage();
	size = (size_t)bench_number("SIZE", argv[2], 1, MOST_SIZE);
	if (!strcmp(mode, "ring"))
		round_trips(mode, size, bench_number("COUNT", argv[3], 1, 100000000));
	else if (!strcmp(mode, "stream"))
		stream(size, strtod(argv[3], NULL));
	else if (!strcmp(mode, "memcpy"))
		copies(size, strtod(argv[3], NULL));
	else if (!strcmp(mode, "give") || !strcmp(mode, "take"))
		give_and_take(mode[0] == 't', size, strtod(argv[3], NULL));
	else
		usage();
	return 0;
}
