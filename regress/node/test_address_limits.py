"""Limits of one address, for the node as a whole: sections 3 and 5.

The table in shared memory that they need is tried by itself, with a million
addresses, too, in regress/unit/shared_test.c.
"""

import collections
import itertools
import json
import multiprocessing
import os
import select
import selectors
import signal
import socket
import struct
import time

import pytest

import ops
import remote
from node import (BINARY, CLOSE, PING, TIMEOUT, Wire, basic, close, compact,
                  frame, request, table, text, wait_for)
from ops import (HELLO_ACK, beat, hello, place, prepared, process,
                 started)

CAP = 8             # connections of an address
HALF = 4            # of them half open
FAILURES = 5        # failed sign-ins in a minute
PROXY = "127.0.0.9"
TRUST = {"trust_proxy": True, "allow_proxy_cidr": [PROXY + "/32"]}
ALICE, BOB = "alice-key-0001", "bob-key-0002"
KEYS = {"alice": ALICE, "bob": BOB}

TOO_MANY = b"too many connections from this address"
TOO_OFTEN = b"too many failed sign-ins"

# An address: where connections come from, and what the proxy says of them.
Home = collections.namedtuple("Home", "source fields")
NUMBERS = itertools.count(1)


def direct():
    """An address that nobody had before."""
    return Home("127.1.%d.%d" % divmod(next(NUMBERS), 250), [])


def proxied():
    return Home(PROXY, [("X-Forwarded-For",
                         "198.18.%d.%d" % divmod(next(NUMBERS), 250))])


WAYS = pytest.mark.parametrize("way", [direct, proxied])


def knock(node, home, fields=()):
    """Ask to be let in."""
    w = node.wire(source=home.source)
    w.send(request([*home.fields, *fields]))
    return w


def join(node, home, count=1, fields=()):
    wires = [knock(node, home, fields) for _ in range(count)]
    for w in wires:
        w.accepted()
    return wires


def too_many(w, body=TOO_MANY):
    r = w.refused(429)
    assert r.body == body
    assert int(r.field("Retry-After")) > 0


def has_room(node, home):
    """Wait until one more is let in; returns who has that place now."""
    def let_in():
        w = knock(node, home)
        return w if w.response().status == 101 else None
    return wait_for(let_in, "a place", interval=0.01)


def is_full(node, home):
    too_many(knock(node, home))


# ---- connections ----

@pytest.fixture(scope="module")
def capped(lab):
    with started(lab, workers=2, max_connections_per_ip=CAP,
                 **TRUST) as node:
        yield node


@WAYS
def test_an_address_has_so_many_connections(capped, way):
    home = way()
    wires = join(capped, home, CAP)
    for _ in range(3):
        is_full(capped, home)
    for w in wires:
        w.pong()
    for other in (direct(), proxied()):
        join(capped, other, CAP)


def test_ipv6_addresses_of_a_network_are_one(capped):
    def home(address):
        return Home(PROXY, [("X-Forwarded-For", address)])
    for i in range(CAP):
        join(capped, home(f"2001:db8:1:2::{i + 1:x}"))
    is_full(capped, home("2001:db8:1:2:ffff::1"))
    join(capped, home("2001:db8:1:3::1"))


def test_what_a_stranger_forwards_is_no_address(capped):
    home = direct()
    for _ in range(CAP):
        join(capped, Home(home.source, proxied().fields))
    is_full(capped, Home(home.source, proxied().fields))


def test_a_connection_counts_before_it_says_anything(capped):
    home = direct()
    silent = [capped.wire(source=home.source) for _ in range(CAP + 1)]
    poll = select.poll()
    for w in silent:
        poll.register(w.sock, select.POLLIN)
    [(fd, _)] = poll.poll(1000 * TIMEOUT)
    for w in silent:
        if w.sock.fileno() == fd:
            too_many(w)
        else:
            w.upgrade()


def test_a_proxy_has_no_limit_of_its_own(capped):
    for _ in range(3 * CAP):
        capped.wire(source=PROXY).send(request()[:20])
    join(capped, proxied(), CAP)


def say_goodbye(w):
    w.send(close(1000))
    w.expect_close(1000)
    w.drop()


def break_a_rule(w):
    w.send(frame(3))
    w.expect_close(1002)
    w.drop()


