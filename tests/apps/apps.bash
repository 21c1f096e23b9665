# SPDX-License-Identifier: MIT
#
# Helpers for the tests that run real programs, unmodified, as both ends of a conversation.
#
# A scenario is a shell function.  Each @test chooses a mode and runs one:
#
#   plain     no library: the kernel is the oracle, and the scenario itself is shown to work
#   ring      both ends preloaded, default settings
#   now       both ends preloaded, promotion as soon as possible (SHMFD_AFTER=0)
#   retreat   as now, and streams go back to the kernel at random moments
#   server    only the server preloaded: nothing may go by ring, and nothing may differ
#   client    only the client preloaded: likewise
#
# Rules kept here so that the scenarios need not: LD_PRELOAD is set by env for one command only;
# nothing in the background keeps file descriptor 3 of bats; every wait has an end; every program
# of a test is stopped in the orderly way by the test itself, and teardown fails the test when a
# process, a connection or a file of it is still there.
#
# $T is the directory of the test.  It is world-readable, and the library is copied into it,
# because servers run as www-data or postgres, who may not reach the build directory.

bats_require_minimum_version 1.5.0

APPS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
APPS_TOP=$(cd "$APPS_DIR/../.." && pwd)
# shellcheck disable=SC2034 # the test files use it
PYTHON=/usr/bin/python3
# Another build, say build/asan, may be tried.
APPS_BUILD=${APPS_BUILD:-$APPS_TOP/build}

export BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-60}
export LC_ALL=C
export PYTHONDONTWRITEBYTECODE=1
# Debian keeps daemons in sbin, which a plain user's PATH lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# A build with sanitizers or a shell with settings of its own must not leak into the programs.
unset LD_PRELOAD SHMFD_AFTER SHMFD_RING SHMFD_RULES SHMFD_LOG SHMFD_STATS SHMFD_SPIN_US \
	SHMFD_TEST_RETREAT SHMFD_TEST_SEED SHMFD_PCAP
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY

fail() {
	echo "$*" >&2
	return 1
}

# need PROGRAM...: skips where a program is not installed; in CI (SHMFD_REQUIRE_APPS=1) that fails.
need() {
	local p
	for p in "$@"; do
		command -v "$p" >/dev/null && continue
		[ -z "${SHMFD_REQUIRE_APPS:-}" ] || fail "$p is not installed"
		skip "$p is not installed"
	done
}

# need_file WHAT PATH: the same for what is no command.
need_file() {
	[ -e "$2" ] && return 0
	[ -z "${SHMFD_REQUIRE_APPS:-}" ] || fail "$1 is not installed"
	skip "$1 is not installed"
}

need_root() {
	[ "$(id -u)" = 0 ] && return 0
	[ -z "${SHMFD_REQUIRE_APPS:-}" ] || fail "this test must run as root"
	skip "changes users, so must run as root"
}

# --- the life of a test ---

apps_setup() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/shmfd-apps.XXXXXX")
	chmod 755 "$T"
	STATS=$T/stats
	MODE=plain
	SERVER_ENV=()
	CLIENT_ENV=()
	PORTS=()
	declare -gA PID=()
	SHM_BEFORE=$(ls /dev/shm 2>/dev/null) || true
}

# mode NAME: the first line of every test.
mode() {
	local lib=$APPS_BUILD/libshmfd.so shim=()
	MODE=$1
	[ "$MODE" = plain ] && return 0
	[ -r "$lib" ] || fail "$lib is missing: run make first"
	install -m 755 "$lib" "$T/libshmfd.so"
	: >"$STATS"
	chmod 666 "$STATS"
	shim=("LD_PRELOAD=$T/libshmfd.so" "SHMFD_STATS=$STATS")
	case $MODE in
	ring) SERVER_ENV=("${shim[@]}") CLIENT_ENV=("${shim[@]}") ;;
	now)
		shim+=(SHMFD_AFTER=0)
		SERVER_ENV=("${shim[@]}") CLIENT_ENV=("${shim[@]}")
		;;
	retreat)
		shim+=(SHMFD_AFTER=0 SHMFD_TEST_RETREAT=300)
		SERVER_ENV=("${shim[@]}" SHMFD_TEST_SEED=11)
		CLIENT_ENV=("${shim[@]}" SHMFD_TEST_SEED=12)
		;;
	server) SERVER_ENV=("${shim[@]}") ;;
	client) CLIENT_ENV=("${shim[@]}") ;;
	*) fail "no such mode: $MODE" ;;
	esac
}

