/* SPDX-License-Identifier: MIT */

/*
 * meet.c when something is refused, or when somebody else answers on the
 * rendezvous: the stream stays in the kernel, says why, works, and nothing is
 * left open.  The system is refused through the seam of sys.h.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "meet.h"
#include "pair.h"
#include "segment.h"
#include "sys.h"

static struct shmfd_sys real;
static int fail_errno;
static int families[] = { AF_INET, AF_INET6, AF_UNIX };

/* ---- refusals --------------------------------------------------------------- */

static int refuse(void)
{
	errno = fail_errno;
	return -1;
}

static int no_memfd(const char *name, unsigned int flags)
{
	(void)name;
	(void)flags;
	return refuse();
}

static int no_ftruncate(int fd, off_t len)
{
	(void)fd;
	(void)len;
	return refuse();
}

static int no_seals(int fd, int cmd, long arg)
{
	return cmd == F_ADD_SEALS ? refuse() : real.fcntl(fd, cmd, arg);
}

static int no_hidden_fd(int fd, int cmd, long arg)
{
	return cmd == F_DUPFD_CLOEXEC ? refuse() : real.fcntl(fd, cmd, arg);
}

static int no_netlink(int family, int type, int protocol)
{
	return family == AF_NETLINK ? refuse() : real.socket(family, type, protocol);
}

static int no_seqpacket(int family, int type, int protocol)
{
	return family == AF_UNIX ? refuse() : real.socket(family, type, protocol);
}

static ssize_t no_netlink_send(int fd, const void *buf, size_t len, int flags)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa);

	if (!getsockname(fd, (struct sockaddr *)&sa, &sa_len) && sa.ss_family == AF_NETLINK)
		return refuse();
	return real.send(fd, buf, len, flags);
}

static int no_cookie(int fd, int level, int name, void *val, socklen_t *len)
{
	return level == SOL_SOCKET && name == SO_COOKIE ? refuse() :
		real.getsockopt(fd, level, name, val, len);
}

static int no_tcp_info(int fd, int level, int name, void *val, socklen_t *len)
{
	return level == IPPROTO_TCP && name == TCP_INFO ? refuse() :
		real.getsockopt(fd, level, name, val, len);
}

static int other_uid(int fd, int level, int name, void *val, socklen_t *len)
{
	int ret = real.getsockopt(fd, level, name, val, len);

	if (level == SOL_SOCKET && name == SO_PEERCRED)
		((struct ucred *)val)->uid++;
	return ret;
}

static int no_peercred(int fd, int level, int name, void *val, socklen_t *len)
{
	return level == SOL_SOCKET && name == SO_PEERCRED ? refuse() :
		real.getsockopt(fd, level, name, val, len);
}

static int other_cookie(int fd, int level, int name, void *val, socklen_t *len)
{
	int ret = real.getsockopt(fd, level, name, val, len);

	if (level == SOL_SOCKET && name == SO_COOKIE)
		*(uint64_t *)val ^= 1;
	return ret;
}

static int no_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	(void)fd;
	(void)sa;
	(void)len;
	return refuse();
}

static ssize_t no_sendmsg(int fd, const struct msghdr *m, int flags)
{
	(void)fd;
	(void)m;
	(void)flags;
	return refuse();
}

#define REASON(w)	(1u << (w))

/*
 * of them for a reason of @why, the other for that or because its peer left or
 * never came.
 */
static void stays(int family, unsigned int why)
{
	const unsigned int other = why | REASON(SHMFD_WHY_PEER_LEFT) |
		REASON(SHMFD_WHY_PEER_GONE) | REASON(SHMFD_WHY_MEETING);
	int before = pair_count_fds(), fd[2];
	unsigned int a, b;

	pair_adopt(family, fd);
	pair_chat(fd, 100);
	a = REASON(pair_reason(fd[0]));
	b = REASON(pair_reason(fd[1]));
	if (!((a | b) & why) || (a & ~other) || (b & ~other))
		fail_msg("family %d: %s, %s", family, shmfd_report_reason(pair_reason(fd[0])),
			 shmfd_report_reason(pair_reason(fd[1])));
	assert_false(pair_is_ring(fd[0]));
	assert_false(pair_is_ring(fd[1]));
	assert_int_equal(load_relaxed(&pair_record(fd[0])->ring_tx_bytes), 0);
	assert_int_equal(load_relaxed(&pair_record(fd[1])->ring_tx_bytes), 0);
	pair_close(fd);
	assert_int_equal(pair_count_fds(), before);
}

