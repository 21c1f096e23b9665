/* SPDX-License-Identifier: MIT */

/*
 * See sockets.h.  TCP from /proc/PID/net/tcp and tcp6, AF_UNIX from
 * /proc/PID/net/unix.  Which AF_UNIX socket is the peer of which stands only in
 * sock_diag(7), which answers for our own network namespace alone; elsewhere
 * the peer of an AF_UNIX stream stays unknown.
 */
#define _GNU_SOURCE
#include "sockets.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "proc.h"

struct sock {
	uint64_t inode;
	uint64_t peer_inode;	/* AF_UNIX, 0 unknown */
	bool is_unix;
	char *local, *peer;	/* NULL: no name, or not known */
};

struct space {
	dev_t dev;
	ino_t ino;
	struct sock *sock;	/* by inode */
	size_t nr, cap;
};

struct sockets {
	struct space *space;
	size_t nr;
};

struct sockets *sockets_create(void)
{
	struct sockets *s = cli_realloc(NULL, 1, sizeof(*s));

	*s = (struct sockets){ 0 };
	return s;
}

void sockets_destroy(struct sockets *s)
{
	for (size_t i = 0; i < s->nr; i++) {
		struct space *sp = &s->space[i];

		for (size_t k = 0; k < sp->nr; k++) {
			free(sp->sock[k].local);
			free(sp->sock[k].peer);
		}
		free(sp->sock);
	}
	free(s->space);
	free(s);
}

static struct sock *new_sock(struct space *sp, uint64_t inode)
{
	if (sp->nr == sp->cap) {
		sp->cap = sp->cap ? 2 * sp->cap : 256;
		sp->sock = cli_realloc(sp->sock, sp->cap, sizeof(*sp->sock));
	}
	sp->sock[sp->nr] = (struct sock){ .inode = inode };
	return &sp->sock[sp->nr++];
}

static int compare_socks(const void *a, const void *b)
{
	const struct sock *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

/* ---- TCP --------------------------------------------------------------- */

/* The kernel prints each 32-bit word of the address as a native number. */
static char *tcp_address(const char *hex, unsigned int port)
{
	char text[INET6_ADDRSTRLEN], out[INET6_ADDRSTRLEN + 16];
	size_t words = strlen(hex) / 8;
	struct in6_addr addr;

	if (words != 1 && words != 4)
		return NULL;
	for (size_t i = 0; i < words; i++) {
		uint32_t word;

		if (sscanf(hex + 8 * i, "%8" SCNx32, &word) != 1)
			return NULL;
		memcpy((char *)&addr + 4 * i, &word, sizeof(word));
	}
	if (words == 1)
		inet_ntop(AF_INET, &addr, text, sizeof(text));
	else if (IN6_IS_ADDR_V4MAPPED(&addr))
		inet_ntop(AF_INET, (char *)&addr + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &addr, text, sizeof(text));
	snprintf(out, sizeof(out), strchr(text, ':') ? "[%s]:%u" : "%s:%u", text, port);
	return cli_strdup(out);
}

static void read_tcp(struct space *sp, pid_t pid, const char *name)
{
	char path[PROC_PATH], *text, *save, *line;

	proc_path(path, pid, "net/%s", name);
	text = proc_file(path);
	if (!text)
		return;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char local[33], peer[33];
		unsigned int local_port, peer_port;
		uint64_t inode;
		struct sock *s;

		if (sscanf(line, " %*u: %32[0-9A-F]:%x %32[0-9A-F]:%x %*x %*x:%*x %*x:%*x %*x"
			   " %*u %*u %" SCNu64, local, &local_port, peer, &peer_port,
			   &inode) != 5 || !inode)
			continue;
		s = new_sock(sp, inode);
		s->local = tcp_address(local, local_port);
		s->peer = tcp_address(peer, peer_port);
	}
	free(text);
}

/* ---- AF_UNIX ------------------------------------------------------------ */

static char *unix_name(const char *name, size_t len)
{
	char *text;

	if (!len)
		return NULL;
	text = cli_realloc(NULL, len + 1, 1);
	memcpy(text, name, len);
	text[len] = '\0';
	/* A path ends at its 0; an abstract name may have them anywhere. */
	for (size_t i = 0; i < len && !name[0]; i++)
		if (!text[i])
			text[i] = '@';
	cli_clean(text, len + 1);
	return text;
}

static void read_unix(struct space *sp, pid_t pid)
{
	char path[PROC_PATH], *text, *save, *line;

	proc_path(path, pid, "net/unix");
	text = proc_file(path);
	if (!text)
		return;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint64_t inode;
		struct sock *s;
		int len = 0;

		if (sscanf(line, "%*x: %*x %*x %*x %*x %*x %" SCNu64 "%n", &inode, &len) != 1 ||
		    !inode)
			continue;
		s = new_sock(sp, inode);
		s->is_unix = true;
		line += len + (line[len] == ' ');
		s->local = unix_name(line, strlen(line));
	}
	free(text);
}

