/* SPDX-License-Identifier: MIT */
/* Description: MSG_PEEK sees bytes across message borders and takes none. */
#include "duo.h"

static void show(const char *what, ssize_t n, const char *buf)
{
	if (n < 0)
		say("%s -> %zd %s", what, n, duo_errno(errno));
	else
		say("%s -> %zd '%.*s'", what, n, (int)n, buf);
}

static void server(int fd)
{
	char buf[100], tail[100];
	struct iovec iov[2] = {{buf, 4}, {tail, 100}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	duo_warmup(fd);
	show("peek dontwait, nothing there", recv(fd, buf, 10, MSG_PEEK | MSG_DONTWAIT), buf);
	duo_meet();
	duo_await_bytes(fd, 15);
	show("peek 3", recv(fd, buf, 3, MSG_PEEK), buf);
	show("peek 3", recv(fd, buf, 3, MSG_PEEK), buf);
	show("peek 8", recv(fd, buf, 8, MSG_PEEK), buf);
	show("peek 100", recv(fd, buf, 100, MSG_PEEK), buf);
	show("peek 100 waitall dontwait", recv(fd, buf, 100, MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT),
	     buf);
	show("read 2", read(fd, buf, 2), buf);
	show("peek 100", recv(fd, buf, 100, MSG_PEEK), buf);
	n = recvmsg(fd, &msg, MSG_PEEK);
	say("recvmsg peek -> %zd '%.4s' '%.*s' flags 0x%x", n, buf, (int)n - 4, tail,
	    (unsigned int)msg.msg_flags);
	show("recvfrom peek 5", recvfrom(fd, buf, 5, MSG_PEEK, NULL, NULL), buf);
	show("read 4", read(fd, buf, 4), buf);
	show("peek 1", recv(fd, buf, 1, MSG_PEEK), buf);
	show("read 100", read(fd, buf, 100), buf);
	duo_meet();
	show("blocking peek", recv(fd, buf, 100, MSG_PEEK), buf);
	show("read", read(fd, buf, 100), buf);
	duo_post();
	show("blocking peek at end", recv(fd, buf, 100, MSG_PEEK), buf);
	show("read at end", read(fd, buf, 100), buf);
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "abcde", 5);
	duo_write_all(fd, "fghij", 5);
	duo_write_all(fd, "klmno", 5);
	duo_post();
	duo_meet();
	duo_write_all(fd, "later", 5);
	duo_await();
	close(fd);
}

DUO_PROGRAM(.description = "MSG_PEEK across message borders", .server = server, .client = client)
