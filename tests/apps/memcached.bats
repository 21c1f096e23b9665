#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# memcached: libevent, a thread accepts and others serve.

load apps.bash

setup() {
	apps_setup
	need memcached
}
teardown() { apps_teardown; }

# values tcp|unix
values() {
	local port address listen
	if [ "$1" = tcp ]; then
		free_port port
		address=tcp:$port
		listen=(-l 127.0.0.1 -p "$port" -U 0)
	else
		address=unix:$T/memc.sock
		listen=(-s "$T/memc.sock")
	fi
	start_server memc memcached -u "$(id -un)" -t 2 -m 64 "${listen[@]}"
	if [ "$1" = tcp ]; then
		wait_port "$port"
	else
		wait_socket "$T/memc.sock"
	fi
	for i in 1 2 3; do
		start_client "py$i" "$PYTHON" "$APPS_DIR/memc.py" "$address"
	done
	for i in 1 2 3; do
		done_ok "py$i"
	done
	stop_ok memc
	expect_ring 5000000 memcached python3
	[ "$MODE" != ring ] || expect_balance memcached python3
}

@test "memcached: values over TCP, plain" { mode plain; values tcp; }
@test "memcached: values over TCP, by ring" { mode ring; values tcp; }
@test "memcached: values over TCP, retreating" { mode retreat; values tcp; }
@test "memcached: values over AF_UNIX, plain" { mode plain; values unix; }
@test "memcached: values over AF_UNIX, by ring" { mode ring; values unix; }
