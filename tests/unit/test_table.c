/* SPDX-License-Identifier: MIT */

/*
 * table.c: records are given once, zeroed, and come back; threads and forked
 * processes share them; no table is no harm.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "atomic.h"
#include "fdmap.h"
#include "sys.h"
#include "table.h"

static int refuse_errno;

static int no_memfd(const char *name, unsigned int flags)
{
	(void)name;
	(void)flags;
	errno = refuse_errno;
	return -1;
}

static int no_ftruncate(int fd, off_t len)
{
	(void)fd;
	(void)len;
	errno = EFBIG;
	return -1;
}

static int no_dup(int fd, int cmd, long arg)
{
	errno = EMFILE;
	return cmd == F_DUPFD_CLOEXEC ? -1 : fcntl(fd, cmd, arg);
}

/* First of all tests: there is no table yet. */
static void test_refused_table_can_be_made_later(void **state)
{
	struct shmfd_sys saved = shmfd_sys;
	struct rlimit most;
	int probe = dup(0), i;

	(void)state;
	close(probe);
	assert_null(shmfd_table);
	errno = 77;
	refuse_errno = EMFILE;
	shmfd_sys.memfd_create = no_memfd;
	assert_int_equal(shmfd_table_alloc(), -EMFILE);
	refuse_errno = ENOMEM;
	assert_int_equal(shmfd_table_alloc(), -ENOMEM);
	shmfd_sys = saved;
	shmfd_sys.ftruncate = no_ftruncate;
	assert_int_equal(shmfd_table_alloc(), -EFBIG);
	shmfd_sys = saved;
	/* asked for, it would be SIGXFSZ, not an error */
	getrlimit(RLIMIT_FSIZE, &most);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 100000, most.rlim_max });
	i = shmfd_table_alloc();
	setrlimit(RLIMIT_FSIZE, &most);
	assert_int_equal(i, -EFBIG);
	shmfd_sys.fcntl = no_dup;
	assert_int_equal(shmfd_table_alloc(), -EMFILE);
	shmfd_sys = saved;
	assert_null(shmfd_table);
	assert_int_equal(errno, 77);
	/* nothing stayed open */
	assert_int_equal(dup(0), probe);
	close(probe);
}

static void test_record_is_zeroed_and_held(void **state)
{
	struct shmfd_record *rec;
	struct stat st;
	int i, fds = 0;

	(void)state;
	errno = 77;
	i = shmfd_table_alloc();
	assert_int_equal(errno, 77);
	assert_int_equal(i, 0);
	assert_int_equal(shmfd_table->magic, SHMFD_TABLE_MAGIC);
	assert_int_equal(shmfd_table->version, SHMFD_LAYOUT_VERSION);
	assert_int_equal(shmfd_table->record_nr, SHMFD_TABLE_RECORDS);
	assert_int_equal(load_relaxed(&shmfd_table->high), 1);
	rec = shmfd_table_record(0);
	assert_int_equal(load_relaxed(&rec->used), 1);
	assert_int_equal(load_relaxed(&rec->holders), 1);
	memset((char *)rec + sizeof(rec->used), 0x5a, sizeof(*rec) - sizeof(rec->used));
	shmfd_table_free(0);
	assert_int_equal(load_relaxed(&rec->used), 0);
	assert_int_equal(shmfd_table_alloc(), 0);
	store_relaxed(&rec->used, 0);
	store_relaxed(&rec->holders, 0);
	for (size_t k = 0; k < sizeof(*rec); k++)
		assert_int_equal(((char *)rec)[k], 0);
	store_relaxed(&rec->used, 1);
	shmfd_table_free(0);
	/* its descriptor is hidden, and as long as the contract says */
	for (int fd = 0; fd <= (int)shmfd_fd_top(); fd++) {
		if (!shmfd_fd_is(fd, SHMFD_FD_HIDDEN))
			continue;
		fds++;
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, sizeof(struct shmfd_table));
	}
	assert_int_equal(fds, 1);
}

static void test_full_table_is_enomem_and_takes_back(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < SHMFD_TABLE_RECORDS; i++)
		assert_int_equal(shmfd_table_alloc(), i);
	assert_int_equal(shmfd_table_alloc(), -ENOMEM);
	assert_int_equal(load_relaxed(&shmfd_table->high), SHMFD_TABLE_RECORDS);
	shmfd_table_free(4711);
	assert_int_equal(shmfd_table_alloc(), 4711);
	assert_int_equal(shmfd_table_alloc(), -ENOMEM);
	for (uint32_t i = 0; i < SHMFD_TABLE_RECORDS; i++)
		shmfd_table_free(i);
	store_relaxed(&shmfd_table->next_free, 0);
}

