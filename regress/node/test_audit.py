"""The audit log: section 7 of the node protocol."""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from node import BINARY, TIMEOUT, frame, text, wait_for
from ops import Tmpfs, scratch

SEED = hashlib.sha256(b"a signing key of the tests").hexdigest()
ZEROS = "0" * 64
REFUSAL = "audit log is not available"
HELLO = {"type": "hello", "client_id": "c"}
BEAT = {"type": "heartbeat", "client_id": "c", "timestamp_ms": 5}
ROUTE = {"type": "route_request", "client_id": "c"}
# What SubjectPublicKeyInfo puts before the 32 bytes of an Ed25519 key.
SPKI = bytes.fromhex("302a300506032b6570032100")


# ---- a node with an audit log ----

@contextlib.contextmanager
def audited(lab, keys=None, home=None, signed=True, secrets=(), **settings):
    log = (home or scratch(lab)) / "audit.jsonl"
    env = {"NODE_SIGNING_KEY": SEED} if signed else {}
    with lab.node(keys, env=env, audit_log_file=str(log),
                  **settings) as node:
        node.secrets.update([SEED, *secrets])
        node.audit = log
        yield node


@pytest.fixture(scope="module")
def node(lab):
    with audited(lab, workers=2) as node:
        yield node


def pid_of(node, name):
    rows = json.loads(node.ctl("-j", "show", "processes").stdout)
    return [r["pid"] for r in rows if r["process"] == name][0]


def kill_audit(node):
    """kill -9; waits for its successor."""
    taken_up = "audit: log taken up"
    seen = len(node.log_lines(taken_up))
    os.kill(pid_of(node, "audit"), signal.SIGKILL)
    wait_for(lambda: len(node.log_lines(taken_up)) > seen,
             "ltp-audit is back")
    wait_for(lambda: node.get("/health")[0] == 200, "the node is healthy")
    node.children = node.group() - {node.proc.pid}


def lines_of(path):
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n"), "the last line is torn"
    return data.decode().splitlines()


def settled(node, path=None):
    """The log, once it has stopped growing."""
    path = path or node.audit
    size = -1
    while size != (size := path.stat().st_size):
        time.sleep(0.1)
    return lines_of(path)


def frames(lines):
    """What the lines say, without what is the same in all of them."""
    said = []
    for line in map(json.loads, lines):
        f = line["frame"]
        assert f.pop("v") == "0.1"
        assert f.pop("env") == "%d|%d|%s|%s" % (
            line["i"], line["timestamp_ms"], line["direction"],
            line["session_id"])
        said.append((line["direction"], line["session_id"], f))
    return said


# ---- a verifier that shares nothing with ours ----

def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"),
                      ensure_ascii=False)


def verify(lines, first=0, prev=ZEROS):
    """Index, chain and canonical form; returns the head."""
    for i, text in enumerate(lines, first):
        line = json.loads(text)
        assert line["i"] == i
        assert line["prev_hash"] == prev
        made = canonical(line["frame"])
        assert f'"frame":{made},"prev_hash":' in text
        prev = hashlib.sha256((prev + made).encode()).hexdigest()
        assert line["hash"] == prev
        assert line["direction"] in ("in", "out")
    return first + len(lines), prev


def public_key(node):
    return re.search("public_key=([0-9a-f]{64})", node.log())[1]


def verify_signature(tmp_path, text, key):
    line = json.loads(text)
    assert line["alg"] == "ed25519"
    assert line["key_id"] == hashlib.sha256(
        bytes.fromhex(key)).hexdigest()[:16]
    (tmp_path / "key").write_bytes(SPKI + bytes.fromhex(key))
    (tmp_path / "signature").write_bytes(bytes.fromhex(line["signature"]))
    (tmp_path / "hash").write_text(line["hash"])
    run = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform",
         "DER", "-inkey", "key", "-sigfile", "signature", "-in", "hash"],
        cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def trace(node, *args):
    """ltpctl trace, as root if we are: the log is nobody else's."""
    return subprocess.run(
        [str(node.stage.bin / "ltpctl/ltpctl"), "trace", *map(str, args)],
        capture_output=True, text=True, env=node.env)


def trace_json(node, *args):
    return json.loads(trace(node, "-j", *args).stdout)


def assert_whole(node, *paths, key=None):
    run = trace(node, "verify", "-p", key or public_key(node), *paths)
    assert (run.returncode, run.stderr) == (0, ""), run
    return run.stdout


# ---- what is in it ----

