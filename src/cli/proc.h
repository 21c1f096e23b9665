/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_CLI_PROC_H
#define SHMFD_CLI_PROC_H

/*
 * /proc, read only.  A process may vanish or change between any two calls;
 * that is never an error, there is just nothing to see.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_PATH	64	/* enough for every path made by proc_path */

/* Processes of this user (all for root), ascending, 0 at the end.  To be freed. */
pid_t *proc_list(void);

/* "/proc/PID/" and what @fmt makes. */
__attribute__((format(printf, 3, 4)))
void proc_path(char path[PROC_PATH], pid_t pid, const char *fmt, ...);

/* Target of a link, cut to @cap, always ended.  False if there is none. */
bool proc_link(const char *path, char *ret_target, size_t cap);

/* A whole file, 0-terminated, at most 64 MiB.  NULL if not readable.  To be freed. */
char *proc_file(const char *path);

/* What the process calls itself, clean; "?" when unknown. */
void proc_name(pid_t pid, char *ret_name, size_t cap);

/* The pid it has in its own pid namespace. */
pid_t proc_own_pid(pid_t pid);

/* Inode of the socket behind a descriptor, 0 if it is none. */
uint64_t proc_socket(pid_t pid, int fd);

#endif
