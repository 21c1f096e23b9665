/* SPDX-License-Identifier: MIT */
/*
 * Description: the writer is done and calls no more, or is gone; the reader has read
 * a part, and splices the rest into a pipe.
 */
#include "duo.h"

#define BYTES 50000

static void server(int fd)
{
	static char bytes[BYTES];

	duo_pattern(bytes, sizeof(bytes), 9);
	for (int i = 0; i < 3; i++) {
		int s = duo_another_warm();

		duo_write_all(s, bytes, sizeof(bytes));
		if (i == 0)
			close(s);
		if (i == 1)
			shutdown(s, SHUT_WR);
		duo_post();
		duo_await();	/* no call of the library */
		if (i)
			close(s);
	}
	close(fd);
}

static void client(int fd)
{
	static char bytes[BYTES], got[BYTES];

	duo_pattern(bytes, sizeof(bytes), 9);
	for (int i = 0; i < 3; i++) {
		int s = duo_another_warm(), p[2];
		size_t sum = duo_read_all(s, got, 100);
		ssize_t n = 1;

		if (pipe(p))
			die("pipe");
		duo_await();
		while (sum < BYTES && (n = splice(s, NULL, p[1], NULL, BYTES - sum, 0)) > 0)
			sum += duo_read_all(p[0], got + sum, (size_t)n);
		say("%zu bytes, %s", sum, memcmp(bytes, got, BYTES) ? "wrong" : "right");
		if (i < 2)
			say_result("splice at end", splice(s, NULL, p[1], NULL, 10, 0));
		duo_post();
		close(p[0]);
		close(p[1]);
		close(s);
	}
	close(fd);
}

DUO_PROGRAM(.description = "splice of what a silent writer left", .server = server,
	    .client = client)
