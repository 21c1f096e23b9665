/* SPDX-License-Identifier: MIT */

/*
 * spin.c: how long a waiter looks before it sleeps.  Times are only bounded from
 * one side, as the machine may be busy.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "spin.h"

#define CEILING_NS	50000
#define MANY		1000000

/* Every test in a thread of its own: penalties are the thread's. */
struct run {
	void (*body)(void);
};

static void *body_of(void *arg)
{
	((struct run *)arg)->body();
	return NULL;
}

static void alone(void (*body)(void))
{
	struct run r = { body };
	pthread_t thread;

	shmfd_spin_max_ns = CEILING_NS;
	assert_int_equal(pthread_create(&thread, NULL, body_of, &r), 0);
	pthread_join(thread, NULL);
}

/* A waiter that may spin now. */
static struct shmfd_spinner spinner(struct shmfd_spin *s)
{
	return (struct shmfd_spinner){ .tried = &s->looks, .budget_ns = CEILING_NS };
}

static bool begins(struct shmfd_spin *s, bool same_cpu)
{
	struct shmfd_spinner sp;

	return shmfd_spin_begin(&sp, s, same_cpu, -1);
}

static void no_ceiling(void)
{
	struct shmfd_spin s = { 0 };

	shmfd_spin_max_ns = 0;
	assert_false(begins(&s, false));
	assert_false(begins(&s, true));
}

static void test_ceiling_zero_never_spins(void **state)
{
	(void)state;
	alone(no_ceiling);
}

static void busy_looks(void)
{
	struct shmfd_spin s = { 0 };
	struct shmfd_spinner sp;
	int rounds = 0;
	int64_t began;

	assert_true(shmfd_spin_begin(&sp, &s, false, -1));
	assert_int_equal(sp.budget_ns, CEILING_NS);
	began = shmfd_now_ns();
	while (shmfd_spin_more(&sp) && rounds < MANY)
		rounds++;
	assert_true(rounds > 0 && rounds < MANY);
	/* the whole budget, unless somebody else had the core */
	assert_true(shmfd_now_ns() - began >= CEILING_NS);
	/* the caller's own time-out is shorter */
	memset(&s, 0, sizeof(s));
	if (shmfd_spin_begin(&sp, &s, false, 1000))
		assert_int_equal(sp.budget_ns, 1000);
	assert_false(shmfd_spin_begin(&sp, &s, false, 0));
}

static void test_busy_looks_end_with_the_budget(void **state)
{
	(void)state;
	alone(busy_looks);
}

static void yields(void)
{
	struct shmfd_spin s = { 0 };
	struct shmfd_spinner sp;
	int rounds = 0;

	assert_true(shmfd_spin_begin(&sp, &s, true, -1));
	assert_int_equal(sp.budget_ns, 0);
	while (shmfd_spin_more(&sp) && rounds < MANY)
		rounds++;
	assert_true(rounds >= 1 && rounds < 10);
	/* in vain: that says nothing about busy looks, and is not tried for ever */
	s.looks.in_vain = 12;
	for (rounds = 0; !s.yields.skip && rounds < 10; rounds++)
		shmfd_spin_slept(&sp, 1000000000);
	assert_in_range(rounds, 2, 6);
	assert_int_equal(s.looks.in_vain, 12);
	assert_false(begins(&s, true));
	assert_true(begins(&s, false));
	s = (struct shmfd_spin){ 0 };
	/* a short time-out could pass before the processor comes back */
	assert_false(shmfd_spin_begin(&sp, &s, true, 1000));
}

static void test_on_one_processor_a_few_yields(void **state)
{
	(void)state;
	alone(yields);
}

static void in_vain(int64_t block_ns, uint32_t most)
{
	struct shmfd_spin s = { 0 };
	struct shmfd_spinner sp = spinner(&s);
	uint32_t asked, tries = 0;

	/* one in vain now and then is nothing */
	for (int i = 0; i < 100; i++) {
		shmfd_spin_slept(&sp, block_ns);
		assert_int_equal(s.looks.skip, 0);
		for (int k = 0; k < 4; k++)
			shmfd_spin_paid(&sp);
	}
	while (!s.looks.skip && tries++ < 10)
		shmfd_spin_slept(&sp, block_ns);
	assert_in_range(tries, 2, 6);
	/* off: for a number of waits, then it is tried again */
	asked = s.looks.skip;
	for (uint32_t i = 0; i < asked; i++)
		assert_false(begins(&s, false));
	assert_int_equal(s.looks.skip, 0);
	/* pauses grow, but not without end */
	for (int i = 0; i < 1000; i++)
		shmfd_spin_slept(&sp, block_ns);
	assert_int_equal(s.looks.skip, most);
	/* it pays again: on, soon */
	for (tries = 0; s.looks.distance && tries < 100; tries++)
		shmfd_spin_paid(&sp);
	assert_in_range(tries, 4, 16);
	assert_int_equal(s.looks.skip, 0);
}

static void long_sleeps(void)
{
	in_vain(10000000, 4096);
}

