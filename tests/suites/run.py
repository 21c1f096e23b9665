#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
run.py [--quick] [--modes M,M] [--keep DIR] [SUITE[:UNIT] ...] - third-party test suites, plain
and preloaded.

Each unit of each suite runs on the plain kernel and in each mode; every test must have the same
outcome.  What the tests say about themselves is not judged: a test that fails in both is equal.

  plain     without the library: the oracle
  after0    preloaded, SHMFD_AFTER=0: also short connections go by ring
  eager     that, and SHMFD_TEST_EAGER=1: streams within one process meet at once
  default   preloaded, nothing set

A test whose outcome differs is run again by itself, TRIES times in either mode, and if that
shows nothing its unit as a whole.  It is
  a difference   when a repetition, preloaded, ends as no plain run ever did
  unstable       when a plain run ended that way, too
  seen once      when no repetition shows it; it is printed, and does not fail the suite
A unit that ran nothing, timed out or died is run again, and a difference in itself unless that
happened to the plain run, too.  So is a suite whose streams carried no byte by ring.  There is no
list of tests to leave out; one in which the plain run hangs is printed, and runs in no mode.

Prints one TAP line per suite and mode.
"""
import argparse
import concurrent.futures
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import kinds
import suites

LIB = os.path.join(kinds.BUILD, "libshmfd.so")
MODES = {
    "plain": None,
    "after0": {"SHMFD_AFTER": "0"},
    "eager": {"SHMFD_AFTER": "0", "SHMFD_TEST_EAGER": "1"},
    "default": {},
}
TRIES = 5
TRIES_WHOLE = 2
TIMED_OUT, STANDS = "timed out", "stands still"
ATTEMPTS = 3        # at a unit that times out, dies or runs nothing
MANY = 12           # more differences than this in a unit: it is repeated only as a whole
say_lock = threading.Lock()


def say(text):
    with say_lock:
        print(text, flush=True)


class Run:
    """One unit, or one test of it, in one mode."""

    def __init__(self, suite, unit, mode, only=None, hangs=()):
        self.suite, self.unit, self.mode, self.only = suite, unit, mode, only
        self.hangs = list(hangs)
        self.stood_in = None    # the test in which the run stood still
        self.folder = None
        self.outcomes = {}
        self.sums = {}
        self.failed = []        # the troubles of attempts before this one, and its own
        self.seconds = 0

    def environment(self, folder):
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": folder,
               "TMPDIR": folder, "LC_ALL": "C.UTF-8", "USER": "nobody", "LOGNAME": "nobody"}
        env.update(self.suite.environment)
        if MODES[self.mode] is not None:
            env.update({"LD_PRELOAD": LIB, "SHMFD_STATS": os.path.join(self.folder, "stats")})
            env.update(MODES[self.mode])
        return env

    def start(self, base):
        self.folder = tempfile.mkdtemp(prefix=f"{self.unit.replace('/', '.')}.{self.mode}.",
                                       dir=base)
        folder = os.path.join(self.folder, "t")
        os.mkdir(folder)
        log = os.path.join(self.folder, "log")
        started = time.monotonic()
        with open(log, "wb") as out:
            argv = self.suite.kind.command(self.unit, self.only, folder)
            argv += [word for test in self.hangs for word in ("-i", test)]
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     cwd=folder, env=self.environment(folder),
                                     start_new_session=True)
            status = self.watch(child, out)
            end_group(child)
        self.seconds = time.monotonic() - started
        with open(log, encoding="utf-8", errors="replace") as f:
            text = f.read()
        self.outcomes = dict(self.suite.kind.outcomes(self.unit, folder, text))
        if status == STANDS:
            self.stood_in = self.suite.kind.last_started(text)
        if not self.only:
            self.outcomes[exit_status(self.unit)] = str(status)
        self.sums = sums(os.path.join(self.folder, "stats"))
        shutil.rmtree(folder, ignore_errors=True)
        if not self.only:
            say(f"# {self.seconds:4.0f} s {len(self.outcomes) - 1:5} tests "
                f"{self.suite.name}:{self.unit} {self.mode}")
        return self

    def watch(self, child, out):
        """The exit status; or what it is ended for: time, or a log that no longer grows."""
        end = time.monotonic() + self.suite.timeout
        size, grown = 0, time.monotonic()
        while time.monotonic() < end:
            try:
                return child.wait(1)
            except subprocess.TimeoutExpired:
                pass
            if os.fstat(out.fileno()).st_size != size:
                size, grown = os.fstat(out.fileno()).st_size, time.monotonic()
            if time.monotonic() - grown > self.suite.patience:
                return STANDS
        return TIMED_OUT

    def trouble(self):
        """Why this run can not be compared, or None."""
        status = self.outcomes.get(exit_status(self.unit))
        if status == TIMED_OUT:
            return f"not done after {self.suite.timeout} s"
        if status == STANDS:
            return f"stood still for {self.suite.patience} s in {self.stood_in or 'a test'}"
        if status and status.startswith("-"):
            return f"ended by signal {status[1:]}"
        # a unit that could not be loaded is an ERROR of its own name
        if set(self.outcomes) <= {exit_status(self.unit), self.unit}:
            return "ran no test"
        return None


def run_unit(suite, unit, modes, base):
    """A run in each mode that can be compared, at the third attempt at the latest; they know of
    the others.  A test in which the plain run stands still is left out in all modes."""
    done, hangs = [], []
    for mode in modes:
        failed = []
        for _ in range(ATTEMPTS):
            run = Run(suite, unit, mode, hangs=hangs).start(base)
            run.failed = failed
            if not run.trouble():
                break
            failed.append(f"{unit} {mode}: {run.trouble()}, see {run.folder}/log")
            if mode == "plain" and run.stood_in:
                hangs.append(run.stood_in)
        done.append(run)
    return done


def end_group(child):
    """A suite may leave processes behind; they end with it."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def exit_status(unit):
    return f"{unit} (exit status)"


