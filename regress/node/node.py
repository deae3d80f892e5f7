"""A node under test: the program, and a client that owes nobody politeness.

Node writes a configuration, runs ltpd with it and tells whether it ended as
it should.  Wire is a socket that speaks HTTP and WebSocket byte by byte, so
that it can also speak them wrongly.  Neither looks into the program.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest

TIMEOUT = float(os.environ.get("LTPD_TIMEOUT", "5"))    # seconds
NOBODY = 65534
PROGRAMS = ("ltpd/ltpd", "ltpctl/ltpctl", "ltp-worker/ltp-worker",
            "ltp-auth/ltp-auth", "ltp-metrics/ltp-metrics",
            "ltp-audit/ltp-audit")
SANITIZERS = ("ASAN_OPTIONS", "UBSAN_OPTIONS")
BUILD = pathlib.Path(os.environ.get(
    "LTPD_BUILD", pathlib.Path(__file__).resolve().parents[2]))
# Not with --disable-distributed.
PROGRAMS += tuple(p for p in ("ltp-worker/ltp-worker-tls", "ltp-sign/ltp-sign")
                  if (BUILD / p).exists())

# What AddressSanitizer says of itself where a handshake has left its stack.
ASAN_SELF = re.compile(
    r"==\d+==WARNING: ASan is ignoring requested __asan_handle_no_return: .*|"
    r"False positive error reports may follow|For details see https?:\S+")

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xa
MASK = b"\x37\xfa\x21\x3d"

WS_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WS_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = (
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", WS_KEY),
)

LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z "
    r"(error|warn|info|debug|trace) (\S+) (.*)")
SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)")


def table(*rows):
    """Rows of a name and values, as parameters of a test."""
    return [pytest.param(*row[1:], id=row[0].replace(" ", "_"))
            for row in rows]


def same(got, expected):
    """Compare, and show both whole: what differs is often in the middle."""
    assert got == expected, f"\ngot:      {got!r}\nexpected: {expected!r}"


# ---- bytes on the wire ----

def compact(obj):
    """JSON as the node writes it, members in the order of the dict."""
    return json.dumps(obj, separators=(",", ":"),
                      ensure_ascii=False).encode()


def basic(userinfo):
    return "Basic " + base64.b64encode(userinfo.encode()).decode()


def request(fields=(), *, method="GET", target="/", version="HTTP/1.1",
            omit=(), end="\r\n"):
    """An upgrade request: FIELDS but for those to omit, then fields."""
    kept = [field for field in FIELDS if field[0] not in omit]
    lines = [f"{method} {target} {version}"]
    lines += [f"{name}: {value}" for name, value in (*kept, *fields)]
    return (end.join(lines) + 2 * end).encode("latin-1")


def mask(payload, key=MASK):
    n = len(payload)
    pad = (key * (n // 4 + 1))[:n]
    word = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return word.to_bytes(n, "big")


def header(opcode, length, *, fin=True, rsv=0, key=MASK, form=None):
    """form: bytes of extended length (0, 2 or 8), the shortest by default."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0x80 if key is not None else 0
    if form is None:
        form = 0 if length < 126 else 2 if length < 65536 else 8
    if form == 0:
        head = struct.pack("!BB", first, masked | length)
    elif form == 2:
        head = struct.pack("!BBH", first, masked | 126, length)
    else:
        head = struct.pack("!BBQ", first, masked | 127, length)
    return head + (key or b"")


def frame(opcode, payload=b"", *, fin=True, rsv=0, key=MASK, form=None):
    if isinstance(payload, str):
        payload = payload.encode()
    head = header(opcode, len(payload), fin=fin, rsv=rsv, key=key, form=form)
    return head + (mask(payload, key) if key is not None else payload)


def text(payload, **how):
    return frame(TEXT, payload, **how)


def close(code=None, reason=b""):
    if code is None:
        return frame(CLOSE)
    return frame(CLOSE, struct.pack("!H", code) + reason)


