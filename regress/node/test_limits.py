"""Limits, their order, and the life of a session: sections 3 and 4."""

import select
import time

import pytest

from node import (BINARY, CLOSE, CONT, PING, PONG, TEXT, Wire, compact, frame,
                  header, request, table, text, wait_for)

BEAT = compact({"type": "heartbeat", "client_id": "c", "timestamp_ms": 5})
ACK = compact({"type": "heartbeat_ack", "client_id": "c", "timestamp_ms": 5})
INVALID = compact({"type": "error", "message": "invalid message"})

RATE = "rate limit exceeded"
IP_RATE = "ip rate limit exceeded"


def beat(w, n=1):
    w.send(text(BEAT) * n)
    for _ in range(n):
        w.expect(ACK)


# ---- per connection ----

@pytest.fixture(scope="module")
def slow(lab):
    """Five messages, and then one a second."""
    with lab.node(rate_limit_rps=1, rate_limit_burst=5) as node:
        yield node


def test_burst_and_no_more(slow):
    w = slow.connect()
    beat(w, 5)
    w.send(text(BEAT))
    w.expect_close(1008, RATE)


def test_burst_and_no_more_in_one_packet(slow):
    w = slow.connect()
    w.send(text(BEAT) * 10)
    for _ in range(5):
        w.expect(ACK)
    w.expect_close(1008, RATE)


def test_each_connection_has_its_own(slow):
    wires = [slow.connect() for _ in range(3)]
    for w in wires:
        beat(w, 5)
    wires[0].send(text(BEAT))
    wires[0].expect_close(1008, RATE)
    wires[1].pong()


@pytest.mark.parametrize("data, reply", table(
    ("hello", text('{"type":"hello","client_id":"c"}'), b"hello_ack"),
    ("orientation", text('{"type":"orientation","client_id":"c"}'), None),
    ("route request", text('{"type":"route_request","client_id":"c"}'),
     b"route_suggestion"),
    ("no JSON", text("{"), b"invalid message"),
    ("an empty message", text(""), b"invalid message"),
    ("binary", frame(BINARY, b"x"), b"binary messages"),
    ("a mismatch", text(BEAT.replace(b'"c"', b'"d"')), b"mismatch"),
    ("a message in fragments",
     frame(TEXT, BEAT[:5], fin=False) + frame(CONT, BEAT[5:7], fin=False)
     + frame(CONT, BEAT[7:]), b"heartbeat_ack"),
))
def test_every_message_costs_one(slow, data, reply):
    w = slow.connect()
    beat(w, 1)
    for _ in range(3):
        w.send(data)
        if reply is not None:
            assert reply in w.recv_text()
    beat(w, 1)
    w.send(text(BEAT))
    w.expect_close(1008, RATE)


def test_session_hello_costs_one(slow):
    w = slow.connect()
    w.say({"type": "hello", "api_key": "k"})
    assert b"hello_ack" in w.recv_text()
    for _ in range(4):
        w.say({"type": "hello", "api_key": "k"})
        assert b"handshake already completed" in w.recv_text()
    w.say({"type": "hello", "api_key": "k"})
    w.expect_close(1008, RATE)


def test_control_frames_cost_none(slow):
    w = slow.connect()
    for _ in range(20):
        w.pong(b"x")
    w.send(frame(PONG) * 20)
    beat(w, 5)
    w.pong()


def test_the_header_of_the_first_frame_costs(slow):
    """Not the end of the message: there is none."""
    w = slow.connect()
    beat(w, 5)
    w.send(header(TEXT, len(BEAT)))
    w.expect_close(1008, RATE)


def test_unfinished_messages_cost(slow):
    w = slow.connect()
    beat(w, 4)
    w.send(frame(TEXT, BEAT[:5], fin=False), frame(CONT, fin=False) * 50)
    w.pong()
    w.send(frame(CONT, BEAT[5:]))
    w.expect(ACK)
    w.send(frame(TEXT, fin=False))
    w.expect_close(1008, RATE)


def test_tokens_come_back(lab):
    with lab.node(rate_limit_rps=10, rate_limit_burst=2) as node:
        w = node.connect()
        beat(w, 2)
        for _ in range(4):
            w.quiet(0.12)
            beat(w, 1)
        w.quiet(0.5)
        w.send(text(BEAT) * 3)
        for _ in range(2):
            w.expect(ACK)
        w.expect_close(1008, RATE)


def test_zero_is_off(lab):
    with lab.node(rate_limit_rps=0, rate_limit_burst=1) as node:
        beat(node.connect(), 1000)


# ---- per address ----

