#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# curl: large uploads and downloads, its poll loop, many transfers at a time.

load apps.bash

setup() {
	apps_setup
	need curl nginx
}
teardown() { apps_teardown; }

# store_up USER: an nginx on $port that takes PUT.
store_up() {
	free_port port
	mkdir -m 777 "$T/www" "$T/tmp"
	cat >"$T/store.conf" <<-END
		daemon off;
		$([ "$(id -u)" != 0 ] || echo "user root;")
		worker_processes 1;
		pid $T/tmp/pid;
		error_log $T/store.log warn;
		events { worker_connections 128; }
		http {
			access_log off;
			sendfile on;
			client_max_body_size 200m;
			client_body_temp_path $T/tmp/body;
			proxy_temp_path $T/tmp/proxy;
			fastcgi_temp_path $T/tmp/fastcgi;
			uwsgi_temp_path $T/tmp/uwsgi;
			scgi_temp_path $T/tmp/scgi;
			server { listen 127.0.0.1:$port; root $T/www; dav_methods PUT DELETE; }
		}
	END
	start_server store nginx -e "$T/store.log" -c "$T/store.conf"
	wait_port "$port"
}

# One connection: some small answers, 32 MiB up, the same 32 MiB down.
up_and_down() {
	local base small=() size=33554432
	store_up
	base=http://127.0.0.1:$port
	head -c "$size" /dev/urandom >"$T/big"
	echo small >"$T/www/small"
	for _ in {1..15}; do small+=("$base/small" -o "$T/small.got"); done
	client curl -sS --fail -w '%{num_connects}\n' "${small[@]}" \
		--next -sS --fail -w '%{num_connects}\n' -T "$T/big" "$base/big" \
		--next -sS --fail -w '%{num_connects}\n' "$base/big" -o "$T/big.got" >"$T/connects"
	[ "$(awk '{ n += $1 } END { print n }' "$T/connects")" = 1 ] || fail "$(cat "$T/connects")"
	cmp "$T/big" "$T/www/big"
	cmp "$T/big" "$T/big.got"
	cmp "$T/www/small" "$T/small.got"
	stop_ok store QUIT
	expect_ring 50000000 nginx curl
}

# Sixteen transfers at a time, then a limited rate, then a client that leaves in the middle.
many() {
	local base i urls=()
	store_up
	base=http://127.0.0.1:$port
	head -c 3000000 /dev/urandom >"$T/www/f"
	for i in {1..64}; do urls+=("$base/f" -o "$T/got.$i"); done
	client curl -sS --fail -Z --parallel-max 16 "${urls[@]}"
	for i in {1..64}; do cmp "$T/www/f" "$T/got.$i"; done
	client curl -sS --fail --limit-rate 4M "$base/f" -o "$T/slow"
	cmp "$T/www/f" "$T/slow"
	head -c 64000000 /dev/urandom >"$T/www/long"
	STATUS=0
	client curl -sS --limit-rate 1M --max-time 0.5 "$base/long" -o "$T/part" || STATUS=$?
	[ "$STATUS" = 28 ] || fail "exit status $STATUS, $(stat -c %s "$T/part") bytes"
	cmp -n "$(stat -c %s "$T/part")" "$T/www/long" "$T/part"
	client curl -sS --fail "$base/f" -o "$T/after"
	cmp "$T/www/f" "$T/after"
	stop_ok store QUIT
	expect_ring 50000000 nginx curl
}

@test "curl: 32 MiB up and down on one connection, plain" { mode plain; up_and_down; }
@test "curl: 32 MiB up and down on one connection, by ring" { mode ring; up_and_down; }
@test "curl: 32 MiB up and down on one connection, at once" { mode now; up_and_down; }
@test "curl: 32 MiB up and down, retreating at random" { mode retreat; up_and_down; }
@test "curl: 32 MiB up and down, only curl preloaded" { mode client; up_and_down; }
@test "curl: sixteen transfers at a time, plain" { mode plain; many; }
@test "curl: sixteen transfers at a time, at once" { mode now; many; }
