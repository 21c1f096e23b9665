#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# nginx: master and workers, edge-triggered epoll, writev and sendfile, reload by fork.

load apps.bash

setup() {
	apps_setup
	need nginx curl wrk
	mkdir -m 755 "$T/www"
	local size
	for size in 1024 4096 65536 1048576 8388608; do
		random_bytes "$size" >"$T/www/f$size"
	done
	chmod 644 "$T"/www/*
}
teardown() { apps_teardown; }

# random_bytes BYTES: the same bytes in every run.
random_bytes() {
	"$PYTHON" -c "import random, sys; sys.stdout.buffer.write(random.Random($1).randbytes($1))"
}

# nginx_conf NAME PORT USER LOCATIONS: writes $T/NAME.conf.
nginx_conf() {
	local d=$T/$1.tmp user=
	mkdir -p "$d"
	if [ "$(id -u)" = 0 ]; then
		user="user $3;"
		chown "$3" "$d"
	fi
	cat >"$T/$1.conf" <<-END
		daemon off;
		$user
		worker_processes 1;
		pid $d/pid;
		error_log $T/$1.log warn;
		events { worker_connections 512; }
		http {
			access_log off;
			sendfile on;
			tcp_nopush on;
			keepalive_requests 1000000;
			default_type application/octet-stream;
			client_max_body_size 100m;
			client_body_temp_path $d/body;
			proxy_temp_path $d/proxy;
			fastcgi_temp_path $d/fastcgi;
			uwsgi_temp_path $d/uwsgi;
			scgi_temp_path $d/scgi;
			upstream back { server 127.0.0.1:${back:-1}; keepalive 4; }
			server {
				listen 127.0.0.1:$2;
				root $T/www;
				$4
			}
		}
	END
}

# nginx_up NAME: with $T/NAME.conf, whose port is $port; by its path, which it starts anew.
nginx_up() {
	start_server "$1" "$(command -v nginx)" -e "$T/$1.log" -c "$T/$1.conf"
}

# no_alarm NAME: its log must be free of errors.
no_alarm() {
	if grep -E '\[(error|crit|alert|emerg)\]' "$T/$1.log"; then
		fail "$1 complains"
	fi
}

# fetch_all PORT ROUNDS: one curl process, every file ROUNDS times, then the checksums.
fetch_all() {
	local f i conns
	: >"$T/curl.conf"
	for i in $(seq "$2"); do
		# The largest once only: it would make the small ones not matter.
		for f in f1024 f4096 f65536 f1048576 $([ "$i" = "$2" ] && echo f8388608); do
			printf 'url = "http://127.0.0.1:%s/%s"\noutput = "%s"\n' \
				"$1" "$f" "$T/$f.$i"
		done
	done >"$T/curl.conf"
	client curl -sS --fail -w '%{num_connects}\n' -K "$T/curl.conf" >"$T/connects"
	conns=$(awk '{ n += $1 } END { print n }' "$T/connects")
	[ "$conns" = 1 ] || fail "$conns connections, not one kept alive"
	for f in f1024 f4096 f65536 f1048576; do
		for i in $(seq "$2"); do
			cmp "$T/www/$f" "$T/$f.$i"
		done
	done
	cmp "$T/www/f8388608" "$T/f8388608.$2"
}

# serve USER: files by curl, then wrk with 50 connections.
serve() {
	local port
	free_port port
	nginx_conf web "$port" "$1" ""
	nginx_up web
	wait_port "$port"
	fetch_all "$port" 12
	client wrk -t 1 -c 50 -d 1s "http://127.0.0.1:$port/f4096" >"$T/wrk.out"
	if grep -E 'Socket errors|Non-2xx' "$T/wrk.out"; then
		fail "$(cat "$T/wrk.out")"
	fi
	[ "$(awk '/requests in/ { print $1 }' "$T/wrk.out")" -gt 500 ] || fail "$(cat "$T/wrk.out")"
	stop_ok web QUIT
	no_alarm web
	expect_ring 8000000 nginx curl
	expect_ring 1000000 wrk
}

# workers: the pids of the workers of web.
workers() { ps -o pid= --ppid "${PID[web]}" | tr -d ' ' | sort; }
other_workers() { [ -n "$(workers)" ] && [ -z "$(comm -12 <(workers) <(echo "$1"))" ]; }

# Three reloads while four kept-alive connections ask without a pause.
reload() {
	local port before
	free_port port
	nginx_conf web "$port" "$1" ""
	nginx_up web
	wait_port "$port"
	start_client load "$PYTHON" "$APPS_DIR/http_load.py" "$port" /f65536 \
		"$(sha256sum <"$T/www/f65536" | cut -d ' ' -f 1)" "$T/stop"
	for _ in 1 2 3; do
		sleep 0.3
		before=$(workers)
		kill -HUP "${PID[web]}"
		until_true 10 other_workers "$before"
	done
	sleep 0.3
	touch "$T/stop"
	done_ok load
	grep -qE 'requests=[0-9]{3,}' "$T/load.out" || fail "$(cat "$T/load.out")"
	stop_ok web QUIT
	no_alarm web
	expect_ring 1000000 nginx python3
}

# The binary is replaced while four kept-alive connections ask without a pause: the new one has
# the listening socket by exec, and of the environment what nginx.conf says.
upgrade() {
	local port pids=$T/web.tmp
	free_port port
	nginx_conf web "$port" "$1" ""
	# one that is a child of its starter keeps its binary (nginx, ngx_process.c)
	sed -i 's/^daemon off;/env LD_PRELOAD; env SHMFD_STATS;/' "$T/web.conf"
	nginx_up web
	wait_port "$port"
	finish web
	PID[web]=$(<"$pids/pid")
	start_client load "$PYTHON" "$APPS_DIR/http_load.py" "$port" /f65536 \
		"$(sha256sum <"$T/www/f65536" | cut -d ' ' -f 1)" "$T/stop"
	sleep 0.3
	kill -USR2 "${PID[web]}"
	until_true 10 test -s "$pids/pid.oldbin" -a -s "$pids/pid"
	PID[new]=$(<"$pids/pid")
	kill -QUIT "${PID[web]}"
	until_true 10 gone web
	unset 'PID[web]'
	: >"$STATS"	# of the old one
	sleep 0.5
	touch "$T/stop"
	done_ok load
	grep -qE 'requests=[0-9]{3,}' "$T/load.out" || fail "$(cat "$T/load.out")"
	kill -QUIT "${PID[new]}"
	until_true 10 gone new
	unset 'PID[new]'
	no_alarm web
	expect_ring 1000000 nginx python3
}

# nginx in front of nginx, with kept-alive connections between them.
proxy() {
	local port back
	free_port back
	free_port port
	nginx_conf behind "$back" "$1" ""
	nginx_conf web "$port" "$1" 'location / {
		proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; }'
	nginx_up behind
	wait_port "$back"
	nginx_up web
	wait_port "$port"
	fetch_all "$port" 12
	stop_ok web QUIT
	stop_ok behind QUIT
	no_alarm web
	no_alarm behind
	# Taken in and given out by the one in front, given out by the one behind it.
	expect_ring 40000000 nginx
	expect_ring 15000000 curl
}

@test "nginx: one user, plain" { mode plain; serve root; }
@test "nginx: one user, by ring" { mode ring; serve root; }
@test "nginx: one user, retreating at random" { mode retreat; serve root; }
@test "nginx: root, www-data, client of root, plain" { need_root; mode plain; serve www-data; }
@test "nginx: root, www-data, client of root, by ring" { need_root; mode ring; serve www-data; }
@test "nginx: only the server preloaded" { mode server; serve root; }
@test "nginx: reload under load fails no request, plain" { mode plain; reload root; }
@test "nginx: reload under load fails no request, by ring" { mode ring; reload root; }
@test "nginx: reload with a worker of www-data, by ring" { need_root; mode ring; reload www-data; }
@test "nginx: its binary replaced under load, plain" { mode plain; upgrade root; }
@test "nginx: its binary replaced under load, by ring" { mode ring; upgrade root; }
@test "nginx: in front of nginx, plain" { mode plain; proxy root; }
@test "nginx: in front of nginx, by ring" { mode ring; proxy root; }
@test "nginx: in front of nginx, retreating at random" { mode retreat; proxy root; }