def fragments(payload, *cuts, opcode=TEXT):
    """The frames of a message that is cut at these places."""
    ends = [0, *cuts, len(payload)]
    parts = [payload[a:b] for a, b in zip(ends, ends[1:])]
    return [frame(opcode if i == 0 else CONT, part,
                  fin=i == len(parts) - 1) for i, part in enumerate(parts)]


class Response:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.version, status, self.reason = lines[0].split(" ", 2)
        self.status = int(status)
        self.fields = [(name.lower(), value.strip()) for name, value in
                       (line.split(":", 1) for line in lines[1:])]
        self.body = b""

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body!r}>"

    def field(self, name):
        """The value, None when absent; a field must not be repeated."""
        values = self.all(name)
        assert len(values) < 2, f"{name} is repeated: {self}"
        return values[0] if values else None

    def all(self, name):
        return [v for n, v in self.fields if n == name.lower()]


class Frame:
    def __init__(self, opcode, payload, fin=True):
        self.opcode = opcode
        self.payload = payload
        self.fin = fin

    def __repr__(self):
        fin = "" if self.fin else " not final"
        return f"<opcode {self.opcode:#x}{fin} {self.payload!r}>"


class Wire:
    """One connection.  Whatever is waited for is waited for TIMEOUT."""

    def __init__(self, address, source=None, rcvbuf=None, sndbuf=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        if rcvbuf is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if sndbuf is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
        if source is not None:
            self.sock.bind((source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect(address)
        self.buf = b""
        self.bytes_out = self.bytes_in = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.drop()

    def drop(self):
        """Go without a word."""
        self.sock.close()

    def reset(self):
        """Go with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, *data):
        data = b"".join(data)
        self.sock.sendall(data)
        self.bytes_out += len(data)

    def fill(self):
        """Read once; False at the end of the stream."""
        data = self.sock.recv(65536)
        self.buf += data
        self.bytes_in += len(data)
        return data != b""

    def take(self, n):
        while len(self.buf) < n:
            if not self.fill():
                raise EOFError(f"{n} bytes expected, then: {self.buf!r}")
        data, self.buf = self.buf[:n], self.buf[n:]
        return data

    # HTTP

    def response(self):
        while b"\r\n\r\n" not in self.buf:
            if not self.fill():
                raise EOFError(f"response expected, then: {self.buf!r}")
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        r = Response(head)
        length = r.field("Content-Length")
        if length is not None:
            r.body = self.take(int(length))
        return r

    def upgrade(self, fields=(), **how):
        """Ask and be let in."""
        self.send(request(fields, **how))
        return self.accepted()

    def accepted(self):
        r = self.response()
        assert r.status == 101, r
        return r

    def refused(self, status):
        """The refusal, whole, and the end of the connection after it."""
        r = self.response()
        assert r.status == status, r
        assert r.version == "HTTP/1.1", r
        assert "close" in r.all("Connection"), r
        assert r.field("Content-Length") is not None, r
        self.expect_end()
        return r

    # WebSocket

    def recv_frame(self):
        first, second = self.take(2)
        assert first & 0x70 == 0, f"RSV bits in {first:#x}"
        assert second & 0x80 == 0, "the node masked a frame"
        length = second
        if second == 126:
            length, = struct.unpack("!H", self.take(2))
            assert length > 125, "length is not in its shortest form"
        elif second == 127:
            length, = struct.unpack("!Q", self.take(8))
            assert length > 65535, "length is not in its shortest form"
        return Frame(first & 0x0f, self.take(length), first & 0x80 != 0)

    def recv_text(self):
        f = self.recv_frame()
        assert f.opcode == TEXT and f.fin, f
        return f.payload

    def expect(self, payload):
        """One text message, byte for byte (a dict: as the node prints)."""
        if isinstance(payload, dict):
            payload = compact(payload)
        if isinstance(payload, str):
            payload = payload.encode()
        same(self.recv_text(), payload)

    def say(self, message):
        """Send one text message; a dict becomes JSON."""
        if isinstance(message, dict):
            message = compact(message)
        self.send(text(message))

    def ask(self, message):
        self.say(message)
        return self.recv_text()

    def pong(self, payload=b""):
        """Ping and be answered: all that was sent before has been seen."""
        self.send(frame(PING, payload))
        f = self.recv_frame()
        assert f.opcode == PONG and f.payload == payload and f.fin, f

    def expect_close(self, code, reason=None):
        """
        A close frame, then the end.  A reason that the contract leaves open
        must still be there.
        """
        f = self.recv_frame()
        assert f.opcode == CLOSE and f.fin, f
        assert len(f.payload) >= 2, "close frame without a code"
        got, = struct.unpack("!H", f.payload[:2])
        said = f.payload[2:].decode()
        if reason is None:
            assert (got, said != "") == (code, True), (got, said)
        else:
            assert (got, said) == (code, reason)
        with contextlib.suppress(OSError):
            self.send(frame(CLOSE, f.payload))
        self.expect_end()
        return said

    def expect_end(self):
        """
        Nothing more but the end.  A reset counts, when data of ours were
        still on their way the node cannot do better.
        """
        try:
            while self.fill():
                pass
        except ConnectionError:
            pass
        assert self.buf == b"", self.buf

    def readable(self, seconds):
        return self.buf != b"" or \
            select.select([self.sock], [], [], seconds)[0] != []

    def quiet(self, seconds=0.2):
        """For so long the node says nothing and does not go either."""
        assert not self.readable(seconds), \
            (self.buf or self.sock.recv(4096, socket.MSG_PEEK))


# ---- the program ----

def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def wait_for(condition, what, timeout=TIMEOUT, interval=0.02):
    """Poll until condition() is true; returns what it returned."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(interval)
    return value


def capabilities():
    """Those of the tests, as a mask."""
    with open("/proc/self/status", encoding="ascii") as status:
        return int(re.search(r"CapEff:\s*(\w+)", status.read())[1], 16)


class Stage:
    """
    The programs where the node's user can run them.  ltpd refuses to run as
    root, so root's tests run it as nobody, from copies.
    """

    def __init__(self):
        self.root = os.getuid() == 0
        self.uid = NOBODY if self.root else os.getuid()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ltpd-node."))
        self.dir.chmod(0o755)
        self.bin = self.dir / "bin" if self.root else BUILD
        self.drop = []      # what makes a command the node's user's
        if self.root:
            self.drop = ["/usr/bin/setpriv", f"--reuid={NOBODY}",
                         f"--regid={NOBODY}", "--clear-groups"]
        elif capabilities():
            # Of a namespace that was made for the tests.
            self.drop = ["/usr/bin/setpriv", "--ambient-caps=-all",
                         "--inh-caps=-all"]
        if self.root:
            for name in PROGRAMS:
                (self.bin / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(BUILD / name, self.bin / name)
                (self.bin / name).chmod(0o755)

    def own(self, path, mode):
        path.chmod(mode)
        if self.root:
            os.chown(path, NOBODY, NOBODY)

    def command(self, name, *args):
        return [*self.drop, str(self.bin / name), *args]

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


class Node:
    """
    One ltpd with a directory of its own.  Settings are keywords of
    ltpd.conf(5); what is not given is chosen so that tests disturb neither
    each other nor the limits: one worker, and no rate limit.  Only lines
    that match errors may be in the log at level error.
    """

    def __init__(self, stage, *, env=None, ipv6=False, errors=None,
                 **settings):
        self.stage = stage
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="n.", dir=stage.dir))
        stage.own(self.dir, 0o755)
        self.conf = self.dir / "ltpd.conf"
        self.log_path = self.dir / "ltpd.log"
        self.control = self.dir / "ltpd.sock"
        self.errors = errors
        self.env = {n: os.environ[n] for n in SANITIZERS if n in os.environ}
        self.env.update(env or {})
        self.ipv6 = ipv6
        self.secrets = set()
        self.settings = {"id": "node-a", "workers": 1, "rate_limit_rps": 0,
                         **settings}
        self.proc = None
        self.children = set()
        self.ending = False
        self.wires = []

    # the outside of it

    def file(self, name, content, mode=0o600):
        """A file in the node's directory, put there in one step."""
        path = self.dir / name
        fresh = self.dir / (name + ".new")
        fresh.write_text(content)
        self.stage.own(fresh, mode)
        fresh.rename(path)
        return path

    def keys(self, keys, name="keys.json"):
        self.secrets.update(keys.values())
        return str(self.file(name, json.dumps(keys)))

    def configure(self, **settings):
        self.settings.update(settings)
        for pair in filter(None, self.settings.get("auth_keys",
                                                   "").split(",")):
            self.secrets.add(pair.split(":", 1)[-1])
        self.file("ltpd.conf", "".join(
            f"{name} = {toml(value)}\n"
            for name, value in self.settings.items()))

    def start(self):
        for attempt in range(5):
            ports = free_ports(2)
            self.address = ("127.0.0.1", ports[0])
            self.metrics_address = ("127.0.0.1", ports[1])
            addr = ["%s:%d" % self.address]
            if self.ipv6:
                addr.append("[::1]:%d" % ports[0])
            self.configure(addr=addr, control_socket=str(self.control),
                           metrics_addr="%s:%d" % self.metrics_address)
            self.launch()
            if self.ready():
                self.children = self.group() - {self.proc.pid}
                return
            # Somebody took a port between our choice and ltpd's bind.
            assert "in use" in self.log() and attempt < 4, self.log()

    def launch(self):
        self.ending = False
        # A group of its own, so that nobody of it can be overlooked.
        self.log_path.write_bytes(b"")
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(
                self.stage.command("ltpd/ltpd", "-d", "-f", str(self.conf)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/", env=self.env, start_new_session=True)

    def ready(self):
        def settled():
            return " ltpd: ready" in self.log() or \
                self.proc.poll() is not None
        wait_for(settled, "the node is ready", 2 * TIMEOUT, 0.005)
        return self.proc.poll() is None

    def group(self):
        ps = subprocess.run(
            ["ps", "-A", "-o", "pid=", "-o", "pgid=", "-o", "stat="],
            check=True, capture_output=True, text=True)
        rows = [line.split() for line in ps.stdout.splitlines()]
        return {int(pid) for pid, pgid, stat in rows
                if int(pgid) == self.proc.pid and stat[0] != "Z"}

    def terminate(self):
        """Ask it to end, after a look at what it is made of."""
        assert self.proc.poll() is None, "the node ended by itself"
        # A child that died and was replaced says so by its number.
        assert self.group() - {self.proc.pid} == self.children
        self.proc.send_signal(signal.SIGTERM)
        self.ending = True

    def stop(self):
        """End it, and prove that it ended well."""
        try:
            if not self.ending:
                self.drop_wires()
                self.terminate()
            assert self.proc.wait(2 * TIMEOUT) == 0
            wait_for(lambda: not self.group(), "all children have gone")
        finally:
            self.kill()
        self.check_log()

    def kill(self):
        self.drop_wires()
        if self.proc is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()

    def resident(self):
        """KiB of memory of the node and its children."""
        pids = ",".join(map(str, self.group()))
        ps = subprocess.run(["ps", "-o", "rss=", "-p", pids], check=True,
                            capture_output=True, text=True)
        return sum(map(int, ps.stdout.split()))

    def check_log(self):
        for line in self.log().splitlines():
            if ASAN_SELF.fullmatch(line):
                continue
            m = LOG_LINE.fullmatch(line)
            expected = self.errors is not None and \
                re.search(self.errors, line)
            assert m is not None or expected, f"strange log line: {line}"
            assert m is None or m[1] != "error" or expected, line
        for secret in self.secrets:
            assert secret not in self.log(), "a secret is in the log"

    def log(self):
        return self.log_path.read_text(errors="backslashreplace")

    def log_lines(self, pattern):
        return [line for line in self.log().splitlines()
                if re.search(pattern, line)]

    # who talks to it

    def wire(self, **how):
        """A connection that has said nothing yet."""
        w = Wire(self.address, **how)
        self.wires.append(w)
        return w

    def connect(self, fields=(), **how):
        """A connection that has been upgraded."""
        w = self.wire(**how)
        w.upgrade(fields)
        return w

    def drop_wires(self):
        while self.wires:
            self.wires.pop().drop()

    def barrier(self):
        """
        Whatever was sent before on any connection of a node with a single
        worker has been read: connections and their input are served in
        order, and this one comes last.
        """
        with Wire(self.address) as w:
            w.upgrade()
            w.pong()
            w.pong()

    def ctl(self, *args):
        return subprocess.run(
            self.stage.command("ltpctl/ltpctl", "-s", str(self.control),
                               *args),
            cwd="/", env=self.env, capture_output=True, text=True,
            timeout=TIMEOUT)

    def get(self, path):
        c = http.client.HTTPConnection(*self.metrics_address,
                                       timeout=TIMEOUT)
        try:
            c.request("GET", path)
            r = c.getresponse()
            return r.status, r.headers, r.read().decode()
        finally:
            c.close()

    def metrics(self):
        """Every sample of /metrics, by name and labels."""
        status, _, body = self.get("/metrics")
        assert status == 200
        found = {}
        for line in body.splitlines():
            if not line.startswith("#"):
                m = SAMPLE.fullmatch(line)
                assert m is not None, f"no sample: {line}"
                assert m[1] not in found, f"repeated sample: {line}"
                found[m[1]] = float(m[2])
        return found

    def metrics_are(self, timeout=TIMEOUT, **expected):
        """Wait for these values; workers report once a second."""
        self.samples_are(expected, timeout)

    def samples_are(self, expected, timeout=TIMEOUT):
        wrong = {}

        def equal():
            samples = self.metrics()
            wrong.clear()
            for name, value in expected.items():
                if samples.get(name) != value:
                    wrong[name] = (samples.get(name), value)
            return not wrong
        with contextlib.suppress(AssertionError):
            wait_for(equal, "samples", timeout, 0.05)
        assert not wrong, f"got, expected: {wrong}"

    # what is left of it

    def save(self, target):
        """Log and configuration without secrets, and what they should be."""
        target.mkdir(parents=True, exist_ok=True)
        rows = []
        for path in sorted(self.dir.iterdir()):
            if not path.is_file() or path.name == "keys.json":
                continue
            data = path.read_bytes()
            for secret in filter(None, self.secrets):
                data = data.replace(secret.encode(), b"<secret>")
            (target / path.name).write_bytes(data)
            rows.append({"name": path.name, "bytes": len(data),
                         "sha256": hashlib.sha256(data).hexdigest()})
        (target / "manifest.json").write_text(
            json.dumps(rows, indent=1) + "\n")


class Lab:
    """The nodes of one run of the tests."""

    def __init__(self):
        self.stage = Stage()
        self.running = []
        self.recent = []    # of the test that runs now

    @contextlib.contextmanager
    def node(self, keys=None, **settings):
        """keys: what the key file holds, by id."""
        node = Node(self.stage, **settings)
        self.running.append(node)
        self.recent.append(node)
        try:
            if keys is not None:
                node.settings["auth_mode"] = "api_key"
                node.settings["auth_keys_file"] = node.keys(keys)
            node.start()
            yield node
            node.stop()
        finally:
            node.kill()
            self.running.remove(node)

    def end(self):
        for node in self.running:
            node.kill()
        self.stage.remove()


def accept_of(key):
    """Sec-WebSocket-Accept."""
    digest = hashlib.sha1((key + WS_GUID).encode()).digest()
    return base64.b64encode(digest).decode()
