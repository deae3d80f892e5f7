"""What /metrics says of many clients at once, good and bad: section 6.

Each client counts what it did and what it was told, by the names that the
node has for that; in the end the sums must be the node's, to the byte.
"""

import collections
import concurrent.futures
import itertools
import json
import random
import re
import time

import pytest

import ops
from node import (BINARY, CLOSE, CONT, PING, PONG, SAMPLE, TEXT, TIMEOUT,
                  Wire, close, compact, frame, header, request, text)
from ops import started

CLIENTS = 64
SECONDS = 3
STILL = 2.5         # seconds: twice a report, and some more
ALICE, BOB = "alice-key-0001", "bob-key-0002"
KEYS = {"alice": ALICE, "bob": BOB}

LIMITS = {
    "rate_limit_rps": 5, "rate_limit_burst": 20,
    "ip_rate_limit_rps": 5, "ip_rate_limit_burst": 25,
    "max_connections_per_ip": 3, "max_half_open_per_ip": 2,
    "auth_failure_limit": 3, "control_limit_rps": 50,
    "max_message_bytes": 4096,
    "handshake_timeout_ms": 4000, "idle_ttl_ms": 2500,
    "gc_interval_ms": 200,
}

# Reasons of log lines, by what is counted when they are left out; all
# others are about handshakes.
REASONS = {
    "ip rate limit exceeded": "ip_rate_limit",
    "too many connections from this address": "ip_rate_limit",
    "rate limit exceeded": "rate_limit",
    "message too large": "too_large",
    "invalid message": "invalid_json",
    "handshake required": "invalid_json",
    "binary messages are not supported": "invalid_json",
    "missing api key": "auth",
    "invalid api key": "auth",
    "unauthorized": "auth",
    "too many failed sign-ins": "auth",
    "origin_not_allowed": "origin",
}

HELLO = {"type": "hello", "client_id": "c"}
MESSAGES = {
    "hello": HELLO,
    "heartbeat": {"type": "heartbeat", "client_id": "c", "timestamp_ms": 1},
    "orientation": {"type": "orientation", "client_id": "c"},
    "route_request": {"type": "route_request", "client_id": "c"},
}
BEAT = compact(MESSAGES["heartbeat"])
ADDRESSES = itertools.count(1)


def msgs(kind):
    return f'ltp_msgs_total{{type="{kind}"}}'


def rejected(reason):
    return f'ltp_msg_rejected_total{{reason="{reason}"}}'


def upgrades(status):
    return f'ltp_upgrades_total{{status="{status}"}}'


def suppressed(category):
    return f'log_suppressed_total{{category="{category}"}}'


def moved(direction):
    return f'ltp_bytes_total{{direction="{direction}"}}'


# What a close counts, beside its line in the log.
CLOSES = {
    (1002, None): ("ltp_protocol_errors_total",),
    (1007, None): ("ltp_protocol_errors_total",),
    (1009, "message too large"): ("oversize_messages_total",
                                  rejected("too_large")),
    (1008, "rate limit exceeded"): ("rate_limit_violations_total",
                                    rejected("rate_limit")),
    (1008, "ip rate limit exceeded"): ("ip_rate_limit_violations_total",
                                       rejected("rate_limit")),
    (1008, "handshake timeout"): ("ltp_handshake_timeouts_total",),
    (1001, "idle timeout"): ('ltp_sessions_expired_total{reason="ttl"}',),
}
LOGGED = ("rate limit exceeded", "ip rate limit exceeded",
          "message too large", "handshake timeout")


# ---- a client that counts ----

