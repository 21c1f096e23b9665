/* SPDX-License-Identifier: MIT */
/* Description: urgent data of a TCP stream in use: MSG_OOB, POLLPRI, SIOCATMARK, SO_OOBINLINE. */
#include "duo.h"

#include <linux/sockios.h>

static int at_mark(int fd)
{
	int value = -1;

	if (ioctl(fd, SIOCATMARK, &value) < 0)
		die("SIOCATMARK");
	return value;
}

static void server(int fd)
{
	char buf[100] = "";
	int on = 1;

	duo_warmup(fd);
	say_result("recv OOB, none there", recv(fd, buf, 1, MSG_OOB));
	duo_post();
	say("poll PRI: %s", duo_poll_bits(duo_poll(fd, POLLPRI, 5000)));
	duo_await();
	say("at mark %d", at_mark(fd));
	say_result("read to the mark", read(fd, buf, sizeof(buf)));
	say("at mark %d", at_mark(fd));
	say_result("recv OOB", recv(fd, buf, 1, MSG_OOB));
	say("'%c'", buf[0]);
	say_result("read the rest", read(fd, buf, sizeof(buf)));
	say("at mark %d", at_mark(fd));
	duo_post();
	duo_warmup(fd);
	say_result("OOBINLINE", setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)));
	duo_post();
	duo_await();
	say("poll PRI: %s", duo_poll_bits(duo_poll(fd, POLLPRI, 5000)));
	say_result("read to the mark", read(fd, buf, sizeof(buf)));
	say("at mark %d", at_mark(fd));
	say_result("read the rest", read(fd, buf, sizeof(buf)));
	say("'%.4s'", buf);
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 2; i++) {
		if (i) {
			duo_await();
			duo_warmup(fd);
		}
		duo_await();
		duo_write_all(fd, "before", 6);
		say_result("send OOB", send(fd, "!", 1, MSG_OOB));
		duo_write_all(fd, "now", 3);
		duo_post();
	}
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "urgent data", .traits = DUO_TCP, .server = server, .client = client)
