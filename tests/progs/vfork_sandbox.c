/* SPDX-License-Identifier: MIT */
/*
 * Description: vfork children enter a seccomp sandbox on their parent's memory and exit;
 * the parent's streams, with input unread, go on, and new ones come.
 */
#include "duo.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Everything but kill is allowed. */
static struct sock_filter code[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

/* A child that enters it in one of three ways. */
static void sandboxed(int way)
{
	volatile pid_t child = vfork();

	if (child == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
			_exit(1);
		if (way == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
			_exit(2);
		if (way == 1 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter))
			_exit(3);
		if (way == 2) {
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
			syscall(SYS_exit, 20);
		}
		_exit(10 + way);
	}
	if (child < 0)
		die("vfork");
	duo_reap(child, "child");
}

static void ask(int fd, const char *when, int messages)
{
	char out[16], in[16];
	int wrong = 0;

	for (int i = 0; i < messages; i++) {
		snprintf(out, sizeof(out), "question %5d", i);
		duo_write_all(fd, out, sizeof(out));
		wrong += duo_read_all(fd, in, sizeof(in)) != sizeof(in) ||
			memcmp(in, out, sizeof(in)) != 0;
	}
	say("%s: %d answers, %d wrong", when, messages, wrong);
}

/* What counts by ring is the streams that come behind a sandbox. */
static void client(int fd)
{
	char in[16];
	int other;

	for (int way = 0; way < 3; way++) {
		sandboxed(way);
		other = duo_another();
		ask(other, "new stream", 100);
		duo_write_all(other, "unread, to come", 16);
		duo_await_bytes(other, 16);
		sandboxed(way);
		say("unread: %zu", duo_read_all(other, in, sizeof(in)));
		ask(other, "used stream", 100);
		ask(fd, "first stream", 1);
		close(other);
	}
}

static void answer(int fd, int messages)
{
	char buf[16];

	for (int i = 0; i < messages; i++) {
		if (duo_read_all(fd, buf, sizeof(buf)) != sizeof(buf))
			die("end");
		duo_write_all(fd, buf, sizeof(buf));
	}
}

static void server(int fd)
{
	char byte;
	int other;

	for (int way = 0; way < 3; way++) {
		other = duo_another();
		answer(other, 201);
		answer(fd, 1);
		say_result("read at end", read(other, &byte, 1));
		close(other);
	}
}

DUO_PROGRAM(.description = "vfork children in a sandbox", .server = server, .client = client)
