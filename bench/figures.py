# SPDX-License-Identifier: MIT
"""
figures.py - the arithmetic of the benchmark and what it reads from programs' output.

Nothing here runs anything: tests/lint/bench.py tests it.
"""
import re
import statistics

# metric: (unit, what is better).  Every figure is kept in this unit.
METRICS = {
    "p50": ("ns", "less"),
    "p99": ("ns", "less"),
    "p99.9": ("ns", "less"),
    "mean": ("ns", "less"),
    "rate": ("/s", "more"),
    "MB/s": ("MB/s", "more"),
    "cpu": ("CPU s/M", "less"),         # CPU seconds of both ends per million messages
    "cost": ("ns/msg", "less"),         # time per message, all connections together
    "memory": ("B/conn", "less"),       # Pss of both ends per connection
    "tables": ("B/conn", "less"),       # page tables of both ends per connection
    "descriptors": ("/conn", "less"),   # of both ends per connection
    "idle": ("ms", "less"),             # CPU time while nothing happens
    "hogs": ("M steps/s", "more"),      # work of the programs beside
    "call": ("ns/call", "less"),
    "least": ("ns/call", "less"),
    "extra": ("ns/call", None),     # the least beside libc's own function in the same process
    "ring": ("%", None),                # of the client's bytes went by ring
    "line": ("ns", None),               # a round trip of one cache line beside the run
}


def median(values):
    return statistics.median(values)


def spread(values):
    """Half the distance from least to most, in percent of the median."""
    middle = median(values)
    if not middle:
        return 0.0
    return 100.0 * (max(values) - min(values)) / 2 / abs(middle)


def times_better(value, base, metric):
    """How many times better a figure is than that of the base; below 1 is worse."""
    less = METRICS[metric][1] == "less"
    over, under = (base, value) if less else (value, base)
    if not under:
        return None
    return over / under


class Distance:
    """
    How far apart the two processors are while a sample is taken.

    A virtual machine's processors are moved between cores of the machine below: those of one
    cache answer each other in 140 ns, others in 500 ns, within seconds of each other.  Two
    samples compare only at one distance.  The usual one is the median of some tries first.
    """
    TOLERANCE = 1.6

    def __init__(self, tries):
        self.usual = median(tries) if tries else None

    def is_usual(self, *lines):
        return self.usual is None or all(
            self.usual / self.TOLERANCE <= ns <= self.usual * self.TOLERANCE for ns in lines)


# ---- showing -----------------------------------------------------------------


def digits(value):
    """Three digits that count, no more; thousands stay whole."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}"


def scaled(value, unit):
    """The figure in a unit of its size: (number, unit)."""
    if unit == "ns":
        for name, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
            if abs(value) >= size:
                return value / size, name
    if unit == "/s":
        for name, size in (("M/s", 1e6), ("k/s", 1e3)):
            if abs(value) >= size:
                return value / size, name
    if unit == "MB/s" and abs(value) >= 1000:
        return value / 1000, "GB/s"
    if unit == "B/conn" and abs(value) >= 1024:
        return value / 1024, "KiB/conn"
    return value, unit


def show(value, unit):
    number, name = scaled(value, unit)
    return f"{digits(number)} {name}"


# ---- output of our own programs ------------------------------------------------

# what stands behind a number: (metric, factor to its unit)
BEHIND = {
    "MB/s": ("MB/s", 1),
    "M msg/s": ("rate", 1e6),
    "msg/s": ("rate", 1),
    "conn/s": ("rate", 1),
    "trips/s": ("rate", 1),
    "M steps/s": ("hogs", 1),
}
NAMED = {"p50": "p50", "p99": "p99", "p99.9": "p99.9", "mean": "mean", "least": "least",
         "middle": "call", "extra": "extra"}
UNSIGNED = r"[0-9]+(?:\.[0-9]+)?"
NUMBER = f"({UNSIGNED})"


def of_line(text):
    """The figures of a line that a program of this directory prints."""
    out = {}
    # Behind the settings, which are name=number as well
    _, _, figures = text.strip().partition(": ")
    for name, value in re.findall(rf"(\S+)=(-?{UNSIGNED})", figures):
        if name in NAMED:
            out[NAMED[name]] = float(value)
        elif name == "cpu":
            out["cpu"] = float(value) / 1000    # ns a message are s a thousand million
    for behind, (metric, factor) in BEHIND.items():
        hit = re.search(r"(?<![\w=.])" + NUMBER + " " + re.escape(behind) + r"(?!\w)", figures)
        if hit:
            out[metric] = float(hit.group(1)) * factor
    if not out:
        raise ValueError(f"no figures in '{text.strip()[:200]}'")
    return out


def ring_share(text):
    """Percent of the bytes that went by ring, of the lines SHMFD_STATS left; None: no line."""
    sums = {"ring": 0, "kernel": 0}
    hits = re.findall(r"\b(ring|kernel)_[rt]x_bytes=(\d+)", text)
    if not hits:
        return None
    for way, value in hits:
        sums[way] += int(value)
    total = sums["ring"] + sums["kernel"]
    return 100.0 * sums["ring"] / total if total else 0.0


# ---- output of others' programs ------------------------------------------------


def of_redis(text, test):
    """One test's row of `redis-benchmark --csv`."""
    rows = [[cell.strip('"') for cell in line.split(",")] for line in text.splitlines()]
    names = next((r for r in rows if r[0] == "test"), None)
    row = next((r for r in rows if r[0] == test), None)
    if not names or not row:
        raise ValueError(f"no {test} in what redis-benchmark says: '{text[:200]}'")
    cells = dict(zip(names, row))
    return {
        "rate": float(cells["rps"]),
        "p50": float(cells["p50_latency_ms"]) * 1e6,
        "p99": float(cells["p99_latency_ms"]) * 1e6,
    }


UNITS_NS = {"us": 1e3, "ms": 1e6, "s": 1e9, "m": 6e10}


def of_wrk(text):
    """`wrk --latency`; what it counts as an error is one here, too."""
    if re.search(r"Socket errors|Non-2xx", text):
        raise ValueError("wrk saw errors: " + text.strip().splitlines()[-3].strip())
    rate = re.search(r"^Requests/sec:\s+" + NUMBER, text, re.M)
    parts = dict((f"p{p}", float(v) * UNITS_NS[unit]) for p, v, unit in
                 re.findall(r"^\s+(50|99)%\s+" + NUMBER + r"(us|ms|s|m)$", text, re.M))
    if not rate or len(parts) != 2:
        raise ValueError(f"cannot understand what wrk says: '{text[:200]}'")
    return {"rate": float(rate.group(1)), **parts}


def of_pgbench(text):
    failed = re.search(r"number of failed transactions: (\d+)", text)
    rate = re.search(r"^tps = " + NUMBER + r" \(without initial", text, re.M)
    mean = re.search(r"^latency average = " + NUMBER + " ms", text, re.M)
    if not rate or not mean:
        raise ValueError(f"cannot understand what pgbench says: '{text[:200]}'")
    if failed and int(failed.group(1)):
        raise ValueError(f"{failed.group(1)} transactions failed")
    return {"rate": float(rate.group(1)), "mean": float(mean.group(1)) * 1e6}
