/* SPDX-License-Identifier: MIT */
/*
 * Description: a random program on one stream, drawn from a seed: every byte checked.
 *
 *   mixed server FAMILY ADDRFILE SEED   one end; writes its address to ADDRFILE
 *   mixed client FAMILY ADDRFILE SEED   the other; waits for ADDRFILE
 *   mixed self FAMILY SEED              forks the two
 *   mixed solo FAMILY SEED              both ends in one thread of one process
 *
 * FAMILY is tcp4, tcp6, unix (a path) or abstract.  Each end prints one line
 * with its checksums; a wrong byte, count, event or error is one line on stderr
 * and exit status 1.  MIXED_TRACE=1 adds the last calls.  MIXED_ALARM is the
 * number of seconds (60) after which an end that hangs says where and fails.
 * MIXED_STORM=1: others send SIGALRM all the time, to a handler of theirs; then
 * SIGTERM is what makes an end say where it hangs.  MIXED_SPOIL=flip, lose, crash
 * or leave: the ends spoil it themselves, for tests of those who run this.
 * MIXED_HOLD=1: each end has a child for a while that holds the stream, too.
 *
 * Both ends draw the same plan from the seed: the bytes of each direction, cut
 * into phases.
 *
 *   script   both follow the same list of turns, one sends and one receives, so
 *            that a single thread may use blocking calls
 *   free     an end moves both directions at once: by two threads, or by
 *            non-blocking calls and a way to wait
 *
 * The calls, their sizes, the ways to wait, the numbers of the descriptor, the
 * modes of the socket and whether signals come in are drawn by each end for itself.
 *
 * No deadlock, whatever the kernel can buffer: in a turn of a script the
 * receiver only receives until it has the bytes of the turn; in a free phase an
 * end never stops receiving because it can not send.  An end that is a phase
 * ahead has got all bytes of the phases before, and sent its own, so the other
 * can finish them without its help.  A receiver may take more than its turn
 * brings, if that is there.
 */
#include "mixed.h"

#include <sys/wait.h>

enum { MOST_PHASES = 5, MOST_TURNS = 150 };

/* What both ends know.  Direction 0 is from the client to the server. */
struct plan {
	struct rng rng;
	uint64_t total[2];
	int phases;
	bool is_script[MOST_PHASES];
	uint64_t goal[MOST_PHASES][2]; /* positions at the end of the phase */
};

static struct end ends[2]; /* [1] in solo only */

static uint64_t draw_total(struct rng *r)
{
	switch (rng_below(r, 20)) {
	case 0:
		return rng_below(r, 2) * 1000;
	case 1:
		return 1 + rng_below(r, 64);
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		return rng_below(r, 256 << 10);
	case 8:
	case 9:
		return rng_below(r, 3 << 20);
	default:
		return rng_below(r, 64 << 10);
	}
}

static void plan_make(struct plan *p, uint64_t seed)
{
	*p = (struct plan){ .rng = rng_make(seed, 1) };
	p->total[0] = draw_total(&p->rng);
	p->total[1] = draw_total(&p->rng);
	p->phases = 1 + (int)rng_below(&p->rng, MOST_PHASES);
	for (int i = 0; i < p->phases; i++) {
		p->is_script[i] = i ? rng_one_in(&p->rng, 2) : !rng_one_in(&p->rng, 3);
		for (int d = 0; d < 2; d++) {
			uint64_t before = i ? p->goal[i - 1][d] : 0;
			uint64_t left = p->total[d] - before;

			/* A first phase of small messages lets the stream grow up soon. */
			if (i < p->phases - 1)
				left = rng_below(&p->rng, (i ? left : left / 4) + 1);
			p->goal[i][d] = before + left;
		}
	}
}

static void turn_receive(struct end *e, uint64_t goal)
{
	while (e->rx.pos < goal) {
		end_fidget(e, true);
		if (waiter_is_level(&e->waiter) && rng_one_in(&e->rng, 3))
			end_wait(e, ASK_IN, -1);
		if (!flow_receive(&e->rx, goal - e->rx.pos) &&
		    (e->mode != MODE_BLOCK || rng_one_in(&e->rng, 2)))
			end_wait(e, ASK_IN, end_draw_ms(e));
	}
}

