"""The remote listener: tokens, agents, replay, and each of its codes."""

import contextlib
import json
import os
import re
import signal
import time

import pytest

import ops
import remote
from node import (PING, TEXT, Wire, basic, compact, fragments, frame, header,
                  mask, request, same, table, wait_for)
from ops import started
from remote import ack, alive, bearer, beat, error, greeted, hello

SHARED = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
ALICE = "alice:5a69788796a5b4c3"
ODDS = (("no token", None), ("another", "nonsense"),
        ("one that begins as it", SHARED[:-1]),
        ("one that is longer", SHARED + "0"),
        ("an id with another's secret", "alice:" + SHARED),
        ("an id before a token for all", "bob:" + SHARED))
REPLAYS = 16        # in a row, then it ends
COMPLAINTS = 10     # a second about the rate, then it ends


class Remote(remote.Remote):
    """Without TLS, on loopback, with a token for all."""

    def __init__(self, stage, *, distributed=None, **settings):
        super().__init__(stage, secrets=(SHARED,), distributed={
            "token": SHARED, **(distributed or {})}, **settings)


class Both(Remote):
    """Its clients come by the plain listener."""

    wire = ops.Ltpd.wire


REPLAY = error("replay_detected", "replay detected")
DENIED = error("auth_failed", "client_id is not the proven one")


def enter(node, client="c", token=SHARED, **how):
    """A session of this id, and its own."""
    w = node.connect(bearer(token), **how)
    w.say(hello(client_id=client))
    return w, greeted(w)


@contextlib.contextmanager
def two_tokens(lab):
    with started(lab, kind=Remote, workers=2,
                 distributed={"token": f"{SHARED},{ALICE}"}) as node:
        node.secrets.add(ALICE)
        yield node


@pytest.fixture(scope="module")
def node(lab):
    with two_tokens(lab) as node:
        yield node


@pytest.fixture
def fresh(lab):
    """One that has counted nothing yet."""
    with two_tokens(lab) as node:
        yield node


# ---- who it is ----

@pytest.mark.parametrize("where", ["bearer", "basic", "auth_token",
                                   "api_key", "session"])
def test_a_token_is_taken_wherever_clients_can_put_it(node, where):
    if where == "bearer":
        w = node.connect(bearer(ALICE))
        w.say(hello(client_id="alice"))
    elif where == "basic":
        w = node.connect([("Authorization", basic(ALICE))])
        w.say(hello(client_id="alice"))
    else:
        w = node.connect()
        w.say({"auth_token": hello(client_id="alice", auth_token=ALICE),
               "api_key": hello(client_id="alice", api_key=ALICE),
               "session": {"type": "hello", "api_key": ALICE}}[where])
    session = greeted(w)
    if where in ("session", "api_key"):
        w.say({"type": "heartbeat", "session_id": session, "seq": 1,
               "timestamp_ms": 5})
        w.expect({"type": "heartbeat_ack", "session_id": session,
                  "timestamp_ms": 5})
    else:
        alive(w, session, 1, "alice")


@pytest.mark.parametrize("token", table(*ODDS[1:]))
def test_a_wrong_token_is_refused_at_the_upgrade(fresh, token):
    w = fresh.wire()
    w.send(request(bearer(token)))
    assert w.refused(401).body == b"dist.auth_failed"
    fresh.errors_are("dist.auth_failed", 1)
    fresh.logged("dist.auth_failed", "upgrade refused")


@pytest.mark.parametrize("token", table(*ODDS))
@pytest.mark.parametrize("dialect", ["client", "session"])
def test_a_wrong_token_is_refused_in_a_hello(fresh, token, dialect):
    w = fresh.connect()
    if dialect == "client":
        w.say(hello() if token is None else hello(auth_token=token))
        name = None
    else:
        w.say({"type": "hello", "client_id": "c", "api_key": token or ""})
        name = "UNAUTHORIZED"
    reason = "token is missing" if token is None else "invalid token"
    w.expect(error("auth_failed", reason, name))
    w.expect_close(1008, reason)
    fresh.errors_are("dist.auth_failed", 1)


