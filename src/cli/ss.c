/* SPDX-License-Identifier: MIT */

/*
 * shmfd ss: the streams of running preloaded programs.
 *
 * A preloaded process holds its table as a memfd of a known name; this command
 * finds it among the descriptors in /proc and reads it from outside, while its
 * owner goes on writing.  Another program may hold something of that name too:
 * nothing is believed.  The table is read by pread(2), not mapped: a mapping
 * could be cut off under our feet (SIGBUS), and reading one allocates the pages
 * that its owner never touched.
 */
#define _GNU_SOURCE
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc.h"
#include "report.h"
#include "shmfd/layout.h"
#include "sockets.h"

#define TABLE_LINK	"/memfd:" SHMFD_TABLE_NAME " (deleted)"
#define TABLES_MAX	16	/* of one process; more than one is odd already */
#define CHUNK		64u	/* records read at a time */

static const char help[] =
	"Usage: shmfd ss [--pid PID]\n"
	"\n"
	"Lists every stream of every preloaded process of this user (root: of all).\n"
	"\n"
	"      --pid PID  only this process\n"
	"  -h, --help     this text\n"
	"\n"
	"STATE is ring (both directions by shared memory), kernel (none) or mixed.\n"
	"RX and TX are bytes received and sent by the process, MSGS and BELLS count\n"
	"messages and wake-ups both ways.  REASON says why a stream is not, or no\n"
	"longer, in a ring; - if there is nothing to say, ? for what is unknown.\n";

enum column {
	COL_PID, COL_PROGRAM, COL_FD, COL_LOCAL, COL_PEER, COL_STATE,
	COL_RING_RX, COL_RING_TX, COL_KERNEL_RX, COL_KERNEL_TX,
	COL_RING_MSGS, COL_KERNEL_MSGS, COL_BELLS, COL_REASON, COL_NR
};

static const struct {
	const char *title;
	bool right;		/* numbers are aligned to the right */
} column[COL_NR] = {
	[COL_PID]		= { "PID", true },
	[COL_PROGRAM]		= { "PROGRAM", false },
	[COL_FD]		= { "FD", true },
	[COL_LOCAL]		= { "LOCAL", false },
	[COL_PEER]		= { "PEER", false },
	[COL_STATE]		= { "STATE", false },
	[COL_RING_RX]		= { "RING-RX", true },
	[COL_RING_TX]		= { "RING-TX", true },
	[COL_KERNEL_RX]		= { "KERNEL-RX", true },
	[COL_KERNEL_TX]		= { "KERNEL-TX", true },
	[COL_RING_MSGS]		= { "RING-MSGS", true },
	[COL_KERNEL_MSGS]	= { "KERNEL-MSGS", true },
	[COL_BELLS]		= { "BELLS", true },
	[COL_REASON]		= { "REASON", false },
};

struct row {
	char *text[COL_NR];
};

struct list {
	struct row *row;
	size_t nr, cap;
	struct sockets *sockets;
};

/* The process that is being looked at. */
struct process {
	pid_t pid;
	uint32_t own_pid;	/* in its namespace, as it writes it itself */
	char name[32];
	ino_t seen[TABLES_MAX];
	size_t seen_nr;
};

static char *number(uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return cli_strdup(text);
}

/* @r is our private copy: the fields are plain words here. */
static void add_row(struct list *l, const struct process *p, const struct shmfd_record *r)
{
	const char *local, *peer;
	int fd = r->fd;
	struct row *row;

	if (l->nr == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->row = cli_realloc(l->row, l->cap, sizeof(*l->row));
	}
	row = &l->row[l->nr++];
	sockets_lookup(l->sockets, p->pid, fd >= 0 ? proc_socket(p->pid, fd) : 0, &local, &peer);
	*row = (struct row){ {
		[COL_PID]	= number((uint64_t)p->pid),
		[COL_PROGRAM]	= cli_strdup(p->name),
		[COL_FD]	= fd >= 0 ? number((uint64_t)fd) : cli_strdup("-"),
		[COL_LOCAL]	= cli_strdup(local),
		[COL_PEER]	= cli_strdup(peer),
		[COL_STATE]	= cli_strdup(shmfd_report_state(r->rx_mode, r->tx_mode)),
		[COL_RING_RX]	= number(r->ring_rx_bytes),
		[COL_RING_TX]	= number(r->ring_tx_bytes),
		[COL_KERNEL_RX]	= number(r->kernel_rx_bytes),
		[COL_KERNEL_TX]	= number(r->kernel_tx_bytes),
		[COL_RING_MSGS]	= number(r->ring_rx_msgs + r->ring_tx_msgs),
		[COL_KERNEL_MSGS] = number(r->kernel_rx_msgs + r->kernel_tx_msgs),
		[COL_BELLS]	= number(r->bells_rx + r->bells_tx),
		[COL_REASON]	= cli_strdup(shmfd_report_reason(r->reason)),
	} };
}

