/* SPDX-License-Identifier: MIT */
/*
 * duo: what every two-ended test program shares.
 *
 * A program is one binary with two ends, each its own process:
 *
 *	PROG server FAMILY ADDRFILE	binds, publishes its address, accepts
 *	PROG client FAMILY ADDRFILE	waits for the address, connects
 *	PROG about			description and traits, for the driver
 *
 * FAMILY is tcp4, tcp6, unix (a path) or abstract.  What an end prints with
 * say() is its transcript; the driver compares transcripts of a run on the
 * plain kernel with transcripts of preloaded runs, so nothing printed may
 * depend on time, on process ids or on how much a kernel buffer holds.
 *
 * The ends order themselves over a side channel made of two named FIFOs, never
 * over the stream under test and never by sleeping.  alarm() bounds each end.
 */
#ifndef DUO_H
#define DUO_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum duo_trait {
	/* No byte may go by ring in any mode: the behaviour pins the stream. */
	DUO_KERNEL_ONLY = 1 << 0,
	/* server() is given -1 and makes its own sockets; so is client(). */
	DUO_OWN_SETUP = 1 << 1,
	/* Both ends live in the server process; client() does not exist. */
	DUO_SOLO = 1 << 2,
	/* Only these families have the behaviour. */
	DUO_TCP = 1 << 3,
	DUO_UNIX = 1 << 4,
	/* By ring or by kernel, counted or not: only the transcript counts. */
	DUO_ANY_ROAD = 1 << 5,
};

struct duo_program {
	const char *description;
	unsigned int traits;
	void (*server)(int fd);
	void (*client)(int fd);
};

/* Run the end that argv names; returns the exit status. */
int duo_main(const struct duo_program *program, int argc, char **argv);

#define DUO_PROGRAM(...)                                                 \
	int main(int argc, char **argv)                                  \
	{                                                                \
		static const struct duo_program program = {__VA_ARGS__}; \
                                                                         \
		return duo_main(&program, argc, argv);                   \
	}

/* --- the transcript ------------------------------------------------------- */

/* One line of transcript, written at once. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "what -> 5" or "what -> -1 EAGAIN"; returns the result unchanged. */
ssize_t say_result(const char *what, ssize_t result);

/* Name of an errno value, "0" for none. */
const char *duo_errno(int error);

/* "IN|OUT", "0" for none; one static buffer per thread and call site of four. */
const char *duo_poll_bits(short bits);
const char *duo_epoll_bits(uint32_t bits);

/* A broken test, not a finding: one line on stderr, exit status 99. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* --- the streams ---------------------------------------------------------- */

bool duo_is_server(void);
bool duo_is_tcp(void);

/* The arguments as they were given. */
const char *duo_family(void);
const char *duo_addrfile(void);

/* A new unconnected socket of the family. */
int duo_socket(void);

/* The server's address; both ends may ask.  Returns its length. */
socklen_t duo_address(struct sockaddr_storage *address);

/* The server's listening descriptor (server end only). */
int duo_listener(void);

/* Stop listening: what connects from now on is refused (server end only). */
void duo_unlisten(void);

/* The next stream: accepted by the server, connected by the client. */
int duo_another(void);

/* duo_another() and duo_warmup(). */
int duo_another_warm(void);

/* Short messages to and fro until any promotion is long over (both ends). */
void duo_warmup(int fd);

/* The same for two descriptors held by one process. */
void duo_warmup_pair(int accepted, int connected);

void duo_write_all(int fd, const void *buf, size_t len);

/* Reads exactly len bytes, or fewer only at end of stream; returns the count. */
size_t duo_read_all(int fd, void *buf, size_t len);

/* Reads and drops everything up to end of stream; returns the count. */
size_t duo_drain(int fd);

/* Bytes are a function of seed and position. */
void duo_pattern(void *buf, size_t len, uint32_t seed);
uint64_t duo_sum(const void *buf, size_t len);

/* Writes a pattern; reads as much and says its length and sum. */
void duo_send_pattern(int fd, size_t len, uint32_t seed);
void duo_say_received(int fd, const char *who, size_t len);

/* poll() of one descriptor; returns revents, 0 for a time-out. */
short duo_poll(int fd, short events, int timeout_ms);

/* Waits until len bytes or more are there to be read. */
void duo_await_bytes(int fd, int len);

/* Writes (non-blocking) until nothing more fits; the second also waits until
 * nothing moves any more.  Bytes written.
 */
size_t duo_fill(int fd);
size_t duo_fill_up(int fd);

/* SCM_RIGHTS: one descriptor over a socket of AF_UNIX, with a byte. */
void duo_pass_fd(int over, int fd);
/* Says what came beside it; it is close-on-exec. */
int duo_receive_fd(int over);

void duo_set_nonblock(int fd, bool on);

/* --- order --------------------------------------------------------------- */

/* Send a number to the other end; wait for one. */
void duo_tell(int value);
int duo_hear(void);

/* The same without a number, and both at once. */
void duo_post(void);
void duo_await(void);
void duo_meet(void);

/* Open the side channel again, for a program that closed everything. */
void duo_side_open(void);

/* fork() whose child is bounded by its own alarm. */
pid_t duo_fork(void);

/* Wait for a child; says how it ended. */
void duo_reap(pid_t child, const char *what);

/* Returns once task tid of process pid sleeps in the kernel. */
void duo_await_asleep(pid_t pid, pid_t tid);

/* SIGSTOP, and SIGCONT once process pid has stopped. */
void duo_stop_and_go(pid_t pid);

/* A thread that runs one function; nothing here is the caller's to set. */
struct duo_thread {
	pthread_t thread;
	_Atomic pid_t tid;
	void (*run)(void *arg);
	void *arg;
};

/* Starts one; the second returns once it sleeps. */
void duo_thread_start(struct duo_thread *t, void (*run)(void *arg), void *arg);
void duo_thread_asleep(struct duo_thread *t, void (*run)(void *arg), void *arg);
void duo_thread_join(struct duo_thread *t);

int64_t duo_now_ms(void);

#endif
