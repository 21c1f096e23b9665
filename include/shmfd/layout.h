/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_LAYOUT_H
#define SHMFD_LAYOUT_H

/*
 * The contract: every byte that two processes share.
 *
 * Glossary, one word per thing:
 *   host      the unmodified program the library is loaded into
 *   stream    one connected stream socket of the host
 *   end       our side, or the other side, of a stream
 *   peer      the process at the other end; never trusted
 *   link      the AF_UNIX SEQPACKET connection between both ends; its
 *             end-of-file says that the other end left or died
 *   bell      a message on the link that wakes a sleeper
 *   segment   one sealed memfd per promoted stream: control page + two rings
 *   ring      one direction of a stream, single producer, single consumer
 *   record    8-byte header and payload inside a ring
 *   table     one memfd per process (inherited over fork): a record per stream
 *   promote   to move a stream from the kernel to rings
 *   retreat   to move it back
 *
 * Trust: whoever maps the segment may store anything in it at any time.  Load
 * a word once into a local, check the local, use the local.
 *
 * All words are native byte order: both ends run on one machine.
 *
 * History: 1  first layout.
 */

#include <stddef.h>
#include <stdint.h>

#define SHMFD_LAYOUT_VERSION	1u
#define SHMFD_PAGE		4096u
#define SHMFD_LINE		64u

/* ---- records -------------------------------------------------------- */

/*
 * A record header is one 64-bit word: tag in the low half, payload length in
 * bytes in the high half.  The payload follows, padded to 8.
 *
 * The data and end-of-file tags are the four bytes that Demikernel's catmem
 * ring (1.5.13, Ring::REGULAR_MESSAGE_HEADER and EOF_MESSAGE_HEADER) put in
 * front of its messages: 0B 0E 0E 0F and 0D 0E 0A 0D.
 */
enum shmfd_tag {
	SHMFD_TAG_NONE	= 0,		/* nothing published here yet */
	SHMFD_TAG_DATA	= 0x0F0E0E0B,	/* bytes of the stream */
	SHMFD_TAG_EOF	= 0x0D0A0E0D,	/* the writer has shut down */
	SHMFD_TAG_WRAP	= 0x0A0E000F,	/* go on at offset 0 of the ring */
	SHMFD_TAG_END	= 0x0D0E0E0E,	/* what follows comes by the kernel */
};

#define SHMFD_HEADER_BYTES	8u
#define SHMFD_RING_MIN		(64u << 10)
#define SHMFD_RING_MAX		(16u << 20)

/* ---- segment -------------------------------------------------------- */

#define SHMFD_SEGMENT_MAGIC	0x31646673686d6766ull
#define SHMFD_SWITCH_UNKNOWN	UINT64_MAX

/* State of one direction, bits 8..9 of attn.  Changed by CAS only. */
enum shmfd_dir_state {
	SHMFD_DIR_OFFERED = 0x000,	/* the reader has not entered the ring */
	SHMFD_DIR_RING	  = 0x100,	/* the reader takes bytes from the ring */
	SHMFD_DIR_FROZEN  = 0x200,	/* never read again: resend unread by kernel */
	SHMFD_DIR_ENDED	  = 0x300,	/* writer left: ring to its end, then kernel */
};
#define SHMFD_DIR_STATE_MASK	0x300u
#define SHMFD_DIR_HAND_OVER	0x400u	/* FROZEN at rd_pos, rd_part: the socket's next
					 * reader is not this library */
/* Bit 0 of attn and of room_sleep: the sleeper wants a bell; bit 1: its sleep is brief.
 * Bits 16..31 count its sleeps (wait.h). */

#define SHMFD_W_INTENT		0x1u	/* the last kernel message is being sent */
#define SHMFD_W_SHUT		0x2u	/* end-of-file record is in the ring */
#define SHMFD_W_CLOSED		0x8u	/* shut by a close: no such record */
#define SHMFD_W_RESET		0x4u	/* closed with unread input: AF_UNIX reset */
#define SHMFD_W_LEFT		0x10u	/* this end has left both rings: a hint */
#define SHMFD_W_HOLDS		0x20u	/* it may hold bells back from brief sleeps: a hint */
#define SHMFD_W_FIN		0x40u	/* shut, and end-of-file goes by the kernel */

