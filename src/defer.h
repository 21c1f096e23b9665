/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_DEFER_H
#define SHMFD_DEFER_H

/*
 * A signal handler sends by the stream in whose send its own thread is busy, with the lock
 * in hand.  It cannot wait for that, and EINTR would be asked again for ever: the kernel
 * lets handlers in between its calls only.  So the bytes are kept, and go when the thread
 * lets go of its last lock (lock.h): as if the handler had come then.
 *
 *   thread           handler                 thread
 *     lock             send: my own lock       ...
 *     ...              keep, return            unlock: run, what was kept goes
 *
 *  - kept by a handler in a handler: the list takes both, in order
 *  - the handler leaves by longjmp, or ends the process: the locks of the frames that vanish
 *    are let go of, and it runs there (lock.c, boot.c)
 *  - fork in the handler: the parent sends them, the child forgets
 *  - the stream is closed meanwhile: it is not over before this has its pin back
 *  - an error: as where a kernel has taken the bytes before
 */
#include <sys/socket.h>
#include <sys/types.h>

struct shmfd_stream;

/* Keeps all @total bytes of @msg.  Returns @total, or -EINTR: no memory. */
ssize_t shmfd_defer_send(struct shmfd_stream *s, int fd, const struct msghdr *msg,
			 size_t total);
/* Sends what was kept by this thread, which holds no lock.  Waits for room. */
void shmfd_defer_run(void);
/* A forked child: what was kept is the parent's. */
void shmfd_defer_fork_child(void);

#endif
