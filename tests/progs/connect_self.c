/* SPDX-License-Identifier: MIT */
/*
 * Description: a TCP socket that connects to its own address is connected to itself:
 * what it writes it reads, what it shuts ends for itself.
 */
#include "duo.h"

#include <netinet/in.h>

static char buf[100];

static void server(int fd)
{
	struct sockaddr_storage address, peer;
	socklen_t len, peer_len = sizeof(peer);
	int there = -1;

	/* the address of a listener, once it is free again */
	len = duo_address(&address);
	duo_unlisten();
	fd = duo_socket();
	if (bind(fd, (struct sockaddr *)&address, len) < 0)
		die("bind");
	say_result("connect", connect(fd, (struct sockaddr *)&address, len));
	getpeername(fd, (struct sockaddr *)&peer, &peer_len);
	say("peer is itself: %d", peer_len == len && !memcmp(&address, &peer, len));
	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT, 0)));
	for (int i = 0; i < 60; i++) {
		char line[17];

		snprintf(line, sizeof(line), "line number %4d", i);
		duo_write_all(fd, line, 16);
		duo_await_bytes(fd, 16);
		if (recv(fd, buf, 16, MSG_PEEK) != 16 || duo_read_all(fd, buf, 16) != 16 ||
		    memcmp(buf, line, 16) != 0)
			die("wrong bytes");
	}
	say_result("dontwait", recv(fd, buf, 1, MSG_DONTWAIT));
	say_result("write", write(fd, "last", 4));
	duo_await_bytes(fd, 4);
	say_result("FIONREAD", ioctl(fd, FIONREAD, &there));
	say("there %d", there);
	say_result("shutdown", shutdown(fd, SHUT_WR));
	say("poll: %s", duo_poll_bits(duo_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 5000) & ~POLLHUP));
	say_result("read", read(fd, buf, sizeof(buf)));
	say_result("read at end", read(fd, buf, sizeof(buf)));
	say_result("write after it", send(fd, "x", 1, MSG_NOSIGNAL));
	say_result("close", close(fd));
}

DUO_PROGRAM(.description = "a socket connected to itself",
	    .traits = DUO_SOLO | DUO_TCP | DUO_ANY_ROAD, .server = server)
