/* SPDX-License-Identifier: MIT */

/*
 * config.c: tables of good and bad values of every variable, and which
 * addresses a rule matches.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"

#define NR(a)	(sizeof(a) / sizeof((a)[0]))

static struct shmfd_config config;
static char err[256];

/* One variable, or none; garbage before, as a stack would have it. */
static int parse(const char *name_value)
{
	char copy[32768];
	char *env[] = { "HOME=/", copy, NULL };

	snprintf(copy, sizeof(copy), "%s", name_value);
	memset(&config, 0xa5, sizeof(config));
	memset(err, 0, sizeof(err));
	return shmfd_config_parse(&config, env, err, sizeof(err));
}

static void test_empty_environment_gives_defaults(void **state)
{
	static const char *const env[] = {
		"HOME=/", "SHMFD_RING=", "SHMFD_AFTER=", "SHMFD_LOG=", "SHMFD_STATS=",
		"SHMFD_RULES=", "SHMFD_SPIN_US=", "SHMFD_TEST_SEED=", "SHMFD_TEST_RETREAT=",
		"SHMFD_TEST_EAGER=",
		"SHMFD_RINGS=3", "SHMFD_SOMETHING_NEW=!", "XSHMFD_RING=1",
	};

	(void)state;
	for (size_t i = 0; i < NR(env); i++) {
		assert_int_equal(parse(env[i]), 0);
		assert_int_equal(config.ring_cap, 0);
		assert_int_equal(config.spin_ns, 50000);
		assert_int_equal(config.after, 4);
		assert_int_equal(config.log_level, 0);
		assert_null(config.log_path);
		assert_null(config.stats_path);
		assert_int_equal(config.test_retreat, 0);
		assert_int_equal(config.test_eager, 0);
		assert_int_equal(config.test_seed, 0);
		assert_int_equal(config.rule_nr, 0);
	}
	assert_int_equal(shmfd_config_parse(&config, NULL, err, sizeof(err)), 0);
}

static void test_first_of_two_values_counts(void **state)
{
	char *env[] = { "SHMFD_AFTER=1", "SHMFD_AFTER=2", "SHMFD_RING=64K", NULL };

	(void)state;
	assert_int_equal(shmfd_config_parse(&config, env, err, sizeof(err)), 0);
	assert_int_equal(config.after, 1);
	assert_int_equal(config.ring_cap, 65536);
}

