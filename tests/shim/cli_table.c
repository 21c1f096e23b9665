/* SPDX-License-Identifier: MIT */

/*
 * Description: a process that has streams and a table as the library would
 * make it, by hand, and runs a command meanwhile.
 *
 *	cli_table MODE DIR COMMAND [ARGUMENT...]
 *
 * "@PID" in an argument becomes the number of this process.  MODE:
 *	good	one record for each kind of stream, a free one, a foreign one
 *	fork	two records: one is used by a forked child
 *	empty, magic, version, number, high, short	what the word says is off
 *	rubbish	records of random bytes
 * First prints "want FD LOCAL PEER" for each stream; exits as COMMAND did.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shmfd/layout.h"

static struct shmfd_table *table;
static uint32_t record_nr;

static const char *text(const struct sockaddr *sa, socklen_t len, int fd)
{
	static char out[2][256];
	static int turn;
	char *s = out[turn ^= 1], host[64];
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_un *un = (const void *)sa;
	struct stat st;

	if (sa->sa_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(s, 256, "%s:%d", host, ntohs(in->sin_port));
	} else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, host, sizeof(host));
		snprintf(s, 256, "%s:%d", host, ntohs(in6->sin6_port));
	} else if (sa->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(s, 256, "[%s]:%d", host, ntohs(in6->sin6_port));
	} else if (len <= sizeof(sa_family_t)) {
		fstat(fd, &st);
		snprintf(s, 256, "unix:[%lu]", (unsigned long)st.st_ino);
	} else if (un->sun_path[0]) {
		snprintf(s, 256, "%.108s", un->sun_path);
	} else {
		snprintf(s, 256, "@%.*s", (int)(len - sizeof(sa_family_t) - 1), un->sun_path + 1);
	}
	return s;
}

static void want(int fd, int peer_fd)
{
	struct sockaddr_storage a, b;
	socklen_t a_len = sizeof(a), b_len = sizeof(b);

	getsockname(fd, (struct sockaddr *)&a, &a_len);
	getpeername(fd, (struct sockaddr *)&b, &b_len);
	printf("want %d %s %s\n", fd, text((struct sockaddr *)&a, a_len, fd),
	       text((struct sockaddr *)&b, b_len, peer_fd));
}

/* Each number is different, so that no column can stand in for another. */
static struct shmfd_record *add(int fd, uint32_t rx, uint32_t tx, uint32_t reason)
{
	uint32_t i = record_nr++;
	struct shmfd_record *r = &table->record[i];

	r->used = 1;
	r->user_pid = (uint32_t)getpid();
	r->fd = fd;
	r->rx_mode = rx;
	r->tx_mode = tx;
	r->reason = reason;
	r->ring_rx_bytes = 1000 + i;
	r->ring_tx_bytes = 2000 + i;
	r->kernel_rx_bytes = 3000 + i;
	r->kernel_tx_bytes = 4000 + i;
	r->ring_rx_msgs = 10;
	r->ring_tx_msgs = 100 + i;
	r->kernel_rx_msgs = 20;
	r->kernel_tx_msgs = 500 + i;
	r->bells_rx = 7;
	r->bells_tx = 70 + i;
	table->high = record_nr;
	return r;
}

/* A connected pair through @sa, whose port or name the kernel may choose. */
static void stream(int *ret_fd, struct sockaddr *sa, socklen_t len, int connect_family)
{
	struct sockaddr_storage at;
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t at_len = sizeof(at);
	int l = socket(sa->sa_family, SOCK_STREAM, 0);

	if (l < 0 || bind(l, sa, len) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&at, &at_len))
		err(99, "listen");
	ret_fd[0] = socket(connect_family, SOCK_STREAM, 0);
	if (connect_family == AF_INET && sa->sa_family == AF_INET6) {
		in.sin_port = ((struct sockaddr_in6 *)&at)->sin6_port;
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		memcpy(&at, &in, at_len = sizeof(in));
	}
	if (connect(ret_fd[0], (struct sockaddr *)&at, at_len))
		err(99, "connect");
	ret_fd[1] = accept(l, NULL, NULL);
	if (ret_fd[1] < 0)
		err(99, "accept");
	close(l);
}

