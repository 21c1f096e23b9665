# SPDX-License-Identifier: MIT
"""
streams.py - follows processes, descriptors and streams through a trace, and finds the calls on
streams of the library that the library did not make.

A stream of the library, in one process, is a connected stream socket (TCP, AF_UNIX) that the
library saw connect, accept or socketpair make, there or in the process that it was forked from.
An exec forgets all of them; what comes by exec or SCM_RIGHTS is the kernel's (README).  The
kernel's inode says which socket a number is, whatever happened to the number.

Each call on such a stream comes from the library if the first frame of its stack outside libc is
the library's.  Any other is a finding.
"""
import fnmatch
import re
from collections import Counter
from dataclasses import dataclass, field

from strace_text import LIBC, LIBRARY, Begin, Call, End

FAMILIES = {"AF_INET": "tcp", "AF_INET6": "tcp", "AF_UNIX": "unix"}

# libc's names of system calls that have another.
NAMES_BEHIND = {
    "pselect6": "pselect",
}

# Calls that only ask: the kernel's socket under the number knows the answer.
ASKS = {
    "fcntl": re.compile(r"F_(GETFD|SETFD|GETFL|GETOWN|GETSIG|GETLK)\b"),
    "ioctl": re.compile(r"TCGETS|TIOCGWINSZ|SIOCATMARK|FIOCLEX|FIONCLEX|SIOCGSTAMP"),
    "getsockopt": re.compile(r", (?!SO_ERROR)\w+, "),
}

# What a vfork's child does to its own table does not concern its parent, whose memory it uses.
OWN_TABLE = {"close", "close_range", "dup", "dup2", "dup3", "fcntl"}

STDIO = re.compile(r"^(_IO_|f(open|close|write|puts|flush|read|gets)|__overflow|__underflow)")


class Names:
    """The names of calls.def."""
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.wrapped = set(re.findall(r"(?:CALL|ALIAS)\((\w+)", f.read()))

    def has(self, syscall):
        return NAMES_BEHIND.get(syscall, syscall) in self.wrapped


@dataclass
class Socket:
    inode: int
    kind: str = ""      # tcp, unix, or "" if it can not be a stream of the library
    hidden: bool = False        # the library's own
    name: str = "?"     # its own address, as far as the trace says
    peer: str = "?"
    at_kernel: str = ""         # why it is for good, as far as the trace says

    def __str__(self):
        return f"{self.kind} {self.name} - {self.peer}"


@dataclass
class Process:
    program: str = "?"
    loaded: bool = False        # the library is in this image
    numbers: dict = field(default_factory=dict)         # number -> inode
    streams: set = field(default_factory=set)           # inodes the library knows
    sets: dict = field(default_factory=dict)            # number of an epoll set -> inodes
    is_vfork: bool = False

    def child(self, is_vfork):
        return Process(self.program, self.loaded, dict(self.numbers), set(self.streams),
                       {fd: set(s) for fd, s in self.sets.items()}, is_vfork)


@dataclass
class Finding:
    program: str
    call: str           # the system call, with what it does where that matters
    frames: tuple       # from the system call to the first frame outside libc
    example: str        # descriptor and addresses of the first one
    allowed: str = ""   # the reason, if it is known to be harmless
    times: int = 1

    def key(self):
        return self.program, self.call, self.frames

    def matches(self, program, call, frame):
        """True if the patterns of an entry of the allow-list fit."""
        return fnmatch.fnmatchcase(self.program, program) and \
            fnmatch.fnmatchcase(self.call, call) and \
            any(fnmatch.fnmatchcase(f, frame) for f in self.frames)


def addresses(args):
    """The addresses among the arguments of bind, connect and accept."""
    m = re.search(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]*)"', args)
    if m:
        return f"{m[2]}:{m[1]}"
    m = re.search(r'sin6_port=htons\((\d+)\).*inet_pton\(AF_INET6, "([^"]*)"', args)
    if m:
        return f"[{m[2]}]:{m[1]}"
    m = re.search(r'sun_path=(@?"[^"]*")', args)
    return m[1].replace('"', "") if m else "?"


