/* SPDX-License-Identifier: MIT */
/*
 * Description: a used stream handed over by SCM_RIGHTS: to a forked child that
 * had closed it, and to the sender itself; with input waiting meanwhile.
 */
#include "duo.h"

static char buf[5000];

static void send_fd(int over, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.space = {0}};
	struct iovec iov = {.iov_base = (void *)"F", .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(over, &msg, 0) != 1)
		die("sendmsg with a descriptor");
}

static int receive_fd(int over)
{
	union {
		char space[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *c;
	int fd = -1;

	say_result("recvmsg with a descriptor", recvmsg(over, &msg, MSG_CMSG_CLOEXEC));
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		die("no descriptor came");
	say("control length %zu flags 0x%x", (size_t)c->cmsg_len,
	    (unsigned int)msg.msg_flags & ~(unsigned int)MSG_CMSG_CLOEXEC);
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void answer(int fd, const char *who)
{
	size_t got = duo_read_all(fd, buf, 2000);

	say("%s read %zu sum %016llx", who, got, (unsigned long long)duo_sum(buf, got));
	duo_pattern(buf, 5000, (uint32_t)who[0]);
	duo_write_all(fd, buf, 5000);
}

static void server(int fd)
{
	int pair[2], mine;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	duo_warmup(fd);
	child = duo_fork();
	if (child == 0) {
		close(fd);
		close(pair[0]);
		fd = receive_fd(pair[1]);
		answer(fd, "child");
		answer(fd, "child");
		_exit(0);
	}
	close(pair[1]);
	/* Unread input goes along. */
	duo_await_bytes(fd, 2000);
	send_fd(pair[0], fd);
	close(fd);
	duo_reap(child, "child");
	close(pair[0]);
	duo_post();

	fd = duo_another_warm();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	duo_await_bytes(fd, 2000);
	send_fd(pair[0], fd);
	answer(fd, "old number");
	mine = receive_fd(pair[1]);
	answer(mine, "new number");
	close(fd);
	answer(mine, "new number alone");
	close(mine);
}

static void use(int fd, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		size_t got;

		duo_pattern(buf, 2000, (uint32_t)i);
		duo_write_all(fd, buf, 2000);
		got = duo_read_all(fd, buf, 5000);
		say("answer %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	}
}

static void client(int fd)
{
	duo_warmup(fd);
	use(fd, 2);
	duo_await();
	say_result("read at end", read(fd, buf, 1));
	close(fd);
	fd = duo_another_warm();
	use(fd, 3);
	say_result("read at end", read(fd, buf, 1));
}

DUO_PROGRAM(.description = "SCM_RIGHTS hands a stream over", .server = server, .client = client)
