/* SPDX-License-Identifier: MIT */

/*
 * Description: where does each name lead?  Prints "way name file" for all names
 * of names.inc (NAME(x) lines, made by the test): by a relocation of this
 * program, of an object opened with dlopen (its path is the argument), and by
 * dlsym.  Compiled with -DOBJECT it is that object.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Addresses only; the names are declared here whatever the headers say. */
#define NAME(x) extern const char ref_##x[] __asm__(#x);
#include "names.inc"
#undef NAME

struct ref {
	const char *name;
	const void *addr;
};

#ifdef OBJECT
#define LIST object_refs
#else
#define LIST refs
#endif
extern const struct ref LIST[];
const struct ref LIST[] = {
#define NAME(x) { #x, ref_##x },
#include "names.inc"
#undef NAME
	{ NULL, NULL },
};

#ifndef OBJECT
static void show(const char *way, const char *name, const void *addr)
{
	Dl_info info;
	const char *slash;

	if (!addr || !dladdr(addr, &info)) {
		printf("%s %s nowhere\n", way, name);
		return;
	}
	slash = strrchr(info.dli_fname, '/');
	printf("%s %s %s\n", way, name, slash ? slash + 1 : info.dli_fname);
}

int main(int argc, char **argv)
{
	void *object = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	const struct ref *r = object ? dlsym(object, "object_refs") : NULL;

	if (!r)
		return 1;
	for (; r->name; r++)
		show("object", r->name, r->addr);
	for (r = refs; r->name; r++) {
		show("program", r->name, r->addr);
		show("dlsym", r->name, dlsym(RTLD_DEFAULT, r->name));
	}
	return 0;
}
#endif
