/* SPDX-License-Identifier: MIT */
/*
 * duo: the machinery behind duo.h.  Knows nothing of libshmfd; every call it
 * makes on a stream is one an ordinary program would make.
 */
#include "duo.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LIMIT_S       20
#define WARMUP_ROUNDS 40

static struct {
	const char *family;
	const char *addrfile;
	bool server;
	int listener;
	int side_in;
	int side_out;
	bool have_address;
	struct sockaddr_storage address;
	socklen_t address_len;
} duo = {.listener = -1, .side_in = -1, .side_out = -1};

/* --- the transcript ------------------------------------------------------- */

static void put(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(98);
		text += n;
		len -= (size_t)n;
	}
}

void say(const char *format, ...)
{
	char line[4096];
	int saved = errno;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(line) - 1)
		die("say: line too long");
	line[n] = '\n';
	put(STDOUT_FILENO, line, (size_t)n + 1);
	errno = saved;
}

void die(const char *format, ...)
{
	char line[1024];
	int saved = errno;
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "%s: ", duo.server ? "server" : "client");
	va_start(ap, format);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 64)
		n = (int)sizeof(line) - 64;
	n += snprintf(line + n, sizeof(line) - (size_t)n, " (errno %s)\n", duo_errno(saved));
	put(STDERR_FILENO, line, (size_t)n);
	exit(99);
}

const char *duo_errno(int error)
{
	const char *name = error ? strerrorname_np(error) : "0";

	return name ? name : "E???";
}

ssize_t say_result(const char *what, ssize_t result)
{
	if (result < 0)
		say("%s -> %zd %s", what, result, duo_errno(errno));
	else
		say("%s -> %zd", what, result);
	return result;
}

struct bit_name {
	uint32_t bit;
	const char *name;
};

/* A few buffers in turn, so that several may stand in one say(). */
static const char *name_bits(uint32_t bits, const struct bit_name *names)
{
	static _Thread_local char text[4][128];
	static _Thread_local unsigned int turn;
	char *out = text[turn++ % 4];
	size_t used = 0;

	out[0] = '\0';
	for (; names->name; names++) {
		if (!(bits & names->bit))
			continue;
		used += (size_t)snprintf(out + used, sizeof(text[0]) - used, "%s%s",
					 used ? "|" : "", names->name);
		bits &= ~names->bit;
	}
	if (bits)
		used += (size_t)snprintf(out + used, sizeof(text[0]) - used, "%s0x%x",
					 used ? "|" : "", bits);
	return used ? out : "0";
}

const char *duo_poll_bits(short bits)
{
	static const struct bit_name names[] = {
		{POLLIN, "IN"},         {POLLPRI, "PRI"},
		{POLLOUT, "OUT"},       {POLLERR, "ERR"},
		{POLLHUP, "HUP"},       {POLLNVAL, "NVAL"},
		{POLLRDHUP, "RDHUP"},   {POLLRDNORM, "RDNORM"},
		{POLLWRNORM, "WRNORM"}, {0, NULL},
	};

	return name_bits((uint16_t)bits, names);
}

const char *duo_epoll_bits(uint32_t bits)
{
	static const struct bit_name names[] = {
		{EPOLLIN, "IN"},         {EPOLLPRI, "PRI"},       {EPOLLOUT, "OUT"},
		{EPOLLERR, "ERR"},       {EPOLLHUP, "HUP"},       {EPOLLRDHUP, "RDHUP"},
		{EPOLLRDNORM, "RDNORM"}, {EPOLLWRNORM, "WRNORM"}, {0, NULL},
	};

	return name_bits(bits, names);
}

/* --- order ---------------------------------------------------------------- */

static int open_fifo(const char *suffix)
{
	char path[512];
	int fd, high;

	snprintf(path, sizeof(path), "%s.%s", duo.addrfile, suffix);
	if (mkfifo(path, 0600) < 0 && errno != EEXIST)
		die("mkfifo %s", path);
	/* O_RDWR: opening never blocks, and a dead peer is left to alarm(). */
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("open %s", path);
	/* Away from the low numbers, which some programs count. */
	high = fcntl(fd, F_DUPFD_CLOEXEC, 900);
	if (high < 0)
		die("F_DUPFD_CLOEXEC");
	close(fd);
	return high;
}

void duo_side_open(void)
{
	duo.side_in = open_fifo(duo.server ? "to-server" : "to-client");
	duo.side_out = open_fifo(duo.server ? "to-client" : "to-server");
}

void duo_tell(int value)
{
	put(duo.side_out, (const char *)&value, sizeof(value));
}

int duo_hear(void)
{
	int value;
	ssize_t n;

	do {
		n = read(duo.side_in, &value, sizeof(value));
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(value))
		die("side channel: read %zd", n);
	return value;
}

void duo_post(void)
{
	duo_tell(0x600d);
}

void duo_await(void)
{
	int value = duo_hear();

	if (value != 0x600d)
		die("side channel: %d where a sync point was due", value);
}

void duo_meet(void)
{
	duo_post();
	duo_await();
}

