/* SPDX-License-Identifier: MIT */
/*
 * Description: a header of 8 bytes comes in two writes, at every count of messages
 * before it, so that some are cut by a promotion; the reader peeks until it is whole.
 */
#include "duo.h"

#define STREAMS 14

static const char header[9] = "ABCDEFGH";

/* Peeks until 8 bytes are seen; how often a look saw less does not count. */
static void look(int fd, int way)
{
	char seen[8] = "";
	int there = 0;
	int flags = MSG_PEEK | (way == 2 && duo_is_tcp() ? MSG_WAITALL : 0);
	int64_t end = duo_now_ms() + 3000;

	while (there < 8 && duo_now_ms() < end) {
		if (way == 1 && ioctl(fd, FIONREAD, &there) < 0)
			die("FIONREAD");
		if (way != 1)
			there = (int)recv(fd, seen, sizeof(seen), flags);
	}
	if (there != 8 || (way != 1 && memcmp(seen, header, 8) != 0))
		say("way %d: saw %d bytes", way, there);
	if (duo_read_all(fd, seen, 8) != 8 || memcmp(seen, header, 8) != 0)
		say("way %d: wrong bytes", way);
}

static void server(int fd)
{
	char line[16];

	for (int i = 0; i < 3 * STREAMS; i++) {
		int s = duo_another();

		for (int k = 0; k < i % STREAMS; k++) {
			duo_read_all(s, line, sizeof(line));
			duo_write_all(s, line, sizeof(line));
		}
		duo_post();
		look(s, i / STREAMS);
		duo_post();
		close(s);
	}
	close(fd);
	say("%d headers", 3 * STREAMS);
}

static void client(int fd)
{
	char line[16] = "a line of text\n";

	for (int i = 0; i < 3 * STREAMS; i++) {
		int s = duo_another();

		for (int k = 0; k < i % STREAMS; k++) {
			duo_write_all(s, line, sizeof(line));
			duo_read_all(s, line, sizeof(line));
		}
		duo_await();
		duo_write_all(s, header, 4);
		poll(NULL, 0, 3);
		duo_write_all(s, header + 4, 4);
		duo_await();
		close(s);
	}
	close(fd);
}

DUO_PROGRAM(.description = "peeking at a header that a promotion cuts",
	    .server = server, .client = client)
