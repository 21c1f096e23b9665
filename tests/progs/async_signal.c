/* SPDX-License-Identifier: MIT */
/* Description: O_ASYNC with F_SETOWN and F_SETSIG: a signal tells of each arrival. */
#include "duo.h"

static void server(int fd)
{
	struct timespec long_time = {5, 0};
	siginfo_t info;
	sigset_t set;
	char buf[10];

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	duo_warmup(fd);
	say_result("F_SETOWN", fcntl(fd, F_SETOWN, getpid()));
	say("owner %d", fcntl(fd, F_GETOWN) == getpid());
	say_result("O_ASYNC", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
	duo_post();
	say("SIGIO %d", sigtimedwait(&set, &info, &long_time) == SIGIO);
	say_result("read", read(fd, buf, sizeof(buf)));
	duo_post();
	say("SIGIO %d", sigtimedwait(&set, &info, &long_time) == SIGIO);
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("F_SETSIG", fcntl(fd, F_SETSIG, SIGRTMIN + 3));
	duo_post();
	say("SIGRTMIN+3 %d", sigtimedwait(&set, &info, &long_time) == SIGRTMIN + 3);
	say("fd %d band %s", info.si_fd == fd, duo_poll_bits((short)(info.si_band & POLLIN)));
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("off", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_ASYNC));
	duo_post();
	duo_poll(fd, POLLIN, -1);
	long_time = (struct timespec){0, 20000000};
	say("no signal %d", sigtimedwait(&set, &info, &long_time) == -1);
	say_result("read", read(fd, buf, sizeof(buf)));
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 4; i++) {
		duo_await();
		duo_write_all(fd, "hello", 5);
	}
	duo_poll(fd, POLLRDHUP, 10000);
}

DUO_PROGRAM(.description = "signal-driven I/O", .server = server, .client = client)