class Trace:
    def __init__(self, names):
        self.names = names
        self.sockets = {}
        self.process = {}       # thread -> Process
        self.findings = {}
        self.left = Counter()   # calls that the library leaves to the kernel on purpose
        self.asked = Counter()
        self.own = 0            # calls on streams that it made itself
        self.made = 0           # streams it saw
        self.cut = 0            # calls in which a process ended; strace shows no stack then
        self.births = {}

    def read(self, events):
        """The events of one file: some processes and all that came from them."""
        self.births = self.all_births(events)
        for event in events:
            self.event(event)

    # ---- threads and processes ------------------------------------------------------

    @staticmethod
    def all_births(events):
        """child thread -> call that made it.  Its first call may come before that returns."""
        births = {}
        for event in events:
            if isinstance(event, Call) and event.name in ("clone", "clone3", "fork", "vfork") \
                    and event.succeeded():
                births.setdefault(event.value(), event)
        return births

    def of(self, pid):
        if pid not in self.process:
            birth = self.births.get(pid)
            parent = self.of(birth.pid) if birth else None
            if not parent:
                made = Process()
            elif "CLONE_THREAD" in birth.args:
                made = parent
            else:
                made = parent.child(birth.name == "vfork" or "CLONE_VM" in birth.args)
                if "CLONE_FILES" in birth.args:
                    made.numbers, made.sets = parent.numbers, parent.sets
            self.process[pid] = made
        return self.process[pid]

    def event(self, event):
        if isinstance(event, End):
            if event.superseded:
                self.process[event.pid] = self.of(event.superseded)
            return
        call = event.call if isinstance(event, Begin) else event
        if isinstance(event, Call) and call.result == "?" and not call.stack:
            self.cut += 1
            return
        p = self.of(call.pid)
        if f"/{LIBRARY}>" in call.args:
            p.loaded = True
        if isinstance(event, Begin):
            # the number is free for others from now on
            if call.name == "close":
                self.close_number(p, call)
            return
        handler = getattr(self, "do_" + call.name, None)
        if handler:
            handler(p, call)
        else:
            self.used(p, call)

    # ---- findings -----------------------------------------------------------------

    def found(self, p, call, what, inode, fd=None, kind=None):
        program = p.program
        if p.is_vfork:
            program += "(vfork)"
        frames = tuple(str(f) for f in call.inner()) or ("no stack",)
        number = "" if fd is None else f"fd {fd}, "
        sock = self.sockets.get(inode)
        finding = Finding(program, what, frames, f"{number}{kind or sock}")
        have = self.findings.setdefault(finding.key(), finding)
        if have is not finding:
            have.times += 1
        return have

    def by_design(self, call):
        """True if the library is right not to see this call."""
        asks = ASKS.get(call.name)
        if not self.names.has(call.name):
            self.left[call.name] += 1
        elif asks and asks.search(call.args):
            self.asked[call.name] += 1
        else:
            return False
        return True

    def used(self, p, call):
        """Any call that names sockets."""
        mine = [(fd, i) for fd, i in call.sockets() if i in p.streams]
        if not mine:
            return
        if call.is_library():
            self.own += 1
            self.note_stdio(p, call, mine)
            return
        for fd, inode in mine:
            if self.by_design(call):
                continue
            have = self.found(p, call, self.what(call), inode, fd)
            have.allowed = have.allowed or self.allowed_here(p, call, inode)

    @staticmethod
    def what(call):
        """The call's name, with the operation where one name has several."""
        if call.name in ("fcntl", "ioctl", "epoll_ctl"):
            m = re.search(r", ([A-Z]\w+)", call.args)
            return f"{call.name}({m[1]})" if m else call.name
        return call.name

    def allowed_here(self, p, call, inode):
        """Reasons that stand on what the trace showed before."""
        if p.is_vfork and call.name in OWN_TABLE:
            return "a vfork's child changes its own table, not its parent's"
        why = self.sockets[inode].at_kernel
        inner = call.stack and call.stack[0].module in LIBC
        if why and inner and any(STDIO.match(f.function) for f in call.inner()):
            return f"stdio on a stream that went to the kernel before: {why}"
        return ""

    def note_stdio(self, p, call, mine):
        """The library hands a stream over before stdio gets it."""
        for _, inode in mine:
            if any(f.module == LIBRARY and "fdopen" in f.function for f in call.stack):
                self.sockets[inode].at_kernel = "fdopen"

    # ---- sockets ------------------------------------------------------------------

    @staticmethod
    def wrapper(call):
        """True if the program made this call by way of the library; False if the library made
        it for itself, or had no part in it."""
        outer = call.outer()
        if not outer or outer.module != LIBRARY:
            return False
        return outer.function in ("socket", "socketpair", "connect", "accept", "accept4")

    def do_socket(self, p, call):
        new = call.new_socket()
        if not new:
            return
        fd, inode = new
        family, kind = (call.args.split(", ") + [""])[:2]
        sock = self.sockets[inode] = Socket(inode)
        if kind.startswith("SOCK_STREAM"):
            sock.kind = FAMILIES.get(family, "")
        sock.hidden = call.is_library() and not self.wrapper(call)
        p.numbers[fd] = inode

    def do_socketpair(self, p, call):
        family, kind = (call.args.split(", ") + [""])[:2]
        for fd, inode in call.sockets():
            sock = self.sockets[inode] = Socket(inode, name="pair", peer="pair")
            p.numbers[fd] = inode
            sock.hidden = call.is_library() and not self.wrapper(call)
            if kind.startswith("SOCK_STREAM") and self.wrapper(call):
                sock.kind = FAMILIES.get(family, "")
                self.become_stream(p, call, inode, fd)

    def do_bind(self, p, call):
        for _, inode in call.sockets():
            if inode in self.sockets and call.value() == 0:
                self.sockets[inode].name = addresses(call.raw)
        self.used(p, call)

    def become_stream(self, p, call, inode, fd):
        if self.wrapper(call):
            p.streams.add(inode)
            self.made += 1
        elif not call.is_library() and p.loaded:
            self.found(p, call, call.name, inode, fd)

    def do_connect(self, p, call):
        named = call.sockets()
        sock = self.sockets.get(named[0][1]) if named else None
        if not sock or not sock.kind or sock.hidden or named[0][1] in p.streams:
            return self.used(p, call)
        if call.value() == 0 or re.search("EINPROGRESS|EINTR", call.rest):
            sock.peer = addresses(call.raw)
            self.become_stream(p, call, sock.inode, named[0][0])
        return None

    def do_accept(self, p, call):
        new, named = call.new_socket(), call.sockets()
        if not new or not named:
            return
        listener = self.sockets.get(named[0][1], Socket(0))
        fd, inode = new
        sock = self.sockets[inode] = Socket(inode, listener.kind, False, listener.name,
                                            addresses(call.raw))
        sock.hidden = call.is_library() and not self.wrapper(call)
        p.numbers[fd] = inode
        if sock.kind and not sock.hidden:
            self.become_stream(p, call, inode, fd)

    do_accept4 = do_accept

    # ---- numbers ------------------------------------------------------------------

    def duplicated(self, p, call, fd_from):
        new = call.new_socket()
        number = call.value()
        if number is None or number < 0:
            return
        if new:
            p.numbers[new[0]] = new[1]
            if new[0] <= 2 and new[1] in self.sockets:
                self.sockets[new[1]].at_kernel = "descriptor 0, 1 or 2"
        elif fd_from != number:
            p.numbers.pop(number, None)
        if fd_from in p.sets and fd_from != number:
            p.sets[number] = p.sets[fd_from]

    def do_dup(self, p, call):
        self.used(p, call)
        self.duplicated(p, call, call.argument(0))

    do_dup2 = do_dup
    do_dup3 = do_dup

    def do_fcntl(self, p, call):
        self.used(p, call)
        if "F_DUPFD" in call.args:
            self.duplicated(p, call, call.argument(0))

    def close_number(self, p, call):
        fd = call.argument(0)
        p.numbers.pop(fd, None)
        p.sets.pop(fd, None)

    def do_close(self, p, call):
        self.used(p, call)
        for fd, inode in call.sockets():
            sock = self.sockets.get(inode)
            if sock and sock.hidden and p.loaded and not call.is_library() and not p.is_vfork:
                self.found(p, call, "close", inode, fd, "a descriptor of the library's own")
        if p.numbers.get(call.argument(0)) in [i for _, i in call.sockets()] or \
                not call.sockets():
            self.close_number(p, call)

    def do_close_range(self, p, call):
        first, last = call.argument(0), call.argument(1)
        if first is None or last is None or call.value() != 0 or "CLOEXEC" in call.args:
            return
        for fd in [n for n in p.numbers if first <= n <= last]:
            inode = p.numbers.pop(fd)
            if inode in p.streams and not call.is_library():
                have = self.found(p, call, call.name, inode, fd)
                have.allowed = have.allowed or self.allowed_here(p, call, inode)

    # ---- readiness ----------------------------------------------------------------

    def do_epoll_create1(self, p, call):
        if call.succeeded():
            p.sets[call.value()] = set()

    do_epoll_create = do_epoll_create1

    def do_epoll_ctl(self, p, call):
        named = call.sockets()
        if named and "EPOLL_CTL_DEL" not in call.args:
            p.sets.setdefault(call.argument(0), set()).update(i for _, i in named)
        self.used(p, call)

    def do_epoll_wait(self, p, call):
        """The events name no descriptors; the set does."""
        inside = p.sets.get(call.argument(0), set()) & p.streams
        if not inside:
            return
        if call.is_library():
            self.own += 1
        else:
            self.found(p, call, call.name, min(inside), None, f"{len(inside)} streams in the set")

    do_epoll_pwait = do_epoll_wait
    do_epoll_pwait2 = do_epoll_wait

    # ---- processes ----------------------------------------------------------------

    def do_execve(self, p, call):
        if call.value() != 0:
            return
        if p.streams and not p.is_vfork and not call.is_library():
            self.found(p, call, "execve", None, None, f"{len(p.streams)} streams known before")
        m = re.search(r'"((?:[^"\\]|\\.)*)"', call.raw)
        new = Process(m[1].rsplit("/", 1)[-1] if m else "?", numbers=dict(p.numbers))
        self.process[call.pid] = new

    do_execveat = do_execve

    def do_clone(self, p, call):
        """A fork that the library does not see would count no holders."""
        shares = "CLONE_VM" in call.args or call.name == "vfork"
        if not call.value() or not call.succeeded() or shares or not p.streams or call.is_library():
            return
        # fork runs the library's handlers
        if not any(re.fullmatch(r"_*(libc_)?fork", f.function) for f in call.inner()):
            self.found(p, call, "fork", None, None, f"{len(p.streams)} streams known")

    do_clone3 = do_clone
    do_fork = do_clone
    do_vfork = do_clone

    def do_io_uring_setup(self, p, call):
        # liburing makes the call, but the library knows of it
        seen = any(f.module == LIBRARY for f in call.stack)
        if p.loaded and call.succeeded() and not seen:
            self.found(p, call, "io_uring_setup", None, None, "a ring of the kernel's")