@pytest.mark.parametrize("leave", [Wire.drop, Wire.reset, say_goodbye,
                                   break_a_rule])
@WAYS
def test_who_leaves_gives_a_place_back(capped, way, leave):
    home = way()
    wires = join(capped, home, CAP)
    is_full(capped, home)
    for w in wires[:2]:
        leave(w)
        has_room(capped, home)
        is_full(capped, home)


def test_a_bad_request_gives_its_place_back(capped):
    home = direct()
    join(capped, home, CAP - 1)
    w = knock(capped, home)
    w.accepted()
    w.drop()
    wait_for(lambda: bad_request(capped, home).status == 405, "an answer")
    has_room(capped, home)
    is_full(capped, home)


def bad_request(node, home):
    w = node.wire(source=home.source)
    w.send(request(method="POST"))
    r = w.response()
    w.drop()
    return r


@WAYS
def test_who_is_refused_has_no_place(capped, way):
    """Not even as long as it does not go, which the node allows a second."""
    home = way()
    wires = join(capped, home, CAP)
    begin = time.monotonic()
    lingering = [knock(capped, home) for _ in range(2 * CAP)]
    for w in lingering:
        assert w.response().status == 429
    wires[0].drop()
    has_room(capped, home)
    assert time.monotonic() - begin < 0.9


def at_once(node, home, count):
    """Many ask, all at the same time; how many are let in."""
    wires = [Wire(node.address, source=home.source) for _ in range(count)]
    asking = request(home.fields)
    try:
        for w in wires:
            w.send(asking[:-2])
        for w in wires:
            w.send(asking[-2:])
        status = collections.Counter(w.response().status for w in wires)
        assert set(status) <= {101, 429}
        return status[101]
    finally:
        for w in wires:
            w.reset()


@WAYS
def test_the_number_is_exact_whoever_comes_at_once(lab, way):
    rounds = 50
    with started(lab, workers=2, max_connections_per_ip=CAP,
                 **TRUST) as node:
        let_in = [at_once(node, way(), 3 * CAP) for _ in range(rounds)]
        assert let_in == rounds * [CAP]
        node.samples_are({
            "ltp_capacity_rejections_total": 2 * CAP * rounds,
            'ltp_upgrades_total{status="429"}': 2 * CAP * rounds,
            'ltp_upgrades_total{status="101"}': CAP * rounds,
            "ltp_ws_connections_current": 0,
        })


def test_somebody_gets_the_last_place(lab):
    """Two that ask for it at the same time are not both sent away."""
    rounds = 5000
    with started(lab, workers=2, max_connections_per_ip=1, **TRUST) as node:
        let_in = collections.Counter(at_once(node, proxied(), 2)
                                     for _ in range(rounds))
        assert let_in == {1: rounds}


@pytest.mark.parametrize("limit, cap, arrive", [
    ("max_connections_per_ip", CAP, beat),
    ("max_half_open_per_ip", HALF, Wire.pong),
], ids=["open", "half_open"])
@WAYS
def test_a_killed_worker_gives_back_what_it_held(lab, way, limit, cap,
                                                 arrive):
    with started(lab, workers=2, **{limit: cap}, **TRUST) as node:
        home = way()
        wires = join(node, home, cap)
        for w in wires:
            arrive(w)
        is_full(node, home)
        victim = process(node, "worker", 0)["pid"]
        ops.slay(victim)
        lost = [w for w in wires if has_ended(w)]
        assert 0 < len(lost) < cap
        ops.successor(node, "worker", 0, victim)
        node.settle()
        join(node, home, len(lost))
        is_full(node, home)


def has_ended(w):
    """All that it was told has been read already."""
    try:
        return w.readable(0.05) and not w.fill()
    except ConnectionError:
        return True


# ---- half-open connections ----

@pytest.fixture(scope="module")
def guarding(lab):
    """Against who opens connections and then takes its time."""
    with started(lab, workers=2, max_half_open_per_ip=HALF,
                 handshake_timeout_ms=60000, **TRUST) as node:
        yield node


@WAYS
def test_half_open_connections_have_a_limit(guarding, way):
    home = way()
    wires = join(guarding, home, HALF)
    is_full(guarding, home)
    join(guarding, way(), HALF)
    for w in wires[:2]:
        w.drop()
        has_room(guarding, home)
        is_full(guarding, home)


