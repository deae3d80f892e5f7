"""
RFC 6455 by section: the handshake and the frames (3, 4, 5, 6, 9, 10), played
to ws-echo.  Closing and UTF-8 (5.5.1, 7, 8) are in test_rfc6455_close.py,
the node's own answers in test_rfc6455_node.py.  Sections 1, 2, 11 to 13 ask
for nothing, 4.1 and 4.2.2 step 4 on redirects are for clients and proxies.
"""

import random

import pytest

from echo import (ACCEPTED, BYE, BYE_REPLY, REQUEST, Echo, accepted, cuts,
                  fail, reply, single_bytes)
from node import (BINARY, CLOSE, CONT, MASK, PING, PONG, TEXT, Wire,
                  accept_of, frame, fragments, header, mask, request, same,
                  table, text)

LIMIT = 1000    # bytes of a message, for the ws-echo that has a low one
LONG = 300      # longer streams are not played in single bytes
DATA = (TEXT, BINARY)
CONTROL = (CLOSE, PING, PONG)
RESERVED = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
NAMES = {CONT: "continuation", TEXT: "text", BINARY: "binary",
         CLOSE: "close", PING: "ping", PONG: "pong"}


@pytest.fixture(scope="module")
def echo():
    with Echo() as echo:
        yield echo


@pytest.fixture(scope="module")
def small():
    with Echo("-m", str(LIMIT)) as echo:
        yield echo


def good(name, sent, answer):
    """Nothing is wrong: all is answered, and so is our goodbye."""
    return name, sent + BYE, answer + BYE_REPLY


def bad(name, sent, code, reason, answer=b""):
    """What is right before is answered; the last byte is the wrong one."""
    return name, sent, answer + fail(code, reason)


def echoed(name, *messages):
    """Frames of whole messages that come back as they are."""
    return good(name, b"".join(frame(*m) for m in messages),
                b"".join(reply(*m) for m in messages))


# ---- 4.2 and 3: the handshake ----

def without(*names, **fields):
    return request([(n.replace("_", "-"), v) for n, v in fields.items()],
                   omit=names)


def instead(name, value):
    return request([(name, value)], omit=(name,))


HANDSHAKES = table(
    ("3 path and query", request(target="/chat?a=b&c=/d")),
    ("3 absolute form", request(target="ws://localhost:7070/chat")),
    ("3 absolute form of http", request(target="http://localhost/")),
    ("4.1 any order of the fields", REQUEST.split(b"\r\n", 1)[0] + b"\r\n" +
     b"\r\n".join(REQUEST.split(b"\r\n")[-3:0:-1]) + b"\r\n\r\n"),
    ("4.1 unknown fields", request([("Cookie", "a=b"), ("X-Y", "")])),
    ("4.2.1 Upgrade in capitals", instead("Upgrade", "WebSocket")),
    ("4.2.1 Upgrade in a list", instead("Upgrade", "h2c, websocket")),
    ("4.2.1 two Upgrade fields", request([("Upgrade", "h2c")])),
    ("4.2.1 Connection in capitals", instead("Connection", "UPGRADE")),
    ("4.2.1 Connection in a list",
     instead("Connection", "keep-alive, Upgrade")),
    ("4.2.1 Connection in a list without spaces",
     instead("Connection", ",keep-alive,,Upgrade,")),
    ("4.2.1 two Connection fields",
     request([("Connection", "keep-alive")])),
    ("4.2.1 names in capitals", REQUEST.replace(b"Sec-WebSocket",
                                                b"SEC-WEBSOCKET")),
    ("4.2.1 names in lower case", REQUEST.replace(b"Sec-WebSocket",
                                                  b"sec-websocket")),
    ("4.2.1 spaces about values", REQUEST.replace(b": ", b": \t ")
     .replace(b"\r\nC", b" \t\r\nC")),
    ("4.2.1 no spaces before values", REQUEST.replace(b": ", b":")),
    ("4.2.1 an origin", request([("Origin", "http://example.org")])),
    ("9.1 an extension", request([("Sec-WebSocket-Extensions",
                                   "permessage-deflate")])),
    ("9.1 extensions with parameters", request([
        ("Sec-WebSocket-Extensions",
         "permessage-deflate; client_max_window_bits=10, x-webkit-deflate"),
        ("Sec-WebSocket-Extensions", "foo; bar=\"baz\"; q")])),
    ("9.1 an extension that is none", request([
        ("Sec-WebSocket-Extensions", ";;=,,=")])),
    ("1.9 an unknown subprotocol", request([
        ("Sec-WebSocket-Protocol", "chat, superchat")])),
    ("1.9 something like a subprotocol", request([
        ("Sec-WebSocket-Protocol", "ltp.v0, ltp.v0., ltp.v0.x, LTP.v0.1")])),
)


