/* SPDX-License-Identifier: MIT */

/*
 * vfork (__vfork).  Its child runs on the memory of its parent until it execs: it
 * has numbers of its own in the kernel, but what we know of them is the parent's, and
 * must stay so.  Such a child is known by its process id, a system call in each close();
 * so the question is asked only in processes that have ever made one, be it by vfork,
 * clone or syscall, and in what they fork.  libc's own (posix_spawn, system, popen) call
 * nothing of ours.
 *
 * The child returns from vfork on the stack of its parent, which returns later: no frame of
 * ours may lie there, and the last step is a jump.
 */
#include "shim.h"

#include <sched.h>
#include <sys/syscall.h>

/* Relaxed: who asks is the thread that notes it, or made by that thread. */
static _Atomic bool ever_made;

void shim_note_clone(unsigned long flags)
{
	int saved = errno;

	if (!(flags & CLONE_VM) || (flags & CLONE_THREAD))
		return;
	shmfd_stream_know_process();
	store_relaxed(&ever_made, true);
	errno = saved;
}

void shim_forget_clones(void)
{
	store_relaxed(&ever_made, false);
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

/* A forked child has a memory of its own, and takes its own id when it first looks. */
bool shim_is_vfork(void)
{
	return load_relaxed(&ever_made) && !shmfd_stream_is_forked() &&
		(uint32_t)real.syscall(SYS_getpid) != shmfd_pid;
}
