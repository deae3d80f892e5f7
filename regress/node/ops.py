"""What the tests of a node's operation share.

A node that is started, watched and ended in unusual ways, the operator's
view of it, and clients that work while something is done to it.
"""

import collections
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import node as harness
from node import SAMPLE, TIMEOUT, Node, free_ports, wait_for

ROOT = os.getuid() == 0
# Somebody who is neither root nor the user of the node.
STRANGER = 65533
RESPAWN = 1.5       # seconds from the death of a child to its successor
DRAIN = 5.0         # seconds from SIGTERM to the end
TICK = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36

# Binds nothing itself: puts the listeners where a service manager would.
ACTIVATE = """
import os, sys
count = int(sys.argv[1])
fds = [os.dup(int(fd)) for fd in sys.argv[2].split(",")]
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
os.environ["LISTEN_FDS"] = str(count)
os.environ["LISTEN_PID"] = sys.argv[3] or str(os.getpid())
os.execv(sys.argv[4], sys.argv[4:])
"""


# ---- nodes ----

class Ltpd(Node):
    """
    In the foreground.  args: more of them; wrap: what runs the command; fds:
    what it inherits; secrets: what must not be in its log.
    """

    def __init__(self, stage, *, args=(), wrap=(), fds=(), secrets=(),
                 **settings):
        super().__init__(stage, **settings)
        self.secrets.update(secrets)
        self.args = args
        self.wrap = wrap
        self.fds = fds
        self.over = False

    def command(self, *args):
        return [*self.wrap, *self.stage.command("ltpd/ltpd", *args)]

    def launch(self):
        with open(self.log_path, "wb") as log:
            self.proc = subprocess.Popen(
                self.command("-d", "-f", str(self.conf), *self.args),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=self.env, start_new_session=True, pass_fds=self.fds)

    def expect_exit(self, status=0, timeout=TIMEOUT):
        """It ends by itself, or has been told to, and so do its children."""
        assert self.proc.wait(timeout) == status, self.log()
        wait_for(lambda: not self.group(), "all children have gone", 2)
        self.check_log()
        self.over = True

    def stop(self):
        if not self.over:
            super().stop()

    def settle(self, timeout=TIMEOUT):
        """Wait until all processes are ready; from now on, these count."""
        def ready():
            rows = processes(self)
            return all(r["state"] == "ready" for r in rows) and rows
        rows = wait_for(ready, "all processes are ready", timeout)
        self.children = {r["pid"] for r in rows} - {self.proc.pid}
        return rows


class Orphan:
    """As subprocess.Popen, for a process that somebody else started."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=TIMEOUT):
        wait_for(lambda: self.poll() is not None, "ltpd ends", timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


class Daemon(Ltpd):
    """
    In the background, where the tests inherit it from its caller.  said:
    what the caller wrote.
    """

    def __init__(self, stage, **settings):
        super().__init__(stage, **settings)
        self.settings.setdefault("log_file", str(self.log_path))
        self.caller = self.status = None
        self.said = ""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def launch(self):
        with tempfile.TemporaryFile("w+") as out:
            self.caller = subprocess.Popen(
                self.command("-f", str(self.conf), *self.args),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/",
                env=self.env, start_new_session=True, pass_fds=self.fds)
            self.status = self.caller.wait(2 * TIMEOUT)
            out.seek(0)
            self.said = out.read()
        self.inherit()

    def inherit(self):
        ps = subprocess.run(
            ["ps", "--ppid", str(os.getpid()), "-o", "pid=,stat=,args="],
            capture_output=True, text=True)
        for pid, state, args in (line.split(None, 2)
                                 for line in ps.stdout.splitlines()):
            if state[0] != "Z" and str(self.conf) in args.split():
                self.proc = Orphan(int(pid))

    def ready(self):
        return self.status == 0

    def kill(self):
        if self.caller is not None:
            self.caller.kill()
            self.caller.wait()
            self.inherit()
        super().kill()

    def log(self):
        written = super().log() if self.log_path.exists() else ""
        return self.said + written


@contextlib.contextmanager
def started(lab, keys=None, kind=Ltpd, **settings):
    """As lab.node(), but the test may end it itself (expect_exit)."""
    with prepared(lab, keys, kind, **settings) as node:
        node.start()
        yield node
        node.stop()


@contextlib.contextmanager
def prepared(lab, keys=None, kind=Ltpd, **settings):
    """Not started yet, but ready to be."""
    node = kind(lab.stage, **settings)
    lab.running.append(node)
    lab.recent.append(node)
    try:
        if keys is not None:
            node.settings["auth_mode"] = "api_key"
            node.settings["auth_keys_file"] = node.keys(keys)
        place(node)
        yield node
    finally:
        node.kill()
        lab.running.remove(node)


def place(node):
    """Choose ports and write the configuration."""
    ports = free_ports(2)
    node.address = ("127.0.0.1", ports[0])
    node.metrics_address = ("127.0.0.1", ports[1])
    node.configure(**{"addr": "%s:%d" % node.address,
                      "metrics_addr": "%s:%d" % node.metrics_address,
                      "control_socket": str(node.control),
                      **node.settings})


def run_ltpd(node, *args, env=None):
    """ltpd, when it is expected to end at once."""
    return subprocess.run(
        node.command(*args), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, cwd="/", env=node.env | (env or {}), timeout=TIMEOUT)


def activate(socks, pid=""):
    """
    A wrap that passes listening sockets as a service manager does; pid: whom
    it says that they are for, by default ltpd.
    """
    fds = ",".join(str(s.fileno()) for s in socks)
    return [sys.executable, "-c", ACTIVATE, str(len(socks)), fds, pid]


# ---- where it writes ----

def scratch(lab):
    """A directory of the node's user, out of the node's own."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="a.", dir=lab.stage.dir))
    lab.stage.own(home, 0o755)
    return home


