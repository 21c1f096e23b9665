/* SPDX-License-Identifier: MIT */
/*
 * Description: a signal ends a blocked read, write, poll or epoll_wait with EINTR,
 * or restarts read and write under SA_RESTART; a time-out on the stream makes
 * read's EINTR certain.
 */
#include "duo.h"

#include <sys/epoll.h>

static volatile sig_atomic_t seen;
static char buf[400000];

static void on_signal(int signal_nr)
{
	(void)signal_nr;
	seen++;
}

static void handle(int flags)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};

	sigaction(SIGUSR1, &sa, NULL);
}

static void server(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct timeval tv = {10, 0};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);
	ssize_t n;

	duo_warmup(fd);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	handle(0);
	duo_tell(getpid());
	say_result("read", read(fd, buf, 10));
	duo_tell(getpid());
	say_result("recv waitall", recv(fd, buf, 10, MSG_WAITALL));
	handle(SA_RESTART);
	duo_tell(getpid());
	say_result("poll", poll(&p, 1, 10000));
	duo_tell(getpid());
	say_result("epoll_wait", epoll_wait(set, &event, 1, 10000));
	/* Restarted, until the data comes that follows the signal. */
	duo_tell(-getpid());
	say_result("read", read(fd, buf, 10));
	say("signals %d", (int)seen);
	/* A part is there already when the signal comes: that part is the result. */
	handle(0);
	duo_tell(0);
	duo_await_bytes(fd, 4);
	duo_tell(getpid());
	say_result("recv waitall with a part", recv(fd, buf, 10, MSG_WAITALL));
	handle(SA_RESTART);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	duo_tell(getpid());
	say_result("read with SO_RCVTIMEO", read(fd, buf, 10));
	handle(0);
	duo_fill_up(fd);
	duo_tell(getpid());
	n = write(fd, buf, sizeof(buf));
	say("write of a full stream: %s", n < 0 ? duo_errno(errno) : "a part");
	say("signals %d", (int)seen);
	duo_tell(1);
}

static void client(int fd)
{
	int word;

	duo_warmup(fd);
	while ((word = duo_hear()) != 1) {
		if (word) {
			duo_await_asleep(abs(word), abs(word));
			kill(abs(word), SIGUSR1);
		}
		if (word < 0)
			duo_await_asleep(-word, -word);
		if (word <= 0)
			duo_write_all(fd, "data", 4);
	}
	say("drained %d", duo_drain(fd) > 0);
}

DUO_PROGRAM(.description = "EINTR and SA_RESTART", .server = server, .client = client)
