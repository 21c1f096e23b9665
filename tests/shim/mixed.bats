#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Random programs drawn from seeds (tests/progs/mixed.c): no byte lost, doubled
# or reordered, no wrong count, event or error, whichever ends are preloaded.
# The modes with both ends preloaded share the seeds, each takes every fifth; the
# others take every eighth.
#
#	SHMFD_TEST_SEEDS	how many seeds in all (default 500)
#	SHMFD_TEST_FIRST	the first of them (default 1)

export BATS_TEST_TIMEOUT=600

# random_programs STEP NUMBER MODE
random_programs() {
	local first=${SHMFD_TEST_FIRST:-1}

	SHMFD_TEST_STEP=$1 run bash "$BATS_TEST_DIRNAME/mixed.sh" "$3" "$((first + $2))" \
		"$((first + ${SHMFD_TEST_SEEDS:-500} - 1))"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "random programs: on the plain kernel, the oracle" {
	random_programs 8 0 plain
}

@test "random programs: both ends preloaded, promoted as soon as possible" {
	random_programs 5 0 early
}

@test "random programs: both ends preloaded, as a user has it" {
	random_programs 5 1 default
}

@test "random programs: both ends preloaded, retreating and coming back at random" {
	random_programs 5 2 retreat
}

@test "random programs: only the server preloaded" {
	random_programs 8 1 server
}

@test "random programs: only the client preloaded" {
	random_programs 8 2 client
}

@test "random programs: both ends preloaded, never spinning" {
	random_programs 5 3 no-spin
}

@test "random programs: both ends preloaded, the smallest ring" {
	random_programs 5 4 small-ring
}
