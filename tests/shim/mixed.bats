#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Random programs drawn from seeds (tests/progs/mixed.c): no byte lost, doubled
# or reordered, no wrong count, event or error, whichever ends are preloaded.
# Each mode takes every eighth seed.
#
#	SHMFD_TEST_SEEDS	how many seeds in all (default 500)
#	SHMFD_TEST_FIRST	the first of them (default 1)

export BATS_TEST_TIMEOUT=600

random_programs() {
	local number=$1 first=${SHMFD_TEST_FIRST:-1}

	SHMFD_TEST_STEP=8 run bash "$BATS_TEST_DIRNAME/mixed.sh" "$2" "$((first + number))" \
		"$((first + ${SHMFD_TEST_SEEDS:-500} - 1))"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "random programs: on the plain kernel, the oracle" {
	random_programs 0 plain
}

@test "random programs: both ends preloaded, promoted as soon as possible" {
	random_programs 1 early
}

@test "random programs: both ends preloaded, as a user has it" {
	random_programs 2 default
}

@test "random programs: both ends preloaded, retreating and coming back at random" {
	random_programs 3 retreat
}

@test "random programs: only the server preloaded" {
	random_programs 4 server
}

@test "random programs: only the client preloaded" {
	random_programs 5 client
}

@test "random programs: both ends preloaded, never spinning" {
	random_programs 6 no-spin
}

@test "random programs: both ends preloaded, the smallest ring" {
	random_programs 7 small-ring
}
