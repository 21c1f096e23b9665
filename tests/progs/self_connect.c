/* SPDX-License-Identifier: MIT */
/*
 * Description: one process, one thread, both ends of 200 streams: each connects
 * and writes before it is accepted, then all are used in turn and closed.
 */
#include "duo.h"

#define NR 200

static int ours[NR], theirs[NR];
static char buf[10000];

static void server(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = duo_address(&address);
	unsigned long long sum = 0;
	size_t total = 0;

	(void)fd;
	for (int i = 0; i < NR; i++) {
		ours[i] = duo_socket();
		if (connect(ours[i], (struct sockaddr *)&address, len) < 0)
			die("connect");
		duo_write_all(ours[i], "early", 5);
		theirs[i] = accept(duo_listener(), NULL, NULL);
		if (theirs[i] < 0)
			die("accept");
		if (duo_read_all(theirs[i], buf, 5) != 5 || memcmp(buf, "early", 5) != 0)
			die("early bytes");
		if (i < 40)
			duo_warmup_pair(theirs[i], ours[i]);
	}
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < NR; i++) {
			size_t size = (size_t)(i * 37 + round * 1001) % 9000 + 1;

			duo_pattern(buf, size, (uint32_t)(i + round));
			duo_write_all(round % 2 ? ours[i] : theirs[i], buf, size);
		}
		for (int i = NR - 1; i >= 0; i--) {
			size_t size = (size_t)(i * 37 + round * 1001) % 9000 + 1;
			size_t got = duo_read_all(round % 2 ? theirs[i] : ours[i], buf, size);

			total += got;
			sum = sum * 31 + duo_sum(buf, got);
		}
	}
	say("%zu bytes, sum %016llx", total, sum);
	for (int i = 0; i < NR; i++)
		close(i % 2 ? ours[i] : theirs[i]);
	for (int i = 0; i < NR; i++) {
		if (read(i % 2 ? theirs[i] : ours[i], buf, 1) != 0)
			die("no end of stream");
	}
	say("all ended");
}

DUO_PROGRAM(.description = "200 streams with both ends in one process", .traits = DUO_SOLO,
	    .server = server)
