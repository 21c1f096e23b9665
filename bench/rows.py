# SPDX-License-Identifier: MIT
"""
rows.py - the sections of the benchmark that need no program but those of this directory.

A section is a function that yields rows.  A row is one work at one placement; the rows of a
section run for each of their variants in turn (plain, preloaded, next row), as often as there are
repeats.
"""
import dataclasses
import os
import select
import time
import typing

import machine

TCP = ("tcp", "shmfd-tcp")
TCP_SPIN = ("tcp", "shmfd-tcp", "nospin-tcp")
ALL = ("tcp", "shmfd-tcp", "unix", "shmfd-unix")
ALL_SPIN = ("tcp", "shmfd-tcp", "nospin-tcp", "unix", "shmfd-unix")
FLOOR = ("floor",)


@dataclasses.dataclass
class Row:
    section: str
    work: str
    place: str          # two, one, free
    variants: tuple
    run: typing.Callable        # variant -> {metric: value}
    seconds: float      # that one run takes, about
    most_repeats: int = 99
    times: int = 1      # so many samples in each repeat: where little is to be told apart
    skip: str = ""      # why it can not run here, if it can not
    note: str = ""

    @property
    def key(self):
        return f"{self.section}/{self.work}/{self.place}"


class Bench:
    """What sections want to know."""

    def __init__(self, on, quick):
        self.on = on            # machine.Machine
        self.quick = quick

    def pick(self, full, quick):
        return quick if self.quick else full


# ---- floors, ping-pong, streams ------------------------------------------------


def bare_ring(b, size, variant):
    return b.on.own("floors", ["ring", str(size), str(b.pick(200000, 50000))], variant, 2)


def floors(b):
    seconds = b.pick(0.3, 0.15)
    count = str(b.pick(200000, 50000))

    def row(work, args, place="two"):
        return Row("floors", work, place, FLOOR,
                   lambda v: b.on.own("floors", args, v, 2), seconds)

    yield row("one cache line", ["line1", count])
    yield row("two cache lines", ["line2", count])
    for size in b.pick((1, 8, 64, 1024, 16384), (8, 64)):
        yield Row("floors", f"bare ring {size} B", "two", FLOOR,
                  lambda v, size=size: bare_ring(b, size, v), seconds)
    for size in b.pick((8, 64, 1024, 16384, 131072, 1048576), (64, 16384)):
        yield row(f"bare ring, one way {size} B", ["stream", str(size), str(seconds)])
    for size in b.pick((16384, 131072, 1048576), (131072,)):
        for mode, what in (("give", "written"), ("take", "read")):
            yield row(f"{what} after the other processor had it, {size} B",
                      [mode, str(size), str(seconds)])
    for size in b.pick((1024, 16384, 131072), (16384,)):
        yield row(f"memcpy {size} B", ["memcpy", str(size), str(seconds)], "one")


def pingpong_variants(size, mode, place):
    """Blocking, between two processors: the bare ring in turn with it."""
    floor = FLOOR if size in (8, 64) and (mode, place) == ("blocking", "two") else ()
    return floor + pingpong_ways(size, mode, place)


def pingpong_ways(size, mode, place):
    if place != "free" and size in (8, 64, 16384) and mode in ("blocking", "epoll"):
        return ALL_SPIN if mode == "blocking" else TCP_SPIN
    return ALL if mode == "blocking" or (mode, place) == ("epoll", "two") else TCP


def pingpong(b):
    seconds = b.pick(0.15, 0.15)
    works = [(size, mode, place) for place in ("two", "one", "free")
             for mode in ("blocking", "poll", "epoll", "epoll-et")
             for size in (1, 8, 64, 1024, 16384)]
    if b.quick:
        works = [(8, "blocking", "two"), (64, "blocking", "two"), (8, "epoll", "two"),
                 (8, "epoll-et", "two"), (8, "poll", "free"), (8, "blocking", "one")]
    for size, mode, place in works:
        def run(variant, size=size, mode=mode, place=place):
            if variant in FLOOR:
                return bare_ring(b, size, variant)
            family = machine.VARIANTS[variant][0]
            return b.on.own("pingpong", [
                "--family", family, "--warmup", "500", "--seconds", str(seconds), str(size),
                "400000", mode, place], variant, seconds)
        variants = (FLOOR + TCP if b.quick and size == 64 else
                    pingpong_variants(size, mode, place))
        compared = size in (8, 64) and place == "two" and mode != "poll"
        yield Row("pingpong", f"{size} B {mode}", place, variants, run,
                  seconds + 0.07, times=b.pick(4, 1) if compared else 1)


