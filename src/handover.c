/* SPDX-License-Identifier: MIT */

/*
 * Hand-over: code that we do not see reads the socket next (exec, SCM_RIGHTS,
 * stdio).  What is unread in the ring has to be in the kernel by then.
 *
 *   the peer lives   it sends those bytes again (RESEND, stream.h), at its next
 *                    call or before its next sleep
 *   the peer closed  nobody can send on that socket any more.  A new pair of
 *   or died          sockets takes its place: its far end is given what was
 *                    unread, ring and kernel in their order, and closed
 *
 *   host's number --> old socket        [kernel bytes] [ring] end
 *                 \-> near end of pair  [kernel bytes     ring] end <-- far end
 *
 * The pair is of the same family, TCP bound to the old address but not to its
 * port: names of a connection that is over differ.  Nothing is taken from the
 * old socket: other processes that hold it read on there.  Without descriptors,
 * or with more unread than fits into the pair, all stays as it is: the host's
 * own calls still read the ring, other code does not see it.
 *
 * Concurrency: the ring is read under rx_lock.  Another thread that uses the
 * number meanwhile meets either socket.
 */
#define _GNU_SOURCE
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "ready.h"
#include "sys.h"

#define DEATH_MS	20	/* a dying process closes in any order */
#define CONNECT_MS	100	/* on loopback it is done when connect returns */
#define UNREAD_MAX	(4u << 20)

/* What the host has not read, in a mapping. */
struct unread {
	uint8_t *data;
	size_t len;
	bool reset;		/* an error is due behind it */
};

/*
 * True if nobody can send to us, or read what we send, on this socket any more.
 * @tag: what stands at the end of the ring.  A TCP peer that has only shut its
 * direction looks the same to the kernel as one that closed (tcp(7)); one that
 * died left no end of the ring behind.
 */
static bool peer_is_gone(struct shmfd_stream *s, int fd, int tag, bool *ret_reset)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	bool told = tag != (int)SHMFD_TAG_END ||
		(load_acquire(&s->rings->rx.dir->w_flags) & SHMFD_W_CLOSED); /* [stream.X] */

	if (shmfd_sys.poll(&p, 1, told ? DEATH_MS : 0) <= 0)
		return false;
	*ret_reset = p.revents & POLLERR;
	return (p.revents & (POLLHUP | POLLERR)) || ((p.revents & POLLRDHUP) && told);
}

/* Copies @u->len bytes in their order: @before of the kernel, the ring, the kernel.
 * Under rx_lock. */
static bool copy(struct shmfd_stream *s, int fd, struct unread *u, size_t before, size_t ring)
{
	size_t behind = u->len - before - ring;
	struct iovec v[2] = {
		{ .iov_base = u->data, .iov_len = before },
		{ .iov_base = u->data + before + ring, .iov_len = behind },
	};
	struct iovec in_ring = { .iov_base = u->data + before, .iov_len = ring };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	enum shmfd_ring_end end;

	return (!(before + behind) ||
		shmfd_sys.recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT) ==
			(ssize_t)(before + behind)) &&
		shmfd_ring_readv(&s->rings->rx, shmfd_stream_record(s), &in_ring, 1, true, &end) ==
			(ssize_t)ring;
}

