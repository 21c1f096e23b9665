/* SPDX-License-Identifier: MIT */
/*
 * Description: what one call costs where nothing can go by ring.
 *
 *   callcost pipe|file|connection SECONDS
 *   callcost recv|poll SECONDS ADDRESS
 *
 *   pipe        write and read of one byte, counted as two calls
 *   file        read at the end of a file
 *   connection  the whole life of a short connection, both ends here, as one call: connect,
 *               64 bytes there, 64 back, close; who accepts waits by epoll
 *   recv        recv without waiting, of a stream with nothing to read
 *   poll        poll without waiting, of such a stream
 *
 * ADDRESS is that of echo.c: a stream whose peer is that server, after some hundred round trips
 * on it and so many calls that whoever waits for the other end there has given up.
 *
 * Calls are timed by the thousand, connections by fifty: some of the functions as the program is
 * linked, which a preloaded library may have taken over, and as many of libc's own, in turn.
 * Between two processes the same call differs by 10 ns of 400, as their memory lies elsewhere.
 * Prints one line: ns for each call as linked, the least and the middle of all batches, and what
 * the least is more than the least of libc's own.
 */
#include "bench.h"

#include <dlfcn.h>
#include <sys/epoll.h>

enum { CALLS = 1000, CONNECTIONS = 50, MOST_BATCHES = 1 << 20 };
enum { ROUND_TRIPS = 400, MORE_CALLS = 200000 };

struct functions {
	ssize_t (*read)(int fd, void *buf, size_t len);
	ssize_t (*write)(int fd, const void *buf, size_t len);
	ssize_t (*recv)(int fd, void *buf, size_t len, int flags);
	int (*poll)(struct pollfd *fds, nfds_t nr, int ms);
	int (*socket)(int family, int type, int protocol);
	int (*setsockopt)(int fd, int level, int name, const void *value, socklen_t len);
	int (*connect)(int fd, __CONST_SOCKADDR_ARG sa, socklen_t len);
	int (*accept4)(int fd, __SOCKADDR_ARG sa, socklen_t *len, int flags);
	int (*epoll_ctl)(int set, int op, int fd, struct epoll_event *event);
	int (*epoll_wait)(int set, struct epoll_event *events, int most, int ms);
	int (*close)(int fd);
};

struct target {
	int fd, other;
	int calls;	/* of a batch */
	struct bench_address address;
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

/* The other end has something, or wants something. */
static void wait_for(const struct target *t, const struct functions *f, int fd)
{
	struct epoll_event event;

	if (f->epoll_wait(t->other, &event, 1, -1) != 1 || event.data.fd != fd)
		bench_die("epoll_wait");
}

static int call_connection(const struct target *t, const struct functions *f)
{
	struct epoll_event event = { .events = EPOLLIN };
	int client, server, one = 1;
	char buf[64] = "";

	client = f->socket(t->address.sa.ss_family, SOCK_STREAM, 0);
	if (client < 0 ||
	    f->setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    f->connect(client, (const struct sockaddr *)&t->address.sa, t->address.len) < 0)
		bench_die("connect");
	wait_for(t, f, t->fd);
	server = f->accept4(t->fd, NULL, NULL, 0);
	event.data.fd = server;
	if (server < 0 || f->epoll_ctl(t->other, EPOLL_CTL_ADD, server, &event) < 0)
		bench_die("accept");
	if (f->write(client, buf, sizeof(buf)) != (ssize_t)sizeof(buf))
		bench_die("write");
	wait_for(t, f, server);
	if (f->read(server, buf, sizeof(buf)) != (ssize_t)sizeof(buf) ||
	    f->write(server, buf, sizeof(buf)) != (ssize_t)sizeof(buf) ||
	    f->read(client, buf, sizeof(buf)) != (ssize_t)sizeof(buf))
		bench_die("read");
	f->close(client);
	wait_for(t, f, server);
	if (f->read(server, buf, sizeof(buf)) != 0)
		bench_die("read at the end");
	f->close(server);
	return 1;
}

static void open_listener(struct target *t)
{
	struct epoll_event event = { .events = EPOLLIN };

	t->calls = CONNECTIONS;
	t->call = call_connection;
	t->fd = bench_listen(&t->address, "tcp4");
	t->other = epoll_create1(EPOLL_CLOEXEC);
	event.data.fd = t->fd;
	if (t->other < 0 || epoll_ctl(t->other, EPOLL_CTL_ADD, t->fd, &event) < 0)
		bench_die("epoll");
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
		*t = (struct target){ .fd = fds[0], .other = fds[1], .call = call_pipe };
	} else if (!strcmp(kind, "file") && !address) {
		*t = (struct target){ .fd = open("/proc/self/exe", O_RDONLY), .call = call_file };
		if (t->fd < 0 || lseek(t->fd, 0, SEEK_END) < 0)
			bench_die("/proc/self/exe");
	} else if (!strcmp(kind, "recv") && address) {
		*t = (struct target){ .fd = open_stream(address), .call = call_recv };
	} else if (!strcmp(kind, "poll") && address) {
		*t = (struct target){ .fd = open_stream(address), .call = call_poll };
	} else if (!strcmp(kind, "connection") && !address) {
		open_listener(t);
	} else {
		fprintf(stderr, "usage: callcost pipe|file|connection SECONDS | "
			"recv|poll SECONDS ADDRESS\n");
		exit(2);
	}
	if (!t->calls)
		t->calls = CALLS;
}

/* Past whatever is preloaded. */
static struct functions libc_functions(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	struct functions f;
	const struct {
		const char *name;
		void **function;
	} names[] = {
		{ "read", (void **)&f.read }, { "write", (void **)&f.write },
		{ "recv", (void **)&f.recv }, { "poll", (void **)&f.poll },
		{ "socket", (void **)&f.socket }, { "setsockopt", (void **)&f.setsockopt },
		{ "connect", (void **)&f.connect }, { "accept4", (void **)&f.accept4 },
		{ "epoll_ctl", (void **)&f.epoll_ctl }, { "epoll_wait", (void **)&f.epoll_wait },
		{ "close", (void **)&f.close },
	};

	if (!libc)
		bench_die("libc.so.6");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*names[i].function = dlsym(libc, names[i].name);
		if (!*names[i].function)
			bench_die(names[i].name);
	}
	return f;
}

static uint32_t batch(const struct target *t, const struct functions *f)
{
	uint64_t start = bench_now_ns();

	for (int i = 0; i < t->calls;)
		i += t->call(t, f);
	return bench_sample(bench_now_ns() - start);
}

int main(int argc, char **argv)
{
	const struct functions linked = {
		read, write, recv, poll, socket, setsockopt, connect, accept4, epoll_ctl,
		epoll_wait, close,
	};
	const struct functions own = libc_functions();
	uint32_t *ns = malloc(MOST_BATCHES * sizeof(*ns));
	const char *kind = argc > 1 ? argv[1] : "";
	uint32_t libc = UINT32_MAX;
	struct target t = { .fd = -1 };
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
	       ns[0] / (double)t.calls, ns[nr / 2] / (double)t.calls,
	       ((double)ns[0] - libc) / t.calls);
	return 0;
}
