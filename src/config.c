/* SPDX-License-Identifier: MIT */

/*
 * See config.h.  This file owns the syntax of every SHMFD_ variable and of the
 * rules, and the matching of addresses against rules.
 *
 * It runs first thing in the life of a process, before the constructors of
 * other libraries, and the matching runs inside the host's calls, signal
 * handlers included: so no allocation, no stdio, nothing that looks at the
 * locale (fnmatch(3) does, and may allocate), and strict numbers of its own.
 *
 * Values are copied: servers that show a title in ps (nginx, PostgreSQL, redis)
 * move their environment away and write over the original strings.
 */
#define _GNU_SOURCE
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "shmfd/layout.h"

/* Where an error message is put together: always one line, always ended. */
struct text {
	char *buf;
	size_t cap, len;
};

/* A piece of a value: no 0 at its end. */
struct span {
	const char *at;
	size_t len;
};

static void add(struct text *t, const char *s, size_t len)
{
	for (size_t i = 0; i < len && t->len + 1 < t->cap; i++) {
		unsigned char c = (unsigned char)s[i];

		t->buf[t->len++] = (c < ' ' || c == 127) ? '?' : s[i];
	}
	if (t->cap)
		t->buf[t->len] = '\0';
}

static void add_str(struct text *t, const char *s)
{
	add(t, s, strlen(s));
}

/* The value is quoted only so far that what would be right still fits. */
static int fail(struct text *err, const char *name, struct span value, const char *right)
{
	const size_t quote_max = 120;

	err->len = 0;
	add_str(err, name);
	add_str(err, "=");
	add(err, value.at, value.len < quote_max ? value.len : quote_max);
	add_str(err, value.len > quote_max ? "...: " : ": ");
	add_str(err, right);
	return -EINVAL;
}

static const char *env_lookup(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; env && *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=')
			return (*env)[len + 1] ? *env + len + 1 : NULL;
	return NULL;
}

