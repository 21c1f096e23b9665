/* SPDX-License-Identifier: MIT */
/*
 * Description: MSG_WAITALL whose sleep is ended by a signal, with and without
 * SA_RESTART, or by SIGSTOP and SIGCONT: the part that is there is the result.
 */
#include "calls.h"

static char buf[100];

static ssize_t by_waitall(int fd)
{
	return recv(fd, buf, 10, MSG_WAITALL);
}

static ssize_t by_parts(int fd)
{
	struct iovec v[4] = {{buf, 3}, {NULL, 0}, {buf + 3, 4}, {buf + 7, 3}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 4};

	return recvmsg(fd, &m, MSG_WAITALL);
}

/* Two messages of which the second is cut. */
static ssize_t by_messages(int fd)
{
	struct iovec v[2] = {{buf, 2}, {buf + 2, 8}};
	struct mmsghdr m[2] = {
		{.msg_hdr = {.msg_iov = &v[0], .msg_iovlen = 1}},
		{.msg_hdr = {.msg_iov = &v[1], .msg_iovlen = 1}},
	};
	int n = recvmmsg(fd, m, 2, MSG_WAITALL, NULL);

	if (n == 2)
		say("  lengths %u %u", m[0].msg_len, m[1].msg_len);
	return n == 2 ? (ssize_t)(m[0].msg_len + m[1].msg_len) : n == 1 ? (ssize_t)m[0].msg_len : n;
}

static ssize_t by_peek(int fd)
{
	return recv(fd, buf, 10, MSG_WAITALL | MSG_PEEK);
}

/* TCP: not copied. */
static ssize_t by_discarding(int fd)
{
	memset(buf, 'x', 10);
	return recv(fd, buf, 10, MSG_WAITALL | MSG_TRUNC);
}

static const struct {
	const char *name;
	ssize_t (*run)(int fd);
	bool takes;
	bool tcp;
} calls[] = {
	{"recv", by_waitall, true, false},
	{"recvmsg", by_parts, true, false},
	{"recvmmsg", by_messages, true, false},
	{"peek", by_peek, false, true},
	{"discard", by_discarding, true, true},
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static bool is_due(size_t i)
{
	return !calls[i].tcp || duo_is_tcp();
}

/* First @there bytes lie there, later come the others up to 14. */
static void one(int fd, size_t i, enum trouble what, int there, bool timed)
{
	size_t left = 14;
	ssize_t n;

	set_timeout(fd, SO_RCVTIMEO, timed ? 8000 : 0);
	duo_tell(there);
	duo_await_bytes(fd, there);
	signals_seen = 0;
	memset(buf, 0, sizeof(buf));
	expect_trouble(what);
	n = calls[i].run(fd);
	say("%s of 10, %d there, %s%s: %zd %s '%s', signals %d", calls[i].name, there,
	    trouble_names[what], timed ? " and a time-out" : "", n, n < 0 ? duo_errno(errno) : "",
	    buf, (int)signals_seen);
	if (n > 0 && calls[i].takes)
		left -= (size_t)n;
	memset(buf, 0, sizeof(buf));
	if (duo_read_all(fd, buf, left) != left)
		die("short");
	say("  then '%s'", buf);
}

static void server(int fd)
{
	duo_warmup(fd);
	for (int what = 0; what < TROUBLES; what++) {
		for (size_t i = 0; i < CALLS; i++) {
			for (int there = 0; is_due(i) && there <= 4; there += 4) {
				one(fd, i, (enum trouble)what, there, false);
				one(fd, i, (enum trouble)what, there, true);
			}
		}
	}
	duo_tell(-1);
}

static void client(int fd)
{
	int there;

	duo_warmup(fd);
	while ((there = duo_hear()) >= 0) {
		duo_write_all(fd, "abcdefghijklmn", (size_t)there);
		make_trouble();
		duo_write_all(fd, &"abcdefghijklmn"[there], 14 - (size_t)there);
	}
}

DUO_PROGRAM(.description = "MSG_WAITALL and signals", .server = server, .client = client)
