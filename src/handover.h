/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_HANDOVER_H
#define SHMFD_HANDOVER_H

#include "stream.h"

/*
 * Code that this library does not see uses the socket behind @fd next: the stream
 * retreats for @why, what the peer had not read is sent again, and what the host
 * has not read of a peer that is gone goes into a socket that takes its place.
 * Nothing happens if @fd is no stream.  errno is kept.
 * @vfork_child: the numbers are the caller's own, our memory is its parent's.
 */
void shmfd_hand_over(int fd, enum shmfd_reason why, bool vfork_child);

#endif
