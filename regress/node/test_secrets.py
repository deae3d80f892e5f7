"""Where a secret is, and for how long: by a scan of every process.

One test per moment.  Each looks for all secrets that there ever were, in
whatever form and in pieces of 12 bytes, in the memory of every process of the
node, in environments, command lines, open files and in what waits in unix
sockets; and what is found must be exactly what the table says.
"""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
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
from memory import WINDOW, forms, may_trace, needs_trace, scan
from node import (BINARY, BUILD, PING, TIMEOUT, basic, close, compact,
                  fragments, frame, request, text, wait_for)

SOON = 1.0          # seconds from an answer until nothing is left
CLIENTS = 200
NAMED = 20          # keys of each source
QUICK_DEATHS = 6    # of a child, before its successor has to wait
NO_LIMITS = {"max_half_open_per_ip": 0, "max_connections_per_ip": 0,
             "auth_failure_limit": 0, "handshake_timeout_ms": 60000}

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

    def give_up_seed(self):
        for row in "seed", "expanded":
            for old in self.secrets.pop(row, {}).values():
                self.put("old seed", f"{row}-{len(self.secrets['old seed'])}",
                         old)

    def seed(self):
        self.give_up_seed()
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

def place_of(process, where):
    """"worker memory", "auth queue", "audit file" .."""
    kind = where.split()[0]
    if kind == "file" and "/memfd:" in where:
        kind = "memfd"
    return f"{process} {kind}"


class Census:
    """What was found in a node, by place and row."""

    def __init__(self, safe, node):
        names = {p["pid"]: p["process"] for p in ops.processes(node)
                 if p["pid"] != 0}
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
        with contextlib.suppress(ProcessLookupError):
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
@pytest.mark.parametrize("source, signed", [
    ("env", "file"), ("conf", "env"), ("conf", "conf")])
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
        # Long ones, so that more are asked than fit a socket.
        if i % 2 == 1:
            key = "x" * 900 + safe.key(f"wrong-{i}", "presented")
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


# ---- 3: clients that do it wrongly, and those that have gone ----

def pieces(data, *cuts):
    ends = [0, *cuts, len(data)]
    return [data[a:b] for a, b in zip(ends, ends[1:])]


def slowly(w, *parts):
    """Each is read by itself."""
    for part in parts:
        w.send(part)
        w.node.barrier()


