/* SPDX-License-Identifier: MIT */
/* Description: closed, negative, huge and non-socket descriptors give the right error. */
#include "duo.h"

#include <sys/epoll.h>

static void try_all(const char *what, int fd)
{
	char buf[10] = "";
	struct iovec iov = {buf, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int value = 0;
	socklen_t len = sizeof(value);
	struct sockaddr_storage address;
	socklen_t address_len = sizeof(address);

	say("-- %s", what);
	say_result("read", read(fd, buf, 0));
	say_result("write", write(fd, buf, 0));
	say_result("readv", readv(fd, &iov, 0));
	say_result("writev", writev(fd, &iov, 0));
	say_result("recv", recv(fd, buf, 1, MSG_DONTWAIT));
	say_result("send", send(fd, buf, 1, MSG_DONTWAIT));
	say_result("recvmsg", recvmsg(fd, &msg, MSG_DONTWAIT));
	say_result("sendmsg", sendmsg(fd, &msg, MSG_DONTWAIT));
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say_result("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len));
	say_result("getpeername", getpeername(fd, (struct sockaddr *)&address, &address_len));
	say_result("F_GETFD", fcntl(fd, F_GETFD) < 0 ? -1 : 0);
	say_result("F_GETFL", fcntl(fd, F_GETFL) < 0 ? -1 : 0);
	say_result("FIONREAD", ioctl(fd, FIONREAD, &value));
	say_result("dup2 to itself", dup2(fd, fd) < 0 ? -1 : 0);
	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN, 0)));
}

static void server(int fd)
{
	int p[2], copy;

	duo_warmup(fd);
	copy = fcntl(fd, F_DUPFD, 50);
	say_result("close", close(fd));
	say_result("close again", close(fd));
	try_all("closed stream", fd);
	say_result("dup", dup(fd));
	try_all("-1", -1);
	try_all("huge", 0x7ffffff0);
	if (pipe(p) < 0)
		die("pipe");
	say("-- pipe");
	say_result("recv", recv(p[0], &copy, 1, MSG_DONTWAIT));
	say_result("send", send(p[1], "x", 1, 0));
	say_result("shutdown", shutdown(p[0], SHUT_WR));
	/* The number of the closed stream now belongs to something else. */
	say("pipe took the number: %d", p[0] == fd);
	say_result("write to the pipe", write(p[1], "pipe", 4));
	duo_meet();
	say("poll pipe: %s", duo_poll_bits(duo_poll(p[0], POLLIN, 0)));
	duo_write_all(copy, "still here", 10);
	duo_await();
}

static void client(int fd)
{
	char buf[20];

	duo_warmup(fd);
	duo_meet();
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_post();
	say_result("read", read(fd, buf, sizeof(buf)));
}

DUO_PROGRAM(.description = "bad descriptors", .server = server, .client = client)
