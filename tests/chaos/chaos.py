#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chaos.py: works under disturbances, drawn from a seed, until the time is over.

    chaos.py [--minutes M | --rounds N] [--seed S] [--round K] [--self-test] [--keep]
             [--work NAME] [--who WHO] [--build DIR]

Round K of seed S is always drawn the same; each line says how to run it alone.  What one draws
is in draw(); what the works check is in works.py.  Moments are not part of it: a seed repeats
what is done and in which order, not when the machine does it.

TAP on stdout.  The directory of a failed round is kept, and named.  Exit status 1: a round
failed, or the rounds as a whole moved no bytes by ring.
"""
import argparse
import os
import random
import shutil
import sys
import tempfile
import time

import stage as stages
from works import COMPARED, WORKS, needs

HERE = os.path.dirname(os.path.abspath(__file__))


def one_of(rng, *weighted):
    """@weighted: pairs of a value and its weight."""
    values, weights = zip(*weighted)
    return rng.choices(values, weights)[0]


def draw(seed, number, args):
    rng = random.Random("%d.%d" % (seed, number))
    names = [name for name in WORKS if not needs(name)]
    plan = {"work": names[(number - 1) % len(names)]}
    plan["who"] = one_of(rng, ("both", 16), ("plain", 2), ("server", 1), ("client", 1))
    settings = {}
    if rng.random() < 0.7:
        settings["SHMFD_AFTER"] = "0"
    for name, weighted in (
            ("SHMFD_TEST_RETREAT", [(None, 4), (1, 1), (3, 1), (10, 1), (50, 2), (300, 2)]),
            ("SHMFD_RING", [(None, 5), (65536, 2), (16 << 20, 2)]),
            ("SHMFD_SPIN_US", [(None, 3), (0, 2), (1000, 1)])):
        value = one_of(rng, *weighted)
        if value is not None:
            settings[name] = str(value)
    plan["settings"] = settings
    plan["alarm"] = one_of(rng, (None, 4), ("restart", 3), ("break", 3))
    plan["unseen"] = bool(plan["alarm"]) and rng.random() < 0.5
    plan["storm_first"] = rng.random() < 0.5
    plan["lack"] = one_of(rng, (None, 5), (2, 1), (6, 1), (20, 1))
    plan["stops"] = one_of(rng, (None, 5), ("short", 3), ("long", 1))
    plan["kill"] = rng.random() < 0.3
    plan["limit"] = one_of(rng, (None, 5), ("files", 2), ("memory", 1), ("moments", 2))
    plan["hold"] = rng.random() < 0.25
    plan["spoil"] = None
    for name in ("work", "who"):
        if getattr(args, name):
            plan[name] = getattr(args, name)
    return plan, rng


def words(plan):
    out = [plan["work"], plan["who"]]
    out += ["%s=%s" % pair for pair in sorted(plan["settings"].items())]
    for key in ("alarm", "unseen", "lack", "stops", "kill", "hold", "limit", "spoil"):
        if plan[key] is True:
            out.append(key)
        elif plan[key]:
            out.append("%s=%s" % (key, plan[key]))
    return " ".join(out)


class Driver:
    def __init__(self, args):
        self.args = args
        self.done = self.failed = 0
        self.ring, self.rounds = {}, {}	# by work
        self.top = tempfile.mkdtemp(prefix="shmfd-chaos.")
        os.chmod(self.top, 0o755)
        for source in ("libshmfd.so", "tests/chaos/storm.so", "tests/chaos/lack.so"):
            shutil.copy(os.path.join(args.build, source), self.top)

    def report(self, ok, text, why=""):
        self.done += 1
        self.failed += not ok
        print("%sok %d - %s" % ("" if ok else "not ", self.done, text))
        for line in why.splitlines():
            print("#   " + line)
        sys.stdout.flush()

    def play(self, plan, rng):
        """One round: None, or what was wrong."""
        stage = stages.Stage(self.top, self.args.build, plan, rng)
        why = None
        try:
            WORKS[plan["work"]](stage)
        except stages.Bad as bad:
            why = str(bad)
        except Exception as error:	# of the driver itself, but the round is lost
            why = "%s: %s" % (type(error).__name__, error)
        finally:
            try:
                stage.leave(bool(why))
            except stages.Bad as bad:
                why = str(bad)
        sums = stage.sums()
        ring = sums.get("ring_rx_bytes", 0) + sums.get("ring_tx_bytes", 0)
        if not why and plan["who"] != "both" and ring:
            why = "%d bytes by ring, shared with nobody" % ring
        if plan["who"] == "both":
            self.ring[plan["work"]] = self.ring.get(plan["work"], 0) + ring
            self.rounds[plan["work"]] = self.rounds.get(plan["work"], 0) + 1
        return why

    def keep(self, label):
        kept = tempfile.mkdtemp(prefix="shmfd-chaos-failed.")
        shutil.copytree(os.path.join(self.top, "round"), os.path.join(kept, label),
                        symlinks=True, ignore=lambda d, names: [
                            n for n in names if not os.path.isfile(os.path.join(d, n)) and
                            not os.path.isdir(os.path.join(d, n))])
        return os.path.join(kept, label)

    def round(self, seed, number):
        plan, rng = draw(seed, number, self.args)
        started = time.monotonic()
        why = self.play(plan, rng)
        text = "%s   # make chaos CHAOS_SEED=%d CHAOS_ROUND=%d%s" % (
            words(plan), seed, number, " CHAOS_WORK=" + self.args.work if self.args.work else "")
        if why:
            why += "\nkept in " + self.keep("%d.%d" % (seed, number))
        self.report(not why, text, (why or "") + "\n%.1f s" % (time.monotonic() - started)
                    if why or self.args.keep else "")

    def self_test(self):
        """Each work must find what is spoilt under its hands."""
        calm = argparse.Namespace(work=None, who=None)
        for work, spoil in (("mixed", "flip"), ("mixed", "lose"), ("mixed", "crash"),
                            ("mixed", "leave"), ("redis", "value"), ("nginx", "file"),
                            ("postgres", "sum")):
            if needs(work):
                continue
            plan, rng = draw(1, 1, calm)
            plan.update(work=work, who="both", settings={"SHMFD_AFTER": "0"}, alarm=None,
                        unseen=False, lack=None, stops=None, kill=False, hold=False, limit=None)
            plan["spoil"] = spoil
            why = self.play(plan, rng)
            self.report(bool(why), "self-test: %s finds %s (%s)" %
                        (work, spoil, (why or "it did not").splitlines()[0][:100]))
        self.ring, self.rounds = {}, {}
        shutil.rmtree(os.path.join(self.top, "pg"), ignore_errors=True)

    def sum_up(self):
        for work in sorted(self.rounds):
            print("# %s: %d rounds with both ends preloaded, %d bytes by ring" %
                  (work, self.rounds[work], self.ring[work]))
            if self.rounds[work] >= 5 and not self.ring[work] and work not in COMPARED:
                self.report(False, work + ": nothing went by ring in any round")
        print("1..%d" % self.done)
        print("# %d failed" % self.failed)
        shutil.rmtree(self.top, ignore_errors=True)
        return 1 if self.failed or not self.done else 0


def main():
    parser = argparse.ArgumentParser()
    for name in ("seed", "round", "rounds"):
        parser.add_argument("--" + name, type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--build", default=os.path.join(HERE, os.pardir, os.pardir, "build"))
    parser.add_argument("--work", choices=WORKS)
    parser.add_argument("--who", choices=["both", "plain", "server", "client"])
    for name in ("self-test", "keep"):
        parser.add_argument("--" + name, action="store_true")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 31)
    print("# seed %d" % seed)
    stages.become_reaper()
    driver = Driver(args)
    if args.self_test:
        driver.self_test()
    end = time.monotonic() + 60 * (args.minutes if args.minutes is not None else 1e9)
    number = args.round or 1
    last = args.round or args.rounds or (1 << 60 if args.minutes is not None else 1)
    while number <= last and time.monotonic() < end:
        driver.round(seed, number)
        number += 1
    sys.exit(driver.sum_up())


main()
