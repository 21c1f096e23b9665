#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Checks the protocol models with spin: every good model is searched to the end and holds, every
# mutant is caught, and in the way that is expected of it.
#
#   usage: tests/model/run.sh [PATTERN]	only the rows whose text matches the regular expression
#
# A row:  expectation | model | -D switches | what it is
#   holds   no error, and the search was complete
#   hang    must fail with an invalid end state: somebody sleeps for ever
#   wrong   must fail with an assertion: a byte lost, doubled or out of order
#   fails   must fail, either way
# Two cores, about a minute, below 2 GB each.  Needs spin and a C compiler.

set -u -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
pattern=${1:-.}

rows() {
	cat <<'ROWS'
holds|wake|-DN=2|data: two threads, a signal
holds|wake|-DN=1 -DSIGNALS=0 -DKILL|data: two threads, the link ends at every step
holds|wake|-DDATA_THREADS=0 -DM=7|room: one thread, a signal
hang|wake|-DDATA_THREADS=0 -DM=7 -DM_SLEEPER_FENCE|no fence between SLEEP and look for room
holds|wake|-DDATA_THREADS=1 -DN=2 -DM=3 -DSIGNALS=0|data and room: two threads on one link
hang|wake|-DN=2 -DM_WRITER_FENCE|no fence between record and look at the word
hang|wake|-DN=2 -DM_SLEEPER_FENCE|no fence between SLEEP and look at the ring
hang|wake|-DM_CLEAR_PLAIN|SLEEP cleared by a plain store
hang|wake|-DM_NO_COUNT|CAS without a count of sleeps
hang|wake|-DM_TURN_LATE|turn read after the look
hang|wake|-DM_ANY_LEAD|lead taken from whatever turn is now
hang|wake|-DM_NO_WAKE|leader leaves and wakes nobody
hang|wake|-DM_KEEP_LEAD|leader leaves without giving up the lead
hang|wake|-DM_OLD_POSITION|last look at the position of the first
hang|wake|-DN=2 -DKILL -DM_DEAF|end of the link does not wake
holds|wake|-DHANDLER -DDATA_THREADS=1 -DSIGNALS=0|a handler waits for its answer
hang|wake|-DHANDLER -DDATA_THREADS=1 -DSIGNALS=0 -DM_SWAP_FIRST|SLEEP cleared before the bell
holds|wake|-DPOLLERS=1 -DDATA_THREADS=1 -DN=2|a thread in recv and one in poll, a signal
holds|wake|-DPOLLERS=2 -DDATA_THREADS=0 -DN=2|two threads in poll, a signal
holds|wake|-DPOLLERS=2 -DDATA_THREADS=1 -DN=2 -DSIGNALS=0|one in recv, two in poll
hang|wake|-DPOLLERS=1 -DDATA_THREADS=1 -DN=2 -DM_BLOCKED_LATE|looks at pollers, then raises blocked
hang|wake|-DPOLLERS=1 -DDATA_THREADS=1 -DN=2 -DM_CLAIM_LATE|looks at blocked, then raises pollers
hang|wake|-DPOLLERS=1 -DDATA_THREADS=1 -DN=2 -DSIGNALS=0 -DM_TAKE_UNCLAIMED|bells taken unclaimed
hang|wake|-DPOLLERS=2 -DDATA_THREADS=0 -DN=2 -DSIGNALS=0 -DM_NO_KICK|keeps the bell to itself
holds|nap|-DN=3|two streams in a nap, one writer
holds|nap|-DN=2 -DMORE=1 -DNO_LOOK|two streams in a nap, two threads that write
holds|nap|-DN=2 -DOTHER|a stream leaves the set of a sleeper
holds|nap|-DN=2 -DHOLD|bells held back from brief sleeps
holds|nap|-DN=1 -DMORE=1 -DHOLD -DNO_LOOK|bells held back, two threads that write
hang|nap|-DN=2 -DHOLD -DM_HOLD_LONG|a bell held back from a long sleep
hang|nap|-DN=2 -DHOLD -DM_COOL_BRIEF|a stream is cold and armed for a brief sleep
hang|nap|-DN=2 -DHOLD -DM_BRIEF_AGAIN|a brief sleep that its time does not end
hang|nap|-DOTHER -DM_NO_KICK|its link takes the bell of the nap along
hang|nap|-DM_COOL_NAPPING|a stream is cold and still in a nap
hang|nap|-DM_SAME_NAP|a number is used for two naps
hang|nap|-DM_NAP_LATE|the number is stored after SLEEP and look
hang|nap|-DM_NAP_EARLY|the number is read before the record is there
holds|retreat|-DLEAVE_W|writer's end leaves
holds|retreat|-DLEAVE_R|reader's end leaves and stays
holds|retreat|-DLEAVE_X|reader's end hands the socket over
holds|retreat|-DN=1 -DLEAVE_W -DLEAVE_R|both ends leave
holds|retreat|-DN=1 -DLEAVE_W -DKILL|death of the writer at every step, its end leaving
holds|retreat|-DN=1 -DLEAVE_R -DKILL|death of the writer at every step, the reader's end leaving
holds|retreat|-DPEEK -DLEAVE_W|a reader that enters early, writer's end leaves
holds|retreat|-DPEEK -DLEAVE_R|a reader that enters early, its end leaves
holds|retreat|-DPEEK -DLEAVE_X|a reader that enters early, its end hands over
holds|retreat|-DPEEK -DN=2 -DLEAVE_W -DKILL|a reader that enters early, death of the writer
wrong|retreat|-DPEEK -DN=2 -DLEAVE_W -DLEAVE_R -DM_EARLY_ENDED|entered early, ended, and left
fails|retreat|-DLEAVE_R -DM_NO_FENCE|no fence between record and look at the state
fails|retreat|-DLEAVE_R -DM_NO_CHECK|writer does not look at the state after a record
fails|retreat|-DLEAVE_R -DM_SCAN_EARLY|reader scans the ring before its swap
fails|retreat|-DLEAVE_R -DM_BLIND|split stored, not swapped
wrong|retreat|-DLEAVE_R -DM_START|writer proposes a split before what was published
wrong|retreat|-DLEAVE_R -DM_IN_FLIGHT|split although a plain receive is in flight
wrong|retreat|-DLEAVE_R -DM_EOF_FIRST|end-of-file of the ring before the kernel's bytes
hang|retreat|-DLEAVE_R -DM_ALWAYS_RESEND|a local retreat from OFFERED needs the writer's next call
hang|retreat|-DLEAVE_R -DM_NO_EOF|reader forgets end-of-file at the frontier
hang|retreat|-DLEAVE_R -DM_LINK_UP|an end leaves and keeps the link up
wrong|retreat|-DLEAVE_R -DM_DEATH|writer takes every ended link for a death
fails|retreat|-DLEAVE_X -DM_IGNORE_HAND_OVER|writer proposes a split at a hand-over
fails|retreat|-DLEAVE_X -DM_LOST_SWAP|writer's swap fails, and it resends nothing
fails|retreat|-DLEAVE_W -DM_END_OFFERED|writer ends a ring that the reader has not entered
hang|retreat|-DM_NO_INTENT|switch without a last kernel message
ROWS
}

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# check EXPECTATION MODEL SWITCHES: 0 when it came out so; the reason in $why
check() {
	local expect=$1 model=$2 switches=$3
	local cflags=-O1 pflags=-w24	# worth their cost in a full search only

	rm -rf "$work/run" && mkdir "$work/run" && cd "$work/run" || return 1
	# shellcheck disable=SC2086	# a list of switches
	if ! spin -a $switches "$here/$model.pml" >spin.log 2>&1 || grep -q Error: spin.log; then
		why="spin: $(grep -m1 Error: spin.log)"
		return 1
	fi
	[ "$expect" = holds ] || { cflags=-O0; pflags=-w20; }
	if ! ${CC:-cc} $cflags -w -DSAFETY -DMEMLIM=1900 -o pan pan.c >cc.log 2>&1; then
		why="cc: $(head -n1 cc.log)"
		return 1
	fi
	./pan -m20000 $pflags >pan.log 2>&1
	why=$(grep -m1 '^pan:1:' pan.log | sed 's/ (at depth.*//; s/^pan:1: //')
	case $expect in
	holds)
		grep -q 'errors: 0$' pan.log || return 1
		if grep -Eq 'not completed|too small|MEMLIM|out of memory' pan.log; then
			why="search not complete"
			return 1
		fi
		why="$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log) states" ;;
	hang)	[ "$why" = "invalid end state" ] ;;
	wrong)	[[ $why == "assertion violated"* ]] ;;
	fails)	[[ $why == "invalid end state" || $why == "assertion violated"* ]] ;;
	*)	why="unknown expectation $expect"; return 1 ;;
	esac
}

