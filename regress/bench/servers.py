"""The servers that are compared: how to start each, and what it speaks."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("LTPD_BUILD", SOURCE.parents[1]))
BENCH = BUILD / "regress/bench"
MODULES = BENCH / "peers/node_modules"
NOBODY = 65534
START_MAX = 20  # seconds

# As long as the client ids of load, so that replies are as long, too.
KEY_ID = "bench-session-with-a-long-id-api-key1"
KEY = "bench-key-of-no-value-0123456789abcdef"
SEED = "07" * 32

# Every limit is on, and none is reached.
SETTINGS = {
    "id": "bench",
    "log_level": "info",
    "max_connections": 1000000,
    "max_sessions": 1000000,
    "handshake_timeout_ms": 60000,
    "idle_ttl_ms": 3600000,
    "rate_limit_rps": 1000000,
    "rate_limit_burst": 1000000,
    "ip_rate_limit_rps": 1000000,
    "ip_rate_limit_burst": 1000000,
    "max_connections_per_ip": 4095,
    "max_half_open_per_ip": 4095,
    "auth_failure_limit": 1000,
}


class BenchError(Exception):
    """Something that makes the results worthless."""


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def wait_until(condition, what):
    end = time.monotonic() + START_MAX
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"in vain: {what}")
        time.sleep(0.01)


def listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def group(leader):
    """The processes of a process group, its leader first."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            stat = pathlib.Path("/proc", entry, "stat").read_text()
            state, _, pgrp = stat.rpartition(")")[2].split()[:3]
            if int(pgrp) == leader and state != "Z":
                found.append(int(entry))
    return sorted(found)


class Server:
    """
    One server that can be started on some processors.  what is the kind of
    target that load takes it for; options are further ones for load.
    """

    what = "echo"
    options = ()

    def __init__(self, name):
        self.name = name
        self.proc = None
        self.port = None
        self.pids = []

    def absent(self):
        """Why this cannot be run here; None if it can."""
        return None

    def version(self):
        return None

    def command(self):
        raise NotImplementedError

    def stderr(self):
        return os.devnull

    def prepare(self):
        self.port, = free_ports(1)

    def await_start(self):
        wait_until(lambda: self.proc.poll() is not None or
                   listening(self.port), f"{self.name} listens")

    def start(self, cpus):
        self.pids = []
        for _ in range(3):
            self.prepare()
            with open(self.stderr(), "ab") as stderr:
                self.proc = subprocess.Popen(
                    self.command(), stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=stderr,
                    env=self.environment(), cwd="/", start_new_session=True,
                    preexec_fn=lambda: os.sched_setaffinity(0, cpus))
            try:
                self.await_start()
            except BenchError as error:
                raise BenchError(f"{error}: {self.complaint()}") from error
            if self.proc.poll() is None:
                self.pids = group(self.proc.pid)
                return
            # Somebody else may have taken the port.
            self.stop()
        raise BenchError(f"{self.name} does not start: {self.complaint()}")

    def complaint(self):
        return " ".join(self.command())

    def environment(self):
        return dict(os.environ)

    def stop(self):
        if self.proc is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()
        self.proc.stdout.close()
        self.proc = None

    @contextlib.contextmanager
    def running(self, cpus):
        try:
            self.start(cpus)
            yield self
        finally:
            self.stop()


# ---- the floor ----

class Floor(Server):
    what = "floor"

    def __init__(self, name, *args):
        super().__init__(name)
        self.args = args

    def prepare(self):
        pass

    def command(self):
        return [str(BENCH / "floor"), *self.args]

    def await_start(self):
        line = self.proc.stdout.readline().split()
        if len(line) != 2:
            raise BenchError(f"{self.name} does not start")
        self.port = int(line[1])
        wait_until(lambda: len(group(self.proc.pid)) == 1 + len(self.args),
                   f"{self.name} has forked")


# ---- the node ----

def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value)


