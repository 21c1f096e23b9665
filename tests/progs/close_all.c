/* SPDX-License-Identifier: MIT */
/*
 * Description: a daemon closes every number from 3 up but its stream, one by one,
 * by close_range and in a child by closefrom, and goes on with the stream.
 */
#include "duo.h"

static char buf[3000];

static void ask(int fd, const char *when)
{
	size_t got;

	duo_write_all(fd, buf, 3000);
	got = duo_read_all(fd, buf, 3000);
	say("%s: %zu sum %016llx", when, got, (unsigned long long)duo_sum(buf, got));
}

static void client(int fd)
{
	struct sockaddr_storage address;
	int closed = 0, other, set;
	pid_t child;

	duo_pattern(buf, sizeof(buf), 1);
	duo_warmup(fd);
	other = duo_another_warm();
	duo_address(&address);
	for (int i = 3; i < 1024; i++) {
		if (i != fd && i != other && close(i) == 0)
			closed++;
	}
	say("closed some %d", closed > 0);
	ask(fd, "after the loop");
	ask(other, "after the loop");
	child = duo_fork();
	if (child == 0) {
		closefrom(3);
		say_result("write in the child", write(fd, buf, 1));
		_exit(0);
	}
	duo_reap(child, "child");
	ask(fd, "after the child");
	child = duo_fork();
	if (child == 0) {
		if (close_range((unsigned int)fd + 1, ~0u, 0) < 0)
			_exit(1);
		say_result("write in the child", write(other, buf, 1));
		ask(fd, "in the child");
		_exit(0);
	}
	duo_reap(child, "child");
	ask(other, "after the child");
	/* All above the first stream, the second one among them. */
	say_result("close_range", close_range((unsigned int)fd + 1, ~0u, 0));
	say_result("write to the other", write(other, buf, 1));
	ask(fd, "after close_range");
	say_result("close_range CLOEXEC",
		   close_range((unsigned int)fd, (unsigned int)fd, CLOSE_RANGE_CLOEXEC));
	say("cloexec %d", fcntl(fd, F_GETFD));
	ask(fd, "with the flag");
	say_result("close_range backwards", close_range(10, 5, 0));
	/* Numbers are given out from the lowest, as ever. */
	set = dup(fd);
	say("lowest number %d", set == fd + 1 || set < fd);
	closefrom(fd);
	say_result("write after closefrom", write(fd, buf, 1));
	duo_side_open();
	duo_post();
}

static void server(int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.events = POLLIN}};
	int open = 2;
	size_t total[2] = {0, 0};

	duo_warmup(fd);
	p[1].fd = duo_another_warm();
	while (open > 0) {
		poll(p, 2, -1);
		for (int i = 0; i < 2; i++) {
			size_t got;

			if (p[i].fd < 0 || !p[i].revents)
				continue;
			got = duo_read_all(p[i].fd, buf, 3000);
			total[i] += got;
			if (got > 0) {
				duo_write_all(p[i].fd, buf, got);
				continue;
			}
			p[i].fd = -1;
			open--;
		}
	}
	say("first stream %zu, second stream %zu", total[0], total[1]);
	duo_await();
}

DUO_PROGRAM(.description = "a host that closes every descriptor", .server = server,
	    .client = client)
