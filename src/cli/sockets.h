/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_CLI_SOCKETS_H
#define SHMFD_CLI_SOCKETS_H

/*
 * Addresses of the sockets of other processes, as a user writes them:
 * 127.0.0.1:80, [::1]:80, /run/path, @abstract, unix:[inode] for an AF_UNIX end
 * without a name.  Tables of the kernel are read once for each network
 * namespace, when the first address in it is asked for.
 */
#include <stdint.h>
#include <sys/types.h>

struct sockets;

struct sockets *sockets_create(void);
void sockets_destroy(struct sockets *s);

/*
 * Both addresses of the socket @inode that @pid has; "?" for what is unknown.
 * The strings live as long as @s.
 */
void sockets_lookup(struct sockets *s, pid_t pid, uint64_t inode,
		    const char **ret_local, const char **ret_peer);

#endif
