/* SPDX-License-Identifier: MIT */
/*
 * Description: both ends send each message with MSG_MORE, never one without: every byte
 * comes, soon if not at once, and the rest with the end.
 */
#include "duo.h"

enum { ROUNDS = 8, MESSAGES = 100, SIZE = 100 };

static void run(int fd)
{
	static char buf[MESSAGES * SIZE];
	uint64_t sum = 0;

	for (int round = 0; round < ROUNDS; round++) {
		duo_pattern(buf, sizeof(buf), (uint32_t)round + duo_is_server());
		for (int i = 0; i < MESSAGES; i++) {
			if (send(fd, buf + i * SIZE, SIZE, MSG_MORE) != SIZE)
				die("send");
		}
		if (round == ROUNDS - 1)
			shutdown(fd, SHUT_WR);
		for (int i = 0; i < MESSAGES; i++)
			duo_read_all(fd, buf + i * SIZE, SIZE);
		sum = sum * 31 + duo_sum(buf, sizeof(buf));
	}
	say("sum %llx", (unsigned long long)sum);
	say_result("end", (ssize_t)duo_drain(fd));
}

DUO_PROGRAM(.description = "MSG_MORE and nothing else", .server = run, .client = run)