static void short_sleeps(void)
{
	in_vain(20000, 64);
}

static void test_spins_in_vain_turn_it_off_and_others_on(void **state)
{
	(void)state;
	alone(long_sleeps);
	alone(short_sleeps);
}

/* Every second one pays: it stays off but for tries. */
static void half(void)
{
	struct shmfd_spin s = { 0 };
	struct shmfd_spinner sp = spinner(&s);
	int off = 0;

	for (int i = 0; i < 1000; i++) {
		if (i % 2)
			shmfd_spin_paid(&sp);
		else
			shmfd_spin_slept(&sp, 50000);
		off += s.looks.distance > 0;
	}
	assert_true(off > 900);
}

static void test_as_many_in_vain_as_not_is_too_many(void **state)
{
	(void)state;
	alone(half);
}

static void own_ceiling(void)
{
	struct shmfd_spin s = { .ceiling_ns = 200000 };
	struct shmfd_spinner sp;

	assert_true(shmfd_spin_begin(&sp, &s, false, -1));
	assert_int_equal(sp.budget_ns, 200000);
	shmfd_spin_max_ns = 0;	/* never is never */
	assert_false(begins(&s, false));
}

static void test_a_waiter_may_have_its_own_ceiling(void **state)
{
	(void)state;
	alone(own_ceiling);
}

static _Atomic bool hog_ends;

static void *hog(void *arg)
{
	while (!hog_ends)
		;
	return arg;
}

/* Competition is the thread's, for all streams; who runs there says nothing of the other way. */
static void assert_quiet(bool same_cpu)
{
	struct shmfd_spin other = { 0 };

	assert_false(begins(&other, same_cpu));
	assert_true(begins(&other, !same_cpu));
}

/* Two looks at the clock lay far apart, as another thread had the processor. */
static void interrupted(void)
{
	struct shmfd_spin s = { 0 };
	struct shmfd_spinner sp;
	pthread_t thread;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	hog_ends = false;
	assert_int_equal(pthread_create(&thread, NULL, hog, NULL), 0);
	assert_true(shmfd_spin_begin(&sp, &s, false, -1));
	sp.budget_ns = 2000000000;
	while (shmfd_spin_more(&sp))
		;
	assert_quiet(false);
	hog_ends = true;
	pthread_join(thread, NULL);
}

static bool went_on;

/* The same, but nobody had it: the machine below this one took it away. */
static void stolen(void)
{
	struct shmfd_spin s = { 0 };
	struct shmfd_spinner sp;

	assert_true(shmfd_spin_begin(&sp, &s, false, -1));
	sp.budget_ns = 2000000000;
	assert_true(shmfd_spin_more(&sp));
	sp.last -= 10000000;
	went_on = shmfd_spin_more(&sp) && begins(&s, false);
}

static void yielded_to_a_third(void)
{
	struct shmfd_spin s = { 0 };
	struct shmfd_spinner sp;

	assert_true(shmfd_spin_begin(&sp, &s, true, -1));
	sp.start = sp.last = shmfd_now_ns() - 10000000;
	assert_false(shmfd_spin_more(&sp));
	assert_quiet(true);
}

/* The peer answered, but a third had a time slice before. */
static void paid_late(void)
{
	struct shmfd_spin s = { 0 };
	struct shmfd_spinner sp;

	assert_true(shmfd_spin_begin(&sp, &s, true, -1));
	sp.last = shmfd_now_ns() - 3000000;
	shmfd_spin_paid(&sp);
	assert_false(begins(&s, true));
}

static void test_a_hole_in_the_clock_keeps_this_thread_quiet(void **state)
{
	(void)state;
	alone(interrupted);
	for (int i = 0; i < 100 && !went_on; i++)	/* a switch may come in between */
		alone(stolen);
	assert_true(went_on);
	alone(yielded_to_a_third);
	alone(paid_late);
}

static void test_one_cpu_follows_the_affinity(void **state)
{
	cpu_set_t old, one;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(old), &old), 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) {
		if (CPU_ISSET(i, &old))
			CPU_SET(i, &one);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_true(shmfd_one_cpu());
	if (shmfd_cpu())	/* 0: the C library does not tell */
		assert_true(CPU_ISSET((int)shmfd_cpu() - 1, &one));
	assert_int_equal(sched_setaffinity(0, sizeof(old), &old), 0);
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		/* first: what it learns of the affinity is kept for a while */
		cmocka_unit_test(test_one_cpu_follows_the_affinity),
		cmocka_unit_test(test_ceiling_zero_never_spins),
		cmocka_unit_test(test_busy_looks_end_with_the_budget),
		cmocka_unit_test(test_on_one_processor_a_few_yields),
		cmocka_unit_test(test_spins_in_vain_turn_it_off_and_others_on),
		cmocka_unit_test(test_as_many_in_vain_as_not_is_too_many),
		cmocka_unit_test(test_a_waiter_may_have_its_own_ceiling),
		cmocka_unit_test(test_a_hole_in_the_clock_keeps_this_thread_quiet),
	};

	return unit_run(test);
}
