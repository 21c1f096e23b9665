/* SPDX-License-Identifier: MIT */
/*
 * Description: dup, dup2, dup3 and F_DUPFD give more numbers for one stream; it
 * lives until the last is closed, and a replaced stream ends.
 */
#include "duo.h"

static char buf[100];

static void ask(int fd, const char *what)
{
	ssize_t n;

	duo_write_all(fd, what, strlen(what));
	n = read(fd, buf, sizeof(buf));
	say("%s: answer %zd '%.*s'", what, n, n > 0 ? (int)n : 0, buf);
}

static void client(int fd)
{
	int a, b, c, d, other;

	duo_warmup(fd);
	other = duo_another_warm();
	a = dup(fd);
	b = dup2(fd, 60);
	c = dup3(fd, 61, O_CLOEXEC);
	d = fcntl(fd, F_DUPFD, 70);
	say("numbers %d %d %d %d, cloexec %d %d", a - fd, b, c, d, fcntl(b, F_GETFD),
	    fcntl(c, F_GETFD));
	say_result("F_DUPFD_CLOEXEC", fcntl(fd, F_DUPFD_CLOEXEC, 80));
	say_result("dup2 onto itself", dup2(fd, fd) == fd ? 0 : -1);
	say_result("dup3 onto itself", dup3(60, 60, 0));
	say_result("dup3 bad flags", dup3(fd, 62, 0x55));
	say_result("dup2 of a closed one", dup2(500, 60));
	say_result("dup2 to -1", dup2(fd, -1));
	say_result("F_DUPFD beyond the limit", fcntl(fd, F_DUPFD, 1 << 30));
	ask(fd, "first");
	ask(a, "dup");
	ask(b, "dup2");
	ask(c, "dup3");
	ask(d, "F_DUPFD");
	duo_set_nonblock(a, true);
	say("one open file, nonblock %d", !!(fcntl(d, F_GETFL) & O_NONBLOCK));
	say_result("read", read(b, buf, 1));
	duo_set_nonblock(fd, false);
	say_result("close first", close(fd));
	say_result("close dup", close(a));
	ask(b, "the others live");
	say_result("dup2 of another stream over it", dup2(other, b));
	ask(b, "the other stream");
	ask(c, "still the first stream");
	say_result("close", close(c));
	say_result("close", close(d));
	ask(80, "the last number");
	say_result("dup2 over the last number", dup2(STDOUT_FILENO, 80));
	duo_await();
	close(80);
	say_result("close", close(other));
	ask(b, "the other stream by its dup");
	say_result("close", close(b));
}

/* Echoes both streams until both ended. */
/* Numbers that nobody here has opened. */
static void other_numbers(void)
{
	int answers = 0;

	for (int n = 2000; n < 20000; n++) {
		int copy = n % 2 ? dup(n) : fcntl(n, F_DUPFD, 0);

		if (copy >= 0) {
			answers++;
			close(copy);
		}
	}
	say("%d other numbers answer", answers);
}

static void server(int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.events = POLLIN}};
	int open = 2;

	duo_warmup(fd);
	p[1].fd = duo_another_warm();
	other_numbers();
	while (open > 0) {
		poll(p, 2, -1);
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (p[i].fd < 0 || !p[i].revents)
				continue;
			n = read(p[i].fd, buf, sizeof(buf));
			say("stream %d: %zd '%.*s'", i, n, n > 0 ? (int)n : 0, buf);
			if (n > 0) {
				duo_write_all(p[i].fd, buf, (size_t)n);
				continue;
			}
			p[i].fd = -1;
			open--;
			if (i == 0)
				duo_post();
		}
	}
}

DUO_PROGRAM(.description = "dup, dup2, dup3, F_DUPFD", .server = server, .client = client)
