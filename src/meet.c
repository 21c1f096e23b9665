/* SPDX-License-Identifier: MIT */

/*
 * How two ends find and prove each other.
 *
 *   accepted end                          connected end
 *   binds and listens on the name   <---  connects to the name (refused: later)
 *                                   <---  HELLO with its SO_COOKIE
 *   asks the kernel who is at the far end; compares cookie and owner
 *   HELLO with its SO_COOKIE        --->  asks and compares as well
 *                                   <---  OFFER with the sealed segment
 *   maps it                               is mapped already
 *
 * The registry is the abstract AF_UNIX namespace: scoped to the network
 * namespace, no files, gone with its owner.  The name is a version and the
 * canonical four-tuple, or the two socket inodes of an AF_UNIX stream, the
 * connected end first.
 *
 * Proof: sock_diag names the socket at the far end of the stream.  Its cookie
 * must be the one in the HELLO and its owner the uid that the kernel reports
 * for the link (SO_PEERCRED), never one out of the message.  So a stale name
 * or an impostor of another user gets nothing, and different users can meet.
 * No descriptor and no memory crosses before.
 *
 * Nobody waits: each step runs inside a data call of the host and leaves when
 * the other side has not done its part.  Tries are spaced by the number of
 * calls, growing, so a peer that is not preloaded costs a handful of tries.
 *
 * Before promotion the bytes that we saw are compared with the kernel's own
 * count (TCP_INFO): code that bypasses us must not be overtaken by a ring.
 *
 * Concurrency: one thread at a time (meet_lock, never waited for).
 */
#define _GNU_SOURCE
#include "meet.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "diag.h"
#include "mend.h"
#include "segment.h"
#include "sys.h"

#define GIVE_UP_OPS	(1u << 17)
#define LOOK_STEP_MAX	64
#define LARGE_RINGS	64u	/* places of the table */
#define OVERFLOW_UID	65534u
#define CLOSE_WAIT	8	/* of tcpi_state: <netinet/tcp.h>, which has another tcp_info */

struct shmfd_config shmfd_config;

enum step { STEP_FIRST = 0, STEP_NAME, STEP_ACCEPT, STEP_HELLO, STEP_OFFER };

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage any;
};

/* Both addresses of a stream, v4-mapped made v4. */
struct ends {
	union address local, peer;
	socklen_t local_len, peer_len;
	uint64_t peer_inode;	/* AF_UNIX */
	uint64_t inode;
};

static void normalise(union address *a, socklen_t *len)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return;
	in.sin_port = a->in6.sin6_port;
	memcpy(&in.sin_addr, &a->in6.sin6_addr.s6_addr[12], 4);
	a->in = in;
	*len = sizeof(in);
}

/* Fills @e.  Returns 0 or the reason to stay in the kernel. */
static enum shmfd_reason find_ends(struct shmfd_record *rec, int fd, struct ends *e)
{
	memset(e, 0, sizeof(*e));
	e->local_len = e->peer_len = sizeof(e->local);
	if (shmfd_sys.getsockname(fd, &e->local.sa, &e->local_len) ||
	    shmfd_sys.getpeername(fd, &e->peer.sa, &e->peer_len))
		return SHMFD_WHY_PEER_GONE;
	if (rec->family == AF_UNIX) {
		struct shmfd_diag d;
		struct stat st;

		if (fstat(fd, &st))
			return SHMFD_WHY_NO_DIAG;
		e->inode = st.st_ino;
		if (shmfd_diag_unix(e->inode, &d, &e->peer_inode))
			return SHMFD_WHY_NO_DIAG;
		/* 0: connected, but not accepted yet */
		return e->peer_inode ? SHMFD_WHY_NONE : SHMFD_WHY_MEETING;
	}
	normalise(&e->local, &e->local_len);
	normalise(&e->peer, &e->peer_len);
	if (e->local.sa.sa_family != e->peer.sa.sa_family)
		return SHMFD_WHY_REMOTE;
	if (e->peer.sa.sa_family == AF_INET) {
		if (ntohl(e->peer.in.sin_addr.s_addr) >> 24 != 127 &&
		    e->peer.in.sin_addr.s_addr != e->local.in.sin_addr.s_addr)
			return SHMFD_WHY_REMOTE;
	} else if (e->peer.sa.sa_family != AF_INET6 ||
		   memcmp(&e->peer.in6.sin6_addr, &e->local.in6.sin6_addr, 16)) {
		return SHMFD_WHY_REMOTE;
	}
	return SHMFD_WHY_NONE;
}

