/* SPDX-License-Identifier: MIT */

/*
 * See table.h.  The memfd's descriptor stays open, hidden, because /proc/PID/fd
 * is how another process of the user reads the table without ptrace rights.
 */
#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "atomic.h"
#include "fdmap.h"
#include "mend.h"
#include "segment.h"
#include "spin.h"
#include "sys.h"

enum { MAKING = 1, MADE };

#define SKIP_WHEN_FULL	256
#define RECLAIM_FIRST	128	/* records in use at which it pays to look for what is left */
#define SEEN		64	/* processes that are asked for once in such a look */
#define MAKING_MAX_NS	1000000000ll	/* some 50 us, if the maker runs */

struct shmfd_table *shmfd_table;
static _Atomic uint32_t making;	/* 0, MAKING or MADE */
static int table_fd;		/* once there is a table */
/* Streams that stay with the kernel unasked, after a look found no free record. */
static _Atomic uint32_t skip;

static int make(void)
{
	struct shmfd_table *t;
	int fd = shmfd_segment_memfd(SHMFD_TABLE_NAME, 0, sizeof(*t));

	if (fd < 0)
		return fd;
	fd = shmfd_hide_fd(fd);
	if (fd < 0)
		return fd;
	t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (t == MAP_FAILED) {
		shmfd_unhide_close(fd);
		return -ENOMEM;
	}
	t->magic = SHMFD_TABLE_MAGIC;
	t->version = SHMFD_LAYOUT_VERSION;
	t->record_nr = SHMFD_TABLE_RECORDS;
	table_fd = fd;
	shmfd_table = t;
	return 0;
}

#define HOLDER_IDS	(sizeof(((struct shmfd_record *)0)->holder_pid) / sizeof(uint32_t))

/* The byte of a process.  @cmd is F_SETLK or F_GETLK. */
static int lock_byte(int cmd, uint32_t pid, struct flock *l)
{
	*l = (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)pid, .l_len = 1,
	};
	return shmfd_sys.fcntl(table_fd, cmd, (long)(uintptr_t)l);
}

static bool is_gone(uint32_t pid)
{
	struct flock l;

	return pid != (uint32_t)getpid() && !shmfd_signals_free &&
		!lock_byte(F_GETLK, pid, &l) && l.l_type == F_UNLCK;
}

/* One holder less. */
static void subtract(uint32_t index)
{
	if (fetch_sub_acq_rel(&shmfd_table_record(index)->holders, 1) == 1)
		shmfd_table_free(index);
}

/* Takes @pid out; true: we did. */
static bool take_out(struct shmfd_record *rec, uint32_t pid)
{
	for (size_t i = 0; i < HOLDER_IDS; i++) {
		uint32_t id = pid;

		if (cas_acquire(&rec->holder_pid[i], &id, 0)) /* [table.H] */
			return true;
	}
	return false;
}

/* @seen: who was alive a moment ago.  Who is gone is asked for each time, as another process
 * may have its id by now. */
static void drop_gone(uint32_t index, uint32_t seen[SEEN])
{
	struct shmfd_record *rec = shmfd_table_record(index);
	int saved = errno;

	for (size_t i = 0; i < HOLDER_IDS; i++) {
		uint32_t pid = load_acquire(&rec->holder_pid[i]); /* [table.H] */

		if (!pid || seen[pid % SEEN] == pid)
			continue;
		if (!is_gone(pid))
			seen[pid % SEEN] = pid;
		else if (cas_acquire(&rec->holder_pid[i], &pid, 0)) /* [table.H] */
			subtract(index);
	}
	errno = saved;
}

void shmfd_table_drop_gone(uint32_t index)
{
	uint32_t seen[SEEN] = { 0 };

	drop_gone(index, seen);
}

static bool write_id(struct shmfd_record *rec, uint32_t pid)
{
	for (size_t i = 0; i < HOLDER_IDS; i++) {
		uint32_t none = 0;

		if (cas_acquire(&rec->holder_pid[i], &none, pid)) /* [table.H] */
			return true;
	}
	return false;
}

bool shmfd_table_sign(uint32_t pid)
{
	int saved = errno;
	struct flock l;
	bool done = !shmfd_signals_free && !lock_byte(F_SETLK, pid, &l);

	errno = saved;
	return done;
}

bool shmfd_table_join(uint32_t index, uint32_t pid)
{
	struct shmfd_record *rec = shmfd_table_record(index);

	if (write_id(rec, pid))
		return true;
	shmfd_table_drop_gone(index);
	return write_id(rec, pid);
}

void shmfd_table_leave(uint32_t index, uint32_t joined)
{
	/* not there any more: who took us for gone has subtracted */
	if (!joined || take_out(shmfd_table_record(index), joined))
		subtract(index);
}