def test_every_message_is_in_it_in_canonical_form(lab, tmp_path):
    with audited(lab) as node:
        w = node.connect()
        name = "c\u00e9\"\\\n\u007f\u0001/"
        w.ask({"session_tag": "t", "client_id": name, "type": "hello",
               "auth_token": "T", "unknown": {"a": 1}})
        w.ask({"type": "heartbeat", "client_id": name, "timestamp_ms": -5})
        w.ask({"type": "nonsense", "client_id": name})
        w.ask("[]")
        w.send(frame(BINARY, b"x"))
        w.recv_text()
        w.ask({"type": "heartbeat", "client_id": "x", "timestamp_ms": 5})
        w.say({"type": "orientation", "client_id": name,
               "focus_momentum": 0.8,
               "time_orientation": {"strength": 1.0, "direction": "past"}})
        w.ask({"type": "route_request", "client_id": name,
               "hint_sector": {"Custom": "h"}})
        head = {"identity": None}
        assert frames(settled(node)) == [
            ("in", "1", {**head, "type": "hello", "client_id": name,
                         "session_tag": "t"}),
            ("out", "1", {**head, "type": "hello_ack", "node_id": "node-a",
                          "accepted": True}),
            ("in", "1", {**head, "type": "heartbeat", "client_id": name,
                         "timestamp_ms": -5}),
            ("out", "1", {**head, "type": "heartbeat_ack",
                          "client_id": name, "timestamp_ms": -5}),
            ("out", "1", {**head, "type": "error",
                          "message": "invalid message"}),
            ("out", "1", {**head, "type": "error",
                          "message": "invalid message"}),
            ("out", "1", {**head, "type": "error", "message":
                          "binary messages are not supported"}),
            ("in", "1", {**head, "type": "heartbeat", "client_id": "x",
                         "timestamp_ms": 5}),
            ("out", "1", {**head, "type": "error",
                          "message": "client_id mismatch"}),
            ("in", "1", {**head, "type": "orientation", "client_id": name,
                         "focus_momentum": 0.8, "time_orientation":
                         {"direction": "past", "strength": 1}}),
            ("in", "1", {**head, "type": "route_request",
                         "client_id": name, "hint_sector": {"Custom": "h"}}),
            ("out", "1", {**head, "type": "route_suggestion",
                          "client_id": name,
                          "suggested_sector":
                          "retrospective_safe_high_momentum",
                          "reason": "client leaning towards past",
                          "debug": {"focus_momentum": 0.8,
                                    "time_orientation":
                                    {"direction": "past", "strength": 1}}}),
        ]
        lines = lines_of(node.audit)
        verify(lines)
        for line in lines:
            verify_signature(tmp_path, line, public_key(node))
        assert "12, all good" in assert_whole(node, node.audit)
        assert node.audit.stat().st_mode & 0o777 == 0o600


def test_the_session_dialect_is_in_it(lab):
    with audited(lab, {"alice": "alice-key"}) as node:
        w = node.connect([("X-API-Key", "alice-key")])
        sid = json.loads(w.ask({"type": "hello", "api_key": "alice-key",
                                "client_label": None}))["session_id"]
        w.ask({"type": "heartbeat", "session_id": sid, "timestamp_ms": 1})
        w.ask({"type": "heartbeat", "session_id": "x", "timestamp_ms": 2})
        head = {"identity": "alice"}
        assert frames(settled(node)) == [
            ("in", "1", {**head, "type": "hello", "client_label": None}),
            ("out", "1", {**head, "type": "hello_ack", "accepted": True,
                          "node_id": "node-a", "session_id": sid}),
            ("in", sid, {**head, "type": "heartbeat", "session_id": sid,
                         "timestamp_ms": 1}),
            ("out", "1", {**head, "type": "heartbeat_ack",
                          "session_id": sid, "timestamp_ms": 1}),
            ("in", sid, {**head, "type": "heartbeat", "session_id": "x",
                         "timestamp_ms": 2}),
            ("out", "1", {**head, "type": "error", "code": "FORBIDDEN",
                          "message": "session mismatch"}),
        ]
        verify(lines_of(node.audit))


