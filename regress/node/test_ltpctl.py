"""ltpctl and the control socket behind it."""

import array
import contextlib
import hashlib
import json
import os
import pty
import re
import resource
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

import ops
from node import TIMEOUT, wait_for
from ops import (ROOT, STRANGER, beat, config, ctl_json, enter, process,
                 processes, sessions, started, summary)

ALICE, BOB = "alice-key-0001", "bob-key-0002"
KEYS = {"alice": ALICE, "bob": BOB}
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
OPERATOR = (1008, "disconnected by the operator")
CROWD = 2000
PROMPT = 0.1        # seconds within which a heartbeat is answered
ATTEMPTS = 3        # the machine may be busy, the node must not be
DAY_MS = 86400000

needs_root = pytest.mark.skipif(not ROOT, reason="takes root")


@pytest.fixture(scope="module")
def shared(lab):
    """For tests that only look."""
    with started(lab, KEYS, workers=2) as node:
        yield node


@pytest.fixture
def node(lab):
    with started(lab) as node:
        yield node


def text(node, *args):
    """What a verb says when all is well."""
    r = node.ctl(*args)
    assert (r.returncode, r.stderr) == (0, ""), r
    return r.stdout


def failed(node, *args):
    """One line of complaint, on stderr."""
    r = node.ctl(*args)
    assert (r.returncode, r.stdout) == (1, ""), r
    assert r.stderr.startswith("ltpctl: ") and r.stderr.count("\n") == 1
    return r.stderr


def failed_json(node, *args):
    r = node.ctl("-j", *args)
    assert (r.returncode, r.stderr) == (1, ""), r
    answer = json.loads(r.stdout)
    assert answer["ok"] is False and answer["error"]
    return answer


def table(out):
    head, *rows = out.splitlines()
    return head.split(), [row.split() for row in rows]


# ---- show ----

def test_show_summary(shared):
    s = summary(shared)
    assert s["node_id"] == "node-a"
    assert s["pid"] == shared.proc.pid
    assert 0 < s["uptime_ms"] < DAY_MS
    assert s["draining"] is False
    assert s["log_level"] == "info"
    assert s["auth"] == {"mode": "api_key", "configured": True,
                         "ready": True, "keys_usable": True, "keys": 2}
    assert s["workers"] == {"ready": 2, "configured": 2}
    assert s["connections"]["max"] == 10000
    assert s["sessions"]["max"] == 50000
    assert s["listeners"] == [
        {"kind": "ltp", "url": "ws://%s:%d" % shared.address},
        {"kind": "metrics", "url": "http://%s:%d" % shared.metrics_address}]


def test_show_summary_as_text(shared):
    rows = text(shared, "show", "summary").splitlines()
    said = {row[:12].strip(): row[13:] for row in rows
            if not row.startswith("listener")}
    s = summary(shared)
    assert said["node"] == "node-a"
    assert said["version"] == s["version"]
    assert said["pid"] == str(shared.proc.pid)
    assert said["state"] == "running"
    assert said["workers"] == "2 ready of 2"
    assert said["auth"] == "api_key, 2 keys"
    assert [row.split(None, 1)[1] for row in rows
            if row.startswith("listener")] == [
        f"{x['kind']} {x['url']}" for x in s["listeners"]]


def test_show_summary_counts_what_metrics_counts(node):
    beat(enter(node))
    node.samples_are({'ltp_msgs_total{type="heartbeat"}': 1,
                      "ltp_ws_connections_current": 1})
    s = summary(node)
    samples = node.metrics()
    for name, value in s["counters"].items():
        if not isinstance(value, dict):
            assert samples[name] == value, name
            continue
        (label, rows), = value.items()
        for row, count in rows.items():
            assert samples[f'{name}{{{label}="{row}"}}'] == count, name
    for name, value in s["gauges"].items():
        assert samples[name] == value, name
    for name, value in s["histograms"].items():
        assert samples[f"{name}_count"] == value["count"], name


def test_show_processes(shared):
    for p in processes(shared):
        assert 0 < p["uptime_ms"] < DAY_MS
        assert 0 <= p["cpu_us"] < 60 * 1000000
        assert 1 << 20 < p["resident_bytes"] < 1 << 28
        assert 3 < p["descriptors"] < 100
    # As the kernel has it, but for the connection of ltpctl itself.
    if ROOT:
        for p in processes(shared)[1:]:
            fds = os.listdir(f"/proc/{p['pid']}/fd")
            assert p["descriptors"] == len(fds), p


def test_show_processes_as_text(shared):
    head, rows = table(text(shared, "show", "processes"))
    assert head[:5] == ["PROCESS", "PID", "UID", "STATE", "UPTIME"]
    assert [row[0] for row in rows] == ["ltpd", "worker[0]", "worker[1]",
                                        "metrics", "auth"]
    assert {int(row[1]) for row in rows} == shared.group()


