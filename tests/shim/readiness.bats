# SPDX-License-Identifier: MIT
#
# poll, select, and signals that end a wait.
# Every program runs on the plain kernel and preloaded; see run_modes.bash.

load run_modes

@test "a number closed or replaced while another thread sleeps on it in poll or select" {
	check poll_closed
}

@test "poll: bits through the life of a stream, time-outs" {
	check poll_states
}

@test "a full stream is not writable, and wakes its waiters once drained" {
	check poll_full
}

@test "a full AF_UNIX stream that was shut down is not writable" {
	check shut_write_poll
}

@test "a poll that began before the promotion is woken by what comes after" {
	check poll_early
}

@test "a stream goes back to the kernel while a thread enters poll" {
	check poll_retreat
}

@test "poll: streams, pipe, eventfd, timerfd, negative and closed numbers together" {
	check poll_mixed
}

@test "select and pselect: sets, time left, bad descriptors, ends" {
	check select_sets
}

@test "ppoll, pselect, epoll_pwait, epoll_pwait2: the mask holds for the wait alone" {
	check wait_masks
}

@test "EINTR and SA_RESTART: blocked calls end or go on as the kernel's" {
	check signal_eintr
}

@test "EINTR, SA_RESTART, SIGSTOP: every call that receives, with a time-out and without" {
	check eintr_receive
}

@test "EINTR, SA_RESTART, SIGSTOP: every call that sends, with a time-out and without" {
	check eintr_send
}

@test "EINTR, SA_RESTART, SIGSTOP: every call that sends, asleep for room on a ring" {
	SHMFD_TEST_MODES='both,SHMFD_AFTER=0,SHMFD_TEST_STUCK=60000 both,SHMFD_TEST_STUCK=60000' \
		check eintr_send
}

@test "EINTR, SA_RESTART, SIGSTOP: every call that waits" {
	check eintr_wait
}

@test "MSG_WAITALL: a signal, even with SA_RESTART, ends it with the part that is there" {
	check waitall_signal
}

@test "a signal at every instruction of a wait: its handler writes, reads, forks" {
	check step_signals
}

@test "closed by a handler, at every instruction of a wait or a receive" {
	check step_close
}

@test "promoted by a handler, at every instruction of a wait: what comes then ends it" {
	check step_promoted
}

@test "signal handlers: may read and write the stream they interrupt" {
	check signal_io
}

@test "a handler uses the stream inside whose call its thread is asleep" {
	check signal_write
}

@test "O_ASYNC, F_SETOWN, F_SETSIG: a signal at each arrival" {
	check async_signal
}

@test "cancellation: a blocked thread can be cancelled, the stream lives" {
	check thread_cancel
}

@test "each bit of poll and epoll alone, level and edge, through the life of a stream" {
	check event_bits
}

@test "input that nobody waits for does not change how long a wait takes" {
	check wait_unasked
}

@test "the peer is killed, closes or resets while this end sleeps in a wait" {
	check wait_killed
}

@test "sockets that connect, and listeners, in poll, select and epoll sets" {
	check wait_connecting
}

@test "urgent data: select's exceptions, epoll's and poll's PRI" {
	check urgent_wait
}

@test "time-outs of all waits: never too short, short ones not stretched, endless and wrong ones" {
	check wait_times
}

@test "masks of waits that need not wait: a pending signal comes at no time-out, not beside data" {
	check wait_masks_now
}

@test "numbers above FD_SETSIZE; select up to getdtablesize() with sets of FD_SETSIZE" {
	check high_numbers
}

@test "poll and select over hundreds of entries, one stream many times, and over the limit" {
	check wait_many
}

@test "pselect6, ppoll, epoll_pwait and epoll_pwait2 by syscall(), and the time left" {
	check raw_waits
}

@test "cancellation: every call, asked for before, asleep, disabled, asynchronous" {
	check cancel_calls
}

@test "cancellation: syscall() is no point of it" {
	check cancel_raw
}

@test "cancellation: with a part moved; cleanup handlers on the same stream" {
	check cancel_cleanup
}

@test "both ends shut, at every moment of a promotion: the hang-up is told" {
	check hang_up_moments
}
