/* SPDX-License-Identifier: MIT */
/*
 * Description: a thread is cancelled in a call that has moved a part of its bytes, or
 * none; its cleanup handler uses the same stream, and may close it.  The part that was
 * moved is gone, the stream goes on, and ends with its last number.
 */
#include "duo.h"

#define BIG (16u << 20) /* more than all buffers between the ends */

enum sleep { IN_RECV, IN_WAITALL, IN_SEND, IN_POLL, SLEEPS };

static const char *const names[] = {"recv", "recv of all", "send of much", "poll"};

struct job {
	int fd;
	enum sleep where;
	bool closes;
	char left[64];
};

static unsigned char big[BIG];

static void cleanup(void *arg)
{
	struct job *job = arg;
	ssize_t n = recv(job->fd, job->left, sizeof(job->left) - 1, MSG_DONTWAIT);

	job->left[n > 0 ? n : 0] = '\0';
	say("  cleanup has read '%s'", job->left);
	/* a full stream takes nothing more */
	if (job->where != IN_SEND)
		say_result("  cleanup writes",
			   send(job->fd, "bye", 3, MSG_NOSIGNAL | MSG_DONTWAIT));
	if (job->closes)
		say_result("  cleanup closes", close(job->fd));
}

static void act(void *arg)
{
	struct job *job = arg;
	struct pollfd p = {.fd = job->fd, .events = POLLIN};
	char buf[10];

	pthread_cleanup_push(cleanup, job);
	switch (job->where) {
	case IN_RECV:
		recv(job->fd, buf, sizeof(buf), 0);
		break;
	case IN_WAITALL:
		recv(job->fd, buf, sizeof(buf), MSG_WAITALL);
		break;
	case IN_SEND:
		send(job->fd, big, BIG, MSG_NOSIGNAL);
		break;
	default:
		poll(&p, 1, -1);
	}
	say("  came back");
	pthread_cleanup_pop(0);
}

static void server(int fd)
{
	struct duo_thread t;
	struct job job;
	void *end;
	char buf[10];

	close(fd);
	duo_pattern(big, BIG, 5);
	for (int i = 0; i < 2 * SLEEPS; i++) {
		job = (struct job){.where = (enum sleep)(i / 2), .closes = i % 2};
		job.fd = duo_another_warm();
		say("%s", names[job.where]);
		if (job.where == IN_WAITALL) {
			duo_post();
			duo_await_bytes(job.fd, 4);
		}
		duo_thread_asleep(&t, act, &job);
		pthread_cancel(t.thread);
		pthread_join(t.thread, &end);
		say("  cancelled %d", end == PTHREAD_CANCELED);
		duo_post();
		if (job.closes)
			continue;
		if (job.where != IN_SEND) {
			say_result("  read on", read(job.fd, buf, sizeof(buf)));
			say_result("  write on", write(job.fd, "on", 2));
		}
		say_result("  close", close(job.fd));
	}
	duo_meet();
}

/* Reads to the end; what came is the start of the big send, or short. */
static void rest(int fd, bool much)
{
	static unsigned char in[BIG];
	size_t got = duo_read_all(fd, in, sizeof(in));

	if (much)
		say("  read a part: %d", got > 0 && got < BIG && !memcmp(in, big, got));
	else
		say("  read '%.*s'", (int)got, in);
	close(fd);
}

static void client(int fd)
{
	close(fd);
	duo_pattern(big, BIG, 5);
	for (int i = 0; i < 2 * SLEEPS; i++) {
		enum sleep where = (enum sleep)(i / 2);

		fd = duo_another_warm();
		say("%s", names[where]);
		if (where == IN_WAITALL) {
			duo_await();
			duo_write_all(fd, "part", 4);
		}
		duo_await();
		if (i % 2 == 0 && where != IN_SEND)
			duo_write_all(fd, "more", 4);
		rest(fd, where == IN_SEND);
	}
	duo_meet();
}

DUO_PROGRAM(.description = "cancelled with a part moved; cleanup on the same stream",
	    .server = server, .client = client)
