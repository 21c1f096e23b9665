/* SPDX-License-Identifier: MIT */
/*
 * Description: what one call costs where nothing can go by ring.
 *
 *   callcost pipe|file SECONDS
 *   callcost recv|poll SECONDS ADDRESS
 *
 *   pipe   write and read of one byte, counted as two calls
 *   file   read at the end of a file
 *   recv   recv without waiting, of a stream with nothing to read
 *   poll   poll without waiting, of such a stream
 *
 * ADDRESS is that of echo.c: a stream whose peer is that server, after some hundred round trips
 * on it and so many calls that whoever waits for the other end there has given up.
 *
 * Calls are timed by the thousand: one of the functions as the program is linked, which a preloaded
 * library may have taken over, and one of libc's own, in turn.  Between two processes the same call
 * differs by 10 ns of 400, as their memory lies elsewhere.  Prints one line: ns for each call as
 * linked, the least and the middle of all thousands, and what the least is more than the least of
 * libc's own.
 */
#include "bench.h"

#include <dlfcn.h>

enum { CALLS = 1000, MOST_BATCHES = 1 << 20, ROUND_TRIPS = 400, MORE_CALLS = 200000 };

struct functions {
	ssize_t (*read)(int fd, void *buf, size_t len);
	ssize_t (*write)(int fd, const void *buf, size_t len);
	ssize_t (*recv)(int fd, void *buf, size_t len, int flags);
	int (*poll)(struct pollfd *fds, nfds_t nr, int ms);
};

struct target {
	int fd, other;
	/* returns how many calls it made */
	int (*call)(const struct target *t, const struct functions *f);
};

static char byte;

static int call_pipe(const struct target *t, const struct functions *f)
{
	if (f->write(t->other, &byte, 1) != 1 || f->read(t->fd, &byte, 1) != 1)
		bench_die("pipe");
	return 2;
}

static int call_file(const struct target *t, const struct functions *f)
{
	if (f->read(t->fd, &byte, 1) != 0)
		bench_die("file");
	return 1;
}

static int call_recv(const struct target *t, const struct functions *f)
{
	if (f->recv(t->fd, &byte, 1, MSG_DONTWAIT) != -1 || errno != EAGAIN)
		bench_die("recv");
	return 1;
}

static int call_poll(const struct target *t, const struct functions *f)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };

	if (f->poll(&p, 1, 0) != 0)
		bench_die("poll");
	return 1;
}

static int open_stream(const char *address)
{
	struct bench_address a;
	char buf[8] = "ping";
	int fd;

	bench_parse_address(&a, address);
	fd = bench_connect(&a);
	for (int i = 0; i < ROUND_TRIPS; i++) {
		bench_write_all(fd, buf, sizeof(buf));
		if (!bench_read_all(fd, buf, sizeof(buf)))
			bench_die("the server left");
	}
	for (int i = 0; i < MORE_CALLS; i++) {
		if (recv(fd, buf, 1, MSG_DONTWAIT) != -1)
			bench_die("recv");
	}
	return fd;
}

static void open_target(struct target *t, const char *kind, const char *address)
{
	int fds[2];

	if (!strcmp(kind, "pipe") && !address) {
		if (pipe(fds) < 0)
			bench_die("pipe");
		*t = (struct target){ fds[0], fds[1], call_pipe };
	} else if (!strcmp(kind, "file") && !address) {
		*t = (struct target){ open("/proc/self/exe", O_RDONLY), -1, call_file };
		if (t->fd < 0 || lseek(t->fd, 0, SEEK_END) < 0)
			bench_die("/proc/self/exe");
	} else if (!strcmp(kind, "recv") && address) {
		*t = (struct target){ open_stream(address), -1, call_recv };
	} else if (!strcmp(kind, "poll") && address) {
		*t = (struct target){ open_stream(address), -1, call_poll };
	} else {
		fprintf(stderr, "usage: callcost pipe|file SECONDS | recv|poll SECONDS ADDRESS\n");
		exit(2);
	}
}

/* Past whatever is preloaded. */
static struct functions libc_functions(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	struct functions f;

	if (!libc)
		bench_die("libc.so.6");
	*(void **)&f.read = dlsym(libc, "read");
	*(void **)&f.write = dlsym(libc, "write");
	*(void **)&f.recv = dlsym(libc, "recv");
	*(void **)&f.poll = dlsym(libc, "poll");
	if (!f.read || !f.write || !f.recv || !f.poll)
		bench_die("dlsym");
	return f;
}

static uint32_t batch(const struct target *t, const struct functions *f)
{
	uint64_t start = bench_now_ns();

	for (int i = 0; i < CALLS;)
		i += t->call(t, f);
	return bench_sample(bench_now_ns() - start);
}

int main(int argc, char **argv)
{
	const struct functions linked = { read, write, recv, poll };
	const struct functions own = libc_functions();
	uint32_t *ns = malloc(MOST_BATCHES * sizeof(*ns));
	const char *kind = argc > 1 ? argv[1] : "";
	uint32_t libc = UINT32_MAX;
	struct target t;
	size_t nr = 0;
	uint64_t end;
	double seconds;

	if (!ns)
		bench_die("malloc");
	open_target(&t, kind, argc == 4 ? argv[3] : NULL);
	seconds = argc > 2 ? strtod(argv[2], NULL) : 0;
	bench_pin("one", 0);
	end = bench_now_ns() + (uint64_t)(seconds * 1e9);
	do {
		uint32_t other = batch(&t, &own);

		libc = other < libc ? other : libc;
		ns[nr++] = batch(&t, &linked);
	} while (bench_now_ns() < end && nr < MOST_BATCHES);
	qsort(ns, nr, sizeof(*ns), bench_compare_u32);
	printf("callcost %s batches=%zu: least=%.2f middle=%.2f extra=%.2f ns\n", kind, nr,
	       ns[0] / (double)CALLS, ns[nr / 2] / (double)CALLS,
	       ((double)ns[0] - libc) / CALLS);
	return 0;
}
