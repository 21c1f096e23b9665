# SPDX-License-Identifier: MIT
#
# The shmfd command: run, ss, and what the library says to wrong values of its
# environment.  Tables for ss are made by hand by cli_table.c, so that every
# column has a known value.

# The programs under test expand their own variables.
# shellcheck disable=SC2016

load run_modes

setup_file() {
	export BATS_TEST_TIMEOUT=60
	CLI_TABLE=$BATS_FILE_TMPDIR/cli_table
	export CLI_TABLE
	cc -std=gnu11 -O1 -Wall -I"$RUN_MODES_ROOT/include" \
		"$RUN_MODES_ROOT/tests/shim/cli_table.c" -o "$CLI_TABLE"
}

setup() {
	SHMFD=$(run_modes_build)/shmfd
	LIB=$(run_modes_build)/libshmfd.so
	DIR=$BATS_TEST_TMPDIR
	unset "${!SHMFD_@}" LD_PRELOAD
	SHMFD_HEADER='PID PROGRAM FD LOCAL PEER STATE RING-RX RING-TX KERNEL-RX KERNEL-TX'
	SHMFD_HEADER+=' RING-MSGS KERNEL-MSGS BELLS REASON'
}

# split COMMAND...: status, $out and $err.  Options: none.
split() {
	status=0
	"$@" >"$DIR/out" 2>"$DIR/err" </dev/null || status=$?
	out=$(<"$DIR/out")
	err=$(<"$DIR/err")
}

# expect STATUS: shows what was said when it is another one.
expect() {
	((status == $1)) && return 0
	printf 'status %s, not %s\nstdout: %s\nstderr: %s\n' "$status" "$1" "$out" "$err"
	return 1
}

err_lines() {
	wc -l <"$DIR/err"
}

# A library that does nothing, at PATH.
other_library() {
	cc -shared -fPIC -x c - -o "$1" <<<'static int nothing __attribute__((unused));'
}

# table MODE ARGUMENT...: shmfd with these arguments beside a process with a
# table by hand; $rows are those of that process, one blank between columns.
table() {
	local mode=$1

	shift
	split "$CLI_TABLE" "$mode" "$DIR" "$SHMFD" "$@"
	pid=$(awk '$1 == "pid" { print $2 }' <<<"$out")
	child=$(awk '$1 == "child" { print $2 }' <<<"$out")
	header=$(awk '$1 == "PID" { $1 = $1; print }' <<<"$out")
	rows=$(awk -v p="$pid" -v c="${child:--}" \
		'NF >= 14 && ($1 == p || $1 == c) { $1 = $1; print }' <<<"$out")
}

# ---- run -------------------------------------------------------------------------

@test "run: the command gets its arguments, its exit status is ours" {
	split "$SHMFD" run -- sh -c 'echo "$0|$1|$#"; exit 7' a 'b  c' d
	expect 7
	[ "$out" = 'a|b  c|2' ]
	[ -z "$err" ]
	split "$SHMFD" run true
	expect 0
	split "$SHMFD" run -- sh -c 'kill -9 $$'
	expect 137
}

@test "run: the library is preloaded, by an absolute path" {
	cd "$(dirname "$SHMFD")"
	split ./shmfd run -- sh -c 'cd /; echo "$LD_PRELOAD"; grep -c libshmfd.so /proc/self/maps'
	expect 0
	[ "$(head -n 1 "$DIR/out")" = "$(realpath "$LIB")" ]
	[ "$(tail -n 1 "$DIR/out")" -gt 0 ]
	[ -z "$err" ]
}

@test "run: what was preloaded before stays, in its order, behind the library" {
	other_library "$DIR/one.so"
	other_library "$DIR/two.so"
	split env LD_PRELOAD=" $DIR/one.so: $DIR/two.so:" "$SHMFD" run -- sh -c 'echo "$LD_PRELOAD"'
	expect 0
	[ "$out" = "$(realpath "$LIB"):$DIR/one.so:$DIR/two.so" ]
}

