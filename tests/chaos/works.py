# SPDX-License-Identifier: MIT
"""What a round runs: random programs, redis, nginx, PostgreSQL; each checks all that it moved.

Each work(stage) draws the rest of its round from stage.rng, and raises Bad for what is wrong.
With plan["kill"] one of its processes is killed at a random moment; then the others may fail,
but only as on the plain kernel, and in time.  With plan["spoil"] it spoils something itself,
which its own checks must find (the self-test of the driver).
"""
import glob
import hashlib
import os
import random
import signal
import socket
import sys
import time

from stage import Bad, descendants, forbidden, until

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "apps")
PYTHON = "/usr/bin/python3"
FAMILIES = ["tcp4", "tcp6", "unix", "abstract"]
# What no death of a peer explains.
WRONG = r"expected .. got|hangs|too far|too many|nowhere|FAILED: (GET|SET|PING|message|\d+ bytes)"
GONE = r"Reset|reset|Broken|closed|Refused|refused|Disconnected|Incomplete|cut short|gone"


def free_port():
    with socket.socket() as sock:
        for _ in range(100):
            port = random.randrange(10000, 30000)
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Bad("no free port")


def listening(port):
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A"
                   for line in f.readlines()[1:])


def kill_at_random(stage, pids, longest):
    """kill -9 of one of pids() within @longest seconds; returns it, or None if there was none."""
    time.sleep(stage.rng.uniform(0, longest))
    alive, which = pids(), stage.rng.random()
    if not alive:
        return None
    pid = alive[int(which * len(alive))]
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return pid


# ---- random programs ----------------------------------------------------------------


def mixed_start(stage, number):
    """Starts one random program; returns the names of its processes."""
    rng, plan = stage.rng, stage.plan
    seed, family = rng.randrange(1, 1 << 31), rng.choice(FAMILIES)
    kind = rng.choice(["apart", "self", "solo"])
    if plan["who"] in ("server", "client"):
        kind = "apart"
    mixed, env = os.path.join(stage.build, "tests/progs/mixed"), {"MIXED_ALARM": "40"}
    if plan["alarm"] or plan["stops"] or plan["kill"]:
        env["MIXED_STORM"] = "1"
    if plan["hold"]:
        env["MIXED_HOLD"] = "1"
    if plan["spoil"] and number == 0:
        env["MIXED_SPOIL"] = plan["spoil"]
        kind = "apart"
    limits = {}
    if plan["limit"] in ("files", "memory"):
        limits = {"RLIMIT_NOFILE": rng.randrange(520, 700), "RLIMIT_MEMLOCK": 0}
        if plan["limit"] == "memory":
            limits["RLIMIT_AS"] = rng.randrange(48, 100) << 20
            limits["RLIMIT_FSIZE"] = 4 << 20
    name = "mixed%d" % number
    if kind != "apart":
        stage.start(name, "both" if plan["who"] == "both" else "neither",
                    [mixed, kind, family, str(seed)], env, limits=limits)
        return [name]
    for end in ("server", "client"):
        stage.start(name + "-" + end, end,
                    [mixed, end, family, stage.path(name), str(seed)], env, limits=limits)
    return [name + "-server", name + "-client"]


def mixed_check(stage, names):
    """Both ends agree on what each sent and the other received."""
    ends = []
    for name in names:
        for line in stage.read(name + ".out").splitlines():
            if line.endswith(" ok"):
                ends.append(dict(word.split("=") for word in line.split() if "=" in word))
    if len(ends) != 2:
        raise Bad("%s: %d ends are done, not 2" % (names[0], len(ends)))
    a, b = ends
    if any(a["tx" + s] != b["rx" + s] or a["rx" + s] != b["tx" + s] for s in ("", "sum")):
        raise Bad("%s: the ends do not agree: %s %s" % (names[0], a, b))


def is_holder(pid):
    try:
        with open("/proc/%d/comm" % pid, encoding="latin-1") as f:
            return f.read() == "holder\n"
    except OSError:
        return False


