/* SPDX-License-Identifier: MIT */
/*
 * Description: SOCK_SEQPACKET, by accept and as a pair, within a process and to a child:
 * messages keep their borders, calls on several of them too; ends and errors.
 */
#include "duo.h"

#include <sys/un.h>

static char buf[4000];

static void exchange(const char *what, int a, int b)
{
	struct iovec v[3] = {{buf, 10}, {buf + 1000, 10}, {buf + 2000, 10}};
	struct mmsghdr m[3];
	struct msghdr one = {.msg_iov = v, .msg_iovlen = 1};

	say("%s", what);
	for (int i = 0; i < 40; i++) {
		memset(buf, 'a' + i % 26, 100);
		if (send(a, buf, (size_t)i + 1, 0) != i + 1 || read(b, buf, 100) != i + 1)
			die("message %d", i);
	}
	say_result("  write of a long one", write(a, buf, 3000));
	say_result("  read of its begin", recvmsg(b, &one, 0));
	say("  cut %d, end of record %d", !!(one.msg_flags & MSG_TRUNC),
	    !!(one.msg_flags & MSG_EOR));
	say_result("  an empty one", send(a, buf, 0, 0));
	say_result("  is read", recv(b, buf, 10, 0));
	for (int i = 0; i < 3; i++)
		m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &v[i], .msg_iovlen = 1}};
	v[1].iov_len = 5;
	say_result("  sendmmsg", sendmmsg(a, m, 3, 0));
	v[0].iov_len = v[1].iov_len = v[2].iov_len = 20;
	say_result("  recvmmsg", recvmmsg(b, m, 3, MSG_DONTWAIT, NULL));
	say("  of %u, %u, %u", m[0].msg_len, m[1].msg_len, m[2].msg_len);
	say_result("  nothing left", recv(b, buf, 10, MSG_DONTWAIT));
	say("  %s", duo_poll_bits(duo_poll(b, POLLIN | POLLOUT, 0)));
}

static void end(int a, int b)
{
	say_result("  shutdown", shutdown(a, SHUT_WR));
	say_result("  read at end", read(b, buf, 10));
	close(a);
	say_result("  write", write(b, buf, 10));
	close(b);
}

static void by_accept(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(un);
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int a = socket(AF_UNIX, SOCK_SEQPACKET, 0), b;

	/* a name of the kernel's choice (unix(7), autobind) */
	if (bind(listener, (struct sockaddr *)&un, sizeof(sa_family_t)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&un, &len))
		die("bind");
	say_result("connect", connect(a, (struct sockaddr *)&un, len));
	b = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	exchange("by accept", a, b);
	exchange("the other way", b, a);
	end(a, b);
}

static void to_child(void)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		die("socketpair");
	child = duo_fork();
	if (child == 0) {
		ssize_t n;

		close(pair[0]);
		while ((n = read(pair[1], buf, sizeof(buf))) > 0)
			send(pair[1], buf, (size_t)n, 0);
		_exit(0);
	}
	close(pair[1]);
	for (int i = 1; i < 60; i++) {
		ssize_t n;

		duo_pattern(buf, (size_t)i * 50, (uint32_t)i);
		if (write(pair[0], buf, (size_t)i * 50) != i * 50)
			die("write to the child");
		n = read(pair[0], buf, sizeof(buf));
		if (i % 9 == 0)
			say("child: %zd sum %016llx", n,
			    (unsigned long long)duo_sum(buf, (size_t)n));
	}
	shutdown(pair[0], SHUT_WR);
	say_result("read at end", read(pair[0], buf, 10));
	duo_reap(child, "child");
}

static void server(int fd)
{
	int pair[2];

	(void)fd;
	signal(SIGPIPE, SIG_IGN);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair))
		die("socketpair");
	say_result("read of nothing", read(pair[0], buf, 10));
	exchange("a pair", pair[0], pair[1]);
	end(pair[0], pair[1]);
	by_accept();
	to_child();
}

DUO_PROGRAM(.description = "SOCK_SEQPACKET", .traits = DUO_SOLO | DUO_UNIX | DUO_KERNEL_ONLY,
	    .server = server)
