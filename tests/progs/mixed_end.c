/* SPDX-License-Identifier: MIT */
/*
 * Part of mixed.c: one end of the stream.  How it comes to be (addresses), what
 * it changes about itself in between (numbers, modes, time-outs), its two
 * threads, and its end.
 */
#include "mixed.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

unsigned int end_alarm_seconds(void)
{
	const char *text = getenv("MIXED_ALARM");

	return text ? (unsigned int)atoi(text) : 60;
}

static void address_init(struct address *a, const char *family, const char *addrfile)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->sa;
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;

	memset(a, 0, sizeof(*a));
	if (!strcmp(family, "tcp4")) {
		v4->sin_family = AF_INET;
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a->len = sizeof(*v4);
	} else if (!strcmp(family, "tcp6")) {
		v6->sin6_family = AF_INET6;
		v6->sin6_addr = in6addr_loopback;
		a->len = sizeof(*v6);
	} else if (!strcmp(family, "unix")) {
		un->sun_family = AF_UNIX;
		if (addrfile)
			snprintf(a->path, sizeof(a->path), "%.100s.sock", addrfile);
		else
			snprintf(a->path, sizeof(a->path), "/tmp/mixed.%d.sock", (int)getpid());
		strcpy(un->sun_path, a->path);
		a->len = sizeof(*un);
	} else if (!strcmp(family, "abstract")) {
		un->sun_family = AF_UNIX; /* the kernel picks a name */
		a->len = sizeof(sa_family_t);
	} else {
		fail(NULL, "family '%s' is not tcp4, tcp6, unix or abstract", family);
	}
}

