# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Differential runs of the programs in tests/progs: each is run on the plain
# kernel first (the oracle) and then preloaded; transcript (stdout and stderr),
# exit status and killing signal of both ends must be the same.
#
#	check PROG [FAMILY...]	all families of PROG, all modes (for bats)
#	run_modes PROG FAMILY	one family, all modes
#	run_mode PROG FAMILY MODE DIR	one run, no oracle
#
# A mode is WHO[,NAME=VALUE]...: WHO is plain, both, server or client (the ends
# that are preloaded), the rest is environment for the preloaded ends.
#
#	BUILD		where libshmfd.so and tests/progs/ are (default: build)
#	SHMFD_TEST_MODES	the modes, separated by blanks; "plain plain plain"
#			asks whether a program is deterministic at all
#	SHMFD_TEST_KEEP	keep the directories of failed runs
#
# Repeat one failure by hand:
#	. tests/shim/run_modes.bash; run_modes half_close tcp4

RUN_MODES_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
RUN_MODES_DEFAULT='both,SHMFD_AFTER=0 both server,SHMFD_AFTER=0 client,SHMFD_AFTER=0 server client'
RUN_MODES_FAMILIES='tcp4 tcp6 unix abstract'

run_modes_build() {
	local build=${BUILD:-build}

	case $build in
	/*) printf '%s\n' "$build" ;;
	*) printf '%s\n' "$RUN_MODES_ROOT/$build" ;;
	esac
}

# One traits line of a program: words between blanks, blank at both ends.
program_traits() {
	local text

	text=$("$(run_modes_build)/tests/progs/$1" about) || return 1
	printf '%s \n' "${text#*traits:}"
}

# start_end END PROG FAMILY DIR [NAME=VALUE...]: one end in the background.
# env gives the preload to the program alone, not to timeout.
start_end() {
	local end=$1 prog=$2 family=$3 dir=$4

	shift 4
	timeout -k 2 30 env -u LD_PRELOAD "$@" "$prog" "$end" "$family" "$dir/addr" \
		</dev/null >"$dir/$end.out" 2>"$dir/$end.err" 3>&- 4>&- &
}

# transcript DIR END STATUS [END STATUS]: what the ends said and how they ended.
transcript() {
	local dir=$1
	local -a files=()

	shift
	while (($#)); do
		if (($2 > 128)); then
			echo "ended by signal $(($2 - 128))"
		else
			echo "exit status $2"
		fi >"$dir/$1.end"
		files+=("$dir/$1.out" "$dir/$1.err" "$dir/$1.end")
		shift 2
	done
	awk '
		FNR == 1 {
			n = split(FILENAME, part, "/")
			split(part[n], name, ".")
			prefix = name[1] (name[2] == "err" ? " stderr: " : \
				name[2] == "end" ? " " : ": ")
		}
		{ print prefix $0 }' "${files[@]}" >"$dir/transcript"
}

# run_mode PROG FAMILY MODE DIR: leaves DIR/transcript and DIR/stats.
run_mode() {
	local prog family=$2 mode=$3 dir=$4 server client='' who traits
	local server_status=0 client_status=0
	local -a env=() shim=()

	prog=$(run_modes_build)/tests/progs/$1
	traits=${RUN_MODES_TRAITS-$(program_traits "$1")}
	mkdir -p "$dir"
	: >"$dir/stats"
	who=${mode%%,*}
	IFS=, read -r -a env <<<"${mode#"$who"}"
	shim=("LD_PRELOAD=$(run_modes_build)/libshmfd.so" "SHMFD_STATS=$dir/stats"
		SHMFD_TEST_STUCK=100 "${env[@]:1}")
	case $who in plain | client) env=() ;; *) env=("${shim[@]}") ;; esac
	start_end server "$prog" "$family" "$dir" "${env[@]}"
	server=$!
	if [[ $traits != *' solo '* ]]; then
		case $who in plain | server) env=() ;; *) env=("${shim[@]}") ;; esac
		start_end client "$prog" "$family" "$dir" "${env[@]}"
		client=$!
	fi
	{ wait "$server" || server_status=$?; } 2>/dev/null
	if [[ -n $client ]]; then
		{ wait "$client" || client_status=$?; } 2>/dev/null
		transcript "$dir" server "$server_status" client "$client_status"
	else
		transcript "$dir" server "$server_status"
	fi
}

# stats_sum FILE FIELD...: total of the named fields over all lines.
stats_sum() {
	awk -v want=" ${*:2} " '
		{
			for (i = 1; i <= NF; i++) {
				split($i, part, "=")
				if (index(want, " " part[1] " "))
					sum += part[2]
			}
		}
		END { printf "%d\n", sum }' "$1"
}

# check_stats DIR MODE TRAITS: what the preloaded ends say they moved.  A mode
# that shows no difference must also show that the shim was at work at all.
check_stats() {
	local dir=$1 who=${2%%,*} traits=$3 ring streams

	[[ $who != plain ]] || return 0
	ring=$(stats_sum "$dir/stats" ring_rx_bytes ring_tx_bytes)
	streams=$(stats_sum "$dir/stats" streams)
	if [[ $traits == *' kernel_only '* ]]; then
		((ring == 0)) && return 0
		echo "$ring bytes went by ring, but this stream is pinned to the kernel"
		return 1
	fi
	if [[ $who == both ]]; then
		((ring > 0)) && return 0
		[[ $traits == *' any_road '* ]] && return 0
		# Retreats at random may come before the first byte.
		[[ $2 == *SHMFD_TEST_RETREAT=* ]] && return 0
		echo "both ends preloaded, but no byte went by ring"
		return 1
	fi
	if ((ring != 0)); then
		echo "only one end preloaded, but $ring bytes went by ring"
		return 1
	fi
	((streams == 0)) || return 0
	[[ $traits == *' any_road '* ]] && return 0
	# An end that a signal killed could not write its line.
	grep -q 'signal' "$dir/$who.end" && return 0
	echo "no statistics: the $who end was not preloaded"
	return 1
}

# run_modes PROG FAMILY: silent when every mode equals the plain run.
run_modes() {
	local prog=$1 family=$2 base mode dir traits rc=0 nr=0 problem

	traits=$(program_traits "$prog") || { echo "$prog does not run"; return 1; }
	local RUN_MODES_TRAITS=$traits
	base=$(mktemp -d "${BATS_TEST_TMPDIR:-${TMPDIR:-/tmp}}/$prog.$family.XXXXXX") || return 1
	run_mode "$prog" "$family" plain "$base/plain"
	if grep -Eq 'exit status (2|9[789]|12[4-7])$|by signal 14$' "$base/plain/transcript"; then
		echo "$prog $family plain: the test itself fails"
		cat "$base/plain/transcript"
		rm -rf "$base"
		return 1
	fi
	for mode in ${SHMFD_TEST_MODES-$RUN_MODES_DEFAULT}; do
		if [[ $traits == *' solo '* && $mode != both* ]]; then
			continue
		fi
		nr=$((nr + 1))
		dir=$base/$nr
		run_mode "$prog" "$family" "$mode" "$dir"
		if ! diff -U 4 --label plain --label "$mode" \
			"$base/plain/transcript" "$dir/transcript" >"$dir/diff"; then
			printf '%s %s %s differs from plain:\n' "$prog" "$family" "$mode"
			cat "$dir/diff"
			rc=1
		elif ! problem=$(check_stats "$dir" "$mode" "$traits"); then
			printf '%s %s %s: %s\n' "$prog" "$family" "$mode" "$problem"
			sed 's/^/\t/' "$dir/stats"
			rc=1
		fi
	done
	if ((rc == 0)) || [[ -z ${SHMFD_TEST_KEEP-} ]]; then
		rm -rf "$base"
	else
		echo "kept in $base"
	fi
	return "$rc"
}

# check PROG [FAMILY...]: the families side by side, four at most.
check() {
	local prog=$1 family pid out rc=0 traits
	local -a families pids=()

	shift
	if [[ ${SHMFD_TEST_MODES-both} =~ both|server|client &&
		! -e $(run_modes_build)/libshmfd.so ]]; then
		echo "$(run_modes_build)/libshmfd.so is missing"
		return 1
	fi
	traits=$(program_traits "$prog") || { echo "$prog does not run"; return 1; }
	read -r -a families <<<"${*:-$RUN_MODES_FAMILIES}"
	out=$(mktemp -d "${BATS_TEST_TMPDIR:-${TMPDIR:-/tmp}}/check.XXXXXX") || return 1
	for family in "${families[@]}"; do
		case $traits:$family in
		*' tcp '*:unix | *' tcp '*:abstract | *' unix '*:tcp?) continue ;;
		esac
		run_modes "$prog" "$family" >"$out/$family" 2>&1 3>&- &
		pids+=("$!")
	done
	if ((${#pids[@]} == 0)); then
		echo "$prog has none of the families ${families[*]}"
		rc=1
	fi
	# By number: wait -n may miss a job that ended early.
	for pid in "${pids[@]}"; do
		wait "$pid" || rc=1
	done
	cat "$out"/*
	rm -rf "$out"
	return "$rc"
}
