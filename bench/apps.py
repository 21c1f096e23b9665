# SPDX-License-Identifier: MIT
"""
apps.py - the sections of the benchmark with Debian's programs: redis, nginx, PostgreSQL,
memcached, and event loops of other languages.

Servers are ours alone: private directories, ports the kernel picks, nothing of the system's.
One of each variant and placement is started when it is first wanted, and stays to the end of
its section, idle while another is measured.
"""
import getpass
import glob
import os
import shutil
import signal
import socket

import figures
import machine
from rows import ALL, TCP, TCP_SPIN, Row

FROM_MEMORY, MEMORY_PATH = "64 B from memory", "memory"     # no file
WEB_FILES = {"1 KiB": 1 << 10, "16 KiB": 16 << 10, "1 MiB": 1 << 20}


def missing(*programs):
    gone = [p for p in programs if not shutil.which(p) and not os.path.exists(p)]
    return f"{', '.join(gone)} not installed" if gone else ""


class Servers:
    """Started when wanted: start(variant, place) -> (process, address)."""

    def __init__(self, start):
        self.start = start
        self.have = {}

    def get(self, variant, place):
        key = (variant, place)
        if key not in self.have:
            self.have[key] = self.start(variant, place)
        return self.have[key]


# ---- redis ---------------------------------------------------------------------


def start_redis(b, variant, place):
    folder = b.on.folder("redis")
    os.mkdir(folder)
    port, path = machine.free_port(), os.path.join(folder, "socket")
    server = b.on.start(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", path,
         "--save", "", "--appendonly", "no", "--dir", folder, "--daemonize", "no"],
        variant, place)
    machine.wait_until(lambda: machine.answers(("127.0.0.1", port)), server, "redis-server")
    is_unix = machine.VARIANTS[variant][0] == "unix"
    return server, ["-s", path] if is_unix else ["-h", "127.0.0.1", "-p", str(port)]


def redis(b):
    servers = Servers(lambda variant, place: start_redis(b, variant, place))
    counts = {}     # of requests, once it is known how many take the time
    # -c, -P, -d, placement, variants
    works = [(c, p, 3, place, TCP_SPIN if p == 1 else TCP)
             for place in ("two", "one") for c in (1, 50, 200) for p in (1, 16)]
    works += [(50, 1, 1024, "two", TCP), (200, 1, 1024, "two", TCP),
              (200, 1, 1024, "one", TCP), (1, 1, 3, "free", ALL), (50, 1, 3, "free", ALL)]
    if b.quick:
        works = [(1, 1, 3, "two", TCP), (50, 1, 3, "two", TCP), (50, 16, 3, "two", TCP)]
    for c, p, d, place, variants in works:
        # Many connections take their time to begin
        seconds = b.pick(1.0 if c == 200 else 0.4, 0.25)

        def once(variant, nr, c=c, p=p, d=d, place=place):
            _, where = servers.get(variant, place)
            return b.on.run(["redis-benchmark", *where, "--csv", "-t", "get", "-c", str(c), "-P",
                             str(p), "-d", str(d), "-n", str(nr)], variant, 20, place)

        def run(variant, key=(c, p, d, place), once=once, seconds=seconds):
            key = (variant, *key)
            # A run that is too short says how fast connections begin, not how fast they are
            for _ in range(6):
                nr = counts.get(key, 20000)
                text, ring = once(variant, nr)
                out = figures.of_redis(text, "GET")
                if nr / out["rate"] > seconds * 0.6:
                    break
                counts[key] = int(out["rate"] * seconds) + 1
            return {**out, **ring}
        size = f" -d {d}" if d != 3 else ""
        yield Row("redis", f"GET -c {c} -P {p}{size}", place, variants, run, seconds + 0.1,
                  skip=missing("redis-server", "redis-benchmark"))


# ---- nginx ---------------------------------------------------------------------


def start_nginx(b, variant, place, backend=None):
    """One worker: files of WEB_FILES, or a proxy to the port backend."""
    folder = b.on.folder("nginx")
    os.mkdir(folder)
    port = machine.free_port()
    for name, size in WEB_FILES.items():
        with open(os.path.join(b.on.tmp, name.replace(" ", "")), "wb") as f:
            f.write(b"x" * size)
    places = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in
                     ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    where = f"root {b.on.tmp}; location /{MEMORY_PATH} {{ return 200 {'x' * 64}; }}"
    upstream = ""
    if backend:
        upstream = f"upstream back {{ server 127.0.0.1:{backend}; keepalive 256; }}"
        where = ('location / { proxy_pass http://back; proxy_http_version 1.1;'
                 ' proxy_set_header Connection ""; }')
    # As Debian's own configuration has it, when that user can be had
    user = "user www-data;" if os.geteuid() == 0 else ""
    conf = os.path.join(folder, "nginx.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(f"{user} daemon off; worker_processes 1; pid {folder}/pid;"
                f"error_log {folder}/error.log; events {{ worker_connections 4096; }}"
                f"http {{ access_log off; sendfile on; tcp_nopush on;"
                f"keepalive_requests 1000000000; {places} {upstream}"
                f"server {{ listen 127.0.0.1:{port}; {where} }} }}\n")
    server = b.on.start(["nginx", "-p", folder, "-e", f"{folder}/error.log", "-c", conf],
                        variant, place)
    machine.wait_until(lambda: machine.answers(("127.0.0.1", port)), server, "nginx")
    return server, port


