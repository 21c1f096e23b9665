/* SPDX-License-Identifier: MIT */
/*
 * Description: accept and accept4 with flags and addresses; a client that has
 * connected, written, and even closed before it is accepted.
 */
#include "duo.h"

static char buf[3000];

static void flags(const char *what, int fd)
{
	say("%s: nonblock %d cloexec %d", what, !!(fcntl(fd, F_GETFL) & O_NONBLOCK),
	    fcntl(fd, F_GETFD));
}

static void server(int fd)
{
	int listener = duo_listener();
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	fd = accept(listener, (struct sockaddr *)&address, &len);
	say("family %d, length %s", address.ss_family, len > 2 ? "long" : "short");
	flags("accept", fd);
	duo_warmup(fd);
	close(fd);
	duo_set_nonblock(listener, true);
	duo_post();
	duo_poll(listener, POLLIN, -1);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	flags("accept4 both", fd);
	say_result("read of nothing", read(fd, buf, 1));
	duo_post();
	duo_set_nonblock(fd, false);
	duo_warmup(fd);
	close(fd);
	duo_post();
	duo_poll(listener, POLLIN, -1);
	fd = accept4(listener, NULL, NULL, 0);
	flags("accept4 none", fd);
	duo_warmup(fd);
	close(fd);
	say_result("accept4 bad flags", accept4(listener, NULL, NULL, 0x100));
	say_result("accept of nothing", accept(listener, NULL, NULL));
	/* Written to and closed before it is accepted. */
	duo_post();
	duo_await();
	duo_poll(listener, POLLIN, -1);
	fd = accept(listener, NULL, NULL);
	say_result("read", (ssize_t)duo_read_all(fd, buf, 3000));
	say("sum %016llx", (unsigned long long)duo_sum(buf, 3000));
	say_result("read", read(fd, buf, 1));
}

static void client(int fd)
{
	fd = duo_another_warm();
	say_result("read at end", read(fd, buf, 1));
	close(fd);
	for (int i = 0; i < 2; i++) {
		duo_await();
		fd = duo_another();
		if (i == 0)
			duo_await();
		duo_warmup(fd);
		say_result("read at end", read(fd, buf, 1));
		close(fd);
	}
	duo_await();
	fd = duo_another();
	duo_pattern(buf, 3000, 5);
	duo_write_all(fd, buf, 3000);
	say_result("close", close(fd));
	duo_post();
}

DUO_PROGRAM(.description = "accept and accept4", .traits = DUO_OWN_SETUP, .server = server,
	    .client = client)