@pytest.mark.parametrize("opening", HANDSHAKES)
def test_handshake(echo, opening):
    same(echo.play(text("x"), BYE, opening=opening),
         ACCEPTED + reply(TEXT, b"x") + BYE_REPLY)


@pytest.mark.parametrize("fields, chosen", table(
    ("1.9 one", ["ltp.v0.1"], "ltp.v0.1"),
    ("1.9 the first that is known", ["chat, ltp.v0.7,ltp.v0.1"], "ltp.v0.7"),
    ("1.9 in two fields", ["chat", "ltp.v0.1, ltp.v0.2"], "ltp.v0.1"),
))
def test_subprotocol(echo, fields, chosen):
    opening = request([("Sec-WebSocket-Protocol", f) for f in fields])
    same(echo.play(BYE, opening=opening),
         accepted(protocol=chosen) + BYE_REPLY)


NO_VERSION = (426, "Sec-WebSocket-Version is not 13")
NO_KEY = (400, "bad Sec-WebSocket-Key header")
NO_UPGRADE = (426, "no upgrade to websocket")
NO_CONNECTION = (400, "no upgrade in Connection header")
NO_TARGET = (400, "bad request target")
KEY = "Sec-WebSocket-Key"
VERSION = "Sec-WebSocket-Version"


