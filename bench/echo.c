/* SPDX-License-Identifier: MIT */
/*
 * Description: an echo server on libev, for the load generator of this directory (load.c).
 *
 *   echo tcp4|tcp6|unix
 *
 * Listens on an address that the kernel picks and prints it as load.c wants it: a port, or
 * @NAME (abstract).  One event loop; what could not be written at once waits in memory of its
 * connection, which is not read meanwhile.  A connection costs some hundred bytes while nothing
 * waits.  SIGTERM ends it with status 0.
 */
#include "bench.h"

#include <ev.h>

enum { READ_BYTES = 65536 };

struct client {
	ev_io io;
	char *left;		/* not yet written; NULL: nothing */
	size_t left_off, left_len;
};

static struct bench_address address;
static char buf[READ_BYTES];

static void drop(struct ev_loop *loop, struct client *c)
{
	ev_io_stop(loop, &c->io);
	close(c->io.fd);
	free(c->left);
	free(c);
}

static void wait_for(struct ev_loop *loop, struct client *c, int events)
{
	ev_io_stop(loop, &c->io);
	ev_io_set(&c->io, c->io.fd, events);
	ev_io_start(loop, &c->io);
}

/* Bytes written, 0 when the socket is full, -1 when it is lost. */
static ssize_t try_write(int fd, const char *from, size_t len)
{
	ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	return n;
}

static void go_on_writing(struct ev_loop *loop, struct client *c)
{
	ssize_t n = try_write(c->io.fd, c->left + c->left_off, c->left_len);

	if (n < 0) {
		drop(loop, c);
		return;
	}
	c->left_off += (size_t)n;
	c->left_len -= (size_t)n;
	if (c->left_len)
		return;
	free(c->left);
	c->left = NULL;
	wait_for(loop, c, EV_READ);
}

static void on_client(struct ev_loop *loop, ev_io *io, int revents)
{
	struct client *c = io->data;
	ssize_t got, put;

	(void)revents;
	if (c->left) {
		go_on_writing(loop, c);
		return;
	}
	got = read(io->fd, buf, sizeof(buf));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	put = got > 0 ? try_write(io->fd, buf, (size_t)got) : -1;
	if (put < 0) {
		drop(loop, c);
		return;
	}
	if (put == got)
		return;
	c->left_off = 0;
	c->left_len = (size_t)(got - put);
	c->left = malloc(c->left_len);
	if (!c->left)
		bench_die("malloc");
	memcpy(c->left, buf + put, c->left_len);
	wait_for(loop, c, EV_WRITE);
}

static void on_listener(struct ev_loop *loop, ev_io *io, int revents)
{
	(void)revents;
	for (;;) {
		struct client *c;
		int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
			return;
		c = calloc(1, sizeof(*c));
		if (fd < 0 || !c)
			bench_die("accept");
		bench_tune(fd, &address);
		ev_io_init(&c->io, on_client, fd, EV_READ);
		c->io.data = c;
		ev_io_start(loop, &c->io);
	}
}

static void on_term(struct ev_loop *loop, ev_signal *sig, int revents)
{
	(void)sig;
	(void)revents;
	ev_break(loop, EVBREAK_ALL);
}

int main(int argc, char **argv)
{
	struct ev_loop *loop = ev_default_loop(0);
	ev_signal term;
	ev_io listener;
	int fd;

	if (argc != 2 || !loop) {
		fprintf(stderr, "usage: echo tcp4|tcp6|unix\n");
		return 2;
	}
	fd = bench_listen(&address, argv[1]);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || listen(fd, 4096) < 0)
		bench_die("listen");
	bench_print_address(&address);
	ev_signal_init(&term, on_term, SIGTERM);
	ev_signal_start(loop, &term);
	ev_io_init(&listener, on_listener, fd, EV_READ);
	ev_io_start(loop, &listener);
	ev_run(loop, 0);
	return 0;
}