@test "run: the library is not preloaded twice" {
	other_library "$DIR/one.so"
	other_library "$DIR/notlibshmfd.so"
	mkdir "$DIR/copy"
	cp "$LIB" "$DIR/copy/"
	split env LD_PRELOAD="$LIB:$DIR/one.so:$DIR/copy/libshmfd.so:$DIR/notlibshmfd.so" \
		"$SHMFD" run -- sh -c 'echo "$LD_PRELOAD"'
	expect 0
	[ "$out" = "$(realpath "$LIB"):$DIR/one.so:$DIR/notlibshmfd.so" ]
	split "$SHMFD" run -- "$SHMFD" run -- sh -c 'echo "$LD_PRELOAD"'
	expect 0
	[ "$out" = "$(realpath "$LIB")" ]
}

@test "run: a command that is not there is 127" {
	for name in shmfd-no-such-command "$DIR/none" ''; do
		split "$SHMFD" run -- "$name"
		expect 127
		[ "$err" = "shmfd: $name: No such file or directory" ]
	done
	# a PATH entry that is a file is passed over
	split env PATH="$SHMFD:/usr/bin:/bin" "$SHMFD" run -- true
	expect 0
}

@test "run: a command that cannot be executed is 126" {
	echo 'exit 3' >"$DIR/plain"
	split "$SHMFD" run -- "$DIR/plain"
	expect 126
	[ "$err" = "shmfd: $DIR/plain: Permission denied" ]
	split "$SHMFD" run -- "$DIR"
	expect 126
	# found in PATH, but not executable
	split env PATH="$DIR" "$SHMFD" run -- plain
	expect 126
}

@test "run: a cut-off program is 126, and no shell reads its bytes" {
	head -c 40 "$(type -P true)" >"$DIR/cut"
	echo 'touch '"$DIR/was-read" >>"$DIR/cut"
	chmod +x "$DIR/cut"
	split "$SHMFD" run -- "$DIR/cut"
	expect 126
	[ "$(err_lines)" -eq 1 ]
	[ ! -e "$DIR/was-read" ]
}

@test "run: without the library it is 125, and nothing is started" {
	split env SHMFD_LIB="$DIR/none.so" "$SHMFD" run -- touch "$DIR/started"
	expect 125
	[ "$err" = "shmfd: SHMFD_LIB=$DIR/none.so: there is no such file" ]
	split env SHMFD_LIB="$DIR" "$SHMFD" run -- touch "$DIR/started"
	expect 125
	mkdir "$DIR/bin"
	cp "$SHMFD" "$DIR/bin/"
	split "$DIR/bin/shmfd" run -- touch "$DIR/started"
	expect 125
	[ "$(err_lines)" -eq 1 ]
	[[ $err == *"$DIR/bin/"* ]]
	[ ! -e "$DIR/started" ]
}

@test "run: a library whose name LD_PRELOAD cannot hold is 125" {
	mkdir "$DIR/a b" "$DIR/a:b"
	for dir in 'a b' 'a:b'; do
		cp "$LIB" "$DIR/$dir/"
		split env SHMFD_LIB="$DIR/$dir/libshmfd.so" "$SHMFD" run -- touch "$DIR/started"
		expect 125
		[ "$(err_lines)" -eq 1 ]
	done
	[ ! -e "$DIR/started" ]
}

@test "run: the library is found beside the command, in ../lib, or as named" {
	mkdir -p "$DIR/a" "$DIR/b/bin" "$DIR/b/lib"
	cp "$SHMFD" "$LIB" "$DIR/a/"
	cp "$SHMFD" "$DIR/b/bin/"
	cp "$LIB" "$DIR/b/lib/"
	split "$DIR/a/shmfd" run -- sh -c 'echo "$LD_PRELOAD"'
	[ "$out" = "$DIR/a/libshmfd.so" ]
	split "$DIR/b/bin/shmfd" run -- sh -c 'echo "$LD_PRELOAD"'
	[ "$out" = "$DIR/b/lib/libshmfd.so" ]
	split env SHMFD_LIB="$DIR/b/lib/libshmfd.so" \
		"$DIR/a/shmfd" run -- sh -c 'echo "$LD_PRELOAD"'
	[ "$out" = "$DIR/b/lib/libshmfd.so" ]
}

