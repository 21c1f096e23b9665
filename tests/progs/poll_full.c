/* SPDX-License-Identifier: MIT */
/*
 * Description: a full stream is not writable for poll, select and epoll, becomes
 * so once the peer has read, and wakes those who wait for it.
 */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/select.h>

static char buf[65536];

static int select_out(int fd)
{
	struct timeval none = {0, 0};
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(fd, &fds);
	return select(fd + 1, NULL, &fds, NULL, &none);
}

static void server(int fd)
{
	size_t total;

	duo_warmup(fd);
	for (int round = 0; round < 3; round++) {
		total = (size_t)duo_hear();
		while (total > 0) {
			size_t part = total < sizeof(buf) ? total : sizeof(buf);

			if (duo_read_all(fd, buf, part) != part)
				die("short");
			total -= part;
		}
	}
	say_result("read", read(fd, buf, 1));
}

static void client(int fd)
{
	struct epoll_event event = {.events = EPOLLOUT};
	int set = epoll_create1(EPOLL_CLOEXEC);
	fd_set fds;

	duo_warmup(fd);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	for (int round = 0; round < 3; round++) {
		size_t total = duo_fill_up(fd);

		say("filled %d", total > 0);
		say_result("send dontwait", send(fd, buf, 1, MSG_DONTWAIT));
		say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT, 0)));
		say("poll 30 ms: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT, 30)));
		say_result("select", select_out(fd));
		say_result("epoll", epoll_wait(set, &event, 1, 0));
		duo_tell((int)total);
		if (round == 0) {
			say("poll: %s", duo_poll_bits(duo_poll(fd, POLLOUT, 10000)));
		} else if (round == 1) {
			FD_ZERO(&fds);
			FD_SET(fd, &fds);
			say_result("select", select(fd + 1, NULL, &fds, NULL, NULL));
		} else {
			say_result("epoll", epoll_wait(set, &event, 1, 10000));
			say("%s", duo_epoll_bits(event.events));
		}
		say_result("send dontwait", send(fd, "", 0, MSG_DONTWAIT));
	}
	close(fd);
}

DUO_PROGRAM(.description = "full streams and writability", .server = server, .client = client)
