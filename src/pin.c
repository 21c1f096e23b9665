/* SPDX-License-Identifier: MIT */

/* See pin.h. */
#define _GNU_SOURCE
#include "pin.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "stream.h"

#define PLACES	16

static bool have_key;
static pthread_key_t key;

/* volatile: a handler may come between any two stores */
static __thread struct {
	volatile uint16_t of[PLACES];	/* index of the stream plus 1 (the last has no
					 * place); 0: free */
	volatile uintptr_t frame[PLACES];	/* just below the call's */
	volatile uint32_t nr;		/* behind the last in use */
	bool known;
} pins __attribute__((tls_model("initial-exec")));

static uint16_t name_of(const struct shmfd_stream *s)
{
	return (uint16_t)(shmfd_stream_index(s) + 1);
}

/* What the call that took the last place left here, it will not give back. */
static void give_last(void)
{
	uint32_t last = pins.nr - 1;
	uint16_t name = pins.of[last];

	if (name)	/* which drops the pin */
		shmfd_stream_put(&shmfd_streams[name - 1]);
	if (pins.nr > last) {
		pins.of[last] = 0;
		pins.nr = last;
	}
}

/* The thread ends. */
static void give_back(void *arg)
{
	(void)arg;
	while (pins.nr)
		give_last();
}

void shmfd_pin_jump(uintptr_t sp)
{
	int saved = errno;

	while (pins.nr && shmfd_is_left(pins.frame[pins.nr - 1], sp))
		give_last();
	errno = saved;
}

void shmfd_pin_init(void)
{
	have_key = !pthread_key_create(&key, give_back);
}

void shmfd_pin_add(const struct shmfd_stream *s)
{
	uint32_t place = pins.nr;

	if (unlikely(!pins.known)) {
		if (!have_key)
			return;
		pins.known = true;
		pthread_setspecific(key, &pins);
	}
	if (unlikely(place >= PLACES))
		return;
	/* first the place: a handler takes the next one */
	pins.nr = place + 1;
	pins.frame[place] = (uintptr_t)__builtin_frame_address(0);
	pins.of[place] = name_of(s);
}

void shmfd_pin_drop(const struct shmfd_stream *s)
{
	uint16_t name = name_of(s);

	for (uint32_t i = pins.nr; i > 0; i--) {
		if (pins.of[i - 1] != name)
			continue;
		pins.of[i - 1] = 0;
		while (pins.nr && !pins.of[pins.nr - 1])
			pins.nr--;
		return;
	}
}
