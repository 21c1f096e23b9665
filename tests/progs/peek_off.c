/* SPDX-License-Identifier: MIT */
/*
 * Description: SO_PEEK_OFF, set on a stream in use and on a new one: each peek goes on
 * where the last ended, reads move it back, -1 ends it.
 */
#include "duo.h"

static char buf[100];

static void text(const char *what, ssize_t n)
{
	if (n < 0)
		say("%s: %s", what, duo_errno(errno));
	else
		say("%s: %zd '%.*s'", what, n, (int)n, buf);
}

static void offset(int fd)
{
	int value = -77;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &value, &len) < 0)
		say("SO_PEEK_OFF: %s", duo_errno(errno));
	else
		say("SO_PEEK_OFF %d", value);
}

static void set(int fd, int value)
{
	say_result("set SO_PEEK_OFF",
		   setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &value, sizeof(value)));
}

static void looks(int fd)
{
	text("peek 3", recv(fd, buf, 3, MSG_PEEK | MSG_DONTWAIT));
	offset(fd);
	text("peek 3", recv(fd, buf, 3, MSG_PEEK | MSG_DONTWAIT));
	text("read 2", recv(fd, buf, 2, MSG_DONTWAIT));
	offset(fd);
	text("peek 3", recv(fd, buf, 3, MSG_PEEK | MSG_DONTWAIT));
	set(fd, 1);
	text("peek 3", recv(fd, buf, 3, MSG_PEEK | MSG_DONTWAIT));
	set(fd, 100);
	text("peek beyond", recv(fd, buf, 3, MSG_PEEK | MSG_DONTWAIT));
	set(fd, -1);
	text("peek 3", recv(fd, buf, 3, MSG_PEEK | MSG_DONTWAIT));
	text("peek 3", recv(fd, buf, 3, MSG_PEEK | MSG_DONTWAIT));
	offset(fd);
	text("the rest", recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

static void server(int fd)
{
	offset(fd);
	duo_warmup(fd);
	set(fd, 0);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	looks(fd);
	duo_post();
	duo_warmup(fd);
	close(fd);

	/* Set before it is used. */
	fd = duo_another();
	set(fd, 0);
	duo_warmup(fd);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	text("peek 3", recv(fd, buf, 3, MSG_PEEK | MSG_DONTWAIT));
	text("the rest", recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	offset(fd);
}

static void client(int fd)
{
	for (int i = 0; i < 2; i++) {
		if (i)
			fd = duo_another();
		duo_warmup(fd);
		duo_await();
		duo_write_all(fd, "01234", 5);
		duo_write_all(fd, "56789", 5);
		duo_post();
		if (i == 0) {
			duo_await();
			duo_warmup(fd);
		}
		duo_poll(fd, POLLRDHUP, 10000);
		close(fd);
	}
}

DUO_PROGRAM(.description = "SO_PEEK_OFF", .traits = DUO_ANY_ROAD, .server = server,
	    .client = client)
