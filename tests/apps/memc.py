# SPDX-License-Identifier: MIT
"""A small client of memcached's text protocol: memc.py ADDRESS

set and get of many sizes, then a pipeline of quiet sets, compared.  Last line: OK bytes=N.
"""
import sys

from common import SIZES, check, connect, data, hold, say


def store(key, blob, quiet=False):
    return b"set %b 0 0 %d%b\r\n%b\r\n" % (key, len(blob), b" noreply" if quiet else b"", blob)


def get(sock, file, key):
    sock.sendall(b"get %b\r\n" % key)
    words = file.readline().split()
    check(words[:2] == [b"VALUE", key], "get %r: %r" % (key, words))
    blob = file.read(int(words[3]) + 2)
    check(file.readline() == b"END\r\n", "get %r: no END" % key)
    return blob[:-2]


def main():
    sock = connect(sys.argv[1])
    file = sock.makefile("rb")
    total = 0
    for _ in range(20):
        sock.sendall(b"version\r\n")
        check(file.readline().startswith(b"VERSION "), "version")
    for size in [size for size in SIZES if size < 1000000]:
        key = b"v%d" % size
        sock.sendall(store(key, data(size, size)))
        check(file.readline() == b"STORED\r\n", "set of %d bytes" % size)
        check(get(sock, file, key) == data(size, size), "get of %d bytes" % size)
        total += 2 * size
    sock.sendall(b"".join(store(b"q%d" % i, data(i, i), True) for i in range(1000)))
    for i in range(1000):
        check(get(sock, file, b"q%d" % i) == data(i, i), "quiet set %d" % i)
        total += 2 * i
    hold()
    sock.close()
    say("OK bytes=%d" % total)


main()