@pytest.mark.parametrize("expected, opening", table(
    ("3 a fragment", NO_TARGET, request(target="/chat#top")),
    ("3 no path", NO_TARGET, request(target="*")),
    ("3 another scheme", NO_TARGET, request(target="ftp://localhost/")),
    ("4.2.1 POST", (405, "method is not GET"), request(method="POST")),
    ("4.2.1 HEAD", (405, "method is not GET"), request(method="HEAD")),
    ("4.2.1 get", (400, "bad request line"), request(method="get")),
    ("4.2.1 HTTP 1.0", (400, "HTTP version is not 1.1"),
     request(version="HTTP/1.0")),
    ("4.2.1 HTTP 0.9", (400, "bad request line"), b"GET /\r\n\r\n"),
    ("4.2.1 no Host", (400, "no Host header"), without("Host")),
    ("4.2.1 two Hosts", (400, "duplicate Host header"),
     request([("Host", "localhost")])),
    ("4.2.1 no Upgrade", NO_UPGRADE, without("Upgrade")),
    ("4.2.1 empty Upgrade", NO_UPGRADE, instead("Upgrade", "")),
    ("4.2.1 another Upgrade", NO_UPGRADE, instead("Upgrade", "h2c")),
    ("4.2.1 longer Upgrade", NO_UPGRADE, instead("Upgrade", "websockets")),
    ("4.2.1 shorter Upgrade", NO_UPGRADE, instead("Upgrade", "websocke")),
    ("4.2.1 no Connection", NO_CONNECTION, without("Connection")),
    ("4.2.1 another Connection", NO_CONNECTION,
     instead("Connection", "keep-alive")),
    ("4.2.1 longer Connection", NO_CONNECTION,
     instead("Connection", "Upgraded")),
    ("4.2.1 no key", (400, "no Sec-WebSocket-Key header"), without(KEY)),
    ("4.2.1 an empty key", NO_KEY, instead(KEY, "")),
    ("4.2.1 a key of 15 bytes", NO_KEY, instead(KEY, "A" * 20)),
    ("4.2.1 a key of 17 bytes", NO_KEY, instead(KEY, "A" * 23 + "=")),
    ("4.2.1 a key of 18 bytes", NO_KEY, instead(KEY, "A" * 24)),
    ("4.2.1 a key without padding", NO_KEY,
     instead(KEY, "dGhlIHNhbXBsZSBub25jZQ")),
    ("4.2.1 a key that is no base64", NO_KEY,
     instead(KEY, "dGhlIHNhbXBsZSBub25j*Q==")),
    ("4.2.1 a key with a space in it", NO_KEY,
     instead(KEY, "dGhlIHNhbXBs ZSBub25jZQ==")),
    ("4.2.1 a key of the url alphabet", NO_KEY,
     instead(KEY, "-_hlIHNhbXBsZSBub25jZQ==")),
    ("4.2.1 two keys", (400, "duplicate Sec-WebSocket-Key header"),
     request([(KEY, "dGhlIHNhbXBsZSBub25jZQ==")])),
    ("4.4 no version", NO_VERSION, without(VERSION)),
    *((f"4.4 version {v}", NO_VERSION, instead(VERSION, v))
      for v in ("0", "1", "8", "12", "14", "255", "013", "+13", "13.0", "")),
    ("4.4 a list of versions", NO_VERSION, instead(VERSION, "13, 8")),
    ("4.4 two versions", (400, "duplicate Sec-WebSocket-Version header"),
     request([(VERSION, "13")])),
    ("10.7 no HTTP at all", (400, "bad request line"),
     b"\x16\x03\x01\x02\x00\x01"),
    ("10.7 frames first", (400, "bad request line"), text("x")),
    ("10.7 bare LF", (400, "bare LF in header"), request(end="\n")[:-1]),
    ("10.7 a folded line", (400, "folded header line"),
     REQUEST[:-2] + b"X: a\r\n b\r\n\r\n"),
    ("10.7 a body", (400, "Content-Length on GET"),
     request([("Content-Length", "5")])),
))
def test_handshake_is_refused(echo, expected, opening):
    with Wire(echo.address) as wire:
        wire.send(opening)
        r = wire.refused(expected[0])
        assert (r.status, r.body.decode()) == expected
        if r.status == 426:
            assert r.field("Sec-WebSocket-Version") == "13"
            assert r.field("Upgrade") == "websocket"
        assert r.field("Sec-WebSocket-Accept") is None


def test_4_2_2_accept():
    """The example of section 1.3."""
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == \
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_4_2_2_accept_of_many_keys(echo):
    rng = random.Random(6455)
    ends = "AQgw"   # four bits of the last letter are padding
    for _ in range(100):
        key = "".join(rng.choices("ABCxyz019+/", k=21)) + \
            rng.choice(ends) + "=="
        same(echo.play(BYE, opening=instead(KEY, key)),
             accepted(key) + BYE_REPLY)


def test_4_2_split_at_every_byte(echo):
    data = request([("Sec-WebSocket-Protocol", "ltp.v0.1")]) + text("x") + BYE
    for got in echo.play_all([*cuts(data), single_bytes(data)],
                             opening=b""):
        same(got, accepted(protocol="ltp.v0.1") + reply(TEXT, b"x") +
             BYE_REPLY)


def test_4_2_frames_in_the_packet_of_the_request(echo):
    same(echo.play(opening=REQUEST + text("a") + frame(PING, b"b") + BYE),
         ACCEPTED + reply(TEXT, b"a") + reply(PONG, b"b") + BYE_REPLY)


# ---- 5.2: the base framing ----

