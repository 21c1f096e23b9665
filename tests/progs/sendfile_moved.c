/* SPDX-License-Identifier: MIT */
/*
 * Description: a sendfile that waits for room while its stream leaves the rings sends the
 * whole file; so does one whose stream had left with bytes unread.
 */
#include "duo.h"

#include <sys/mman.h>
#include <sys/sendfile.h>

#define SIZE (16 << 20)	/* more than any buffers between the ends */

static unsigned char big[SIZE];

/* The option makes the stream leave. */
static void leave(int fd)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one)))
		die("SO_RCVLOWAT: %s", strerror(errno));
}

static void server(int fd)
{
	for (int i = 0; i < 2; i++) {
		int s = duo_another_warm();
		pid_t client = (pid_t)duo_hear();

		if (i == 1)
			leave(s);
		duo_post();
		duo_await_asleep(client, client);
		duo_read_all(s, big, 100);
		if (i == 0)
			leave(s);
		duo_read_all(s, big + 100, SIZE - 100);
		say("sum %016llx", (unsigned long long)duo_sum(big, SIZE));
		close(s);
	}
	close(fd);
}

static void client(int fd)
{
	int file = memfd_create("input", MFD_CLOEXEC);

	duo_pattern(big, SIZE, 9);
	duo_write_all(file, big, SIZE);
	for (int i = 0; i < 2; i++) {
		int s = duo_another_warm();
		off_t offset = 0;

		if (i == 1)	/* unread when the stream leaves */
			duo_write_all(s, big, 100);
		duo_tell(getpid());
		duo_await();
		offset = i == 1 ? 100 : 0;
		say_result("sendfile", sendfile(s, file, &offset, SIZE));
		say("pointer %ld", (long)offset);
		close(s);
	}
	close(fd);
}

DUO_PROGRAM(.description = "sendfile of a stream that leaves its rings", .server = server,
	    .client = client)