@WAYS
def test_the_first_valid_message_gives_the_place_back(guarding, way):
    home = way()
    half_open = join(guarding, home, HALF)
    for _ in range(3 * HALF):
        is_full(guarding, home)
        beat(half_open.pop(0))
        half_open.append(has_room(guarding, home))
    is_full(guarding, home)


@pytest.mark.parametrize("data", table(
    ("no JSON", text("{")), ("binary", frame(BINARY, b"x")),
    ("a ping", frame(PING)),
    ("an unknown type", text('{"type":"x","client_id":"c"}')),
    ("half a message", text(compact(hello()))[:-1]),
))
def test_all_else_does_not_give_it_back(guarding, data):
    home = proxied()
    for w in join(guarding, home, HALF):
        w.send(data)
        w.readable(0.1)
    is_full(guarding, home)


@WAYS
def test_who_is_refused_as_half_open_has_no_place_either(lab, way):
    with started(lab, workers=2, max_connections_per_ip=CAP,
                 max_half_open_per_ip=HALF, **TRUST) as node:
        home = way()
        wires = join(node, home, HALF)
        begin = time.monotonic()
        for w in [knock(node, home) for _ in range(2 * CAP)]:
            assert w.response().status == 429
        for w in wires:
            beat(w)
        join(node, home, HALF)
        assert time.monotonic() - begin < 0.9


@WAYS
def test_the_deadline_gives_it_back(lab, way):
    with started(lab, workers=2, max_half_open_per_ip=HALF,
                 handshake_timeout_ms=400, **TRUST) as node:
        home = way()
        wires = join(node, home, HALF)
        is_full(node, home)
        for w in wires:
            w.expect_close(1008, "handshake timeout")
            w.drop()
        has_room(node, home)


# ---- failed sign-ins ----

@pytest.fixture(scope="module")
def guarded(lab):
    with started(lab, KEYS, workers=2, auth_failure_limit=FAILURES,
                 **TRUST) as node:
        yield node


def key(value):
    return [("X-API-Key", value)]


def fail(node, home, count=1, fields=None):
    for _ in range(count):
        knock(node, home, key("wrong") if fields is None else fields) \
            .refused(401)


def is_shut_out(node, home):
    """The right key, too."""
    for fields in (key("wrong"), key(ALICE), []):
        too_many(knock(node, home, fields), TOO_OFTEN)


@pytest.mark.parametrize("fields", table(
    ("a wrong key", key("wrong")),
    ("no key", []),
    ("a wrong bearer", [("Authorization", "Bearer wrong")]),
    ("the key of another id", [("Authorization", basic(f"bob:{ALICE}"))]),
    ("two keys", [*key(ALICE), ("Authorization", f"Bearer {BOB}")]),
))
@WAYS
def test_so_many_sign_ins_may_fail(guarded, way, fields):
    home = way()
    fail(guarded, home, FAILURES, fields)
    is_shut_out(guarded, home)
    for other in (direct(), proxied()):
        join(guarded, other, fields=key(ALICE))


def test_the_peer_counts_when_it_is_no_proxy(guarded):
    home = direct()
    for _ in range(FAILURES):
        fail(guarded, Home(home.source, proxied().fields))
    is_shut_out(guarded, home)


def test_a_right_key_costs_nothing(guarded):
    home = direct()
    for _ in range(2):
        join(guarded, home, 4 * FAILURES, key(ALICE))
        fail(guarded, home, FAILURES - 3)
    fail(guarded, home)
    is_shut_out(guarded, home)


def test_who_is_in_stays_in(guarded):
    home = proxied()
    w, = join(guarded, home, fields=key(ALICE))
    fail(guarded, home, FAILURES)
    is_shut_out(guarded, home)
    beat(w, client_id="alice")


def test_neither_a_reload_nor_a_killed_worker_forgives(lab):
    with started(lab, KEYS, workers=2, auth_failure_limit=FAILURES,
                 **TRUST) as node:
        homes = [direct(), proxied()]
        for home in homes:
            fail(node, home, FAILURES)
        assert node.ctl("reload").returncode == 0
        for home in homes:
            is_shut_out(node, home)
        ops.kill_child(node, "worker")
        ops.kill_child(node, "auth")
        for home in homes:
            is_shut_out(node, home)


