/* SPDX-License-Identifier: MIT */
#ifndef MIXED_H
#define MIXED_H

/*
 * What the parts of the random-program test (mixed.c) share: the numbers
 * drawn, the pattern of the bytes, and the state of one end.
 *
 * Every byte of both directions follows from the seed and its position alone,
 * so the reader knows each byte it must get, and a lost, doubled or reordered
 * one is found where it happens.
 *
 * A flow is one direction as one end sees it.  It is used by one thread at a
 * time and has its own numbers, so that a seed draws the same calls again
 * whatever the threads do.
 *
 * The program is built from mixed.c and all mixed_*.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	MOST_LEN = 300 << 10, /* bytes of one call */
	GUARD_LEN = 64,       /* bytes behind what a call may fill */
	MOST_PARTS = 8,       /* of a vector */
	TRACE_NR = 32,
};

struct rng {
	uint64_t state;
};

/* How calls of an end avoid to sleep. */
enum mode {
	MODE_BLOCK,    /* they may sleep */
	MODE_NONBLOCK, /* O_NONBLOCK */
	MODE_DONTWAIT, /* no O_NONBLOCK, a flag on each call */
};

struct trace {
	const char *call;
	size_t asked;
	ssize_t got;
	uint64_t pos;
};

struct flow {
	struct end *end;
	const char *direction; /* "tx" or "rx" */
	struct rng rng;
	uint64_t key;   /* of the pattern */
	uint64_t pos;   /* bytes sent, or received */
	uint64_t total; /* bytes this direction will have */
	uint64_t sum;   /* FNV-1a of the bytes before pos */
	int fd;         /* the number this direction uses now */
	enum mode mode;
	bool timed;    /* SO_SNDTIMEO or SO_RCVTIMEO is set */
	bool may;      /* no EAGAIN since the last sign of readiness */
	bool promised; /* readable, said a wait, and nothing was read since */
	bool eof;
	unsigned int scale_left; /* calls until sizes are drawn from another range */
	size_t scale;
	int file; /* what sendfile reads, sparse; -1 until used */
	char *buf;
	struct trace trace[TRACE_NR];
	unsigned int traced;
};

struct waiter {
	struct flow *flow; /* for messages */
	struct rng *rng;
	int mode;
	unsigned int left; /* waits until the next change of mode */
	int ep;
	int fd;         /* registered in ep, or -1 */
	uint32_t armed; /* events registered, without modifiers */
	uint64_t cookie;
};

struct end {
	const char *name; /* "server" or "client" */
	const char *family;
	uint64_t seed;
	int fd;
	int spare; /* a second number of the stream, or -1 */
	struct rng rng;
	enum mode mode;
	struct waiter waiter;
	struct flow tx;
	struct flow rx;
	bool shut;       /* SHUT_WR is done */
	bool shut_early; /* as soon as all is sent, though more may come in */
	bool ends_by_close;
	unsigned int naps_left;
	pid_t holder; /* a child that holds the stream too, or 0 */
};

/* A timer sends signals to this process: calls may be interrupted, or cut short. */
extern bool interrupted;

static inline uint64_t mix64(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static inline struct rng rng_make(uint64_t seed, uint64_t stream)
{
	return (struct rng){ mix64(mix64(seed + 0x9e3779b97f4a7c15u) + stream) };
}

static inline uint64_t rng_next(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15u;
	return mix64(r->state);
}

/* 0 .. n-1 */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (rng_next(r) >> 16) % n;
}

static inline bool rng_one_in(struct rng *r, uint64_t n)
{
	return rng_below(r, n) == 0;
}

/* mixed_pattern.c */

/* Says what went wrong in one line and ends the process.  @f may be NULL. */
__attribute__((noreturn, format(printf, 2, 3))) void fail(const struct flow *f, const char *fmt,
							  ...);
void trace_call(struct flow *f, const char *call, size_t asked, ssize_t got);
void pattern_fill(char *buf, uint64_t key, uint64_t pos, size_t len);
/* The @len bytes after f->pos must be those at @buf. */
void pattern_check(struct flow *f, const char *call, const char *buf, size_t len);
uint64_t fnv1a(uint64_t sum, const char *buf, size_t len);

/* mixed_calls.c */

/* One call that sends at most @most bytes.  False: none was sent. */
bool flow_send(struct flow *f, uint64_t most);
/*
 * One call that receives; @need bytes must still come before we send again, so
 * that it is safe to wait for them, but more may be taken if it is there.  At
 * the end of the stream f->eof is set.  False: nothing was received.
 */
bool flow_receive(struct flow *f, uint64_t need);

/* mixed_wait.c */

enum {
	ASK_IN = POLLIN,
	ASK_OUT = POLLOUT,
	HANGUP = POLLHUP | POLLRDHUP,
	BAD_EVENTS = POLLERR | POLLNVAL | POLLPRI,
};

void waiter_init(struct waiter *w, struct flow *f);
/* Forgets the set.  To be done before the number it holds is closed. */
void waiter_reset(struct waiter *w);
bool waiter_is_level(const struct waiter *w);
/*
 * Waits at most @ms milliseconds (-1: for ever) until @fd may be what @ask
 * says.  Returns the events, 0 after the time or a signal.  An edge-triggered
 * wait may also report what was not asked.
 */
int waiter_wait(struct waiter *w, int fd, int ask, int ms);

/* mixed_end.c */

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
	char path[108]; /* to be unlinked after accept, or empty */
};

unsigned int end_alarm_seconds(void);
/* Listens; writes the address to @addrfile, if not NULL, all at once. */
int address_listen(struct address *a, const char *family, const char *addrfile, uint64_t seed);
void address_read(struct address *a, const char *family, const char *addrfile);
int address_connect(const struct address *a, uint64_t seed);
/* Accepts one stream and closes the listener. */
int address_accept(const struct address *a, int listener);

/* In some processes signals come all the time, with SA_RESTART or without. */
void signals_start(uint64_t seed, uint64_t stream);
void signals_stop(void);

void end_init(struct end *e, const char *name, const char *family, uint64_t seed, int fd);
/* @direction tells the patterns apart; it is 0 for what the client sends. */
void end_set_totals(struct end *e, uint64_t tx, uint64_t rx, uint64_t direction);
void end_set_mode(struct end *e, enum mode mode);
/* Now and then changes something that must not matter. */
void end_fidget(struct end *e, bool may_block);
/* Between phases: sometimes long enough for both ends to go cold. */
void end_rest(struct end *e);
int end_draw_ms(struct end *e);
void end_wait(struct end *e, int ask, int ms);
/* In one process with both ends: until one of them has something to do. */
void wait_for_both(struct end *a, int ask_a, struct end *b, int ask_b);
void end_maybe_shut(struct end *e);
/* Two threads, one for each direction, blocking or each with its own way to wait. */
void run_threads(struct end *e, uint64_t tx_goal, uint64_t rx_goal);
/* First half of the end: nothing more will be sent. */
void end_finish_out(struct end *e);
/* Second half: the other's end of file, twice, and readable for ever. */
void end_finish_in(struct end *e);
void end_print(struct end *e);
/* From the handler of the alarm: where it stands. */
void end_say_hang(const struct end *e);

#endif
