# SPDX-License-Identifier: MIT
"""A small client of the Redis protocol: resp.py TASK ADDRESS [ARGUMENT]

values          SET and GET of many sizes on one connection, compared
pipeline        thousands of commands written before the first answer is read
pubsub N        takes N messages of channel "news": their numbers must be 0 to N-1 in order
work STOPFILE   SET, GET and INCR until STOPFILE exists; every answer is checked
blocked         READY, then asleep in recv until the server is gone
writing         READY, then writes until the server is gone

The last line is OK and what was moved.  Every task greets the server with twenty PINGs first.
"""
import os
import sys
import threading

from common import SIZES, check, connect, data, hold, say


class Redis:
    def __init__(self, address):
        self.sock = connect(address)
        self.file = self.sock.makefile("rb", buffering=1 << 16)

    @staticmethod
    def encode(*words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            blob = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(blob), blob))
        return b"".join(parts)

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed after %r" % line)
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise SystemExit("FAILED: the server says " + rest.decode())
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        check(kind == b"$", "protocol: %r" % line)
        if int(rest) < 0:
            return None
        blob = self.file.read(int(rest) + 2)
        check(blob.endswith(b"\r\n"), "value of %s bytes cut short" % rest.decode())
        return blob[:-2]

    def do(self, *words):
        self.sock.sendall(self.encode(*words))
        return self.answer()

    def greet(self):
        for i in range(20):
            check(self.do("PING", "n%d" % i) == b"n%d" % i, "PING %d" % i)


def values(redis, _):
    redis.greet()
    total = 0
    for size in SIZES:
        blob = data(size, size)
        check(redis.do("SET", "v%d" % size, blob) == b"OK", "SET of %d bytes" % size)
        total += size
    for size in SIZES:
        check(redis.do("GET", "v%d" % size) == data(size, size), "GET of %d bytes" % size)
        total += size
    hold()
    say("OK bytes=%d" % total)


def pipeline(redis, _):
    redis.greet()
    count = 20000
    asked = [redis.encode("SET", "p%d" % i, data(i, i % 300)) + redis.encode("GET", "p%d" % i)
             for i in range(count)]
    blob = b"".join(asked)
    # The answers must be read while the questions are written, or both ends fill up and wait.
    writer = threading.Thread(target=redis.sock.sendall, args=(blob,))
    writer.start()
    for i in range(count):
        check(redis.answer() == b"OK", "SET %d" % i)
        check(redis.answer() == data(i, i % 300), "GET %d" % i)
    writer.join()
    say("OK bytes=%d" % len(blob))


def pubsub(redis, argument):
    redis.greet()
    check(redis.do("SUBSCRIBE", "news") == [b"subscribe", b"news", 1], "SUBSCRIBE")
    say("READY")
    for i in range(int(argument)):
        check(redis.answer() == [b"message", b"news", b"%d" % i], "message %d" % i)
    say("OK messages=%s" % argument)


def work(redis, stop):
    redis.greet()
    say("READY")
    turn = 0
    while not os.path.exists(stop):
        blob = data(turn, 1 + turn * 37 % 20000)
        check(redis.do("SET", "w", blob) == b"OK", "SET %d" % turn)
        check(redis.do("GET", "w") == blob, "GET %d" % turn)
        check(redis.do("INCR", "turns") == turn + 1, "INCR %d" % turn)
        turn += 1
    say("OK turns=%d" % turn)


def blocked(redis, _):
    redis.greet()
    say("READY")
    try:
        blob = redis.sock.recv(100)
    except ConnectionResetError:
        blob = b""
    check(blob == b"", "bytes from nowhere: %r" % blob)
    say("OK gone")


def writing(redis, _):
    redis.greet()
    say("READY")
    try:
        while True:
            redis.do("SET", "k", data(1, 5000))
    except (ConnectionResetError, BrokenPipeError, EOFError):
        say("OK gone")


def main():
    task, address = sys.argv[1:3]
    tasks = {"values": values, "pipeline": pipeline, "pubsub": pubsub, "work": work,
             "blocked": blocked, "writing": writing}
    tasks[task](Redis(address), sys.argv[3] if len(sys.argv) > 3 else None)


main()