def test_a_failure_is_forgotten_in_its_time(lab):
    """Sixty a minute are one a second."""
    with started(lab, KEYS, workers=2, auth_failure_limit=60) as node:
        home = direct()
        begin = time.monotonic()
        failed = 0
        while knock(node, home, key("wrong")).response().status == 401:
            failed += 1
        assert 60 <= failed <= 60 + time.monotonic() - begin
        wait_for(lambda: knock(node, home, key(ALICE)).response().status
                 == 101, "somebody is let in", interval=0.01)
        assert -0.01 <= time.monotonic() - begin - (failed - 59) < 0.5
        join(node, home, 10, key(ALICE))
        fail(node, home)
        is_shut_out(node, home)


@pytest.fixture
def late(lab):
    """The key comes with the hello."""
    with started(lab, KEYS, workers=2, auth_failure_limit=FAILURES,
                 auth_in_hello=True, **TRUST) as node:
        yield node


def greet(w, member, value):
    """A hello with a key; is it taken?"""
    w.say({"type": "hello", "client_id": "c", member: value})
    answer = json.loads(w.recv_text())
    if answer["type"] == "hello_ack":
        return True
    assert answer["type"] == "error"
    assert w.recv_frame().opcode == CLOSE
    w.expect_end()
    return False


@pytest.mark.parametrize("member", ["api_key", "auth_token"])
def test_a_hello_that_fails_counts(late, member):
    home = proxied()
    for _ in range(FAILURES):
        w, = join(late, home)
        assert not greet(w, member, "wrong")
    is_shut_out(late, home)


@pytest.mark.parametrize("member", ["api_key", "auth_token"])
def test_who_came_before_cannot_go_on_guessing(late, member):
    """Connections that were opened in time are no stock of guesses."""
    home = proxied()
    wires = join(late, home, 3 * FAILURES)
    for w in wires[:-1]:
        assert not greet(w, member, "wrong")
    late.metrics_are(auth_failures_total=FAILURES)
    assert not greet(wires[-1], member, ALICE)
    w, = join(late, proxied())
    assert greet(w, member, ALICE)


def asked_together(node, *sent):
    """(wire, bytes): they are all asked about before one is answered."""
    auth = process(node, "auth")["pid"]
    os.kill(auth, signal.SIGSTOP)
    try:
        for w, data in sent:
            w.send(data)
        # A worker that has answered has read what came before.
        for _ in range(3):
            ops.sessions(node)
    finally:
        os.kill(auth, signal.SIGCONT)
    return [w for w, _ in sent]


GUESSES = ["wrong"] * (2 * FAILURES) + [ALICE]


@pytest.mark.parametrize("kind", [ops.Ltpd, remote.Remote])
def test_guesses_of_one_moment_are_judged_one_by_one(lab, kind):
    """Those that were asked about in time all passed, the right one, too."""
    with prepared(lab, KEYS, kind=kind, workers=1,
                  auth_failure_limit=FAILURES) as node:
        node.distributed = {"token": ALICE}
        place(node)
        node.start()
        for guess, status in ((ALICE, 101), ("wrong", 401)):
            w = node.wire()
            w.send(request([("Authorization", f"Bearer {guess}")]))
            assert w.response().status == status
        wires = asked_together(node, *(
            (node.wire(), request([("Authorization", f"Bearer {guess}")]))
            for guess in GUESSES))
        status = [w.response().status for w in wires]
        # One of those before has failed, too.
        assert status == [401] * (FAILURES - 1) + [429] * (FAILURES + 2)
        if kind is ops.Ltpd:
            keys = {row["id"]: row["sessions"]
                    for row in ops.ctl_json(node, "show", "keys")}
            assert keys == {"alice": 1, "bob": 0}
        node.drop_wires()
        node.stop()


