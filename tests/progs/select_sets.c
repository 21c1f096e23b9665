/* SPDX-License-Identifier: MIT */
/*
 * Description: select and pselect: sets in and out, time-outs and the time left,
 * mixed descriptors, a bad one, ends of stream.
 */
#include "duo.h"

#include <sys/eventfd.h>
#include <sys/select.h>

static int fds[3]; /* stream, second stream, eventfd */

/* want and result: one letter per descriptor and set: r, w, x. */
static void show(const char *what, const char *const want[3], struct timeval *timeout)
{
	fd_set sets[3];
	char text[32];
	int top = 0, n, used = 0;

	for (int s = 0; s < 3; s++) {
		FD_ZERO(&sets[s]);
		for (int i = 0; i < 3; i++) {
			if (strchr(want[i], "rwx"[s]))
				FD_SET(fds[i], &sets[s]);
			top = fds[i] > top ? fds[i] : top;
		}
	}
	n = select(top + 1, &sets[0], &sets[1], &sets[2], timeout);
	for (int i = 0; i < 3; i++) {
		for (int s = 0; s < 3; s++) {
			if (FD_ISSET(fds[i], &sets[s]))
				text[used++] = "rwx"[s];
		}
		text[used++] = i < 2 ? ' ' : '\0';
	}
	say("%s -> %d %s: '%s'", what, n, n < 0 ? duo_errno(errno) : "", text);
}

static void server(int fd)
{
	static const char *const read_all[3] = {"r", "r", "r"};
	static const char *const everything[3] = {"rwx", "rwx", "rwx"};
	static const char *const one_write[3] = {"rx", "rxw", "r"};
	struct timeval tv = {0, 0};
	uint64_t value = 1;
	fd_set bad;
	char buf[100];
	int64_t start;

	duo_warmup(fd);
	fds[0] = fd;
	fds[1] = duo_another_warm();
	fds[2] = eventfd(0, 0);
	show("nothing", read_all, &tv);
	tv.tv_usec = 30000;
	start = duo_now_ms();
	show("30 ms", read_all, &tv);
	say("waited %d, left %d %d", duo_now_ms() - start >= 30, (int)tv.tv_sec, (int)tv.tv_usec);
	tv.tv_sec = 5;
	show("idle", everything, &tv);
	show("idle, forever", one_write, NULL);
	duo_tell(0);
	tv.tv_sec = 5;
	show("stream", read_all, &tv);
	say("time is left %d", tv.tv_sec > 0 || tv.tv_usec > 0);
	show("stream", everything, NULL);
	duo_write_all(fds[2], &value, 8);
	show("stream and event", read_all, NULL);
	duo_tell(1);
	duo_poll(fds[1], POLLIN, -1);
	show("all", read_all, NULL);
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("read", read(fds[1], buf, sizeof(buf)));
	duo_read_all(fds[2], &value, 8);
	tv = (struct timeval){0, 0};
	show("none", read_all, &tv);
	duo_tell(2);
	duo_poll(fd, POLLRDHUP, -1);
	show("half closed", everything, NULL);
	shutdown(fd, SHUT_WR);
	duo_poll(fd, 0, -1);
	show("both closed", everything, NULL);
	FD_ZERO(&bad);
	FD_SET(fd, &bad);
	FD_SET(700, &bad);
	say_result("a closed one", select(701, &bad, NULL, NULL, NULL));
	say_result("the closed one out of range", select(fd + 1, &bad, NULL, NULL, NULL));
	say_result("negative count", select(-1, &bad, NULL, NULL, NULL));
	tv.tv_usec = -1;
	say_result("negative time", select(0, NULL, NULL, NULL, &tv));
	tv.tv_usec = 10000;
	say_result("no sets", select(0, NULL, NULL, NULL, &tv));
	say_result("pselect", pselect(fd + 1, &bad, NULL, NULL, NULL, NULL));
	duo_tell(3);
}

static void client(int fd)
{
	int fd2, word;

	duo_warmup(fd);
	fd2 = duo_another_warm();
	while ((word = duo_hear()) != 3) {
		if (word == 2)
			shutdown(fd, SHUT_WR);
		else
			duo_write_all(word ? fd2 : fd, "data", 4);
	}
}

DUO_PROGRAM(.description = "select and pselect", .server = server, .client = client)