def sums(path):
    """What the processes of a run said they did: {field: sum}."""
    total = dict.fromkeys(("streams", "promoted", "ring_rx_bytes"), 0)
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            words = f.read().split()
    except OSError:
        words = []
    for name, _, value in (w.partition("=") for w in words):
        if name in total:
            total[name] += int(value)
    return total


def differing(plain, other):
    return sorted(t for t in {*plain.outcomes, *other.outcomes}
                  if plain.outcomes.get(t) != other.outcomes.get(t))


def repeat(suite, unit, tests, tries, mode, base, outcomes):
    """Runs the tests again, plain and in the mode in turn; adds to outcomes[test][mode]."""
    for only in tests:
        for m in ("plain", mode) * tries:
            run = Run(suite, unit, m, only).start(base)
            for test in outcomes:
                if only in (None, test):
                    outcomes[test][m].append(run.outcomes.get(test))


def verdict(was, now, plain, other):
    """was, now: the first outcomes; plain, other: those of the repetitions."""
    known = {was, *plain}
    if set(other) - known:
        return "differs"
    return "unstable" if now in known else "seen once"


def decide(suite, plain, other, base):
    """Of each test that differs: [(test, verdict, detail)]."""
    tests = differing(plain, other)
    status = exit_status(plain.unit)
    if status in tests and len(tests) > 1:
        tests.remove(status)    # follows from the others
    if not tests:
        return []
    first = {t: (plain.outcomes.get(t), other.outcomes.get(t)) for t in tests}
    again = {t: {"plain": [], other.mode: []} for t in tests}
    single = [t for t in tests if suite.kind.single(t)]
    if len(single) <= MANY:
        repeat(suite, plain.unit, single, TRIES, other.mode, base, again)

    def verdicts():
        return {t: verdict(*first[t], again[t]["plain"], again[t][other.mode]) for t in tests}

    if "seen once" in verdicts().values():
        repeat(suite, plain.unit, [None], TRIES_WHOLE, other.mode, base, again)
    return [(t, v, f"plain {first[t][0]}, {other.mode} {first[t][1]}; again: plain "
                   f"{tally(again[t]['plain'])}, {other.mode} {tally(again[t][other.mode])}")
            for t, v in verdicts().items()]


def tally(outcomes):
    return " ".join(f"{outcomes.count(o)}x {o}" for o in sorted(set(outcomes), key=str))