@pytest.mark.parametrize("kind", [ops.Ltpd, remote.Remote])
def test_guesses_by_hello_are_judged_one_by_one(lab, kind):
    with prepared(lab, KEYS, kind=kind, workers=1, auth_in_hello=True,
                  auth_failure_limit=FAILURES) as node:
        node.distributed = {"token": ALICE}
        place(node)
        node.start()
        wires = [node.connect() for _ in GUESSES]
        asked_together(node, *(
            (w, text(compact({"type": "hello", "client_id": "alice",
                              "auth_token": guess})))
            for w, guess in zip(wires, GUESSES)))
        said = [json.loads(w.recv_text())["message"] for w in wires]
        assert len(set(said[:FAILURES])) == 1
        assert said[FAILURES:] == [TOO_OFTEN.decode()] * (FAILURES + 1)
        for w in wires:
            assert w.recv_frame().opcode == CLOSE
        node.stop()


# ---- messages: whoever comes again and again ----

RPS, BURST = 100, 50
BEAT = text(compact({"type": "heartbeat", "client_id": "c",
                     "timestamp_ms": 5}))
ACK = b'{"type":"heartbeat_ack",'
END = b"\x03\xf0ip rate limit exceeded"


class Eager:
    """
    A client that has always some heartbeats under way, and when it is closed
    is there again at once.
    """

    WINDOW = 4

    def __init__(self, node, home, selector):
        self.node = node
        self.home = home
        self.selector = selector
        self.joined = self.closed = self.passed = 0
        self.join()

    def join(self):
        # Whatever a client claims to have been forwarded from is left out.
        fields = [(name, f"203.0.113.{self.closed % 250}, {value}")
                  for name, value in self.home.fields]
        self.wire = Wire(self.node.address, source=self.home.source)
        self.wire.send(request(fields), BEAT * self.WINDOW)
        self.asked = self.WINDOW
        self.acks = 0
        self.joined += 1
        self.selector.register(self.wire.sock, selectors.EVENT_READ, self)

    def leave(self):
        self.selector.unregister(self.wire.sock)
        # No port is left in TIME_WAIT.
        self.wire.reset()

    def step(self, go_on):
        """There is something to read."""
        w = self.wire
        if not w.fill():
            assert w.buf.endswith(END), w.buf[-200:]
            self.closed += 1
            self.leave()
            if go_on:
                self.join()
            return
        acks = w.buf.count(ACK)
        self.passed += acks - self.acks
        self.acks = acks
        if END in w.buf:
            return
        if go_on:
            w.send(BEAT * (self.WINDOW - self.asked + acks))
            self.asked = acks + self.WINDOW
        elif self.asked == acks:
            self.leave()


def hammer(node, homes, count, seconds):
    """
    So many clients of each address: a list for each thing that they count,
    and how long it took.
    """
    selector = selectors.DefaultSelector()
    begin = time.monotonic()
    gangs = [[Eager(node, home, selector) for _ in range(count)]
             for home in homes]
    while selector.get_map():
        go_on = time.monotonic() - begin < seconds
        for ready, _ in selector.select(TIMEOUT):
            ready.data.step(go_on)
    took = time.monotonic() - begin
    return *([sum(getattr(e, name) for e in gang) for gang in gangs]
             for name in ("joined", "closed", "passed")), took


def quiet(node):
    """No line for each connection: there are very many."""
    node.configure(log_level="warn")
    assert node.ctl("reload").returncode == 0


@pytest.mark.parametrize("seconds, share", [
    (6, 0.90), pytest.param(60, 0.98, marks=pytest.mark.long)])
def test_who_comes_again_and_again_gets_no_more(lab, seconds, share):
    """Eight clients of an address, and as many of one behind a proxy."""
    with started(lab, workers=4, ip_rate_limit_rps=RPS,
                 ip_rate_limit_burst=BURST, **TRUST) as node:
        quiet(node)
        joined, closed, passed, took = hammer(
            node, [direct(), proxied()], 8, seconds)
        print(f"{passed} messages passed in {took:.3f} s, of each at most "
              f"{BURST + RPS * took:.1f}; {closed} connections were closed")
        assert min(closed) > 10 * seconds
        assert max(passed) <= BURST + RPS * took
        assert min(passed) >= share * (BURST + RPS * seconds)
        for slot in range(4):
            assert ops.cpu_seconds([process(node, "worker", slot)["pid"]]) \
                > 0.02 * seconds, "all workers took part"
        node.samples_are({
            'ltp_msgs_total{type="heartbeat"}': sum(passed),
            'ltp_msg_rejected_total{reason="rate_limit"}': sum(closed),
            "ip_rate_limit_violations_total": sum(closed),
            'ltp_upgrades_total{status="101"}': sum(joined),
        })


