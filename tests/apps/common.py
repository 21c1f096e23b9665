# SPDX-License-Identifier: MIT
"""What the Python programs of this directory share: addresses, test data, pauses.

None of them knows of shared memory; they use the standard library as any program would.
An address is tcp:PORT (127.0.0.1), tcp6:PORT (::1) or unix:PATH.
"""
import hashlib
import os
import random
import signal
import socket
import sys
import time

# Below, at and above the sizes at which buffers, pages and rings of usual sizes end.
SIZES = [1, 2, 7, 8, 9, 100, 1000, 4095, 4096, 4097, 16384, 65535, 65536, 65537, 262144,
         1 << 20, 4 << 20]


def family_and_address(text):
    kind, _, rest = text.partition(":")
    if kind == "tcp":
        return socket.AF_INET, ("127.0.0.1", int(rest))
    if kind == "tcp6":
        return socket.AF_INET6, ("::1", int(rest))
    if kind == "unix":
        return socket.AF_UNIX, rest
    raise SystemExit("not an address: " + text)


def connect(text, timeout=30):
    family, address = family_and_address(text)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    sock.connect(address)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def listen(text):
    family, address = family_and_address(text)
    sock = socket.socket(family, socket.SOCK_STREAM)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen(128)
    return sock


def recv_exact(sock, size):
    parts = []
    while size > 0:
        part = sock.recv(min(size, 1 << 18))
        if not part:
            raise EOFError("the peer closed with %d bytes outstanding" % size)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def data(seed, size):
    """Bytes that differ at every position and between seeds, the same in every process."""
    return random.Random(seed).randbytes(size)


def sha(blob):
    return hashlib.sha256(blob).hexdigest()


def say(text):
    print(text, flush=True)


class Failed(Exception):
    """Not SystemExit: a thread that ends by that says nothing."""


def check(ok, text):
    if not ok:
        raise Failed(text)


def hold():
    """With HOLD=FILE: says READY and waits until FILE exists, connections still open."""
    path = os.environ.get("HOLD")
    if not path:
        return
    say("READY")
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        check(time.monotonic() < deadline, "nobody made " + path)
        time.sleep(0.01)


def exit_on_sigterm():
    """SIGTERM ends the program in the orderly way, so that exit handlers run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
