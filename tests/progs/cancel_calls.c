/* SPDX-License-Identifier: MIT */
/*
 * Description: pthread_cancel and every call that receives, sends or waits: asked for
 * before the call, though nothing has to be waited for; in its sleep; while disabled;
 * asynchronous.  Nothing is taken or sent by a call that was cancelled so.
 */
#include "calls.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int stream, set;

static ssize_t by_poll(int fd, void *buf, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	(void)buf;
	(void)len;
	return poll(&p, 1, -1);
}

static ssize_t by_ppoll(int fd, void *buf, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	(void)buf;
	(void)len;
	return ppoll(&p, 1, NULL, NULL);
}

static ssize_t by_select(int fd, void *buf, size_t len)
{
	fd_set in;

	(void)buf;
	(void)len;
	FD_ZERO(&in);
	FD_SET(fd, &in);
	return select(fd + 1, &in, NULL, NULL, NULL);
}

static ssize_t by_pselect(int fd, void *buf, size_t len)
{
	fd_set in;

	(void)buf;
	(void)len;
	FD_ZERO(&in);
	FD_SET(fd, &in);
	return pselect(fd + 1, &in, NULL, NULL, NULL, NULL);
}

static ssize_t by_epoll(int fd, void *buf, size_t len)
{
	struct epoll_event event;

	(void)fd;
	(void)buf;
	(void)len;
	return epoll_wait(set, &event, 1, -1);
}

static ssize_t by_epoll_pwait(int fd, void *buf, size_t len)
{
	struct epoll_event event;

	(void)fd;
	(void)buf;
	(void)len;
	return epoll_pwait(set, &event, 1, -1, NULL);
}

static const struct receive_call waiting_calls[] = {
	{"poll", by_poll},       {"ppoll", by_ppoll},      {"select", by_select},
	{"pselect", by_pselect}, {"epoll_wait", by_epoll}, {"epoll_pwait", by_epoll_pwait},
};

#define WAITING_CALLS (sizeof(waiting_calls) / sizeof(waiting_calls[0]))

/* How the thread is when it is cancelled. */
enum way { BEFORE, ASLEEP, DISABLED, ASYNCHRONOUS };

static const char *const way_names[] = {"before", "asleep", "disabled", "asynchronous"};

struct job {
	const struct receive_call *receive;
	const struct send_call *send;
	enum way way;
	ssize_t result;
};

static void act(void *arg)
{
	struct job *job = arg;
	char buf[10] = "0123456789";
	int old;

	if (job->way == DISABLED)
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	if (job->way == ASYNCHRONOUS)
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	if (job->way == BEFORE || job->way == DISABLED)
		pthread_cancel(pthread_self());
	job->result = job->receive ? job->receive->run(stream, buf, sizeof(buf)) :
		job->send->run(stream, buf, sizeof(buf));
}

/* Runs it in a thread; the result is -1000 if it never came back from the call. */
static void run(struct job *job, const char *name)
{
	struct duo_thread t;
	void *end;

	job->result = -1000;
	if (job->way == ASLEEP || job->way == ASYNCHRONOUS) {
		duo_thread_asleep(&t, act, job);
		pthread_cancel(t.thread);
	} else {
		duo_thread_start(&t, act, job);
	}
	if (pthread_join(t.thread, &end))
		die("pthread_join");
	say("%s, %s: cancelled %d, result %zd", name, way_names[job->way],
	    end == PTHREAD_CANCELED, job->result);
}

/* What is there to be read, then all of it. */
static void rest(int fd, size_t most)
{
	char buf[20] = "";
	ssize_t n = recv(fd, buf, most, MSG_DONTWAIT);

	say("  left %zd '%s'", n, buf);
}

/* Input is there. */
static void with_input(int fd, const struct receive_call *call, enum way way)
{
	struct job job = {.receive = call, .way = way};

	duo_post();
	duo_await_bytes(fd, 4);
	run(&job, call->name);
	rest(fd, 20);
}

static void without_input(int fd, const struct receive_call *call, enum way way)
{
	struct job job = {.receive = call, .way = way};

	run(&job, call->name);
	duo_post();
	duo_await_bytes(fd, 4);
	rest(fd, 20);
}

static void receivers(int fd, const struct receive_call *calls, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		with_input(fd, &calls[i], BEFORE);
		with_input(fd, &calls[i], DISABLED);
		without_input(fd, &calls[i], ASLEEP);
		without_input(fd, &calls[i], ASYNCHRONOUS);
	}
}

static void senders(int fd)
{
	for (size_t i = 0; i < SEND_CALLS; i++) {
		struct job job = {.send = &send_calls[i]};

		/* their own file or pipe has calls of its own */
		if (job.send->run == by_sendfile || job.send->run == by_splice_in)
			continue;
		for (int way = BEFORE; way <= ASYNCHRONOUS; way++) {
			bool sleeps = way == ASLEEP || way == ASYNCHRONOUS;
			size_t filled = 0;

			/* filling takes its time: two of them stand for all */
			if (sleeps && job.send->run != write && job.send->run != by_sendmsg)
				continue;
			job.way = (enum way)way;
			if (sleeps)
				filled = duo_fill_up(fd);
			run(&job, job.send->name);
			duo_tell((int)filled);
			duo_await();
		}
	}
}

static void server(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int in_set;

	duo_warmup(fd);
	/* known for all threads before the first of them */
	set = epoll_create1(EPOLL_CLOEXEC);
	stream = fd;
	receivers(fd, receive_calls, RECEIVE_CALLS);
	close(fd);
	stream = fd = duo_another_warm();
	receivers(fd, waiting_calls, 4);
	close(fd);
	stream = in_set = duo_another_warm();
	epoll_ctl(set, EPOLL_CTL_ADD, in_set, &event);
	receivers(in_set, &waiting_calls[4], WAITING_CALLS - 4);
	close(in_set);
	stream = fd = duo_another_warm();
	senders(fd);
	duo_tell(-1);
	close(fd);
	duo_meet();
}

static void client_receivers(int fd, size_t nr)
{
	char byte;

	for (size_t i = 0; i < 4 * nr; i++) {
		duo_await();
		duo_write_all(fd, "data", 4);
	}
	say_result("read at end", read(fd, &byte, 1));
	close(fd);
}

static void client(int fd)
{
	static char buf[1 << 16];
	size_t left;
	int filled;

	duo_warmup(fd);
	client_receivers(fd, RECEIVE_CALLS);
	client_receivers(duo_another_warm(), 4);
	client_receivers(duo_another_warm(), WAITING_CALLS - 4);
	fd = duo_another_warm();
	while ((filled = duo_hear()) >= 0) {
		for (left = (size_t)filled; left > 0;)
			left -= duo_read_all(fd, buf, left < sizeof(buf) ? left : sizeof(buf));
		duo_post();
	}
	/* what was sent by calls that came back */
	say("sent beside: %zu", duo_drain(fd));
	duo_meet();
}

DUO_PROGRAM(.description = "cancellation of every call", .server = server, .client = client)