# ---- a million addresses ----

PROMPT = 0.1        # seconds that 99 of 100 heartbeats take at most
TABLE = 64 << 20    # bytes of the shared table at most
SLACK = 16 << 20    # bytes of a process beside it
GROWTH = 2 << 20
VISITORS = 4        # processes
PATIENT = 50        # clients who are not in a hurry


def address_of(number):
    return b"10.%d.%d.%d" % (number >> 16 & 255, number >> 8 & 255,
                             number & 255)


def visit(address, numbers):
    """For each number an address from which somebody says hello."""
    os.nice(5)      # it is not the machine that is tested
    before, after = request([("X-Forwarded-For", "@")]).split(b"@")
    after += text(compact(hello()))
    ack = compact(HELLO_ACK)
    for number in numbers:
        with socket.socket() as sock:
            sock.settimeout(TIMEOUT)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
            sock.connect(address)
            sock.sendall(before + address_of(number) + after)
            got = b""
            while not got.endswith(ack):
                data = sock.recv(4096)
                assert data, got
                got += data


class Crowd:
    """Visits of that many addresses, in processes of their own."""

    def __init__(self, node, first, count):
        context = multiprocessing.get_context("fork")
        numbers = range(first, first + count)
        self.visitors = [
            context.Process(target=visit,
                            args=(node.address, numbers[i::VISITORS]))
            for i in range(VISITORS)]

    def __enter__(self):
        for v in self.visitors:
            v.start()
        return self

    def __exit__(self, *exc):
        for v in self.visitors:
            if exc[0] is not None:
                v.kill()
            v.join()
        if exc[0] is None:
            assert [v.exitcode for v in self.visitors] == VISITORS * [0]

    def is_there(self):
        return any(v.is_alive() for v in self.visitors)


def resident(node):
    return {(p["process"], p["slot"]): p["resident_bytes"]
            for p in ops.processes(node)}


def patient_beats(wires, goes_on):
    """Heartbeats one by one; how long each took, sorted."""
    took = []
    for n in itertools.count():
        if not goes_on():
            return sorted(took)
        begin = time.monotonic()
        beat(wires[n % len(wires)], n)
        took.append(time.monotonic() - begin)
        time.sleep(0.012)


@pytest.mark.parametrize("count", [
    20000, pytest.param(1000000, marks=pytest.mark.long)])
def test_addresses_however_many_disturb_nobody(lab, count):
    """And their memory is bounded: it is all in use after some thousands."""
    with started(lab, workers=4, trust_proxy=True, ip_rate_limit_rps=2,
                 max_connections_per_ip=64, max_half_open_per_ip=16,
                 idle_ttl_ms=600000) as node:
        quiet(node)
        wires = [join(node, proxied())[0] for _ in range(PATIENT)]
        patient_beats(wires, iter([True] * PATIENT + [False]).__next__)
        first = min(count // 4, 50000)
        with Crowd(node, 0, first):
            pass
        before = resident(node)
        begin = time.monotonic()
        with Crowd(node, 1 << 20, count) as crowd:
            took = patient_beats(wires, crowd.is_there)
        seconds = time.monotonic() - begin
        after = resident(node)
        p99 = took[len(took) * 99 // 100]
        print(f"{count} addresses in {seconds:.1f} s; of {len(took)} "
              f"heartbeats 99 % took {1000 * p99:.1f} ms at most, the "
              f"slowest {1000 * took[-1]:.1f} ms; bytes before {before}, "
              f"after {after}")
        assert p99 < PROMPT
        for name, bytes_ in after.items():
            assert bytes_ < TABLE + SLACK, name
            if first == 50000:
                assert bytes_ - before[name] < GROWTH, name
        node.samples_are({
            'ltp_msgs_total{type="hello"}': first + count,
            "ip_rate_limit_violations_total": 0,
            "ltp_capacity_rejections_total": 0,
            "ltp_ws_connections_current": PATIENT,
            "ltp_sessions_total": PATIENT,
        })
