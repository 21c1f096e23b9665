#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# mixed.sh - random programs (tests/progs/mixed.c) in one of the modes below.
#
#	mixed.sh MODE FIRST LAST	the seeds from FIRST to LAST, every one
#	mixed.sh modes			the names of the modes
#
# Each failure is printed with the command that repeats it.  The last line is a
# sum.  Exit status 1: a seed failed, or the statistics of the library show that
# the runs were not what the mode says.
#
#	BUILD		where libshmfd.so and tests/progs/mixed are (default: build)
#	SHMFD_TEST_JOBS	seeds at a time (default 2)
#	SHMFD_TEST_STEP	take every STEP-th seed only (default 1)
set -u

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
case ${BUILD:-build} in
/*) build=$BUILD ;;
*) build=$root/${BUILD:-build} ;;
esac
mixed=$build/tests/progs/mixed
library=$build/libshmfd.so

# name: who is preloaded, least share of the seeds in percent that must move
# bytes by ring, environment.  What is missing to 100: streams of few bytes.
declare -A modes=(
	[plain]='none 0'
	[early]='both 60 SHMFD_AFTER=0'
	[default]='both 55'
	[retreat]='both 50 SHMFD_AFTER=0 SHMFD_TEST_RETREAT=50'
	[server]='server 0 SHMFD_AFTER=0'
	[client]='client 0 SHMFD_AFTER=0'
	[no-spin]='both 60 SHMFD_AFTER=0 SHMFD_SPIN_US=0'
	[small-ring]='both 60 SHMFD_AFTER=0 SHMFD_RING=65536'
)
order='plain early default retreat server client no-spin small-ring'

# draw SEED: family and kind of a run
draw() {
	local families=(tcp4 tcp6 unix abstract) kinds=(self apart self apart solo)

	# so that every fifth and every eighth seed has all of them
	family=${families[($1 + $1 / 8) % 4]}
	kind=${kinds[($1 + $1 / 5) % 5]}
	# Both ends of these are one program.
	case $who in server | client) kind=apart ;; esac
}

# start SEED DIR END COMMAND...: one process in the background
start() {
	local seed=$1 dir=$2 end=$3 settings=() shown

	shift 3
	if [[ $who == both || $who == "$end" ]]; then
		settings=("LD_PRELOAD=$library" "${environment[@]}")
		[[ $mode != retreat ]] || settings+=("SHMFD_TEST_SEED=$seed")
	fi
	shown="${settings[*]} $*"
	replay+="env ${shown//"$dir/"/$again.} & "
	# env gives the library to the program alone, not to timeout.
	timeout -k 5 90 env -u LD_PRELOAD "SHMFD_STATS=$dir/stats" "${settings[@]}" "$@" \
		</dev/null >>"$dir/out" 2>>"$dir/err" &
}

# sums DIR: the ends agree on what each sent and the other received
sums() {
	awk '
	/ ok$/ {
		for (i = 1; i <= NF; i++) {
			split($i, part, "=")
			value[part[1], NR] = part[2]
		}
		good++
	}
	END {
		exit !(good == 2 && NR == 2 &&
			value["txsum", 1] == value["rxsum", 2] &&
			value["rxsum", 1] == value["txsum", 2] &&
			value["tx", 1] == value["rx", 2] && value["rx", 1] == value["tx", 2])
	}' "$1/out"
}

# one SEED DIR: a line for the worker's report
one() {
	local seed=$1 dir=$2 rc=0 family kind replay='' pids=() pid

	draw "$seed"
	rm -rf "$dir"
	mkdir -p "$dir"
	: >"$dir/out"
	: >"$dir/err"
	: >"$dir/stats"
	if [[ $kind == apart ]]; then
		start "$seed" "$dir" server "$mixed" server "$family" "$dir/addr" "$seed"
		pids+=("$!")
		start "$seed" "$dir" client "$mixed" client "$family" "$dir/addr" "$seed"
	else
		start "$seed" "$dir" both "$mixed" "$kind" "$family" "$seed"
	fi
	pids+=("$!")
	for pid in "${pids[@]}"; do
		wait "$pid" || rc=$?
	done
	if ((rc == 0)) && ! sums "$dir"; then
		rc='0, but the sums differ'
	fi
	if [[ $rc != 0 ]]; then
		printf 'failed: mode %s seed %d %s %s: exit status %s\n' "$mode" "$seed" "$kind" \
			"$family" "$rc"
		sed 's/^/    /' "$dir/err" "$dir/out" | head -n 12
		[[ $kind != apart ]] || printf '    rm -f %s.addr; ' "$again"
		[[ $kind == apart ]] || printf '    '
		printf '%swait\n' "$replay"
	fi
	awk '
	{
		for (i = 1; i <= NF; i++) {
			split($i, part, "=")
			sum[part[1]] += part[2]
		}
	}
	END {
		printf "stats %d %d %d %d\n", NR, sum["streams"], sum["ring_rx_bytes"],
			sum["kernel_rx_bytes"]
	}' "$dir/stats"
}

# worker NUMBER: every JOBS-th of the seeds
worker() {
	local seed

	for ((seed = first + $1 * step; seed <= last; seed += jobs * step)); do
		one "$seed" "$tmp/run$1"
	done
}

run_mode() {
	local i runs failed lines streams ring by_ring kernel

	tmp=$(mktemp -d "${BATS_TEST_TMPDIR:-${TMPDIR:-/tmp}}/mixed.XXXXXX") || exit 1
	trap 'rm -rf "$tmp"' EXIT
	for ((i = 0; i < jobs; i++)); do
		worker "$i" >"$tmp/report$i" 3>&- &
	done
	wait
	grep -hv '^stats ' "$tmp"/report*
	failed=$(grep -hc '^failed: ' "$tmp"/report* | awk '{ n += $1 } END { print n + 0 }')
	read -r runs lines streams ring by_ring kernel < <(awk '
		/^stats / {
			runs++
			lines += $2
			streams += $3
			ring += $4
			by_ring += $4 > 0
			kernel += $5
		}
		END { printf "%d %d %d %d %d %d\n", runs, lines, streams, ring, by_ring, kernel }
		' "$tmp"/report*)
	printf '%s: %d seeds, %d failed, %d moved bytes by ring (%d bytes; %d by kernel)\n' \
		"$mode" "$runs" "$failed" "$by_ring" "$ring" "$kernel"
	proven || return 1
	((failed == 0))
}

# What the statistics must show.
proven() {
	if ((runs == 0)); then
		echo "$mode: no seed was run"
		return 1
	fi
	case $who in
	none)
		return 0
		;;
	both)
		if ((by_ring * 100 < runs * share)); then
			echo "$mode: fewer than $share % of the seeds moved bytes by ring"
			return 1
		fi
		if [[ $mode == retreat ]] && ((kernel == 0)); then
			echo "$mode: no byte went by kernel: nothing retreated"
			return 1
		fi
		;;
	*)
		if ((ring > 0)); then
			echo "$mode: only one end was preloaded, but bytes went by ring"
			return 1
		fi
		if ((lines == 0 || streams == 0)); then
			echo "$mode: no statistics, so no end was preloaded"
			return 1
		fi
		;;
	esac
}

if [[ $# == 1 && $1 == modes ]]; then
	echo "$order"
	exit 0
fi
if [[ $# != 3 || -z ${modes[$1]-} || ! $2$3 =~ ^[0-9]+$ ]]; then
	echo "usage: mixed.sh MODE FIRST LAST; MODE is one of: $order" >&2
	exit 2
fi
mode=$1 first=$2 last=$3
again=/tmp/mixed-again # names of the printed commands start with this
jobs=${SHMFD_TEST_JOBS:-2}
step=${SHMFD_TEST_STEP:-1}
read -r who share rest <<<"${modes[$mode]}"
read -r -a environment <<<"${rest-}"
for need in "$mixed" "$library"; do
	[[ $need == "$library" && $who == none ]] && continue
	if [[ ! -e $need ]]; then
		echo "$need is missing"
		exit 1
	fi
done
run_mode