def test_a_right_token_does_not_rescue_a_wrong_one(node):
    w = node.connect(bearer(SHARED))
    w.say(hello(auth_token="nonsense"))
    w.expect(error("auth_failed", "invalid token"))
    w.expect_close(1008)


def test_a_message_before_the_token_is_refused(node):
    w = node.connect()
    w.say({"type": "heartbeat", "client_id": "c", "timestamp_ms": 5})
    w.expect(error("auth_failed", "token is missing"))
    w.expect_close(1008)


@pytest.mark.parametrize("late", [False, True])
def test_a_claimed_id_must_be_the_proven_one(node, late):
    w = node.connect(() if late else bearer(ALICE))
    w.say(hello(client_id="mallory", **({"auth_token": ALICE} if late
                                        else {})))
    w.expect(DENIED)
    w.expect_close(1008)


def test_a_claimed_id_may_not_change_later(node):
    w, session = enter(node)
    w.say(beat(session, 1, "d"))
    w.expect(error("auth_failed", "client_id is not the session's"))
    w.expect_close(1008)


def test_replies_carry_the_proven_id(node):
    w = node.connect(bearer(ALICE))
    w.say(hello(client_id="ALICE"))
    w.say(beat(greeted(w), 1, "Alice"))
    w.expect(ack("alice"))


def test_a_token_without_an_id_needs_a_claimed_one(node):
    w = node.connect()
    w.say({"type": "hello", "api_key": SHARED})
    w.expect(error("auth_failed", "client_id is missing", "UNAUTHORIZED"))
    w.expect_close(1008)


def test_one_token_serves_many_agents(node):
    wires = [enter(node, f"agent-{n}") for n in range(40)]
    for n, (w, session) in enumerate(wires):
        alive(w, session, 1, f"agent-{n}")
    assert len({session for _, session in wires}) == 40


def test_only_those_on_the_list_come_in(lab):
    with started(lab, kind=Remote, distributed={
            "token": f"{SHARED},{ALICE}",
            "allow_agent_ids": ["agent-a"]}) as node:
        node.secrets.add(ALICE)
        w, session = enter(node, "Agent-A")
        alive(w, session, 1, "Agent-A")
        w = node.connect(bearer(SHARED))
        w.say(hello(client_id="agent-b"))
        w.expect(error("auth_failed", "client_id is not allowed"))
        w.expect_close(1008)
        w = node.wire()
        w.send(request(bearer(ALICE)))
        w.refused(401)
        node.errors_are("dist.auth_failed", 2)


def test_who_is_off_the_list_after_a_reload_goes(lab):
    with started(lab, kind=Remote,
                 distributed={"allow_agent_ids": ["a", "b"]}) as node:
        a, session = enter(node, "a")
        b, _ = enter(node, "b")
        node.distributed["allow_agent_ids"] = ["a"]
        node.configure()
        assert node.ctl("reload").returncode == 0
        b.expect(error("auth_failed", "client_id is not allowed"))
        b.expect_close(1008)
        alive(a, session, 1, "a")


# ---- replay ----

def test_every_message_needs_a_number_that_rises(fresh):
    w, session = enter(fresh)
    alive(w, session, 0)
    alive(w, session, 7)
    for bad in (beat(session, 7), beat(session, 6), beat(session, -1),
                beat(session, "8"), beat(session, 8.5), beat(session, None),
                beat("another", 8), beat(None, 8),
                {"type": "heartbeat", "client_id": "c", "timestamp_ms": 5},
                hello()):
        w.say(bad)
        w.expect(REPLAY)
    alive(w, session, 8)
    alive(w, session, 2**63 - 1)
    fresh.errors_are("dist.replay_detected", 10)
    fresh.logged("dist.replay_detected", "message refused")


def test_the_number_of_the_hello_is_used(node):
    w = node.connect(bearer(SHARED))
    w.say(hello(seq=5))
    session = greeted(w)
    w.say(beat(session, 5))
    w.expect(REPLAY)
    alive(w, session, 6)


