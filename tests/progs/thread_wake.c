/* SPDX-License-Identifier: MIT */
/*
 * Description: shutdown by another thread wakes a blocked reader; close by
 * another thread does not, and the reader still gets what comes.
 */
#include "duo.h"

#include <pthread.h>
#include <sys/syscall.h>

struct reader {
	pthread_t thread;
	int fd;
	volatile pid_t tid;
	char buf[100];
	ssize_t result;
	int error;
};

static void *run(void *arg)
{
	struct reader *r = arg;

	r->tid = (pid_t)syscall(SYS_gettid);
	r->result = read(r->fd, r->buf, sizeof(r->buf));
	r->error = errno;
	return NULL;
}

static void start(struct reader *r, int fd)
{
	static const struct timespec pause = {.tv_nsec = 1000000};

	memset(r, 0, sizeof(*r));
	r->fd = fd;
	if (pthread_create(&r->thread, NULL, run, r))
		die("pthread_create");
	while (!r->tid)
		nanosleep(&pause, NULL);
	duo_await_asleep(getpid(), r->tid);
}

static void finish(struct reader *r, const char *what)
{
	pthread_join(r->thread, NULL);
	errno = r->error;
	say_result(what, r->result);
}

static void server(int fd)
{
	struct reader r;

	duo_warmup(fd);
	start(&r, fd);
	say_result("shutdown RD", shutdown(fd, SHUT_RD));
	finish(&r, "reader");
	close(fd);

	fd = duo_another_warm();
	start(&r, fd);
	say_result("shutdown RDWR", shutdown(fd, SHUT_RDWR));
	finish(&r, "reader");
	close(fd);

	fd = duo_another_warm();
	start(&r, fd);
	say_result("close", close(fd));
	say_result("read of the number", read(fd, r.buf, 1));
	duo_await_asleep(getpid(), r.tid);
	duo_post();
	finish(&r, "reader after close");
	say("'%.12s'", r.buf);

	fd = duo_another_warm();
	start(&r, fd);
	say_result("dup2 over it", dup2(STDOUT_FILENO, fd) == fd ? 0 : -1);
	duo_await_asleep(getpid(), r.tid);
	duo_post();
	finish(&r, "reader after dup2");
	say("'%.12s'", r.buf);
}

static void client(int fd)
{
	char byte;

	duo_warmup(fd);
	duo_poll(fd, POLLRDHUP | POLLHUP, 10000);
	close(fd);
	fd = duo_another_warm();
	say_result("read", read(fd, &byte, 1));
	close(fd);
	for (int i = 0; i < 2; i++) {
		fd = duo_another_warm();
		duo_await();
		duo_write_all(fd, "to the sleeper", 12);
		/* Its read was the last holder of the stream. */
		say_result("read", read(fd, &byte, 1));
		close(fd);
	}
}

DUO_PROGRAM(.description = "shutdown wakes a reader, close does not", .server = server,
	    .client = client)
