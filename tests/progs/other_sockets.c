/* SPDX-License-Identifier: MIT */
/* Description: datagrams, pipes and unconnected things are none of a shim's business. */
#include "duo.h"

#include <netinet/in.h>
#include <sys/un.h>

static void exchange(const char *what, int a, int b)
{
	char buf[100];

	for (int i = 0; i < 20; i++) {
		ssize_t n;

		if (write(a, "datagram", 8) != 8 || write(a, "", 0) != 0 || write(a, "two", 3) != 3)
			die("%s: write", what);
		n = read(b, buf, sizeof(buf));
		if (i == 0)
			say_result(what, n);
		n = recv(b, buf, 4, MSG_TRUNC);
		if (i == 0)
			say_result("  empty one", n);
		n = recv(b, buf, 2, MSG_TRUNC);
		if (i == 0)
			say_result("  cut one", n);
	}
	say_result("  nothing left", recv(b, buf, 2, MSG_DONTWAIT));
	say("  %s", duo_poll_bits(duo_poll(b, POLLIN | POLLOUT, 0)));
	close(a);
	close(b);
}

static void server(int fd)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t len = sizeof(in);
	int pair[2], udp;
	char buf[10];

	(void)fd;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(udp, (struct sockaddr *)&in, sizeof(in)) < 0 ||
	    getsockname(udp, (struct sockaddr *)&in, &len) < 0)
		die("bind");
	pair[0] = socket(AF_INET, SOCK_DGRAM, 0);
	if (connect(pair[0], (struct sockaddr *)&in, len) < 0)
		die("connect");
	exchange("udp", pair[0], udp);
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0)
		die("socketpair");
	exchange("unix datagram", pair[0], pair[1]);
	if (pipe(pair) < 0)
		die("pipe");
	duo_write_all(pair[1], "pipe", 4);
	say_result("pipe", read(pair[0], buf, sizeof(buf)));
	close(pair[0]);
	signal(SIGPIPE, SIG_IGN);
	say_result("broken pipe", write(pair[1], "x", 1));
}

DUO_PROGRAM(.description = "datagrams and pipes", .traits = DUO_SOLO | DUO_KERNEL_ONLY,
	    .server = server)
