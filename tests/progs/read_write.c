/* SPDX-License-Identifier: MIT */
/* Description: read and write carry messages of every size both ways, unchanged. */
#include "duo.h"

static const size_t sizes[] = {1,    2,    3,    7,     8,     9,     15,    16,    17,
			       63,   64,   65,   127,   128,   129,   1000,  4088,  4095,
			       4096, 4097, 8191, 16384, 65535, 65536, 65537, 131072};
#define NR (sizeof(sizes) / sizeof(sizes[0]))

static unsigned char buf[131072];

static void receive(int fd, size_t len)
{
	size_t got = duo_read_all(fd, buf, len);

	say("read %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
}

static void server(int fd)
{
	duo_warmup(fd);
	for (size_t i = 0; i < NR; i++) {
		receive(fd, sizes[i]);
		duo_pattern(buf, sizes[i], (uint32_t)(i + 1000));
		duo_write_all(fd, buf, sizes[i]);
	}
	say_result("read at the end", read(fd, buf, sizeof(buf)));
}

static void client(int fd)
{
	duo_warmup(fd);
	for (size_t i = 0; i < NR; i++) {
		duo_pattern(buf, sizes[i], (uint32_t)i);
		say_result("write", write(fd, buf, sizes[i]));
		receive(fd, sizes[i]);
	}
	say_result("close", close(fd));
}

DUO_PROGRAM(.description = "read and write carry messages of every size both ways",
	    .server = server, .client = client)
