/* SPDX-License-Identifier: MIT */
/*
 * Description: parent and forked child are both asleep in read of one stream; every byte
 * goes to exactly one of them, and both see the end.
 */
#include "duo.h"

#include <sys/mman.h>

#define TOTAL  200000u
#define ROUNDS 3

/* How often each byte value came to each of both. */
struct counts {
	unsigned int of[2][256];
};

static unsigned char out[TOTAL];

static void count(int fd, unsigned int *mine)
{
	unsigned char text[2000];
	ssize_t got = read(fd, text, sizeof(text));

	for (; got > 0; got = read(fd, text, sizeof(text))) {
		for (ssize_t i = 0; i < got; i++)
			mine[text[i]]++;
	}
	if (got)
		die("read");
}

static void server(int fd)
{
	struct counts *counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	close(fd);
	for (int round = 0; round < ROUNDS; round++) {
		unsigned int sums[256], total = 0;
		pid_t child, parent = getpid();

		fd = round ? duo_another_warm() : duo_another();
		memset(counts, 0, sizeof(*counts));
		child = duo_fork();
		if (child == 0) {
			/* the first byte that is written finds both asleep */
			if (round < 2)
				duo_await_asleep(parent, parent);
			duo_tell(getpid());
			count(fd, counts->of[1]);
			_exit(0);
		}
		count(fd, counts->of[0]);
		duo_reap(child, "child");
		for (int i = 0; i < 256; i++) {
			sums[i] = counts->of[0][i] + counts->of[1][i];
			total += sums[i];
		}
		say("%u bytes, counts %016llx", total,
		    (unsigned long long)duo_sum(sums, sizeof(sums)));
		say_result("read at end", read(fd, sums, 1));
		close(fd);
	}
}

static void client(int fd)
{
	close(fd);
	duo_pattern(out, TOTAL, 6);
	for (int round = 0; round < ROUNDS; round++) {
		pid_t child;

		fd = round ? duo_another_warm() : duo_another();
		child = duo_hear();
		duo_await_asleep(child, child);
		for (size_t at = 0, n; at < TOTAL; at += n) {
			n = 1 + at % 3001;
			if (n > TOTAL - at)
				n = TOTAL - at;
			duo_write_all(fd, out + at, n);
		}
		close(fd);
	}
}

DUO_PROGRAM(.description = "parent and child read at once", .server = server, .client = client)
