/* SPDX-License-Identifier: MIT */
/*
 * duo: bytes over a stream: written, read, compared, and as many as fit.  As duo.c,
 * it knows nothing of libshmfd.
 */
#include "duo.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

void duo_write_all(int fd, const void *buf, size_t len)
{
	const char *from = buf;

	while (len > 0) {
		ssize_t n = write(fd, from, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("write");
		from += n;
		len -= (size_t)n;
	}
}

size_t duo_read_all(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (char *)buf + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("read");
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return got;
}

size_t duo_drain(int fd)
{
	char buf[65536];
	size_t total = 0;
	size_t n;

	do {
		n = duo_read_all(fd, buf, sizeof(buf));
		total += n;
	} while (n == sizeof(buf));
	return total;
}

void duo_pattern(void *buf, size_t len, uint32_t seed)
{
	unsigned char *out = buf;
	uint32_t state = seed * 2654435761u + 12345;

	for (size_t i = 0; i < len; i++) {
		state = state * 1664525u + 1013904223u;
		out[i] = (unsigned char)(state >> 24);
	}
}

/* FNV-1a, 64 bits. */
uint64_t duo_sum(const void *buf, size_t len)
{
	const unsigned char *in = buf;
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ in[i]) * 0x100000001b3u;
	return sum;
}

void duo_send_pattern(int fd, size_t len, uint32_t seed)
{
	char *buf = malloc(len);

	duo_pattern(buf, len, seed);
	duo_write_all(fd, buf, len);
	free(buf);
}

void duo_say_received(int fd, const char *who, size_t len)
{
	char *buf = malloc(len);
	size_t got = duo_read_all(fd, buf, len);

	say("%s: %zu sum %016llx", who, got, (unsigned long long)duo_sum(buf, got));
	free(buf);
}

short duo_poll(int fd, short events, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		die("poll");
	return n ? p.revents : 0;
}

void duo_await_bytes(int fd, int len)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	int there;

	for (;;) {
		if (ioctl(fd, FIONREAD, &there) < 0)
			die("FIONREAD");
		if (there >= len)
			return;
		nanosleep(&pause, NULL);
	}
}

/* Sends blocks of len until the kernel says EAGAIN; returns the bytes taken. */
static size_t fill(int fd, size_t len)
{
	static char block[16384];
	size_t total = 0;
	ssize_t n;

	while ((n = send(fd, block, len, MSG_DONTWAIT)) > 0)
		total += (size_t)n;
	if (n == 0 || errno != EAGAIN)
		die("fill up: send %zd", n);
	return total;
}

/* Packets on their way: their acknowledgement, 40 ms later (TCP_DELACK_MIN), makes room. */
static bool is_in_flight(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (!duo_is_tcp())
		return false;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		die("TCP_INFO");
	return info.tcpi_unacked > 0;
}

size_t duo_fill(int fd)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	size_t total = 0;
	bool moves;
	size_t n;

	do {
		moves = is_in_flight(fd);
		if (moves)
			nanosleep(&pause, NULL);
		/* no room for a block is not yet no room for a byte */
		n = fill(fd, 16384);
		n += fill(fd, 1);
		total += n;
	} while (moves || n > 0);
	return total;
}

size_t duo_fill_up(int fd)
{
	/* TCP's first window probe, RTO_MIN (200 ms, Linux's net/tcp.h) later, takes
	 * the bytes for which the last window was too small; a writer that waits on
	 * a ring may leave it.
	 */
	int quiet_ms = duo_is_tcp() ? 300 : 50;
	size_t total = duo_fill(fd);
	size_t more;
	bool moved;

	do {
		moved = duo_poll(fd, POLLOUT, quiet_ms);
		more = duo_fill(fd);
		total += more;
	} while (more > 0 || moved);
	return total;
}
