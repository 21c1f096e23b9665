/* SPDX-License-Identifier: MIT */
/*
 * Description: a process that used streams, with input unread, enters a seccomp sandbox
 * that allows read, write and dup only, and goes on; and the strict one.  It had made a
 * vfork child before.
 */
#include "duo.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void allow_few(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		die("seccomp");
}

/* Questions come by read, answers go by write. */
static void answer(int fd)
{
	char buf[16];

	for (int i = 0; i < 200; i++) {
		if (duo_read_all(fd, buf, sizeof(buf)) != sizeof(buf))
			break;
		duo_write_all(fd, buf, sizeof(buf));
	}
}

static void vforked(void)
{
	volatile pid_t child = vfork();

	if (child == 0)
		_exit(3);
	duo_reap(child, "vfork child");
}

static void in_child(int fd, bool strict)
{
	pid_t child = duo_fork();

	if (child == 0) {
		duo_warmup(fd);
		duo_await_bytes(fd, 16);
		vforked();
		if (strict)
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		else
			allow_few();
		answer(fd);
		if (strict)
			syscall(SYS_exit, 0);
		_exit(dup(fd) < 0);
	}
	close(fd);
	duo_reap(child, strict ? "strict" : "filter");
}

static void server(int fd)
{
	duo_warmup(fd);
	in_child(duo_another(), false);
	in_child(duo_another(), true);
}

static void client(int fd)
{
	char out[16], in[16] = "";

	duo_warmup(fd);
	for (int k = 0; k < 2; k++) {
		int wrong = 0;

		fd = duo_another();
		duo_warmup(fd);
		for (int i = 0; i < 200; i++) {
			snprintf(out, sizeof(out), "question %5d", i);
			duo_write_all(fd, out, sizeof(out));
			wrong += duo_read_all(fd, in, sizeof(in)) != sizeof(in) ||
				memcmp(in, out, sizeof(in)) != 0;
		}
		say("200 answers, %d wrong", wrong);
		say_result("read at end", read(fd, in, 1));
		close(fd);
	}
}

/* A sandboxed process writes no statistics at its end. */
DUO_PROGRAM(.description = "streams in a seccomp sandbox", .traits = DUO_ANY_ROAD,
	    .server = server, .client = client)
