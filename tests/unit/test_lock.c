/* SPDX-License-Identifier: MIT */

/*
 * lock.c: one holder at a time, among threads and among processes; a dead
 * owner's lock is taken over; a handler is told that its own thread holds it.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lock.h"

/* In shared memory: a forked child has it too. */
static struct shared {
	struct shmfd_record rec;
	_Atomic uint32_t word;
	uint64_t a, b;		/* plain: the lock alone keeps them equal */
} *sh;

static int set_up(void **state)
{
	(void)state;
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(sh, MAP_FAILED);
	store_relaxed(&sh->rec.holders, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return munmap(sh, sizeof(*sh));
}

static void *nothing(void *arg)
{
	return arg;
}

/* From now on libc knows of threads, and the fast way alone is not enough. */
static void become_threaded(void)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, nothing, NULL), 0);
	pthread_join(t, NULL);
}

static void test_word_holds_the_owner(void **state)
{
	(void)state;
	errno = 77;
	assert_int_equal(shmfd_lock(&sh->rec, &sh->word), 0);
	assert_int_equal(load_relaxed(&sh->word), gettid());
	shmfd_unlock(&sh->rec, &sh->word);
	assert_int_equal(load_relaxed(&sh->word), 0);
	/* the slow way writes the same */
	assert_int_equal(shmfd_lock_slow(&sh->word), 0);
	assert_int_equal(load_relaxed(&sh->word), gettid());
	shmfd_unlock_slow(&sh->word);
	assert_int_equal(load_relaxed(&sh->word), 0);
	assert_int_equal(errno, 77);
}

static void test_own_lock_is_edeadlk(void **state)
{
	(void)state;
	for (uint32_t holders = 1; holders <= 2; holders++) {
		store_relaxed(&sh->rec.holders, holders);
		assert_int_equal(shmfd_lock(&sh->rec, &sh->word), 0);
		errno = 77;
		assert_int_equal(shmfd_lock(&sh->rec, &sh->word), -EDEADLK);
		assert_int_equal(errno, 77);
		/* told so at once also when somebody waits for it */
		fetch_or_seq_cst(&sh->word, SHMFD_LOCK_WAITERS);
		assert_int_equal(shmfd_lock(&sh->rec, &sh->word), -EDEADLK);
		store_relaxed(&sh->word, 0);
	}
}

static int in_handler = 1;

static void handler(int sig)
{
	(void)sig;
	in_handler = shmfd_lock(&sh->rec, &sh->word);
}

static void test_handler_meets_the_lock_of_its_thread(void **state)
{
	(void)state;
	signal(SIGUSR1, handler);
	assert_int_equal(shmfd_lock(&sh->rec, &sh->word), 0);
	raise(SIGUSR1);
	assert_int_equal(in_handler, -EDEADLK);
	shmfd_unlock(&sh->rec, &sh->word);
}

#ifndef __SANITIZE_THREAD__	/* which has a thread of its own */
static void test_alone_means_one_thread_and_one_holder(void **state)
{
	(void)state;
	assert_true(shmfd_alone(&sh->rec));
	store_relaxed(&sh->rec.holders, 2);
	assert_false(shmfd_alone(&sh->rec));
}
#endif

#define ROUNDS	20000

static void *add(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (shmfd_lock(&sh->rec, &sh->word))
			return arg;
		sh->a++;
		sh->b = sh->a;
		shmfd_unlock(&sh->rec, &sh->word);
	}
	return NULL;
}

static void test_threads_exclude_each_other(void **state)
{
	pthread_t t[4];
	void *bad;

	(void)state;
	for (size_t i = 0; i < NR(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, add, sh), 0);
	for (size_t i = 0; i < NR(t); i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(sh->a, NR(t) * ROUNDS);
	assert_int_equal(sh->b, sh->a);
	assert_int_equal(load_relaxed(&sh->word), 0);
}

static void test_processes_exclude_each_other(void **state)
{
	pid_t pid[3];
	int status;

	(void)state;
	store_relaxed(&sh->rec.holders, 1 + NR(pid));
	for (size_t i = 0; i < NR(pid); i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (!pid[i]) {
			alarm(UNIT_SECONDS);
			shmfd_tid_cached = 0;
			_exit(add(sh) != NULL);
		}
	}
	assert_null(add(sh));
	for (size_t i = 0; i < NR(pid); i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(sh->a, (1 + NR(pid)) * ROUNDS);
	assert_int_equal(sh->b, sh->a);
	assert_int_equal(load_relaxed(&sh->word), 0);
}

/* Killed while it held the lock, before or while somebody waits. */
static void test_lock_of_a_killed_process_is_taken_over(void **state)
{
	(void)state;
	store_relaxed(&sh->rec.holders, 2);
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (!pid) {
			shmfd_tid_cached = 0;
			shmfd_lock(&sh->rec, &sh->word);
			raise(SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(load_relaxed(&sh->word), pid);
		if (i == 1)
			fetch_or_seq_cst(&sh->word, SHMFD_LOCK_WAITERS);
		errno = 77;
		assert_int_equal(shmfd_lock(&sh->rec, &sh->word), 0);
		assert_int_equal(errno, 77);
		assert_int_equal(load_relaxed(&sh->word) & ~SHMFD_LOCK_WAITERS, gettid());
		shmfd_unlock(&sh->rec, &sh->word);
		assert_int_equal(load_relaxed(&sh->word), 0);
	}
}

static void *take_once(void *arg)
{
	int ret = shmfd_lock(&sh->rec, &sh->word);

	sh->b = sh->a;
	shmfd_unlock(&sh->rec, &sh->word);
	return ret ? arg : NULL;
}

/* A living owner is waited for, however long it takes. */
static void test_lock_of_a_living_thread_is_waited_for(void **state)
{
	pthread_t t;
	void *bad;

	(void)state;
	become_threaded();
	assert_int_equal(shmfd_lock(&sh->rec, &sh->word), 0);
	assert_int_equal(pthread_create(&t, NULL, take_once, sh), 0);
	/* it waits in earnest, past several looks at the owner */
	while (!(load_acquire(&sh->word) & SHMFD_LOCK_WAITERS))
		;
	usleep(70000);
	assert_int_equal(load_acquire(&sh->word), (uint32_t)gettid() | SHMFD_LOCK_WAITERS);
	sh->a = 5;
	shmfd_unlock(&sh->rec, &sh->word);
	pthread_join(t, &bad);
	assert_null(bad);
	assert_int_equal(sh->b, 5);
	assert_int_equal(load_relaxed(&sh->word), 0);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest test[] = {
		/* these while the process has one thread */
		T(test_word_holds_the_owner),
		T(test_own_lock_is_edeadlk),
		T(test_handler_meets_the_lock_of_its_thread),
#ifndef __SANITIZE_THREAD__
		T(test_alone_means_one_thread_and_one_holder),
#endif
		T(test_processes_exclude_each_other),
		T(test_lock_of_a_killed_process_is_taken_over),
		T(test_threads_exclude_each_other),
		T(test_lock_of_a_living_thread_is_waited_for),
		T(test_own_lock_is_edeadlk),
		T(test_word_holds_the_owner),
	};

	return unit_run(test);
}
