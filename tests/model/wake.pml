/* SPDX-License-Identifier: MIT */
/*
 * Sleep and wake: a record or room is published, and whoever sleeps for it goes on.
 *
 *   peer                                       one waiting thread of this end
 *   [S] store header (or read position)        [G] t = turn
 *       full fence                             [S] CAS word: SLEEP, and one sleep more
 *   [S] load word; SLEEP:                          full fence
 *       send a bell, then CAS the word         [S] look at the ring again; nothing:
 *       from the value seen, SLEEP off         [G] t even: CAS turn t -> t + 1, recv(link)
 *                                                  t odd: futex_wait(turn, t)
 *   S: either the peer sees SLEEP, or the waiter sees the record.
 *   G: `turn` is count << 1 | somebody leads.  A leader that leaves for whatever reason stores the
 *   next count and wakes all followers.  The CAS from the value read before the look fails when a
 *   leader left in between, who may have taken the bell.
 *   The bell goes first: a handler on the ringing thread, between the two, that publishes and waits
 *   for its answer must not find a silent sleeper (HANDLER).
 *
 * Threads in poll (POLLERS) sleep on the link beside that:
 *   [B] pollers++ ; look at `blocked`          [B] blocked++ ; look at `pollers`
 *       not 0: leave the ring                      not 0: leave the ring
 *       SLEEP, look, ppoll(link, kick)             turn, SLEEP, look, sleep as above
 *   B: one of both sees the other before either can take a bell.  Who leaves shuts the link down,
 *   which wakes all.  Pollers take bells only when claimed, and who takes one kicks the others.
 *
 * A bell wakes any of them; the link is a queue of Q messages, full means that a bell is pending.
 *
 * Property: no invalid end state, that is: nobody sleeps for ever beside data or room.
 * Covered: two threads for data, one for room, on one link; signals that break any sleep, the host
 * going on or not; the end of the link at any step; a data ring of three slots that wraps; room in
 * quarters as the writer of src/send.c asks for it (PART).
 * Not covered: wrapping of the sleep counter (16 bits) and of turn, epoll, time-outs (they leave as
 * a signal does), spinning, more than two pollers.
 */
#ifndef N
#define N 3		/* records in; the last one stands for end-of-file and is never passed */
#endif
#ifndef M
#define M 0		/* records out */
#endif
#define SLOTS 3		/* of the ring in */
#define RC 4		/* room of the ring out */
#define PART 2
#ifndef Q
#define Q 1
#endif
#ifndef SIGNALS
#define SIGNALS 1
#endif
#ifndef DATA_THREADS
#define DATA_THREADS 2
#endif
#ifndef POLLERS
#define POLLERS 0
#endif
#define THREADS (DATA_THREADS + 1)

bool hdr[SLOTS];		/* a header stands there */
byte wr, rd;			/* ring in: published, read */
byte out_wr, out_rd, mark;	/* ring out: written, read; read at the last look for a sleeper */
byte attn, room_sleep;		/* count << 1 | SLEEP */
byte bells;
bool link_end, gone, dead;	/* gone: this end has left the ring, or the link has ended */
byte turn, followers, blocked, pollers;
bool waiting[THREADS];		/* inside futex_wait */
bool joined[2], kicked[2];	/* pollers */
byte signals = SIGNALS;

#define DATA (hdr[rd % SLOTS])
#define ROOM (out_wr - out_rd <= RC - PART)

/* ---- the peer ---- */

inline bell() { if :: bells < Q -> bells++ :: else fi }

#ifdef M_CLEAR_PLAIN
#define clear(word, f) word = word & 254
#else
#define clear(word, f) atomic { if :: word == f -> word = f - 1 :: else fi }
#endif

#ifdef M_SWAP_FIRST
#define wake(word, f) \
	if \
	:: (f & 1) -> clear(word, f); interrupt(); bell() \
	:: else \
	fi
