"""No secret and no payload comes out anywhere: unique strings are looked for.

A bird is such a string: a key or a token (secret), what else a client sends
(payload), or a tag or label, which "show sessions" is there to show.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

import ops
from node import (BINARY, CONT, PING, PONG, TEXT, basic, close, compact,
                  fragments, frame, request, text)
from ops import ROOT, run_ltpd, started

NAMES = ("alice", "bob")
PAGES = ("/metrics", "/health", "/livez", "/nowhere")
needs_root = pytest.mark.skipif(not ROOT, reason="takes root")


class Birds:
    """
    All that have been let out, by kind.  Most have the same beginning, which
    is quickly looked for; the others are plain.
    """

    MARK = b"canary-"

    def __init__(self):
        self.secrets = set()
        self.payloads = set()
        self.shown = set()
        self.plain = set()

    def hatch(self, flock, what):
        bird = f"{self.MARK.decode()}{what}-{os.urandom(9).hex()}"
        flock.add(bird)
        return bird

    def secret(self, what="secret"):
        return self.hatch(self.secrets, what)

    def payload(self, what="payload"):
        return self.hatch(self.payloads, what)

    def label(self):
        return self.hatch(self.shown, "label")

    def number(self):
        """A timestamp is one, too."""
        number = int.from_bytes(os.urandom(6), "big") + (1 << 50)
        self.payloads.add(str(number))
        self.plain.add(str(number))
        return number

    def seed(self):
        seed = os.urandom(32).hex()
        self.secrets.add(seed)
        self.plain.add(seed)
        return seed

    def basic(self, name, key):
        value = basic(f"{name}:{key}")
        coded = value.split()[1].rstrip("=")
        self.secrets.add(coded)
        self.plain.add(coded)
        return value

    def found_in(self, data, *but):
        """Those that are there, in bytes or text, in whatever case."""
        if isinstance(data, str):
            data = data.encode()
        data = data.lower()
        birds = self.secrets | self.payloads | self.shown
        if self.MARK not in data:
            birds = self.plain
        return {b for b in birds.difference(*but)
                if b.lower().encode() in data}


# ---- what clients send ----

def forms(birds, name, key):
    """All that a request can do with a key."""
    return [
        [("X-API-Key", key)],
        [("Authorization", f"Bearer {key}")],
        [("Authorization", f"APIKEY {key}")],
        [("Authorization", birds.basic(name, key))],
        [("X-API-Key", key), ("Authorization", f"Bearer {key}")],
    ]


def wrong_forms(birds):
    """And with what is none."""
    wrong = [birds.secret("wrong") for _ in range(8)]
    return [
        *forms(birds, "alice", wrong[0]),
        [("X-API-Key", wrong[1]), ("Authorization", f"Bearer {wrong[2]}")],
        [("X-API-Key", wrong[3] + "x" * 2000)],
        [("X-API-Key", f"\xe9{wrong[4]}")],
        [("Authorization", f"Unknown {wrong[5]}")],
        [("Authorization", f"Basic {wrong[6]}")],
        [("Authorization", birds.basic(wrong[7], "x"))],
    ]


def other_fields(birds):
    return [("Cookie", f"session={birds.secret('cookie')}"),
            ("User-Agent", birds.payload("agent")),
            ("X-" + birds.payload("field"), "1"),
            ("Sec-WebSocket-Protocol", birds.payload("protocol"))]


def babble(birds, common):
    """Messages of every kind, and what is no message."""
    def message(kind, **more):
        return text(compact({"type": kind, **common, **more}))
    said = {birds.payload("name"): birds.payload(),
            "nested": [{birds.payload("name"): birds.payload()}]}
    beat = compact({"type": "heartbeat", **common, "timestamp_ms":
                    birds.number(), "x": birds.payload()})
    return [
        message("heartbeat", timestamp_ms=birds.number()),
        message("heartbeat", timestamp_ms=birds.payload()),
        message("orientation", focus_momentum=0.8, **said),
        message("orientation", time_orientation={
            "direction": birds.payload(), "strength": 0.5}),
        message("route_request", hint_sector=birds.payload("sector")),
        message("route_request",
                hint_sector={"Custom": birds.payload("sector")}),
        message("route_request", hint_sector=[birds.payload("sector")]),
        message(birds.payload("type")),
        text(birds.payload()),
        text('{"type":"heartbeat","' + birds.payload()),
        text(json.dumps(birds.payload())),
        frame(BINARY, birds.payload()),
        frame(PING, birds.payload()),
        frame(PONG, birds.payload()),
        *fragments(beat, 9, 20),
    ]


def farewells(birds):
    """How it ends."""
    return [
        close(1000, birds.payload("goodbye").encode()),
        text(birds.payload() + "x" * 5000),
        frame(TEXT, birds.payload().encode() + b"\xff"),
        frame(3, birds.payload()),
        frame(CONT, birds.payload()),
        text(birds.payload(), key=None),
        text(birds.payload())[:-3],
    ]


def read_out(w):
    """What is answered does not matter, but it has been answered."""
    with contextlib.suppress(OSError):
        w.sock.settimeout(0.1)
        while w.fill():
            pass
    w.drop()


def visit(node, birds, fields, hello, common, end):
    """From the request to the end; whether the request was accepted."""
    w = node.wire()
    w.send(request([*fields, *other_fields(birds)],
                   target=f"/{birds.payload('path')}"
                          f"?token={birds.secret('query')}"))
    if w.response().status != 101:
        w.drop()
        return False
    w.send(text(compact(hello)))
    answer = json.loads(w.recv_text())
    common = {"session_id": answer["session_id"]} \
        if "session_id" in answer else common
    with contextlib.suppress(ConnectionError):
        w.send(*babble(birds, common), end)
    read_out(w)
    return True


def hellos(birds, key):
    """With this key, in both dialects."""
    return [
        {"type": "hello", "client_id": "c", "auth_token": key,
         "session_tag": birds.label(), birds.payload("name"): 1},
        {"type": "hello", "client_id": "c", "api_key": key},
        {"type": "hello", "api_key": key, "client_label": birds.label(),
         birds.payload("name"): birds.payload()},
    ]


def everybody_comes(node, birds, keys):
    """Each key in each form, and as many that are wrong."""
    common = {"client_id": "c"}
    ends = farewells(birds)
    came = []
    for name, key in keys.items():
        ways = [(form, hello) for form in forms(birds, name, key)
                for hello in hellos(birds, key)]
        ways += [([], hello) for hello in hellos(birds, key)]
        ways += [(forms(birds, name, key)[0], hello)
                 for hello in hellos(birds, birds.secret("wrong"))]
        for i, (form, hello) in enumerate(ways):
            came.append(visit(node, birds, form, hello, common,
                              ends[i % len(ends)]))
    for form in wrong_forms(birds):
        came.append(visit(node, birds, form, hellos(birds, "k")[0], common,
                          ends[0]))
    for hello in hellos(birds, birds.secret("wrong")):
        came.append(visit(node, birds, [], hello, common, ends[0]))
    return came


def some_stay(node, birds, keys):
    """Sessions that can be shown."""
    for key in keys.values():
        for hello in hellos(birds, key):
            w = node.connect([("X-API-Key", key)])
            w.say(hello)
            w.recv_text()
            w.say({"type": "route_request", "client_id": "c",
                   "hint_sector": birds.payload("sector")})
            w.recv_text()
            # Not for this test alone.
            node.wires.remove(w)
            yield w


# ---- three nodes ----

def by_hello(birds):
    """From the environment and from a file; at the latest with the hello."""
    keys = {name: birds.secret(f"key-of-{name}") for name in NAMES}
    return keys, {"env": {"AUTH_KEYS": f"alice:{keys['alice']}",
                          "AUTH_JWT_SECRET": birds.secret("jwt")},
                  "auth_mode": "api_key", "auth_in_hello": True}


def by_request(birds):
    """From the configuration."""
    keys = {name: birds.secret(f"key-of-{name}") for name in NAMES}
    pairs = ",".join(f"{name}:{key}" for name, key in keys.items())
    return keys, {"auth_keys": pairs, "auth_mode": "api_key"}


def for_everybody(birds):
    keys = {name: birds.secret(f"key-of-{name}") for name in NAMES}
    return keys, {}


def has_audit_log(lab):
    done = subprocess.run(lab.stage.command("ltpd/ltpd", "-V"),
                          capture_output=True, text=True)
    return "audit log: built in" in done.stdout


class Cage:
    """A node, and the birds that have been at it."""

    def __init__(self, node, birds, keys):
        self.node = node
        self.birds = birds
        self.keys = keys
        # What may hold a secret: configuration and key files.
        self.nests = {node.conf}
        self.audit = node.settings.get("audit_log_file")
        self.staying = []

    def empty(self):
        while self.staying:
            self.staying.pop().drop()

    def key_file(self, name, content):
        if not isinstance(content, str):
            content = json.dumps(content)
        path = self.node.file(name, content)
        self.nests.add(path)
        return str(path)


@pytest.fixture(scope="module", params=[by_hello, by_request, for_everybody])
def cage(lab, request):
    birds = Birds()
    keys, settings = request.param(birds)
    audited = has_audit_log(lab)
    if audited:
        settings.setdefault("env", {})["NODE_SIGNING_KEY"] = birds.seed()
    with ops.prepared(lab, workers=2, log_level="trace",
                      max_message_bytes=4096, **settings) as node:
        # Artifacts are made without them.
        node.secrets = birds.secrets
        if audited:
            node.settings["audit_log_file"] = str(node.dir / "audit.jsonl")
        cage = Cage(node, birds, keys)
        if request.param is by_hello:
            node.settings["auth_keys_file"] = cage.key_file(
                "keys.json", {"bob": keys["bob"]})
        node.start()
        came = everybody_comes(node, birds, keys)
        cage.staying.extend(some_stay(node, birds, keys))
        assert (False in came) == (request.param is not for_everybody)
        assert came.count(True) > 10
        yield cage
        cage.empty()
        node.stop()


def sings(cage, data, *but):
    """No bird is in there."""
    found = cage.birds.found_in(data, *but)
    assert not found, f"{sorted(found)} came out"


# ---- where they must not be ----

def test_a_bird_would_be_found():
    """This test's own tool."""
    birds = Birds()
    key = birds.secret("key")
    birds.payload()
    assert birds.found_in(f"so {key.upper()}, there") == {key}
    assert birds.found_in(key, birds.secrets) == set()