pid_t duo_fork(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0)
		alarm(LIMIT_S);
	return child;
}

void duo_reap(pid_t child, const char *what)
{
	int status;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			die("waitpid");
	}
	if (WIFSIGNALED(status))
		say("%s killed by SIG%s", what, sigabbrev_np(WTERMSIG(status)));
	else
		say("%s exits %d", what, WEXITSTATUS(status));
}

/* The state letter of /proc/PID/task/TID/stat, 0 when the task is gone. */
static char task_state(pid_t pid, pid_t tid)
{
	char path[96], text[256];
	const char *mark;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	mark = strrchr(text, ')');
	return mark && mark[1] ? mark[2] : 0;
}

void duo_await_asleep(pid_t pid, pid_t tid)
{
	static const struct timespec pause = {.tv_nsec = 2000000};
	int asleep = 0;

	/* Several looks: a task may sleep for a moment on its way. */
	while (asleep < 5) {
		char state = task_state(pid, tid);

		if (!state)
			die("task %d is gone", tid);
		asleep = state == 'S' ? asleep + 1 : 0;
		nanosleep(&pause, NULL);
	}
}

void duo_stop_and_go(pid_t pid)
{
	static const struct timespec pause = {.tv_nsec = 1000000};

	kill(pid, SIGSTOP);
	while (task_state(pid, pid) != 'T')
		nanosleep(&pause, NULL);
	kill(pid, SIGCONT);
}

static void *run_thread(void *arg)
{
	struct duo_thread *t = arg;

	t->tid = gettid();
	t->run(t->arg);
	return NULL;
}

void duo_thread_start(struct duo_thread *t, void (*run)(void *arg), void *arg)
{
	t->tid = 0;
	t->run = run;
	t->arg = arg;
	if (pthread_create(&t->thread, NULL, run_thread, t))
		die("pthread_create");
}

void duo_thread_asleep(struct duo_thread *t, void (*run)(void *arg), void *arg)
{
	static const struct timespec pause = {.tv_nsec = 100000};

	duo_thread_start(t, run, arg);
	while (!t->tid)
		nanosleep(&pause, NULL);
	duo_await_asleep(getpid(), t->tid);
}

void duo_thread_join(struct duo_thread *t)
{
	if (pthread_join(t->thread, NULL))
		die("pthread_join");
}

int64_t duo_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- the streams ---------------------------------------------------------- */

bool duo_is_server(void)
{
	return duo.server;
}

bool duo_is_tcp(void)
{
	return duo.family[0] == 't';
}

const char *duo_family(void)
{
	return duo.family;
}

const char *duo_addrfile(void)
{
	return duo.addrfile;
}

int duo_socket(void)
{
	int domain = AF_UNIX;
	int fd;

	if (duo_is_tcp())
		domain = !strcmp(duo.family, "tcp6") ? AF_INET6 : AF_INET;
	fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	/* one that every kernel has, and that sends at once: with bbr, the default of some
	 * machines, a buffer that was full has room a moment later */
	if (duo_is_tcp() && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) < 0)
		die("TCP_CONGESTION");
	return fd;
}

/* The address to bind: a free port, a path beside ADDRFILE, a private name. */
static socklen_t free_address(struct sockaddr_storage *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
	struct sockaddr_un *un = (struct sockaddr_un *)address;
	int n;

	memset(address, 0, sizeof(*address));
	if (!strcmp(duo.family, "tcp4")) {
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*in);
	}
	if (!strcmp(duo.family, "tcp6")) {
		in6->sin6_family = AF_INET6;
		in6->sin6_addr = in6addr_loopback;
		return sizeof(*in6);
	}
	un->sun_family = AF_UNIX;
	if (!strcmp(duo.family, "unix")) {
		n = snprintf(un->sun_path, sizeof(un->sun_path), "%s.sock", duo.addrfile);
		if (n >= (int)sizeof(un->sun_path))
			die("address file name too long");
		return sizeof(*un);
	}
	n = snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "duo-%d-%lld", getpid(),
		     (long long)time(NULL));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static void publish(void)
{
	char temp[512];
	int fd;

	snprintf(temp, sizeof(temp), "%s.new", duo.addrfile);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die("open %s", temp);
	put(fd, (const char *)&duo.address, duo.address_len);
	close(fd);
	if (rename(temp, duo.addrfile) < 0)
		die("rename %s", temp);
	duo_post();
}

int duo_listener(void)
{
	if (duo.listener >= 0)
		return duo.listener;
	if (!duo.server)
		die("only the server listens");
	duo.address_len = free_address(&duo.address);
	duo.listener = duo_socket();
	if (bind(duo.listener, (struct sockaddr *)&duo.address, duo.address_len) < 0)
		die("bind");
	if (listen(duo.listener, 256) < 0)
		die("listen");
	duo.address_len = sizeof(duo.address);
	if (getsockname(duo.listener, (struct sockaddr *)&duo.address, &duo.address_len) < 0)
		die("getsockname");
	duo.have_address = true;
	publish();
	return duo.listener;
}

