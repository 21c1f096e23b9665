/* SPDX-License-Identifier: MIT */

/*
 * ready.c and epoll.c at the seam: what is said of a stream on rings is what
 * the kernel says of the same stream without the core.  Each scenario is a
 * table of steps and expected bits; it is run on plain sockets too, so the
 * table itself is checked against the kernel.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include "pair.h"
#include "ready.h"
#include "sys.h"

#define ALL	(POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM)
#define IN	(POLLIN | POLLRDNORM)
#define OUT	(POLLOUT | POLLWRNORM)
#define HUP	(IN | POLLRDHUP | POLLHUP)

static const int families[] = { AF_INET, AF_INET6, AF_UNIX };

enum step { START, SEND, TAKE_PART, TAKE, PEER_SHUTS, TAKE_EOF, SHUT, PEER_CLOSES };

static void do_step(const int fd[2], enum step step)
{
	char buf[64];

	switch (step) {
	case START:
		break;
	case SEND:
		assert_int_equal(pair_send(fd[1], "0123456789", 10, 0), 10);
		break;
	case TAKE_PART:
		assert_int_equal(pair_recv(fd[0], buf, 3, 0), 3);
		break;
	case TAKE:
		assert_int_equal(pair_recv(fd[0], buf, 64, 0), 7);
		break;
	case PEER_SHUTS:
		assert_int_equal(pair_shutdown(fd[1], SHUT_WR), 0);
		break;
	case TAKE_EOF:
		assert_int_equal(pair_recv(fd[0], buf, 64, 0), 0);
		break;
	case SHUT:
		assert_int_equal(pair_shutdown(fd[0], SHUT_WR), 0);
		break;
	case PEER_CLOSES:
		pair_close_one(fd[1]);
		break;
	}
}

static const struct {
	enum step step;
	int bits;
} states[] = {
	{ START, OUT },
	{ SEND, IN | OUT },
	{ TAKE_PART, IN | OUT },
	{ TAKE, OUT },
	{ SEND, IN | OUT },
	{ PEER_SHUTS, IN | OUT | POLLRDHUP },
	{ TAKE_PART, IN | OUT | POLLRDHUP },
	{ TAKE, IN | OUT | POLLRDHUP },
	{ TAKE_EOF, IN | OUT | POLLRDHUP },
	{ SHUT, HUP | OUT },
	{ PEER_CLOSES, HUP | OUT },
};

/* The kernel may need a moment for a segment; the rings may not. */
static int poll_bits(int fd, int events, int want, bool may_take_time)
{
	int64_t until = shmfd_now_ns() + (may_take_time ? 2000000000ll : 0);
	struct pollfd p = { .fd = fd, .events = (short)events };

	do {
		int n = pair_poll(&p, 1, 0);

		assert_int_equal(n, p.revents != 0);
		if (p.revents == want)
			break;
		sched_yield();
	} while (shmfd_now_ns() < until);
	return p.revents;
}

static void test_poll_says_what_the_kernel_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * NR(families); i++) {
		bool ours = i >= NR(families);
		int fd[2];

		if (ours)
			pair_meet(families[i % 3], fd);
		else
			pair_open(families[i % 3], fd);
		for (size_t k = 0; k < NR(states); k++) {
			int bits;

			do_step(fd, states[k].step);
			bits = poll_bits(fd[0], ALL, states[k].bits, !ours ||
					 states[k].step >= SHUT);
			if (bits != states[k].bits)
				fail_msg("family %d, ours %d, state %zu: %#x, not %#x",
					 families[i % 3], ours, k, (unsigned int)bits,
					 (unsigned int)states[k].bits);
			/* what was not asked for is not told, but for HUP */
			bits = poll_bits(fd[0], 0, states[k].bits & POLLHUP, !ours ||
					 states[k].step >= SHUT);
			assert_int_equal(bits, states[k].bits & POLLHUP);
		}
		pair_close_one(fd[0]);
	}
}

