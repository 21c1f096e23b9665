/* SPDX-License-Identifier: MIT */
/*
 * Switch and retreat: the bytes of one direction go by kernel, by ring, by kernel again.
 *
 *   stream   1 .. switch_at | switch_at+1 .. switch_at+E | switch_at+E+1 ..
 *   carried  kernel         | ring, positions 0 .. E-1   | kernel
 *
 * Switch: rx_ready, INTENT with one last kernel message, switch_at, CAS OFFERED -> RING.
 * Retreat, by compare-and-swap of the state:
 *   reader   OFFERED|RING -> FROZEN, then `split`, once, by whoever is first: the reader proposes
 *            the frontier it scans after its swap, the writer its own position: what was
 *            published was perhaps shown.  The reader drains up to there and remembers an
 *            end-of-file that stands there.
 *            OFFERED|RING -> HAND_OVER (FROZEN with that bit): the writer resends from rd_pos.
 *   writer   OFFERED -> HAND_OVER and all by kernel, or RING -> ENDED and an END record.
 *   A link that ended while the state says otherwise is a death.
 *
 *   writer                                     reader
 *   [A] store record          \   full fence   [A] swap -> FROZEN    \   full fence
 *   [A] load state            /                [A] scan the ring     /
 *   Either the writer sees FROZEN and settles the split, or the reader finds the record.
 *
 * A reader's end that has not entered hands over when a receive of its own is in flight: that
 * receive asked for any number of bytes, and would take what the writer sends by kernel after the
 * split before the ring's (M_IN_FLIGHT).
 *
 * Rules that src/stream.c once lacked; the mutants are that code:
 *   M_IN_FLIGHT  the one above.
 *   M_EOF_FIRST  leave_rx from OFFER with an EOF record at position 0: kernel bytes before
 *                switch_at come first, so rx_mode stays OFFER and drain_eof enters the ring.
 *   M_EARLY_ENDED  a reader that entered early (PEEK: it has shown what the ring holds before the
 *                last kernel bytes were taken) and leaves a ring that has ended: it stays OFFER.
 *   M_START      the writer proposes the start of the record that it just published, which takes
 *                bytes back that FIONREAD or poll may have shown.
 *   M_LOST_SWAP  leave_tx whose swap RING -> ENDED fails has met FROZEN: it settles the split.
 *
 * Properties: deliver() asserts order, no gap, no doubling; end-of-file comes after all bytes, of a
 * dead writer after all whose send returned; whatever was sent is delivered though the writer's
 * host
 * never calls again (else the reader hangs: an invalid end state).  One exception, `quiet`: what a
 * hand-over left to the writer waits for its next call, or for its sleep in our code to end.  A
 * writer that dies then, or between its own swap and its resend, takes those bytes along.
 *
 * Covered: one direction, one receiving and one sending thread, another thread at each end that
 * leaves at any step, end-of-file by ring and by kernel, close, death of the writer at any step.
 * Not covered: M_NO_BOUND and M_ZERO (they do not fail here, so those two rules are unproven),
 * a second receiving or sending thread, rd_part (a record is one byte), a full kernel
 * buffer (tx_mode RESEND is over at once), the death of the reader, resets, wrapping.
 */
#ifndef N
#define N 3		/* bytes sent */
#endif
#ifndef RC
#define RC 2		/* records the ring holds; EOF and END always fit */
#endif
#define UNKNOWN 255
#define ANY 254
#define EOFREC (N + 1)
#define ENDREC (N + 2)

#define OFFERED 0
#define RING 1
#define FROZEN 2
#define HAND_OVER 3
#define ENDED 4
#define KERNEL 5	/* a mode, as are OFFER and RING */
#define OFFER 6

chan krn = [2 * N] of { byte };
bool fin, link_down, dead;

/* the segment */
byte state = OFFERED;
byte split;		/* position plus 1; 0: open */
byte switch_at = UNKNOWN;
byte rd_pub;
byte ring[N + 4];
bool rx_ready, intent;

