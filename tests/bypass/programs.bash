# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# programs.bash NAME - one scenario of the bypass detector: real programs, all of them preloaded
# and under strace, streams promoted as soon as possible, little of everything, as each system
# call is slow there.  Run by detect.py.  Exit status 77: a program is missing.
#
# programs.bash --prepare NAME, run before and without strace, may put what takes long to make
# into $BYPASS_PREPARED.

set -eu
BYPASS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bats_require_minimum_version() { :; }
skip() {
	echo "$*"
	exit 77
}
# shellcheck source-path=SCRIPTDIR source=../apps/apps.bash
. "$BYPASS_DIR/../apps/apps.bash"

port=
front=
web=

# detect.py ends what takes too long.
client() { env "${CLIENT_ENV[@]}" "$@" 3>&-; }
until_true() {
	shift
	until "$@"; do sleep 0.05; done
}

ended() {
	local name
	for name in "${!PID[@]}"; do
		kill -9 "${PID[$name]}" 2>/dev/null || :
	done
	rm -rf "$T"
}

# ways of sly.c, each under a name of its own
scenario_self() {
	local way
	for way in clean write recvfrom close close_range dup dup2 fcntl poll epoll fork handle; do
		cp "$APPS_BUILD/sly" "$T/sly-$way"
		client "$T/sly-$way" "$way"
	done
}

scenario_redis() {
	need redis-server redis-cli redis-benchmark
	free_port port
	start_server redis redis-server --port "$port" --bind 127.0.0.1 --dir "$T" \
		--unixsocket "$T/redis.sock" --save "" --daemonize no
	wait_port "$port"
	client redis-benchmark -p "$port" -n 30 -c 2 -P 2 -q -t set,lpush
	client redis-benchmark -s "$T/redis.sock" -n 20 -c 2 -q -t get
	client redis-cli -p "$port" bgsave
	client redis-cli -s "$T/redis.sock" info
	client redis-cli -p "$port" client kill type normal
	client redis-cli -p "$port" shutdown nosave || :
	finish redis
}

scenario_nginx() {
	need nginx curl wrk
	local user=
	[ "$(id -u)" != 0 ] || user="user www-data;"
	mkdir -m 755 "$T/www"
	head -c 300000 /dev/zero >"$T/www/f"
	free_port port
	free_port front
	cat >"$T/nginx.conf" <<-END
		daemon off;
		$user
		worker_processes 2;
		pid $T/pid;
		error_log $T/nginx.log warn;
		events { worker_connections 64; }
		http {
			access_log off;
			sendfile on;
			client_body_temp_path $T/body;
			proxy_temp_path $T/proxy;
			fastcgi_temp_path $T/fastcgi;
			uwsgi_temp_path $T/uwsgi;
			scgi_temp_path $T/scgi;
			upstream back { server 127.0.0.1:$port; keepalive 2; }
			server { listen 127.0.0.1:$port; root $T/www; }
			server {
				listen 127.0.0.1:$front;
				location / { proxy_pass http://back; proxy_http_version 1.1;
					proxy_set_header Connection ""; }
			}
		}
	END
	start_server nginx nginx -e "$T/nginx.log" -c "$T/nginx.conf"
	wait_port "$front"
	client curl -sSf "http://127.0.0.1:{$port,$front,$front}/f" -o "$T/got"
	cmp "$T/www/f" "$T/got"
	kill -HUP "${PID[nginx]}"
	client curl -sSf --http1.0 -T "$T/www/f" "http://127.0.0.1:$front/f" -o /dev/null || :
	client wrk -t 1 -c 2 -d 1s "http://127.0.0.1:$front/f" >"$T/wrk.out"
	stop_ok nginx QUIT
}

scenario_python() {
	client "$PYTHON" -IS "$BYPASS_DIR/sockets.py"
}

scenario_memcached() {
	need memcached
	free_port port
	start_server memcached memcached -u nobody -l 127.0.0.1 -p "$port" -t 2
	wait_port "$port"
	# shellcheck disable=SC2016 # for that shell
	client "$BASH" -c '
		exec 3<>/dev/tcp/127.0.0.1/$0
		for i in {1..8}; do
			printf "set k$i 0 0 2\r\nab\r\nget k$i\r\n" >&3
			for l in 1 2 3 4; do read -r line <&3; done
		done
		printf "quit\r\n" >&3
		cat <&3' "$port"
	stop memcached
}

