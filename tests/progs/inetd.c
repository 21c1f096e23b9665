/* SPDX-License-Identifier: MIT */
/*
 * Description: a super server starts programs with a stream on 0, 1 and 2: a shell, this
 * program; and one that gets the listener on 0 and accepts for itself.
 */
#include "duo.h"

static char buf[4000];

/* As a service that knows nothing of sockets. */
static void serve_stdio(void)
{
	char line[200];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin))
		printf("service: %s", line);
	fputs("service ends\n", stderr);
}

/* As a service that is started with the listener. */
static void serve_listener(int listener)
{
	for (int i = 0; i < 2; i++) {
		int fd = accept(listener, NULL, NULL);
		ssize_t n;

		if (fd < 0)
			die("accept");
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			duo_write_all(fd, buf, (size_t)n);
		close(fd);
	}
}

/* @fd on the numbers 0 to @top of a new program. */
static pid_t start(int fd, int top, char *const argv[], const char *role)
{
	pid_t child = duo_fork();

	if (child)
		return child;
	setenv("INETD_ROLE", role, 1);
	for (int i = 0; i <= top; i++)
		dup2(fd, i);
	closefrom(3);
	execvp(argv[0], argv);
	_exit(126);
}

static void server(int fd)
{
	static char script[] = "while read -r line; do echo \"shell: $line\"; done; echo bye";
	char *shell[] = {"sh", "-c", script, NULL};
	char *self[] = {"/proc/self/exe", "server", (char *)duo_family(), (char *)duo_addrfile(),
			NULL};
	const char *role = getenv("INETD_ROLE");
	pid_t child;

	if (role) {
		if (role[0] == 's')
			serve_stdio();
		else
			serve_listener(STDIN_FILENO);
		return;
	}
	for (int i = 0; i < 4; i++) {
		fd = i % 2 ? duo_another_warm() : duo_another();
		child = start(fd, 2, i < 2 ? shell : self, "stdio");
		close(fd);
		duo_reap(child, "service");
	}
	/* and with the library's descriptors about: another stream is in use */
	fd = duo_another_warm();
	child = start(duo_listener(), 0, self, "listener");
	duo_warmup(fd);
	duo_reap(child, "service with the listener");
	duo_post();
	say_result("read at end", read(fd, buf, 1));
}

static void ask(int fd)
{
	size_t got;

	for (int i = 0; i < 20; i++) {
		int len = snprintf(buf, sizeof(buf), "line %d of several\n", i);

		duo_write_all(fd, buf, (size_t)len);
	}
	shutdown(fd, SHUT_WR);
	got = duo_read_all(fd, buf, sizeof(buf));
	say("%zu: %.*s... sum %016llx", got, 6, buf, (unsigned long long)duo_sum(buf, got));
	close(fd);
}

static void client(int fd)
{
	int keep;

	for (int i = 0; i < 4; i++) {
		fd = i % 2 ? duo_another_warm() : duo_another();
		ask(fd);
	}
	keep = duo_another_warm();
	duo_warmup(keep);
	for (int i = 0; i < 2; i++) {
		uint64_t sum = 0;

		fd = duo_another();
		for (uint32_t k = 0; k < 30; k++) {
			duo_pattern(buf, 3000, k);
			duo_write_all(fd, buf, 3000);
			sum = sum * 31 + duo_sum(buf, duo_read_all(fd, buf, 3000));
		}
		say("echoes sum %016llx", (unsigned long long)sum);
		close(fd);
	}
	duo_await();
	close(keep);
}

DUO_PROGRAM(.description = "inetd-style services", .traits = DUO_OWN_SETUP, .server = server,
	    .client = client)
