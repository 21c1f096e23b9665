/* SPDX-License-Identifier: MIT */
/*
 * Description: recvmmsg and an error of the socket: it is told before the first
 * message, stays behind a message, and comes but once; the rest of its time-out.
 */
#include "duo.h"

static char space[3][4];
static struct iovec iov[3];
static struct mmsghdr msgs[3];

static void receive(int fd, int flags, struct timespec *t)
{
	int n;

	for (int i = 0; i < 3; i++) {
		iov[i] = (struct iovec){space[i], 4};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	n = (int)say_result("recvmmsg", recvmmsg(fd, msgs, 3, flags, t));
	for (int i = 0; i < n; i++)
		say("  message %d: %u bytes", i, msgs[i].msg_len);
}

/* The peer leaves @unread bytes for us, and some of ours unread: a reset. */
static int reset_behind(size_t unread)
{
	int fd = duo_another_warm();

	duo_write_all(fd, "never read", 10);
	duo_meet();
	duo_meet();
	if (unread)
		duo_await_bytes(fd, (int)unread);
	duo_poll(fd, 0, 5000);
	return fd;
}

static void server(int fd)
{
	struct timespec t = {.tv_sec = 100}, bad = {.tv_nsec = -1};

	duo_warmup(fd);
	duo_meet();
	duo_await_bytes(fd, 12);
	receive(fd, 0, &bad);
	receive(fd, 0, &t);
	say("%d s are left", (int)t.tv_sec);
	receive(fd, MSG_DONTWAIT, NULL);
	for (size_t unread = 0; unread <= 6; unread += 6) {
		say("reset with %zu bytes before it", unread);
		fd = reset_behind(unread);
		for (int i = 0; i < 4; i++)
			receive(fd, MSG_WAITFORONE, NULL);
		close(fd);
	}
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_write_all(fd, "abcdefghijkl", 12);
	duo_meet();
	for (size_t unread = 0; unread <= 6; unread += 6) {
		int next = duo_another_warm();

		duo_meet();
		duo_await_bytes(next, 10);
		duo_write_all(next, "abcdef", unread);
		close(next);
		duo_meet();
	}
}

DUO_PROGRAM(.description = "recvmmsg and errors", .server = server, .client = client)