def test_refused_sign_ins_are_in_it_without_the_credential(lab):
    with audited(lab, {"alice": "alice-key"}, auth_in_hello=True,
                 secrets=["guess-0815"]) as node:
        w = node.connect()
        w.ask({"type": "hello", "client_id": "c", "auth_token": "guess-0815"})
        w = node.connect()
        w.ask({"type": "hello", "api_key": "guess-0815"})
        w = node.connect()
        w.ask({"type": "hello", "client_id": "c", "auth_token": "alice-key"})
        said = [(d, f["type"], f["identity"])
                for d, _, f in frames(settled(node))]
        assert said == [("in", "hello", None), ("out", "error", None)] * 2 + \
            [("in", "hello", None), ("out", "hello_ack", "alice")]
        text = node.audit.read_text()
        for secret in ("guess-0815", "alice-key", SEED):
            assert secret not in text


def test_hash_mode_hides_what_clients_chose(lab):
    def hidden(value):
        return hashlib.sha256(canonical(value).encode()).hexdigest()

    with audited(lab, audit_payload="hash") as node:
        w = node.connect()
        secret = "canary-4711"
        w.ask({"type": "hello", "client_id": secret, "session_tag": secret})
        w.ask({"type": "heartbeat", "client_id": secret,
               "timestamp_ms": 471147114711})
        w.say({"type": "orientation", "client_id": secret,
               "focus_momentum": 0.4711, "time_orientation":
               {"direction": "multi", "strength": 0.1174}})
        w.ask({"type": "route_request", "client_id": secret,
               "hint_sector": {"Custom": secret}})
        lines = settled(node)
        said = [f for _, _, f in frames(lines)]
        for canary in (secret, "471147114711", "0.4711", "0.1174", '"multi"'):
            assert canary not in node.audit.read_text()
        assert said[0]["client_id"] == said[0]["session_tag"] == \
            hidden(secret)
        assert said[1]["node_id"] == "node-a"
        assert said[3]["timestamp_ms"] == hidden(471147114711)
        assert said[4]["time_orientation"] == {
            "direction": hidden("multi"), "strength": hidden(0.1174)}
        assert said[5]["hint_sector"] == {"Custom": hidden(secret)}
        assert said[6]["debug"]["focus_momentum"] == hidden(0.4711)
        verify(lines)


def test_each_nth_line_is_signed(lab):
    with audited(lab, audit_sign_every=3) as node:
        w = node.connect()
        for _ in range(4):
            w.ask(BEAT)
        signed = ["signature" in json.loads(line) for line in settled(node)]
        assert signed == [True, False, False] * 2 + [True, False]
        assert "the last 1 lines" in assert_whole(node, node.audit)


def test_without_a_key_no_line_is_signed(lab):
    with audited(lab, signed=False) as node:
        node.connect().ask(BEAT)
        verify(settled(node))
        assert "signature" not in node.audit.read_text()
        said = trace(node, "verify", node.audit)
        assert said.returncode == 0 and "none" in said.stdout
        # A log without signatures does not pass for a signed one.
        said = trace(node, "verify", "-p", "00" * 32, node.audit)
        assert said.returncode == 1 and "no line is signed" in said.stderr


def test_the_key_may_be_in_a_file(lab):
    home = scratch(lab)
    key = home / "signing.key"
    key.write_text(SEED + "\n")
    lab.stage.own(key, 0o600)
    with audited(lab, signed=False, home=home,
                 node_signing_key_file=str(key)) as node:
        node.connect().ask(BEAT)
        settled(node)
        assert_whole(node, node.audit)
        key.write_text("no key\n")
        said = node.ctl("reload")
        assert said.returncode == 1
        assert "must be 64 hexadecimal digits" in said.stderr
        key.write_text("11" * 32 + "\n")
        assert node.ctl("reload").returncode == 0
        node.connect().ask(BEAT)
        lines = settled(node)
        ids = [json.loads(line)["key_id"] for line in lines]
        assert ids[0] == ids[1] != ids[2] == ids[3]
        keys = re.findall("public_key=([0-9a-f]{64})", node.log())
        both = home / "keys"
        both.write_text("\n".join(keys) + "\n")
        assert_whole(node, node.audit, key=both)


# ---- whatever happens to it ----

