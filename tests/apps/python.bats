#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The standard library of Debian's Python: event loops, servers, child processes.

load apps.bash

setup() {
	apps_setup
	[ -x "$PYTHON" ] || need "$PYTHON"
}
teardown() { apps_teardown; }

# --spawn: a thread of the server and one of the client run child processes all the time.
# echo_with KIND ADDRESS [--spawn]: server KIND against six connections of the checking client.
echo_with() {
	local address=$2
	if [ "$address" = tcp ] || [ "$address" = tcp6 ]; then
		free_port port
		address=$2:$port
	fi
	start_server srv "$PYTHON" "$APPS_DIR/echo_server.py" "$1" "$address" "${@:3}"
	case $address in
	unix:*) wait_socket "${address#unix:}" ;;
	*) wait_port "$port" ;;
	esac
	HOLD=$T/go start_client cli "$PYTHON" "$APPS_DIR/echo_client.py" "$address" --conns 6 \
		--bulk 1 ${3:+--spawn 40}
	wait_line cli READY
	[ "$address" = "${address#tcp}" ] || expect_streams_on_ring ":$port" 12
	[ -n "${3:-}" ] || expect_idle srv
	touch "$T/go"
	done_ok cli
	stop_ok srv
	# The children of a forking server leave by _exit and may say nothing, hence the low bound.
	expect_ring 4000000 python3
	[ "$1" = forking ] || expect_balance python3 python3
}

http_kept_alive() {
	local port
	free_port port
	start_server srv "$PYTHON" "$APPS_DIR/http_server.py" "$port"
	wait_port "$port"
	client "$PYTHON" "$APPS_DIR/http_client.py" "$port" >"$T/cli.out"
	grep -q '^OK' "$T/cli.out"
	stop_ok srv
	expect_ring 10000000 python3
	expect_balance python3 python3
}

objects() {
	local address=$1
	if [ "$address" = tcp ]; then
		free_port port
		address=tcp:$port
	fi
	start_server srv "$PYTHON" "$APPS_DIR/mpconn.py" listener "$address"
	case $address in
	unix:*) wait_socket "${address#unix:}" ;;
	*) wait_port "$port" ;;
	esac
	client "$PYTHON" "$APPS_DIR/mpconn.py" client "$address" >"$T/cli.out"
	grep -q '^OK' "$T/cli.out"
	finish srv
	[ "$STATUS" = 0 ]
	grep -q '^END' "$T/srv.out"
	expect_ring 12000000 python3
	expect_balance python3 python3
}

@test "python: asyncio streams over TCP, plain" { mode plain; echo_with asyncio tcp; }
@test "python: asyncio streams over TCP, by ring" { mode ring; echo_with asyncio tcp; }
@test "python: asyncio streams over TCP, retreating" { mode retreat; echo_with asyncio tcp; }
@test "python: asyncio streams over AF_UNIX, by ring" { mode ring; echo_with asyncio "unix:$T/s"; }
@test "python: asyncio streams, only the server preloaded" { mode server; echo_with asyncio tcp; }
@test "python: asyncio streams, only the client preloaded" { mode client; echo_with asyncio tcp; }

@test "python: http.server and http.client kept alive, plain" { mode plain; http_kept_alive; }
@test "python: http.server and http.client kept alive, by ring" { mode ring; http_kept_alive; }

@test "python: subprocess.run meanwhile, plain" { mode plain; echo_with threading tcp --spawn; }
@test "python: subprocess.run meanwhile, by ring" { mode ring; echo_with threading tcp --spawn; }
@test "python: subprocess.run meanwhile, AF_UNIX, retreating" {
	mode retreat
	echo_with threading "unix:$T/s" --spawn
}

@test "python: selectors on epoll, plain" { mode plain; echo_with epoll tcp; }
@test "python: selectors on epoll over IPv6, by ring" { mode ring; echo_with epoll tcp6; }
@test "python: selectors on poll, by ring" { mode ring; echo_with poll tcp; }
@test "python: selectors on select, by ring" { mode ring; echo_with select tcp; }
@test "python: selectors on select, retreating" { mode retreat; echo_with select "unix:$T/s"; }

@test "python: threading socketserver, AF_UNIX, ring" {
	mode ring
	echo_with threading "unix:$T/s"
}
@test "python: forking socketserver, plain" { mode plain; echo_with forking tcp; }
@test "python: forking socketserver, by ring" { mode ring; echo_with forking tcp; }
@test "python: forking socketserver, AF_UNIX, at once" { mode now; echo_with forking "unix:$T/s"; }

@test "python: multiprocessing.connection over TCP, plain" { mode plain; objects tcp; }
@test "python: multiprocessing.connection over TCP, by ring" { mode ring; objects tcp; }
@test "python: multiprocessing.connection over AF_UNIX, by ring" { mode ring; objects "unix:$T/s"; }
