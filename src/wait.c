/* SPDX-License-Identifier: MIT */

/*
 * See wait.h for the protocols.  This file owns the only sleeping system calls
 * for a single stream, the bell, and the decision how long to spin.
 *
 * Spinning: as the kernel's haltpoll governor does (drivers/cpuidle/governors/
 * haltpoll.c): a budget grows when a sleep turned out short and shrinks when
 * it did not.  What has to be respected, measured on a 2-vCPU VM: waking an
 * idle core costs about 35 us, so a spin across cores pays 100-fold; with one
 * busy competitor a fixed 50 us spin made p99 40 ms.  So involuntary context
 * switches and holes in the clock while spinning turn spinning off at once,
 * and both ends on one core never spin.
 */
#define _GNU_SOURCE
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

#define BELL_BYTES	8
#define SHORT_BLOCK_NS	200000		/* a sleep that a spin might have saved */
#define MIN_SPIN_NS	4000u
#define PENALTY_MIN_NS	20000000ll
#define PENALTY_MAX_NS	1000000000ll
#define RUSAGE_EVERY_NS	5000000ll

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

void shmfd_wait_exit(struct shmfd_wait *w)
{
	fetch_sub_acq_rel(&w->blocked, 1);
}

/* What a sleeper must undo when it leaves, also by cancellation. */
struct sleeper {
	struct shmfd_wait *w;
	uint32_t turn;		/* ours, when we lead */
	bool leads;
};

static void leave(void *arg)
{
	struct sleeper *me = arg;
	struct shmfd_wait *w = me->w;

	shmfd_wait_exit(w);
	if (!me->leads) {
		fetch_sub_acq_rel(&w->followers, 1);
		return;
	}
	store_seq_cst(&w->turn, (me->turn & ~1u) + 2); /* [wait.G] */
	if (load_seq_cst(&w->followers))
		syscall(SYS_futex, &w->turn, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/*
 * True if this result of a receive is the link's end.  Everything else is not:
 * under a storm of signals a 6.18 kernel was seen to hand out ERESTARTSYS
 * (512), and what is taken for an end costs the stream its bytes.
 */
static bool is_end(ssize_t n)
{
	return n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE ||
				    errno == ENOTCONN || errno == EBADF || errno == ENOTSOCK));
}

/*
 * True if no handler of this process was installed without SA_RESTART: a
 * receive without a time-out would go on after any of them (signal(7)).
 */
static bool all_handlers_restart(void)
{
	struct sigaction sa;

	for (int sig = 1; sig < NSIG; sig++) {
		if (!sigaction(sig, NULL, &sa) && sa.sa_handler != SIG_DFL &&
		    sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_RESTART))
			return false;
	}
	return true;
}

/* Sleeps by ppoll.  1: the link has something; 0: look again; or -errno. */
static int lead_by_poll(const struct shmfd_wait *w, int64_t timeout_ns, int beside)
{
	struct timespec t = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};
	struct pollfd p[2] = {
		{ .fd = w->link, .events = POLLIN },
		{ .fd = beside, .events = POLLIN },
	};
	int nr = shmfd_sys.ppoll(p, 2, timeout_ns >= 0 ? &t : NULL, NULL);

	if (nr > 0)
		return p[0].revents != 0;
	if (nr == 0)
		return -ETIMEDOUT;
	return errno == EINTR && timeout_ns < 0 && all_handlers_restart() ? 0 : -errno;
}

static int lead(struct shmfd_wait *w, int64_t timeout_ns, int beside)
{
	char buf[BELL_BYTES];
	ssize_t n;

	if (timeout_ns >= 0 || beside >= 0) {
		int ret = lead_by_poll(w, timeout_ns, beside);

		if (ret != 1)
			return ret;
		n = shmfd_sys.recv(w->link, buf, sizeof(buf), MSG_DONTWAIT);
	} else {
		n = shmfd_sys.recv(w->link, buf, sizeof(buf), 0);
	}
	if (n > 0 || !is_end(n))
		return n < 0 && errno != EAGAIN ? -EINTR : 0;
	store_release(&w->ended, 1);
	return 1;
}

static int follow(struct shmfd_wait *w, uint32_t turn, int64_t timeout_ns)
{
	struct timespec t = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};
	int type, ret = 0;

	/* a raw futex is no cancellation point: make it one, as glibc does */
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	if (syscall(SYS_futex, &w->turn, FUTEX_WAIT_PRIVATE, turn,
		    timeout_ns >= 0 ? &t : NULL, NULL, 0) < 0 && errno != EAGAIN)
		ret = -errno;
	pthread_setcanceltype(type, NULL);
	return ret;
}

bool shmfd_wait_enter(struct shmfd_wait *w, _Atomic uint32_t *others)
{
	/* seq_cst: blocked is raised before others is looked at */
	fetch_add_seq_cst(&w->blocked, 1);
	if (!load_seq_cst(others))
		return true;
	fetch_sub_acq_rel(&w->blocked, 1);
	return false;
}

static int sleep_as(struct sleeper *me, int64_t timeout_ns, int beside)
{
	int ret;

	pthread_cleanup_push(leave, me);
	ret = me->leads ? lead(me->w, timeout_ns, beside) : follow(me->w, me->turn, timeout_ns);
	pthread_cleanup_pop(1);
	return ret;
}

