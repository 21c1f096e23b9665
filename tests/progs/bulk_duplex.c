/* SPDX-License-Identifier: MIT */
/* Description: 8 MiB each way at once, driven by poll, arrive whole. */
#include "duo.h"

#define TOTAL (8u << 20)
#define BLOCK 50000u

static unsigned char out[TOTAL], in[TOTAL];

static void run(int fd, uint32_t seed)
{
	size_t sent = 0, got = 0;
	bool ended = false;

	duo_warmup(fd);
	duo_set_nonblock(fd, true);
	duo_pattern(out, TOTAL, seed);
	while (sent < TOTAL || !ended) {
		short want = (short)((sent < TOTAL ? POLLOUT : 0) | (ended ? 0 : POLLIN));
		short bits = duo_poll(fd, want, 10000);
		ssize_t n;

		if (!bits)
			die("nothing moves, sent %zu got %zu", sent, got);
		if (bits & POLLOUT && sent < TOTAL) {
			n = write(fd, out + sent, TOTAL - sent < BLOCK ? TOTAL - sent : BLOCK);
			if (n < 0 && errno != EAGAIN)
				die("write");
			sent += n > 0 ? (size_t)n : 0;
			if (sent == TOTAL)
				say_result("shutdown", shutdown(fd, SHUT_WR));
		}
		if (bits & (POLLIN | POLLHUP) && !ended) {
			n = read(fd, in + got, got < TOTAL ? TOTAL - got : 1);
			if (n < 0 && errno != EAGAIN)
				die("read");
			if (n > 0 && got == TOTAL)
				die("bytes beyond the end");
			got += n > 0 ? (size_t)n : 0;
			ended = n == 0;
		}
	}
	say("sent %zu got %zu sum %016llx", sent, got, (unsigned long long)duo_sum(in, got));
}

static void server(int fd)
{
	run(fd, 1);
}

static void client(int fd)
{
	run(fd, 2);
}

DUO_PROGRAM(.description = "8 MiB both ways at once", .server = server, .client = client)
