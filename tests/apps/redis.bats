#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Redis: one event loop with child processes, and its own clients.

load apps.bash

setup() {
	apps_setup
	need redis-server redis-cli redis-benchmark redis-check-rdb
}
teardown() { apps_teardown; }

# redis_up: starts a server on $port and $T/redis.sock.
redis_up() {
	free_port port
	start_server redis redis-server --port "$port" --bind 127.0.0.1 \
		--unixsocket "$T/redis.sock" --dir "$T" --save "" --appendonly no \
		--daemonize no --enable-debug-command local
	wait_port "$port"
	wait_socket "$T/redis.sock"
}

# where tcp|unix: the address for resp.py in $address, the words for redis-cli in $CLI.
where() {
	if [ "$1" = tcp ]; then
		address=tcp:$port
		CLI=(-h 127.0.0.1 -p "$port")
	else
		address=unix:$T/redis.sock
		CLI=(-s "$T/redis.sock")
	fi
}

ask() { plain redis-cli -p "$port" "$@"; }

redis_down() {
	ask shutdown nosave
	finish redis
	[ "$STATUS" = 0 ] || fail "redis-server: exit status $STATUS"
}

# all_lines_are FILE COUNT TEXT
all_lines_are() {
	[ "$(wc -l <"$1")" = "$2" ] || fail "$(wc -l <"$1") lines, not $2"
	[ "$(sort -u "$1")" = "$3" ] || fail "other lines than $3: $(sort "$1" | uniq -c | head)"
}

