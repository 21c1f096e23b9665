/* SPDX-License-Identifier: MIT */
/*
 * Description: seccomp refuses memfd_create, before the first stream or between two:
 * streams work, by the kernel if need be.
 */
#include "duo.h"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void refuse_memfd(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = 4, .filter = code};

	/* libc's own, as if the filter had been there before the program */
	long (*direct)(long nr, ...) = dlsym(dlopen("libc.so.6", RTLD_NOW), "syscall");

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    direct(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter))
		die("seccomp");
	if (syscall(SYS_memfd_create, "x", 0) != -1 || errno != error)
		die("memfd_create is not refused");
}

static void use(int fd, const char *what)
{
	char buf[6];

	duo_warmup(fd);
	duo_write_all(fd, "hello", 6);
	say_result(what, (ssize_t)duo_read_all(fd, buf, 6));
	say("%s", buf);
	close(fd);
}

static void end(int fd)
{
	struct sockaddr_storage address;
	pid_t child;

	duo_address(&address);	/* the child is told, too */
	child = duo_fork();
	/* without any stream before */
	if (child == 0) {
		refuse_memfd(EPERM);
		use(duo_another(), "refused from the start");
		_exit(0);
	}
	duo_reap(child, "child");
	use(duo_another(), "allowed");
	fd = duo_another();
	duo_warmup(fd);
	refuse_memfd(ENOSYS);
	use(fd, "refused while in use");
	use(duo_another(), "refused later");
}

DUO_PROGRAM(.description = "seccomp refuses memfd_create", .traits = DUO_OWN_SETUP, .server = end,
	    .client = end)
