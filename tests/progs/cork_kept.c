/* SPDX-License-Identifier: MIT */
/*
 * Description: TCP_CORK in and out, and asked: in use, by a forked child, with bad arguments,
 * on a number that came by SCM_RIGHTS, after an option that moves the stream; what was
 * written meanwhile, or with MSG_MORE, comes when it is over, wherever the ring took over.
 */
#include "duo.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

enum {
	IN_TIME_MS = 150,	/* less than the kernel holds anything back */
	USES = 6,
	PLACES = 30,		/* of a corked answer, since the connection is new */
};

static int cork(int fd, int value)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value));
}

static void say_cork(const char *when, int fd)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, &len) < 0)
		die("getsockopt");
	say("%s: %d, length %u", when, value, len);
}

/* Also what the kernel is told, not only what is kept. */
static void in_out_in(int fd)
{
	static const int values[] = {1, 0, 1, 0, 7};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		say_result("set", cork(fd, values[i]));
		say_cork("is", fd);
	}
}

/* The kernel's length is signed. */
static void bad_lengths(int fd)
{
	static const socklen_t lengths[] = {0, 3, 4, 5, INT32_MAX, 0x80000000u, (socklen_t)-1};
	int value = 1;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		cork(fd, 0);
		say_result("set", setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, lengths[i]));
		say_cork("is", fd);
	}
}

static void bad_arguments(int fd)
{
	static const socklen_t lengths[] = {0, 1, 2, 4, 8};
	int value[2] = {1, 1};
	socklen_t len = (socklen_t)-1;

	say_result("set, 3 bytes", setsockopt(fd, IPPROTO_TCP, TCP_CORK, value, 3));
	say_result("set, 8 bytes", setsockopt(fd, IPPROTO_TCP, TCP_CORK, value, 8));
	say_result("set, no pointer", setsockopt(fd, IPPROTO_TCP, TCP_CORK, NULL, 4));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		value[0] = value[1] = -1;
		len = lengths[i];
		say_result("get", getsockopt(fd, IPPROTO_TCP, TCP_CORK, value, &len));
		say("%x %x, length %u", (unsigned int)value[0], (unsigned int)value[1], len);
	}
	len = (socklen_t)-1;
	say_result("get, a bad length", getsockopt(fd, IPPROTO_TCP, TCP_CORK, value, &len));
	say_result("get, no pointer", getsockopt(fd, IPPROTO_TCP, TCP_CORK, value, NULL));
}

static void by_child(int fd)
{
	pid_t child;

	in_out_in(fd);
	child = duo_fork();
	if (!child) {
		say_cork("in the child", fd);
		cork(fd, 0);
		_exit(0);
	}
	duo_reap(child, "the child");
	say_cork("after the child", fd);
}

/* The number that comes is the kernel's. */
static void by_another_number(int fd)
{
	int over[2], other;

	in_out_in(fd);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, over) < 0)
		die("socketpair");
	duo_pass_fd(over[0], fd);
	other = duo_receive_fd(over[1]);
	say_cork("of another number", other);
	cork(other, 0);
	say_cork("set by another number", fd);
	close(other);
	close(over[0]);
	close(over[1]);
}

static void await_in_time(const char *what, int fd, size_t bytes)
{
	int64_t began = duo_now_ms();
	char answer[16];

	duo_read_all(fd, answer, bytes);
	if (duo_now_ms() - began >= IN_TIME_MS)
		die("%s: late", what);
}

static void answer_in_parts(const char *what, int fd)
{
	cork(fd, 1);
	duo_write_all(fd, "one", 3);
	duo_write_all(fd, "two", 3);
	duo_write_all(fd, "three", 5);
	cork(fd, 0);
	await_in_time(what, fd, 11);
}

static void send_more(int fd, const char *text, int flags)
{
	if (send(fd, text, strlen(text), flags) != (ssize_t)strlen(text))
		die("send");
}

static void answer_with_more(const char *what, int fd)
{
	send_more(fd, "one", MSG_MORE);
	send_more(fd, "two", MSG_MORE);
	send_more(fd, "three", 0);
	await_in_time(what, fd, 11);
}

/* The last word pushes what is held back, wherever that is. */
static void answer_and_shut(const char *what, int fd)
{
	cork(fd, 1);
	duo_write_all(fd, "head", 4);
	shutdown(fd, SHUT_WR);
	await_in_time(what, fd, 4);
}

static void moved_meanwhile(int fd)
{
	int low = 1;

	in_out_in(fd);
	duo_write_all(fd, "head", 4);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)) < 0)
		die("SO_RCVLOWAT");
	duo_write_all(fd, "body", 4);
	say_cork("moved", fd);
	cork(fd, 0);
	say_cork("moved, and out", fd);
	await_in_time("moved", fd, 8);
	answer_in_parts("after it moved", fd);
}

/* After so many messages. */
static void in_new_connection(int before, int times, void (*answer)(const char *what, int fd))
{
	int fd = duo_another();

	for (int k = 0; k < before; k++) {
		duo_write_all(fd, "x", 1);
		await_in_time("before", fd, 1);
	}
	for (int k = 0; k < times; k++)
		answer(k ? "in parts again" : "in parts", fd);
	close(fd);
}

static void server(int fd)
{
	static void (*const uses[USES])(int fd) = {in_out_in, bad_arguments, bad_lengths,
					      by_child, by_another_number, moved_meanwhile};

	close(fd);
	for (size_t i = 0; i < USES; i++) {
		fd = duo_another_warm();
		uses[i](fd);
		close(fd);
	}
	for (int i = 0; i < PLACES; i++) {
		in_new_connection(i, 2, answer_in_parts);
		in_new_connection(i, 2, answer_with_more);
		in_new_connection(i, 1, answer_and_shut);
	}
	say("in parts, new connections: in time");
}

/* Echo. */
static void client(int fd)
{
	close(fd);
	for (int i = 0; i < USES + 3 * PLACES; i++) {
		char buf[100];
		ssize_t n;

		fd = i < USES ? duo_another_warm() : duo_another();
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			duo_write_all(fd, buf, (size_t)n);
		close(fd);
	}
}

DUO_PROGRAM(.description = "TCP_CORK, kept where it belongs", .traits = DUO_TCP,
	    .server = server, .client = client)
