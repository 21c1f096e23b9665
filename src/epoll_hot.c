/* SPDX-License-Identifier: MIT */

/*
 * The hot list of an epoll set: what a wait looks at in memory (epoll.c).  A list by index,
 * doubly linked in the registrations; under the set's lock.
 */
#include "epoll_set.h"

void shmfd_set_heat(struct shmfd_set *e, struct shmfd_stream *s)
{
	uint32_t me = shmfd_stream_index(s) + 1;

	shmfd_set_served(e, s);
	if (s->reg.hot || s->reg.parked)
		return;
	s->reg.hot = true;
	s->reg.next = 0;
	s->reg.prev = e->tail;
	if (e->tail)
		shmfd_set_at(e->tail)->reg.next = me;
	else
		e->hot = me;
	e->tail = me;
}

void shmfd_set_cool(struct shmfd_set *e, struct shmfd_stream *s)
{
	if (!s->reg.hot)
		return;
	if (s->reg.prev)
		shmfd_set_at(s->reg.prev)->reg.next = s->reg.next;
	else
		e->hot = s->reg.next;
	if (s->reg.next)
		shmfd_set_at(s->reg.next)->reg.prev = s->reg.prev;
	else
		e->tail = s->reg.prev;
	s->reg.hot = false;
}

void shmfd_set_rotate(struct shmfd_set *e, uint32_t last)
{
	uint32_t first = shmfd_set_at(last)->reg.next;

	if (!first || last == e->tail)
		return;
	/* cut before it is joined: a handler never finds a ring, and comes to an end */
	shmfd_set_at(last)->reg.next = 0;
	fence_signal();
	shmfd_set_at(first)->reg.prev = 0;
	shmfd_set_at(e->tail)->reg.next = e->hot;
	shmfd_set_at(e->hot)->reg.prev = e->tail;
	e->hot = first;
	e->tail = last;
}

void shmfd_set_rebuild(struct shmfd_set *e)
{
	struct shmfd_stream *s;

	e->shaken = false;
	e->hot = e->tail = 0;
	for (uint32_t i = 0; (s = shmfd_set_next(e, &i));) {
		s->reg.hot = false;
		shmfd_set_changed(e, s);
		if (s->reg.tagged)
			shmfd_set_heat(e, s);
	}
}

void shmfd_ready_mend(const _Atomic uint32_t *word)
{
	struct shmfd_set *e = shmfd_set_of_lock(word);

	if (!e)
		return;
	e->nested = 0;
	e->shaken = true;
}
