/* SPDX-License-Identifier: MIT */
/*
 * Description: a host marks all numbers close-on-exec by close_range and starts programs,
 * or lets a child with numbers of its own close them; its streams go on.
 */
#include "duo.h"

#include <linux/close_range.h>

static char buf[2000];

static void ask(int fd, const char *when)
{
	size_t got;

	duo_write_all(fd, buf, sizeof(buf));
	got = duo_read_all(fd, buf, sizeof(buf));
	say("%s: %zu sum %016llx", when, got, (unsigned long long)duo_sum(buf, got));
}

/* Runs in a child that is about to become another program. */
static void close_for_exec(int way, int fd)
{
	switch (way) {
	case 0:
		close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
		break;
	case 1:
		close_range(3, ~0u, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC);
		break;
	case 2:
		close_range(3, ~0u, CLOSE_RANGE_UNSHARE);
		break;
	case 3:
		close_range(3, (unsigned int)fd - 1, 0);
		close_range((unsigned int)fd + 1, ~0u, 0);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		break;
	default:
		/* as programs did before close_range */
		for (int i = 3; i < 1024; i++)
			fcntl(i, F_SETFD, FD_CLOEXEC);
	}
}

static void client(int fd)
{
	volatile int other;

	duo_pattern(buf, sizeof(buf), 1);
	duo_warmup(fd);
	other = duo_another_warm();
	fcntl(fd, F_SETFD, 0);
	fcntl(other, F_SETFD, 0);
	for (volatile int i = 0; i < 10; i++) {
		volatile pid_t child = i % 2 ? vfork() : duo_fork();

		if (child == 0) {
			close_for_exec(i / 2, fd);
			execl("/bin/sh", "sh", "-c", "exit 4", (char *)NULL);
			_exit(126);
		}
		duo_reap(child, "child");
		ask(fd, "first");
		ask(other, "second");
	}
	/* in the host itself; with numbers that it no longer shares with anybody */
	say_result("UNSHARE and CLOEXEC",
		   close_range(3, ~0u, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC));
	say("cloexec %d %d", fcntl(fd, F_GETFD), fcntl(other, F_GETFD));
	say("system %d", system("exit 5"));
	ask(fd, "first");
	ask(other, "second");
	say_result("bad flags", close_range(3, ~0u, 1u << 30));
	say_result("UNSHARE", close_range((unsigned int)other, (unsigned int)other,
					  CLOSE_RANGE_UNSHARE));
	say_result("write", write(other, buf, 1));
	ask(fd, "first");
}

static void echo(void *arg)
{
	char text[sizeof(buf)];
	int fd = *(int *)arg;
	size_t got;

	while ((got = duo_read_all(fd, text, sizeof(text))) > 0)
		duo_write_all(fd, text, got);
}

static void server(int fd)
{
	struct duo_thread thread;
	int other;

	duo_warmup(fd);
	other = duo_another_warm();
	duo_thread_start(&thread, echo, &other);
	echo(&fd);
	duo_thread_join(&thread);
	say("both ended");
}

DUO_PROGRAM(.description = "close_range with flags", .server = server, .client = client)