static void add_streams(const char *dir)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6 };
	struct sockaddr_un un = { .sun_family = AF_UNIX }, abstract = { .sun_family = AF_UNIX };
	int fd[2], len;

	stream(fd, (struct sockaddr *)&in, sizeof(in), AF_INET);
	want(fd[0], fd[1]);
	add(fd[0], SHMFD_MODE_RING, SHMFD_MODE_RING, SHMFD_WHY_NONE);
	stream(fd, (struct sockaddr *)&in6, sizeof(in6), AF_INET6);
	want(fd[1], fd[0]);
	add(fd[1], SHMFD_MODE_KERNEL, SHMFD_MODE_KERNEL, SHMFD_WHY_NO_PEER);
	/* an IPv4 client of an IPv6 server */
	stream(fd, (struct sockaddr *)&any6, sizeof(any6), AF_INET);
	want(fd[1], fd[0]);
	add(fd[1], SHMFD_MODE_RING, SHMFD_MODE_KERNEL, SHMFD_WHY_TEST);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/sock", dir);
	stream(fd, (struct sockaddr *)&un, sizeof(un), AF_UNIX);
	want(fd[0], fd[1]);
	add(fd[0], SHMFD_MODE_KERNEL, SHMFD_MODE_RESEND, SHMFD_WHY_NR + 5);
	want(fd[1], fd[0]);
	add(fd[1], SHMFD_MODE_RING, SHMFD_MODE_RING, SHMFD_WHY_NONE);
	len = snprintf(abstract.sun_path, sizeof(abstract.sun_path), "%cshmfd-cli-%d", 0, getpid());
	stream(fd, (struct sockaddr *)&abstract, (socklen_t)(2 + len), AF_UNIX);
	want(fd[1], fd[0]);
	add(fd[1], SHMFD_MODE_OFFER, SHMFD_MODE_OFFER, SHMFD_WHY_MEETING);

	add(fd[0], SHMFD_MODE_RING, SHMFD_MODE_RING, SHMFD_WHY_NONE)->used = 0;
	add(fd[0], SHMFD_MODE_RING, SHMFD_MODE_RING, SHMFD_WHY_NONE)->user_pid = 1;
	/* a number that is no socket, and one that was not known */
	printf("want 0 ? ?\nwant - ? ?\n");
	add(0, SHMFD_MODE_KERNEL, SHMFD_MODE_KERNEL, SHMFD_WHY_FDOPEN);
	add(-1, SHMFD_MODE_KERNEL, SHMFD_MODE_KERNEL, SHMFD_WHY_SHARED);
}

static pid_t add_child(void)
{
	struct shmfd_record *r = add(1, SHMFD_MODE_RING, SHMFD_MODE_RING, SHMFD_WHY_NONE);
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "a child");
		r->user_pid = (uint32_t)getpid();
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	if (waitpid(pid, NULL, WUNTRACED) != pid || kill(pid, SIGCONT))
		err(99, "child");
	return pid;
}

static void spoil(const char *mode, int fd)
{
	if (!strcmp(mode, "magic"))
		table->magic ^= 1;
	else if (!strcmp(mode, "version"))
		table->version++;
	else if (!strcmp(mode, "number"))
		table->record_nr--;
	else if (!strcmp(mode, "high"))
		table->high = UINT32_MAX;
	else if (!strcmp(mode, "empty"))
		table->high = 0;
	else if (!strcmp(mode, "short") && ftruncate(fd, sizeof(*table) - 1))
		err(99, "ftruncate");
	else if (!strcmp(mode, "rubbish"))
		for (uint32_t i = 0; i < 1000; i++) {
			unsigned char *byte = (unsigned char *)&table->record[i];

			for (size_t k = 0; k < sizeof(table->record[i]); k++)
				byte[k] = (unsigned char)(random() >> 8);
			table->record[i].used = 1;
			table->record[i].user_pid = (uint32_t)getpid();
			table->high = i + 1;
		}
}

int main(int argc, char **argv)
{
	int fd = memfd_create(SHMFD_TABLE_NAME, MFD_CLOEXEC), status;
	pid_t command, child = 0;
	char self[16];

	if (argc < 4 || fd < 0 || ftruncate(fd, sizeof(*table)))
		err(99, "setup");
	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (table == MAP_FAILED)
		err(99, "mmap");
	/* a second number for it must not show everything twice */
	if (fcntl(fd, F_DUPFD_CLOEXEC, 100) < 0)
		err(99, "fcntl");
	table->magic = SHMFD_TABLE_MAGIC;
	table->version = SHMFD_LAYOUT_VERSION;
	table->record_nr = SHMFD_TABLE_RECORDS;
	if (!strcmp(argv[1], "good"))
		add_streams(argv[2]);
	else
		add(-1, SHMFD_MODE_RING, SHMFD_MODE_RING, SHMFD_WHY_NONE);
	if (!strcmp(argv[1], "fork"))
		printf("child %d\n", child = add_child());
	spoil(argv[1], fd);
	printf("pid %d\n", getpid());
	fflush(stdout);

	snprintf(self, sizeof(self), "%d", getpid());
	for (int i = 4; i < argc; i++)
		if (!strcmp(argv[i], "@PID"))
			argv[i] = self;
	command = fork();
	if (!command) {
		execv(argv[3], argv + 3);
		_exit(127);
	}
	if (waitpid(command, &status, 0) != command)
		err(99, "waitpid");
	if (child)
		kill(child, SIGKILL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}