static size_t put_end(char *to, size_t len, const union address *a)
{
	size_t n = 0;

	if (a->sa.sa_family == AF_INET)
		return (size_t)snprintf(to, len, "%08x:%u", ntohl(a->in.sin_addr.s_addr),
					ntohs(a->in.sin_port));
	for (int i = 0; i < 16; i++)
		n += (size_t)snprintf(to + n, len - n, "%02x", a->in6.sin6_addr.s6_addr[i]);
	return n + (size_t)snprintf(to + n, len - n, ":%u", ntohs(a->in6.sin6_port));
}

/* The abstract name of the rendezvous.  Returns the address length. */
static socklen_t make_name(struct shmfd_record *rec, const struct ends *e,
			   struct sockaddr_un *un)
{
	const union address *conn = rec->accepted ? &e->peer : &e->local;
	const union address *acc = rec->accepted ? &e->local : &e->peer;
	char *to = un->sun_path + 1;
	size_t room = sizeof(un->sun_path) - 1, n;

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	n = (size_t)snprintf(to, room, "shmfd/%u/", SHMFD_LAYOUT_VERSION);
	if (rec->family == AF_UNIX) {
		n += (size_t)snprintf(to + n, room - n, "u/%llu-%llu",
			(unsigned long long)(rec->accepted ? e->peer_inode : e->inode),
			(unsigned long long)(rec->accepted ? e->inode : e->peer_inode));
	} else {
		n += (size_t)snprintf(to + n, room - n, "t/");
		n += put_end(to + n, room - n, conn);
		to[n++] = '-';
		n += put_end(to + n, room - n, acc);
	}
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
}

/* ---- checks ------------------------------------------------------------------ */

/*
 * 1: as counted; 0: a call is under way, ask later; -1: bytes moved unseen;
 * -2: the peer has shut down, and its FIN is one of the bytes that came.
 */
static int bytes_agree(struct shmfd_record *rec, int fd)
{
	for (int again = 0; again < 3; again++) {
		struct tcp_info a, b;
		socklen_t len = sizeof(a);
		int inq = 0;
		bool idle = !load_acquire(&rec->rx_inflight) && !load_acquire(&rec->tx_inflight);
		uint64_t rx, tx;

		memset(&a, 0, sizeof(a));
		if (shmfd_sys.getsockopt(fd, IPPROTO_TCP, TCP_INFO, &a, &len) ||
		    shmfd_sys.ioctl(fd, SIOCINQ, &inq))
			return -1;
		len = sizeof(b);
		memset(&b, 0, sizeof(b));
		if (shmfd_sys.getsockopt(fd, IPPROTO_TCP, TCP_INFO, &b, &len))
			return -1;
		if (a.tcpi_bytes_received != b.tcpi_bytes_received)
			continue;
		rx = (uint64_t)b.tcpi_bytes_received - (uint64_t)inq;
		tx = b.tcpi_bytes_sent - b.tcpi_bytes_retrans + b.tcpi_notsent_bytes;
		if (rx == load_relaxed(&rec->kernel_rx_bytes) &&
		    tx == load_relaxed(&rec->kernel_tx_bytes))
			return 1;
		if (idle)
			return b.tcpi_state == CLOSE_WAIT ? -2 : -1;
	}
	return 0;
}

/* The visitor on the link is the process at the far end of the stream. */
static enum shmfd_reason prove(struct shmfd_stream *s, int fd, uint64_t cookie)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct shmfd_diag d;
	struct ends e;
	enum shmfd_reason why = find_ends(rec, fd, &e);
	uint64_t unused;

	if (why)
		return why;
	if (rec->family == AF_UNIX ? shmfd_diag_unix(e.peer_inode, &d, &unused) :
	    shmfd_diag_tcp(&e.peer.sa, &e.local.sa, &d))
		return SHMFD_WHY_NO_DIAG;
	if (shmfd_sys.getsockopt(s->rings->wait.link, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return SHMFD_WHY_PROOF;
	if (d.cookie != cookie || d.uid != cred.uid || cred.uid == (uid_t)-1)
		return SHMFD_WHY_PROOF;
	/* an owner that our user namespace does not map looks like nobody */
	if (cred.uid == OVERFLOW_UID && geteuid() != OVERFLOW_UID && geteuid() != 0)
		return SHMFD_WHY_PROOF;
	s->rings->peer = (uint32_t)cred.pid;
	return SHMFD_WHY_NONE;
}

/* ---- steps -------------------------------------------------------------------- */

/* What a step asks for next. */
struct next {
	enum shmfd_reason fail;	/* give up for this reason */
	bool go_on;		/* the next step may run at once */
	bool retreat;		/* paired, but its epoll registrations forbid it */
};

static void later(struct shmfd_record *rec, uint64_t calls)
{
	store_relaxed(&rec->next_try, load_relaxed(&rec->ops) + calls);
}

/* Nothing came yet: look again after more calls, at last give up. */
static struct next not_yet(struct shmfd_record *rec)
{
	uint64_t calls = 1ull << (rec->tries < 24 ? rec->tries / 4 : 6);

	rec->tries++;
	if (load_relaxed(&rec->ops) > GIVE_UP_OPS)
		return (struct next){ .fail = SHMFD_WHY_NO_PEER };
	later(rec, calls < LOOK_STEP_MAX ? calls : LOOK_STEP_MAX);
	return (struct next){ 0 };
}

uint64_t shmfd_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) ? 0 : cookie;
}

