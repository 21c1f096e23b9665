# SPDX-License-Identifier: MIT
"""
The kinds of suites: how one is started, and how the outcome of each test is read.

A kind has
  command(unit, only, folder)   argv that runs one unit (module, program), or of it the one
                                test `only`, in `folder`, which is empty and its own
  single(test)                  can it be `only`?
  last_started(log)             the test whose end the log does not tell, if it can be left out
  outcomes(unit, folder, log)   {test: outcome} of what ran; outcome is ok, FAIL, ERROR, skip,
                                xfail or xpass

Outcomes hold no time, number of a process or address: two runs that went alike are equal.
"""
import os
import re
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
BUILT = os.path.join(BUILD, "suites")       # what fetch.sh made
PYTHON = "/usr/bin/python3"


class Kind:
    def last_started(self, log):
        return None


class Regrtest(Kind):
    """CPython's own tests, by its own runner.  Its XML names every test; of one whose subtests
    failed it keeps an element without a name, which the list at the end of the log completes.
    A unit is a module, or module/pattern.

    Nothing may leave this machine, so the resource "network" is not given; but the servers of
    LOOPBACK ask for it and use loopback only."""

    LOOPBACK = ("test_socketserver",)

    def command(self, unit, only, folder):
        argv = [PYTHON, "-m", "test", "-v", "--fail-env-changed",
                "--tempdir", folder, "--junit-xml", os.path.join(folder, "junit.xml")]
        module, _, pattern = unit.partition("/")
        only = only or pattern
        argv += ["-u", "network"] if module in self.LOOPBACK else []
        return argv + (["-m", only] if only else []) + [module]

    def outcomes(self, unit, folder, log):
        found = {}
        try:
            tree = ET.parse(os.path.join(folder, "junit.xml"))
        except (OSError, ET.ParseError):
            return found
        for case in tree.iter("testcase"):
            name = case.get("name")
            if name is None:
                continue
            outcome = "ok"
            for tag, word in (("failure", "FAIL"), ("error", "ERROR"), ("skipped", "skip"),
                              ("output", "xfail"), ("outcome", "xpass")):
                if case.find(tag) is not None:
                    outcome = word
            found[name] = outcome
        for word, name in re.findall(r"^(FAIL|ERROR): \S+ \(([\w.]+)\)", log, re.M):
            found.setdefault(name, word)
        if re.search(rf"^{re.escape(unit.split('/')[0])} skipped", log, re.M):
            found.setdefault(unit, "skip")
        return found

    def last_started(self, log):
        said = re.findall(r"^\w+ \(([\w.]+)\).*? \.\.\. ", log, re.M)
        return said[-1] if said else None

    def single(self, test):
        """True when the test can be run by itself."""
        return test.startswith("test.") and "(" not in test


class Trial(Kind):
    """Twisted's tests, by its own runner: "name ... [OK]", with what the test printed between."""

    WORDS = {"OK": "ok", "SKIPPED": "skip", "FAILURE": "FAIL", "ERROR": "ERROR", "TODO": "xfail",
             "SUCCESS!?!": "xpass"}

    def command(self, unit, only, folder):
        return [PYTHON, "-m", "twisted.trial", "--reporter=bwverbose", only or unit]

    def outcomes(self, unit, folder, log):
        found = {}
        for name, word in re.findall(
                r"^(twisted\.[\w.]+) \.\.\. .*?"
                r"\[(OK|SKIPPED|FAILURE|ERROR|TODO|SUCCESS!\?!)\]$", log, re.M | re.S):
            found[name] = self.WORDS[word]
        return found

    def single(self, test):
        return test.startswith("twisted.") and "(" not in test


class Libuv(Kind):
    """libuv's tests: one process for each and its helpers, TAP.  Always the same port."""

    def command(self, unit, only, folder):
        os.mkdir(os.path.join(folder, "test"))
        os.symlink(os.path.join(BUILT, "libuv/source/test/fixtures"),
                   os.path.join(folder, "test/fixtures"))
        return [os.path.join(BUILT, "libuv/uv_run_tests")] + ([only] if only else [])

    def outcomes(self, unit, folder, log):
        found = {}
        for no, name, skip in re.findall(r"^(not )?ok \d+ - (\w+)( # SKIP)?", log, re.M):
            found[name] = "skip" if skip else "FAIL" if no else "ok"
        return found

    def single(self, test):
        return "(" not in test


class Libevent(Kind):
    """libevent's tests, most of them in a process of their own; a unit is a group of them with
    one of its backends."""

    BACKENDS = ("EPOLL", "POLL", "SELECT")

    def command(self, unit, only, folder):
        backend, _, group = unit.partition("/")
        env = [f"EVENT_NO{b}=yes" for b in self.BACKENDS if not backend.startswith(b)]
        env += ["EVENT_EPOLL_USE_CHANGELIST=yes"] if backend == "EPOLL+changelist" else []
        return ["env", *env, os.path.join(BUILT, "libevent/regress"), only or group + "/.."]

    def outcomes(self, unit, folder, log):
        found = {}
        for name, said in re.findall(
                r"^(\w+/\w+): (.*?(?:\bOK|SKIPPED|DISABLED|FAILED\]?))$", log, re.M | re.S):
            found[name] = ("FAIL" if "FAILED" in said else "skip" if said.endswith("ED")
                           else "ok")
        return found

    def single(self, test):
        return "(" not in test
