/* SPDX-License-Identifier: MIT */
/*
 * Description: FIONREAD counts what can be read; SIOCOUTQ falls to 0 once the
 * peer has read everything.
 */
#include "duo.h"

#include <linux/sockios.h>

static char buf[5000];

static int there(int fd)
{
	int value = -1;

	if (ioctl(fd, FIONREAD, &value) < 0)
		die("FIONREAD");
	return value;
}

static void server(int fd)
{
	duo_warmup(fd);
	say("FIONREAD %d", there(fd));
	duo_post();
	duo_await();
	duo_await_bytes(fd, 5000);
	say("FIONREAD %d", there(fd));
	say_result("peek", recv(fd, buf, 100, MSG_PEEK));
	say("FIONREAD %d", there(fd));
	say_result("read", read(fd, buf, 1000));
	say("FIONREAD %d", there(fd));
	say_result("read", read(fd, buf, 5000));
	say("FIONREAD %d", there(fd));
	duo_post();
	duo_poll(fd, POLLIN, 5000);
	say("FIONREAD at end %d", there(fd));
	say_result("read", read(fd, buf, 5000));
	say("FIONREAD at end %d", there(fd));
}

static void client(int fd)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	int queued = -1;

	duo_warmup(fd);
	duo_await();
	for (int i = 0; i < 5; i++)
		duo_write_all(fd, buf, 1000);
	duo_post();
	duo_await();
	/* TCP's last acknowledgement may take its time. */
	for (int i = 0; i < 1000 && queued != 0; i++) {
		if (ioctl(fd, SIOCOUTQ, &queued) < 0)
			die("SIOCOUTQ");
		nanosleep(&pause, NULL);
	}
	say("SIOCOUTQ %d", queued);
	say_result("shutdown", shutdown(fd, SHUT_WR));
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "FIONREAD and SIOCOUTQ", .server = server, .client = client)