@pytest.fixture(scope="module", params=[1, 2], ids=["1_worker", "2_workers"])
def crowded(lab, request):
    """Five messages an address, and then one in a thousand seconds."""
    with lab.node(ip_rate_limit_rps=1, ip_rate_limit_burst=5,
                  trust_proxy=True, workers=request.param) as node:
        yield node


def forwarded(node, address):
    """Who comes through a trusted proxy has an address of its own."""
    return node.connect([("X-Forwarded-For", address)])


def test_ip_limit_of_one_connection(crowded):
    w = forwarded(crowded, "192.0.2.1")
    w.send(text(BEAT) * 10)
    for _ in range(5):
        w.expect(ACK)
    w.expect_close(1008, IP_RATE)


def test_ip_limit_over_connections_and_workers(crowded):
    wires = [forwarded(crowded, "192.0.2.2") for _ in range(6)]
    for w in wires[:5]:
        beat(w, 1)
    wires[5].send(text(BEAT))
    wires[5].expect_close(1008, IP_RATE)
    wires[0].pong()
    wires[0].send(text(BEAT))
    wires[0].expect_close(1008, IP_RATE)


def test_ip_limit_survives_connections(crowded):
    for _ in range(5):
        w = forwarded(crowded, "192.0.2.3")
        beat(w, 1)
        w.drop()
    w = forwarded(crowded, "192.0.2.3")
    w.send(text(BEAT))
    w.expect_close(1008, IP_RATE)


def test_ip_limit_of_different_addresses(crowded):
    for i in range(4, 24):
        beat(forwarded(crowded, f"192.0.2.{i}"), 5)


def test_ip_limit_of_peers_without_a_proxy(crowded):
    """The peer's address counts when nothing was forwarded."""
    w = crowded.connect()
    w.send(text(BEAT) * 6)
    for _ in range(5):
        w.expect(ACK)
    w.expect_close(1008, IP_RATE)
    beat(forwarded(crowded, "192.0.2.30"), 5)


@pytest.mark.parametrize("first, second", table(
    ("an IPv6 network of 64 bits", "2001:db8::1", "2001:db8::ffff:1"),
    ("an IPv4-mapped address", "192.0.2.40", "::ffff:192.0.2.40"),
    ("what the client claims before the proxy", "192.0.2.41",
     "198.51.100.1, 192.0.2.41"),
    ("proxies that are trusted", "192.0.2.42", "192.0.2.42, 127.0.0.9"),
))
def test_ip_limit_is_shared_by(crowded, first, second):
    beat(forwarded(crowded, first), 5)
    w = forwarded(crowded, second)
    w.send(text(BEAT))
    w.expect_close(1008, IP_RATE)


def test_ip_limit_of_other_ipv6_networks(crowded):
    beat(forwarded(crowded, "2001:db8:0:1::1"), 5)
    beat(forwarded(crowded, "2001:db8:0:2::1"), 5)


@pytest.mark.parametrize("value", table(
    ("a name", "localhost"), ("noise", "1.2.3"),
    ("noise on the right", "192.0.2.50, x"),
))
def test_unparsable_forwarded_address(crowded, value):
    w = crowded.wire()
    w.send(request([("X-Forwarded-For", value)]))
    w.refused(400)


def test_forwarded_address_of_no_trusted_proxy_is_ignored(lab):
    with lab.node(ip_rate_limit_rps=1, ip_rate_limit_burst=5) as node:
        beat(forwarded(node, "192.0.2.1"), 3)
        beat(forwarded(node, "rubbish"), 2)
        w = forwarded(node, "192.0.2.3")
        w.send(text(BEAT))
        w.expect_close(1008, IP_RATE)


# ---- the order of checks ----

def test_ip_comes_before_connection(lab):
    with lab.node(ip_rate_limit_rps=1, ip_rate_limit_burst=3,
                  rate_limit_rps=1, rate_limit_burst=3,
                  max_message_bytes=1024) as node:
        w = node.connect()
        beat(w, 3)
        w.send(header(TEXT, 1025))
        w.expect_close(1008, IP_RATE)


def test_connection_comes_before_size(lab):
    with lab.node(rate_limit_rps=1, rate_limit_burst=3,
                  max_message_bytes=1024) as node:
        w = node.connect()
        beat(w, 3)
        w.send(header(TEXT, 1025))
        w.expect_close(1008, RATE)


def test_rate_comes_before_parsing(slow):
    w = slow.connect()
    for _ in range(5):
        w.say("{")
        w.expect(INVALID)
    w.say("{")
    w.expect_close(1008, RATE)


@pytest.fixture(scope="module")
def small(lab):
    with lab.node(max_message_bytes=1024) as node:
        yield node


def padded(size):
    start = BEAT[:-1] + b',"x":"'
    return start + b"x" * (size - len(start) - 2) + b'"}'


