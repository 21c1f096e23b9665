/* SPDX-License-Identifier: MIT */

/* See diag.h.  Source: sock_diag(7), netlink(7), linux/net/ipv4/inet_diag.c,
 * linux/net/unix/diag.c.  The netlink socket lives for one query. */
#define _GNU_SOURCE
#include "diag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <string.h>

#include "sys.h"

union answer {
	struct nlmsghdr h;
	char bytes[1024];
};

/* One request, one answer.  Returns payload length of a message of type
 * SOCK_DIAG_BY_FAMILY, or -errno. */
static int query(void *req, size_t len, union answer *ans)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK };
	struct timeval limit = { .tv_sec = 1 };
	ssize_t n;
	int fd, ret = -EPROTO;

	fd = shmfd_sys.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return -errno;
	/* the kernel answers within the call; the limit is for sandboxes */
	shmfd_sys.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (shmfd_sys.connect(fd, (struct sockaddr *)&nl, sizeof(nl)) ||
	    shmfd_sys.send(fd, req, len, 0) != (ssize_t)len)
		goto out;
	n = shmfd_sys.recv(fd, ans, sizeof(*ans), 0);
	if (n < (ssize_t)sizeof(ans->h) || ans->h.nlmsg_len > (size_t)n)
		goto out;
	if (ans->h.nlmsg_type == NLMSG_ERROR) {
		struct nlmsgerr *e = NLMSG_DATA(&ans->h);

		if (n >= (ssize_t)NLMSG_LENGTH(sizeof(*e)) && e->error < 0)
			ret = e->error;
	} else if (ans->h.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
		ret = (int)(ans->h.nlmsg_len - NLMSG_HDRLEN);
	}
out:
	shmfd_sys.close(fd);
	return ret;
}

static uint64_t cookie_of(const uint32_t half[2])
{
	return (uint64_t)half[1] << 32 | half[0];
}

static void set_end(const struct sockaddr *sa, __be16 *port, __be32 addr[4])
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		*port = in->sin_port;
		memcpy(addr, &in->sin_addr, 4);
	} else {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		*port = in6->sin6_port;
		memcpy(addr, &in6->sin6_addr, 16);
	}
}

int shmfd_diag_tcp(const struct sockaddr *far, const struct sockaddr *near,
		   struct shmfd_diag *ret)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} req = {
		.h = {
			.nlmsg_len = sizeof(req),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST,
		},
		.r = {
			.sdiag_family = (uint8_t)far->sa_family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0u,
			.id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
		},
	};
	union answer ans;
	struct inet_diag_msg *m;
	int len;

	set_end(far, &req.r.id.idiag_sport, req.r.id.idiag_src);
	set_end(near, &req.r.id.idiag_dport, req.r.id.idiag_dst);
	len = query(&req, sizeof(req), &ans);
	if (len < 0)
		return len;
	if (len < (int)sizeof(*m))
		return -EPROTO;
	m = NLMSG_DATA(&ans.h);
	/* an exact connection, not the listener that would take a new one */
	if (m->id.idiag_sport != req.r.id.idiag_sport ||
	    m->id.idiag_dport != req.r.id.idiag_dport)
		return -ENOENT;
	ret->cookie = cookie_of(m->id.idiag_cookie);
	ret->uid = m->idiag_uid;
	ret->inode = m->idiag_inode;
	return 0;
}

int shmfd_diag_unix(uint64_t inode, struct shmfd_diag *ret,
		    uint64_t *ret_peer_inode)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} req = {
		.h = {
			.nlmsg_len = sizeof(req),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST,
		},
		.r = {
			.sdiag_family = AF_UNIX,
			.udiag_states = ~0u,
			.udiag_ino = (uint32_t)inode,
			.udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_UID,
			.udiag_cookie = { ~0u, ~0u },
		},
	};
	union answer ans;
	struct unix_diag_msg *m;
	int len = query(&req, sizeof(req), &ans);

	if (len < 0)
		return len;
	if (len < (int)sizeof(*m))
		return -EPROTO;
	m = NLMSG_DATA(&ans.h);
	*ret_peer_inode = 0;
	ret->cookie = cookie_of(m->udiag_cookie);
	ret->inode = m->udiag_ino;
	ret->uid = (uid_t)-1;
	for (size_t off = NLMSG_ALIGN(sizeof(*m));
	     off + sizeof(struct rtattr) <= (size_t)len;) {
		struct rtattr *a = (struct rtattr *)(void *)((char *)m + off);
		uint32_t val;

		if (a->rta_len < sizeof(*a) || a->rta_len > (size_t)len - off)
			break;
		off += RTA_ALIGN((size_t)a->rta_len);
		if (a->rta_len < RTA_LENGTH(sizeof(val)))	/* UNIX_DIAG_SHUTDOWN */
			continue;
		memcpy(&val, RTA_DATA(a), sizeof(val));
		if (a->rta_type == UNIX_DIAG_PEER)
			*ret_peer_inode = val;
		if (a->rta_type == UNIX_DIAG_UID)
			ret->uid = val;
	}
	return 0;
}
