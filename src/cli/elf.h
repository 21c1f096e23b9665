/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_CLI_ELF_H
#define SHMFD_CLI_ELF_H

#include <stdbool.h>

/*
 * Can the dynamic loader preload @library into @program, and would it help?
 * Looks at the files only.
 */
enum elf_verdict {
	ELF_FINE = 0,	/* or unknown: not ELF, not readable */
	ELF_OTHER,	/* another machine or word size */
	ELF_GO,
	ELF_STATIC,
	ELF_MUSL,	/* another C library: the loader would refuse to start */
	ELF_SETUID,
	ELF_SETGID,
	ELF_CAPS,
};

/* True if the file starts as an ELF file does; errno is not kept. */
bool elf_is(const char *path);

enum elf_verdict elf_check(const char *program, const char *library);

/* The verdict in words that go on after the name of the program. */
const char *elf_words(enum elf_verdict v);

#endif
