/* SPDX-License-Identifier: MIT */
/* Description: a program that makes its calls through syscall(), mixed with libc's. */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/syscall.h>

static char buf[1000];

static void server(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 5};
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int set, copy;

	duo_warmup(fd);
	say_result("read", syscall(SYS_read, fd, buf, 10L));
	say("'%.10s'", buf);
	say_result("write", syscall(SYS_write, fd, "answer", 6L));
	say_result("recvfrom", syscall(SYS_recvfrom, fd, buf, 10L, 0L, NULL, NULL));
	say_result("sendto", syscall(SYS_sendto, fd, "answer", 6L, 0L, NULL, 0L));
	say_result("readv", syscall(SYS_readv, fd, &iov, 1L));
	iov.iov_len = 6;
	say_result("writev", syscall(SYS_writev, fd, &iov, 1L));
	iov.iov_len = sizeof(buf);
	say_result("recvmsg", syscall(SYS_recvmsg, fd, &msg, 0L));
	iov.iov_len = 6;
	say_result("sendmsg", syscall(SYS_sendmsg, fd, &msg, 0L));
	say_result("poll", syscall(SYS_poll, &p, 1L, 10000L));
	say("%s", duo_poll_bits(p.revents));
	set = (int)syscall(SYS_epoll_create1, (long)EPOLL_CLOEXEC);
	say_result("epoll_ctl", syscall(SYS_epoll_ctl, set, (long)EPOLL_CTL_ADD, fd, &event));
	event.data.u64 = 0;
	say_result("epoll_wait", syscall(SYS_epoll_wait, set, &event, 1L, 10000L));
	say("data %d", (int)event.data.u64);
	say_result("libc read", read(fd, buf, sizeof(buf)));
	copy = (int)syscall(SYS_dup, fd);
	say_result("close", syscall(SYS_close, fd));
	say_result("read of the closed number", syscall(SYS_read, fd, buf, 10L));
	say_result("libc read of it", read(fd, buf, 10));
	say_result("write by the dup", syscall(SYS_write, copy, "answer", 6L));
	say_result("F_SETFL", syscall(SYS_fcntl, copy, (long)F_SETFL, (long)O_NONBLOCK));
	say_result("read", read(copy, buf, 10));
	say_result("shutdown", syscall(SYS_shutdown, copy, (long)SHUT_WR));
	duo_post();
	duo_poll(copy, POLLIN, -1);
	say_result("read", syscall(SYS_read, copy, buf, 10L));
	say_result("close", syscall(SYS_close, copy));
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 5; i++) {
		duo_write_all(fd, "0123456789", 10);
		say_result("read", (ssize_t)duo_read_all(fd, buf, 6));
	}
	say_result("read at end", read(fd, buf, 10));
	duo_await();
	close(fd);
}

DUO_PROGRAM(.description = "system calls by syscall()", .server = server, .client = client)