/* the writer's end */
bool tx_lock, meet_w, left_w, wr_shut;
byte tx_mode = KERNEL, wr, ksent;
byte complete;		/* last byte whose send returned; EOFREC: shutdown returned */
bool idle;		/* the host never calls again; the socket stays open */

/* the reader's end */
bool rx_lock, meet_r, left_r, rx_eof, drain_eof;
byte rx_mode = KERNEL, rd, kgot, in_flight, drain_end;
byte expect;		/* last byte the host got */
bool limit;		/* the reader's end handed over */
byte shown;		/* frontier before the swap: FIONREAD or poll may have told of it */

#define quiet (idle && (complete == expect || (limit && tx_mode == RING)))
#define is_frozen (state == FROZEN || state == HAND_OVER)
#define lock(l) atomic { !l -> l = true }

inline swap(from, to) { atomic { ok = (state == from); state = (ok -> to : state) } }

/* ---- the writing end ---- */

inline begin_resend(pos)
{
	atomic {
		i = pos;
		do
		:: i < wr && ring[i] <= N -> krn!ring[i]; i++
		:: i < wr && ring[i] > N -> i++
		:: i >= wr -> break
		od;
		i = 0;
		tx_mode = KERNEL;
		fin = fin || wr_shut
	}
}

inline send_frozen(start)
{
	m = rd_pub;
#ifdef M_IGNORE_HAND_OVER
	if
	:: true ->
#else
	if
	:: state == HAND_OVER
	:: state != HAND_OVER ->
#endif
#ifdef M_START
		m = (start > m -> (start) : m);
#else
		m = wr;
#endif
		atomic {
#ifdef M_BLIND
			split = m + 1
#else
			if
			:: split == 0 -> split = m + 1
			:: else -> m = split - 1
			fi
#endif
		}
	fi;
	begin_resend(m);
	m = 0
}

inline mark(tag) { d_step { ring[wr] = tag; wr++ } }

inline leave_tx()
{
	if
	:: tx_mode != RING -> swap(OFFERED, HAND_OVER); tx_mode = KERNEL
	:: tx_mode == RING ->
#ifdef M_END_OFFERED
		swap(OFFERED, ENDED);
		if
		:: ok -> mark(ENDREC); tx_mode = KERNEL; goto left
		:: else
		fi;
#endif
		swap(OFFERED, HAND_OVER);
		if
		:: ok && !gone -> begin_resend(0)
		:: ok && gone -> begin_resend(rd_pub)
		:: !ok ->
#ifdef M_DEATH
			ok = gone;
#else
			if
			:: gone -> swap(RING, FROZEN)
			:: else
			fi;
#endif
			if
			:: ok -> begin_resend(rd_pub)
			:: !ok && is_frozen -> send_frozen(wr)
			:: !ok && !is_frozen ->
				swap(RING, ENDED);
				if
				:: ok -> mark(ENDREC); tx_mode = KERNEL; fin = fin || wr_shut
#ifndef M_LOST_SWAP
				:: !ok && is_frozen -> send_frozen(wr)
#endif
				:: else -> tx_mode = KERNEL; fin = fin || wr_shut
				fi
			fi
		fi
	fi
}

inline leave_w()
{
	gone = link_down;
	lock(meet_w);
	if
	:: !left_w ->
		lock(tx_lock);
		leave_tx();
left:		tx_lock = false;
		left_w = true;
		link_down = true
	:: else
	fi;
	atomic { meet_w = false; gone = false; ok = false }
}

inline switch_over()
{
	if
	:: left_w || state != OFFERED -> tx_mode = KERNEL
	:: else -> switch_at = ksent; tx_mode = RING
	fi
}

