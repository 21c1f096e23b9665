#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# socat: select or poll over two streams, children by fork, half-close passed on.

load apps.bash

setup() {
	apps_setup
	need socat
}
teardown() { apps_teardown; }

# relay_up: TCP $port -> UNIX -> TCP $deep -> echo; three socats, a child of each per connection.
relay_up() {
	free_port port
	free_port deep
	# A pipe that polls writable has room for one page.  With the 8 KiB blocks of
	# its default socat can block for ever in a write to the pipe that only it
	# reads, on the plain kernel too; a faster stream just finds it sooner.
	start_server echo socat -b 4096 \
		"TCP-LISTEN:$deep,bind=127.0.0.1,reuseaddr,fork,backlog=64" PIPE
	start_server inner socat -t 20 "UNIX-LISTEN:$T/mid.sock,fork,backlog=64" \
		"TCP:127.0.0.1:$deep"
	start_server outer socat -t 20 "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork,backlog=64" \
		"UNIX-CONNECT:$T/mid.sock"
	wait_port "$deep"
	wait_socket "$T/mid.sock"
	wait_port "$port"
}

# socat ends on a signal with 128 + its number.
relay_down() {
	local name
	for name in outer inner echo; do
		stop "$name" TERM
		[ "$STATUS" = 143 ] || fail "$name: exit status $STATUS"
	done
	rm -f "$T/mid.sock"
}

# Messages back and forth, bulk both ways at once, half-close through the whole chain.
relay() {
	relay_up
	client "$PYTHON" "$APPS_DIR/echo_client.py" "tcp:$port" --conns 3 --bulk 4 >"$T/py.out"
	grep -q '^OK' "$T/py.out"
	relay_down
	expect_ring 12000000 python3
	# The children carry it all three times.
	expect_ring 50000000 socat
}

# The relays share rings with each other, the client's connection stays in the kernel.
relay_mixed() {
	relay_up
	client "$PYTHON" "$APPS_DIR/echo_client.py" "tcp:$port" --conns 3 --bulk 4 >"$T/py.out"
	grep -q '^OK' "$T/py.out"
	relay_down
	[ "$(ring_bytes "$STATS" socat)" -ge 30000000 ]
	[ "$(stat_sum "$STATS" socat kernel_rx_bytes)" -ge 12000000 ]
}

# A file through the chain and back by a socat as client: end of file must travel all the way.
file_through() {
	relay_up
	head -c 16000000 /dev/urandom >"$T/in"
	client socat -t 20 "OPEN:$T/in,rdonly!!CREATE:$T/back" "TCP:127.0.0.1:$port"
	cmp "$T/in" "$T/back"
	relay_down
	expect_ring 30000000 socat
}

# One way only: there is never an answer, so nothing is said about rings, only about the bytes.
one_way() {
	local port
	free_port port
	head -c 16000000 /dev/urandom >"$T/in"
	start_server sink socat -u "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr" "CREATE:$T/out"
	wait_port "$port"
	client socat -u "OPEN:$T/in,rdonly" "TCP:127.0.0.1:$port"
	finish sink
	[ "$STATUS" = 0 ]
	cmp "$T/in" "$T/out"
}

@test "socat: a chain of relays TCP-UNIX-TCP, plain" { mode plain; relay; }
@test "socat: a chain of relays TCP-UNIX-TCP, by ring" { mode ring; relay; }
@test "socat: a chain of relays TCP-UNIX-TCP, retreating" { mode retreat; relay; }
@test "socat: a chain of relays, its client not preloaded" { mode server; relay_mixed; }
@test "socat: a file through relays and back, half-close, plain" { mode plain; file_through; }
@test "socat: a file through relays and back, half-close, at once" { mode now; file_through; }
@test "socat: a file one way, plain" { mode plain; one_way; }
@test "socat: a file one way, default settings" { mode ring; one_way; }
@test "socat: a file one way, SHMFD_AFTER=0" { mode now; one_way; }
