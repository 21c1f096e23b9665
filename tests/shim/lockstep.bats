#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Random calls, one at a time (tests/progs/lockstep.c): each returns what it returns on
# the plain kernel, whichever ends are preloaded, and while the streams leave their
# rings at random.
#
#	LOCKSTEP_FIRST, LOCKSTEP_LAST	the seeds (default 1 to 40)
#
# Once more, with all that both ends did in order:
#	LOCKSTEP_FIRST=N LOCKSTEP_LAST=N SHMFD_TEST_KEEP=1 bats tests/shim/lockstep.bats

load run_modes

export BATS_TEST_TIMEOUT=600
export LOCKSTEP_FIRST=${LOCKSTEP_FIRST:-1} LOCKSTEP_LAST=${LOCKSTEP_LAST:-40}

@test "lockstep: every call's result, promoted early or late, and at one end" {
	check lockstep
}

@test "lockstep: every call's result, leaving the rings at random" {
	SHMFD_TEST_MODES='plain both,SHMFD_AFTER=0,SHMFD_TEST_RETREAT=20,SHMFD_TEST_SEED=1' \
		check lockstep
}
