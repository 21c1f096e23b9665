/* SPDX-License-Identifier: MIT */
/*
 * Description: non-blocking writes, vectors and messages of all sizes at every level
 * of a stream that is read in steps: what poll promises holds, EAGAIN is not promised
 * room, and what short counts say is what arrives.
 */
#include "calls.h"

#define STEPS 220
#define MOST  400000

static unsigned char pattern[MOST + 256];
static uint64_t state = 1;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

/* Sizes of all magnitudes. */
static size_t draw_size(void)
{
	return 1 + draw(1u << (1 + draw(18)));
}

/* Every byte follows from its position: the pattern repeats after 251. */
static const void *bytes_at(uint64_t position)
{
	return pattern + position % 251;
}

static ssize_t by_many_parts(int fd, const void *buf, size_t len)
{
	struct iovec v[7];
	size_t used = 0;
	int nr = 0;

	for (; nr < 6; nr++) {
		v[nr].iov_base = (char *)(uintptr_t)buf + used;
		v[nr].iov_len = draw((uint32_t)(len - used) / 3 + 1);
		used += v[nr].iov_len;
	}
	v[nr].iov_base = (char *)(uintptr_t)buf + used;
	v[nr++].iov_len = len - used;
	return writev(fd, v, nr);
}

static ssize_t write_some(int fd, uint64_t position)
{
	static ssize_t (*const ways[])(int, const void *, size_t) = {
		write, by_many_parts, by_send, by_sendmsg, by_sendmmsg, by_pwritev2, by_sendfile,
	};

	return ways[draw(7)](fd, bytes_at(position), draw_size());
}

static bool is_writable(int fd)
{
	return duo_poll(fd, POLLOUT, 0) & POLLOUT;
}

struct faults {
	int broken_promises; /* writable, but not a byte was taken */
	int empty_counts;    /* 0 of more than 0 */
	int false_promises;  /* EAGAIN to a byte, and writable */
	int others;
};

/* Writes until EAGAIN; the position behind it. */
static uint64_t push(int fd, uint64_t position, struct faults *f)
{
	for (;;) {
		bool promised = is_writable(fd);
		ssize_t n = write_some(fd, position);

		if (n > 0) {
			position += (uint64_t)n;
			continue;
		}
		f->empty_counts += n == 0;
		f->others += n < 0 && errno != EAGAIN;
		f->broken_promises += promised;
		if (n == 0 || errno != EAGAIN)
			return position;
		/* not the size alone: not one byte */
		n = write(fd, bytes_at(position), 1);
		if (n == 1) {
			position++;
			continue;
		}
		f->false_promises += is_writable(fd);
		return position;
	}
}

static void server(int fd)
{
	struct faults f = {0};
	uint64_t position = 0;

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (unsigned char)(i % 251);
	duo_warmup(fd);
	duo_set_nonblock(fd, true);
	for (int i = 0; i < STEPS; i++) {
		position = push(fd, position, &f);
		/* the reader takes a part, now and then all */
		duo_tell(i % 20 == 19 ? (int)(position & 0x7fffffff) : -(int)draw_size());
		duo_await();
	}
	duo_tell((int)position);
	duo_await();
	say("writable when all is read: %d", is_writable(fd));
	say("promises broken %d, false %d, counts of nothing %d, other errors %d",
	    f.broken_promises, f.false_promises, f.empty_counts, f.others);
	duo_tell(0);
	say_result("shutdown", shutdown(fd, SHUT_WR));
	duo_meet();
}

/* Reads @len bytes, and looks at each. */
static uint64_t take(int fd, uint64_t position, uint64_t len)
{
	static unsigned char buf[1 << 16];

	while (len > 0) {
		size_t n = duo_read_all(fd, buf, len < sizeof(buf) ? (size_t)len : sizeof(buf));

		if (!n)
			die("end of stream");
		for (size_t i = 0; i < n; i++) {
			if (buf[i] != (position + i) % 251)
				die("wrong byte at %llu", (unsigned long long)(position + i));
		}
		position += n;
		len -= n;
	}
	return position;
}

static void client(int fd)
{
	uint64_t position = 0;
	char byte;
	int word, part;

	duo_warmup(fd);
	/* a position: all up to there; a negative number: as much, if it is there */
	while ((word = duo_hear()) != 0) {
		if (word > 0) {
			position = take(fd, position, (uint64_t)word - position);
		} else {
			duo_await_bytes(fd, 1);
			if (ioctl(fd, FIONREAD, &part) < 0)
				die("FIONREAD");
			if (part > -word)
				part = -word;
			position = take(fd, position, (uint64_t)part);
		}
		duo_post();
	}
	say_result("read at end", read(fd, &byte, 1));
	duo_meet();
}

DUO_PROGRAM(.description = "writes at every level of a stream that is read in steps",
	    .server = server, .client = client)
