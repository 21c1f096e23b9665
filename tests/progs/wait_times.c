/* SPDX-License-Identifier: MIT */
/*
 * Description: no wait ends before its time-out, in nanoseconds; short ones are not
 * stretched to the next millisecond; endless, zero and wrong times; the time left.
 */
#include "sets.h"

#include <limits.h>
#include <sys/select.h>

enum { POLL, PPOLL, SELECT, PSELECT, EPOLL, EPOLL_PWAIT, EPOLL_PWAIT2, WAYS };

static const char *const names[WAYS] = {
	"poll", "ppoll", "select", "pselect", "epoll_wait", "epoll_pwait", "epoll_pwait2",
};

/* volatile: the compiler must not know. */
static volatile int most = INT_MAX, fewest = INT_MIN;
static int stream, set;

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* NULL: for ever. */
static int wait_for(int way, const struct timespec *t)
{
	int ms = t ? (int)(t->tv_sec * 1000 + t->tv_nsec / 1000000) : -1;
	struct pollfd p = {.fd = stream, .events = POLLIN};
	struct epoll_event event;
	struct timeval tv = {0, 0};
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(stream, &fds);
	if (t)
		tv = (struct timeval){t->tv_sec, t->tv_nsec / 1000};
	switch (way) {
	case POLL:
		return poll(&p, 1, ms);
	case PPOLL:
		return ppoll(&p, 1, t, NULL);
	case SELECT:
		return select(stream + 1, &fds, NULL, NULL, t ? &tv : NULL);
	case PSELECT:
		return pselect(stream + 1, &fds, NULL, NULL, t, NULL);
	case EPOLL:
		return epoll_wait(set, &event, 1, ms);
	case EPOLL_PWAIT:
		return epoll_pwait(set, &event, 1, ms, NULL);
	default:
		return epoll_pwait2(set, &event, 1, t, NULL);
	}
}

#define NEAR_NS 700000

/* Never too short, and the shortest of many is near what was asked; on a busy machine
 * of very many. */
static void measure(int way, int64_t ns, int times)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	int64_t shortest = INT64_MAX;
	int results = 0;

	for (int i = 0; i < times || (shortest >= ns + NEAR_NS && i < 10 * times); i++) {
		int64_t start = now_ns(), took;

		results += wait_for(way, &t);
		took = now_ns() - start;
		shortest = took < shortest ? took : shortest;
	}
	say("%s of %lld ns: %d, too short %d, near %d", names[way], (long long)ns, results,
	    shortest < ns, shortest < ns + NEAR_NS);
}

static void wrong_times(void)
{
	static const struct timespec wrong[] = {{0, 1000000000}, {0, -1}, {-1, 0}, {1, LONG_MAX}};
	struct epoll_event event;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		say("wrong time %zu", i);
		say_result("ppoll", wait_for(PPOLL, &wrong[i]));
		say_result("pselect", wait_for(PSELECT, &wrong[i]));
		say_result("epoll_pwait2", wait_for(EPOLL_PWAIT2, &wrong[i]));
	}
	say_result("more events than there can be", epoll_wait(set, &event, most, 0));
	say_result("fewest", epoll_wait(set, &event, fewest, 0));
}

/* A negative time of poll and epoll_wait is endless, and so is one of ages. */
static void endless(void)
{
	static const struct timespec ages = {LONG_MAX, 999999999};
	struct pollfd p = {.fd = stream, .events = POLLIN};
	struct epoll_event event;
	char buf[8];

	for (int i = 0; i < WAYS + 5; i++) {
		const char *name = i < WAYS ? names[i] : "endless in another way";
		int n;

		duo_tell(getpid());
		if (i < WAYS)
			n = wait_for(i, NULL);
		else if (i == WAYS)
			n = poll(&p, 1, INT_MIN);
		else if (i == WAYS + 1)
			n = epoll_wait(set, &event, 1, INT_MIN);
		else if (i == WAYS + 2)
			n = wait_for(PPOLL, &ages);
		else if (i == WAYS + 3)
			n = wait_for(PSELECT, &ages);
		else
			n = wait_for(EPOLL_PWAIT2, &ages);
		say_result(name, n);
		say_result("read", read(stream, buf, sizeof(buf)));
	}
}

/* The time left, as Linux puts it into select's argument. */
static void left(void)
{
	struct timeval tv = {5, 2000000};
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(stream, &fds);
	say_result("select with data", select(stream + 1, &fds, NULL, NULL, &tv));
	say("most is left %d", tv.tv_sec <= 7 && tv.tv_sec >= 3 && tv.tv_usec < 1000000);
	tv = (struct timeval){0, 0};
	say_result("select, no time", select(stream + 1, &fds, NULL, NULL, &tv));
	say("left %d %d", (int)tv.tv_sec, (int)tv.tv_usec);
	FD_SET(700, &fds);
	tv = (struct timeval){3, 5};
	say_result("select of a closed one", select(701, &fds, NULL, NULL, &tv));
	say("most is left %d", tv.tv_sec >= 1 && tv.tv_sec <= 3);
	say("sets as they were %d %d", !!FD_ISSET(stream, &fds), !!FD_ISSET(700, &fds));
}

static void server(int fd)
{
	static const int64_t times[] = {1000000, 3000000, 27000000};
	static const int64_t short_times[] = {0, 1000, 100000, 1400000};

	duo_warmup(fd);
	stream = fd;
	set = duo_set_new();
	duo_set_ctl(set, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
	for (int way = 0; way < WAYS; way++) {
		for (int i = 0; i < 3; i++)
			measure(way, times[i], 8);
		for (int i = 0; i < 4; i++) {
			if (way != POLL && way != EPOLL && way != EPOLL_PWAIT)
				measure(way, short_times[i], 40);
		}
	}
	wrong_times();
	endless();
	duo_tell(0);
	duo_await_bytes(fd, 1);
	left();
	duo_tell(-1);
}

static void client(int fd)
{
	int word;

	duo_warmup(fd);
	while ((word = duo_hear()) >= 0) {
		if (word)
			duo_await_asleep(word, word);
		duo_write_all(fd, "data", 4);
	}
}

DUO_PROGRAM(.description = "time-outs of all waits", .server = server, .client = client)