scenario_socat() {
	need socat
	free_port port
	start_server fork socat "TCP-LISTEN:$port,bind=127.0.0.1,fork" EXEC:cat
	# shellcheck disable=SC2016 # for that shell
	start_server system socat "UNIX-LISTEN:$T/s,fork" SYSTEM:'read a; echo $a; cat'
	start_server pty socat "UNIX-LISTEN:$T/p" EXEC:cat,pty,raw,echo=0
	start_server relay socat "UNIX-LISTEN:$T/r,fork" "TCP:127.0.0.1:$port"
	wait_port "$port"
	for name in s p r; do wait_socket "$T/$name"; done
	for name in "TCP:127.0.0.1:$port" "UNIX:$T/s" "UNIX:$T/p" "UNIX:$T/r"; do
		printf 'one\ntwo\n' | client socat -t 20 - "$name" >"$T/got"
		[ "$name" = "UNIX:$T/p" ] || printf 'one\ntwo\n' | cmp - "$T/got"
	done
	for name in fork system relay; do stop "$name"; done
}

scenario_iperf3() {
	need iperf3
	free_port port
	start_server iperf3 iperf3 -s -1 -p "$port" -B 127.0.0.1
	wait_port "$port"
	client iperf3 -c 127.0.0.1 -p "$port" -n 4M -P 2 -R >"$T/iperf3.out"
	finish iperf3
}

scenario_haproxy() {
	need haproxy curl
	local user=
	free_port port
	free_port front
	mkdir "$T/www"
	head -c 100000 /dev/zero >"$T/www/f"
	cat >"$T/haproxy.cfg" <<-END
		global
			stats socket $T/stats.sock mode 600 expose-fd listeners
		defaults
			mode http
			timeout connect 5s
			timeout client 5s
			timeout server 5s
		listen web
			bind 127.0.0.1:$front
			server back 127.0.0.1:$port
	END
	start_server python "$PYTHON" -IS -m http.server -b 127.0.0.1 -d "$T/www" "$port"
	wait_port "$port"
	start_server haproxy haproxy -W -f "$T/haproxy.cfg"
	wait_port "$front"
	client curl -sSf "http://127.0.0.1:{$front,$front}/f" -o "$T/got"
	cmp "$T/www/f" "$T/got"
	echo "show info" | client socat - "UNIX:$T/stats.sock" >"$T/info"
	kill -USR2 "${PID[haproxy]}"
	client curl -sSf --retry 5 --retry-connrefused "http://127.0.0.1:$front/f" -o "$T/got"
	stop haproxy
	stop python
}

scenario_perl() {
	need perl
	client perl "$BYPASS_DIR/sockets.pl"
}

scenario_ruby() {
	need ruby
	client ruby "$BYPASS_DIR/sockets.rb"
}

# What libc itself does with sockets.
scenario_libc() {
	client "$APPS_BUILD/libc_inside"
}

scenario_ssh() {
	need sshd ssh ssh-keygen
	need_root
	mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f "$T/host"
	ssh-keygen -q -t ed25519 -N '' -f "$T/user"
	cp "$T/user.pub" "$T/keys"
	free_port port
	cat >"$T/sshd.conf" <<-END
		Port $port
		ListenAddress 127.0.0.1
		HostKey $T/host
		AuthorizedKeysFile $T/keys
		PidFile none
		StrictModes no
		UsePAM no
		PermitRootLogin yes
	END
	start_server sshd "$(command -v sshd)" -D -e -f "$T/sshd.conf"
	wait_port "$port"
	head -c 200000 /dev/zero >"$T/zero"
	client ssh -F none -o StrictHostKeyChecking=no -o "UserKnownHostsFile=$T/known" \
		-i "$T/user" -p "$port" root@127.0.0.1 'cat; exit 3' <"$T/zero" >"$T/got" ||
		[ "$?" = 3 ]
	cmp "$T/zero" "$T/got"
	stop sshd
}

scenario_git() {
	need git
	need_file git-daemon "$(git --exec-path)/git-daemon"
	export HOME=$T GIT_CONFIG_NOSYSTEM=1
	git init -q "$T/repo"
	git -C "$T/repo" -c user.name=a -c user.email=a@b commit -q --allow-empty -m one
	free_port port
	start_server git git daemon --listen=127.0.0.1 "--port=$port" --export-all \
		"--base-path=$T" --reuseaddr
	wait_port "$port"
	client git clone -q "git://127.0.0.1:$port/repo" "$T/copy"
	[ -d "$T/copy/.git" ]
	kill "${PID[git]}"
	finish git
}

