/* SPDX-License-Identifier: MIT */
/*
 * Description: getsockname, getpeername and the common socket options say the same
 * before and after a stream is used; SO_ERROR stays 0.
 */
#include "duo.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct sockaddr_storage mine, peer;

static void names(int fd, const char *when)
{
	struct sockaddr_storage listening;
	socklen_t mine_len = sizeof(mine), peer_len = sizeof(peer);
	socklen_t len = duo_address(&listening);

	memset(&mine, 0, sizeof(mine));
	memset(&peer, 0, sizeof(peer));
	say_result("getsockname", getsockname(fd, (struct sockaddr *)&mine, &mine_len));
	say_result("getpeername", getpeername(fd, (struct sockaddr *)&peer, &peer_len));
	say("%s: families %d %d, server's is the listener's %d", when, mine.ss_family,
	    peer.ss_family,
	    duo_is_server() ? mine_len == len && !memcmp(&mine, &listening, len) :
			      peer_len == len && !memcmp(&peer, &listening, len));
}

static void option(int fd, const char *what, int level, int name)
{
	int value = 77;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, level, name, &value, &len) < 0)
		say("%s: %s", what, duo_errno(errno));
	else
		say("%s: %d", what, value);
}

static void options(int fd)
{
	int on = 1;
	struct stat st;

	option(fd, "SO_TYPE", SOL_SOCKET, SO_TYPE);
	option(fd, "SO_DOMAIN", SOL_SOCKET, SO_DOMAIN);
	option(fd, "SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL);
	option(fd, "SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN);
	option(fd, "SO_ERROR", SOL_SOCKET, SO_ERROR);
	option(fd, "SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT);
	say_result("SO_KEEPALIVE", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
	option(fd, "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
	say_result("TCP_NODELAY", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
	option(fd, "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY);
	option(fd, "unknown", SOL_SOCKET, 9999);
	say_result("bad value", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &on, 1));
	say_result("fstat", fstat(fd, &st));
	say("socket %d, tty %d", S_ISSOCK(st.st_mode), isatty(fd));
	say("flags 0x%x, descriptor flags %d", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
}

static void credentials(int fd)
{
	struct ucred cred = {0, 0, 0};
	socklen_t len = sizeof(cred);

	if (duo_is_tcp())
		return;
	say_result("SO_PEERCRED", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	say("peer is %d, uid mine %d", cred.pid == duo_hear(), cred.uid == getuid());
}

static void run(int fd)
{
	names(fd, "new");
	options(fd);
	duo_warmup(fd);
	names(fd, "used");
	options(fd);
	duo_tell(getpid());
	if (duo_is_tcp())
		duo_hear();
	credentials(fd);
	duo_meet();
	if (duo_is_server())
		shutdown(fd, SHUT_WR);
	else
		duo_poll(fd, POLLRDHUP, 5000);
	names(fd, "half closed");
	duo_meet();
}

static void server(int fd)
{
	run(fd);
}

static void client(int fd)
{
	run(fd);
}

DUO_PROGRAM(.description = "names and options", .server = server, .client = client)