/* Left by processes that were killed, in a table that is full. */
static void test_orphans_are_reclaimed_at_need(void **state)
{
	struct shmfd_record *rec;
	pid_t dead = fork();

	(void)state;
	if (!dead)
		_exit(0);
	assert_int_equal(waitpid(dead, NULL, 0), dead);
	for (uint32_t i = 0; i < SHMFD_TABLE_RECORDS; i++)
		assert_int_equal(shmfd_table_alloc(), i);
	/* not these: a living holder, and two of which one lives */
	store_relaxed(&shmfd_table_record(10)->holder_pid[0], (uint32_t)getpid());
	store_relaxed(&shmfd_table_record(12)->holder_pid[1], (uint32_t)dead);
	store_relaxed(&shmfd_table_record(12)->holders, 2);
	assert_int_equal(shmfd_table_alloc(), -ENOMEM);
	assert_int_equal(load_relaxed(&shmfd_table_record(12)->holders), 1);
	rec = shmfd_table_record(13);
	for (int i = 0; i < 2; i++)
		store_relaxed(&rec->holder_pid[i], (uint32_t)dead);
	store_relaxed(&rec->holders, 2);
	store_relaxed(&shmfd_table_record(14)->holder_pid[2], (uint32_t)dead);
	rec->rd_pos = 99;
	/* nobody looks at each of them for every stream, but for what is given back at once */
	for (int n = 0; n < 256; n++)
		assert_int_equal(shmfd_table_alloc(), -ENOMEM);
	shmfd_table_free(20);
	assert_int_equal(shmfd_table_alloc(), 20);
	errno = 77;
	assert_int_equal(shmfd_table_alloc(), 13);
	assert_int_equal(load_relaxed(&shmfd_table_record(14)->used), 0);
	assert_int_equal(shmfd_table_alloc(), 14);
	assert_int_equal(errno, 77);
	assert_int_equal(rec->rd_pos, 0);
	assert_int_equal(shmfd_table_alloc(), -ENOMEM);
	for (uint32_t i = 0; i < SHMFD_TABLE_RECORDS; i++)
		shmfd_table_free(i);
	store_relaxed(&shmfd_table->next_free, 0);
}

/* A child that has the record by fork, and then does what it is told by @what. */
enum what { STAYS, LEAVES, EXECS, HAS_NO_ROOM };

