/* SPDX-License-Identifier: MIT */
/*
 * Description: a program that gets a ring of io_uring from liburing while it has a used stream
 * with unread input: polls, reads and writes by the ring, on that stream and on one made later.
 * Regression: liburing's system calls are its own instructions; they met an empty socket, and a
 * poll of it never ended.
 */
#include "duo.h"

#include <liburing.h>

static struct io_uring ring;

/* Submits what was prepared and waits for its result. */
static void result(const char *what)
{
	struct __kernel_timespec limit = {.tv_sec = 10};
	struct io_uring_cqe *cqe;
	int res, ret;

	if (io_uring_submit(&ring) != 1)
		die("io_uring_submit");
	ret = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
	if (ret) {
		say("%s: no result: %s", what, duo_errno(-ret));
		return;
	}
	res = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	errno = res < 0 ? -res : 0;
	say_result(what, res < 0 ? -1 : res);
}

static void by_ring(int fd)
{
	char buf[100] = "";

	io_uring_prep_poll_add(io_uring_get_sqe(&ring), fd, POLLIN);
	result("poll");
	io_uring_prep_recv(io_uring_get_sqe(&ring), fd, buf, 5, MSG_WAITALL);
	result("recv");
	say("'%s'", buf);
	io_uring_prep_send(io_uring_get_sqe(&ring), fd, "reply", 5, 0);
	result("send");
}

static void server(int fd)
{
	int ret, later;

	duo_warmup(fd);
	duo_await();
	ret = io_uring_queue_init(4, &ring, 0);
	say("io_uring_queue_init: %s", duo_errno(-ret));
	if (ret)
		return;
	by_ring(fd);
	by_ring(fd);
	later = duo_another_warm();
	by_ring(later);
	io_uring_queue_exit(&ring);
}

static void ask(int fd, const char *text)
{
	char buf[6] = "";

	duo_write_all(fd, text, 5);
	duo_post();
	duo_read_all(fd, buf, 5);
	say("'%s'", buf);
}

static void client(int fd)
{
	int later;

	duo_warmup(fd);
	ask(fd, "early");
	ask(fd, "again");
	later = duo_another_warm();
	ask(later, "later");
}

DUO_PROGRAM(.description = "io_uring by liburing", .server = server, .client = client)
