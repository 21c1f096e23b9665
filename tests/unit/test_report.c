/* SPDX-License-Identifier: MIT */

/*
 * report.c: every reason has its word, the log and the summary go where they
 * should and nowhere else.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"
#include "sys.h"

static unsigned int writes;	/* calls, and how each of them behaves */
static size_t write_max;

static ssize_t fake_write(int fd, const void *buf, size_t len)
{
	writes++;
	if (write_max && writes % 2) {
		errno = EINTR;
		return -1;
	}
	return write(fd, buf, write_max && len > write_max ? write_max : len);
}

static int fake_fcntl(int fd, int cmd, long arg)
{
	return fcntl(fd, cmd, arg);
}

struct shmfd_sys shmfd_sys = {
	.read = read, .write = fake_write, .close = close, .fcntl = fake_fcntl,
};

static char file[64], text[8192];

static const char *file_text(void)
{
	int fd = open(file, O_RDONLY);
	ssize_t n;

	text[0] = '\0';
	if (fd < 0)
		return text;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int new_file(void **state)
{
	(void)state;
	snprintf(file, sizeof(file), "/tmp/test_report.XXXXXX");
	close(mkstemp(file));
	unlink(file);
	writes = 0;
	write_max = 0;
	return 0;
}

static int remove_file(void **state)
{
	(void)state;
	unlink(file);
	shmfd_report_init(0, NULL);
	return 0;
}

static void test_every_reason_has_its_own_word(void **state)
{
	(void)state;
	assert_string_equal(shmfd_report_reason(SHMFD_WHY_NONE), "-");
	assert_string_equal(shmfd_report_reason(SHMFD_WHY_BELOW), "below threshold");
	assert_string_equal(shmfd_report_reason(SHMFD_WHY_NO_PEER), "peer not preloaded");
	assert_string_equal(shmfd_report_reason(SHMFD_WHY_FDOPEN), "fdopen");
	assert_string_equal(shmfd_report_reason(SHMFD_WHY_TEST), "random retreat of a test");
	for (uint32_t i = 0; i < SHMFD_WHY_NR; i++) {
		assert_string_not_equal(shmfd_report_reason(i), "?");
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(shmfd_report_reason(i), shmfd_report_reason(k));
	}
	assert_string_equal(shmfd_report_reason(SHMFD_WHY_NR), "?");
	assert_string_equal(shmfd_report_reason(UINT32_MAX), "?");
}

static void test_state_is_ring_only_when_both_directions_are(void **state)
{
	(void)state;
	for (uint32_t rx = 0; rx < 6; rx++) {
		for (uint32_t tx = 0; tx < 6; tx++) {
			int rings = (rx == SHMFD_MODE_RING) + (tx == SHMFD_MODE_RING);

			assert_string_equal(shmfd_report_state(rx, tx),
					    rings == 2 ? "ring" : rings ? "mixed" : "kernel");
		}
	}
}

static void test_log_keeps_to_its_level_and_errno(void **state)
{
	char want[128];

	(void)state;
	shmfd_report_init(0, file);
	shmfd_log(1, "not asked");
	assert_int_equal(access(file, F_OK), -1);
	shmfd_report_init(2, file);
	errno = ENOTDIR;
	shmfd_log(1, "one %d", 1);
	shmfd_log(2, "two %m");
	shmfd_log(3, "three");
	assert_int_equal(errno, ENOTDIR);
	snprintf(want, sizeof(want), "shmfd[%d]: one 1\nshmfd[%d]: two Not a directory\n",
		 getpid(), getpid());
	assert_string_equal(file_text(), want);
	assert_int_equal(writes, 2);
}

static void test_log_cuts_a_long_line_and_ends_it(void **state)
{
	char *big = malloc(5001);

	(void)state;
	assert_non_null(big);
	memset(big, 'x', 5000);
	big[5000] = '\0';
	shmfd_report_init(1, file);
	shmfd_log(1, "%s", big);
	shmfd_log(1, "after");
	free(big);
	file_text();
	assert_in_range(strcspn(text, "\n"), 500, 1100);
	assert_non_null(strstr(text, "x\nshmfd["));
	assert_non_null(strstr(text, "after\n"));
}

static void test_short_and_interrupted_writes_lose_nothing(void **state)
{
	char want[64];

	(void)state;
	write_max = 3;
	shmfd_report_init(1, file);
	shmfd_log(1, "a whole line");
	snprintf(want, sizeof(want), "shmfd[%d]: a whole line\n", getpid());
	assert_string_equal(file_text(), want);
}

static void test_log_that_cannot_be_opened_is_silent(void **state)
{
	(void)state;
	shmfd_report_init(3, "/proc/nowhere/at all");
	errno = 77;
	shmfd_log(1, "lost");
	assert_int_equal(errno, 77);
	assert_int_equal(writes, 0);
}

/* Runs in a child: its stderr becomes @first, then after init @then. */
static int log_with_stderr(int first, int then)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		dup2(first, STDERR_FILENO);
		shmfd_report_init(1, NULL);
		if (then < 0)
			close(STDERR_FILENO);
		else if (then != first)
			dup2(then, STDERR_FILENO);
		shmfd_log(1, "words");
		_exit((int)writes);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_stderr_of_another_owner_is_left_alone(void **state)
{
	int pipes[2], sockets[2], data, log;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	data = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(data >= 0);
	log = open(file, O_WRONLY | O_APPEND);
	assert_true(log >= 0);

	assert_int_equal(log_with_stderr(pipes[1], pipes[1]), 1);
	assert_int_equal(log_with_stderr(sockets[0], sockets[0]), 1);
	assert_int_equal(log_with_stderr(pipes[1], sockets[0]), 0);
	assert_int_equal(log_with_stderr(sockets[1], sockets[0]), 0);
	assert_int_equal(log_with_stderr(pipes[1], -1), 0);
	assert_string_equal(file_text(), "");
	assert_int_equal(log_with_stderr(pipes[1], data), 0);
	assert_string_equal(file_text(), "");
	assert_int_equal(log_with_stderr(pipes[1], log), 1);
	assert_non_null(strstr(file_text(), "]: words\n"));
	for (int i = 0; i < 2; i++) {
		close(pipes[i]);
		close(sockets[i]);
	}
	close(data);
	close(log);
}

static void test_summary_is_one_line_with_every_counter(void **state)
{
	static const struct shmfd_totals t = {
		.streams = 51, .promoted = 50,
		.ring_rx_bytes = 1, .ring_rx_msgs = 2, .ring_tx_bytes = UINT64_MAX,
		.ring_tx_msgs = 4, .kernel_rx_bytes = 5, .kernel_rx_msgs = 6,
		.kernel_tx_bytes = 7, .kernel_tx_msgs = 8,
	};
	char want[512];
	struct stat st;
	mode_t mask;

	(void)state;
	snprintf(want, sizeof(want),
		 "shmfd pid=%d program=test_report streams=51 promoted=50 ring_rx_bytes=1 "
		 "ring_rx_msgs=2 ring_tx_bytes=18446744073709551615 ring_tx_msgs=4 "
		 "kernel_rx_bytes=5 kernel_rx_msgs=6 kernel_tx_bytes=7 kernel_tx_msgs=8\n",
		 getpid());
	errno = 5;
	mask = umask(0);
	shmfd_report_stats(file, &t);
	umask(mask);
	assert_int_equal(errno, 5);
	assert_string_equal(file_text(), want);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	shmfd_report_stats(file, &t);
	assert_int_equal(strlen(file_text()), 2 * strlen(want));
	assert_string_equal(text + strlen(want), want);
	assert_int_equal(writes, 2);
	shmfd_report_stats(NULL, &t);
	shmfd_report_stats("/proc/nowhere/at all", &t);
	assert_int_equal(writes, 2);
}

static void test_summary_name_has_no_blanks(void **state)
{
	static const struct shmfd_totals t;
	char saved[16];

	(void)state;
	assert_int_equal(prctl(PR_GET_NAME, saved), 0);
	assert_int_equal(prctl(PR_SET_NAME, "a b\tc=d"), 0);
	shmfd_report_stats(file, &t);
	assert_int_equal(prctl(PR_SET_NAME, saved), 0);
	assert_non_null(strstr(file_text(), " program=a_b_c=d streams=0 "));
}

#define ON_FILE(test)	cmocka_unit_test_setup_teardown(test, new_file, remove_file)

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_every_reason_has_its_own_word),
		cmocka_unit_test(test_state_is_ring_only_when_both_directions_are),
		ON_FILE(test_log_keeps_to_its_level_and_errno),
		ON_FILE(test_log_cuts_a_long_line_and_ends_it),
		ON_FILE(test_short_and_interrupted_writes_lose_nothing),
		ON_FILE(test_log_that_cannot_be_opened_is_silent),
		ON_FILE(test_stderr_of_another_owner_is_left_alone),
		ON_FILE(test_summary_is_one_line_with_every_counter),
		ON_FILE(test_summary_name_has_no_blanks),
	};

	return cmocka_run_group_tests(test, NULL, NULL);
}
