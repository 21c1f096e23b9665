/* SPDX-License-Identifier: MIT */
/*
 * Description: a library opened with RTLD_DEEPBIND, at the other end one in a namespace of
 * its own (dlmopen), reads, writes, polls and closes streams of the program that are in use.
 *
 * Compiled with -DPLUGIN it is that library.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <poll.h>
#include <unistd.h>

struct plugin {
	ssize_t (*read)(int fd, void *buf, size_t len);
	ssize_t (*write)(int fd, const void *buf, size_t len);
	int (*poll)(struct pollfd *p, nfds_t nr, int timeout);
	int (*close)(int fd);
};

#ifdef PLUGIN

/* Addresses as this library finds them. */
const struct plugin plugin = {.read = read, .write = write, .poll = poll, .close = close};

#else

#include "duo.h"

#include <dlfcn.h>

#define UNREAD 5000
#define SIZE   1000

static char buf[UNREAD];

static const struct plugin *open_plugin(void)
{
	char path[4200];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 4);
	void *library;

	if (n < 0)
		die("readlink");
	memcpy(path + n, ".so", 4);
	library = duo_is_server() ? dlmopen(LM_ID_NEWLM, path, RTLD_NOW)
				  : dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
	if (!library)
		die("%s", dlerror());
	return dlsym(library, "plugin");
}

static void receive(int fd, const struct plugin *p, size_t len, const char *who)
{
	size_t got = 0;
	ssize_t n = 1;

	for (; got < len && n > 0; got += (size_t)n)
		n = p->read(fd, buf + got, len - got);
	say("%s: %zu sum %016llx", who, got, (unsigned long long)duo_sum(buf, got));
}

/* What comes and goes by turns of the program and of its library. */
static void exchange(int fd, const struct plugin *p, bool first)
{
	static const struct plugin own = {.read = read, .write = write};

	for (uint32_t i = 0; i < 8; i++) {
		const struct plugin *now = i % 3 ? p : &own;

		if (!first)
			receive(fd, now, SIZE, i % 3 ? "library" : "program");
		duo_pattern(buf, SIZE, i);
		if (now->write(fd, buf, SIZE) != SIZE)
			die("write");
		if (first)
			receive(fd, now, SIZE, i % 3 ? "library" : "program");
	}
}

/* In @opens' process the library is opened, with bytes unread on both sides. */
static void phase(bool opens)
{
	static const struct plugin own = {.read = read, .poll = poll, .write = write,
					  .close = close};
	const struct plugin *p = &own;
	int fd = duo_another_warm(), later, n;
	struct pollfd in = {.fd = fd, .events = POLLIN};

	duo_send_pattern(fd, UNREAD, 5);
	duo_await_bytes(fd, UNREAD);
	duo_meet();
	if (opens) {
		p = open_plugin();
		duo_post();
		/* the other end sends again what is unread when it sleeps */
		n = p->poll(&in, 1, 5000);
		say("poll %d: %s", n, duo_poll_bits(in.revents));
	} else {
		duo_await();
	}
	receive(fd, p, UNREAD, opens ? "library" : "program");
	exchange(fd, p, !opens);
	later = duo_another();
	exchange(later, p, !opens);
	say_result("close", p->close(fd));
	duo_meet();
	if (duo_is_server())
		say_result("read at end", read(later, buf, 1));
	say_result("close", p->close(later));
}

static void run(int fd)
{
	struct sockaddr_storage address;
	pid_t child;

	(void)fd;
	duo_address(&address);
	child = duo_fork();
	if (child == 0) {
		phase(!duo_is_server());
		_exit(0);
	}
	duo_reap(child, "child");
	duo_meet();
	phase(duo_is_server());
}

DUO_PROGRAM(.description = "libraries whose calls are their own", .traits = DUO_OWN_SETUP,
	    .server = run, .client = run)

#endif