static struct next step_first(struct shmfd_stream *s, struct shmfd_record *rec, int fd)
{
	socklen_t len = sizeof(rec->cookie);
	struct ends e;
	enum shmfd_reason why;
	bool self = shmfd_stream_has_partner(s);

	if (unlikely(load_acquire(&rec->holders) != 1))
		shmfd_table_drop_gone(shmfd_stream_index(s));
	if (self || load_acquire(&rec->holders) != 1) {
		store_relaxed(&rec->reason, self ? SHMFD_WHY_SELF : SHMFD_WHY_SHARED);
		later(rec, 8ull << (rec->tries < 12 ? rec->tries++ : 12));
		return (struct next){ 0 };
	}
	rec->tries = 0;
	why = find_ends(rec, fd, &e);
	if (why == SHMFD_WHY_MEETING)
		return not_yet(rec);
	if (!why && !shmfd_config_allows(&shmfd_config, &e.local.sa, e.local_len,
					 &e.peer.sa, e.peer_len))
		why = SHMFD_WHY_RULE;
	if (!why && shmfd_sys.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &rec->cookie, &len))
		why = SHMFD_WHY_NO_DIAG;
	if (why)
		return (struct next){ .fail = why };
	rec->meet_step = STEP_NAME;
	store_relaxed(&rec->reason, SHMFD_WHY_MEETING);
	store_release(&rec->phase, SHMFD_MEETING);
	return (struct next){ .go_on = true };
}

static int say_hello(struct shmfd_record *rec, int link)
{
	struct shmfd_hello h = {
		.magic = SHMFD_HELLO_MAGIC,
		.version = SHMFD_LAYOUT_VERSION,
		.cookie = rec->cookie,
	};

	return shmfd_sys.send(link, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL) ==
		(ssize_t)sizeof(h) ? 0 : -1;
}

static struct next step_name(struct shmfd_stream *s, struct shmfd_record *rec, int fd)
{
	struct sockaddr_un un;
	struct ends e;
	socklen_t len;
	enum shmfd_reason why = find_ends(rec, fd, &e);
	uint64_t ops, calls;
	int sock;

	if (why == SHMFD_WHY_MEETING)
		return not_yet(rec);
	if (why)
		return (struct next){ .fail = why };
	len = make_name(rec, &e, &un);
	sock = shmfd_sys.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return (struct next){ .fail = SHMFD_WHY_NO_FD };
	if (rec->accepted) {
		if (shmfd_sys.bind(sock, (struct sockaddr *)&un, len) ||
		    shmfd_sys.listen(sock, 1)) {
			shmfd_sys.close(sock);
			return (struct next){ .fail = SHMFD_WHY_PROOF };
		}
		sock = shmfd_hide_fd(sock);
		if (sock < 0)
			return (struct next){ .fail = SHMFD_WHY_NO_FD };
		s->listener = sock;
		rec->meet_step = STEP_ACCEPT;
		rec->tries = 0;
		return (struct next){ .go_on = true };
	}
	if (shmfd_sys.connect(sock, (struct sockaddr *)&un, len)) {
		shmfd_sys.close(sock);
		ops = load_relaxed(&rec->ops);
		if (ops > GIVE_UP_OPS)
			return (struct next){ .fail = SHMFD_WHY_NO_PEER };
		calls = 1ull << (rec->tries < 24 ? 2 * rec->tries++ : 48);
		later(rec, ops + calls < GIVE_UP_OPS ? calls : GIVE_UP_OPS + 1 - ops);
		return (struct next){ 0 };
	}
	sock = shmfd_hide_fd(sock);
	if (sock < 0)
		return (struct next){ .fail = SHMFD_WHY_NO_FD };
	s->rings->wait.link = sock;
	if (say_hello(rec, sock))
		return (struct next){ .fail = SHMFD_WHY_PEER_GONE };
	rec->meet_step = STEP_HELLO;
	rec->tries = 0;
	later(rec, 1);
	return (struct next){ 0 };
}

