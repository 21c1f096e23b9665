/* SPDX-License-Identifier: MIT */
/*
 * Description: an AF_UNIX stream in use carries descriptors and credentials at
 * their exact place between bytes.
 */
#include "duo.h"

static char space[200] __attribute__((aligned(8)));

static void send_with_fd(int fd, char *text, int passed)
{
	struct iovec iov = {.iov_base = text, .iov_len = strlen(text)};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = CMSG_SPACE(sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &passed, sizeof(int));
	say_result("sendmsg", sendmsg(fd, &msg, 0));
}

static void receive(int fd, size_t room)
{
	char buf[100] = "";
	struct iovec iov = {.iov_base = buf, .iov_len = 99};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = room,
	};
	struct cmsghdr *c;
	int passed;

	say_result("recvmsg", recvmsg(fd, &msg, 0));
	say("'%s' flags 0x%x", buf, (unsigned int)msg.msg_flags);
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		say("type %d length %zu", c->cmsg_type, (size_t)c->cmsg_len);
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(&passed, CMSG_DATA(c), sizeof(passed));
		say_result("write to what came", write(passed, "through", 7));
		close(passed);
	}
}

static void server(int fd)
{
	int on = 1;

	duo_warmup(fd);
	duo_await();
	duo_await_bytes(fd, 15);
	/* A descriptor ends a recvmsg: what follows it comes by the next. */
	receive(fd, sizeof(space));
	receive(fd, sizeof(space));
	duo_post();
	duo_await();
	duo_await_bytes(fd, 4);
	/* No room for the descriptor: it is dropped and flagged. */
	receive(fd, 0);
	duo_warmup(fd);
	say_result("SO_PASSCRED", setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	duo_post();
	receive(fd, sizeof(space));
}

static void client(int fd)
{
	int p[2];
	char buf[20] = "", tagged[] = "tagged", lost[] = "lost";

	if (pipe(p) < 0)
		die("pipe");
	duo_warmup(fd);
	duo_write_all(fd, "plain", 5);
	send_with_fd(fd, tagged, p[1]);
	duo_write_all(fd, "tail", 4);
	duo_post();
	duo_await();
	say_result("read", read(p[0], buf, sizeof(buf)));
	say("'%s'", buf);
	send_with_fd(fd, lost, p[1]);
	duo_post();
	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "signed", 6);
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "ancillary data in an AF_UNIX stream", .traits = DUO_UNIX,
	    .server = server, .client = client)