/* In all families; then, with the system as it was, the next stream meets. */
static void all_stay(unsigned int why)
{
	for (size_t i = 0; i < NR(families); i++)
		stays(families[i], why);
	shmfd_sys = real;
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2];

		pair_meet(families[i], fd);
		pair_close(fd);
	}
}

static void test_no_memory_for_a_segment(void **state)
{
	static const int errnos[] = { EPERM, ENOSYS, ENOMEM };

	(void)state;
	for (size_t i = 0; i < NR(errnos); i++) {
		fail_errno = errnos[i];
		shmfd_sys.memfd_create = no_memfd;
		all_stay(REASON(SHMFD_WHY_NO_MEMORY));
		shmfd_sys.ftruncate = no_ftruncate;
		all_stay(REASON(SHMFD_WHY_NO_MEMORY));
		shmfd_sys.fcntl = no_seals;
		all_stay(REASON(SHMFD_WHY_NO_MEMORY));
	}
}

static void test_no_descriptor_left(void **state)
{
	static const int errnos[] = { EMFILE, ENFILE };

	(void)state;
	for (size_t i = 0; i < NR(errnos); i++) {
		fail_errno = errnos[i];
		shmfd_sys.memfd_create = no_memfd;
		all_stay(REASON(SHMFD_WHY_NO_FD));
		shmfd_sys.socket = no_seqpacket;
		all_stay(REASON(SHMFD_WHY_NO_FD));
		shmfd_sys.fcntl = no_hidden_fd;
		all_stay(REASON(SHMFD_WHY_NO_FD));
	}
}

static void test_kernel_that_does_not_name_the_peer(void **state)
{
	(void)state;
	fail_errno = EPROTONOSUPPORT;
	shmfd_sys.socket = no_netlink;
	all_stay(REASON(SHMFD_WHY_NO_DIAG));
	fail_errno = EPERM;
	shmfd_sys.send = no_netlink_send;
	all_stay(REASON(SHMFD_WHY_NO_DIAG));
	shmfd_sys.getsockopt = no_cookie;
	all_stay(REASON(SHMFD_WHY_NO_DIAG));
}

static void test_peer_that_is_not_proven(void **state)
{
	(void)state;
	fail_errno = EPERM;
	shmfd_sys.getsockopt = other_uid;
	all_stay(REASON(SHMFD_WHY_PROOF));
	shmfd_sys.getsockopt = no_peercred;
	all_stay(REASON(SHMFD_WHY_PROOF));
	shmfd_sys.getsockopt = other_cookie;
	all_stay(REASON(SHMFD_WHY_PROOF));
	fail_errno = EADDRINUSE;
	shmfd_sys.bind = no_bind;
	all_stay(REASON(SHMFD_WHY_PROOF));
}

static void test_segment_that_cannot_be_handed_over(void **state)
{
	(void)state;
	fail_errno = ETOOMANYREFS;
	shmfd_sys.sendmsg = no_sendmsg;
	all_stay(REASON(SHMFD_WHY_PEER_GONE));
}

static void test_no_tcp_info_no_rings(void **state)
{
	(void)state;
	fail_errno = ENOPROTOOPT;
	shmfd_sys.getsockopt = no_tcp_info;
	stays(AF_INET, REASON(SHMFD_WHY_UNSEEN));
	stays(AF_INET6, REASON(SHMFD_WHY_UNSEEN));
	shmfd_sys = real;
}

/* ---- other reasons to stay ----------------------------------------------------- */

static void test_bytes_that_moved_unseen_pin_the_stream(void **state)
{
	char c = 'x';

	(void)state;
	for (int end = 0; end < 2; end++) {
		int fd[2];

		pair_adopt(AF_INET, fd);
		assert_int_equal(send(fd[end], &c, 1, 0), 1);
		assert_int_equal(recv(fd[!end], &c, 1, 0), 1);
		pair_chat(fd, 100);
		assert_false(pair_is_ring(fd[0]) || pair_is_ring(fd[1]));
		assert_true(pair_reason(fd[0]) == SHMFD_WHY_UNSEEN ||
			    pair_reason(fd[1]) == SHMFD_WHY_UNSEEN);
		pair_close(fd);
	}
}

