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
#define OTHER(name)
#define ALIAS(name, of)
#include "calls.def"
#undef CALL
#undef ALIAS
#undef OTHER
	t.ready = 1;
	shim_real_table = t;
	errno = saved;
}

/* Not at the start: dlsym allocates for a name that is not there, and an allocator
 * may be who made the first call (jemalloc reads a file under its lock). */
void *shim_real_other(const char *file, const char *name)
{
	int saved = errno;
	void *f = dlsym(RTLD_NEXT, name), *lib;

	if (!f) {	/* it came with a plug-in */
		lib = real.dlopen(file, RTLD_LAZY | RTLD_NOLOAD);
		f = lib ? dlsym(lib, name) : NULL;
	}
	errno = saved;
	return f;
}