class Clients:
    """Mixed traffic from many clients; counts the lines that it makes."""

    def __init__(self, node, n, seconds=None, rounds=None):
        self.node = node
        self.end = None if seconds is None else time.monotonic() + seconds
        self.rounds = rounds
        self.pool = concurrent.futures.ThreadPoolExecutor(n)
        self.done = [self.pool.submit(self.talk, i) for i in range(n)]

    def more(self, i):
        return i < self.rounds if self.end is None else \
            time.monotonic() < self.end

    def talk(self, number):
        lines = 0
        with self.node_wire() as w:
            w.upgrade()
            if number % 2 == 0:
                ident = {"client_id": f"c{number}"}
                w.ask({"type": "hello", **ident})
            else:
                sid = json.loads(w.ask({"type": "hello", "api_key": "k"}))
                ident = {"session_id": sid["session_id"]}
            lines += 2
            i = 0
            while self.more(i):
                w.ask({"type": "heartbeat", "timestamp_ms": i, **ident})
                w.say({"type": "orientation", "focus_momentum": 0.9,
                       **ident})
                w.ask({"type": "route_request", **ident})
                w.ask("nonsense")
                lines += 2 + 1 + 2 + 1
                i += 1
        return lines

    def node_wire(self):
        from node import Wire
        return Wire(self.node.address)

    def lines(self):
        """All of them; a client that was let down says so here."""
        return sum(f.result() for f in self.done)

    def give_up(self):
        for f in self.done:
            with contextlib.suppress(Exception):
                f.result()


def test_traffic_of_64_clients_is_in_it_once(lab):
    with audited(lab, workers=2, audit_sign_every=50) as node:
        expected = Clients(node, 64, rounds=20).lines()
        lines = settled(node)
        assert len(lines) == expected
        i, head = verify(lines)
        assert_whole(node, node.audit)
        assert trace(node, "head", node.audit).stdout == f"{i - 1} {head}\n"
        node.metrics_are(ltp_audit_lines_total=expected,
                         ltp_audit_next_index=expected,
                         ltp_audit_errors_total=0, ltp_audit_lost_total=0,
                         ltp_audit_writable=1)


def test_the_chain_survives_kills_of_ltp_audit(lab):
    with audited(lab, workers=2, audit_sign_every=50) as node:
        clients = Clients(node, 64, seconds=3)
        for _ in range(3):
            time.sleep(0.5)
            kill_audit(node)
        # Nobody noticed: sessions stay, messages wait.
        clients.lines()
        verify(settled(node))
        assert_whole(node, node.audit)
        assert node.metrics()['ltp_restarts_total{process="audit"}'] == 3


def test_the_chain_survives_kills_of_the_node(lab):
    with audited(lab, workers=2, audit_sign_every=50) as node:
        for _ in range(3):
            clients = Clients(node, 64, seconds=1.5)
            time.sleep(0.8)
            node.kill()
            clients.give_up()
            node.start()
        node.connect().ask(BEAT)
        i, _ = verify(settled(node))
        assert i > 100
        assert_whole(node, node.audit)


def test_an_ordered_stop_loses_no_line(lab):
    with audited(lab, workers=2) as node:
        expected = 0
        for _ in range(3):
            expected += Clients(node, 8, rounds=20).lines()
            node.stop()
            assert len(lines_of(node.audit)) == expected
            node.start()
        verify(lines_of(node.audit))


@pytest.mark.parametrize(
    "torn", ['{"i":4,"timesta', '{"i":4}', "\0" * 5000],
    ids=["half", "no newline", "zeros"])
def test_a_torn_last_line_is_cut_off(lab, torn):
    with audited(lab) as node:
        w = node.connect()
        w.ask(HELLO)
        w.ask(BEAT)
        settled(node)
        node.stop()
        with node.audit.open("a") as log:
            log.write(torn)
        node.start()
        assert node.log_lines(
            f"warn audit audit: a torn last line of {len(torn)} bytes")
        assert len(lines_of(node.audit)) == 4
        node.connect().ask(BEAT)
        assert verify(settled(node))[0] == 6


def test_a_torn_first_line_is_cut_off(lab):
    home = scratch(lab)
    log = home / "audit.jsonl"
    log.write_text('{"i":0,"time')
    lab.stage.own(log, 0o600)
    with audited(lab, home=home) as node:
        node.connect().ask(BEAT)
        assert verify(settled(node))[0] == 2


GOOD = ('{"i":0,"timestamp_ms":1,"direction":"in","session_id":"1",'
        '"frame":{"env":"0|1|in|1","identity":null,"v":"0.1"},'
        '"prev_hash":"%s","hash":"%s"}\n')


@pytest.mark.parametrize("content", [
    "what a day\n", "\n", GOOD % (ZEROS, ZEROS), "x" * 100000],
    ids=["text", "empty", "hash", "long"])
