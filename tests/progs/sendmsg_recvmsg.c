/* SPDX-License-Identifier: MIT */
/* Description: sendmsg and recvmsg, what recvmsg writes back into the header, errors. */
#include "duo.h"

static char a[10], b[200], control[200];

static void show(const char *what, int fd, int flags)
{
	struct sockaddr_storage name;
	struct iovec iov[2] = {{a, 3}, {b, sizeof(b)}};
	struct msghdr msg = {
		.msg_name = &name,
		.msg_namelen = sizeof(name),
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
		.msg_flags = 0x7fff,
	};
	ssize_t n;

	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	n = say_result(what, recvmsg(fd, &msg, flags));
	if (n >= 0)
		say("'%s' '%s' namelen %u controllen %zu flags 0x%x", a, b, msg.msg_namelen,
		    msg.msg_controllen, (unsigned int)msg.msg_flags);
}

/* The end stands behind the bytes: the name is theirs. */
static void name_before_end(int fd)
{
	struct sockaddr_storage name;

	for (int i = 0; i < 3; i++) {
		socklen_t len = sizeof(name);

		say_result("recvfrom", recvfrom(fd, b, 99 + (size_t)i * 50, 0,
						(struct sockaddr *)&name, &len));
		say("a name: %d", len > 0);
	}
}

static void server(int fd)
{
	struct msghdr empty = {.msg_iov = NULL};

	duo_warmup(fd);
	show("recvmsg dontwait", fd, MSG_DONTWAIT);
	say_result("recvmsg no parts dontwait", recvmsg(fd, &empty, MSG_DONTWAIT));
	duo_post();
	show("recvmsg", fd, 0);
	duo_post();
	show("recvmsg peek", fd, MSG_PEEK);
	show("recvmsg cloexec", fd, MSG_CMSG_CLOEXEC);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	show("recvmsg nonsense flags", fd, 0x10000000 | MSG_DONTWAIT);
	duo_post();
	show("recvmsg at end", fd, 0);
	say_result("recvmsg of NULL", recvmsg(fd, NULL, 0));

	fd = duo_another_warm();
	duo_write_all(fd, b, sizeof(b));
	shutdown(fd, SHUT_RDWR);
	duo_meet();
}

static void client(int fd)
{
	struct iovec iov[3] = {{(void *)"abc", 3}, {NULL, 0}, {(void *)"defg", 4}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
	struct msghdr bad = {.msg_iov = iov, .msg_iovlen = 2000};
	struct msghdr empty = {.msg_iov = NULL};

	duo_warmup(fd);
	duo_await();
	say_result("sendmsg", sendmsg(fd, &msg, 0));
	duo_await();
	say_result("sendmsg nosignal", sendmsg(fd, &msg, MSG_NOSIGNAL));
	duo_await();
	say_result("sendmsg too many parts", sendmsg(fd, &bad, 0));
	say_result("sendmsg no parts", sendmsg(fd, &empty, 0));
	say_result("sendmsg of NULL", sendmsg(fd, NULL, 0));
	msg.msg_flags = MSG_OOB;
	iov[1] = (struct iovec){(void *)"---", 3};
	say_result("sendmsg, flags in the header are ignored", sendmsg(fd, &msg, MSG_DONTWAIT));
	duo_post();
	duo_await();
	close(fd);

	fd = duo_another_warm();
	duo_meet();
	name_before_end(fd);
}

DUO_PROGRAM(.description = "sendmsg, recvmsg and the header", .server = server, .client = client)