inline to_kernel()
{
	if
	:: x == EOFREC ->
		swap(OFFERED, FROZEN);
		tx_lock = false;
		fin = true
	:: x != EOFREC ->
		if
		:: !left_w && rx_ready && state == OFFERED ->
#ifdef M_NO_INTENT
			switch_at = ksent;
			tx_mode = RING;
			tx_lock = false;
			goto again
#else
			intent = true;
			tx_mode = OFFER
#endif
		:: else
		fi;
		tx_lock = false;
		krn!x;
		ksent++;
		if
		:: tx_mode == OFFER ->
			lock(tx_lock);
			if
			:: tx_mode == OFFER -> switch_over()
			:: else
			fi;
			tx_lock = false
		:: else
		fi
	fi
}

proctype writer()
{
	byte x, i, m;
	bool ok, gone, seen;
	{
		skip;
next:		atomic {
			if
			:: x < N -> x++
			:: x == N -> x = EOFREC
			:: x >= N -> goto closing
			:: idle = true; goto stop
			fi
		};
again:		atomic { !tx_lock -> tx_lock = true; ok = false; seen = false };
		if
		:: tx_mode != RING -> to_kernel()
		:: tx_mode == RING && is_frozen -> send_frozen(wr); tx_lock = false; goto again
		:: tx_mode == RING && !is_frozen && x != EOFREC && wr - rd_pub >= RC ->
			tx_lock = false;
			(wr - rd_pub < RC || link_down);
			if
			:: link_down -> leave_w()
			:: else
			fi;
			goto again
		:: else ->
#ifdef M_NO_FENCE
			if
			:: mark(x); seen = is_frozen
			:: seen = is_frozen; mark(x)
			fi;
#else
			mark(x);		/* [A] */
			seen = is_frozen;	/* [A] after a full fence */
#endif
			wr_shut = (x == EOFREC);
#ifndef M_NO_CHECK
			if
			:: seen -> send_frozen(wr - (x != EOFREC))
			:: else
			fi;
#endif
			tx_lock = false
		fi;
		atomic { complete = x; ok = false; seen = false };
		goto next;
closing:	gone = link_down;
		lock(tx_lock);
		if
		:: !left_w -> leave_tx()
		:: else
		fi;
		fin = true;
		link_down = true;
stop:
		atomic { tx_lock = false; x = 0; ok = false; gone = false; seen = false; m = 0 }
	} unless { atomic { dead -> tx_lock = false; x = 0; i = 0; m = 0; ok = false;
		gone = false; seen = false } }
}

proctype leaver_w()
{
	byte i, m;
	bool ok, gone;
	{
		leave_w()
	} unless { atomic { dead -> i = 0; m = 0; ok = false; gone = false } }
}

/* ---- the reading end ---- */

inline frontier()
{
	atomic {
		e = rd;
		do
		:: ring[e] > 0 && ring[e] <= N -> e++
		:: else -> break
		od
	}
}

inline hand_over()
{
	atomic {
		ok = (state == OFFERED || state == RING);
		if
		:: ok -> state = HAND_OVER; limit = true
		:: else
		fi
	};
	if
#ifdef M_EARLY_ENDED
	:: !ok && rx_mode == RING
#else
	:: !ok && state == ENDED	/* the ring is read to its end first */
#endif
	:: else -> rx_mode = KERNEL
	fi
}

