/* SPDX-License-Identifier: MIT */
/*
 * Description: the kernel's asynchronous I/O, by libaio and by number, on streams in use:
 * poll, write and read.
 * Regression: libaio's system calls are its own instructions; a poll met an empty socket for
 * ever, and a write went beside the ring.
 */
#include "duo.h"

#include <libaio.h>
#include <sys/syscall.h>

static io_context_t ctx;

static int submit(struct iocb *cb, bool by_number)
{
	return by_number ? (int)syscall(SYS_io_submit, ctx, 1L, &cb) : io_submit(ctx, 1, &cb);
}

/* The result of the one call in flight. */
static long result(void)
{
	struct timespec limit = { .tv_sec = 10 };
	struct io_event event;

	if (io_getevents(ctx, 1, 1, &event, &limit) != 1)
		return -ETIME;
	return (long)event.res;
}

static void by_kernel(int fd, bool by_number)
{
	char buf[6] = "";
	struct iocb cb;

	say("-- %s", by_number ? "by number" : "by libaio");
	io_prep_poll(&cb, fd, POLLIN);
	say("submit: %d", submit(&cb, by_number));
	duo_post();		/* now the other end writes */
	say("poll: %s", duo_poll_bits((short)result()));
	duo_read_all(fd, buf, 5);
	say("'%s'", buf);
	duo_write_all(fd, "one", 3);
	io_prep_pwrite(&cb, fd, "two", 3, 0);
	say("submit: %d", submit(&cb, by_number));
	say("write: %ld", result());
	duo_write_all(fd, "three", 5);
	duo_await_bytes(fd, 5);
	io_prep_pread(&cb, fd, buf, 5, 0);
	say("submit: %d", submit(&cb, by_number));
	say("read: %ld", result());
	say("'%s'", buf);
}

static void server(int fd)
{
	int ret = io_setup(4, &ctx);

	say("io_setup: %s", duo_errno(-ret));
	duo_warmup(fd);
	by_kernel(fd, false);
	by_kernel(duo_another_warm(), true);
	io_destroy(ctx);
}

static void answer(int fd)
{
	char buf[12] = "";

	duo_await();
	duo_write_all(fd, "first", 5);
	duo_read_all(fd, buf, 11);
	say("'%s'", buf);
	duo_write_all(fd, "again", 5);
}

static void client(int fd)
{
	duo_warmup(fd);
	answer(fd);
	answer(duo_another_warm());
}

DUO_PROGRAM(.description = "the kernel's asynchronous I/O", .server = server, .client = client)