/* One direction of a stream.  256 bytes, 64-aligned.
 *   off size field        written by  read by  meaning
 *     0    8 switch_at    writer      reader   bytes sent by kernel before the
 *                                              ring; SHMFD_SWITCH_UNKNOWN before
 *     8    4 w_flags      writer      reader   SHMFD_W_*
 *    16    4 room_sleep   both        both     the writer sleeps for room
 *    64    8 rd_pos       reader      writer   bytes of ring ever consumed, at a
 *                                              record border
 *    72    4 rd_part      reader      writer   payload bytes consumed of the
 *                                              record at rd_pos
 *    76    4 rx_ready     reader      writer   1: the reader will follow a switch
 *    80    4 r_cpu        reader      writer   processor it last waited on, plus 1
 *    88    8 split        both        both     FROZEN: position plus 1 from which on
 *                                              the kernel has the bytes; 0: open;
 *                                              set once, by CAS, by either end
 *   128    4 attn         both        both     state of the direction and sleeper
 *   136    8 nap          reader      writer   the sleep under several words that this
 *                                              one is part of; 0: alone (wait.h)
 * Invariant: 0 <= wr_pos - rd_pos <= cap, positions only grow; wr_pos itself
 * is not here: the reader finds records by their headers.
 */
struct shmfd_dir {
	_Alignas(64) _Atomic uint64_t switch_at;
	_Atomic uint32_t w_flags;
	uint32_t pad4;
	_Atomic uint32_t room_sleep;
	uint8_t pad0[44];
	_Atomic uint64_t rd_pos;
	_Atomic uint32_t rd_part;
	_Atomic uint32_t rx_ready;
	_Atomic uint32_t r_cpu;
	uint32_t pad1;
	_Atomic uint64_t split;
	uint8_t pad3[32];
	_Atomic uint32_t attn;
	uint32_t pad5;
	_Atomic uint64_t nap;
	uint8_t pad2[112];
};

/* The segment.  One control page, then ring 0, then ring 1.
 *   off  size field     written by  meaning
 *     0     8 magic     creator     SHMFD_SEGMENT_MAGIC
 *     8     4 version   creator     SHMFD_LAYOUT_VERSION
 *    12     4 ring_cap  creator     bytes of each ring, power of two
 *    64   256 dir[0]    both        connecting end -> accepting end
 *   320   256 dir[1]    both        accepting end -> connecting end
 *  4096   cap ring 0
 *  4096+cap   ring 1
 * Constant after it was passed: magic, version, ring_cap.
 */
struct shmfd_segment {
	uint64_t magic;
	uint32_t version;
	uint32_t ring_cap;
	uint8_t pad[48];
	struct shmfd_dir dir[2];
};

_Static_assert(sizeof(struct shmfd_dir) == 256, "one direction is 256 bytes");
_Static_assert(offsetof(struct shmfd_dir, w_flags) == 8, "layout");
_Static_assert(offsetof(struct shmfd_dir, room_sleep) == 16, "layout");
_Static_assert(offsetof(struct shmfd_dir, rd_pos) == 64, "layout");
_Static_assert(offsetof(struct shmfd_dir, rd_part) == 72, "layout");
_Static_assert(offsetof(struct shmfd_dir, rx_ready) == 76, "layout");
_Static_assert(offsetof(struct shmfd_dir, r_cpu) == 80, "layout");
_Static_assert(offsetof(struct shmfd_dir, split) == 88, "layout");
_Static_assert(offsetof(struct shmfd_dir, attn) == 128, "layout");
_Static_assert(offsetof(struct shmfd_dir, nap) == 136, "layout");
_Static_assert(offsetof(struct shmfd_segment, dir) == 64, "layout");
_Static_assert(sizeof(struct shmfd_segment) <= SHMFD_PAGE, "fits its page");
_Static_assert(__atomic_always_lock_free(8, 0), "64-bit atomics are needed");

/* ---- link messages --------------------------------------------------- */

#define SHMFD_HELLO_MAGIC	0x4f4c4c45u

/* First message each way.  16 bytes.
 *   off size field    meaning
 *     0    4 magic    SHMFD_HELLO_MAGIC
 *     4    4 version  SHMFD_LAYOUT_VERSION
 *     8    8 cookie   SO_COOKIE of the sender's kernel socket
 */
struct shmfd_hello {
	uint32_t magic;
	uint32_t version;
	uint64_t cookie;
};
_Static_assert(sizeof(struct shmfd_hello) == 16, "layout");

#define SHMFD_OFFER_MAGIC	0x5245464fu

/* From the connecting end, with the segment's descriptor.  8 bytes. */
struct shmfd_offer {
	uint32_t magic;
	uint32_t ring_cap;
};
_Static_assert(sizeof(struct shmfd_offer) == 8, "layout");

/* ---- table ------------------------------------------------------------ */

#define SHMFD_TABLE_MAGIC	0x3162617464666873ull
#define SHMFD_TABLE_RECORDS	65536u
#define SHMFD_TABLE_NAME	"shmfd-table"
#define SHMFD_SEGMENT_NAME	"shmfd-segment"