static void test_bits_of_a_stream_in_the_kernel_are_the_kernels(void **state)
{
	uint32_t kernel = 0;
	int fd[2];

	(void)state;
	pair_adopt(AF_INET, fd);
	assert_int_equal(shmfd_ready_bits(pair_stream(fd[0]), ALL, &kernel), 0);
	assert_int_equal(kernel, ALL);
	pair_close(fd);
	pair_meet(AF_INET, fd);
	assert_int_equal(shmfd_ready_bits(pair_stream(fd[0]), ALL, &kernel), OUT);
	assert_int_equal(kernel, POLLPRI);
	pair_retreat(fd[0], SHMFD_WHY_TEST);
	assert_int_equal(shmfd_ready_bits(pair_stream(fd[0]), ALL, &kernel), 0);
	assert_int_equal(kernel, ALL);
	pair_close(fd);
}

static void test_full_ring_is_not_writable_until_a_part_is_free(void **state)
{
	static char buf[65536];
	int fd[2], taken = 0;
	ssize_t n;

	(void)state;
	pair_meet(AF_INET, fd);
	while (pair_send(fd[0], buf, 1000, MSG_DONTWAIT) > 0)
		;
	assert_int_equal(poll_bits(fd[0], ALL, 0, false), 0);
	assert_int_equal(poll_bits(fd[1], ALL, IN | OUT, false), IN | OUT);
	n = pair_recv(fd[1], buf, 1000, 0);
	assert_int_equal(n, 1000);
	assert_int_equal(poll_bits(fd[0], ALL, 0, false), 0);
	while (!(poll_bits(fd[0], ALL, OUT, false) & POLLOUT)) {
		n = pair_recv(fd[1], buf, 1000, MSG_DONTWAIT);
		assert_true(n > 0);
		taken += (int)n;
	}
	assert_true(taken > 8192 && taken < 40000);
	assert_true(pair_send(fd[0], buf, 4096, MSG_DONTWAIT) == 4096);
	pair_close(fd);
}