class Tmpfs:
    """A small file system, filled up; root's to mount."""

    def __init__(self, lab):
        self.home = scratch(lab)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none",
                        str(self.home)], check=True)
        lab.stage.own(self.home, 0o755)

    def fill(self, node):
        with contextlib.suppress(OSError), \
                (self.home / "ballast").open("wb", 0) as f:
            while True:
                f.write(b"x" * 512)

    def free(self, node):
        (self.home / "ballast").unlink()

    def end(self):
        subprocess.run(["umount", "-l", str(self.home)], check=True)


# ---- what the operator sees ----

def ctl_json(node, *args):
    done = node.ctl("-j", *args)
    assert done.returncode == 0, (args, done)
    return json.loads(done.stdout)


def run_ctl(node, *args, env=None):
    """ltpctl without a socket that it is told."""
    return subprocess.run(
        node.stage.command("ltpctl/ltpctl", *args), cwd="/",
        env=node.env | (env or {}), capture_output=True, text=True,
        timeout=TIMEOUT)


def processes(node):
    return ctl_json(node, "show", "processes")


def summary(node):
    return ctl_json(node, "show", "summary")


def sessions(node):
    return ctl_json(node, "show", "sessions")


def config(node):
    return {s["name"]: s for s in ctl_json(node, "show", "config")}


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def process(node, name, slot=0):
    found = [p for p in processes(node)
             if (p["process"], p["slot"]) == (name, slot)]
    assert len(found) == 1, f"{name}[{slot}]: {found}"
    return found[0]


def wait_for_log(node, pattern, timeout=TIMEOUT):
    return wait_for(lambda: node.log_lines(pattern), f"/{pattern}/ in the log",
                    timeout, 0.005)


def successor(node, name, slot, pid, timeout=RESPAWN):
    """Wait for a process that is ready and is not pid any more."""
    def ready():
        p = process(node, name, slot)
        return p["pid"] != pid and p["state"] == "ready" and p
    return wait_for(ready, f"a successor of {name}[{slot}]", timeout, 0.01)


def kill_child(node, name, slot=0, number=signal.SIGKILL):
    """
    Kill and wait for the successor, no longer than is allowed; returns both,
    as show processes has them.
    """
    def alive():
        p = process(node, name, slot)
        return p["pid"] > 0 and p

    # Process 0 would be our own group: the whole run would end, and silently.
    victim = wait_for(alive, f"a {name}[{slot}] to kill", RESPAWN, 0.01)
    os.kill(victim["pid"], number)
    heir = successor(node, name, slot, victim["pid"])
    node.settle()
    return victim, heir


