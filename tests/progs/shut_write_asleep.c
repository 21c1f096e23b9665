/* SPDX-License-Identifier: MIT */
/*
 * Description: shutdown(SHUT_WR) on a full stream, while other threads of the process
 * sleep on it in send, with a time-out and without, and in poll for room.
 */
#include "duo.h"

struct sleeper {
	struct duo_thread thread;
	int fd;
	ssize_t result;
	int error;
};

static void in_send(void *arg)
{
	struct sleeper *s = arg;

	s->result = send(s->fd, "s", 1, MSG_NOSIGNAL);
	s->error = errno;
}

static void in_write(void *arg)
{
	struct sleeper *s = arg;

	s->result = write(s->fd, "w", 1);
	s->error = errno;
}

static void in_poll(void *arg)
{
	struct sleeper *s = arg;

	s->result = duo_poll(s->fd, POLLOUT, -1);
}

static void start(struct sleeper *s, int fd, void (*run)(void *))
{
	*s = (struct sleeper){.fd = fd};
	duo_thread_asleep(&s->thread, run, s);
}

static void finish(struct sleeper *s, const char *what)
{
	duo_thread_join(&s->thread);
	errno = s->error;
	say_result(what, s->result);
}

static int full(const char *what)
{
	int fd = duo_another_warm();

	say("-- %s", what);
	duo_tell((int)duo_fill_up(fd));
	return fd;
}

static void shut(int fd)
{
	say_result("shutdown", shutdown(fd, SHUT_WR));
}

/* The client reads all of it. */
static void drained(void)
{
	duo_meet();
}

/* The client's end was open until here. */
static void done(int fd)
{
	duo_post();
	close(fd);
}

static void writers(void)
{
	struct timeval ten = {.tv_sec = 10};
	struct sleeper a, b;
	int fd = full("send");

	start(&a, fd, in_send);
	shut(fd);
	finish(&a, "send");
	drained();
	done(fd);

	fd = full("send with a time-out");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &ten, sizeof(ten));
	start(&a, fd, in_send);
	shut(fd);
	finish(&a, "send");
	drained();
	done(fd);

	fd = full("two threads");
	start(&a, fd, in_send);
	start(&b, fd, in_write);
	shut(fd);
	finish(&a, "send");
	finish(&b, "write");
	drained();
	done(fd);
}

static void pollers(void)
{
	struct sleeper a, b;
	int fd = full("two polls");

	start(&a, fd, in_poll);
	start(&b, fd, in_poll);
	shut(fd);
	/* AF_UNIX: whether it is writable before there is room may differ */
	if (!duo_is_tcp())
		drained();
	duo_thread_join(&a.thread);
	duo_thread_join(&b.thread);
	say("polls: %s %s", duo_poll_bits((short)a.result), duo_poll_bits((short)b.result));
	say_result("send", send(fd, "s", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	if (duo_is_tcp())
		drained();
	done(fd);
}

static void server(int fd)
{
	close(fd);
	signal(SIGPIPE, SIG_IGN);
	writers();
	pollers();
}

static void client(int fd)
{
	size_t filled;

	close(fd);
	for (int i = 0; i < 4; i++) {
		fd = duo_another_warm();
		filled = (size_t)duo_hear();
		duo_await();
		say("all is there: %d", duo_drain(fd) == filled);
		duo_meet();
		close(fd);
	}
}

DUO_PROGRAM(.description = "shutdown of the sending side under sleeping writers",
	    .server = server, .client = client)
