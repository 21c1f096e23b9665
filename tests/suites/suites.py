# SPDX-License-Identifier: MIT
"""
The suites: their units, and those of the quick run.

  cpython   Debian's libpython3.11-testsuite, its own runner: sockets, readiness, event loops,
            child processes
  libuv     C, epoll, one process for each test; libuv.so.1 is Debian's
  libevent  C, each of its backends; HTTP, TLS and RPC on top
  twisted   each of its reactors; full tables of descriptors, half-closed and aborted
            connections, TLS, producers

The quick run is for CI and takes about three minutes on two processors.  It leaves out what is
long beside what it shows of streams (multiprocessing, libevent, most of twisted), and what has no
socket; of test_subprocess it runs the part that counts and closes descriptors.
"""
import kinds


class Suite:
    def __init__(self, name, kind, units, quick=(), timeout=600, environment=None):
        self.name, self.kind, self.units = name, kind, list(units)
        self.quick = list(quick)
        self.timeout, self.environment = timeout, environment or {}
        self.patience = 60      # seconds for which a log may stay as it is


ASYNCIO = ["test_asyncio.test_" + module for module in """base_events buffered_proto context
    events futures futures2 locks pep492 proactor_events protocols queues runners
    selector_events sendfile server sock_lowlevel ssl sslproto streams subprocess taskgroups
    tasks threads timeouts transports unix_events waitfor""".split()]

# Long ones first: the end of a run is shorter.
ALL = [
    Suite("libuv", kinds.Libuv(), ["libuv"], quick=["libuv"],
          environment={"UV_RUN_AS_ROOT": "1"}),
    Suite("cpython", kinds.Regrtest(), """
        test_multiprocessing_spawn test_multiprocessing_forkserver test_multiprocessing_fork
        test_multiprocessing_main_handling test_subprocess
        test_socket test_selectors test_poll test_select test_epoll test_socketserver
        test_httplib""".split() + ASYNCIO,
        quick="""test_socket test_asyncio.test_events test_asyncio.test_ssl
        test_asyncio.test_subprocess test_selectors test_poll
        test_subprocess/test.test_subprocess.POSIXProcessTestCase.* test_select test_epoll
        test_socketserver test_httplib test_asyncio.test_base_events
        test_asyncio.test_buffered_proto test_asyncio.test_sendfile test_asyncio.test_server
        test_asyncio.test_sock_lowlevel test_asyncio.test_sslproto test_asyncio.test_streams
        test_asyncio.test_unix_events""".split()),
    Suite("libevent", kinds.Libevent(), [
        f"{backend}/{group}" for backend in ("EPOLL", "EPOLL+changelist", "POLL", "SELECT")
        for group in ("http", "main", "et", "evbuffer", "bufferevent", "listener", "thread",
                      "ssl", "rpc", "dns", "util", "finalize")]),
    Suite("twisted", kinds.Trial(), """
        twisted.internet.test.test_tcp twisted.internet.test.test_unix
        twisted.internet.test.test_tls twisted.internet.test.test_core
        twisted.internet.test.test_fdset twisted.internet.test.test_socket
        twisted.internet.test.test_process twisted.internet.test.test_stdio
        twisted.internet.test.test_endpoints twisted.internet.test.test_threads
        twisted.test.test_tcp twisted.test.test_tcp_internals twisted.test.test_unix
        twisted.test.test_internet twisted.test.test_process
        twisted.test.test_ssl twisted.test.test_stdio twisted.test.test_ftp
        twisted.test.test_amp twisted.spread.test.test_pb twisted.python.test.test_sendmsg
        twisted.protocols.test.test_basic
        twisted.web.test.test_webclient twisted.web.test.test_wsgi twisted.web.test.test_http
        twisted.web.test.test_agent twisted.web.test.test_xmlrpc
        twisted.mail.test.test_pop3client twisted.names.test.test_server""".split(),
        quick=["twisted.internet.test.test_tcp"]),
]


def chosen(names, quick):
    picked = []
    for suite in ALL:
        units = suite.quick if quick else suite.units
        if names:
            units = [u for u in units
                     if suite.name in names or f"{suite.name}:{u}" in names]
        if units:
            suite.units = units
            picked.append(suite)
    return picked
