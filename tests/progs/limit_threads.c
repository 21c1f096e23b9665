/* SPDX-License-Identifier: MIT */
/*
 * Description: many threads whose streams move to rings at once; the program's own limit
 * of descriptors is as it was, and its forked child's.
 */
#include "duo.h"

#include <sys/resource.h>

#define THREADS 8
#define ROUNDS 12

static pthread_barrier_t gate;
static int streams[THREADS][ROUNDS];

static void say_limit(const char *who)
{
	struct rlimit most;

	if (getrlimit(RLIMIT_NOFILE, &most))
		die("getrlimit");
	say("%s: limit %llu", who, (unsigned long long)most.rlim_cur);
}

static void run(void *arg)
{
	int *fd = arg;

	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&gate);
		duo_warmup(fd[i]);
	}
}

static void both(int fd)
{
	struct duo_thread t[THREADS];

	close(fd);
	/* a stream for each thread and round, in the same order at both ends */
	for (int k = 0; k < THREADS; k++) {
		for (int i = 0; i < ROUNDS; i++)
			streams[k][i] = duo_another();
	}
	pthread_barrier_init(&gate, NULL, THREADS);
	for (int k = 0; k < THREADS; k++)
		duo_thread_start(&t[k], run, streams[k]);
	for (int k = 0; k < THREADS; k++)
		duo_thread_join(&t[k]);
	say_limit("after");
}

static void server(int fd)
{
	struct rlimit most;
	pid_t child;

	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = 500;
	setrlimit(RLIMIT_NOFILE, &most);
	both(fd);
	child = duo_fork();
	if (child == 0) {
		say_limit("child");
		_exit(0);
	}
	duo_reap(child, "child");
}

static void client(int fd)
{
	struct rlimit most;

	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = 600;
	setrlimit(RLIMIT_NOFILE, &most);
	both(fd);
}

DUO_PROGRAM(.description = "the limit of descriptors, many threads", .server = server,
	    .client = client)
