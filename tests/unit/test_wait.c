/* SPDX-License-Identifier: MIT */

/*
 * wait.c: who sleeps is woken, by a bell, the end of the link, a signal or the
 * time-out; several threads share one link.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "spin.h"
#include "sys.h"
#include "wait.h"

static int links[2];
static struct shmfd_wait here, there;
static _Atomic uint32_t nobody;

static int link_up(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, links), 0);
	memset(&here, 0, sizeof(here));
	memset(&there, 0, sizeof(there));
	here.link = links[0];
	there.link = links[1];
	store_relaxed(&nobody, 0);
	return 0;
}

static int link_down(void **state)
{
	(void)state;
	close(links[0]);
	if (links[1] >= 0)
		close(links[1]);
	return 0;
}

/* Enter and sleep, as recv.c and send.c do; -EBUSY: another kind sleeps. */
static int sleep_at(uint32_t turn, int64_t timeout_ns)
{
	if (!shmfd_wait_enter(&here, &nobody))
		return -EBUSY;
	return shmfd_wait_sleep(&here, turn, timeout_ns, -1, timeout_ns >= 0);
}

static int sleep_here(int64_t timeout_ns)
{
	return sleep_at(shmfd_wait_turn(&here), timeout_ns);
}

static void nobody_is_left_inside(void)
{
	assert_int_equal(load_relaxed(&here.blocked), 0);
	assert_int_equal(load_relaxed(&here.followers), 0);
	assert_int_equal(load_relaxed(&here.turn) & 1, 0);
}

/* ---- one sleeper ----------------------------------------------------------- */

static void test_bell_before_the_sleep_is_not_lost(void **state)
{
	(void)state;
	shmfd_wait_ring(links[1]);
	assert_int_equal(sleep_here(-1), 0);
	shmfd_wait_ring(links[1]);
	assert_int_equal(sleep_here(1000000000), 0);
	nobody_is_left_inside();
}

static void test_time_out_is_kept(void **state)
{
	static const int64_t ns[] = { 0, 1, 999, 5000000, 30000000 };

	(void)state;
	for (size_t i = 0; i < NR(ns); i++) {
		int64_t start = shmfd_now_ns();

		assert_int_equal(sleep_here(ns[i]), -ETIMEDOUT);
		assert_true(shmfd_now_ns() - start >= ns[i]);
		nobody_is_left_inside();
	}
}

static void test_end_of_the_link_wakes_for_ever(void **state)
{
	(void)state;
	assert_false(shmfd_wait_has_ended(&here));
	close(links[1]);
	links[1] = -1;
	assert_int_equal(sleep_here(-1), 1);
	assert_int_equal(sleep_here(-1), 1);
	assert_int_equal(sleep_here(0), 1);
	assert_true(shmfd_wait_has_ended(&here));
	assert_int_equal(shmfd_wait_drain(&here), -EPIPE);
	nobody_is_left_inside();
}

static void test_shut_down_link_has_ended_for_both(void **state)
{
	(void)state;
	shmfd_wait_ring(links[1]);
	shutdown(links[1], SHUT_RDWR);
	assert_true(shmfd_wait_has_ended(&here));
	assert_true(shmfd_wait_has_ended(&there));
	errno = 77;
	shmfd_wait_ring(links[0]);	/* no SIGPIPE, errno stays */
	assert_int_equal(errno, 77);
}

static void test_asking_for_the_end_takes_no_bell(void **state)
{
	(void)state;
	shmfd_wait_ring(links[1]);
	errno = 77;
	assert_false(shmfd_wait_has_ended(&here));
	assert_int_equal(errno, 77);
	assert_int_equal(shmfd_wait_drain(&here), 1);
}

static void test_drain_is_bounded_and_ringing_never_blocks(void **state)
{
	int sum = 0, n, most = 0;

	(void)state;
	assert_int_equal(shmfd_wait_drain(&here), 0);
	for (int i = 0; i < 5000; i++)
		shmfd_wait_ring(links[1]);
	while ((n = shmfd_wait_drain(&here)) > 0) {
		most = n > most ? n : most;
		sum += n;
	}
	assert_int_equal(n, 0);
	assert_true(most <= 64);
	assert_true(sum > 64 && sum < 5000);
}

