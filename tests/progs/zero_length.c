/* SPDX-License-Identifier: MIT */
/* Description: empty reads and writes do nothing, and the peer sees nothing of them. */
#include "duo.h"

static void empty_writes(int fd)
{
	struct iovec iov = {NULL, 0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	say_result("write", write(fd, "", 0));
	say_result("write of NULL", write(fd, NULL, 0));
	say_result("writev", writev(fd, &iov, 1));
	say_result("send", send(fd, "", 0, 0));
	say_result("sendmsg", sendmsg(fd, &msg, 0));
	say_result("sendto", sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0));
}

static void empty_reads(int fd)
{
	struct iovec iov = {NULL, 0};

	say_result("read", read(fd, NULL, 0));
	say_result("readv", readv(fd, &iov, 1));
	say_result("recv dontwait", recv(fd, NULL, 0, MSG_DONTWAIT));
	say_result("recv peek dontwait", recv(fd, NULL, 0, MSG_PEEK | MSG_DONTWAIT));
}

static void server(int fd)
{
	char buf[10];

	duo_warmup(fd);
	duo_await();
	say("poll IN: %s", duo_poll_bits(duo_poll(fd, POLLIN, 0)));
	empty_reads(fd);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 3);
	say("with input");
	empty_reads(fd);
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_post();
	duo_poll(fd, POLLIN, 5000);
	say("at end");
	empty_reads(fd);
	say_result("read", read(fd, buf, sizeof(buf)));
}

static void client(int fd)
{
	duo_warmup(fd);
	empty_writes(fd);
	duo_post();
	duo_await();
	duo_write_all(fd, "abc", 3);
	empty_writes(fd);
	duo_post();
	duo_await();
	say_result("shutdown", shutdown(fd, SHUT_WR));
	signal(SIGPIPE, SIG_IGN);
	empty_writes(fd);
}

DUO_PROGRAM(.description = "empty reads and writes", .server = server, .client = client)