def mixed(stage):
    jobs = [mixed_start(stage, i) for i in range(8)]
    stage.disturb()
    victims = []
    if stage.plan["kill"]:
        for _ in range(4):
            victims.append(kill_at_random(stage, descendants, 0.1))
        time.sleep(0.5)
        # whose parent was killed would hold its stream for ever
        for pid in filter(is_holder, descendants()):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + (15 if stage.plan["kill"] else 50)
    while time.monotonic() < end and not all(map(stage.gone, stage.running)):
        time.sleep(0.01)
    stage.calm()
    for name in list(stage.running):
        if not stage.gone(name):
            # says where it hangs; one whose peer died before they met says nothing
            if not stage.plan["kill"]:
                stage.say_where(name)
            stage.kill(name)
    until(4, lambda: len(descendants()) == 0, "all processes of mixed end")
    ends = [(not forbidden(stage.read(name + ".out"), WRONG), stage.finish(name), name)
            for names in jobs for name in names]
    # the one to blame first: it says so, or died of a signal; others lost their peer
    for fair, status, name in sorted(ends):
        if not fair or status not in ((0, 1, -signal.SIGKILL, -signal.SIGPIPE) if victims
                                      else (0,)):
            raise Bad("%s: exit status %d: %s" % (name, status, stage.tail(name)))
    for names in jobs if not victims else []:
        mixed_check(stage, names)


# ---- programs whose every call is compared with a run on the plain kernel -----------------


def compared(stage, program, prefix):
    """tests/shim/run_modes.bash, with some seeds of the program, one family, one mode."""
    plan, first = stage.plan, stage.rng.randrange(1, 1 << 20)
    who = "both" if plan["lack"] or plan["who"] == "plain" else plan["who"]
    mode = [who] + ["%s=%s" % pair for pair in plan["settings"].items()]
    mode.append("SHMFD_TEST_SEED=%d" % first)
    if plan["lack"]:
        mode += ["LD_PRELOAD=%s:%s" % (os.path.join(stage.build, "libshmfd.so"),
                                       os.path.join(stage.top, "lack.so")),
                 "CHAOS_LACK=%d" % plan["lack"], "CHAOS_SEED=%d" % first]
    script = ". %s; run_modes %s %s" % (os.path.join(APPS, "../shim/run_modes.bash"), program,
                                        stage.rng.choice(FAMILIES))
    stage.start(program, None, ["bash", "-c", script], {
        "BUILD": stage.build, "TMPDIR": stage.dir, "SHMFD_TEST_KEEP": "1",
        "SHMFD_TEST_MODES": ",".join(mode), prefix + "_FIRST": str(first),
        prefix + "_LAST": str(first + 4)})
    status = stage.finish(program)
    # streams that lack something stay with the kernel, and so may all of them
    if status and not (plan["lack"] and "no byte went by ring" in stage.read(program + ".out")):
        raise Bad("%s: %s" % (program, stage.read(program + ".out")[:700]))


def lockstep(stage):
    compared(stage, "lockstep", "LOCKSTEP")


def unseen(stage):
    # who left its rings before leaves bytes there that the kernel does not know of: it ends
    # such a stream by an end where it would have reset it, as when the process is killed
    stage.plan["settings"].pop("SHMFD_TEST_RETREAT", None)
    compared(stage, "unseen_close", "UNSEEN")


# ---- clients that are told to end ----------------------------------------------------


def collect(stage, names, killed):
    """The ends of clients, each OK; where a process was killed they may have lost their server."""
    for name in names:
        status = stage.finish(name)
        text = stage.read(name + ".out")
        last = (text.splitlines() or [""])[-1]
        if forbidden(text, WRONG):
            raise Bad("%s: %s" % (name, forbidden(text, WRONG)))
        if status == 0 and last.startswith("OK"):
            continue
        if killed and (status == -signal.SIGKILL or status == 1 and forbidden(last, GONE)):
            continue
        raise Bad("%s: exit status %d: %s" % (name, status, stage.tail(name)))


def same_fds(stage, name, before):
    """A server that everybody has left holds what it held before, and of the library what it
    keeps for the next stream: the table, and an eventfd that wakes the thread of an epoll set."""
    def more():
        now = stage.fds(name)
        return [n + " " + now[n] for n in sorted(now.keys() - before.keys())
                if stage.plan["who"] in ("plain", "client") or
                not forbidden(now[n], r"\[eventfd\]|memfd:shmfd-table")]

    try:
        until(5, lambda: not more() and len(stage.fds(name)) <= len(before) + 2, "")
    except Bad:
        raise Bad("%s holds more descriptors than before its clients: %s" %
                  (name, ", ".join(more() or stage.fds(name)))) from None


# ---- redis ---------------------------------------------------------------------------