def test_children_are_shown_in_their_sandbox(shared):
    """Where the build has one."""
    for p in processes(shared)[1:]:
        box = p["sandbox"]
        assert box["mechanism"] in ("seccomp", "pledge", "none")
        if box["mechanism"] == "seccomp":
            assert box["seccomp"] == 2 and box["landlock_abi"] >= 1
            assert {"execute", "read_file", "write_file"} <= set(
                box["landlock_fs"])
            assert box["no_new_privs"] is True


def test_show_sessions_without_any(node):
    assert sessions(node) == []
    assert len(text(node, "show", "sessions").splitlines()) == 1
    # Without a hello there is no session.
    node.connect().pong()
    assert sessions(node) == []


def test_show_sessions_of_both_dialects(node):
    first = node.connect()
    first.say({"type": "hello", "client_id": "c", "session_tag": "tag"})
    first.expect(ops.HELLO_ACK)
    beat(first)
    second = node.connect()
    ack = json.loads(second.ask({"type": "hello", "api_key": "k",
                                 "client_label": "label"}))
    begin = time.monotonic()

    one, two = sessions(node)
    since = 1000 * (time.monotonic() - begin + TIMEOUT)
    for s, wire in ((one, first), (two, second)):
        assert s["peer"] == "%s:%d" % wire.sock.getsockname()
        assert s["worker"] == 0
        assert 0 <= s["idle_ms"] <= s["age_ms"] <= since
    assert one["connection"] < two["connection"]
    assert (one["client_id"], one["identity_source"], one["session_id"],
            one["tag"], one["dialect"]) == (
                "c", "claimed", None, "tag", "client")
    assert (one["messages_in"], one["messages_out"]) == (2, 2)
    assert re.fullmatch(UUID, two["session_id"])
    assert two["session_id"] == ack["session_id"]
    assert (two["tag"], two["dialect"]) == ("label", "session")
    assert (two["messages_in"], two["messages_out"]) == (1, 1)

    rows = [line.split() for line in
            text(node, "show", "sessions").splitlines()[1:]]
    assert [row[0] for row in rows] == [str(s["connection"])
                                        for s in (one, two)]
    assert ack["session_id"] in rows[1]


def test_ids_that_clients_chose_cannot_harm_a_terminal(node):
    ugly = "\x1b[2J\x07\r\n\u202e \"'\\\x7f\u00e9\u4e2d"
    wire = node.connect()
    wire.say({"type": "hello", "client_id": ugly, "session_tag": ugly})
    wire.expect(ops.HELLO_ACK)
    s, = sessions(node)
    assert (s["client_id"], s["tag"]) == (ugly, ugly)
    out = text(node, "show", "sessions")
    assert len(out.splitlines()) == 2
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)


def test_a_session_is_gone_with_its_connection(node):
    wires = [enter(node, f"c{i}") for i in range(3)]
    assert [s["client_id"] for s in sessions(node)] == ["c0", "c1", "c2"]
    wires[1].drop()
    wait_for(lambda: [s["client_id"] for s in sessions(node)] ==
             ["c0", "c2"], "the session is gone")


def test_show_keys(lab):
    with started(lab, {"bob": BOB}, secrets=[ALICE],
                 env={"AUTH_KEYS": f"alice:{ALICE}"}) as node:
        keys = {k["id"]: k for k in ctl_json(node, "show", "keys")}
        out = text(node, "show", "keys")
        assert keys.keys() == {"alice", "bob"}
        for name, key, source in (("alice", ALICE, "environment"),
                                  ("bob", BOB, "file")):
            k = keys[name]
            assert k["source"] == source
            digest = hashlib.sha256(key.encode()).hexdigest()
            assert k["digest_prefix"] == digest[:8]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
                                k["loaded"])
            row, = [line.split() for line in out.splitlines()
                    if line.startswith(name)]
            assert row[:5] == [name, "keys", source, k["digest_prefix"],
                               k["loaded"]]
            assert key not in out


def test_show_keys_without_any(node):
    assert ctl_json(node, "show", "keys") == []
    assert len(text(node, "show", "keys").splitlines()) == 1


