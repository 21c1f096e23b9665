/* SPDX-License-Identifier: MIT */
/*
 * Description: SIGPIPE of every call that sends, after the own shutdown and after the
 * peer's close: once per call, also while blocked, and who it says it is from; what
 * two in a row are; that MSG_NOSIGNAL keeps a handler silent.
 */
#include "calls.h"

static volatile sig_atomic_t code, own;

static void on_pipe(int signal_nr, siginfo_t *info, void *context)
{
	(void)signal_nr;
	(void)context;
	signals_seen++;
	code = info->si_code;
	own = info->si_pid == getpid() && info->si_uid == getuid();
}

static void each(int fd, const char *when)
{
	for (size_t i = 0; i < SEND_CALLS; i++) {
		char what[64];

		signals_seen = 0;
		code = own = -1;
		snprintf(what, sizeof(what), "%s after %s", send_calls[i].name, when);
		say_result(what, send_calls[i].run(fd, "0123456789", 10));
		say("  signals %d, code %d, own %d", (int)signals_seen, (int)code, (int)own);
	}
}

/* Blocked it stays pending, once, for this thread and not the process. */
static void blocked(int fd)
{
	const struct timespec now = {0, 0};
	sigset_t set, pending;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signals_seen = 0;
	say_result("write, blocked", write(fd, "x", 1));
	say_result("write, blocked", write(fd, "x", 1));
	say_result("send, blocked, NOSIGNAL", send(fd, "x", 1, MSG_NOSIGNAL));
	sigpending(&pending);
	say("signals %d, pending %d", (int)signals_seen, sigismember(&pending, SIGPIPE));
	say("taken %d", sigtimedwait(&set, &info, &now) == SIGPIPE);
	say("code %d, own %d", info.si_code, info.si_pid == getpid());
	say_result("taken again", sigtimedwait(&set, &info, &now));
	say_result("send, blocked, NOSIGNAL", send(fd, "x", 1, MSG_NOSIGNAL));
	sigpending(&pending);
	say("pending %d", sigismember(&pending, SIGPIPE));
	say_result("write, blocked", write(fd, "x", 1));
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	say("signals %d after unblocking", (int)signals_seen);
}

static void in_thread(void *arg)
{
	blocked(*(int *)arg);
}

static void server(int fd)
{
	struct sigaction sa = {.sa_sigaction = on_pipe, .sa_flags = SA_SIGINFO};
	struct duo_thread t;

	duo_warmup(fd);
	sigaction(SIGPIPE, &sa, NULL);
	say_result("shutdown", shutdown(fd, SHUT_WR));
	each(fd, "shutdown");
	blocked(fd);
	duo_thread_start(&t, in_thread, &fd);
	duo_thread_join(&t);
	close(fd);

	fd = duo_another_warm();
	duo_meet();
	duo_poll(fd, POLLRDHUP, 5000);
	/* the first meets nobody on TCP */
	send(fd, "x", 1, MSG_NOSIGNAL);
	duo_poll(fd, 0, 5000);
	each(fd, "the peer's close");
	each(fd, "the same");
	blocked(fd);
	duo_post();
}

static void client(int fd)
{
	char byte;

	duo_warmup(fd);
	say_result("read at end", read(fd, &byte, 1));
	close(fd);
	fd = duo_another_warm();
	/* nothing unread, so that it is an end and not a reset */
	close(fd);
	duo_meet();
	duo_await();
}

DUO_PROGRAM(.description = "SIGPIPE of every sending call", .server = server, .client = client)
