"""Where the public reference goes wrong: section 8, a test for each item."""

import json
import os
import signal

import pytest

import ops
from node import BINARY, Wire, frame, header, request, wait_for
from ops import beat, enter, hello, started

ALICE, BOB = "alice-key-0001", "bob-key-0002"
KEYS = {"alice": ALICE, "bob": BOB}
ROUTE = {"type": "route_request", "client_id": "c"}


@pytest.fixture
def node(lab):
    with started(lab, workers=2, rate_limit_rps=0) as n:
        yield n


@pytest.fixture
def closed(lab):
    with started(lab, KEYS, workers=2) as n:
        yield n


def key(value):
    return [("X-API-Key", value)]


def test_a_wrong_key_in_a_header_is_not_upgraded(closed):
    w = closed.wire()
    w.send(request(key("wrong")))
    assert w.refused(401).body == b"invalid api key"


def test_auth_mode_none_refuses_nobody(node):
    answer = json.loads(node.connect().ask(
        {"type": "hello", "api_key": "any"}))
    assert answer["accepted"] is True and answer["session_id"]


def test_there_is_a_deadline_before_the_first_message(lab):
    with started(lab, workers=2, handshake_timeout_ms=200) as node:
        node.connect().expect_close(1008, "handshake timeout")


def test_no_connection_leaks_on_hello_and_reset(lab):
    with started(lab, workers=2, max_connections=20) as node:
        for _ in range(100):
            w = Wire(node.address)
            w.upgrade()
            w.say(hello())
            w.reset()
        node.samples_are({"ltp_ws_connections_current": 0,
                          "ltp_sessions_total": 0})
        beat(enter(node))


def test_running_out_of_descriptors_ends_nothing(lab):
    wrap = ["/usr/bin/prlimit", "--nofile=64"]
    with started(lab, wrap=wrap, workers=2) as node:
        first = enter(node)
        crowd = [Wire(node.address) for _ in range(150)]
        beat(first)
        for w in crowd:
            w.drop()
        wait_for(lambda: ops.let_in(node), "new clients are let in")


def test_sockets_in_the_http_phase_are_counted(node):
    for _ in range(3):
        node.wire()
    node.samples_are({"ltp_ws_connections_current": 3})


def test_the_size_is_checked_at_the_header(lab):
    with started(lab, workers=2, max_message_bytes=1000) as node:
        w = node.connect()
        w.send(header(1, 64 << 20))
        w.expect_close(1009, "message too large")


def test_the_rightmost_forwarded_address_counts_without_keys_too(lab):
    with started(lab, workers=2, trust_proxy=True) as node:
        w = node.connect([("X-Forwarded-For", "203.0.113.9, 198.51.100.7")])
        w.ask(hello())
        session, = ops.sessions(node)
        assert session["peer"] == "198.51.100.7"


def test_an_ip_violation_is_counted_once(lab):
    with started(lab, workers=2, ip_rate_limit_rps=1,
                 ip_rate_limit_burst=2) as node:
        w = enter(node)
        beat(w)
        w.say({"type": "heartbeat", "client_id": "c", "timestamp_ms": 2})
        w.expect_close(1008, "ip rate limit exceeded")
        node.metrics_are(ip_rate_limit_violations_total=1,
                         rate_limit_violations_total=0)


def test_binary_frames_are_limited(lab):
    with started(lab, workers=2, rate_limit_rps=1,
                 rate_limit_burst=3) as node:
        w = node.connect()
        for _ in range(3):
            w.send(frame(BINARY, b"x"))
            w.recv_text()
        w.send(frame(BINARY, b"x"))
        w.expect_close(1008, "rate limit exceeded")


def test_keys_of_the_environment_stay_when_the_file_loads(lab):
    with started(lab, KEYS, workers=2,
                 env={"AUTH_KEYS": "carol:carol-key-0003"}) as node:
        for client, value in [*KEYS.items(), ("carol", "carol-key-0003")]:
            beat(enter(node, client, value), 1, client)


def test_a_failed_reload_keeps_no_revoked_key(lab):
    with started(lab, KEYS, workers=2, errors="keys") as node:
        node.file("keys.json", "{")
        assert node.ctl("reload").returncode == 1
        w = node.wire()
        w.send(request(key(ALICE)))
        assert w.refused(401).body == b"authentication is not available"