@test "run: wrong usage is 2 and says where help is" {
	local args
	for args in 'run' 'run --' 'run --no-such-option true' 'walk' '' \
		'help run ss' 'help walk'; do
		# shellcheck disable=SC2086
		split "$SHMFD" $args
		expect 2
		[ -z "$out" ]
		[ "$(err_lines)" -eq 2 ]
		[[ $err == shmfd:\ *"Try 'shmfd "*"--help'." ]]
	done
	# not an option any more
	split "$SHMFD" run -- --no-such-option
	expect 127
}

@test "run: a statically linked program runs, with one line of notice" {
	cc -static -x c - -o "$DIR/static" <<<'int main(void) { return 5; }'
	split "$SHMFD" run -- "$DIR/static"
	expect 5
	[ "$err" = "shmfd: $DIR/static is statically linked: it will run, but not accelerated" ]
	cc -x c - -o "$DIR/dynamic" <<<'int main(void) { return 5; }'
	split "$SHMFD" run -- "$DIR/dynamic"
	expect 5
	[ -z "$err" ]
}

@test "run: scripts run, with and without an interpreter line" {
	printf '#!/bin/sh\necho "$1 $LD_PRELOAD"\n' >"$DIR/with"
	printf 'echo "$1 $LD_PRELOAD"\n' >"$DIR/without"
	chmod +x "$DIR/with" "$DIR/without"
	for script in with without; do
		split env PATH="$DIR:$PATH" "$SHMFD" run -- "$script" word
		expect 0
		[ "$out" = "word $(realpath "$LIB")" ]
		[ -z "$err" ]
	done
}

@test "run: both ends under it meet on rings" {
	local prog pid rc=0

	prog=$(run_modes_build)/tests/progs/read_write
	export SHMFD_STATS=$DIR/stats SHMFD_AFTER=0
	"$SHMFD" run -- "$prog" server tcp4 "$DIR/addr" >"$DIR/server" </dev/null 3>&- &
	pid=$!
	"$SHMFD" run -- "$prog" client tcp4 "$DIR/addr" >"$DIR/client" </dev/null 3>&- || rc=$?
	wait "$pid"
	[ "$rc" -eq 0 ]
	[ "$(stats_sum "$DIR/stats" promoted)" -eq 2 ]
	[ "$(stats_sum "$DIR/stats" ring_rx_bytes)" -gt 0 ]
}