def test_a_file_that_is_no_audit_log_is_left_alone(lab, content):
    home = scratch(lab)
    log = home / "audit.jsonl"
    log.write_text(content)
    lab.stage.own(log, 0o600)
    with pytest.raises(AssertionError), audited(lab, home=home):
        pass
    assert "audit: the log cannot be taken up: " in lab.recent[-1].log()
    assert log.read_text() == content


def bad_mode(lab, log):
    log.write_text("")
    lab.stage.own(log, 0o644)


def bad_link(lab, log):
    log.symlink_to("/dev/null")


def bad_fifo(lab, log):
    os.mkfifo(log)
    lab.stage.own(log, 0o600)


def bad_directory(lab, log):
    log.mkdir()


@pytest.mark.parametrize("make, why", [
    (bad_mode, "its mode is too open"), (bad_link, "levels of symbolic"),
    (bad_fifo, "not a regular file"), (bad_directory, "Is a directory")])
def test_a_file_that_will_not_do_stops_the_start(lab, make, why):
    home = scratch(lab)
    make(lab, home / "audit.jsonl")
    with pytest.raises(AssertionError), audited(lab, home=home):
        pass
    assert re.search(f"error ltpd audit_log_file: .*: .*{why}",
                     lab.recent[-1].log())


def test_two_nodes_do_not_share_it(lab, node):
    with pytest.raises(AssertionError), \
            audited(lab, home=node.audit.parent):
        pass
    assert "another process writes to it" in lab.recent[-1].log()