def test_show_config(lab):
    with started(lab, auth_mode="api_key", auth_keys=f"alice:{ALICE}",
                 allowed_origins=["https://a.example", "http://b.example:*"],
                 env={"LTP_NODE_MAX_SESSIONS": "77"},
                 args=["-D", "max_connections=55"]) as node:
        c = config(node)
        where = str(node.conf)
        assert c["max_sessions"]["value"] == 77
        assert "LTP_NODE_MAX_SESSIONS" in c["max_sessions"]["origin"]
        assert c["max_connections"]["value"] == 55
        assert c["max_connections"]["origin"] == "-D"
        assert c["id"]["value"] == "node-a"
        assert re.fullmatch(rf"{where}:\d+", c["id"]["origin"])
        assert c["idle_ttl_ms"] == {"name": "idle_ttl_ms", "value": 60000,
                                    "origin": "default"}
        assert c["trust_proxy"]["value"] is False
        assert c["control_group"]["value"] is None
        assert c["allowed_origins"]["value"] == ["https://a.example",
                                                 "http://b.example:*"]
        assert c["auth_keys"]["value"] == "<set>"
        assert c["auth_jwt_secret"]["value"] is None
        out = text(node, "show", "config")
        assert ALICE not in out
        assert [line.split(" = ")[0] for line in out.splitlines()] == list(c)
        assert 'id = "node-a"' in out and "auth_keys = <set>" in out


# ---- log ----

def test_log_verbose_and_brief(lab):
    with started(lab, workers=2) as node:
        def debug_lines_of_visitors():
            before = len(node.log_lines("closed"))
            mark = len(node.log())
            wires = [enter(node) for _ in range(2)]
            while wires:
                wires.pop().drop()
            wait_for(lambda: len(node.log_lines("closed")) == before + 2,
                     "both have gone")
            return re.findall(" debug (worker.*?) ", node.log()[mark:])

        assert not debug_lines_of_visitors()
        assert ctl_json(node, "log", "verbose") == {"ok": True}
        assert set(debug_lines_of_visitors()) == {"worker[0]", "worker[1]"}
        assert summary(node)["log_level"] == "debug"
        # Who comes later hears of it as well.
        ops.kill_child(node, "worker", 0)
        assert "worker[0]" in debug_lines_of_visitors()
        text(node, "log", "brief")
        assert not debug_lines_of_visitors()
        assert summary(node)["log_level"] == "info"


# ---- disconnect ----

@pytest.mark.parametrize("form", ["text", "json"])
def test_disconnect_by_connection(lab, form):
    with started(lab, workers=2) as node:
        wires = {f"c{i}": enter(node, f"c{i}") for i in range(4)}
        rows = {s["client_id"]: s for s in sessions(node)}
        number = str(rows["c2"]["connection"])
        if form == "text":
            text(node, "disconnect", number)
        else:
            assert ctl_json(node, "disconnect", number) == {"ok": True}
        wire = wires.pop("c2")
        wire.expect_close(*OPERATOR)
        for client_id, other in wires.items():
            beat(other, 1, client_id)
        assert {s["client_id"] for s in sessions(node)} == wires.keys()
        assert summary(node)["sessions"]["current"] == 3
        assert "no such session" in failed(node, "disconnect", number)
        wire.drop()
        ops.wait_for_log(node, f"client {number}: closed .* client_id=c2 "
                               f'.*code=1008 reason="{OPERATOR[1]}"')


def test_disconnect_by_session_id(lab):
    with started(lab, workers=2) as node:
        wires = [node.connect() for _ in range(4)]
        acks = [json.loads(w.ask({"type": "hello", "api_key": "k"}))
                for w in wires]
        text(node, "disconnect", acks[1]["session_id"])
        wires[1].expect_close(*OPERATOR)
        assert {s["session_id"] for s in sessions(node)} == {
            ack["session_id"] for i, ack in enumerate(acks) if i != 1}


@pytest.mark.parametrize("session", [
    "0", "1", "-1", "999999999999999999999", "c", "node-a", "x" * 256,
    "x" * 257, "", "%n%s", "00000000-0000-4000-8000-000000000000",
])
def test_disconnect_of_nobody(shared, session):
    assert "no such session" in failed(shared, "disconnect", "--", session)
    assert "no such session" in failed_json(shared, "disconnect", "--",
                                            session)["error"]


def test_a_connection_without_a_session_is_not_a_session(node):
    first = enter(node)
    number = sessions(node)[0]["connection"]
    second = node.connect()
    second.pong()
    failed(node, "disconnect", str(number + 1))
    second.pong()
    beat(first)


# ---- ping ----

def url(node, path=""):
    return "ws://%s:%d" % node.address + path