static void test_sleepers_of_another_kind_are_respected(void **state)
{
	(void)state;
	store_relaxed(&nobody, 1);
	assert_int_equal(sleep_here(-1), -EBUSY);
	nobody_is_left_inside();
}

static void test_old_turn_means_look_again(void **state)
{
	uint32_t turn = shmfd_wait_turn(&here);

	(void)state;
	shmfd_wait_ring(links[1]);
	assert_int_equal(sleep_here(-1), 0);
	/* somebody led in between: that bell may have been for us */
	assert_int_equal(sleep_at(turn, -1), 0);
	nobody_is_left_inside();
}

static void on_signal(int sig)
{
	(void)sig;
}

struct sleeper {
	pthread_t thread;
	_Atomic int tid;
	_Atomic int done;
	int64_t timeout_ns;
	int ret;
};

static void *sleeping(void *arg)
{
	struct sleeper *s = arg;

	store_release(&s->tid, (int)gettid());
	s->ret = sleep_here(s->timeout_ns);
	store_release(&s->done, 1);
	return NULL;
}

static bool is_asleep(int tid)
{
	char path[64], text[256] = "";
	FILE *f;

	if (!tid)
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strrchr(text, ')') && strrchr(text, ')')[2] == 'S';
}

/* Starts @s and comes back when it sleeps inside. */
static void fall_asleep(struct sleeper *s, uint32_t nr)
{
	assert_int_equal(pthread_create(&s->thread, NULL, sleeping, s), 0);
	while (load_acquire(&here.blocked) != nr || !is_asleep(load_acquire(&s->tid)))
		sched_yield();
}

static void test_signal_interrupts_or_restarts_as_the_host_asked(void **state)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct sleeper a = { .timeout_ns = -1 }, b = { .timeout_ns = 20000000000ll },
		c = { .timeout_ns = -1 };

	(void)state;
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &sa, NULL);
	fall_asleep(&a, 1);
	pthread_kill(a.thread, SIGUSR1);
	pthread_join(a.thread, NULL);
	assert_int_equal(a.ret, -EINTR);
	/* with a time-out the kernel never restarts (signal(7)) */
	fall_asleep(&b, 1);
	pthread_kill(b.thread, SIGUSR2);
	pthread_join(b.thread, NULL);
	assert_int_equal(b.ret, -EINTR);
	/* restarted: sleeps on until the bell */
	fall_asleep(&c, 1);
	pthread_kill(c.thread, SIGUSR2);
	while (!is_asleep(load_acquire(&c.tid)))
		sched_yield();
	assert_int_equal(load_acquire(&c.done), 0);
	shmfd_wait_ring(links[1]);
	pthread_join(c.thread, NULL);
	assert_int_equal(c.ret, 0);
	nobody_is_left_inside();
}

static void test_cancelled_sleeper_leaves_nothing(void **state)
{
	struct sleeper lead = { .timeout_ns = -1 }, follow = { .timeout_ns = -1 };
	void *ret;

	(void)state;
	fall_asleep(&lead, 1);
	fall_asleep(&follow, 2);
	pthread_cancel(follow.thread);
	pthread_join(follow.thread, &ret);
	assert_ptr_equal(ret, PTHREAD_CANCELED);
	assert_int_equal(load_acquire(&here.followers), 0);
	assert_int_equal(load_acquire(&here.blocked), 1);
	pthread_cancel(lead.thread);
	pthread_join(lead.thread, &ret);
	assert_ptr_equal(ret, PTHREAD_CANCELED);
	nobody_is_left_inside();
	/* the next one can lead */
	shmfd_wait_ring(links[1]);
	assert_int_equal(sleep_here(1000000000), 0);
}

/* ---- several ------------------------------------------------------------------ */

/* One bell: the leader goes, and all followers look again. */
static void test_leader_that_leaves_wakes_the_followers(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		struct sleeper s[4];

		link_down(NULL);
		link_up(NULL);
		for (uint32_t i = 0; i < NR(s); i++) {
			s[i] = (struct sleeper){ .timeout_ns = -1 };
			fall_asleep(&s[i], i + 1);
		}
		assert_int_equal(load_acquire(&here.followers), NR(s) - 1);
		if (way == 0)
			shmfd_wait_ring(links[1]);
		else if (way == 1)
			shutdown(links[1], SHUT_RDWR);
		else
			pthread_kill(s[0].thread, SIGUSR1);
		for (size_t i = 0; i < NR(s); i++)
			pthread_join(s[i].thread, NULL);
		assert_int_equal(s[0].ret, way == 0 ? 0 : way == 1 ? 1 : -EINTR);
		for (size_t i = 1; i < NR(s); i++)
			assert_int_equal(s[i].ret, 0);
		nobody_is_left_inside();
	}
}

