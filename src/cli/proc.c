/* SPDX-License-Identifier: MIT */

/* See proc.h.  Formats as in proc(5). */
#define _GNU_SOURCE
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define FILE_MAX	(64u << 20)

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

pid_t *proc_list(void)
{
	DIR *dir = opendir("/proc");
	pid_t *list = NULL;
	size_t nr = 0, cap = 0;
	struct dirent *d;
	struct stat st;

	while (dir && (d = readdir(dir))) {
		char *end;
		long pid = strtol(d->d_name, &end, 10);

		if (pid <= 0 || pid > INT_MAX || *end)
			continue;
		if (geteuid() != 0 &&
		    (fstatat(dirfd(dir), d->d_name, &st, 0) || st.st_uid != geteuid()))
			continue;
		if (nr + 1 >= cap) {
			cap = cap ? 2 * cap : 256;
			list = cli_realloc(list, cap, sizeof(*list));
		}
		list[nr++] = (pid_t)pid;
	}
	if (dir)
		closedir(dir);
	if (!list)
		list = cli_realloc(NULL, 1, sizeof(*list));
	qsort(list, nr, sizeof(*list), compare_pids);
	list[nr] = 0;
	return list;
}

void proc_path(char path[PROC_PATH], pid_t pid, const char *fmt, ...)
{
	int len = snprintf(path, PROC_PATH, "/proc/%d/", (int)pid);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path + len, PROC_PATH - (size_t)len, fmt, ap);
	va_end(ap);
}

bool proc_link(const char *path, char *ret_target, size_t cap)
{
	ssize_t len = readlink(path, ret_target, cap - 1);

	ret_target[len > 0 ? len : 0] = '\0';
	return len > 0;
}

char *proc_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, cap = 0;
	char *text = NULL;
	ssize_t n;

	if (fd < 0)
		return NULL;
	do {
		if (cap - len < 4096) {
			cap = cap ? 2 * cap : 8192;
			text = cli_realloc(text, cap, 1);
		}
		do
			n = read(fd, text + len, cap - len - 1);
		while (n < 0 && errno == EINTR);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && len < FILE_MAX);
	close(fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

void proc_name(pid_t pid, char *ret_name, size_t cap)
{
	char path[PROC_PATH], *text;
	size_t len;

	proc_path(path, pid, "comm");
	text = proc_file(path);
	snprintf(ret_name, cap, "%s", text ? text : "");
	free(text);
	len = strlen(ret_name);
	if (len && ret_name[len - 1] == '\n')
		ret_name[len - 1] = '\0';
	cli_clean(ret_name, cap);
}

pid_t proc_own_pid(pid_t pid)
{
	char path[PROC_PATH], *text, *line, *last = NULL, *save, *word;

	proc_path(path, pid, "status");
	text = proc_file(path);
	line = text ? strstr(text, "\nNSpid:") : NULL;
	if (line) {
		line += strlen("\nNSpid:");
		line[strcspn(line, "\n")] = '\0';
		for (word = strtok_r(line, "\t ", &save); word; word = strtok_r(NULL, "\t ", &save))
			last = word;
	}
	if (last)
		pid = atoi(last);
	free(text);
	return pid;
}

uint64_t proc_socket(pid_t pid, int fd)
{
	char path[PROC_PATH], target[64];
	uint64_t inode;

	proc_path(path, pid, "fd/%d", fd);
	if (!proc_link(path, target, sizeof(target)) ||
	    sscanf(target, "socket:[%" SCNu64 "]", &inode) != 1)
		return 0;
	return inode;
}