@pytest.mark.parametrize("how", [
    lambda n: [], lambda n: [url(n)], lambda n: [url(n, "/")],
    lambda n: [url(n, "/ltp/v0?x=y")],
], ids=["of_the_node", "URL", "slash", "path"])
def test_ping(node, how):
    out = text(node, "ping", "-i", "10", *how(node))
    assert len(re.findall(r"time=\d+\.\d+ ms", out)) == 3
    assert "node-a" in out and "neutral" in out
    assert "3 heartbeats sent, 3 answered, 0% lost" in out

    answer = ctl_json(node, "ping", "-i", "10", "-c", "5", *how(node))
    assert answer["ok"] is True
    assert (answer["sent"], answer["received"]) == (5, 5)
    assert answer["url"].startswith(url(node))
    assert answer["node_id"] == "node-a"
    assert answer["suggested_sector"] == "neutral"
    rtt = answer["rtt_ms"]
    assert 0 < rtt["min"] <= rtt["avg"] <= rtt["max"] < 1000 * TIMEOUT


def test_ping_is_a_client_as_others_are(node):
    text(node, "ping", "-i", "10", "-c", "5")
    node.samples_are({'ltp_msgs_total{type="heartbeat"}': 5,
                      'ltp_msgs_total{type="hello"}': 1,
                      'ltp_msgs_total{type="route_request"}': 1,
                      "ltp_ws_connections_current": 0})


def test_ping_at_the_pace_of_the_limit(lab):
    """Without options it stays below what a node allows by default."""
    with started(lab, rate_limit_rps=10, rate_limit_burst=1) as node:
        node.configure(rate_limit_burst=20)
        text(node, "reload")
        assert ctl_json(node, "ping", "-c", "10")["received"] == 10


def test_ping_with_a_key(shared):
    path = str(shared.file("key", ALICE + "\n"))
    for form in ([], [url(shared)]):
        assert "3 answered" in text(shared, "ping", "-i", "10", "--key-file",
                                    path, *form)
    answer = ctl_json(shared, "ping", "-i", "10", "--key-file", path)
    assert answer["client_id"] == "alice"


@pytest.mark.parametrize("content, mode, said", [
    ("wrong", 0o600, "401 invalid api key"),
    (ALICE, 0o644, "0644"),
    ("", 0o600, "empty"),
    (ALICE + " " + BOB, 0o600, "printable"),
    ("\x00" + ALICE, 0o600, "text"),
    ("x" * 5000, 0o600, "long"),
], ids=["wrong", "mode", "empty", "blank", "NUL", "long"])
def test_ping_with_a_bad_key_file(shared, content, mode, said):
    path = str(shared.file("key", content, mode))
    out = failed(shared, "ping", "--key-file", path)
    assert said in out and ALICE not in out
    answer = failed_json(shared, "ping", "--key-file", path)
    assert said in answer["error"]
    assert (answer["sent"], answer["received"]) == (0, 0)


def test_ping_without_a_key(shared):
    assert "401 missing api key" in failed(shared, "ping")
    for path in ("/nowhere/key", "/"):
        assert path in failed(shared, "ping", "--key-file", path)


@pytest.mark.parametrize("address", [
    "http://127.0.0.1:7070", "127.0.0.1:7070", "ws://", "ws://127.0.0.1:0",
    "ws://127.0.0.1:99999", "ws://127.0.0.1:x", "ftp://x", "", "ws://[::1",
    "ws://127.0.0.1:7070/\r\nX: y", "ws://nowhere.invalid:7070",
])
def test_ping_of_a_bad_address(shared, address):
    failed(shared, "ping", address)
    failed_json(shared, "ping", address)


def test_ping_of_nobody(lab):
    with ops.prepared(lab) as node:
        assert "refused" in failed(node, "ping", url(node)).lower()


def test_ping_of_something_else(shared):
    failed(shared, "ping", "ws://%s:%d" % shared.metrics_address)


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.1 200 OK\r\n\r\n", b"nonsense\r\n\r\n", b"\0" * 5000,
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
    b"x" * 100000,
], ids=["nothing", "200", "nonsense", "NUL", "wrong_accept", "endless"])
def test_ping_of_a_liar(lab, answer):
    def lie():
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(answer)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
    with ops.prepared(lab) as node, \
            socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        liar = threading.Thread(target=lie)
        liar.start()
        failed(node, "ping", "ws://%s:%d" % listener.getsockname())
        liar.join(TIMEOUT)


def test_ping_of_a_full_node(lab):
    with started(lab, max_connections=1) as node:
        wire = enter(node)
        assert "503" in failed(node, "ping")
        beat(wire)


def test_ping_that_is_interrupted_tells_what_it_has_seen(node):
    with subprocess.Popen(
            node.stage.command("ltpctl/ltpctl", "-s", str(node.control),
                               "ping", "-c", "1000", "-i", "20"),
            stdout=subprocess.PIPE, text=True) as ping:
        wait_for(lambda: sessions(node) and
                 sessions(node)[0]["messages_in"] > 3, "it has begun")
        ping.send_signal(signal.SIGINT)
        out, _ = ping.communicate(timeout=TIMEOUT)
        assert ping.returncode == 0
        assert " 0% lost" in out


