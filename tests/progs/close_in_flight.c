/* SPDX-License-Identifier: MIT */
/*
 * Description: what was written before close, exit or a return from main arrives
 * whole, though nobody read it yet when the writer was gone.
 */
#include "duo.h"

static char buf[60000];

static void send_and(int fd, const char *how)
{
	duo_pattern(buf, sizeof(buf), 11);
	duo_write_all(fd, buf, 10);
	duo_write_all(fd, buf + 10, sizeof(buf) - 10);
	say("%s", how);
}

static void server(int fd)
{
	pid_t child;

	duo_warmup(fd);
	send_and(fd, "close");
	close(fd);
	duo_meet();
	fd = duo_another_warm();
	child = duo_fork();
	if (child == 0) {
		send_and(fd, "_exit of a child, the parent has closed");
		close(duo_listener());
		_exit(0);
	}
	close(fd);
	duo_reap(child, "child");
	duo_meet();
	fd = duo_another_warm();
	send_and(fd, "end of main");
	duo_post();
}

static void receive(int fd, bool both)
{
	size_t got;

	if (both)
		duo_meet();
	else
		duo_await();
	duo_poll(fd, POLLRDHUP, 5000);
	got = duo_read_all(fd, buf, sizeof(buf));
	say("read %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	say_result("read at end", read(fd, buf, 1));
	close(fd);
}

static void client(int fd)
{
	duo_warmup(fd);
	receive(fd, true);
	receive(duo_another_warm(), true);
	receive(duo_another_warm(), false);
}

DUO_PROGRAM(.description = "bytes in flight survive their writer", .server = server,
	    .client = client)
