#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
detect.py [--keep] LIBRARY NAME... - the bypass detector (make bypass).

Runs the scenarios of programs.bash under strace, everything in them preloaded, and reports each
system call on a stream of the library that the library did not make.  TAP: one line for each
scenario, not ok if a finding stands that allow.list has no reason for.  The scenario "self"
reports for each way of sly.c whether it was found.

Exit status: 0 nothing found, 1 something, 2 the detector could not run.
"""
import argparse
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import strace_text
from streams import Names, Trace

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
LIMIT_SECONDS = int(os.environ.get("BYPASS_SECONDS", "150"))

# Calls that name a descriptor that may be a stream's, and those that make processes.
CALLS = (
    "read write readv writev preadv2 pwritev2 recvfrom recvmsg "
    "recvmmsg sendto sendmsg sendmmsg sendfile splice close close_range dup dup2 dup3 fcntl "
    "ioctl socket socketpair bind listen connect accept accept4 shutdown getsockopt setsockopt "
    "getsockname getpeername poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl "
    "epoll_wait epoll_pwait epoll_pwait2 io_submit io_uring_setup io_uring_enter "
    "io_uring_register clone clone3 fork vfork execve execveat"
).split()

# -D: the program is the child of who started it, not of strace.
STRACE = ("strace", "-D", "-f", "--seccomp-bpf", "-k", "-y", "-s", "64", "-e", "signal=none",
          "-e", "abbrev=execve", "-e", "trace=" + ",".join(CALLS))

PR_SET_CHILD_SUBREAPER = 36
SKIPPED = 77

# What each way of sly.c is reported as.
SLY = {
    "clean": None, "write": "write", "recvfrom": "recvfrom", "close": "close",
    "close_range": "close_range", "dup": "dup", "dup2": "dup2",
    "fcntl": "fcntl(F_SETFL)", "poll": "poll", "epoll": "epoll_wait", "fork": "fork",
    "handle": "close",
}


def children():
    """parent -> pids, of all processes."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        found.setdefault(parent, []).append(int(name))
    return found


def nothing_runs(seconds):
    """Waits so long for the processes that this one started, and those that their parents left
    to it (the straces); then kills them.  True if there was nothing to kill."""
    until, killed = time.monotonic() + seconds, False
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return not killed
        if time.monotonic() > until:
            killed = True
            tree, todo = children(), [os.getpid()]
            while todo:
                below = tree.get(todo.pop(), [])
                todo += below
                for pid in below:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
        time.sleep(0.02)


class Allowed:
    """allow.list: program, call and frame (patterns of a shell), then the reason."""
    def __init__(self, path):
        self.entries = []
        with open(path, encoding="utf-8") as f:
            for line in f:
                part = line.split(None, 3)
                if not part or part[0].startswith("#"):
                    continue
                if len(part) != 4:
                    raise SystemExit(f"{path}: no reason: {line.rstrip()}")
                self.entries.append(part)

    def reason(self, finding):
        for program, call, frame, why in self.entries:
            if finding.matches(program, call, frame):
                return why.strip()
        return ""


