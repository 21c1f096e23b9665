/* SPDX-License-Identifier: MIT */
/*
 * Description: random calls on two streams, one at a time at either end, drawn from
 * the seeds LOCKSTEP_FIRST to LOCKSTEP_LAST (1 to 10); each tells all it returns.
 *
 * Both ends draw the same script.  The end whose turn it is makes the call, the other
 * waits; so a run on the plain kernel gives the same lines every time.  Left out is
 * what the kernel itself does not repeat: full buffers, and which edge a set tells.
 */
#include "duo.h"

#include <linux/sockios.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define STREAMS 2
#define STEPS 70
#define MOST_SENT 30000	/* no buffer and no ring becomes full */

struct place {
	int fd;
	int spare;	/* a second number, or -1 */
	size_t sent;
	uint8_t next;	/* what the next byte sent is */
};

struct step {
	int stream;
	size_t len;
	uint32_t way;
};

static struct place place[STREAMS];
static int set;
static uint64_t state;
static char buf[8192];
static char more[400];	/* what a call told beside its result */

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

static void tell(const char *format, ...)
{
	size_t len = strlen(more);
	int saved = errno;
	va_list ap;

	va_start(ap, format);
	vsnprintf(more + len, sizeof(more) - len, format, ap);
	va_end(ap);
	errno = saved;
}

/* ---- sending ----------------------------------------------------------------- */

static size_t prepare(struct place *p, const struct step *s)
{
	size_t len = p->sent + s->len > MOST_SENT ? 1 : s->len;

	for (size_t i = 0; i < len; i++)
		buf[i] = (char)(p->next + i);
	return len;
}

static ssize_t sent(struct place *p, ssize_t n)
{
	if (n > 0) {
		p->sent += (size_t)n;
		p->next = (uint8_t)(p->next + n);
	}
	return n;
}

static ssize_t do_write(struct place *p, const struct step *s)
{
	return sent(p, write(p->fd, buf, prepare(p, s)));
}

static ssize_t do_writev(struct place *p, const struct step *s)
{
	size_t len = prepare(p, s);
	struct iovec v[3] = {
		{.iov_base = buf, .iov_len = len / 3},
		{.iov_base = buf, .iov_len = 0},
		{.iov_base = buf + len / 3, .iov_len = len - len / 3},
	};

	return sent(p, writev(p->fd, v, 3));
}

static ssize_t do_send(struct place *p, const struct step *s)
{
	int flags = MSG_NOSIGNAL | (s->way & 1 ? MSG_DONTWAIT : 0);

	return sent(p, send(p->fd, buf, prepare(p, s), flags));
}

static ssize_t do_write_nothing(struct place *p, const struct step *s)
{
	return s->way & 1 ? write(p->fd, buf, 0) : send(p->fd, buf, 0, MSG_NOSIGNAL);
}

/* ---- receiving --------------------------------------------------------------- */

static ssize_t received(ssize_t n)
{
	if (n > 0)
		tell(" sum %016llx", (unsigned long long)duo_sum(buf, (size_t)n));
	return n;
}

static ssize_t do_recv(struct place *p, const struct step *s)
{
	return received(recv(p->fd, buf, s->len, MSG_DONTWAIT));
}

static ssize_t do_recv_other(struct place *p, const struct step *s)
{
	static const int flags[] = {MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_PEEK | MSG_TRUNC};
	/* AF_UNIX forgets a reset that MSG_WAITALL meets behind bytes */
	int flag = flags[s->way % 4] & (duo_is_tcp() ? ~0 : ~MSG_WAITALL);
	ssize_t n = recv(p->fd, buf, s->len, MSG_DONTWAIT | flag);

	tell(" flags 0x%x", (unsigned int)flag);
	return flag & MSG_TRUNC && duo_is_tcp() ? n : received(n);
}

static ssize_t do_recv_nothing(struct place *p, const struct step *s)
{
	return recv(p->fd, buf, 0, MSG_DONTWAIT | (s->way & 1 ? MSG_PEEK : 0));
}

static ssize_t do_readv(struct place *p, const struct step *s)
{
	struct iovec v[3] = {
		{.iov_base = buf, .iov_len = s->len / 2},
		{.iov_base = buf, .iov_len = 0},
		{.iov_base = buf + s->len / 2, .iov_len = s->len - s->len / 2},
	};
	int flags = fcntl(p->fd, F_GETFL), saved;
	ssize_t n;

	fcntl(p->fd, F_SETFL, flags | O_NONBLOCK);
	n = received(readv(p->fd, v, 3));
	saved = errno;
	fcntl(p->fd, F_SETFL, flags);
	errno = saved;
	return n;
}

