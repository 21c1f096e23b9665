/* SPDX-License-Identifier: MIT */
/* Description: sendmmsg and recvmmsg on a stream: counts, lengths, time-out, WAITFORONE. */
#include "duo.h"

#define NR 4

static char space[NR][8];
static struct iovec iov[NR];
static struct mmsghdr msgs[NR];

static void prepare(size_t len)
{
	memset(space, 0, sizeof(space));
	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < NR; i++) {
		iov[i] = (struct iovec){space[i], len};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

static void show(const char *what, int n)
{
	say_result(what, n);
	for (int i = 0; i < n; i++)
		say("  message %d: %u '%s' flags 0x%x", i, msgs[i].msg_len, space[i],
		    (unsigned int)msgs[i].msg_hdr.msg_flags);
}

static void server(int fd)
{
	struct timespec none = {0, 0};

	duo_warmup(fd);
	prepare(5);
	show("recvmmsg, nothing there", recvmmsg(fd, msgs, NR, MSG_DONTWAIT, NULL));
	show("recvmmsg of 0", recvmmsg(fd, msgs, 0, 0, NULL));
	duo_post();
	duo_await();
	duo_await_bytes(fd, 20);
	show("recvmmsg", recvmmsg(fd, msgs, NR, 0, NULL));
	prepare(7);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	show("recvmmsg dontwait", recvmmsg(fd, msgs, NR, MSG_DONTWAIT, NULL));
	prepare(7);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	show("recvmmsg waitforone", recvmmsg(fd, msgs, NR, MSG_WAITFORONE, NULL));
	prepare(7);
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	show("recvmmsg timeout 0", recvmmsg(fd, msgs, NR, 0, &none));
	show("recvmmsg the rest", recvmmsg(fd, msgs, NR, MSG_DONTWAIT, NULL));
	prepare(7);
	duo_post();
	duo_poll(fd, POLLRDHUP, 5000);
	show("recvmmsg at end", recvmmsg(fd, msgs, 2, 0, NULL));
}

static void client(int fd)
{
	duo_warmup(fd);
	prepare(5);
	for (int i = 0; i < NR; i++)
		snprintf(space[i], 8, "msg%02d", i);
	duo_await();
	show("sendmmsg", sendmmsg(fd, msgs, NR, 0));
	duo_post();
	for (int round = 0; round < 3; round++) {
		duo_await();
		show("sendmmsg of 2", sendmmsg(fd, msgs, 2, MSG_NOSIGNAL));
		duo_post();
	}
	duo_await();
	show("sendmmsg of 0", sendmmsg(fd, msgs, 0, 0));
	say_result("shutdown", shutdown(fd, SHUT_WR));
	show("sendmmsg after it", sendmmsg(fd, msgs, NR, MSG_NOSIGNAL));
}

DUO_PROGRAM(.description = "sendmmsg and recvmmsg", .server = server, .client = client)
