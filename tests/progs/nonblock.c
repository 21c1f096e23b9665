/* SPDX-License-Identifier: MIT */
/*
 * Description: every way to ask for non-blocking calls gives EAGAIN when nothing
 * is there, and blocking comes back when asked for.
 */
#include "duo.h"

static char buf[100];

static void try_all(int fd)
{
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	say_result("read", read(fd, buf, 10));
	say_result("readv", readv(fd, &iov, 1));
	say_result("recv", recv(fd, buf, 10, 0));
	say_result("recvmsg", recvmsg(fd, &msg, 0));
	say_result("recv waitall", recv(fd, buf, 10, MSG_WAITALL));
	say_result("recv peek", recv(fd, buf, 10, MSG_PEEK));
}

static void server(int fd)
{
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int on = 1, off = 0;

	duo_warmup(fd);
	say_result("recv dontwait", recv(fd, buf, 10, MSG_DONTWAIT));
	say_result("recvmsg dontwait", recvmsg(fd, &msg, MSG_DONTWAIT));
	say_result("recvfrom dontwait", recvfrom(fd, buf, 10, MSG_DONTWAIT, NULL, NULL));
	duo_set_nonblock(fd, true);
	say("F_GETFL nonblock %d", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	try_all(fd);
	duo_set_nonblock(fd, false);
	say("F_GETFL nonblock %d", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	duo_post();
	say_result("blocking read", read(fd, buf, sizeof(buf)));
	say_result("FIONBIO on", ioctl(fd, FIONBIO, &on));
	say("F_GETFL nonblock %d", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	try_all(fd);
	say_result("FIONBIO off", ioctl(fd, FIONBIO, &off));
	say("F_GETFL nonblock %d", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	duo_post();
	say_result("blocking read", read(fd, buf, sizeof(buf)));
	duo_post();
	duo_await();
	duo_await_bytes(fd, 5);
	duo_set_nonblock(fd, true);
	say_result("nonblocking read of 5", read(fd, buf, sizeof(buf)));
	say_result("nonblocking read of 0", read(fd, buf, sizeof(buf)));
	duo_post();
	duo_poll(fd, POLLIN, 5000);
	say_result("nonblocking read at end", read(fd, buf, sizeof(buf)));
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 2; i++) {
		duo_await();
		duo_write_all(fd, "hello", 5);
	}
	duo_await();
	duo_write_all(fd, "again", 5);
	duo_post();
	duo_await();
	duo_set_nonblock(fd, true);
	/* The flag of this end never was the other end's. */
	say_result("read", read(fd, buf, sizeof(buf)));
	close(fd);
}

DUO_PROGRAM(.description = "O_NONBLOCK, FIONBIO and MSG_DONTWAIT", .server = server,
	    .client = client)
