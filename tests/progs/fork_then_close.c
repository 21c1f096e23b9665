/* SPDX-License-Identifier: MIT */
/*
 * Description: a child that inherited the stream is gone without a close; the parent
 * closes: that is the last close, and the peer's writes fail.
 */
#include "duo.h"

static void server(int fd)
{
	for (int i = 0; i < 3; i++) {
		int s = duo_another_warm();
		pid_t child = duo_fork();

		if (child == 0 && i == 0)
			_exit(0);
		if (child == 0 && i == 1)
			exit(0);
		if (child == 0) {
			close(s);
			_exit(0);
		}
		duo_reap(child, "child");
		close(s);
		duo_post();
	}
	close(fd);
}

static void client(int fd)
{
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 3; i++) {
		int s = duo_another_warm();
		char buf[10] = "";

		duo_await();
		say_result("write", write(s, buf, 10));
		duo_poll(s, 0, 50);	/* the reset of TCP comes */
		say_result("write", write(s, buf, 10));
		say_result("read", read(s, buf, 10));
		say("poll: %s", duo_poll_bits(duo_poll(s, POLLIN | POLLOUT, 0)));
		close(s);
	}
	close(fd);
}

DUO_PROGRAM(.description = "a close after a child exited", .server = server,
	    .client = client)