static void test_poll_without_rings_is_not_ours(void **state)
{
	struct pollfd p[3];
	int fd[2], pipefd[2];

	(void)state;
	assert_int_equal(pipe(pipefd), 0);
	pair_adopt(AF_INET, fd);
	p[0] = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	p[1] = (struct pollfd){ .fd = pipefd[0], .events = POLLIN };
	p[2] = (struct pollfd){ .fd = -1, .events = POLLIN };
	assert_int_equal(shmfd_poll(p, 3, 0, NULL), SHMFD_PASS);
	assert_int_equal(shmfd_poll(p, 0, 0, NULL), SHMFD_PASS);
	pair_close(fd);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void test_poll_of_many_kinds_counts_each_ready_entry_once(void **state)
{
	struct pollfd p[60];
	int a[2], b[2], pipefd[2];

	(void)state;
	assert_int_equal(pipe(pipefd), 0);
	pair_meet(AF_INET, a);
	pair_meet(AF_UNIX, b);
	for (size_t nr = 6; nr <= NR(p); nr += NR(p) - 6) {	/* on the stack, and mapped */
		memset(p, 0, sizeof(p));
		for (size_t i = 0; i < NR(p); i++)
			p[i] = (struct pollfd){ .fd = -1, .events = POLLIN, .revents = 77 };
		p[0].fd = a[0];
		p[1].fd = pipefd[0];
		p[2].fd = b[1];
		p[3].fd = a[0];		/* twice */
		p[4].fd = 1 << 19;	/* not open */
		assert_int_equal(shmfd_poll(p, nr, 0, NULL), 1);
		assert_int_equal(p[4].revents, POLLNVAL);
		assert_int_equal(p[5].revents, 0);
		assert_int_equal(pair_send(a[1], "x", 1, 0), 1);
		assert_int_equal(write(pipefd[1], "x", 1), 1);
		assert_int_equal(shmfd_poll(p, nr, 0, NULL), 4);
		assert_int_equal(p[0].revents, POLLIN);
		assert_int_equal(p[1].revents, POLLIN);
		assert_int_equal(p[2].revents, 0);
		assert_int_equal(p[3].revents, POLLIN);
		assert_int_equal(pair_recv(a[0], (char[1]){ 0 }, 1, 0), 1);
		assert_int_equal(read(pipefd[0], (char[1]){ 0 }, 1), 1);
	}
	assert_true(pair_is_ring(a[0]) && pair_is_ring(b[1]));
	pair_close(a);
	pair_close(b);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void test_poll_keeps_its_time_out(void **state)
{
	static const int64_t ns[] = { 0, 1, 2000000, 20000000 };
	struct pollfd p = { .events = POLLIN };
	int fd[2];

	(void)state;
	pair_meet(AF_INET, fd);
	p.fd = fd[0];
	for (size_t i = 0; i < NR(ns); i++) {
		int64_t start = shmfd_now_ns();

		assert_int_equal(shmfd_poll(&p, 1, ns[i], NULL), 0);
		assert_true(shmfd_now_ns() - start >= ns[i]);
	}
	assert_true(pair_is_ring(fd[0]));
	pair_close(fd);
}

/* ---- sleeping ------------------------------------------------------------------ */

struct sleeper {
	pthread_t thread;
	_Atomic int tid;
	int fd;			/* poll that, */
	int ep;			/* or this set, if >= 0 */
	int n;
	struct pollfd p;
	struct epoll_event ev[4];
};

static void *sleeping(void *arg)
{
	struct sleeper *s = arg;

	store_release(&s->tid, (int)gettid());
	if (s->ep >= 0) {
		s->n = shmfd_epoll_wait(s->ep, s->ev, 4, -1, NULL);
	} else {
		s->p = (struct pollfd){ .fd = s->fd, .events = POLLIN | POLLRDHUP };
		s->n = pair_poll(&s->p, 1, -1);
	}
	return NULL;
}

static void fall_asleep(struct sleeper *s)
{
	char path[64], text[256], *at;
	FILE *f;

	store_relaxed(&s->tid, 0);
	assert_int_equal(pthread_create(&s->thread, NULL, sleeping, s), 0);
	while (!load_acquire(&s->tid))
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", load_acquire(&s->tid));
	do {
		sched_yield();
		f = fopen(path, "r");
		assert_non_null(f);
		assert_non_null(fgets(text, sizeof(text), f));
		fclose(f);
		at = strrchr(text, ')');
	} while (at[2] != 'S');
}

static void on_signal(int sig)
{
	(void)sig;
}

static void test_sleeping_poll_is_woken(void **state)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sleeper s = { .ep = -1 };

	(void)state;
	sigaction(SIGUSR1, &sa, NULL);
	for (size_t i = 0; i < NR(families); i++) {
		int fd[2];
		char c;

		pair_meet(families[i], fd);
		s.fd = fd[0];
		fall_asleep(&s);
		assert_int_equal(pair_send(fd[1], "x", 1, 0), 1);
		pthread_join(s.thread, NULL);
		assert_int_equal(s.n, 1);
		assert_int_equal(s.p.revents, POLLIN);
		assert_int_equal(pair_recv(fd[0], &c, 1, 0), 1);
		/* never restarted (signal(7)) */
		fall_asleep(&s);
		pthread_kill(s.thread, SIGUSR1);
		pthread_join(s.thread, NULL);
		assert_int_equal(s.n, -EINTR);
		assert_true(pair_is_ring(fd[0]));
		fall_asleep(&s);
		pair_close_one(fd[1]);
		pthread_join(s.thread, NULL);
		assert_int_equal(s.n, 1);
		assert_true(s.p.revents & POLLIN);
		pair_close_one(fd[0]);
	}
}

/* ---- epoll ------------------------------------------------------------------------ */

static int set_open(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	assert_true(ep >= 0);
	shmfd_epoll_created(ep);
	return ep;
}

static void set_close(int ep)
{
	shmfd_epoll_close(ep);
	close(ep);
}

static int ctl(int ep, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };
	int ret = shmfd_epoll_ctl(ep, op, fd, &ev);

	if (ret == SHMFD_PASS)
		ret = epoll_ctl(ep, op, fd, &ev) ? -errno : 0;
	return ret;
}