def test_in_the_session_dialect_it_stays_open_too(node):
    w = node.connect()
    w.say({"type": "hello", "api_key": ALICE})
    session = greeted(w)
    for bad in ("another", session):
        w.say({"type": "route_request", "session_id": bad})
        w.expect(error("replay_detected", "replay detected", "FORBIDDEN"))
    w.say({"type": "hello", "api_key": ALICE, "session_id": session,
           "seq": 1})
    w.expect({"type": "error", "code": "INVALID",
              "message": "handshake already completed"})


def test_a_hello_may_be_repeated_as_any_message(node):
    w, session = enter(node)
    w.say(hello(session_id=session, seq=1))
    assert greeted(w) == session


def test_sixteen_in_a_row_are_the_end(node):
    w, session = enter(node)
    for n in range(REPLAYS - 1):
        w.say(beat(session, -1))
        w.expect(REPLAY)
    alive(w, session, 1)
    for n in range(REPLAYS):
        w.say(beat(session, 1))
        w.expect(REPLAY)
    w.expect_close(1008, "replay detected")


def record(node, token):
    """A conversation, as it went over the wire, from the hello on."""
    w = node.connect()
    said = [compact(hello(auth_token=token))]
    w.say(said[0].decode())
    session = greeted(w)
    for seq in (1, 2, 3):
        said.append(compact(beat(session, seq)))
        w.say(said[-1].decode())
        w.expect(ack())
    return w, session, said


def test_a_recorded_conversation_dies_on_the_same_connection(node):
    w, session, said = record(node, SHARED)
    for message in said:
        w.say(message.decode())
        w.expect(REPLAY)
    alive(w, session, 4)


def test_a_recorded_conversation_dies_at_its_second_message(node):
    """On other connections, and so on other workers."""
    w, _, said = record(node, SHARED)
    w.drop()
    for n in range(6):
        again = node.connect()
        again.say(said[0].decode())
        greeted(again)
        for message in said[1:]:
            again.say(message.decode())
            again.expect(REPLAY)


def test_a_recorded_message_without_its_hello_is_refused(node):
    _, _, said = record(node, SHARED)
    w = node.connect(bearer(SHARED))
    w.say(said[1].decode())
    w.expect(error("replay_detected", "handshake required"))
    w.say(hello(client_id="other"))
    greeted(w)


# ---- one session of an agent ----

REPLACED = error("replay_detected", "replaced by a newer session")


def test_a_newer_session_replaces_the_older_one(fresh):
    last, session = enter(fresh, "agent")
    for n in range(6):
        w, session = enter(fresh, "agent")
        last.expect(REPLACED)
        last.expect_close(1008, "replaced by a newer session")
        alive(w, session, 1, "agent")
        last = w
    fresh.errors_are("dist.replay_detected", 6)
    fresh.logged("dist.replay_detected", "closing")
    rows = [s["session_id"] for s in ops.ctl_json(fresh, "show", "sessions")
            if s["client_id"] == "agent"]
    assert rows == [session]


def test_a_restarted_client_works_at_once(node):
    for n in range(10):
        w, session = enter(node, "restarts")
        alive(w, session, 1, "restarts")
        (w.drop, w.reset)[n % 2]()


def test_an_id_is_one_whatever_its_case(node):
    a, _ = enter(node, "Agent")
    enter(node, "aGENT")
    a.expect(REPLACED)


def test_who_only_claims_an_id_pushes_nobody_out(node):
    """A token for all against one of her own."""
    own, session = enter(node, "alice", ALICE)
    claimed, other = enter(node, "alice", SHARED)
    alive(own, session, 1, "alice")
    alive(claimed, other, 1, "alice")


