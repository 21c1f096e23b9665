/* SPDX-License-Identifier: MIT */
/*
 * Description: what it costs to start a program: /bin/true, COUNT times, one after the other.
 *
 *   startup [--set NAME=VALUE]... COUNT [PLACEMENT]
 *
 *   --set      in the environment of the started program, not of this one
 *   PLACEMENT  one: this CPU for both; free
 *
 * Prints one line: the spread of the time from posix_spawn() to the end that waitpid() tells.
 */
#include "bench.h"

#include <getopt.h>
#include <spawn.h>

enum { MOST_SETTINGS = 8 };

extern char **environ;

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: startup [--set NAME=VALUE]... COUNT [one|free]\n");
	exit(2);
}

/* The environment of this process and the settings behind it. */
static char **make_environment(char **settings, int nr)
{
	size_t have = 0;
	char **env;

	while (environ[have])
		have++;
	env = calloc(have + (size_t)nr + 1, sizeof(*env));
	if (!env)
		bench_die("calloc");
	memcpy(env, environ, have * sizeof(*env));
	memcpy(env + have, settings, (size_t)nr * sizeof(*env));
	return env;
}

static uint64_t start_once(char **env)
{
	char *args[] = { (char *)"/bin/true", NULL };
	uint64_t start = bench_now_ns();
	pid_t pid;

	errno = posix_spawn(&pid, args[0], NULL, NULL, args, env);
	if (errno)
		bench_die("posix_spawn");
	bench_reap(pid);
	return bench_now_ns() - start;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "set", required_argument, NULL, 's' },
		{ 0 },
	};
	char *settings[MOST_SETTINGS], **env;
	const char *placement = "free";
	int c, nr = 0;
	uint32_t *ns;
	long count;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 's' || nr == MOST_SETTINGS || !strchr(optarg, '='))
			usage();
		settings[nr++] = optarg;
	}
	if (argc - optind < 1 || argc - optind > 2)
		usage();
	count = bench_number("COUNT", argv[optind], 1, 1000000);
	if (argc - optind == 2)
		placement = argv[optind + 1];
	if (!bench_is_placement(placement))
		usage();
	bench_pin(placement, 0);
	env = make_environment(settings, nr);
	ns = calloc((size_t)count, sizeof(*ns));
	if (!ns)
		bench_die("calloc");
	for (long i = 0; i < count / 10 + 1; i++)
		start_once(env);
	for (long i = 0; i < count; i++)
		ns[i] = bench_sample(start_once(env));
	printf("startup %s count=%ld: ", placement, count);
	bench_print_spread(ns, (size_t)count);
	putchar('\n');
	return 0;
}