/* Some streams get small buffers, so that they are full more often. */
static void address_tune(const struct address *a, int fd, uint64_t seed)
{
	struct rng r = rng_make(seed, 3);
	int one = 1, bytes = 4096 << rng_below(&r, 6);

	if (rng_one_in(&r, 3)) {
		if (a->sa.ss_family != AF_UNIX && bytes < 32768)
			bytes = 32768; /* less than a segment of loopback: timers take over */
		setsockopt(fd, SOL_SOCKET, rng_one_in(&r, 2) ? SO_SNDBUF : SO_RCVBUF, &bytes,
			   sizeof(bytes));
	}
	/* Nagle's algorithm would make turns wait for delayed acknowledgements. */
	if (a->sa.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int address_listen(struct address *a, const char *family, const char *addrfile, uint64_t seed)
{
	char temp[4096];
	int fd, out;

	address_init(a, family, addrfile);
	if (a->path[0])
		unlink(a->path);
	fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail(NULL, "socket: %s", strerror(errno));
	address_tune(a, fd, seed);
	if (bind(fd, (struct sockaddr *)&a->sa, a->len) < 0 || listen(fd, 1) < 0)
		fail(NULL, "listen: %s", strerror(errno));
	a->len = sizeof(a->sa);
	if (getsockname(fd, (struct sockaddr *)&a->sa, &a->len) < 0)
		fail(NULL, "getsockname: %s", strerror(errno));
	if (!addrfile)
		return fd;
	snprintf(temp, sizeof(temp), "%s.new", addrfile);
	out = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0 || write(out, &a->sa, a->len) != (ssize_t)a->len || close(out) < 0 ||
	    rename(temp, addrfile) < 0)
		fail(NULL, "%s: %s", addrfile, strerror(errno));
	return fd;
}

void address_read(struct address *a, const char *family, const char *addrfile)
{
	ssize_t n;
	int fd;

	address_init(a, family, addrfile);
	/* alarm() bounds this */
	while ((fd = open(addrfile, O_RDONLY | O_CLOEXEC)) < 0)
		usleep(1000);
	n = read(fd, &a->sa, sizeof(a->sa));
	if (n < (ssize_t)sizeof(sa_family_t))
		fail(NULL, "%s: no address", addrfile);
	a->len = (socklen_t)n;
	close(fd);
}

int address_connect(const struct address *a, uint64_t seed)
{
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail(NULL, "socket: %s", strerror(errno));
	address_tune(a, fd, seed + 1);
	while (connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno != EISCONN)
		if ((errno != EINTR && errno != EALREADY) || !getenv("MIXED_STORM"))
			fail(NULL, "connect: %s", strerror(errno));
	return fd;
}

int address_accept(const struct address *a, int listener)
{
	int fd, one = 1;

	do
		fd = accept(listener, NULL, NULL);
	while (fd < 0 && errno == EINTR && getenv("MIXED_STORM"));
	if (fd < 0)
		fail(NULL, "accept: %s", strerror(errno));
	if (a->sa.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
	if (a->path[0])
		unlink(a->path);
	return fd;
}

static void on_signal(int sig)
{
	(void)sig;
}

void signals_start(uint64_t seed, uint64_t stream)
{
	struct rng r = rng_make(seed, stream);
	struct sigaction sa = { .sa_handler = on_signal };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec period = { 0 };
	timer_t timer;

	if (getenv("MIXED_STORM"))
		interrupted = true;
	if (!rng_one_in(&r, 8))
		return;
	interrupted = true;
	sa.sa_flags = rng_one_in(&r, 2) ? SA_RESTART : 0;
	period.it_interval.tv_nsec = 300000 + (long)rng_below(&r, 3000000);
	period.it_value = period.it_interval;
	if (sigaction(SIGUSR1, &sa, NULL) < 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
	    timer_settime(timer, 0, &period, NULL) < 0)
		fail(NULL, "no timer: %s", strerror(errno));
}

void signals_stop(void)
{
	/* The timer may live on. */
	if (interrupted)
		signal(SIGUSR1, SIG_IGN);
	interrupted = false;
}

static void flow_init(struct flow *f, struct end *e, const char *direction, uint64_t stream)
{
	*f = (struct flow){
		.end = e,
		.direction = direction,
		.rng = rng_make(e->seed, stream),
		.sum = 0xcbf29ce484222325u,
		.fd = e->fd,
		.file = -1,
		.may = true,
		.buf = malloc(MOST_LEN + GUARD_LEN),
	};
	/* Mostly small messages at first: a stream in use, not one big transfer. */
	if (!rng_one_in(&f->rng, 8)) {
		f->scale = 16u << rng_below(&f->rng, 5);
		f->scale_left = 10 + (unsigned int)rng_below(&f->rng, 60);
	}
	if (!f->buf)
		fail(NULL, "malloc: %s", strerror(errno));
}

void end_init(struct end *e, const char *name, const char *family, uint64_t seed, int fd)
{
	uint64_t stream = strcmp(name, "server") ? 20 : 10;

	*e = (struct end){ .name = name, .family = family, .seed = seed, .fd = fd, .spare = -1 };
	e->rng = rng_make(seed, stream);
	flow_init(&e->tx, e, "tx", stream + 1);
	flow_init(&e->rx, e, "rx", stream + 2);
	waiter_init(&e->waiter, &e->rx);
	e->naps_left = (unsigned int)rng_below(&e->rng, 10);
	e->shut_early = rng_one_in(&e->rng, 2);
	e->ends_by_close = !e->shut_early && rng_one_in(&e->rng, 2);
}

void end_set_totals(struct end *e, uint64_t tx, uint64_t rx, uint64_t direction)
{
	e->tx.total = tx;
	e->tx.key = mix64(e->seed * 2 + direction + 77);
	e->rx.total = rx;
	e->rx.key = mix64(e->seed * 2 + !direction + 77);
}

void end_set_mode(struct end *e, enum mode mode)
{
	int flags = fcntl(e->fd, F_GETFL), on = mode == MODE_NONBLOCK;

	if (flags < 0 || !!(flags & O_NONBLOCK) != (e->mode == MODE_NONBLOCK))
		fail(&e->rx, "F_GETFL says %#x in mode %d", (unsigned int)flags, e->mode);
	if (rng_one_in(&e->rng, 2)) {
		if (ioctl(e->fd, FIONBIO, &on) < 0)
			fail(&e->rx, "FIONBIO: %s", strerror(errno));
	} else {
		flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
		if (fcntl(e->fd, F_SETFL, flags) < 0)
			fail(&e->rx, "F_SETFL: %s", strerror(errno));
	}
	e->mode = e->tx.mode = e->rx.mode = mode;
}

static void end_set_timeout(struct end *e, struct flow *f, int name)
{
	struct timeval tv = { 0 };

	f->timed = rng_one_in(&e->rng, 2);
	if (f->timed)
		tv.tv_usec = 1000 * (1 + (suseconds_t)rng_below(&e->rng, 20));
	if (setsockopt(e->fd, SOL_SOCKET, name, &tv, sizeof(tv)) < 0)
		fail(f, "time-out: %s", strerror(errno));
}

/* Another number for the same stream. */
static int draw_number(struct rng *r, int fd)
{
	int number = 100 + (int)rng_below(r, 400), copy;

	switch (rng_below(r, 5)) {
	case 0:
		copy = dup(fd);
		break;
	case 1:
		copy = fcntl(fd, F_DUPFD, number);
		break;
	case 2:
		copy = fcntl(fd, F_DUPFD_CLOEXEC, number);
		break;
	default:
		/* Onto a number that is free: another thread may draw too, but see there. */
		copy = fcntl(fd, F_DUPFD, number);
		if (copy < 0)
			break;
		number = copy;
		if (rng_one_in(r, 2))
			copy = dup2(fd, number);
		else
			copy = dup3(fd, number, O_CLOEXEC);
	}
	return copy;
}

static void close_number(const struct flow *f, int fd)
{
	if (close(fd) < 0)
		fail(f, "close: %s", strerror(errno));
}

/* The stream gets another number, and loses one if it had two. */
static void end_renumber(struct end *e)
{
	int fd = draw_number(&e->rng, e->fd);

	if (fd < 0)
		fail(&e->rx, "dup: %s", strerror(errno));
	waiter_reset(&e->waiter);
	e->tx.may = e->rx.may = true;
	if (e->spare >= 0)
		close_number(&e->rx, e->spare);
	e->spare = e->fd;
	e->fd = fd;
	if (rng_below(&e->rng, 3)) {
		close_number(&e->rx, e->spare);
		e->spare = -1;
	}
	e->rx.fd = e->tx.fd = e->fd;
	if (e->spare >= 0 && rng_one_in(&e->rng, 2))
		e->tx.fd = e->spare;
}

static void nap(struct rng *r, unsigned int *left)
{
	if (*left == 0 || rng_one_in(r, 2)) {
		sched_yield();
		return;
	}
	--*left;
	usleep((useconds_t)rng_below(r, 300));
}

/* MIXED_HOLD: at some moment a child holds the stream too; it does not use it. */
static void holder_start(struct end *e)
{
	if (e->holder || !rng_one_in(&e->rng, 30))
		return;
	e->holder = fork();
	if (e->holder < 0)
		fail(&e->tx, "fork: %s", strerror(errno));
	if (e->holder)
		return;
	prctl(PR_SET_NAME, "holder");
	for (;;)
		pause();
}

/* Before the end of the stream, which it would put off. */
static void holder_end(struct end *e)
{
	if (e->holder <= 0)
		return;
	kill(e->holder, SIGKILL);
	while (waitpid(e->holder, NULL, 0) < 0 && errno == EINTR)
		;
}

void end_fidget(struct end *e, bool may_block)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getenv("MIXED_HOLD"))
		holder_start(e);
	switch (rng_below(&e->rng, 200)) {
	case 0:
	case 1:
		end_renumber(e);
		break;
	case 2:
	case 3:
	case 4:
		end_set_mode(e, may_block ? (enum mode)rng_below(&e->rng, 3) :
					    MODE_NONBLOCK + (enum mode)rng_below(&e->rng, 2));
		break;
	case 5:
		end_set_timeout(e, &e->tx, SO_SNDTIMEO);
		break;
	case 6:
		end_set_timeout(e, &e->rx, SO_RCVTIMEO);
		break;
	case 7:
		if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
			fail(&e->rx, "SO_ERROR: %s", strerror(error ? error : errno));
		break;
	case 8:
		/* Later the other end may have closed: EPIPE of AF_UNIX, even for nothing. */
		if (e->tx.pos < e->tx.total && write(e->fd, "", 0) != 0)
			fail(&e->tx, "write of 0 bytes: %s", strerror(errno));
		break;
	case 9:
	case 10:
	case 11:
		nap(&e->rng, &e->naps_left);
		break;
	default:
		break;
	}
	/* A mode that may sleep is for scripts only. */
	if (!may_block && e->mode == MODE_BLOCK)
		end_set_mode(e, MODE_NONBLOCK);
}