/* The kernel counts a FIN among the bytes: that is no bypass. */
static void test_peer_that_shuts_down_before_they_met_is_said_to_have(void **state)
{
	int seen = 0;
	char c = 'x';

	(void)state;
	for (int i = 0; i < 12; i++) {
		int fd[2], end = i % 2, rounds = i / 2;
		enum shmfd_reason why;

		pair_adopt(AF_INET, fd);
		pair_chat(fd, rounds);
		assert_int_equal(pair_shutdown(fd[end], SHUT_WR), 0);
		assert_int_equal(pair_recv(fd[!end], &c, 1, 0), 0);
		for (int k = 0; k < 20; k++) {
			assert_int_equal(pair_send(fd[!end], &c, 1, 0), 1);
			assert_int_equal(pair_recv(fd[end], &c, 1, 0), 1);
		}
		why = pair_reason(fd[!end]);
		if (why == SHMFD_WHY_UNSEEN)
			fail_msg("end %d, %d rounds: bytes moved unseen", !end, rounds);
		seen += why == SHMFD_WHY_SHUTDOWN;
		pair_close(fd);
	}
	assert_true(seen > 0);
}

static void test_rule_keeps_streams_in_the_kernel(void **state)
{
	char rules[] = "SHMFD_RULES=tcp:*:*=kernel;unix:*=kernel", after[] = "SHMFD_AFTER=0";
	char *env[] = { rules, after, NULL }, err[200];

	(void)state;
	assert_int_equal(shmfd_config_parse(&shmfd_config, env, err, sizeof(err)), 0);
	for (size_t i = 0; i < NR(families); i++)
		stays(families[i], REASON(SHMFD_WHY_RULE));
	pair_init();
}

static void test_threshold_is_counted_in_messages_each_way(void **state)
{
	int fd[2];

	(void)state;
	shmfd_config.after = 4;
	pair_adopt(AF_INET, fd);
	pair_chat(fd, 3);
	assert_int_equal(pair_reason(fd[0]), SHMFD_WHY_BELOW);
	assert_int_equal(load_relaxed(&pair_record(fd[0])->phase), SHMFD_COUNTING);
	pair_chat(fd, 50);
	assert_true(pair_is_ring(fd[0]) && pair_is_ring(fd[1]));
	pair_close(fd);
	pair_init();
}

static void test_peer_without_the_library_is_given_up(void **state)
{
	(void)state;
	for (int end = 0; end < 2; end++) {
		int before = pair_count_fds(), fd[2];

		pair_open(AF_INET, fd);
		shmfd_stream_adopt(fd[end], AF_INET, end, false);
		pair_chat(fd, 200);
		assert_int_equal(pair_reason(fd[end]), SHMFD_WHY_MEETING);
		/* as after very many messages */
		store_relaxed(&pair_record(fd[end])->ops, 1 << 20);
		pair_chat(fd, 2);
		assert_int_equal(pair_reason(fd[end]), SHMFD_WHY_NO_PEER);
		assert_int_equal(load_relaxed(&pair_record(fd[end])->phase), SHMFD_LEFT);
		assert_int_equal(pair_count_fds(), before + 2);
		pair_chat(fd, 2);
		pair_close_one(fd[end]);
		close(fd[!end]);
	}
}

/* ---- impostors ------------------------------------------------------------------- */

static struct sockaddr_un name;		/* of the rendezvous, as last bound or tried */
static socklen_t name_len;

static int note_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	memcpy(&name, sa, name_len = len);
	return real.bind(fd, sa, len);
}

static int note_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (sa->sa_family == AF_UNIX)
		memcpy(&name, sa, name_len = len);
	return real.connect(fd, sa, len);
}

static uint64_t cookie(int fd)
{
	uint64_t val = 0;
	socklen_t len = sizeof(val);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &val, &len), 0);
	return val;
}

