/* SPDX-License-Identifier: MIT */
/*
 * Description: a host sees its own descriptor limit and all its numbers, however
 * many streams it uses: the lowest number first, EMFILE at the limit.
 */
#include "duo.h"

#include <sys/resource.h>

static void server(int fd)
{
	struct rlimit before, after;
	int low, nr = 0, last = -1, got;

	getrlimit(RLIMIT_NOFILE, &before);
	duo_warmup(fd);
	for (int i = 0; i < 5; i++)
		duo_another_warm();
	getrlimit(RLIMIT_NOFILE, &after);
	say("limit unchanged %d", before.rlim_cur == after.rlim_cur);
	say("hard limit unchanged %d", before.rlim_max == after.rlim_max);
	say("sysconf %d", sysconf(_SC_OPEN_MAX) == (long)before.rlim_cur);
	low = dup(fd);
	say("lowest free number is near: %d", low - fd);
	close(low);
	after.rlim_cur = 200;
	say_result("setrlimit", setrlimit(RLIMIT_NOFILE, &after));
	getrlimit(RLIMIT_NOFILE, &after);
	say("limit %d", (int)after.rlim_cur);
	while ((got = dup(STDOUT_FILENO)) >= 0) {
		last = got;
		nr++;
	}
	say("dup: %s", duo_errno(errno));
	say("last number %d, from %d, holes %d", last, low, last - low + 1 - nr);
	say_result("F_DUPFD", fcntl(fd, F_DUPFD, 3));
	say_result("F_DUPFD at the limit", fcntl(fd, F_DUPFD, 200));
	say_result("dup2 at the limit", dup2(fd, 200));
	say_result("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	close(last);
	duo_post();
	/* Full but for one: a new stream must still be had and work. */
	say("another: %d", duo_another_warm() == last);
	duo_warmup(fd);
	/* Whoever writes something at exit needs a number, too. */
	close(low);
	duo_post();
}

static void client(int fd)
{
	duo_warmup(fd);
	for (int i = 0; i < 5; i++)
		duo_another_warm();
	duo_await();
	duo_another_warm();
	duo_warmup(fd);
	duo_await();
}

DUO_PROGRAM(.description = "descriptor numbers and their limit", .server = server, .client = client)