def test_size_comes_before_parsing(small):
    w = small.connect()
    w.say("{" * 1024)
    w.expect(INVALID)
    w.send(text("{" * 1025))
    w.expect_close(1009, "message too large")


def test_size_comes_before_utf8(small):
    w = small.connect()
    w.send(text(b"\xff" * 1025))
    w.expect_close(1009, "message too large")


def test_message_of_the_limit(small):
    w = small.connect()
    w.send(text(padded(1024)))
    w.expect(ACK)
    w.send(text(padded(1025)))
    w.expect_close(1009, "message too large")


def test_the_default_limit(lab):
    with lab.node() as node:
        w = node.connect()
        w.send(text(padded(131072)))
        w.expect(ACK)
        w.send(header(TEXT, 131073))
        w.expect_close(1009, "message too large")


# ---- control frames ----

def flood(node, data, pongs):
    """Send many at once; how many were answered before the close."""
    w = node.connect()
    start = time.monotonic()
    w.send(data)
    n = 0
    while (f := w.recv_frame()).opcode == PONG:
        n += 1
    took = time.monotonic() - start
    assert f.opcode == CLOSE
    assert f.payload == b"\x03\xf0" + RATE.encode()
    if pongs:
        return n, took
    assert n == 0
    return took


def test_control_frames_have_a_limit(small):
    n, took = flood(small, frame(PING, b"x") * 2000, True)
    assert 200 <= n <= 200 + 100 * took + 1


def test_pongs_have_a_limit(small):
    flood(small, frame(PONG, b"x") * 2000, False)


def test_two_hundred_pings_are_no_flood(small):
    w = small.connect()
    w.send(frame(PING, b"x") * 200)
    for _ in range(200):
        assert w.recv_frame().opcode == PONG
    beat(w, 1)


def test_control_frames_have_a_limit_of_their_own(lab):
    with lab.node(control_limit_rps=5) as node:
        n, took = flood(node, frame(PING) * 1000, True)
        assert n <= 200 + 5 * took + 1


# ---- who does not read ----

def stuff(w, data, enough):
    """Send until nothing goes any more; how many bytes went."""
    sent = 0
    w.sock.setblocking(False)
    while sent < enough and select.select([], [w.sock], [], 0.5)[1]:
        try:
            sent += w.sock.send(data[sent % len(data):])
        except BlockingIOError:
            pass
    w.sock.settimeout(5)
    return sent


def test_who_does_not_read_is_not_read_from(lab):
    """And costs no memory; all is answered when it reads at last."""
    with lab.node(control_limit_rps=0) as node:
        w = node.connect(rcvbuf=4096)
        beat(w)
        before = node.resident()
        enough = 128 << 20
        one = text(BEAT)
        sent = stuff(w, one * 1000, enough)
        assert sent < enough
        assert node.resident() - before < 4096
        other = node.connect()
        beat(other, 10)
        whole, part = divmod(sent, len(one))
        for _ in range(whole):
            w.expect(ACK)
        w.send(one[part:])
        w.expect(ACK)
        w.pong()
        assert node.resident() - before < 4096


def test_who_does_not_read_pongs_is_not_read_from(lab):
    with lab.node(control_limit_rps=0) as node:
        w = node.connect(rcvbuf=4096)
        before = node.resident()
        enough = 128 << 20
        assert stuff(w, frame(PING, b"x" * 125) * 500, enough) < enough
        assert node.resident() - before < 4096
        beat(node.connect())


def test_who_does_not_read_can_leave(lab):
    with lab.node() as node:
        w = node.connect(rcvbuf=4096)
        stuff(w, text(BEAT) * 1000, 128 << 20)
        node.metrics_are(ltp_ws_connections_current=1, ltp_sessions_total=1)
        w.reset()
        node.metrics_are(ltp_ws_connections_current=0, ltp_sessions_total=0)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_fragments_cost_little_memory(lab, size):
    """Whatever they hold: the limit and 8 KiB for each connection."""
    with lab.node(max_message_bytes=8192) as node:
        wires = [node.connect() for _ in range(50)]
        node.barrier()
        before = node.resident()
        n = 1000 if size < 8 else 8192 // size - 1
        for w in wires:
            w.send(frame(TEXT, b"{", fin=False),
                   frame(CONT, b" " * size, fin=False) * n)
        node.barrier()
        # Twice the promise, for what malloc and pages add.
        assert node.resident() - before < 2 * 50 * 16 + 1024


# ---- idle sessions ----

TTL = 0.6


@pytest.fixture(scope="module")
def forgetful(lab):
    with lab.node(idle_ttl_ms=int(1000 * TTL), gc_interval_ms=50) as node:
        yield node


