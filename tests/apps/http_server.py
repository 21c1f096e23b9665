# SPDX-License-Identifier: MIT
"""http.server with kept-alive connections: http_server.py PORT

GET /SIZE answers SIZE bytes of known data; POST answers the checksum of what it was given.
"""
import http.server
import sys

from common import data, exit_on_sigterm, sha


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without this each answer waits for a delayed acknowledgement.
    disable_nagle_algorithm = True

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        size = int(self.path[1:])
        self.answer(data(size, size))

    def do_POST(self):
        self.answer(sha(self.rfile.read(int(self.headers["Content-Length"]))).encode())

    def log_message(self, *_):
        pass


exit_on_sigterm()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.serve_forever(poll_interval=0.05)