void end_rest(struct end *e)
{
	if (rng_one_in(&e->rng, 6))
		usleep((useconds_t)rng_below(&e->rng, 4000));
}

int end_draw_ms(struct end *e)
{
	return rng_one_in(&e->rng, 8) ? (int)rng_below(&e->rng, 4) : -1;
}

static void end_note(struct end *e, int events)
{
	if (events & (ASK_IN | HANGUP))
		e->rx.may = true;
	if (events & ASK_IN)
		e->rx.promised = true;
	if (events & (ASK_OUT | POLLHUP))
		e->tx.may = true;
}

void end_wait(struct end *e, int ask, int ms)
{
	end_note(e, waiter_wait(&e->waiter, e->fd, ask, ms));
}

void wait_for_both(struct end *a, int ask_a, struct end *b, int ask_b)
{
	struct pollfd p[2] = {
		{ .fd = ask_a ? a->fd : -1, .events = (short)ask_a },
		{ .fd = ask_b ? b->fd : -1, .events = (short)ask_b },
	};

	if (poll(p, 2, -1) < 0) {
		if (errno != EINTR || !interrupted)
			fail(&a->rx, "poll of both: %s", strerror(errno));
		return;
	}
	if (!(p[0].revents | p[1].revents) || (p[0].revents | p[1].revents) & BAD_EVENTS)
		fail(&a->rx, "poll of both: %#x %#x", (unsigned int)p[0].revents,
		     (unsigned int)p[1].revents);
	end_note(a, p[0].revents);
	end_note(b, p[1].revents);
}