class Stage:
    """
    The programs of the node where its user can run them: ltpd refuses uid 0,
    so root runs copies of them as nobody.
    """

    programs = ("ltpd/ltpd", "ltp-worker/ltp-worker", "ltp-auth/ltp-auth",
                "ltp-metrics/ltp-metrics", "ltp-audit/ltp-audit")
    distributed = ("ltp-worker/ltp-worker-tls", "ltp-sign/ltp-sign")

    def __init__(self):
        self.root = os.getuid() == 0
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ltpd-bench."))
        self.dir.chmod(0o755)
        self.bin = self.dir / "bin" if self.root else BUILD
        # It may be configured without.
        self.has_remote = all((BUILD / name).exists()
                              for name in self.distributed)
        if self.root:
            for name in self.programs + \
                    (self.distributed if self.has_remote else ()):
                (self.bin / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(BUILD / name, self.bin / name)
                (self.bin / name).chmod(0o755)

    def own(self, path, mode):
        path.chmod(mode)
        if self.root:
            os.chown(path, NOBODY, NOBODY)

    def command(self, name, *args):
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                "--clear-groups", "--"] if self.root else []
        return [*drop, str(self.bin / name), *args]

    def pair(self, kind):
        """A certificate and its key, made at the first question."""
        cert, key = (self.dir / f"{kind}.{what}" for what in ("crt", "key"))
        if not cert.exists():
            how = {"ec": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                   "rsa": ("rsa:2048",)}[kind]
            if said("openssl", "req", "-x509", "-newkey", *how, "-nodes",
                    "-keyout", str(key), "-out", str(cert), "-days", "30",
                    "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1") is None:
                raise BenchError("openssl makes no certificate")
            self.own(cert, 0o644)
            self.own(key, 0o600)
        return str(cert), str(key)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Node(Server):
    """ltpd.  audit: None, "file" or "signed"."""

    what = "ltp"

    def __init__(self, name, stage, *, workers=1, key=False, audit=None):
        super().__init__(name)
        self.stage = stage
        self.workers = workers
        self.key = key
        self.audit = audit
        self.dir = None
        if key:
            self.options += ("-k", KEY, "-n", KEY_ID)
        if audit is not None:
            # Lines are signed and written behind the replies.
            self.options += ("-b",)

    def file(self, name, content):
        path = self.dir / name
        path.write_text(content)
        self.stage.own(path, 0o600)
        return str(path)

    def settings(self):
        ports = free_ports(2)
        self.port = ports[0]
        settings = {
            **SETTINGS,
            "workers": self.workers,
            "addr": f"127.0.0.1:{ports[0]}",
            "metrics_addr": f"127.0.0.1:{ports[1]}",
            "control_socket": str(self.dir / "ltpd.sock"),
        }
        if self.key:
            settings["auth_mode"] = "api_key"
            settings["auth_keys_file"] = self.file(
                "keys.json", json.dumps({KEY_ID: KEY}))
        if self.audit is not None:
            settings["audit_log_file"] = str(self.dir / "audit.log")
        if self.audit == "signed":
            settings["node_signing_key"] = SEED
        return settings

    def prepare(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="n.",
                                                 dir=self.stage.dir))
        self.stage.own(self.dir, 0o755)
        self.file("ltpd.conf", "".join(
            f"{name} = {toml(value)}\n"
            for name, value in self.settings().items()) + self.tables())

    def tables(self):
        """What follows the settings."""
        return ""

    def command(self):
        return self.stage.command("ltpd/ltpd", "-d", "-f",
                                  str(self.dir / "ltpd.conf"))

    def stderr(self):
        return self.dir / "ltpd.log"

    def environment(self):
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}

    def log(self):
        with contextlib.suppress(OSError):
            return (self.dir / "ltpd.log").read_text(errors="replace")
        return ""

    def complaint(self):
        return self.log()[-2000:] or "it says nothing"

    def await_start(self):
        wait_until(lambda: self.proc.poll() is not None or
                   " ltpd: ready" in self.log(), f"{self.name} is ready")

    def stop(self):
        """A node that complained, or lost a child, was not measured well."""
        whole = self.proc is not None and self.proc.poll() is None and \
            set(self.pids) <= set(group(self.proc.pid))
        super().stop()
        if self.dir is None:
            return
        # Ten thousand may go at once; no other warning is in order.
        bad = [line for line in self.log().splitlines()
               if line.split(" ")[1:2] in (["error"], ["warn"])
               and not line.endswith(" log lines dropped")]
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir = None
        if self.pids and (bad or not whole):
            raise BenchError(f"{self.name}: a child of it died" if not bad
                             else f"{self.name} says: {bad[0]}")


