/* SPDX-License-Identifier: MIT */

/*
 * longjmp, siglongjmp, _longjmp, __longjmp_chk.  A signal handler that leaves by one of
 * them may have interrupted the library while it held a lock or a stream, which is let go
 * of here, before the jump (../src/lock.h, ../src/pin.h).
 *
 * glibc keeps the stack pointer of setjmp's caller mangled, at an index and by a way
 * that programs rely on since 2.4 (sysdeps/x86_64/jmpbuf-offsets.h, pointer_guard.h).
 */
#include "shim.h"

#include "../src/lock.h"
#include "../src/pin.h"

#define JB_RSP	6

static uintptr_t target_sp(const struct __jmp_buf_tag *env)
{
	uintptr_t sp = (uintptr_t)env->__jmpbuf[JB_RSP];

	/* rotated by 17; the guard is in the thread's head (tcbhead_t) */
	__asm__("rorq $17, %0\n\txorq %%fs:0x30, %0" : "+r"(sp));
	return sp;
}

static void before_jump(const struct __jmp_buf_tag *env)
{
	if (unlikely(shmfd_holds.nr || shmfd_holds.passing))
		shmfd_lock_jump(target_sp(env));
	if (!__libc_single_threaded)
		shmfd_pin_jump(target_sp(env));
}

void longjmp(jmp_buf env, int val)
{
	before_jump(env);
	real.longjmp(env, val);
	__builtin_unreachable();
}

void _longjmp(jmp_buf env, int val) __attribute__((alias("longjmp")));
void siglongjmp(sigjmp_buf env, int val) __attribute__((alias("longjmp")));

void __longjmp_chk(struct __jmp_buf_tag env[1], int val)
{
	before_jump(env);
	real.__longjmp_chk(env, val);
	__builtin_unreachable();
}
