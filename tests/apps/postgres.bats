#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# PostgreSQL: a postmaster that accepts and forks, backends that wait on epoll and a latch.
#
# One cluster of our own is made per file, in a temporary directory, under the user postgres;
# clusters of the system are not touched.

load apps.bash

PG_BIN=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

pg_missing() {
	[ ! -x "$PG_BIN/initdb" ] || { [ "$(id -u)" = 0 ] && ! getent passwd postgres >/dev/null; }
}

setup_file() {
	pg_missing && return 0
	export CLUSTER
	CLUSTER=$(mktemp -d "${TMPDIR:-/tmp}/shmfd-pg.XXXXXX")
	chmod 755 "$CLUSTER"
	mapfile -t PG < <(as postgres)
	install -d -m 700 "$CLUSTER/data"
	[ "$(id -u)" != 0 ] || chown postgres: "$CLUSTER/data"
	cd "$CLUSTER"
	"${PG[@]}" "$PG_BIN/initdb" -D "$CLUSTER/data" -A trust -U postgres --no-sync \
		--no-locale -E UTF8 >"$CLUSTER/initdb.out" 2>&1 3>&-
	"${PG[@]}" tee -a "$CLUSTER/data/postgresql.conf" >"$CLUSTER/conf.out" <<-END
		listen_addresses = '127.0.0.1'
		fsync = off
		synchronous_commit = off
		full_page_writes = off
		shared_buffers = 32MB
		max_wal_size = 1GB
		logging_collector = off
		log_destination = stderr
		ssl = off
	END
}

teardown_file() {
	[ -z "${CLUSTER:-}" ] || rm -rf "$CLUSTER"
}

setup() {
	apps_setup
	mapfile -t PG < <(as postgres)
	if pg_missing; then
		need postgresql-server
	fi
	cd "$CLUSTER"
}
teardown() { apps_teardown; }

# sql [FLAGS]: as the oracle, never preloaded.
sql() { plain "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$T" -p "$port" -U postgres "$@"; }
ready() { sql -c 'SELECT 1' >"$T/ready" 2>&1; }

pg_up() {
	free_port port
	mkdir -p "$T/run"
	chmod 777 "$T"
	start_server pg "${PG[@]}" "$PG_BIN/postgres" -D "$CLUSTER/data" -p "$port" -k "$T"
	wait_port "$port"
	until_true 20 ready
}

# A fast shutdown; the postmaster exits 0.
pg_down() {
	stop_ok pg INT
	[ ! -e "$T/.s.PGSQL.$port" ] || fail "the socket is still there"
}

# psql_on tcp|unix [FLAGS]: as a client of the mode.
psql_on() {
	local host=127.0.0.1
	[ "$1" = tcp ] || host=$T
	client "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$host" -p "$port" \
		-U postgres "${@:2}"
}

# Some queries, then a table of some 14 MB in and out by COPY on the same connection.
copy() {
	local i
	pg_up
	"$PYTHON" -c "
import hashlib
for i in range(200000):
    print(i, hashlib.md5(b'%d' % i).hexdigest() * 2, sep='\t')" >"$T/in"
	{
		echo 'DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, v text);'
		for i in {1..30}; do echo "SELECT $i;"; done
		echo "\\copy t FROM '$T/in'"
		echo "\\copy (SELECT * FROM t ORDER BY id) TO '$T/out'"
		echo 'SELECT v FROM t ORDER BY id;'
	} >"$T/script"
	psql_on "$1" -f "$T/script" >"$T/psql.out"
	cmp "$T/in" "$T/out"
	{ seq 30 && cut -f 2 "$T/in"; } >"$T/want"
	cmp "$T/psql.out" "$T/want"
	[ "$(sql -c 'SELECT md5(string_agg(v, $$,$$ ORDER BY id)) FROM t')" = \
		"$(cut -f 2 "$T/in" | paste -sd , | tr -d '\n' | md5sum | cut -d ' ' -f 1)" ]
	pg_down
	expect_ring 30000000 postgres psql
}

