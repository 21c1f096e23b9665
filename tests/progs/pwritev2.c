/* SPDX-License-Identifier: MIT */
/*
 * Description: preadv2 and pwritev2 work on a stream at offset -1; all other
 * offsets, pread, pwrite and lseek give ESPIPE.
 */
#include "duo.h"

static char buf[100];
static struct iovec in = {.iov_base = buf, .iov_len = 50};

static void refuse(int fd)
{
	struct iovec out = {.iov_base = (void *)"bad", .iov_len = 3};

	say_result("preadv2 at 0", preadv2(fd, &in, 1, 0, 0));
	say_result("preadv2 at 5", preadv2(fd, &in, 1, 5, 0));
	say_result("preadv2 at -2", preadv2(fd, &in, 1, -2, 0));
	say_result("preadv at 0", preadv(fd, &in, 1, 0));
	say_result("pread at 0", pread(fd, buf, 3, 0));
	say_result("pwritev2 at 0", pwritev2(fd, &out, 1, 0, 0));
	say_result("pwritev2 at -2", pwritev2(fd, &out, 1, -2, 0));
	say_result("pwritev at 0", pwritev(fd, &out, 1, 0));
	say_result("pwrite at 0", pwrite(fd, "bad", 3, 0));
	say_result("lseek", lseek(fd, 0, SEEK_CUR));
}

static void server(int fd)
{
	duo_warmup(fd);
	refuse(fd);
	say_result("preadv2 NOWAIT, nothing there", preadv2(fd, &in, 1, -1, RWF_NOWAIT));
	say_result("preadv2 unknown flag", preadv2(fd, &in, 1, -1, 0x40000000));
	duo_post();
	say_result("preadv2 at -1", preadv2(fd, &in, 1, -1, 0));
	say("'%.10s'", buf);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 5);
	say_result("preadv2 NOWAIT", preadv2(fd, &in, 1, -1, RWF_NOWAIT));
	say_result("preadv2 at end", preadv2(fd, &in, 1, -1, 0));
}

static void client(int fd)
{
	struct iovec out = {.iov_base = (void *)"0123456789", .iov_len = 10};

	duo_warmup(fd);
	refuse(fd);
	duo_await();
	say_result("pwritev2 at -1", pwritev2(fd, &out, 1, -1, 0));
	out.iov_len = 5;
	duo_await();
	say_result("pwritev2 NOWAIT at -1", pwritev2(fd, &out, 1, -1, RWF_NOWAIT));
	duo_post();
	close(fd);
}

DUO_PROGRAM(.description = "preadv2, pwritev2 and ESPIPE", .server = server, .client = client)
