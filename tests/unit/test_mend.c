/* SPDX-License-Identifier: MIT */

/*
 * mend.c, lock.c, ring.c: a signal handler leaves a call of the library by siglongjmp
 * between any two instructions: the trap flag of the processor brings it there.  Locks
 * are free then, no byte is lost, none comes twice.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "lock.h"
#include "mend.h"
#include "pair.h"
#include "ring_box.h"

/* By the trap flag; a sanitizer takes too many instructions for it. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define CAN_STEP	1
#else
#define CAN_STEP	0
#endif

#define CAP	65536u

static struct shmfd_record rec;
static int fds[2];
static sigjmp_buf out_of_it;
static volatile uintptr_t out_sp;

/* As the wrapper of siglongjmp. */
static void leave_to(sigjmp_buf env, uintptr_t sp)
{
	if (shmfd_holds.nr)
		shmfd_lock_jump(sp);
	siglongjmp(env, 1);
}

static volatile int tries;

/* Tries the lock of the frame below, takes another one, and jumps within itself. */
static void jump_inside(int sig)
{
	sigjmp_buf here;

	(void)sig;
	if (sigsetjmp(here, 1))
		return;
	tries += shmfd_lock(&rec, &rec.tx_lock) == -EDEADLK;
	tries += !shmfd_lock(&rec, &rec.rx_lock);
	leave_to(here, (uintptr_t)__builtin_frame_address(0));
}

static void jump_outside(int sig)
{
	(void)sig;
	leave_to(out_of_it, out_sp);
}

/* @flags: SA_ONSTACK or none. */
static __attribute__((noinline)) void interrupted(void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(shmfd_lock(&rec, &rec.tx_lock), 0);
	raise(SIGUSR1);
}

static void test_a_jump_of_a_handler_keeps_the_lock_below_it(void **state)
{
	static char below[1 << 16];	/* below any stack; a mapping is above nothing */
	stack_t alt = { .ss_sp = below, .ss_size = sizeof(below) };
	const int flags[] = { 0, SA_ONSTACK };

	(void)state;
	store_relaxed(&rec.holders, 1);
	assert_int_equal(sigaltstack(&alt, NULL), 0);
	for (size_t i = 0; i < NR(flags); i++) {
		tries = 0;
		interrupted(jump_inside, flags[i]);
		assert_int_equal(tries, 2);
		assert_int_equal(load_relaxed(&rec.tx_lock), gettid());
		/* taken by frames of the handler that are above its target stay, too: it
		 * is the frame of sigsetjmp itself here */
		shmfd_hold_drop(&rec.rx_lock);
		store_relaxed(&rec.rx_lock, 0);
		shmfd_unlock(&rec, &rec.tx_lock);
		assert_int_equal(shmfd_holds.nr, 0);

		out_sp = (uintptr_t)__builtin_frame_address(0);
		if (!sigsetjmp(out_of_it, 1))
			interrupted(jump_outside, flags[i]);
		assert_int_equal(load_relaxed(&rec.tx_lock), 0);
		assert_int_equal(shmfd_holds.nr, 0);
	}
	alt.ss_flags = SS_DISABLE;
	sigaltstack(&alt, NULL);
}

static void test_rubbish_is_not_followed(void **state)
{
	const uint64_t rubbish[] = { shmfd_header(SHMFD_TAG_WRAP, 0),
		shmfd_header(SHMFD_TAG_DATA, 5), shmfd_header(SHMFD_TAG_EOF, 0),
		shmfd_header(SHMFD_TAG_DATA, CAP), 77 };

	(void)state;
	for (size_t i = 0; i < NR(rubbish); i++) {
		begin(CAP);
		for (uint64_t at = 0; at < CAP; at += 8)
			store_relaxed(shmfd_ring_slot(&ring, at), rubbish[i]);
		out.wr_pos = 1000;
		shmfd_ring_mend_tx(&ring, &out);
		assert_in_range(out.wr_pos, 1000, 1000 + CAP);
		end();
	}
}

/* Its writer was killed between the record and the position behind it. */
static void test_the_next_holder_counts_what_is_published(void **state)
{
	struct shmfd_record *r;
	uint64_t before;
	pid_t pid = fork();
	char buf[8];
	int status;

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	pair_meet(AF_INET, fds);
	r = pair_record(fds[0]);
	before = r->wr_pos;
	assert_int_equal(pair_send(fds[0], "aa", 2, 0), 2);
	r->wr_pos = before;
	store_relaxed(&r->tx_lock, (uint32_t)pid);
	assert_int_equal(pair_send(fds[0], "b", 1, 0), 1);
	assert_int_equal(pair_recv(fds[1], buf, sizeof(buf), 0), 3);
	assert_memory_equal(buf, "aab", 3);
	pair_close(fds);
}

/* ---- leaving a call after so many instructions -------------------------------- */

#if CAN_STEP
#define TRAP_FLAG	"0x100"
/* beyond the red zone */
#define set_trap()	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\torq $" TRAP_FLAG	\
			", (%%rsp)\n\tpopfq\n\tleaq 128(%%rsp), %%rsp" : : : "memory", "cc")