def test_a_start_waits_for_who_writes_a_moment_longer(lab):
    """As what a killed node leaves does, until the kernel has ended it."""
    with audited(lab) as node:
        node.stop()
        with open(node.audit, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            timer = threading.Timer(
                0.5, lambda: fcntl.flock(held, fcntl.LOCK_UN))
            timer.start()
            node.start()
            timer.join()
        node.connect().ask(BEAT)
        verify(settled(node))


# ---- a full disk ----

class Limited:
    """The log may not grow: a limit of ltp-audit's."""

    def __init__(self, lab):
        self.home = scratch(lab)
        self.lab = lab

    def limit(self, node, size):
        command = self.lab.stage.command("")
        subprocess.run(
            [*command[:-1], "prlimit", "--pid", str(pid_of(node, "audit")),
             f"--fsize={size}:"], check=True)

    def fill(self, node):
        self.limit(node, node.audit.stat().st_size + 700)

    def free(self, node):
        self.limit(node, "unlimited")

    def end(self):
        pass


DISKS = [Limited, Tmpfs] if os.getuid() == 0 else [Limited]


@pytest.fixture(params=DISKS)
def disk(lab, request):
    disk = request.param(lab)
    yield disk
    disk.end()


def fill(node, disk):
    # The metrics know nothing in the first second.
    node.metrics_are(ltp_audit_writable=1)
    settled(node)
    disk.fill(node)


def until_full(node, w):
    """Talk until the node has noticed."""
    with contextlib.suppress(Exception):
        for _ in range(400):
            w.ask(BEAT)
    wait_for(lambda: node.metrics()["ltp_audit_writable"] == 0,
             "the log is full")


@pytest.mark.parametrize("signed", [True, False])
def test_a_full_disk_stops_the_chain_cleanly(lab, disk, signed):
    with audited(lab, home=disk.home, workers=2, signed=signed,
                 errors="audit: cannot write") as node:
        live = [node.connect() for _ in range(4)]
        for w in live:
            w.ask(HELLO)
        fill(node, disk)
        until_full(node, live.pop())
        verify(lines_of(node.audit))

        # Who is here and says something is let go, the same for new ones.
        w = live.pop()
        w.say(BEAT)
        w.expect_close(1013, REFUSAL)
        w = node.connect()
        before = node.metrics()["ltp_capacity_rejections_total"]
        w.say(HELLO)
        w.expect({"type": "error", "message": REFUSAL})
        w2 = node.connect()
        w2.say({"type": "hello", "api_key": "k"})
        w2.expect({"type": "error", "code": "RATE_LIMIT",
                   "message": REFUSAL})
        w2.expect_close(1013, REFUSAL)
        wait_for(lambda: node.metrics()["ltp_capacity_rejections_total"] >=
                 before + 2, "refusals are counted")
        assert node.metrics()["ltp_audit_errors_total"] > 0
        status, _, body = node.get("/health")
        assert status == 503 and "the audit log cannot be written" in body
        assert "not writable" in node.ctl("show", "summary").stdout
        verify(lines_of(node.audit))

        disk.free(node)
        wait_for(lambda: node.metrics()["ltp_audit_writable"] == 1,
                 "the log can be written")
        w.ask(HELLO)
        w.ask(BEAT)
        said = frames(settled(node))
        assert said[-1][2]["type"] == "heartbeat_ack"
        # Whoever was silent meanwhile has lost nothing.
        live.pop().ask(BEAT)
        verify(settled(node))
        if signed:
            assert_whole(node, node.audit)


def test_a_full_disk_may_be_tolerated(lab, disk):
    with audited(lab, home=disk.home, audit_required=False,
                 errors="audit: cannot write") as node:
        w = node.connect()
        w.ask(HELLO)
        fill(node, disk)
        until_full(node, node.connect())
        for _ in range(10):
            assert json.loads(w.ask(BEAT))["type"] == "heartbeat_ack"
        assert node.get("/health")[0] == 200, node.get("/health")
        disk.free(node)
        wait_for(lambda: node.metrics()["ltp_audit_writable"] == 1,
                 "the log can be written")
        w.ask(BEAT)
        verify(settled(node))


def test_a_stop_with_a_full_disk_leaves_no_torn_line(lab, disk):
    with audited(lab, home=disk.home, errors="audit: cannot write") as node:
        w = node.connect()
        w.ask(HELLO)
        fill(node, disk)
        until_full(node, w)
        kill_pid = pid_of(node, "audit")
        os.kill(kill_pid, signal.SIGKILL)
        wait_for(lambda: pid_of(node, "audit") not in (0, kill_pid),
                 "ltp-audit is back")
        node.kill()
        i, _ = verify(lines_of(node.audit))
        with contextlib.suppress(FileNotFoundError):
            disk.free(node) if isinstance(disk, Tmpfs) else None
        node.start()
        node.connect().ask(BEAT)
        assert verify(settled(node))[0] == i + 2


def test_without_ltp_audit_clients_wait_a_second_and_are_refused(lab):
    with audited(lab, errors="audit: the log cannot be taken up") as node:
        w, quiet = node.connect(), node.connect()
        w.ask(HELLO)
        quiet.ask(HELLO)
        settled(node)
        good = node.audit.read_bytes()
        # Its successor will not go on after this.
        node.audit.write_bytes(good + b"nonsense\n")
        os.kill(pid_of(node, "audit"), signal.SIGKILL)
        wait_for(lambda: node.log_lines("worker.* audit: has gone"), "death")
        start = time.monotonic()
        w.say(BEAT)
        w.expect_close(1013, REFUSAL)
        assert 0.5 < time.monotonic() - start < 2
        w = node.connect()
        w.say(HELLO)
        w.expect({"type": "error", "message": REFUSAL})
        assert node.get("/livez")[0] == 200
        # In one step: a successor may look at any moment.
        os.truncate(node.audit, len(good))
        wait_for(lambda: "hello_ack" in w.ask(HELLO).decode(), "a session",
                 interval=0.2)
        quiet.ask(BEAT)
        verify(settled(node))
        node.children = node.group() - {node.proc.pid}


def test_a_slow_log_slows_clients_down_and_loses_nothing(lab):
    with audited(lab, workers=1) as node:
        w = node.connect()
        w.ask(HELLO)
        pid = pid_of(node, "audit")
        os.kill(pid, signal.SIGSTOP)
        sent = 20000
        w.sock.settimeout(4 * TIMEOUT)
        beats = threading.Thread(target=lambda: [
            w.say(BEAT) for _ in range(sent)])
        beats.start()
        got = 0
        while w.readable(1):
            w.recv_text()
            got += 1
        # It has stopped answering, in bounded memory, and not for good.
        assert 0 < got < sent
        os.kill(pid, signal.SIGCONT)
        while got < sent:
            w.recv_text()
            got += 1
        beats.join()
        node.metrics_are(4 * TIMEOUT, ltp_audit_lines_total=2 + 2 * sent)
        lines = settled(node)
        assert len(lines) == 2 + 2 * sent
        verify(lines)


def test_who_waited_goes_on_when_the_log_took_all_at_once(lab):
    """Nothing was left to be written later, so nobody was told."""
    with audited(lab, workers=1) as node:
        beat = text(json.dumps({**BEAT, "client_id": "c" * 250}))
        clients = [node.connect() for _ in range(3)]
        for w in clients:
            w.ask({**HELLO, "client_id": "c" * 250})
        # One read of the worker, and together more than may wait.
        many = 32000 // len(beat)
        worker = pid_of(node, "worker")
        os.kill(worker, signal.SIGSTOP)
        for w, n in zip(clients, (many, many, 1)):
            w.send(n * beat)
        os.kill(worker, signal.SIGCONT)
        for w, n in zip(clients, (many, many, 1)):
            for _ in range(n):
                assert "heartbeat_ack" in w.recv_text().decode()
        verify(settled(node))


# ---- rotation ----

def by_signal(node):
    node.proc.send_signal(signal.SIGUSR1)
    wait_for(lambda: node.log_lines("goes on in a new file"), "rotation")


def by_ltpctl(node):
    said = node.ctl("log", "rotate")
    assert said.returncode == 0, said.stderr
    # It is done when ltpctl says so.
    assert node.log_lines("goes on in a new file")


@pytest.mark.parametrize("rotate", [by_signal, by_ltpctl])
def test_rotation_carries_the_chain(lab, rotate):
    with audited(lab) as node:
        w = node.connect()
        w.ask(HELLO)
        w.ask(BEAT)
        settled(node)
        old = node.audit.with_suffix(".1")
        node.audit.rename(old)
        w.ask(BEAT)
        i, head = verify(settled(node, old))
        assert i == 6
        rotate(node)
        assert node.audit.stat().st_mode & 0o777 == 0o600
        w.ask(BEAT)
        new = settled(node)
        assert [f["type"] for _, _, f in frames(new)] == [
            "audit_continued", "heartbeat", "heartbeat_ack"]
        assert verify(new, i, head)[0] == 9
        assert len(lines_of(old)) == 6
        assert "i 0 to 8" in assert_whole(node, old, node.audit)
        assert "i 6 to 8" in assert_whole(node, node.audit)
        key = public_key(node)
        said = trace(node, "verify", "-p", key, node.audit, old)
        assert said.returncode == 1 and "i is 0, must be 9" in said.stderr
        # The chain goes on from the new file alone.
        node.stop()
        node.start()
        node.connect().ask(BEAT)
        assert verify(settled(node), i, head)[0] == 11


def test_rotation_and_a_restart_at_once_carry_the_chain(lab):
    with audited(lab) as node:
        node.connect().ask(HELLO)
        i, head = verify(settled(node))
        node.audit.rename(node.audit.with_suffix(".1"))
        by_ltpctl(node)
        node.kill()
        node.start()
        node.connect().ask(BEAT)
        assert verify(settled(node), i, head)[0] == i + 3


def test_rotation_of_a_file_that_did_not_move_changes_nothing(lab):
    with audited(lab) as node:
        node.connect().ask(HELLO)
        settled(node)
        assert node.ctl("log", "rotate").returncode == 0
        node.connect().ask(BEAT)
        assert verify(settled(node))[0] == 4


def test_a_file_of_another_chain_is_not_continued(lab, node):
    with audited(lab) as other:
        other.connect().ask(HELLO)
        settled(other)
        other.connect().ask(BEAT)
        i, _ = verify(settled(other))
        kept = other.audit.with_suffix(".1")
        other.audit.rename(kept)
        node.connect().ask(HELLO)
        settled(node)
        shutil.copy(node.audit, other.audit)
        other.stage.own(other.audit, 0o600)
        said = other.ctl("log", "rotate")
        assert said.returncode == 1 and "is not used" in said.stderr
        assert other.log_lines("holds lines of another chain")
        # The old file goes on.
        other.connect().ask(BEAT)
        assert verify(settled(other, kept))[0] == i + 2


# ---- what is found ----

@pytest.fixture(scope="module")
def sample(lab):
    with audited(lab) as node:
        w = node.connect()
        for message in (HELLO, BEAT, ROUTE):
            w.ask(message)
        settled(node)
        return node.audit.read_bytes(), public_key(node)


def found(node, tmp_path, key, data):
    log = tmp_path / "audit.jsonl"
    log.write_bytes(data)
    return trace(node, "verify", "-p", key, log)


PARTS = {
    "index": rb'"i":()(\d+)',
    "time": rb'"timestamp_ms":()(\d+),"direction',
    "direction": rb'"direction":"()(\w+)',
    "session_id": rb'"direction":"\w+","session_id":"()(\d+)',
    "frame": rb'"frame":()(\{.*\}),"prev',
    "prev_hash": rb'"prev_hash":"()(\w+)',
    "hash": rb',"hash":"()(\w+)',
    "signature": rb'"signature":"()(\w+)',
    "key_id": rb'"key_id":"()(\w+)',
}


@pytest.mark.parametrize("part", PARTS)
def test_a_flipped_byte_is_found(node, sample, tmp_path, part):
    data, key = sample
    lines = data.splitlines(keepends=True)
    assert found(node, tmp_path, key, data).returncode == 0
    for number in (0, 3, len(lines) - 1):
        m = re.search(PARTS[part], lines[number])
        places = range(m.start(2), m.end(2))
        for at in places if len(places) < 30 else places[::7]:
            for bit in (1, 4, 32):
                line = bytearray(lines[number])
                line[at] ^= bit
                bad = [*lines]
                bad[number] = bytes(line)
                said = found(node, tmp_path, key, b"".join(bad))
                assert said.returncode == 1, (at, bit, bytes(line))
                assert f"audit.jsonl:{number + 1}: " in said.stderr


def test_every_byte_of_a_line_counts(node, sample, tmp_path):
    data, key = sample
    second = data.index(b"\n") + 1
    for at in range(second, data.index(b"\n", second) + 1):
        bad = bytearray(data)
        bad[at] ^= 1
        assert found(node, tmp_path, key, bytes(bad)).returncode == 1, at


@pytest.mark.parametrize("change, why", [
    (lambda lines: lines[:2] + lines[3:], "3: i is 3, must be 2"),
    (lambda lines: lines[:2] + lines[1:], "3: i is 1, must be 2"),
    (lambda lines: [lines[1], lines[0]], "2: i is 0, must be 2"),
    (lambda lines: [*lines[:3], lines[3][:-9]], "4: the last line is torn"),
    (lambda lines: [lines[0].replace(b'"i":0', b'"i":00'), *lines[1:]],
     "1: not a line of an audit log"),
    (lambda lines: [lines[0].replace(b'null,', b'null ,')],
     "1: frame is no JSON"),
    (lambda lines: [b"x" * 100000], "1: not a line of an audit log"),
    (lambda lines: [b"\0" * 100000], "1: not a line of an audit log"),
], ids=["left out", "repeated", "swapped", "torn", "number", "blank", "text",
        "zeros"])
def test_verify_says_what_is_wrong(node, sample, tmp_path, change, why):
    data, key = sample
    bad = b"".join(change(data.splitlines(keepends=True)))
    said = found(node, tmp_path, key, bad)
    assert said.returncode == 1
    assert f"audit.jsonl:{why}" in said.stderr


def test_verify_and_head_speak_json(node, sample, tmp_path):
    data, key = sample
    lines = data.splitlines(keepends=True)
    log = tmp_path / "audit.jsonl"
    log.write_bytes(data)
    last = json.loads(lines[-1])
    assert trace_json(node, "head", log) == {
        "ok": True, "i": last["i"], "hash": last["hash"]}
    assert trace_json(node, "verify", log) == {
        "ok": True, "lines": len(lines), "first": 0, "last": last["i"],
        "hash": last["hash"], "signatures": len(lines),
        "signatures_verified": False, "unsigned_tail": 0}
    log.write_bytes(b"".join(lines[1:2] + lines[3:]))
    said = trace_json(node, "verify", "-p", key, log)
    assert (said["ok"], said["line"]) == (False, 2)


def test_another_key_is_found(node, sample, tmp_path):
    data, _ = sample
    other = hashlib.sha256(b"other").hexdigest()
    said = found(node, tmp_path, other, data)
    assert said.returncode == 1 and "signed with another key" in said.stderr


@pytest.mark.long
def test_a_million_lines_are_verified_in_seconds(node, tmp_path):
    log = tmp_path / "audit.jsonl"
    prev = ZEROS
    with log.open("w") as f:
        for i in range(1000000):
            made = (f'{{"client_id":"c{i % 64}","env":"{i}|{i}|in|7",'
                    f'"identity":null,"timestamp_ms":{i},'
                    '"type":"heartbeat","v":"0.1"}')
            mine = hashlib.sha256((prev + made).encode()).hexdigest()
            f.write(f'{{"i":{i},"timestamp_ms":{i},"direction":"in",'
                    f'"session_id":"7","frame":{made},"prev_hash":"{prev}",'
                    f'"hash":"{mine}"}}\n')
            prev = mine
    start = time.monotonic()
    said = trace(node, "verify", log)
    took = time.monotonic() - start
    assert said.returncode == 0, said.stderr
    assert f"999999 {prev}" in said.stdout
    assert took < 20, f"{took:.1f} seconds"
