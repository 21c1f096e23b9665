/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_DIAG_H
#define SHMFD_DIAG_H

/*
 * Asks the kernel (sock_diag(7), unprivileged) which socket is at the other
 * end of a stream and whose it is.  About 5 us; only for streams that qualify.
 * No state: any thread, any process.
 */
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct shmfd_diag {
	uint64_t cookie;	/* SO_COOKIE of that socket */
	uid_t uid;		/* its owner, as our user namespace sees it */
	uint64_t inode;
};

/*
 * The socket bound to @far and connected to @near (as seen from the far end:
 * its own address first).  Both AF_INET or both AF_INET6; v4-mapped is not
 * accepted, normalise first.
 * Returns 0; -ENOENT: no such socket here; -EPROTO or another -errno: the
 * kernel does not answer.
 */
int shmfd_diag_tcp(const struct sockaddr *far, const struct sockaddr *near,
		   struct shmfd_diag *ret);

/*
 * The AF_UNIX stream socket with inode @inode.  *ret_peer_inode: the inode of
 * the socket it is connected to, 0 if none.
 * Returns as above.
 */
int shmfd_diag_unix(uint64_t inode, struct shmfd_diag *ret,
		    uint64_t *ret_peer_inode);

#endif
