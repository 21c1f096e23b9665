/* SPDX-License-Identifier: MIT */
/*
 * Description: a load generator on libev, for echo.c and for any server whose answer to one
 * request has always the same length (memcached, a fixed page of a web server).
 *
 *   load [OPTION]... ADDRESS       a port of 127.0.0.1, [PORT] of ::1, @NAME or /PATH
 *
 *   --connections N   how many are opened, 1 unless told
 *   --active N        how many of them carry messages, all unless told
 *   --bytes N         a request of N bytes, 8 unless told
 *   --request TEXT    this request; \r and \n are what they are in C
 *   --reply N         bytes of the answer; as many as the request has unless told
 *   --warmup N        round trips of each active connection that are not counted, 20 unless told
 *   --seconds S       how long to count, 1 unless told; 0: nothing is sent after the warm-up
 *   --rate R          requests offered per second over all active connections, in ticks of
 *                     100 us at most.  0, as unless told: each connection asks again as soon as
 *                     it was answered
 *   --watch PID       the server, whose CPU time is counted as well
 *   --hold            after the result, keep all open until the end of stdin
 *
 * With --rate, a time begins when the request was due, even if no connection was free for it; what
 * could not be sent half a second after the end never is, and is missing in the answers per second.
 * Prints one line: answers per second, the spread of their times, CPU ns of both programs for
 * each answer, and the answers.
 */
#include "bench.h"

#include <ev.h>
#include <getopt.h>
#include <sys/timerfd.h>

#include "histogram.h"

enum { MOST_CONNECTIONS = 60000, CONNECTING = 256, MOST_BYTES = 65536, TICK_NS = 100000,
       LATE_NS = 500000000 };

/* What a connection does now. */
enum state { CONNECTS, IDLES, SENDS, AWAITS };

struct connection {
	ev_io io;
	enum state state;
	uint32_t done;		/* bytes of the request sent, or of the answer received */
	uint32_t warmup;	/* round trips still to make before the count */
	uint64_t start;		/* when the request was due */
};

static struct settings {
	long connections, active, warmup, rate, watch;
	size_t request_len, reply_len;
	char *request;
	double seconds;
	int hold;
} set = { .connections = 1, .warmup = 20, .seconds = 1 };

static struct bench_address address;
static struct connection *all;
static struct connection **idle;	/* a queue of those without a request */
static long idle_first, idle_nr;
static long opened, warm;		/* connections */
static char answer[65536];
static struct histogram times;
static ev_io timer;
static int counting;
static uint64_t begun, until, sent, answered, cpu_before;

static void ask(struct ev_loop *loop, struct connection *c, uint64_t start);

/* ---- clocks -------------------------------------------------------------- */

/* CPU ns of this program and of the one that is watched. */
static uint64_t cpu_ns(void)
{
	struct timespec own, other = { 0 };
	clockid_t clock;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
	if (set.watch) {
		errno = clock_getcpuclockid((pid_t)set.watch, &clock);
		if (errno || clock_gettime(clock, &other) < 0)
			bench_die("--watch");
	}
	return (uint64_t)(own.tv_sec + other.tv_sec) * 1000000000u +
	       (uint64_t)(own.tv_nsec + other.tv_nsec);
}

static uint64_t due(uint64_t nr)
{
	return begun + (uint64_t)((double)nr * 1e9 / (double)set.rate);
}

/* ---- connections ---------------------------------------------------------- */