class Client:
    """Does one thing after the other, and keeps the books of it."""

    def __init__(self, node, number):
        self.node = node
        self.random = random.Random(number)
        self.n = collections.Counter()
        self.events = collections.Counter()     # by category of the log

    def count(self, *names):
        self.n.update(names)

    def event(self, reason):
        """Something that is logged or counted as left out."""
        self.events[REASONS.get(reason, "handshake")] += 1

    # connections

    def address(self):
        """One that nobody has had before."""
        number = next(ADDRESSES)
        return "10.%d.%d.%d" % (number >> 16, number >> 8 & 255,
                                number & 255)

    def open(self):
        self.count("ltp_connections_total",
                   "ltp_accept_latency_seconds_count")
        return Wire(self.node.address)

    def ask(self, fields=(), address=None, key=ALICE, **how):
        """Send an upgrade request; the answer is counted."""
        w = self.open()
        forwarded = [("X-Forwarded-For", address or self.address())]
        sign_in = [("X-API-Key", key)] if key else []
        w.send(request([*forwarded, *sign_in, *fields], **how))
        return w, self.answer(w)

    def answer(self, w):
        r = w.response()
        self.count(upgrades(r.status))
        if r.status == 401:
            self.count("auth_failures_total")
        if r.status == 408:
            self.count("ltp_handshake_timeouts_total")
        reason = r.body.decode()
        if reason == "too many connections from this address":
            self.count("ltp_capacity_rejections_total")
        if r.status == 403:
            reason = "origin_not_allowed"
        if r.status != 101:
            self.event(reason)
        return r

    def enter(self, fields=(), **how):
        w, r = self.ask(fields, **how)
        assert r.status == 101, r
        w.greeted = False
        return w

    def end(self, w):
        """Read what there is to the end, and go."""
        w.expect_end()
        self.leave(w)

    def leave(self, w):
        """All that was sent has been answered."""
        w.drop()
        self.n[moved("in")] += w.bytes_out
        self.n[moved("out")] += w.bytes_in

    def closed(self, w, code=None, said=None):
        """It must be the node that closes; counts why it did."""
        f = w.recv_frame()
        assert f.opcode == CLOSE, f
        got = int.from_bytes(f.payload[:2], "big")
        reason = f.payload[2:].decode()
        assert code in (None, got) and said in (None, reason), f
        self.count(*CLOSES.get((got, reason), ()) or
                   CLOSES.get((got, None), ()))
        if reason in LOGGED:
            self.event(reason)
        # As a client should; it is counted, too.
        w.send(frame(CLOSE, f.payload))
        self.end(w)

    # messages

    def accepted(self, w, kind):
        self.count(msgs(kind))
        if not w.greeted:
            w.greeted = True
            self.count("ltp_handshake_latency_seconds_count")

    def reply(self, w):
        self.count("ltp_replies_total")
        return json.loads(w.recv_text())

    def say(self, w, kind, **members):
        """A valid message, and its answer."""
        w.say({**MESSAGES[kind], **members})
        self.accepted(w, kind)
        if kind != "orientation":
            assert self.reply(w)["type"] != "error"

    def spoil(self, w, *data, reason="invalid message"):
        """A message that is none."""
        w.send(*data)
        self.count("ws_invalid_json_total", rejected("invalid_json"))
        self.event(reason)
        assert self.reply(w)["message"] == reason

    def sync(self, w):
        """All that has no answer of its own has been read."""
        w.pong(b"?")


# ---- what clients do ----

def conversation(c):
    w = c.enter()
    for _ in range(c.random.randrange(1, 15)):
        c.say(w, c.random.choice(list(MESSAGES)))
    c.sync(w)
    if c.random.random() < 0.5:
        w.send(close(1000))
        assert w.recv_frame().opcode == CLOSE
        c.end(w)
    else:
        c.leave(w)


def session(c, key=ALICE):
    """In the session dialect: the wire and the session's id."""
    w = c.enter()
    w.say({"type": "hello", "api_key": key})
    c.accepted(w, "hello")
    return w, c.reply(w)["session_id"]


def conversation_of_the_session_dialect(c):
    w, sid = session(c)
    for kind in c.random.choices(list(MESSAGES), k=5):
        if kind == "hello":
            w.say({"type": "hello", "api_key": ALICE})
            assert c.reply(w)["message"] == "handshake already completed"
        else:
            message = {**MESSAGES[kind], "session_id": sid}
            del message["client_id"]
            w.say(message)
            c.accepted(w, kind)
            if kind != "orientation":
                assert c.reply(w)["session_id"] == sid
    c.sync(w)
    c.leave(w)


def fragments_and_pings(c):
    w = c.enter()
    for _ in range(3):
        w.send(frame(TEXT, BEAT, fin=False), frame(PING, b"in between"))
        assert w.recv_frame().opcode == PONG
        w.send(frame(CONT, b"  "))
        c.accepted(w, "heartbeat")
        c.reply(w)
    c.leave(w)


def nonsense(c):
    w = c.enter()
    for data in c.random.choices((
            text("{"), text('{"type":"x","client_id":"c"}'),
            text('{"type":"heartbeat","client_id":"c"}'), text(""),
            text("[" * 40)), k=4):
        c.spoil(w, data)
    c.say(w, "hello")
    c.spoil(w, frame(BINARY, b"x"),
            reason="binary messages are not supported")
    c.leave(w)


def another_session(c):
    w, _ = session(c)
    w.say({"type": "route_request", "session_id": "not-mine"})
    c.count(rejected("forbidden"))
    c.reply(w)
    c.closed(w, 1008, "session mismatch")


def no_hello(c):
    w = c.enter()
    c.spoil(w, text('{"type":"route_request","session_id":"x"}'),
            reason="handshake required")
    c.closed(w, 1008, "handshake required")


