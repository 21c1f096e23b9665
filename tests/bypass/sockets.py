# SPDX-License-Identifier: MIT
"""Sockets as Python programs use them: threads, files, asyncio, children, multiprocessing."""
import asyncio
import multiprocessing
import multiprocessing.connection
import os
import select
import selectors
import socket
import socketserver
import subprocess
import sys
import threading


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


class Forking(socketserver.ForkingMixIn, socketserver.TCPServer):
    block_on_close = True


class Threading(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True


def talk(address):
    with socket.create_connection(address) as s, s.makefile("rwb") as f:
        for i in range(4):
            f.write(b"line %d\n" % i)
            f.flush()
            assert f.readline() == b"line %d\n" % i
        s.shutdown(socket.SHUT_WR)
        assert f.read() == b""


def servers():
    for kind in (Threading, Forking):
        with kind(("127.0.0.1", 0), Echo) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            talk(server.server_address)
            server.shutdown()
            thread.join()


async def asyncio_echo():
    served = asyncio.Event()

    async def serve(reader, writer):
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for _ in range(4):
        writer.write(b"0123456789")
        assert await reader.readexactly(10) == b"0123456789"
    child = await asyncio.create_subprocess_exec("true")
    await child.wait()
    writer.close()
    await served.wait()
    server.close()


def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        a = socket.create_connection(listener.getsockname())
        b, _ = listener.accept()
    for _ in range(4):
        a.sendall(b"x")
        assert b.recv(1) == b"x"
        b.sendall(b"y")
        assert a.recv(1) == b"y"
    return a, b


def children():
    a, b = pair()
    subprocess.run(["true"], check=True)
    subprocess.run(["true"], close_fds=False, check=True)
    done = subprocess.run(["cat"], stdin=subprocess.DEVNULL, stdout=a, check=True)
    assert done.returncode == 0
    with subprocess.Popen(["sh", "-c", "echo said"], stdout=a):
        assert b.recv(5) == b"said\n"
    code = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).sendall(b'kept')"
    subprocess.run([sys.executable, "-IS", "-c", code, str(a.fileno())], pass_fds=[a.fileno()],
                   check=True)
    assert b.recv(4) == b"kept"
    a.close()
    assert b.recv(1) == b""
    b.close()
    os.system("true")
    os.popen("true").close()


def waiting():
    a, b = pair()
    a.setblocking(False)
    a.sendall(b"z")
    assert select.select([b], [], [], 5)[0] == [b]
    poll = select.poll()
    poll.register(b, select.POLLIN)
    assert poll.poll(5000)
    with selectors.DefaultSelector() as s:
        s.register(b, selectors.EVENT_READ)
        assert s.select(5)
    c = socket.fromfd(b.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    assert c.recv(1) == b"z"
    for s in (a, b, c):
        s.close()
    a, b = pair()
    with open("file", "wb") as f:
        f.write(b"f" * 5000)
    with open("file", "rb") as f:
        a.sendfile(f)
    assert len(b.recv(5000, socket.MSG_WAITALL)) == 5000
    a.close()
    b.close()


def at_other_end(address):
    with multiprocessing.connection.Client(address, authkey=b"key") as c:
        for i in range(4):
            c.send(i)
            assert c.recv() == -i


def processes():
    for address in (("127.0.0.1", 0), "mp.sock"):
        with multiprocessing.connection.Listener(address, authkey=b"key") as listener:
            p = multiprocessing.Process(target=at_other_end, args=(listener.address,))
            p.start()
            with listener.accept() as c:
                for _ in range(4):
                    c.send(-c.recv())
            p.join()
            assert p.exitcode == 0


if __name__ == "__main__":
    servers()
    asyncio.run(asyncio_echo())
    children()
    waiting()
    processes()
