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
#include <sys/mman.h>
#include <sys/syscall.h>

/* In a page that the kernel clears in every kind of forked child: the process that made such
 * children, 0: none did. */
static _Atomic uint32_t *_Atomic maker;

static _Atomic uint32_t *make_page(void)
{
	_Atomic uint32_t *page, *none = NULL;

	page = mmap(NULL, SHMFD_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return NULL;
	if (!madvise(page, SHMFD_PAGE, MADV_WIPEONFORK) && cas_seq_cst(&maker, &none, page))
		return page;
	munmap(page, SHMFD_PAGE);
	return none;	/* another thread's */
}

void shim_note_clone(unsigned long flags)
{
	_Atomic uint32_t *page = load_acquire(&maker);
	int saved = errno;

	if (!(flags & CLONE_VM) || (flags & CLONE_THREAD))
		return;
	if (!page)
		page = make_page();
	/* not by such a child itself: it is its parent's page.  Relaxed: the child that is to
	 * see it is made by this thread */
	if (page && !load_relaxed(page))
		store_relaxed(page, (uint32_t)real.syscall(SYS_getpid));
	errno = saved;
}

void shim_forget_clones(void)
{
	_Atomic uint32_t *page = load_acquire(&maker);

	if (page)
		store_relaxed(page, 0);
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
	const _Atomic uint32_t *page = load_acquire(&maker);
	uint32_t pid = page ? load_relaxed(page) : 0;

	return pid && (uint32_t)real.syscall(SYS_getpid) != pid;
}
