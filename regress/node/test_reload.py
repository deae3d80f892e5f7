"""Reload: nobody is lost by it, and nothing changes unless all is well."""

import os
import re
import signal
import subprocess

import pytest

import ops
from node import PING, TIMEOUT, frame, text, wait_for
from ops import beat, ctl_json, enter, process, processes, started

ALICE, BOB, CAROL = "alice-key-0001", "bob-key-0002", "carol-key-0003"
KEYS = {"alice": ALICE, "bob": BOB}
REFUSED = (401, "invalid api key")
CLOSED = (401, "authentication is not available")
HERD = 50
RELOADS = 100
BASELINE = 10           # reloads after which memory has settled
TOLERANCE = 512 * 1024  # bytes of memory
ACK = 2                 # seconds that a child has to acknowledge


@pytest.fixture
def node(lab):
    with started(lab) as node:
        yield node


def done(node):
    return len(node.log_lines(" ltpd reload: done"))


def hup(node):
    """SIGHUP, and wait until it is done."""
    before = done(node)
    node.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: done(node) > before, "the reload is done", TIMEOUT,
             0.002)


def ctl_reload(node):
    r = node.ctl("reload")
    assert r.returncode == 0, r


def refused_reload(node):
    """A reload that must fail; the text of ltpctl."""
    r = node.ctl("reload")
    assert (r.returncode, r.stdout) == (1, ""), r
    assert r.stderr.startswith("ltpctl: ") and r.stderr.count("\n") == 1
    return r.stderr


def test_a_relative_file_is_shown_whole(lab):
    """Who reads it after ltpd, such as doctor, is in another directory."""
    with ops.prepared(lab) as node:
        node.args = ("-f", os.path.relpath(node.conf, "/"))
        node.start()
        assert str(node.conf) in str(ops.config(node)["addr"])
        node.stop()


# ---- nobody is lost ----

def resources(node):
    return {(p["process"], p["slot"]): (p["pid"], p["descriptors"],
                                        p["resident_bytes"])
            for p in processes(node)}


@pytest.mark.parametrize("reload", [hup, ctl_reload], ids=["HUP", "ltpctl"])
def test_a_hundred_reloads_under_load(lab, reload):
    keys = {f"id-{i}": f"key-of-{i}-{i * i}" for i in range(HERD)}
    with started(lab, keys, workers=2) as node, \
            ops.Herd(node, HERD, keys=keys) as herd:
        for _ in range(BASELINE):
            reload(node)
        herd.turns()
        before = resources(node)
        for _ in range(RELOADS):
            reload(node)
            herd.check()
        herd.turns()
        after = resources(node)

        assert done(node) == BASELINE + RELOADS
        shown = ops.summary(node)
        assert shown["sessions"]["current"] == HERD
        assert shown["connections"]["current"] == HERD
        assert shown["counters"]["ltp_connections_total"] == HERD
        for who in before:
            (pid, fds, memory), now = before[who], after[who]
            assert now[:2] == (pid, fds), who
            assert now[2] <= memory + TOLERANCE, who


def test_reloads_are_counted(node):
    hup(node)
    ctl_reload(node)
    node.file("ltpd.conf", "nonsense\n")
    refused_reload(node)
    counters = ops.summary(node)["counters"]
    assert counters["ltp_reloads_total"] == 2
    assert counters["ltp_reload_failures_total"] == 1
    node.metrics_are(ltp_reloads_total=2, ltp_reload_failures_total=1)


def test_a_reload_does_not_disturb_what_has_begun(node):
    """A message whose first half came before the reload."""
    wire = enter(node)
    beat_text = text('{"type":"heartbeat","client_id":"c","timestamp_ms":7}')
    silent, asking = node.wire(), node.wire()
    asking.send(ops.harness.request()[:40])
    wire.send(beat_text[:20])
    node.barrier()
    ctl_reload(node)
    wire.send(beat_text[20:])
    wire.expect({"type": "heartbeat_ack", "client_id": "c",
                 "timestamp_ms": 7})
    asking.send(ops.harness.request()[40:])
    asking.accepted()
    silent.upgrade()