def test_nothing_is_in_the_log(cage):
    log = cage.node.log()
    assert len(cage.node.log_lines(" closed ")) > 50
    assert cage.node.log_lines(" (debug|trace) ")
    sings(cage, log)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_in_the_pages(cage, page):
    status, headers, body = cage.node.get(page)
    assert status == (404 if page == "/nowhere" else 200)
    sings(cage, f"{headers}{body}")


VERBS = {
    "show summary": lambda cage: [],
    "show processes": lambda cage: [],
    "show sessions": lambda cage: [],
    "show keys": lambda cage: [],
    "show config": lambda cage: [],
    "reload": lambda cage: [],
    "log verbose": lambda cage: [],
    "log brief": lambda cage: [],
    "log rotate": lambda cage: [],
    "trace verify": lambda cage: [cage.audit or "/dev/null"],
    "trace head": lambda cage: [cage.audit or "/dev/null"],
    "disconnect": lambda cage: [str(ops.sessions(cage.node)[0]
                                    ["connection"])],
    "key add": lambda cage: [cage.key_file("k.json", cage.keys), "carol"],
    "key generate": lambda cage: ["carol"],
    "key list": lambda cage: [cage.key_file("k.json", cage.keys)],
    "key remove": lambda cage: [cage.key_file("k.json", cage.keys), "alice"],
    "key rotate": lambda cage: [cage.key_file("k.json", cage.keys), "alice"],
    "ping": lambda cage: ["-c", "1", "--key-file",
                          cage.key_file("key", cage.keys["alice"] + "\n")],
    "top": lambda cage: ["-n", "1", "-i", "100"],
    "doctor": lambda cage: [],
    "token generate": lambda cage: [],
    "help": lambda cage: [],
    "stop": None,       # comes last
}


