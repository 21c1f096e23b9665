# SPDX-License-Identifier: MIT
#
# The differential harness itself: what it must notice, it notices.

load run_modes

# A build directory with the programs, and a library of the test's choice.
fake_build() {
	mkdir -p "$BATS_TEST_TMPDIR/build"
	ln -s "$(run_modes_build)/tests" "$BATS_TEST_TMPDIR/build/tests"
	cp "$1" "$BATS_TEST_TMPDIR/build/libshmfd.so"
}

@test "harness: a transcript that differs fails" {
	# The loader complains on stderr of a library that is none.
	fake_build /dev/null
	BUILD=$BATS_TEST_TMPDIR/build SHMFD_TEST_MODES=both run check read_write tcp4
	[ "$status" -eq 1 ]
	[[ $output == *"read_write tcp4 both differs from plain"* ]]
	[[ $output == *"+client stderr: "* ]]
}

@test "harness: both ends preloaded and nothing by ring fails" {
	SHMFD_TEST_MODES=both,SHMFD_AFTER=100000 run check half_close unix
	[ "$status" -eq 1 ]
	[[ $output == *"no byte went by ring"* ]]
}

@test "harness: a preload that did not happen fails" {
	# A library that does nothing new: libc once more.
	fake_build "$(ldd "$(run_modes_build)/tests/progs/read_write" |
		awk '/libc\.so/ { print $3 }')"
	BUILD=$BATS_TEST_TMPDIR/build SHMFD_TEST_MODES=server run check read_write tcp4
	[ "$status" -eq 1 ]
	[[ $output == *"no statistics: the server end was not preloaded"* ]]
}

@test "harness: an end killed by a signal and an exit status are told apart" {
	run_mode sigpipe unix plain "$BATS_TEST_TMPDIR/run"
	grep -qx 'client ended by signal 13' "$BATS_TEST_TMPDIR/run/transcript"
	grep -qx 'server exit status 0' "$BATS_TEST_TMPDIR/run/transcript"
}

@test "harness: a program that is missing, or has no such family, fails" {
	run check no_such_program
	[ "$status" -eq 1 ]
	run check urgent unix
	[ "$status" -eq 1 ]
	[[ $output == *"none of the families"* ]]
}
