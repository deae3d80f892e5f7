"""Where a secret is, and for how long: by a scan of every process.

One test per moment.  Each looks for all secrets that there ever were, in
whatever form and in pieces of 12 bytes, in the memory of every process of the
node, in environments, command lines, open files and in what waits in unix
sockets; and what is found must be exactly what the table says.
"""

import base64
import collections
import contextlib
import ctypes
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

import pytest

import node as harness
import ops
from node import (BINARY, BUILD, MASK, NOBODY, PING, TIMEOUT, TEXT, basic,
                  close, compact, fragments, frame, request, text, wait_for)
from ops import ROOT

MEMSCAN = BUILD / "regress/client/memscan"
WINDOW = 12         # bytes of a secret that are a find
SOON = 1.0          # seconds from an answer until nothing is left
CLIENTS = 200
NAMED = 20          # keys of each source
NO_LIMITS = {"max_half_open_per_ip": 0, "max_connections_per_ip": 0,
             "auth_failure_limit": 0, "handshake_timeout_ms": 60000}
HEX64 = re.compile(r"[0-9a-f]{64}")

# ---- the table: one row for each kind of secret ----
#
# rest: where it is as long as the node runs.  asked: where it may be, too,
# while its bearer waits for an answer.  What is not named must not have it,
# and who is named at rest must.

Row = collections.namedtuple("Row", "rest asked")
AUDIT = "audit memory"
ROWS = {
    # An API key or token on its way, right or wrong.
    "presented": Row(set(), {"worker memory", "auth queue"}),
    # The same in plaintext where it is kept: file, environment, settings.
    "key": Row(set(), {"worker memory", "auth queue"}),
    "digest": Row({"ltpd memory", "auth memory"}, set()),
    # A digest that is none of the node's any more.
    "removed": Row(set(), set()),
    "seed": Row({AUDIT}, set()),
    # What Ed25519 makes of it, each time that it signs.
    "expanded": Row(set(), set()),
    # A signing key that was replaced.
    "old seed": Row(set(), set()),
}
# A file has no business with secrets, but for a signing key that was given
# as a value: it is kept where it is nobody's memory.
KEPT = {"ltpd memfd": {"seed"}}


def at_rest(*but):
    """What is found when nothing is going on, by place."""
    found = collections.defaultdict(set)
    for name, row in ROWS.items():
        for place in row.rest if name not in but else ():
            found[place].add(name)
    return dict(found)


# ---- secrets ----

