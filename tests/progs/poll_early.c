/* SPDX-License-Identifier: MIT */
/*
 * Description: a thread sleeps in poll since before the first byte; another takes every
 * message before it can; then one stays, or the end comes: the poll wakes.
 */
#include "duo.h"

#define ROUNDS   16
#define MESSAGES 40
#define LEN      16

struct poller {
	struct duo_thread thread;
	int fd;
	short events;
	short revents;
};

static void in_poll(void *arg)
{
	struct poller *p = arg;

	p->revents = duo_poll(p->fd, p->events, -1);
}

/* Takes messages at once: a poll that they woke mostly finds nothing. */
static void exchange(int fd)
{
	char buf[LEN];

	for (int i = 0; i < MESSAGES; i++) {
		size_t got = 0;

		while (got < LEN) {
			ssize_t n = recv(fd, buf + got, LEN - got, MSG_DONTWAIT);

			if (n == 0 || (n < 0 && errno != EAGAIN))
				die("recv %zd", n);
			got += n > 0 ? (size_t)n : 0;
		}
		duo_write_all(fd, buf, LEN);
	}
}

static void server(int fd)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct poller p = {.fd = i ? duo_another() : fd};

		/* data does not concern the second kind at all */
		p.events = i % 2 ? POLLIN : POLLRDHUP;
		duo_thread_asleep(&p.thread, in_poll, &p);
		duo_post();
		exchange(p.fd);
		duo_post();
		duo_thread_join(&p.thread);
		say("round %d: %s", i, duo_poll_bits(p.revents));
		duo_meet();
		close(p.fd);
	}
}

static void client(int fd)
{
	char buf[LEN] = "";

	for (int i = 0; i < ROUNDS; i++) {
		fd = i ? duo_another() : fd;
		duo_await();
		for (int k = 0; k < MESSAGES; k++) {
			duo_write_all(fd, buf, LEN);
			duo_read_all(fd, buf, LEN);
		}
		duo_await();
		if (i % 2)
			duo_write_all(fd, "last", 4);
		else
			shutdown(fd, SHUT_WR);
		duo_meet();
		close(fd);
	}
}

DUO_PROGRAM(.description = "a poll that is older than the rings", .server = server,
	    .client = client)