#else
#define wake(word, f) \
	if \
	:: (f & 1) -> bell(); interrupt(); clear(word, f) \
	:: else \
	fi
#endif

/* Clears the slot behind, publishes. */
inline publish() { d_step { hdr[(wr + 1) % SLOTS] = false; hdr[wr % SLOTS] = true; wr++ } }

#ifdef HANDLER
/* A signal handler on the ringing thread: sends a record and waits until it has been read. */
#define interrupt() \
	if \
	:: wr < N - 1 && wr - rd < SLOTS - 1 -> \
		publish(); \
		h = attn; \
		if \
		:: (h & 1) -> bell(); clear(attn, h) \
		:: else \
		fi; \
		h = 0; \
		rd == wr \
	:: true \
	fi
#else
#define interrupt() skip
#endif

/* It waits for room by its own means: the other direction of this model. */
proctype producer()
{
	byte f, h;
	{
		do
		:: wr < N ->
end_full:		(wr - rd < SLOTS - 1);
#ifdef M_WRITER_FENCE
			if
			:: publish(); f = attn
			:: f = attn; publish()
			fi;
#else
			publish();	/* [S] */
			f = attn;	/* [S] */
#endif
			wake(attn, f);
			f = 0
		:: else -> break
		od
	} unless { atomic { dead -> f = 0; h = 0 } }
}

proctype consumer()
{
	byte f, h;
	{
end:		do	/* waiting for more to read is no hang of this direction */
		:: out_rd < out_wr ->
			out_rd++;
			if
			:: out_rd - mark >= PART ->
				mark = out_rd;
				f = room_sleep;
				wake(room_sleep, f)
			:: else
			fi;
			f = 0
		:: out_rd == M -> break
		od
	} unless { atomic { dead -> f = 0; h = 0 } }
}

/* ---- this end ---- */

#ifdef M_NO_COUNT
#define SET(word) word = 1
#else
#define SET(word) word = (word + 2) | 1
#endif
#ifdef M_SLEEPER_FENCE
#define set_and_look(word, cond) \
	if \
	:: SET(word); ok = (cond) \
	:: ok = (cond); SET(word) \
	fi
#else
#define set_and_look(word, cond) \
	SET(word); \
	ok = (cond)
#endif

inline retreat() { atomic { gone = true; link_end = true } }

inline leave()
{
	blocked--;
	if
	:: lead ->
#ifndef M_KEEP_LEAD
		turn = (t | 1) + 1;
#endif
#ifndef M_NO_WAKE
		if
		:: followers > 0 -> atomic { waiting[0] = false; waiting[THREADS - 1] = false;
			waiting[1] = false }
		:: else
		fi;
#endif
		lead = false
	:: else -> followers--
	fi
}

/* One sleep; the caller looks again whatever ended it.  `quit`: a signal, the host gives up. */
inline sleep_for(word, cond)
{
#ifdef M_BLOCKED_LATE
	busy = (pollers > 0);
	blocked++;
#else
	blocked++;		/* [B] */
	busy = (pollers > 0);	/* [B] */
#endif
	if
	:: busy -> blocked--; retreat()
	:: else ->
#ifdef M_TURN_LATE
		set_and_look(word, cond);
		t = turn;
#else
		t = turn;		/* [G] */
		set_and_look(word, cond);
#endif
		atomic {
			ok = ok || gone;
			if
			:: ok
			:: !ok && (t & 1) -> followers++
#ifdef M_ANY_LEAD
			:: !ok && !(t & 1) -> t = turn; lead = !(t & 1); turn = t | 1;
				followers = followers + !lead
#else
			:: !ok && !(t & 1) && turn == t -> turn = t | 1; lead = true
			:: !ok && !(t & 1) && turn != t -> ok = true	/* look again */
#endif
			fi
		};
		if
		:: ok -> blocked--
		:: !ok && lead ->
			if
			:: atomic { bells > 0 -> bells-- }
#ifndef M_DEAF
			:: atomic { bells == 0 && link_end -> gone = true }
#endif
			:: atomic { signals > 0 -> signals--; if :: quit = true :: true fi }
			fi;
			leave()
		:: !ok && !lead ->
			atomic { waiting[me] = (turn == t) };
			if
			:: !waiting[me]
			:: atomic { signals > 0 ->
				signals--; waiting[me] = false; if :: quit = true :: true fi }
			fi;
			leave()
		fi
	fi;
	atomic { t = 0; ok = false; busy = false }
}

