# SPDX-License-Identifier: MIT
#
# Making streams.
# Every program runs on the plain kernel and preloaded; see run_modes.bash.

load run_modes

@test "non-blocking connect: EINPROGRESS, SO_ERROR, EISCONN, then a stream" {
	check connect_nonblock
}

@test "refused connects, listeners and unconnected sockets" {
	check connect_refused
}

@test "a full backlog: EAGAIN or EINPROGRESS, time-outs, signals, and a stream in the end" {
	check connect_backlog
}

@test "a TCP socket connected to itself" {
	check connect_self
}

@test "accept: signals, stops, time-outs, and those of the listener on its streams" {
	check accept_trouble
}

@test "AF_UNSPEC: dissolves a used stream, the socket connects anew" {
	check connect_unspec
}

@test "accept and accept4: flags, addresses, early and departed clients" {
	check accept_kinds
}

@test "names and options: the same before and after use" {
	check names_options
}

@test "who the peer is: SO_PEERCRED, SO_PEERPIDFD, SO_PEERGROUPS, at each point of its life" {
	check peer_identity
}

@test "options of TCP and sockets: kept, and the stream works on; keep-alive; TCP_INFO" {
	check tcp_options
}

@test "TCP_CORK keeps its value, whoever asks, and holds nothing back once it is out" {
	check cork_kept
}

@test "urgent data: who waits for it, two of them, in line, on AF_UNIX" {
	check urgent_more
}

@test "urgent data of a used TCP stream" {
	check urgent
}

@test "sockets in use before they could be known stay with the kernel; a copy's bytes count" {
	check adopted_late
}