static void test_good_numbers(void **state)
{
	static const struct {
		const char *env;
		size_t off;
		uint32_t want;
	} t[] = {
		{ "SHMFD_RING=65536", offsetof(struct shmfd_config, ring_cap), 64 << 10 },
		{ "SHMFD_RING=64K", offsetof(struct shmfd_config, ring_cap), 64 << 10 },
		{ "SHMFD_RING=1m", offsetof(struct shmfd_config, ring_cap), 1 << 20 },
		{ "SHMFD_RING=1024k", offsetof(struct shmfd_config, ring_cap), 1 << 20 },
		{ "SHMFD_RING=16M", offsetof(struct shmfd_config, ring_cap), 16 << 20 },
		{ "SHMFD_RING=16777216", offsetof(struct shmfd_config, ring_cap), 16 << 20 },
		{ "SHMFD_SPIN_US=0", offsetof(struct shmfd_config, spin_ns), 0 },
		{ "SHMFD_SPIN_US=7", offsetof(struct shmfd_config, spin_ns), 7000 },
		{ "SHMFD_SPIN_US=1000000", offsetof(struct shmfd_config, spin_ns), 1000000000 },
		{ "SHMFD_AFTER=0", offsetof(struct shmfd_config, after), 0 },
		{ "SHMFD_AFTER=007", offsetof(struct shmfd_config, after), 7 },
		{ "SHMFD_AFTER=1000000", offsetof(struct shmfd_config, after), 1000000 },
		{ "SHMFD_TEST_EAGER=1", offsetof(struct shmfd_config, test_eager), 1 },
		{ "SHMFD_TEST_STUCK=100", offsetof(struct shmfd_config, test_stuck_ms), 100 },
		{ "SHMFD_TEST_RETREAT=4294967295", offsetof(struct shmfd_config, test_retreat),
		  UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < NR(t); i++) {
		if (parse(t[i].env))
			fail_msg("%s: %s", t[i].env, err);
		assert_int_equal(*(uint32_t *)((char *)&config + t[i].off), t[i].want);
	}
	assert_int_equal(parse("SHMFD_TEST_SEED=18446744073709551615"), 0);
	assert_true(config.test_seed == UINT64_MAX);
}

static void test_bad_values_are_named(void **state)
{
	static const char *const bad[] = {
		"SHMFD_RING=0", "SHMFD_RING=1", "SHMFD_RING=32K", "SHMFD_RING=32M",
		"SHMFD_RING=65537", "SHMFD_RING=3M", "SHMFD_RING=-65536", "SHMFD_RING=+65536",
		"SHMFD_RING= 65536", "SHMFD_RING=65536 ", "SHMFD_RING=0x10000", "SHMFD_RING=K",
		"SHMFD_RING=64KB", "SHMFD_RING=64KK", "SHMFD_RING=64.0K", "SHMFD_RING=1G",
		"SHMFD_RING=4295032832", "SHMFD_RING=18446744073709617152",
		"SHMFD_RING=18014398509482048K",
		"SHMFD_SPIN_US=1000001", "SHMFD_SPIN_US=-1", "SHMFD_SPIN_US=50us",
		"SHMFD_SPIN_US=4294967296",
		"SHMFD_AFTER=1000001", "SHMFD_AFTER=four", "SHMFD_AFTER=4 4",
		"SHMFD_AFTER=18446744073709551620",
		"SHMFD_TEST_STUCK=1000001", "SHMFD_TEST_RETREAT=4294967296", "SHMFD_TEST_RETREAT=x",
		"SHMFD_TEST_EAGER=2",
		"SHMFD_TEST_SEED=18446744073709551616", "SHMFD_TEST_SEED=0x1",
		"SHMFD_LOG=1", "SHMFD_LOG=warn", "SHMFD_LOG=INFO", "SHMFD_LOG=info:",
		"SHMFD_LOG=info,/tmp/x", "SHMFD_LOG=information", "SHMFD_LOG=:/tmp/x",
		"SHMFD_RULES=ring", "SHMFD_RULES=tcp:*:22", "SHMFD_RULES=tcp:*:22=",
		"SHMFD_RULES=tcp:*:22=user", "SHMFD_RULES=tcp:*:22=kernels",
		"SHMFD_RULES=tcp:*:22=KERNEL", "SHMFD_RULES=tcp:*=ring", "SHMFD_RULES=tcp:22=ring",
		"SHMFD_RULES=tcp::22=ring", "SHMFD_RULES=tcp:*:=ring", "SHMFD_RULES=tcp:*:0=ring",
		"SHMFD_RULES=tcp:*:65536=ring", "SHMFD_RULES=tcp:*:-1=ring",
		"SHMFD_RULES=tcp:*: 1=ring", "SHMFD_RULES=tcp:localhost:22=ring",
		"SHMFD_RULES=tcp:127.0.0:22=ring", "SHMFD_RULES=tcp:127.0.0.256:22=ring",
		"SHMFD_RULES=tcp:127.0.0.1/8:22=ring", "SHMFD_RULES=tcp:::1:22=ring",
		"SHMFD_RULES=tcp:[::1:22=ring", "SHMFD_RULES=tcp:[]:22=ring",
		"SHMFD_RULES=tcp:[127.0.0.1]:22=ring", "SHMFD_RULES=tcp:[::g]:22=ring",
		"SHMFD_RULES=tcp:[::1]=ring", "SHMFD_RULES=tcp:[::1%lo]:22=ring",
		"SHMFD_RULES=tcp:[1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1]:22=ring",
		"SHMFD_RULES=udp:*:22=ring", "SHMFD_RULES=unix:=ring", "SHMFD_RULES=/run/x=ring",
		"SHMFD_RULES=tcp:*:1=ring;tcp:*:2=rung;tcp:*:3=ring",
		"SHMFD_RULES=tcp:*:1=ring tcp:*:2=ring", "SHMFD_RULES=tcp:*:1=ring,tcp:*:2=ring",
		"SHMFD_RULES==ring", "SHMFD_RULES=TCP:*:1=ring",
	};

	(void)state;
	for (size_t i = 0; i < NR(bad); i++) {
		size_t name_len = strcspn(bad[i], "=");

		if (parse(bad[i]) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_memory_equal(err, bad[i], name_len + 1);
		assert_null(strchr(err, '\n'));
		assert_non_null(strstr(err, ": "));
	}
	/* The wrong one of several rules is shown, and what would be right. */
	parse("SHMFD_RULES=tcp:*:1=ring; tcp:*:2=rung ;tcp:*:3=ring");
	assert_string_equal(err, "SHMFD_RULES=tcp:*:2=rung: should end in =ring or =kernel");
}

static void test_message_is_one_line_and_fits(void **state)
{
	static const char nul[32];
	char *env[] = { "SHMFD_AFTER=1\n2\033[0m\177", NULL };
	char tiny[12], *long_env[] = { NULL, NULL };

	(void)state;
	assert_int_equal(shmfd_config_parse(&config, env, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "SHMFD_AFTER=1?2?[0m?: should be messages from 0 to 1000000");
	memset(tiny, 'z', sizeof(tiny));
	assert_int_equal(shmfd_config_parse(&config, env, tiny, 8), -EINVAL);
	assert_memory_equal(tiny, "SHMFD_A\0zzzz", 12);
	memset(err, 0, sizeof(err));
	assert_int_equal(shmfd_config_parse(&config, env, err, 0), -EINVAL);
	assert_memory_equal(err, nul, sizeof(nul));

	/* However long the value, what would be right is said. */
	long_env[0] = malloc(5000);
	assert_non_null(long_env[0]);
	memset(long_env[0], '9', 5000);
	memcpy(long_env[0], "SHMFD_RING=", 11);
	long_env[0][4999] = '\0';
	assert_int_equal(shmfd_config_parse(&config, long_env, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "...: should be a power of two"));
	free(long_env[0]);
}

static void test_log_and_stats_paths(void **state)
{
	char cwd[4096], want[8200];

	(void)state;
	assert_int_equal(parse("SHMFD_LOG=error"), 0);
	assert_int_equal(config.log_level, 1);
	assert_null(config.log_path);
	assert_int_equal(parse("SHMFD_LOG=info:/tmp/a:b"), 0);
	assert_int_equal(config.log_level, 2);
	assert_string_equal(config.log_path, "/tmp/a:b");
	assert_int_equal(parse("SHMFD_STATS=/tmp/stats file"), 0);
	assert_string_equal(config.stats_path, "/tmp/stats file");

	/* Relative names mean the directory of now, not of the end. */
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(parse("SHMFD_LOG=debug:x.log"), 0);
	assert_int_equal(config.log_level, 3);
	snprintf(want, sizeof(want), "%s/x.log", strcmp(cwd, "/") ? cwd : "");
	assert_string_equal(config.log_path, want);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(parse("SHMFD_STATS=x.stats"), 0);
	assert_string_equal(config.stats_path, "/x.stats");
	assert_int_equal(chdir(cwd), 0);

	snprintf(want, sizeof(want), "SHMFD_STATS=/%05000d", 0);
	assert_int_equal(parse(want), -EINVAL);
	snprintf(want, sizeof(want), "SHMFD_LOG=info:/%05000d", 0);
	assert_int_equal(parse(want), -EINVAL);
}

static void test_values_survive_a_host_that_clears_its_environment(void **state)
{
	char rules[] = "SHMFD_RULES=unix:/run/a=kernel", stats[] = "SHMFD_STATS=/tmp/s";
	char log[] = "SHMFD_LOG=info:/tmp/l";
	char *env[] = { rules, stats, log, NULL };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/a" };

	(void)state;
	assert_int_equal(shmfd_config_parse(&config, env, err, sizeof(err)), 0);
	memset(rules, 0, sizeof(rules));
	memset(stats, 0, sizeof(stats));
	memset(log, 0, sizeof(log));
	assert_string_equal(config.stats_path, "/tmp/s");
	assert_string_equal(config.log_path, "/tmp/l");
	assert_false(shmfd_config_allows(&config, (struct sockaddr *)&un, sizeof(un), NULL, 0));
}

static void test_rules_are_split_and_counted(void **state)
{
	char many[4096] = "SHMFD_RULES=", *end = many + strlen(many);

	(void)state;
	assert_int_equal(parse("SHMFD_RULES= ;; tcp:*:* = ring ;\n unix:/a=b=kernel;"), 0);
	assert_int_equal(config.rule_nr, 2);
	assert_true(config.rule[0].is_tcp && config.rule[0].is_ring && config.rule[0].any_addr);
	assert_int_equal(config.rule[0].port, 0);
	assert_false(config.rule[1].is_tcp || config.rule[1].is_ring);
	assert_int_equal(config.rule[1].pattern_len, 4);
	assert_memory_equal(config.rule[1].pattern, "/a=b", 4);
	assert_int_equal(parse("SHMFD_RULES= ; ;"), 0);
	assert_int_equal(config.rule_nr, 0);

	for (int i = 0; i < SHMFD_RULES_MAX; i++)
		end += sprintf(end, "tcp:*:%d=ring;", i + 1);
	assert_int_equal(parse(many), 0);
	assert_int_equal(config.rule_nr, SHMFD_RULES_MAX);
	strcpy(end, "tcp:*:99=ring");
	assert_int_equal(parse(many), -EINVAL);

	memset(many, ';', sizeof(many));
	memcpy(many, "SHMFD_RULES=", 12);
	many[4095] = '\0';
	assert_int_equal(parse(many), 0);
}

static void test_rules_too_long_are_refused(void **state)
{
	char *value = malloc(20001);

	(void)state;
	assert_non_null(value);
	memset(value, ';', 20000);
	memcpy(value, "SHMFD_RULES=", 12);
	value[20000] = '\0';
	assert_int_equal(parse(value), -EINVAL);
	assert_non_null(strstr(err, "too long"));
	free(value);
}

/* "4:ADDR:PORT", "6:ADDR:PORT", "u:PATH", "u:@NAME", "-" for none */
static socklen_t address(const char *text, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (void *)ss;
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_un *un = (void *)ss;
	const char *port = strrchr(text, ':');
	char host[64];

	memset(ss, 0, sizeof(*ss));
	if (!strcmp(text, "-"))
		return 0;
	if (text[0] == 'u') {
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, text + 2);
		if (!text[2])
			return offsetof(struct sockaddr_un, sun_path);
		if (text[2] != '@')
			return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
					   strlen(text + 2) + 1);
		un->sun_path[0] = '\0';
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(text + 2));
	}
	snprintf(host, sizeof(host), "%.*s", (int)(port - text - 2), text + 2);
	if (text[0] == '4') {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(port + 1));
		assert_int_equal(inet_pton(AF_INET, host, &in->sin_addr), 1);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)atoi(port + 1));
	assert_int_equal(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
	return sizeof(*in6);
}

