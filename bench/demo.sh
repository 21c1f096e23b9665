#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demo.sh - see the difference: Debian's redis and nginx, plain and with libshmfd preloaded.
#
#   sh bench/demo.sh        (or: make demo)
#
# Installs what is missing (root or sudo), builds, starts each server twice on free loopback
# ports, drives both in turn with redis-benchmark and wrk, and shows the two side by side.
# All figures come from this very run; nothing of the system's own servers is touched, and
# nothing is left behind.
#
#   LIB=FILE            the library to preload (build/libshmfd.so); - : only the plain part
#   DEMO_ROUNDS=5       runs per figure, the median is shown
#   DEMO_SECONDS=0.5    about how long one run takes

# "sh bench/demo.sh" works too: every Debian has bash
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "$0")/.."

LIB=${LIB:-build/libshmfd.so}
rounds=${DEMO_ROUNDS:-5}
seconds=${DEMO_SECONDS:-0.5}
host=127.0.0.1
body_bytes=128
began=$SECONDS

utf8=no
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
*[Uu][Tt][Ff]8* | *[Uu][Tt][Ff]-8*) utf8=yes ;;
esac
tty=no
if [ -t 1 ]; then
	tty=yes
fi
# Numbers with a dot and English messages, whatever the user speaks.
if [ "$utf8" = yes ]; then
	export LC_ALL=C.UTF-8
else
	export LC_ALL=C
fi
# Debian keeps nginx in sbin, which a plain user's PATH lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# The plain programs must be plain.
unset LD_PRELOAD
# Under "make demo" these speak of the outer make, whose job slots are not ours.
unset MAKEFLAGS MFLAGS MAKELEVEL

tmp=
job=		# the client that runs now
servers=()	# pids
declare -A port rate p99 count ring_bytes kernel_bytes
declare -a cases=()

progress()
{
	if [ "$tty" = yes ]; then
		printf '\r\033[K%s' "$*"
	fi
}

die()
{
	progress
	echo "demo.sh: $*" >&2
	exit 1
}

