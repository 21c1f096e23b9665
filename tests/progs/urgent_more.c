/* SPDX-License-Identifier: MIT */
/*
 * Description: urgent data and those who wait for it: SIGURG, select's third set, POLLPRI,
 * EPOLLPRI, two urgent bytes, one behind unread bytes, one after a shutdown, MSG_OOB
 * with MSG_PEEK; AF_UNIX streams have it, too.
 */
#include "duo.h"

#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/select.h>

static volatile sig_atomic_t urgents;
static char buf[100];

static void on_urgent(int signal_nr)
{
	(void)signal_nr;
	urgents++;
}

static int at_mark(int fd)
{
	int value = -1;

	if (ioctl(fd, SIOCATMARK, &value) < 0)
		say("SIOCATMARK: %s", duo_errno(errno));
	return value;
}

static void text(const char *what, ssize_t n)
{
	if (n < 0)
		say("%s: %s", what, duo_errno(errno));
	else
		say("%s: %zd '%.*s'", what, n, (int)n, buf);
}

/* Everything that can be asked while one lies there. */
static void ask(int fd, int set)
{
	struct timeval none = {0, 0};
	struct epoll_event event = {0};
	fd_set ex, in;
	int n;

	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLPRI | POLLRDBAND, 5000)));
	FD_ZERO(&ex);
	FD_ZERO(&in);
	FD_SET(fd, &ex);
	FD_SET(fd, &in);
	n = select(fd + 1, &in, NULL, &ex, &none);
	say("select: %d, in %d, except %d", n, FD_ISSET(fd, &in) != 0, FD_ISSET(fd, &ex) != 0);
	n = epoll_wait(set, &event, 1, 0);
	say("epoll_wait: %d %s", n, n > 0 ? duo_epoll_bits(event.events) : "-");
	say("at mark %d", at_mark(fd));
}

static void server(int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLPRI};
	int set = epoll_create1(EPOLL_CLOEXEC), on = 1;

	signal(SIGURG, on_urgent);
	duo_warmup(fd);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	say_result("F_SETOWN", fcntl(fd, F_SETOWN, getpid()));
	say("at mark %d", at_mark(fd));
	/* Bytes unread before it, one urgent, bytes behind it. */
	duo_post();
	duo_await();
	ask(fd, set);
	say("signals %d", urgents > 0);
	text("peek at the urgent one", recv(fd, buf, 1, MSG_OOB | MSG_PEEK));
	text("read to the mark", recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	ask(fd, set);
	text("the urgent one", recv(fd, buf, 1, MSG_OOB));
	text("the urgent one again", recv(fd, buf, 1, MSG_OOB));
	text("the rest", recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	/* Two: the second takes the first one's place. */
	duo_post();
	duo_await();
	duo_await_bytes(fd, 3);
	ask(fd, set);
	text("the urgent one", recv(fd, buf, 1, MSG_OOB));
	for (int i = 0; i < 3; i++)
		text("read on", recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	/* In line. */
	say_result("SO_OOBINLINE", setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)));
	duo_post();
	duo_await();
	ask(fd, set);
	text("the urgent one", recv(fd, buf, 1, MSG_OOB));
	for (int i = 0; i < 3; i++)
		text("read on", recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	duo_post();
	/* Then the stream is one as before. */
	duo_warmup(fd);
	text("read at end", recv(fd, buf, sizeof(buf), 0));
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "before", 6);
	say_result("send urgent", send(fd, "!", 1, MSG_OOB));
	duo_write_all(fd, "behind", 6);
	duo_post();
	duo_await();
	duo_write_all(fd, "a", 1);
	say_result("send urgent", send(fd, "1", 1, MSG_OOB));
	duo_write_all(fd, "b", 1);
	say_result("send urgent", send(fd, "x2", 2, MSG_OOB));
	duo_write_all(fd, "c", 1);
	duo_post();
	duo_await();
	duo_write_all(fd, "in", 2);
	say_result("send urgent", send(fd, "3", 1, MSG_OOB));
	duo_write_all(fd, "line", 4);
	duo_post();
	duo_await();
	duo_warmup(fd);
	say_result("send urgent of nothing", send(fd, "", 0, MSG_OOB));
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say_result("send urgent after it", send(fd, "4", 1, MSG_OOB | MSG_NOSIGNAL));
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "urgent data and who waits for it", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