int shmfd_wait_sleep(struct shmfd_wait *w, uint32_t turn, int64_t timeout_ns, int beside)
{
	struct sleeper me = { .w = w, .turn = turn, .leads = !(turn & 1) };
	uint32_t seen = turn;

	if (load_acquire(&w->ended)) {
		shmfd_wait_exit(w);
		return 1;
	}
	if (me.leads && !cas_seq_cst(&w->turn, &seen, turn | 1)) { /* [wait.G] */
		shmfd_wait_exit(w);
		return 0;
	}
	if (!me.leads)
		fetch_add_acq_rel(&w->followers, 1);
	return sleep_as(&me, timeout_ns, beside);
}

bool shmfd_sleep_wake(_Atomic uint32_t *word, uint32_t seen, int link)
{
	if (!(seen & SHMFD_SLEEP))
		return false;
	shmfd_wait_ring(link);
	/* fails when the sleeper woke and sleeps again: that sleep is not ours;
	 * or when the owner's bits changed: the next publication sees SLEEP */
	cas_seq_cst(word, &seen, seen & ~SHMFD_SLEEP); /* [wait.S] */
	return true;
}

void shmfd_wait_ring(int link)
{
	static const char bell[BELL_BYTES];
	int saved = errno;

	/* EAGAIN: bells enough lie there already; EPIPE: nobody to wake */
	shmfd_sys.send(link, bell, sizeof(bell), MSG_DONTWAIT | MSG_NOSIGNAL);
	errno = saved;
}

int shmfd_wait_drain(struct shmfd_wait *w)
{
	char buf[BELL_BYTES];
	int nr;

	/* bounded: a peer may ring faster than we listen */
	for (nr = 0; nr < 64; nr++) {
		ssize_t n = shmfd_sys.recv(w->link, buf, sizeof(buf), MSG_DONTWAIT);

		if (n > 0)
			continue;
		if (!is_end(n))
			break;
		store_release(&w->ended, 1);
		return -EPIPE;
	}
	return nr;
}

bool shmfd_wait_has_ended(struct shmfd_wait *w)
{
	struct pollfd p = { .fd = w->link, .events = POLLRDHUP };
	int saved = errno;

	if (load_acquire(&w->ended))
		return true;
	if (shmfd_sys.poll(&p, 1, 0) > 0)
		store_release(&w->ended, 1);
	errno = saved;
	return load_acquire(&w->ended);
}

/* ---- the governor ------------------------------------------------------ */

/* Competition is a matter of the thread, not of one stream. */
static __thread struct {
	int64_t quiet_until;	/* no spinning before this time */
	int64_t penalty_ns;
	int64_t checked;
	long nivcsw;
} busy __attribute__((tls_model("initial-exec")));

static int cpus_allowed;

bool shmfd_one_cpu(void)
{
	cpu_set_t set;

	if (!cpus_allowed)
		cpus_allowed = sched_getaffinity(0, sizeof(set), &set) ? 2 : CPU_COUNT(&set);
	return cpus_allowed == 1;
}

static void penalty(int64_t now)
{
	if (busy.penalty_ns < PENALTY_MIN_NS)
		busy.penalty_ns = PENALTY_MIN_NS;
	else if (busy.penalty_ns < PENALTY_MAX_NS)
		busy.penalty_ns *= 2;
	busy.quiet_until = now + busy.penalty_ns;
}

/* True while somebody else wants this core. */
static bool has_competition(void)
{
	int64_t now = shmfd_now_ns();
	struct rusage ru;
	long delta;

	if (now < busy.quiet_until)
		return true;
	if (now - busy.checked < RUSAGE_EVERY_NS)
		return false;
	cpus_allowed = 0;	/* affinity may have changed */
	busy.checked = now;
	if (getrusage(RUSAGE_THREAD, &ru))
		return false;
	delta = ru.ru_nivcsw - busy.nivcsw;
	busy.nivcsw = ru.ru_nivcsw;
	if (delta > 1) {
		penalty(now);
		return true;
	}
	if (!delta && busy.penalty_ns > PENALTY_MIN_NS)
		busy.penalty_ns /= 2;
	return false;
}

uint32_t shmfd_spin_budget(struct shmfd_spin *s, bool same_cpu)
{
	if (!shmfd_spin_max_ns || same_cpu)
		return 0;
	if (s->skip) {
		s->skip--;
		return 0;
	}
	if (has_competition())
		return 0;
	if (!s->budget_ns)
		s->budget_ns = shmfd_spin_max_ns;
	return s->budget_ns;
}

void shmfd_spin_paid(struct shmfd_spin *s)
{
	s->failed = 0;
	if (s->budget_ns < shmfd_spin_max_ns)
		s->budget_ns = s->budget_ns * 2 < shmfd_spin_max_ns ?
			s->budget_ns * 2 : shmfd_spin_max_ns;
}

void shmfd_spin_slept(struct shmfd_spin *s, int64_t block_ns)
{
	if (block_ns <= SHORT_BLOCK_NS && s->failed < 8) {
		s->failed++;
		s->budget_ns = shmfd_spin_max_ns;
		return;
	}
	/* long, or spinning did not help: less next time, at last not at all */
	if (s->failed < 20)
		s->failed++;
	s->budget_ns /= 2;
	if (s->budget_ns < MIN_SPIN_NS) {
		s->budget_ns = 0;
		s->skip = s->failed < 12 ? 8 : 1u << (s->failed - 8);
	}
}

void shmfd_spin_preempted(struct shmfd_spin *s)
{
	s->budget_ns = 0;
	penalty(shmfd_now_ns());
}
