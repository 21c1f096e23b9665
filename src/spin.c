/* SPDX-License-Identifier: MIT */

/* See spin.h. */
#define _GNU_SOURCE
#include "spin.h"

#include <sched.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <time.h>

#define SHORT_BLOCK_NS	200000		/* a sleep that a spin might have saved */
/* Shares of spins in vain, in 1/256: off above the one, on again below the other. */
#define VAIN_OFF	96u
#define VAIN_ON		64u
#define VAIN_WEIGHT	8u		/* of the past, in spins */
#define DISTANCE_MIN	8u		/* waits between tries while it is off */
#define DISTANCE_SHORT	64u		/* at most, while sleeps are short */
#define DISTANCE_MAX	4096u
#define PENALTY_MIN_NS	20000000ll
#define PENALTY_MAX_NS	1000000000ll
#define RUSAGE_EVERY_NS	5000000ll
#define STALE_NS	(4 * RUSAGE_EVERY_NS)
#define HOLE_NS		100000	/* between looks at the clock: another may have had the core */
#define YIELDS		3

uint32_t shmfd_spin_max_ns = 50000;

int64_t shmfd_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint32_t shmfd_cpu(void)
{
#ifdef RSEQ_SIG
	const struct rseq *rs;

	if (__rseq_size) {
		rs = (const struct rseq *)(const void *)
			((const char *)__builtin_thread_pointer() + __rseq_offset);
		return *(const volatile uint32_t *)&rs->cpu_id_start + 1;
	}
#endif
	return 0;
}

/* No trying before a time; each failure doubles the distance. */
struct quiet {
	int64_t until, penalty_ns;
};

/* Competition is a matter of the thread, not of one stream. */
static __thread struct {
	struct quiet spin, yield;
	int64_t checked;
	long nivcsw;
	long yielded;		/* of those, at most */
} busy __attribute__((tls_model("initial-exec")));

static int cpus_allowed;

bool shmfd_one_cpu(void)
{
	cpu_set_t set;

	if (!cpus_allowed)
		cpus_allowed = sched_getaffinity(0, sizeof(set), &set) ? 2 : CPU_COUNT(&set);
	return cpus_allowed == 1;
}

static void penalty(struct quiet *q, int64_t now)
{
	if (q->penalty_ns < PENALTY_MIN_NS)
		q->penalty_ns = PENALTY_MIN_NS;
	else if (q->penalty_ns < PENALTY_MAX_NS)
		q->penalty_ns *= 2;
	q->until = now + q->penalty_ns;
}

/* True while somebody else wants this core. */
static bool has_competition(void)
{
	int64_t now = shmfd_now_ns();
	struct rusage ru;
	bool stale;
	long delta;

	if (now < busy.spin.until)
		return true;
	if (now - busy.checked < RUSAGE_EVERY_NS)
		return false;
	/* what was long ago says nothing of now */
	stale = now - busy.checked > STALE_NS;
	cpus_allowed = 0;	/* affinity may have changed */
	busy.checked = now;
	if (getrusage(RUSAGE_THREAD, &ru))
		return false;
	delta = ru.ru_nivcsw - busy.nivcsw - busy.yielded;
	busy.yielded = 0;
	busy.nivcsw = ru.ru_nivcsw;
	/* none is good news; one by itself is no bad: the kernel's own threads run for
	 * microseconds, several in a row (once two within 5 ms were a reason: 20 ms without
	 * spins, up to three times in 130 ms of a quiet machine) */
	if (!stale && !delta && busy.spin.penalty_ns > PENALTY_MIN_NS)
		busy.spin.penalty_ns /= 2;
	return false;
}

/* A hole between two looks: did another thread run here, since has_competition() last counted?
 * If not, the machine below had taken the processor from all of us, and nobody is the better
 * for our sleep. */
static bool was_switched(void)
{
	struct rusage ru;

	return getrusage(RUSAGE_THREAD, &ru) ||
		ru.ru_nivcsw - busy.nivcsw - busy.yielded > 0;
}