static struct next step_accept(struct shmfd_stream *s, struct shmfd_record *rec)
{
	struct pollfd p = { .fd = s->listener, .events = POLLIN };
	int link;

	if (shmfd_sys.poll(&p, 1, 0) <= 0)
		return not_yet(rec);
	link = shmfd_sys.accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	if (link < 0)
		return not_yet(rec);
	link = shmfd_hide_fd(link);
	if (link < 0)
		return (struct next){ .fail = SHMFD_WHY_NO_FD };
	s->rings->wait.link = link;
	rec->meet_step = STEP_HELLO;
	rec->tries = 0;
	return (struct next){ .go_on = true };
}

/* A long one-way stream is the faster the larger the ring, but gets to use all of it:
 * the first places of the table have large ones, so that all streams of a process and
 * its forked children together use no more than 256 MiB so. */
static uint32_t ring_cap_of(const struct shmfd_stream *s)
{
	if (shmfd_config.ring_cap)
		return shmfd_config.ring_cap;
	return shmfd_stream_index(s) < LARGE_RINGS ? SHMFD_RING_LARGE : SHMFD_RING_SMALL;
}

/* The connected end makes the segment and hands it over. */
static struct next offer(struct shmfd_stream *s, int fd)
{
	struct shmfd_offer o = {
		.magic = SHMFD_OFFER_MAGIC,
		.ring_cap = ring_cap_of(s),
	};
	struct iovec iov = { .iov_base = &o, .iov_len = sizeof(o) };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &c, .msg_controllen = sizeof(c.room),
	};
	struct shmfd_segment *seg;
	ssize_t n;
	int memfd;

	seg = shmfd_segment_create(o.ring_cap, &memfd);
	if (!seg && !shmfd_config.ring_cap && o.ring_cap > SHMFD_RING_SMALL) {
		o.ring_cap = SHMFD_RING_SMALL;
		seg = shmfd_segment_create(o.ring_cap, &memfd);
	}
	if (!seg)
		return (struct next){ .fail = memfd == -EMFILE || memfd == -ENFILE ?
				      SHMFD_WHY_NO_FD : SHMFD_WHY_NO_MEMORY };
	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	c.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&c.h), &memfd, sizeof(int));
	n = shmfd_sys.sendmsg(s->rings->wait.link, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	shmfd_sys.close(memfd);
	if (n != (ssize_t)sizeof(o)) {
		shmfd_segment_unmap(seg, o.ring_cap);
		return (struct next){ .fail = SHMFD_WHY_PEER_GONE };
	}
	shmfd_stream_sync_options(s, fd);
	return (struct next){ .retreat = !shmfd_stream_pair(s, seg, o.ring_cap) };
}

static struct next step_hello(struct shmfd_stream *s, struct shmfd_record *rec, int fd)
{
	struct shmfd_hello h;
	enum shmfd_reason why;
	ssize_t n;
	int agree = 1;

	if (rec->family != AF_UNIX)
		agree = bytes_agree(rec, fd);
	if (agree < 0)
		return (struct next){ .fail = agree == -2 ? SHMFD_WHY_SHUTDOWN :
							    SHMFD_WHY_UNSEEN };
	if (!agree)
		return not_yet(rec);
	n = shmfd_sys.recv(s->rings->wait.link, &h, sizeof(h), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return not_yet(rec);
	if (n <= 0)
		return (struct next){ .fail = SHMFD_WHY_PEER_LEFT };
	if (n != (ssize_t)sizeof(h) || h.magic != SHMFD_HELLO_MAGIC ||
	    h.version != SHMFD_LAYOUT_VERSION)
		return (struct next){ .fail = SHMFD_WHY_PROOF };
	why = prove(s, fd, h.cookie);
	if (why)
		return (struct next){ .fail = why };
	if (!rec->accepted)
		return offer(s, fd);
	if (say_hello(rec, s->rings->wait.link))
		return (struct next){ .fail = SHMFD_WHY_PEER_GONE };
	shmfd_unhide_close(s->listener);
	s->listener = -1;
	rec->meet_step = STEP_OFFER;
	rec->tries = 0;
	later(rec, 1);
	return (struct next){ 0 };
}

/* The first passed descriptor of a message, others closed; -1: none. */
static int take_fd(struct msghdr *m)
{
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i + sizeof(int) <= bytes; i += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i, sizeof(fd));
			if (first < 0)
				first = fd;
			else
				shmfd_sys.close(fd);
		}
	}
	return first;
}

