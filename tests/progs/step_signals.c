/* SPDX-License-Identifier: MIT */
/*
 * Description: a signal at every instruction of a receive or a wait, as far as that goes,
 * whose handler uses the same stream: it writes, takes what is there, or forks.  The call
 * that it interrupts, asleep or about to sleep, sees what comes of it; no byte is lost.
 */
#include "sets.h"
#include "steps.h"

/* One call by one handler. */
struct kind {
	const char *name;
	/* True: it got what it waited for, or did its work. */
	bool (*call)(int fd);
	void (*handler)(int fd);
	uint32_t events;	/* of the stream in a set; 0: none */
	char before;	/* sent, and its answer there, before the call; 0: nothing */
};

static int stream, set;
static const struct kind *now;

/* Bytes; the handler has its own: it may come between a load and a store of the other. */
struct count {
	int sent, got;
};
static volatile struct count by_call, by_handler;

static int sent(void)
{
	return by_call.sent + by_handler.sent;
}

static int got(void)
{
	return by_call.got + by_handler.got;
}

/* --- what the handler does --------------------------------------------------- */

static void send_one(int fd)
{
	if (write(fd, "q", 1) != 1)
		die("write in the handler");
	by_handler.sent++;
}

static void take_one(int fd)
{
	char c;

	if (recv(fd, &c, 1, MSG_DONTWAIT) == 1)
		by_handler.got++;
}

static void fork_and_send(int fd)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	if (child < 0 || waitpid(child, NULL, 0) != child)
		die("fork in the handler");
	send_one(fd);
}

static void at_step(void)
{
	now->handler(stream);
}

static void if_asleep(void)
{
	send_one(stream);
}

/* --- the calls ---------------------------------------------------------------- */

static bool by_recv(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

	if (n == 1)
		by_call.got++;
	return n == 1 || (n < 0 && errno == EAGAIN && by_handler.got);
}

static bool by_read(int fd)
{
	char c;

	if (read(fd, &c, 1) != 1)
		return false;
	by_call.got++;
	return true;
}

static bool by_poll(int fd)
{
	return duo_poll(fd, POLLIN, -1) == POLLIN;
}

static bool by_epoll(int fd)
{
	struct epoll_event event = {.events = 0, .data.u64 = 0};

	(void)fd;
	return epoll_wait(set, &event, 1, -1) == 1 && event.data.u64 == 7 &&
		(event.events & EPOLLIN);
}

/* An edge that is armed anew is told anew. */
static bool by_epoll_mod(int fd)
{
	duo_set_ctl(set, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET, 7);
	return by_epoll(fd);
}

static const struct kind kinds[] = {
	{"recv, and a recv", by_recv, take_one, 0, 'q'},
	{"recv, and a write", by_recv, send_one, 0, 'q'},
	{"read asleep, and a write", by_read, send_one, 0, 0},
	{"read asleep, and a fork", by_read, fork_and_send, 0, 0},
	{"poll asleep, and a write", by_poll, send_one, 0, 0},
	{"select asleep, and a write", steps_select, send_one, 0, 0},
	{"epoll, and a write", by_epoll, send_one, EPOLLIN, 'q'},
	{"epoll asleep, and a write", by_epoll, send_one, EPOLLIN, 0},
	{"edge asleep, and a write", by_epoll, send_one, EPOLLIN | EPOLLET, 0},
	{"edge armed anew, and a write", by_epoll_mod, send_one, EPOLLIN | EPOLLET, 'q'},
};

/*
 * One call with the signal after so many instructions.  False: it was over, or asleep,
 * before.  Once the handler came in time nothing wakes the call but what it caused.
 */
static bool one(long instructions)
{
	char c;
	bool done;

	by_call.sent = by_call.got = by_handler.sent = by_handler.got = 0;
	if (now->before) {
		duo_write_all(stream, &now->before, 1);
		duo_await_bytes(stream, 1);
		by_call.sent++;
	}
	steps_start(instructions);
	done = now->call(stream);
	steps_stop();
	if (!steps_late && !done)
		die("%s: no result, %ld instructions", now->name, instructions);
	while (got() < sent()) {
		if (read(stream, &c, 1) != 1)
			die("%s: a byte is lost, %ld instructions", now->name, instructions);
		by_call.got++;
	}
	if (recv(stream, &c, 1, MSG_DONTWAIT) >= 0)
		die("%s: a byte too many, %ld instructions", now->name, instructions);
	return steps_in_time;
}

/* Echo. */
static void server(int fd)
{
	char buf[100];
	ssize_t n;

	duo_warmup(fd);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		duo_write_all(fd, buf, (size_t)n);
}

static void client(int fd)
{
	duo_warmup(fd);
	stream = fd;
	set = duo_set_new();
	steps_actions(at_step, if_asleep);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		now = &kinds[i];
		if (now->events)
			duo_set_ctl(set, EPOLL_CTL_ADD, fd, now->events, 7);
		steps_through(one, 40);
		if (now->events)
			duo_set_ctl(set, EPOLL_CTL_DEL, fd, 0, 0);
		say("%s: every byte came", now->name);
	}
	shutdown(fd, SHUT_WR);
	say_result("read at end", (ssize_t)duo_drain(fd));
}

DUO_PROGRAM(.description = "a signal at every instruction", .server = server, .client = client)