static void shut(struct end *e, int fd)
{
	if (shutdown(fd, SHUT_WR) < 0)
		fail(&e->tx, "shutdown: %s", strerror(errno));
	e->shut = true;
	if (rng_one_in(&e->tx.rng, 2) &&
	    (send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != -1 || errno != EPIPE))
		fail(&e->tx, "send after shutdown: no EPIPE");
}

void end_maybe_shut(struct end *e)
{
	if (!e->shut && e->shut_early && e->tx.pos == e->tx.total)
		shut(e, e->tx.fd);
}

struct task {
	struct flow *flow;
	uint64_t goal;
	bool own_number;
};

/* Moves the bytes of one direction, alone. */
static void *run_task(void *arg)
{
	struct task *t = arg;
	struct flow *f = t->flow;
	bool is_tx = f == &f->end->tx;
	int ask = is_tx ? ASK_OUT : ASK_IN, events;
	unsigned int naps_left = (unsigned int)rng_below(&f->rng, 4);
	struct waiter w;

	waiter_init(&w, f);
	while (f->pos < t->goal) {
		if (rng_one_in(&f->rng, 60))
			nap(&f->rng, &naps_left);
		if (t->own_number && rng_one_in(&f->rng, 60)) {
			int fd = fcntl(f->fd, F_DUPFD, 500);

			waiter_reset(&w);
			close_number(f, f->fd);
			f->fd = fd;
		}
		if (is_tx ? flow_send(f, t->goal - f->pos) : flow_receive(f, t->goal - f->pos))
			continue;
		if (f->mode == MODE_BLOCK && rng_one_in(&f->rng, 2))
			continue;
		events = waiter_wait(&w, f->fd, ask, -1);
		if (!is_tx && events & ASK_IN)
			f->promised = true;
	}
	waiter_reset(&w);
	if (is_tx)
		end_maybe_shut(f->end);
	return NULL;
}