def wrong_key_in_the_hello(c):
    w = c.enter()
    w.say({"type": "hello", "api_key": c.random.choice((BOB, "wrong"))})
    c.count("auth_failures_total", rejected("unauthorized"))
    c.event("unauthorized")
    c.reply(w)
    c.closed(w, 1008, "unauthorized")


def flood(c):
    """More than a connection may; what comes too late counts nothing."""
    w = c.enter()
    w.send(text(BEAT) * 40)
    receive_until_closed(c, w)


def receive_until_closed(c, w):
    while next_opcode(w) != CLOSE:
        c.reply(w)
        c.accepted(w, "heartbeat")
    c.closed(w, 1008)


def next_opcode(w):
    while not w.buf:
        assert w.fill()
    return w.buf[0] & 0xf


def flood_of_an_address(c):
    """More than an address may, on two connections."""
    address = c.address()
    first = c.enter(address=address)
    for _ in range(15):
        c.say(first, "heartbeat")
    second = c.enter(address=address)
    second.send(text(BEAT) * 30)
    receive_until_closed(c, second)
    c.leave(first)


def flood_of_pings(c):
    w = c.enter()
    w.send(frame(PING) * 300)
    while next_opcode(w) == PONG:
        w.recv_frame()
    c.closed(w, 1008, "rate limit exceeded")


def too_large(c):
    w = c.enter()
    c.say(w, "hello")
    w.send(header(TEXT, 5000), b"{" * 100)
    c.closed(w, 1009)


def broken_frames(c):
    w = c.enter()
    data, code = c.random.choice((
        (frame(3), 1002), (frame(TEXT, b"x", key=None), 1002),
        (frame(TEXT, b"\xff"), 1007)))
    w.send(data)
    c.closed(w, code)


def refused_requests(c):
    for how, status in (
            ({"omit": ["Host"]}, 400), ({"method": "POST"}, 405),
            ({"omit": ["Upgrade"]}, 426),
            ({"fields": [("X", "x" * 9000)]}, 431),
            ({"fields": [("Origin", "https://example.org")]}, 403),
            ({"key": None}, 401), ({"key": "wrong"}, 401)):
        w, r = c.ask(**how)
        assert r.status == status, r
        c.end(w)


def guesses(c):
    address = c.address()
    for status in (401, 401, 401, 429, 429):
        w, r = c.ask(address=address, key="wrong")
        assert r.status == status, r
        c.end(w)
    w, r = c.ask(address=address)
    assert r.status == 429
    c.end(w)


def crowd(c):
    """More half-open connections than an address may have; then more."""
    address = c.address()
    wires = [c.enter(address=address) for _ in range(2)]
    refused(c, address)
    for w in wires:
        c.say(w, "hello")
    wires.append(c.enter(address=address))
    refused(c, address)
    for w in wires:
        c.leave(w)


def refused(c, address):
    w, r = c.ask(address=address)
    assert r.status == 429
    c.end(w)


def changes_of_mind(c):
    """Nobody is told that half a request was no use."""
    w = c.open()
    w.send(request()[:c.random.randrange(80)])
    c.leave(w)


DEEDS = (conversation, conversation, conversation,
         conversation_of_the_session_dialect, fragments_and_pings, nonsense,
         another_session, no_hello, wrong_key_in_the_hello, flood,
         flood_of_an_address, flood_of_pings, too_large, broken_frames,
         refused_requests, guesses, crowd, changes_of_mind)


def falls_asleep(c):
    w = c.enter()
    c.say(w, "hello")
    w.sock.settimeout(15)
    c.closed(w, 1001, "idle timeout")


def never_asks(c):
    w = c.open()
    w.send(request()[:40])
    w.sock.settimeout(15)
    assert c.answer(w).status == 408
    c.end(w)


def never_speaks(c):
    w = c.enter()
    w.sock.settimeout(15)
    c.spoil(w, text("{"))
    c.closed(w, 1008, "handshake timeout")


SLOW_DEEDS = (falls_asleep, never_asks, never_speaks)


def live(node, number, until):
    """The life of a client, which begins with a good long wait or not."""
    c = Client(node, number)
    if number % 8 < len(SLOW_DEEDS):
        SLOW_DEEDS[number % 8](c)
    for deed in DEEDS[number % len(DEEDS):]:
        deed(c)
    while time.monotonic() < until:
        c.random.choice(DEEDS)(c)
    return c


# ---- the sums ----

OWN_HISTOGRAMS = ("ltp_accept_latency_seconds",
                  "ltp_handshake_latency_seconds")


def counters(node):
    """The counters of /metrics, and how often histograms were told."""
    _, _, body = node.get("/metrics")
    rising = set(re.findall(r"# TYPE (\S+) counter", body))
    rising.update(name + "_count" for name in OWN_HISTOGRAMS)
    found = {}
    for line in body.splitlines():
        m = SAMPLE.fullmatch(line)
        if m is not None and m[1].split("{")[0] in rising and \
                not m[1].startswith("ltp_process_"):
            found[m[1]] = int(float(m[2]))
    return found