inline freeze()
{
#ifdef M_SCAN_EARLY
	frontier();
#endif
	atomic {
		ok = (state == OFFERED || state == RING);
#ifdef M_ALWAYS_RESEND
		state = (ok -> (state == OFFERED -> HAND_OVER : FROZEN) : state)
#else
		state = (ok -> FROZEN : state);
		shown = rd;
		do
		:: ring[shown] > 0 && ring[shown] <= N -> shown++
		:: else -> break
		od
#endif
	};
	if
#ifdef M_EARLY_ENDED
	:: !ok && rx_mode == OFFER -> rx_mode = KERNEL
	:: !ok && rx_mode != OFFER
#else
	:: !ok && rx_mode == OFFER && is_frozen -> rx_mode = KERNEL
	:: !ok && !(rx_mode == OFFER && is_frozen)
#endif
#ifdef M_ALWAYS_RESEND
	:: ok && state == HAND_OVER -> rx_mode = KERNEL
	:: ok && state != HAND_OVER ->
#else
	:: ok ->
#endif
#ifndef M_SCAN_EARLY
		frontier();
#endif
		atomic {
#ifdef M_BLIND
			split = e + 1
#else
			if
			:: split == 0 -> split = e + 1
			:: split != 0 ->
				frontier();
				if
				:: split - 1 < e && split - 1 >= rd -> e = split - 1
				:: else
				fi
			fi
#endif
		};
		assert(e >= shown);
		atomic {
#ifndef M_NO_EOF
			drain_eof = (ring[e] == EOFREC);
#endif
			drain_end = e;
			if
#ifdef M_EOF_FIRST
			:: e == rd -> rx_mode = KERNEL; rx_eof = rx_eof || drain_eof
#else
			:: e == rd && (rx_mode == RING || !drain_eof) ->
				rx_mode = KERNEL; rx_eof = rx_eof || drain_eof
#endif
			:: else
			fi
		}
	fi;
	e = 0
}

#ifdef M_IN_FLIGHT
#define must_hand_over false
#else
#define must_hand_over (rx_mode == OFFER && in_flight > 0)
#endif

inline leave_r(is_gone, next_is_other)
{
	gone = is_gone;
	lock(meet_r);
	if
	:: !left_r ->
		lock(rx_lock);
		if
		:: gone && rx_mode == KERNEL -> swap(OFFERED, HAND_OVER)
		:: gone && rx_mode != KERNEL -> swap(RING, ENDED)
		:: !gone && (rx_mode == KERNEL || next_is_other || must_hand_over) -> hand_over()
		:: else -> freeze()
		fi;
		rx_lock = false;
		left_r = true;
#ifndef M_LINK_UP
		link_down = true
#endif
	:: else
	fi;
	atomic { meet_r = false; gone = false; ok = false }
}

inline deliver()
{
	assert(x == expect + 1);
	expect = x
}

/* A receive in the kernel: all there is up to @max; zero: it returned 0. */
inline take(max)
{
	atomic {
		(len(krn) > 0 || fin || quiet);
		if
		:: len(krn) == 0 && !fin -> goto stop
		:: len(krn) == 0 && fin -> zero = true
		:: len(krn) > 0 ->
			n = max;
			do
			:: n > 0 && len(krn) > 0 -> krn?x; deliver(); kgot++; n--
			:: else -> break
			od;
			n = 0; x = 0
		fi
	}
}

inline publish_offer()
{
	lock(rx_lock);
	if
	:: !left_r && rx_mode == KERNEL && in_flight <= 1 && !rx_eof && state == OFFERED ->
		rx_mode = OFFER;
		rx_ready = true
	:: else
	fi;
	rx_lock = false
}

inline counted_kernel(max)
{
	in_flight++;
	rx_lock = false;
	take(max);
	in_flight--;
	if
#ifndef M_ZERO
	:: zero && max == ANY && switch_at != UNKNOWN -> zero = false
#endif
	:: zero && (max != ANY || switch_at == UNKNOWN) -> goto eof
#ifdef M_ZERO
	:: zero && max == ANY && switch_at != UNKNOWN -> goto eof
#endif
	:: !zero
	fi
}

/* The last kernel message is on its way or was taken. */
inline await_switch()
{
	if
	:: len(krn) > 0 || fin -> counted_kernel(ANY)
	:: else ->
		rx_lock = false;
		(len(krn) > 0 || fin || switch_at != UNKNOWN || link_down || quiet);
		if
		:: link_down -> leave_r(true, false)
		:: !link_down && quiet -> goto stop
		:: else
		fi
	fi
}

