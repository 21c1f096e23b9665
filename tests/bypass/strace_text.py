# SPDX-License-Identifier: MIT
"""
strace_text.py - reads what `strace -f -k -y -v -o FILE` wrote, as a sequence of Call and End.

Only the form of the text is known here: calls that other processes interrupt are put together
again, quoted strings are emptied (their bytes could look like anything), and each call has its
stack.  What a call means is in streams.py.
"""
import re
from dataclasses import dataclass, field

LINE = re.compile(r"^(\d+) +(.*)$")
CALL = re.compile(r"^(\w+)\((.*)$", re.S)
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.S)
RESULT = re.compile(r"^(.*)\) += (\S+)(.*)$", re.S)
UNFINISHED = re.compile(r" ?<unfinished \.\.\.>$")
FRAME = re.compile(r"^ > (.*) \[0x[0-9a-f]+\]$")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"(\.\.\.)?')
SOCKET = re.compile(r"(\d+)<socket:\[(\d+)\]>")
NUMBER = re.compile(r"^(\d+)")

LIBC = ("libc.so.6", "ld-linux-x86-64.so.2", "libpthread.so.0")
LIBRARY = "libshmfd.so"


@dataclass
class Frame:
    module: str         # last part of the file's name
    function: str       # without its offset; "" if there is no symbol

    def __str__(self):
        return f"{self.module}({self.function})"


@dataclass
class Call:
    """One system call.  `begins` comes first if others ran between its begin and its end."""
    pid: int
    name: str
    raw: str            # the arguments as strace printed them
    args: str = ""      # without the contents of strings
    result: str = ""    # "" while it is not known, else a number or "?"
    rest: str = ""      # what stands behind the result: the file of a descriptor, or the error
    stack: list = field(default_factory=list)

    def sockets(self):
        """(number, inode) of each socket among the arguments."""
        return [(int(fd), int(inode)) for fd, inode in SOCKET.findall(self.args)]

    def new_socket(self):
        """(number, inode) if the result is a socket's descriptor, else None."""
        m = SOCKET.match(self.result + self.rest)
        return (int(m[1]), int(m[2])) if m else None

    def value(self):
        """The result as a number; None if there is none."""
        m = re.match(r"-?\d+", self.result)
        return int(m[0]) if m else None

    def succeeded(self):
        value = self.value()
        return value is not None and value >= 0

    def argument(self, nr):
        """The number at the start of argument `nr`, for calls with plain arguments; or None."""
        parts = self.args.split(", ")
        m = NUMBER.match(parts[nr]) if nr < len(parts) else None
        return int(m[1]) if m else None

    def is_library(self):
        """True if the first frame outside libc is the library's."""
        frame = self.outer()
        return frame is not None and frame.module == LIBRARY

    def outer(self):
        """The first frame outside libc."""
        return next((f for f in self.stack if f.module not in LIBC), None)

    def inner(self):
        """The frames from the system call to the first one outside libc."""
        frames = []
        for frame in self.stack:
            frames.append(frame)
            if frame.module not in LIBC:
                break
        return frames


@dataclass
class Begin:
    """A call that others interrupted: what its arguments were, before those ran."""
    call: Call


@dataclass
class End:
    """A thread is gone.  `superseded`: its number goes on as the thread that made an exec."""
    pid: int
    superseded: int = 0


def frame_of(text):
    """' > FILE(SYMBOL+0x1) [0x2]' without the brackets; None for what is no frame."""
    text = text.replace(" (deleted)(", "(", 1)
    path, paren, symbol = text.partition("(")
    if not paren:
        return None
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol.rstrip(")"))
    return Frame(path.rsplit("/", 1)[-1], symbol)


def strip(text):
    return STRING.sub('""', text)


def finish(call, text):
    """The text of a whole call, from its first argument to the end of the line."""
    # the last ") = " is the result's: strings may hold another
    plain = strip(text)
    m = RESULT.match(plain)
    call.raw = text
    if not m:
        call.args, call.result = plain, "?"
        return call
    call.args, call.result, call.rest = m[1], m[2], m[3]
    m = re.match(r"^(-?\w+)(<.*)$", call.result)
    if m:
        call.result, call.rest = m[1], m[2] + call.rest
    return call


def read(lines):
    """Begin, Call and End, in the order of the file.  A Call comes with its stack."""
    pending = {}        # thread -> (name, text so far)
    last = None
    for line in lines:
        line = line.rstrip("\n")
        m = FRAME.match(line)
        if m:
            frame = frame_of(m[1])
            if last and frame:
                last.stack.append(frame)
            continue
        if last:
            yield last
            last = None
        m = LINE.match(line)
        if not m:
            continue
        pid, text = int(m[1]), m[2]
        if text.startswith("+++ superseded by execve in pid "):
            yield End(pid, int(text.split()[5]))
        elif text.startswith("+++"):
            yield End(pid)
        elif m := RESUMED.match(text):
            name, begun = pending.pop(pid, (m[1], ""))
            last = finish(Call(pid, name, ""), begun + m[2])
        elif m := CALL.match(text):
            if UNFINISHED.search(text):
                begun = UNFINISHED.sub("", m[2])
                pending[pid] = (m[1], begun)
                yield Begin(Call(pid, m[1], begun, strip(begun)))
            else:
                last = finish(Call(pid, m[1], ""), m[2])
    if last:
        yield last
