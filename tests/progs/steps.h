/* SPDX-License-Identifier: MIT */
/*
 * A signal at a chosen machine instruction of a call.
 *
 * With the trap flag set the processor reports each instruction (SIGTRAP).  The handler
 * counts them and raises SIGUSR1 after the one that was asked for: it arrives there, or
 * as soon as the code that was interrupted lets signals through, as any signal would.
 */
#ifndef STEPS_H
#define STEPS_H

#include "duo.h"

#include <limits.h>
#include <sys/select.h>
#include <ucontext.h>

#define STEPS_TRAP_FLAG	0x100
#define STEPS_ASLEEP_NS	20000000

static timer_t steps_timer;
static volatile long steps_left, steps_taken;

static void steps_on_trap(int signal_nr, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
	int saved = errno;

	(void)signal_nr;
	(void)info;
	steps_taken++;
	if (--steps_left > 0)
		return;
	at->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)STEPS_TRAP_FLAG;
	raise(SIGUSR1);	/* blocked here: it comes at once after this */
	errno = saved;
}

/* What is done at the instruction, and what when the call still sleeps after a while:
 * the instruction that was meant is behind that sleep then.
 */
static void steps_handlers(void (*at_step)(int), void (*asleep)(int))
{
	struct sigaction trap = {.sa_sigaction = steps_on_trap, .sa_flags = SA_SIGINFO};
	struct sigaction step = {.sa_handler = at_step, .sa_flags = SA_RESTART};
	struct sigaction late = {.sa_handler = asleep, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};

	sigfillset(&trap.sa_mask);
	if (sigaction(SIGTRAP, &trap, NULL) < 0 || sigaction(SIGUSR1, &step, NULL) < 0 ||
	    sigaction(SIGUSR2, &late, NULL) < 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &steps_timer) < 0)
		die("handlers");
}

/* In the handler of the instruction: nothing else wakes the call any more. */
static void steps_no_rescue(void)
{
	struct itimerspec never = {.it_value.tv_nsec = 0};

	timer_settime(steps_timer, 0, &never, NULL);
}

/* --- handlers for most programs ------------------------------------------------ */

/* What is done at the instruction, or by a call that sleeps before it; never both. */
static void (*steps_at_step)(void), (*steps_if_asleep)(void);
static volatile sig_atomic_t steps_in_time, steps_late;

static inline void steps_on_step(int signal_nr)
{
	int saved = errno;

	(void)signal_nr;
	if (!steps_late) {
		steps_no_rescue();
		steps_in_time = true;
		steps_at_step();
	}
	errno = saved;
}

static inline void steps_on_rescue(int signal_nr)
{
	int saved = errno;

	(void)signal_nr;
	steps_late = true;
	if (!steps_in_time)
		steps_if_asleep();
	errno = saved;
}

static inline void steps_actions(void (*at_step)(void), void (*if_asleep)(void))
{
	steps_at_step = at_step;
	steps_if_asleep = if_asleep;
	steps_handlers(steps_on_step, steps_on_rescue);
}

/* The handler comes after so many instructions from here.  Not below the stack pointer:
 * the compiler may keep something there.
 */
static inline void steps_start(long instructions)
{
	struct itimerspec in = {.it_value.tv_nsec = STEPS_ASLEEP_NS};

	steps_in_time = steps_late = false;
	timer_settime(steps_timer, 0, &in, NULL);
	steps_taken = 0;
	steps_left = instructions;
	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\torq %0, (%%rsp)\n\tpopfq\n\t"
			 "leaq 128(%%rsp), %%rsp" : : "i"(STEPS_TRAP_FLAG) : "memory", "cc");
}

static inline void steps_stop(void)
{
	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\tandq %0, (%%rsp)\n\tpopfq\n\t"
			 "leaq 128(%%rsp), %%rsp" : : "i"(~STEPS_TRAP_FLAG) : "memory", "cc");
	steps_no_rescue();
}

/* select() for input, without end; true: there is. */
static inline bool steps_select(int fd)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	return select(fd + 1, &in, NULL, NULL, NULL) == 1;
}

/*
 * one(instructions) for so many places of a call, evenly, from one that differs by
 * process.  It returns false if the call was over before.
 */
static inline void steps_through(bool (*one)(long instructions), int places)
{
	long all, every;

	one(LONG_MAX);
	all = steps_taken;
	every = all / places + 1;
	for (long at = 1 + getpid() % every; at <= all && one(at); at += every)
		;
}

#endif