def redis_up(stage, port):
    limits = {}
    if stage.plan["limit"] == "files":
        limits["RLIMIT_NOFILE"] = stage.rng.randrange(60, 100)
    stage.start("redis", "server", [
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--unixsocket",
        stage.path("redis.sock"), "--dir", stage.dir, "--save", "", "--appendonly", "no",
        "--daemonize", "no", "--maxclients", "20"], limits=limits)
    until(15, lambda: listening(port) or stage.gone("redis"), "redis listens")
    until(15, lambda: os.path.exists(stage.path("redis.sock")), "the socket of redis")


def resp(stage, name, task, port, *more):
    address = stage.rng.choice(["tcp:%d" % port, "unix:" + stage.path("redis.sock")])
    stage.start(name, "client", [PYTHON, os.path.join(APPS, "resp.py"), task, address, *more])


def redis(stage):
    port = free_port()
    redis_up(stage, port)
    resp(stage, "first", "values", port)
    collect(stage, ["first"], False)
    before = stage.fds("redis")
    names, stop = [], stage.path("stop")
    for i, task in enumerate(["values", "pipeline", "values", "work", "blocked"]):
        names.append("%s%d" % (task, i))
        resp(stage, names[-1], task, port, *([stop] if task == "work" else []))
    stage.disturb("redis")
    victim, server = None, stage.running["redis"].pid
    if stage.plan["spoil"]:
        for _ in range(40):
            stage.run("spoil", None, ["redis-cli", "-p", str(port), "set", "v4096", "spoilt"])
    if stage.plan["kill"]:
        victim = kill_at_random(stage, descendants, 1.5)
    else:
        time.sleep(0.5)
    stage.write("stop", "")
    if victim == server:
        stage.expect("redis", -signal.SIGKILL)
        collect(stage, names, True)
        os.unlink(stage.path("redis.sock"))
        redis_up(stage, port)
    else:
        collect(stage, names[:-1], victim)
        if not stage.gone(names[-1]):	# it waits for the server's end
            stage.kill(names[-1], signal.SIGKILL)
        stage.expect(names[-1], -signal.SIGKILL, seconds=10)
        same_fds(stage, "redis", before)
    resp(stage, "last", "values", port)
    collect(stage, ["last"], False)
    stage.calm()
    stage.run("shutdown", None, ["redis-cli", "-p", str(port), "shutdown", "nosave"])
    stage.expect("redis")


# ---- nginx ---------------------------------------------------------------------------

NGINX = """daemon off;
%(user)s
worker_processes 2;
pid %(dir)s/pid;
error_log %(dir)s/nginx.log warn;
events { worker_connections 64; }
http {
	access_log off;
	sendfile %(sendfile)s;
	tcp_nopush on;
	keepalive_requests 1000000;
	default_type application/octet-stream;
	client_body_temp_path %(dir)s/body;
	proxy_temp_path %(dir)s/proxy;
	fastcgi_temp_path %(dir)s/fastcgi;
	uwsgi_temp_path %(dir)s/uwsgi;
	scgi_temp_path %(dir)s/scgi;
	server { listen 127.0.0.1:%(port)d; root %(dir)s/www; }
}
"""


def nginx_up(stage, port):
    os.mkdir(stage.path("www"))
    digests = {}
    for size in (1024, 65536, 1 << 20, 6 << 20):
        blob = stage.rng.randbytes(size)
        with open(stage.path("www/f%d" % size), "wb") as f:
            f.write(blob)
        digests[size] = hashlib.sha256(blob).hexdigest()
    stage.write("nginx.conf", NGINX % {
        "dir": stage.dir, "port": port, "sendfile": stage.rng.choice(["on", "off"]),
        "user": "user root;" if os.getuid() == 0 else ""})
    stage.start("nginx", "server", ["nginx", "-e", stage.path("nginx.log"), "-c",
                                    stage.path("nginx.conf")])
    until(15, lambda: listening(port) or stage.gone("nginx"), "nginx listens")
    return digests


def workers(stage):
    master = stage.running["nginx"].pid
    with open("/proc/%d/task/%d/children" % (master, master), encoding="ascii") as f:
        return [int(pid) for pid in f.read().split()]


def fetch(stage, name, port, digests):
    """One curl, every file some times over one connection."""
    config = []
    for i in range(6):
        for size in digests if i == 3 else list(digests)[:3]:
            config.append('url = "http://127.0.0.1:%d/f%d"\noutput = "%s"\n' %
                          (port, size, stage.path("%s.%d.%d" % (name, size, i))))
    stage.write(name + ".conf", "".join(config))
    stage.start(name, "client", ["curl", "-sS", "--fail", "-K", stage.path(name + ".conf")])


