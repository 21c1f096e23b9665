#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
reading_test.py - strace_text.py and streams.py on texts written by hand: what real programs do too
rarely to rely on.  TAP.
"""
import os
import sys

import strace_text
from streams import Names, Trace

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = Names(os.path.join(HERE, "..", "..", "preload", "calls.def"))

# A program (process 10) that has the library and one stream, number 4, inode 100.
STREAM = """\
{pid} socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = {fd}<socket:[{inode}]>
 > /lib/libc.so.6(socket+0x1) [0x1]
 > /lib/libshmfd.so(socket+0x1) [0x1]
 > /bin/prog(main+0x1) [0x1]
{pid} connect({fd}<socket:[{inode}]>, {{sa_family=AF_INET, sin_port=htons(7)}}, 16) = -1 \
EINPROGRESS (Operation now in progress)
 > /lib/libc.so.6(connect+0x1) [0x1]
 > /lib/libshmfd.so(connect+0x1) [0x1]
 > /bin/prog(main+0x1) [0x1]
"""
START = """\
10 execve("/bin/prog", ["prog"], 0x1 /* 1 vars */) = 0
10 close(3</lib/libshmfd.so>) = 0
 > /lib/ld-linux-x86-64.so.2(_dl_x+0x1) [0x1]
""" + STREAM.format(pid=10, fd=4, inode=100)
LIBRARY = """\
 > /lib/libc.so.6(inner+0x1) [0x1]
 > /lib/libshmfd.so(wrapper+0x1) [0x1]
 > /bin/prog(main+0x1) [0x1]
