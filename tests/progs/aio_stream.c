/* SPDX-License-Identifier: MIT */
/* Description: POSIX AIO on a used stream: a waiting read, writes, suspend, results. */
#include "duo.h"

#include <aio.h>

static char in[100], out[] = "from aio_write";

static void wait_for(struct aiocb *cb, const char *what)
{
	const struct aiocb *const list[] = {cb};
	ssize_t n;

	while (aio_error(cb) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	errno = aio_error(cb);
	n = aio_return(cb);
	say_result(what, n);
}

static void server(int fd)
{
	struct aiocb reader = {.aio_fildes = fd, .aio_buf = in, .aio_nbytes = sizeof(in)};
	struct aiocb writer = {.aio_fildes = fd, .aio_buf = out, .aio_nbytes = sizeof(out) - 1};

	duo_warmup(fd);
	say_result("aio_read", aio_read(&reader));
	duo_post();
	wait_for(&reader, "result");
	say("'%.5s'", in);
	say_result("aio_write", aio_write(&writer));
	wait_for(&writer, "result");
	say_result("read", read(fd, in, sizeof(in)));
	say_result("aio_read", aio_read(&reader));
	duo_post();
	wait_for(&reader, "result at end");
}

static void client(int fd)
{
	char buf[100] = "";

	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "hello", 5);
	say_result("read", (ssize_t)duo_read_all(fd, buf, sizeof(out) - 1));
	say("'%s'", buf);
	duo_write_all(fd, "again", 5);
	duo_await();
	shutdown(fd, SHUT_WR);
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "POSIX AIO", .server = server, .client = client)
