/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_CONFIG_H
#define SHMFD_CONFIG_H

/*
 * The environment and the rules.  Parsed once, before any other thread, from a
 * given environment; copies what it keeps (hosts write over their environment);
 * allocates nothing; never changes the environment.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define SHMFD_RULES_MAX	64

/* One rule; the pattern lies in the copy of SHMFD_RULES (not 0-terminated). */
struct shmfd_rule {
	uint8_t is_tcp;		/* else unix */
	uint8_t is_ring;	/* action: ring, else kernel */
	uint8_t any_addr;	/* tcp: "*" */
	uint8_t family;		/* tcp: AF_INET or AF_INET6 of addr */
	uint8_t addr[16];	/* tcp: network order; v4 in the first 4 bytes */
	uint16_t port;		/* tcp: host order, 0: any */
	const char *pattern;	/* unix: path with * and ?; "@" first: abstract;
				 * "*" alone: every unix stream */
	uint32_t pattern_len;
};

/* Points into itself: never copy it. */
struct shmfd_config {
	uint32_t ring_cap;	/* SHMFD_RING, bytes, power of two; 0: not set (meet.c) */
	uint32_t spin_ns;	/* SHMFD_SPIN_US * 1000 */
	uint32_t after;		/* SHMFD_AFTER, N: 2N data calls of both directions */
	int log_level;		/* SHMFD_LOG: 0 silent, 1 error, 2 info, 3 debug */
	const char *log_path;	/* NULL: stderr */
	const char *stats_path;	/* SHMFD_STATS, NULL: none */
	uint32_t test_retreat;	/* SHMFD_TEST_RETREAT: one call in N, 0 never */
	uint64_t test_seed;	/* SHMFD_TEST_SEED */
	uint32_t test_eager;	/* SHMFD_TEST_EAGER: see shmfd_meet_all; 0 or 1 */
	uint32_t test_stuck_ms;	/* SHMFD_TEST_STUCK: see stuck.c; 0: as it is */
	uint32_t rule_nr;
	struct shmfd_rule rule[SHMFD_RULES_MAX];
	uint32_t text_len;	/* bytes used of text */
	char text[16384];	/* rules and paths, copied */
};

#define SHMFD_RING_LARGE	(2u << 20)
#define SHMFD_RING_SMALL	(256u << 10)
#define SHMFD_SPIN_US_DEFAULT	50u
#define SHMFD_SPIN_US_MAX	1000000u
#define SHMFD_AFTER_DEFAULT	4u
#define SHMFD_AFTER_MAX		1000000u

/*
 * Reads the SHMFD_* variables out of @env (a NULL-terminated array of
 * "NAME=value") into @ret_config, which is completely set on success and
 * worth nothing otherwise.  Relative file names are made absolute.
 * An unset or empty variable means its default.  An unknown SHMFD_ variable is
 * ignored (a newer tool may have set it).
 * Returns 0, or -EINVAL with one line (no newline) in @err that names the
 * variable, its value and what would be right.
 * Concurrency: none needed, called once.  Source: none, our choice.
 */
int shmfd_config_parse(struct shmfd_config *ret_config, char *const *env,
		       char *err, size_t err_len);

/*
 * True if the rules let the stream between these two addresses go by ring:
 * the first rule that matches either address decides; no rule: true.
 * v4-mapped IPv6 addresses match as IPv4.  A missing or short address matches
 * no address; "*" as a unix pattern matches unnamed ends too.
 * Concurrency: any, in signal handlers too.  Source: none, our choice.
 */
bool shmfd_config_allows(const struct shmfd_config *c,
			 const struct sockaddr *local, socklen_t local_len,
			 const struct sockaddr *peer, socklen_t peer_len);

#endif
