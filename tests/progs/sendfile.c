/* SPDX-License-Identifier: MIT */
/* Description: sendfile from a file with and without an offset pointer, and its errors. */
#include "duo.h"

#include <sys/mman.h>
#include <sys/sendfile.h>

#define SIZE 100000
#define BIG (3 << 20)	/* more than any buffer between the ends */

static unsigned char buf[SIZE], big[BIG];

static void server(int fd)
{
	static const size_t parts[] = {1000, 1000, SIZE - 50, SIZE, 50};

	duo_warmup(fd);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t got = duo_read_all(fd, buf, parts[i]);

		say("read %zu sum %016llx", got, (unsigned long long)duo_sum(buf, got));
	}
	duo_post();
	say("big sum %016llx", (unsigned long long)duo_sum(big, duo_read_all(fd, big, BIG)));
	say_result("read at end", read(fd, buf, 1));
}

/* Blocking sendfile may send less than asked; the sum must come right. */
static void send_all(int fd, int file, off_t *offset, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = sendfile(fd, file, offset, len - sent);

		if (n <= 0)
			die("sendfile %zd", n);
		sent += (size_t)n;
	}
	say("sent %zu, pointer %ld, file at %ld", sent, offset ? (long)*offset : -1,
	    (long)lseek(file, 0, SEEK_CUR));
}

static void client(int fd)
{
	int file = memfd_create("input", MFD_CLOEXEC);
	off_t offset = 500;
	off_t past = SIZE + 5;
	off_t negative = -5;

	signal(SIGPIPE, SIG_IGN);
	duo_pattern(buf, SIZE, 9);
	duo_write_all(file, buf, SIZE);
	lseek(file, 0, SEEK_SET);
	duo_warmup(fd);
	send_all(fd, file, NULL, 1000);
	send_all(fd, file, &offset, 1000);
	offset = 50;
	say_result("sendfile beyond the end", sendfile(fd, file, &offset, SIZE * 2));
	say("pointer %ld", (long)offset);
	offset = 0;
	send_all(fd, file, &offset, SIZE);
	say_result("sendfile of 0", sendfile(fd, file, NULL, 0));
	say_result("sendfile past the end", sendfile(fd, file, &past, 10));
	say_result("sendfile at a negative offset", sendfile(fd, file, &negative, 10));
	say_result("sendfile from a bad descriptor", sendfile(fd, -1, NULL, 10));
	say_result("sendfile to a bad descriptor", sendfile(-1, file, NULL, 10));
	lseek(file, -50, SEEK_END);
	say_result("sendfile of the last 50", sendfile(fd, file, NULL, 1000));
	say_result("sendfile at the end", sendfile(fd, file, NULL, 1000));
	duo_await();
	duo_pattern(big, BIG, 10);
	lseek(file, 0, SEEK_SET);
	duo_write_all(file, big, BIG);
	offset = 0;
	say_result("sendfile of more than fits", sendfile(fd, file, &offset, BIG));
	say("pointer %ld", (long)offset);
	say_result("shutdown", shutdown(fd, SHUT_WR));
	lseek(file, 0, SEEK_SET);
	say_result("sendfile after it", sendfile(fd, file, NULL, 1000));
	say("file at %ld", (long)lseek(file, 0, SEEK_CUR));
}

DUO_PROGRAM(.description = "sendfile", .server = server, .client = client)
