/* SPDX-License-Identifier: MIT */
/*
 * Description: SOCK_SEQPACKET keeps its borders, and stays with the kernel: by
 * socketpair and fork, and by connect and accept.
 */
#include "duo.h"

#include <sys/un.h>

static char buf[300];

static void use(int fd)
{
	struct iovec v = {buf, 4};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	for (int i = 0; i < 20; i++) {
		say_result("send", send(fd, buf, (size_t)i + 1, 0));
		say_result("recv", recv(fd, buf, sizeof(buf), 0));
	}
	say_result("write", write(fd, "long message", 12));
	say_result("recvmsg of 4", recvmsg(fd, &m, 0));
	say("flags 0x%x", (unsigned int)m.msg_flags);
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say_result("read at end", read(fd, buf, sizeof(buf)));
	say_result("send after it", send(fd, buf, 1, MSG_NOSIGNAL));
}

/* Two hold one end each. */
static void echo_in_child(int mine, int other)
{
	pid_t child = duo_fork();
	ssize_t n;

	if (child == 0) {
		close(mine);
		while ((n = read(other, buf, sizeof(buf))) > 0)
			duo_write_all(other, buf, (size_t)n);
		_exit(n < 0);
	}
	close(other);
	use(mine);
	close(mine);
	duo_reap(child, "child");
}

static void server(int fd)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(un);
	int pair[2], listener;

	(void)fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		die("socketpair");
	echo_in_child(pair[0], pair[1]);
	/* a name of the kernel's choice (unix(7), autobind) */
	listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (bind(listener, (struct sockaddr *)&un, sizeof(sa_family_t)) ||
	    getsockname(listener, (struct sockaddr *)&un, &len) || listen(listener, 1))
		die("listen");
	pair[0] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	say_result("connect", connect(pair[0], (struct sockaddr *)&un, len));
	pair[1] = accept(listener, NULL, NULL);
	echo_in_child(pair[1], pair[0]);
	close(listener);
}

DUO_PROGRAM(.description = "SOCK_SEQPACKET", .traits = DUO_SOLO | DUO_UNIX | DUO_KERNEL_ONLY,
	    .server = server)
