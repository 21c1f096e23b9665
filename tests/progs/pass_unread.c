/* SPDX-License-Identifier: MIT */
/*
 * Description: a used stream is passed by SCM_RIGHTS while bytes are unread on both of
 * its sides, to a process with the library and to one without; who passed it closes.
 */
#include "duo.h"

#define INPUT  30000	/* unread by who passes */
#define OUTPUT 20000	/* unread by the other end */
#define MORE   9000

static char buf[INPUT];

/* What the receiver does with the stream; @ends: the other end closes, its input unread. */
static void use(int over, bool ends)
{
	int fd = duo_receive_fd(over);

	signal(SIGPIPE, SIG_IGN);
	close(over);
	say("input: %d", duo_poll(fd, POLLIN, 5000) & POLLIN);
	duo_say_received(fd, "receiver", INPUT);
	if (ends) {
		say_result("the last read", read(fd, buf, 1));
		say_result("a write", write(fd, buf, 1));
		return;
	}
	duo_send_pattern(fd, MORE, 3);
	duo_say_received(fd, "receiver", MORE);
	say_result("read at end", read(fd, buf, 1));
	close(fd);
}

/* A receiver that was there before the stream; @plain: without the preload. */
static pid_t start(int over, bool plain, bool ends)
{
	pid_t child = duo_fork();
	char text[32];

	if (child)
		return child;
	if (!plain) {
		use(over, ends);
		_exit(0);
	}
	snprintf(text, sizeof(text), "%d", ends ? -over : over);
	unsetenv("LD_PRELOAD");
	setenv("PLAIN_RECEIVER", text, 1);
	fcntl(over, F_SETFD, 0);
	execl("/proc/self/exe", "pass_unread", "server", duo_family(), duo_addrfile(),
	      (char *)NULL);
	_exit(126);
}

/* What the other end does once the stream was passed. */
enum way { READS, SLEEPS, CLOSES };

/* Of AF_UNIX only the kernel's own queue makes a close a reset, and a ring is none. */
static int rounds(void)
{
	return duo_is_tcp() ? 6 : 4;
}

static void server(int fd)
{
	const char *plain = getenv("PLAIN_RECEIVER");

	if (plain) {
		use(abs(atoi(plain)), plain[0] == '-');
		return;
	}
	for (int i = 0; i < rounds(); i++) {
		enum way way = i / 2;
		int pair[2];
		pid_t child;

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			die("socketpair");
		child = start(pair[1], i % 2, way == CLOSES);
		close(pair[1]);
		fd = duo_another_warm();
		duo_send_pattern(fd, OUTPUT, 1);
		duo_await_bytes(fd, INPUT);
		if (way == SLEEPS) {
			pid_t peer = duo_hear();

			duo_await_asleep(peer, peer);
		}
		duo_pass_fd(pair[0], fd);
		close(fd);
		close(pair[0]);
		duo_post();
		duo_reap(child, "receiver");
		duo_post();
	}
}

static void client(int fd)
{
	for (int i = 0; i < rounds(); i++) {
		enum way way = i / 2;

		fd = duo_another_warm();
		duo_send_pattern(fd, INPUT, 2);
		if (way == SLEEPS) {
			duo_say_received(fd, "client", OUTPUT);
			duo_tell(getpid());
		} else {
			duo_await_bytes(fd, OUTPUT);
			duo_await();
		}
		if (way == READS)
			duo_say_received(fd, "client", OUTPUT);
		if (way != CLOSES) {
			duo_say_received(fd, "client", MORE);
			duo_send_pattern(fd, MORE, 4);
			shutdown(fd, SHUT_WR);
			say_result("read at end", read(fd, buf, 1));
		}
		close(fd);
		if (way == SLEEPS)
			duo_await();
		duo_await();
	}
}

DUO_PROGRAM(.description = "a stream is passed with bytes unread on both sides",
	    .traits = DUO_OWN_SETUP, .server = server, .client = client)
