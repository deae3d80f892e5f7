"""The WebSocket upgrade: section 1 of the node protocol."""

import base64
import time

import pytest

from node import (FIELDS, TIMEOUT, accept_of, basic, compact, request, table,
                  text, wait_for)

HELLO = {"type": "hello", "client_id": "c"}
HELLO_ACK = {"type": "hello_ack", "node_id": "node-a", "accepted": True}

ALICE, BOB, CAROL = "alice-key-0001", "bob-key-0002", "car:ol key /+="
KEYS = {"alice": ALICE, "bob": BOB, "carol": CAROL}


@pytest.fixture(scope="module")
def node(lab):
    with lab.node() as node:
        yield node


@pytest.fixture(scope="module")
def guarded(lab):
    with lab.node(KEYS) as node:
        yield node


def key_of(length):
    return base64.b64encode(bytes(range(length))).decode()


# ---- accepted ----

@pytest.mark.parametrize("fields, how", table(
    ("plain", [], {}),
    ("another path and a query", [], {"target": "/ltp/v0?a=b&c=%20"}),
    ("fields in lower case",
     [(n.lower(), v) for n, v in FIELDS],
     {"omit": [n for n, _ in FIELDS]}),
    ("fields in upper case",
     [(n.upper(), v) for n, v in FIELDS],
     {"omit": [n for n, _ in FIELDS]}),
    ("Upgrade compared without case",
     [("Upgrade", "WebSocket")], {"omit": ["Upgrade"]}),
    ("Connection with more options",
     [("Connection", "keep-alive, upgrade")], {"omit": ["Connection"]}),
    ("Connection in two fields",
     [("Connection", "keep-alive"), ("Connection", "Upgrade")],
     {"omit": ["Connection"]}),
    ("key of other bytes",
     [("Sec-WebSocket-Key", key_of(16))], {"omit": ["Sec-WebSocket-Key"]}),
    ("fields nobody knows", [("X-Whatever", "1"), ("Cookie", "a=b")], {}),
    ("spaces around a value", [("X-Whatever", "  \t 1 \t ")], {}),
    ("a hundred header fields",
     [(f"X-{i}", "v") for i in range(100 - len(FIELDS))], {}),
))
def test_accepts(node, fields, how):
    w = node.wire()
    r = w.upgrade(fields, **how)
    key = [v for n, v in [*fields, *FIELDS]
           if n.lower() == "sec-websocket-key"][0]
    assert r.version == "HTTP/1.1"
    assert r.field("Upgrade").lower() == "websocket"
    assert r.field("Connection").lower() == "upgrade"
    assert r.field("Sec-WebSocket-Accept") == accept_of(key)
    assert r.field("Sec-WebSocket-Protocol") is None
    assert r.field("Sec-WebSocket-Extensions") is None
    w.say(HELLO)
    w.expect(HELLO_ACK)


@pytest.mark.parametrize("offered, granted", table(
    ("ours", ["ltp.v0.1"], "ltp.v0.1"),
    ("ours of two digits", ["ltp.v0.12"], "ltp.v0.12"),
    ("the first of ours", ["chat, ltp.v0.3, ltp.v0.1"], "ltp.v0.3"),
    ("ours in the second field", ["chat", "ltp.v0.2"], "ltp.v0.2"),
    ("without spaces", ["chat,ltp.v0.3,ltp.v0.1"], "ltp.v0.3"),
    ("unknown", ["chat, superchat"], None),
    ("another major version", ["ltp.v1.0"], None),
    ("no minor version", ["ltp.v0."], None),
    ("a letter for a number", ["ltp.v0.x"], None),
    ("a number with a letter", ["ltp.v0.1x"], None),
    ("in upper case", ["LTP.V0.1"], None),
))
def test_subprotocol(node, offered, granted):
    w = node.wire()
    r = w.upgrade([("Sec-WebSocket-Protocol", o) for o in offered])
    assert r.field("Sec-WebSocket-Protocol") == granted


