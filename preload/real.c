/* SPDX-License-Identifier: MIT */

/*
 * The table of real functions.  RTLD_NEXT, so that sanitizers and other
 * preloaded libraries stack.  A name that this libc does not have stays NULL:
 * nobody linked against this libc can call it.
 */
#include "shim.h"

#include <dlfcn.h>
#include <string.h>

struct shim_real shim_real_table;

void shim_real_resolve(void)
{
	struct shim_real t;
	int saved = errno;

#define CALL(name)						\
	do {							\
		void *f = dlsym(RTLD_NEXT, #name);		\
		memcpy(&t.name, &f, sizeof(f));			\
	} while (0);
#define ALIAS(name, of)
#include "calls.def"
#undef CALL
#undef ALIAS
	t.ready = 1;
	shim_real_table = t;
	errno = saved;
}