static ssize_t do_recvmsg(struct place *p, const struct step *s)
{
	char control[64];
	struct iovec v = {.iov_base = buf, .iov_len = s->len};
	struct msghdr m = {
		.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = received(recvmsg(p->fd, &m, MSG_DONTWAIT));

	if (n >= 0)
		tell(" control %zu flags 0x%x", (size_t)m.msg_controllen,
		     (unsigned int)m.msg_flags);
	return n;
}

/* With a time-out of a few milliseconds, which stays. */
static ssize_t do_recv_timed(struct place *p, const struct step *s)
{
	struct timeval tv = {.tv_usec = 3000};

	if (setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0)
		return -1;
	return received(recv(p->fd, buf, s->len, 0));
}

static ssize_t do_unread(struct place *p, const struct step *s)
{
	int n = -1, ret = ioctl(p->fd, FIONREAD, &n);

	(void)s;
	tell(" %d unread", n);
	return ret;
}

/* ---- readiness ----------------------------------------------------------------- */

static ssize_t do_poll(struct place *p, const struct step *s)
{
	static const short events[] = {
		POLLIN, POLLOUT, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0,
		POLLRDNORM | POLLWRNORM | POLLRDBAND,
	};
	struct pollfd all[STREAMS + 1];
	int n;

	for (int i = 0; i < STREAMS; i++)
		all[i] = (struct pollfd){.fd = place[i].fd, .events = events[s->way % 5]};
	all[STREAMS] = (struct pollfd){.fd = p->spare, .events = POLLIN};
	n = poll(all, STREAMS + 1, s->way & 64 ? 1 : 0);
	for (int i = 0; i <= STREAMS; i++)
		tell(" [%s]", duo_poll_bits(all[i].revents));
	return n;
}

static ssize_t do_select(struct place *p, const struct step *s)
{
	struct timeval none = {0};
	fd_set in, out, other;
	int n;

	(void)s;
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&other);
	if (p->fd < 0)
		return 0;
	FD_SET(p->fd, &in);
	FD_SET(p->fd, &out);
	FD_SET(p->fd, &other);
	n = select(p->fd + 1, &in, &out, &other, &none);
	if (n >= 0)
		tell(" %d%d%d", FD_ISSET(p->fd, &in) != 0, FD_ISSET(p->fd, &out) != 0,
		     FD_ISSET(p->fd, &other) != 0);
	return n;
}

static ssize_t do_epoll_ctl(struct place *p, const struct step *s)
{
	static const uint32_t events[] = {
		EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT, EPOLLIN | EPOLLRDHUP | EPOLLPRI,
		EPOLLIN | EPOLLONESHOT, EPOLLOUT | EPOLLONESHOT,
		EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, 0,
	};
	struct epoll_event ev = {
		.events = events[s->way / 8 % 8],
		.data.u64 = 0x5eed00000000u + (uint64_t)s->stream,
	};
	int ret, op = EPOLL_CTL_MOD;

	if (s->way % 8 == 0)
		op = EPOLL_CTL_DEL;
	ret = epoll_ctl(set, op, p->fd, &ev);
	if (ret < 0 && errno == ENOENT && op == EPOLL_CTL_MOD) {
		tell(" added");
		ret = epoll_ctl(set, EPOLL_CTL_ADD, p->fd, &ev);
	}
	tell(" op %d events 0x%x", op, ev.events);
	return ret;
}

/* Often, as one call need not tell of all that is ready. */
static ssize_t do_epoll_wait(struct place *p, const struct step *s)
{
	struct epoll_event ev[4];
	uint32_t seen[STREAMS] = {0};
	int n = 0;

	(void)p;
	for (int round = 0; round < 100; round++) {
		n = epoll_wait(set, ev, s->way & 1 ? 4 : 1, 0);
		if (n <= 0)
			break;
		for (int i = 0; i < n; i++)
			seen[ev[i].data.u64 - 0x5eed00000000u] |= ev[i].events;
	}
	for (int i = 0; i < STREAMS; i++)
		tell(" [%s]", duo_poll_bits((short)seen[i]));
	return n < 0 ? n : 0;
}

/* ---- life ------------------------------------------------------------------------ */

static ssize_t do_shutdown(struct place *p, const struct step *s)
{
	tell(" how %u", s->way % 3);
	return shutdown(p->fd, (int)(s->way % 3));
}

/* With a second number left, the set forgets the first before: nobody could change
 * that entry any more (epoll(7)). */
static ssize_t do_close(struct place *p, const struct step *s)
{
	int ret;

	(void)s;
	if (p->spare >= 0)
		epoll_ctl(set, EPOLL_CTL_DEL, p->fd, NULL);
	ret = close(p->fd);
	p->fd = p->spare;
	p->spare = -1;
	return ret;
}

static ssize_t do_dup(struct place *p, const struct step *s)
{
	int ret;

	if (p->spare >= 0) {
		ret = close(p->spare);
		p->spare = -1;
		return ret;
	}
	p->spare = s->way & 1 ? dup(p->fd) : fcntl(p->fd, F_DUPFD_CLOEXEC, 100);
	return p->spare < 0 ? -1 : 0;
}

/* The stream goes on under another number, and leaves the set. */
static ssize_t do_renumber(struct place *p, const struct step *s)
{
	int to = 150 + s->stream;

	if (p->fd < 0 || p->fd == to)
		return 0;
	epoll_ctl(set, EPOLL_CTL_DEL, p->fd, NULL);
	to = dup2(p->fd, to);
	close(p->fd);
	p->fd = to;
	return 0;
}