static struct next step_offer(struct shmfd_stream *s, struct shmfd_record *rec, int fd)
{
	struct shmfd_offer o;
	struct iovec iov = { .iov_base = &o, .iov_len = sizeof(o) };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c;
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &c, .msg_controllen = sizeof(c.room),
	};
	struct shmfd_segment *seg = NULL;
	ssize_t n = shmfd_sys.recvmsg(s->rings->wait.link, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int memfd, err = -EPROTO;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return not_yet(rec);
	if (n <= 0)
		return (struct next){ .fail = SHMFD_WHY_PEER_LEFT };
	memfd = take_fd(&m);
	if (n == (ssize_t)sizeof(o) && o.magic == SHMFD_OFFER_MAGIC && memfd >= 0)
		seg = shmfd_segment_map(memfd, o.ring_cap, &err);
	if (memfd >= 0)
		shmfd_sys.close(memfd);
	if (!seg)
		return (struct next){ .fail = err == -ENOMEM ? SHMFD_WHY_NO_MEMORY :
				      m.msg_flags & MSG_CTRUNC ? SHMFD_WHY_NO_FD :
				      SHMFD_WHY_PROTOCOL };
	shmfd_stream_sync_options(s, fd);
	return (struct next){ .retreat = !shmfd_stream_pair(s, seg, o.ring_cap) };
}

void shmfd_meet_drop(struct shmfd_stream *s)
{
	shmfd_unhide_close(s->listener);
	s->listener = -1;
	if (!s->seg) {
		shmfd_unhide_close(s->rings->wait.link);
		s->rings->wait.link = 0;
	}
}

static struct next run_step(struct shmfd_stream *s, struct shmfd_record *rec, int fd)
{
	switch (rec->meet_step) {
	case STEP_FIRST:
		return step_first(s, rec, fd);
	case STEP_NAME:
		return step_name(s, rec, fd);
	case STEP_ACCEPT:
		return step_accept(s, rec);
	case STEP_HELLO:
		return step_hello(s, rec, fd);
	default:
		return step_offer(s, rec, fd);
	}
}

void shmfd_meet_step(struct shmfd_stream *s, int fd)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	struct next next = { .go_on = true };
	int saved = errno;
	uint64_t mask;

	/* in a handler: the wait below it would not look at rings (lock.h) */
	if (load_relaxed(&s->closing) || !shmfd_stream_is_user(s) ||
	    load_relaxed(&rec->meet_lock) || shmfd_holds.passing) {
		errno = saved;
		return;
	}
	mask = shmfd_signals_block();
	if (shmfd_lock(rec, &rec->meet_lock))
		goto out;
	while (next.go_on && load_relaxed(&rec->phase) < SHMFD_PAIRED)
		next = run_step(s, rec, fd);
	if (next.fail) {
		store_relaxed(&rec->reason, next.fail);
		store_release(&rec->phase, SHMFD_LEFT);
		shmfd_meet_drop(s);
		shmfd_log(2, "fd %d stays with the kernel: %s", fd,
			  shmfd_report_reason(next.fail));
	}
	shmfd_unlock(rec, &rec->meet_lock);
	if (next.retreat)
		shmfd_stream_retreat(s, load_acquire(&rec->holders) != 1 ?
				     SHMFD_WHY_SHARED : SHMFD_WHY_EPOLL);
out:
	shmfd_signals_restore(mask);
	errno = saved;
}

void shmfd_meet_all(void)
{
	/* name, hello, hello and offer, taking it: an end may have to wait for each */
	for (uint32_t i = 0; i < 4 * 256; i++) {
		struct shmfd_stream *s = load_relaxed(&shmfd_streams[i % 256].numbers) ?
			shmfd_stream_get_at(i % 256) : NULL;

		if (!s)
			continue;
		if (load_acquire(&shmfd_stream_record(s)->phase) < SHMFD_PAIRED)
			shmfd_meet_step(s, load_relaxed(&s->fd));
		shmfd_stream_offer(s);
		shmfd_stream_put(s);
	}
}