static void turn_send(struct end *e, uint64_t goal)
{
	while (e->tx.pos < goal) {
		end_fidget(e, true);
		if (!flow_send(&e->tx, goal - e->tx.pos) &&
		    (e->mode != MODE_BLOCK || rng_one_in(&e->rng, 2)))
			end_wait(e, ASK_OUT, end_draw_ms(e));
	}
	end_maybe_shut(e);
}

static void run_script(struct end *e, struct plan *p, int phase, int send_dir)
{
	static const size_t scales[] = { 20, 200, 20000, 500000 };
	uint64_t at[2] = { phase ? p->goal[phase - 1][0] : 0, phase ? p->goal[phase - 1][1] : 0 };
	struct rng r = rng_make(e->seed, 100 + (uint64_t)phase); /* the same at both ends */
	size_t scale = scales[rng_below(&r, phase ? 4 : 3)];

	for (int turn = 0; at[0] < p->goal[phase][0] || at[1] < p->goal[phase][1]; turn++) {
		int d = (int)rng_below(&r, 2);
		uint64_t left, len = 1 + rng_below(&r, scale);

		if (at[d] == p->goal[phase][d])
			d = !d;
		left = p->goal[phase][d] - at[d];
		if (len > left || turn >= MOST_TURNS)
			len = left;
		at[d] += len;
		if (d == send_dir)
			turn_send(e, at[d]);
		else
			turn_receive(e, at[d]);
	}
}

/* One try of a single thread that must not sleep.  False: nothing could be tried. */
static bool free_step(struct end *e, uint64_t tx_goal, uint64_t rx_goal)
{
	bool send = e->tx.pos < tx_goal && e->tx.may, receive = e->rx.pos < rx_goal && e->rx.may;

	if (!send && !receive)
		return false;
	end_fidget(e, false);
	if (send && receive)
		send = rng_one_in(&e->rng, 2);
	if (send)
		flow_send(&e->tx, tx_goal - e->tx.pos);
	else
		flow_receive(&e->rx, rx_goal - e->rx.pos);
	end_maybe_shut(e);
	return true;
}

static int free_ask(const struct end *e, uint64_t tx_goal, uint64_t rx_goal)
{
	return (e->tx.pos < tx_goal ? ASK_OUT : 0) | (e->rx.pos < rx_goal ? ASK_IN : 0);
}

static void run_single(struct end *e, uint64_t tx_goal, uint64_t rx_goal)
{
	int ask;

	end_set_mode(e, rng_one_in(&e->rng, 3) ? MODE_DONTWAIT : MODE_NONBLOCK);
	while ((ask = free_ask(e, tx_goal, rx_goal)))
		if (!free_step(e, tx_goal, rx_goal))
			end_wait(e, ask, end_draw_ms(e));
	end_maybe_shut(e);
}

static void run_phase(struct end *e, struct plan *p, int phase, int send_dir)
{
	uint64_t tx_goal = p->goal[phase][send_dir], rx_goal = p->goal[phase][!send_dir];

	end_rest(e);
	if (p->is_script[phase])
		run_script(e, p, phase, send_dir);
	else if (rng_below(&e->rng, 10) < 4)
		run_threads(e, tx_goal, rx_goal);
	else
		run_single(e, tx_goal, rx_goal);
}

/* Both ends in turn; waits for both when neither could do a thing. */
static void run_solo(struct plan *p)
{
	struct rng r = rng_make(ends[0].seed, 2);

	for (int i = 0; i < 2; i++)
		end_set_mode(&ends[i], rng_one_in(&r, 3) ? MODE_DONTWAIT : MODE_NONBLOCK);
	for (;;) {
		int ask[2], moved = 0;

		for (int i = 0; i < 2; i++) {
			struct end *e = &ends[i];
			/* end 0 is the server: it sends direction 1 */
			uint64_t tx_goal = p->total[!i], rx_goal = p->total[i];
			int steps = 1 + (int)rng_below(&r, 6);

			while (steps-- && free_step(e, tx_goal, rx_goal))
				moved++;
			end_maybe_shut(e);
			ask[i] = free_ask(e, tx_goal, rx_goal);
			if (ask[i] &&
			    !((ask[i] & ASK_OUT && e->tx.may) || (ask[i] & ASK_IN && e->rx.may)))
				end_wait(e, ask[i], 0);
		}
		if (!ask[0] && !ask[1])
			return;
		if (!moved)
			wait_for_both(&ends[0], ask[0], &ends[1], ask[1]);
	}
}

