/* SPDX-License-Identifier: MIT */
#ifndef UNIT_PAIR_H
#define UNIT_PAIR_H

/*
 * Two ends of one stream in one process: real sockets under the core, driven
 * by the calls that the wrappers make, with SHMFD_PASS handled as they do.
 * Failures of the set-up end the test.
 */
#include <poll.h>
#include <stdbool.h>

#include "stream.h"

/* Settings for all tests of a program: promotion at once, no spinning. */
void pair_init(void);

/* fd[0] is connected to fd[1], which was accepted; not adopted.  AF_UNIX ends
 * have abstract names. */
void pair_open(int family, int fd[2]);
/* Opens and makes both ends streams. */
void pair_adopt(int family, int fd[2]);
/* Adopts and talks until both directions are on rings. */
void pair_meet(int family, int fd[2]);
/* @rounds of question and answer, each checked. */
void pair_chat(const int fd[2], int rounds);
void pair_close(const int fd[2]);

/* As the wrappers; -errno. */
ssize_t pair_send(int fd, const void *buf, size_t len, int flags);
ssize_t pair_recv(int fd, void *buf, size_t len, int flags);
int pair_shutdown(int fd, int how);
int pair_close_one(int fd);
int pair_poll(struct pollfd *p, nfds_t nr, int ms);
void pair_retreat(int fd, enum shmfd_reason why);

struct shmfd_stream *pair_stream(int fd);
struct shmfd_record *pair_record(int fd);
bool pair_is_ring(int fd);
enum shmfd_reason pair_reason(int fd);

/* Open descriptors of this process. */
int pair_count_fds(void);

#endif