def known_verbs(node):
    """Those that this ltpctl has, by its own help."""
    listed = re.findall(r"(?m)^  ([a-z].*)", node.ctl("help").stdout)
    found = [verb for verb in VERBS if any(
        re.match(rf"{verb}\b", line) for line in listed)]
    assert len(found) == len(listed), f"a verb is not tried: {listed}"
    return found


@pytest.mark.parametrize("options", [[], ["-j"]], ids=["text", "json"])
def test_ltpctl_shows_nothing(cage, options):
    for verb in known_verbs(cage.node):
        if VERBS[verb] is None:
            continue
        done = cage.node.ctl(*options, *verb.split(), *VERBS[verb](cage))
        said = done.stdout + done.stderr
        if verb == "show sessions":
            assert cage.birds.found_in(said) & cage.birds.shown
            sings(cage, said, cage.birds.shown)
        else:
            sings(cage, said)
        # What doctor finds is another matter: no sandbox, for one.
        assert done.returncode == 0 or \
            verb.split()[0] in ("doctor", "trace"), done
    # What it makes the node say.
    sings(cage, cage.node.log())


def test_ltpctl_does_not_quote_a_bad_key_file(cage):
    key = cage.birds.secret("key")
    for content in (key, json.dumps([key]), f'{{"alice": "{key}"',
                    f'{{"alice": "{key}", "alice": "x"}}',
                    f'{{"alice": "{key}", "bob": "{key}"}}',
                    f'{{"": "{key}"}}', f'{{"alice": ["{key}"]}}'):
        path = cage.key_file("bad.json", content)
        for verb in (["key", "list", path], ["key", "add", path, "carol"],
                     ["key", "remove", path, "alice"],
                     ["ping", "--key-file", path]):
            done = cage.node.ctl(*verb)
            # Without authentication, any key will do.
            assert done.returncode == 1 or verb[0] == "ping", done
            sings(cage, done.stdout + done.stderr)