#define clear_trap()	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~" TRAP_FLAG \
			", (%%rsp)\n\tpopfq\n\tleaq 128(%%rsp), %%rsp" : : : "memory", "cc")

static volatile long steps_left;

static void step(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *c = context;

	(void)sig, (void)info;
	/* where signals are blocked no other handler could be */
	if (--steps_left > 0 || sigismember(&c->uc_sigmask, SIGALRM))
		return;
	leave_to(out_of_it, out_sp);
}

/* Leaves @call after @steps instructions, 0: never.  True: it came to its end. */
static __attribute__((noinline)) bool ends_within(void (*call)(void), long steps)
{
	struct sigaction action = { .sa_sigaction = step, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &action, NULL);
	out_sp = (uintptr_t)__builtin_frame_address(0);
	steps_left = steps;
	if (sigsetjmp(out_of_it, 1))
		return false;
	if (!steps) {	/* functions are bound at their first call */
		call();
		return true;
	}
	set_trap();
	call();
	clear_trap();
	return true;
}

/* ---- locks --------------------------------------------------------------------- */

static void one_lock(void)
{
	if (!shmfd_lock(&rec, &rec.tx_lock))
		shmfd_unlock(&rec, &rec.tx_lock);
}

/* Three, not given back in order. */
static void three_locks(void)
{
	if (shmfd_lock(&rec, &rec.meet_lock) || shmfd_lock(&rec, &rec.rx_lock) ||
	    shmfd_lock(&rec, &rec.tx_lock))
		return;
	shmfd_unlock(&rec, &rec.rx_lock);
	shmfd_unlock(&rec, &rec.tx_lock);
	shmfd_unlock(&rec, &rec.meet_lock);
}

static void test_a_jump_leaves_no_lock_behind(void **state)
{
	void (*const call[])(void) = { one_lock, three_locks };

	(void)state;
	for (size_t i = 0; i < NR(call); i++) {
		for (uint32_t holders = 1; holders <= 2; holders++) {
			long k = 1;

			store_relaxed(&rec.holders, holders);
			while (!ends_within(call[i], k++)) {
				assert_int_equal(shmfd_holds.nr, 0);
				assert_int_equal(load_relaxed(&rec.rx_lock), 0);
				assert_int_equal(load_relaxed(&rec.tx_lock), 0);
				assert_int_equal(load_relaxed(&rec.meet_lock), 0);
			}
			assert_in_range(k, 10, 1000);
			assert_int_equal(shmfd_holds.nr, 0);
		}
	}
}

/* ---- rings ---------------------------------------------------------------------- */

static uint8_t box[CAP];
static size_t want;

static void write_a(void)
{
	put(box, want);
}

static void mark_eof(void)
{
	shmfd_ring_mark(&ring, &out, SHMFD_TAG_EOF);
}

/* A ring whose ends stand at @pos; unread @left bytes. */
static void begin_at(uint64_t pos, size_t left)
{
	begin(CAP);
	out.wr_pos = in.rd_pos = pos;
	store_relaxed(&dir.rd_pos, pos);
	memset(box, 'x', left);
	assert_int_equal(put(box, left), left);
}

/* Takes all there is behind @n bytes, over an end-of-file; counts those. */
static size_t take_all(uint8_t *got, size_t n, int *ends)
{
	enum shmfd_ring_end end;

	do {
		n += (size_t)get(got + n, CAP - n, false, &end);
		if (end == SHMFD_RING_EOF) {
			shmfd_ring_pass(&ring, &in);
			*ends += 1;
		}
	} while (end != SHMFD_RING_MORE);
	return n;
}

/* Left after @steps; a quick reader comes before the ring is mended.  True: the
 * call came to its end. */
static bool write_is_left(void (*call)(void), long steps, size_t left, bool quick)
{
	bool done = ends_within(call, steps);
	static uint8_t got[CAP];
	size_t n = 0, rest;
	int ends = 0;

	if (quick)
		n = take_all(got, n, &ends);
	shmfd_ring_mend_tx(&ring, &out);
	assert_int_equal(put("bbbb", 4), 4);
	n = take_all(got, n, &ends);
	/* all of it, or nothing; when it was done: all */
	rest = n - left;
	assert_true(rest == 4 || (call == write_a && rest == want + 4));
	assert_true(!done || ends || rest == want + 4);
	assert_in_range(ends, 0, call == mark_eof);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], i < left ? 'x' : i < n - 4 ? 'a' : 'b');
	assert_int_equal(in.rd_pos, out.wr_pos);
	return done;
}

