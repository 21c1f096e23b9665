# SPDX-License-Identifier: MIT
#
# Moving bytes: every call that reads or writes.
# Every program runs on the plain kernel and preloaded; see run_modes.bash.

load run_modes

@test "read and write: every size arrives unchanged, both ways" {
	check read_write
}

@test "readv and writev: gather, scatter and refuse impossible vectors" {
	check vectors
}

@test "send, sendto, recv, recvfrom: addresses and flags as a stream has them" {
	check send_recv
}

@test "sendmsg and recvmsg: parts, header fields and errors" {
	check sendmsg_recvmsg
}

@test "sendmmsg and recvmmsg: counts, lengths, time-out, waitforone" {
	check mmsg
}

@test "recvmmsg: errors before and behind messages, the rest of its time-out" {
	check mmsg_error
}

@test "preadv2 and pwritev2: work at offset -1, anything else is ESPIPE" {
	check pwritev2
}

@test "sendfile: with and without an offset, short files, errors" {
	check sendfile
}

@test "sendfile goes on by the kernel where its stream leaves the rings" {
	check sendfile_moved
}

@test "splice: pipe to stream and stream to pipe" {
	check splice
}

@test "write, sendfile, dprintf, stdio, aio, vmsplice and splice in turn on one stream" {
	check ways_mixed
}

@test "_FORTIFY_SOURCE variants: work, and still stop an overflow" {
	check fortified
}

@test "empty reads and writes: do nothing and are not seen" {
	check zero_length
}

@test "MSG_PEEK: sees across message borders and takes nothing" {
	check peek
}

@test "MSG_WAITALL: gathers, ends short at end of stream" {
	check waitall
}

@test "O_NONBLOCK, FIONBIO, MSG_DONTWAIT: EAGAIN, and blocking again when asked" {
	check nonblock
}

@test "MSG_TRUNC: discards on TCP, is ignored on AF_UNIX" {
	check msg_trunc
}

@test "MSG_MORE and TCP_CORK: nothing is held back for ever" {
	check msg_more
}

@test "MSG_MORE on every send: every byte comes" {
	check more_always
}

@test "bad addresses: EFAULT, no signal, no byte lost" {
	check bad_pointers
}

@test "bad descriptors: the right error, and numbers that came back are the new file" {
	check bad_fd
}

@test "one byte at a time and random sizes: the order holds" {
	check odd_sizes
}

@test "8 MiB both ways at once, driven by poll: complete" {
	check bulk_duplex
}

@test "SO_RCVTIMEO and SO_SNDTIMEO: EAGAIN after their time" {
	check socket_timeouts
}

@test "SO_RCVTIMEO and SO_SNDTIMEO: every call, parts, duplicates, odd values" {
	check timeout_calls
}

@test "partial writes at every level: what poll promises, what short counts say" {
	check partial_writes
	SHMFD_TEST_MODES='both,SHMFD_AFTER=0,SHMFD_TEST_STUCK=60000 both,SHMFD_RING=64K' \
		check partial_writes
}

@test "FIONREAD counts what is there, SIOCOUTQ falls to 0" {
	check queue_sizes
}

@test "SO_RCVLOWAT: holds back readiness as the family does" {
	check lowat
}

@test "SO_PEEK_OFF: each peek goes on where the last ended" {
	check peek_off
}

@test "errno: untouched by calls that succeed" {
	check errno_kept
}

@test "both ends write much before either reads: no deadlock on a full ring" {
	check write_first
}

@test "MSG_PEEK and FIONREAD of a header that a promotion cuts" {
	check peek_seam
}

@test "splice of what a silent or closed writer left in the ring" {
	check splice_unread
}
