/* SPDX-License-Identifier: MIT */
/*
 * Description: SO_RCVTIMEO and SO_SNDTIMEO for every call that receives or sends: with
 * nothing there, with a part; set while another thread sleeps, on a duplicate, before
 * the stream was used; beside O_NONBLOCK; values that are refused or rounded.
 */
#include "calls.h"

#define SHORT_MS 60

static char big[16u << 20]; /* more than all buffers between the ends */

/* True if the call took its time, and no more than a busy machine makes of it. */
static bool in_time(int64_t start)
{
	int64_t took = duo_now_ms() - start;

	return took >= SHORT_MS - 5 && took < SHORT_MS + 4000;
}

static void receivers(int fd)
{
	char buf[10];

	set_timeout(fd, SO_RCVTIMEO, SHORT_MS);
	for (size_t i = 0; i < RECEIVE_CALLS; i++) {
		int64_t start = duo_now_ms();
		ssize_t n = receive_calls[i].run(fd, buf, sizeof(buf));

		say("%s: %zd %s, in time %d", receive_calls[i].name, n,
		    n < 0 ? duo_errno(errno) : "", in_time(start));
	}
}

static void parts(int fd)
{
	char buf[20];
	struct iovec v[2] = {{buf, 4}, {buf + 4, 10}};
	struct mmsghdr m[2] = {
		{.msg_hdr = {.msg_iov = &v[0], .msg_iovlen = 1}},
		{.msg_hdr = {.msg_iov = &v[1], .msg_iovlen = 1}},
	};
	int64_t start;

	duo_post();
	duo_await_bytes(fd, 4);
	start = duo_now_ms();
	say_result("recv of all", recv(fd, buf, 10, MSG_WAITALL));
	say("in time %d", in_time(start));
	if (duo_is_tcp()) {
		duo_post();
		duo_await_bytes(fd, 4);
		start = duo_now_ms();
		say_result("peek at all", recv(fd, buf, 10, MSG_WAITALL | MSG_PEEK));
		say("in time %d", in_time(start));
		say_result("read", read(fd, buf, 10));
	}
	duo_post();
	duo_await_bytes(fd, 4);
	start = duo_now_ms();
	say_result("recvmmsg of two", recvmmsg(fd, m, 2, 0, NULL));
	say("in time %d", in_time(start));
	start = duo_now_ms();
	say_result("recvmmsg of two, nothing there", recvmmsg(fd, m, 2, 0, NULL));
	say("in time %d", in_time(start));
	/* Which of them is asked does not matter; O_NONBLOCK does. */
	duo_set_nonblock(fd, true);
	start = duo_now_ms();
	say_result("non-blocking", read(fd, buf, 10));
	say("at once %d", duo_now_ms() - start < SHORT_MS - 10);
	duo_set_nonblock(fd, false);
	start = duo_now_ms();
	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN, 2 * SHORT_MS)));
	say("its own time %d", duo_now_ms() - start >= 2 * SHORT_MS);
}

static void sleep_in_read(void *arg)
{
	int fd = *(int *)arg;
	char buf[10];

	say_result("read by a thread", read(fd, buf, sizeof(buf)));
}

static void values(int fd)
{
	static const struct timeval odd[] = {
		{0, 1}, {0, 999999}, {0, 1000000}, {0, -1}, {-1, 0}, {1, 500000}, {0, 0},
	};
	struct duo_thread t;
	int copy = dup(fd);

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct timeval got = {7, 7};
		socklen_t len = sizeof(got);
		int ret = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &odd[i], sizeof(odd[i]));

		say("set %ld.%06ld: %s", (long)odd[i].tv_sec, (long)odd[i].tv_usec,
		    ret ? duo_errno(errno) : "0");
		getsockopt(copy, SOL_SOCKET, SO_RCVTIMEO, &got, &len);
		/* a tick of the kernel's clock is what is left of a microsecond */
		say("  got %ld.%03ld, none %d", (long)got.tv_sec, (long)got.tv_usec / 10000,
		    !got.tv_sec && !got.tv_usec);
	}
	/* Who sleeps already, sleeps on. */
	duo_thread_asleep(&t, sleep_in_read, &fd);
	set_timeout(copy, SO_RCVTIMEO, SHORT_MS);
	poll(NULL, 0, 2 * SHORT_MS);
	duo_post();
	duo_thread_join(&t);
	/* Set by the other number. */
	sleep_in_read(&fd);
	set_timeout(fd, SO_RCVTIMEO, 0);
	close(copy);
}

static void send_in_vain(int fd, const struct send_call *call)
{
	int64_t start = duo_now_ms();
	ssize_t n = call->run(fd, big, 10);

	say("%s: %zd %s, in time %d", call->name, n, n < 0 ? duo_errno(errno) : "",
	    in_time(start));
}

/* The client reads that many. */
static void have_read(size_t len)
{
	duo_tell((int)len);
	duo_await();
}

static void senders(int fd)
{
	size_t filled = duo_fill_up(fd);

	set_timeout(fd, SO_SNDTIMEO, SHORT_MS);
	for (size_t i = 0; i < SEND_CALLS; i++) {
		if (send_calls[i].run != by_splice_in)
			send_in_vain(fd, &send_calls[i]);
	}
	have_read(filled);
	for (size_t i = 0; i < SEND_CALLS; i++) {
		ssize_t n;

		if (send_calls[i].run != by_sendmsg && send_calls[i].run != by_sendfile &&
		    send_calls[i].run != by_writev)
			continue;
		n = send_calls[i].run(fd, big, sizeof(big));
		say("%s of much: %s", send_calls[i].name,
		    n > 0 && n < (ssize_t)sizeof(big) ? "a part" : "?");
		have_read((size_t)n);
	}
	/* how much fits may change with the first splice */
	filled = (size_t)by_splice_in(fd, big, 1);
	filled += duo_fill_up(fd);
	send_in_vain(fd, &send_calls[SEND_CALLS - 1]);
	have_read(filled);
}

static void server(int fd)
{
	/* before its first byte */
	set_timeout(fd, SO_RCVTIMEO, SHORT_MS);
	sleep_in_read(&fd);
	set_timeout(fd, SO_RCVTIMEO, 0);
	duo_post();
	duo_warmup(fd);
	receivers(fd);
	parts(fd);
	values(fd);
	senders(fd);
}

static void client(int fd)
{
	static char bin[1 << 16];
	int room = 1 << 18;

	/* else the kernel makes it larger with every burst that is read, up to tcp_rmem */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	duo_await();
	duo_warmup(fd);
	for (int i = 0; i < 3 + duo_is_tcp(); i++) {
		duo_await();
		duo_write_all(fd, "part", 4);
	}
	for (size_t i = 0; i < 5; i++) {
		for (size_t left = (size_t)duo_hear(); left > 0;)
			left -= duo_read_all(fd, bin, left < sizeof(bin) ? left : sizeof(bin));
		duo_post();
	}
	say_result("read at end", read(fd, bin, 1));
}

DUO_PROGRAM(.description = "time-outs of every call", .server = server, .client = client)