static void test_follower_keeps_its_own_time_out(void **state)
{
	struct sleeper lead = { .timeout_ns = -1 };
	int64_t start;

	(void)state;
	fall_asleep(&lead, 1);
	start = shmfd_now_ns();
	assert_int_equal(sleep_here(10000000), -ETIMEDOUT);
	assert_true(shmfd_now_ns() - start >= 10000000);
	assert_int_equal(load_acquire(&here.followers), 0);
	assert_int_equal(load_acquire(&here.blocked), 1);
	shmfd_wait_ring(links[1]);
	pthread_join(lead.thread, NULL);
	assert_int_equal(lead.ret, 0);
}

/* ---- publish, then look ---------------------------------------------------------- */

#define ITEMS	30000u

static _Atomic uint32_t published, word;

static void *publisher(void *arg)
{
	(void)arg;
	for (uint32_t i = 1; i <= ITEMS; i++) {
		store_seq_cst(&published, i);
		shmfd_sleep_wake(&word, 0, load_seq_cst(&word), links[1]);
		if (i % 7 == 0)
			sched_yield();
	}
	return NULL;
}

struct taker {
	pthread_t thread;
	uint32_t wakes;
	int bad;
};

/* Sleeps whenever nothing new is there; ends when it saw the last. */
static void *taker(void *arg)
{
	struct taker *t = arg;
	uint32_t seen = 0;

	while (seen < ITEMS) {
		uint32_t turn = shmfd_wait_turn(&here), now;

		shmfd_sleep_set(&word);
		now = load_seq_cst(&published);
		if (now != seen) {
			seen = now;
			continue;
		}
		if (sleep_at(turn, -1) != 0)
			t->bad = 1;
		t->wakes++;
	}
	return NULL;
}

/* A lost wake would leave a thread asleep: the alarm tells. */
static void test_no_wake_is_lost(void **state)
{
	(void)state;
	for (size_t nr = 1; nr <= 3; nr++) {
		struct taker t[3];
		pthread_t p;

		store_relaxed(&published, 0);
		store_relaxed(&word, 0);
		memset(t, 0, sizeof(t));
		for (size_t i = 0; i < nr; i++)
			assert_int_equal(pthread_create(&t[i].thread, NULL, taker, &t[i]), 0);
		assert_int_equal(pthread_create(&p, NULL, publisher, NULL), 0);
		pthread_join(p, NULL);
		for (size_t i = 0; i < nr; i++) {
			pthread_join(t[i].thread, NULL);
			assert_int_equal(t[i].bad, 0);
		}
		nobody_is_left_inside();
		while (shmfd_wait_drain(&here) > 0)
			;
	}
}

static void test_a_long_sleep_is_seen_as_one_also_behind_a_brief_one(void **state)
{
	_Atomic uint32_t w = 0x300;	/* the owner's bits */

	_Atomic uint32_t others = 0x10000;	/* the upper half counts something else */

	(void)state;
	shmfd_sleep_set_brief(&w, &others);
	assert_int_equal(load_relaxed(&w), 0x300 | SHMFD_SLEEP | SHMFD_BRIEF | SHMFD_SLEEP_ONE);
	shmfd_sleep_set(&w);
	assert_int_equal(load_relaxed(&w), 0x300 | SHMFD_SLEEP | 2 * SHMFD_SLEEP_ONE);
	others++;
	shmfd_sleep_set_brief(&w, &others);
	assert_int_equal(load_relaxed(&w), 0x300 | SHMFD_SLEEP | 3 * SHMFD_SLEEP_ONE);
}