#ifdef HANDLER
#define GIVE_UP skip	/* the handler waits for a reader */
#else
#define GIVE_UP if :: quit = true :: true fi
#endif
#define ALL_READ (rd == N - 1 && wr == N)

proctype data_thread(byte me)
{
	bool lead, ok, quit, busy;
	byte t, old;

	do
	:: quit || gone || ALL_READ -> break
	:: else ->
		atomic {
			old = rd % SLOTS;
			if
			:: DATA && rd < N - 1 -> rd++; ok = true; GIVE_UP
			:: else
			fi
		};
		if
		:: ok -> ok = false
#ifdef M_OLD_POSITION
		:: else -> sleep_for(attn, hdr[old])
#else
		:: else -> old = 0; sleep_for(attn, DATA)
#endif
		fi
	od;
	old = 0
}

proctype room_thread(byte me)
{
	bool lead, ok, quit, busy;
	byte t;

	do
	:: quit || gone || out_wr == M -> break
	:: !quit && !gone && out_wr < M && out_wr - out_rd < RC -> out_wr++
	:: else -> sleep_for(room_sleep, ROOM)
	od
}

/* A thread in poll; what it is told of, it reads. */
proctype poller(byte me)
{
	bool ok, rang, quit;

	do
	:: quit || gone || ALL_READ -> break
	:: else ->
		atomic {
			if
			:: DATA && rd < N - 1 -> rd++; ok = true
			:: else
			fi
		};
		if
		:: ok
		:: else ->
#ifdef M_TAKE_UNCLAIMED
			if
			:: atomic { bells > 0 -> bells--; goto out }	/* and goes elsewhere */
			:: true
			fi;
#endif
#ifdef M_CLAIM_LATE
			ok = (blocked > 0);
			atomic { pollers++; joined[me] = true; kicked[me] = false };
#else
			atomic { pollers++; joined[me] = true; kicked[me] = false };
			ok = (blocked > 0);
#endif
			if
			:: ok -> retreat()
			:: else ->
				set_and_look(attn, DATA);
				if
				:: ok
				:: else ->
					if
					:: atomic { (bells > 0 || kicked[me] || link_end) ->
						rang = (bells > 0); gone = gone || link_end }
					:: atomic { signals > 0 -> signals--; quit = true }
					fi;
					if
					:: rang ->
						bells = 0;
#ifndef M_NO_KICK
						atomic {
							kicked[1 - me] =
								joined[1 - me] || kicked[1 - me]
						};
#endif
						/* its host may leave it to the other */
						if :: quit = true :: true fi;
						rang = false
					:: else
					fi
				fi
			fi;
			atomic { joined[me] = false; pollers-- }
		fi;
		ok = false
	od;
out:	skip
}

/* The link ends only when the peer's process is gone altogether. */
proctype killer()
{
	dead = true;
	link_end = true
}

init {
	atomic {
#if DATA_THREADS + POLLERS > 0
		run producer();
#endif
#if M > 0
		run consumer();
		run room_thread(DATA_THREADS);
#endif
#if DATA_THREADS > 0
		run data_thread(0);
#endif
#if DATA_THREADS > 1
		run data_thread(1);
#endif
#if POLLERS > 0
		run poller(0);
#endif
#if POLLERS > 1
		run poller(1);
#endif
#ifdef KILL
		run killer()
#endif
	}
}
