#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
run.py [--quick] [--build DIR] [--list] - the benchmark: kernel sockets and libshmfd side by side.

Usually started by `make bench` or `make bench-quick`.  Rows and sections are in rows.py and
apps.py.  All rows of a section and their variants run in turn, as often as there are repeats;
shown are medians, with half the distance from least to most.  A sample of two processors is taken
anew (SAMPLE_TRIES) when these are not at their usual distance (figures.Distance).  Results go to
DIR/bench: table.md, runs.csv, medians.csv, machine.csv, and *.svg where gnuplot is installed.

    BENCH_SECTIONS="redis nginx"    only these
    BENCH_ONLY=TEXT                 only rows with this in their name (section/work/placement)
    BENCH_REPEATS=N                 5, or 1 with --quick
    BENCH_NETWORK=host              not in a network of its own, which root gets

It asserts no speed.  Exit status 1 when a program failed; its row says so.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True      # nothing is written beside the sources

import apps
import figures
import machine
import report
import rows

SECTIONS = {f.__name__: f for f in (
    rows.floors, rows.pingpong, rows.oneway, rows.twoway, apps.redis, apps.nginx, apps.proxy,
    apps.pgbench, apps.memcached, rows.connrate, rows.idle, rows.pairs, rows.connections,
    rows.offered, rows.startup, rows.passthrough, rows.onesided, apps.languages)}


def settings_of(args):
    chosen = os.environ.get("BENCH_SECTIONS", "").replace(",", " ").split() or list(SECTIONS)
    unknown = [name for name in chosen if name not in SECTIONS]
    repeats = os.environ.get("BENCH_REPEATS", "1" if args.quick else "5")
    if unknown or not repeats.isdigit() or not 1 <= int(repeats) <= 99:
        print(f"run.py: BENCH_SECTIONS knows {' '.join(SECTIONS)}; BENCH_REPEATS is 1 to 99",
              file=sys.stderr)
        sys.exit(2)
    return chosen, int(repeats)


LINE_TRIES, SAMPLE_TRIES = 15, 4
# One processor is enough for these, or they take too long to be tried again
NO_DISTANCE = {"startup", "passthrough", "idle", "connections", "languages"}


class Run:
    def __init__(self, out, plan, repeats, on):
        self.out = out
        self.repeats = repeats
        self.on = on
        self.distance = figures.Distance([self.line() for _ in range(LINE_TRIES)]
                                         if on.has_two else [])
        self.all = sum(self.times(row) * row.times * len(row.variants)
                       for row in plan if not row.skip)
        self.done = 0
        self.failed = []
        self.began = time.monotonic()

    def times(self, row):
        return min(self.repeats, row.most_repeats)

    def progress(self, row, repeat, variant):
        self.done += 1
        spent = time.monotonic() - self.began
        machine.say(f"{spent // 60:3.0f}:{spent % 60:02.0f}  {self.done}/{self.all}  {row.key}: "
                    f"{variant}, {repeat} of {self.times(row)}")

    def line(self):
        return self.on.own("floors", ["line1", "10000"], "floor", 1)["p50"]

    def sample(self, row, variant):
        """One at the usual distance of the processors, if that can be had; and its note."""
        if row.place == "one" or row.section in NO_DISTANCE or not self.on.has_two:
            return row.run(variant), ""
        for tries in range(1, SAMPLE_TRIES + 1):
            before = self.line()
            values = row.run(variant)
            after = self.line()
            usual = self.distance.is_usual(before, after)
            if usual or tries == SAMPLE_TRIES:
                return {**values, "line": max(before, after)}, "" if usual else "far"
        raise AssertionError

    def one(self, row, variant, repeat, broken):
        self.progress(row, repeat, variant)
        if (row.key, variant) in broken:
            return
        try:
            values, note = self.sample(row, variant)
            self.out.add(row, variant, repeat, values, "ok", note)
        except (machine.Failed, ValueError, OSError) as e:
            broken.add((row.key, variant))
            self.failed.append(f"{row.key} ({variant}): {e}")
            self.out.add(row, variant, repeat, {}, f"failed: {e}")

    def rows(self, found):
        """
        A section: one repeat of all rows and their variants after the other, so that what the
        machine does meanwhile comes to all of them.  What fails once is not tried again.
        """
        broken = set()
        for repeat in range(1, self.repeats + 1):
            for row in found:
                if row.skip and repeat == 1:
                    for variant in row.variants:
                        self.out.add(row, variant, 0, {}, "skipped: " + row.skip)
                if row.skip or repeat > self.times(row):
                    continue
                for variant in row.variants * row.times:
                    self.one(row, variant, repeat, broken)


def plan_of(bench, chosen):
    only = os.environ.get("BENCH_ONLY", "")
    plan = [(name, [r for r in SECTIONS[name](bench) if only in r.key]) for name in chosen]
    return [(name, found) for name, found in plan if found]


def measure(args, chosen, repeats, tmp):
    """Returns what failed, and the folder of the results."""
    own_network = machine.own_network()
    control = machine.congestion_control()
    if control != "cubic":
        print(f"run.py: kernel TCP has {control} here, not cubic: ratios of programs that are not "
              "ours say something else", file=sys.stderr)
    on = machine.Machine(args.build, tmp)
    plan = plan_of(rows.Bench(on, args.quick), chosen)
    folder = os.path.join(args.build, "bench")
    out = report.Data(folder, machine.describe(own_network, [
        ("date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("run", f"{'quick' if args.quick else 'full'}, {repeats} repeats, sections " +
         ("all" if chosen == list(SECTIONS) else " ".join(chosen))),
        ("placement", f"two: server on processor {min(on.cpus['server'])}, client on "
                      f"{min(on.cpus['client'])}; one: both on the first; free: the scheduler's"),
    ]))
    run = Run(out, [row for _, found in plan for row in found], repeats, on)
    try:
        for _, found in plan:
            run.rows(found)
            on.stop()
    finally:
        machine.say("")
        on.stop()
        out.close()
        report.write(folder)    # what there is, also when it was interrupted
    return run.failed, folder


def on_signal(number, _):
    raise SystemExit(128 + number)


def main():
    parser = argparse.ArgumentParser(description="libshmfd's benchmark")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--build", default="build")
    parser.add_argument("--list", action="store_true", help="name the rows and run nothing")
    args = parser.parse_args()
    os.environ["LC_ALL"] = "C"
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"    # Debian's daemons
    os.environ.pop("LD_PRELOAD", None)      # the plain programs are plain
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    chosen, repeats = settings_of(args)
    tmp = tempfile.mkdtemp(prefix="shmfd-bench.")
    os.chmod(tmp, 0o755)        # servers are other users
    began = time.monotonic()
    try:
        if args.list:
            bench = rows.Bench(machine.Machine(args.build, tmp), args.quick)
            every = [row for _, found in plan_of(bench, chosen) for row in found]
            for row in every:
                print(row.key, *row.variants)
            seconds = sum(min(repeats, r.most_repeats) * r.times * len(r.variants) * r.seconds
                          for r in every)
            print(f"about {seconds / 60:.0f} minutes")
            return 0
        failed, folder = measure(args, chosen, repeats, tmp)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    print(report.summary(folder))
    for text in failed:
        print("failed: " + text)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes; all of it: {folder}/table.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
