/* SPDX-License-Identifier: MIT */
/*
 * Description: MSG_WAITALL gathers pieces, returns short at end of stream, and
 * does not wait together with MSG_DONTWAIT or O_NONBLOCK.
 */
#include "duo.h"

static char buf[200000];

static void server(int fd)
{
	struct iovec iov[3] = {{buf, 10}, {buf + 10, 0}, {buf + 10, 90}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};

	duo_warmup(fd);
	duo_post();
	say_result("waitall 100", recv(fd, buf, 100, MSG_WAITALL));
	say("sum %016llx", (unsigned long long)duo_sum(buf, 100));
	duo_post();
	say_result("recvmsg waitall 100", recvmsg(fd, &msg, MSG_WAITALL));
	say("sum %016llx", (unsigned long long)duo_sum(buf, 100));
	duo_post();
	say_result("waitall 200000", recv(fd, buf, sizeof(buf), MSG_WAITALL));
	say("sum %016llx", (unsigned long long)duo_sum(buf, sizeof(buf)));
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	say_result("waitall dontwait 100", recv(fd, buf, 100, MSG_WAITALL | MSG_DONTWAIT));
	duo_post();
	duo_await();
	duo_await_bytes(fd, 10);
	duo_set_nonblock(fd, true);
	say_result("waitall nonblock 100", recv(fd, buf, 100, MSG_WAITALL));
	say_result("waitall nonblock 100", recv(fd, buf, 100, MSG_WAITALL));
	duo_set_nonblock(fd, false);
	duo_post();
	say_result("waitall until the end", recv(fd, buf, sizeof(buf), MSG_WAITALL));
	say_result("waitall at the end", recv(fd, buf, sizeof(buf), MSG_WAITALL));
}

static void client(int fd)
{
	duo_warmup(fd);
	duo_pattern(buf, sizeof(buf), 7);
	for (int round = 0; round < 2; round++) {
		duo_await();
		for (int i = 0; i < 10; i++)
			duo_write_all(fd, buf + 10 * i, 10);
	}
	duo_await();
	for (int i = 0; i < 20; i++)
		duo_write_all(fd, buf + 10000 * i, 10000);
	for (int round = 0; round < 2; round++) {
		duo_await();
		duo_write_all(fd, buf, 10);
		duo_post();
	}
	duo_await();
	duo_write_all(fd, buf, 1234);
	close(fd);
}

DUO_PROGRAM(.description = "MSG_WAITALL", .server = server, .client = client)