@pytest.mark.parametrize("offered", table(
    ("deflate", "permessage-deflate"),
    ("deflate with parameters",
     "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"),
))
def test_no_extension_is_granted(node, offered):
    w = node.wire()
    r = w.upgrade([("Sec-WebSocket-Extensions", offered)])
    assert r.field("Sec-WebSocket-Extensions") is None
    w.say(HELLO)
    w.expect(HELLO_ACK)


# ---- refused ----

def without(*names, plus=()):
    return request(list(plus), omit=names)


GET = b"GET / HTTP/1.1\r\n"
REST = request()[len(GET):]
BODY = b"hello"


@pytest.mark.parametrize("status, data", table(
    ("no Host", 400, without("Host")),
    ("two Hosts", 400, request([("Host", "localhost")])),
    ("two different Hosts", 400, request([("Host", "example.org")])),
    ("no key", 400, without("Sec-WebSocket-Key")),
    ("two keys", 400, request([("Sec-WebSocket-Key", key_of(16))])),
    ("the same key twice", 400, request([FIELDS[4]])),
    ("key of 15 bytes", 400, without(
        "Sec-WebSocket-Key", plus=[("Sec-WebSocket-Key", key_of(15))])),
    ("key of 17 bytes", 400, without(
        "Sec-WebSocket-Key", plus=[("Sec-WebSocket-Key", key_of(17))])),
    ("key of 18 bytes", 400, without(
        "Sec-WebSocket-Key", plus=[("Sec-WebSocket-Key", key_of(18))])),
    ("empty key", 400, without(
        "Sec-WebSocket-Key", plus=[("Sec-WebSocket-Key", "")])),
    ("key that is no base64", 400, without(
        "Sec-WebSocket-Key",
        plus=[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j!Q==")])),
    ("key without padding", 400, without(
        "Sec-WebSocket-Key",
        plus=[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")])),
    ("two X-API-Keys", 400, request([("X-API-Key", "a"),
                                     ("X-API-Key", "a")])),
    ("no Connection", 400, without("Connection")),
    ("Connection without Upgrade", 400, without(
        "Connection", plus=[("Connection", "keep-alive")])),
    ("HTTP 1.0", 400, request(version="HTTP/1.0")),
    ("Content-Length", 400, request([("Content-Length", "5")]) + BODY),
    ("Content-Length without the body", 400,
     request([("Content-Length", "5")])),
    ("chunked body", 400, request([("Transfer-Encoding", "chunked")])),
    ("bare LF everywhere", 400, request(end="\n")),
    ("bare LF after the request line", 400, GET[:-2] + b"\n" + REST),
    ("bare LF after a field", 400,
     GET + REST.replace(b"localhost\r\n", b"localhost\n")),
    ("bare LF at the end", 400, request()[:-2] + b"\n"),
    ("bare CR in a value", 400,
     GET + b"X-A: a\rb\r\n" + REST),
    ("folded field", 400, GET + b"X-A: a\r\n b\r\n" + REST),
    ("folded field with a tab", 400, GET + b"X-A: a\r\n\tb\r\n" + REST),
    ("fold before the first field", 400, GET + b" X-A: a\r\n" + REST),
    ("space before the colon", 400, GET + b"X-A : a\r\n" + REST),
    ("no colon", 400, GET + b"X-A\r\n" + REST),
    ("empty name", 400, GET + b": a\r\n" + REST),
    ("NUL in a value", 400, GET + b"X-A: a\0b\r\n" + REST),
    ("NUL in a name", 400, GET + b"X\0A: a\r\n" + REST),
    ("no version", 400, b"GET /\r\n" + REST),
    ("another protocol", 400, b"GET / RTSP/1.0\r\n" + REST),
    ("two spaces in the request line", 400,
     b"GET  / HTTP/1.1\r\n" + REST),
    ("TLS", 400, bytes.fromhex("16030100c8010000c40303") + bytes(200)),
    ("noise", 400, b"\xff\xfe\xfd\r\n\r\n"),
    ("POST", 405, request(method="POST")),
    ("PUT", 405, request(method="PUT")),
    ("HEAD", 405, request(method="HEAD")),
    ("OPTIONS", 405, request(method="OPTIONS")),
    ("DELETE", 405, request(method="DELETE")),
    ("version 8", 426, without(
        "Sec-WebSocket-Version", plus=[("Sec-WebSocket-Version", "8")])),
    ("version 14", 426, without(
        "Sec-WebSocket-Version", plus=[("Sec-WebSocket-Version", "14")])),
    ("version of letters", 426, without(
        "Sec-WebSocket-Version", plus=[("Sec-WebSocket-Version", "x")])),
    ("a hundred and one fields", 431, request(
        [(f"X-{i}", "v") for i in range(101 - len(FIELDS))])),
    ("a long field", 431, request([("X-A", "a" * 8192)])),
    ("a long path", 431, request(target="/" + "a" * 8192)),
    ("a long name", 431, request([("X-" + "a" * 8192, "a")])),
))
def test_refuses(node, status, data):
    w = node.wire()
    w.send(data)
    r = w.refused(status)
    if status == 405:
        assert r.field("Allow") == "GET"
    if status == 426:
        assert r.field("Sec-WebSocket-Version") == "13"


@pytest.mark.parametrize("data", table(
    ("no Upgrade", without("Upgrade")),
    ("another Upgrade", without("Upgrade", plus=[("Upgrade", "h2c")])),
    ("a browser", GET + b"Host: localhost\r\n\r\n"),
    ("no version", without("Sec-WebSocket-Version")),
))
def test_refuses_what_asks_for_no_websocket(node, data):
    """400 and 426 are both right by the contract."""
    w = node.wire()
    w.send(data)
    r = w.response()
    assert r.status in (400, 426), r
    if r.status == 426:
        assert r.field("Sec-WebSocket-Version") == "13"
    w.expect_end()


def sized(size):
    """A request of just this many bytes."""
    return request([("X-A", "a" * (size - len(request()) - 7))])


def test_8192_bytes_are_accepted(node):
    assert len(sized(8192)) == 8192
    w = node.wire()
    w.send(sized(8192))
    w.accepted()


def test_8193_bytes_are_refused(node):
    w = node.wire()
    w.send(sized(8193))
    w.refused(431)


def test_what_has_no_end_is_refused_at_8_kib(node):
    w = node.wire()
    w.send(GET + b"Host: localhost\r\n" + b"X-A: " + b"a" * 8192)
    w.refused(431)


def test_a_bad_byte_does_not_wait_for_the_rest(node):
    w = node.wire()
    w.send(GET + b"Host: localhost\nX-A: a")
    w.refused(400)


# ---- pieces ----

def test_first_frame_in_the_same_packet(node):
    w = node.wire()
    w.send(request(), text(compact(HELLO)))
    w.accepted()
    w.expect(HELLO_ACK)


def test_first_frame_in_the_same_packet_while_auth_is_asked(guarded):
    w = guarded.wire()
    w.send(request([("X-API-Key", ALICE)]),
           text(compact(HELLO)), text(compact(HELLO)))
    w.accepted()
    w.expect(HELLO_ACK)
    w.expect(HELLO_ACK)


def test_request_and_frame_split_at_every_byte(node):
    data = request() + text(compact(HELLO))
    wires = [node.wire() for _ in range(len(data) - 1)]
    for i, w in enumerate(wires, 1):
        w.send(data[:i])
    node.barrier()
    for i, w in enumerate(wires, 1):
        w.send(data[i:])
    for w in wires:
        w.accepted()
        w.expect(HELLO_ACK)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_request_and_frame_in_pieces(node, size):
    data = request() + text(compact(HELLO))
    w = node.wire()
    for i in range(0, len(data), size):
        w.send(data[i:i + size])
        node.barrier()
    w.accepted()
    w.expect(HELLO_ACK)


@pytest.mark.parametrize("size", [1460, 4096, 8191])
def test_large_request_in_pieces(node, size):
    data = sized(8192) + text(compact(HELLO))
    w = node.wire()
    for i in range(0, len(data), size):
        w.send(data[i:i + size])
        node.barrier()
    w.accepted()
    w.expect(HELLO_ACK)


def test_bad_request_in_single_bytes(node):
    w = node.wire()
    for byte in request([("Host", "localhost")])[:70]:
        w.send(bytes([byte]))
    w.send(request([("Host", "localhost")])[70:])
    w.refused(400)


# ---- credentials ----

MISSING = b"missing api key"
INVALID = b"invalid api key"
UNAVAILABLE = b"authentication is not available"


def refused_credentials(w, body):
    r = w.refused(401)
    assert r.field("Content-Length") == str(len(body))
    assert r.field("Connection") == "close"
    assert r.body == body


def identity(w):
    """Whom the node takes this connection for."""
    w.say({"type": "heartbeat", "client_id": "c", "timestamp_ms": 1})
    return w.recv_text().split(b'"client_id":"')[1].split(b'"')[0].decode()


@pytest.mark.parametrize("who, fields", table(
    ("X-API-Key", "alice", [("X-API-Key", ALICE)]),
    ("X-API-Key in lower case", "bob", [("x-api-key", BOB)]),
    ("key with colon and space", "carol", [("X-API-Key", CAROL)]),
    ("Bearer", "alice", [("Authorization", f"Bearer {ALICE}")]),
    ("bearer", "alice", [("authorization", f"bearer {ALICE}")]),
    ("BEARER", "alice", [("AUTHORIZATION", f"BEARER {ALICE}")]),
    ("ApiKey", "bob", [("Authorization", f"ApiKey {BOB}")]),
    ("apikey", "bob", [("Authorization", f"apikey {BOB}")]),
    ("Basic", "alice", [("Authorization", basic(f"alice:{ALICE}"))]),
    ("Basic in lower case", "alice",
     [("Authorization", basic(f"alice:{ALICE}").replace("B", "b", 1))]),
    ("Basic with a colon in the key", "carol",
     [("Authorization", basic(f"carol:{CAROL}"))]),
    ("empty X-API-Key and Bearer", "alice",
     [("X-API-Key", ""), ("Authorization", f"Bearer {ALICE}")]),
    ("empty X-API-Key and Basic", "alice",
     [("X-API-Key", ""), ("Authorization", basic(f"alice:{ALICE}"))]),
    ("X-API-Key beyond ASCII and Bearer", "alice",
     [("X-API-Key", "k\xe9y"), ("Authorization", f"Bearer {ALICE}")]),
    ("X-API-Key with a tab and Bearer", "alice",
     [("X-API-Key", "k\ty"), ("Authorization", f"Bearer {ALICE}")]),
    ("X-API-Key and the same as Bearer", "alice",
     [("X-API-Key", ALICE), ("Authorization", f"Bearer {ALICE}")]),
    ("X-API-Key and the same as ApiKey", "alice",
     [("Authorization", f"ApiKey {ALICE}"), ("X-API-Key", ALICE)]),
    ("X-API-Key and Basic of a proxy", "alice",
     [("X-API-Key", ALICE), ("Authorization", basic("proxy:secret"))]),
    ("X-API-Key and Basic of another key", "alice",
     [("X-API-Key", ALICE), ("Authorization", basic(f"bob:{BOB}"))]),
    ("X-API-Key and Digest of a proxy", "alice",
     [("X-API-Key", ALICE), ("Authorization", "Digest username=x")]),
))
def test_credentials_are_accepted(guarded, who, fields):
    w = guarded.connect(fields)
    assert identity(w) == who


@pytest.mark.parametrize("body, fields", table(
    ("none", MISSING, []),
    ("empty X-API-Key", MISSING, [("X-API-Key", "")]),
    ("X-API-Key beyond ASCII", MISSING, [("X-API-Key", "k\xe9y")]),
    ("X-API-Key with a tab inside", MISSING, [("X-API-Key", "k\ty")]),
    ("a scheme nobody knows", MISSING,
     [("Authorization", f"Digest {ALICE}")]),
    ("wrong X-API-Key", INVALID, [("X-API-Key", "wrong")]),
    ("the beginning of a key", INVALID, [("X-API-Key", ALICE[:-1])]),
    ("a key and more", INVALID, [("X-API-Key", ALICE + "x")]),
    ("a key in upper case", INVALID, [("X-API-Key", ALICE.upper())]),
    ("an id", INVALID, [("X-API-Key", "alice")]),
    ("id and key", INVALID, [("X-API-Key", f"alice:{ALICE}")]),
    ("a key of 1025 bytes", INVALID, [("X-API-Key", "k" * 1025)]),
    ("wrong Bearer", INVALID, [("Authorization", "Bearer wrong")]),
    ("wrong ApiKey", INVALID, [("Authorization", "ApiKey wrong")]),
    ("wrong Basic", INVALID, [("Authorization", basic("alice:wrong"))]),
    ("Basic of a key under another id", INVALID,
     [("Authorization", basic(f"bob:{ALICE}"))]),
    ("wrong X-API-Key and right Bearer", INVALID,
     [("X-API-Key", "wrong"), ("Authorization", f"Bearer {ALICE}")]),
    ("right X-API-Key and wrong Bearer", INVALID,
     [("X-API-Key", ALICE), ("Authorization", "Bearer wrong")]),
    ("two right keys as X-API-Key and Bearer", INVALID,
     [("X-API-Key", ALICE), ("Authorization", f"Bearer {BOB}")]),
    ("two right keys as X-API-Key and ApiKey", INVALID,
     [("X-API-Key", ALICE), ("Authorization", f"ApiKey {BOB}")]),
))
def test_credentials_are_refused(guarded, body, fields):
    w = guarded.wire()
    w.send(request(fields))
    refused_credentials(w, body)


def test_a_key_in_the_path_is_no_credential(guarded):
    w = guarded.wire()
    w.send(request(target=f"/?api_key={ALICE}"))
    refused_credentials(w, MISSING)


def test_without_authentication_credentials_do_not_matter(node):
    node.connect([("X-API-Key", "whatever")])
    node.connect([("Authorization", "Bearer whatever")])


def test_unreadable_keys_refuse_everybody(lab):
    with lab.node({"alice": ALICE}, errors="keys") as node:
        good = [("X-API-Key", ALICE)]

        def answer(fields):
            with node.wire() as w:
                w.send(request(fields))
                r = w.response()
                return r.status, r.body

        assert answer(good)[0] == 101
        node.file("keys.json", "{")
        wait_for(lambda: answer(good) == (401, UNAVAILABLE),
                 "nobody is let in")
        assert answer([]) == (401, UNAVAILABLE)
        assert answer([("X-API-Key", "wrong")]) == (401, UNAVAILABLE)
        node.keys({"alice": ALICE})
        wait_for(lambda: answer(good)[0] == 101, "keys are back")
        assert answer([]) == (401, MISSING)


@pytest.fixture(scope="module")
def hello_node(lab):
    with lab.node(KEYS, auth_in_hello=True) as node:
        yield node


def test_auth_in_hello_as_auth_token(hello_node):
    w = hello_node.connect()
    w.say({**HELLO, "auth_token": ALICE})
    w.expect(HELLO_ACK)
    assert identity(w) == "alice"


def test_auth_in_hello_as_api_key(hello_node):
    w = hello_node.connect()
    ack = w.ask({"type": "hello", "api_key": BOB})
    assert ack.startswith(compact(HELLO_ACK)[:-1])


def test_auth_in_hello_still_refuses_a_wrong_header(hello_node):
    w = hello_node.wire()
    w.send(request([("X-API-Key", "wrong")]))
    refused_credentials(w, INVALID)


def test_auth_in_hello_still_takes_a_header(hello_node):
    w = hello_node.connect([("X-API-Key", ALICE)])
    assert identity(w) == "alice"


def test_auth_in_hello_refuses_a_wrong_key(hello_node):
    w = hello_node.connect()
    w.say({"type": "hello", "api_key": "wrong"})
    w.expect({"type": "error", "code": "UNAUTHORIZED",
              "message": "unauthorized"})
    w.expect_close(1008)


@pytest.mark.parametrize("first", table(
    ("hello without a key", HELLO),
    ("hello with a wrong token", {**HELLO, "auth_token": "wrong"}),
    ("heartbeat",
     {"type": "heartbeat", "client_id": "c", "timestamp_ms": 1}),
    ("route request", {"type": "route_request", "client_id": "c"}),
    ("orientation", {"type": "orientation", "client_id": "c"}),
))
def test_auth_in_hello_comes_before_all_else(hello_node, first):
    """The contract does not say how, so: an error, and nothing granted."""
    w = hello_node.connect()
    assert w.ask(first).startswith(b'{"type":"error",')


# ---- Origin ----

def test_origin_is_refused_by_default(node):
    w = node.wire()
    w.send(request([("Origin", "http://localhost")]))
    w.refused(403)
    wait_for(lambda: node.log_lines("origin_not_allowed"),
             "the log tells the reason")


@pytest.fixture(scope="module")
def origin_node(lab):
    with lab.node(allowed_origins=[
            "https://app.example.org", "https://app.example.org:8443",
            "http://localhost:*"]) as node:
        yield node


@pytest.mark.parametrize("origin, status", table(
    ("none", None, 101),
    ("listed", "https://app.example.org", 101),
    ("listed with a port", "https://app.example.org:8443", 101),
    ("another port", "https://app.example.org:8444", 403),
    ("another scheme", "http://app.example.org", 403),
    ("a parent", "https://example.org", 403),
    ("a child", "https://x.app.example.org", 403),
    ("a suffix", "https://app.example.org.evil.example", 403),
    ("a prefix", "https://evil-app.example.org", 403),
    ("any port", "http://localhost", 101),
    ("any port 3000", "http://localhost:3000", 101),
    ("a name after the host", "http://localhost.evil.example", 403),
    ("a name for a port", "http://localhost:3000.evil.example", 403),
    ("user as host", "http://localhost:1@evil.example", 403),
    ("null", "null", 403),
    ("empty", "", 403),
    ("a path", "https://app.example.org/", 403),
))
def test_origin(origin_node, origin, status):
    w = origin_node.wire()
    w.send(request([("Origin", origin)] if origin is not None else []))
    if status == 101:
        w.accepted()
    else:
        w.refused(status)


def test_any_origin(lab):
    with lab.node(allowed_origins=["*"]) as node:
        node.connect([("Origin", "https://whoever.example")])
        node.connect([("Origin", "null")])


# ---- capacity ----

def answered_politely(w):
    """
    The whole answer and then the end: with a reset the answer could be
    lost, so here it is none.
    """
    w.send(request())
    while w.fill():
        pass
    head, body = w.buf.split(b"\r\n\r\n", 1)
    w.buf = head + b"\r\n\r\n" + body
    r = w.response()
    assert r.status == 503, r
    assert int(r.field("Retry-After")) > 0
    assert r.all("Connection") == ["close"]
    assert w.buf == b""


@pytest.mark.parametrize("workers", [1, 2])
def test_503_at_capacity(lab, workers):
    with lab.node(max_connections=2, workers=workers) as node:
        first = node.connect()
        node.connect()
        for _ in range(5):
            answered_politely(node.wire())
        first.drop()
        wait_for(lambda: enters(node), "there is room again")


def enters(node):
    w = node.wire()
    w.send(request())
    return w.response().status == 101


def test_connections_count_before_the_upgrade(lab):
    with lab.node(max_connections=2) as node:
        silent = node.wire()
        node.wire().send(b"GET /")
        node.wire()
        answered_politely(node.wire())
        silent.drop()
        wait_for(lambda: enters(node), "there is room again")


def test_who_says_nothing_is_refused_as_well(lab):
    """Soon, and with 503 if it is told anything."""
    with lab.node(max_connections=1) as node:
        node.connect().pong()
        w = node.wire()
        w.sock.settimeout(3)
        try:
            while w.fill():
                pass
        except ConnectionError:
            pass
        assert w.buf == b"" or w.buf.startswith(b"HTTP/1.1 503 "), w.buf


def test_a_crowd_over_capacity(lab):
    """Not all can be told, but who was in stays and who comes later is."""
    with lab.node(max_connections=2, workers=2) as node:
        inside = [node.connect(), node.connect()]
        crowd = [node.wire() for _ in range(200)]
        for w in inside:
            w.say(HELLO)
            w.expect(HELLO_ACK)
        for w in crowd:
            w.drop()
        wait_for(lambda: told(node), "there is time for politeness again")
        for w in inside:
            w.pong()


def told(node):
    w = node.wire()
    try:
        answered_politely(w)
    except (ConnectionError, ValueError):
        return False
    return True


def test_resets_after_hello_leak_no_connection(lab):
    """A reference node refuses everybody after some of these."""
    with lab.node(max_connections=4) as node:
        for _ in range(30):
            w = wait_for(lambda: entered(node), "there is room", TIMEOUT)
            w.say(HELLO)
            w.reset()
        node.metrics_are(ltp_ws_connections_current=0, ltp_sessions_total=0)


def entered(node):
    w = node.wire()
    w.send(request())
    return w if w.response().status == 101 else None


# ---- deadline ----

DEADLINE = 0.4


@pytest.fixture(scope="module")
def hasty(lab):
    with lab.node(handshake_timeout_ms=int(1000 * DEADLINE)) as node:
        yield node


class Stopwatch:
    def __enter__(self):
        self.start = time.monotonic()
        return self

    def __exit__(self, *exc):
        took = time.monotonic() - self.start
        if exc[0] is None:
            assert DEADLINE * 0.9 <= took <= DEADLINE + 1, took


@pytest.mark.parametrize("said", table(
    ("silent", b""),
    ("in the request line", b"GET / HT"),
    ("in the header", request()[:-4]),
    ("before the last byte", request()[:-1]),
))
def test_408_before_the_upgrade(hasty, said):
    with Stopwatch():
        w = hasty.wire()
        w.send(said)
        w.refused(408)


def test_408_for_one_byte_after_the_other(hasty):
    with Stopwatch():
        w = hasty.wire()
        for byte in request():
            w.send(bytes([byte]))
            if w.readable(0.05):
                break
        w.refused(408)


def test_1008_after_the_upgrade(hasty):
    with Stopwatch():
        hasty.connect().expect_close(1008, "handshake timeout")


@pytest.mark.parametrize("said", table(
    ("an incomplete message", text(compact(HELLO))[:-1]),
    ("the first fragment", text(compact(HELLO), fin=False)),
))
def test_1008_in_the_first_message(hasty, said):
    with Stopwatch():
        w = hasty.connect()
        w.send(said)
        w.expect_close(1008, "handshake timeout")


def test_the_deadline_runs_from_accept(hasty):
    """Not from the upgrade."""
    with Stopwatch():
        w = hasty.wire()
        w.quiet(DEADLINE * 0.6)
        w.upgrade()
        w.expect_close(1008, "handshake timeout")


def test_no_invalid_message_ends_the_deadline(hasty):
    with Stopwatch():
        w = hasty.connect()
        for message in ("{", "{}", '{"type":"hello"}', "[]"):
            w.say(message)
            w.expect({"type": "error", "message": "invalid message"})
        w.pong()
        w.expect_close(1008, "handshake timeout")


def test_a_valid_message_ends_the_deadline(hasty):
    w = hasty.connect()
    w.say(HELLO)
    w.expect(HELLO_ACK)
    w.quiet(DEADLINE * 1.5)
    w.say(HELLO)
    w.expect(HELLO_ACK)


def test_a_message_without_reply_ends_the_deadline(hasty):
    w = hasty.connect()
    w.say({"type": "orientation", "client_id": "c", "focus_momentum": 1})
    w.quiet(DEADLINE * 1.5)
    w.pong()