def expires(w, since):
    w.expect_close(1001, "idle timeout")
    assert TTL * 0.95 <= time.monotonic() - since <= TTL + 1


def test_an_idle_session_expires(forgetful):
    w = forgetful.connect()
    start = time.monotonic()
    beat(w)
    expires(w, start)


def test_an_idle_session_of_the_session_dialect_expires(forgetful):
    w = forgetful.connect()
    start = time.monotonic()
    w.ask({"type": "hello", "api_key": "k"})
    expires(w, start)


def test_an_idle_session_expires_in_the_middle_of_a_message(forgetful):
    w = forgetful.connect()
    start = time.monotonic()
    beat(w)
    w.send(text(BEAT)[:-1])
    expires(w, start)


def keep(data):
    """Say something every quarter of the time to live, for three of it."""
    for _ in range(12):
        for w, message in data.items():
            w.send(message)
        time.sleep(TTL / 4)
    for w in data:
        w.send(frame(PING))
        while (f := w.recv_frame()).opcode == TEXT:
            assert b'"error"' not in f.payload
        assert f.opcode == PONG


def test_valid_messages_keep_a_session(forgetful):
    """Each kind of them, in both dialects."""
    data = {}
    for kind, more in (("hello", ""), ("heartbeat", ',"timestamp_ms":5'),
                       ("orientation", ""), ("route_request", "")):
        w = forgetful.connect()
        beat(w)
        data[w] = text(f'{{"type":"{kind}","client_id":"c"{more}}}')
        if kind == "hello":
            continue
        w = forgetful.connect()
        sid = w.ask({"type": "hello", "api_key": "k"}).split(b'"')[-2]
        data[w] = text(f'{{"type":"{kind}","session_id":"{sid.decode()}"'
                       f"{more}}}")
    keep(data)


@pytest.mark.parametrize("data", table(
    ("ping", frame(PING)), ("pong", frame(PONG)), ("no JSON", text("{")),
    ("an invalid message", text('{"type":"heartbeat","client_id":"c"}')),
    ("an unknown type", text('{"type":"x","client_id":"c"}')),
    ("binary", frame(BINARY, b"x")),
))
def test_all_else_does_not(forgetful, data):
    w = forgetful.connect()
    start = time.monotonic()
    beat(w)
    while not closing(w):
        assert time.monotonic() - start < TTL + 1
        w.send(data)
    assert time.monotonic() - start >= TTL * 0.95


def closing(w):
    """Read for a quarter of the time to live; was there a close frame?"""
    end = time.monotonic() + TTL / 4
    while (left := end - time.monotonic()) > 0:
        if w.readable(left):
            f = w.recv_frame()
            if f.opcode == CLOSE:
                assert f.payload == b"\x03\xe9idle timeout"
                return True
    return False


def test_one_session_expires_and_others_do_not(forgetful):
    idle, busy = forgetful.connect(), forgetful.connect()
    beat(idle)
    beat(busy)
    for _ in range(6):
        busy.quiet(TTL / 4)
        beat(busy)
    idle.expect_close(1001, "idle timeout")
    beat(busy)


# ---- the end ----

def test_a_disconnect_ends_the_session_at_once(lab):
    with lab.node(max_sessions=1) as node:
        for _ in range(10):
            w = node.connect()
            wait_for(lambda: w.ask({"type": "hello", "client_id": "c"})
                     .startswith(b'{"type":"hello_ack"'),
                     "the session of the last one has gone")
            w.drop()


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_says_goodbye(lab, workers):
    with lab.node(workers=workers) as node:
        wires = [node.connect() for _ in range(4)]
        for w in wires[1:]:
            beat(w)
        wires[3].send(text(BEAT)[:9])
        node.terminate()
        for w in wires:
            w.expect_close(1001)
        wait_for(lambda: refuses(node), "nobody is let in")


def refuses(node):
    try:
        Wire(node.address).drop()
    except ConnectionError:
        return True
    return False


def test_sigterm_while_nobody_is_there(lab):
    with lab.node() as node:
        start = time.monotonic()
        node.terminate()
        node.proc.wait(5)
        assert time.monotonic() - start < 2


def test_sigterm_ends_requests_that_are_not_complete(lab):
    with lab.node() as node:
        w = node.wire()
        w.send(request()[:50])
        node.barrier()
        node.terminate()
        assert not w.fill() or w.response().status == 503


@pytest.mark.long
def test_sigterm_waits_five_seconds_and_no_more(lab):
    """For who does not answer the close."""
    with lab.node() as node:
        w = node.connect()
        beat(w)
        start = time.monotonic()
        node.terminate()
        assert w.recv_frame().opcode == CLOSE
        node.proc.wait(10)
        assert 1 < time.monotonic() - start < 6