/*
 * What processes left that ended without a word, as most do.  All at once, when the records in
 * use have doubled since the last look: so they are never more than twice what is needed, and
 * a look costs each of the records that were taken meanwhile the same few loads.  Their number
 * matters beyond the memory: fork and a set that is made anew walk over them (high).
 */
static void reclaim(struct shmfd_table *t)
{
	uint32_t seen[SEEN] = { 0 }, in_use = 0, high = load_relaxed(&t->high);

	for (uint32_t i = 0; i < high; i++) {
		if (load_acquire(&t->record[i].used) == 1) /* [table.U] */
			drop_gone(i, seen);
		in_use += load_relaxed(&t->record[i].used) != 0;
	}
	store_relaxed(&t->reclaim_at, 2 * in_use > RECLAIM_FIRST ? 2 * in_use : RECLAIM_FIRST);
}

static bool is_time(const struct shmfd_table *t, int i)
{
	uint32_t at = load_relaxed(&t->reclaim_at);

	return i < 0 || (uint32_t)i >= (at ? at : RECLAIM_FIRST);
}

static int scan(struct shmfd_table *t)
{
	uint32_t start = load_relaxed(&t->next_free); /* a hint */

	for (uint32_t n = 0; n < SHMFD_TABLE_RECORDS; n++) {
		uint32_t i = (start + n) % SHMFD_TABLE_RECORDS;
		struct shmfd_record *rec = &t->record[i];
		uint32_t expect = 0, high;

		/* 2: taken, not yet initialised */
		if (load_relaxed(&rec->used) ||
		    !cas_acquire(&rec->used, &expect, 2)) /* [table.U] */
			continue;
		store_relaxed(&t->next_free, (i + 1) % SHMFD_TABLE_RECORDS);
		high = load_relaxed(&t->high);
		while (high <= i && !cas_acquire(&t->high, &high, i + 1))
			;
		return (int)i;
	}
	return -ENOMEM;
}

/* Threads that need the first table at once wait for it; a signal handler that
 * interrupted its making can not.  0 or -errno. */
static int make_once(void)
{
	int64_t limit = shmfd_now_ns() + MAKING_MAX_NS;
	uint32_t none = 0;
	int ret;

	while (!cas_acquire(&making, &none, MAKING)) { /* [table.M] */
		if (load_acquire(&making) == MADE) /* [table.M] */
			return 0;
		if (shmfd_now_ns() > limit)
			return -EDEADLK;
		sched_yield();
		none = 0;
	}
	ret = make();
	store_release(&making, ret ? 0 : MADE); /* [table.M] */
	return ret;
}

/* The index of a record taken, or -ENOMEM. */
static int look(void)
{
	uint32_t skipped = load_relaxed(&skip);
	int i;

	if (skipped) {
		store_relaxed(&skip, skipped - 1);
		return -ENOMEM;
	}
	i = scan(shmfd_table);
	if (unlikely(is_time(shmfd_table, i)))
		reclaim(shmfd_table);	/* the next one is a low one */
	if (i < 0)
		i = scan(shmfd_table);
	if (i < 0)
		store_relaxed(&skip, SKIP_WHEN_FULL);
	return i;
}

static void clear(struct shmfd_record *rec)
{
	size_t first = sizeof(rec->used), ids = offsetof(struct shmfd_record, holder_pid);
	size_t behind = ids + sizeof(rec->holder_pid);

	memset((char *)rec + first, 0, ids - first);
	/* one who looks for what is left may be at these: it was in use a moment ago */
	for (size_t i = 0; i < HOLDER_IDS; i++)
		store_relaxed(&rec->holder_pid[i], 0);
	memset((char *)rec + behind, 0, sizeof(*rec) - behind);
}

int shmfd_table_alloc(void)
{
	struct shmfd_record *rec;
	int saved = errno, i;

	if (load_acquire(&making) != MADE) { /* [table.M] */
		i = make_once();
		errno = saved;
		if (i < 0)
			return i;
	}
	i = look();
	errno = saved;
	if (i < 0)
		return i;
	rec = &shmfd_table->record[i];
	clear(rec);
	store_relaxed(&rec->holders, 1);
	store_release(&rec->used, 1); /* [table.U] */
	return i;
}

void shmfd_table_free(uint32_t index)
{
	/* a hint: the lowest, to stay dense, as pages count once they were touched */
	if (index < load_relaxed(&shmfd_table->next_free))
		store_relaxed(&shmfd_table->next_free, index);
	store_relaxed(&skip, 0);
	store_release(&shmfd_table->record[index].used, 0); /* [table.U] */
}
