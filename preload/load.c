/* SPDX-License-Identifier: MIT */

/*
 * dlopen, dlmopen.  A library opened with RTLD_DEEPBIND, or into a namespace of its
 * own, finds libc's functions before ours (dlopen(3)): what it does to a number is not
 * seen.  So all streams go back to the kernel before, and no new one comes to us.
 *
 * The loader takes the caller's address for the RUNPATH and the namespace that count.
 * So the real call is the last one of each wrapper, a jump that keeps the host's
 * return address.
 */
#include "shim.h"

#include "../src/handover.h"

void shim_streams_stay(enum shmfd_reason why)
{
	static _Atomic uint32_t done;
	int saved = errno;
	unsigned int top = shmfd_fd_top();

	if (!load_acquire(&shim_active) || shim_is_vfork() || xchg_seq_cst(&done, 1))
		return;
	shmfd_log(2, "streams stay with the kernel from now on: %s",
		  shmfd_report_reason(why));
	shmfd_stream_adopt_no_more();
	for (unsigned int fd = 0; shmfd_pid && fd <= top; fd++) {
		if (shim_get_is((int)fd))
			shmfd_hand_over((int)fd, why, false);
	}
	errno = saved;
}

void *dlopen(const char *file, int mode)
{
	if (unlikely((mode & RTLD_DEEPBIND) && file && !(mode & RTLD_NOLOAD)))
		shim_streams_stay(SHMFD_WHY_UNBOUND);
	return real.dlopen(file, mode);
}

void *dlmopen(Lmid_t name_space, const char *file, int mode)
{
	if (name_space != LM_ID_BASE || (mode & RTLD_DEEPBIND))
		shim_streams_stay(SHMFD_WHY_UNBOUND);
	return real.dlmopen(name_space, file, mode);
}
