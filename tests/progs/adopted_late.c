/* SPDX-License-Identifier: MIT */
/*
 * Description: sockets that were in use before a library could know of it are put into an
 * epoll set: one connected with no descriptor left, one connected by its other number.
 */
#include "duo.h"

#include <sys/epoll.h>
#include <sys/resource.h>

static char buf[5000];

static void ask(int fd, size_t len)
{
	duo_pattern(buf, len, (uint32_t)len);
	duo_write_all(fd, buf, len);
	say("answer of %zu bytes, sum %llx", duo_read_all(fd, buf, len),
	    (unsigned long long)duo_sum(buf, len));
}

static int connect_it(void)
{
	struct sockaddr_storage sa;
	socklen_t len = duo_address(&sa);
	int fd = duo_socket();

	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		die("connect");
	return fd;
}

/* No library can open anything before it is in use. */
static int connected_at_the_limit(void)
{
	struct sockaddr_storage sa;
	struct rlimit before, none;
	socklen_t len = duo_address(&sa);
	int fd = duo_socket(), free_one = dup(fd);

	close(free_one);
	getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	none.rlim_cur = (rlim_t)free_one;
	setrlimit(RLIMIT_NOFILE, &none);
	say_result("connect", connect(fd, (struct sockaddr *)&sa, len));
	ask(fd, 1000);
	setrlimit(RLIMIT_NOFILE, &before);
	return fd;
}

static int connected_by_the_other_number(void)
{
	struct sockaddr_storage sa;
	socklen_t len = duo_address(&sa);
	int fd = duo_socket(), other = dup(fd);

	say_result("connect", connect(other, (struct sockaddr *)&sa, len));
	for (size_t i = 1; i < 40; i++) {
		ask(fd, i * 100);
		ask(other, i * 50);
	}
	close(other);
	return fd;
}

static void go_on(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	say_result("epoll_ctl", epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev));
	for (size_t i = 1; i < 40; i++)
		ask(fd, i * 100);
	ask(fd, sizeof(buf));
	close(set);
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say_result("read at the end", read(fd, buf, 1));
	close(fd);
}

static void client(int fd)
{
	(void)fd;
	go_on(connected_at_the_limit());
	go_on(connected_by_the_other_number());
	go_on(connect_it());
}

static void server(int fd)
{
	(void)fd;
	for (int i = 0; i < 3; i++) {
		ssize_t n;

		fd = accept(duo_listener(), NULL, NULL);
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			duo_write_all(fd, buf, (size_t)n);
		say_result("read at the end", n);
		close(fd);
	}
}

DUO_PROGRAM(.description = "sockets in use before they are known", .traits = DUO_OWN_SETUP,
	    .server = server, .client = client)
