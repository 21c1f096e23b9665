# SPDX-License-Identifier: MIT
#
# How streams end.
# Every program runs on the plain kernel and preloaded; see run_modes.bash.

load run_modes

@test "half close: reads 0 for ever, the other direction lives on, either order" {
	check half_close
}

@test "shutdown RD, WR, RDWR: results, poll bits and repetition" {
	check shutdown_kinds
}

@test "close with input unread, after every count of messages: data, ECONNRESET, then 0" {
	check close_unread
}

@test "SO_LINGER 0: close is a reset" {
	check linger_reset
}

@test "writing to a peer that closed: the kernel's errors in its order" {
	check write_after_close
}

@test "SIGPIPE: once per failed write, to the writer, not with MSG_NOSIGNAL, kills by default" {
	check sigpipe
}

@test "SIGPIPE: every sending call, as often, blocked or not, and from whom" {
	check sigpipe_calls
}

@test "both ends shut or close before either hears of the other" {
	check close_together
}

@test "the far end shuts down or closes under a sleeper: all wake, as told by the kernel" {
	check shut_far_asleep
}

@test "bytes in flight: arrive though their writer closed or exited" {
	check close_in_flight
}

@test "a peer killed by SIGKILL: blocked reader, poller and writer wake" {
	check peer_killed
}

@test "the peer's process ends while this end only asks, without waiting" {
	check dead_unasked
}

@test "another thread: its shutdown wakes a blocked reader, its close does not" {
	check thread_wake
}

@test "a peer that exits while its bytes are unread: RDHUP at once, beside them" {
	check exit_unread
}

@test "another thread: its shutdown of sending wakes those who wait for room" {
	check shut_write_asleep
}

@test "another thread: its shutdown of receiving wakes those who wait for input" {
	check shut_read_asleep
}

@test "both directions shut by two calls: who writes on is refused" {
	check shutdown_twice
}

@test "end-of-file, then a close with input unread: the end stays the end" {
	check eof_then_reset
}

@test "a peer that left the rings before closes with input unread: the error is told" {
	check reset_left
}