/* Decimal digits and nothing else, at most @max. */
static bool parse_number(struct span s, uint64_t max, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (!s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint64_t digit = (uint64_t)(s.at[i] - '0');

		if (s.at[i] < '0' || s.at[i] > '9' || digit > max || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret_value = v;
	return true;
}

static struct span span_of(const char *s)
{
	return (struct span){ .at = s, .len = s ? strlen(s) : 0 };
}

static int parse_u32(char *const *env, const char *name, uint32_t max, uint32_t *value,
		     struct text *err, const char *right)
{
	struct span s = span_of(env_lookup(env, name));
	uint64_t v;

	if (!s.at)
		return 0;
	if (!parse_number(s, max, &v))
		return fail(err, name, s, right);
	*value = (uint32_t)v;
	return 0;
}

static int parse_ring(struct shmfd_config *c, char *const *env, struct text *err)
{
	struct span s = span_of(env_lookup(env, "SHMFD_RING")), digits = s;
	unsigned int shift = 0;
	uint64_t v;

	if (!s.at)
		return 0;
	switch (s.at[s.len - 1]) {
	case 'K':
	case 'k':
		shift = 10;
		break;
	case 'M':
	case 'm':
		shift = 20;
		break;
	}
	if (shift)
		digits.len--;
	if (!parse_number(digits, UINT32_MAX, &v) || v << shift < SHMFD_RING_MIN ||
	    v << shift > SHMFD_RING_MAX || (v & (v - 1)))
		return fail(err, "SHMFD_RING", s,
			    "should be a power of two from 64K to 16M, such as 256K");
	c->ring_cap = (uint32_t)(v << shift);
	return 0;
}

/* A copy in c->text, NULL if there is no room left. */
static char *keep(struct shmfd_config *c, const char *s, size_t len)
{
	char *copy = c->text + c->text_len;

	if (len >= sizeof(c->text) - c->text_len)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	c->text_len += (uint32_t)len + 1;
	return copy;
}

/*
 * Paths are made absolute now: a daemon changes its directory before there is
 * anything to write.
 */
static const char *keep_path(struct shmfd_config *c, struct span s)
{
	char path[PATH_MAX];
	size_t dir_len = 0;

	if (s.at[0] != '/' && getcwd(path, sizeof(path) - 1) && path[0] == '/') {
		dir_len = strlen(path);
		if (path[dir_len - 1] != '/')
			path[dir_len++] = '/';
	}
	if (dir_len + s.len >= sizeof(path))
		return NULL;
	memcpy(path + dir_len, s.at, s.len);
	return keep(c, path, dir_len + s.len);
}

static int parse_log(struct shmfd_config *c, char *const *env, struct text *err)
{
	static const char *const level[] = { "error", "info", "debug" };
	struct span s = span_of(env_lookup(env, "SHMFD_LOG")), path;

	if (!s.at)
		return 0;
	for (int i = 0; i < 3; i++) {
		size_t len = strlen(level[i]);

		if (strncmp(s.at, level[i], len))
			continue;
		if (!s.at[len]) {
			c->log_level = i + 1;
			return 0;
		}
		if (s.at[len] != ':' || !s.at[len + 1])
			break;
		path = span_of(s.at + len + 1);
		c->log_path = keep_path(c, path);
		if (!c->log_path)
			return fail(err, "SHMFD_LOG", s, "the file name is too long");
		c->log_level = i + 1;
		return 0;
	}
	return fail(err, "SHMFD_LOG", s,
		    "should be error, info or debug, then :FILE if not stderr");
}

static int parse_stats(struct shmfd_config *c, char *const *env, struct text *err)
{
	struct span s = span_of(env_lookup(env, "SHMFD_STATS"));

	if (!s.at)
		return 0;
	c->stats_path = keep_path(c, s);
	if (!c->stats_path)
		return fail(err, "SHMFD_STATS", s, "the file name is too long");
	return 0;
}

/* ---- rules ----------------------------------------------------------- */

static bool span_is(struct span s, const char *word)
{
	return s.len == strlen(word) && !memcmp(s.at, word, s.len);
}

static struct span trim(struct span s)
{
	while (s.len && (*s.at == ' ' || *s.at == '\t' || *s.at == '\n')) {
		s.at++;
		s.len--;
	}
	while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t' ||
			 s.at[s.len - 1] == '\n'))
		s.len--;
	return s;
}

/* Splits at the last @c: addresses have colons, paths may have '='. */
static bool split_last(struct span s, char c, struct span *ret_before, struct span *ret_after)
{
	for (size_t i = s.len; i-- > 0;) {
		if (s.at[i] != c)
			continue;
		*ret_before = (struct span){ s.at, i };
		*ret_after = (struct span){ s.at + i + 1, s.len - i - 1 };
		return true;
	}
	return false;
}

/* An IPv4 address within IPv6 is the same address to the user: keep the v4. */
static uint8_t normalize(uint8_t *addr)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (memcmp(addr, mapped, sizeof(mapped)))
		return AF_INET6;
	memmove(addr, addr + 12, 4);
	memset(addr + 4, 0, 12);
	return AF_INET;
}

static const char *parse_tcp(struct shmfd_rule *r, struct span s)
{
	char text[INET6_ADDRSTRLEN];
	struct span host, port;
	bool v6;
	uint64_t nr;

	if (!split_last(s, ':', &host, &port))
		return "should be tcp:ADDRESS:PORT=ring or =kernel";
	if (!span_is(port, "*")) {
		if (!parse_number(port, UINT16_MAX, &nr) || !nr)
			return "the port should be a number from 1 to 65535, or *";
		r->port = (uint16_t)nr;
	}
	if (span_is(host, "*")) {
		r->any_addr = 1;
		return NULL;
	}
	v6 = host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
	if (v6) {
		host.at++;
		host.len -= 2;
	}
	if (host.len && host.len < sizeof(text)) {
		memcpy(text, host.at, host.len);
		text[host.len] = '\0';
		/* A 0 inside is impossible: the value itself ended there. */
		if (inet_pton(v6 ? AF_INET6 : AF_INET, text, r->addr) == 1) {
			r->family = v6 ? normalize(r->addr) : AF_INET;
			return NULL;
		}
	}
	return "the address should be numeric, such as 127.0.0.1 or [::1], or *";
}