# ---- a broken file ----

BROKEN = [
    ("unknown keyword", "nonsense = 1", "nonsense"),
    ("no value", "max_sessions", "keyword"),
    ("bad value", "max_sessions = -1", "max_sessions"),
    ("out of range", "rate_limit_rps = 99999999", "rate_limit_rps"),
    ("not this kind", 'max_sessions = "many"', "max_sessions"),
    ("open array", 'allowed_origins = ["*"', "allowed_origins"),
    ("unknown table", "[nowhere]", "nowhere"),
    ("not built", "[broker]\nenabled = true", "broker"),
]


@pytest.mark.parametrize("line, name", [row[1:] for row in BROKEN],
                         ids=[row[0].replace(" ", "_") for row in BROKEN])
def test_a_broken_file_changes_nothing(node, line, name):
    wire = enter(node)
    before = ops.config(node)
    good = node.conf.read_text()
    # What is before the error would be a change, too.
    broken = "max_connections = 77\n" + good + line + "\n"
    where = rf"{node.conf}:{broken.count(chr(10))}: .*{name}"
    node.file("ltpd.conf", broken)

    assert re.search(where, refused_reload(node))
    assert len(node.log_lines(f" (warn|error) .*reload.*{where}")) == 1
    assert ops.config(node) == before
    beat(wire)
    beat(enter(node, "new"), 1, "new")

    node.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: len(node.log_lines(where)) == 2, "the second message")
    assert not node.log_lines("reload: done")
    assert ops.config(node) == before

    node.file("ltpd.conf", good.replace("workers", "max_sessions = 5\nworkers",
                                        1))
    ctl_reload(node)
    assert ops.config(node)["max_sessions"]["value"] == 5
    beat(wire, 2)


def test_a_file_may_move_only_where_the_start_has_been(lab):
    """The supervisor's sandbox knows the directories of the start."""
    with started(lab, KEYS) as node:
        elsewhere = node.dir / "elsewhere"
        elsewhere.mkdir()
        lab.stage.own(elsewhere, 0o755)
        node.keys({"carol": CAROL}, "elsewhere/keys.json")
        node.configure(auth_keys_file=str(elsewhere / "keys.json"))
        why = (f"auth_keys_file: {elsewhere}/keys.json is in a directory that "
               "was not in use at the start: it takes a restart")
        assert why in refused_reload(node)
        assert enter(node, key=ALICE)

        node.configure(auth_keys_file=node.keys({"carol": CAROL}, "new.json"))
        ctl_reload(node)
        assert enter(node, key=CAROL)


def test_a_broken_file_in_json(node):
    node.file("ltpd.conf", "id = 5\n")
    r = node.ctl("-j", "reload")
    assert (r.returncode, r.stderr) == (1, "")
    answer = ops.json.loads(r.stdout)
    assert answer.keys() == {"ok", "error"} and answer["ok"] is False
    assert f"{node.conf}:1: id" in answer["error"]


def test_a_missing_file_changes_nothing(node):
    wire = enter(node)
    node.conf.rename(node.dir / "elsewhere")
    said = refused_reload(node)
    assert str(node.conf) in said and "No such file" in said
    beat(wire)
    (node.dir / "elsewhere").rename(node.conf)
    ctl_reload(node)


# ---- what changes ----

def reconfigured(node, **settings):
    node.configure(**settings)
    ctl_reload(node)


def test_a_smaller_message_limit_holds_at_once(node):
    wire = enter(node)
    padding = "x" * 2000
    wire.say(ops.hello() | {"padding": padding})
    wire.expect(ops.HELLO_ACK)
    reconfigured(node, max_message_bytes=1000)
    wire.say(ops.hello() | {"padding": padding})
    wire.expect_close(1009, "message too large")