static int wait_set(int ep, struct epoll_event *ev, int max, int ms)
{
	int n = shmfd_epoll_wait(ep, ev, max, ms * 1000000ll, NULL);

	if (n == SHMFD_PASS) {
		n = epoll_wait(ep, ev, max, ms);
		n = n < 0 ? -errno : n;
	}
	return n;
}

/* Waits up to 2 s where the kernel may take a moment, else not at all. */
static uint32_t one_event(int ep, uint64_t data, bool ours)
{
	struct epoll_event ev[4];
	int n = wait_set(ep, ev, 4, ours ? 0 : 2000);

	if (n != 1)
		return n ? UINT32_MAX : 0;
	assert_int_equal(ev[0].data.u64, data);
	return ev[0].events;
}

static void nothing(int ep)
{
	struct epoll_event ev;

	assert_int_equal(wait_set(ep, &ev, 1, 0), 0);
}

#define DATA	0x1122334455667788ull

/* Ends of @fd as epoll sees them; the same on plain sockets. */
static void open_either(size_t i, int fd[2])
{
	if (i >= NR(families))
		pair_meet(families[i % 3], fd);
	else
		pair_open(families[i % 3], fd);
}

static void test_epoll_level(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * NR(families); i++) {
		bool ours = i >= NR(families);
		int ep = set_open(), fd[2];

		open_either(i, fd);
		assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fd[0], EPOLLIN | EPOLLRDHUP, DATA), 0);
		nothing(ep);
		do_step(fd, SEND);
		assert_int_equal(one_event(ep, DATA, ours), EPOLLIN);
		assert_int_equal(one_event(ep, DATA, ours), EPOLLIN);
		do_step(fd, TAKE_PART);
		assert_int_equal(one_event(ep, DATA, ours), EPOLLIN);
		do_step(fd, TAKE);
		nothing(ep);
		assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fd[0], EPOLLOUT, DATA + 1), 0);
		assert_int_equal(one_event(ep, DATA + 1, ours), EPOLLOUT);
		assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fd[0], EPOLLIN | EPOLLRDHUP, DATA), 0);
		do_step(fd, PEER_SHUTS);
		assert_int_equal(one_event(ep, DATA, ours), EPOLLIN | EPOLLRDHUP);
		assert_int_equal(ctl(ep, EPOLL_CTL_DEL, fd[0], 0, 0), 0);
		nothing(ep);
		if (ours)
			assert_true(load_relaxed(&pair_record(fd[0])->rx_mode) == SHMFD_MODE_RING);
		pair_close(fd);
		set_close(ep);
	}
}

static void test_epoll_edge(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * NR(families); i++) {
		bool ours = i >= NR(families);
		int ep = set_open(), fd[2];

		open_either(i, fd);
		assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fd[0], EPOLLIN | EPOLLET, DATA), 0);
		nothing(ep);
		do_step(fd, SEND);
		assert_int_equal(one_event(ep, DATA, ours), EPOLLIN);
		nothing(ep);
		do_step(fd, TAKE_PART);
		nothing(ep);
		/* again, although the old is unread */
		do_step(fd, SEND);
		assert_int_equal(one_event(ep, DATA, ours), EPOLLIN);
		nothing(ep);
		/* modified: the present state once more */
		assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fd[0], EPOLLIN | EPOLLET, DATA + 2), 0);
		assert_int_equal(one_event(ep, DATA + 2, ours), EPOLLIN);
		nothing(ep);
		pair_close(fd);
		set_close(ep);
	}
}

