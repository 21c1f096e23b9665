/* SPDX-License-Identifier: MIT */
/* Description: a call that succeeds leaves errno as it was. */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/select.h>

/* Evaluates a call under a marked errno and says what is left of the mark. */
#define KEEPS(call)                                                                   \
	do {                                                                          \
		long long kept_;                                                      \
                                                                                      \
		errno = 77;                                                           \
		kept_ = (call);                                                       \
		say("%s: %s, errno %d", #call, kept_ < 0 ? "fails" : "works", errno); \
	} while (0)

static void use(int fd)
{
	char buf[100];
	struct iovec iov = {buf, 10};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct epoll_event event = {.events = EPOLLIN};
	struct timeval none = {0, 0};
	int value = 0, set, copy;
	fd_set fds;

	memset(buf, 'x', sizeof(buf));
	KEEPS(write(fd, buf, 10));
	KEEPS(send(fd, buf, 10, 0));
	KEEPS(writev(fd, &iov, 1));
	KEEPS(sendmsg(fd, &msg, 0));
	KEEPS(sendto(fd, buf, 10, 0, NULL, 0));
	duo_meet();
	KEEPS(poll(&p, 1, 5000));
	FD_ZERO(&fds);
	FD_SET(fd, &fds);
	KEEPS(select(fd + 1, &fds, NULL, NULL, NULL));
	set = epoll_create1(0);
	KEEPS(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	KEEPS(epoll_wait(set, &event, 1, 5000));
	KEEPS(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL));
	duo_await_bytes(fd, 50);
	KEEPS(ioctl(fd, FIONREAD, &value));
	KEEPS(recv(fd, buf, 10, MSG_PEEK));
	KEEPS(read(fd, buf, 10));
	KEEPS(readv(fd, &iov, 1));
	KEEPS(recv(fd, buf, 10, 0));
	KEEPS(recvmsg(fd, &msg, 0));
	KEEPS(recvfrom(fd, buf, 10, 0, NULL, NULL));
	KEEPS(poll(&p, 1, 0));
	KEEPS(poll(&p, 1, 10));
	FD_SET(fd, &fds);
	KEEPS(select(fd + 1, &fds, NULL, NULL, &none));
	KEEPS(epoll_wait(set, &event, 1, 0));
	KEEPS(fcntl(fd, F_GETFL));
	KEEPS(fcntl(fd, F_SETFL, O_NONBLOCK));
	KEEPS(fcntl(fd, F_SETFL, 0));
	KEEPS(copy = dup(fd));
	KEEPS(close(copy));
	KEEPS(close(set));
	duo_meet();
	KEEPS(shutdown(fd, SHUT_WR));
	KEEPS(read(fd, buf, 10));
	KEEPS(close(fd));
}

static void server(int fd)
{
	duo_warmup(fd);
	use(fd);
}

static void client(int fd)
{
	duo_warmup(fd);
	use(fd);
}

DUO_PROGRAM(.description = "errno is untouched by success", .server = server, .client = client)
