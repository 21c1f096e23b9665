/* SPDX-License-Identifier: MIT */

/*
 * vfork (__vfork).  Its child runs on the memory of its parent until it execs: it
 * has numbers of its own in the kernel, but what we know of them is the parent's, and
 * must stay so.  Such a child is known by its process id, a system call in each close();
 * so the question is asked only in processes that have ever made one, be it by vfork,
 * clone or syscall.  libc's own (posix_spawn, system, popen) call nothing of ours.
 *
 * The child returns from vfork on the stack of its parent, which returns later: no frame of
 * ours may lie there, and the last step is a jump.
 */
#include "shim.h"

#include <sched.h>
#include <sys/syscall.h>

static _Atomic uint32_t has_vforked;

void shim_note_clone(unsigned long flags)
{
	/* relaxed: the child is made by this thread */
	if ((flags & CLONE_VM) && !(flags & CLONE_THREAD))
		store_relaxed(&has_vforked, 1);
}

/* The function to jump to. */
__attribute__((used)) static void *before_vfork(void)
{
	shim_note_clone(CLONE_VM);
	return __extension__ (void *)real.vfork;
}

__attribute__((naked)) pid_t vfork(void)
{
	__asm__("subq $8, %rsp\n\t"
		"call before_vfork\n\t"
		"addq $8, %rsp\n\t"
		"jmp *%rax");
}

pid_t __vfork(void) __attribute__((alias("vfork")));

bool shim_is_vfork(void)
{
	return load_relaxed(&has_vforked) && shmfd_pid &&
		(uint32_t)real.syscall(SYS_getpid) != shmfd_pid && !shmfd_stream_is_forked();
}