static void test_rules_match_addresses(void **state)
{
	static const struct {
		const char *rules, *local, *peer;
		bool want;
	} t[] = {
		{ "", "4:127.0.0.1:6379", "4:127.0.0.1:40000", true },
		{ "tcp:*:22=kernel", "4:127.0.0.1:22", "4:127.0.0.1:40000", false },
		{ "tcp:*:22=kernel", "4:127.0.0.1:40000", "4:127.0.0.1:22", false },
		{ "tcp:*:22=kernel", "4:127.0.0.1:40000", "4:127.0.0.1:2222", true },
		{ "tcp:*:22=kernel", "6:::1:22", "-", false },
		{ "tcp:*:*=kernel", "6:::1:1", "6:::1:2", false },
		{ "tcp:*:*=kernel", "u:/run/a", "u:", true },
		{ "tcp:127.0.0.1:*=kernel", "4:127.0.0.2:1", "4:127.0.0.1:2", false },
		{ "tcp:127.0.0.1:*=kernel", "4:127.0.0.2:1", "4:127.0.0.3:2", true },
		{ "tcp:127.0.0.1:80=kernel", "4:127.0.0.1:81", "4:127.0.0.2:80", true },
		{ "tcp:127.0.0.1:80=kernel", "6:::ffff:127.0.0.1:80", "-", false },
		{ "tcp:[::ffff:127.0.0.1]:80=kernel", "4:127.0.0.1:80", "-", false },
		{ "tcp:[::1]:80=kernel", "6:::1:80", "-", false },
		{ "tcp:[::1]:80=kernel", "6:::2:80", "-", true },
		{ "tcp:[::1]:80=kernel", "4:0.0.0.1:80", "-", true },
		{ "tcp:[7f00:1::]:80=kernel", "4:127.0.0.1:80", "-", true },
		{ "tcp:[fe80::1]:*=kernel", "-", "6:fe80::1:9", false },
		/* the first that matches either end */
		{ "tcp:*:80=ring;tcp:*:*=kernel", "4:127.0.0.1:1", "4:127.0.0.1:80", true },
		{ "tcp:*:80=ring;tcp:*:*=kernel", "4:127.0.0.1:1", "4:127.0.0.1:81", false },
		{ "tcp:*:1=kernel;tcp:*:80=ring", "4:127.0.0.1:80", "4:127.0.0.1:1", false },
		{ "unix:/run/a.sock=kernel", "u:/run/a.sock", "u:", false },
		{ "unix:/run/a.sock=kernel", "u:", "u:/run/a.sock", false },
		{ "unix:/run/a.sock=kernel", "u:/run/a.socket", "u:", true },
		{ "unix:/run/a.sock=kernel", "u:/run/a.soc", "u:", true },
		{ "unix:/run/*.sock=kernel", "u:/run/x/y.sock", "u:", false },
		{ "unix:/run/*.sock=kernel", "u:/run/.sock", "u:", false },
		{ "unix:/run/*.sock=kernel", "u:/run/a.sock.sock", "u:", false },
		{ "unix:/run/*.sock=kernel", "u:/run/a.sock2", "u:", true },
		{ "unix:*a*b*c*=kernel", "u:xxaybzcw", "u:", false },
		{ "unix:*a*b*c*=kernel", "u:xxaycw", "u:", true },
		{ "unix:/run/?=kernel", "u:/run/a", "u:", false },
		{ "unix:/run/?=kernel", "u:/run/", "u:", true },
		{ "unix:/run/[a]=kernel", "u:/run/[a]", "u:", false },
		{ "unix:/run/[a]=kernel", "u:/run/a", "u:", true },
		{ "unix:*=kernel", "u:", "u:", false },
		{ "unix:*=kernel", "u:@x", "u:", false },
		{ "unix:*=kernel", "4:127.0.0.1:1", "4:127.0.0.1:2", true },
		{ "unix:@app*=kernel", "u:@app1", "u:", false },
		{ "unix:@app*=kernel", "u:@ap", "u:", true },
		{ "unix:@app*=kernel", "u:app1", "u:", true },
		{ "unix:@*=kernel", "u:@", "u:", false },
		{ "unix:@*=kernel", "u:/run/a", "u:", true },
		{ "unix:/*=kernel", "u:@/x", "u:", true },
		{ "unix:/*=kernel", "-", "-", true },
	};
	struct sockaddr_storage local, peer;
	char env[256];

	(void)state;
	for (size_t i = 0; i < NR(t); i++) {
		socklen_t local_len = address(t[i].local, &local);
		socklen_t peer_len = address(t[i].peer, &peer);

		snprintf(env, sizeof(env), "SHMFD_RULES=%s", t[i].rules);
		if (parse(env))
			fail_msg("%s", err);
		if (shmfd_config_allows(&config, (struct sockaddr *)&local, local_len,
					(struct sockaddr *)&peer, peer_len) != t[i].want)
			fail_msg("%s: %s %s", t[i].rules, t[i].local, t[i].peer);
	}
}