static void test_a_write_is_left_anywhere(void **state)
{
	static const struct {
		uint64_t pos;
		size_t left;
	} t[] = {
		{ 0, 0 },
		{ 65536 + 1024, 500 },
		{ 3 * 65536 + 40000, 0 },	/* wraps early */
		{ 65536 - 64, 30 },		/* wraps at the end */
	};

	(void)state;
	want = 100;
	for (size_t i = 0; i < NR(t); i++) {
		for (int kind = 0; kind < 4; kind++) {
			void (*call)(void) = kind & 1 ? write_a : mark_eof;
			bool done = false;

			for (long k = 0; !done; k = k ? k + 3 : 1 + kind % 3) {
				begin_at(t[i].pos, t[i].left ? t[i].left : 8);
				if (!t[i].left)
					assert_int_equal(take(box, 8), 8);
				memset(box, 'a', want);
				done = write_is_left(call, k, t[i].left, kind & 2) && k;
				end();
			}
		}
	}
}

static void read_some(void)
{
	take(box, want);
}

static void test_a_read_is_left_anywhere(void **state)
{
	static const size_t record[] = { 70, 300, 5, 200 }, sizes[] = { 10, 50, 345 };
	const size_t all = 575, before = 30;

	(void)state;
	for (size_t i = 0; i < NR(sizes); i++) {
		bool done = false;

		for (long k = 0; !done; k++) {
			uint8_t bytes[1024];
			size_t sent = 0;
			ssize_t n;

			begin(CAP);
			for (size_t r = 0; r < NR(record); sent += record[r++]) {
				make_bytes(bytes, sent, record[r]);
				put(bytes, record[r]);
			}
			take(bytes, before);
			want = sizes[i];
			done = ends_within(read_some, k) && k;
			shmfd_ring_mend_rx(&ring, &in);
			assert_int_equal(load_relaxed(&dir.rd_pos), in.rd_pos);
			assert_int_equal(load_relaxed(&dir.rd_part), in.rd_part);
			n = take(bytes, sizeof(bytes));
			assert_true(n >= 0 && n <= (ssize_t)(all - before));
			assert_true(n >= (ssize_t)(all - before) - (ssize_t)want);
			assert_true(are_bytes(bytes, all - (size_t)n, (size_t)n));
			end();
		}
	}
}

/* ---- whole calls ------------------------------------------------------------------- */

static void send_a(void)
{
	pair_send(fds[0], "aaaaa", 5, 0);
}

static void receive(void)
{
	char buf[3];

	pair_recv(fds[1], buf, sizeof(buf), MSG_DONTWAIT);
}

static void retreat(void)
{
	pair_retreat(fds[0], SHMFD_WHY_TEST);
}

/* Sends "aaaaa" or nothing, then "b"; the reader gets that, and at most some less. */
static void check_pair(long lost)
{
	char buf[64];
	ssize_t n;

	assert_int_equal(pair_send(fds[0], "b", 1, 0), 1);
	n = pair_recv(fds[1], buf, sizeof(buf), 0);
	while (n > 0 && buf[n - 1] != 'b')
		n += pair_recv(fds[1], buf + n, sizeof(buf) - (size_t)n, 0);
	assert_int_equal(buf[n - 1], 'b');
	assert_true(n == 1 || n == 6 || (n < 6 && n >= 6 - lost));
	for (ssize_t i = 0; i < n - 1; i++)
		assert_int_equal(buf[i], 'a');
	/* the locks are free: another holder could take them */
	assert_int_equal(load_relaxed(&pair_record(fds[0])->tx_lock), 0);
	assert_int_equal(load_relaxed(&pair_record(fds[1])->rx_lock), 0);
	assert_int_equal(shmfd_holds.nr, 0);
}

static void test_calls_of_a_stream_are_left_anywhere(void **state)
{
	(void)state;
	pair_meet(AF_UNIX, fds);
	send_a();
	check_pair(0);
	for (long k = 1; !ends_within(send_a, k); k += 2)
		check_pair(0);
	check_pair(0);
	for (long k = 1;; k += 2) {
		bool done;

		send_a();
		done = ends_within(receive, k);
		check_pair(3);
		if (done)
			break;
	}
	assert_true(pair_is_ring(fds[0]));
	pair_close(fds);
}

/* Each time a new pair: some steps further on, to be done in time. */
static void test_a_retreat_is_left_anywhere(void **state)
{
	bool done = false;

	(void)state;
	for (long k = 1; !done; k += k < 200 ? 1 : 41) {
		pair_meet(AF_UNIX, fds);
		send_a();
		done = ends_within(retreat, k);
		check_pair(0);
		check_pair(0);
		pair_close(fds);
	}
}

#endif

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_a_jump_of_a_handler_keeps_the_lock_below_it),
		cmocka_unit_test(test_rubbish_is_not_followed),
		cmocka_unit_test(test_the_next_holder_counts_what_is_published),
#if CAN_STEP
		cmocka_unit_test(test_a_jump_leaves_no_lock_behind),
		cmocka_unit_test(test_a_write_is_left_anywhere),
		cmocka_unit_test(test_a_read_is_left_anywhere),
		cmocka_unit_test(test_calls_of_a_stream_are_left_anywhere),
		cmocka_unit_test(test_a_retreat_is_left_anywhere),
#endif
	};

	pair_init();
	return unit_run(test);
}