def fetched(stage, name, digests, killed):
    status = stage.finish(name)
    if status and not killed:
        raise Bad("%s: exit status %d: %s" % (name, status, stage.tail(name)))
    if status not in (0, 7, 18, 52, 55, 56, -signal.SIGKILL):
        raise Bad("%s: exit status %d: %s" % (name, status, stage.tail(name)))
    files = glob.glob(stage.path(name + ".*.*"))
    for path in files:
        size = int(path.split(".")[-2])
        with open(path, "rb") as f, open(stage.path("www/f%d" % size), "rb") as g:
            got, want = f.read(), g.read()
        if got != (want[:len(got)] if killed else want):
            raise Bad("%s: other bytes than the file's" % path)
    if not status and len(files) != 19:
        raise Bad("%s: %d files, not 19" % (name, len(files)))


def nginx(stage):
    port = free_port()
    digests = nginx_up(stage, port)
    stop = stage.path("stop")
    stage.start("load", "client", [PYTHON, os.path.join(APPS, "http_load.py"), str(port),
                                   "/f65536", digests[65536], stop])
    names = ["curl%d" % i for i in range(3)]
    for name in names:
        fetch(stage, name, port, digests)
    stage.disturb()
    victim = None
    if stage.plan["spoil"]:
        with open(stage.path("www/f65536"), "r+b") as f:
            f.write(b"spoilt")
    if stage.plan["kill"]:
        master = stage.running["nginx"].pid
        victim = kill_at_random(stage, lambda: [p for p in descendants() if p != master], 1)
    else:
        time.sleep(stage.rng.uniform(0.3, 1))
    stage.write("stop", "")
    for name in names:
        fetched(stage, name, digests, victim)
    status = stage.finish("load")
    text = stage.read("load.out")
    if status != -signal.SIGKILL and (forbidden(text, r"FAILED.* \d+ bytes") or
                                      status and not victim):
        raise Bad("load: exit status %d: %s" % (status, stage.tail("load")))
    stage.calm()
    until(5, lambda: len(workers(stage)) == 2, "nginx has two workers")
    fetch(stage, "last", port, digests)
    fetched(stage, "last", digests, False)
    stage.kill("nginx", signal.SIGQUIT)
    stage.expect("nginx")
    line = forbidden(stage.read("nginx.log") if os.path.exists(stage.path("nginx.log")) else "",
                     r"\[(error|crit|emerg)\]" if victim else r"\[(error|crit|alert|emerg)\]")
    if line:
        raise Bad("nginx complains: " + line)


# ---- PostgreSQL ----------------------------------------------------------------------

POSTGRES_CONF = """listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 16MB
logging_collector = off
log_destination = stderr
ssl = off
dynamic_shared_memory_type = mmap
"""
SUMS = """SELECT (SELECT sum(abalance) FROM pgbench_accounts) =
	(SELECT coalesce(sum(delta), 0) FROM pgbench_history)
	AND (SELECT sum(tbalance) FROM pgbench_tellers) =
	(SELECT coalesce(sum(delta), 0) FROM pgbench_history),
	(SELECT count(*) FROM pgbench_history)"""
ROWS = 30000


def postgres_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    return found[-1] if found else None


def postgres_user():
    return "postgres" if os.getuid() == 0 else None


def psql(stage, name, end, host, port, *more):
    stage.start(name, end, [os.path.join(postgres_bin(), "psql"), "-X", "-q", "-A", "-t", "-v",
                            "ON_ERROR_STOP=1", "-h", host, "-p", str(port), "-U", "postgres",
                            *more])


def ask(stage, port, query):
    """By a client that is never preloaded."""
    name = "ask%d" % len(stage.seen)
    psql(stage, name, None, stage.dir, port, "-c", query)
    stage.expect(name)
    return stage.read(name + ".out").strip()


def can_ask(stage, port):
    try:
        return ask(stage, port, "SELECT 1") == "1"
    except Bad:
        return False


