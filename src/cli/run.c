/* SPDX-License-Identifier: MIT */

/*
 * shmfd run: puts the library in front of LD_PRELOAD and becomes the command.
 * The file to execute is looked up here, not by execvp(3), because it has to be
 * looked at first.  Exit statuses as env(1) has them.
 */
#define _GNU_SOURCE
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <paths.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf.h"

#define LIBRARY	"libshmfd.so"

static const char help[] =
	"Usage: shmfd run [--] COMMAND [ARGUMENT...]\n"
	"\n"
	"Starts COMMAND with " LIBRARY " in front of LD_PRELOAD.  The library is\n"
	"$SHMFD_LIB if that is set, else the one beside this command or in ../lib.\n"
	"A program that cannot be preloaded is started all the same, and one line\n"
	"on stderr says why it will not be faster.\n"
	"\n"
	"Environment, for the library:\n"
	"  SHMFD_RULES   which streams: tcp:127.0.0.1:6379=ring;unix:/run/*=ring;tcp:*:22=kernel\n"
	"                The first rule that matches either address decides; default: all\n"
	"  SHMFD_AFTER   N: 2N data calls, both ways together, before the rings (4)\n"
	"  SHMFD_RING    bytes of each ring, a power of two from 64K to 16M (2M)\n"
	"  SHMFD_SPIN_US longest busy wait in microseconds, 0: none (50)\n"
	"  SHMFD_LOG     error, info or debug, then :FILE if not stderr\n"
	"  SHMFD_STATS   file to which each process appends one line of sums at exit\n"
	"\n"
	"Exit status: that of COMMAND; 127 it is not there, 126 it cannot be executed,\n"
	"125 the library cannot be used, 2 wrong usage.\n";

/* Absolute and without links, so that the child may change directory. */
static bool library_at(const char *path, char *ret_path)
{
	struct stat st;

	return realpath(path, ret_path) && !stat(ret_path, &st) && S_ISREG(st.st_mode);
}

static bool find_library(char *ret_path)
{
	static const char *const place[] = { LIBRARY, "../lib/" LIBRARY };
	const char *named = getenv("SHMFD_LIB");
	char self[PATH_MAX], path[PATH_MAX + 32];
	ssize_t len;

	if (named && *named) {
		if (library_at(named, ret_path))
			return true;
		cli_error("SHMFD_LIB=%s: there is no such file", named);
		return false;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[len > 0 ? len : 0] = '\0';
	if (strrchr(self, '/'))
		strrchr(self, '/')[1] = '\0';
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%s", self, place[i]);
		if (self[0] && library_at(path, ret_path))
			return true;
	}
	cli_error(LIBRARY " is neither in %s nor in %s../lib; SHMFD_LIB may name it", self, self);
	return false;
}

static bool is_our_library(const char *entry, size_t len)
{
	static const char name[] = LIBRARY;
	const size_t name_len = sizeof(name) - 1;

	return len >= name_len && !memcmp(entry + len - name_len, name, name_len) &&
		(len == name_len || entry[len - name_len - 1] == '/');
}

/*
 * What is there stays, in its order, behind the library; two copies would
 * stand in each other's way, so another one is left out.
 */
static bool set_preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	size_t cap = strlen(library) + (old ? strlen(old) : 0) + 2;
	char *value, *end;
	int rc;

	if (strpbrk(library, " \t\n:")) {
		cli_error("%s: LD_PRELOAD cannot hold a name with blanks or colons", library);
		return false;
	}
	value = cli_realloc(NULL, cap, 1);
	end = stpcpy(value, library);
	while (old && *(old += strspn(old, " :"))) {
		size_t len = strcspn(old, " :");

		if (!is_our_library(old, len) &&
		    (len != strlen(library) || memcmp(old, library, len) != 0)) {
			*end++ = ':';
			end = mempcpy(end, old, len);
			*end = '\0';
		}
		old += len;
	}
	rc = setenv("LD_PRELOAD", value, 1);
	free(value);
	if (rc)
		cli_error("cannot set LD_PRELOAD: %s", strerror(errno));
	return !rc;
}

static bool is_program(const char *path, int *ret_errno)
{
	struct stat st;

	if (stat(path, &st)) {
		/* ENOTDIR: an entry of PATH that is no directory */
		if (errno != ENOENT && errno != ENOTDIR)
			*ret_errno = errno;
		return false;
	}
	if (S_ISREG(st.st_mode) && !access(path, X_OK))
		return true;
	*ret_errno = EACCES;
	return false;
}

/* Returns 0 with the file to execute in @path, or the errno that exec would have. */
static int find_program(const char *name, char *path, size_t cap)
{
	const char *dirs = getenv("PATH");
	int err = ENOENT;

	if (strchr(name, '/')) {
		if ((size_t)snprintf(path, cap, "%s", name) >= cap)
			return ENAMETOOLONG;
		return is_program(path, &err) ? 0 : err;
	}
	if (!*name)
		return ENOENT;
	for (dirs = dirs ? dirs : _PATH_DEFPATH; dirs;) {
		size_t len = strcspn(dirs, ":");
		int n = snprintf(path, cap, "%.*s%s%s", (int)len, dirs, len ? "/" : "./", name);

		if (n > 0 && (size_t)n < cap && is_program(path, &err))
			return 0;
		dirs = dirs[len] ? dirs + len + 1 : NULL;
	}
	return err;
}

/*
 * Scripts without "#!" are the shell's, as in execvp(3); what the kernel refuses
 * although it is ELF is not, or the shell would read a program's bytes.
 */
static void execute(char *path, char **argv, int argc)
{
	static char shell[] = _PATH_BSHELL;
	char **with_shell;
	int err;

	execv(path, argv);
	err = errno;
	if (err != ENOEXEC || elf_is(path)) {
		errno = err;
		return;
	}
	with_shell = cli_realloc(NULL, (size_t)argc + 2, sizeof(*with_shell));
	with_shell[0] = shell;
	with_shell[1] = path;
	for (int i = 1; i <= argc; i++)
		with_shell[i + 1] = argv[i];
	execv(shell, with_shell);
	free(with_shell);
}

static int run(int argc, char **argv)
{
	char library[PATH_MAX], path[PATH_MAX];
	enum elf_verdict verdict;
	int err;

	if (!find_library(library))
		return CLI_RUN_FAILED;
	err = find_program(argv[0], path, sizeof(path));
	if (!err) {
		verdict = elf_check(path, library);
		if (verdict != ELF_FINE)
			cli_error("%s %s: it will run, but not accelerated", path,
				  elf_words(verdict));
		if (verdict != ELF_MUSL && !set_preload(library))
			return CLI_RUN_FAILED;
		execute(path, argv, argc);
		err = errno;
	}
	cli_error("%s: %s", argv[0], strerror(err));
	return err == ENOENT ? CLI_RUN_NOT_FOUND : CLI_RUN_NOT_EXECUTABLE;
}

int cli_run(int argc, char **argv)
{
	int first = 1;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return cli_print(help);
	if (argc > 1 && !strcmp(argv[1], "--"))
		first = 2;
	else if (argc > 1 && argv[1][0] == '-')
		return cli_usage_error("run", "run has no option '%s'", argv[1]);
	if (first >= argc)
		return cli_usage_error("run", "run needs a command");
	return run(argc - first, argv + first);
}
