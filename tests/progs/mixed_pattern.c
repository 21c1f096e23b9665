/* SPDX-License-Identifier: MIT */
/*
 * Part of mixed.c: the pattern of the bytes, and what is said when something is
 * wrong.
 */
#include "mixed.h"

#include <stdarg.h>

bool interrupted;

void fail(const struct flow *f, const char *fmt, ...)
{
	char text[700];
	va_list args;
	int n = 0;

	if (f)
		n = snprintf(text, sizeof(text), "seed=%llu family=%s end=%s %s pos=%llu of %llu: ",
			     (unsigned long long)f->end->seed, f->end->family, f->end->name,
			     f->direction, (unsigned long long)f->pos,
			     (unsigned long long)f->total);
	va_start(args, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	va_end(args);
	fprintf(stderr, "mixed: %s\n", text);
	if (f && getenv("MIXED_TRACE")) {
		unsigned int i = f->traced > TRACE_NR ? f->traced - TRACE_NR : 0;

		for (; i < f->traced; i++) {
			const struct trace *t = &f->trace[i % TRACE_NR];

			fprintf(stderr, "mixed:   %s %s %s(%zu) at %llu: %zd\n", f->end->name,
				f->direction, t->call, t->asked, (unsigned long long)t->pos,
				t->got);
		}
	}
	/* Not exit(): another thread may be inside a call. */
	_exit(1);
}

void trace_call(struct flow *f, const char *call, size_t asked, ssize_t got)
{
	f->trace[f->traced++ % TRACE_NR] = (struct trace){ call, asked, got, f->pos };
}

static uint64_t pattern_word(uint64_t key, uint64_t index)
{
	return mix64(key + index * 0x9e3779b97f4a7c15u);
}

void pattern_fill(char *buf, uint64_t key, uint64_t pos, size_t len)
{
	while (len) {
		uint64_t word = pattern_word(key, pos / 8);
		size_t skip = pos % 8, n = 8 - skip;

		if (n > len)
			n = len;
		memcpy(buf, (char *)&word + skip, n);
		buf += n;
		pos += n;
		len -= n;
	}
}

/* Where the bytes at @got belong, for the message: lost, doubled or foreign. */
static void pattern_blame(const struct flow *f, const char *got, size_t len, char *text,
			  size_t text_len)
{
	char want[4096 + 32];

	if (len > 32)
		len = 32;
	snprintf(text, text_len, "bytes of nowhere");
	if (len < 6) {
		snprintf(text, text_len, "too few bytes to say from where");
		return;
	}
	for (uint64_t base = 0; base < f->total; base += 4096) {
		pattern_fill(want, f->key, base, sizeof(want));
		for (size_t i = 0; i < 4096; i++) {
			if (memcmp(want + i, got, len))
				continue;
			snprintf(text, text_len, "these bytes belong to position %llu: %lld %s",
				 (unsigned long long)(base + i),
				 base + i > f->pos ? (long long)(base + i - f->pos) :
						     (long long)(f->pos - base - i),
				 base + i > f->pos ? "lost or late" : "back, doubled");
			return;
		}
	}
}

void pattern_check(struct flow *f, const char *call, const char *buf, size_t len)
{
	char want[4096], blame[200];
	uint64_t start = f->pos;

	for (size_t done = 0; done < len; done += sizeof(want)) {
		size_t n = len - done < sizeof(want) ? len - done : sizeof(want), i = 0;

		pattern_fill(want, f->key, start + done, n);
		if (!memcmp(want, buf + done, n))
			continue;
		while (want[i] == buf[done + i])
			i++;
		f->pos = start + done + i;
		pattern_blame(f, buf + done + i, len - done - i, blame, sizeof(blame));
		fail(f, "%s of %zu bytes from %llu: expected %02x, got %02x (%s)", call, len,
		     (unsigned long long)start, (unsigned char)want[i],
		     (unsigned char)buf[done + i], blame);
	}
}

uint64_t fnv1a(uint64_t sum, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ (unsigned char)buf[i]) * 0x100000001b3u;
	return sum;
}