def test_a_configuration_is_printed_without_secrets(cage):
    node = cage.node
    for option in ("-n", "-nn"):
        done = run_ltpd(node, option, "-f", str(node.conf))
        assert done.returncode == 0, done
        sings(cage, done.stdout + done.stderr)


def test_nothing_is_in_the_command_lines(cage):
    for pid in cage.node.group():
        for what in ("cmdline", "comm"):
            sings(cage, pathlib.Path(f"/proc/{pid}/{what}").read_bytes())
    sings(cage, subprocess.run(["ps", "-Awwo", "args"], check=True,
                               capture_output=True).stdout)


@needs_root
def test_nothing_is_in_the_environments(cage):
    for pid in cage.node.group():
        sings(cage, pathlib.Path(f"/proc/{pid}/environ").read_bytes())


def test_nothing_is_in_files(cage):
    """Keys are where keys belong; the audit log has a test of its own."""
    node = cage.node
    seen = 0
    for path in node.dir.rglob("*"):
        sings(cage, str(path))
        if path.is_file() and path not in cage.nests and \
                str(path) != cage.audit:
            sings(cage, path.read_bytes())
            seen += 1
    assert seen > 0


def test_no_secret_is_in_the_audit_log(cage):
    if cage.audit is None:
        pytest.skip("no audit log is built in")
    data = pathlib.Path(cage.audit).read_bytes()
    assert cage.birds.found_in(data) & cage.birds.payloads
    sings(cage, data, cage.birds.payloads, cage.birds.shown)


