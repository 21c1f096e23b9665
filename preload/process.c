/* SPDX-License-Identifier: MIT */

/*
 * fork (__fork), _Fork, clone (__clone), exec*.
 *
 * fork: holders are counted before the child exists (pthread_atfork does it
 * for fork, daemon and forkpty).  A program that exec starts does not know our
 * streams: those it would inherit go back to the kernel first.  vfork is in
 * vfork.c, what libc makes of it in spawn.c.
 */
#include "shim.h"

#include "../src/handover.h"

#include <string.h>
#include <sys/mman.h>

#define ARGS_ON_STACK	64

pid_t fork(void)
{
	pid_t pid = real.fork();

	if (pid < 0 && shmfd_pid)
		shmfd_stream_fork_failed();
	return pid;
}

pid_t __fork(void) __attribute__((alias("fork")));

pid_t _Fork(void)
{
	pid_t pid;

	if (!shmfd_pid)
		return real._Fork();
	shmfd_stream_fork_prepare();
	pid = real._Fork();
	if (pid < 0)
		shmfd_stream_fork_failed();
	if (!pid)
		shmfd_stream_fork_child(true);
	return pid;
}

int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	bool forks = shmfd_pid && !(flags & (CLONE_VM | CLONE_FILES));
	va_list ap;
	pid_t *ptid;
	void *tls;
	pid_t *ctid;
	int ret;

	va_start(ap, arg);
	ptid = va_arg(ap, pid_t *);
	tls = va_arg(ap, void *);
	ctid = va_arg(ap, pid_t *);
	va_end(ap);
	shim_note_clone((unsigned int)flags);
	if (forks)
		shmfd_stream_fork_prepare();
	ret = real.clone(fn, stack, flags, arg, ptid, tls, ctid);
	if (forks && ret < 0)
		shmfd_stream_fork_failed();
	return ret;
}

int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
	__attribute__((alias("clone")));

/* ---- exec ---------------------------------------------------------------------- */

void shim_before_exec(void)
{
	int saved = errno;
	unsigned int top = shmfd_fd_top();
	bool vfork_child = shmfd_pid && shim_is_vfork();

	for (unsigned int fd = 0; shmfd_pid && fd <= top; fd++) {
		int flags;

		if (!shim_get_is((int)fd))
			continue;
		flags = real.fcntl((int)fd, F_GETFD);
		if (flags >= 0 && !(flags & FD_CLOEXEC))
			shmfd_hand_over((int)fd, SHMFD_WHY_EXEC, vfork_child);
	}
	errno = saved;
}

int execve(const char *path, char *const argv[], char *const env[])
{
	shim_before_exec();
	return real.execve(path, argv, env);
}

int execv(const char *path, char *const argv[])
{
	shim_before_exec();
	return real.execv(path, argv);
}

int execvp(const char *file, char *const argv[])
{
	shim_before_exec();
	return real.execvp(file, argv);
}

int execvpe(const char *file, char *const argv[], char *const env[])
{
	shim_before_exec();
	return real.execvpe(file, argv, env);
}

int execveat(int dir, const char *path, char *const argv[], char *const env[], int flags)
{
	shim_before_exec();
	return real.execveat(dir, path, argv, env, flags);
}

int fexecve(int fd, char *const argv[], char *const env[])
{
	shim_before_exec();
	return real.fexecve(fd, argv, env);
}

/* The arguments of execl and its kind as an array; *ret_env: what follows. */
struct args {
	char *stack[ARGS_ON_STACK];
	char **list;
	size_t bytes;
};

static bool collect(struct args *a, const char *first, va_list ap, char ***ret_env)
{
	size_t n = first != NULL;
	va_list again;

	va_copy(again, ap);
	while (n && va_arg(again, char *))
		n++;
	va_end(again);
	a->list = a->stack;
	a->bytes = 0;
	if (n + 1 > ARGS_ON_STACK) {
		a->bytes = (n + 1) * sizeof(char *);
		a->list = mmap(NULL, a->bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (a->list == MAP_FAILED) {
			errno = E2BIG;
			return false;
		}
	}
	a->list[0] = (char *)(uintptr_t)first;
	for (size_t i = 1; i <= n; i++)
		a->list[i] = va_arg(ap, char *);
	a->list[n] = NULL;
	if (ret_env)
		*ret_env = va_arg(ap, char **);
	return true;
}

static int done(struct args *a, int ret)
{
	if (a->bytes)
		munmap(a->list, a->bytes);
	return ret;
}

int execl(const char *path, const char *arg, ...)
{
	struct args a;
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = collect(&a, arg, ap, NULL);
	va_end(ap);
	return ok ? done(&a, execv(path, a.list)) : -1;
}

int execlp(const char *file, const char *arg, ...)
{
	struct args a;
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = collect(&a, arg, ap, NULL);
	va_end(ap);
	return ok ? done(&a, execvp(file, a.list)) : -1;
}

int execle(const char *path, const char *arg, ...)
{
	char **env = NULL;
	struct args a;
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = collect(&a, arg, ap, &env);
	va_end(ap);
	return ok ? done(&a, execve(path, a.list, env)) : -1;
}
