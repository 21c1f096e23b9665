/* SPDX-License-Identifier: MIT */
/*
 * Description: the peer is killed, closes, or resets while this end sleeps in epoll_wait,
 * level, edge, one-shot or asking for nothing, or in poll and select: what they tell.
 */
#include "sets.h"

#include <sys/select.h>

static const uint32_t asked[] = {
	EPOLLIN,
	EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
	0,
	EPOLLRDHUP,
};

#define ASKED (sizeof(asked) / sizeof(asked[0]))

/* Ways to go, then ways to wait. */
enum { KILL, KILL_UNREAD, CLOSE, CLOSE_UNREAD, RESET, WAYS };
enum { IN_EPOLL, IN_POLL = ASKED, IN_SELECT, WAITS };

static const char *const ways[WAYS] = {"killed", "killed with input unread", "closed",
				       "closed with input unread", "reset"};

static bool leaves_unread(int way)
{
	return way == KILL_UNREAD || way == CLOSE_UNREAD;
}

/* A half close of TCP is no event to who asked for nothing. */
static bool is_told(int way, int wait)
{
	return !duo_is_tcp() || leaves_unread(way) || way == RESET ||
	       wait >= (int)ASKED || asked[wait];
}

/* Edge: room may be told again, and the parts of an end one by one. */
static void all_of_end(int set)
{
	struct epoll_event event;
	uint32_t bits = 0;

	while (!(bits & ~(uint32_t)EPOLLOUT)) {
		if (epoll_wait(set, &event, 1, -1) != 1)
			die("epoll_wait");
		bits |= event.events;
	}
	duo_await();
	while (epoll_wait(set, &event, 1, 0) == 1)
		bits |= event.events;
	say("end: %s", duo_epoll_bits(bits));
}

static void wait_for_end(int fd, int set, int wait)
{
	fd_set in, out, ex;

	if (wait < (int)ASKED) {
		if (asked[wait] & EPOLLET) {
			all_of_end(set);
			return;
		}
		say_event(set, "end", -1);
		say_event(set, "again", 0);
		if (asked[wait] & EPOLLONESHOT) {
			duo_set_ctl(set, EPOLL_CTL_MOD, fd, asked[wait], 2);
			say_event(set, "armed again", 0);
		}
	} else if (wait == IN_POLL) {
		say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLRDHUP, -1)));
	} else {
		FD_ZERO(&in);
		FD_ZERO(&out);
		FD_ZERO(&ex);
		FD_SET(fd, &in);
		FD_SET(fd, &ex);
		say_result("select", select(fd + 1, &in, &out, &ex, NULL));
		say("in %d, ex %d", !!FD_ISSET(fd, &in), !!FD_ISSET(fd, &ex));
	}
}

static void one_end(int fd, int way, int wait)
{
	int set = duo_set_new();
	char byte;

	say("-- %s, wait %d", ways[way], wait);
	if (wait < (int)ASKED) {
		duo_set_ctl(set, EPOLL_CTL_ADD, fd, asked[wait], 1);
		if (asked[wait] & EPOLLOUT)
			say_event(set, "room before", 0);
	}
	if (leaves_unread(way))
		duo_write_all(fd, "u", 1);
	duo_tell(getpid());
	if (is_told(way, wait)) {
		wait_for_end(fd, set, wait);
	} else {
		duo_await();
		say_event(set, "nothing", 20);
		duo_post();
	}
	say_result("read", recv(fd, &byte, 1, MSG_DONTWAIT));
	say_result("read", recv(fd, &byte, 1, MSG_DONTWAIT));
	if (wait < (int)ASKED && !(asked[wait] & EPOLLET))
		say_event(set, "at last", 0);
	close(set);
}

static void server(int fd)
{
	close(fd);
	for (int way = 0; way < WAYS; way++) {
		for (int wait = 0; wait < WAITS; wait++) {
			fd = duo_another_warm();
			/* the last message is read: its room is no event any more */
			duo_await();
			one_end(fd, way, wait);
			duo_meet();
			close(fd);
		}
	}
}

/* A child holds the other end alone, until it is killed or goes. */
static void end_by(int way, int fd, pid_t peer)
{
	const struct linger hard = {.l_onoff = 1};
	pid_t child = duo_fork();

	if (child == 0) {
		if (leaves_unread(way))
			duo_await_bytes(fd, 1);
		if (way <= KILL_UNREAD)
			for (;;)
				pause();
		duo_await_asleep(peer, peer);
		if (way == RESET)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(fd);
		_exit(0);
	}
	close(fd);
	if (way <= KILL_UNREAD) {
		duo_await_asleep(child, child);
		duo_await_asleep(peer, peer);
		kill(child, SIGKILL);
	}
	duo_reap(child, "child");
}

static void client(int fd)
{
	close(fd);
	for (int way = 0; way < WAYS; way++) {
		for (int wait = 0; wait < WAITS; wait++) {
			pid_t peer;

			fd = duo_another_warm();
			duo_post();
			peer = duo_hear();
			end_by(way, fd, peer);
			if (!is_told(way, wait))
				duo_meet();
			else if (wait < (int)ASKED && asked[wait] & EPOLLET)
				duo_post();
			duo_meet();
		}
	}
}

DUO_PROGRAM(.description = "the peer goes while this end waits", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