"""
PROGRAM = " > /bin/prog (deleted)(main+0x1) [0x1]\n"

# name, text behind START, the calls that are to be found
CASES = (
    ("a call by the library", f'10 read(4<socket:[100]>, "x", 1) = 1\n{LIBRARY}', []),
    ("a call by the program", f'10 read(4<socket:[100]>, "x", 1) = 1\n{PROGRAM}', ["read"]),
    ("a call that an error ends",
     f'10 read(4<socket:[100]>, 0x1, 1) = -1 EAGAIN (Resource temporarily unavailable)\n{PROGRAM}',
     ["read"]),
    ("a call of a signal's handler that interrupted the library",
     f'10 read(4<socket:[100]>, "x", 1) = 1\n > /bin/prog(handler+0x1) [0x1]\n'
     f' > /lib/libc.so.6(__restore_rt+0x1) [0x1]\n{LIBRARY}', ["read"]),
    ("a descriptor in a string", f'10 write(1</f>, "4<socket:[100]>\\") = 4", 9) = 9\n{PROGRAM}',
     []),
    ("another socket", f'10 read(5<socket:[101]>, "x", 1) = 1\n{PROGRAM}', []),
    ("a descriptor among many",
     f'10 poll([{{fd=5<socket:[101]>, events=POLLIN}}, {{fd=4<socket:[100]>, events=POLLIN}}], '
     f'2, 0) = 0 (Timeout)\n{PROGRAM}', ["poll"]),
    ("a call that others interrupted",
     f'10 read(4<socket:[100]>,  <unfinished ...>\n11 getpid() = 11\n'
     f'10 <... read resumed>"x", 1) = 1\n{PROGRAM}', ["read"]),
    ("a child whose call comes before its parent's fork returns",
     f'10 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>\n'
     f'11 read(4<socket:[100]>, "x", 1) = 1\n{PROGRAM}'
     f'10 <... clone resumed>) = 11\n > /lib/libc.so.6(fork+0x1) [0x1]\n{LIBRARY}', ["read"]),
    ("a number that another thread gets before its close returns",
     f'10 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 12\n{LIBRARY}'
     f'10 close(4<socket:[100]> <unfinished ...>\n'
     f'{STREAM.format(pid=12, fd=4, inode=103)}'
     f'10 <... close resumed>) = 0\n{LIBRARY}'
     f'12 close_range(4, 4, 0) = 0\n{PROGRAM}', ["close_range"]),
    ("a range without the number that was closed",
     f'10 close(4<socket:[100]>) = 0\n{LIBRARY}10 close_range(4, 4, 0) = 0\n{PROGRAM}', []),
    ("a descriptor of the library's own",
     '10 socket(AF_UNIX, SOCK_SEQPACKET, 0) = 7<socket:[104]>\n'
     ' > /lib/libc.so.6(socket+0x1) [0x1]\n > /lib/libshmfd.so(shmfd_meet_step+0x1) [0x1]\n'
     f'10 close(7<socket:[104]>) = 0\n{PROGRAM}', ["close"]),
    ("a range of numbers", f"10 close_range(3, 4294967295, 0) = 0\n{PROGRAM}", ["close_range"]),
    ("a program that was started with the socket",
     f'10 execve("/bin/next", ["next"], 0x1 /* 1 vars */) = 0\n{LIBRARY}'
     f'10 close(3</lib/libshmfd.so>) = 0\n{PROGRAM}'
     f'10 read(4<socket:[100]>, "x", 1) = 1\n{PROGRAM}', []),
    ("an exec that the library did not see",
     f'10 execve("/bin/next", ["next"], 0x1 /* 1 vars */) = 0\n{PROGRAM}', ["execve"]),
    ("a vfork's child and its own table",
     f'10 vfork( <unfinished ...>\n11 close(4<socket:[100]>) = 0\n{PROGRAM}'
     f'10 <... vfork resumed>) = 11\n{PROGRAM}', []),
    ("a vfork's child that writes",
     f'10 vfork( <unfinished ...>\n11 write(4<socket:[100]>, "x", 1) = 1\n{PROGRAM}'
     f'10 <... vfork resumed>) = 11\n{PROGRAM}', ["write"]),
    ("stdio behind fdopen",
     f'10 fcntl(4<socket:[100]>, F_GETFL) = 0x2 (flags O_RDWR)\n'
     f' > /lib/libc.so.6(_IO_fdopen+0x1) [0x1]\n > /lib/libshmfd.so(fdopen+0x1) [0x1]\n'
     f'10 read(4<socket:[100]>, "x", 1) = 1\n'
     f' > /lib/libc.so.6(read+0x1) [0x1]\n > /lib/libc.so.6(_IO_file_underflow+0x1) [0x1]\n'
     f'{PROGRAM}', []),
    ("stdio without fdopen",
     f'10 read(4<socket:[100]>, "x", 1) = 1\n'
     f' > /lib/libc.so.6(read+0x1) [0x1]\n > /lib/libc.so.6(_IO_file_underflow+0x1) [0x1]\n'
     f'{PROGRAM}', ["read"]),
    ("a wait on a set that has the stream",
     f'10 epoll_create1(0) = 5<anon_inode:[eventpoll]>\n{LIBRARY}'
     f'10 epoll_ctl(5<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 4<socket:[100]>, {{events=EPOLLIN, '
     f'data={{u32=4, u64=4}}}}) = 0\n{LIBRARY}'
     f'10 epoll_wait(5<anon_inode:[eventpoll]>, [], 1, 0) = 0\n{PROGRAM}', ["epoll_wait"]),
    ("a stream that was made behind the library's back",
     f'10 socket(AF_UNIX, SOCK_STREAM, 0) = 6<socket:[102]>\n{PROGRAM}'
     f'10 connect(6<socket:[102]>, {{sa_family=AF_UNIX, sun_path="/s"}}, 4) = 0\n{PROGRAM}'
     f'10 read(6<socket:[102]>, "x", 1) = 1\n{PROGRAM}', ["connect"]),
    ("a call of which the process died", '10 read(4<socket:[100]>,  <unfinished ...>\n'
     '10 <... read resumed> <unfinished ...>) = ?\n10 +++ killed by SIGKILL +++\n', []),
    ("calls that only ask, and one that changes",
     f'10 fcntl(4<socket:[100]>, F_GETFL) = 0x2 (flags O_RDWR)\n{PROGRAM}'
     f'10 getsockname(4<socket:[100]>, 0x1, [16]) = 0\n{PROGRAM}'
     f'10 fcntl(4<socket:[100]>, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n{PROGRAM}',
     ["fcntl(F_SETFL)"]),
)


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for nr, (name, text, want) in enumerate(CASES, 1):
        trace = Trace(NAMES)
        trace.read(list(strace_text.read((START + text).splitlines())))
        found = [f.call for f in trace.findings.values() if not f.allowed]
        bad = found != want or not trace.made
        failed += bad
        print(f"{'not ok' if bad else 'ok'} {nr} - reading: {name}")
        if bad:
            print(f"# found {found}, not {want}; {trace.made} streams")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