def test_a_larger_message_limit_holds_at_once(lab):
    with started(lab, max_message_bytes=1000) as node:
        wire = enter(node)
        reconfigured(node, max_message_bytes=3000)
        wire.say(ops.hello() | {"padding": "x" * 2000})
        wire.expect(ops.HELLO_ACK)


def test_a_rate_limit_holds_at_once(node):
    wire = enter(node)
    for n in range(50):
        beat(wire, n)
    reconfigured(node, rate_limit_rps=1, rate_limit_burst=2)
    for n in range(3):
        wire.say({"type": "heartbeat", "client_id": "c", "timestamp_ms": n})
    beats = [wire.recv_frame() for _ in range(2)]
    assert all(b"heartbeat_ack" in f.payload for f in beats)
    wire.expect_close(1008, "rate limit exceeded")


def test_a_control_frame_limit_holds_at_once(node):
    wire = enter(node)
    reconfigured(node, control_limit_rps=1)
    wire.send(frame(PING) * 3)
    assert [wire.recv_frame().opcode for _ in range(2)] == [0xa, 0xa]
    wire.expect_close(1008, "rate limit exceeded")


def test_an_idle_limit_holds_at_once(node):
    wire = enter(node)
    reconfigured(node, idle_ttl_ms=100, gc_interval_ms=50)
    wire.expect_close(1001, "idle timeout")


def test_a_session_limit_holds_at_once(node):
    wire = enter(node)
    reconfigured(node, max_sessions=1)
    other = node.connect()
    other.say(ops.hello("d"))
    other.expect({"type": "error", "message": "session limit reached"})
    reconfigured(node, max_sessions=2)
    other.say(ops.hello("d"))
    other.expect(ops.HELLO_ACK)
    beat(wire)


def test_a_connection_limit_holds_at_once(node):
    first, second = enter(node, "a"), enter(node, "b")
    reconfigured(node, max_connections=1)
    with node.wire() as third:
        assert third.response().status == 503
    beat(first, 1, "a")
    beat(second, 1, "b")
    reconfigured(node, max_connections=3)
    wait_for(lambda: ops.let_in(node), "there is room again")


def test_origins_hold_at_once(node):
    origin = [("Origin", "https://hud.example.org")]
    with node.wire() as wire:
        wire.send(ops.harness.request(origin))
        wire.refused(403)
    reconfigured(node, allowed_origins=["https://hud.example.org"])
    node.connect(origin)
    reconfigured(node, allowed_origins=[])
    with node.wire() as wire:
        wire.send(ops.harness.request(origin))
        wire.refused(403)


def test_the_log_level_holds_at_once(node):
    enter(node).drop()
    assert not node.log_lines(" debug ")
    reconfigured(node, log_level="debug")
    enter(node).drop()
    ops.wait_for_log(node, " debug worker")
    reconfigured(node, log_level="info")
    assert ops.summary(node)["log_level"] == "info"


RESTART_ONLY = {
    "id": ("node-b", "node-a"),
    "workers": (3, 1),
    "auth_mode": ("api_key", "none"),
    "metrics_addr": ("127.0.0.1:1", None),
    "addr": ("127.0.0.1:2", None),
    "control_socket": ("/nowhere/at/all", None),
}


def test_what_takes_a_restart_is_kept_and_said(node):
    wire = enter(node)
    before = ops.config(node)
    changes = {name: new for name, (new, _) in RESTART_ONLY.items()}
    changes["auth_keys"] = "alice:" + ALICE
    reconfigured(node, max_sessions=9, **changes)

    after = ops.config(node)
    assert after["max_sessions"]["value"] == 9
    for name, (_, old) in RESTART_ONLY.items():
        assert after[name]["value"] == before[name]["value"]
        assert old is None or after[name]["value"] == old
        assert len(node.log_lines(rf" warn .*\b{name}\b.* restart")) == 1
    assert not node.log_lines(" warn .*max_sessions")
    beat(wire)
    beat(enter(node, "new"), 1, "new")
    assert len(processes(node)) == 3


