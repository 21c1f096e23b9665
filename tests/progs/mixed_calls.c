/* SPDX-License-Identifier: MIT */
/*
 * Part of mixed.c: the calls that move bytes, one drawn at a time.  Each is
 * run by a function that returns bytes or -errno; flow_send() and
 * flow_receive() draw one, and check what came of it:
 *
 *   sending    a call that may sleep and has no time-out takes all bytes,
 *              unless there are signals
 *   receiving  the right bytes and no more than asked for; all of them with
 *              MSG_WAITALL; not EAGAIN after a wait said "readable";
 *              0 only at the end, and then always
 */
#include "mixed.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

static ssize_t result(ssize_t n)
{
	return n < 0 ? -errno : n;
}

/* Cuts @len bytes at @buf into a vector; parts may be empty.  Returns their number. */
static int cut(struct flow *f, struct iovec *iov, char *buf, size_t len)
{
	int nr = 1 + (int)rng_below(&f->rng, MOST_PARTS);

	for (int i = 0; i < nr; i++) {
		size_t part = i == nr - 1 ? len : rng_below(&f->rng, len + 1);

		if (i < nr - 1 && rng_one_in(&f->rng, 2) && part > 64)
			part = rng_below(&f->rng, 64);
		iov[i] = (struct iovec){ buf, part };
		buf += part;
		len -= part;
	}
	return nr;
}

/* Messages of one part each; none is empty.  Returns their number. */
static unsigned int cut_messages(struct flow *f, struct mmsghdr *m, struct iovec *iov, char *buf,
				 size_t len)
{
	unsigned int nr = 1 + (unsigned int)rng_below(&f->rng, 4);

	if (nr > len)
		nr = 1;
	for (unsigned int i = 0; i < nr; i++) {
		size_t part = len - (nr - 1 - i);

		if (i < nr - 1)
			part = 1 + rng_below(&f->rng, part);
		iov[i] = (struct iovec){ buf, part };
		m[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
		buf += part;
		len -= part;
	}
	return nr;
}

static ssize_t tx_write(struct flow *f, size_t len, int flags)
{
	(void)flags;
	return result(write(f->fd, f->buf, len));
}

static ssize_t tx_writev(struct flow *f, size_t len, int flags)
{
	struct iovec iov[MOST_PARTS];
	int nr = cut(f, iov, f->buf, len);

	(void)flags;
	return result(writev(f->fd, iov, nr));
}

static ssize_t tx_pwritev2(struct flow *f, size_t len, int flags)
{
	struct iovec iov[MOST_PARTS];
	int nr = cut(f, iov, f->buf, len);

	return result(pwritev2(f->fd, iov, nr, -1, flags & MSG_DONTWAIT ? RWF_NOWAIT : 0));
}

static ssize_t tx_send(struct flow *f, size_t len, int flags)
{
	return result(send(f->fd, f->buf, len, flags));
}

static ssize_t tx_sendto(struct flow *f, size_t len, int flags)
{
	return result(sendto(f->fd, f->buf, len, flags, NULL, 0));
}

static ssize_t tx_sendmsg(struct flow *f, size_t len, int flags)
{
	struct iovec iov[MOST_PARTS];
	struct msghdr m = { .msg_iov = iov };

	m.msg_iovlen = (size_t)cut(f, iov, f->buf, len);
	return result(sendmsg(f->fd, &m, flags));
}

static ssize_t tx_sendmmsg(struct flow *f, size_t len, int flags)
{
	struct iovec iov[4];
	struct mmsghdr m[4];
	unsigned int nr = cut_messages(f, m, iov, f->buf, len);
	int done = sendmmsg(f->fd, m, nr, flags);
	ssize_t sum = 0;

	if (done < 0)
		return -errno;
	for (int i = 0; i < done; i++) {
		if (m[i].msg_len < iov[i].iov_len && i < done - 1)
			fail(f, "sendmmsg: message %d of %d is short and not the last", i, done);
		sum += m[i].msg_len;
	}
	return sum;
}

/* The file is never changed where it was sent from: the kernel may still refer to its pages. */
static ssize_t tx_sendfile(struct flow *f, size_t len, int flags)
{
	off_t off = (off_t)f->pos;
	ssize_t n;

	(void)flags;
	if (f->file < 0)
		f->file = memfd_create("pattern", MFD_CLOEXEC);
	if (f->file < 0 || pwrite(f->file, f->buf, len, off) != (ssize_t)len)
		fail(f, "no file for sendfile: %s", strerror(errno));
	if (rng_one_in(&f->rng, 2)) {
		n = result(sendfile(f->fd, f->file, &off, len));
		if (n > 0 && off != (off_t)f->pos + n)
			fail(f, "sendfile of %zd bytes left the offset at %lld", n, (long long)off);
		return n;
	}
	if (lseek(f->file, off, SEEK_SET) != off)
		fail(f, "lseek: %s", strerror(errno));
	n = result(sendfile(f->fd, f->file, NULL, len));
	if (n > 0 && lseek(f->file, 0, SEEK_CUR) != off + n)
		fail(f, "sendfile of %zd bytes did not move the file so far", n);
	return n;
}

static ssize_t rx_read(struct flow *f, size_t len, int flags)
{
	(void)flags;
	return result(read(f->fd, f->buf, len));
}

static ssize_t rx_readv(struct flow *f, size_t len, int flags)
{
	struct iovec iov[MOST_PARTS];
	int nr = cut(f, iov, f->buf, len);

	(void)flags;
	return result(readv(f->fd, iov, nr));
}

static ssize_t rx_preadv2(struct flow *f, size_t len, int flags)
{
	struct iovec iov[MOST_PARTS];
	int nr = cut(f, iov, f->buf, len);

	return result(preadv2(f->fd, iov, nr, -1, flags & MSG_DONTWAIT ? RWF_NOWAIT : 0));
}

static ssize_t rx_recv(struct flow *f, size_t len, int flags)
{
	return result(recv(f->fd, f->buf, len, flags));
}

static ssize_t rx_recvfrom(struct flow *f, size_t len, int flags)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);

	if (rng_one_in(&f->rng, 2))
		return result(recvfrom(f->fd, f->buf, len, flags, NULL, NULL));
	return result(recvfrom(f->fd, f->buf, len, flags, (struct sockaddr *)&from, &from_len));
}

