# SPDX-License-Identifier: MIT
"""Echo servers of the standard library: echo_server.py KIND ADDRESS [--spawn]

KIND: asyncio, epoll, poll, select (three selectors), threading, forking (two socketservers).
--spawn: a thread runs child processes all the time.  SIGTERM ends it in the orderly way.
"""
import asyncio
import os
import selectors
import signal
import socket
import socketserver
import subprocess
import sys
import threading

from common import exit_on_sigterm, family_and_address, listen


async def echo_stream(reader, writer):
    while True:
        blob = await reader.read(1 << 16)
        if not blob:
            break
        writer.write(blob)
        await writer.drain()
    writer.write_eof()
    writer.close()
    await writer.wait_closed()


async def serve_asyncio(address):
    server = await asyncio.start_server(echo_stream, sock=listen(address))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with server:
        await stop.wait()


def serve_selectors(address, kind):
    """One buffer per client; a client with bytes to write is not read."""
    sel = {"epoll": selectors.EpollSelector, "poll": selectors.PollSelector,
           "select": selectors.SelectSelector}[kind]()
    listener = listen(address)
    listener.setblocking(False)
    sel.register(listener, selectors.EVENT_READ, None)

    def serve(key, events):
        sock, pending = key.fileobj, key.data
        if events & selectors.EVENT_READ:
            blob = sock.recv(1 << 16)
            if not blob:
                sel.unregister(sock)
                sock.shutdown(socket.SHUT_WR)
                sock.close()
                return
            pending += blob
        try:
            del pending[:sock.send(pending)]
        except BlockingIOError:
            pass
        sel.modify(sock, selectors.EVENT_WRITE if pending else selectors.EVENT_READ, pending)

    while True:
        for key, events in sel.select():
            if key.data is None:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sel.register(sock, selectors.EVENT_READ, bytearray())
            else:
                serve(key, events)


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while True:
            blob = self.request.recv(1 << 16)
            if not blob:
                break
            self.request.sendall(blob)


def serve_socketserver(address, kind):
    family, where = family_and_address(address)
    mixin = {"threading": socketserver.ThreadingMixIn,
             "forking": socketserver.ForkingMixIn}[kind]
    base = socketserver.UnixStreamServer if family == socket.AF_UNIX else socketserver.TCPServer

    class Server(mixin, base):
        allow_reuse_address = True
        address_family = family
        daemon_threads = True
        request_queue_size = 128

    with Server(where, Handler) as server:
        server.serve_forever(poll_interval=0.05)


def spawn_forever():
    while True:
        subprocess.run(["/bin/true"], check=True)


def main():
    kind, address = sys.argv[1:3]
    if "--spawn" in sys.argv[3:]:
        threading.Thread(target=spawn_forever, daemon=True).start()
    try:
        if kind == "asyncio":
            asyncio.run(serve_asyncio(address))
        else:
            exit_on_sigterm()
            if kind in ("epoll", "poll", "select"):
                serve_selectors(address, kind)
            serve_socketserver(address, kind)
    finally:
        if address.startswith("unix:"):
            os.unlink(address[5:])


main()