# ---- top ----

def test_top_on_a_pipe(shared):
    out = text(shared, "top", "-n", "2", "-i", "100")
    assert out.count("node-a ") == out.count("PROCESS ") == 2
    assert "\x1b" not in out
    for name in ("worker[0]", "worker[1]", "metrics", "auth"):
        assert out.count(f"\n{name} ") == 2


def test_top_in_json(node):
    with ops.Herd(node, 2) as herd:
        herd.turns()
        # Workers report once a second.
        r = node.ctl("-j", "top", "-n", "2", "-i", "1100")
    assert (r.returncode, r.stderr) == (0, "")
    frames = [json.loads(line) for line in r.stdout.splitlines()]
    assert len(frames) == 2
    for f in frames:
        assert f["node_id"] == "node-a"
        assert 1000 < f["interval_ms"] < 1000 * TIMEOUT
        assert (f["connections"], f["sessions"], f["workers"]) == (2, 2, 1)
        assert f["per_second"]["messages"]["heartbeat"] > 0
        assert f["per_second"]["bytes_in"] > f["per_second"]["replies"]
        assert [p["process"] for p in f["processes"]] == ["ltpd", "worker",
                                                          "metrics"]
        for p in f["processes"]:
            assert 0 <= p["cpu_percent"] < 150
            assert p["resident_bytes"] > 1 << 20


def test_top_on_a_terminal(shared):
    master, slave = pty.openpty()
    with subprocess.Popen(
            shared.stage.command("ltpctl/ltpctl", "-s", str(shared.control),
                                 "top", "-i", "50"),
            stdin=slave, stdout=slave, stderr=slave, env={"TERM": "xterm"},
            start_new_session=True) as top:
        os.close(slave)
        seen = b""
        while seen.count(b"PROCESS") < 2:
            seen += os.read(master, 65536)
        os.write(master, b"q")
        with contextlib.suppress(OSError):
            while data := os.read(master, 65536):
                seen += data
        assert top.wait(TIMEOUT) == 0
    os.close(master)
    assert b"worker[1]" in seen
    # What was on the screen before comes back, and the cursor.
    assert seen.rstrip().endswith(b"\x1b[?25h\x1b[?1049l")


def test_top_ends_with_the_node(lab):
    with started(lab) as node:
        with subprocess.Popen(
                node.stage.command("ltpctl/ltpctl", "-s", str(node.control),
                                   "top", "-i", "50"),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE) as top:
            assert top.stdout.readline()
            node.proc.send_signal(signal.SIGTERM)
            node.expect_exit()
            _, err = top.communicate(timeout=TIMEOUT)
            assert top.returncode == 1 and err.startswith(b"ltpctl: ")


# ---- words ----

USAGE = [
    [], ["nonsense"], ["show"], ["show", "nonsense"], ["show", "s"], ["s"],
    ["show", "summary", "more"], ["reload", "now"], ["log"], ["log", "loud"],
    ["disconnect"], ["disconnect", "1", "2"], ["stop", "it"],
    ["ping", "ws://a", "ws://b"], ["ping", "-c", "0"], ["ping", "-c", "x"],
    ["ping", "-c"], ["ping", "-i", "-1"], ["ping", "--key-file"],
    ["top", "-n", "0"], ["top", "-c", "1"], ["-x"], ["--nonsense"],
    ["show", "summary", "-n", "1"], ["-s"],
]


@pytest.mark.parametrize("args", USAGE, ids=" ".join)
def test_usage(shared, args):
    r = shared.ctl(*args)
    assert (r.returncode, r.stdout) == (2, ""), r
    assert r.stderr.startswith("ltpctl: ") and "usage: ltpctl" in r.stderr
    r = shared.ctl("-j", *args)
    assert (r.returncode, r.stderr) == (2, ""), r
    answer = json.loads(r.stdout)
    assert answer["ok"] is False and answer["error"]


def test_words_may_be_abbreviated(shared):
    assert json.loads(text(shared, "-j", "sh", "sum"))["node_id"] == "node-a"
    assert text(shared, "show", "conf") == text(shared, "show", "config")


def test_options_may_stand_anywhere(shared):
    assert json.loads(text(shared, "show", "summary", "-j"))["node_id"] == \
        "node-a"


def test_help(shared):
    out = text(shared, "help")
    lines = [h["synopsis"] for h in ctl_json(shared, "help")]
    for verb in ("show summary", "show processes", "show sessions",
                 "show keys", "show config", "reload", "log verbose",
                 "log brief", "disconnect", "stop", "ping", "top"):
        assert verb in out
        assert any(line.startswith(verb) for line in lines)