def lengths():
    for size in (0, 1, 2, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536,
                 65537, 131072):
        payload = (b"0123456789" * (size // 10 + 1))[:size]
        for opcode in DATA:
            yield echoed(f"5.2 {NAMES[opcode]} of {size}",
                         (opcode, payload))
            yield good(f"5.2 {NAMES[opcode]} of {size} in two fragments",
                       b"".join(fragments(payload, size // 2,
                                          opcode=opcode)),
                       reply(opcode, payload))
    for opcode in DATA:
        for form, sizes in ((2, (0, 1, 2, 124, 125)),
                            (8, (0, 1, 125, 126, 127, 255, 65534, 65535))):
            for size in sizes:
                yield bad(f"5.2 {NAMES[opcode]} of {size} in {form} bytes",
                          header(opcode, size, form=form)[:2 + form],
                          1002, "bad length encoding")
        for size in (1 << 63, (1 << 63) + 5, (1 << 64) - 1):
            yield bad(f"5.2 {NAMES[opcode]} of {size:#x}",
                      header(opcode, size, form=8)[:10], 1002,
                      "bad length encoding")
    yield bad("5.2 continuation of 5 in 2 bytes",
              frame(TEXT, b"x", fin=False) +
              header(CONT, 5, form=2)[:4], 1002, "bad length encoding")
    yield bad("5.2 continuation with the top bit",
              frame(TEXT, b"x", fin=False) +
              header(CONT, 1 << 63, form=8)[:10], 1002,
              "bad length encoding")


def reserved():
    for rsv in range(1, 8):
        for opcode in (*DATA, *CONTROL, 3, 15):
            yield bad(f"5.2 RSV {rsv} on opcode {opcode:x}",
                      frame(opcode, b"x", rsv=rsv)[:1],
                      1002, "reserved bits set")
        yield bad(f"5.2 RSV {rsv} on a continuation",
                  frame(TEXT, b"x", fin=False) +
                  frame(CONT, b"y", rsv=rsv)[:1], 1002, "reserved bits set")
        yield bad(f"5.2 RSV {rsv} on a ping within a message",
                  frame(TEXT, b"x", fin=False) +
                  frame(PING, b"y", rsv=rsv)[:1], 1002, "reserved bits set")
        yield bad(f"5.2 RSV {rsv} after messages",
                  text("x") + frame(PING, b"y") +
                  frame(TEXT, b"z", rsv=rsv)[:1], 1002, "reserved bits set",
                  reply(TEXT, b"x") + reply(PONG, b"y"))
    for opcode in RESERVED:
        for fin in (True, False):
            yield bad(f"5.2 opcode {opcode:x}{'' if fin else ' not final'}",
                      frame(opcode, b"", fin=fin)[:1],
                      1002, "unknown opcode")
        yield bad(f"5.2 opcode {opcode:x} within a message",
                  frame(TEXT, b"x", fin=False) + frame(opcode, b"")[:1],
                  1002, "unknown opcode")
        yield bad(f"5.2 opcode {opcode:x} after messages",
                  text("x") + frame(PING, b"y") + frame(opcode, b"")[:1],
                  1002, "unknown opcode",
                  reply(TEXT, b"x") + reply(PONG, b"y"))


# ---- 5.1, 5.3, 10.3: masking ----

def masking():
    for opcode in (*DATA, *CONTROL):
        for size in (0, 5, 126, 70000):
            if opcode in DATA or size <= 125:
                yield bad(f"5.1 unmasked {NAMES[opcode]} of {size}",
                          header(opcode, size, key=None)[:2],
                          1002, "unmasked frame")
    yield bad("5.1 unmasked continuation", frame(TEXT, b"x", fin=False) +
              header(CONT, 1, key=None)[:2], 1002, "unmasked frame")
    yield bad("5.1 unmasked ping within a message",
              frame(TEXT, b"x", fin=False) + header(PING, 0, key=None),
              1002, "unmasked frame")
    yield bad("5.1 unmasked after masked", text("x") +
              header(TEXT, 1, key=None)[:2], 1002, "unmasked frame",
              reply(TEXT, b"x"))
    for key in (bytes(4), b"\xff" * 4, b"\1\0\0\0", b"\0\1\0\0",
                b"\0\0\1\0", b"\0\0\0\1", MASK, b"\x80\x7f\x00\xff"):
        for opcode in DATA:
            sent = b"".join(frame(opcode, b"abcdefghijklmnopqrs"[:n], key=key)
                            for n in range(20))
            yield good(f"5.3 {NAMES[opcode]} with key {key.hex()}", sent,
                       b"".join(reply(opcode, b"abcdefghijklmnopqrs"[:n])
                                for n in range(20)))
    yield good("5.3 a key for each fragment",
               frame(TEXT, b"abc", fin=False, key=b"abcd") +
               frame(PING, b"defg", key=b"zyxw") +
               frame(CONT, b"hijkl", fin=False, key=b"\0\1\2\3") +
               frame(CONT, b"mnopqr", key=b"\xff\xfe\xfd\xfc"),
               reply(PONG, b"defg") + reply(TEXT, b"abchijklmnopqr"))


# ---- 5.4: fragmentation ----

def rows_of_fragments():
    whole = b"fragmented message"
    n = len(whole)
    for opcode in DATA:
        name = NAMES[opcode]
        for i in (0, 1, 9, n - 1, n):
            first, last = fragments(whole, i, opcode=opcode)
            yield good(f"5.4 {name} cut at {i}", first + last,
                       reply(opcode, whole))
            yield good(f"5.4 {name} cut at {i}, ping between",
                       first + frame(PING, b"p") + last,
                       reply(PONG, b"p") + reply(opcode, whole))
            yield good(f"5.4 {name} cut at {i}, ping and pong between",
                       first + frame(PONG, b"q") + frame(PING) +
                       frame(PING, b"p") + last,
                       reply(PONG) + reply(PONG, b"p") +
                       reply(opcode, whole))
        yield good(f"5.4 {name} in fragments of a byte",
                   b"".join(fragments(whole, *range(1, n), opcode=opcode)),
                   reply(opcode, whole))
        yield good(f"5.4 {name} in fragments of a byte, pings between",
                   frame(PING, b"p").join(
                       fragments(whole, *range(1, n), opcode=opcode)),
                   reply(PONG, b"p") * (n - 1) + reply(opcode, whole))
        yield good(f"5.4 {name} in every pair of fragments",
                   b"".join(f for i in range(n + 1) for f in
                            fragments(whole, i, opcode=opcode)),
                   reply(opcode, whole) * (n + 1))
        yield good(f"5.4 {name} in every triple of fragments",
                   b"".join(f for i in range(n + 1) for j in range(i, n + 1)
                            for f in fragments(whole, i, j, opcode=opcode)),
                   reply(opcode, whole) * ((n + 1) * (n + 2) // 2))
        yield good(f"5.4 {name} of empty fragments",
                   b"".join(fragments(b"", 0, 0, opcode=opcode)),
                   reply(opcode, b""))
        yield good(f"5.4 {name} with empty fragments about it",
                   b"".join(fragments(whole, 0, 0, n, n, opcode=opcode)),
                   reply(opcode, whole))
    yield good("5.4 two fragmented messages",
               b"".join(fragments(b"abc", 1) +
                        fragments(b"def", 2, opcode=BINARY)),
               reply(TEXT, b"abc") + reply(BINARY, b"def"))


def bad_order():
    open_text = frame(TEXT, b"x", fin=False)
    done = b"".join(fragments(b"xy", 1))
    wrong = (1002, "unexpected continuation")
    for fin in (True, False):
        name = "final" if fin else "open"
        cont = frame(CONT, b"y", fin=fin)[:1]
        yield bad(f"5.4 {name} continuation of nothing", cont, *wrong)
        yield bad(f"5.4 {name} continuation after a whole message",
                  text("x") + cont, *wrong, reply(TEXT, b"x"))
        yield bad(f"5.4 {name} continuation after the last one",
                  done + cont, *wrong, reply(TEXT, b"xy"))
        yield bad(f"5.4 {name} continuation after a ping",
                  frame(PING) + cont, *wrong, reply(PONG))
        for first in DATA:
            for second in DATA:
                yield bad(f"5.4 {name} {NAMES[second]} within "
                          f"{NAMES[first]}",
                          frame(first, b"x", fin=False) +
                          frame(second, b"y", fin=fin)[:1],
                          1002, "expected continuation")
        yield bad(f"5.4 {name} text within text, ping between",
                  open_text + frame(PING, b"p") +
                  frame(TEXT, b"y", fin=fin)[:1],
                  1002, "expected continuation", reply(PONG, b"p"))
        yield bad(f"5.4 {name} text after two fragments",
                  open_text + frame(CONT, b"y", fin=False) +
                  frame(TEXT, b"z", fin=fin)[:1],
                  1002, "expected continuation")


# ---- 5.5: control frames ----

def control():
    every = bytes(range(131, 256))
    for size in (0, 1, 2, 3, 4, 5, 124, 125):
        yield good(f"5.5.2 ping of {size}", frame(PING, every[:size]),
                   reply(PONG, every[:size]))
        yield good(f"5.5.3 unsolicited pong of {size}",
                   frame(PONG, every[:size]) + text("x"), reply(TEXT, b"x"))
    for opcode in CONTROL:
        name = NAMES[opcode]
        yield bad(f"5.5 {name} that is not final",
                  frame(opcode, fin=False)[:1], 1002,
                  "fragmented control frame")
        yield bad(f"5.5 {name} that is not final, within a message",
                  frame(TEXT, b"x", fin=False) + frame(opcode,
                                                       fin=False)[:1],
                  1002, "fragmented control frame")
        for size in (126, 127, 1000, 65535, 65536, 1 << 62):
            yield bad(f"5.5 {name} of {size}", header(opcode, size)[:2],
                      1002, "control frame too long")
        for form in (2, 8):
            yield bad(f"5.5 {name} of 5 in {form} bytes",
                      header(opcode, 5, form=form)[:2],
                      1002, "control frame too long")
    yield good("5.5.2 pings of each size",
               b"".join(frame(PING, every[:i]) for i in range(126)),
               b"".join(reply(PONG, every[:i]) for i in range(126)))
    yield good("5.5.2 ping about messages",
               frame(PING, b"1") + text("x") + frame(PING, b"2") +
               frame(BINARY, b"y") + frame(PING, b"3"),
               reply(PONG, b"1") + reply(TEXT, b"x") + reply(PONG, b"2") +
               reply(BINARY, b"y") + reply(PONG, b"3"))
    yield good("5.5.2 ping within a character",
               frame(TEXT, b"\xe2\x82", fin=False) + frame(PING, b"\xff") +
               frame(CONT, b"\xac"),
               reply(PONG, b"\xff") + reply(TEXT, b"\xe2\x82\xac"))
    yield bad("5.5.2 ping, then a bad frame", frame(PING, b"p") + b"\x83",
              1002, "unknown opcode", reply(PONG, b"p"))


# ---- 5.6, 6, 5.7: data ----

def data():
    every = bytes(range(256))
    yield echoed("5.6 a text", (TEXT, "Hello, world".encode()))
    yield echoed("5.6 a text of other letters", (TEXT, "\u03ba\u1f79\U0001f600"
                                                 .encode()))
    yield echoed("5.6 a text with NUL and controls",
                 (TEXT, bytes(range(128))))
    yield echoed("5.6 every byte as binary", (BINARY, every))
    yield echoed("5.6 what is no UTF-8, as binary", (BINARY, b"\xff\xc0\x80"))
    yield echoed("6.1 in order", *((opcode, b"%d" % i) for i in range(20)
                                   for opcode in DATA))
    yield echoed("5.6 empty messages", (TEXT, b""), (BINARY, b""),
                 (TEXT, b""))
    # Byte by byte as the section has them.
    hello = bytes.fromhex("818537fa213d7f9f4d5158")
    yield good("5.7 a single-frame masked text message", hello,
               bytes.fromhex("810548656c6c6f"))
    yield good("5.7 a masked ping", b"\x89" + hello[1:],
               bytes.fromhex("8a0548656c6c6f"))
    yield good("5.7 a masked pong", b"\x8a" + hello[1:], b"")
    yield bad("5.7 an unmasked text message", bytes.fromhex("8105"),
              1002, "unmasked frame")
    yield good("5.7 256 bytes of binary", frame(BINARY, every),
               b"\x82\x7e\x01\x00" + every)
    yield good("5.7 64 KiB of binary", frame(BINARY, every * 256),
               b"\x82\x7f\0\0\0\0\0\1\0\0" + every * 256)


CASES = [*lengths(), *reserved(), *masking(), *rows_of_fragments(),
         *bad_order(), *control(), *data()]


@pytest.mark.parametrize("sent, expected", table(*CASES))
def test_frames(echo, sent, expected):
    same(echo.play(sent), ACCEPTED + expected)


def test_5_all_in_single_bytes(echo):
    """TCP may cut anywhere, and the wrong byte alone is what ends it."""
    cases = [(sent, expected) for _, sent, expected in CASES
             if len(sent) <= LONG]
    assert len(cases) > 300
    got = echo.play_all([single_bytes(sent) for sent, _ in cases])
    for one, (_, expected) in zip(got, cases):
        same(one, ACCEPTED + expected)


def test_5_the_last_byte_makes_it_bad(echo):
    """Nothing is said before, and nothing that follows is looked at."""
    cases = [(sent, expected) for _, sent, expected in CASES
             if not sent.endswith(BYE)]
    more = text("x") + frame(PING, b"y") + BYE
    before = []
    for sent, expected in cases:
        end = expected.rindex(b"\x88")
        before.append(ACCEPTED + expected[:end])
    got = echo.play_all([[sent[:-1], sent[-1:] + more] for sent, _ in cases],
                        before)
    for one, (_, expected) in zip(got, cases):
        same(one, ACCEPTED + expected)


def test_5_2_every_first_byte(echo):
    """With no, some and too much payload, masked and not."""
    def wrong(first, second):
        opcode, length = first & 15, second & 127
        if first & 0x70:
            return "reserved bits set"
        if opcode in RESERVED:
            return "unknown opcode"
        if opcode in CONTROL and first < 128:
            return "fragmented control frame"
        if opcode == CONT:
            return "unexpected continuation"
        if second < 128:
            return "unmasked frame"
        if opcode in CONTROL and length > 125:
            return "control frame too long"
        return None
    streams, expected = [], []
    for first in range(256):
        for length in (0, 1, 2, 125, 126, 127):
            for masked in (0, 128):
                reason = wrong(first, masked | length)
                if reason is not None:
                    streams.append([bytes([first, masked | length])])
                    expected.append(ACCEPTED + fail(1002, reason))
    assert len(streams) > 2900
    for stream, one, other in zip(streams, echo.play_all(streams), expected):
        assert one == other, (stream, one)


@pytest.mark.parametrize("size, piece", [
    (65536, 64), (1 << 20, 64), (1 << 20, 1 << 16), (1 << 22, 64)])
@pytest.mark.parametrize("opcode", DATA)
def test_5_4_large_message_in_fragments(echo, opcode, size, piece):
    """As suites do it, to 65535 continuations."""
    part = (b"0123456789abcdef" * 4096)[:piece]
    sent = [frame(opcode, part, fin=False),
            frame(CONT, part, fin=False) * (size // piece - 2),
            frame(CONT, part), BYE]
    got = echo.play(b"".join(sent))
    assert got == ACCEPTED + reply(opcode, part * (size // piece)) + \
        BYE_REPLY


@pytest.mark.parametrize("piece", [997, 1460, 65536])
def test_6_2_large_message_in_packets(echo, piece):
    payload = bytes(range(256)) * 4096
    sent = frame(BINARY, payload)
    got = echo.play(*(sent[i:i + piece] for i in range(0, len(sent), piece)),
                    BYE)
    assert got == ACCEPTED + reply(BINARY, payload) + BYE_REPLY


# ---- 10.4: limits ----

def limits():
    full = b"x" * LIMIT
    wrong = (1009, "message too large")
    for opcode in DATA:
        name = NAMES[opcode]
        yield echoed(f"10.4 {name} of the limit", (opcode, full),
                     (opcode, full))
        yield good(f"10.4 {name} of the limit in fragments",
                   b"".join(fragments(full, 1, 500, LIMIT, opcode=opcode)),
                   reply(opcode, full))
        for size in (LIMIT + 1, 65535, 65536, 1 << 31, (1 << 32) - 1, 1 << 32,
                     (1 << 32) + 1, (1 << 63) - 1):
            yield bad(f"10.4 {name} of {size:#x}", header(opcode, size),
                      *wrong)
        yield bad(f"10.4 {name} of a byte more than the limit, whole",
                  frame(opcode, full + b"x"), *wrong)
        yield bad(f"10.4 {name} of a byte more than the limit, in fragments",
                  b"".join(fragments(full + b"x", LIMIT - 1, LIMIT,
                                     opcode=opcode)), *wrong)
        for first, second in ((LIMIT, 1), (1, LIMIT), (LIMIT - 1, 2),
                              (5, (1 << 32) - 5), (1, (1 << 63) - 1)):
            yield bad(f"10.4 {name} of {first} and {second:#x}",
                      frame(opcode, b"x" * first, fin=False) +
                      header(CONT, second), *wrong)
        yield bad(f"10.4 {name} of the limit and a byte, ping between",
                  frame(opcode, full, fin=False) + frame(PING, b"p") +
                  header(CONT, 1, fin=False), *wrong, reply(PONG, b"p"))
    yield good("10.4 messages are not added up",
               text(full) * 3 + frame(PING, b"p" * 125),
               reply(TEXT, full) * 3 + reply(PONG, b"p" * 125))
    yield bad("10.4 after a message", text("a") + header(TEXT, LIMIT + 1),
              *wrong, reply(TEXT, b"a"))


@pytest.mark.parametrize("sent, expected", table(*limits()))
def test_limits(small, sent, expected):
    """Known from the header, of whose payload nothing is sent."""
    same(small.play(sent), ACCEPTED + expected)


def test_10_4_limits_in_single_bytes(small):
    cases = [(sent, expected) for _, sent, expected in limits()
             if len(sent) <= LONG]
    got = small.play_all([single_bytes(sent) for sent, _ in cases])
    for one, (_, expected) in zip(got, cases):
        same(one, ACCEPTED + expected)


def test_10_4_payload_that_is_too_large_is_thrown_away(small):
    """The close can be read although much is still on its way."""
    same(small.play(header(TEXT, 1 << 20), b"x" * (1 << 20)),
         ACCEPTED + fail(1009, "message too large"))


def test_10_4_limit_of_16_mib(echo):
    payload = mask(b"x" * (16 << 20), bytes(4))
    assert echo.play(header(BINARY, len(payload), key=bytes(4)), payload,
                     BYE) == ACCEPTED + reply(BINARY, payload) + BYE_REPLY
    same(echo.play(header(BINARY, len(payload) + 1)),
         ACCEPTED + fail(1009, "message too large"))