apps_teardown() {
	local name left=() problem=
	[ -n "${T:-}" ] || return 0
	for name in "${!PID[@]}"; do
		kill -0 "${PID[$name]}" 2>/dev/null && left+=("$name")
	done
	if [ "${BATS_TEST_COMPLETED:-}" != 1 ]; then
		show_logs
	elif [ "${#left[@]}" -gt 0 ]; then
		problem="not stopped by the test: ${left[*]}"
	fi
	for name in "${left[@]}"; do
		kill -9 "${PID[$name]}" 2>/dev/null || true
		wait "${PID[$name]}" 2>/dev/null || true
	done
	nothing_left || problem+="; something was left behind"
	rm -rf "$T"
	[ -z "$problem" ] || fail "$problem"
}

show_logs() {
	local f
	for f in "$T"/*.out "$T"/*.log "$STATS"; do
		[ -s "$f" ] || continue
		echo "--- ${f#"$T"/} (its end)"
		tail -n 15 "$f" | cut -c 1-300
	done
}

# Who still has something of this test open, mapped or as its directory.  Prints pids.
holders() {
	{
		grep -ls "$T" /proc/[0-9]*/maps
		find /proc/[0-9]*/fd /proc/[0-9]*/cwd -maxdepth 1 -lname "$T*"
	} 2>/dev/null | cut -d / -f 3 | sort -un
}

# Connections of our ports that nobody closed.  TIME-WAIT is the kernel's own affair.
connections() {
	local p
	for p in "${PORTS[@]}"; do
		ss -Htan "( sport = :$p or dport = :$p )" | grep -v '^TIME-WAIT' || true
	done
}

# Shared memory objects that came during the test and that no process uses any more.
shm_orphans() {
	local f
	for f in /dev/shm/*shmfd*; do
		[ -e "$f" ] || continue
		grep -qxF "${f##*/}" <<<"$SHM_BEFORE" && continue
		grep -qs "$f" /proc/[0-9]*/maps || echo "$f"
	done
}

nothing_left() {
	local pids conns shm p
	# A process that was told to end may need a moment.
	for _ in {1..30}; do
		pids=$(holders)
		conns=$(connections)
		[ -n "$pids$conns" ] || break
		sleep 0.1
	done
	shm=$(shm_orphans)
	for p in $pids; do
		echo "left behind: process $p $(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null)"
		kill -9 "$p" 2>/dev/null || true
	done
	[ -z "$conns" ] || echo "left behind: connections $conns"
	[ -z "$shm" ] || echo "left behind: $shm"
	[ -z "$pids$conns$shm" ]
}

# --- starting and stopping ---

# free_port VARIABLE: below the range of automatic ports, so that no client takes it meanwhile.
free_port() {
	local p
	for _ in {1..50}; do
		p=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
		[ -z "$(ss -Htan "sport = :$p")" ] || continue
		printf -v "$1" %d "$p"
		PORTS+=("$p")
		return 0
	done
	fail "no free port"
}

# start_with NAME [VAR=VALUE...] COMMAND...: in the background; output in $T/NAME.out, PID[NAME].
start_with() {
	local name=$1
	shift
	env "$@" >"$T/$name.out" 2>&1 </dev/null 3>&- &
	PID[$name]=$!
}

# start_plain NAME COMMAND..., start_server, start_client: as above, preloaded as the mode says.
start_plain() { start_with "$@"; }
start_server() { start_with "$1" "${SERVER_ENV[@]}" "${@:2}"; }
start_client() { start_with "$1" "${CLIENT_ENV[@]}" "${@:2}"; }

# client COMMAND...: in the foreground, preloaded as the mode says, ended after 40 s.
client() {
	timeout -k 5 40 env "${CLIENT_ENV[@]}" "$@" 3>&-
}

# plain COMMAND...: in the foreground, never preloaded.
plain() {
	timeout -k 5 40 "$@" 3>&-
}

# as USER: words to put before a command, so that root runs it as USER.
as() {
	if [ "$(id -u)" = 0 ] && [ "$1" != root ]; then
		printf '%s\n' setpriv --reuid "$1" --regid "$1" --clear-groups
	else
		echo env
	fi
}

# until_true SECONDS COMMAND...: polls.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -le "$end" ] || fail "in vain: $*" || return 1
		sleep 0.02
	done
}

listening() { [ -n "$(ss -Hltn "sport = :$1")" ]; }
wait_port() { until_true 15 listening "$1"; }
wait_socket() { until_true 15 test -S "$1"; }
gone() { ! kill -0 "${PID[$1]}" 2>/dev/null; }

has_line() { grep -qs "$2" "$T/$1.out"; }
has_line_or_is_gone() { has_line "$@" || gone "$1"; }