# ---- at most one at a time ----

def ltpctl_reload(node):
    return subprocess.Popen(
        node.stage.command("ltpctl/ltpctl", "-s", str(node.control),
                           "reload"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def begin_reload(node):
    """
    A reload that has begun for certain; what is read from the socket when it
    is over, and what that is when it went well.
    """
    hello, request = ops.overheard(node, "reload")
    with ops.operator(node) as sock:
        sock.send(hello)
        assert sock.recv(65536) == hello
        sock.send(request)
        good = sock.recv(65536)
    os.kill(process(node, "worker", 1)["pid"], signal.SIGSTOP)
    sock = ops.operator(node)
    sock.send(hello)
    assert sock.recv(65536) == hello
    sock.send(request)
    assert "in progress" in refused_reload(node)
    return sock, good


@pytest.mark.parametrize("stopped", [False, True])
def test_two_at_once_are_both_answered(lab, stopped):
    """One may be refused, none may wait for ever."""
    with started(lab, workers=2) as node:
        if stopped:
            os.kill(process(node, "worker", 1)["pid"], signal.SIGSTOP)
        both = [ltpctl_reload(node) for _ in range(2)]
        answers = [p.communicate(timeout=ACK + TIMEOUT) for p in both]
        states = sorted(p.returncode for p in both)
        assert states == [0, 1] or not stopped and states == [0, 0], answers
        for p, (_, err) in zip(both, answers):
            assert p.returncode == 0 or "in progress" in err
        node.settle()
        ctl_reload(node)


@pytest.fixture
def halted(lab):
    """Two workers, one of which does not hear that there is a reload."""
    with started(lab, workers=2) as node:
        victim = process(node, "worker", 1)["pid"]
        sock, good = begin_reload(node)
        with sock:
            yield node, victim, sock, good
        ops.successor(node, "worker", 1, victim)
        node.settle()
        ctl_reload(node)
        for i in range(4):
            beat(enter(node, f"c{i}"), 1, f"c{i}")


def test_who_does_not_acknowledge_is_replaced(halted):
    node, victim, sock, good = halted
    node.proc.send_signal(signal.SIGHUP)
    assert ops.summary(node)["workers"]["configured"] == 2
    assert sock.recv(65536) == good
    assert ops.successor(node, "worker", 1, victim)["restarts"] == 1
    assert node.log_lines(r" warn .*worker\[1\].*acknowledge")
    assert done(node) == 2


def test_clients_are_served_while_a_reload_waits(halted):
    node, _, sock, good = halted
    with ops.Herd(node, 0) as herd:
        herd.ids = ["a"]
        herd.wires = [enter(node, "a")]
        herd.turns()
        assert sock.recv(65536) == good
        herd.turns()


def test_a_worker_killed_during_a_reload_does_not_hold_it_up(halted):
    node, victim, sock, good = halted
    sock.settimeout(ACK / 2)
    os.kill(victim, signal.SIGKILL)
    assert sock.recv(65536) == good


def test_an_operator_who_leaves_does_not_stop_a_reload(halted):
    node, _, sock, _ = halted
    sock.close()
    wait_for(lambda: done(node) == 2, "the reload is done")


# ---- keys ----

def keys_shown(node):
    return {k["id"] for k in ctl_json(node, "show", "keys")}


def test_changed_keys_hold_after_a_reload(lab):
    with started(lab, KEYS) as node:
        bob = enter(node, "bob", BOB)
        node.keys({"bob": BOB, "carol": CAROL})
        ctl_reload(node)
        assert keys_shown(node) == {"bob", "carol"}
        assert ops.status_for(node, ALICE) == REFUSED
        beat(enter(node, "carol", CAROL), 1, "carol")
        beat(bob, 1, "bob")
        node.keys({"bob": ALICE})
        ctl_reload(node)
        assert ops.status_for(node, BOB) == REFUSED
        beat(enter(node, "bob", ALICE), 1, "bob")
        node.metrics_are(auth_keys_active=1, auth_failures_total=2)
        # Whoever watches the file may have taken it before.
        assert node.metrics()["auth_keys_reload_success_total"] >= 2


def test_changed_keys_hold_after_hup(lab):
    with started(lab, KEYS) as node:
        node.keys({"carol": CAROL})
        hup(node)
        assert ops.status_for(node, ALICE) == REFUSED
        beat(enter(node, "carol", CAROL), 1, "carol")


def test_keys_of_the_environment_outlive_a_reload(lab):
    """They were wiped after the start, and are in force all the same."""
    with started(lab, {"bob": BOB}, secrets=[ALICE],
                 env={"AUTH_KEYS": f"alice:{ALICE}"}) as node:
        for _ in range(2):
            beat(enter(node, "alice", ALICE), 1, "alice")
            beat(enter(node, "bob", BOB), 1, "bob")
            ctl_reload(node)
        assert keys_shown(node) == {"alice", "bob"}


BAD_KEYS = [
    ("no JSON", '{"alice": "alice-key-0001"', 0o600, "line 1"),
    ("no object", '["alice-key-0001"]', 0o600, "object"),
    ("empty key", '{"alice": ""}', 0o600, "alice"),
    ("two ids with one key",
     '{"alice": "alice-key-0001", "bob": "alice-key-0001"}', 0o600, "same"),
    ("mode", '{"alice": "alice-key-0001"}', 0o644, "0644"),
    ("missing", None, None, "No such file"),
]


@pytest.mark.parametrize("content, mode, said",
                         [row[1:] for row in BAD_KEYS],
                         ids=[row[0].replace(" ", "_") for row in BAD_KEYS])
@pytest.mark.parametrize("policy", ["closed", "keep"])
def test_a_broken_key_file(lab, policy, content, mode, said):
    """closed: nobody new is let in; keep: the last good keys are in force."""
    with started(lab, KEYS, reload_failure=policy, errors="keys") as node:
        bob = enter(node, "bob", BOB)
        if content is None:
            (node.dir / "keys.json").unlink()
        else:
            node.file("keys.json", content, mode)
        text = refused_reload(node)
        assert said in text and str(node.dir / "keys.json") in text
        assert ALICE not in text
        assert node.log_lines(f" error .*keys.json.*{said}")
        if policy == "closed":
            assert ops.status_for(node, BOB) == CLOSED
            assert ops.status_for(node, "wrong") == CLOSED
            assert keys_shown(node) == set()
        else:
            beat(enter(node, "alice", ALICE), 1, "alice")
            assert ops.status_for(node, "wrong") == REFUSED
            assert keys_shown(node) == {"alice", "bob"}
        beat(bob, 1, "bob")

        node.keys({"bob": BOB, "carol": CAROL})
        ctl_reload(node)
        beat(enter(node, "carol", CAROL), 1, "carol")
        assert ops.status_for(node, ALICE) == REFUSED
        beat(bob, 2, "bob")
        # Whoever watches the file may have seen it first, too.
        wait_for(lambda: node.metrics()["auth_keys_reload_failure_total"] > 0,
                 "the failure is counted")
        node.metrics_are(auth_keys_active=2)


def reason_of_503(node):
    status, _, body = node.get("/health")
    return ops.json.loads(body)["data"]["reason"] if status == 503 else ""


def test_health_tells_that_there_are_no_keys(lab):
    with started(lab, KEYS, errors="keys") as node:
        node.file("keys.json", "{")
        refused_reload(node)
        wait_for(lambda: "key" in reason_of_503(node), "health tells it")
        assert node.get("/livez")[0] == 200
        node.keys(KEYS)
        ctl_reload(node)
        wait_for(lambda: node.get("/health")[0] == 200, "health is good")
