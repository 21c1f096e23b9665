/* SPDX-License-Identifier: MIT */
/*
 * Description: options of TCP and of the socket that are set and asked on a stream in
 * use: each keeps its value, the stream works on; keep-alive probes do no harm;
 * TCP_INFO says the state.
 */
#include "duo.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

struct option {
	const char *name;
	int level;
	int option;
	int value; /* to set; -1: only ask */
};

#define TCP_OPTION(name, value)	   {#name, IPPROTO_TCP, name, value}
#define SOCKET_OPTION(name, value) {#name, SOL_SOCKET, name, value}

static const struct option options[] = {
	TCP_OPTION(TCP_NODELAY, 0),
	TCP_OPTION(TCP_NODELAY, 1),
	TCP_OPTION(TCP_CORK, 1),
	TCP_OPTION(TCP_CORK, 0),
	TCP_OPTION(TCP_KEEPIDLE, 1),
	TCP_OPTION(TCP_KEEPINTVL, 1),
	TCP_OPTION(TCP_KEEPCNT, 2),
	TCP_OPTION(TCP_KEEPCNT, 1000),
	TCP_OPTION(TCP_SYNCNT, 3),
	TCP_OPTION(TCP_LINGER2, 5),
	TCP_OPTION(TCP_DEFER_ACCEPT, 1),
	TCP_OPTION(TCP_WINDOW_CLAMP, 100000),
	TCP_OPTION(TCP_QUICKACK, 1),
	TCP_OPTION(TCP_THIN_LINEAR_TIMEOUTS, 1),
	TCP_OPTION(TCP_USER_TIMEOUT, 900),
	TCP_OPTION(TCP_NOTSENT_LOWAT, 100000),
	SOCKET_OPTION(SO_KEEPALIVE, 1),
	SOCKET_OPTION(SO_SNDBUF, 100000),
	SOCKET_OPTION(SO_RCVBUF, 100000),
	SOCKET_OPTION(SO_SNDBUF, 0),
	SOCKET_OPTION(SO_SNDBUF, 200000),
	SOCKET_OPTION(SO_PRIORITY, 3),
	SOCKET_OPTION(SO_BUSY_POLL, 20),
	SOCKET_OPTION(SO_REUSEADDR, 1),
	SOCKET_OPTION(SO_DONTROUTE, 1),
	SOCKET_OPTION(SO_BROADCAST, 1),
	SOCKET_OPTION(SO_SNDLOWAT, 10),
	SOCKET_OPTION(SO_ACCEPTCONN, 1),
	SOCKET_OPTION(SO_INCOMING_CPU, -1),
	{"IP_TOS", IPPROTO_IP, IP_TOS, 16},
	{"IP_TTL", IPPROTO_IP, IP_TTL, 9},
	{"IPV6_V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY, -1},
	{"level 77", 77, 1, 1},
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* Values that belong to the machine or the moment are only asked for. */
static bool is_machines(const struct option *o)
{
	return o->option == SO_INCOMING_CPU && o->level == SOL_SOCKET;
}

static void one(int fd, const struct option *o)
{
	int value = 0;
	socklen_t len = sizeof(value);

	if (o->value >= 0)
		say_result(o->name, setsockopt(fd, o->level, o->option, &o->value, sizeof(value)));
	if (getsockopt(fd, o->level, o->option, &value, &len) < 0)
		say("%s: %s", o->name, duo_errno(errno));
	else if (is_machines(o))
		say("%s: length %u", o->name, len);
	else
		say("%s: %d, length %u", o->name, value, len);
}

static void info(int fd, const char *when)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	memset(&ti, 0, sizeof(ti));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) < 0)
		say("TCP_INFO %s: %s", when, duo_errno(errno));
	else
		say("TCP_INFO %s: state %d, mss %d, length %d", when, ti.tcpi_state,
		    ti.tcpi_snd_mss > 0, len > 0);
	len = 1;
	say_result("  one byte", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) < 0 ? -1 : 0);
}

/* Another protocol on top: none of that name, and what is asked back. */
static void upper(int fd)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	say_result("TCP_ULP bogus", setsockopt(fd, IPPROTO_TCP, TCP_ULP, "bogus", 5));
	say_result("TCP_ULP of nothing", setsockopt(fd, IPPROTO_TCP, TCP_ULP, "", 0));
	say("TCP_ULP back: %d, length %u", getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &len), len);
}

static void run(int fd)
{
	uint64_t cookie[2] = {0, 0};
	socklen_t len = sizeof(cookie[0]);
	char byte;

	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie[0], &len);
	info(fd, "new");
	duo_warmup(fd);
	info(fd, "used");
	for (size_t i = 0; i < OPTIONS; i++)
		one(fd, &options[i]);
	duo_warmup(fd);
	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie[1], &len);
	say("cookie stays %d", cookie[0] == cookie[1] && cookie[0]);
	/* idle for longer than a dead peer would live */
	duo_meet();
	say("quiet for 3.5 s: %s", duo_poll_bits(duo_poll(fd, POLLIN, 3500)));
	duo_meet();
	duo_warmup(fd);
	upper(fd);
	duo_warmup(fd);
	duo_meet();
	if (duo_is_server()) {
		say_result("shutdown", shutdown(fd, SHUT_WR));
		duo_meet();
		say_result("read", read(fd, &byte, 1));
		duo_meet();
	} else {
		say_result("read", read(fd, &byte, 1));
		info(fd, "half closed");
		duo_meet();
		say_result("shutdown", shutdown(fd, SHUT_WR));
		duo_meet();
	}
}

DUO_PROGRAM(.description = "options of a stream in use", .traits = DUO_TCP, .server = run,
	    .client = run)
