/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_REPORT_H
#define SHMFD_REPORT_H

/*
 * What the library says: words for states and reasons, the log, the summary at
 * exit.  Silent unless asked by the environment.  Keeps errno.  No malloc, no
 * stdio streams: it may run in a signal handler and after the host's exit
 * handlers.
 */
#include <stddef.h>
#include <stdint.h>

#include "shmfd/layout.h"

/* Sums over the streams of a process. */
struct shmfd_totals {
	uint64_t streams, promoted;
	uint64_t ring_rx_bytes, ring_rx_msgs, ring_tx_bytes, ring_tx_msgs;
	uint64_t kernel_rx_bytes, kernel_rx_msgs, kernel_tx_bytes, kernel_tx_msgs;
};

/* Words for a reason; "-" for none, "?" for a number that is not one. */
const char *shmfd_report_reason(uint32_t reason);

/* "ring", "kernel" or "mixed" from the modes of both directions. */
const char *shmfd_report_state(uint32_t rx_mode, uint32_t tx_mode);

/* Where and from which level on; path NULL: stderr. */
void shmfd_report_init(int level, const char *path);

/* Appends one line "shmfd[PID]: …" if level is within what was asked. */
__attribute__((format(printf, 2, 3)))
void shmfd_log(int level, const char *fmt, ...);

/* Appends the summary line of this process to @path (O_APPEND, 0644). */
void shmfd_report_stats(const char *path, const struct shmfd_totals *t);

#endif
