/* SPDX-License-Identifier: MIT */
/*
 * Description: one end sleeps in a read, a write of a full stream, poll, select or
 * epoll_wait; the other shuts down either direction or both, or closes.
 */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/select.h>

enum end { SHUT_FAR_WR, SHUT_FAR_RD, SHUT_FAR_RDWR, CLOSE, ENDS };

static const char *const end_names[] = {"WR", "RD", "RDWR", "close"};

static ssize_t in_read(int fd)
{
	char buf[10];

	return say_result("  read", read(fd, buf, sizeof(buf)));
}

static ssize_t in_waitall(int fd)
{
	char buf[10];

	return say_result("  recv of all", recv(fd, buf, sizeof(buf), MSG_WAITALL));
}

static ssize_t in_poll(int fd)
{
	say("  poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLRDHUP, 5000)));
	return 0;
}

static ssize_t in_poll_nothing(int fd)
{
	say("  poll of nothing: %s", duo_poll_bits(duo_poll(fd, 0, 5000)));
	return 0;
}

static ssize_t in_select(int fd)
{
	struct timeval five = {5, 0};
	fd_set in;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	return say_result("  select", select(fd + 1, &in, NULL, NULL, &five));
}

static ssize_t in_set(int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
	int set = epoll_create1(EPOLL_CLOEXEC);
	int n;

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	n = epoll_wait(set, &event, 1, 5000);
	say("  epoll_wait: %d %s", n, n > 0 ? duo_epoll_bits(event.events) : "-");
	close(set);
	return 0;
}

static const struct {
	const char *name;
	ssize_t (*run)(int fd);
	unsigned int wakes; /* which ends wake it */
} sleeps[] = {
	{"read", in_read, 1 << SHUT_FAR_WR | 1 << SHUT_FAR_RDWR | 1 << CLOSE},
	{"recv of all", in_waitall, 1 << SHUT_FAR_WR | 1 << SHUT_FAR_RDWR | 1 << CLOSE},
	{"poll", in_poll, 1 << SHUT_FAR_WR | 1 << SHUT_FAR_RDWR | 1 << CLOSE},
	{"poll of nothing", in_poll_nothing, 0},
	{"select", in_select, 1 << SHUT_FAR_WR | 1 << SHUT_FAR_RDWR | 1 << CLOSE},
	{"epoll_wait", in_set, 1 << SHUT_FAR_WR | 1 << SHUT_FAR_RDWR | 1 << CLOSE},
};

#define SLEEPS (sizeof(sleeps) / sizeof(sleeps[0]))

static bool is_due(size_t i, int end)
{
	/* hang-up needs both directions: AF_UNIX has it after these */
	if (sleeps[i].run == in_poll_nothing)
		return !duo_is_tcp() && (end == SHUT_FAR_RDWR || end == CLOSE);
	return sleeps[i].wakes >> end & 1;
}

/* A writer of a full stream; TCP takes more from one whose peer only shut. */
static bool is_due_full(int end)
{
	return end == CLOSE || (!duo_is_tcp() && end != SHUT_FAR_WR);
}

static void server(int fd)
{
	char byte;

	close(fd);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < SLEEPS; i++) {
		for (int end = 0; end < ENDS; end++) {
			if (!is_due(i, end))
				continue;
			fd = duo_another_warm();
			say("%s, %s", sleeps[i].name, end_names[end]);
			duo_tell(getpid());
			sleeps[i].run(fd);
			say_result("  then read", recv(fd, &byte, 1, MSG_DONTWAIT));
			duo_meet();
			close(fd);
		}
	}
	for (int end = 0; end < ENDS; end++) {
		static char block[16384];
		ssize_t n;

		if (!is_due_full(end))
			continue;
		fd = duo_another_warm();
		duo_fill_up(fd);
		say("write, %s", end_names[end]);
		duo_tell(getpid());
		/* what the last bit of room took is no matter */
		n = write(fd, block, sizeof(block));
		if (n > 0)
			n = write(fd, block, sizeof(block));
		say_result("  write", n);
		say_result("  again", write(fd, block, 1));
		duo_meet();
		close(fd);
	}
}

static void do_end(int fd, int end)
{
	pid_t pid = duo_hear();

	duo_await_asleep(pid, pid);
	say_result(end_names[end], end == CLOSE ? close(fd) :
		   shutdown(fd, end == SHUT_FAR_WR ? SHUT_WR :
			    end == SHUT_FAR_RD ? SHUT_RD : SHUT_RDWR));
	duo_meet();
	if (end != CLOSE)
		close(fd);
}

static void client(int fd)
{
	close(fd);
	for (size_t i = 0; i < SLEEPS; i++) {
		for (int end = 0; end < ENDS; end++) {
			if (is_due(i, end))
				do_end(duo_another_warm(), end);
		}
	}
	for (int end = 0; end < ENDS; end++) {
		if (is_due_full(end))
			do_end(duo_another_warm(), end);
	}
}

DUO_PROGRAM(.description = "the far end shuts under a sleeper", .server = server,
	    .client = client)
