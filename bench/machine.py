# SPDX-License-Identifier: MIT
"""
machine.py - what the benchmark runs on: a network of its own, programs and servers with a
placement and an environment, and the words that describe the machine.
"""
import ctypes
import fcntl
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import figures

# variant: (family, is preloaded at the server, at the client, more environment)
VARIANTS = {
    "floor": ("tcp4", False, False, {}),
    "tcp": ("tcp4", False, False, {}),
    "shmfd-tcp": ("tcp4", True, True, {}),
    "nospin-tcp": ("tcp4", True, True, {"SHMFD_SPIN_US": "0"}),
    "server-only": ("tcp4", True, False, {}),
    "client-only": ("tcp4", False, True, {}),
    "unix": ("unix", False, False, {}),
    "shmfd-unix": ("unix", True, True, {}),
}
VARIANT_WORDS = {
    "floor": "this machine's floor",
    "tcp": "kernel TCP",
    "shmfd-tcp": "libshmfd, TCP",
    "nospin-tcp": "libshmfd, TCP, SHMFD_SPIN_US=0",
    "server-only": "libshmfd at the server only",
    "client-only": "libshmfd at the client only",
    "unix": "AF_UNIX",
    "shmfd-unix": "libshmfd, AF_UNIX",
}
# In sections where no stream is the matter
PROGRAM_WORDS = {"tcp": "plain", "shmfd-tcp": "preloaded"}
CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"


class Failed(Exception):
    """A program did not do what its row wants of it."""


# ---- the network -------------------------------------------------------------


def own_network():
    """
    As root: this process goes on in a network of its own, where nothing but its programs is
    and kernel TCP has cubic, whatever the machine's setting is.  Returns whether it does.
    """
    if os.geteuid() != 0 or os.environ.get("BENCH_NETWORK") == "host":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newnet = 0x40000000
    if libc.unshare(clone_newnet) != 0:
        return False
    siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
    with socket.socket() as s:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(s, siocgifflags, request))[1]
        fcntl.ioctl(s, siocsifflags, struct.pack("16sH14x", b"lo", flags | iff_up))
    try:
        with open(CONGESTION, "w", encoding="ascii") as f:
            f.write("cubic")
    except OSError:
        cubic_by_route()
    return True


def cubic_by_route():
    """
    The kernel takes another than the machine's own in such a network only from the machine's
    list of those for everybody (ip-sysctl, tcp_allowed_congestion_control), which is not ours
    to change; the routes of this network are.
    """
    for where in ("127.0.0.0/8", "127.0.0.1"):
        try:
            subprocess.run(["ip", "route", "replace", "local", where, "dev", "lo", "table", "local",
                            "proto", "kernel", "scope", "host", "src", "127.0.0.1",
                            "congctl", "cubic"], check=False, capture_output=True)
        except OSError:
            pass    # described as it is


def congestion_control():
    """What a program that says nothing has at both ends of a connection over 127.0.0.1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            server, _ = listener.accept()
            with server:
                names = {end.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
                         .rstrip(b"\0").decode() for end in (client, server)}
    return " and ".join(sorted(names))


def read(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return default


def first_line(*command):
    """Of what a program says, on whichever output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"
    return ((done.stdout or done.stderr).strip().splitlines() or ["?"])[0]


