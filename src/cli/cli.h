/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_CLI_H
#define SHMFD_CLI_H

/*
 * What the subcommands of `shmfd` share.  The command is an ordinary program:
 * one thread, stdio, malloc.  It only looks at other processes; it never stops,
 * signals or writes to one.
 */
#include <stddef.h>

#define CLI_VERSION	"0.1.0"

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	/* as env(1): what the command run by us cannot have meant */
	CLI_RUN_FAILED = 125,
	CLI_RUN_NOT_EXECUTABLE = 126,
	CLI_RUN_NOT_FOUND = 127,
};

/* argv[0] is the name of the subcommand.  Each returns the exit status. */
int cli_run(int argc, char **argv);
int cli_ss(int argc, char **argv);

/* One line "shmfd: …" on stderr. */
__attribute__((format(printf, 1, 2)))
void cli_error(const char *fmt, ...);

/* As cli_error, plus where to find help.  Returns CLI_USAGE. */
__attribute__((format(printf, 2, 3)))
int cli_usage_error(const char *subcommand, const char *fmt, ...);

/* Writes @text to stdout.  Returns CLI_OK, or CLI_FAILED with an error said. */
int cli_print(const char *text);

/* Flushes stdout.  Returns CLI_OK, or CLI_FAILED with an error said. */
int cli_flush(void);

/* realloc and strdup that end the command when memory is out. */
void *cli_realloc(void *p, size_t nr, size_t size);
char *cli_strdup(const char *s);

/*
 * Blanks and control characters become '?': text of others must neither break
 * columns nor reach the terminal as commands.  Empty text becomes "?".
 */
void cli_clean(char *s, size_t cap);

#endif
