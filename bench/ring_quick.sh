#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# ring_quick.sh - a stream on the kernel and on rings, side by side, in about half a minute.
#
#	bench/ring_quick.sh [REPEATS]	3 unless told
#
# Runs each program of this directory plain and preloaded in turn, so that both meet the
# same machine, and prints the medians.  "ring" is the share of the bytes that went by
# ring in the preloaded runs.  It asserts nothing: see the spread before believing a ratio.
#
#	BUILD		where libshmfd.so and bench/ are (default: build)
#	FAMILY		tcp4 (default), tcp6 or unix
#	SHMFD_...	reach the preloaded runs as they are
set -eu

cd "$(dirname "$0")/.."
export LC_ALL=C # numbers with a dot
build=${BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
library=$build/libshmfd.so
repeats=${1:-3}
family=${FAMILY:-tcp4}

if [[ ! $repeats =~ ^[1-9][0-9]?$ ]]; then
	echo "usage: bench/ring_quick.sh [REPEATS]" >&2
	exit 2
fi
if [[ ! -e $library ]]; then
	echo "ring_quick.sh: $library is missing: make first" >&2
	exit 1
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for program in pingpong oneway connrate; do
	if [[ ! -x $build/bench/$program || $build/bench/$program -ot bench/$program.c ||
		$build/bench/$program -ot bench/bench.h ]]; then
		mkdir -p "$build/bench"
		"${CC:-cc}" -std=gnu11 -O2 -o "$build/bench/$program" "bench/$program.c"
	fi
done

# numbers FIELD FILE: the values of FIELD, one a line.  A field is named by what
# stands before (p50=) or behind (MB/s) the number.
numbers() {
	awk -v field="$1" '
	{
		for (i = 1; i <= NF; i++) {
			if (index($i, field "=") == 1)
				print substr($i, length(field) + 2)
			else if ($i == field)
				print $(i - 1)
		}
	}' "$2"
}

median() {
	sort -g | awk '{ v[NR] = $1 }
		END {
			if (NR % 2) print v[(NR + 1) / 2]
			else print (v[NR / 2] + v[NR / 2 + 1]) / 2
		}'
}

# spread: half the distance from least to most, in percent of the middle
spread() {
	sort -g | awk '{ v[NR] = $1 }
		END { printf "%.0f", v[NR] + v[1] ? 100 * (v[NR] - v[1]) / (v[NR] + v[1]) : 0 }'
}

# share FILE: percent of the received bytes that went by ring
share() {
	awk '
	{
		for (i = 1; i <= NF; i++) {
			split($i, part, "=")
			sum[part[1]] += part[2]
		}
	}
	END {
		all = sum["ring_rx_bytes"] + sum["kernel_rx_bytes"]
		printf "%.0f%%", all ? 100 * sum["ring_rx_bytes"] / all : 0
	}' "$1"
}

# row FIELD... -- PROGRAM ARG...: one line for each field
row() {
	local fields=() field i plain ringed ratio

	while [[ $1 != -- ]]; do
		fields+=("$1")
		shift
	done
	shift
	: >"$tmp/plain"
	: >"$tmp/ringed"
	: >"$tmp/stats"
	for ((i = 0; i < repeats; i++)); do
		env -u LD_PRELOAD "$build/bench/$1" --family "$family" "${@:2}" >>"$tmp/plain"
		env LD_PRELOAD="$library" SHMFD_STATS="$tmp/stats" \
			"$build/bench/$1" --family "$family" "${@:2}" >>"$tmp/ringed"
	done
	for field in "${fields[@]}"; do
		plain=$(numbers "$field" "$tmp/plain" | median)
		ringed=$(numbers "$field" "$tmp/ringed" | median)
		case $field in
		p*) ratio=$(awk -v a="$plain" -v b="$ringed" 'BEGIN { printf "%.2f", a / b }') ;;
		*) ratio=$(awk -v a="$plain" -v b="$ringed" 'BEGIN { printf "%.2f", b / a }') ;;
		esac
		case $field in p*) field="$field ns" ;; esac
		printf '%-34s %-8s %10s %4s%% %10s %4s%% %7sx %5s\n' "$*" "$field" "$plain" \
			"$(numbers "${field% ns}" "$tmp/plain" | spread)" "$ringed" \
			"$(numbers "${field% ns}" "$tmp/ringed" | spread)" "$ratio" \
			"$(share "$tmp/stats")"
	done
}

printf '%s, medians of %d, %s\n' "$family" "$repeats" "$(uname -sr)"
printf '%-34s %-8s %10s %5s %10s %5s %8s %5s\n' program unit plain '+-' preloaded '+-' better ring
for placement in two one; do
	row p50 p99 -- pingpong 8 8000 blocking "$placement"
	row p50 p99 -- pingpong 1024 8000 epoll "$placement"
	row p50 -- pingpong 65536 2000 blocking "$placement"
	row MB/s -- oneway 64 0.5 "$placement"
	row MB/s -- oneway 16384 0.5 "$placement"
	row MB/s -- oneway 65536 0.5 "$placement"
	row conn/s -- connrate 2000 "$placement"
done
row p50 -- pingpong 64 8000 poll free
row p50 -- pingpong 64 8000 epoll-et free
row conn/s -- connrate 2000 epoll free
