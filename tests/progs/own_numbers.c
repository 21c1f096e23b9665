/* SPDX-License-Identifier: MIT */
/*
 * Description: a vfork child has a stream of its own, and closes it: its number is a file of
 * the parent's next.  A thread leaves the table of the others by close_range, which closes
 * what it sees: theirs stay open.
 */
#include "duo.h"

#include <linux/close_range.h>
#include <sys/stat.h>

#define LINES 50

/* Two processes, as the parent sleeps until the child exits. */
static void of_child(void)
{
	FILE *file = tmpfile();
	volatile pid_t child = vfork();
	struct stat st;
	int fd, bad = 0;

	if (child == 0) {
		close(duo_another_warm());
		_exit(4);
	}
	duo_reap(child, "child");
	fd = dup(fileno(file));
	for (int i = 0; i < LINES; i++)
		bad += write(fd, "0123456789", 10) != 10;
	fstat(fd, &st);
	say("%d writes failed, %lld bytes", bad, (long long)st.st_size);
	close(fd);
	fclose(file);
}

static void *leave_table(void *arg)
{
	(void)arg;
	say_result("close_range", close_range(3, ~0u, CLOSE_RANGE_UNSHARE));
	return NULL;
}

static void ask(int fd)
{
	duo_send_pattern(fd, 1000, 1);
	duo_say_received(fd, "answer", 1000);
}

static void client(int fd)
{
	pthread_t thread;

	duo_warmup(fd);
	of_child();
	ask(fd);
	pthread_create(&thread, NULL, leave_table, NULL);
	pthread_join(thread, NULL);
	ask(fd);
}

static void server(int fd)
{
	char byte;
	int other;

	duo_warmup(fd);
	other = duo_another_warm();
	say_result("read of the child's", read(other, &byte, 1));
	close(other);
	for (int i = 0; i < 2; i++) {
		duo_say_received(fd, "question", 1000);
		duo_send_pattern(fd, 1000, 2);
	}
	say_result("read at end", read(fd, &byte, 1));
}

DUO_PROGRAM(.description = "numbers that are not the parent's, or the other threads'",
	    .server = server, .client = client)