def test_the_socket_of_the_environment(shared):
    r = subprocess.run(
        shared.stage.command("ltpctl/ltpctl", "-j", "show", "summary"),
        env=shared.env | {"LTPD_CONTROL_SOCKET": str(shared.control)},
        capture_output=True, text=True, timeout=TIMEOUT)
    assert json.loads(r.stdout)["pid"] == shared.proc.pid


def test_an_answer_that_cannot_be_written_is_no_success(shared):
    with open("/dev/full", "wb") as full:
        for args in (["show", "config"], ["-j", "show", "summary"],
                     ["-j", "help"]):
            r = subprocess.run(
                shared.stage.command("ltpctl/ltpctl", "-s",
                                     str(shared.control), *args),
                stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT)
            assert r.returncode == 1 and r.stderr, args


CONTROL = [["show", "summary"], ["show", "processes"], ["show", "sessions"],
           ["show", "keys"], ["show", "config"], ["reload"],
           ["log", "verbose"], ["log", "brief"], ["disconnect", "1"],
           ["stop"], ["top"]]


@pytest.mark.parametrize("args", CONTROL, ids=" ".join)
def test_no_node(lab, args):
    with ops.prepared(lab) as node:
        for path in (node.control, node.conf):
            node.control = path
            said = failed(node, *args)
            assert str(path) in said
            assert str(path) in failed_json(node, *args)["error"]
        assert "refused" in said


def test_no_node_behind_a_stale_socket(lab):
    with ops.prepared(lab) as node:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
            stale.bind(str(node.control))
        node.stage.own(node.control, 0o600)
        said = failed(node, "show", "summary")
        assert str(node.control) in said and "running" in said


# ---- who may ----

def test_the_socket_and_its_directory(lab):
    with ops.prepared(lab) as node:
        node.control = node.dir / "run" / "ltpd.sock"
        node.start()
        st, parent = node.control.stat(), node.control.parent.stat()
        assert stat.S_ISSOCK(st.st_mode)
        assert stat.S_IMODE(st.st_mode) == 0o660
        assert st.st_uid == parent.st_uid == node.stage.uid
        assert stat.S_IMODE(parent.st_mode) & 0o022 == 0
        node.stop()
        assert not node.control.exists()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_directory_that_others_can_write_to_is_refused(lab, mode):
    with ops.prepared(lab, errors="control_socket") as node:
        directory = node.dir / "open"
        directory.mkdir()
        node.stage.own(directory, mode)
        node.configure(control_socket=str(directory / "ltpd.sock"))
        node.launch()
        node.expect_exit(1)
        assert node.log_lines(f" error .*control_socket: {directory}")


@needs_root
def test_root_may(shared):
    r = ops.ctl_as(shared, 0, 0, "-j", "show", "summary")
    assert json.loads(r.stdout)["pid"] == shared.proc.pid


@needs_root
@pytest.mark.parametrize("open_to_all", [False, True])
def test_strangers_may_not(node, open_to_all):
    """Neither does the mode let them in, nor would ltpd itself."""
    if open_to_all:
        node.control.chmod(0o666)
    for args in (["show", "summary"], ["stop"]):
        r = ops.ctl_as(node, STRANGER, STRANGER, *args)
        assert (r.returncode, r.stdout) == (1, "")
        assert "refused" if open_to_all else "denied" in r.stderr
    refused = node.log_lines(f" warn .*control: uid {STRANGER} refused")
    assert len(refused) == (2 if open_to_all else 0)
    assert summary(node)["pid"] == node.proc.pid


@needs_root
def test_members_of_control_group_may(lab):
    name, gid = "games", 60
    with ops.prepared(lab, control_group=name) as node:
        command = node.command
        node.command = lambda *args: [
            f"--groups={gid}" if word == "--clear-groups" else word
            for word in command(*args)]
        node.start()
        assert node.control.stat().st_gid == gid
        r = ops.ctl_as(node, STRANGER, gid, "-j", "show", "summary")
        assert json.loads(r.stdout)["pid"] == node.proc.pid
        assert ops.ctl_as(node, STRANGER, STRANGER, "show",
                          "summary").returncode == 1
        node.control.chmod(0o666)
        r = ops.ctl_as(node, STRANGER, STRANGER, "show", "summary")
        assert r.returncode == 1 and "refused" in r.stderr
        node.stop()


def test_an_unknown_control_group_stops_the_start(lab):
    with ops.prepared(lab, control_group="no-such-group",
                      errors="control_group") as node:
        node.launch()
        node.expect_exit(1)
        assert node.log_lines(" error .*control_group.*no-such-group")


# ---- many sessions, and operators who behave badly ----