static void watch_for(struct ev_loop *loop, struct connection *c, int events)
{
	if ((c->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(loop, &c->io);
	ev_io_set(&c->io, c->io.fd, events);
	ev_io_start(loop, &c->io);
}

static void idle_push(struct connection *c)
{
	c->state = IDLES;
	idle[(idle_first + idle_nr++) % set.connections] = c;
}

static struct connection *idle_pop(void)
{
	struct connection *c = idle[idle_first];

	idle_first = (idle_first + 1) % set.connections;
	idle_nr--;
	return c;
}

/* Sends what is due.  After the end nothing is; who is behind then has a little time left. */
static void offer(struct ev_loop *loop)
{
	uint64_t now = bench_now_ns(), late = until + LATE_NS;

	while (idle_nr && due(sent) <= now && due(sent) < until && now < late)
		ask(loop, idle_pop(), due(sent++));
	if ((due(sent) >= until || now >= late) && idle_nr == set.active)
		ev_break(loop, EVBREAK_ALL);
}

static void send_rest(struct ev_loop *loop, struct connection *c)
{
	ssize_t n = send(c->io.fd, set.request + c->done, set.request_len - c->done,
			 MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		bench_die("send");
	if (n > 0)
		c->done += (uint32_t)n;
	if (c->done < set.request_len) {
		watch_for(loop, c, EV_WRITE);
		return;
	}
	c->state = AWAITS;
	c->done = 0;
	watch_for(loop, c, EV_READ);
}

static void ask(struct ev_loop *loop, struct connection *c, uint64_t start)
{
	c->start = start;
	c->state = SENDS;
	c->done = 0;
	send_rest(loop, c);
}

/* All connections are warm: the count begins. */
static void begin(struct ev_loop *loop)
{
	long nr = idle_nr;

	if (set.seconds <= 0) {
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	cpu_before = cpu_ns();
	begun = bench_now_ns();
	until = begun + (uint64_t)(set.seconds * 1e9);
	counting = 1;
	if (set.rate) {
		long tick = 1000000000 / set.rate < TICK_NS ? TICK_NS : 1000000000 / set.rate;
		struct timespec every = { tick / 1000000000, tick % 1000000000 };
		struct itimerspec spec = { every, every };

		if (timerfd_settime(timer.fd, 0, &spec, NULL) < 0)
			bench_die("timerfd");
		ev_io_start(loop, &timer);
		return;
	}
	while (nr--)
		ask(loop, idle_pop(), bench_now_ns());
}

static void on_answer(struct ev_loop *loop, struct connection *c)
{
	uint64_t now = bench_now_ns();

	if (!counting) {
		if (c->warmup && --c->warmup) {
			ask(loop, c, now);
			return;
		}
		idle_push(c);
		if (++warm == set.active && opened == set.connections)
			begin(loop);
		return;
	}
	histogram_add(&times, now - c->start);
	answered++;
	if (set.rate) {
		idle_push(c);
		offer(loop);
	} else if (now < until) {
		ask(loop, c, now);
	} else {
		idle_push(c);
		if (idle_nr == set.active)
			ev_break(loop, EVBREAK_ALL);
	}
}

static void open_next(struct ev_loop *loop);

static void on_connected(struct ev_loop *loop, struct connection *c)
{
	socklen_t len = sizeof(errno);

	if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &errno, &len) < 0 || errno)
		bench_die("connect");
	opened++;
	watch_for(loop, c, EV_READ);
	c->state = IDLES;
	if (c - all < set.active) {
		c->warmup = (uint32_t)set.warmup;
		if (c->warmup) {
			ask(loop, c, 0);
		} else {
			idle_push(c);
			warm++;
		}
	}
	open_next(loop);
	if (opened == set.connections && warm == set.active)
		begin(loop);
}

static void on_io(struct ev_loop *loop, ev_io *io, int revents)
{
	struct connection *c = io->data;
	ssize_t n;

	(void)revents;
	if (c->state == CONNECTS) {
		on_connected(loop, c);
		return;
	}
	if (c->state == SENDS) {
		send_rest(loop, c);
		return;
	}
	n = read(io->fd, answer, sizeof(answer));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		bench_die("read");
	c->done += (uint32_t)n;
	if (n == 0 || c->state != AWAITS || c->done > set.reply_len) {
		errno = EPROTO;
		bench_die("not the answer that was expected");
	}
	if (c->done == set.reply_len)
		on_answer(loop, c);
}

/* Opens one more: in order, a bounded number at a time. */
static void open_next(struct ev_loop *loop)
{
	static long next;

	while (next < set.connections && next - opened < CONNECTING) {
		struct connection *c = &all[next++];
		int fd = socket(address.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				0);

		if (fd < 0)
			bench_die("socket");
		bench_tune(fd, &address);
		ev_io_init(&c->io, on_io, fd, EV_WRITE);
		c->io.data = c;
		if (connect(fd, (struct sockaddr *)&address.sa, address.len) < 0 &&
		    errno != EINPROGRESS)
			bench_die("connect");
		ev_io_start(loop, &c->io);
	}
}

static void on_timer(struct ev_loop *loop, ev_io *io, int revents)
{
	uint64_t ticks;

	(void)revents;
	if (read(io->fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		bench_die("timerfd");
	offer(loop);
}

/* ---- the program ---------------------------------------------------------- */

static char *request_of_text(const char *text, size_t *ret_len)
{
	char *request = malloc(strlen(text) + 1), *to = request;

	if (!request)
		bench_die("malloc");
	for (; *text; text++) {
		if (text[0] == '\\' && (text[1] == 'r' || text[1] == 'n'))
			*to++ = *++text == 'r' ? '\r' : '\n';
		else
			*to++ = *text;
	}
	*ret_len = (size_t)(to - request);
	return request;
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: load [--connections N] [--active N] [--bytes N | --request TEXT]\n"
			"            [--reply N] [--warmup N] [--seconds S] [--rate R]\n"
			"            [--watch PID] [--hold] ADDRESS\n");
	exit(2);
}

static void settings_of(int argc, char **argv)
{
	static const struct option options[] = {
		{ "connections", required_argument, NULL, 'c' },
		{ "active", required_argument, NULL, 'a' },
		{ "bytes", required_argument, NULL, 'b' },
		{ "request", required_argument, NULL, 'q' },
		{ "reply", required_argument, NULL, 'y' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "seconds", required_argument, NULL, 's' },
		{ "rate", required_argument, NULL, 'r' },
		{ "watch", required_argument, NULL, 'p' },
		{ "hold", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	set.active = -1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c': set.connections = bench_number("N", optarg, 1, MOST_CONNECTIONS); break;
		case 'a': set.active = bench_number("N", optarg, 0, MOST_CONNECTIONS); break;
		case 'b': set.request_len = (size_t)bench_number("N", optarg, 1, MOST_BYTES); break;
		case 'q': set.request = request_of_text(optarg, &set.request_len); break;
		case 'y': set.reply_len = (size_t)bench_number("N", optarg, 1, MOST_BYTES); break;
		case 'w': set.warmup = bench_number("N", optarg, 0, 1000000); break;
		case 's': set.seconds = strtod(optarg, NULL); break;
		case 'r': set.rate = bench_number("R", optarg, 0, 10000000); break;
		case 'p': set.watch = bench_number("PID", optarg, 1, 1 << 30); break;
		case 'h': set.hold = 1; break;
		default: usage();
		}
	}
	if (argc - optind != 1)
		usage();
	bench_parse_address(&address, argv[optind]);
	if (set.active < 0 || set.active > set.connections)
		set.active = set.connections;
	if (!set.active)
		set.seconds = 0;
	if (!set.request_len)
		set.request_len = 8;
	if (!set.request)
		set.request = calloc(1, set.request_len);
	if (!set.reply_len)
		set.reply_len = set.request_len;
}

static void report(void)
{
	double seconds = counting ? (double)(bench_now_ns() - begun) / 1e9 : 0;
	uint64_t cpu = counting ? cpu_ns() - cpu_before : 0;

	printf("load connections=%ld active=%ld rate=%ld: %.0f msg/s ", set.connections,
	       set.active, set.rate, seconds > 0 ? (double)answered / seconds : 0);
	histogram_print(&times);
	printf(" cpu=%.1f answers=%llu\n", answered ? (double)cpu / (double)answered : 0,
	       (unsigned long long)answered);
	fflush(stdout);
}

static void on_stdin(struct ev_loop *loop, ev_io *io, int revents)
{
	char c;

	(void)revents;
	if (read(io->fd, &c, 1) <= 0)
		ev_break(loop, EVBREAK_ALL);
}

/* Idle in the loop, as a program with nothing to do is. */
static void hold(struct ev_loop *loop)
{
	ev_io io;

	ev_io_stop(loop, &timer);
	ev_io_init(&io, on_stdin, STDIN_FILENO, EV_READ);
	ev_io_start(loop, &io);
	ev_run(loop, 0);
}

int main(int argc, char **argv)
{
	struct ev_loop *loop = ev_default_loop(0);

	settings_of(argc, argv);
	all = calloc((size_t)set.connections, sizeof(*all));
	idle = calloc((size_t)set.connections, sizeof(struct connection *));
	if (!all || !idle || !set.request || !loop)
		bench_die("no memory");
	ev_io_init(&timer, on_timer, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
		   EV_READ);
	if (timer.fd < 0)
		bench_die("timerfd");
	open_next(loop);
	ev_run(loop, 0);
	report();
	if (set.hold)
		hold(loop);
	return 0;
}