def stream(b, section, program):
    seconds = b.pick(0.35, 0.2)
    works = [(size, "two") for size in (8, 64, 1024, 16384, 131072, 1048576)]
    works += [(size, "one") for size in (64, 16384, 1048576)] + [(16384, "free")]
    if b.quick:
        works = [(64, "two"), (16384, "two"), (16384, "one")]
    for size, place in works:
        def run(variant, size=size, place=place):
            family = machine.VARIANTS[variant][0]
            return b.on.own(program, ["--family", family, str(size), str(seconds), place],
                            variant, seconds)
        spin = size in (64, 16384) and place != "free" and not b.quick
        yield Row(section, f"{size} B", place, ALL_SPIN if spin else ALL, run,
                  seconds + 0.05, times=b.pick(3, 1) if place == "two" else 1)


def oneway(b):
    yield from stream(b, "oneway", "oneway")


def twoway(b):
    yield from stream(b, "twoway", "twoway")


def connrate(b):
    count = b.pick(3000, 1500)
    works = [("plain", "two"), ("epoll", "two"), ("plain", "one"), ("epoll", "one"),
             ("plain", "free"), ("epoll", "free")]
    if b.quick:
        works = [("plain", "two")]
    for server, place in works:
        def run(variant, server=server, place=place):
            family = machine.VARIANTS[variant][0]
            return b.on.own("connrate", ["--family", family, str(count), server, place],
                            variant, 1)
        yield Row("connrate", f"connect, 64 B, close, {server} server", place, ALL, run, 0.3,
                  times=b.pick(4, 1))


def pairs(b):
    seconds = b.pick(0.4, 0.3)
    works = [(n, hogs) for hogs in (0, 2) for n in (1, 2, 4, 8, 16)]
    if b.quick:
        works = [(4, 0), (16, 2)]
    for nr, hogs in works:
        def run(variant, nr=nr, hogs=hogs):
            family = machine.VARIANTS[variant][0]
            return b.on.own("pairs", ["--family", family, "--hogs", str(hogs), str(nr),
                                      str(seconds)], variant, seconds)
        yield Row("pairs", f"{nr} pairs, {hogs} hogs", "free", TCP_SPIN if not b.quick else TCP,
                  run, seconds + 0.15, note="free on two processors",
                  times=b.pick(2, 1) if hogs else 1)


# ---- echo.c and load.c ---------------------------------------------------------


class Loaded:
    """echo.c and load.c at work: load held open after its count, until the end of a with."""

    def __init__(self, b, variant, place, connections, args, seconds):
        self.b = b
        self.on = b.on
        self.seconds = seconds
        self.hard = machine.raise_descriptors(4 * connections + 4096)
        # The hidden descriptors of the library lie above the soft limit
        soft = connections + 256
        if soft > self.hard:
            raise machine.Failed(f"{self.hard} descriptors at most")
        limits = (soft, self.hard)
        self.stats = os.path.join(b.on.tmp, "stats")
        if os.path.exists(self.stats):
            os.unlink(self.stats)
        self.echo = self.client = None
        family = machine.VARIANTS[variant][0]
        self.echo = b.on.start([b.on.program("echo"), family], variant, place,
                               descriptors=limits)
        try:
            machine.wait_until(lambda: self.echo.output(), self.echo, "echo")
            env = b.on.env(variant, "client", self.stats)
            self.client = machine.Process(
                [b.on.program("load"), "--connections", str(connections), "--hold", "--watch",
                 str(self.echo.pid), *args, self.echo.output()],
                env, b.on.place(place, "client"), b.on.log(), descriptors=limits, pipes=True)
            self.line = self.read_line()
        except Exception:
            self.__exit__()
            raise

    def read_line(self):
        limit = 30 + 4 * self.seconds
        out = self.client.popen.stdout
        ready, _, _ = select.select([out], [], [], limit)
        if not ready:
            raise machine.Failed(f"load: not done after {limit:.0f} s")
        text = out.readline().decode()
        if not text.endswith("\n"):
            raise machine.Failed(f"load: {self.client.why()}")
        return text

    def finish(self, variant):
        """The client ends by itself, and says what went by ring."""
        self.client.popen.stdin.close()
        self.client.popen.stdin = None
        status = self.client.wait(30)
        if status is None:
            raise machine.Failed("load does not end")
        if status:
            raise machine.Failed(f"load: status {status}: {self.client.why()}")
        return self.on.share(variant, self.stats)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.client:
            self.client.end()
        if self.echo in self.on.servers:
            self.on.stop(self.echo)