@pytest.fixture(scope="module")
def crowded(lab):
    """A node with two thousand sessions."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with started(lab, workers=2, idle_ttl_ms=600000) as node:
        crowd = [enter(node, f"s{i}") for i in range(CROWD)]
        # Out of the way of the fixture that ends every test's connections.
        node.wires.clear()
        yield node
        for wire in crowd:
            wire.drop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def prompt(node, meanwhile):
    """
    Heartbeats are answered promptly while something is done; once in so many
    attempts, for it is not the machine that is tested.
    """
    slowest = []
    for _ in range(ATTEMPTS):
        with ops.Herd(node, 4) as herd:
            herd.turns()
            herd.slowest = 0.0
            meanwhile()
            herd.turns()
        node.drop_wires()
        slowest.append(herd.slowest)
        if herd.slowest < PROMPT:
            return
    raise AssertionError(f"heartbeats took {slowest} s")


def answered(node):
    """Other operators and new clients are served."""
    begin = time.monotonic()
    assert summary(node)["workers"]["ready"] == 2
    assert len(processes(node)) == 4
    assert ops.let_in(node)
    assert time.monotonic() - begin < 1


def unharmed(node, before):
    """Nothing is left of it."""
    def same():
        now = process(node, "ltpd")
        return (now["descriptors"] == before["descriptors"] and
                now["resident_bytes"] <= before["resident_bytes"] + (1 << 24))
    wait_for(same, "the supervisor is as it was")
    assert node.group() - {node.proc.pid} == node.children


def test_many_sessions_stream(crowded):
    outs = []
    prompt(crowded, lambda: outs.extend(
        crowded.ctl("-j", "show", "sessions") for _ in range(3)))
    for r in outs:
        assert (r.returncode, r.stderr) == (0, "")
        rows = json.loads(r.stdout)
        ids = [s["client_id"] for s in rows]
        assert len(set(ids)) == len(ids)
        assert set(ids) >= {f"s{i}" for i in range(CROWD)}
    assert len(text(crowded, "show", "sessions").splitlines()) == CROWD + 1


def test_one_of_many_is_disconnected(crowded):
    victim = enter(crowded, "victim")
    number, = [s["connection"] for s in sessions(crowded)
               if s["client_id"] == "victim"]
    text(crowded, "disconnect", str(number))
    victim.expect_close(*OPERATOR)


def test_a_listing_survives_the_death_of_a_worker(lab):
    with started(lab, workers=2) as node:
        wires = [enter(node, f"s{i}") for i in range(300)]
        os.kill(process(node, "worker", 0)["pid"], signal.SIGSTOP)
        with subprocess.Popen(
                node.stage.command("ltpctl/ltpctl", "-j", "-s",
                                   str(node.control), "show", "sessions"),
                stdout=subprocess.PIPE) as ctl:
            # It waits for worker 0, which has been asked first.
            pid = process(node, "worker", 0)["pid"]
            os.kill(pid, signal.SIGKILL)
            out, _ = ctl.communicate(timeout=TIMEOUT)
        assert ctl.returncode == 0
        assert {s["worker"] for s in json.loads(out)} == {1}
        ops.successor(node, "worker", 0, pid)
        node.settle()
        assert len(wires) == 300


def test_an_operator_who_does_not_read(crowded):
    """Neither ltpctl with a full pipe, nor one that does not read at all."""
    before = process(crowded, "ltpd")
    hello, show = ops.overheard(crowded, "show", "sessions")
    with subprocess.Popen(
            crowded.stage.command("ltpctl/ltpctl", "-s",
                                  str(crowded.control), "show", "sessions"),
            stdout=subprocess.PIPE) as stuck, \
            ops.operator(crowded) as rude:
        rude.send(hello)
        assert rude.recv(65536) == hello
        rude.send(show)
        assert stuck.stdout.readline()
        prompt(crowded, lambda: answered(crowded))
        assert len(sessions(crowded)) >= CROWD
        rows = stuck.stdout.read().splitlines()
        assert stuck.wait(TIMEOUT) == 0 and len(rows) >= CROWD
    unharmed(crowded, before)


def test_an_operator_who_floods(crowded):
    before = process(crowded, "ltpd")
    hello, show = ops.overheard(crowded, "show", "processes")

    def flood(sock):
        until = time.monotonic() + 1
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() < until:
                try:
                    sock.send(show)
                except BlockingIOError:
                    os.sched_yield()
    with ops.operator(crowded) as rude:
        rude.send(hello)
        assert rude.recv(65536) == hello
        rude.setblocking(False)
        thread = threading.Thread(target=flood, args=(rude,))
        thread.start()
        prompt(crowded, lambda: answered(crowded))
        thread.join(TIMEOUT)
    unharmed(crowded, before)


def nonsense(hello, show):
    kind, version = hello[:8], hello[8:]
    return {
        "nothing": b"",
        "one byte": b"\0",
        "no header": hello[:7],
        "short": hello[:-1],
        "long": hello + b"\0",
        "no such type": b"\xff\xff" + hello[2:],
        "type zero": b"\0\0" + hello[2:],
        "all ones": b"\xff" * 64,
        "text": b"GET / HTTP/1.1\r\n\r\n",
        "huge": b"x" * 60000,
        "another version": kind + bytes(b ^ 0xff for b in version),
        "no hello": show,
        "length that lies": hello[:4] + b"\xff\xff\xff\x7f" + version,
        "descriptors that are not there": hello[:2] + b"\x01\x00" +
        hello[4:],
    }


def gone(sock):
    """The node has closed it; what it said before does not matter."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def test_an_operator_who_talks_nonsense(node):
    before = process(node, "ltpd")
    hello, show = ops.overheard(node, "show", "config")
    for name, datagram in nonsense(hello, show).items():
        for greeted in (False, True):
            with ops.operator(node) as rude:
                if greeted:
                    rude.send(hello)
                    assert rude.recv(65536) == hello
                if not (greeted and name == "no hello"):
                    rude.send(datagram)
                    assert gone(rude), name
            assert summary(node)["pid"] == node.proc.pid
    now = process(node, "ltpd")
    assert now["descriptors"] == before["descriptors"]
    assert ops.let_in(node)


