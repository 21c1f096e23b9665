/* SPDX-License-Identifier: MIT */

/*
 * The shmfd command: which subcommand is meant, and the few functions that all
 * of them share (cli.h).
 */
#define _GNU_SOURCE
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"Usage: shmfd run [--] COMMAND [ARGUMENT...]\n"
	"       shmfd ss [--pid PID]\n"
	"       shmfd help [SUBCOMMAND]\n"
	"\n"
	"Local stream sockets of unmodified programs through shared memory.\n"
	"\n"
	"  run   start a program with the library preloaded\n"
	"  ss    list the streams of running preloaded programs\n"
	"  help  this text, or that of a subcommand\n"
	"\n"
	"      --version  print the version\n"
	"  -h, --help     the same as help; also after a subcommand\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} command[] = {
	{ "run", cli_run },
	{ "ss", cli_ss },
};

__attribute__((format(printf, 1, 0)))
static void say(const char *fmt, va_list ap)
{
	fflush(stdout);
	fputs("shmfd: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void cli_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int cli_usage_error(const char *subcommand, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try 'shmfd %s%s--help'.\n", subcommand, *subcommand ? " " : "");
	return CLI_USAGE;
}

int cli_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return CLI_OK;
	cli_error("cannot write: %s", strerror(errno));
	return CLI_FAILED;
}

int cli_print(const char *text)
{
	fputs(text, stdout);
	return cli_flush();
}

void *cli_realloc(void *p, size_t nr, size_t size)
{
	p = reallocarray(p, nr, size);
	if (p)
		return p;
	cli_error("out of memory");
	exit(CLI_FAILED);
}

char *cli_strdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(cli_realloc(NULL, len, 1), s, len);
}

void cli_clean(char *s, size_t cap)
{
	if (!*s && cap > 1) {
		s[0] = '?';
		s[1] = '\0';
	}
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 127)
			*s = '?';
}

static int run_command(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(command) / sizeof(command[0]); i++)
		if (!strcmp(argv[0], command[i].name))
			return command[i].run(argc, argv);
	return cli_usage_error("", "there is no subcommand '%s'", argv[0]);
}

int main(int argc, char **argv)
{
	static char help_option[] = "--help";
	char *with_help[] = { NULL, help_option, NULL };
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word)
		return cli_usage_error("", "no subcommand given");
	if (!strcmp(word, "--version")) {
		printf("shmfd %s\n", CLI_VERSION);
		return cli_flush();
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return cli_print(help);
	if (strcmp(word, "help") != 0)
		return run_command(argc - 1, argv + 1);
	if (argc == 2)
		return cli_print(help);
	if (argc > 3)
		return cli_usage_error("", "help takes one subcommand");
	with_help[0] = argv[2];
	return run_command(2, with_help);
}
