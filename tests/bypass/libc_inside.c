/* SPDX-License-Identifier: MIT */

/*
 * Description: what libc does with descriptors inside, where no name of its passes: stdio on a
 * stream, children of posix_spawn, system, popen, daemon and wordexp, asynchronous I/O, syslog,
 * a look-up of a name over TCP, copies of numbers.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <resolv.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#include <wordexp.h>

static int client, server;
static char *true_argv[] = { "true", NULL };
extern char **environ;

static int listen_on(uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fd, 4) ||
	    getsockname(fd, (struct sockaddr *)&sa, &len))
		err(1, "listener");
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

static void open_pair(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	uint16_t port;
	int listener = listen_on(&port);
	char c = 'c';

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sa.sin_port = htons(port);
	client = socket(AF_INET, SOCK_STREAM, 0);
	if (client < 0 || connect(client, (struct sockaddr *)&sa, sizeof(sa)))
		err(1, "connect");
	server = accept(listener, NULL, NULL);
	if (server < 0)
		err(1, "accept");
	close(listener);
	for (int i = 0; i < 6; i++)
		if (send(client, &c, 1, 0) != 1 || recv(server, &c, 1, 0) != 1 ||
		    send(server, &c, 1, 0) != 1 || recv(client, &c, 1, 0) != 1)
			err(1, "talk");
}

static void close_pair(void)
{
	close(client);
	close(server);
}

static void expect(int fd, const char *text)
{
	char got[64] = "";

	if (recv(fd, got, strlen(text), MSG_WAITALL) != (ssize_t)strlen(text) || strcmp(got, text))
		errx(1, "got '%s', not '%s'", got, text);
}

static void stdio(void)
{
	char line[64];
	FILE *in, *out;

	open_pair();
	dprintf(client, "printed\n");
	expect(server, "printed\n");
	in = fdopen(server, "r");
	out = fdopen(dup(client), "w");
	if (!in || !out)
		err(1, "fdopen");
	fputs("line\n", out);
	fflush(out);
	if (!fgets(line, sizeof(line), in) || strcmp(line, "line\n"))
		errx(1, "got '%s'", line);
	fputs("last\n", out);
	fclose(out);
	close(client);
	if (!fgets(line, sizeof(line), in) || fgets(line, sizeof(line), in))
		errx(1, "no end");
	fclose(in);
}

static void wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			err(1, "waitpid");
	if (status)
		errx(1, "status %x", status);
}

static void children(void)
{
	posix_spawn_file_actions_t fa;
	wordexp_t words;
	FILE *p;
	pid_t pid;

	open_pair();
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addclose(&fa, server);
	posix_spawn_file_actions_adddup2(&fa, client, 1);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	if (posix_spawnp(&pid, "true", &fa, NULL, true_argv, environ))
		errx(1, "posix_spawnp");
	wait_for(pid);
	posix_spawn_file_actions_destroy(&fa);
	if (system("exit 0"))
		errx(1, "system");
	p = popen("exit 0", "r");
	if (!p || pclose(p))
		errx(1, "popen");
	if (wordexp("$(echo a b)", &words, 0) || words.we_wordc != 2)
		errx(1, "wordexp");
	wordfree(&words);
	pid = fork();
	if (!pid) {
		if (daemon(1, 0))
			_exit(1);
		send(client, "child", 5, 0);
		_exit(0);
	}
	wait_for(pid);
	expect(server, "child");
	close_pair();
}

static void asynchronous(void)
{
	char buf[8];
	struct aiocb cb = { .aio_fildes = server, .aio_buf = buf, .aio_nbytes = 3 };
	const struct aiocb *list[] = { &cb };

	open_pair();
	cb.aio_fildes = server;
	if (aio_read(&cb))
		err(1, "aio_read");
	send(client, "abc", 3, 0);
	if (aio_suspend(list, 1, NULL) || aio_error(&cb) || aio_return(&cb) != 3)
		err(1, "aio");
	cb.aio_buf = "def";
	if (aio_write(&cb) || aio_suspend(list, 1, NULL) || aio_return(&cb) != 3)
		err(1, "aio_write");
	expect(client, "def");
	close_pair();
}

static void numbers(void)
{
	FILE *f = fopen("/dev/null", "w");
	int saved = dup(2);

	open_pair();
	fclose(f);
	/* the stream as the file behind stderr */
	dup2(client, 2);
	fputs("told\n", stderr);
	expect(server, "told\n");
	dup2(saved, 2);
	close(saved);
	f = fdopen(client, "w");
	if (!f || !freopen("/dev/null", "w", f))
		err(1, "freopen");
	fclose(f);
	close(server);
}

/* A name server over TCP that knows no name: the question comes back, marked as an answer. */
static void *name_server(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);
	unsigned char message[514];
	ssize_t len;

	while (fd >= 0 && (len = recv(fd, message, sizeof(message), 0)) > 5) {
		message[4] |= 0x80;
		message[5] = 3;
		send(fd, message, (size_t)len, MSG_NOSIGNAL);
	}
	close(fd);
	return NULL;
}

static void look_up(void)
{
	unsigned char answer[512];
	struct __res_state *r = &_res;
	pthread_t thread;
	uint16_t port;
	int listener = listen_on(&port);

	open_pair();
	pthread_create(&thread, NULL, name_server, &listener);
	res_init();
	r->nscount = 1;
	r->nsaddr_list[0].sin_family = AF_INET;
	r->nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r->nsaddr_list[0].sin_port = htons(port);
	r->retrans = 5;
	r->retry = 1;
	r->options |= RES_USEVC;
	if (res_query("name.invalid", 1, 1, answer, sizeof(answer)) >= 0 ||
	    h_errno != HOST_NOT_FOUND)
		errx(1, "name.invalid: %s", hstrerror(h_errno));
	res_nclose(r);
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	getpwnam("nobody");
	openlog("libc_inside", LOG_NDELAY, LOG_USER);
	closelog();
	close_pair();
}

int main(void)
{
	stdio();
	children();
	asynchronous();
	numbers();
	look_up();
	return 0;
}
