/* SPDX-License-Identifier: MIT */
/*
 * Description: each bit of poll and of epoll asked for alone, level and edge: idle, with
 * input, full, at half close with input and without, at the end of both directions.
 */
#include "sets.h"

static const uint32_t bits[] = {
	0, EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLRDNORM, EPOLLRDBAND, EPOLLWRNORM, EPOLLWRBAND,
	EPOLLMSG, EPOLLRDHUP, EPOLLERR, EPOLLHUP, 0x20, EPOLLWAKEUP | EPOLLIN,
	EPOLLIN | EPOLLRDNORM | EPOLLWRNORM,
};

#define NR (sizeof(bits) / sizeof(bits[0]))

/* What is told of each, in hexadecimal. */
static void show(const char *when, int fd)
{
	char text[3][NR * 8];
	size_t len[3] = {0, 0, 0};

	for (size_t i = 0; i < NR; i++) {
		for (int k = 0; k < 3; k++) {
			struct epoll_event event = {.events = 0};
			int set;

			if (k == 0) {
				event.events = (uint16_t)duo_poll(fd, (short)bits[i], 0);
			} else {
				set = duo_set_new();
				duo_set_ctl(set, EPOLL_CTL_ADD, fd,
					    bits[i] | (k == 2 ? EPOLLET : 0), 1);
				epoll_wait(set, &event, 1, 0);
				duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
				close(set);
			}
			len[k] += (size_t)snprintf(text[k] + len[k], sizeof(text[k]) - len[k],
						   " %x", event.events);
		}
	}
	say("%s: poll %s\n  level %s\n  edge %s", when, text[0], text[1], text[2]);
}

static void server(int fd)
{
	char buf[100];
	size_t filled;

	duo_warmup(fd);
	show("idle", fd);
	duo_post();
	duo_await_bytes(fd, 5);
	show("input", fd);
	filled = duo_fill_up(fd);
	show("input and full", fd);
	say_result("read", read(fd, buf, sizeof(buf)));
	show("full", fd);
	duo_tell((int)filled);
	duo_await();
	show("room", fd);
	duo_post();
	duo_poll(fd, POLLRDHUP, -1);
	show("half close with input", fd);
	say_result("read", read(fd, buf, sizeof(buf)));
	show("half close", fd);
	shutdown(fd, SHUT_WR);
	duo_poll(fd, 0, -1);
	show("both ends", fd);
	duo_meet();
	close(fd);

	fd = duo_another_warm();
	duo_post();
	duo_poll(fd, 0, -1);
	show("reset", fd);
	say_result("read", read(fd, buf, sizeof(buf)));
	show("after the error", fd);
	close(fd);
}

static void client(int fd)
{
	char buf[65536];

	duo_warmup(fd);
	duo_await();
	duo_write_all(fd, "input", 5);
	for (size_t left = (size_t)duo_hear(); left; )
		left -= duo_read_all(fd, buf, left < sizeof(buf) ? left : sizeof(buf));
	duo_post();
	duo_await();
	duo_write_all(fd, "input", 5);
	shutdown(fd, SHUT_WR);
	duo_meet();
	close(fd);

	fd = duo_another_warm();
	duo_await();
	/* input unread: the close is a reset */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	close(fd);
}

DUO_PROGRAM(.description = "each event bit alone", .server = server, .client = client)
