/* SPDX-License-Identifier: MIT */
/*
 * Naps: one sleep under the words of several streams, ended by one bell (src/wait.h, N).
 *
 *   writer, for stream i                       the set
 *   [S] publish; load attn[i]                  n = a new number; for each hot stream:
 *   [N] SLEEP: load nap[i]; is n marked?           [N] nap = n, or 0 and cold
 *       yes: nothing                               [S] CAS attn: SLEEP; look
 *       no: bell on link i, mark n             all empty: sleep on all links
 *       CAS attn from the value seen
 *
 * The bells are edges in the kernel's set: pending[i].  Another thread takes stream 0 out of
 * the set, its link and what is pending with it, and reads it by itself from then on.
 *
 * HOLD: the writer may hold a bell back from a stream that was armed for a brief sleep (H), for
 * ever if it likes.  The time of that sleep ends it, and the next one is long.
 *
 * Property: no invalid end state: the set never sleeps for ever beside a message.
 * Covered: two streams, one writer or two threads of one, a look at the kernel without sleep,
 * a look that stops after one message, the link that leaves.
 * Not covered: several processes that write (they mark for themselves), retreat, the end of a link.
 */
#ifndef N
#define N 3		/* messages */
#endif
#ifndef MORE
#define MORE 0		/* of a second thread that writes */
#endif

byte msg[2];			/* unread */
byte attn[2];			/* count << 1 | SLEEP */
byte nap[2], marked, last;
bool brief[2];			/* beside SLEEP, in the same word */
bool is_long;			/* the next sleep */
bool pending[2], kicked;
bool hot[2];
bool in_set[2] = true;
bool sleeper;
byte left = N + MORE;	/* messages to come */

#define NOTHING (!left && !msg[0] && !msg[1])

proctype writer(byte k)
{
	byte i, f, n;

	do
	:: k > 0 ->
		if :: i = 0 :: i = 1 fi;
#ifdef M_NAP_EARLY
		n = nap[i];
#endif
		atomic { msg[i]++; left--; k-- };	/* [S] */
		f = attn[i];			/* [S] */
#ifndef M_NAP_EARLY
		n = nap[i];			/* [N] */
#endif
#ifdef HOLD
		if	/* the two bits were loaded at once */
#ifdef M_HOLD_LONG
		:: (f & 1) && attn[i] == f -> f = 0
#else
		:: atomic { (f & 1) && attn[i] == f && brief[i] -> f = 0 }
#endif
		:: true
		fi;
#endif
		if
		:: (f & 1) && (n == 0 || marked != n) ->
			/* a link that is in no set wakes nobody there */
			atomic { pending[i] = in_set[i] };
			if
			:: n -> marked = n	/* [N] */
			:: else
			fi;
			atomic { if :: attn[i] == f -> attn[i] = f - 1 :: else fi }
		:: else
		fi;
		atomic { f = 0; n = 0 }
	:: else -> break
	od;
	i = 0
}

/* What is there, of one stream or of all; true: a message. */
inline look()
{
	atomic {
		found = false;
		if
		:: hot[0] && msg[0] -> msg[0]--; found = true
		:: hot[1] && msg[1] -> msg[1]--; found = true
		:: !(hot[0] && msg[0]) && !(hot[1] && msg[1])
		fi
	}
}

/* Events of the kernel: those streams are hot now. */
inline take()
{
	hot[0] = hot[0] || (pending[0] && in_set[0]);
	hot[1] = hot[1] || (pending[1] && in_set[1]);
	pending[0] = false;
	pending[1] = false;
	kicked = false
}

#ifdef M_SAME_NAP
#define NEW_NAP 1
#else
#define NEW_NAP last + 1
#endif

#ifdef M_COOL_NAPPING
#define COOL(i) hot[i] = false
#else
#ifdef M_COOL_BRIEF
#define COOL(i) hot[i] = hot[i] && nap[i]
#else
#define COOL(i) hot[i] = hot[i] && (nap[i] || brief[i])
#endif
#endif

#ifdef HOLD
#ifdef M_BRIEF_AGAIN
#define ARM(i) atomic { attn[i] = (attn[i] + 2) | 1; brief[i] = true }
#else
#define ARM(i) atomic { attn[i] = (attn[i] + 2) | 1; brief[i] = !is_long }
#endif
#else
#define ARM(i) attn[i] = (attn[i] + 2) | 1
#endif

#define ALONE(i) (i == 0)	/* one of them may be, for the size of the search */

inline arm(i)
{
	if
	:: hot[i] ->
#ifdef M_NAP_LATE
		ARM(i);
		if
		:: hot[i] && msg[i] -> found = true
		:: else
		fi;
		if :: nap[i] = last :: ALONE(i) -> nap[i] = 0 fi;
#else
		if :: nap[i] = last :: ALONE(i) -> nap[i] = 0 fi;	/* [N] */
		ARM(i);				/* [S] */
		if				/* [S] */
		:: hot[i] && msg[i] -> found = true
		:: else
		fi;
#endif
		atomic { if :: !found -> COOL(i) :: else fi }
	:: else
	fi
}

proctype set()
{
	bool found;

	do
	:: NOTHING -> break
	:: else ->
#ifndef NO_LOOK
		if	/* the kernel is asked now and then */
		:: atomic { take() }
		:: true
		fi;
#endif
		look();
		if
		:: found
		:: else ->
			sleeper = true;
			last = NEW_NAP;
			arm(0);
			arm(1);
			if
			:: !found ->
				if
				:: atomic { pending[0] || pending[1] || kicked -> take() }
#if defined(HOLD) && !defined(M_BRIEF_AGAIN)
				:: !is_long && (brief[0] || brief[1]) -> is_long = true
#endif
				:: NOTHING
				fi
			:: else -> is_long = false
			fi;
			sleeper = false
		fi;
		if
		:: found -> is_long = false
		:: else
		fi;
		found = false
	od
}

/* Takes stream 0 out of the set, under its lock, and reads it. */
proctype other()
{
	atomic { in_set[0] = false; hot[0] = false; pending[0] = false };
#ifndef M_NO_KICK
	if
	:: sleeper -> kicked = true
	:: else
	fi;
#endif
	do
	:: msg[0] -> atomic { if :: msg[0] -> msg[0]-- :: else fi }
	:: NOTHING -> break
	od
}

init {
	atomic {
		hot[0] = true;
		hot[1] = true;
		run writer(N);
#if MORE > 0
		run writer(MORE);
#endif
		run set();
#ifdef OTHER
		run other()
#endif
	}
}
