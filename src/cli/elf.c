/* SPDX-License-Identifier: MIT */

/*
 * See elf.h.  Nothing in a file is believed before its bounds are checked; a
 * file that makes no sense is ELF_FINE: exec will have the last word.
 *
 * Facts: ld.so(8), "secure-execution mode" and LD_PRELOAD; capabilities(7),
 * which leaves out a real root; Go links its build information into a section
 * .go.buildinfo (src/debug/buildinfo) and a note of owner "Go".
 */
#define _GNU_SOURCE
#include "elf.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES_MAX	4096		/* bytes of section names looked at */

struct elf {
	int fd;
	ElfW(Ehdr) head;
};

static bool read_at(const struct elf *e, void *buf, size_t len, uint64_t off)
{
	return off <= INT64_MAX && pread(e->fd, buf, len, (off_t)off) == (ssize_t)len;
}

/* False, with nothing left open, when the file is not ELF or not readable. */
static bool elf_open(struct elf *e, const char *path)
{
	e->head = (ElfW(Ehdr)){ 0 };
	e->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (e->fd < 0)
		return false;
	/* A short file leaves zeros, which no later check takes for something. */
	if (pread(e->fd, &e->head, sizeof(e->head), 0) >= SELFMAG &&
	    !memcmp(e->head.e_ident, ELFMAG, SELFMAG))
		return true;
	close(e->fd);
	return false;
}

bool elf_is(const char *path)
{
	struct elf e;

	if (!elf_open(&e, path))
		return false;
	close(e.fd);
	return true;
}

static bool segment(const struct elf *e, uint32_t type, unsigned int *i, ElfW(Phdr) *ret_segment)
{
	for (; *i < e->head.e_phnum; (*i)++) {
		uint64_t off = e->head.e_phoff + (uint64_t)*i * e->head.e_phentsize;

		if (e->head.e_phentsize < sizeof(*ret_segment) ||
		    !read_at(e, ret_segment, sizeof(*ret_segment), off))
			return false;
		if (ret_segment->p_type == type)
			return true;
	}
	return false;
}

static bool has_go_section(const struct elf *e)
{
	static const char want[] = ".go.buildinfo";
	char names[NAMES_MAX];
	ElfW(Shdr) section;
	uint64_t at = e->head.e_shoff + (uint64_t)e->head.e_shstrndx * e->head.e_shentsize;
	size_t len;

	if (!e->head.e_shoff || e->head.e_shentsize < sizeof(section) ||
	    e->head.e_shstrndx >= e->head.e_shnum || !read_at(e, &section, sizeof(section), at))
		return false;
	len = section.sh_size < sizeof(names) ? (size_t)section.sh_size : sizeof(names);
	if (!read_at(e, names, len, section.sh_offset))
		return false;
	return memmem(names, len, want, sizeof(want));
}

static bool has_go_note(const struct elf *e)
{
	ElfW(Phdr) note;

	for (unsigned int i = 0; segment(e, PT_NOTE, &i, &note); i++) {
		struct {
			ElfW(Nhdr) head;
			char owner[4];
		} n;

		if (note.p_filesz >= sizeof(n) && read_at(e, &n, sizeof(n), note.p_offset) &&
		    n.head.n_namesz == 4 && !memcmp(n.owner, "Go\0", 4))
			return true;
	}
	return false;
}

static enum elf_verdict check_link(const struct elf *e)
{
	ElfW(Phdr) interp;
	char path[256] = "";
	unsigned int i = 0;
	size_t len;

	if (has_go_section(e) || has_go_note(e))
		return ELF_GO;
	if (!segment(e, PT_INTERP, &i, &interp))
		return i && i == e->head.e_phnum ? ELF_STATIC : ELF_FINE;
	len = interp.p_filesz < sizeof(path) ? (size_t)interp.p_filesz : sizeof(path) - 1;
	if (read_at(e, path, len, interp.p_offset) && strstr(path, "/ld-musl-"))
		return ELF_MUSL;
	return ELF_FINE;
}

/* What the kernel raises at exec makes the loader drop LD_PRELOAD. */
static enum elf_verdict check_rights(const char *path)
{
	struct statvfs fs;
	struct stat st;

	if (stat(path, &st) || (!statvfs(path, &fs) && (fs.f_flag & ST_NOSUID)))
		return ELF_FINE;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return ELF_SETUID;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
		return ELF_SETGID;
	if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		return ELF_CAPS;
	return ELF_FINE;
}

enum elf_verdict elf_check(const char *program, const char *library)
{
	enum elf_verdict v = ELF_FINE;
	struct elf e, lib;

	if (elf_open(&e, program)) {
		if (elf_open(&lib, library)) {
			if (!e.head.e_machine)
				v = ELF_FINE;	/* cut off */
			else if (e.head.e_ident[EI_CLASS] != lib.head.e_ident[EI_CLASS] ||
				 e.head.e_ident[EI_DATA] != lib.head.e_ident[EI_DATA] ||
				 e.head.e_machine != lib.head.e_machine)
				v = ELF_OTHER;
			close(lib.fd);
		}
		if (v == ELF_FINE && e.head.e_ident[EI_CLASS] == (sizeof(void *) == 8 ?
								  ELFCLASS64 : ELFCLASS32))
			v = check_link(&e);
		close(e.fd);
		if (v != ELF_FINE)
			return v;
	} else if (access(program, R_OK) == 0) {
		return ELF_FINE;	/* a script: the kernel ignores its mode bits */
	}
	return check_rights(program);
}

const char *elf_words(enum elf_verdict v)
{
	switch (v) {
	case ELF_OTHER:
		return "is for another machine or word size than the library";
	case ELF_GO:
		return "is a Go program, which makes its system calls itself";
	case ELF_STATIC:
		return "is statically linked";
	case ELF_MUSL:
		return "uses another C library (musl) than the library";
	case ELF_SETUID:
		return "is set-user-ID, so the loader will not preload";
	case ELF_SETGID:
		return "is set-group-ID, so the loader will not preload";
	case ELF_CAPS:
		return "has file capabilities, so the loader will not preload";
	case ELF_FINE:
		break;
	}
	return NULL;
}