def wrk(b, variant, place, connections, port, path, close=False):
    header = ["-H", "Connection: close"] if close else []
    path = MEMORY_PATH if path == FROM_MEMORY else path
    text, ring = b.on.run(["wrk", "-t", "1", "-c", str(connections), "-d", "1s", "--latency",
                           *header, f"http://127.0.0.1:{port}/{path.replace(' ', '')}"],
                          variant, 2, place)
    return {**figures.of_wrk(text), **ring}


def nginx(b):
    servers = Servers(lambda variant, place: start_nginx(b, variant, place))
    works = [(c, name, "two") for name in WEB_FILES for c in (1, 50, 200)]
    works += [(c, FROM_MEMORY, "two") for c in (1, 50, 200)]
    works += [(1, "1 KiB", "one"), (50, "1 KiB", "one"), (50, "1 MiB", "one"),
              (50, FROM_MEMORY, "one"), (50, "1 KiB", "free")]
    if b.quick:
        works = [(50, "1 KiB", "two"), (50, FROM_MEMORY, "two")]
    for c, name, place in works:
        def run(variant, c=c, name=name, place=place):
            return wrk(b, variant, place, c, servers.get(variant, place)[1], name)
        spin = c == 50 and name == "1 KiB" and place != "free" and not b.quick
        yield Row("nginx", f"{c} connections, {name}", place, TCP_SPIN if spin else TCP, run,
                  1.1, skip=missing("nginx", "wrk"))
    for place in b.pick(("two",), ()):
        def run_close(variant, place=place):
            return wrk(b, variant, place, 50, servers.get(variant, place)[1], "1 KiB", True)
        yield Row("nginx", "50 connections, 1 KiB, no keep-alive", place, TCP, run_close,
                  1.1, skip=missing("nginx", "wrk"), times=4)


def proxy(b):
    """wrk asks an nginx that asks another: two, the proxy has a processor for itself."""
    def start(variant, place):
        # The backend stands where wrk does
        _, back = start_nginx(b, variant, "free" if place == "free" else "one")
        return start_nginx(b, variant, place, back)

    def run(variant, c, name, place):
        return wrk(b, variant, place, c, servers.get(variant, place)[1], name)
    servers = Servers(start)
    works = [(c, name, place) for place in ("free", "one") for c in (1, 50)
             for name in ("1 KiB", FROM_MEMORY)]
    if b.quick:
        works = [(50, "1 KiB", "free")]
    for c, name, place in works:
        yield Row("proxy", f"nginx to nginx, {c} connections, {name}", place, TCP,
                  lambda v, c=c, name=name, place=place: run(v, c, name, place), 1.1,
                  skip=missing("nginx", "wrk"))


# ---- PostgreSQL, memcached --------------------------------------------------------


def postgres_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: [
        int(part) if part.isdigit() else 0 for part in p.split("/")])
    return os.path.dirname(found[-1]) if found else "/usr/lib/postgresql"


class Postgres:
    """One cluster is made; each server has a copy of it."""

    def __init__(self, b):
        self.b = b
        self.bin = postgres_bin()
        self.folder = os.path.join(b.on.tmp, "postgres")
        # It refuses to be root
        self.user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        if os.geteuid() != 0:
            self.user = []

    def own(self, *names):
        if self.user:
            shutil.chown(os.path.join(self.folder, *names), "postgres", "postgres")

    def plain(self, *argv):
        self.b.on.run([*argv], "tcp", 30)

    def make(self):
        os.mkdir(self.folder)
        self.own()
        data = os.path.join(self.folder, "first")
        self.plain(*self.user, f"{self.bin}/initdb", "-D", data, "-A", "trust", "-U", "postgres",
                   "--no-sync", "--no-locale", "-E", "UTF8")
        server, where = self.serve(data, "tcp", "free")
        self.plain(f"{self.bin}/pgbench", *where, "-i", "-q", "-s", "2", "postgres")
        self.b.on.stop(server, how=signal.SIGINT)

    def serve(self, data, variant, place):
        port = machine.free_port()
        server = self.b.on.start(
            [*self.user, f"{self.bin}/postgres", "-D", data, "-p", str(port), "-k", self.folder,
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "autovacuum=off",
             "-c", "logging_collector=off"], variant, place)
        path = os.path.join(self.folder, f".s.PGSQL.{port}")
        machine.wait_until(lambda: "ready to accept" in machine.read(server.log + ".err"),
                           server, "postgres")
        host = self.folder if machine.VARIANTS[variant][0] == "unix" else "127.0.0.1"
        assert os.path.exists(path)
        return server, ["-h", host, "-p", str(port), "-U", "postgres"]

    def start(self, variant, place):
        if not os.path.exists(self.folder):
            self.make()
        data = f"data-{variant}-{place}"
        self.plain(*self.user, "cp", "-r", os.path.join(self.folder, "first"),
                   os.path.join(self.folder, data))
        return self.serve(os.path.join(self.folder, data), variant, place)


