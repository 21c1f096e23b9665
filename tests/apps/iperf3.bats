#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# iperf3: a control connection with a few messages, and data connections of one direction.
#
# The data goes one way on its own connection, after a cookie that goes the same way: no
# number of messages each way is ever reached there, so the default settings leave it in the
# kernel, and only promotion at once is asked to carry it.

load apps.bash

setup() {
	apps_setup
	need iperf3 jq
}
teardown() { apps_teardown; }

# measure FLAGS...: one run of two seconds against a server that serves one client.
measure() {
	local port
	free_port port
	start_server srv iperf3 -s -1 -p "$port" -B 127.0.0.1
	wait_port "$port"
	client iperf3 -c 127.0.0.1 -p "$port" -t 2 -J "$@" >"$T/cli.out"
	finish srv
	[ "$STATUS" = 0 ]
	jq -e '.error == null' "$T/cli.out" >"$T/jq.out"
	# Not a speed: only that bytes arrived, and no more than were sent.
	jq -e '.end.sum_received.bytes > 1000000 and
		.end.sum_received.bytes <= .end.sum_sent.bytes' "$T/cli.out" >"$T/jq.out" ||
		fail "$(jq .end.sum_sent,.end.sum_received "$T/cli.out")"
	if [[ " $* " == *" --bidir "* ]]; then
		jq -e '.end.sum_received_bidir_reverse.bytes > 1000000' "$T/cli.out" >"$T/jq.out"
	fi
	[ "$MODE" = ring ] || expect_ring 1000000 iperf3
}

@test "iperf3: one stream, plain" { mode plain; measure; }
@test "iperf3: one stream, default settings" { mode ring; measure; }
@test "iperf3: one stream, by ring at once" { mode now; measure; }
@test "iperf3: reverse, plain" { mode plain; measure -R; }
@test "iperf3: reverse, by ring at once" { mode now; measure -R; }
@test "iperf3: four streams, plain" { mode plain; measure -P 4; }
@test "iperf3: four streams, by ring at once" { mode now; measure -P 4; }
@test "iperf3: both directions, plain" { mode plain; measure --bidir; }
@test "iperf3: both directions, by ring at once" { mode now; measure --bidir; }
@test "iperf3: both directions, retreating at random" { mode retreat; measure --bidir; }
