/* SPDX-License-Identifier: MIT */
/*
 * Description: a peer ends its direction, then closes with input unread (the lingering
 * close of web servers): end-of-file stays end-of-file; an error is told once.
 */
#include "duo.h"

static void say_error(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		die("SO_ERROR");
	say("SO_ERROR %s", duo_errno(error));
}

#define WARM_WAYS 4
#define WAYS	  6
#define ONE_WAY	  32

/* Way 0: end-of-file, then close; 1: close alone; 4: the first, of a peer that never sent. */
static int begin(int way)
{
	int s = way < WARM_WAYS ? duo_another_warm() : duo_another();
	char byte = 'x';

	for (int k = 0; way >= WARM_WAYS && k < ONE_WAY; k++) {
		if (duo_is_server())
			duo_read_all(s, &byte, 1);
		else
			duo_write_all(s, &byte, 1);
		duo_meet();
	}
	return s;
}

static void server(int fd)
{
	for (int i = 0; i < WAYS; i++) {
		int s = begin(i);

		if (i < WARM_WAYS)
			duo_write_all(s, "answer", 6);
		if (i % 2 == 0)
			shutdown(s, SHUT_WR);
		duo_meet();
		duo_await();
		close(s);
		duo_post();
	}
	close(fd);
}

static void client(int fd)
{
	for (int i = 0; i < WAYS; i++) {
		int s = begin(i);
		char buf[16];

		duo_meet();
		duo_write_all(s, "unread", 6);
		duo_post();
		duo_await();
		duo_poll(s, POLLRDHUP, -1);
		if (i < 2)
			say_error(s);
		say_result("read", read(s, buf, sizeof(buf)));
		for (int k = 0; k < 3; k++)
			say_result("read on", read(s, buf, sizeof(buf)));
		say_result("write", send(s, buf, 1, MSG_NOSIGNAL));
		say_result("write", send(s, buf, 1, MSG_NOSIGNAL));
		say_error(s);
		close(s);
	}
	close(fd);
}

DUO_PROGRAM(.description = "end-of-file, then a reset", .server = server, .client = client)