def pgbench(b):
    cluster = Postgres(b)
    servers = Servers(cluster.start)
    works = [(1, "two"), (8, "two"), (1, "one"), (1, "free"), (8, "free")]
    if b.quick:
        works = [(1, "free")]
    for c, place in works:
        def run(variant, c=c, place=place):
            _, where = servers.get(variant, place)
            text, ring = b.on.run([f"{cluster.bin}/pgbench", *where, "-n", "-S", "-c", str(c),
                                   "-T", "1", "postgres"], variant, 2, place)
            return {**figures.of_pgbench(text), **ring}
        variants = ALL if place == "free" and not b.quick else TCP
        yield Row("pgbench", f"-S -c {c}", place, variants, run, 1.2,
                  skip=missing(f"{cluster.bin}/postgres"), times=b.pick(3, 1) if c > 1 else 1)


def start_memcached(b, variant, place):
    port = machine.free_port()
    path = b.on.folder("memcached")
    is_unix = machine.VARIANTS[variant][0] == "unix"
    where = ["-s", path] if is_unix else ["-l", "127.0.0.1", "-p", str(port), "-U", "0"]
    server = b.on.start(["memcached", "-u", getpass.getuser(), "-t", "1", "-m", "64", *where],
                        variant, place)
    address = path if is_unix else ("127.0.0.1", port)
    machine.wait_until(lambda: machine.answers(address), server, "memcached")
    with socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET) as s:
        s.settimeout(10)
        s.connect(address)
        s.sendall(b"set key 0 0 64\r\n" + b"x" * 64 + b"\r\n")
        if s.recv(100) != b"STORED\r\n":
            raise machine.Failed("memcached does not store")
    return server, path if is_unix else str(port)


def load(b, variant, place, server, address, connections, seconds, *args):
    text, ring = b.on.run(
        [b.on.program("load"), "--connections", str(connections), "--seconds", str(seconds),
         "--watch", str(server.pid), *args, address], variant, seconds, place)
    return {**figures.of_line(text), **ring}


def memcached(b):
    seconds = b.pick(0.4, 0.25)
    servers = Servers(lambda variant, place: start_memcached(b, variant, place))
    reply = len("VALUE key 0 64\r\n") + 64 + len("\r\nEND\r\n")
    works = [(c, place) for place in ("two", "one", "free") for c in (1, 50)]
    if b.quick:
        works = [(50, "two")]
    for c, place in works:
        def run(variant, c=c, place=place):
            return load(b, variant, place, *servers.get(variant, place), c, seconds,
                        "--request", "get key\\r\\n", "--reply", str(reply))
        yield Row("memcached", f"get 64 B, {c} connections", place,
                  ALL if place == "two" else TCP, run, seconds + 0.1, skip=missing("memcached"))


# ---- event loops of other languages -----------------------------------------------


def start_language(b, variant, place, argv):
    server = b.on.start(argv, variant, place)
    machine.wait_until(lambda: server.output().endswith(tuple("0123456789")), server, argv[0])
    return server, server.output()


def languages(b):
    seconds = b.pick(0.6, 0.3)
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps")
    classes = os.path.join(b.on.tmp, "classes")

    def java(variant, place):
        if not os.path.exists(classes):
            b.on.run(["javac", "-d", classes, os.path.join(here, "NioEcho.java")], "tcp", 30)
        return start_language(b, variant, place, ["java", "-cp", classes, "NioEcho"])

    def with_script(*argv):
        return lambda variant, place: start_language(b, variant, place, list(argv))

    uvloop = glob.glob("/usr/lib/python3/dist-packages/uvloop")
    works = [
        ("uvloop echo", with_script("/usr/bin/python3", os.path.join(here, "echo_uvloop.py")),
         "" if uvloop else "python3-uvloop not installed"),
        ("node http", with_script("node", os.path.join(here, "http.js")), missing("node", "wrk")),
        ("Java NIO echo", java, missing("java", "javac")),
    ]
    for name, start, skip in works[:b.pick(3, 1)]:
        servers = Servers(start)
        for place in b.pick(("two", "free"), ("two",)):
            def run(variant, name=name, place=place, servers=servers):
                server, address = servers.get(variant, place)
                if name == "node http":
                    return wrk(b, variant, place, 50, address, "")
                return load(b, variant, place, server, address, 50, seconds, "--bytes", "64",
                            "--warmup", "200")
            yield Row("languages", f"{name}, 50 connections", place, TCP, run,
                      seconds + 0.4, skip=skip)
