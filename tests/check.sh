#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh - every check of this project, on a machine with nothing but a shell and apt.
#
#   sh tests/check.sh [PART ...]      all parts, or the named ones
#
# Each part is a make target.  It reports by the lines it prints, in either way:
#   TAP                               ok ..., not ok ..., ok ... # skip ..., 1..N
#   a closing line of its own         N passed, N failed[, N skipped]
# Several of each may come; they are added up.  A part fails, and counts as one more failure,
# when it reports nothing, skips everything, ends before its plan, takes longer than
# CHECK_TIMEOUT seconds, or exits non-zero without having named a failure.
#
# The output of each part goes to build/check/PART.log, and to stdout unless stdout is a
# terminal, which gets a progress line and the failures instead (V=1: everything).
# The last line is the sum, "N passed, N failed, N skipped"; exit status 0 only without failure.
set -eu
cd "$(dirname "$0")/.."

timeout=${CHECK_TIMEOUT:-1200}
logs=build/check
parts='check-headers check-symbols check-lint check-unit check-asan check-tsan model check-shim
	check-apps check-suites check-bypass check-chaos'

# Under "make check" these speak of the outer make, whose job slots are not ours.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
# One language in every tool's output, and UTF-8 for the tests that print it.
export LC_ALL=C.UTF-8

job=
viewer=
quit()
{
	# timeout passes the signal on to the part's whole process group
	[ -z "$job" ] || kill "$job" 2>/dev/null || :
	[ -z "$viewer" ] || kill "$viewer" 2>/dev/null || :
	wait
	exit "$1"
}
trap 'quit 130' INT
trap 'quit 143' TERM HUP

show=all
if [ -t 1 ] && [ "${V:-0}" != 1 ]; then
	show=progress
fi

# reads a part's log, prints: passed failed skipped planned seen
count()
{
	awk '
	/^1\.\.[0-9]+/ { planned += substr($1, 4); if ($1 == "1..0") skipped++ }
	/^not ok / { failed++; seen++ }
	/^ok / { seen++; if (tolower($0) ~ /# skip/) skipped++; else passed++ }
	/^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ {
		passed += $1; failed += $3; skipped += $5
	}
	END { print passed + 0, failed + 0, skipped + 0, planned + 0, seen + 0 }
	' "$1"
}

# the failed tests of a log with the lines that explain them
failures()
{
	awk '
	/^not ok / { on = 1; print "  " $0; next }
	/^#/ { if (on) print "  " $0; next }
	{ on = 0 }
	' "$1"
}

now()
{
	date +%s
}

progress()
{
	while kill -0 "$job" 2>/dev/null; do
		# shellcheck disable=SC2046
		set -- "$1" $(count "$logs/$1.log")
		printf '\r\033[K%s: %d passed, %d failed' "$1" "$2" "$3"
		sleep 0.3
	done
	printf '\r\033[K'
}

# runs part $1, adds to the totals
run_part()
{
	part=$1
	log=$logs/$part.log
	: >"$log"
	started=$(now)
	# the shell starts a background job with SIGINT ignored, which tests would inherit
	env --default-signal=INT,QUIT timeout -k 10 "$timeout" make -j2 "$part" \
		>"$log" 2>&1 </dev/null &
	job=$!
	if [ "$show" = all ]; then
		echo "== $part"
		tail -n +1 -s 0.2 -f --pid="$job" "$log" &
		viewer=$!
	else
		progress "$part"
	fi
	rc=0
	wait "$job" || rc=$?
	job=
	if [ -n "$viewer" ]; then
		wait "$viewer" || :
		viewer=
	fi

	# shellcheck disable=SC2046
	set -- $(count "$log")
	passed=$1 failed=$2 skipped=$3 planned=$4 seen=$5
	why=
	if [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
		why="not done after $timeout s"
	elif [ "$seen" -lt "$planned" ]; then
		why="$seen of $planned planned tests reported"
	elif [ $((passed + failed + skipped)) -eq 0 ]; then
		why="reported nothing (exit status $rc)"
	elif [ $((passed + failed)) -eq 0 ]; then
		why="skipped as a whole"
	elif [ "$rc" -ne 0 ] && [ "$failed" -eq 0 ]; then
		why="exit status $rc without a failed test"
	fi
	if [ -n "$why" ]; then
		failed=$((failed + 1))
	fi
	if [ "$show" = progress ]; then
		failures "$log"
		[ -z "$why" ] || tail -n 15 "$log" | sed 's/^/  | /'
	fi
	[ -z "$why" ] || echo "  $part: $why; see $log"
	printf '%-14s %4d passed, %d failed, %d skipped  (%d s)\n' \
		"$part" "$passed" "$failed" "$skipped" $(($(now) - started))
	all_passed=$((all_passed + passed))
	all_failed=$((all_failed + failed))
	all_skipped=$((all_skipped + skipped))
}

sh tests/deps.sh check suites

all_passed=0
all_failed=0
all_skipped=0
# shellcheck disable=SC2086 # a list
[ $# -gt 0 ] || set -- $parts
mkdir -p "$logs"
begun=$(now)
for name in "$@"; do
	run_part "$name"
done
echo "all parts: $(($(now) - begun)) s, logs in $logs"
echo "$all_passed passed, $all_failed failed, $all_skipped skipped"
[ "$all_failed" -eq 0 ]