static const char *parse_rule(struct shmfd_rule *r, struct span s)
{
	struct span what, action;

	*r = (struct shmfd_rule){ 0 };
	if (!split_last(s, '=', &what, &action))
		return "should end in =ring or =kernel";
	what = trim(what);
	action = trim(action);
	if (span_is(action, "ring"))
		r->is_ring = 1;
	else if (!span_is(action, "kernel"))
		return "should end in =ring or =kernel";
	if (what.len > 4 && !memcmp(what.at, "tcp:", 4)) {
		r->is_tcp = 1;
		return parse_tcp(r, (struct span){ what.at + 4, what.len - 4 });
	}
	if (what.len > 5 && !memcmp(what.at, "unix:", 5)) {
		r->pattern = what.at + 5;
		r->pattern_len = (uint32_t)(what.len - 5);
		return NULL;
	}
	return "should be tcp:ADDRESS:PORT or unix:PATH, then =ring or =kernel";
}

static int parse_rules(struct shmfd_config *c, char *const *env, struct text *err)
{
	static const char name[] = "SHMFD_RULES";
	struct span all = span_of(env_lookup(env, name));
	const char *at, *end, *wrong;

	if (!all.at)
		return 0;
	at = keep(c, all.at, all.len);
	if (!at)
		return fail(err, name, all, "is too long");
	for (; at; at = *end ? end + 1 : NULL) {
		struct span s;

		end = strchrnul(at, ';');
		s = trim((struct span){ at, (size_t)(end - at) });
		if (!s.len)
			continue;
		if (c->rule_nr == SHMFD_RULES_MAX)
			return fail(err, name, s, "one rule more than the 64 that there can be");
		wrong = parse_rule(&c->rule[c->rule_nr], s);
		if (wrong)
			return fail(err, name, s, wrong);
		c->rule_nr++;
	}
	return 0;
}

int shmfd_config_parse(struct shmfd_config *ret_config, char *const *env,
		       char *err_buf, size_t err_len)
{
	struct shmfd_config *c = ret_config;
	struct text err = { .buf = err_buf, .cap = err_len };
	uint32_t spin_us = SHMFD_SPIN_US_DEFAULT;
	struct span seed = span_of(env_lookup(env, "SHMFD_TEST_SEED"));
	int rc;

	/* Not the text: its pages need not be touched. */
	memset(c, 0, offsetof(struct shmfd_config, text));
	c->ring_cap = 0;
	c->after = SHMFD_AFTER_DEFAULT;
	rc = parse_ring(c, env, &err);
	if (!rc)
		rc = parse_u32(env, "SHMFD_SPIN_US", SHMFD_SPIN_US_MAX, &spin_us, &err,
			       "should be microseconds from 0 to 1000000");
	if (!rc)
		rc = parse_u32(env, "SHMFD_AFTER", SHMFD_AFTER_MAX, &c->after, &err,
			       "should be messages from 0 to 1000000");
	if (!rc)
		rc = parse_u32(env, "SHMFD_TEST_RETREAT", UINT32_MAX, &c->test_retreat, &err,
			       "should be one call in so many, 0 for never");
	if (!rc)
		rc = parse_u32(env, "SHMFD_TEST_EAGER", 1, &c->test_eager, &err,
			       "should be 0 or 1");
	if (!rc)
		rc = parse_u32(env, "SHMFD_TEST_STUCK", 1000000, &c->test_stuck_ms, &err,
			       "should be milliseconds from 1 to 1000000");
	if (!rc && seed.at && !parse_number(seed, UINT64_MAX, &c->test_seed))
		rc = fail(&err, "SHMFD_TEST_SEED", seed, "should be a decimal number of 64 bits");
	if (!rc)
		rc = parse_log(c, env, &err);
	if (!rc)
		rc = parse_stats(c, env, &err);
	if (!rc)
		rc = parse_rules(c, env, &err);
	c->spin_ns = spin_us * 1000;
	return rc;
}

