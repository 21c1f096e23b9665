/* SPDX-License-Identifier: MIT */

/*
 * Start-up and the end.  The order is the list in boot(); linked with
 * -z initfirst it runs before every other constructor of the host.  Nothing is
 * torn down at the end: stdio flushes after our destructor, other libraries
 * write in theirs.
 */
#include "shim.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "../src/config.h"
#include "../src/meet.h"
#include "../src/pin.h"
#include "../src/ready.h"
#include "../src/report.h"

_Atomic uint32_t shim_active;
uint32_t shim_test_retreat_every;

static void fork_child(void)
{
	if (shmfd_pid)
		shmfd_stream_fork_child(true);
}

/* glibc passes main's arguments; libc's own environ is not set this early. */
__attribute__((constructor, used)) static void boot(int argc, char **argv, char **env)
{
	const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
	uint32_t prefix = 0x5a17c0deu;
	struct timespec now = { 0 };
	char err[256];

	(void)argc;
	(void)argv;
	shim_real_resolve();
	shim_fill_sys();
	if (shmfd_config_parse(&shmfd_config, env, err, sizeof(err))) {
		/* inert: the one line that is printed unasked */
		shmfd_report_init(1, NULL);
		shmfd_log(1, "%s", err);
		return;
	}
	if (getauxval(AT_SECURE)) {	/* a file named by the caller is not ours to write */
		shmfd_config.stats_path = NULL;
		shmfd_config.log_level = 0;
	}
	shmfd_report_init(shmfd_config.log_level, shmfd_config.log_path);
	shmfd_spin_max_ns = shmfd_config.spin_ns;
	shim_test_retreat_every = shmfd_config.test_retreat;
	if (shmfd_config.test_stuck_ms)
		shmfd_stuck_after_ns = shmfd_config.test_stuck_ms * 1000000ll;
	if (random)
		memcpy(&prefix, random, sizeof(prefix));
	shmfd_ready_init(prefix);
	/* peers see the numbers that follow: nothing of AT_RANDOM, which guards the stack.  Not
	 * by a function that the program may have: a sanitizer in it is not up yet */
	real.syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	shmfd_nap_init((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	shmfd_pin_init();
	pthread_atfork(shmfd_stream_fork_prepare, NULL, fork_child);
	store_release(&shim_active, 1);
}

/* The summary; also from _exit, which runs no destructor. */
void shim_summary(void)
{
	struct shmfd_totals t;

	if (!load_acquire(&shim_active) || !shmfd_config.stats_path || !shmfd_pid ||
	    shim_is_vfork())
		return;
	shmfd_stream_totals(&t);
	if (t.streams || t.ring_rx_bytes || t.ring_tx_bytes)
		shmfd_report_stats(shmfd_config.stats_path, &t);
	shmfd_config.stats_path = NULL;
}

__attribute__((destructor, used)) static void at_exit(void)
{
	shim_summary();
	if (load_acquire(&shim_active) && !shim_sandboxed && !shim_is_vfork())
		shmfd_stream_exit();
}

void _exit(int status)
{
	at_exit();
	real._exit(status);
	__builtin_unreachable();
}

void _Exit(int status)
{
	at_exit();
	real._Exit(status);
	__builtin_unreachable();
}

/* ---- helpers of the wrappers ------------------------------------------------ */

/* As the kernel sends it to the writing thread: si_code says SI_USER, not SI_TKILL
 * as that of pthread_kill(3) (linux/kernel/signal.c, send_sig). */
static void raise_sigpipe(void)
{
	siginfo_t info = { .si_signo = SIGPIPE, .si_code = SI_USER };

	info.si_pid = getpid();
	info.si_uid = getuid();
	real.syscall(SYS_rt_tgsigqueueinfo, info.si_pid, real.syscall(SYS_gettid), SIGPIPE,
		     &info);
}

ssize_t shim_put_send(struct shmfd_stream *s, ssize_t ret, int flags)
{
	shmfd_stream_put(s);
	if (unlikely(ret == -EPIPE) && !(flags & MSG_NOSIGNAL))
		raise_sigpipe();
	return shim_result(ret);
}

static _Atomic uint64_t random_state;

void shim_test_retreat_slow(struct shmfd_stream *s)
{
	uint64_t x = fetch_add_relaxed(&random_state, 0x9e3779b97f4a7c15ull) +
		shmfd_config.test_seed * 0xbf58476d1ce4e5b9ull;

	if (!shmfd_stream_has_ring(s))
		return;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	if ((x ^ x >> 31) % shim_test_retreat_every == 0)
		shmfd_stream_retreat(s, SHMFD_WHY_TEST);
}