static bool read_all(int fd, void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, (off_t)off);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

/* A table is shared over fork: only the records that @p may use are its own. */
static void read_table(struct list *l, const struct process *p, int fd)
{
	struct {
		uint64_t magic;
		uint32_t version, record_nr, high;
	} head;
	static struct shmfd_record record[CHUNK];
	uint32_t nr;

	_Static_assert(offsetof(struct shmfd_table, high) == 16, "head as in layout.h");
	if (!read_all(fd, &head, sizeof(head), 0) || head.magic != SHMFD_TABLE_MAGIC ||
	    head.version != SHMFD_LAYOUT_VERSION || head.record_nr != SHMFD_TABLE_RECORDS)
		return;
	if (head.high > head.record_nr)
		head.high = head.record_nr;
	for (uint32_t i = 0; i < head.high; i += nr) {
		nr = head.high - i < CHUNK ? head.high - i : CHUNK;
		if (!read_all(fd, record, nr * sizeof(record[0]),
			      SHMFD_PAGE + (uint64_t)i * sizeof(record[0])))
			return;
		for (uint32_t k = 0; k < nr; k++)
			if (record[k].used == 1 && record[k].user_pid == p->own_pid)
				add_row(l, p, &record[k]);
	}
}

static bool seen_before(struct process *p, ino_t ino)
{
	for (size_t i = 0; i < p->seen_nr; i++)
		if (p->seen[i] == ino)
			return true;
	if (p->seen_nr == TABLES_MAX)
		return true;
	p->seen[p->seen_nr++] = ino;
	return false;
}

static void look_at(struct list *l, struct process *p, const char *path)
{
	char target[sizeof(TABLE_LINK) + 1];
	struct stat st;
	int fd;

	if (!proc_link(path, target, sizeof(target)) || strcmp(target, TABLE_LINK) != 0)
		return;
	/* Whatever is there by now: opening must neither wait nor act on it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    st.st_size >= (off_t)sizeof(struct shmfd_table) && !seen_before(p, st.st_ino)) {
		if (!p->own_pid) {
			p->own_pid = (uint32_t)proc_own_pid(p->pid);
			proc_name(p->pid, p->name, sizeof(p->name));
		}
		read_table(l, p, fd);
	}
	close(fd);
}

static void read_process(struct list *l, pid_t pid)
{
	struct process p = { .pid = pid };
	char path[PROC_PATH];
	struct dirent *d;
	DIR *dir;

	proc_path(path, pid, "fd");
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		proc_path(path, pid, "fd/%.20s", d->d_name);
		look_at(l, &p, path);
	}
	if (dir)
		closedir(dir);
}

static int print_list(const struct list *l)
{
	int width[COL_NR];

	for (int c = 0; c < COL_NR; c++) {
		width[c] = (int)strlen(column[c].title);
		for (size_t i = 0; i < l->nr; i++)
			if ((int)strlen(l->row[i].text[c]) > width[c])
				width[c] = (int)strlen(l->row[i].text[c]);
	}
	for (size_t i = 0; i <= l->nr; i++) {
		for (int c = 0; c < COL_NR; c++) {
			const char *text = i ? l->row[i - 1].text[c] : column[c].title;

			if (c == COL_NR - 1)
				printf("%s\n", text);
			else
				printf(column[c].right ? "%*s " : "%-*s ", width[c], text);
		}
	}
	return cli_flush();
}

static int show(pid_t only)
{
	struct list l = { .sockets = sockets_create() };
	pid_t *pid;
	int rc;

	if (only) {
		read_process(&l, only);
	} else {
		pid = proc_list();
		for (size_t i = 0; pid[i]; i++)
			read_process(&l, pid[i]);
		free(pid);
	}
	rc = print_list(&l);
	for (size_t i = 0; i < l.nr; i++)
		for (int c = 0; c < COL_NR; c++)
			free(l.row[i].text[c]);
	free(l.row);
	sockets_destroy(l.sockets);
	return rc;
}

static bool parse_pid(const char *text, pid_t *ret_pid)
{
	long n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || n > INT_MAX / 10)
			return false;
		n = n * 10 + (*text - '0');
	}
	if (!n || n > INT_MAX)
		return false;
	*ret_pid = (pid_t)n;
	return true;
}

int cli_ss(int argc, char **argv)
{
	static const char pid_option[] = "--pid";
	pid_t only = 0;

	for (int i = 1; i < argc; i++) {
		const char *value = NULL;

		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return cli_print(help);
		if (!strncmp(argv[i], "--pid=", 6))
			value = argv[i] + 6;
		else if (strcmp(argv[i], pid_option) != 0)
			return cli_usage_error("ss", "ss has no argument '%s'", argv[i]);
		else if (++i == argc)
			return cli_usage_error("ss", "--pid needs a number");
		else
			value = argv[i];
		if (!parse_pid(value, &only))
			return cli_usage_error("ss", "'%s' is not a process number", value);
	}
	return show(only);
}