/* How the bytes of one direction travel (rx_mode, tx_mode). */
enum shmfd_mode {
	SHMFD_MODE_KERNEL = 0,
	SHMFD_MODE_OFFER  = 1,	/* rx: following a switch; tx: last kernel message */
	SHMFD_MODE_RING	  = 2,
	SHMFD_MODE_RESEND = 3,	/* tx: unread ring bytes go by kernel first */
};

/* Who keeps TCP_CORK (cork.c). */
enum shmfd_cork {
	SHMFD_CORK_KERNEL = 0,
	SHMFD_CORK_OUT	  = 1,
	SHMFD_CORK_IN	  = 2,
};

/* Why a stream is where it is.  Words in src/report.c. */
enum shmfd_reason {
	SHMFD_WHY_NONE = 0,
	SHMFD_WHY_BELOW,	/* below threshold */
	SHMFD_WHY_MEETING,	/* waiting for the peer */
	SHMFD_WHY_NO_PEER,	/* peer not preloaded */
	SHMFD_WHY_REMOTE,	/* peer not on this machine */
	SHMFD_WHY_RULE,		/* rule says kernel */
	SHMFD_WHY_UNSEEN,	/* bytes moved unseen */
	SHMFD_WHY_PROOF,	/* peer not proven */
	SHMFD_WHY_NO_DIAG,	/* kernel does not name the peer */
	SHMFD_WHY_NO_FD,	/* no descriptor left */
	SHMFD_WHY_NO_MEMORY,	/* no memory for a segment */
	SHMFD_WHY_SHARED,	/* held by several processes */
	SHMFD_WHY_FDOPEN,
	SHMFD_WHY_STDIO_FD,	/* descriptor 0, 1 or 2 */
	SHMFD_WHY_EXEC,
	SHMFD_WHY_PASSED,	/* sent by SCM_RIGHTS */
	SHMFD_WHY_OOB,
	SHMFD_WHY_OPTION,	/* socket option */
	SHMFD_WHY_ANCILLARY,
	SHMFD_WHY_ASYNC,	/* O_ASYNC, F_SETOWN, F_SETSIG */
	SHMFD_WHY_SHUTDOWN,
	SHMFD_WHY_PEER_LEFT,
	SHMFD_WHY_PEER_GONE,
	SHMFD_WHY_PROTOCOL,	/* rubbish in the segment */
	SHMFD_WHY_SLEEPERS,	/* several sleepers of different kinds */
	SHMFD_WHY_EPOLL,	/* epoll use that is not handled exactly */
	SHMFD_WHY_SETS,		/* in two epoll sets, or in one that is polled */
	SHMFD_WHY_STUCK,	/* the ring stayed full: the kernel's buffers are larger */
	SHMFD_WHY_SANDBOX,	/* seccomp: only the host's own system calls */
	SHMFD_WHY_SPLICE,
	SHMFD_WHY_OTHER_PID,	/* used by another process after fork */
	SHMFD_WHY_TEST,		/* random retreat of a test */
	SHMFD_WHY_RECONNECT,
	SHMFD_WHY_SELF,		/* both ends of a socket pair in one process */
	SHMFD_WHY_PACKETS,	/* SOCK_SEQPACKET: not a stream of bytes */
	SHMFD_WHY_UNBOUND,	/* a library whose calls do not come to us */
	SHMFD_WHY_URING,	/* a ring of the kernel's */
	SHMFD_WHY_NR
};

/* One stream.  384 bytes, 64-aligned, in the table: shared by this process and
 * its forked children, never mapped by the peer; read-only for `shmfd ss`.
 * Fields are grouped by the lock that covers them.  Counters are written by
 * whoever holds that lock and may be read torn-free at any time.
 */
struct shmfd_record {
	/* line 0: identity and life; under no lock, see table.c */
	_Alignas(64) _Atomic uint32_t used;	/* 0 free, 1 in use */
	_Atomic uint32_t user_pid;	/* process that may use the rings */
	_Atomic int32_t fd;		/* its lowest known number there */
	_Atomic uint32_t holders;	/* processes that have it */
	_Atomic uint32_t phase;		/* enum shmfd_phase of stream.h */
	_Atomic uint32_t reason;	/* enum shmfd_reason */
	_Atomic uint32_t nonblock;	/* O_NONBLOCK of the open file */
	uint16_t family;		/* AF_INET, AF_INET6 or AF_UNIX */
	uint8_t accepted;		/* 1: by accept, 0: by connect */
	uint8_t pad0;
	_Atomic uint64_t bells_tx;	/* bells sent */
	_Atomic uint64_t bells_rx;	/* bells received */
	_Atomic uint32_t pending_err;	/* errno to report once, 0 none */
	_Atomic uint32_t holder_pid[3];	/* of those, who joined by fork (table.h); 0: none */