static pid_t child_of(uint32_t index, enum what what)
{
	char *const argv[] = { (char *)(uintptr_t)"sleep", (char *)(uintptr_t)"60", NULL };
	struct shmfd_record *rec = shmfd_table_record(index);
	int ready[2];
	char byte = 0;
	pid_t child;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fetch_add_acq_rel(&rec->holders, 1);
	child = fork();
	if (!child) {
		uint32_t me = (uint32_t)getpid();
		bool signs = shmfd_table_sign(me), joins = shmfd_table_join(index, me);

		close(ready[0]);
		if (!signs || joins == (what == HAS_NO_ROOM))
			_exit(1);
		if (what == LEAVES)
			shmfd_table_leave(index, me);
		if (what == EXECS)
			execvp(argv[0], argv);
		if (write(ready[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	assert_true(child > 0);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), what != EXECS);
	close(ready[0]);
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static uint32_t holders_now(uint32_t index)
{
	errno = 77;
	shmfd_table_drop_gone(index);
	assert_int_equal(errno, 77);
	return load_relaxed(&shmfd_table_record(index)->holders);
}

/* Killed, or gone on to another program: counted no more.  Who left by itself is not
 * subtracted again. */
static void test_holders_that_are_gone_are_taken_out(void **state)
{
	uint32_t i = (uint32_t)shmfd_table_alloc();
	pid_t stays, other;

	(void)state;
	stays = child_of(i, STAYS);
	assert_int_equal(holders_now(i), 2);
	other = child_of(i, EXECS);
	assert_int_equal(holders_now(i), 2);
	end(other);
	assert_int_equal(holders_now(i), 2);
	other = child_of(i, LEAVES);
	assert_int_equal(load_relaxed(&shmfd_table_record(i)->holders), 2);
	end(other);
	assert_int_equal(holders_now(i), 2);
	end(stays);
	assert_int_equal(holders_now(i), 1);
	shmfd_table_leave(i, 0);
	assert_int_equal(load_relaxed(&shmfd_table_record(i)->used), 0);
}

/* Three ids have room; the places of who is gone are used again. */
static void test_holders_without_room(void **state)
{
	uint32_t i = (uint32_t)shmfd_table_alloc();
	pid_t child[3], one_more;

	(void)state;
	for (size_t k = 0; k < NR(child); k++)
		child[k] = child_of(i, STAYS);
	one_more = child_of(i, HAS_NO_ROOM);
	end(one_more);
	assert_int_equal(holders_now(i), 5);
	end(child[1]);
	child[1] = child_of(i, STAYS);
	assert_int_equal(holders_now(i), 5);
	for (size_t k = 0; k < NR(child); k++)
		end(child[k]);
	assert_int_equal(holders_now(i), 2);
	shmfd_table_free(i);
}

/* Memory counts once it was touched: a server's streams that come and go take no more
 * records in all than there are at once.
 */
static void test_records_stay_dense(void **state)
{
	(void)state;
	store_relaxed(&shmfd_table->high, 0);
	for (int round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < 50; i++)
			assert_true(shmfd_table_alloc() < 50);
		for (uint32_t i = 0; i < 50; i++)
			shmfd_table_free(round % 2 ? i : 49 - i);
	}
	assert_int_equal(load_relaxed(&shmfd_table->high), 50);
}

/* The same where each stream ends with a forked child that ends without a word. */
static void test_records_of_children_stay_dense(void **state)
{
	uint32_t most = 0, kept[10];

	(void)state;
	store_relaxed(&shmfd_table->high, 0);
	store_relaxed(&shmfd_table->next_free, 0);
	store_relaxed(&shmfd_table->reclaim_at, 0);
	for (size_t k = 0; k < NR(kept); k++)
		kept[k] = (uint32_t)shmfd_table_alloc();
	for (int round = 0; round < 1000; round++) {
		uint32_t i = (uint32_t)shmfd_table_alloc();
		pid_t child;

		fetch_add_acq_rel(&shmfd_table_record(i)->holders, 1);
		child = fork();
		if (!child) {
			uint32_t me = (uint32_t)getpid();

			_exit(!shmfd_table_sign(me) || !shmfd_table_join(i, me));
		}
		shmfd_table_leave(i, 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		most = i > most ? i : most;
	}
	assert_in_range(most, 20, 130);
	assert_true(load_relaxed(&shmfd_table->high) <= 130);
	for (size_t k = 0; k < NR(kept); k++) {
		assert_int_equal(load_relaxed(&shmfd_table_record(kept[k])->holders), 1);
		shmfd_table_free(kept[k]);
	}
}

static void test_forked_processes_share_the_table(void **state)
{
	int status, first = shmfd_table_alloc(), second;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		int mine = shmfd_table_alloc();

		shmfd_table_record((uint32_t)mine)->rd_pos = 7;
		_exit(mine);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	second = WEXITSTATUS(status);
	assert_int_not_equal(second, first);
	assert_int_equal(shmfd_table_record((uint32_t)second)->rd_pos, 7);
	assert_int_not_equal(shmfd_table_alloc(), second);
	for (uint32_t i = 0; i < 10; i++)
		shmfd_table_free(i);
}

#define ROUNDS	3000

static _Atomic uint32_t owner[SHMFD_TABLE_RECORDS];

static void *churn(void *arg)
{
	int held[8];

	for (int i = 0; i < ROUNDS; i++) {
		for (size_t k = 0; k < NR(held); k++) {
			held[k] = shmfd_table_alloc();
			if (held[k] < 0 || xchg_seq_cst(&owner[held[k]], 1))
				return arg;
		}
		for (size_t k = 0; k < NR(held); k++) {
			store_seq_cst(&owner[held[k]], 0);
			shmfd_table_free((uint32_t)held[k]);
		}
	}
	return NULL;
}

static void test_threads_never_get_the_same_record(void **state)
{
	pthread_t t[3];
	void *bad;

	(void)state;
	for (size_t i = 0; i < NR(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, churn, t), 0);
	for (size_t i = 0; i < NR(t); i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
}

static pthread_barrier_t ready;

static void *first_record(void *arg)
{
	pthread_barrier_wait(&ready);
	*(int *)arg = shmfd_table_alloc();
	return NULL;
}

/* The table is made once, by whichever thread comes first; the others wait. */
static void test_first_records_of_many_threads(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		pid_t child = fork();
		int status;

		assert_true(child >= 0);
		if (!child) {
			pthread_t thread[8];
			int got[8], bad = 0;

			pthread_barrier_init(&ready, NULL, NR(thread));
			for (size_t i = 0; i < NR(thread); i++)
				pthread_create(&thread[i], NULL, first_record, &got[i]);
			for (size_t i = 0; i < NR(thread); i++) {
				pthread_join(thread[i], NULL);
				bad |= got[i] < 0;
			}
			_exit(bad);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		/* before this process has a table */
		cmocka_unit_test(test_first_records_of_many_threads),
		cmocka_unit_test(test_refused_table_can_be_made_later),
		cmocka_unit_test(test_record_is_zeroed_and_held),
		cmocka_unit_test(test_full_table_is_enomem_and_takes_back),
		cmocka_unit_test(test_orphans_are_reclaimed_at_need),
		cmocka_unit_test(test_holders_that_are_gone_are_taken_out),
		cmocka_unit_test(test_holders_without_room),
		cmocka_unit_test(test_records_stay_dense),
		cmocka_unit_test(test_records_of_children_stay_dense),
		cmocka_unit_test(test_forked_processes_share_the_table),
		cmocka_unit_test(test_threads_never_get_the_same_record),
	};

	return unit_run(test);
}