static int seqpacket(void)
{
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* An accepted end that listens on its name; the connected end knows nothing. */
static int visit(int family, int fd[2])
{
	int visitor = seqpacket();

	shmfd_sys.bind = note_bind;
	pair_open(family, fd);
	shmfd_stream_adopt(fd[1], family, true, false);
	pair_chat(fd, 5);
	assert_int_equal(pair_reason(fd[1]), SHMFD_WHY_MEETING);
	assert_true(pair_stream(fd[1])->listener >= 0);
	assert_int_equal(connect(visitor, (struct sockaddr *)&name, name_len), 0);
	return visitor;
}

static void leave(int fd[2], int visitor, int before)
{
	close(visitor);
	pair_chat(fd, 10);
	pair_close_one(fd[1]);
	close(fd[0]);
	shmfd_sys = real;
	assert_int_equal(pair_count_fds(), before);
}

static void test_visitor_with_a_wrong_hello_gets_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < 7 * NR(families); i++) {
		struct shmfd_hello h = { .magic = SHMFD_HELLO_MAGIC,
					 .version = SHMFD_LAYOUT_VERSION };
		int before = pair_count_fds(), fd[2], visitor = visit(families[i % 3], fd);
		size_t len = sizeof(h);
		char more[64] = "";

		h.cookie = cookie(fd[0]);
		switch (i / 3) {
		case 0:
			h.cookie++;
			break;
		case 1:	/* its own */
			h.cookie = cookie(visitor);
			break;
		case 2:	/* back at its owner */
			h.cookie = cookie(fd[1]);
			break;
		case 3:
			h.magic ^= 1;
			break;
		case 4:
			h.version++;
			break;
		case 5:
			len = 8;
			break;
		case 6:
			h.cookie = 0;
		}
		memcpy(more, &h, sizeof(h));
		assert_int_equal(send(visitor, more, len, MSG_NOSIGNAL), len);
		pair_chat(fd, 10);
		assert_int_equal(pair_reason(fd[1]), SHMFD_WHY_PROOF);
		assert_int_equal(load_relaxed(&pair_record(fd[1])->phase), SHMFD_LEFT);
		/* end-of-file: not even a hello came back */
		assert_true(recv(visitor, more, sizeof(more), 0) <= 0);
		leave(fd, visitor, before);
	}
}

static void test_visitor_that_goes_away_is_a_peer_that_left(void **state)
{
	int before = pair_count_fds(), fd[2], visitor = visit(AF_INET, fd);

	(void)state;
	shutdown(visitor, SHUT_RDWR);
	pair_chat(fd, 10);
	assert_int_equal(pair_reason(fd[1]), SHMFD_WHY_PEER_LEFT);
	leave(fd, visitor, before);
}

static void test_visitor_that_says_nothing_is_not_waited_for(void **state)
{
	int before = pair_count_fds(), fd[2], visitor = visit(AF_INET, fd);

	(void)state;
	pair_chat(fd, 300);
	assert_int_equal(pair_reason(fd[1]), SHMFD_WHY_MEETING);
	leave(fd, visitor, before);
}

/* A memfd as an offer may carry it. */
static int offered_memfd(uint32_t cap, int seals)
{
	struct { uint64_t magic; uint32_t version, cap; } head = {
		SHMFD_SEGMENT_MAGIC, SHMFD_LAYOUT_VERSION, cap };
	int fd = memfd_create("unit", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
	assert_int_equal(ftruncate(fd, (off_t)shmfd_segment_bytes(cap)), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void send_offer(int to, const struct shmfd_offer *o, size_t len, const int *fds, size_t nr)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)o, .iov_len = len };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} c;
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	memset(&c, 0, sizeof(c));
	if (nr) {
		m.msg_control = &c;
		m.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(nr * sizeof(int));
		memcpy(CMSG_DATA(&c.h), fds, nr * sizeof(int));
	}
	assert_int_equal(sendmsg(to, &m, MSG_NOSIGNAL), len);
}

/* The visitor is the true peer as far as the kernel can tell, and malicious. */
static void test_proven_peer_with_a_bad_offer_gets_no_rings(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct shmfd_hello h = { .magic = SHMFD_HELLO_MAGIC,
					 .version = SHMFD_LAYOUT_VERSION };
		struct shmfd_offer o = { .magic = SHMFD_OFFER_MAGIC, .ring_cap = 65536 };
		int before = pair_count_fds(), fd[2], visitor = visit(AF_INET, fd);
		int memfd[2], seals = F_SEAL_GROW | F_SEAL_SHRINK;
		size_t len = sizeof(o), nr = 1;

		h.cookie = cookie(fd[0]);
		assert_int_equal(send(visitor, &h, sizeof(h), 0), sizeof(h));
		pair_chat(fd, 5);
		assert_int_equal(recv(visitor, &h, sizeof(h), 0), sizeof(h));
		assert_int_equal(h.cookie, cookie(fd[1]));
		switch (i) {
		case 0:
			nr = 0;
			break;
		case 1:
			o.magic++;
			break;
		case 2:
			o.ring_cap = 3 * 65536;
			break;
		case 3:
			o.ring_cap = 131072;
			break;
		case 4:
			len = 4;
			break;
		case 5:
			seals = F_SEAL_GROW;
			break;
		case 6:
			seals = 0;
			break;
		case 7:	/* a second descriptor must not stay open either */
			o.ring_cap = 0;
			nr = 2;
		}
		memfd[0] = memfd[1] = offered_memfd(65536, seals);
		send_offer(visitor, &o, len, memfd, nr);
		close(memfd[0]);
		pair_chat(fd, 10);
		assert_true(pair_reason(fd[1]) == SHMFD_WHY_PROTOCOL ||
			    (nr == 2 && pair_reason(fd[1]) == SHMFD_WHY_NO_FD));
		assert_false(shmfd_stream_has_ring(pair_stream(fd[1])));
		leave(fd, visitor, before);
	}
}