static uint32_t ceiling_of(const struct shmfd_spin *s)
{
	return s->ceiling_ns ? s->ceiling_ns : shmfd_spin_max_ns;
}

/* Too many were in vain: not this time. */
static bool is_skipped(struct shmfd_tries *t)
{
	uint16_t skip = t->skip;	/* once: threads share it */

	if (skip)
		t->skip = (uint16_t)(skip - 1);
	return skip;
}

bool shmfd_spin_begin(struct shmfd_spinner *sp, struct shmfd_spin *s, bool same_cpu,
		      int64_t limit_ns)
{
	sp->tried = NULL;
	sp->budget_ns = 0;
	sp->yields = 0;
	sp->start = sp->last = 0;	/* the clock is read after the first looks */
	if (!shmfd_spin_max_ns || is_skipped(same_cpu ? &s->yields : &s->looks))
		return false;
	if (same_cpu) {
		/* switches against our will say nothing: the peer makes them */
		if ((limit_ns >= 0 && limit_ns < HOLE_NS) || shmfd_now_ns() < busy.yield.until)
			return false;
		sp->yields = YIELDS;
		sp->tried = &s->yields;
		return true;
	}
	sp->budget_ns = has_competition() ? 0 : ceiling_of(s);
	if (limit_ns >= 0 && sp->budget_ns > limit_ns)
		sp->budget_ns = (uint32_t)limit_ns;
	if (sp->budget_ns)
		sp->tried = &s->looks;
	return sp->budget_ns;
}

/* True if the yield was so long that a third got the processor, or may have. */
static bool lost_by_yield(const struct shmfd_spinner *sp, int64_t now)
{
	if (!sp->last || now - sp->last <= HOLE_NS)
		return false;
	penalty(&busy.yield, now);
	return true;
}

static bool yield_more(struct shmfd_spinner *sp)
{
	int64_t now = shmfd_now_ns();

	if (lost_by_yield(sp, now) || !sp->yields)
		return false;
	sp->yields--;
	sp->last = now;
	busy.yielded++;
	sched_yield();
	return true;
}

bool shmfd_spin_more(struct shmfd_spinner *sp)
{
	int64_t now;

	if (!sp->budget_ns)
		return yield_more(sp);
	now = shmfd_now_ns();
	if (!sp->start)
		sp->start = sp->last = now;
	if (unlikely(now - sp->last > HOLE_NS) && was_switched()) {
		penalty(&busy.spin, now);
		return false;
	}
	sp->last = now;
	return now - sp->start <= sp->budget_ns;
}

void shmfd_spin_learn(const struct shmfd_spinner *sp)
{
	struct shmfd_tries *t = sp->tried;
	uint32_t vain;

	if (!sp->budget_ns) {
		if (!lost_by_yield(sp, sp->last ? shmfd_now_ns() : 0) &&
		    busy.yield.penalty_ns > PENALTY_MIN_NS)
			busy.yield.penalty_ns -= busy.yield.penalty_ns / 64;
	}
	/* once, here and below: threads share it */
	vain = t->in_vain;
	vain -= (vain + VAIN_WEIGHT - 1) / VAIN_WEIGHT;	/* to 0 */
	t->in_vain = (uint16_t)vain;
	t->distance = vain < VAIN_ON ? 0 : t->distance / 2;
	t->skip = t->distance;
}

void shmfd_spin_slept(const struct shmfd_spinner *sp, int64_t block_ns)
{
	struct shmfd_tries *t = sp->tried;
	uint32_t most, next, vain;

	if (!t)
		return;
	vain = t->in_vain;
	vain += (256 - vain) / VAIN_WEIGHT;
	t->in_vain = (uint16_t)vain;
	next = t->distance;
	if (vain <= VAIN_OFF && !next)
		return;
	most = block_ns <= SHORT_BLOCK_NS ? DISTANCE_SHORT : DISTANCE_MAX;
	next = next < DISTANCE_MIN / 2 ? DISTANCE_MIN : 2 * next;
	t->distance = (uint16_t)(next < most ? next : most);
	t->skip = t->distance;
}