inline offered()
{
	q = switch_at;
	if
	:: q == UNKNOWN && left_r && switch_at == UNKNOWN -> rx_mode = KERNEL; rx_lock = false
	:: q == UNKNOWN && !left_r && intent -> await_switch()
	:: q == UNKNOWN && !left_r && !intent -> counted_kernel(ANY)
	:: q == UNKNOWN && left_r && switch_at != UNKNOWN -> rx_lock = false
#ifdef PEEK
	/* a peek, or FIONREAD, showed what the ring holds: the writer may not cancel it */
	:: q != UNKNOWN && kgot < q && state == OFFERED && in_flight == 0 ->
		swap(OFFERED, RING);
		rx_lock = false
#endif
#ifdef M_NO_BOUND
	:: q != UNKNOWN && kgot < q -> counted_kernel(ANY)
#else
	:: q != UNKNOWN && kgot < q -> counted_kernel(q - kgot)
#endif
	:: q != UNKNOWN && kgot >= q ->
		if
		:: drain_end > 0 || drain_eof -> rx_mode = RING
		:: else ->
			swap(OFFERED, RING);
			rx_mode = (ok || !is_frozen -> RING : KERNEL)
		fi;
		rx_lock = false
	fi
}

inline from_ring()
{
	atomic {
		q = ring[rd];
		q = (drain_end > 0 && rd >= drain_end -> 0 : q)
	};
	if
	:: q == EOFREC -> goto eof
	:: q == ENDREC ->
		rx_mode = KERNEL;
		rx_lock = false;
		leave_r(true, false)
	:: q > 0 && q <= N ->
		atomic {
			x = q; deliver(); rd++; x = 0;
			rd_pub = rd;
			rx_lock = false
		}
	:: q == 0 && left_r && (drain_end > 0 || ring[rd] == 0) ->
		rx_mode = KERNEL;
		rx_eof = rx_eof || drain_eof;
		rx_lock = false
	:: else ->
		rx_lock = false;
		(ring[rd] != 0 || link_down || quiet);
		if
		:: link_down -> leave_r(true, false)
		:: !link_down && ring[rd] == 0 && quiet -> goto stop
		:: else
		fi
	fi
}

proctype reader()
{
	byte q, x, n, e;
	bool ok, gone, zero, counted;

	do
	:: atomic { !rx_lock -> rx_lock = true; q = 0; ok = false };
		if
		:: rx_mode == KERNEL && rx_eof -> goto eof
		:: rx_mode == RING -> from_ring()
		:: rx_mode == OFFER -> offered()
		:: rx_mode == KERNEL && !rx_eof ->
			/* the host's own call: deaf to link and ring */
			atomic { counted = !left_r; in_flight = in_flight + counted;
				rx_lock = false };
			take(ANY);
			atomic { in_flight = in_flight - counted; counted = false };
			if
			:: zero -> goto eof
			:: !zero -> publish_offer()
			fi
		fi
	od;
eof:	assert(expect == N || (dead && (expect >= complete || state == HAND_OVER)));
stop:	atomic { rx_lock = false; q = 0; ok = false; zero = false; counted = false }
}

/* Another thread: the stream is paired while a receive is in flight. */
proctype promoter() { publish_offer() }

proctype leaver_r(bool other)
{
	byte e;
	bool ok, gone;

	leave_r(link_down, other)
}

/* The writer's process dies, at any step; its descriptors go in any order. */
proctype killer()
{
	dead = true;
	if
	:: fin = true; link_down = true
	:: link_down = true; fin = true
	fi
}

init {
	atomic {
		run writer();
		run reader();
		run promoter();
#ifdef LEAVE_W
		run leaver_w();
#endif
#ifdef LEAVE_R
		run leaver_r(false);
#endif
#ifdef LEAVE_X
		run leaver_r(true);
#endif
#ifdef KILL
		run killer();
#endif
	}
}