# worker N: every second row, beginning with the Nth; the model checker uses one core
worker() {
	local nr=0 expect model switches text verdict

	work=$work/$1
	mkdir "$work" || return 1
	while IFS='|' read -r expect model switches text; do
		[[ "$expect $model $switches $text" =~ $pattern ]] || continue
		((nr++ % workers == $1)) || continue
		if check "$expect" "$model" "$switches"; then
			# not "ok": tests/check.sh would count it as TAP, beside the last line
			verdict=caught
			[ "$expect" != holds ] || verdict=proved
			echo "$verdict  $model: $text [$expect: $why]"
		else
			echo "NOT OK $model: $text [$switches; expected: $expect;" \
				"got: ${why:-no error}]"
		fi
	done < <(rows)
}

command -v spin >/dev/null || { echo "spin: not found" >&2; exit 1; }
workers=2
for ((i = 0; i < workers; i++)); do
	worker "$i" | tee "$work/log$i" &
done
wait
passed=$(cat "$work"/log* | grep -c '^proved  \|^caught  ')
failed=$(cat "$work"/log* | grep -c '^NOT OK ')
wanted=$(rows | while IFS='|' read -r e m s t; do
	[[ "$e $m $s $t" =~ $pattern ]] && echo row
done | wc -l)
if [ $((passed + failed)) -ne "$wanted" ]; then
	echo "NOT OK: $wanted rows, $((passed + failed)) checked"
	failed=$((failed + 1))
fi
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