/* ---- matching --------------------------------------------------------- */

/*
 * '*' any bytes ('/' too), '?' one byte, all else itself.  Going back only to
 * the last '*' is enough, and keeps it quadratic at worst.
 */
static bool match_bytes(struct span pattern, struct span name)
{
	size_t p = 0, n = 0, star = SIZE_MAX, star_n = 0;

	while (n < name.len) {
		if (p < pattern.len && pattern.at[p] == '*') {
			star = p++;
			star_n = n;
		} else if (p < pattern.len &&
			   (pattern.at[p] == '?' || pattern.at[p] == name.at[n])) {
			p++;
			n++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			n = ++star_n;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.at[p] == '*')
		p++;
	return p == pattern.len;
}

static bool match_unix(const struct shmfd_rule *r, const struct sockaddr *sa, socklen_t len)
{
	const size_t start = offsetof(struct sockaddr_un, sun_path);
	struct span pattern = { r->pattern, r->pattern_len };
	struct span name = { .at = (const char *)sa + start };

	if (span_is(pattern, "*"))
		return true;
	if (len <= start)
		return false;
	name.len = len - start;
	if (pattern.at[0] == '@') {
		if (name.at[0])
			return false;
		pattern.at++;
		pattern.len--;
		name.at++;
		name.len--;
	} else {
		/* Linux gives one byte more than sun_path has for the longest path. */
		name.len = strnlen(name.at, name.len);
		if (!name.len)
			return false;
	}
	return match_bytes(pattern, name);
}

static bool match_tcp(const struct shmfd_rule *r, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	uint8_t addr[16] = { 0 }, family = AF_INET;
	uint16_t port;

	if (sa->sa_family == AF_INET) {
		if (len < sizeof(in))
			return false;
		memcpy(&in, sa, sizeof(in));
		memcpy(addr, &in.sin_addr, 4);
		port = ntohs(in.sin_port);
	} else {
		/* RFC 2133 structures without the scope are 24 bytes long. */
		if (len < offsetof(struct sockaddr_in6, sin6_scope_id))
			return false;
		memcpy(&in6, sa, offsetof(struct sockaddr_in6, sin6_scope_id));
		memcpy(addr, &in6.sin6_addr, 16);
		family = normalize(addr);
		port = ntohs(in6.sin6_port);
	}
	if (r->port && r->port != port)
		return false;
	return r->any_addr || (r->family == family && !memcmp(r->addr, addr, sizeof(addr)));
}

static bool match_addr(const struct shmfd_rule *r, const struct sockaddr *sa, socklen_t len)
{
	if (!sa || len < sizeof(sa->sa_family))
		return false;
	switch (sa->sa_family) {
	case AF_INET:
	case AF_INET6:
		return r->is_tcp && match_tcp(r, sa, len);
	case AF_UNIX:
		return !r->is_tcp && match_unix(r, sa, len);
	default:
		return false;
	}
}

bool shmfd_config_allows(const struct shmfd_config *c,
			 const struct sockaddr *local, socklen_t local_len,
			 const struct sockaddr *peer, socklen_t peer_len)
{
	for (uint32_t i = 0; i < c->rule_nr; i++) {
		const struct shmfd_rule *r = &c->rule[i];

		if (match_addr(r, local, local_len) || match_addr(r, peer, peer_len))
			return r->is_ring;
	}
	return true;
}
