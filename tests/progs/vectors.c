/* SPDX-License-Identifier: MIT */
/*
 * Description: readv and writev gather and scatter, with empty parts, and refuse
 * impossible vectors.
 */
#include "duo.h"

#include <limits.h>

static char buf[70000];
static struct iovec many[IOV_MAX + 1];
/* volatile: the compiler must not know. */
static volatile int minus_one = -1;

static void refuse(int fd)
{
	struct iovec huge[2] = {{buf, SSIZE_MAX}, {buf, SSIZE_MAX}};
	struct iovec negative = {buf, (size_t)-1};

	say_result("writev 0 parts", writev(fd, many, 0));
	say_result("readv 0 parts", readv(fd, many, 0));
	say_result("writev -1 parts", writev(fd, many, minus_one));
	say_result("readv -1 parts", readv(fd, many, minus_one));
	say_result("writev IOV_MAX + 1 parts", writev(fd, many, IOV_MAX + 1));
	say_result("readv IOV_MAX + 1 parts", readv(fd, many, IOV_MAX + 1));
	say_result("writev of a negative part", writev(fd, &negative, 1));
	say_result("readv of a negative part", readv(fd, &negative, 1));
	/* The total is cut to what a count can say; nothing is there to read. */
	duo_set_nonblock(fd, true);
	say_result("readv too much in sum", readv(fd, huge, 2));
	duo_set_nonblock(fd, false);
	for (int i = 0; i < 3; i++)
		many[i] = (struct iovec){NULL, 0};
	say_result("writev of empty parts", writev(fd, many, 3));
	say_result("readv into empty parts", readv(fd, many, 3));
}

static void server(int fd)
{
	char a[5] = "", b[3] = "", c[100] = "";
	struct iovec parts[5] = {{a, 4}, {NULL, 0}, {b, 2}, {NULL, 0}, {c, 99}};
	ssize_t n;

	duo_warmup(fd);
	refuse(fd);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 12);
	n = readv(fd, parts, 5);
	say("readv -> %zd '%s' '%s' '%s'", n, a, b, c);
	for (int i = 0; i < IOV_MAX; i++)
		many[i] = (struct iovec){buf + i * 68, 68};
	duo_post();
	duo_await();
	duo_await_bytes(fd, 20000);
	say_result("readv of IOV_MAX parts", readv(fd, many, IOV_MAX));
	say("sum %016llx", (unsigned long long)duo_sum(buf, 20000));
	say_result("readv at end", readv(fd, many, IOV_MAX));
}

static void client(int fd)
{
	struct iovec parts[5] = {
		{(void *)"one", 3}, {NULL, 0}, {(void *)"two", 3}, {(void *)"three", 6}, {NULL, 0},
	};

	duo_warmup(fd);
	refuse(fd);
	duo_await();
	say_result("writev", writev(fd, parts, 5));
	duo_post();
	duo_pattern(buf, 20000, 3);
	for (int i = 0; i < IOV_MAX; i++)
		many[i] = (struct iovec){buf + i * 20, i < 1000 ? 20 : 0};
	duo_await();
	say_result("writev of IOV_MAX parts", writev(fd, many, IOV_MAX));
	duo_post();
	close(fd);
}

DUO_PROGRAM(.description = "readv and writev", .server = server, .client = client)