def describe(network_is_own, settings):
    """(name, value) of everything that a reader of the figures wants to know."""
    cpu = [line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines()
           if line.startswith("model name")]
    flags = read("/proc/cpuinfo").partition("flags")[2].partition("\n")[0].split()
    memory = read("/proc/meminfo").split()[1:2]
    known = [
        ("processor", (cpu or ["?"])[0]),
        ("processors", str(len(os.sched_getaffinity(0)))),
        ("virtual machine", "yes" if "hypervisor" in flags else "no"),
        ("memory", f"{int(memory[0]) // 1024} MiB" if memory else "?"),
        ("kernel", " ".join(os.uname()[i] for i in (0, 2, 4))),
        ("congestion control", congestion_control() +
         " (a network of its own)" * network_is_own + ", set by our own programs: cubic"),
        ("load before the run", " ".join(read("/proc/loadavg").split()[:3])),
        ("descriptors at most", str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
        ("compiler", first_line(os.environ.get("CC", "cc"), "--version")),
        ("commit", first_line("git", "describe", "--always", "--dirty", "--abbrev=12")),
        ("redis", first_line("redis-server", "--version")),
        ("nginx", first_line("nginx", "-v")),
        ("wrk", first_line("wrk", "-v")),
        ("PostgreSQL", first_line("pgbench", "--version")),
        ("memcached", first_line("memcached", "--version")),
    ]
    environment = [(k, v) for k, v in sorted(os.environ.items()) if k.startswith("SHMFD_")]
    return known + settings + environment


def raise_descriptors(wanted):
    """The hard limit, as far as this user may; the soft one stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted))
        except (ValueError, OSError):
            pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


# ---- programs ----------------------------------------------------------------


class Process:
    """A program in a group of its own, so that nothing of it outlives its end."""

    def __init__(self, argv, env, cpus, log, descriptors=None, pipes=False):
        self.log = log
        self.argv = argv

        def before_exec():
            if cpus:
                os.sched_setaffinity(0, cpus)
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)

        with open(log + ".out", "wb") as out, open(log + ".err", "wb") as err:
            self.popen = subprocess.Popen(
                argv, env=env, cwd=os.path.dirname(log), start_new_session=True, stderr=err,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else out, preexec_fn=before_exec)
        self.pid = self.popen.pid

    def output(self):
        return read(self.log + ".out")

    def why(self):
        """The last thing it said."""
        words = read(self.log + ".err") or self.output()
        return (words.splitlines() or ["said nothing"])[-1][:200]

    def cpu_ns(self):
        """CPU time of all its threads, as clock_getcpuclockid(3) has it."""
        return time.clock_gettime_ns((~self.pid << 3) | 2)

    def memory(self):
        """(bytes of memory in proportion to who shares it, of page tables, descriptors)"""
        sums = {}
        for path in ("smaps_rollup", "status"):
            for line in read(f"/proc/{self.pid}/{path}").splitlines():
                words = line.split()
                if words and words[0] in ("Pss:", "VmPTE:"):
                    sums[words[0]] = int(words[1]) * 1024
        return sums["Pss:"], sums["VmPTE:"], len(os.listdir(f"/proc/{self.pid}/fd"))

    def end(self, how=signal.SIGTERM):
        for sig, seconds in ((how, 5), (signal.SIGKILL, 5)):
            if self.popen.poll() is not None:
                break
            os.kill(self.pid, sig)
            self.wait(seconds)
        self.kill_group()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe:
                pipe.close()

    def wait(self, seconds):
        """Its status, None when it has not ended by then.  Asleep meanwhile: the processors
        are for what is measured."""
        if self.popen.poll() is None:
            ended = os.pidfd_open(self.pid)
            try:
                select.select([ended], [], [], seconds)
            finally:
                os.close(ended)
        return self.popen.poll()

    def kill_group(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            pass    # nobody left


class Machine:
    """Runs programs as a variant and a placement want them."""

    def __init__(self, build, tmp):
        self.build = os.path.abspath(build)
        self.tmp = tmp
        self.nr = 0
        self.servers = []
        cpus = sorted(os.sched_getaffinity(0))
        self.cpus = {"server": {cpus[0]}, "client": {cpus[min(1, len(cpus) - 1)]}}
        self.has_two = len(cpus) > 1
        # Where users of any name can read it
        self.library = os.path.join(tmp, "libshmfd.so")
        shutil.copy(os.path.join(self.build, "libshmfd.so"), self.library)
        os.chmod(self.library, 0o755)

    def program(self, name):
        return os.path.join(self.build, "bench", name)

    def place(self, place, side):
        """The CPUs of one side, None: any."""
        if place == "free":
            return None
        if place == "two" and not self.has_two:
            raise Failed("this machine has one processor")
        return self.cpus["server" if place == "one" else side]

    def env(self, variant, side, stats=None):
        _, server, client, more = VARIANTS[variant]
        env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "SHMFD_STATS")}
        if server if side == "server" else client:
            env.update(more, LD_PRELOAD=self.library)
            if stats:
                env["SHMFD_STATS"] = stats
        return env

    def folder(self, name):
        """The path of a new one, not made yet."""
        self.nr += 1
        return os.path.join(self.tmp, f"{name}-{self.nr}")

    def log(self):
        self.nr += 1
        return os.path.join(self.tmp, f"log{self.nr}")

    def start(self, argv, variant, place, side="server", **more):
        server = Process(argv, self.env(variant, side), self.place(place, side), self.log(),
                         **more)
        self.servers.append(server)
        return server

    def stop(self, *servers, how=signal.SIGTERM):
        for server in servers or list(reversed(self.servers)):
            server.end(how)
            self.servers.remove(server)

    def run(self, argv, variant, seconds, place="free", **more):
        """A client to its end.  Returns its output and the share of the ring in it."""
        stats = os.path.join(self.tmp, "stats")
        if os.path.exists(stats):
            os.unlink(stats)
        client = Process(argv, self.env(variant, "client", stats),
                         self.place(place, "client"), self.log(), **more)
        limit = 20 + 4 * seconds
        try:
            status = client.wait(limit)
        finally:
            client.end(signal.SIGKILL)
        if status is None:
            raise Failed(f"{os.path.basename(argv[0])}: not done after {limit:.0f} s")
        if status:
            raise Failed(f"{os.path.basename(argv[0])}: status {status}: {client.why()}")
        return client.output(), self.share(variant, stats)

    def share(self, variant, stats):
        if not VARIANTS[variant][2]:
            return {}
        share = figures.ring_share(read(stats))
        return {} if share is None else {"ring": share}

    def own(self, name, args, variant, seconds):
        """A program of ours that makes both ends itself."""
        text, ring = self.run([self.program(name), *args], variant, seconds)
        return {**figures.of_line(text), **ring}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(ready, server, what, seconds=20):
    """Polls; the server must not end meanwhile."""
    end = time.monotonic() + seconds
    while not ready():
        if server.popen.poll() is not None:
            raise Failed(f"{what} does not start: {server.why()}")
        if time.monotonic() > end:
            raise Failed(f"{what} is not ready after {seconds} s: {server.why()}")
        time.sleep(0.01)


def answers(address):
    """Whether anybody accepts there."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as s:
        try:
            s.connect(address)
        except OSError:
            return False
    return True


def say(text):
    """A line that the next one replaces, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text[:shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()
