# SPDX-License-Identifier: MIT
#
# epoll.
# Every program runs on the plain kernel and preloaded; see run_modes.bash.

load run_modes

@test "level-triggered: reports while input is there, keeps all 64 bits of data" {
	check epoll_level
}

@test "edge-triggered: once per arrival, unread input or not" {
	check epoll_edge
}

@test "edge-triggered: once per arrival, wherever the ring takes over" {
	check epoll_edge_switch
}

@test "one-shot: once until MOD" {
	check epoll_oneshot
}

@test "epoll: a one-shot that fired before the promotion stays disarmed" {
	check epoll_oneshot_late
}

@test "the errors of epoll_create, epoll_ctl, epoll_wait" {
	check epoll_errors
}

@test "one event at a time: neither streams nor kernel descriptors starve" {
	check epoll_many
}

@test "a stream registered before its promotion works like one registered after" {
	check epoll_early
}

@test "dups and closes: the set knows open files, not numbers" {
	check epoll_dup
}

@test "RDHUP, HUP and ERR at half close, close and reset" {
	check epoll_ends
}

@test "input that lies unread at a retreat is reported by sets old and new" {
	check epoll_left
}

@test "sets within sets, poll and select" {
	check epoll_nested
}

@test "the registered number is closed, a duplicate lives: its entry tells on" {
	check epoll_lost_number
}

@test "a forked child closes a stream that is in its parent's set" {
	check epoll_fork_close
}

@test "another thread looks at the set while one sleeps in it" {
	check epoll_two_waiters
}

@test "another thread changes the set while one sleeps in it" {
	check epoll_threads
}

@test "MOD wakes a sleeper though the kernel's send buffer is full" {
	check epoll_mod_full
}

@test "a stream in two sets: MOD in each, and each reports what it was asked" {
	check epoll_two_sets
}

@test "a forked child uses the set it inherited" {
	check epoll_fork
}

@test "epoll, edge-triggered: arrivals behind unread ring bytes of a stream that left" {
	check epoll_edge_left
}

@test "epoll: a one-shot that is not armed does not tell the end of its stream" {
	check epoll_oneshot_shut
}

@test "one stream by several numbers of one set, level, edge and one-shot" {
	check epoll_dup_edge
}

@test "ADD and MOD with input unread, in part, and at the end of the stream" {
	check epoll_add_unread
}

@test "EPOLL_CTL_MOD with the same edge-triggered events tells what is there again" {
	check epoll_mod_edge
}

@test "TCP_CORK: who sleeps gets it when the cork is out, and soon if it stays in" {
	check corked
}

@test "TCP_CORK: a signal ends the wait, and what a handler or a child takes out is told" {
	check corked_signals
}

@test "full and drained streams in every mode: no room is no event, room is one" {
	check epoll_room
}

@test "several threads in one epoll_wait: what is told once wakes one" {
	check epoll_threads_edge
}

@test "timer, pipe, eventfd and a quiet stream beside one that is never without input" {
	check epoll_load
}

@test "thousands of wake-ups in epoll, none is slept through; what was written is room for more" {
	export SHMFD_SPIN_US=0	# each of them sleeps
	check epoll_bells
}

@test "input of many streams while their set sleeps, one of them is closed meanwhile" {
	export SHMFD_SPIN_US=0	# each of them sleeps
	check epoll_naps
}

@test "sets three deep, edge and one-shot; circles and depth" {
	check epoll_nested_edge
}

@test "a forked child changes the set it shares with its parent" {
	check epoll_fork_ctl
}

@test "EPOLLEXCLUSIVE: refusals, a listener in several processes, a stream in two threads' sets" {
	check epoll_exclusive
}

@test "another thread closes the set, its number or the stream while one sleeps in it" {
	check epoll_set_closed
}

@test "a hundred one-shots ready just when a stream moves to the rings: all are told" {
	check epoll_many_told
}