static void run_end(const char *name, const char *family, uint64_t seed, int fd, int send_dir)
{
	struct end *e = &ends[0];
	struct plan p;

	plan_make(&p, seed);
	end_init(e, name, family, seed, fd);
	end_set_totals(e, p.total[send_dir], p.total[!send_dir], (uint64_t)send_dir);
	signals_start(seed, 30 + (uint64_t)send_dir);
	for (int i = 0; i < p.phases; i++)
		run_phase(e, &p, i, send_dir);
	end_finish_out(e);
	end_finish_in(e);
	signals_stop();
	end_print(e);
}

static void on_alarm(int sig)
{
	(void)sig;
	for (int i = 0; i < 2; i++)
		if (ends[i].name)
			end_say_hang(&ends[i]);
	_exit(1);
}

/* An end that hangs says so. */
static void bound(void)
{
	if (getenv("MIXED_STORM")) {
		signal(SIGTERM, on_alarm);
		return;
	}
	signal(SIGALRM, on_alarm);
	alarm(end_alarm_seconds());
}

static void run_self(const char *family, uint64_t seed)
{
	struct address a;
	int listener = address_listen(&a, family, NULL, seed), status;
	pid_t pid = fork(), ended;

	if (pid < 0)
		fail(NULL, "fork: %s", strerror(errno));
	if (pid == 0) {
		bound();
		close(listener);
		run_end("client", family, seed, address_connect(&a, seed), 0);
		exit(0);
	}
	run_end("server", family, seed, address_accept(&a, listener), 1);
	while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR && getenv("MIXED_STORM"))
		;
	if (ended != pid || status)
		fail(NULL, "seed=%llu family=%s: the client's wait status is %#x",
		     (unsigned long long)seed, family, (unsigned int)status);
}

static void run_both(const char *family, uint64_t seed)
{
	struct address a;
	struct plan p;
	int listener = address_listen(&a, family, NULL, seed), fd;

	plan_make(&p, seed);
	fd = address_connect(&a, seed);
	end_init(&ends[0], "server", family, seed, address_accept(&a, listener));
	end_init(&ends[1], "client", family, seed, fd);
	end_set_totals(&ends[0], p.total[1], p.total[0], 1);
	end_set_totals(&ends[1], p.total[0], p.total[1], 0);
	signals_start(seed, 32);
	run_solo(&p);
	for (int i = 0; i < 2; i++)
		end_finish_out(&ends[i]);
	for (int i = 0; i < 2; i++)
		end_finish_in(&ends[i]);
	signals_stop();
	for (int i = 0; i < 2; i++)
		end_print(&ends[i]);
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: mixed server|client FAMILY ADDRFILE SEED\n"
			"       mixed self|solo FAMILY SEED\n");
	exit(2);
}

int main(int argc, char **argv)
{
	const char *role = argc > 1 ? argv[1] : "";
	bool apart = !strcmp(role, "server") || !strcmp(role, "client");
	struct address a;
	uint64_t seed;
	char *rest;
	int fd;

	if (argc != (apart ? 5 : 4))
		usage();
	seed = strtoull(argv[argc - 1], &rest, 10);
	if (*rest || rest == argv[argc - 1])
		usage();
	bound();
	if (!strcmp(role, "server")) {
		fd = address_listen(&a, argv[2], argv[3], seed);
		run_end(role, argv[2], seed, address_accept(&a, fd), 1);
	} else if (!strcmp(role, "client")) {
		address_read(&a, argv[2], argv[3]);
		run_end(role, argv[2], seed, address_connect(&a, seed), 0);
	} else if (!strcmp(role, "self")) {
		run_self(argv[2], seed);
	} else if (!strcmp(role, "solo")) {
		run_both(argv[2], seed);
	} else {
		usage();
	}
	return 0;
}