def stat_of(pid):
    """The fields of /proc/PID/stat from the state on."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()


def cpu_seconds(pids):
    return sum(int(n) for pid in pids for n in stat_of(pid)[11:13]) / TICK


def slay(pid):
    """Kill; when this returns it has closed all that it had open."""
    os.kill(pid, signal.SIGKILL)

    def dead():
        try:
            return stat_of(pid)[0] == "Z"
        except OSError:
            return True
    wait_for(dead, f"{pid} dies", TIMEOUT, 0.001)


def start_time(pid):
    """Seconds since boot, to a tick."""
    return int(stat_of(pid)[19]) / TICK


def as_node_user(node, *args):
    """Run a command as the user of the node."""
    drop = node.stage.command("ltpd/ltpd")[:-1]
    return subprocess.run([*drop, *args], capture_output=True, timeout=TIMEOUT)


def ctl_as(node, uid, gid, *args, groups="--clear-groups"):
    """ltpctl as somebody else; root's to use."""
    return subprocess.run(
        ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", groups,
         str(node.stage.bin / "ltpctl/ltpctl"), "-s", str(node.control),
         *args], cwd="/", capture_output=True, text=True, timeout=TIMEOUT)


# ---- the control socket ----

def operator(node):
    """A connection to the control socket that has said nothing yet."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # A connect that does not block would fail while the backlog is full.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                    struct.pack("ll", int(TIMEOUT), 0))
    sock.connect(str(node.control))
    sock.settimeout(TIMEOUT)
    return sock


def overheard(node, *verb):
    """
    What ltpctl says for a verb, hello and request, as it would say it to
    ltpd: the tests need not know how it is written.
    """
    path = node.dir / "overheard.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.settimeout(TIMEOUT)
        listener.bind(str(path))
        node.stage.own(path, 0o600)
        listener.listen()
        with subprocess.Popen(
                node.stage.command("ltpctl/ltpctl", "-s", str(path), *verb),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ctl:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(TIMEOUT)
                hello = sock.recv(65536)
                sock.send(hello)
                request = sock.recv(65536)
            ctl.wait(TIMEOUT)
    path.unlink()
    return hello, request


# ---- clients ----

def hello(client_id="c"):
    return {"type": "hello", "client_id": client_id}


HELLO_ACK = {"type": "hello_ack", "node_id": "node-a", "accepted": True}


def beat(wire, n=1, client_id="c"):
    """One heartbeat, answered."""
    wire.say({"type": "heartbeat", "client_id": client_id,
              "timestamp_ms": n})
    wire.expect({"type": "heartbeat_ack", "client_id": client_id,
                 "timestamp_ms": n})


def enter(node, client_id="c", key=None, **how):
    """A client with a session."""
    wire = node.connect([("X-API-Key", key)] if key else (), **how)
    wire.say(hello(client_id))
    wire.expect(HELLO_ACK)
    return wire


def let_in(node, key=None):
    """Whether a new client is; it leaves again."""
    try:
        with harness.Wire(node.address) as wire:
            wire.send(harness.request([("X-API-Key", key)] if key else ()))
            return wire.response().status == 101
    except (EOFError, OSError):
        return False


def status_for(node, key):
    """Status and text that the upgrade with this key gets."""
    with harness.Wire(node.address) as wire:
        wire.send(harness.request([("X-API-Key", key)]))
        r = wire.response()
        return r.status, r.body.decode()


def flood(wires, data):
    """All send until none can any more, or has been closed."""
    left = {w: b"" for w in wires}
    quiet_since = time.monotonic()
    for w in wires:
        w.sock.setblocking(False)
    while time.monotonic() < quiet_since + 0.5:
        for w in wires:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                left[w] = left[w] or data
                left[w] = left[w][w.sock.send(left[w]):]
                quiet_since = time.monotonic()


class Background:
    """A thread that does step() again and again; what fails there counts."""

    PAUSE = 0.01

    def __init__(self):
        self.leave = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.leave.is_set():
                self.step()
                self.leave.wait(self.PAUSE)
        except Exception as e:
            self.error = e

    def check(self):
        if self.error is not None:
            raise self.error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.leave.set()
        self.thread.join(2 * TIMEOUT)
        if exc[0] is None:
            assert not self.thread.is_alive(), f"{self} hangs"
            self.check()


class Herd(Background):
    """
    Clients that each want every heartbeat answered.  lossy: one that is lost
    comes again.
    """

    def __init__(self, node, count, keys=None, lossy=False):
        super().__init__()
        self.node = node
        self.lossy = lossy
        self.ids = list(keys or (f"herd-{i}" for i in range(count)))
        self.keys = keys or {}
        self.rounds = 0
        self.lost = 0
        self.slowest = 0.0
        self.wires = [self.join(i) for i in self.ids]

    def join(self, client_id):
        return enter(self.node, client_id, self.keys.get(client_id))

    def step(self):
        for i, client_id in enumerate(self.ids):
            begin = time.monotonic()
            try:
                beat(self.wires[i], self.rounds, client_id)
            except (EOFError, OSError):
                if not self.lossy:
                    raise
                self.lost += 1
                self.again(i)
            self.slowest = max(self.slowest, time.monotonic() - begin)
        self.rounds += 1

    def again(self, i):
        self.wires[i].drop()

        def joined():
            with contextlib.suppress(EOFError, OSError):
                self.wires[i] = self.join(self.ids[i])
                return True
        wait_for(joined, "a lost client is let in again", 2 * TIMEOUT)

    def turns(self, n=2):
        """Everybody has been answered n times from now on."""
        goal = self.rounds + n
        wait_for(lambda: self.rounds >= goal or self.error,
                 "every heartbeat is answered", 2 * TIMEOUT)
        self.check()


class Callers(Background):
    """
    Clients that connect all the time, some at once, and each wants to be
    served.  refused: connects that found nobody; lost: connections that were
    taken and ended before an answer; such a client comes again.
    """

    PAUSE = 0.002

    def __init__(self, node, count=4):
        super().__init__()
        self.node = node
        self.count = count
        self.served = self.refused = self.lost = self.rounds = 0

    def step(self):
        wires = []
        try:
            for _ in range(self.count):
                wires.append(harness.Wire(self.node.address))
            for i, wire in enumerate(wires):
                self.serve(wire, f"caller-{i}")
        except ConnectionRefusedError:
            self.refused += 1
        finally:
            for wire in wires:
                wire.drop()
        self.rounds += 1

    def serve(self, wire, client_id):
        try:
            wire.upgrade()
            wire.say(hello(client_id))
            wire.expect(HELLO_ACK)
            self.served += 1
        except (AssertionError, EOFError, ConnectionError):
            self.lost += 1

    def turns(self, n=4):
        """So many rounds from now on are served whole."""
        goal = self.served + n * self.count
        wait_for(lambda: self.served >= goal or self.error,
                 "callers are served", 2 * TIMEOUT)
        self.check()


class Sampler(Background):
    """
    Scrapes /metrics; a counter, or any part of a histogram, that goes down
    is put into fallen.
    """

    KIND = re.compile(r"# TYPE (\S+) (counter|histogram)")

    def __init__(self, node):
        super().__init__()
        self.node = node
        self.last = {}
        self.fallen = collections.Counter()
        self.scrapes = 0

    def step(self):
        # Whoever is connected to a process that is killed sees that.
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _, body = self.node.get("/metrics")
            if status == 200:
                self.take(body)

    def take(self, body):
        rising = {m[1]: m[2] for m in self.KIND.finditer(body)}
        now = dict(SAMPLE.findall(
            "\n".join(line for line in body.splitlines()
                      if not line.startswith("#"))))
        for name, value in now.items():
            if self.is_counter(name.split("{")[0], rising):
                value = float(value)
                if value < self.last.get(name, 0):
                    self.fallen[name] += 1
                self.last[name] = value
        self.scrapes += 1

    @staticmethod
    def is_counter(name, rising):
        base = re.sub("_(bucket|sum|count)$", "", name)
        return rising.get(name) == "counter" or \
            rising.get(base) == "histogram"

    def samples(self, n=2):
        goal = self.scrapes + n
        wait_for(lambda: self.scrapes >= goal or self.error,
                 "/metrics answers", 2 * TIMEOUT)
        self.check()