def test_there_are_no_more_sessions_than_may_be(lab):
    with started(lab, kind=Remote, workers=2,
                 distributed={"max_sessions": 3}) as node:
        wires = [enter(node, f"a{n}") for n in range(3)]
        w = node.connect(bearer(SHARED))
        w.say(hello(client_id="a3"))
        w.expect(error("session_limit", "session limit reached"))
        w.expect_close(1013, "session limit reached")
        # One that there is may begin anew.
        wires.append(enter(node, "a1"))
        wires[1][0].expect(REPLACED)
        wires[0][0].drop()
        node.metrics_are(ltp_sessions_total=2)
        enter(node, "a3")
        node.errors_are("dist.session_limit", 1)
        node.logged("dist.session_limit")


def test_sessions_survive_auth_and_it_still_knows_them(lab):
    with started(lab, kind=Remote, workers=2) as node:
        old = [enter(node, f"a{n}") for n in range(4)]
        ops.kill_child(node, "auth")
        for n, (w, session) in enumerate(old):
            alive(w, session, 1, f"a{n}")
        w, session = enter(node, "a2")
        old[2][0].expect(REPLACED)
        alive(w, session, 1, "a2")


def test_who_asks_while_auth_dies_is_not_let_in(lab):
    with started(lab, kind=Remote) as node:
        ready = node.connect(bearer(SHARED))
        pid = ops.process(node, "auth")["pid"]
        os.kill(pid, signal.SIGSTOP)
        upgrading, greeting = node.wire(), node.connect()
        upgrading.send(request(bearer(SHARED)))
        greeting.say(hello(auth_token=SHARED))
        ready.say(hello())
        for w in (upgrading, greeting, ready):
            w.quiet(0.1)
        ops.kill_child(node, "auth")
        upgrading.refused(503)
        for w in (greeting, ready):
            w.expect_close(1013, "authentication is not available")
        w, session = enter(node)
        alive(w, session, 1)


def test_sessions_of_a_dead_worker_are_free(lab):
    with started(lab, kind=Remote, distributed={"max_sessions": 1}) as node:
        enter(node, "a")
        ops.kill_child(node, "worker")
        w, session = enter(node, "b")
        alive(w, session, 1, "b")


# ---- limits ----

def test_over_the_limit_the_next_one_is_told_so(lab):
    with started(lab, kind=Remote,
                 distributed={"max_connections": 1}) as node:
        enter(node)
        w = node.wire()
        r = w.refused(503)
        assert r.body == b"dist.connection_limit"
        assert r.field("Retry-After") is not None
        node.errors_are("dist.connection_limit", 1)
        node.logged("dist.connection_limit")


def test_a_message_that_is_too_large(lab):
    with started(lab, kind=Remote, max_message_bytes=65536,
                 distributed={"max_message_bytes": 1024}) as node:
        w, session = enter(node)
        w.say({**beat(session, 1), "pad": "x" * 800})
        w.expect(ack())
        w.send(header(TEXT, 1025))
        w.expect(error("message_too_large", "message too large"))
        w.expect_close(1009, "message too large")
        node.errors_are("dist.message_too_large", 1)
        node.logged("dist.message_too_large")
        node.metrics_are(oversize_messages_total=1)


def test_the_limit_is_not_the_other_listeners(lab):
    with started(lab, kind=Remote, max_message_bytes=1024, rate_limit_rps=1,
                 rate_limit_burst=2) as node:
        w, session = enter(node)
        for seq in range(20):
            w.say({**beat(session, seq), "pad": "x" * 2000})
            w.expect(ack())


def test_too_many_messages(lab):
    with started(lab, kind=Remote, distributed={"rate_limit": 5}) as node:
        w, session = enter(node)
        w.send(*[frame(TEXT, compact(beat(session, n))) for n in range(8)])
        for n in range(4):
            w.expect(ack())
        for n in range(4):
            w.expect(error("rate_limited", "rate limit exceeded"))
        # It stays open, and what was refused has not been looked at.
        time.sleep(0.3)
        alive(w, session, 4)
        node.errors_are("dist.rate_limited", 4)
        node.logged("dist.rate_limited")