# wait_line NAME TEXT: until the program has said so; one that ended first has failed.
wait_line() {
	until_true 30 has_line_or_is_gone "$@"
	has_line "$@" || fail "$1 ended and never said $2"
}

# finish NAME: waits for an end that comes by itself; STATUS is the exit status.
finish() {
	until_true 40 gone "$1"
	STATUS=0
	wait "${PID[$1]}" || STATUS=$?
	unset "PID[$1]"
}

# stop NAME [SIGNAL]: signals and waits; STATUS is the exit status.
stop() {
	gone "$1" && fail "$1 ended before it was told to"
	kill -s "${2:-TERM}" "${PID[$1]}"
	finish "$1"
}

# stop_ok NAME [SIGNAL]: and it must exit 0.
stop_ok() {
	stop "$@"
	[ "$STATUS" = 0 ] || fail "$1: exit status $STATUS"
}

# done_ok NAME: it ends by itself, exits 0, and its last line starts with OK.
done_ok() {
	finish "$1"
	[ "$STATUS" = 0 ] || fail "$1: exit status $STATUS"
	tail -n 1 "$T/$1.out" | grep -q '^OK' || fail "$1: no OK in its last line"
}

# ticks PID: clock ticks of processor time so far, of the process and of its children.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 + $14 + $15 }'; }

# expect_idle NAME: with its connections open and nothing to do, it must not run.
expect_idle() {
	local before
	sleep 0.2
	before=$(ticks "${PID[$1]}")
	sleep 0.5
	# Two ticks of 10 ms in half a second: room for a timer of the program, none for a loop.
	[ $(($(ticks "${PID[$1]}") - before)) -le 2 ] || fail "$1 is busy though nothing happens"
}

# --- the proof ---

# stat_sum FILE PROGRAM FIELD...: the sum of the fields over the lines of PROGRAM.
stat_sum() {
	awk -v program="program=$2" -v names="${*:3}" '
		BEGIN { n = split(names, want, " ") }
		{
			mine = 0
			for (i = 1; i <= NF; i++)
				if ($i == program)
					mine = 1
			if (!mine)
				next
			for (i = 1; i <= NF; i++) {
				split($i, pair, "=")
				for (j = 1; j <= n; j++)
					if (pair[1] == want[j])
						sum += pair[2]
			}
		}
		END { printf "%.0f\n", sum }' "$1"
}

# ring_bytes FILE PROGRAM
ring_bytes() { stat_sum "$1" "$2" ring_rx_bytes ring_tx_bytes; }

uses_rings() { [ "$MODE" = ring ] || [ "$MODE" = now ]; }

# expect_ring BYTES PROGRAM...: after an orderly exit, each program's rings carried that much.
# With one end preloaded, or streams that retreat, what is to be seen is another thing.
expect_ring() {
	local min=$1 program got
	[ "$MODE" = plain ] && return 0
	for program in "${@:2}"; do
		got=$(ring_bytes "$STATS" "$program")
		case $MODE in
		ring | now)
			[ "$got" -ge "$min" ] || fail "$program: $got bytes by ring, not $min"
			;;
		retreat)
			[ "$got" -gt 0 ] || fail "$program: nothing went by ring"
			;;
		*)
			[ "$got" = 0 ] || fail "$program: $got bytes by ring, shared with nobody"
			;;
		esac
	done
}

# expect_balance A B...: what A's rings took in, those of all B gave, and the other way round.
# For programs of which every process exits in the orderly way and reads all it is sent.
expect_balance() {
	local a program gave=0 took=0
	uses_rings || return 0
	a=$(stat_sum "$STATS" "$1" ring_rx_bytes)-$(stat_sum "$STATS" "$1" ring_tx_bytes)
	for program in "${@:2}"; do
		gave=$((gave + $(stat_sum "$STATS" "$program" ring_tx_bytes)))
		took=$((took + $(stat_sum "$STATS" "$program" ring_rx_bytes)))
	done
	[ "$a" = "$gave-$took" ] || fail "$1 rx-tx $a, ${*:2} tx-rx $gave-$took"
}

# expect_streams_on_ring ENDPOINT NUMBER: while they run, shmfd ss shows that many streams with
# that text in LOCAL or PEER, all of them with both directions on rings.
expect_streams_on_ring() {
	local seen
	uses_rings || return 0
	timeout 10 "$APPS_BUILD/shmfd" ss >"$T/ss.out"
	seen=$(awk -v e="$1" 'NR > 1 && (index($4, e) || index($5, e)) && $6 == "ring" &&
		$7 + $8 > 0' "$T/ss.out" | wc -l)
	[ "$seen" -ge "$2" ] || fail "$seen streams of $1 on rings, not $2: $(cat "$T/ss.out")"
}