static ssize_t rx_recvmsg(struct flow *f, size_t len, int flags)
{
	struct iovec iov[MOST_PARTS];
	struct msghdr m = { .msg_iov = iov, .msg_flags = -1 };
	ssize_t n;

	m.msg_iovlen = (size_t)cut(f, iov, f->buf, len);
	n = result(recvmsg(f->fd, &m, flags));
	if (n >= 0 && m.msg_flags & (MSG_TRUNC | MSG_CTRUNC | MSG_OOB | MSG_ERRQUEUE))
		fail(f, "recvmsg left flags %#x", (unsigned int)m.msg_flags);
	return n;
}

/* len is at most what must still come, so that waiting for every message is safe. */
static ssize_t rx_recvmmsg(struct flow *f, size_t len, int flags)
{
	struct iovec iov[4];
	struct mmsghdr m[4];
	unsigned int nr = cut_messages(f, m, iov, f->buf, len);
	size_t sum = 0;
	int done;

	if (!(flags & MSG_DONTWAIT) && rng_one_in(&f->rng, 2))
		flags |= MSG_WAITFORONE;
	done = recvmmsg(f->fd, m, nr, flags, NULL);
	if (done < 0)
		return -errno;
	/* Each message takes what is there: close the gaps behind the short ones. */
	for (int i = 0; i < done; i++) {
		if (m[i].msg_len > iov[i].iov_len)
			fail(f, "recvmmsg: message %d of %u bytes in %zu", i, m[i].msg_len,
			     iov[i].iov_len);
		memmove(f->buf + sum, iov[i].iov_base, m[i].msg_len);
		sum += m[i].msg_len;
	}
	return (ssize_t)sum;
}

/* A look, then a read of what was seen: it must be there, all of it. */
static ssize_t rx_peek(struct flow *f, size_t len, int flags)
{
	ssize_t seen, n;

	if (rng_one_in(&f->rng, 2))
		seen = rx_recv(f, len, flags | MSG_PEEK);
	else
		seen = rx_recvmsg(f, len, flags | MSG_PEEK);
	trace_call(f, "peek", len, seen);
	if (seen <= 0)
		return seen;
	if ((size_t)seen > len || (uint64_t)seen > f->total - f->pos)
		fail(f, "a peek of %zu saw %zd bytes", len, seen);
	pattern_check(f, "peek", f->buf, (size_t)seen);
	memset(f->buf, 0, (size_t)seen);
	n = rx_recv(f, (size_t)seen, flags);
	if (n != seen)
		fail(f, "recv of %zd peeked bytes: %zd", seen, n);
	return n;
}

/* What FIONREAD counts can be read at once. */
static ssize_t rx_count(struct flow *f, size_t len, int flags)
{
	int nr = -1;
	ssize_t n;

	if (ioctl(f->fd, FIONREAD, &nr) < 0)
		fail(f, "FIONREAD: %s", strerror(errno));
	trace_call(f, "FIONREAD", 0, nr);
	if (nr < 0 || (uint64_t)nr > f->total - f->pos)
		fail(f, "FIONREAD says %d", nr);
	if (nr == 0 && f->promised && f->pos < f->total)
		fail(f, "FIONREAD says 0 after a wait said readable");
	if (nr == 0)
		return rx_recv(f, len, flags);
	if ((size_t)nr > len)
		nr = (int)len;
	n = rx_recv(f, (size_t)nr, flags | MSG_DONTWAIT);
	if (n != nr)
		fail(f, "recv of the %d bytes of FIONREAD: %zd", nr, n);
	return n;
}