static ssize_t do_fork(struct place *p, const struct step *s)
{
	pid_t child = duo_fork();

	if (child == 0) {
		if (s->way & 1)
			send(p->fd, "child", 5, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (s->way & 2)
			recv(p->fd, buf, 10, MSG_DONTWAIT);
		if (s->way & 4)
			close(p->fd);
		_exit(0);
	}
	duo_reap(child, "child");
	tell(" way %u", s->way & 7);
	return 0;
}

static ssize_t do_linger(struct place *p, const struct step *s)
{
	struct linger now = {.l_onoff = 1};

	(void)s;
	return setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static ssize_t do_error(struct place *p, const struct step *s)
{
	int error = -1;
	socklen_t len = sizeof(error);
	int ret = getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len);

	(void)s;
	tell(" error %s", duo_errno(error));
	return ret;
}

static ssize_t do_nonblock(struct place *p, const struct step *s)
{
	int on = s->way & 1;

	return ioctl(p->fd, FIONBIO, &on);
}

static const struct call {
	const char *name;
	ssize_t (*run)(struct place *p, const struct step *s);
	uint32_t weight;
} calls[] = {
	{"write", do_write, 15}, {"writev", do_writev, 5}, {"send", do_send, 8},
	{"write nothing", do_write_nothing, 2}, {"recv", do_recv, 20},
	{"recv", do_recv_other, 8}, {"recv nothing", do_recv_nothing, 2},
	{"readv", do_readv, 4}, {"recvmsg", do_recvmsg, 3}, {"recv timed", do_recv_timed, 2},
	{"FIONREAD", do_unread, 4}, {"poll", do_poll, 8}, {"select", do_select, 4},
	{"epoll_ctl", do_epoll_ctl, 6}, {"epoll_wait", do_epoll_wait, 10},
	{"shutdown", do_shutdown, 2}, {"close", do_close, 2}, {"dup", do_dup, 3},
	{"renumber", do_renumber, 2}, {"fork", do_fork, 2}, {"linger", do_linger, 1},
	{"SO_ERROR", do_error, 2}, {"FIONBIO", do_nonblock, 2},
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static const struct call *draw_call(void)
{
	uint32_t sum = 0, at;
	size_t i = 0;

	for (size_t k = 0; k < CALLS; k++)
		sum += calls[k].weight;
	at = draw(sum);
	while (at >= calls[i].weight)
		at -= calls[i++].weight;
	return &calls[i];
}

/* A few messages, so that the steps meet any moment of a promotion. */
static void warm_up(int fd, uint32_t messages)
{
	for (uint32_t i = 0; i < messages; i++) {
		if ((i % 2 == 0) == duo_is_server())
			duo_write_all(fd, "warm", 4);
		else
			duo_read_all(fd, buf, 4);
	}
	duo_meet();
}

static void open_stream(int i)
{
	place[i] = (struct place){.fd = duo_another(), .spare = -1};
	warm_up(place[i].fd, draw(24));
}

static void close_stream(int i)
{
	close(place[i].fd);
	close(place[i].spare);
}

static void take_step(int nr)
{
	/* what the network does by itself is over, on loopback, before this is */
	static const struct timespec settle = {.tv_nsec = 300000};
	const struct call *call = draw_call();
	bool mine = draw(2) == duo_is_server();
	struct step s = {
		.stream = (int)draw(STREAMS),
		.len = draw(4) ? draw(300) : 1 + draw(5000),
		.way = draw(1 << 16),
	};
	struct place *p = &place[s.stream];
	ssize_t n;

	if (draw(25) == 0) {	/* both at once */
		duo_meet();
		close_stream(s.stream);
		open_stream(s.stream);
		return;
	}
	if (!mine) {
		duo_await();
		return;
	}
	more[0] = '\0';
	errno = 0;
	n = call->run(p, &s);
	say("%d %s(%d, %zu) -> %zd %s%s", nr, call->name, s.stream, s.len, n,
	    n < 0 ? duo_errno(errno) : "", more);
	nanosleep(&settle, NULL);
	duo_post();
}

static void play(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15u;
	draw(1);
	say("seed %llu", (unsigned long long)seed);
	set = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < STREAMS; i++)
		open_stream(i);
	for (int nr = 0; nr < STEPS; nr++)
		take_step(nr);
	duo_meet();
	for (int i = 0; i < STREAMS; i++)
		close_stream(i);
	close(set);
}

static uint64_t number(const char *name, uint64_t other)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : other;
}

static void both(int fd)
{
	uint64_t last = number("LOCKSTEP_LAST", 10);

	close(fd);
	signal(SIGPIPE, SIG_IGN);
	for (uint64_t seed = number("LOCKSTEP_FIRST", 1); seed <= last; seed++)
		play(seed);
}

DUO_PROGRAM(.description = "random calls, one at a time", .server = both, .client = both)