# SET and GET of 1 byte to 4 MiB on one connection; another client must then see the same bytes.
values() {
	local size want got
	redis_up
	where "$1"
	HOLD=$T/go start_client py "$PYTHON" "$APPS_DIR/resp.py" values "$address"
	wait_line py READY
	[ "$1" = unix ] || expect_streams_on_ring ":$port" 2
	expect_idle redis
	touch "$T/go"
	done_ok py
	for size in 1 4096 65537 4194304; do
		want=$("$PYTHON" -c "import sys; sys.path.insert(0, '$APPS_DIR'); import common
print(common.sha(common.data($size, $size)))")
		client redis-cli "${CLI[@]}" get "v$size" >"$T/value"
		# redis-cli adds a newline.
		got=$(head -c "$size" "$T/value" | sha256sum)
		[ "${got%% *}" = "$want" ] || fail "redis-cli get of $size bytes differs"
	done
	redis_down
	expect_ring 8000000 redis-server python3
	# with many reads of one value redis-cli is promoted as well
	[ "$MODE" != ring ] || expect_balance redis-server python3 redis-cli
}

pipelines() {
	local want
	redis_up
	where "$1"
	client "$PYTHON" "$APPS_DIR/resp.py" pipeline "$address" >"$T/py.out"
	grep '^OK' "$T/py.out"
	# redis-cli with one command per line awaits each answer; with --pipe it awaits none.
	for i in {1..500}; do echo "SET cli$i value-$i"; done >"$T/set"
	for i in {1..500}; do echo "GET cli$i"; done >"$T/get"
	for i in {1..500}; do echo "value-$i"; done >"$T/want"
	client redis-cli "${CLI[@]}" <"$T/set" >"$T/got"
	all_lines_are "$T/got" 500 OK
	client redis-cli "${CLI[@]}" <"$T/get" >"$T/got"
	cmp "$T/got" "$T/want"
	sed 's/SET cli/SET pipe/' "$T/set" >"$T/pipe"
	client redis-cli "${CLI[@]}" --pipe <"$T/pipe" >"$T/got"
	grep -q 'errors: 0, replies: 500' "$T/got"
	ask mget pipe{1..500} >"$T/got"
	cmp "$T/got" "$T/want"
	redis_down
	expect_ring 3000000 redis-server python3
	expect_ring 10000 redis-cli
}

pubsub() {
	redis_up
	where "$1"
	start_client sub "$PYTHON" "$APPS_DIR/resp.py" pubsub "$address" 2000
	wait_line sub READY
	for i in {0..1999}; do echo "PUBLISH news $i"; done >"$T/news"
	client redis-cli "${CLI[@]}" <"$T/news" >"$T/got"
	all_lines_are "$T/got" 2000 1
	done_ok sub
	redis_down
	expect_ring 30000 redis-server redis-cli python3
}

# persistence WORD: is it in the server's account of its snapshots?
persistence() { ask info persistence >"$T/info" && grep -q "^$1" "$T/info"; }

# The server forks while its connections are in use, and the child writes the snapshot.
bgsave() {
	redis_up
	where "$1"
	ask debug populate 20000 key 100
	start_client work "$PYTHON" "$APPS_DIR/resp.py" work "$address" "$T/stop"
	start_client blocked "$PYTHON" "$APPS_DIR/resp.py" blocked "$address"
	wait_line work READY
	wait_line blocked READY
	for _ in 1 2 3; do
		ask bgsave >"$T/got"
		grep -q started "$T/got"
		until_true 10 persistence rdb_bgsave_in_progress:0
		persistence rdb_last_bgsave_status:ok
	done
	touch "$T/stop"
	done_ok work
	plain redis-check-rdb "$T/dump.rdb" >"$T/got"
	grep -q 'RDB looks OK' "$T/got"
	redis_down
	done_ok blocked
	grep -qE 'turns=[0-9]{2,}' "$T/work.out"
	expect_ring 200000 redis-server python3
}

# bench FLAGS N: no error, and the server has counted N commands of each kind.
bench() {
	local n
	n=$(sed -E 's/.*-n ([0-9]+).*/\1/' <<<"$1")
	ask config resetstat
	# shellcheck disable=SC2086
	client redis-benchmark "${CLI[@]}" $1 -t set,get -q -d 100 >"$T/bench.out" 2>&1
	tr '\r' '\n' <"$T/bench.out" >"$T/bench.lines"
	grep -q '^GET: .*requests per second' "$T/bench.lines" || fail "$(cat "$T/bench.out")"
	if grep -qi error "$T/bench.out"; then
		fail "$(cat "$T/bench.out")"
	fi
	ask info commandstats >"$T/calls"
	grep -q "^cmdstat_set:calls=$n,.*failed_calls=0" "$T/calls" || fail "$(cat "$T/calls")"
	grep -q "^cmdstat_get:calls=$n,.*failed_calls=0" "$T/calls" || fail "$(cat "$T/calls")"
}

benchmark() {
	redis_up
	where "$1"
	bench "-c 1 -n 2000"
	bench "-c 50 -n 20000"
	bench "-c 10 -P 16 -n 40000"
	redis_down
	expect_ring 10000000 redis-server redis-benchmark
}

# now_ms: what the clock says.
now_ms() { echo $((${EPOCHREALTIME/[^0-9]/} / 1000)); }

shutdown_with_clients() {
	local start
	redis_up
	where "$1"
	for i in 1 2; do
		start_client "blocked$i" "$PYTHON" "$APPS_DIR/resp.py" blocked "$address"
		wait_line "blocked$i" READY
	done
	start=$(now_ms)
	redis_down
	done_ok blocked1
	done_ok blocked2
	[ $(($(now_ms) - start)) -lt 5000 ] || fail "the clients took too long to see the end"
	expect_ring 200 redis-server python3
}

kill_server() {
	local start
	redis_up
	where "$1"
	start_client blocked "$PYTHON" "$APPS_DIR/resp.py" blocked "$address"
	start_client writing "$PYTHON" "$APPS_DIR/resp.py" writing "$address"
	wait_line blocked READY
	wait_line writing READY
	sleep 0.2
	start=$(now_ms)
	stop redis KILL
	[ "$STATUS" = 137 ]
	done_ok blocked
	done_ok writing
	[ $(($(now_ms) - start)) -lt 2000 ] || fail "the clients took too long to see the end"
	rm -f "$T/redis.sock"
	expect_ring 200 python3
}

clients_are() { ask info clients >"$T/info" && grep -q "^connected_clients:$1" "$T/info"; }

# A client dies in the middle of its work: the server forgets it and goes on serving the other.
kill_client() {
	redis_up
	where "$1"
	start_client dies "$PYTHON" "$APPS_DIR/resp.py" work "$address" "$T/stop"
	wait_line dies READY
	start_client blocked "$PYTHON" "$APPS_DIR/resp.py" blocked "$address"
	wait_line blocked READY
	sleep 0.2
	stop dies KILL
	[ "$STATUS" = 137 ]
	# The one that asks, and the one that sleeps.
	until_true 2 clients_are 2
	ask del turns >"$T/got"
	start_client work "$PYTHON" "$APPS_DIR/resp.py" work "$address" "$T/stop"
	sleep 0.2
	touch "$T/stop"
	done_ok work
	expect_idle redis
	redis_down
	done_ok blocked
	expect_ring 10000 redis-server
}

@test "redis: values of 1 B to 4 MiB over TCP, plain" { mode plain; values tcp; }
@test "redis: values of 1 B to 4 MiB over TCP, by ring" { mode ring; values tcp; }
@test "redis: values of 1 B to 4 MiB over TCP, at once" { mode now; values tcp; }
@test "redis: values of 1 B to 4 MiB over TCP, retreating" { mode retreat; values tcp; }
@test "redis: values over TCP, only the server preloaded" { mode server; values tcp; }
@test "redis: values over TCP, only the client preloaded" { mode client; values tcp; }
@test "redis: values of 1 B to 4 MiB over AF_UNIX, plain" { mode plain; values unix; }
@test "redis: values of 1 B to 4 MiB over AF_UNIX, by ring" { mode ring; values unix; }
@test "redis: pipelines over TCP, plain" { mode plain; pipelines tcp; }
@test "redis: pipelines over TCP, by ring" { mode ring; pipelines tcp; }
@test "redis: pipelines over AF_UNIX, by ring" { mode ring; pipelines unix; }
@test "redis: publish and subscribe over TCP, plain" { mode plain; pubsub tcp; }
@test "redis: publish and subscribe over TCP, by ring" { mode ring; pubsub tcp; }
@test "redis: BGSAVE while clients work, plain" { mode plain; bgsave tcp; }
@test "redis: BGSAVE while clients work, by ring" { mode ring; bgsave tcp; }
@test "redis: BGSAVE while clients work, AF_UNIX, retreating" { mode retreat; bgsave unix; }
@test "redis: redis-benchmark with 1 and 50 clients, plain" { mode plain; benchmark tcp; }
@test "redis: redis-benchmark with 1 and 50 clients, by ring" { mode ring; benchmark tcp; }
@test "redis: redis-benchmark over AF_UNIX, by ring" { mode ring; benchmark unix; }
@test "redis: SHUTDOWN with clients connected, plain" { mode plain; shutdown_with_clients tcp; }
@test "redis: SHUTDOWN with clients connected, by ring" { mode ring; shutdown_with_clients tcp; }
@test "redis: kill -9 of the server is seen at once, plain" { mode plain; kill_server tcp; }
@test "redis: kill -9 of the server is seen at once, by ring" { mode ring; kill_server tcp; }
@test "redis: kill -9 of the server over AF_UNIX, by ring" { mode ring; kill_server unix; }
@test "redis: kill -9 of a client, plain" { mode plain; kill_client tcp; }
@test "redis: kill -9 of a client, by ring" { mode ring; kill_client tcp; }
@test "redis: kill -9 of a client over AF_UNIX, by ring" { mode ring; kill_client unix; }
