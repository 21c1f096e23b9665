# SPDX-License-Identifier: MIT
"""Checks an echo server: echo_client.py ADDRESS [--conns N] [--rounds N] [--bulk MIB] [--spawn N]

On every connection: ROUNDS messages of many sizes, each awaited and compared; then BULK MiB
written by one thread while another reads, compared by checksum; then shutdown(SHUT_WR), after
which nothing but end of file may come.  Connections work at the same time, one thread each.
--spawn: the main thread runs that many child processes meanwhile.  Last line: OK sent=BYTES.
"""
import argparse
import hashlib
import socket
import subprocess
import threading

from common import check, connect, data, hold, recv_exact, say

MESSAGE_SIZES = [1, 3, 8, 64, 100, 1000, 4096, 10000, 65536]


def ping_pong(sock, seed, rounds):
    sent = 0
    for i in range(rounds):
        blob = data(seed * 100003 + i, MESSAGE_SIZES[i % len(MESSAGE_SIZES)])
        sock.sendall(blob)
        check(recv_exact(sock, len(blob)) == blob, "round %d came back changed" % i)
        sent += len(blob)
    return sent


def bulk(sock, seed, size):
    blob = data(seed, 1 << 20)
    expected = hashlib.sha256()
    got = hashlib.sha256()

    def write():
        left = size
        step = 1
        while left > 0:
            # Pieces of changing size and place, so that no boundary repeats.
            step = (step * 7919 + 13) % 200003
            piece = blob[step:step + min(left, 1 + step)]
            expected.update(piece)
            sock.sendall(piece)
            left -= len(piece)

    writer = threading.Thread(target=write)
    writer.start()
    left = size
    while left > 0:
        part = sock.recv(min(left, 100000))
        check(part, "end of file with %d bytes of %d outstanding" % (left, size))
        got.update(part)
        left -= len(part)
    writer.join()
    check(got.digest() == expected.digest(), "bulk data came back changed")


def one(sock, seed, args, result):
    total = ping_pong(sock, seed, args.rounds)
    bulk(sock, seed, args.bulk << 20)
    total += args.bulk << 20
    # Once more in small steps, after the bulk.
    total += ping_pong(sock, seed + 1, 5)
    result[seed] = total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--conns", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--bulk", type=int, default=4)
    parser.add_argument("--spawn", type=int, default=0)
    args = parser.parse_args()

    socks = [connect(args.address) for _ in range(args.conns)]
    result = {}
    threads = [threading.Thread(target=one, args=(sock, i, args, result))
               for i, sock in enumerate(socks)]
    for thread in threads:
        thread.start()
    for i in range(args.spawn):
        done = subprocess.run(["/bin/echo", str(i)], stdout=subprocess.PIPE, check=True)
        check(done.stdout == b"%d\n" % i, "child %d said %r" % (i, done.stdout))
    for thread in threads:
        thread.join()
    check(len(result) == args.conns, "a connection failed, see above")
    hold()
    for sock in socks:
        sock.shutdown(socket.SHUT_WR)
        check(sock.recv(100) == b"", "bytes after the last echo")
        check(sock.recv(100) == b"", "bytes after end of file")
        sock.close()
    say("OK sent=%d" % sum(result.values()))


main()