class Run:
    """One scenario; each of its programs under a strace of its own."""
    def __init__(self, name, library, keep):
        self.name, self.why, self.trace, self.skipped, self.noticed = name, "", None, "", 0
        # world-readable: servers run as users who may not reach the build directory
        self.dir = tempfile.mkdtemp(prefix="shmfd-bypass.")
        os.chmod(self.dir, 0o755)
        self.log = self.path("log")
        with open(self.log, "w", encoding="ascii"):
            os.chmod(self.log, 0o666)
        os.mkdir(self.path("traces"))
        started = time.monotonic()
        self.run(library)
        self.seconds = time.monotonic() - started
        if keep:
            print(f"# {name}: the traces are in {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, library):
        env = dict(os.environ, APPS_BUILD=os.path.dirname(library), BYPASS_LOG=self.log,
                   BYPASS_PREPARED=self.path("prepared"), BYPASS_TRACES=self.path("traces"),
                   BYPASS_STRACE=" ".join(STRACE),
                   # each folder is one more exec to try
                   PATH="/usr/local/bin:/usr/bin:/bin")
        command = ["bash", os.path.join(HERE, "programs.bash")]
        subprocess.run(command + ["--prepare", self.name], env=env, check=False,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with open(self.path("out"), "wb") as f:
            proc = subprocess.Popen(command + [self.name], env=env, stdin=subprocess.DEVNULL,
                                    stdout=f, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                status = proc.wait(LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                status = None
        if not nothing_runs(0 if status is None else 10):
            self.why = "processes were left behind"
        with open(self.path("out"), encoding="utf-8", errors="replace") as f:
            said = f.read().splitlines()
        if status == SKIPPED:
            self.skipped = said[-1] if said else "?"
            return
        if status is None:
            self.why = f"not done after {LIMIT_SECONDS} s"
        elif status:
            self.why = f"exit status {status}"
        for line in said[-12:] if self.why else []:
            print(f"# | {line[:200]}")
        self.trace = Trace(Names(os.path.join(TOP, "preload", "calls.def")))
        for name in sorted(os.listdir(self.path("traces"))):
            path = os.path.join(self.path("traces"), name)
            with open(path, encoding="utf-8", errors="replace") as f:
                self.trace.read(list(strace_text.read(f)))
        with open(self.log, encoding="utf-8", errors="replace") as f:
            self.noticed = sum("bytes moved unseen" in line for line in f)


def show(finding):
    print(f"#   {finding.program}: {finding.call}, {finding.times} times; "
          f"the first: {finding.example}")
    print("#     " + " <- ".join(finding.frames[:6]))
    print("#     " + (f"allowed: {finding.allowed}" if finding.allowed else "BYPASS"))


def counts(counter):
    return " ".join(f"{name} {n}" for name, n in sorted(counter.items())) or "none"


def judge(run, allowed):
    """Prints what a scenario showed; the reason why it is not ok, or ""."""
    trace = run.trace
    findings = list(trace.findings.values())
    for finding in findings:
        finding.allowed = finding.allowed or allowed.reason(finding)
    bad = [f for f in findings if not f.allowed]
    print(f"# {run.name}: {trace.made} streams, {trace.own} calls on them by the library; "
          f"left to the kernel: {counts(trace.left)}; only asked: {counts(trace.asked)}; "
          f"{trace.cut} did not return; {run.seconds:.0f} s")
    for finding in sorted(findings, key=lambda f: (bool(f.allowed), f.key())):
        show(finding)
    if run.why:
        return run.why
    if bad:
        return f"{len(bad)} kinds of bypass"
    if run.noticed:
        return f"the library saw bytes move unseen, {run.noticed} times: the detector is blind"
    if trace.made < 2 or not trace.own:
        return "no stream was seen: the scenario shows nothing"
    return ""


class Tap:
    def __init__(self, total):
        self.nr, self.failed = 0, 0
        print(f"1..{total}")

    def line(self, name, why="", skipped=""):
        self.nr += 1
        self.failed += bool(why)
        tail = f" # skip {skipped}" if skipped else f": {why}" if why else ""
        print(f"{'not ok' if why else 'ok'} {self.nr} - {name}{tail}", flush=True)


def self_test(tap, run):
    """Each way of sly.c is a program of its own name; it must be found as that and no other."""
    for way, want in SLY.items():
        found = [] if not run.trace else [
            f for f in run.trace.findings.values() if f.program == f"sly-{way}"]
        bad = [f.call for f in found if not f.allowed]
        why = run.why or ("" if bad == ([want] if want else []) else f"found {bad}")
        if why:
            for finding in found:
                show(finding)
        tap.line(f"self: {way} is found as {want}" if want else
                 f"self: a program that passes nothing by ({way}) is not found", why)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--keep", action="store_true", help="keep the traces")
    parser.add_argument("library")
    parser.add_argument("name", nargs="+")
    args = parser.parse_args()
    if not shutil.which("strace"):
        print("Bail out! strace is not installed")
        return 2
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    allowed = Allowed(os.path.join(HERE, "allow.list"))
    tap = Tap(sum(len(SLY) if name == "self" else 1 for name in args.name))
    for name in args.name:
        run = Run(name, os.path.abspath(args.library), args.keep)
        if name == "self":
            self_test(tap, run)
        elif run.skipped:
            tap.line(f"bypass: {name}", skipped=run.skipped)
        else:
            tap.line(f"bypass: {name}", judge(run, allowed) if run.trace else run.why)
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
