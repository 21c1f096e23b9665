/* SPDX-License-Identifier: MIT */
/*
 * Description: children close, in several ways, what they inherited of a stream that
 * their parent has in an epoll set; the set goes on telling the parent all.
 */
#include "duo.h"

#include <sys/epoll.h>

static void child_of(int fd, int way)
{
	pid_t child = duo_fork();
	int null;

	if (child == 0) {
		switch (way) {
		case 0:
			close(fd);
			break;
		case 1:
			closefrom(3);
			break;
		case 2:
			null = open("/dev/null", O_RDWR);
			dup2(null, fd);
			break;
		default:
			closefrom(3);
			execl("/bin/true", "true", (char *)NULL);
		}
		_exit(0);
	}
	duo_reap(child, "child");
}

static void server(int first)
{
	close(first);
	for (int way = 0; way < 4; way++) {
		struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = 7};
		int fd = duo_another_warm(), set = epoll_create1(0);
		char buf[16];
		ssize_t n;

		epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev);
		/* no child of this one: the set was asleep once */
		duo_post();
		n = epoll_wait(set, &ev, 1, 5000);
		say("%zd events, read %zd", n, read(fd, buf, sizeof(buf)));
		child_of(fd, way);
		duo_tell(getpid());
		n = epoll_wait(set, &ev, 1, 5000);
		say("%zd events %s of %llu, read %zd", n, duo_poll_bits((short)ev.events),
		    (unsigned long long)ev.data.u64, read(fd, buf, sizeof(buf)));
		duo_tell(getpid());
		n = epoll_wait(set, &ev, 1, 5000);
		say("%zd events %s of %llu, read %zd", n, duo_poll_bits((short)ev.events),
		    (unsigned long long)ev.data.u64, read(fd, buf, sizeof(buf)));
		close(fd);
		close(set);
	}
}

static void client(int first)
{
	close(first);
	for (int way = 0; way < 4; way++) {
		int fd = duo_another_warm();
		pid_t peer;

		duo_await();
		duo_write_all(fd, "first", 5);
		peer = duo_hear();
		duo_await_asleep(peer, peer);
		duo_write_all(fd, "second", 6);
		peer = duo_hear();
		duo_await_asleep(peer, peer);
		shutdown(fd, SHUT_WR);
		say_result("read at end", read(fd, &peer, 1));
		close(fd);
	}
}

DUO_PROGRAM(.description = "a forked child closes a stream of its parent's epoll set",
	    .server = server, .client = client)