void duo_unlisten(void)
{
	close(duo.listener);
	duo.listener = -1;
}

socklen_t duo_address(struct sockaddr_storage *address)
{
	int fd;
	ssize_t n;

	if (duo.server) {
		duo_listener();
	} else if (!duo.have_address) {
		duo_await();
		fd = open(duo.addrfile, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die("open %s", duo.addrfile);
		n = read(fd, &duo.address, sizeof(duo.address));
		close(fd);
		if (n <= 0)
			die("address file is empty");
		duo.address_len = (socklen_t)n;
		duo.have_address = true;
	}
	*address = duo.address;
	return duo.address_len;
}

/* Several small messages in a row must not wait for acknowledgements. */
static void no_delay(int fd)
{
	int on = 1;

	if (duo_is_tcp() && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		die("TCP_NODELAY");
}

int duo_another(void)
{
	struct sockaddr_storage address;
	socklen_t len;
	int fd;

	if (duo.server) {
		fd = accept4(duo_listener(), NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			die("accept");
		no_delay(fd);
		return fd;
	}
	len = duo_address(&address);
	fd = duo_socket();
	if (connect(fd, (struct sockaddr *)&address, len) < 0)
		die("connect");
	no_delay(fd);
	return fd;
}

int duo_another_warm(void)
{
	int fd = duo_another();

	duo_warmup(fd);
	return fd;
}

static void warm_send(int fd, unsigned int round, char who)
{
	char text[17];

	snprintf(text, sizeof(text), "%c warm-up %6u", who, round);
	duo_write_all(fd, text, 16);
}

static void warm_receive(int fd, unsigned int round, char who)
{
	char want[17], got[17] = "";

	snprintf(want, sizeof(want), "%c warm-up %6u", who, round);
	if (duo_read_all(fd, got, 16) != 16 || memcmp(want, got, 16) != 0)
		die("warm-up: '%s' in place of '%s'", got, want);
}

void duo_warmup(int fd)
{
	for (unsigned int i = 0; i < WARMUP_ROUNDS; i++) {
		if (duo.server) {
			warm_receive(fd, i, 'c');
			warm_send(fd, i, 's');
		} else {
			warm_send(fd, i, 'c');
			warm_receive(fd, i, 's');
		}
	}
}

void duo_warmup_pair(int accepted, int connected)
{
	for (unsigned int i = 0; i < WARMUP_ROUNDS; i++) {
		warm_send(connected, i, 'c');
		warm_receive(accepted, i, 'c');
		warm_send(accepted, i, 's');
		warm_receive(connected, i, 's');
	}
}

void duo_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		die("F_GETFL");
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (fcntl(fd, F_SETFL, flags) < 0)
		die("F_SETFL");
}

void duo_pass_fd(int over, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.space = {0}};
	struct iovec iov = {.iov_base = (void *)"F", .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(over, &msg, 0) != 1)
		die("sendmsg with a descriptor");
}

int duo_receive_fd(int over)
{
	union {
		char space[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *c;
	int fd = -1;

	say_result("recvmsg with a descriptor", recvmsg(over, &msg, MSG_CMSG_CLOEXEC));
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		die("no descriptor came");
	say("control length %zu flags 0x%x", (size_t)c->cmsg_len,
	    (unsigned int)msg.msg_flags & ~(unsigned int)MSG_CMSG_CLOEXEC);
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* --- start ---------------------------------------------------------------- */

static int about(const struct duo_program *program)
{
	unsigned int traits = program->traits;

	printf("description: %s\ntraits:%s%s%s%s%s\n", program->description,
	       traits & DUO_KERNEL_ONLY ? " kernel_only" : "",
	       traits & DUO_ANY_ROAD ? " any_road" : "", traits & DUO_SOLO ? " solo" : "",
	       traits & DUO_TCP ? " tcp" : "", traits & DUO_UNIX ? " unix" : "");
	return 0;
}

int duo_main(const struct duo_program *program, int argc, char **argv)
{
	static const char *const families[] = {"tcp4", "tcp6", "unix", "abstract"};
	bool known = false;
	int fd = -1;

	if (argc == 2 && !strcmp(argv[1], "about"))
		return about(program);
	for (size_t i = 0; argc == 4 && i < 4; i++)
		known = known || !strcmp(argv[2], families[i]);
	if (!known || (strcmp(argv[1], "server") && strcmp(argv[1], "client"))) {
		fprintf(stderr, "usage: %s server|client tcp4|tcp6|unix|abstract ADDRFILE\n",
			argv[0]);
		return 2;
	}
	duo.server = !strcmp(argv[1], "server");
	duo.family = argv[2];
	duo.addrfile = argv[3];
	/* A parent may have left these ignored. */
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	alarm(LIMIT_S);
	duo_side_open();
	if (!(program->traits & (DUO_OWN_SETUP | DUO_SOLO)))
		fd = duo_another();
	if (duo.server)
		program->server(fd);
	else
		program->client(fd);
	return 0;
}
