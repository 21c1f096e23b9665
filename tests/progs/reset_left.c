/* SPDX-License-Identifier: MIT */
/*
 * Description: a peer leaves the rings with input unread, which only its own calls find,
 * and closes later: what poll and epoll tell of it, asked after it and asleep before it.
 */
#include "sets.h"

enum { SHUT, OPTION, WAYS };
enum { LATER, POLL, LEVEL, EDGE, WAITS };

static const char *const wait_names[] = { "later", "poll", "level", "edge" };

static void server(int fd)
{
	char part[30];
	int one = 1;

	for (int i = 0; i < WAYS * WAITS; i++) {
		int s = duo_another_warm();
		pid_t client;

		duo_await_bytes(s, 3000);
		if (i % WAYS == SHUT)
			shutdown(s, SHUT_RDWR);
		else if (setsockopt(s, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one)))
			die("SO_RCVLOWAT: %s", strerror(errno));
		duo_read_all(s, part, sizeof(part));
		if (i % WAYS == OPTION)
			duo_write_all(s, part, sizeof(part));
		duo_post();
		client = (pid_t)duo_hear();
		if (client)
			duo_await_asleep(client, client);
		close(s);
		duo_post();
	}
	close(fd);
}

static void ends(int fd, int way, int wait)
{
	char what[32], buf[3000];
	int set = duo_set_new();

	snprintf(what, sizeof(what), "%s, %s", way == SHUT ? "shut" : "option",
		 wait_names[wait]);
	memset(buf, 'x', sizeof(buf));
	duo_write_all(fd, buf, sizeof(buf));
	duo_await();
	say_result("answer", read(fd, buf, sizeof(buf)));
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, wait == EDGE ? EPOLLET | EPOLLOUT : 0, 7);
	say_event(set, what, 0);
	/* shut in both directions is a hang-up already, which level and poll tell at once */
	duo_tell(wait == LATER || (way == SHUT && wait != EDGE) ? 0 : getpid());
	if (wait == LATER || (way == SHUT && wait != EDGE))
		duo_await();
	if (wait == POLL)
		say("%s: %s", what, duo_poll_bits(duo_poll(fd, 0, -1)));
	else
		say_event(set, what, -1);
	if (wait != LATER && !(way == SHUT && wait != EDGE))
		duo_await();
	say("poll then: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, -1)));
	say_result("read", read(fd, buf, sizeof(buf)));
	say("poll at the end: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLRDHUP, -1)));
	say_event(set, what, 0);
	say_result("read again", read(fd, buf, sizeof(buf)));
	close(set);
}

static void client(int fd)
{
	for (int i = 0; i < WAYS * WAITS; i++) {
		int s = duo_another_warm();

		ends(s, i % WAYS, i / WAYS);
		close(s);
	}
	close(fd);
}

DUO_PROGRAM(.description = "a reset by a peer that had left the rings before",
	    .server = server, .client = client)
