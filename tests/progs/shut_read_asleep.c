/* SPDX-License-Identifier: MIT */
/*
 * Description: shutdown(SHUT_RD), while other threads of the process sleep on the stream:
 * in recv, with a time-out and without, in poll, select, epoll_wait.  All wake.
 */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/select.h>

struct sleeper {
	struct duo_thread thread;
	int fd;
	int set;
	const char *bits;
	ssize_t result;
	int error;
};

static void in_recv(void *arg)
{
	struct sleeper *s = arg;
	char buf[16];

	s->result = recv(s->fd, buf, sizeof(buf), 0);
	s->error = errno;
}

static void in_waitall(void *arg)
{
	struct sleeper *s = arg;
	char buf[16];

	s->result = recv(s->fd, buf, sizeof(buf), MSG_WAITALL);
	s->error = errno;
}

static void in_poll(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLRDHUP};

	s->result = poll(&p, 1, -1);
	s->bits = strdup(duo_poll_bits(p.revents));
}

static void in_select(void *arg)
{
	struct sleeper *s = arg;
	fd_set in;

	FD_ZERO(&in);
	FD_SET(s->fd, &in);
	s->result = select(s->fd + 1, &in, NULL, NULL, NULL);
}

static void in_set(void *arg)
{
	struct sleeper *s = arg;
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};

	s->set = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(s->set, EPOLL_CTL_ADD, s->fd, &event) < 0)
		die("epoll_ctl");
	s->result = epoll_wait(s->set, &event, 1, -1);
	s->bits = strdup(s->result > 0 ? duo_epoll_bits(event.events) : "-");
	close(s->set);
}

static const struct {
	const char *what;
	void (*run[2])(void *);
	bool timeout;
} cases[] = {
	{"recv", {in_recv}, false},
	{"recv with a time-out", {in_recv}, true},
	{"recv of all", {in_waitall}, false},
	{"two threads in recv", {in_recv, in_recv}, false},
	{"poll", {in_poll}, false},
	{"two threads in poll", {in_poll, in_poll}, false},
	{"select", {in_select}, false},
	{"epoll_wait", {in_set}, false},
	{"recv and poll", {in_recv, in_poll}, false},
	{"poll and epoll_wait", {in_poll, in_set}, false},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void one_case(int fd, size_t nr)
{
	struct timeval ten = {.tv_sec = 10};
	struct sleeper s[2] = {{.fd = fd}, {.fd = fd}};

	if (cases[nr].timeout)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &ten, sizeof(ten));
	for (int i = 0; i < 2 && cases[nr].run[i]; i++)
		duo_thread_asleep(&s[i].thread, cases[nr].run[i], &s[i]);
	say_result("shutdown", shutdown(fd, SHUT_RD));
	for (int i = 0; i < 2 && cases[nr].run[i]; i++) {
		duo_thread_join(&s[i].thread);
		errno = s[i].error;
		say_result(cases[nr].what, s[i].result);
		if (s[i].bits)
			say("  %s", s[i].bits);
		free((char *)s[i].bits);
	}
}

/* Every case on a stream that was used, and on a new one. */
static void server(int fd)
{
	close(fd);
	for (size_t i = 0; i < 2 * CASES; i++) {
		fd = i % 2 ? duo_another() : duo_another_warm();
		one_case(fd, i / 2);
		/* the other direction lives */
		say_result("write", write(fd, "still here", 10));
		close(fd);
	}
}

static void client(int fd)
{
	char buf[16];

	close(fd);
	for (size_t i = 0; i < 2 * CASES; i++) {
		fd = i % 2 ? duo_another() : duo_another_warm();
		say_result("read", read(fd, buf, sizeof(buf)));
		say_result("read at end", read(fd, buf, sizeof(buf)));
		close(fd);
	}
}

DUO_PROGRAM(.description = "shutdown of the receiving side under sleeping readers",
	    .server = server, .client = client)
