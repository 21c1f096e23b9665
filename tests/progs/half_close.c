/* SPDX-License-Identifier: MIT */
/*
 * Description: after a half close the closed direction reads 0 for ever and the
 * other direction still carries data, whichever end closes first.
 */
#include "duo.h"

static unsigned char buf[30000];

/* The end that shuts its sending side first. */
static void first(int fd)
{
	size_t got;

	duo_pattern(buf, 20000, 1);
	duo_write_all(fd, buf, 20000);
	say_result("shutdown WR", shutdown(fd, SHUT_WR));
	signal(SIGPIPE, SIG_IGN);
	say_result("write after it", write(fd, "x", 1));
	say_result("empty write after it", write(fd, "x", 0));
	got = duo_read_all(fd, buf, 30000);
	say("read %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	say_result("read", read(fd, buf, 1));
	say_result("read again", recv(fd, buf, 1, MSG_DONTWAIT));
	duo_meet();
	say_result("close", close(fd));
}

static void second(int fd)
{
	size_t got = duo_read_all(fd, buf, 30000);

	say("read %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	for (int i = 0; i < 5; i++)
		say_result("read at end", read(fd, buf, sizeof(buf)));
	say_result("peek at end", recv(fd, buf, 10, MSG_PEEK));
	say_result("dontwait at end", recv(fd, buf, 10, MSG_DONTWAIT));
	say_result("waitall at end", recv(fd, buf, 10, MSG_WAITALL));
	for (uint32_t i = 0; i < 30; i++) {
		duo_pattern(buf, 1000, i);
		duo_write_all(fd, buf, 1000);
	}
	say_result("shutdown WR", shutdown(fd, SHUT_WR));
	say_result("read at end", read(fd, buf, sizeof(buf)));
	duo_meet();
	say_result("close", close(fd));
}

static void server(int fd)
{
	duo_warmup(fd);
	first(fd);
	second(duo_another_warm());
	/* Without a warm-up: the end comes while promotion may be under way. */
	first(duo_another());
	second(duo_another());
}

static void client(int fd)
{
	duo_warmup(fd);
	second(fd);
	first(duo_another_warm());
	second(duo_another());
	first(duo_another());
}

DUO_PROGRAM(.description = "half close in both orders", .server = server, .client = client)
