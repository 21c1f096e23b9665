/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_EPOLL_SET_H
#define SHMFD_EPOLL_SET_H

/*
 * What epoll.c (sets, registrations) and epoll_wait.c (events) share.  The
 * protocol is at the head of epoll.c.  All but lock, of and disown are called
 * under the set's lock.
 */
#include "ready.h"

/* Waits that found something in memory, until the kernel is asked too, at the earliest. */
#define SHMFD_SET_KERNEL_EVERY	4
#define SHMFD_SET_TAG_LINK	0x80000000u
#define SHMFD_SET_TAG_KICK	0x7fffffffu	/* the set's own eventfd */
#define SHMFD_SET_IN	(EPOLLIN | EPOLLRDNORM | EPOLLPRI | EPOLLRDBAND | EPOLLRDHUP)
#define SHMFD_SET_OUT	(EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

struct shmfd_set {
	_Atomic uint32_t used;
	_Atomic uint32_t lock;
	_Atomic uint32_t tagged;	/* streams of it under our tag */
	_Atomic uint32_t ever_tagged;
	_Atomic uint32_t inside;	/* threads in a wait, of a process that has several */
	_Atomic uint32_t sleepers;	/* of these, asleep */
	_Atomic uint32_t plain;		/* no rings in this set any more */
	_Atomic uint32_t inherited;	/* by a fork, and not used here since */
	_Atomic uint32_t closed;	/* by the host, with threads inside: fd is ours */
	_Atomic uint32_t postponed;	/* streams of it wait for their end (finish_postponed) */
	bool collides;			/* host data with our prefix came: never tag */
	uint32_t hot, tail;		/* ends of the hot list, index plus 1 */
	uint32_t waits;			/* that found something in memory */
	int64_t looked_ns;		/* the kernel had nothing beside; 0: ask it again soon */
	uint32_t served;		/* waits that had events */
	uint32_t told;			/* events of streams since the last sleep */
	uint32_t napping;		/* streams in the last nap */
	uint16_t naps;			/* sleeps, counted modulo 65,536 */
	uint16_t reach;			/* who had an event so many sleeps ago is in the next nap */
	uint32_t rang;			/* bells that the kernel told of */
	uint32_t nested;		/* handlers inside, under lock */
	bool is_long;			/* the last sleep was brief, and its time over */
	bool shaken;			/* there was one: its list is not to be trusted */
	int fd;
	int kick;			/* eventfd plus 1 in the kernel's set; 0: none yet */
	struct shmfd_spin spin;
};

/* By the index in the word of the set's number; plus 1 in its streams' registrations. */
extern struct shmfd_set shmfd_sets[];
/* The upper half of our tags. */
extern uint32_t shmfd_set_prefix;
/* For shmfd_lock: sets are private to the process. */
extern const struct shmfd_record shmfd_set_record;

/* This stream has, or may have, an event now. */
static inline void shmfd_set_served(const struct shmfd_set *e, struct shmfd_stream *s)
{
	s->reg.served = e->served;
	s->reg.nap = e->naps;
}

static inline struct shmfd_set *shmfd_set_of(int ep)
{
	uint32_t word = shmfd_fd_lookup(ep);

	return (word & SHMFD_FD_KIND_MASK) == (uint32_t)SHMFD_FD_EPOLL ?
		&shmfd_sets[word & SHMFD_FD_INDEX_MASK] : NULL;
}

static inline struct shmfd_set *shmfd_set_of_stream(const struct shmfd_stream *s)
{
	return s->reg.set ? &shmfd_sets[s->reg.set - 1] : NULL;
}

/* The stream of a hot list link. */
static inline struct shmfd_stream *shmfd_set_at(uint32_t link)
{
	return &shmfd_streams[link - 1];
}

/* NULL: @word is the lock of no set. */
struct shmfd_set *shmfd_set_of_lock(const _Atomic uint32_t *word);
/* The next stream from index *@i on that is registered in @e, and *@i behind it; NULL: none. */
struct shmfd_stream *shmfd_set_next(const struct shmfd_set *e, uint32_t *i);
void shmfd_set_heat(struct shmfd_set *e, struct shmfd_stream *s);
void shmfd_set_cool(struct shmfd_set *e, struct shmfd_stream *s);
/* Makes what follows @last the start of the hot list. */
void shmfd_set_rotate(struct shmfd_set *e, uint32_t last);
/* Makes the list anew, of all that is registered: any of it may have an event. */
void shmfd_set_rebuild(struct shmfd_set *e);
/*
 * A signal handler that interrupted our own work on the set goes on inside.  Either may
 * leave the other's list half done: whoever has the lock next makes it anew.  Who goes to
 * sleep before is kicked by what the handler changed.
 */
static inline void shmfd_set_lock(struct shmfd_set *e)
{
	if (unlikely(shmfd_lock(&shmfd_set_record, &e->lock))) {
		e->nested++;
		e->shaken = true;
	} else if (unlikely(e->shaken)) {
		shmfd_set_rebuild(e);
	}
}

static inline void shmfd_set_unlock(struct shmfd_set *e)
{
	if (unlikely(e->nested))
		e->nested--;
	else
		shmfd_unlock(&shmfd_set_record, &e->lock);
}

/* Makes who is asleep in the set look; @s is a stream of it. */
void shmfd_set_kick(struct shmfd_set *e, struct shmfd_stream *s);
/* The set is closed. */
void shmfd_set_drop_kick(struct shmfd_set *e);
/* What the kernel has to watch on the socket of a tagged stream. */
uint32_t shmfd_set_kernel_events(struct shmfd_stream *s);
/* Tells the kernel so, with our tag or the host's @data.  0, or -1 and errno. */
int shmfd_set_kernel_mod(struct shmfd_set *e, struct shmfd_stream *s, uint32_t events,
			 uint64_t data);
uint64_t shmfd_set_tag(const struct shmfd_stream *s, bool link);
/* A direction may have changed its mode. */
void shmfd_set_changed(struct shmfd_set *e, struct shmfd_stream *s);
/* No rings in this set from now on, EPOLL or SETS; not under its lock. */
void shmfd_set_make_plain(struct shmfd_set *e, enum shmfd_reason why);
/* The host closes its number.  True: threads are in a wait, which go on with a number
 * of ours; give their place back by shmfd_set_leave. */
bool shmfd_set_keep(struct shmfd_set *e);
/* One is inside no more; the last one frees a set that was closed meanwhile. */
void shmfd_set_leave(struct shmfd_set *e);
/* At each use: ends what was closed below the last one; the first use of a set inherited
 * by fork makes it plain. */
void shmfd_set_disown(struct shmfd_set *e);

#endif
