/* SPDX-License-Identifier: MIT */
/*
 * storm: preloaded beside the library under test, or alone in a run on the plain
 * kernel.  It disturbs the program from inside, in every process of it:
 *
 *   CHAOS_ALARM=restart|break   SIGALRM a thousand times a second, to a handler with
 *                               SA_RESTART or without it.  A program that takes the
 *                               signal for itself gets it all the same
 *   CHAOS_UNSEEN=1              each of those signals opens, keeps or closes descriptors
 *                               by system calls of its own, which nobody sees: numbers
 *                               come and go behind the back of all
 *   CHAOS_SEED=N                which of these
 *
 * Async-signal-safe: the handler makes raw system calls and keeps errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define PERIOD_NS	1000000
#define KEPT_NR		4

static int unseen;
static uint64_t state;
static int kept[KEPT_NR] = { -1, -1, -1, -1 };
static dev_t null_device;

static long raw(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

static int open_null(void)
{
	return (int)raw(SYS_open, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0);
}

/* Unless the program has closed it meanwhile, and uses the number itself. */
static void close_null(int fd)
{
	struct stat st;

	if (raw(SYS_fstat, fd, (long)&st, 0) == 0 && S_ISCHR(st.st_mode) &&
	    st.st_rdev == null_device)
		raw(SYS_close, fd, 0, 0);
}

static void on_alarm(int sig)
{
	static volatile int inside;
	int *place;

	(void)sig;
	/* two threads at a time: only one of them */
	if (!unseen || __atomic_exchange_n(&inside, 1, __ATOMIC_ACQUIRE))
		return;
	place = &kept[draw(KEPT_NR)];
	if (*place >= 0) {
		close_null(*place);
		*place = -1;
	} else if (draw(2)) {
		*place = open_null();
	} else {
		close_null(open_null());
	}
	__atomic_store_n(&inside, 0, __ATOMIC_RELEASE);
}

/* A forked child has the handler and not the timer. */
static void start_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	struct itimerspec period = {
		.it_interval.tv_nsec = PERIOD_NS,
		.it_value.tv_nsec = PERIOD_NS,
	};
	timer_t timer;

	if (!timer_create(CLOCK_MONOTONIC, &event, &timer))
		timer_settime(timer, 0, &period, NULL);
}

__attribute__((constructor)) static void begin(void)
{
	const char *alarm = getenv("CHAOS_ALARM"), *seed = getenv("CHAOS_SEED");
	struct sigaction sa = { .sa_handler = on_alarm };
	struct stat st;

	if (!alarm)
		return;
	unseen = getenv("CHAOS_UNSEEN") && !stat("/dev/null", &st);
	if (unseen)
		null_device = st.st_rdev;
	state = seed ? strtoull(seed, NULL, 10) : 1;
	sa.sa_flags = strcmp(alarm, "restart") ? 0 : SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	pthread_atfork(NULL, NULL, start_timer);
	start_timer();
}