scenario_rsync() {
	need rsync
	mkdir "$T/from" "$T/to"
	cp "$BYPASS_DIR"/*.py "$T/from"
	free_port port
	printf 'use chroot = no\nuid = %s\ngid = %s\n[m]\npath = %s\n' "$(id -u)" "$(id -g)" \
		"$T/from" >"$T/rsyncd.conf"
	start_server rsync rsync --daemon --no-detach "--config=$T/rsyncd.conf" \
		--address=127.0.0.1 "--port=$port"
	wait_port "$port"
	client rsync -a "rsync://127.0.0.1:$port/m/" "$T/to/"
	diff -r "$T/from" "$T/to"
	stop rsync
}

scenario_openssl() {
	need openssl
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 \
		-keyout "$T/key" -out "$T/cert" 2>"$T/req.out"
	free_port port
	start_server openssl openssl s_server -accept "127.0.0.1:$port" -key "$T/key" \
		-cert "$T/cert" -rev -naccept 1
	wait_port "$port"
	: >"$T/got"
	# shellcheck disable=SC2094 # waits for what the other writes
	(echo abc && until_true 30 grep -q cba "$T/got" && echo Q) |
		client openssl s_client -connect "127.0.0.1:$port" -CAfile "$T/cert" >"$T/got" 2>&1
	finish openssl
}

scenario_busybox() {
	need busybox
	free_port port
	free_port web
	start_server listen busybox nc -l -p "$port" -e cat
	start_server httpd busybox httpd -f -p "127.0.0.1:$web" -h "$BYPASS_DIR"
	wait_port "$port"
	wait_port "$web"
	echo text | client busybox nc 127.0.0.1 "$port" >"$T/got"
	echo text | cmp - "$T/got"
	client busybox wget -q -O "$T/got" "http://127.0.0.1:$web/detect.py"
	cmp "$BYPASS_DIR/detect.py" "$T/got"
	gone listen || stop listen
	stop httpd
}

scenario_nc() {
	need nc
	free_port port
	start_server listen nc -l -N 127.0.0.1 "$port" </dev/null
	wait_port "$port"
	echo text | client nc -N 127.0.0.1 "$port"
	finish listen
	[ "$(cat "$T/listen.out")" = text ]
}

scenario_dbus() {
	need dbus-daemon dbus-send dbus-monitor
	start_server dbus dbus-daemon --session --nofork --address="unix:path=$T/bus"
	wait_socket "$T/bus"
	export DBUS_SESSION_BUS_ADDRESS=unix:path=$T/bus
	for _ in 1 2 3; do
		client dbus-send --session --print-reply --dest=org.freedesktop.DBus / \
			org.freedesktop.DBus.ListNames >"$T/names"
	done
	stop dbus
}

# The cluster is made before strace looks on: it would take a minute.
prepare_postgres() {
	local bin
	bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
	[ -x "$bin/initdb" ] || return 0
	install -d -m 700 "$BYPASS_PREPARED"
	[ "$(id -u)" != 0 ] || chown postgres: "$BYPASS_PREPARED"
	# shellcheck disable=SC2046
	$(as postgres) "$bin/initdb" -D "$BYPASS_PREPARED" -A trust -U postgres --no-sync \
		--no-locale -E UTF8
}

scenario_postgres() {
	local bin
	bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
	need "$bin/postgres" "$bin/pgbench"
	mapfile -t pg < <(as postgres)
	free_port port
	chmod 777 "$T"
	start_server pg "${pg[@]}" "$bin/postgres" -D "$BYPASS_PREPARED" -p "$port" -k "$T" \
		-c listen_addresses=127.0.0.1 -c fsync=off -c autovacuum=off
	wait_port "$port"
	until_true 20 plain "$bin/psql" -h "$T" -p "$port" -U postgres -c 'SELECT 1' \
		>"$T/ready" 2>&1
	client "$bin/psql" -X -q -h 127.0.0.1 -p "$port" -U postgres >"$T/psql.out" <<-END
		CREATE TABLE t AS SELECT generate_series(1, 5000) AS n;
		\copy (SELECT * FROM t) TO '$T/t'
		\copy t FROM '$T/t'
		SELECT count(*) FROM t;
	END
	for i in 1 2 3 4; do echo "SELECT $i;"; done >"$T/script"
	client "$bin/pgbench" -n -h "$T" -p "$port" -U postgres -c 2 -t 5 -f "$T/script" \
		postgres >"$T/bench.out"
	stop_ok pg INT
}

# ---- make bypass PROGRAMS="...": what takes long, or is not everywhere -----------------------

# strace needs half a minute for the stacks of so large a program.
scenario_node() {
	need node
	client node "$BYPASS_DIR/sockets.js"
}

scenario_java() {
	need java
	client java -Xint -XX:TieredStopAtLevel=1 "$BYPASS_DIR/Sockets.java"
}

scenario_php() {
	need php curl
	free_port port
	# shellcheck disable=SC2016 # PHP's
	echo '<?php echo str_repeat("x", 50000);' >"$T/index.php"
	start_server php php -S "127.0.0.1:$port" -t "$T"
	wait_port "$port"
	client curl -sSf "http://127.0.0.1:{$port,$port}/index.php" -o "$T/got"
	[ "$(wc -c <"$T/got")" = 50000 ]
	stop php INT
}

scenario_apache() {
	need apache2 ab
	local d=/usr/lib/apache2/modules
	need_file mod_mpm_event $d/mod_mpm_event.so
	free_port port
	cat >"$T/apache.conf" <<-END
		ServerRoot $T
		ServerName localhost
		Listen 127.0.0.1:$port
		PidFile $T/apache.pid
		ErrorLog $T/apache.log
		Mutex file:$T
		DocumentRoot $BYPASS_DIR
		LoadModule mpm_event_module $d/mod_mpm_event.so
		LoadModule authz_core_module $d/mod_authz_core.so
		StartServers 1
		ThreadsPerChild 4
		MaxRequestWorkers 8
		MinSpareThreads 4
		MaxSpareThreads 8
	END
	start_server apache apache2 -X -f "$T/apache.conf"
	wait_port "$port"
	client ab -q -k -n 20 -c 2 "http://127.0.0.1:$port/detect.py" >"$T/ab.out"
	client curl -sSf "http://127.0.0.1:$port/detect.py" -o "$T/got"
	cmp "$BYPASS_DIR/detect.py" "$T/got"
	stop apache
}

scenario_lighttpd() {
	need lighttpd curl
	free_port port
	printf 'server.document-root = "%s"\nserver.port = %s\nserver.bind = "127.0.0.1"\n' \
		"$BYPASS_DIR" "$port" >"$T/lighttpd.conf"
	start_server lighttpd lighttpd -D -f "$T/lighttpd.conf"
	wait_port "$port"
	client curl -sSf "http://127.0.0.1:$port/{detect.py,streams.py}" -o "$T/got"
	cmp "$BYPASS_DIR/streams.py" "$T/got"
	stop lighttpd
}

scenario_mosquitto() {
	need mosquitto mosquitto_pub mosquitto_sub
	free_port port
	printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$T/mosquitto.conf"
	start_server mosquitto mosquitto -c "$T/mosquitto.conf"
	wait_port "$port"
	for i in {1..8}; do
		client mosquitto_pub -p "$port" -r -t "t/$i" -m "text $i"
	done
	[ "$(client mosquitto_sub -p "$port" -t 't/#' -C 8 | wc -l)" = 8 ]
	stop mosquitto
}

# The client sends its terminal over AF_UNIX.
scenario_tmux() {
	need tmux
	client tmux -f /dev/null -S "$T/tmux" new-session -d 'cat'
	for i in {1..5}; do
		client tmux -S "$T/tmux" send-keys "text $i" Enter
	done
	client tmux -S "$T/tmux" capture-pane -p >"$T/got"
	client tmux -S "$T/tmux" kill-server
}

if [ "$1" = --prepare ]; then
	[ "$(type -t "prepare_$2")" != function ] || "prepare_$2"
	exit 0
fi
[ "$(type -t "scenario_$1")" = function ] || {
	echo "no such scenario: $1"
	exit 2
}
apps_setup
trap ended EXIT
mode now
# shellcheck disable=SC2016 # for that shell
traced=(sh -c 'exec $BYPASS_STRACE -o "$BYPASS_TRACES/$$" env "$@"' sh
	"${CLIENT_ENV[@]}" "SHMFD_LOG=info:$BYPASS_LOG")
# shellcheck disable=SC2034
SERVER_ENV=("${traced[@]}") CLIENT_ENV=("${traced[@]}")
cd "$T"
"scenario_$1"