static void test_short_and_long_addresses(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const struct sockaddr *sa = (struct sockaddr *)&un;

	(void)state;
	/* The longest path has no 0 at its end. */
	assert_int_equal(parse("SHMFD_RULES=unix:/aaa*a=kernel"), 0);
	memset(un.sun_path, 'a', sizeof(un.sun_path));
	un.sun_path[0] = '/';
	assert_false(shmfd_config_allows(&config, sa, sizeof(un), NULL, 0));
	assert_true(shmfd_config_allows(&config, sa, 3, NULL, 0));
	assert_true(shmfd_config_allows(&config, sa, 1, NULL, 0));
	assert_true(shmfd_config_allows(&config, NULL, 99, NULL, 99));

	/* An abstract name is all of its bytes, zeros too. */
	assert_int_equal(parse("SHMFD_RULES=unix:@a?b=kernel"), 0);
	memcpy(un.sun_path, "\0a\0b\0", 5);
	assert_false(shmfd_config_allows(&config, sa, 2 + 4, NULL, 0));
	assert_true(shmfd_config_allows(&config, sa, 2 + 5, NULL, 0));

	assert_int_equal(parse("SHMFD_RULES=tcp:*:*=kernel"), 0);
	sa = (struct sockaddr *)&in;
	assert_false(shmfd_config_allows(&config, sa, sizeof(in), NULL, 0));
	assert_true(shmfd_config_allows(&config, sa, sizeof(in) - 1, NULL, 0));
	in.sin_family = AF_NETLINK;
	assert_true(shmfd_config_allows(&config, sa, sizeof(in), NULL, 0));
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_empty_environment_gives_defaults),
		cmocka_unit_test(test_first_of_two_values_counts),
		cmocka_unit_test(test_good_numbers),
		cmocka_unit_test(test_bad_values_are_named),
		cmocka_unit_test(test_message_is_one_line_and_fits),
		cmocka_unit_test(test_log_and_stats_paths),
		cmocka_unit_test(test_values_survive_a_host_that_clears_its_environment),
		cmocka_unit_test(test_rules_are_split_and_counted),
		cmocka_unit_test(test_rules_too_long_are_refused),
		cmocka_unit_test(test_rules_match_addresses),
		cmocka_unit_test(test_short_and_long_addresses),
	};

	return cmocka_run_group_tests(test, NULL, NULL);
}