def connections(b):
    seconds = b.pick(0.5, 0.3)
    works = [(100, 100), (1000, 0), (1000, 1), (1000, 10), (1000, 100),
             (10000, 0), (10000, 1), (10000, 10), (10000, 100)]
    if b.quick:
        works = [(100, 100), (10000, 0), (10000, 1)]
    for nr, percent in works:
        active = nr * percent // 100

        def run(variant, nr=nr, active=active):
            args = ["--active", str(active), "--bytes", "64", "--seconds", str(seconds)]
            with Loaded(b, variant, "free", nr, args, seconds) as at:
                figures_of = machine.figures.of_line(at.line)
                rate = figures_of.get("rate", 0)
                ends = [at.echo.memory(), at.client.memory()]
                out = {name: sum(end[i] for end in ends) / nr
                       for i, name in enumerate(("memory", "tables", "descriptors"))}
                if rate:
                    out.update({m: figures_of[m] for m in ("rate", "p50", "p99", "cpu")})
                    out["cost"] = 1e9 / rate
                out.update(at.finish(variant))
            return out
        full = 2 * nr + 256 > machine.raise_descriptors(4 * nr + 4096)
        yield Row("connections", f"{nr}, {percent} % active", "free", TCP, run,
                  seconds + nr / 4000, most_repeats=3,
                  note="too few descriptors for all to go by ring" if full else "")


def idle(b):
    wait = 5
    variants = b.pick(ALL, TCP)

    def run(variant):
        with Loaded(b, variant, "free", 1000, ["--seconds", "0"], wait) as at:
            time.sleep(0.5)
            before = at.echo.cpu_ns() + at.client.cpu_ns()
            time.sleep(wait)
            ns = at.echo.cpu_ns() + at.client.cpu_ns() - before
            return {"idle": ns / 1e6, **at.finish(variant)}
    yield Row("idle", f"1000 streams, {wait} s", "free", variants, run, wait + 1,
              most_repeats=2)


def offered(b):
    seconds = b.pick(0.6, 0.4)
    works = [(rate, place) for place in ("two", "one", "free")
             for rate in (1000, 10000, 100000)]
    if b.quick:
        works = [(10000, "two")]
    for rate, place in works:
        def run(variant, rate=rate, place=place):
            args = ["--rate", str(rate), "--bytes", "64", "--seconds", str(seconds)]
            with Loaded(b, variant, place, 16, args, seconds) as at:
                return {**machine.figures.of_line(at.line), **at.finish(variant)}
        yield Row("offered", f"{rate} messages/s, 16 connections", place,
                  TCP_SPIN if not b.quick else TCP, run, seconds + 0.2,
                  times=b.pick(3, 1) if rate < 100000 else 1)


def onesided(b):
    """Only one end preloaded: nothing can go by ring, and nothing may be lost by it."""
    seconds = b.pick(0.4, 0.2)
    for place in b.pick(("two", "one", "free"), ("free",)):
        def run(variant, place=place):
            with Loaded(b, variant, place, 1, ["--bytes", "64", "--seconds", str(seconds)],
                        seconds) as at:
                return {**machine.figures.of_line(at.line), **at.finish(variant)}
        yield Row("onesided", "64 B, libev", place, ("tcp", "server-only", "client-only"), run,
                  seconds + 0.2)


# ---- what the library costs where it does nothing -------------------------------


def startup(b):
    count = b.pick(300, 100)
    for place in ("one", "free"):
        def run(variant, place=place):
            preload = []
            if machine.VARIANTS[variant][1]:
                preload = ["--set", "LD_PRELOAD=" + b.on.library]
            # The program itself is never preloaded: only what it starts
            text, _ = b.on.run([b.on.program("startup"), *preload, str(count), place], "tcp", 2)
            return machine.figures.of_line(text)
        yield Row("startup", "bin true", place, TCP, run, 0.5)


def passthrough(b):
    seconds = b.pick(0.2, 0.1)
    works = [("pipe", "pipe, per call", seconds), ("file", "file, per call", seconds),
             ("connection", "a connection, both ends in one process", 5 * seconds)]
    for kind, what, span in works:
        def run(variant, kind=kind, span=span):
            return b.on.own("callcost", [kind, str(span)], variant, span)
        yield Row("passthrough", what, "one", TCP, run, span + 0.05)
    for kind in ("recv", "poll"):
        def run_stream(variant, kind=kind):
            echo = b.on.start([b.on.program("echo"), "tcp4"], "tcp", "two")
            try:
                machine.wait_until(lambda: echo.output(), echo, "echo")
                return b.on.own("callcost", [kind, str(seconds), echo.output()], variant,
                                seconds)
            finally:
                b.on.stop(echo)
        yield Row("passthrough", f"{kind} of a stream whose peer is plain, per call", "one", TCP,
                  run_stream, seconds + 0.1)