def test_an_empty_key_stops_the_start(lab):
    with ops.prepared(lab, env={"AUTH_KEYS": "alice:"},
                      auth_mode="api_key", errors="keys: ") as node:
        node.launch()
        node.expect_exit(1)
        assert "alice" in node.log() and "empty" in node.log()


def test_an_expired_session_loses_its_socket(lab):
    with started(lab, workers=2, idle_ttl_ms=200, gc_interval_ms=50) as node:
        enter(node).expect_close(1001, "idle timeout")
        node.samples_are({"ltp_ws_connections_current": 0})


def test_route_requests_touch_the_session(lab):
    with started(lab, workers=2, idle_ttl_ms=1000, gc_interval_ms=50,
                 rate_limit_rps=0) as node:
        w = enter(node)
        for _ in range(30):
            w.ask(ROUTE)
            w.quiet(0.05)
        beat(w)


def test_a_connection_claims_one_client_id(node):
    w = enter(node, "c")
    w.say({"type": "heartbeat", "client_id": "d", "timestamp_ms": 1})
    w.expect({"type": "error", "message": "client_id mismatch"})
    assert [s["client_id"] for s in ops.sessions(node)] == ["c"]


def test_two_connections_with_one_key_are_two_sessions(closed):
    first, second = (enter(closed, "alice", ALICE) for _ in range(2))
    first.say({"type": "orientation", "client_id": "x",
               "focus_momentum": 0.9})
    assert json.loads(second.ask(ROUTE))["debug"]["focus_momentum"] is None
    first.drop()
    wait_for(lambda: len(ops.sessions(closed)) == 1, "one is gone")
    beat(second, 1, "alice")


def test_no_key_is_in_the_audit_log(lab):
    with ops.prepared(lab, KEYS, workers=2) as node:
        log = node.dir / "audit.log"
        node.configure(audit_log_file=str(log))
        node.start()
        enter(node, "alice", ALICE).ask(
            {"type": "hello", "client_id": "c", "auth_token": BOB})
        wait_for(lambda: log.read_text().count("\n") >= 4, "it is logged")
        assert ALICE not in log.read_text() and BOB not in log.read_text()
        node.stop()


def test_a_torn_audit_line_stops_no_start(lab):
    with ops.prepared(lab, workers=2) as node:
        log = node.dir / "audit.log"
        node.configure(audit_log_file=str(log))
        node.start()
        enter(node)
        wait_for(lambda: log.read_text().count("\n") >= 2, "it is logged")
        os.kill(node.proc.pid, signal.SIGTERM)
        node.expect_exit(0)
        with open(log, "a") as f:
            f.write('{"i":2,"timest')
        node.over = False
        node.start()
        enter(node)
        assert node.ctl("trace", "verify", str(log)).returncode == 0
        node.stop()


def test_sigterm_closes_every_client(lab):
    with started(lab, workers=2) as node:
        wires = [enter(node, f"c{i}") for i in range(4)]
        node.proc.send_signal(signal.SIGTERM)
        for w in wires:
            w.expect_close(1001)
        node.expect_exit(0)


@pytest.mark.parametrize("value", ["", "x", "-1", "1e3", "99999999999"])
def test_a_bad_number_is_no_default(lab, value):
    with ops.prepared(lab, env={"LTP_NODE_MAX_SESSIONS": value},
                      errors="max_sessions") as node:
        node.launch()
        node.expect_exit(1)
        assert "LTP_NODE_MAX_SESSIONS" in node.log()


@pytest.mark.parametrize("addr, said", [
    ("10.0.0.0:7070", "is not a loopback address"),
    ("[0:0:0:0:0:0:0:0]:7070", "is not a loopback address"),
    ("0.0.0.0:7070", "is not a loopback address"),
])
def test_the_parsed_address_decides(lab, addr, said):
    with ops.prepared(lab, errors="addr") as node:
        node.configure(addr=addr)
        node.launch()
        node.expect_exit(1)
        assert said in node.log()


def test_ipv6_limits_are_for_a_network_and_the_table_is_bounded(lab):
    with started(lab, workers=2, trust_proxy=True, ip_rate_limit_rps=1,
                 ip_rate_limit_burst=1) as node:
        said = []
        for i in range(2):
            w = node.connect([("X-Forwarded-For", f"2001:db8::{i + 1}")])
            w.say(hello())
            said.append(w.recv_frame().opcode)
        assert said == [1, 8]
        # 1,000,000 addresses: test_address_limits.py and shared_test.c.
