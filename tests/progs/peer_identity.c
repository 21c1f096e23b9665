/* SPDX-License-Identifier: MIT */
/*
 * Description: who the peer of a stream is: SO_PEERCRED, SO_PEERPIDFD, SO_PEERGROUPS,
 * SO_PEERSEC, whole, cut and set; new, used, half closed, and after the peer's end.
 */
#include "duo.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* The number that a descriptor of a process stands for; 0: none is told. */
static int pid_of(int pidfd)
{
	char path[64], line[128];
	FILE *info;
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	info = fopen(path, "r");
	if (!info)
		die("fdinfo");
	while (fgets(line, sizeof(line), info)) {
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	}
	fclose(info);
	return pid;
}

static void identity(int fd, pid_t peer, const char *when)
{
	struct ucred cred = {1, 2, 3};
	socklen_t len = sizeof(cred);
	gid_t groups[200];
	char text[300];
	int pidfd = -1, cut[2] = {-5, -5};

	say("-- %s", when);
	say_result("SO_PEERCRED", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	say("length %u, pid %s, uid %s, gid %s", len,
	    cred.pid == peer ? "the peer's" : cred.pid == 0 ? "0" : "another",
	    cred.uid == getuid() ? "mine" : cred.uid == (uid_t)-1 ? "-1" : "another",
	    cred.gid == getgid() ? "mine" : cred.gid == (gid_t)-1 ? "-1" : "another");
	len = sizeof(int);
	say_result("SO_PEERCRED, cut", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cut, &len));
	say("length %u, pid %d, behind it %d", len, cut[0] == peer, cut[1]);
	say_result("SO_PEERCRED, set",
		   setsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, sizeof(cred)));
	len = sizeof(pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0) {
		say("SO_PEERPIDFD: the peer %d, close-on-exec %d", pid_of(pidfd) == peer,
		    fcntl(pidfd, F_GETFD));
		close(pidfd);
	} else {
		say("SO_PEERPIDFD: %s", duo_errno(errno));
	}
	len = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0)
		say("SO_PEERGROUPS: as mine %d",
		    (int)(len / sizeof(gid_t)) == getgroups(0, NULL));
	else
		say("SO_PEERGROUPS: %s", duo_errno(errno));
	len = sizeof(text);
	say_result("SO_PEERSEC", getsockopt(fd, SOL_SOCKET, SO_PEERSEC, text, &len) < 0 ? -1 : 0);
}

static void run(int fd)
{
	pid_t peer;
	char byte;

	duo_tell(getpid());
	peer = duo_hear();
	identity(fd, peer, "new");
	duo_warmup(fd);
	identity(fd, peer, "used");
	duo_meet();
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say_result("read", read(fd, &byte, 1));
	identity(fd, peer, "shut");
	duo_meet();
}

static void server(int fd)
{
	pid_t peer;

	run(fd);
	fd = duo_another_warm();
	peer = duo_hear();
	duo_meet();
	identity(fd, peer, "closed by the peer");
	duo_post();
}

static void client(int fd)
{
	run(fd);
	fd = duo_another_warm();
	duo_tell(getpid());
	close(fd);
	duo_meet();
	/* its process is still there */
	duo_await();
}

DUO_PROGRAM(.description = "who the peer is", .server = server, .client = client)
