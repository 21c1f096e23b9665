/* SPDX-License-Identifier: MIT */

/*
 * See report.h.  This file owns the words for states and reasons and every
 * byte that the library writes on its own behalf.
 *
 * No descriptor is kept open: the log and the summary are opened for each line,
 * so a host that closes or reuses descriptors cannot make us write into
 * something of its own.  For the same reason stderr is used only while
 * descriptor 2 is the file that it was at the start, or one open for appending
 * (servers put their own error log there).
 *
 * It may run in any thread, in a signal handler, after fork.  A line is one
 * write(2): lines of several processes do not mix.
 */
#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

#define LINE_BYTES	1024

static struct {
	int level;
	const char *path;
	bool has_stderr;
	dev_t stderr_dev;
	ino_t stderr_ino;
} report;

const char *shmfd_report_reason(uint32_t reason)
{
	static const char *const word[SHMFD_WHY_NR] = {
		[SHMFD_WHY_NONE]	= "-",
		[SHMFD_WHY_BELOW]	= "below threshold",
		[SHMFD_WHY_MEETING]	= "waiting for the peer",
		[SHMFD_WHY_NO_PEER]	= "peer not preloaded",
		[SHMFD_WHY_REMOTE]	= "peer not on this machine",
		[SHMFD_WHY_RULE]	= "rule says kernel",
		[SHMFD_WHY_UNSEEN]	= "bytes moved unseen",
		[SHMFD_WHY_PROOF]	= "peer not proven",
		[SHMFD_WHY_NO_DIAG]	= "kernel does not name the peer",
		[SHMFD_WHY_NO_FD]	= "no descriptor left",
		[SHMFD_WHY_NO_MEMORY]	= "no memory for a segment",
		[SHMFD_WHY_SHARED]	= "held by several processes",
		[SHMFD_WHY_FDOPEN]	= "fdopen",
		[SHMFD_WHY_STDIO_FD]	= "descriptor 0, 1 or 2",
		[SHMFD_WHY_EXEC]	= "exec",
		[SHMFD_WHY_PASSED]	= "sent by SCM_RIGHTS",
		[SHMFD_WHY_OOB]		= "out-of-band data",
		[SHMFD_WHY_OPTION]	= "socket option",
		[SHMFD_WHY_ANCILLARY]	= "ancillary data",
		[SHMFD_WHY_ASYNC]	= "O_ASYNC, F_SETOWN or F_SETSIG",
		[SHMFD_WHY_SHUTDOWN]	= "shut down",
		[SHMFD_WHY_PEER_LEFT]	= "peer left the ring",
		[SHMFD_WHY_PEER_GONE]	= "peer gone",
		[SHMFD_WHY_PROTOCOL]	= "rubbish in the segment",
		[SHMFD_WHY_SLEEPERS]	= "several sleepers of different kinds",
		[SHMFD_WHY_EPOLL]	= "epoll use that is not handled exactly",
		[SHMFD_WHY_SETS]	= "seen by an epoll set of the kernel's",
		[SHMFD_WHY_STUCK]	= "full for long, the peer does not read",
		[SHMFD_WHY_SANDBOX]	= "seccomp sandbox",
		[SHMFD_WHY_SPLICE]	= "splice",
		[SHMFD_WHY_OTHER_PID]	= "used by another process after fork",
		[SHMFD_WHY_TEST]	= "random retreat of a test",
		[SHMFD_WHY_RECONNECT]	= "connected anew",
		[SHMFD_WHY_SELF]	= "both ends in one process",
		[SHMFD_WHY_PACKETS]	= "SOCK_SEQPACKET",
		[SHMFD_WHY_UNBOUND]	= "RTLD_DEEPBIND or dlmopen",
		[SHMFD_WHY_URING]	= "io_uring",
	};

	if (reason >= SHMFD_WHY_NR || !word[reason])
		return "?";
	return word[reason];
}

const char *shmfd_report_state(uint32_t rx_mode, uint32_t tx_mode)
{
	if (rx_mode == SHMFD_MODE_RING && tx_mode == SHMFD_MODE_RING)
		return "ring";
	if (rx_mode == SHMFD_MODE_RING || tx_mode == SHMFD_MODE_RING)
		return "mixed";
	return "kernel";
}

