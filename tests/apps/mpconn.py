# SPDX-License-Identifier: MIT
"""multiprocessing.connection: mpconn.py listener|client ADDRESS

The listener answers every object with itself and ends when it is told "end".
Last line of the client: OK bytes=N.
"""
import sys
from multiprocessing.connection import Client, Listener

from common import SIZES, check, data, family_and_address, hold, say

KEY = b"both ends know this"


def main():
    role, text = sys.argv[1:3]
    _, address = family_and_address(text)
    if role == "listener":
        with Listener(address, authkey=KEY) as listener, listener.accept() as conn:
            while True:
                thing = conn.recv()
                conn.send(thing)
                if thing == "end":
                    break
            try:
                conn.recv()
            except EOFError:
                say("END")
        return
    total = 0
    with Client(address, authkey=KEY) as conn:
        for i in range(100):
            conn.send({"turn": i, "blob": data(i, i)})
            check(conn.recv() == {"turn": i, "blob": data(i, i)}, "turn %d" % i)
        for size in SIZES:
            blob = data(size, size)
            conn.send(blob)
            check(conn.recv() == blob, "object of %d bytes" % size)
            total += size
        conn.send("end")
        check(conn.recv() == "end", "the last object")
        hold()
    say("OK bytes=%d" % total)


main()