/* The name is taken before the accepted end binds it. */
static void test_impostor_that_listens_gets_no_segment(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * NR(families); i++) {
		struct shmfd_hello h = { .magic = SHMFD_HELLO_MAGIC,
					 .version = SHMFD_LAYOUT_VERSION };
		int before = pair_count_fds(), fd[2], listener = seqpacket(), link;
		char buf[64];

		pair_open(families[i % 3], fd);
		shmfd_sys.connect = note_connect;
		shmfd_stream_adopt(fd[0], families[i % 3], false, false);
		pair_chat(fd, 3);
		assert_int_equal(pair_reason(fd[0]), SHMFD_WHY_MEETING);
		assert_int_equal(bind(listener, (struct sockaddr *)&name, name_len), 0);
		assert_int_equal(listen(listener, 1), 0);
		shmfd_stream_adopt(fd[1], families[i % 3], true, false);
		pair_chat(fd, 100);
		assert_int_equal(pair_reason(fd[1]), SHMFD_WHY_PROOF);
		link = accept(listener, NULL, NULL);
		assert_true(link >= 0);
		assert_int_equal(recv(link, buf, sizeof(buf), 0), sizeof(h));
		memcpy(&h, buf, sizeof(h));
		assert_int_equal(h.magic, SHMFD_HELLO_MAGIC);
		/* it says the same back, or a number of its own */
		if (i / 3)
			h.cookie = cookie(link);
		assert_int_equal(send(link, &h, sizeof(h), MSG_NOSIGNAL), sizeof(h));
		pair_chat(fd, 100);
		assert_int_equal(pair_reason(fd[0]), SHMFD_WHY_PROOF);
		assert_true(recv(link, buf, sizeof(buf), 0) <= 0);
		close(link);
		close(listener);
		pair_close(fd);
		shmfd_sys = real;
		assert_int_equal(pair_count_fds(), before);
	}
}

static int setup(void **state)
{
	int fd[2];

	(void)state;
	real = shmfd_sys;
	pair_init();
	/* the table is made once: not a descriptor of any one test */
	pair_adopt(AF_INET, fd);
	pair_close(fd);
	return 0;
}

/* A test that failed leaves the system as it was for the next one. */
static int restore(void **state)
{
	(void)state;
	shmfd_sys = real;
	pair_init();
	return 0;
}

#define T(f)	cmocka_unit_test_teardown(f, restore)

int main(void)
{
	static const struct CMUnitTest test[] = {
		T(test_no_memory_for_a_segment),
		T(test_no_descriptor_left),
		T(test_kernel_that_does_not_name_the_peer),
		T(test_peer_that_is_not_proven),
		T(test_segment_that_cannot_be_handed_over),
		T(test_no_tcp_info_no_rings),
		T(test_bytes_that_moved_unseen_pin_the_stream),
		T(test_peer_that_shuts_down_before_they_met_is_said_to_have),
		T(test_rule_keeps_streams_in_the_kernel),
		T(test_threshold_is_counted_in_messages_each_way),
		T(test_peer_without_the_library_is_given_up),
		T(test_visitor_with_a_wrong_hello_gets_nothing),
		T(test_visitor_that_goes_away_is_a_peer_that_left),
		T(test_visitor_that_says_nothing_is_not_waited_for),
		T(test_proven_peer_with_a_bad_offer_gets_no_rings),
		T(test_impostor_that_listens_gets_no_segment),
	};

	alarm(UNIT_SECONDS);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(test, setup, NULL);
}