def judge(suite, mode, runs, base):
    """Compares one suite in one mode with its plain runs: a summary, problems and notes."""
    problems, notes, counts, total = [], [], {}, {}
    for unit in suite.units:
        plain, other = runs[suite.name, unit, "plain"], runs[suite.name, unit, mode]
        troubled = plain.trouble() or other.trouble()
        # a test that hangs now and then on the plain kernel is no difference
        fatal = troubled or (other.failed and not plain.failed)
        if fatal:
            problems += plain.failed + other.failed
        else:       # what is to be seen there is not kept
            notes += [line.partition(", see ")[0] for line in plain.failed + other.failed]
        for test, how, detail in [] if troubled else decide(suite, plain, other, base):
            (problems if how == "differs" else notes).append(f"{test}: {how}: {detail}")
        for test, outcome in other.outcomes.items():
            if test != exit_status(unit):
                counts[outcome] = counts.get(outcome, 0) + 1
        for field, value in other.sums.items():
            total[field] = total.get(field, 0) + value
    if not total["ring_rx_bytes"]:
        problems.append("no byte went by ring")
    words = ", ".join(f"{n} {o}" for o, n in sorted(counts.items()))
    return (f"{sum(counts.values())} tests of {len(suite.units)} units as plain: {words}; "
            f"{total['promoted']} of {total['streams']} streams promoted, "
            f"{total['ring_rx_bytes']} bytes by ring"), problems, notes


def alone():
    """Some tests use ports and paths that are the machine's: one run at a time.  The name goes
    with the process."""
    lock = socket.socket(socket.AF_UNIX)
    waited = False
    while True:
        try:
            lock.bind("\0shmfd-tests-suites")
            return lock
        except OSError:
            if not waited:
                say("# another run is under way on this machine: waiting for its end")
            waited = True
            time.sleep(1)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--modes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() + 1)
    parser.add_argument("--keep")
    parser.add_argument("which", nargs="*")
    return parser.parse_args()


def own_network():
    """
    Begins anew in a network where only loopback is, if this user may make one: some tests ask
    an address outside, and their outcome depends on who answers, and how soon (libuv's
    tcp_close_while_connecting).
    """
    mark = "SHMFD_SUITES_NETWORK"
    may = ["unshare", "--net", "true"]
    if mark in os.environ or subprocess.run(may, stderr=subprocess.DEVNULL, check=False).returncode:
        return
    os.environ[mark] = "own"
    # the address of a link is what a third of Twisted's tests want
    loopback = 'ip link set lo up && ip address add fe80::1/64 dev lo nodad && exec "$@"'
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", loopback, "sh", sys.executable, "-B",
                          *sys.argv])


def main():
    args = parse()
    own_network()
    modes = (args.modes or ("eager" if args.quick else "eager,after0,default")).split(",")
    chosen = suites.chosen(args.which, args.quick)
    if not chosen:
        sys.exit("run.py: no such suite or unit: " + " ".join(args.which))
    lock = alone()
    base = args.keep or tempfile.mkdtemp(prefix="suites.")
    os.makedirs(base, exist_ok=True)
    pool = concurrent.futures.ThreadPoolExecutor(args.jobs)
    runs = {}
    # Not two modes of a unit at a time: some tests use a name that is the machine's.
    for suite in chosen:
        for unit in suite.units:
            runs[suite.name, unit] = pool.submit(
                run_unit, suite, unit, ["plain"] + modes, base)
    runs = {(*key, run.mode): run for key, job in runs.items() for run in job.result()}
    print(f"1..{len(chosen) * len(modes)}")
    bad = nr = 0
    for suite in chosen:
        for mode in modes:
            nr += 1
            summary, problems, notes = judge(suite, mode, runs, base)
            say(f"{'not ok' if problems else 'ok'} {nr} - {suite.name} {mode}: {summary}")
            for line in problems + notes:
                say(f"# {line}")
            bad += bool(problems)
    if args.keep is None and not bad:
        shutil.rmtree(base, ignore_errors=True)
    elif bad:
        say(f"# kept in {base}")
    lock.close()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