	/* lines 1..2: receiving; under rx_lock */
	_Alignas(64) _Atomic uint32_t rx_lock;
	_Atomic uint32_t rx_mode;	/* enum shmfd_mode */
	uint64_t rd_pos;		/* ring position of the next record */
	uint32_t rd_part;		/* payload bytes taken of it */
	_Atomic uint32_t rx_eof;	/* end-of-file record was reached */
	uint64_t seen_pos;		/* headers before it were noticed (edges) */
	uint64_t room_mark;		/* rd_pos of the last look for a room sleeper */
	_Atomic uint32_t rx_inflight;	/* calls inside a kernel receive */
	_Atomic uint32_t rd_shut;	/* host has shut down receiving */
	uint64_t drain_end;		/* frozen by us: the ring is ours up to there; 0: no */
	int64_t rcvtimeo_ns;		/* 0: none */
	_Alignas(64) _Atomic uint64_t kernel_rx_bytes;
	_Atomic uint64_t kernel_rx_msgs;
	_Atomic uint64_t ring_rx_bytes;
	_Atomic uint64_t ring_rx_msgs;
	uint64_t rd_to;			/* not 0: rd_pos and rd_part are about to be (rd_to, 0) */
	_Atomic uint64_t peer_end;	/* an end left: the peer reads on up to there */

	/* lines 3..4: sending; under tx_lock */
	_Alignas(64) _Atomic uint32_t tx_lock;
	_Atomic uint32_t tx_mode;	/* enum shmfd_mode */
	uint64_t wr_pos;		/* ring position of the next record */
	uint64_t rd_cache;		/* peer's rd_pos when last looked at */
	uint64_t look_pos;		/* wr_pos of the next look at an early wrap */
	uint64_t resend_pos;		/* RESEND: next record to send by kernel */
	uint32_t resend_part;		/* payload bytes of it already sent */
	_Atomic uint32_t wr_shut;	/* host has shut down sending */
	uint32_t since_look;		/* records since the link was looked at */
	_Atomic uint32_t tx_inflight;	/* calls inside a kernel send */
	uint32_t lap;			/* bytes of the ring in use (ring.h); 0: as at first */
	_Atomic uint32_t cork;		/* enum shmfd_cork */
	_Alignas(64) _Atomic uint64_t kernel_tx_bytes;
	_Atomic uint64_t kernel_tx_msgs;
	_Atomic uint64_t ring_tx_bytes;
	_Atomic uint64_t ring_tx_msgs;
	int64_t sndtimeo_ns;
	uint64_t look_rd;		/* reader's position at the last look at the link */
	uint64_t lap_heard;		/* ring_rx_bytes when the last lap was over */
	uint64_t wrap_pos;		/* wr_pos at the last early wrap, 0: none */

	/* line 5: meeting; under meet_lock */
	_Alignas(64) _Atomic uint32_t meet_lock;
	uint32_t meet_step;		/* enum of meet.c */
	_Atomic uint64_t ops;		/* data calls in the kernel phase */
	_Atomic uint64_t next_try;	/* ops at which to try again */
	uint64_t cookie;		/* SO_COOKIE of our socket */
	uint32_t tries;
	_Atomic uint32_t reg_restored;	/* epoll: the host's registration is back */
	uint32_t drain_eof;		/* end-of-file stands at drain_end; under rx_lock */
	_Atomic uint32_t reset_told;	/* the peer's reset was reported */
};
_Static_assert(sizeof(struct shmfd_record) == 384, "a record is 384 bytes");
_Static_assert(offsetof(struct shmfd_record, rx_lock) == 64, "layout");
_Static_assert(offsetof(struct shmfd_record, tx_lock) == 192, "layout");
_Static_assert(offsetof(struct shmfd_record, meet_lock) == 320, "layout");

/* The table.  A page of head, then the records.
 *   off size field     meaning
 *     0    8 magic     SHMFD_TABLE_MAGIC
 *     8    4 version   SHMFD_LAYOUT_VERSION
 *    12    4 record_nr SHMFD_TABLE_RECORDS
 *    16    4 high      one above the highest record ever used
 *    20    4 next_free where to begin to look for a free record
 *    24    4 reclaim_at a record from here on: look first whose holders are gone
 */
struct shmfd_table {
	uint64_t magic;
	uint32_t version;
	uint32_t record_nr;
	_Atomic uint32_t high;
	_Atomic uint32_t next_free;	/* where to start looking */
	_Atomic uint32_t reclaim_at;	/* 0: RECLAIM_FIRST (table.c) */
	uint8_t pad[SHMFD_PAGE - 28];
	struct shmfd_record record[SHMFD_TABLE_RECORDS];
};
_Static_assert(offsetof(struct shmfd_table, record) == SHMFD_PAGE, "layout");

#endif