# The limits of the remote listener, none of which is reached, either.  That of
# sessions is as it comes, since a table of that size is part of their memory.
REMOTE_SETTINGS = {
    "enabled": True,
    "max_connections": 1000000,
    "rate_limit": 1000000,
    "handshake_timeout_ms": 60000,
    "idle_timeout_ms": 3600000,
    "session_ttl_secs": 3600,
}


def tls_options(cert, version="1.3"):
    return ("-T", version, "-C", cert)


class Remote(Node):
    """
    A node with a remote listener, with a token and, if pair is "ec" or "rsa",
    TLS.  plain: nevertheless load talks to the other listener.
    """

    what = "remote"

    def __init__(self, name, stage, *, pair=None, version="1.3",
                 resumed=False, plain=False):
        super().__init__(name, stage)
        self.pair = pair
        self.version = version
        self.resumed = resumed
        self.plain = plain
        if plain:
            self.what = "ltp"

    def absent(self):
        return None if self.stage.has_remote else \
            "configured without the remote listener"

    def tables(self):
        port, = free_ports(1)
        token = self.file("token", "0123456789abcdef" * 4 + "\n")
        rows = {**REMOTE_SETTINGS, "bind_addr": f"127.0.0.1:{port}",
                "token_path": token}
        tls = {}
        if self.pair is not None:
            cert, key = self.stage.pair(self.pair)
            tls = {"enabled": True, "cert_path": cert, "key_path": key}
        if not self.plain:
            self.port = port
            self.options = ("-a", token)
        if not self.plain and self.pair is not None:
            self.options += tls_options(cert, self.version)
        if self.resumed:
            self.options += ("-R",)
        return "".join(
            f"\n[{name}]\n" + "".join(f"{key} = {toml(value)}\n"
                                     for key, value in table.items())
            for name, table in (("distributed", rows),
                                ("distributed.tls", tls)))


# ---- peers: reported as absent when they are not installed ----

def said(*command, **how):
    """What a program prints, None when there is none or it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, timeout=20, **how)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


class Peer(Server):
    """With a pair, a certificate and its key, it speaks TLS."""

    def __init__(self, name, pair=()):
        super().__init__(name)
        self.pair = pair
        if pair:
            self.options = tls_options(pair[0])


class Lws(Peer):
    def absent(self):
        if not (BENCH / "lws-echo").exists():
            return "no libwebsockets when it was built"
        return None

    def version(self):
        return said("pkg-config", "--modversion", "libwebsockets")

    def command(self):
        return [str(BENCH / "lws-echo"), str(self.port), *self.pair]


class Ws(Peer):
    def environment(self):
        return {**os.environ, "NODE_PATH": str(MODULES)}

    def version(self):
        return said("node", "-p", "require('ws/package.json').version + "
                    "', node ' + process.version", env=self.environment())

    def absent(self):
        return None if self.version() else "no package ws for node"

    def command(self):
        return ["node", str(SOURCE / "peer-ws.js"), str(self.port), *self.pair]


class Bun(Peer):
    def __init__(self, name, pair=()):
        super().__init__(name, pair)
        local = MODULES / ".bin/bun"
        self.program = str(local) if local.exists() else "bun"

    def version(self):
        return said(self.program, "--version")

    def absent(self):
        return None if self.version() else "no bun"

    def command(self):
        return [self.program, str(SOURCE / "peer-bun.js"), str(self.port),
                *self.pair]


class Nats(Server):
    what = "nats"

    def __init__(self, name, stage):
        super().__init__(name)
        self.conf = stage.dir / "nats.conf"

    def version(self):
        return said("nats-server", "--version")

    def absent(self):
        return None if self.version() else "no nats-server"

    def prepare(self):
        self.port, port = free_ports(2)
        self.conf.write_text(
            f'listen: "127.0.0.1:{port}"\n'
            'ping_interval: "1h"\n'
            f'websocket {{ listen: "127.0.0.1:{self.port}", no_tls: true }}\n')

    def command(self):
        return ["nats-server", "-c", str(self.conf)]