static void test_sleep_word_is_cleared_only_for_the_sleep_that_was_seen(void **state)
{
	_Atomic uint32_t w = 0x300;	/* the owner's bits */
	uint32_t seen;

	(void)state;
	assert_false(shmfd_sleep_wake(&w, 0, 0x300, links[1]));
	assert_int_equal(shmfd_wait_drain(&here), 0);
	shmfd_sleep_set(&w);
	seen = load_relaxed(&w);
	assert_int_equal(seen & 0xffff, 0x301);
	assert_true(shmfd_sleep_wake(&w, 0, seen, links[1]));
	assert_int_equal(load_relaxed(&w) & 0xffff, 0x300);
	assert_int_equal(shmfd_wait_drain(&here), 1);
	/* a later sleep is not the one that was seen */
	shmfd_sleep_set(&w);
	seen = load_relaxed(&w);
	shmfd_sleep_set(&w);
	assert_true(shmfd_sleep_wake(&w, 0, seen, links[1]));
	assert_int_equal(load_relaxed(&w) & SHMFD_SLEEP, SHMFD_SLEEP);
	/* the count goes round and spoils nothing */
	for (int i = 0; i < 70000; i++)
		shmfd_sleep_set(&w);
	assert_int_equal(load_relaxed(&w) & 0xffff, 0x301);
}

static void test_a_nap_is_rung_for_once_by_whom_it_concerns(void **state)
{
	uint64_t nap = shmfd_nap_new(), last = (1ull << SHMFD_NAP_BITS) - 1;
	_Atomic uint32_t w = 0;

	(void)state;
	assert_true(nap && nap < shmfd_nap_new());
	/* keys: nobody known, no nap, two processes with one number */
	assert_true(!shmfd_nap_key(0, nap) && !shmfd_nap_key(7, 0));
	assert_false(shmfd_nap_key(1u << 24, nap));
	assert_true(shmfd_nap_key(7, nap) != shmfd_nap_key(8, nap));
	shmfd_sleep_set(&w);
	assert_true(shmfd_sleep_wake(&w, shmfd_nap_key(7, nap), load_relaxed(&w), links[1]));
	shmfd_sleep_set(&w);
	assert_false(shmfd_sleep_wake(&w, shmfd_nap_key(7, nap), load_relaxed(&w), links[1]));
	assert_int_equal(shmfd_wait_drain(&here), 1);
	/* another that repeats the number has its own bell, and so has who sleeps alone */
	assert_true(shmfd_sleep_wake(&w, shmfd_nap_key(8, nap), load_relaxed(&w), links[1]));
	shmfd_sleep_set(&w);
	assert_true(shmfd_sleep_wake(&w, 0, load_relaxed(&w), links[1]));
	assert_int_equal(shmfd_wait_drain(&here), 2);
	/* no bell was taken: not rung for */
	shmfd_nap_init(last - 1);
	nap = shmfd_nap_key(7, shmfd_nap_new());
	assert_true(nap == shmfd_nap_key(7, last));
	shmfd_sleep_set(&w);
	shmfd_sleep_wake(&w, nap, load_relaxed(&w), -1);
	shmfd_sleep_set(&w);
	assert_true(shmfd_sleep_wake(&w, nap, load_relaxed(&w), links[1]));
	assert_int_equal(shmfd_wait_drain(&here), 1);
	/* numbers go round, past 0 */
	assert_int_equal(shmfd_nap_new(), 1);
}

/* ---- the governor ------------------------------------------------------------------ */

#define T(f)	cmocka_unit_test_setup_teardown(f, link_up, link_down)

int main(void)
{
	static const struct CMUnitTest test[] = {
		T(test_bell_before_the_sleep_is_not_lost),
		T(test_time_out_is_kept),
		T(test_end_of_the_link_wakes_for_ever),
		T(test_shut_down_link_has_ended_for_both),
		T(test_asking_for_the_end_takes_no_bell),
		T(test_drain_is_bounded_and_ringing_never_blocks),
		T(test_sleepers_of_another_kind_are_respected),
		T(test_old_turn_means_look_again),
		T(test_signal_interrupts_or_restarts_as_the_host_asked),
		T(test_cancelled_sleeper_leaves_nothing),
		T(test_leader_that_leaves_wakes_the_followers),
		T(test_follower_keeps_its_own_time_out),
		T(test_no_wake_is_lost),
		T(test_a_nap_is_rung_for_once_by_whom_it_concerns),
		T(test_sleep_word_is_cleared_only_for_the_sleep_that_was_seen),
		T(test_a_long_sleep_is_seen_as_one_also_behind_a_brief_one),
	};

	return unit_run(test);
}