void run_threads(struct end *e, uint64_t tx_goal, uint64_t rx_goal)
{
	struct task tx = { .flow = &e->tx, .goal = tx_goal },
		    rx = { .flow = &e->rx, .goal = rx_goal };
	pthread_t thread;
	int before = e->tx.fd;

	end_set_mode(e, (enum mode)rng_below(&e->rng, 3) == MODE_NONBLOCK ? MODE_NONBLOCK :
									    MODE_BLOCK);
	waiter_reset(&e->waiter);
	if (rng_one_in(&e->rng, 2)) {
		tx.own_number = true;
		e->tx.fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 500);
		if (e->tx.fd < 0)
			fail(&e->tx, "F_DUPFD_CLOEXEC: %s", strerror(errno));
	}
	errno = pthread_create(&thread, NULL, run_task, &tx);
	if (errno)
		fail(&e->tx, "pthread_create: %s", strerror(errno));
	run_task(&rx);
	errno = pthread_join(thread, NULL);
	if (errno)
		fail(&e->tx, "pthread_join: %s", strerror(errno));
	if (tx.own_number) {
		close_number(&e->tx, e->tx.fd);
		e->tx.fd = before;
	}
	e->tx.may = e->rx.may = true;
}

void end_finish_out(struct end *e)
{
	waiter_reset(&e->waiter);
	holder_end(e);
	if (!e->ends_by_close) {
		if (!e->shut)
			shut(e, e->fd);
		return;
	}
	if (e->spare >= 0)
		close_number(&e->rx, e->spare);
	close_number(&e->rx, e->fd);
}

void end_finish_in(struct end *e)
{
	struct pollfd p = { .fd = e->fd, .events = POLLIN };

	if (e->ends_by_close)
		return;
	end_set_mode(e, (enum mode)rng_below(&e->rng, 3));
	e->rx.fd = e->fd;
	for (int i = 0; i < 2; i++) {
		while (!flow_receive(&e->rx, 1))
			if (e->mode != MODE_BLOCK || rng_one_in(&e->rng, 2))
				end_wait(e, ASK_IN, -1);
		if (!e->rx.eof)
			fail(&e->rx, "bytes behind the end of the stream");
	}
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLIN))
		fail(&e->rx, "at the end of the stream poll says %#x", (unsigned int)p.revents);
	waiter_reset(&e->waiter);
	if (e->spare >= 0)
		close_number(&e->rx, e->spare);
	close_number(&e->rx, e->fd);
}

void end_print(struct end *e)
{
	if (e->tx.pos != e->tx.total || e->rx.pos != e->rx.total)
		fail(&e->rx, "the end came too early");
	printf("seed=%llu family=%s end=%s tx=%llu txsum=%016llx rx=%llu rxsum=%016llx ok\n",
	       (unsigned long long)e->seed, e->family, e->name, (unsigned long long)e->tx.pos,
	       (unsigned long long)e->tx.sum, (unsigned long long)e->rx.pos,
	       (unsigned long long)e->rx.sum);
	fflush(stdout);
	free(e->tx.buf);
	free(e->rx.buf);
	if (e->tx.file >= 0)
		close(e->tx.file);
}

void end_say_hang(const struct end *e)
{
	const struct trace *tx = &e->tx.trace[(e->tx.traced - 1) % TRACE_NR];
	const struct trace *rx = &e->rx.trace[(e->rx.traced - 1) % TRACE_NR];
	char text[500];
	int n;

	n = snprintf(text, sizeof(text),
		     "mixed: seed=%llu family=%s end=%s hangs: tx pos=%llu of %llu after %s, "
		     "rx pos=%llu of %llu after %s, socket mode %d, wait mode %d\n",
		     (unsigned long long)e->seed, e->family, e->name, (unsigned long long)e->tx.pos,
		     (unsigned long long)e->tx.total, e->tx.traced ? tx->call : "nothing",
		     (unsigned long long)e->rx.pos, (unsigned long long)e->rx.total,
		     e->rx.traced ? rx->call : "nothing", e->mode, e->waiter.mode);
	if (write(STDERR_FILENO, text, (size_t)n) < 0)
		_exit(2);
}
