/* SPDX-License-Identifier: MIT */
/*
 * Description: an echo server on libev's ev_io, as an ordinary program would write it.
 *
 *	ev_echo PORT | unix:PATH
 *
 * PORT listens on 127.0.0.1.  One event loop, non-blocking sockets.  What could not be written at
 * once stays in the buffer of its client, and that client is not read again before it is gone, so
 * a slow reader meets flow control.  End of input from a client is answered with shutdown(SHUT_WR)
 * after its last byte, and the client is closed then.  SIGTERM or SIGINT ends the loop: every
 * client is closed, a socket path is removed, exit 0.  Exit 1 when the address can not be had.
 *
 * Nothing here knows of shared memory: the file is built against libev alone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define READS_PER_EVENT 16

struct client {
	ev_io io;
	struct client *next;
	struct client **link;
	size_t off;		/* first byte of buf not yet written */
	size_t len;		/* bytes after off not yet written */
	char buf[BUFFER_BYTES];
};

static struct client *clients;

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void client_destroy(struct ev_loop *loop, struct client *c)
{
	ev_io_stop(loop, &c->io);
	close(c->io.fd);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	free(c);
}

/* Changes what the loop waits for; libev wants the watcher stopped meanwhile. */
static void client_watch(struct ev_loop *loop, struct client *c, int events)
{
	int fd = c->io.fd;

	if ((c->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(loop, &c->io);
	ev_io_set(&c->io, fd, events);
	ev_io_start(loop, &c->io);
}

/* Returns 1 when the buffer is empty, 0 when the socket is full, -1 when the client is lost. */
static int client_flush(struct client *c)
{
	while (c->len > 0) {
		ssize_t n = send(c->io.fd, c->buf + c->off, c->len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
		c->off += (size_t)n;
		c->len -= (size_t)n;
	}
	c->off = 0;
	return 1;
}

/* Returns 1 when bytes came, 0 when there are none now, -1 at end of input or on error. */
static int client_fill(struct client *c)
{
	ssize_t n;

	do {
		n = read(c->io.fd, c->buf, sizeof(c->buf));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	if (n == 0) {
		shutdown(c->io.fd, SHUT_WR);
		return -1;
	}
	c->len = (size_t)n;
	return 1;
}

static void on_client(struct ev_loop *loop, ev_io *io, int revents)
{
	struct client *c = io->data;

	(void)revents;
	/* A bound on the turns keeps one busy client from starving the others. */
	for (int turn = 0; turn < READS_PER_EVENT; turn++) {
		int r = client_flush(c);

		if (r == 0) {
			client_watch(loop, c, EV_WRITE);
			return;
		}
		if (r > 0)
			r = client_fill(c);
		if (r < 0) {
			client_destroy(loop, c);
			return;
		}
		if (r == 0)
			break;
	}
	client_watch(loop, c, c->len > 0 ? EV_WRITE : EV_READ);
}

static void client_create(struct ev_loop *loop, int fd)
{
	struct client *c = malloc(sizeof(*c));
	int one = 1;

	if (!c || set_nonblocking(fd) < 0) {
		free(c);
		close(fd);
		return;
	}
	/* Fails on AF_UNIX, where there is nothing to switch off. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->off = 0;
	c->len = 0;
	c->next = clients;
	c->link = &clients;
	if (clients)
		clients->link = &c->next;
	clients = c;
	ev_io_init(&c->io, on_client, fd, EV_READ);
	c->io.data = c;
	ev_io_start(loop, &c->io);
}

static void on_listener(struct ev_loop *loop, ev_io *io, int revents)
{
	(void)revents;
	for (;;) {
		int fd = accept(io->fd, NULL, NULL);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return;
		client_create(loop, fd);
	}
}

static void on_signal(struct ev_loop *loop, ev_signal *sig, int revents)
{
	(void)sig;
	(void)revents;
	ev_break(loop, EVBREAK_ALL);
}

static int listen_tcp(const char *text)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	char *end;
	long port = strtol(text, &end, 10);
	int one = 1;
	int fd;

	if (end == text || *end || port < 1 || port > 65535) {
		errno = EINVAL;
		return -1;
	}
	sin.sin_port = htons((unsigned short)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		return -1;
	return fd;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	struct ev_loop *loop = ev_default_loop(0);
	const char *path = NULL;
	ev_signal term, intr;
	ev_io listener;
	int fd;

	if (argc != 2 || !loop) {
		fprintf(stderr, "usage: ev_echo PORT | unix:PATH\n");
		return 1;
	}
	if (strncmp(argv[1], "unix:", 5) == 0)
		path = argv[1] + 5;
	fd = path ? listen_unix(path) : listen_tcp(argv[1]);
	if (fd < 0 || set_nonblocking(fd) < 0 || listen(fd, 128) < 0) {
		perror(argv[1]);
		return 1;
	}
	ev_signal_init(&term, on_signal, SIGTERM);
	ev_signal_start(loop, &term);
	ev_signal_init(&intr, on_signal, SIGINT);
	ev_signal_start(loop, &intr);
	ev_io_init(&listener, on_listener, fd, EV_READ);
	ev_io_start(loop, &listener);

	ev_run(loop, 0);

	while (clients)
		client_destroy(loop, clients);
	ev_io_stop(loop, &listener);
	close(fd);
	if (path)
		unlink(path);
	return 0;
}