def test_far_too_many_messages_are_the_end(lab):
    with started(lab, kind=Remote, distributed={"rate_limit": 1}) as node:
        w, session = enter(node)
        w.send(*[frame(TEXT, compact(beat(session, n)))
                 for n in range(COMPLAINTS + 1)])
        for n in range(COMPLAINTS + 1):
            w.expect(error("rate_limited", "rate limit exceeded"))
        w.expect_close(1008, "rate limit exceeded")


# ---- time ----

@pytest.mark.parametrize("upgraded", [False, True])
def test_who_does_not_come_in_in_time(lab, upgraded):
    with started(lab, kind=Remote, handshake_timeout_ms=60000,
                 distributed={"handshake_timeout_ms": 500}) as node:
        begin = time.monotonic()
        w = node.connect(bearer(SHARED)) if upgraded else node.wire()
        if upgraded:
            w.expect_close(1008, "handshake timeout")
        else:
            assert w.refused(408).body == b"dist.handshake_timeout"
        assert 0.4 < time.monotonic() - begin < 2
        node.errors_are("dist.handshake_timeout", 1)
        node.logged("dist.handshake_timeout")


def test_a_message_that_does_not_end(lab):
    with started(lab, kind=Remote,
                 distributed={"message_timeout_ms": 500}) as node:
        w, session = enter(node)
        whole = compact(beat(session, 1))
        # Each of them in time, although together they are not.
        for seq in range(1, 4):
            one, two = fragments(compact(beat(session, seq)), 20)
            w.send(one)
            time.sleep(0.25)
            w.send(two)
            w.expect(ack())
        begin = time.monotonic()
        w.send(header(TEXT, len(whole)), mask(whole)[:10])
        w.expect(error("message_timeout", "message timeout"))
        w.expect_close(1008, "message timeout")
        assert 0.4 < time.monotonic() - begin < 2
        node.errors_are("dist.message_timeout", 1)
        node.logged("dist.message_timeout")


def test_pings_between_do_not_make_a_message_last(lab):
    with started(lab, kind=Remote,
                 distributed={"message_timeout_ms": 500}) as node:
        w, session = enter(node)
        first, _ = fragments(compact(beat(session, 1)), 20)
        w.send(first)
        begin = time.monotonic()
        with contextlib.suppress(AssertionError, OSError, EOFError):
            while time.monotonic() - begin < 3:
                w.pong()
                time.sleep(0.05)
        assert time.monotonic() - begin < 2
        node.errors_are("dist.message_timeout", 1)


@pytest.mark.parametrize("what", ["plain", "remote", "message"])
def test_a_shorter_timeout_after_a_reload_holds_at_once(lab, what):
    """Also behind those who came before it, and keep their time."""
    name = "message" if what == "message" else "handshake"
    with started(lab, kind=Both if what == "plain" else Remote,
                 handshake_timeout_ms=60000,
                 distributed={"handshake_timeout_ms": 60000,
                              "message_timeout_ms": 60000}) as node:
        def begin():
            if what != "message":
                return node.connect(bearer(SHARED))
            client = f"agent-{len(node.wires)}"
            w, session = enter(node, client)
            w.send(frame(TEXT, compact(beat(session, 1, client))),
                   header(TEXT, 9))
            w.recv_text()
            return w

        early = begin()
        (node.settings if what == "plain" else
         node.distributed)[f"{name}_timeout_ms"] = 500
        node.configure()
        assert node.ctl("reload").returncode == 0
        late = begin()
        if what == "message":
            late.recv_text()
        late.expect_close(1008, f"{name} timeout")
        early.quiet(0.1)


@pytest.mark.parametrize("limit", table(
    ("idle", {"idle_timeout_ms": 1000}), ("ttl", {"session_ttl_secs": 1})))
def test_who_is_silent_has_no_session_any_more(lab, limit):
    with started(lab, kind=Remote, gc_interval_ms=200, idle_ttl_ms=60000,
                 distributed=limit) as node:
        w, session = enter(node)
        # What is refused does not count.
        w.say(beat(session, -1))
        w.expect(REPLAY)
        w.expect_close(1001, "idle timeout")
        node.samples_are({'ltp_sessions_expired_total{reason="ttl"}': 1})


