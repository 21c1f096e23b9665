# SPDX-License-Identifier: MIT
"""http.client against http_server.py: http_client.py PORT

Two kept-alive connections in turn, GET and POST of many sizes.  Last line: OK bytes=BODY_BYTES.
"""
import http.client
import sys

from common import SIZES, check, data, hold, say, sha


def ask(conn, method, path, body=None):
    conn.request(method, path, body)
    answer = conn.getresponse()
    blob = answer.read()
    check(answer.status == 200, "%s %s: status %d" % (method, path, answer.status))
    check(not answer.will_close, "%s %s: not kept alive" % (method, path))
    return blob


def main():
    conns = [http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
             for _ in range(2)]
    total = 0
    for i in range(100):
        check(ask(conns[i % 2], "GET", "/10") == data(10, 10), "a small body")
    for i, size in enumerate(SIZES + [300] * 20):
        conn = conns[i % 2]
        check(ask(conn, "GET", "/%d" % size) == data(size, size), "GET of %d bytes" % size)
        blob = data(size + 1, size)
        check(ask(conn, "POST", "/", blob) == sha(blob).encode(), "POST of %d bytes" % size)
        total += 2 * size
    hold()
    for conn in conns:
        conn.close()
    say("OK bytes=%d" % total)


main()