enum call_kind {
	TAKES_FLAGS = 1,  /* MSG_DONTWAIT or its like */
	SHORT_IS_ALL = 2, /* fewer bytes than asked: there was no more, or no more room */
	BOUNDED = 4,      /* asks for no more than must still come */
	WAITS_ALL = 8,    /* may be given MSG_WAITALL */
};

struct call {
	const char *name;
	ssize_t (*run)(struct flow *f, size_t len, int flags);
	int kind;
};

static const struct call tx_calls[] = {
	{ "write", tx_write, SHORT_IS_ALL },
	{ "write", tx_write, SHORT_IS_ALL },
	{ "writev", tx_writev, SHORT_IS_ALL },
	{ "pwritev2", tx_pwritev2, TAKES_FLAGS | SHORT_IS_ALL },
	{ "send", tx_send, TAKES_FLAGS | SHORT_IS_ALL },
	{ "send", tx_send, TAKES_FLAGS | SHORT_IS_ALL },
	{ "sendto", tx_sendto, TAKES_FLAGS | SHORT_IS_ALL },
	{ "sendmsg", tx_sendmsg, TAKES_FLAGS | SHORT_IS_ALL },
	{ "sendmmsg", tx_sendmmsg, TAKES_FLAGS },
	{ "sendfile", tx_sendfile, 0 },
};

static const struct call rx_calls[] = {
	{ "read", rx_read, SHORT_IS_ALL },
	{ "read", rx_read, SHORT_IS_ALL },
	{ "readv", rx_readv, SHORT_IS_ALL },
	{ "preadv2", rx_preadv2, TAKES_FLAGS | SHORT_IS_ALL },
	{ "recv", rx_recv, TAKES_FLAGS | SHORT_IS_ALL | WAITS_ALL },
	{ "recv", rx_recv, TAKES_FLAGS | SHORT_IS_ALL | WAITS_ALL },
	{ "recvfrom", rx_recvfrom, TAKES_FLAGS | SHORT_IS_ALL | WAITS_ALL },
	{ "recvmsg", rx_recvmsg, TAKES_FLAGS | SHORT_IS_ALL | WAITS_ALL },
	{ "recvmmsg", rx_recvmmsg, TAKES_FLAGS | BOUNDED },
	{ "peek+recv", rx_peek, TAKES_FLAGS },
	{ "FIONREAD+recv", rx_count, TAKES_FLAGS },
};

static const struct call *draw_call(struct flow *f, const struct call *calls, size_t nr)
{
	const struct call *c;

	do
		c = &calls[rng_below(&f->rng, nr)];
	while (f->mode == MODE_DONTWAIT && !(c->kind & TAKES_FLAGS));
	return c;
}

/* 1 .. most, mostly small, often a power of two or beside one. */
static size_t draw_len(struct flow *f, uint64_t most)
{
	static const size_t scales[] = { 16, 128, 128, 1024, 8192, 8192, 70000, MOST_LEN };
	size_t len;

	if (f->scale_left-- == 0) {
		f->scale_left = 1 + (unsigned int)rng_below(&f->rng, 60);
		f->scale = scales[rng_below(&f->rng, sizeof(scales) / sizeof(*scales))];
		/* A long flow in tiny calls would take too long. */
		while (f->scale < MOST_LEN && (f->total - f->pos) / f->scale > 1000)
			f->scale *= 4;
	}
	if (rng_one_in(&f->rng, 3)) {
		len = 1;
		while (len < f->scale && !rng_one_in(&f->rng, 8))
			len *= 2;
		len += rng_below(&f->rng, 3);
		len -= len > 1;
	} else {
		len = 1 + rng_below(&f->rng, f->scale);
	}
	if (len > MOST_LEN)
		len = MOST_LEN;
	return len > most ? (size_t)most : len;
}

/*
 * Linux 6.18 lets its internal ERESTARTSYS out of a blocking receive once in some
 * ten thousand signals, on the plain kernel; nothing is received then.
 */
enum { ERESTARTSYS_LET_OUT = 512 };

/* Nothing moved, and that is right: EAGAIN, or EINTR where signals come in. */
static bool nothing(struct flow *f, ssize_t n, bool may_again)
{
	if (interrupted && (n == -EINTR || n == -ERESTARTSYS_LET_OUT))
		return true;
	if (n != -EAGAIN || !may_again)
		return false;
	f->may = false;
	return true;
}

