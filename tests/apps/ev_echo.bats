#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# An unmodified libev program: level-triggered epoll, non-blocking sockets, partial writes.

load apps.bash

setup_file() {
	"${CC:-cc}" -std=gnu11 -O2 -g -o "$BATS_FILE_TMPDIR/ev_echo" \
		"$APPS_TOP/tests/progs/ev_echo.c" -lev
}

setup() { apps_setup; }
teardown() { apps_teardown; }

# Eight connections at a time, some megabytes each, half-close, and an orderly end.
echo_tcp() {
	local port
	free_port port
	start_server echo "$BATS_FILE_TMPDIR/ev_echo" "$port"
	wait_port "$port"
	HOLD=$T/go start_client py "$PYTHON" "$APPS_DIR/echo_client.py" "tcp:$port" \
		--conns 8 --bulk 2
	wait_line py READY
	expect_streams_on_ring ":$port" 16
	expect_idle echo
	touch "$T/go"
	done_ok py
	stop_ok echo
	expect_ring 8000000 ev_echo python3
	expect_balance ev_echo python3
}

echo_unix() {
	start_server echo "$BATS_FILE_TMPDIR/ev_echo" "unix:$T/echo.sock"
	wait_socket "$T/echo.sock"
	HOLD=$T/go start_client py "$PYTHON" "$APPS_DIR/echo_client.py" "unix:$T/echo.sock" \
		--conns 8 --bulk 2
	wait_line py READY
	expect_idle echo
	touch "$T/go"
	done_ok py
	stop_ok echo
	[ ! -e "$T/echo.sock" ]
	expect_ring 8000000 ev_echo python3
	expect_balance ev_echo python3
}

# The server ends while clients still wait for it: they see the end at once.
echo_server_ends() {
	local port
	free_port port
	start_server echo "$BATS_FILE_TMPDIR/ev_echo" "$port"
	wait_port "$port"
	HOLD=$T/go start_client py "$PYTHON" "$APPS_DIR/echo_client.py" "tcp:$port" \
		--conns 2 --bulk 1
	wait_line py READY
	stop_ok echo
	touch "$T/go"
	# shutdown(2) of a connection that the other side has closed is not an error yet.
	done_ok py
	expect_ring 1000000 ev_echo python3
}

@test "ev_echo: TCP, plain" { mode plain; echo_tcp; }
@test "ev_echo: TCP, by ring" { mode ring; echo_tcp; }
@test "ev_echo: TCP, by ring at once" { mode now; echo_tcp; }
@test "ev_echo: TCP, retreating at random" { mode retreat; echo_tcp; }
@test "ev_echo: TCP, only the server preloaded" { mode server; echo_tcp; }
@test "ev_echo: TCP, only the client preloaded" { mode client; echo_tcp; }
@test "ev_echo: AF_UNIX, plain" { mode plain; echo_unix; }
@test "ev_echo: AF_UNIX, by ring" { mode ring; echo_unix; }
@test "ev_echo: AF_UNIX, retreating at random" { mode retreat; echo_unix; }
@test "ev_echo: clients see the server end, plain" { mode plain; echo_server_ends; }
@test "ev_echo: clients see the server end, by ring" { mode ring; echo_server_ends; }