def in_summary(node):
    """The same by ltpctl."""
    doc = ops.summary(node)
    found = {name + "_count": doc["histograms"][name]["count"]
             for name in OWN_HISTOGRAMS}
    for family, value in doc["counters"].items():
        if isinstance(value, int):
            found[family] = value
            continue
        [(label, values)] = value.items()
        for name, n in values.items():
            found[f'{family}{{{label}="{name}"}}'] = n
    return found


def lines(node):
    """Warnings about clients in the log, by category."""
    found = collections.Counter()
    for line in node.log_lines(r"^\S+ warn \S+ client \d+: "):
        reason = re.search(r' reason="(.*)"$', line)[1]
        found[REASONS.get(reason, "handshake")] += 1
    return found


class Books:
    """What all clients counted, and where it differs from /metrics."""

    # It depends on the second in which things happen.
    QUIET = ("log_suppressed_total", "ws_invalid_json_suppressed_total")

    def __init__(self, node, clients):
        self.node = node
        self.n = sum((c.n for c in clients), collections.Counter())
        self.events = sum((c.events for c in clients),
                          collections.Counter())

    def wrong(self):
        got = {name: n for name, n in counters(self.node).items()
               if not name.startswith(self.QUIET)}
        assert not self.n.keys() - got.keys(), "there are such counters"
        return {name: (n, self.n[name]) for name, n in got.items()
                if n != self.n[name]}


@pytest.fixture(scope="module")
def books(lab):
    with started(lab, KEYS, workers=3, trust_proxy=True, **LIMITS) as node:
        until = time.monotonic() + SECONDS
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            clients = list(pool.map(lambda n: live(node, n, until),
                                    range(CLIENTS)))
        yield Books(node, clients)


def test_the_sums_are_what_the_clients_counted(books):
    print(books.n)
    end = time.monotonic() + TIMEOUT
    while (wrong := books.wrong()) and time.monotonic() < end:
        time.sleep(0.1)
    assert not wrong, f"got, expected: {wrong}"
    # And so it stays: whoever reports late has been heard by now.
    end = time.monotonic() + STILL
    while time.monotonic() < end:
        time.sleep(0.1)
        assert not books.wrong()


def test_every_deed_has_been_counted(books):
    """There is something to add up, of all but what did not happen."""
    idle = {name for name in counters(books.node) if not books.n[name]}
    assert idle == {
        *Books.QUIET[1:], *map(suppressed, {*REASONS.values(), "handshake"}),
        "auth_keys_reload_success_total", "auth_keys_reload_failure_total",
        "ltp_connections_refused_total", "ltp_accept_pauses_total",
        upgrades(503), "ltp_channel_violations_total",
        "ltp_log_dropped_total", "ltp_reloads_total",
        "ltp_reload_failures_total", "ltp_audit_lines_total",
        "ltp_audit_errors_total", "ltp_audit_lost_total",
        *(f'ltp_restarts_total{{process="{name}"}}'
          for name in ("worker", "auth", "metrics", "audit", "sign")),
        *(f'ltp_dist_errors_total{{code="dist.{code}"}}' for code in (
            "auth_failed", "replay_detected", "session_limit",
            "connection_limit", "message_too_large", "rate_limited",
            "handshake_timeout", "message_timeout")),
        "ltp_tls_handshakes_total", "ltp_tls_handshake_failures_total",
        "ltp_tls_sign_refused_total", "ltp_tokens_reload_failure_total",
        "tls_reload_failure_total",
    }


def test_ltpctl_has_the_same_sums(books):
    assert in_summary(books.node) == counters(books.node)


def test_nobody_is_left(books):
    gauges = ops.summary(books.node)["gauges"]
    assert gauges["ltp_ws_connections_current"] == 0
    assert gauges["ltp_sessions_total"] == 0


def test_every_worker_had_a_part(books):
    for slot in range(3):
        pid = ops.process(books.node, "worker", slot)["pid"]
        assert ops.cpu_seconds([pid]) > 0


def test_what_is_not_in_the_log_is_counted(books):
    left_out = counters(books.node)
    logged = lines(books.node)
    assert {category: logged[category] + left_out[suppressed(category)]
            for category in {*REASONS.values(), "handshake"}} == books.events


def test_invalid_messages_are_logged_or_counted_as_left_out(books):
    n = counters(books.node)
    assert lines(books.node)["invalid_json"] + \
        n["ws_invalid_json_suppressed_total"] == n["ws_invalid_json_total"]