@test "help: each subcommand has one text, on stdout" {
	split "$SHMFD" --help
	expect 0
	[[ $out == *'shmfd run'*'shmfd ss'* ]]
	cp "$DIR/out" "$DIR/all"
	split "$SHMFD" help
	cmp "$DIR/out" "$DIR/all"
	for sub in run ss; do
		split "$SHMFD" "$sub" --help
		expect 0
		[ -z "$err" ]
		[[ $out == "Usage: shmfd $sub"* ]]
		cp "$DIR/out" "$DIR/one"
		split "$SHMFD" help "$sub"
		expect 0
		cmp "$DIR/out" "$DIR/one"
	done
	split "$SHMFD" --version
	expect 0
	[[ $out =~ ^shmfd\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "output that cannot be written is an error" {
	local status=0

	"$SHMFD" ss --help >/dev/full 2>"$DIR/err" || status=$?
	[ "$status" -eq 1 ]
	[[ $(<"$DIR/err") == 'shmfd: cannot write: '* ]]
}

# ---- ss ---------------------------------------------------------------------------

@test "ss: a process without a table gives the header alone" {
	split "$SHMFD" ss --pid $$
	expect 0
	[ "$(echo $out)" = "$SHMFD_HEADER" ]
	[ -z "$err" ]
	# the highest number: no such process
	split "$SHMFD" ss --pid=2147483647
	expect 0
	[ "$(echo $out)" = "$SHMFD_HEADER" ]
}

@test "ss: wrong arguments are 2" {
	local args
	for args in '--pid' '--pid x' '--pid 0' '--pid -1' '--pid 12x' '--pid=' '--pid 2147483648' \
		'--pid 99999999999999999999' '--no-such-option' 'word'; do
		# shellcheck disable=SC2086
		split "$SHMFD" ss $args
		expect 2
		[ -z "$out" ]
		[[ $err == *"Try 'shmfd ss --help'." ]]
	done
}

@test "ss: every column of a table by hand is what its record says" {
	local want=() i n=0 row state reason

	table good ss --pid @PID
	expect 0
	[ "$header" = "$SHMFD_HEADER" ]
	mapfile -t want < <(awk '$1 == "want" { print $2, $3, $4 }' <<<"$out")
	state=(ring kernel mixed kernel ring kernel - - kernel kernel)
	reason=(- 'peer not preloaded' 'random retreat of a test' '?' - 'waiting for the peer' \
		- - fdopen 'held by several processes')
	[ "${#want[@]}" -eq 8 ]
	for i in 0 1 2 3 4 5 8 9; do
		row="$pid cli_table ${want[n]} ${state[i]}"
		row+=" $((1000 + i)) $((2000 + i)) $((3000 + i))"
		row+=" $((4000 + i)) $((110 + i)) $((520 + i)) $((77 + i)) ${reason[i]}"
		n=$((n + 1))
		[ "$(sed -n "${n}p" <<<"$rows")" = "$row" ]
	done
	[ "$(wc -l <<<"$rows")" -eq 8 ]
	# header and rows, nothing else but what cli_table says itself
	[ "$(wc -l <"$DIR/out")" -eq $((8 + 1 + 1 + 8)) ]
}

@test "ss: without --pid the same rows are among all" {
	table good ss
	expect 0
	[ "$header" = "$SHMFD_HEADER" ]
	# RING-RX is another number in every record
	[ "$(awk '{ printf "%s ", $7 }' <<<"$rows")" = '1000 1001 1002 1003 1004 1005 1008 1009 ' ]
}

@test "ss: --pid shows that process alone" {
	table good ss --pid $$
	expect 0
	[ "$header" = "$SHMFD_HEADER" ]
	[ -z "$rows" ]
}

@test "ss: a record belongs to the process that uses it, not to all that inherit it" {
	table fork ss
	expect 0
	[ -n "$child" ]
	[ "$(wc -l <<<"$rows")" -eq 2 ]
	[ "$(awk -v p="$pid" '$1 == p { print $2, $7 }' <<<"$rows")" = 'cli_table 1000' ]
	# the blank in its name does not make a column
	[ "$(awk -v p="$child" '$1 == p { print $2, $7 }' <<<"$rows")" = 'a?child 1001' ]
}

@test "ss: an empty table gives no row" {
	table empty ss --pid @PID
	expect 0
	[ "$header" = "$SHMFD_HEADER" ]
	[ -z "$rows" ]
}

@test "ss: a table of other magic, version, record number or length is ignored" {
	local mode
	for mode in magic version number short; do
		table "$mode" ss --pid @PID
		expect 0
		[ "$header" = "$SHMFD_HEADER" ]
		[ -z "$rows" ]
		[ -z "$err" ]
	done
}

@test "ss: a table that claims more records than it can have is read to its end" {
	table high ss --pid @PID
	expect 0
	[ "$(wc -l <<<"$rows")" -eq 1 ]
	[[ $rows == "$pid cli_table - ? ? ring 1000 2000 3000 4000 110 520 77 -" ]]
}

@test "ss: records of rubbish give rows of the same form" {
	table rubbish ss --pid @PID
	expect 0
	[ "$(wc -l <<<"$rows")" -eq 1000 ]
	# numbers where numbers are, a state that is one, known words, nothing unprintable
	[ "$(awk '$6 !~ /^(ring|kernel|mixed)$/ { n++ }
		{ for (i = 7; i <= 13; i++) if ($i !~ /^[0-9]+$/) n++ }
		END { print n + 0 }' <<<"$rows")" -eq 0 ]
	[ "$(LC_ALL=C tr -d '\n\040-\176' <<<"$rows" | wc -c)" -eq 0 ]
}

# ---- wrong values for the library --------------------------------------------------

# Both ends with the setting: each says so in one line, runs on as in the plain
# kernel, and nothing moves to a ring.
inert() {
	local name=${1%%=*} end

	rm -rf "$DIR/run"
	run_mode read_write tcp4 "both,SHMFD_AFTER=0,$1" "$DIR/run"
	for end in server client; do
		if [[ $(<"$DIR/run/$end.end") != 'exit status 0' ]] ||
			(($(wc -l <"$DIR/run/$end.err") != 1)) ||
			! grep -q "^shmfd\[[0-9]*\]: $name=" "$DIR/run/$end.err"; then
			echo "$1: $end"
			cat "$DIR/run/transcript"
			return 1
		fi
		diff "$DIR/plain/$end.out" "$DIR/run/$end.out"
	done
	[ ! -s "$DIR/run/stats" ]
}

@test "library: a wrong value is one line on stderr, and the host runs on without it" {
	local setting

	run_mode read_write tcp4 plain "$DIR/plain"
	for setting in SHMFD_RING=3000 SHMFD_RING=65537 SHMFD_RING=32K SHMFD_RING=32M SHMFD_RING=x \
		SHMFD_RING=-65536 SHMFD_SPIN_US=x SHMFD_SPIN_US=1000001 SHMFD_SPIN_US=-1 \
		SHMFD_RULES=nonsense SHMFD_RULES=tcp:127.0.0.1:99999=ring \
		SHMFD_LOG=loud SHMFD_TEST_RETREAT=x SHMFD_TEST_SEED=x; do
		inert "$setting"
	done
}

@test "library: a wrong SHMFD_AFTER too" {
	local setting

	run_mode read_write tcp4 plain "$DIR/plain"
	for setting in SHMFD_AFTER=x SHMFD_AFTER=1000001 SHMFD_AFTER=-1 SHMFD_AFTER=1x; do
		inert "$setting"
	done
}

@test "library: the same run with right values is silent and goes by ring" {
	run_mode read_write tcp4 \
		"both,SHMFD_AFTER=0,SHMFD_RING=64K,SHMFD_SPIN_US=0,SHMFD_TEST_SEED=1" "$DIR/run"
	[ ! -s "$DIR/run/server.err" ]
	[ ! -s "$DIR/run/client.err" ]
	[ "$(stats_sum "$DIR/run/stats" promoted)" -eq 2 ]
	[ "$(stats_sum "$DIR/run/stats" ring_rx_bytes)" -gt 0 ]
}

@test "library: an empty value and an unknown variable are no fault" {
	run_mode read_write tcp4 \
		"both,SHMFD_AFTER=0,SHMFD_RING=,SHMFD_LOG=,SHMFD_NEWER=!" "$DIR/run"
	[ ! -s "$DIR/run/server.err" ]
	[ "$(stats_sum "$DIR/run/stats" promoted)" -eq 2 ]
}

@test "library: what keeps a stream from rings is one line of the log" {
	run_mode no_memfd tcp4 "both,SHMFD_AFTER=0,SHMFD_LOG=info:$DIR/log" "$DIR/run"
	cat "$DIR/log"
	# a process of each end without a table, and one stream without a segment
	[ "$(grep -c 'no table for them: Operation not permitted$' "$DIR/log")" -eq 2 ]
	[ "$(grep -c ': no memory for a segment$' "$DIR/log")" -eq 1 ]
	[ "$(grep -vcE '^shmfd\[[0-9]+\]: (fd [0-9]+|streams) (stay|goes back)' "$DIR/log")" -eq 0 ]
}