void shmfd_report_init(int level, const char *path)
{
	int saved_errno = errno;
	struct stat st;

	report.level = level;
	report.path = path;
	report.has_stderr = level > 0 && !path && !fstat(STDERR_FILENO, &st);
	if (report.has_stderr) {
		report.stderr_dev = st.st_dev;
		report.stderr_ino = st.st_ino;
	}
	errno = saved_errno;
}

static void write_all(int fd, const char *line, size_t len)
{
	while (len) {
		ssize_t n = shmfd_sys.write(fd, line, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line += n;
		len -= (size_t)n;
	}
}

static void append(const char *path, const char *line, size_t len)
{
	/*
	 * A terminal must not become the host's controlling one, and a FIFO
	 * without a reader must not stop it.
	 */
	long fd = syscall(SYS_openat, AT_FDCWD, path,
			  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);

	if (fd < 0)
		return;
	write_all((int)fd, line, len);
	shmfd_sys.close((int)fd);
}

static bool stderr_is_ours(void)
{
	struct stat st;
	int flags;

	if (fstat(STDERR_FILENO, &st))
		return false;
	if (report.has_stderr && st.st_dev == report.stderr_dev && st.st_ino == report.stderr_ino)
		return true;
	flags = shmfd_sys.fcntl(STDERR_FILENO, F_GETFL, 0);
	return flags >= 0 && (flags & O_APPEND);
}

/* What snprintf would have written is cut to what it has; room for '\n'. */
static size_t cut(int len, size_t cap)
{
	if (len < 0)
		return 0;
	return (size_t)len < cap - 1 ? (size_t)len : cap - 2;
}

void shmfd_log(int level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	int saved_errno = errno;
	size_t len;
	va_list ap;

	if (level > report.level)
		return;
	len = cut(snprintf(line, sizeof(line), "shmfd[%d]: ", (int)getpid()), sizeof(line));
	va_start(ap, fmt);
	errno = saved_errno;	/* for %m */
	len += cut(vsnprintf(line + len, sizeof(line) - len, fmt, ap), sizeof(line) - len);
	va_end(ap);
	line[len++] = '\n';
	if (report.path)
		append(report.path, line, len);
	else if (stderr_is_ours())
		write_all(STDERR_FILENO, line, len);
	errno = saved_errno;
}

/*
 * The name the program was started by.  /proc/self/exe would show where a
 * symbolic link leads, argv[0] is a title in many servers.
 */
static void program_name(char *name, size_t cap)
{
	long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC, 0);
	ssize_t len = 0;

	if (fd >= 0) {
		len = shmfd_sys.read((int)fd, name, cap - 1);
		shmfd_sys.close((int)fd);
	}
	if (len > 0 && name[len - 1] == '\n')
		len--;
	name[len > 0 ? len : 0] = '\0';
	for (char *p = name; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 127)
			*p = '_';
	if (!name[0])
		strcpy(name, "?");
}

void shmfd_report_stats(const char *path, const struct shmfd_totals *t)
{
	char line[LINE_BYTES], name[64];
	int saved_errno = errno;
	int len;

	program_name(name, sizeof(name));
	len = snprintf(line, sizeof(line),
		       "shmfd pid=%d program=%s streams=%" PRIu64 " promoted=%" PRIu64
		       " ring_rx_bytes=%" PRIu64 " ring_rx_msgs=%" PRIu64
		       " ring_tx_bytes=%" PRIu64 " ring_tx_msgs=%" PRIu64
		       " kernel_rx_bytes=%" PRIu64 " kernel_rx_msgs=%" PRIu64
		       " kernel_tx_bytes=%" PRIu64 " kernel_tx_msgs=%" PRIu64 "\n",
		       (int)getpid(), name, t->streams, t->promoted,
		       t->ring_rx_bytes, t->ring_rx_msgs, t->ring_tx_bytes, t->ring_tx_msgs,
		       t->kernel_rx_bytes, t->kernel_rx_msgs, t->kernel_tx_bytes,
		       t->kernel_tx_msgs);
	if (path && len > 0 && (size_t)len < sizeof(line))
		append(path, line, (size_t)len);
	errno = saved_errno;
}