/* @msg: one message of a dump, header included, @len bytes, aligned. */
static void take_unix(struct space *sp, const char *msg, size_t len)
{
	struct unix_diag_msg m;
	struct rtattr a;
	struct sock *s;
	uint32_t peer;

	if (len < NLMSG_LENGTH(sizeof(m)))
		return;
	memcpy(&m, msg + NLMSG_HDRLEN, sizeof(m));
	s = new_sock(sp, m.udiag_ino);
	s->is_unix = true;
	for (size_t at = NLMSG_SPACE(sizeof(m)); at + sizeof(a) <= len;
	     at += RTA_ALIGN(a.rta_len)) {
		const char *value = msg + at + RTA_LENGTH(0);

		memcpy(&a, msg + at, sizeof(a));
		if (a.rta_len < RTA_LENGTH(0) || a.rta_len > len - at)
			return;
		if (a.rta_type == UNIX_DIAG_NAME) {
			free(s->local);
			s->local = unix_name(value, a.rta_len - RTA_LENGTH(0));
		} else if (a.rta_type == UNIX_DIAG_PEER && a.rta_len >= RTA_LENGTH(4)) {
			memcpy(&peer, value, sizeof(peer));
			s->peer_inode = peer;
		}
	}
}

/* One datagram of a dump.  Returns its end: 1 all listed, -1 failed, 0 go on. */
static int take_dump(struct space *sp, const char *buf, size_t len)
{
	struct nlmsghdr h;

	while (len >= sizeof(h)) {
		memcpy(&h, buf, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len || h.nlmsg_type == NLMSG_ERROR)
			return -1;
		if (h.nlmsg_type == NLMSG_DONE)
			return 1;
		take_unix(sp, buf, h.nlmsg_len);
		if (NLMSG_ALIGN(h.nlmsg_len) >= len)
			break;
		buf += NLMSG_ALIGN(h.nlmsg_len);
		len -= NLMSG_ALIGN(h.nlmsg_len);
	}
	return 0;
}

/* True if the kernel listed all AF_UNIX sockets of our namespace. */
static bool diag_unix(struct space *sp)
{
	static char buf[32768];
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} q = {
		.head = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.req = { .sdiag_family = AF_UNIX, .udiag_states = UINT32_MAX,
			 .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ssize_t len = -1;
	int end = 0;

	if (fd < 0)
		return false;
	if (send(fd, &q, sizeof(q), 0) == (ssize_t)sizeof(q)) {
		do {
			len = recv(fd, buf, sizeof(buf), 0);
			end = len > 0 ? take_dump(sp, buf, (size_t)len) : -1;
		} while (!end);
	}
	close(fd);
	return end > 0;
}

static struct sock *find_sock(const struct space *sp, uint64_t inode)
{
	const struct sock key = { .inode = inode };

	if (!sp->nr || !inode)
		return NULL;
	return bsearch(&key, sp->sock, sp->nr, sizeof(key), compare_socks);
}

/* An end without a name is known by its inode. */
static void name_unix(struct space *sp, struct sock *s)
{
	struct sock *peer = find_sock(sp, s->peer_inode);
	char text[64];

	if (!s->local) {
		snprintf(text, sizeof(text), "unix:[%" PRIu64 "]", s->inode);
		s->local = cli_strdup(text);
	}
	if (!s->peer && s->peer_inode) {
		snprintf(text, sizeof(text), "unix:[%" PRIu64 "]", s->peer_inode);
		s->peer = cli_strdup(peer && peer->local ? peer->local : text);
	}
}

/* ---- namespaces ---------------------------------------------------------- */

static void read_space(struct space *sp, pid_t pid)
{
	struct stat own;

	read_tcp(sp, pid, "tcp");
	read_tcp(sp, pid, "tcp6");
	if (stat("/proc/self/ns/net", &own) || own.st_dev != sp->dev || own.st_ino != sp->ino ||
	    !diag_unix(sp))
		read_unix(sp, pid);
	if (sp->nr)
		qsort(sp->sock, sp->nr, sizeof(*sp->sock), compare_socks);
}

static struct space *find_space(struct sockets *s, pid_t pid)
{
	char path[PROC_PATH];
	struct stat st;
	struct space *sp;

	proc_path(path, pid, "ns/net");
	if (stat(path, &st)) {
		/* Not ours to know: then its tables are its alone. */
		st.st_dev = 0;
		st.st_ino = (ino_t)pid;
	}
	for (sp = s->space; sp < s->space + s->nr; sp++)
		if (sp->dev == st.st_dev && sp->ino == st.st_ino)
			return sp;
	s->space = cli_realloc(s->space, s->nr + 1, sizeof(*s->space));
	sp = &s->space[s->nr++];
	*sp = (struct space){ .dev = st.st_dev, .ino = st.st_ino };
	read_space(sp, pid);
	return sp;
}

void sockets_lookup(struct sockets *s, pid_t pid, uint64_t inode,
		    const char **ret_local, const char **ret_peer)
{
	struct space *sp = inode ? find_space(s, pid) : NULL;
	struct sock *sk = sp ? find_sock(sp, inode) : NULL;

	if (sk && sk->is_unix)
		name_unix(sp, sk);
	*ret_local = sk && sk->local ? sk->local : "?";
	*ret_peer = sk && sk->peer ? sk->peer : "?";
}
