/* SPDX-License-Identifier: MIT */
/*
 * Description: RLIMIT_FSIZE is below the size of any shared memory: the kernel would
 * send SIGXFSZ.  And a poll of more entries than there may be descriptors.
 */
#include "duo.h"

#include <sys/resource.h>

static void end(int fd)
{
	struct rlimit most;
	volatile nfds_t many = 100u << 20;	/* the compiler must not see it */
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	char buf[6];

	if (getrlimit(RLIMIT_FSIZE, &most))
		die("getrlimit");
	most.rlim_cur = 8192;
	if (setrlimit(RLIMIT_FSIZE, &most))
		die("setrlimit");
	duo_warmup(fd);
	duo_write_all(fd, "hello", 6);
	say_result("read", (ssize_t)duo_read_all(fd, buf, 6));
	say("%s", buf);
	say_result("poll", poll(&p, 1, 0));
	say_result("poll of too many", poll(&p, many, 0));
	duo_meet();
}

DUO_PROGRAM(.description = "a small limit of file sizes", .traits = DUO_KERNEL_ONLY,
	    .server = end, .client = end)