static void test_epoll_one_shot(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * NR(families); i++) {
		bool ours = i >= NR(families);
		int ep = set_open(), fd[2];

		open_either(i, fd);
		assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fd[0], EPOLLIN | EPOLLONESHOT, DATA), 0);
		do_step(fd, SEND);
		assert_int_equal(one_event(ep, DATA, ours), EPOLLIN);
		nothing(ep);
		do_step(fd, SEND);
		nothing(ep);
		assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fd[0], EPOLLIN | EPOLLONESHOT, DATA), 0);
		assert_int_equal(one_event(ep, DATA, ours), EPOLLIN);
		nothing(ep);
		pair_close(fd);
		set_close(ep);
	}
}

/* Registered before the stream is promoted: it goes on, with the host's data. */
static void test_epoll_registration_survives_promotion_and_retreat(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		int ep = set_open(), fd[2];

		pair_adopt(families[i], fd);
		assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fd[0], EPOLLIN, DATA), 0);
		for (int k = 0; k < 100 && !(pair_is_ring(fd[0]) && pair_is_ring(fd[1])); k++)
			pair_chat(fd, 1);
		assert_true(pair_is_ring(fd[0]) && pair_is_ring(fd[1]));
		nothing(ep);
		do_step(fd, SEND);
		assert_int_equal(one_event(ep, DATA, true), EPOLLIN);
		/* unread bytes in the ring, and back in the kernel */
		pair_retreat(fd[0], SHMFD_WHY_TEST);
		assert_int_equal(one_event(ep, DATA, true), EPOLLIN);
		do_step(fd, TAKE_PART);
		do_step(fd, TAKE);
		nothing(ep);
		do_step(fd, SEND);
		assert_int_equal(one_event(ep, DATA, false), EPOLLIN);
		assert_int_equal(ctl(ep, EPOLL_CTL_DEL, fd[0], 0, 0), 0);
		assert_int_equal(ctl(ep, EPOLL_CTL_DEL, fd[0], 0, 0), -ENOENT);
		pair_close(fd);
		set_close(ep);
	}
}

static void test_epoll_errors_are_the_kernels(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * NR(families); i++) {
		int ep = set_open(), fd[2];
		struct epoll_event ev;
		volatile int less = -1;	/* the compiler would warn */

		open_either(i, fd);
		assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fd[0], EPOLLIN, 1), -ENOENT);
		assert_int_equal(ctl(ep, EPOLL_CTL_DEL, fd[0], EPOLLIN, 1), -ENOENT);
		assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fd[0], EPOLLIN, DATA), 0);
		assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fd[0], EPOLLOUT, 1), -EEXIST);
		assert_int_equal(ctl(ep, 99, fd[0], EPOLLIN, 1), -EINVAL);
		assert_int_equal(wait_set(ep, &ev, 0, 0), -EINVAL);
		assert_int_equal(wait_set(ep, &ev, less, 0), -EINVAL);
		nothing(ep);
		do_step(fd, SEND);
		assert_int_equal(one_event(ep, DATA, i >= NR(families)), EPOLLIN);
		pair_close(fd);
		nothing(ep);
		set_close(ep);
	}
}

/* With room for one event everybody gets a turn, the kernel's too. */
static void test_epoll_starves_nobody(void **state)
{
	int ep = set_open(), a[2], b[2], pipefd[2], seen[3] = { 0 };

	(void)state;
	assert_int_equal(pipe(pipefd), 0);
	pair_meet(AF_INET, a);
	pair_meet(AF_UNIX, b);
	assert_int_equal(ctl(ep, EPOLL_CTL_ADD, a[0], EPOLLIN, 0), 0);
	assert_int_equal(ctl(ep, EPOLL_CTL_ADD, b[0], EPOLLIN, 1), 0);
	assert_int_equal(ctl(ep, EPOLL_CTL_ADD, pipefd[0], EPOLLIN, 2), 0);
	assert_int_equal(pair_send(a[1], "x", 1, 0), 1);
	assert_int_equal(pair_send(b[1], "x", 1, 0), 1);
	assert_int_equal(write(pipefd[1], "x", 1), 1);
	for (int i = 0; i < 60; i++) {
		struct epoll_event ev;

		assert_int_equal(wait_set(ep, &ev, 1, 0), 1);
		assert_true(ev.data.u64 < 3);
		seen[ev.data.u64]++;
	}
	for (int i = 0; i < 3; i++)
		assert_true(seen[i] >= 5);
	assert_true(pair_is_ring(a[0]) && pair_is_ring(b[0]));
	pair_close(a);
	pair_close(b);
	close(pipefd[0]);
	close(pipefd[1]);
	set_close(ep);
}

