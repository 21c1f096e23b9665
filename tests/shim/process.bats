# SPDX-License-Identifier: MIT
#
# Descriptors, processes, threads.
# Every program runs on the plain kernel and preloaded; see run_modes.bash.

load run_modes

@test "dup, dup2, dup3, F_DUPFD: one stream, lives until the last number is closed" {
	check dup_family
}

@test "fork: parent and child use one stream in turn" {
	check fork_share
}

@test "fork: parent and child are both asleep in read" {
	check fork_both_read
}

@test "a stream left to a grandchild, also by daemon(0, 0)" {
	check double_fork
}

@test "a close after a forked child exited without one is the last" {
	check fork_then_close
}

@test "a preforking server: children exit, close everything, or are killed" {
	check fork_many
}

@test "children that a server forked before accept, one of them is killed" {
	check prefork_accept
}

@test "kill -9 at any moment of a writer, a reader, both, or one of two holders" {
	check kill_moments
}

@test "close_range with flags, and what children close before exec" {
	check close_flags
}

@test "a host that closes every descriptor but its stream goes on with it" {
	check close_all
}

@test "a stream closed unseen: its number is another socket's, its peer sees a death" {
	check unseen_close
}

@test "vfork: what the child closes on its parent's memory stays the child's" {
	check vfork_exec
}

@test "a vfork child's own stream, a thread that leaves the table: the numbers of the others" {
	check own_numbers
}

@test "fork and exec, posix_spawn: the stream is 0 and 1 of cat" {
	check exec_stdio
}

@test "file actions of posix_spawn close, replace and keep streams in the child" {
	check spawn_actions
}

@test "a close beside a child that became another program" {
	check fork_exec_close
}

@test "a stream whose children are other programs by now, or were killed, goes by ring" {
	check exec_then_meet
}

@test "exec in place: another program goes on with the used stream" {
	check exec_in_place
}

@test "exec, vfork, posix_spawn of a static program, bytes unread on both sides" {
	check exec_static
}

@test "inetd-style services on a stream, and one that gets the listener" {
	check inetd
}

@test "exec of the receiver of a one-way stream, whose sender sleeps in read" {
	check exec_one_way
}

@test "fork after every number of messages: parent and child go on" {
	check fork_early
}

@test "a stream is promoted beside a vfork child, which execs" {
	check vfork_promoted
}

@test "a vfork child makes a used, close-on-exec stream the input of cat" {
	check vfork_stdin
}

@test "exec of the receiver while the sender's read loses its ring" {
	check cancelled_read
}

@test "exec, spawn, SCM_RIGHTS, stdio: what a peer left unread that is gone" {
	check hand_over_gone
}

@test "a writer leaves a full stream and never calls again" {
	check leave_unread
}

@test "system, popen, posix_spawn beside a stream, and one the shell writes to" {
	check spawn_beside
}

@test "daemon(): the stream goes on in the daemon" {
	check daemonise
}

@test "fdopen, fprintf, getline, dprintf, fclose on a used stream" {
	check stdio_stream
}

@test "SCM_RIGHTS: a used stream handed to another process and to oneself" {
	check pass_stream
}

@test "SCM_RIGHTS with bytes unread on both sides, to a program with the library and without" {
	check pass_unread
}

@test "descriptors and credentials within an AF_UNIX stream" {
	check ancillary
}

@test "libraries opened with RTLD_DEEPBIND and by dlmopen use the program's streams" {
	check deepbind
}

@test "syscall(): raw calls and libc's see one stream" {
	check raw_syscalls
}

@test "two threads: one reads while the other writes" {
	check threads_duplex
}

@test "many writers: records of up to PIPE_BUF stay whole" {
	check threads_writers
}

@test "200 streams with both ends in one process and thread" {
	check self_connect
}

@test "socketpair: within a process and to a child" {
	check socketpair_streams
}

@test "socketpair: a self-pipe, and ends that several processes hold, stay with the kernel" {
	check socketpair_self
}

@test "SOCK_SEQPACKET: borders as ever, by the kernel, and the log says why" {
	local log=$BATS_TEST_TMPDIR/log

	check seqpacket
	env LD_PRELOAD="$(run_modes_build)/libshmfd.so" SHMFD_LOG="info:$log" \
		"$(run_modes_build)/tests/progs/seqpacket" server unix "$BATS_TEST_TMPDIR/addr" \
		>/dev/null
	grep 'goes back to the kernel: SOCK_SEQPACKET$' "$log"
}

@test "the host's own descriptor limit while many threads' streams are promoted" {
	check limit_threads
}

@test "the host's own descriptor limit and numbers are as ever" {
	check fd_limit
}

@test "a seccomp sandbox of read and write: streams in use go on" {
	check sandbox
}

@test "seccomp in a vfork child: the parent's streams go on, and new ones come" {
	check vfork_sandbox
}

@test "siglongjmp out of blocked calls: the stream is used and closed as before" {
	check longjmp_out
}

@test "siglongjmp from every instruction of a call: the stream and its set go on" {
	check step_jumps
}

@test "siglongjmp out of calls at work: no write is torn, no byte comes twice" {
	check longjmp_busy
}

@test "seccomp refuses memfd_create: the streams stay in the kernel" {
	check no_memfd
}

@test "RLIMIT_FSIZE below the size of a segment: the streams stay in the kernel" {
	check small_files
}

@test "SCM_RIGHTS and exec: a used stream visits programs without the preload" {
	check pass_plain
}

@test "_Fork, raw fork, clone: children without atfork handlers" {
	check fork_kinds
}

@test "a stream on 0, 1 and 2: printf, fgets, perror" {
	check stdio_numbers
}

@test "POSIX AIO on a used stream" {
	check aio_stream
}

@test "the kernel's AIO, by libaio and by number, on used streams" {
	check aio_kernel
}

@test "io_uring by liburing: polls, reads and writes by its ring" {
	check uring_poll
}

@test "several threads blocked in read: every byte goes to one of them" {
	check threads_readers
}

@test "a thread in poll and another in an epoll set: one bell for both loses nobody" {
	check threads_poll_epoll
}

@test "readers asleep from the first byte on: promotion happens around them" {
	check threads_early
}

@test "datagrams and pipes: left alone" {
	check other_sockets
}
