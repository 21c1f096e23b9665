/* SPDX-License-Identifier: MIT */

/*
 * posix_spawn, posix_spawnp, posix_spawn_file_actions_adddup2, popen, system.
 *
 * A stream that a program is to have from us goes back to the kernel before: one without
 * close-on-exec, and one that file actions duplicate.  They are not ours to read; so the
 * numbers they name are remembered, as such a number may be a stream by the time of the
 * spawn only.
 */
#include "shim.h"

#include "../src/handover.h"

#define SOURCES	1024u	/* numbers above are one */

static _Atomic uint64_t sources[SOURCES / 64 + 1];

static unsigned int place_of(unsigned int fd)
{
	return fd < SOURCES ? fd : SOURCES;
}

static bool is_source(unsigned int fd)
{
	unsigned int at = place_of(fd);

	return load_relaxed(&sources[at / 64]) >> at % 64 & 1;
}

int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *fa, int fd, int new_fd)
{
	unsigned int at = place_of((unsigned int)fd);

	if (fd >= 0)
		fetch_or_seq_cst(&sources[at / 64], 1ull << at % 64);
	return real.posix_spawn_file_actions_adddup2(fa, fd, new_fd);
}

static void before_spawn(const posix_spawn_file_actions_t *fa)
{
	unsigned int top = shmfd_fd_top();

	for (unsigned int fd = 0; fa && fd <= top; fd++) {
		if (shim_get_is((int)fd) && is_source(fd))
			shmfd_hand_over((int)fd, SHMFD_WHY_EXEC, false);
	}
	shim_before_exec();
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *fa,
		const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	before_spawn(fa);
	return real.posix_spawn(pid, path, fa, attr, argv, env);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *fa,
		 const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	before_spawn(fa);
	return real.posix_spawnp(pid, file, fa, attr, argv, env);
}

FILE *popen(const char *command, const char *type)
{
	shim_before_exec();
	return real.popen(command, type);
}

FILE *_IO_popen(const char *command, const char *type) __attribute__((alias("popen")));

int system(const char *command)
{
	shim_before_exec();
	return real.system(command);
}