def fill_audit(node):
    """More than may wait for it, while it is stopped; without an answer."""
    client = "f" * 250
    w = Wire(node.address)
    node.wires.append(w)
    w.upgrade()
    w.ask(hello(client_id=client))
    said = {"type": "orientation", "client_id": client, "focus_momentum": 0.5}
    w.send(2000 * frame(TEXT, compact(said)), frame(PING))
    w.quiet(0.1)


def test_who_is_not_read_from_is_not_too_late(lab):
    """What they said in time waits, as we do for the audit log."""
    log = ops.scratch(lab) / "audit.jsonl"
    with started(lab, kind=Remote, audit_log_file=str(log),
                 gc_interval_ms=100,
                 distributed={"message_timeout_ms": 2000,
                              "handshake_timeout_ms": 2000,
                              "idle_timeout_ms": 2000}) as node:
        pid = ops.process(node, "audit")["pid"]
        greeting = node.connect(bearer(SHARED))
        (idle, one), (sending, two) = enter(node, "a"), enter(node, "b")
        first, rest = fragments(compact(beat(two, 1, "b")), 20)
        sending.send(first)
        os.kill(pid, signal.SIGSTOP)
        fill_audit(node)
        greeting.say(hello())
        idle.say(beat(one, 1, "a"))
        sending.send(rest)
        for w in (greeting, idle, sending):
            w.quiet(1)
        os.kill(pid, signal.SIGCONT)
        greeted(greeting)
        idle.expect(ack("a"))
        sending.expect(ack("b"))
        # From now on it is up to them again.
        for w in (greeting, idle, sending):
            w.expect_close(1001, "idle timeout")


# ---- the rest of the node ----

def test_the_other_listener_is_as_it_was(node):
    with Wire(node.address) as w:
        w.upgrade()
        w.say(hello())
        w.expect({"type": "hello_ack", "node_id": "node-a",
                  "accepted": True})
        w.say({"type": "heartbeat", "client_id": "c", "timestamp_ms": 5})
        w.expect(ack())


@pytest.mark.parametrize("payload", ["full", "hash"])
def test_the_audit_log_has_codes_and_no_secrets(lab, payload):
    log = ops.scratch(lab) / "audit.jsonl"
    with started(lab, kind=Remote, audit_log_file=str(log),
                 audit_payload=payload) as node:
        w = node.connect()
        w.say(hello(auth_token=SHARED))
        session = greeted(w)
        alive(w, session, 1)
        w.say(beat("another", 2))
        w.expect(REPLAY)
        wait_for(lambda: len(log.read_bytes().splitlines()) == 6, "6 lines")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert SHARED not in log.read_text()
    frames = [line["frame"] for line in lines]
    same(frames[1]["session_id"], session)
    same([line["session_id"] for line in lines[2::2]], [session] * 2)
    same(frames[2]["session_id"], session)
    same([f["dist_code"] for f in frames if f["type"] == "error"],
         ["dist.replay_detected"])
    same(frames[0]["seq"], None)
    if payload == "full":
        same([f["seq"] for f in frames[2::2]], [1, 2])
        same(frames[4]["session_id"], "another")
    else:
        assert all(re.fullmatch("[0-9a-f]{64}", v) for v in
                   (frames[2]["seq"], frames[4]["session_id"]))


def test_sessions_are_shown_with_their_id(node):
    w, session = enter(node, "shown")
    rows = [s for s in ops.ctl_json(node, "show", "sessions")
            if s["client_id"] == "shown"]
    assert [(s["session_id"], s["identity_source"]) for s in rows] == [
        (session, "claimed")]
    alice, session = enter(node, "alice", ALICE)
    assert [(s["client_id"], s["identity_source"])
            for s in ops.ctl_json(node, "show", "sessions")
            if s["session_id"] == session] == [("alice", "token")]
    alice.drop()
    session = rows[0]["session_id"]
    assert node.ctl("disconnect", session).returncode == 0
    w.expect_close(1008, "disconnected by the operator")