def cut_within(data, key):
    """In the key's first byte, its middle and its last byte."""
    at = data.index(key.encode())
    return pieces(data, at + 1, at + len(key) // 2, at + len(key) - 1)


def half_a_request(w, key):
    slowly(w, request([("X-API-Key", key)])[:-2])


def half_a_key(w, key):
    r = request([("X-API-Key", key)])
    slowly(w, r[:r.index(key.encode()) + 20])


def a_request_in_pieces(w, key):
    slowly(w, *cut_within(request([("X-API-Key", key)]), key))


def a_request_byte_by_byte(w, key):
    for byte in request([("Authorization", f"Bearer {key}")]):
        w.send(bytes([byte]))


def another_field(w, key):
    w.send(request([("Cookie", f"session={key}"), ("X-API-Kez", key),
                    ("X-" + "K" * 100, key)], method="POST"))


def a_field_name(w, key):
    w.send(request([(key.replace("/", "-"), "1"), ("X-API-Key", "\x01")]))


def a_long_request(w, key):
    w.send(request([("X-API-Key", key), ("X-Fill", "x" * 9000)]))


def many_fields(w, key):
    w.send(request([("X-API-Key", key), *[("X-Fill", key)] * 120]))


def a_long_key(w, key):
    w.send(request([("X-API-Key", key * 20)]))


def a_bad_key(w, key):
    w.send(request([("X-API-Key", f"\xe9{key}")]))


def a_key_twice(w, key):
    w.send(request([("X-API-Key", key), ("X-API-Key", key)]))


def two_keys(w, key):
    w.send(request([("X-API-Key", key), ("Authorization", f"Bearer {key}x")]))


def a_bare_line_feed(w, key):
    w.send(request([("X-API-Key", key)], end="\n"))


def a_control_character(w, key):
    w.send(request([("X-API-Key", f"{key}\0{key}")]))


def no_upgrade(w, key):
    w.send(request([("X-API-Key", key)], omit=("Upgrade",)))


def a_bad_target(w, key):
    w.send(request([("X-API-Key", key)], target=f"#{key}"))


def a_body(w, key):
    w.send(request([("Content-Length", "40")]), key.encode())


def bad_basic(w, key):
    w.send(request([("Authorization", basic(key.replace(":", "-")))]))


def no_http_at_all(w, key):
    w.send(key.encode() * 10)


def after_a_refusal(w, key):
    w.send(request(method="POST"))
    w.response()
    w.send(key.encode() * 10)


def said_by(key):
    return compact({"type": "hello", "client_id": "c", "auth_token": key})


def half_a_hello(w, key):
    w.upgrade()
    slowly(w, text(said_by(key))[:-5])


def a_hello_in_pieces(w, key):
    w.upgrade()
    message = said_by(key)
    at = message.index(key.encode())
    data = text(message)
    start = len(data) - len(message)
    slowly(w, *pieces(data, 1, 3, 7, start + at + 1, start + at + 20))


def a_hello_in_fragments(w, key):
    w.upgrade()
    message = said_by(key)
    at = message.index(key.encode())
    slowly(w, *fragments(message, 3, at + 10, at + 20, at + 30))


def a_hello_in_tiny_fragments(w, key):
    w.upgrade()
    message = said_by(key)
    for part in fragments(message, *range(1, len(message))):
        w.send(part, frame(PING, b"x"))


def half_of_the_fragments(w, key):
    w.upgrade()
    message = said_by(key)
    slowly(w, *fragments(message, 3, message.index(key.encode()) + 20)[:2])


def an_escaped_hello(w, key):
    w.upgrade()
    escaped = "".join(f"\\u{ord(c):04x}" for c in key[:20]) + key[20:]
    w.send(text('{"type":"hello","client_id":"c","auth_token":"'
                f'{escaped}"}}'))


def a_binary_hello(w, key):
    w.upgrade()
    w.send(frame(BINARY, said_by(key)))


def a_hello_that_is_no_json(w, key):
    w.upgrade()
    w.send(text(said_by(key)[:-1] + b"!"))


def a_hello_that_is_no_text(w, key):
    w.upgrade()
    w.send(text(said_by(key) + b"\xff"))


def a_hello_that_is_not_masked(w, key):
    w.upgrade()
    w.send(text(said_by(key), key=None))


def a_hello_that_is_too_large(w, key):
    w.upgrade()
    w.send(text(said_by(key * 6000)))


def a_key_that_is_too_long(w, key):
    w.upgrade()
    w.send(text(said_by(key * 40)))


def a_key_elsewhere(w, key):
    w.upgrade()
    w.send(text(compact({"type": "heartbeat", "client_id": "c", key: key,
                         "timestamp_ms": key, "x": [{"auth_token": key}]})))


def after_a_close(w, key):
    w.upgrade()
    w.send(close(1000), text(said_by(key)))


def a_close_reason(w, key):
    w.upgrade()
    w.send(close(1000, key.encode()))


def after_an_error(w, key):
    w.upgrade()
    w.send(frame(3), text(said_by(key)))
    w.send(text(said_by(key)))


def no_frame_at_all(w, key):
    w.upgrade()
    w.send(key.encode() * 3)


BLUNDERS = [
    half_a_request, half_a_key, a_request_in_pieces, a_request_byte_by_byte,
    another_field, a_field_name, a_long_request, many_fields, a_long_key,
    a_bad_key, a_key_twice, two_keys, a_bare_line_feed, a_control_character,
    no_upgrade, a_bad_target, a_body, bad_basic, no_http_at_all,
    after_a_refusal, half_a_hello, a_hello_in_pieces, a_hello_in_fragments,
    a_hello_in_tiny_fragments, half_of_the_fragments, an_escaped_hello,
    a_binary_hello, a_hello_that_is_no_json, a_hello_that_is_no_text,
    a_hello_that_is_not_masked, a_hello_that_is_too_large,
    a_key_that_is_too_long, a_key_elsewhere, after_a_close, a_close_reason,
    after_an_error, no_frame_at_all,
]


def blunder(node, safe, how, row="presented"):
    w = node.wire()
    w.node = node
    with contextlib.suppress(ConnectionError):
        how(w, safe.key(f"{how.__name__}-{len(safe.secrets[row])}", row))
    return w


@needs_trace
def test_nothing_is_left_of_clients_that_did_it_wrongly(node, safe):
    """While half of what they say is there, and when they have gone."""
    for how in BLUNDERS:
        blunder(node, safe, how)
    node.barrier()
    census = Census(safe, node)
    census.rows["worker memory"].discard("presented")
    if not census.rows["worker memory"]:
        del census.rows["worker memory"]
    kinds = {name.rsplit("-", 1)[0]
             for name in census.names["worker memory", "presented"]}
    # Who is not finished, and nobody else.
    assert kinds == {"half_a_request", "half_a_key", "half_a_hello",
                     "half_of_the_fragments"}, census.explain(at_rest())
    for w in node.wires[::2]:
        w.reset()
    node.drop_wires()
    gone(node)
    rest(safe, node)


def gone(node):
    wait_for(lambda: ops.summary(node)["gauges"]
             ["ltp_ws_connections_current"] == 0, "all have gone")


@needs_trace
def test_nothing_is_left_of_clients_that_could_not_wait(node, safe):
    """They leave while auth is asked, with more in their hands."""
    common = {"type": "heartbeat", "client_id": "c", "timestamp_ms": 1}
    with stopped(node, "auth"):
        for i in range(12):
            w = node.wire()
            key = safe.key(f"left-{i}", "presented")
            more = text(said_by(safe.key(f"pipelined-{i}", "presented")))
            half = text(said_by(safe.key(f"torn-{i}", "presented")))[:-9]
            if i % 2 == 0:
                w.send(request([("X-API-Key", key)]), more,
                       text(compact(common)), half)
            else:
                w.upgrade()
                w.send(text(said_by(key)), more, half)
        node.barrier()
        assert Census(safe, node).names["worker memory", "presented"] >= {
            f"{kind}-{i}" for kind in ("pipelined", "torn")
            for i in range(12)}
        for w in node.wires[:4]:
            w.drop()
        for w in node.wires[4:8]:
            w.reset()
    node.barrier()
    node.drop_wires()
    gone(node)
    rest(safe, node)


@needs_trace
def test_nothing_is_left_of_clients_that_waited_too_long(lab):
    """But for the question, which is still in auth's hands."""
    own = Safe()
    with secretive(lab, own, handshake_timeout_ms=500) as node:
        with stopped(node, "auth"):
            for i in range(6):
                w = node.wire()
                key = own.key(f"asked-{i}", "presented")
                more = text(said_by(own.key(f"held-{i}", "presented")))
                if i % 2 == 0:
                    w.send(request([("X-API-Key", key)]), more, more[:-9])
                else:
                    w.upgrade()
                    w.send(text(said_by(key)), more, more[:-9])
            for w in node.wires:
                with contextlib.suppress(ConnectionError):
                    while w.fill():
                        pass
                w.drop()
            gone(node)
            census = Census(own, node)
            places = {place for place, row in census.names
                      if row == "presented"}
            assert places == {"auth queue"}, census.explain(at_rest())
        rest(own, node)


@needs_trace
def test_a_key_after_the_first_is_wiped_too(node, safe):
    """With a session, a token is as secret as without."""
    name, key = next(iter(node.filed.items()))
    w = ops.enter(node, name, key)
    s = node.wire()
    s.upgrade()
    said = json.loads(s.ask({"type": "hello", "api_key": key}))
    rest(safe, node)
    w.say({"type": "hello", "client_id": "c",
           "auth_token": safe.key("second", "presented")})
    w.recv_text()
    s.say({"type": "hello", "api_key": safe.key("third", "presented")})
    s.recv_text()
    for part in fragments(said_by(safe.key("fourth", "presented")), 30, 60):
        w.send(part)
    w.recv_text()
    s.say({"type": "heartbeat", "session_id": said["session_id"],
           "timestamp_ms": 1, "auth_token": safe.key("fifth", "presented")})
    s.recv_text()
    rest(safe, node)


@needs_trace
def test_a_node_that_wants_no_key_forgets_it_as_well(lab):
    own = Safe()
    with ops.started(lab, dialect="auto", **NO_LIMITS) as node:
        w = node.connect([("X-API-Key", own.key("request", "presented"))])
        w.say({"type": "hello", "client_id": "c",
               "auth_token": own.key("hello", "presented")})
        w.recv_text()
        for how in BLUNDERS:
            blunder(node, own, how)
        for wire in node.wires[1:]:
            wire.drop()
        wait_for(lambda: ops.summary(node)["gauges"]
                 ["ltp_ws_connections_current"] == 1, "all others have gone")
        assert not list(scan(own, [p["pid"] for p in ops.processes(node)]))


@needs_trace
def test_who_is_refused_for_lack_of_room_leaves_nothing(lab):
    own = Safe()
    with secretive(lab, own, max_connections=2) as node:
        key = node.filed["file-0"]
        kept = [node.connect() for _ in range(2)]
        for i in range(4):
            w = node.wire()
            w.send(request([("X-API-Key", own.key(f"r-{i}", "presented"))]))
            assert w.response().status == 503
            with contextlib.suppress(ConnectionError):
                w.send(key.encode())
        rest(own, node)
        assert len(kept) == 2


# ---- 4: other keys ----

def turned(node, change, pattern="reload: (new keys|done)"):
    """Wait until what change() brought about is said in the log."""
    before = len(node.log_lines(pattern))
    change()
    wait_for(lambda: len(node.log_lines(pattern)) > before, pattern)


def failures(node):
    return ops.summary(node)["counters"]["auth_keys_reload_failure_total"]


def answers(node, key):
    return ops.status_for(node, key)[0]


@needs_trace
@pytest.mark.parametrize("turns", [
    1, pytest.param(8, marks=pytest.mark.long)])
def test_a_rotation_leaves_nothing_of_the_old_keys(node, safe, turns):
    """By replacing the file, with clients that had used them."""
    for turn in range(turns):
        old = node.filed
        staying = [node.connect([("X-API-Key", key)])
                   for key in list(old.values())[:5]]
        assert Census(safe, node).names["auth memory", "digest"] >= set(old)
        new = safe.keys(f"turn-{turns}-{turn}")
        kept = next(iter(old))
        new[kept] = old.pop(kept)
        turned(node, lambda: node.keys(new))
        safe.remove(old)
        node.filed = new
        rest(safe, node)
        assert answers(node, next(iter(old.values()))) == 401
        assert answers(node, next(iter(new.values()))) == 101
        for w in staying[1:]:
            w.expect_close(1008, "key revoked")
        rest(safe, node)


@needs_trace
def test_a_file_that_is_no_good_leaves_nothing(lab):
    """Nor what was good before it, once there is a good one again."""
    safe = Safe()
    with secretive(lab, safe, errors=" keys: ") as node:
        first = node.filed
        k = [safe.key(f"bad-{i}") for i in range(12)]
        for content in (f'{{"alice": "{k[0]}"', f'{{"alice": "{k[1]}"x}}',
                        f'{{"a": "{k[2]}", "b": "{k[2]}"}}',
                        f'{{"a": "{k[3]}", "a": "{k[4]}"}}',
                        f'{{"a": ["{k[5]}"]}}', f'{{"": "{k[6]}"}}',
                        f'{{"a": "{k[7]}\\n"}}', k[8],
                        json.dumps({"a": k[9], "b": k[10] * 40})):
            before = failures(node)
            node.file("keys.json", content)
            wait_for(lambda: failures(node) > before, "it is no good")
            assert node.ctl("reload").returncode == 1
        # Auth knows yet who may stay; the supervisor has let go of them.
        census = Census(safe, node)
        assert census.names["auth memory", "digest"] >= set(first)
        assert census.names["ltpd memory", "digest"] == set(node.given)
        census.is_at_rest()
        assert answers(node, k[0]) == 401
        new = safe.keys("good")
        turned(node, lambda: node.keys(new))
        safe.remove(first)
        rest(safe, node)


@needs_trace
def test_a_reload_leaves_nothing_of_old_settings(lab):
    """Keys of the configuration, good and bad; and no keys at all."""
    safe = Safe()
    with secretive(lab, safe, "conf") as node:
        old = node.given
        new = safe.keys("new")
        node.configure(auth_keys=",".join(f"{n}:{k}" for n, k in new.items()))
        assert node.ctl("reload").returncode == 0
        safe.remove(old)
        rest(safe, node)
        bad = safe.key("bad")
        for value in f"a:{bad},b:{bad}", f"a:{bad},", f"{bad}", f":{bad}":
            node.configure(auth_keys=value)
            assert node.ctl("reload").returncode == 1
            rest(safe, node)
        node.configure(auth_keys=f"a:{bad}", zzz=1)
        assert node.ctl("reload").returncode == 1
        rest(safe, node)
        del node.settings["auth_keys"], node.settings["zzz"]
        node.configure()
        assert node.ctl("reload").returncode == 0
        safe.remove(new)
        rest(safe, node)


def of_nothing_but_its_file(lab, safe, keys, **settings):
    """A node that has keys from a file alone, and no audit log."""
    return ops.started(lab, keys, errors=" keys: | reload: ", **NO_LIMITS,
                       **settings)


@needs_trace
def test_when_all_keys_are_removed_no_digest_is_left(lab):
    """Nobody comes after the last one to take its place."""
    safe = Safe()
    keys = safe.keys("file", 5)
    with of_nothing_but_its_file(lab, safe, keys) as node:
        for key in keys.values():
            assert answers(node, key) == 101
        turned(node, lambda: node.keys({}))
        safe.remove(keys)
        census = Census(safe, node)
        assert not census.finds, census.finds


def no_key_stays(safe, node, what):
    """The file may be looked at just now, for it has changed."""
    wait_for(lambda: all(f.row != "key" for f in Census(safe, node).finds),
             f"no key of {what} is left")


@pytest.mark.long
@needs_trace
def test_a_short_key_that_is_no_json_is_not_left_on_the_stack(lab):
    """What a parser has to say of a token, it says to the stack first."""
    safe = Safe()
    keys = safe.keys("file", 1)
    with of_nothing_but_its_file(lab, safe, keys) as node:
        for i, content in enumerate((
                '{{"a" "{}"}}', '{{"{}" 1}}', '["a" "{}"]', '{{"a": {}}}',
                '"{}', '{{"{}": "a", "{}": "b"}}', '{{"a":"b"}}"{}"',
                '{{"a":"\\x{}"}}', '{{"a": "{}\x01"}}', "{}", '"{}"')):
            short = secrets.token_hex(8)
            safe.put("key", f"short-{i}", short.encode())
            node.file("keys.json", content.replace("{}", short)
                      .replace("{{", "{").replace("}}", "}"))
            assert node.ctl("reload").returncode == 1, content
            no_key_stays(safe, node, content)
            short = secrets.token_hex(8)
            safe.put("key", f"setting-{i}", short.encode())
            for value in f'"x:{short}\\q"', f'["x:{short}"]', \
                    f'"{short}', f'{short}', f'"x:{short}" "y"':
                conf = node.conf.read_text()
                node.file("ltpd.conf", f"auth_keys = {value}\n" + conf)
                assert node.ctl("reload").returncode == 1, value
                node.file("ltpd.conf", conf)
            no_key_stays(safe, node, i)


# ---- 5: another signing key ----

@needs_trace
def test_a_new_signing_key_leaves_nothing_of_the_old_one(node, safe):
    name, key = next(iter(node.filed.items()))
    w = ops.enter(node, name, key)
    for turn in range(2):
        node.file("seed", safe.seed())
        assert node.ctl("reload").returncode == 0
        ops.beat(w, turn, name)
        wait_for(lambda: len(node.log_lines("signing key_id=")) == turn + 2,
                 "another key")
        rest(safe, node)


@needs_trace
def test_a_signing_key_that_is_given_up_is_gone(lab):
    """Nothing is signed with it any more."""
    safe = Safe()
    with secretive(lab, safe) as node:
        name, key = next(iter(node.filed.items()))
        w = ops.enter(node, name, key)
        rest(safe, node)
        del node.settings["node_signing_key_file"]
        node.configure()
        assert node.ctl("reload").returncode == 0
        safe.give_up_seed()
        rest(safe, node, but=("seed",))
        lines = (node.dir / "audit.jsonl").read_text().splitlines()
        assert all("signature" in json.loads(line) for line in lines)
        ops.beat(w, 1, name)

        def more():
            return (node.dir / "audit.jsonl").read_text() \
                .splitlines()[len(lines):]
        wait_for(lambda: len(more()) == 2, "two lines more")
        assert not any("signature" in json.loads(line) for line in more())
        rest(safe, node, but=("seed",))


# ---- 6: who dies, and its successor ----

@needs_trace
@pytest.mark.parametrize("name", ["worker", "auth", "audit"])
def test_a_successor_has_what_it_needs_and_nothing_else(node, safe, name):
    """Killed while it has questions, its own or others'."""
    with stopped(node, "auth"):
        wires = list(asks(node, safe, 20))
        node.barrier()
        victim = ops.process(node, name)["pid"]
        os.kill(victim, signal.SIGKILL)
        if name == "audit":
            ops.successor(node, name, 0, victim)
    ops.successor(node, name, 0, victim)
    node.settle()
    for w in wires:
        with contextlib.suppress(EOFError, OSError):
            w.recv_frame() if w.hello is None else w.response()
    node.drop_wires()
    gone(node)
    rest(safe, node)
    first = next(iter(node.filed.values()))
    assert answers(node, first) == 101
    rest(safe, node)


@pytest.mark.long
@needs_trace
def test_a_question_that_nobody_was_asked_leaves_nothing(lab):
    """Auth dies again and again, and is away for longer than they wait."""
    own = Safe()
    with secretive(lab, own, handshake_timeout_ms=300) as node:
        for _ in range(QUICK_DEATHS):
            ops.kill_child(node, "auth")
        ops.slay(ops.process(node, "auth")["pid"])
        wires = list(asks(node, own, 20))
        node.barrier()
        assert Census(own, node).names["worker memory", "presented"]
        for w in wires:
            with contextlib.suppress(ConnectionError):
                while w.fill():
                    pass
            assert b"handshake timeout" in w.buf
        node.drop_wires()
        node.settle(2 * TIMEOUT)
        rest(own, node)


# ---- 7: the audit log ----

@needs_trace
def test_no_key_waits_for_the_audit_log(node, safe):
    """All that clients say is in the queue, but for their credentials."""
    name, key = next(iter(node.filed.items()))
    with stopped(node, "audit"):
        for i in range(60):
            w = node.wire()
            w.upgrade()
            hello = hello_ways(key if i % 2 else
                               safe.key(f"audited-{i}", "presented"))[i % 3]
            w.say({**hello, "client_label": f"label-of-{i}",
                   "session_tag": f"label-of-{i}"})
            w.recv_text()
        census = Census(safe, node)
        census.is_at_rest()
        # Labels are in there, so it is the queue that was looked at.
        seen = Safe()
        seen.put("presented", "label", b"label-of-12\"")
        found = {place_of("x", f.where) for f in scan(
            seen, [ops.process(node, n)["pid"] for n in ("worker", "audit")])}
        assert found >= {"x queue"} or found >= {"x memory"}
    wait_for(lambda: "label-of-59" in
             (node.dir / "audit.jsonl").read_text(), "all are logged")
    rest(safe, node)


# ---- ltpctl ----

@contextlib.contextmanager
def ltpctl(node, *args, stdout=subprocess.DEVNULL):
    """One that is in the middle of something."""
    with subprocess.Popen(
            node.stage.command("ltpctl/ltpctl", *args), cwd="/", env={},
            stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=subprocess.DEVNULL) as ctl:
        try:
            yield ctl
        finally:
            ctl.kill()


@needs_trace
def test_ping_has_its_key_until_it_is_let_in(node):
    safe = Safe()
    key = safe.key("ping").replace("~", "-")
    safe.put("key", "ping", key.encode())
    path = node.file("ping-key", key + "\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT)
        with ltpctl(node, "ping", "--key-file", str(path),
                    "ws://127.0.0.1:%d" % server.getsockname()[1]) as ctl:
            sock, _ = server.accept()
            with sock:
                sock.settimeout(TIMEOUT)
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += sock.recv(4096)
                assert key.encode() in asked
                assert {f.where.split()[0] for f in scan(safe, [ctl.pid])} \
                    <= {"memory"}
                nonce = re.search(rb"(?i)sec-websocket-key: (\S+)", asked)[1]
                sock.sendall(b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n"
                             b"Connection: Upgrade\r\n"
                             b"Sec-WebSocket-Accept: " +
                             harness.accept_of(nonce.decode()).encode() +
                             b"\r\n\r\n")
                assert sock.recv(4096) != b""
                assert not list(scan(safe, [ctl.pid]))


@needs_trace
@pytest.mark.parametrize("verb", ["add", "rotate", "remove", "list"])
def test_who_edits_a_key_file_keeps_no_other_key(node, verb):
    """Held where it says what it did."""
    safe = Safe()
    keys = {f"k-{i}": safe.key(f"k-{i}") for i in range(NAMED)}
    path = node.file("edited.json", json.dumps(keys))
    args = {"add": ["new"], "list": []}.get(verb, ["k-3"])
    out, full = os.pipe()
    with open(out, "rb"), open(full, "wb", buffering=0) as pipe:
        os.set_blocking(full, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(full, bytes(4096))
        os.set_blocking(full, True)
        with ltpctl(node, "key", verb, str(path), *args,
                    stdout=pipe) as ctl:
            # Nothing else makes it sleep.
            wait_for(lambda: ops.stat_of(ctl.pid)[0] == "S" and
                     (verb == "list" or json.loads(path.read_text()) != keys),
                     "it waits to be read from")
            made = json.loads(path.read_text()).get(
                {"add": "new", "rotate": "k-3"}.get(verb))
            if made is not None:
                safe.put("presented", "made", made.encode())
            found = list(scan(safe, [ctl.pid]))
            assert {f.name for f in found} == \
                ({"made"} if made is not None else set()), found


# ---- who is asked for it ----

ASK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for pid in map(int, sys.argv[1:]):
    for name in ("mem", "environ", "maps", "fd", "stack", "auxv", "syscall",
                 "personality", "fdinfo", "map_files", "io", "cwd", "root"):
        path = f"/proc/{pid}/{name}"
        try:
            if name in ("fd", "fdinfo", "map_files"):
                os.listdir(path)
            elif name in ("cwd", "root"):
                os.readlink(path)
            else:
                with open(path, "rb") as f:
                    f.read(1)
            print(path)
        except PermissionError:
            pass
        except OSError:
            print(path)
    buf = ctypes.create_string_buffer(8)
    iov = (ctypes.c_ulong * 2)(ctypes.addressof(buf), 8)
    for what, result in (
            ("ptrace attach", libc.ptrace(16, pid, 0, 0)),
            ("ptrace seize", libc.ptrace(0x4206, pid, 0, 0)),
            ("process_vm_readv", libc.process_vm_readv(pid, iov, 1, iov, 1,
                                                       0)),
            ("pidfd_getfd", libc.syscall(438, os.pidfd_open(pid), 2, 0))):
        if result != -1 or ctypes.get_errno() not in (1, 13):
            print(what, pid, os.strerror(ctypes.get_errno()))
"""


def test_another_process_of_the_same_user_gets_at_none_of_them(node):
    """And no core is ever written."""
    rows = ops.processes(node)
    if ops.process(node, "worker")["sandbox"]["mechanism"] == "none":
        pytest.skip("a build without a sandbox is for debuggers")
    pids = [p["pid"] for p in rows]
    assert len(pids) == 5
    done = ops.as_node_user(node, sys.executable, "-IS", "-c", ASK,
                            *map(str, pids))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    # The same tries work on who does not mind.
    with subprocess.Popen([*node.stage.command("ltpd/ltpd")[:-1], "sleep",
                           "60"]) as other:
        wait_for(lambda: ops.stat_of(other.pid) and open(
            f"/proc/{other.pid}/comm").read() == "sleep\n", "it sleeps")
        done = ops.as_node_user(node, sys.executable, "-IS", "-c", ASK,
                                str(other.pid))
        other.kill()
    assert f"/proc/{other.pid}/mem" in done.stdout.decode(), done
    for pid in pids:
        with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
            core = re.search(r"Max core file size +(\S+) +(\S+)",
                             limits.read())
        assert core.groups() == ("0", "0")


# ---- all of the above ----

# The same files below a root directory that is ours, since to a namespace
# root is a stranger, and ltpd trusts no key on the way to which is one.
ROOM = """
set -e
mount -t tmpfs -o mode=755 none "$1"
cd "$1"
for path in /*; do
    if [ -L "$path" ]; then
        cp -P "$path" .
    elif [ -d "$path" ] && [ "$path" != /tmp ]; then
        mkdir ".$path"
        mount --rbind "$path" ".$path"
    fi
done
mkdir -m 1777 tmp
for path in "$2" "$3"; do
    [ -d ".$path" ] || mkdir -p ".$path"
    mount --rbind "$path" ".$path"
done
exec chroot . "$2/run" "$2/$4"
"""


@pytest.mark.skipif(may_trace(), reason="was done above")
def test_a_plain_user_does_it_in_a_namespace(lab):
    """There the processes are, and there one may have the capability."""
    room = lab.stage.dir / "room"
    room.mkdir()
    inside = ["unshare", "--user", "--map-current-user", "--keep-caps",
              "--mount"]
    tried = subprocess.run([*inside, "mount", "-t", "tmpfs", "none",
                            str(room)], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip("takes CAP_SYS_PTRACE, or user namespaces to have it in: "
                    + tried.stderr.strip())
    here = pathlib.Path(__file__).resolve()
    done = subprocess.run(
        [*inside, "sh", "-c", ROOM, "sh", str(room), str(here.parent),
         str(BUILD.resolve()), here.name], capture_output=True, text=True,
        env=os.environ | {"TMPDIR": "/tmp"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SKIP Skipped: takes" not in done.stdout