/* What has to be moved.  False: nothing, or it can not be.  Caller unmaps. */
static bool collect(struct shmfd_stream *s, int fd, struct unread *u)
{
	struct shmfd_record *rec = shmfd_stream_record(s);
	bool seam, ok = false, reset = false;
	int kernel, tag;
	size_t before = 0;
	ssize_t ring;

	if (shmfd_lock(rec, &rec->rx_lock))
		return false;
	seam = shmfd_stream_has_seam(s);
	if (!seam && load_relaxed(&rec->rx_mode) != SHMFD_MODE_RING)
		goto out;
	ring = shmfd_ring_unread(&s->rings->rx, rec, &tag);
	if (ring <= 0 || !peer_is_gone(s, fd, tag, &reset) ||
	    shmfd_sys.ioctl(fd, FIONREAD, &kernel) || kernel < 0)
		goto out;
	if (seam)
		before = load_acquire(&s->rings->rx.dir->switch_at) - /* [stream.X] */
			load_relaxed(&rec->kernel_rx_bytes);
	u->len = (size_t)kernel + (size_t)ring;
	if (before > (size_t)kernel || u->len > UNREAD_MAX)
		goto out;
	u->data = mmap(NULL, u->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (u->data == MAP_FAILED)
		goto out;
	ok = copy(s, fd, u, before, (size_t)ring);
	if (!ok)
		munmap(u->data, u->len);
	u->reset = reset || load_relaxed(&rec->pending_err) || shmfd_stream_is_reset(s);
out:
	shmfd_unlock(rec, &rec->rx_lock);
	return ok;
}

/* ---- the pair -------------------------------------------------------------------- */

/* Connects @far to @listener and accepts nobody else.  The near end, or -1. */
static int connect_pair(int far, int listener)
{
	struct sockaddr_storage name, peer;
	socklen_t len = sizeof(name), peer_len = sizeof(peer);
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int near;

	if (shmfd_sys.getsockname(listener, (struct sockaddr *)&name, &len) ||
	    (shmfd_sys.connect(far, (struct sockaddr *)&name, len) && errno != EINPROGRESS) ||
	    shmfd_sys.poll(&p, 1, CONNECT_MS) != 1)
		return -1;
	near = shmfd_sys.accept4(listener, (struct sockaddr *)&peer, &peer_len, SOCK_CLOEXEC);
	len = sizeof(name);
	if (near >= 0 && (shmfd_sys.getsockname(far, (struct sockaddr *)&name, &len) ||
			  len != peer_len || memcmp(&name, &peer, len))) {
		shmfd_sys.close(near);
		return -1;
	}
	return near;
}

/* Two connected sockets of TCP on the address that @fd has.  0 or -1. */
static int tcp_pair(int fd, int family, int pair[2])
{
	struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(name);
	int listener;

	if (shmfd_sys.getsockname(fd, (struct sockaddr *)&name, &len))
		return -1;
	/* the port is at the same place in both (ip(7), ipv6(7)) */
	((struct sockaddr_in *)&name)->sin_port = 0;
	listener = shmfd_sys.socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pair[1] = shmfd_sys.socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	pair[0] = -1;
	if (listener >= 0 && pair[1] >= 0 &&
	    !shmfd_sys.bind(listener, (struct sockaddr *)&name, len) &&
	    !shmfd_sys.listen(listener, 1))
		pair[0] = connect_pair(pair[1], listener);
	if (listener >= 0)
		shmfd_sys.close(listener);
	if (pair[0] < 0 && pair[1] >= 0)
		shmfd_sys.close(pair[1]);
	return pair[0] < 0 ? -1 : 0;
}

/* Gives @far all of @u and closes it.  False: it does not fit. */
static bool feed(const int pair[2], int family, const struct unread *u)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	size_t done = 0;
	int raised = (int)(2 * u->len), queued = 0;

	if (family == AF_UNIX)	/* TCP tunes itself */
		shmfd_sys.setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &raised, sizeof(raised));
	while (done < u->len) {
		ssize_t n = shmfd_sys.send(pair[1], u->data + done, u->len - done,
					   MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	/* a close with input unread, or a reset, once all has arrived */
	if (u->reset && family == AF_UNIX)
		shmfd_sys.send(pair[0], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	else if (u->reset && !shmfd_sys.ioctl(pair[1], TIOCOUTQ, &queued) && !queued)
		shmfd_sys.setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return true;
}

/* The options that decide how calls behave; the file's flags. */
static void copy_options(int from, int to)
{
	static const int names[] = { SO_RCVTIMEO, SO_SNDTIMEO };
	int flags = shmfd_sys.fcntl(from, F_GETFL, 0);

	if (flags > 0)
		shmfd_sys.fcntl(to, F_SETFL, flags & (O_NONBLOCK | O_ASYNC));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct timeval tv;
		socklen_t len = sizeof(tv);

		if (!shmfd_sys.getsockopt(from, SOL_SOCKET, names[i], &tv, &len))
			shmfd_sys.setsockopt(to, SOL_SOCKET, names[i], &tv, len);
	}
}

/* The socket that takes the place of @fd's, or -1. */
static int make_heir(struct shmfd_stream *s, int fd)
{
	int family = shmfd_stream_record(s)->family, pair[2];
	struct unread u = { 0 };
	bool fed;

	if (!collect(s, fd, &u))
		return -1;
	if (family == AF_UNIX ? shmfd_sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) :
				tcp_pair(fd, family, pair)) {
		munmap(u.data, u.len);
		return -1;
	}
	fed = feed(pair, family, &u);
	munmap(u.data, u.len);
	shmfd_sys.close(pair[1]);
	if (!fed) {
		shmfd_sys.close(pair[0]);
		return -1;
	}
	copy_options(fd, pair[0]);
	return pair[0];
}

/* ---- the numbers ------------------------------------------------------------------- */

/* Puts @heir behind every number of this process that is @word's socket. */
static void take_place(int heir, uint32_t word, uint64_t cookie, bool vfork_child)
{
	unsigned int top = shmfd_fd_top();

	for (unsigned int fd = 0; fd <= top; fd++) {
		int flags;

		if (shmfd_fd_lookup((int)fd) != word || shmfd_cookie((int)fd) != cookie)
			continue;
		flags = shmfd_sys.fcntl((int)fd, F_GETFD, 0);
		if (!vfork_child)
			shmfd_fd_forget((int)fd);
		shmfd_sys.dup3(heir, (int)fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	}
}

void shmfd_hand_over(int fd, enum shmfd_reason why, bool vfork_child)
{
	struct shmfd_stream *s = shmfd_stream_get(fd);
	uint32_t word = shmfd_fd_lookup(fd);
	struct shmfd_reg reg;
	int heir = -1, saved = errno;
	uint64_t cookie;
	bool ours;

	if (!s)
		return;
	/* of other threads, since the vfork: the child has not got that */
	if (vfork_child && s->seg && shmfd_cookie(s->rings->wait.link) != s->rings->link_cookie) {
		shmfd_stream_put(s);
		errno = saved;
		return;
	}
	shmfd_stream_retreat(s, why);
	shmfd_stream_flush(s, fd);
	reg = s->reg;
	/* an epoll set that is shared over fork must not get a number of the child */
	ours = !vfork_child && load_relaxed(&shmfd_stream_record(s)->user_pid) == shmfd_pid;
	if (s->seg && !reg.many && !reg.disarmed && !reg.held)
		heir = make_heir(s, fd);
	shmfd_stream_put(s);
	if (heir >= 0) {
		cookie = shmfd_cookie(fd);
		take_place(heir, word, cookie, vfork_child);
		if (ours)
			shmfd_epoll_again(&reg);
		shmfd_sys.close(heir);
	}
	errno = saved;
}