/* MIXED_SPOIL: a fault of this program's own, which a check must find. */
static void spoil(struct flow *f)
{
	const char *how = getenv("MIXED_SPOIL");

	if (!how)
		return;
	if (!strcmp(how, "flip"))
		f->buf[0] ^= 1;
	if (!strcmp(how, "lose"))
		f->pos++;
	if (!strcmp(how, "crash"))
		abort();
	if (!strcmp(how, "leave") && f->pos == 0 && fork() == 0) {
		closefrom(0);
		pause();
	}
}

bool flow_send(struct flow *f, uint64_t most)
{
	size_t len = draw_len(f, most);
	const struct call *c = draw_call(f, tx_calls, sizeof(tx_calls) / sizeof(*tx_calls));
	int flags = rng_one_in(&f->rng, 3) ? MSG_NOSIGNAL : 0;
	bool may_sleep, must;
	ssize_t n;

	if (f->mode == MODE_DONTWAIT || (c->kind & TAKES_FLAGS && rng_one_in(&f->rng, 8)))
		flags |= MSG_DONTWAIT;
	may_sleep = f->mode == MODE_BLOCK && !(flags & MSG_DONTWAIT);
	must = may_sleep && !f->timed && !interrupted && c->run != tx_sendfile;
	pattern_fill(f->buf, f->key, f->pos, len);
	spoil(f);
	n = c->run(f, len, flags);
	trace_call(f, c->name, len, n);
	if (nothing(f, n, !may_sleep || f->timed))
		return false;
	if (n < 0)
		fail(f, "%s of %zu bytes: %s", c->name, len, strerror((int)-n));
	if (n == 0 || (size_t)n > len || (must && (size_t)n < len))
		fail(f, "%s of %zu bytes returned %zd", c->name, len, n);
	f->sum = fnv1a(f->sum, f->buf, (size_t)n);
	f->pos += (uint64_t)n;
	/* epoll(7): after a short transfer the next edge may be waited for. */
	if ((size_t)n < len && c->kind & SHORT_IS_ALL && rng_one_in(&f->rng, 2))
		f->may = false;
	return true;
}

bool flow_receive(struct flow *f, uint64_t need)
{
	size_t len = draw_len(f, MOST_LEN);
	const struct call *c = draw_call(f, rx_calls, sizeof(rx_calls) / sizeof(*rx_calls));
	int flags = 0;
	bool may_sleep, must;
	ssize_t n;

	if (f->mode == MODE_DONTWAIT || (c->kind & TAKES_FLAGS && rng_one_in(&f->rng, 8)))
		flags |= MSG_DONTWAIT;
	if (c->kind & WAITS_ALL && rng_one_in(&f->rng, 3))
		flags |= MSG_WAITALL;
	if (c->run == rx_count)
		len = MOST_LEN;
	if (((flags & MSG_WAITALL) || c->kind & BOUNDED) && len > need)
		len = need;
	may_sleep = f->mode == MODE_BLOCK && !(flags & MSG_DONTWAIT);
	must = flags & MSG_WAITALL && may_sleep && !f->timed && !interrupted;
	memset(f->buf + len, 0x5a, GUARD_LEN);
	n = c->run(f, len, flags);
	trace_call(f, flags & MSG_WAITALL ? "waitall" : c->name, len, n);
	if (n == -EAGAIN && f->promised)
		fail(f, "%s: EAGAIN after a wait said readable", c->name);
	if (nothing(f, n, !may_sleep || f->timed))
		return false;
	f->promised = false;
	if (n < 0)
		fail(f, "%s of %zu bytes: %s", c->name, len, strerror((int)-n));
	for (size_t i = 0; i < GUARD_LEN; i++)
		if (f->buf[len + i] != 0x5a)
			fail(f, "%s of %zu bytes wrote %zu bytes too far", c->name, len, i + 1);
	if (n == 0 && f->pos < f->total)
		fail(f, "%s: end of the stream too early", c->name);
	if ((uint64_t)n > f->total - f->pos)
		fail(f, "%s: %zd bytes, too many", c->name, n);
	if (must && f->pos < f->total && (size_t)n < len)
		fail(f, "%s with MSG_WAITALL of %zu bytes returned %zd", c->name, len, n);
	pattern_check(f, c->name, f->buf, (size_t)n);
	f->sum = fnv1a(f->sum, f->buf, (size_t)n);
	f->pos += (uint64_t)n;
	f->eof = n == 0;
	if ((size_t)n < len && c->kind & SHORT_IS_ALL && f->pos < f->total &&
	    rng_one_in(&f->rng, 2))
		f->may = false;
	return true;
}