def swapped(data, size):
    """As words of the other byte order: what a digest works on."""
    data = data[:len(data) // size * size]
    return b"".join(data[i:i + size][::-1]
                    for i in range(0, len(data), size))


def forms(data, word=4):
    """Every way to write it down that somebody might have thought of."""
    yield data
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for encode in base64.b64encode, base64.urlsafe_b64encode:
        for shift in range(3):
            # Digits that depend on nothing but the secret.
            coded = encode(bytes(shift) + data)
            yield coded[-(-shift * 8 // 6):(shift + len(data)) * 8 // 6]
    yield "".join(f"%{c:02X}" for c in data).encode()
    yield "".join(f"%{c:02x}" for c in data).encode()
    yield urllib.parse.quote_from_bytes(data, safe="").encode()
    yield data.decode("latin-1").encode("utf-16-le")
    yield swapped(data, word)
    for phase in range(4):
        key = (MASK * (len(data) // 4 + 2))[phase:]
        yield bytes(a ^ b for a, b in zip(data, key))


class Safe:
    """All secrets that there have been, by row."""

    def __init__(self):
        self.secrets = collections.defaultdict(dict)

    def put(self, row, name, data):
        self.secrets[row][name] = data
        return data

    def key(self, name, row="key"):
        """A fresh one that no form leaves as it is."""
        key = secrets.token_urlsafe(27) + "/+~"
        self.put(row, name, key.encode())
        return key

    def keys(self, source, count=NAMED):
        made = {f"{source}-{i}": self.key(f"{source}-{i}")
                for i in range(count)}
        for name, key in made.items():
            self.put("digest", name, hashlib.sha256(key.encode()).digest())
        return made

    def remove(self, keys):
        for name in keys:
            self.put("removed", f"{name}-{len(self.secrets['removed'])}",
                     self.secrets["digest"].pop(name))

    def seed(self):
        old = self.secrets["seed"].get("seed")
        if old is not None:
            self.put("old seed", f"seed-{len(self.secrets['old seed'])}", old)
            self.put("old seed",
                     f"expanded-{len(self.secrets['old seed'])}",
                     self.secrets["expanded"]["seed"])
        seed = self.put("seed", "seed", secrets.token_bytes(32))
        self.put("expanded", "seed", hashlib.sha512(seed).digest())
        return seed.hex()

    def texts(self):
        """What must be in no log."""
        return {data.decode() for row in ("key", "presented")
                for data in self.secrets[row].values()}

    def patterns(self):
        for row, known in self.secrets.items():
            for name, data in known.items():
                word = 8 if row in ("seed", "old seed", "expanded") else 4
                for form in set(forms(data, word)):
                    yield f"{row}|{name}".replace(" ", "_"), form


# ---- the scan ----

def may_trace():
    """Whether this process may look into others that are not dumpable."""
    with open("/proc/self/status", encoding="ascii") as status:
        caps = re.search(r"CapEff:\s*(\w+)", status.read())[1]
    return bool(int(caps, 16) & 1 << 19)      # CAP_SYS_PTRACE


needs_trace = pytest.mark.skipif(
    not may_trace(), reason="takes CAP_SYS_PTRACE: the processes are not "
    "dumpable; run as root, or see the last test of this file")

Find = collections.namedtuple("Find", "pid row name first length where")


def scan(safe, pids):
    """Every piece of every secret that is in these processes."""
    lines = "".join(f"{name} {form.hex()}\n"
                    for name, form in safe.patterns())
    done = subprocess.run([str(MEMSCAN), *map(str, pids)], input=lines,
                          capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("the shadow of a sanitizer")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        pid, name, first, length, where = line.split(" ", 4)
        row, name = name.split("|")
        yield Find(int(pid), row.replace("_", " "), name, int(first),
                   int(length), where)


def place_of(process, where):
    """"worker memory", "auth queue", "audit file" .."""
    kind = where.split()[0]
    if kind == "file" and "/memfd:" in where:
        kind = "memfd"
    return f"{process} {kind}"


class Census:
    """What was found in a node, by place and row."""

    def __init__(self, safe, node):
        names = {p["pid"]: p["process"] for p in ops.processes(node)}
        self.finds = list(scan(safe, names))
        self.names = collections.defaultdict(set)
        for f in self.finds:
            self.names[place_of(names[f.pid], f.where), f.row].add(f.name)
        self.rows = collections.defaultdict(set)
        for place, row in self.names:
            self.rows[place].add(row)

    def is_at_rest(self, kept=None, but=()):
        """Exactly what the table says, and all of it."""
        expected = {**at_rest(*but), **(kept or {})}
        strange = [f for f in self.finds if f.row not in
                   set().union(*expected.values())]
        assert dict(self.rows) == expected, self.explain(expected)
        assert not strange, strange

    def explain(self, expected):
        lines = []
        for (place, row), names in sorted(self.names.items()):
            if row not in expected.get(place, ()):
                some = [f for f in self.finds
                        if f.row == row and f.name in names and
                        f.where.split()[0] == place.split()[1]][:5]
                lines.append(f"{place}: {row}: {len(names)} names, "
                             f"such as {some}")
        return "\n".join(["what was found:", str(dict(self.rows)), *lines])


def rest(safe, node, **how):
    """What must be gone is gone soon; what must be there is there."""
    end = time.monotonic() + SOON
    while True:
        begun = time.monotonic()
        census = Census(safe, node)
        try:
            census.is_at_rest(**how)
            return census
        except AssertionError:
            if begun > end:
                raise


# ---- nodes ----

@contextlib.contextmanager
def secretive(lab, safe, source="env", signed="file", **settings):
    """A node that has keys from everywhere; signed: file, env or conf."""
    given = safe.keys(source)
    filed = safe.keys("file")
    pairs = ",".join(f"{name}:{key}" for name, key in given.items())
    env = {}
    if source == "env":
        env["AUTH_KEYS"] = pairs
    else:
        settings["auth_keys"] = pairs
    seed = safe.seed()
    if signed == "env":
        env["NODE_SIGNING_KEY"] = seed
    elif signed == "conf":
        settings["node_signing_key"] = seed
    with ops.prepared(lab, env=env, auth_mode="api_key", log_level="trace",
                      auth_in_hello=True, **{**NO_LIMITS, **settings}) as node:
        node.settings["auth_keys_file"] = node.keys(filed)
        node.settings["audit_log_file"] = str(node.dir / "audit.jsonl")
        if signed == "file":
            node.settings["node_signing_key_file"] = str(
                node.file("seed", seed))
        node.start()
        node.settle()
        node.given, node.filed = given, filed
        try:
            yield node
        finally:
            node.secrets.update(safe.texts())
        node.stop()


@pytest.fixture(scope="module")
def safe():
    return Safe()


@pytest.fixture(scope="module")
def node(lab, safe):
    with secretive(lab, safe) as node:
        yield node


@contextlib.contextmanager
def stopped(node, name):
    """Questions to it stay open."""
    pid = ops.process(node, name)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: ops.stat_of(pid)[0] == "T", f"{name} is stopped")
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


# ---- this file's own tool ----

@needs_trace
def test_every_form_of_a_secret_and_half_of_one_is_found(safe):
    """In processes of our own, each of which has one of them."""
    own = Safe()
    key = own.key("planted").encode()
    own.put("seed", "planted", seed := secrets.token_bytes(32))
    program = ("import sys, time; kept = bytearray(sys.stdin.buffer.read()); "
               "sys.stdin.close(); print(flush=True); time.sleep(60)")
    planted = [*forms(key), *forms(seed, 8), key[:len(key) // 2],
               key[len(key) // 2:], key[5:5 + WINDOW]]
    with contextlib.ExitStack() as stack:
        plants = {}
        for plant in planted:
            child = stack.enter_context(subprocess.Popen(
                [sys.executable, "-IS", "-c", program],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            stack.callback(child.kill)
            child.stdin.write(plant)
            child.stdin.close()
            plants[child.pid] = plant
            child.stdout.readline()
        finds = list(scan(own, plants))
        for pid, plant in plants.items():
            assert len(plant) in {f.length for f in finds if f.pid == pid}, \
                plant


# ---- 1: just after the start ----

@needs_trace
@pytest.mark.parametrize("source", ["env", "conf"])
@pytest.mark.parametrize("signed", ["file", "env", "conf"])
def test_after_the_start_only_digests_and_the_seed_are_left(lab, source,
                                                            signed):
    safe = Safe()
    with secretive(lab, safe, source, signed, workers=2) as node:
        kept = {} if signed == "file" else KEPT
        census = rest(safe, node, kept=kept)
        # All of them, in both.
        for place in "ltpd memory", "auth memory":
            assert census.names[place, "digest"] == \
                set(safe.secrets["digest"])
        done = node.ctl("reload")
        assert done.returncode == 0, done
        rest(safe, node, kept=kept)


# ---- 2: while clients sign in ----

def header_ways(key, name):
    return [
        [("X-API-Key", key)],
        [("Authorization", f"Bearer {key}")],
        [("Authorization", f"ApiKey {key}")],
        [("Authorization", basic(f"{name}:{key}"))],
        [("X-API-Key", key), ("Authorization", f"bearer {key}")],
    ]


def hello_ways(key):
    return [{"type": "hello", "client_id": "c", "auth_token": key},
            {"type": "hello", "client_id": "c", "api_key": key},
            {"type": "hello", "api_key": key}]


def asks(node, safe, count):
    """
    So many clients, each of which has asked to be signed in: half of them by
    request, every second one with a key that is none.
    """
    keys = list({**node.given, **node.filed}.items())
    for i in range(count):
        name, key = keys[i // 2 % len(keys)]
        # The row of both is the same: on its way.
        if i % 2 == 1:
            key = safe.key(f"wrong-{i}", "presented")
        w = node.wire()
        if i % 4 < 2:
            ways = header_ways(key, name)
            w.send(request(ways[i % len(ways)],
                           target="/?api_key=" + urllib.parse.quote(key)))
            w.hello = hello_ways(key)[i % 3]
        else:
            w.upgrade()
            w.say(hello_ways(key)[i % 3])
            w.hello = None
        w.name = name if i % 2 == 0 else None
        yield w


def answered(w):
    """What came of it; in or not."""
    if w.hello is None:
        said = json.loads(w.recv_text())
        assert (said["type"] == "hello_ack") == (w.name is not None), said
        w.session = said.get("session_id")
        return
    status = w.response().status
    assert status == (101 if w.name is not None else 401)
    w.session = None


@needs_trace
def test_a_key_on_its_way_is_in_worker_and_channel_until_it_is_answered(
        node, safe):
    with stopped(node, "auth"):
        wires = list(asks(node, safe, CLIENTS))
        node.barrier()
        asked = Census(safe, node)
    for w in wires:
        answered(w)
    answers = time.monotonic()
    # Everybody who waits is seen to wait, in the worker; some in the channel.
    for row in "presented", "key":
        seen = asked.names["worker memory", row] | \
            asked.names["auth queue", row]
        assert len(seen) >= len(safe.secrets[row]) * 0.9 or row == "key"
        assert asked.names["auth queue", row]
        places = {place for place, r in asked.names if r == row}
        assert places <= ROWS[row].asked, asked.explain(at_rest())
    assert asked.names["worker memory", "presented"]
    rest(safe, node)
    assert time.monotonic() - answers < 10
    # Sessions go on, and what they say is no secret.
    for w in wires:
        if w.name is not None and w.session is None:
            ops.beat(w, 1, w.name)
    rest(safe, node)
    node.drop_wires()
    wait_for(lambda: ops.summary(node)["gauges"]
             ["ltp_ws_connections_current"] == 0, "all have gone")
    rest(safe, node)