def postgres_up(stage, port):
    data = os.path.join(stage.top, "pg")
    user = postgres_user()
    fresh = not os.path.isdir(data)
    if fresh:
        os.mkdir(data, 0o700)
        if user:
            os.chown(data, *__import__("pwd").getpwnam(user)[2:4])
        stage.start("initdb", None, [
            os.path.join(postgres_bin(), "initdb"), "-D", data, "-A", "trust", "-U", "postgres",
            "--no-sync", "--no-locale", "-E", "UTF8"], user=user)
        stage.expect("initdb")
        with open(os.path.join(data, "postgresql.conf"), "a", encoding="ascii") as f:
            f.write(POSTGRES_CONF)
    stage.start("postgres", "server", [os.path.join(postgres_bin(), "postgres"), "-D", data,
                                       "-p", str(port), "-k", stage.dir], user=user)
    until(15, lambda: listening(port) or stage.gone("postgres"), "postgres listens")
    until(20, lambda: can_ask(stage, port), "postgres answers")
    if fresh:
        stage.run("init", None, [os.path.join(postgres_bin(), "pgbench"), "-h", stage.dir, "-p",
                                 str(port), "-U", "postgres", "-i", "-q", "postgres"])


def copy_start(stage, host, port):
    lines = "".join("%d\t%s\n" % (i, hashlib.md5(b"%d" % i).hexdigest()) for i in range(ROWS))
    stage.write("in", lines)
    stage.write("script", "SET client_min_messages = warning;\n"
                "DROP TABLE IF EXISTS t; CREATE TABLE t (id int, v text);\n" +
                "".join("SELECT %d;\n" % i for i in range(30)) +
                "\\copy t FROM '%s'\n\\copy (SELECT * FROM t ORDER BY id) TO '%s'\n"
                "SELECT v FROM t ORDER BY id;\n" % (stage.path("in"), stage.path("out")))
    psql(stage, "copy", "client", host, port, "-f", stage.path("script"))


def copy_check(stage):
    want = stage.read("in")
    if stage.read("out") != want:
        raise Bad("COPY brought other bytes back")
    values = [str(i) for i in range(30)] + [line.split("\t")[1] for line in want.splitlines()]
    if stage.read("copy.out").split() != values:
        raise Bad("SELECT brought other rows back")


def postgres(stage):
    port = free_port()
    postgres_up(stage, port)
    hosts = ["127.0.0.1", stage.dir]
    rows = int(ask(stage, port, SUMS).split("|")[1])
    bench = [os.path.join(postgres_bin(), "pgbench"), "-h", stage.rng.choice(hosts), "-p",
             str(port), "-U", "postgres", "-c", "3", "-j", "2", "-T", "1", "-n", "-M",
             stage.rng.choice(["simple", "extended", "prepared"]), "postgres"]
    stage.start("bench", "client", bench)
    copy_start(stage, stage.rng.choice(hosts), port)
    stage.disturb()
    victim = None
    if stage.plan["kill"]:
        master = stage.running["postgres"].pid
        victim = kill_at_random(stage, lambda: [p for p in descendants() if p != master], 1)
    bench_status, copy_status = stage.finish("bench"), stage.finish("copy")
    stage.calm()
    if victim:
        until(30, lambda: can_ask(stage, port), "postgres answers again")
        for name, status in (("bench", bench_status), ("copy", copy_status)):
            if status not in (0, 1, 2, 3, -signal.SIGKILL):
                raise Bad("%s: exit status %d: %s" % (name, status, stage.tail(name)))
    elif bench_status or copy_status:
        raise Bad("%s | %s" % (stage.tail("bench"), stage.tail("copy")))
    if not copy_status:
        copy_check(stage)
    if stage.plan["spoil"]:
        ask(stage, port, "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1")
    same, now = ask(stage, port, SUMS).split("|")
    if same != "t":
        raise Bad("the balances do not agree")
    done = forbidden(stage.read("bench.out"), r"^number of transactions actually processed")
    if not victim and int(done.split(": ")[1].split("/")[0]) != int(now) - rows:
        raise Bad("%s, but %d rows more" % (done, int(now) - rows))
    stage.kill("postgres", signal.SIGINT)
    stage.expect("postgres")


def needs(work):
    """What is missing for this work here, or None."""
    found = {"redis": ["redis-server", "redis-cli"], "nginx": ["nginx", "curl"],
             "postgres": []}.get(work, [])
    for program in found:
        if not any(os.access(os.path.join(d, program), os.X_OK)
                   for d in os.environ["PATH"].split(":")):
            return program
    if work == "postgres" and not postgres_bin():
        return "postgresql"
    return None


WORKS = {"mixed": mixed, "redis": redis, "nginx": nginx, "postgres": postgres,
         "lockstep": lockstep, "unseen": unseen}
# They look themselves whether rings were used.
COMPARED = ("lockstep", "unseen")
if __name__ == "__main__":
    sys.exit("run chaos.py")