def test_an_operator_of_another_version_is_told_ours(node):
    hello, _ = ops.overheard(node, "show", "config")
    with ops.operator(node) as other:
        other.send(hello[:8] + b"\x63\0\0\0")
        assert other.recv(65536) == hello
        assert gone(other)


def test_descriptors_of_an_operator_are_not_kept(node):
    before = process(node, "ltpd")
    hello, _ = ops.overheard(node, "show", "config")
    with open("/dev/null", "rb") as null:
        for count in (1, 64, 253):
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS,
                      array.array("i", count * [null.fileno()]))
            with ops.operator(node) as rude:
                rude.sendmsg([hello], [rights])
                assert gone(rude)
    assert process(node, "ltpd")["descriptors"] == before["descriptors"]


def test_an_operator_who_asks_before_being_answered(crowded):
    """One at a time: whoever does not wait has lost."""
    hello, show = ops.overheard(crowded, "show", "sessions")
    with ops.operator(crowded) as rude:
        rude.send(hello)
        assert rude.recv(65536) == hello
        rude.send(show)
        with contextlib.suppress(ConnectionError):
            rude.send(show)
        assert gone(rude)
    answered(crowded)


def test_a_hundred_operators_who_say_nothing(crowded):
    """They may take all places, but not for long."""
    before = process(crowded, "ltpd")
    silent = [ops.operator(crowded) for _ in range(100)]
    try:
        assert ops.let_in(crowded)
        wait_for(lambda: crowded.ctl("show", "summary").returncode == 0,
                 "another operator is served")
        prompt(crowded, lambda: answered(crowded))
    finally:
        for sock in silent:
            sock.close()
    unharmed(crowded, before)


def test_a_hundred_operators_one_after_the_other(crowded):
    before = process(crowded, "ltpd")
    for _ in range(100):
        ops.operator(crowded).close()
    answered(crowded)
    unharmed(crowded, before)


def test_operators_do_not_wait_for_each_other(crowded):
    command = crowded.stage.command("ltpctl/ltpctl", "-j", "-s",
                                    str(crowded.control), "show", "sessions")
    many = [subprocess.Popen(command, stdout=subprocess.PIPE)
            for _ in range(8)]
    for p in many:
        out, _ = p.communicate(timeout=2 * TIMEOUT)
        assert p.returncode == 0 and len(json.loads(out)) >= CROWD


def test_the_end_of_metrics_is_no_answer_of_worker_0(node):
    """Both are number 0 of their kind; who is asked is the worker alone."""
    worker = ops.process(node, "worker", 0)["pid"]
    os.kill(worker, signal.SIGSTOP)
    try:
        with subprocess.Popen(
                node.stage.command("ltpctl/ltpctl", "-s", str(node.control),
                                   "disconnect", "12345678"),
                stderr=subprocess.PIPE, text=True) as asking:
            # By the second time the question has been put for long.
            for _ in range(2):
                metrics = ops.process(node, "metrics")["pid"]
                ops.slay(metrics)
                ops.successor(node, "metrics", 0, metrics)
            assert asking.poll() is None, "nobody has answered yet"
            os.kill(worker, signal.SIGCONT)
            assert "no such session" in asking.communicate(
                timeout=TIMEOUT)[1]
    finally:
        os.kill(worker, signal.SIGCONT)
    assert ops.process(node, "worker", 0)["pid"] == worker
    node.settle()
