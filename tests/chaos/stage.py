# SPDX-License-Identifier: MIT
"""One round's stage: its directory, its processes, what disturbs them, what they leave.

Programs are started here and nowhere else, so that each is preloaded as the round says, is ended
in any case, and is looked for when the round is over.  The driver is the reaper of its orphans:
who outlives its parent is still found.
"""
import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 60


class Bad(Exception):
    """What a round found wrong, in one line or a few."""


def become_reaper():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants():
    """The pids below this process, zombies left out."""
    parent = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, encoding="latin-1") as f:
                state, ppid = f.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            parent[int(name)] = int(ppid)
    found, me = [], os.getpid()
    for pid in parent:
        above = pid
        while above in parent and above != me:
            above = parent[above]
        if above == me and pid != me:
            found.append(pid)
    return sorted(found)


def until(seconds, true, what):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise Bad("in vain for %d s: %s" % (seconds, what))
        time.sleep(0.01)


class Stage:
    def __init__(self, top, build, plan, rng):
        self.plan, self.rng, self.build = plan, rng, build
        self.top = top
        self.dir = os.path.join(top, "round")
        shutil.rmtree(self.dir, ignore_errors=True)
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o777)
        self.stats = self.path("stats")
        self.write("stats", "")
        os.chmod(self.stats, 0o666)
        self.running, self.seen = {}, []
        self.shm = set(os.listdir("/dev/shm"))
        self.over = threading.Event()
        self.disturbers = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as f:
            return f.read()

    # ---- programs

    def environment(self, end):
        """Of a program that is the "server" or the "client"; None: it is never preloaded."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SHMFD_", "CHAOS_"))}
        env.update(LC_ALL="C", PYTHONDONTWRITEBYTECODE="1")
        env.pop("LD_PRELOAD", None)
        if end is None:
            return env
        plan, preload = self.plan, []
        if plan["who"] in ("both", end):
            preload.append(os.path.join(self.top, "libshmfd.so"))
            env.update(plan["settings"], SHMFD_STATS=self.stats,
                       SHMFD_TEST_SEED=str(self.rng.randrange(1 << 32)))
            if plan["lack"]:
                preload.append(os.path.join(self.top, "lack.so"))
                env.update(CHAOS_LACK=str(plan["lack"]))
        if plan["alarm"]:
            preload.insert(0 if plan["storm_first"] else len(preload),
                           os.path.join(self.top, "storm.so"))
            env.update(CHAOS_ALARM=plan["alarm"])
            if plan["unseen"]:
                env.update(CHAOS_UNSEEN="1")
        env.update(CHAOS_SEED=str(self.rng.randrange(1 << 32)), LD_PRELOAD=":".join(preload))
        return env

    def start(self, name, end, argv, env=None, user=None, limits=None):
        """In the background, its output in NAME.out."""
        settings = self.environment(end)
        settings.update(env or {})

        def prepare():
            for which, value in (limits or {}).items():
                resource.setrlimit(getattr(resource, which), (value, value))

        with open(self.path(name + ".out"), "ab") as out:
            self.running[name] = subprocess.Popen(
                argv, env=settings, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.dir, user=user, group=user, extra_groups=[] if user else None,
                preexec_fn=prepare)
        changed = " ".join("%s=%s" % (k, v) for k, v in sorted(settings.items())
                           if os.environ.get(k) != v)
        with open(self.path("commands"), "a", encoding="utf-8") as f:
            f.write("%s: env %s %s\n" % (name, changed, " ".join(argv)))
        return self.running[name]

    def gone(self, name):
        return self.running[name].poll() is not None

    def kill(self, name, sig=signal.SIGTERM):
        self.running[name].send_signal(sig)

    def finish(self, name, seconds=PATIENCE):
        """Waits for an end that comes by itself: the exit status, negative for a signal."""
        try:
            status = self.running[name].wait(seconds)
        except subprocess.TimeoutExpired:
            self.say_where(name)
            raise Bad("%s hangs: not done after %d s" % (name, seconds)) from None
        self.seen.append((name, status))
        del self.running[name]
        return status

    def expect(self, name, *statuses, seconds=PATIENCE):
        status = self.finish(name, seconds)
        if status not in (statuses or (0,)):
            raise Bad("%s: exit status %d: %s" % (name, status, self.tail(name)))

    def tail(self, name, lines=6):
        return " | ".join(self.read(name + ".out").splitlines()[-lines:])[-700:]

    def run(self, name, end, argv, **more):
        """In the foreground; must exit 0.  Returns its output."""
        self.start(name, end, argv, **more)
        self.expect(name)
        return self.read(name + ".out")

    def say_where(self, name):
        """For a hang: what every process is waiting in."""
        with open(self.path("hang"), "a", encoding="utf-8") as out:
            out.write("%s hangs\n" % name)
            for pid in descendants():
                command = ["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt"]
                if not shutil.which("gdb"):
                    command = ["cat", "/proc/%d/wchan" % pid, "/proc/%d/syscall" % pid]
                out.write("\n%d %s\n" % (pid, open("/proc/%d/cmdline" % pid).read()))
                out.flush()
                subprocess.run(command, stdout=out, stderr=out, timeout=30, check=False)
            out.flush()
            subprocess.run([os.path.join(self.build, "shmfd"), "ss"], stdout=out, stderr=out,
                           timeout=10, check=False)

    # ---- what disturbs

    def disturb(self, server=None):
        """From now on processes are stopped now and then, one at a time; and @server, a name,
        is left without a number for a new descriptor."""
        draws = [(self.rng.uniform(0.005, 0.2), self.rng.random(),
                  self.rng.choice([0.001, 0.01, 0.05, 0.2])) for _ in range(200)]
        if self.plan["stops"] == "long":
            draws[2] = (0.05, draws[2][1], 1.3)
        jobs = []
        if self.plan["stops"]:
            jobs.append(lambda which, length: self.stop_one(descendants(), which, length))
        if server and self.plan["limit"] == "moments":
            pid = self.running[server].pid
            jobs.append(lambda _, length: self.squeeze(pid, length))

        def run(job):
            for pause, which, length in draws:
                if self.over.wait(pause):
                    return
                try:
                    job(which, length)
                except ProcessLookupError:
                    pass

        for job in jobs:
            self.disturbers.append(threading.Thread(target=run, args=(job,)))
            self.disturbers[-1].start()

    def stop_one(self, pids, which, length):
        if pids:
            pid = pids[int(which * len(pids))]
            os.kill(pid, signal.SIGSTOP)
            self.over.wait(length)
            os.kill(pid, signal.SIGCONT)

    def squeeze(self, pid, length):
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        self.over.wait(length)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    def calm(self):
        """No more of that; whoever was stopped goes on."""
        self.over.set()
        for thread in self.disturbers:
            thread.join()
        self.disturbers = []

    # ---- what is left

    def fds(self, name):
        """The descriptors of a program: what each number refers to."""
        folder, found = "/proc/%d/fd" % self.running[name].pid, {}
        for number in os.listdir(folder):
            try:
                found[number] = os.readlink(os.path.join(folder, number))
            except FileNotFoundError:	# closed meanwhile
                pass
        return found

    def sums(self):
        """The sums of all lines of statistics."""
        total = {}
        for word in self.read("stats").split():
            key, _, value = word.partition("=")
            if value.isdigit():
                total[key] = total.get(key, 0) + int(value)
        return total

    def leave(self, failed):
        """Ends what still runs.  Without a failure before, that is one."""
        self.calm()
        problem, end = None, time.monotonic() + 3
        while descendants() and not self.running and not failed and time.monotonic() < end:
            time.sleep(0.02)
        for pid in descendants():
            with open("/proc/%d/cmdline" % pid, encoding="latin-1") as f:
                problem = "left behind: %d %s" % (pid, f.read().replace("\0", " "))
            os.kill(pid, signal.SIGKILL)
        for process in self.running.values():
            process.wait()
        self.running = {}
        try:
            while os.waitpid(-1, 0):
                pass
        except ChildProcessError:
            pass
        shm = [n for n in os.listdir("/dev/shm") if n not in self.shm and "shmfd" in n]
        if shm:
            problem = "left in /dev/shm: " + " ".join(shm)
        if problem and not failed:
            raise Bad(problem)


def forbidden(text, pattern):
    """The first line of @text that matches, or None."""
    for line in text.splitlines():
        if re.search(pattern, line):
            return line
    return None
