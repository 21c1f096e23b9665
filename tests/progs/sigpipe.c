/* SPDX-License-Identifier: MIT */
/*
 * Description: SIGPIPE comes once per failed write, to the writing thread, not
 * with MSG_NOSIGNAL, not when ignored; by default it kills.
 */
#include "duo.h"

#include <pthread.h>

static volatile sig_atomic_t seen;
static pthread_t receiver;

static void on_pipe(int signal_nr)
{
	(void)signal_nr;
	seen++;
	receiver = pthread_self();
}

static void server(int fd)
{
	duo_warmup(fd);
	say_result("shutdown RDWR", shutdown(fd, SHUT_RDWR));
	say_result("close", close(fd));
	duo_meet();
}

static void *writer(void *arg)
{
	int fd = *(int *)arg;

	say_result("write by a thread", write(fd, "x", 1));
	say("signals %d, here %d", (int)seen, pthread_equal(receiver, pthread_self()) != 0);
	return NULL;
}

static void client(int fd)
{
	struct iovec iov = {.iov_base = (void *)"xy", .iov_len = 2};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct sigaction sa = {.sa_handler = on_pipe};
	pthread_t thread;

	duo_warmup(fd);
	duo_meet();
	signal(SIGPIPE, SIG_IGN);
	duo_poll(fd, POLLRDHUP, 5000);
	/* Provoke the reset of a TCP peer that is gone. */
	send(fd, "x", 1, MSG_NOSIGNAL);
	duo_poll(fd, 0, 5000);
	say_result("write, ignored", write(fd, "x", 1));
	sigaction(SIGPIPE, &sa, NULL);
	say_result("write", write(fd, "x", 1));
	say("signals %d", (int)seen);
	say_result("writev", writev(fd, &iov, 1));
	say("signals %d", (int)seen);
	say_result("send", send(fd, "x", 1, 0));
	say("signals %d", (int)seen);
	say_result("sendmsg", sendmsg(fd, &msg, 0));
	say("signals %d", (int)seen);
	say_result("send nosignal", send(fd, "x", 1, MSG_NOSIGNAL));
	say_result("sendmsg nosignal", sendmsg(fd, &msg, MSG_NOSIGNAL));
	say_result("empty write", write(fd, "x", 0));
	say("signals %d", (int)seen);
	pthread_create(&thread, NULL, writer, &fd);
	pthread_join(thread, NULL);
	say("signals %d", (int)seen);
	signal(SIGPIPE, SIG_DFL);
	say("about to die");
	say_result("write", write(fd, "x", 1));
	say("still here");
}

DUO_PROGRAM(.description = "SIGPIPE: when, to whom, and that it kills", .server = server,
	    .client = client)