static void test_sleeping_epoll_is_woken(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR(families); i++) {
		struct sleeper s = { .ep = set_open() };
		int fd[2];
		char c;

		pair_meet(families[i], fd);
		assert_int_equal(ctl(s.ep, EPOLL_CTL_ADD, fd[0], EPOLLIN | EPOLLRDHUP, DATA), 0);
		for (int k = 0; k < 3; k++) {
			fall_asleep(&s);
			assert_int_equal(pair_send(fd[1], "x", 1, 0), 1);
			pthread_join(s.thread, NULL);
			assert_int_equal(s.n, 1);
			assert_int_equal(s.ev[0].events, EPOLLIN);
			assert_int_equal(s.ev[0].data.u64, DATA);
			assert_int_equal(pair_recv(fd[0], &c, 1, 0), 1);
		}
		assert_true(pair_is_ring(fd[0]));
		fall_asleep(&s);
		pthread_kill(s.thread, SIGUSR1);
		pthread_join(s.thread, NULL);
		assert_int_equal(s.n, -EINTR);
		fall_asleep(&s);
		pair_close_one(fd[1]);
		pthread_join(s.thread, NULL);
		assert_int_equal(s.n, 1);
		/* end-of-file is input too (linux/net/ipv4/tcp.c, tcp_poll) */
		assert_int_equal(s.ev[0].events & ~(uint32_t)EPOLLHUP, EPOLLIN | EPOLLRDHUP);
		assert_int_equal(s.ev[0].data.u64, DATA);
		pair_close_one(fd[0]);
		set_close(s.ep);
	}
}

/* A host whose data looks like our tag gets its own data back. */
static void test_epoll_data_like_our_tag_is_the_hosts(void **state)
{
	static const uint64_t low[] = { 0, 1, 0x80000000ull, 0xffffffffull };

	(void)state;
	for (size_t i = 0; i < NR(low); i++) {
		uint64_t data =
			(uint64_t)((0x12345678u | 0x00010000u) & ~0x80000000u) << 32 | low[i];
		int ep = set_open(), fd[2];

		pair_meet(AF_INET, fd);
		assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fd[0], EPOLLIN, data), 0);
		do_step(fd, SEND);
		assert_int_equal(one_event(ep, data, false), EPOLLIN);
		pair_close(fd);
		set_close(ep);
	}
}

static int setup(void **state)
{
	(void)state;
	pair_init();
	return 0;
}

int main(void)
{
	static const struct CMUnitTest test[] = {
		cmocka_unit_test(test_poll_says_what_the_kernel_says),
		cmocka_unit_test(test_bits_of_a_stream_in_the_kernel_are_the_kernels),
		cmocka_unit_test(test_full_ring_is_not_writable_until_a_part_is_free),
		cmocka_unit_test(test_poll_without_rings_is_not_ours),
		cmocka_unit_test(test_poll_of_many_kinds_counts_each_ready_entry_once),
		cmocka_unit_test(test_poll_keeps_its_time_out),
		cmocka_unit_test(test_sleeping_poll_is_woken),
		cmocka_unit_test(test_epoll_level),
		cmocka_unit_test(test_epoll_edge),
		cmocka_unit_test(test_epoll_one_shot),
		cmocka_unit_test(test_epoll_registration_survives_promotion_and_retreat),
		cmocka_unit_test(test_epoll_errors_are_the_kernels),
		cmocka_unit_test(test_epoll_starves_nobody),
		cmocka_unit_test(test_sleeping_epoll_is_woken),
		cmocka_unit_test(test_epoll_data_like_our_tag_is_the_hosts),
	};

	alarm(UNIT_SECONDS);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(test, setup, NULL);
}
