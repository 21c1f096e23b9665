/* SPDX-License-Identifier: MIT */
/*
 * Description: bad addresses give EFAULT, never a signal; the stream lives on and
 * no byte is lost, but by a name that cannot be written.  A buffer that leaves its
 * mapping in the middle is not here: by ring that is a fault of the host (README,
 * "Limits").
 */
#include "sets.h"

#include <sys/select.h>

/* volatile: the compiler must not know. */
static void *volatile bad = (void *)8;
static void *volatile beyond = (void *)0x7ffffffffff8;
static volatile size_t all = SIZE_MAX;
/* not on the stack: two gigabytes more would reach beyond user space */
static char buf[100];

/* What waits are given beside numbers; times are read by libc itself. */
static void bad_sets(int fd)
{
	struct timeval none = {0, 0};
	struct epoll_event event;
	int set = duo_set_new();
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(fd, &fds);
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
	say_result("select, bad set", select(fd + 1, bad, NULL, NULL, &none));
	say_result("select, one bad set", select(fd + 1, &fds, NULL, bad, &none));
	say_result("pselect, bad set", pselect(fd + 1, NULL, bad, &fds, NULL, NULL));
	say_result("epoll_pwait2, bad time", epoll_pwait2(set, &event, 1, bad, NULL));
	close(set);
}

/* Names and their lengths, which are signed in the kernel. */
static void bad_names(int fd)
{
	static const socklen_t lengths[] = {0, 1, 1000, (socklen_t)-1};
	struct sockaddr_storage none = {.ss_family = AF_UNSPEC};
	struct iovec iov = {buf, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_namelen = 16};
	socklen_t len = sizeof(none);

	say_result("connect", connect(fd, bad, 16));
	say_result("connect beyond all memory", connect(fd, beyond, 16));
	say_result("getpeername", getpeername(fd, bad, &len));
	say_result("getpeername, bad length", getpeername(fd, (void *)&none, bad));
	say_result("sendto", sendto(fd, "x", 1, 0, bad, 16));
	msg.msg_name = bad;
	say_result("sendmsg", sendmsg(fd, &msg, 0));
	msg.msg_name = &none;
	msg.msg_namelen = (socklen_t)-1;
	say_result("sendmsg, length below zero", sendmsg(fd, &msg, 0));
	say_result("recvfrom, bad length", recvfrom(fd, buf, 1, MSG_DONTWAIT, (void *)&none, bad));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		if (lengths[i] != 1000)
			say_result("connect, length",
				   connect(fd, (void *)&none, lengths[i]));
		say_result("sendto, length",
			   sendto(fd, "x", 1, 0, (void *)&none, lengths[i]));
	}
}

/* How long a name is differs from run to run. */
static void say_taken(int fd, bool ok, socklen_t len)
{
	struct sockaddr_storage peer;
	socklen_t whole = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &whole) < 0)
		die("getpeername");
	if (ok && len == whole)
		say("  '%c', its whole length", buf[0]);
	else
		say("  '%c', length %u", buf[0], ok ? (unsigned int)len : 0);
}

static void one_message(int fd, const char *what, void *name, socklen_t len)
{
	struct iovec iov = {buf, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = name,
			     .msg_namelen = len};
	ssize_t n;

	buf[0] = '-';
	n = say_result(what, recvmsg(fd, &msg, 0));
	say_taken(fd, n >= 0, msg.msg_namelen);
}

static void one_from(int fd, const char *what, void *name, socklen_t len)
{
	ssize_t n;

	buf[0] = '-';
	n = say_result(what, recvfrom(fd, buf, 1, 0, name, &len));
	say_taken(fd, n >= 0, len);
}

/* A name that cannot be written costs the byte. */
static void names_received(int fd)
{
	struct sockaddr_storage name;

	say_result("recvfrom, bad length", recvfrom(fd, buf, 1, 0, (void *)&name, bad));
	say_result("recvfrom, no length", recvfrom(fd, buf, 1, 0, (void *)&name, NULL));
	one_from(fd, "recvfrom, bad name", bad, 16);
	one_from(fd, "recvfrom, bad name of nothing", bad, 0);
	one_from(fd, "recvfrom, length below zero", &name, (socklen_t)-1);
	one_from(fd, "recvfrom, short name", &name, 1);
	one_from(fd, "recvfrom, no name", NULL, 55);
	one_message(fd, "recvmsg, bad name", bad, 16);
	one_message(fd, "recvmsg, bad name of nothing", bad, 0);
	one_message(fd, "recvmsg, length below zero", &name, (socklen_t)-1);
	one_message(fd, "recvmsg, short name", &name, 1);
	one_message(fd, "recvmsg, no name", NULL, 55);
	say("then '%.*s'", (int)recv(fd, buf, sizeof(buf), 0), buf);
}

static void server(int fd)
{
	struct iovec iov[2] = {{bad, 4}, {buf, 4}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1};
	ssize_t n;

	duo_warmup(fd);
	say_result("recv, nothing there", recv(fd, bad, 10, MSG_DONTWAIT));
	say_result("recv beyond all memory", recv(fd, beyond, 10, MSG_DONTWAIT));
	say_result("recv of all memory", recv(fd, buf, all, MSG_DONTWAIT));
	say_result("readv of a bad vector", readv(fd, bad, 2));
	bad_names(fd);
	duo_write_all(fd, "ABCDEFGHIJKLMNOPQ", 17);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 26);
	say_result("read of all memory", read(fd, buf, all));
	say_result("peek at all memory", recv(fd, buf, all, MSG_PEEK));
	say_result("read", read(fd, bad, 10));
	say_result("recv", recv(fd, bad, 10, 0));
	say_result("recv peek", recv(fd, bad, 10, MSG_PEEK));
	say_result("recvmsg", recvmsg(fd, &msg, 0));
	say_result("readv of a bad vector", readv(fd, bad, 2));
	say_result("recvmsg of a bad header", recvmsg(fd, bad, 0));
	say_result("readv into a bad part", readv(fd, iov, 2));
	say_result("poll", poll(bad, 1, 0));
	say_result("ppoll", ppoll(bad, 1, NULL, NULL));
	bad_sets(fd);
	n = (ssize_t)duo_read_all(fd, buf, 26);
	say("the rest ends in '%.5s'", buf + n - 5);
	duo_post();
	duo_await();
	names_received(fd);
	duo_post();
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("recv at the end", recv(fd, bad, 10, 0));
	say_result("recv beyond all memory", recv(fd, beyond, 10, 0));
}

static void client(int fd)
{
	struct iovec iov = {bad, 4};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	duo_warmup(fd);
	duo_await();
	names_received(fd);
	say_result("write", write(fd, bad, 10));
	say_result("send", send(fd, bad, 10, 0));
	say_result("writev", writev(fd, &iov, 1));
	say_result("sendmsg", sendmsg(fd, &msg, 0));
	say_result("writev of a bad vector", writev(fd, bad, 2));
	say_result("sendmsg of a bad header", sendmsg(fd, bad, 0));
	duo_write_all(fd, "abcdefghijklmnopqrstuvwxyz", 26);
	duo_post();
	duo_await();
	duo_write_all(fd, "ABCDEFGHIJKLMNOPQ", 17);
	duo_post();
	duo_await();
	say_result("write", write(fd, "fine", 4));
	say_result("write of all memory", write(fd, buf, all));
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say_result("send after it", send(fd, bad, 10, MSG_NOSIGNAL));
	say_result("send beyond all memory", send(fd, beyond, 10, MSG_NOSIGNAL));
}

DUO_PROGRAM(.description = "EFAULT", .server = server, .client = client)
