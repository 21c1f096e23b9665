/* SPDX-License-Identifier: MIT */
/*
 * Description: accept and accept4 asleep, when a signal comes, with and without
 * SA_RESTART, or SIGSTOP and SIGCONT; SO_RCVTIMEO of a listener, and what the accepted
 * stream has of it.
 */
#include "calls.h"

static int by_accept(int listener)
{
	return accept(listener, NULL, NULL);
}

static int by_accept4(int listener)
{
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static void one(int listener, int (*run)(int listener), enum trouble what, bool timed)
{
	int fd;
	char byte;

	set_timeout(listener, SO_RCVTIMEO, timed ? 8000 : 0);
	signals_seen = 0;
	expect_trouble(what);
	fd = run(listener);
	say("%s, %s%s: %s, signals %d", run == by_accept ? "accept" : "accept4",
	    trouble_names[what], timed ? " and a time-out" : "",
	    fd < 0 ? duo_errno(errno) : "a stream", (int)signals_seen);
	set_timeout(listener, SO_RCVTIMEO, 0);
	/* the client comes in any case */
	if (fd < 0)
		fd = run(listener);
	duo_warmup(fd);
	say_result("read at end", read(fd, &byte, 1));
	close(fd);
}

/* Time-outs that were set before: of the accepted stream, too, on TCP. */
static void inherited(int listener)
{
	struct timeval tv = {0, 0};
	socklen_t len = sizeof(tv);
	char buf[10];
	int fd;

	set_timeout(listener, SO_RCVTIMEO, 60);
	say_result("accept of nobody", accept(listener, NULL, NULL));
	set_timeout(listener, SO_RCVTIMEO, 800);
	duo_post();
	fd = accept(listener, NULL, NULL);
	set_timeout(listener, SO_RCVTIMEO, 0);
	duo_warmup(fd);
	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len);
	say("stream has %ld.%06ld", (long)tv.tv_sec, (long)tv.tv_usec);
	if (!duo_is_tcp())
		set_timeout(fd, SO_RCVTIMEO, 800);
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_post();
	set_timeout(fd, SO_RCVTIMEO, 0);
	say_result("read without", read(fd, buf, sizeof(buf)));
	close(fd);
}

static void server(int fd)
{
	int listener = duo_listener();

	(void)fd;
	for (int what = 0; what < TROUBLES; what++) {
		one(listener, by_accept, (enum trouble)what, false);
		one(listener, by_accept, (enum trouble)what, true);
		one(listener, by_accept4, (enum trouble)what, what % 2);
	}
	inherited(listener);
}

static void client(int fd)
{
	struct sockaddr_storage address;

	/* the server is heard from when its address is there */
	duo_address(&address);
	for (int i = 0; i < 3 * TROUBLES; i++) {
		make_trouble();
		fd = duo_another();
		duo_warmup(fd);
		close(fd);
	}
	duo_await();
	fd = duo_another();
	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "late", 4);
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "accept, signals and time-outs", .traits = DUO_OWN_SETUP,
	    .server = server, .client = client)
