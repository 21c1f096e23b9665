/* SPDX-License-Identifier: MIT */
/*
 * Description: SO_RCVTIMEO and SO_SNDTIMEO end a blocking call with EAGAIN after
 * their time, or with what was moved so far; poll does not care.
 */
#include "duo.h"

static char buf[300000];

static void set(int fd, int option, int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	say_result("setsockopt", setsockopt(fd, SOL_SOCKET, option, &tv, sizeof(tv)));
}

static void server(int fd)
{
	struct timeval tv;
	socklen_t len = sizeof(tv);
	int64_t start;

	duo_warmup(fd);
	set(fd, SO_RCVTIMEO, 60);
	say_result("getsockopt", getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
	say("%d.%06d", (int)tv.tv_sec, (int)tv.tv_usec);
	start = duo_now_ms();
	say_result("read", read(fd, buf, 10));
	say("waited %d", duo_now_ms() - start >= 55);
	start = duo_now_ms();
	say_result("recv peek", recv(fd, buf, 10, MSG_PEEK));
	say("waited %d", duo_now_ms() - start >= 55);
	duo_post();
	say_result("recv waitall of 100", recv(fd, buf, 100, MSG_WAITALL));
	set(fd, SO_RCVTIMEO, 0);
	duo_post();
	say_result("read without", read(fd, buf, 10));
	duo_meet();
	duo_await();
	say("drained %d", duo_drain(fd) > 1000);
}

static void client(int fd)
{
	int64_t start;
	ssize_t n;

	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "0123456789", 10);
	duo_await();
	duo_write_all(fd, "0123456789", 10);
	duo_meet();
	duo_fill_up(fd);
	set(fd, SO_SNDTIMEO, 60);
	start = duo_now_ms();
	say_result("write", write(fd, buf, sizeof(buf)));
	say("waited %d", duo_now_ms() - start >= 55);
	start = duo_now_ms();
	n = send(fd, buf, sizeof(buf), 0);
	say("send %d, waited %d", n < 0 && errno == EAGAIN, duo_now_ms() - start >= 55);
	say_result("send dontwait", send(fd, buf, sizeof(buf), MSG_DONTWAIT));
	duo_post();
	close(fd);
}

DUO_PROGRAM(.description = "SO_RCVTIMEO and SO_SNDTIMEO", .server = server, .client = client)