# ends process $1 and waits for it; a server that does not stop in 3 s is killed
end_process()
{
	local i

	kill "$1" 2>/dev/null || return 0
	for ((i = 0; i < 60; i++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$1" 2>/dev/null || :
	wait "$1" 2>/dev/null || :
}

cleanup()
{
	local pid

	trap '' INT TERM HUP
	for pid in $job "${servers[@]}"; do
		end_process "$pid"
	done
	job=
	servers=()
	[ -z "$tmp" ] || rm -rf "$tmp"
}

trap cleanup EXIT
trap 'progress; exit 130' INT
trap 'progress; exit 143' TERM HUP

# ---- preparing -----------------------------------------------------------------------------

prepare()
{
	progress "looking for redis, nginx, wrk and a compiler"
	sh tests/deps.sh demo || die "could not install what the demo needs"
	tmp=$(mktemp -d)
	chmod 755 "$tmp"	# nginx's worker may be another user
	[ "$LIB" != - ] || return 0
	if [ -e Makefile ]; then
		progress "building libshmfd"
		make -j2 >"$tmp/make.log" 2>&1 || {
			progress
			tail -n 20 "$tmp/make.log" >&2
			die "make failed"
		}
	fi
	[ -r "$LIB" ] || die "$LIB: no such library"
	LIB=$(realpath "$LIB")
}

# The environment that makes mode $1, as words for env.  stats: where clients leave counters.
declare -a mode_env=()
set_mode_env()
{
	mode_env=(env)
	if [ "$1" = rings ]; then
		mode_env+=("LD_PRELOAD=$LIB" "SHMFD_STATS=$tmp/stats")
	fi
}

# ---- servers -------------------------------------------------------------------------------

# a loopback port below the kernel's own range on which nobody answers
free_port()
{
	local p

	while :; do
		p=$((20000 + RANDOM % 10000))
		if ! (exec 3<>"/dev/tcp/$host/$p") 2>/dev/null; then
			echo "$p"
			return
		fi
	done
}

redis_is_up()	# port pid
{
	redis-cli -h $host -p "$1" info server 2>/dev/null | tr -d '\r' | grep -qx "process_id:$2"
}

nginx_is_up()	# port pid
{
	local answer

	# the path is in our own temporary directory, so an answer is from our own server
	answer=$({
		exec 3<>"/dev/tcp/$host/$1"
		printf 'GET /%s HTTP/1.0\r\n\r\n' "${tmp##*/}" >&3
		head -n 1 <&3
	} 2>/dev/null) || return 1
	[[ $answer == *" 200 "* ]]
}

redis_command()	# port mode
{
	command=(redis-server --port "$1" --bind "$host" --save '' --appendonly no
		--dir "$tmp" --daemonize no)
}

nginx_command()	# port mode
{
	local dir=$tmp/nginx-$2 user='' kind

	if [ "$(id -u)" -eq 0 ]; then
		user='user www-data;'	# as Debian's own configuration does
	fi
	mkdir -p "$dir"
	printf "%${body_bytes}s" '' | tr ' ' x >"$tmp/${tmp##*/}"
	chmod 644 "$tmp/${tmp##*/}"
	{
		echo "$user daemon off; worker_processes 1; pid $dir/pid;"
		echo "error_log $dir/error.log; events { worker_connections 1024; }"
		echo "http { access_log off; sendfile on; keepalive_requests 1000000000;"
		for kind in client_body proxy fastcgi uwsgi scgi; do
			echo "${kind}_temp_path $dir/$kind;"
		done
		# a file opened and read for every request, and as many bytes from memory
		echo "server { listen $host:$1; root $tmp;"
		echo "location = /memory { return 200 \"$(cat "$tmp/${tmp##*/}")\"; } } }"
	} >"$dir/nginx.conf"
	command=(nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf")
}

# starts server $1 (redis, nginx) in mode $2 (plain, rings); its port in port[$1,$2]
start_server()
{
	local name=$1 mode=$2 try i pid p log=$tmp/$1-$2.log
	local -a command

	progress "starting $name, $mode"
	set_mode_env "$mode"
	for try in 1 2 3 4 5; do
		p=$(free_port)
		"${name}_command" "$p" "$mode"
		"${mode_env[@]}" "${command[@]}" >"$log" 2>&1 </dev/null &
		pid=$!
		servers+=("$pid")
		for ((i = 0; i < 100; i++)); do
			if "${name}_is_up" "$p" "$pid"; then
				port[$name,$mode]=$p
				return
			fi
			kill -0 "$pid" 2>/dev/null || break	# port taken meanwhile: next try
			sleep 0.05
		done
		end_process "$pid"
		unset 'servers[-1]'
	done
	progress
	tail -n 5 "$log" "$tmp/$name-$mode/error.log" >&2 2>/dev/null || :
	die "$name ($mode) does not start (try $try)"
}

# ---- clients -------------------------------------------------------------------------------

# runs a client to its end, output in $tmp/out; a client that hangs is an error
run_client()	# mode command ...
{
	local rc=0

	set_mode_env "$1"
	shift
	rm -f "$tmp/stats"
	timeout -k 2 60 "${mode_env[@]}" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null &
	job=$!
	wait "$job" || rc=$?
	job=
	[ "$rc" -eq 0 ] || {
		progress
		tail -n 5 "$tmp/out" "$tmp/err" >&2
		die "'$*' failed with status $rc"
	}
}

# adds one figure: requests per second and 99th percentile in microseconds
record()	# case mode rate p99
{
	[[ $3 =~ ^[0-9]+(\.[0-9]+)?$ && $4 =~ ^[0-9]+(\.[0-9]+)?$ ]] ||
		die "$1 ($2): cannot understand the client's figures '$3' and '$4'"
	rate[$1,$2]+="$3 "
	p99[$1,$2]+="$4 "
}

# adds the client's own counters of ring and kernel bytes to case $1
record_bytes()
{
	local sums

	[ -s "$tmp/stats" ] || die "$1: the preloaded client left no statistics"
	sums=$(awk '
	{
		for (i = 1; i <= NF; i++) {
			if ($i ~ /^ring_[rt]x_bytes=[0-9]+$/) { ring += substr($i, 15); n++ }
			if ($i ~ /^kernel_[rt]x_bytes=[0-9]+$/) { kernel += substr($i, 17); n++ }
		}
	}
	END { if (n < 4) exit 1; printf "%.0f %.0f", ring, kernel }' "$tmp/stats") ||
		die "$1: cannot understand the statistics: $(cat "$tmp/stats")"
	ring_bytes[$1]=$((${ring_bytes[$1]:-0} + ${sums% *}))
	kernel_bytes[$1]=$((${kernel_bytes[$1]:-0} + ${sums#* }))
}

# one column of redis-benchmark's CSV: the one named $2 in the header, of the row of test $1
csv()
{
	awk -F, -v row="\"$1\"" -v col="\"$2\"" '
	NR == 1 { for (i = 1; i <= NF; i++) if ($i == col) c = i }
	$1 == row && c { gsub(/"/, "", $c); print $c; found = 1; exit }
	END { exit !found }' "$tmp/out" ||
		die "cannot find $2 of $1 in redis-benchmark's answer: $(head -c 300 "$tmp/out")"
}

run_redis()	# mode connections pipeline requests
{
	run_client "$1" redis-benchmark -h $host -p "${port[redis,$1]}" --csv -t set,get \
		-c "$2" -P "$3" -n "$4"
}

measure_redis()	# connections pipeline "name of the connections"
{
	local mode round t r q try

	for t in SET GET; do
		cases+=("redis $t, $3")
	done
	for mode in "${modes[@]}"; do
		progress "redis, $3: how many requests ($mode)"
		# a run that is too short says how fast connections begin, not how fast they
		# are: until one has lasted most of the time
		count[$mode]=$((4000 * $2))
		for try in 1 2 3 4 5; do
			run_redis "$mode" "$1" "$2" "${count[$mode]}"
			r=$(csv SET rps)
			q=$(csv GET rps)
			q=$(awk -v r="$r" -v q="$q" -v s="$seconds" 'BEGIN {
				printf "%d", (r < q ? r : q) * s + 1 }')
			[ "$q" -gt $((count[$mode] * 3 / 2)) ] || break
			count[$mode]=$q
		done
	done
	for ((round = 1; round <= rounds; round++)); do
		for mode in "${modes[@]}"; do
			progress "redis, $3: run $round of $rounds, $mode"
			run_redis "$mode" "$1" "$2" "${count[$mode]}"
			for t in SET GET; do
				r=$(csv $t rps)
				q=$(csv $t p99_latency_ms)
				q=$(awk -v ms="$q" 'BEGIN { printf "%.0f", ms * 1000 }')
				record "redis $t, $3" "$mode" "$r" "$q"
				[ "$mode" = plain ] || record_bytes "redis $t, $3"
			done
		done
	done
}

run_wrk()	# mode connections seconds path
{
	run_client "$1" wrk -t 1 -c "$2" -d "$3s" --latency "http://$host:${port[nginx,$1]}/$4"
}

measure_nginx()	# connections path "what the path is"
{
	local mode round r q name="nginx, $3, $1 connections"
	local whole

	cases+=("$name")
	whole=$(awk -v s="$seconds" 'BEGIN { printf "%d", s < 1 ? 1 : s }')
	for ((round = 1; round <= rounds; round++)); do
		for mode in "${modes[@]}"; do
			progress "$name: run $round of $rounds, $mode"
			run_wrk "$mode" "$1" "$whole" "$2"
			if grep -E 'Socket errors|Non-2xx' "$tmp/out" >&2; then
				die "$name ($mode): wrk saw errors"
			fi
			r=$(awk '$1 == "Requests/sec:" { print $2 }' "$tmp/out")
			q=$(awk '$1 == "99%" {
				v = $2 + 0
				if ($2 ~ /[0-9]us$/) printf "%.0f", v
				else if ($2 ~ /[0-9]ms$/) printf "%.0f", v * 1000
				else if ($2 ~ /[0-9]s$/) printf "%.0f", v * 1000000 }' "$tmp/out")
			record "$name" "$mode" "$r" "$q"
			[ "$mode" = plain ] || record_bytes "$name"
		done
	done
}

# ---- showing -------------------------------------------------------------------------------

median()
{
	# shellcheck disable=SC2086 # a list of numbers
	printf '%s\n' $1 | sort -n | awk '{ v[NR] = $1 } END {
		m = int((NR + 1) / 2); print (NR % 2) ? v[m] : (v[m] + v[m + 1]) / 2 }'
}

# how far apart the runs of one figure are, in percent of the smallest
spread()
{
	# shellcheck disable=SC2086
	printf '%s\n' $1 | sort -n | awk '{ v[NR] = $1 } END {
		printf "%.0f", 100 * (v[NR] - v[1]) / v[1] }'
}

# a bar of $1 eighths of a character
bar()
{
	local full=$(($1 / 8)) rest=$(($1 % 8)) line='' eighths=' ▏▎▍▌▋▊▉'

	printf -v line '%*s' "$full" ''
	if [ "$utf8" = yes ]; then
		line=${line// /█}
		[ "$rest" -eq 0 ] || line+=${eighths:rest:1}
		full=${#line}
	else
		line=${line// /#}
	fi
	printf '%s%*s' "$line" $((bar_width - full)) ''
}

show_bar()	# label rate greatest suffix
{
	local eighths

	eighths=$(awk -v r="$2" -v g="$3" -v w=$bar_width 'BEGIN {
		printf "%d", 8 * w * r / g + 0.5 }')
	printf '    %-5s  %s %8.0f/s%s\n' "$1" "$(bar "$eighths")" "$2" "$4"
}

show_picture()
{
	local c a b ratio greatest bar_width=40

	echo
	echo "Requests per second; each pair of bars has its own scale"
	for c in "${cases[@]}"; do
		echo "  $c"
		a=$(median "${rate[$c,plain]}")
		b=$(median "${rate[$c,rings]}")
		greatest=$(printf '%s\n' "$a" "$b" | sort -n | tail -n 1)
		ratio=$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.2f", b / a }')
		show_bar plain "$a" "$greatest" ""
		show_bar rings "$b" "$greatest" "  ${ratio}x"
	done
}

show_table()
{
	local c a b s worst=0 share row

	echo
	if [ "$LIB" = - ]; then
		printf '%-36s %10s %10s\n' "" "requests/s" "p99 us"
	else
		printf '%-36s %20s %7s %15s %8s\n' "" "requests per second" "" \
			"p99 latency us" "bytes by"
		printf '%-36s %10s %9s %7s %8s %6s %8s\n' "" plain rings ratio plain rings rings
	fi
	for c in "${cases[@]}"; do
		a=$(median "${rate[$c,plain]}")
		printf -v row '%-36s %10.0f' "$c" "$a"
		for s in "${rate[$c,plain]}" "${rate[$c,rings]:-}"; do
			[ -n "$s" ] || continue
			s=$(spread "$s")
			[ "$s" -le "$worst" ] || worst=$s
		done
		if [ "$LIB" = - ]; then
			printf '%s %10.0f\n' "$row" "$(median "${p99[$c,plain]}")"
			continue
		fi
		b=$(median "${rate[$c,rings]}")
		share=$(awk -v r="${ring_bytes[$c]}" -v k="${kernel_bytes[$c]}" 'BEGIN {
			printf "%.1f%%", 100 * r / (r + k) }')
		printf '%s %9.0f %6.2fx %8.0f %6.0f %8s\n' "$row" "$b" \
			"$(awk -v a="$a" -v b="$b" 'BEGIN { print b / a }')" \
			"$(median "${p99[$c,plain]}")" "$(median "${p99[$c,rings]}")" "$share"
	done
	echo "median of $rounds runs each, taken in turn;" \
		"runs of one figure differ by up to $worst%"
}

# pids of the children of process $1 (no ps on a small system)
children()
{
	local f

	for f in /proc/[0-9]*/stat; do
		# the name in the second field may hold blanks and brackets
		sed -n 's/^\([0-9]*\) (.*) . \([0-9]*\) .*/\1 \2/p' "$f" 2>/dev/null || :
	done | awk -v p="$1" '$2 == p { print $1 }'
}

# both preloaded servers under load: what their streams are, said by shmfd ss meanwhile
show_streams()
{
	local client pids rows width=100 nginx_pid

	progress "looking at the streams under load"
	set_mode_env rings
	"${mode_env[@]}" redis-benchmark -h $host -p "${port[redis,rings]}" -c 50 -n 100000000 \
		-t get >/dev/null 2>&1 </dev/null &
	client=$!
	servers+=("$client")
	pids="$client "
	"${mode_env[@]}" wrk -t 1 -c 50 -d 30s "http://$host:${port[nginx,rings]}/${tmp##*/}" \
		>/dev/null 2>&1 </dev/null &
	client=$!
	servers+=("$client")
	pids+="$client ${server_pid[redis]} "
	nginx_pid=${server_pid[nginx]}
	pids+="$nginx_pid $(children "$nginx_pid" | tr '\n' ' ')"
	sleep 1
	"$shmfd" ss >"$tmp/ss" || die "$shmfd ss failed"
	for client in "${servers[@]: -2}"; do
		end_process "$client"
		unset 'servers[-1]'
	done
	if [ "$tty" = yes ]; then
		width=$(stty size <&1 2>/dev/null | cut -d ' ' -f 2) || width=100
		[ "${width:-0}" -ge 20 ] || width=100
	fi

	# the header, two rows of every program, and how many there are in which state
	rows=$(awk -v pids=" $pids" '
	NR == 1 {
		for (i = 1; i <= NF; i++) {
			if ($i == "PROGRAM") program = i
			if ($i == "STATE") state = i
		}
		print "  " $0
		next
	}
	!state || !program { exit 1 }
	index(pids, " " $1 " ") {
		total++
		states[$state]++
		programs += !seen[$program]
		if (++seen[$program] <= 2) print "  " $0
	}
	END {
		if (programs != 4) exit 1	# both servers, both clients
		line = "  " total " ends of streams:"
		for (s in states) line = line " " states[s] " " s ","
		sub(/,$/, "", line)
		print line
	}' "$tmp/ss") || {
		head -n 5 "$tmp/ss" >&2
		die "shmfd ss does not show the streams of the preloaded programs"
	}
	progress
	echo
	echo "shmfd ss, while both preloaded servers have 50 connections (two rows per program):"
	cut -c "1-$width" <<<"$rows"
}

# ---- the run -------------------------------------------------------------------------------

prepare
modes=(plain)
shmfd=$(dirname "$LIB")/shmfd
if [ "$LIB" != - ]; then
	modes+=(rings)
	[ -x "$shmfd" ] || die "$shmfd: no such program"
fi
declare -A server_pid
for name in redis nginx; do
	for m in "${modes[@]}"; do
		start_server $name "$m"
		server_pid[$name]=${servers[-1]}
	done
done

progress
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "Linux $(uname -r), $(nproc) x ${cpu:-$(uname -m)}"
redis-server --version | sed -n 's/.* v=\([^ ]*\).*/redis \1/p' | tr '\n' ','
nginx -v 2>&1 | sed -n 's|.*nginx/\([^ ]*\).*| nginx \1, unmodified, loopback TCP|p'
if [ "$LIB" != - ]; then
	# bbr, the default of some machines, is several times slower on loopback than cubic
	control=$(cat /proc/sys/net/ipv4/tcp_congestion_control 2>/dev/null) || control=unknown
	echo "plain: the kernel's TCP ($control).  rings: the same programs, LD_PRELOAD=$LIB"
	show_streams
fi

measure_redis 1 1 "1 connection"
measure_redis 50 1 "50 connections"
measure_redis 1 16 "1 connection, 16 in flight"
measure_nginx 50 memory "from memory"
measure_nginx 50 "${tmp##*/}" "a file"
progress

show_table
[ "$LIB" = - ] || show_picture
cleanup
[ ! -e "$tmp" ] || die "$tmp is still there"
echo
echo "done in $((SECONDS - began)) s, nothing left behind"
