/* SPDX-License-Identifier: MIT */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

/*
 * Times in ns counted in classes that are less than one percent wide, so that a run of any
 * length takes the same memory.  It can lie in memory that processes share; one writes.
 */
#include <stdint.h>
#include <stdio.h>

enum {
	HISTOGRAM_FINE_BITS = 7,	/* classes of each power of two: 128 */
	HISTOGRAM_FINE = 1 << HISTOGRAM_FINE_BITS,
	HISTOGRAM_OCTAVES = 34,		/* up to some 20 minutes */
	HISTOGRAM_CLASSES = HISTOGRAM_FINE * HISTOGRAM_OCTAVES,
};

struct histogram {
	uint64_t nr;
	uint64_t sum;
	uint64_t count[HISTOGRAM_CLASSES];
};

static inline unsigned int histogram_class(uint64_t ns)
{
	unsigned int octave, class;

	if (ns < HISTOGRAM_FINE)
		return (unsigned int)ns;
	octave = 63u - (unsigned int)__builtin_clzll(ns) - HISTOGRAM_FINE_BITS;
	class = (octave << HISTOGRAM_FINE_BITS) + (unsigned int)(ns >> octave);
	return class < HISTOGRAM_CLASSES ? class : HISTOGRAM_CLASSES - 1;
}

/* The middle of a class. */
static inline uint64_t histogram_value(unsigned int class)
{
	unsigned int octave;

	if (class < 2 * HISTOGRAM_FINE)
		return class;
	octave = (class >> HISTOGRAM_FINE_BITS) - 1;
	return ((uint64_t)(class - (octave << HISTOGRAM_FINE_BITS)) << octave) +
	       ((1ull << octave) >> 1);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
	h->nr++;
	h->sum += ns;
	h->count[histogram_class(ns)]++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *h)
{
	into->nr += h->nr;
	into->sum += h->sum;
	for (unsigned int i = 0; i < HISTOGRAM_CLASSES; i++)
		into->count[i] += h->count[i];
}

/* The value that this part of all samples stays below. */
static inline uint64_t histogram_at(const struct histogram *h, double part)
{
	uint64_t want = (uint64_t)(part * (double)h->nr), seen = 0;
	unsigned int i;

	for (i = 0; i < HISTOGRAM_CLASSES - 1; i++) {
		seen += h->count[i];
		if (seen > want)
			break;
	}
	return histogram_value(i);
}

static inline void histogram_print(const struct histogram *h)
{
	if (!h->nr) {
		printf("p50=0 p99=0 p99.9=0 mean=0 ns");
		return;
	}
	printf("p50=%llu p99=%llu p99.9=%llu mean=%llu ns",
	       (unsigned long long)histogram_at(h, 0.5), (unsigned long long)histogram_at(h, 0.99),
	       (unsigned long long)histogram_at(h, 0.999),
	       (unsigned long long)(h->sum / h->nr));
}

#endif