def memory_of(pid):
    """All that could have been written there, in pieces."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            bounds, mode = line.split()[:2]
            start, end = (int(n, 16) for n in bounds.split("-"))
            # Not the shared table: it has hashes, and much room.
            if mode == "rw-p":
                if end - start > 1 << 32:
                    pytest.skip("the shadow of a sanitizer")
                mem.seek(start)
                yield mem.read(end - start)


@needs_root
def test_no_secret_stays_in_memory(cage):
    """Neither in who reads it from strangers nor in who reads the file."""
    birds = cage.birds
    found = {}
    for p in ops.processes(cage.node):
        found[p["process"], p["slot"]] = set().union(
            *map(birds.found_in, memory_of(p["pid"])))
    # Labels of sessions are where they should be, so one can find things.
    for slot in range(2):
        assert found["worker", slot] & birds.shown
    assert not {name: secrets for name, known in found.items()
                if (secrets := known & birds.secrets)}


# ---- what is wrong is not quoted ----

def test_a_bad_key_file_is_not_quoted(lab):
    birds = Birds()
    key = birds.secret("key")
    with started(lab, {"alice": birds.secret("key")}, errors=" keys: ",
                 log_level="trace") as node:
        node.secrets = birds.secrets
        for content in (key, f'{{"alice": "{key}"', f'{{"alice": "{key}"x}}',
                        f'{{"alice": "{key}", "alice": "{key}"}}',
                        f'{{"alice": "{key}", "bob": "{key}"}}',
                        f'{{"alice": ["{key}"]}}', f'{{"": "{key}"}}',
                        f'{{"alice": "{key}\\n"}}'):
            node.file("keys.json", content)
            done = node.ctl("reload")
            assert done.returncode == 1, content
            assert not birds.found_in(done.stdout + done.stderr)
        assert node.log_lines("keys")
        assert not birds.found_in(node.log())


@pytest.mark.parametrize("name, value", [
    ("AUTH_KEYS", "{key}"), ("AUTH_KEYS", ":{key}"),
    ("AUTH_KEYS", "alice:{key},bob:{key}"),
    ("AUTH_KEYS", "alice:{key},alice:other"),
    ("AUTH_KEYS", "alice:{key},"), ("AUTH_KEYS", "alice:{key}\x7f"),
    ("NODE_SIGNING_KEY", "{key}"),
])
def test_a_bad_secret_of_the_environment_is_not_quoted(lab, name, value):
    birds = Birds()
    value = value.format(key=birds.secret("key"))
    with ops.prepared(lab, auth_mode="api_key", secrets=birds.secrets,
                      audit_log_file="/tmp/none", auth_keys="a:b") as node:
        node.configure()
        for options in (["-n"], ["-d"]):
            done = run_ltpd(node, *options, "-f", str(node.conf),
                            env={name: value})
            assert done.returncode == 1, done
            assert name.lower() in (done.stdout + done.stderr).lower()
            assert not birds.found_in(done.stdout + done.stderr)


@pytest.mark.parametrize("line", [
    'auth_keys = "{key}"', 'auth_keys = "alice:{key}', "auth_keys = {key}",
    'auth_keys = ["alice:{key}"]', 'auth_keys = "alice:{key}" x',
    'auth_jwt_secret = "{key}', "node_signing_key = {key}",
    'node_signing_key = "{key}"',
])
def test_a_bad_secret_of_the_configuration_is_not_quoted(lab, line):
    birds = Birds()
    with ops.prepared(lab, secrets=birds.secrets) as node:
        node.file("ltpd.conf", 'auth_mode = "api_key"\n' +
                  line.format(key=birds.secret("key")) + "\n")
        for options in (["-n"], ["-nn"], ["-d"]):
            done = run_ltpd(node, *options, "-f", str(node.conf))
            assert done.returncode == 1, done
            assert not birds.found_in(done.stdout + done.stderr)


def test_a_secret_on_the_command_line_is_refused_without_it(lab):
    birds = Birds()
    with ops.prepared(lab) as node:
        done = run_ltpd(node, "-n", "-f", str(node.conf), "-D",
                        f"auth_keys=alice:{birds.secret('key')}")
        assert done.returncode == 1
        assert not birds.found_in(done.stdout + done.stderr)


# ---- the end ----

def core_files(node):
    """Where a core would be: the processes are in the root directory."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern")
    where = {pathlib.Path("/"), node.dir}
    if pattern.exists() and pattern.read_text().startswith("/"):
        where.add(pathlib.Path(pattern.read_text()).parent)
    return {path for d in where for path in d.glob("*core*")}


def test_who_crashes_leaves_no_core(cage):
    node = cage.node
    before = core_files(node)
    names = {p["process"] for p in ops.processes(node)} - {"ltpd"}
    for name in sorted(names):
        ops.kill_child(node, name, number=signal.SIGABRT)
    assert core_files(node) == before
    sings(cage, node.log())


def test_nothing_comes_out_at_the_end(cage):
    node = cage.node
    cage.empty()
    done = node.ctl("stop")
    assert done.returncode == 0, done
    sings(cage, done.stdout + done.stderr)
    node.expect_exit()
    sings(cage, node.log())