# Four clients, then the sums that the workload keeps equal.
bench() {
	local host=127.0.0.1 sums
	pg_up
	[ "$1" = tcp ] || host=$T
	client "$PG_BIN/pgbench" -h "$host" -p "$port" -U postgres -i -q -s 1 postgres \
		>"$T/init.out" 2>&1
	client "$PG_BIN/pgbench" -h "$host" -p "$port" -U postgres -c 4 -j 2 -T 1 -n \
		${2:+-M "$2"} postgres >"$T/bench.out" 2>&1
	grep -q '^number of failed transactions: 0 ' "$T/bench.out" || fail "$(cat "$T/bench.out")"
	sums=$(sql -c 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) =
			(SELECT sum(delta) FROM pgbench_history) AND
		(SELECT sum(tbalance) FROM pgbench_tellers) =
			(SELECT sum(delta) FROM pgbench_history),
		(SELECT count(*) FROM pgbench_history)')
	[ "${sums%|*}" = t ] || fail "the balances do not agree: $sums"
	[ "${sums#*|}" = "$(sed -nE 's/^number of transactions actually processed: //p' \
		"$T/bench.out")" ] || fail "$sums; $(cat "$T/bench.out")"
	pg_down
	expect_ring 100000 postgres pgbench
}

# pg_ctl restart -m fast ends the sessions in the middle of their queries; then all goes on.
restart() {
	local i start=$SECONDS ctl
	free_port port
	chmod 777 "$T"
	# The server gets the environment of pg_ctl, at its start and at its restart.
	ctl=(timeout -k 5 40 env "${SERVER_ENV[@]}" "${PG[@]}" "$PG_BIN/pg_ctl" -D "$CLUSTER/data"
		-w -l "$T/pg.log" -o "-p $port -k $T")
	"${ctl[@]}" start >"$T/ctl.out" 2>&1 3>&-
	{
		for i in {1..30}; do echo "SELECT $i;"; done
		echo 'SELECT pg_sleep(60);'
	} >"$T/script"
	for i in 1 2; do
		start_client "psql$i" "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 \
			-h "$([ $i = 1 ] && echo 127.0.0.1 || echo "$T")" -p "$port" -U postgres \
			-f "$T/script"
	done
	until_true 20 two_wait
	"${ctl[@]}" -m fast restart >>"$T/ctl.out" 2>&1 3>&-
	for i in 1 2; do
		finish "psql$i"
		[ "$STATUS" = 3 ] || [ "$STATUS" = 2 ] || fail "psql$i: exit status $STATUS"
		grep -q 'terminating connection due to administrator command' "$T/psql$i.out"
	done
	[ $((SECONDS - start)) -lt 20 ] || fail "it took too long"
	[ "$(psql_on tcp -c 'SELECT 42')" = 42 ]
	[ "$(psql_on unix -c 'SELECT 42')" = 42 ]
	"${ctl[@]}" -m fast stop >>"$T/ctl.out" 2>&1 3>&-
	expect_ring 500 postgres psql
}

two_wait() {
	[ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")" = 2 ]
}

@test "postgres: COPY of a large table over TCP, plain" { mode plain; copy tcp; }
@test "postgres: COPY of a large table over TCP, by ring" { mode ring; copy tcp; }
@test "postgres: COPY of a large table over TCP, retreating" { mode retreat; copy tcp; }
@test "postgres: COPY of a large table over AF_UNIX, plain" { mode plain; copy unix; }
@test "postgres: COPY of a large table over AF_UNIX, by ring" { mode ring; copy unix; }
@test "postgres: COPY, only the server preloaded" { mode server; copy tcp; }
@test "postgres: pgbench over TCP, plain" { mode plain; bench tcp; }
@test "postgres: pgbench over TCP, by ring" { mode ring; bench tcp; }
@test "postgres: pgbench over AF_UNIX, prepared, at once" { mode now; bench unix prepared; }
@test "postgres: restart with clients in their queries, plain" { mode plain; restart; }
@test "postgres: restart with clients in their queries, by ring" { mode ring; restart; }
