/* SPDX-License-Identifier: MIT */

/*
 * seccomp: a process that limits its system calls allows those it makes itself,
 * not ours (sched_yield, futex, calls on the link), and may be killed for one.  So
 * its streams go back to the kernel before; also those that it inherited by fork
 * and shares, as a later use of them would need calls.  A filter that was there before the
 * program is met where a call fails.  By number: syscall.c.
 */
#include "shim.h"

#include <linux/seccomp.h>

#include "../src/mend.h"

bool shim_sandboxed;

void shim_before_sandbox(void)
{
	int saved = errno;
	unsigned int top = shmfd_fd_top();

	/* a vfork's child stands on its parent's memory: nothing of that is its own */
	if (!load_acquire(&shim_active) || shim_is_vfork())
		return;
	shim_sandboxed = true;
	shim_forget_clones();
	shmfd_stream_adopt_no_more();
	for (unsigned int fd = 0; shmfd_pid && fd <= top; fd++) {
		struct shmfd_stream *s = shim_get((int)fd);

		if (!s)
			continue;
		shmfd_stream_retreat(s, SHMFD_WHY_SANDBOX);
		shmfd_stream_put(s);
	}
	shmfd_signals_free = true;
	shim_summary();		/* its file may be out of reach at the end */
	errno = saved;
}

int prctl(int op, ...)
{
	unsigned long a[4];
	va_list ap;

	va_start(ap, op);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	/* a filter of NULL asks whether the kernel has filters */
	if (op == PR_SET_SECCOMP && (a[0] != SECCOMP_MODE_FILTER || a[1]))
		shim_before_sandbox();
	return real.prctl(op, a[0], a[1], a[2], a[3]);
}
