/* SPDX-License-Identifier: MIT */
/*
 * Description: send, sendto, recv and recvfrom with and without addresses and
 * with flags a stream ignores or refuses.
 */
#include "duo.h"

static void server(int fd)
{
	char buf[100];
	struct sockaddr_storage from;
	socklen_t len;

	duo_warmup(fd);
	say_result("recv", recv(fd, buf, sizeof(buf), 0));
	duo_post();
	say_result("recvfrom no address", recvfrom(fd, buf, sizeof(buf), 0, NULL, NULL));
	duo_post();
	len = sizeof(from);
	memset(&from, 0x5a, sizeof(from));
	say_result("recvfrom", recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
	say("address length %u, first byte 0x%x", len, *(unsigned char *)&from);
	duo_post();
	len = 0;
	say_result("recvfrom, no room for an address",
		   recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
	say("address length %u", len);
	duo_post();
	say_result("recv CMSG_CLOEXEC", recv(fd, buf, sizeof(buf), MSG_CMSG_CLOEXEC));
	duo_post();
	say_result("recv OOB", recv(fd, buf, sizeof(buf), MSG_OOB | MSG_DONTWAIT));
	say_result("recv ERRQUEUE", recv(fd, buf, sizeof(buf), MSG_ERRQUEUE | MSG_DONTWAIT));
	duo_post();
	say_result("recv at end", recv(fd, buf, sizeof(buf), 0));
	len = sizeof(from);
	say_result("recvfrom at end",
		   recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
	say("address length %u", len);
}

static void client(int fd)
{
	struct sockaddr_storage to;
	socklen_t len = duo_address(&to);

	duo_warmup(fd);
	say_result("send", send(fd, "hello", 5, 0));
	duo_await();
	say_result("sendto no address", sendto(fd, "hello again", 11, 0, NULL, 0));
	duo_await();
	say_result("send DONTWAIT|NOSIGNAL", send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
	duo_await();
	say_result("send EOR", send(fd, "xyz", 3, MSG_EOR));
	duo_await();
	say_result("send CONFIRM|DONTROUTE", send(fd, "xyzzy", 5, MSG_CONFIRM | MSG_DONTROUTE));
	duo_await();
	/* TCP ignores the address of a connected stream, AF_UNIX refuses it. */
	duo_await();
	if (!duo_is_tcp())
		say_result("sendto with an address",
			   sendto(fd, "hello", 5, 0, (struct sockaddr *)&to, len));
	else
		say_result("send FASTOPEN", send(fd, "hello", 5, MSG_FASTOPEN));
	say_result("shutdown", shutdown(fd, SHUT_WR));
}

DUO_PROGRAM(.description = "send, sendto, recv, recvfrom", .server = server, .client = client)
