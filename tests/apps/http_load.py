# SPDX-License-Identifier: MIT
"""Kept-alive HTTP load with no failure allowed: http_load.py PORT URLPATH SHA256 STOPFILE

Four connections ask for the file until STOPFILE exists.  Every body is compared by checksum.
A server that reloads may close an idle kept-alive connection while a request is on its way, and
HTTP/1.1 lets a client ask again on a new connection when no byte of the answer came: that is
done once per request.  Anything else is a failure.  Last line: OK requests=N again=N.
"""
import http.client
import os
import sys
import threading

from common import say, sha


def get(conn, path):
    conn.request("GET", path)
    answer = conn.getresponse()
    return answer.status, answer.read()


class Worker(threading.Thread):
    def __init__(self, port, path, digest, stop):
        super().__init__()
        self.port, self.path, self.digest, self.stop = port, path, digest, stop
        self.requests = self.again = 0
        self.failure = "never ran"

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def run(self):
        conn = self.connect()
        while not os.path.exists(self.stop):
            try:
                status, body = get(conn, self.path)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                conn.close()
                conn = self.connect()
                self.again += 1
                try:
                    status, body = get(conn, self.path)
                except (OSError, http.client.HTTPException) as error:
                    self.failure = "again: %r" % error
                    return
            except (OSError, http.client.HTTPException) as error:
                self.failure = repr(error)
                return
            if status != 200 or sha(body) != self.digest:
                self.failure = "status %d, %d bytes" % (status, len(body))
                return
            self.requests += 1
        conn.close()
        self.failure = None


def main():
    port, path, digest, stop = sys.argv[1:5]
    workers = [Worker(int(port), path, digest, stop) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failures = [worker.failure for worker in workers if worker.failure]
    if failures:
        raise SystemExit("FAILED: " + "; ".join(failures))
    say("OK requests=%d again=%d" % (sum(w.requests for w in workers),
                                     sum(w.again for w in workers)))


main()
