/* SPDX-License-Identifier: MIT */
#ifndef UNIT_H
#define UNIT_H

/*
 * What every unit test needs: cmocka with the headers that it wants before it,
 * a bound for the whole binary, numbers that are random but always the same.
 * A crash or the alarm shows as a test that is missing in the log (unit.mk).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#define NR(a)		(sizeof(a) / sizeof((a)[0]))
#define UNIT_SECONDS	50

/* Output by lines: what was printed before a crash is not lost. */
#define unit_run(tests)						\
	(alarm(UNIT_SECONDS), setvbuf(stdout, NULL, _IOLBF, 0),		\
	 cmocka_run_group_tests(tests, NULL, NULL))

/* splitmix64 */
static inline uint64_t unit_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* 0 .. n-1 */
static inline size_t unit_below(uint64_t *state, size_t n)
{
	return (size_t)(unit_random(state) % n);
}

#endif
