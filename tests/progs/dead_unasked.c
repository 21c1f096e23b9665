/* SPDX-License-Identifier: MIT */
/*
 * Description: the process of the peer ends, or is killed, while this end does nothing but
 * receives that do not wait: they find what was sent, then the end.
 */
#include "sets.h"

static ssize_t by_read(int fd, void *buf, size_t len)
{
	return read(fd, buf, len);
}

static ssize_t by_recv(int fd, void *buf, size_t len)
{
	return recv(fd, buf, len, MSG_DONTWAIT);
}

static ssize_t by_readv(int fd, void *buf, size_t len)
{
	struct iovec v = {.iov_base = buf, .iov_len = len};

	return readv(fd, &v, 1);
}

static ssize_t by_recvmsg(int fd, void *buf, size_t len)
{
	struct iovec v = {.iov_base = buf, .iov_len = len};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	return recvmsg(fd, &m, MSG_DONTWAIT);
}

static ssize_t by_recvmmsg(int fd, void *buf, size_t len)
{
	struct iovec v = {.iov_base = buf, .iov_len = len};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
	int n = recvmmsg(fd, &m, 1, MSG_DONTWAIT, NULL);

	return n < 0 ? n : (ssize_t)m.msg_len;
}

static ssize_t by_peek(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, MSG_DONTWAIT | MSG_PEEK);

	return n > 0 ? recv(fd, buf, (size_t)n, 0) : n;
}

static const struct {
	const char *name;
	ssize_t (*run)(int fd, void *buf, size_t len);
} calls[] = {
	{"read", by_read},	 {"recv", by_recv},	    {"readv", by_readv},
	{"recvmsg", by_recvmsg}, {"recvmmsg", by_recvmmsg}, {"recv of a peek", by_peek},
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static const char *const ways[] = {"it ended before", "it ends meanwhile", "it is killed meanwhile",
				   "it is killed, in a set", "the same, looked at now and then"};

enum { BEFORE, MEANWHILE, KILLED, IN_SET, SLOWLY, WAYS };

static void one(int call, int way)
{
	static const struct timespec pause = {.tv_nsec = 50000000};
	int fd = duo_another_warm(), set = -1;
	int64_t begin;
	size_t got = 0;
	char buf[64];
	ssize_t n;

	duo_set_nonblock(fd, true);
	if (way >= IN_SET) {
		set = duo_set_new();
		duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, 0);
	}
	duo_post();
	if (way == BEFORE)
		duo_await();
	begin = duo_now_ms();
	do {
		if (way == SLOWLY)
			nanosleep(&pause, NULL);
		n = calls[call].run(fd, buf, sizeof(buf));
		got += n > 0 ? (size_t)n : 0;
	} while ((n > 0 || (n < 0 && errno == EAGAIN)) && duo_now_ms() - begin < 10000);
	if (way != BEFORE)
		duo_await();
	say("%s, %s: %zu bytes", calls[call].name, ways[way], got);
	say_result("then", n);
	close(fd);
	if (set >= 0)
		close(set);
}

static void server(int fd)
{
	for (int way = 0; way < WAYS; way++) {
		for (int call = 0; call < CALLS; call++)
			one(call, way);
	}
	close(fd);
}

static void client(int fd)
{
	static const struct timespec pause = {.tv_nsec = 3000000};

	for (int round = 0; round < WAYS * CALLS; round++) {
		pid_t child = duo_fork();

		if (!child) {
			int mine = duo_another_warm();

			duo_await();
			duo_write_all(mine, "hello", 5);
			nanosleep(&pause, NULL);
			if (round / CALLS >= KILLED)
				kill(getpid(), SIGKILL);
			_exit(0);
		}
		waitpid(child, NULL, 0);
		duo_post();
	}
	close(fd);
}

DUO_PROGRAM(.description = "a peer that dies, and receives that do not wait", .server = server,
	    .client = client)
