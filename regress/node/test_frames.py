"""WebSocket frames, right and wrong: section 3 of the node protocol."""

import struct

import pytest

from node import (BINARY, CLOSE, CONT, MASK, PING, PONG, TEXT, close,
                  compact, fragments, frame, header, mask, same, table, text)

MAX = 65536
BEAT = compact({"type": "heartbeat", "client_id": "c", "timestamp_ms": 5})
ACK = compact({"type": "heartbeat_ack", "client_id": "c", "timestamp_ms": 5})
INVALID = compact({"type": "error", "message": "invalid message"})


def padded(size):
    """A heartbeat of just this many bytes."""
    start = BEAT[:-1] + b',"x":"'
    return start + b"x" * (size - len(start) - 2) + b'"}'


@pytest.fixture(scope="module")
def node(lab):
    # Without a limit for control frames, which has its own tests.
    with lab.node(max_message_bytes=MAX, control_limit_rps=0) as node:
        yield node


@pytest.fixture
def wire(node):
    """A connection with a session."""
    w = node.connect()
    w.send(text(BEAT))
    w.expect(ACK)
    return w


# ---- misbehaviour ----

@pytest.mark.parametrize("data", table(
    ("text", frame(TEXT, BEAT, key=None)),
    ("binary", frame(BINARY, b"x", key=None)),
    ("ping", frame(PING, b"x", key=None)),
    ("close", frame(CLOSE, b"\x03\xe8", key=None)),
    ("only the first two bytes", frame(TEXT, BEAT, key=None)[:2]),
))
def test_unmasked(wire, data):
    wire.send(data)
    wire.expect_close(1002)


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_reserved_bits(wire, opcode, rsv):
    wire.send(frame(opcode, b"", rsv=rsv))
    wire.expect_close(1002)


def test_reserved_bit_in_a_continuation(wire):
    wire.send(frame(TEXT, BEAT, fin=False), frame(CONT, rsv=4))
    wire.expect_close(1002)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes(wire, opcode):
    wire.send(frame(opcode, b""))
    wire.expect_close(1002)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_fragmented_control(wire, opcode):
    wire.send(frame(opcode, b"", fin=False))
    wire.expect_close(1002)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("length", [126, 1000, 70000])
def test_long_control(wire, opcode, length):
    """Known from the header: the payload never comes."""
    wire.send(header(opcode, length))
    wire.expect_close(1002)


@pytest.mark.parametrize("data", table(
    ("0 in two bytes", header(TEXT, 0, form=2)),
    ("125 in two bytes", header(TEXT, 125, form=2)),
    ("0 in eight bytes", header(TEXT, 0, form=8)),
    ("125 in eight bytes", header(TEXT, 125, form=8)),
    ("126 in eight bytes", header(TEXT, 126, form=8)),
    ("65535 in eight bytes", header(TEXT, 65535, form=8)),
    ("the highest bit", header(TEXT, 1 << 63, form=8)),
    ("all bits", header(TEXT, (1 << 64) - 1, form=8)),
    ("binary", header(BINARY, 125, form=2)),
    ("a ping in two bytes", header(PING, 5, form=2)),
    ("a ping in eight bytes", header(PING, 5, form=8)),
))
def test_bad_lengths(wire, data):
    wire.send(data)
    wire.expect_close(1002)


@pytest.mark.parametrize("answers, data", table(
    ("continuation of nothing", 0, frame(CONT, BEAT)),
    ("open continuation of nothing", 0, frame(CONT, BEAT, fin=False)),
    ("continuation after a whole message", 1, text(BEAT) + frame(CONT)),
    ("continuation after the last one", 1,
     b"".join(fragments(BEAT, 9)) + frame(CONT)),
    ("text within a message", 0,
     frame(TEXT, BEAT[:9], fin=False) + frame(TEXT, BEAT[9:])),
    ("binary within a message", 0,
     frame(TEXT, BEAT[:9], fin=False) + frame(BINARY, BEAT[9:])),
    ("text within a binary message", 0,
     frame(BINARY, b"x", fin=False) + frame(TEXT, b"y")),
))
def test_bad_order(wire, answers, data):
    wire.send(data)
    for _ in range(answers):
        wire.expect(ACK)
    wire.expect_close(1002)


def test_bad_frame_first(node):
    """Before any message."""
    w = node.connect()
    w.send(frame(3, b""))
    w.expect_close(1002)


def test_good_messages_before_a_bad_frame_are_answered(wire):
    wire.send(text(BEAT), text(BEAT), frame(PING, b"x"), frame(3, b""))
    wire.expect(ACK)
    wire.expect(ACK)
    assert wire.recv_frame().opcode == PONG
    wire.expect_close(1002)


def test_nothing_counts_after_a_bad_frame(wire):
    wire.send(frame(3, b""), text(BEAT), frame(PING, b"x"))
    wire.expect_close(1002)


# ---- UTF-8 ----

BAD_UTF8 = table(
    ("a lone continuation", b"\x80"), ("another one", b"\xbf"),
    ("an overlong slash", b"\xc0\xaf"), ("an overlong NUL", b"\xc0\x80"),
    ("c1", b"\xc1"),
    ("three bytes overlong", b"\xe0\x80"),
    ("three bytes just overlong", b"\xe0\x9f"),
    ("a high surrogate", b"\xed\xa0"), ("a low surrogate", b"\xed\xbf"),
    ("four bytes overlong", b"\xf0\x80"),
    ("four bytes just overlong", b"\xf0\x8f"),
    ("beyond the last code point", b"\xf4\x90"),
    ("f5", b"\xf5"), ("f8", b"\xf8"), ("fe", b"\xfe"), ("ff", b"\xff"),
    ("two bytes cut short", b"\xc3x"), ("three bytes cut short",
                                        b"\xe2\x82x"),
    ("four bytes cut short", b"\xf0\x9f\x98x"),
    ("two bytes cut by a quote", b'\xc3"'),
    ("two beginnings", b"\xc3\xc3"),
)


@pytest.mark.parametrize("bad", BAD_UTF8)
def test_invalid_utf8_is_refused_as_soon_as_it_is_seen(wire, bad):
    """In the middle of a frame whose rest is never sent."""
    start = b'{"x":"abc\xc3\xa9'
    wire.send(header(TEXT, 1000), mask(start + bad))
    wire.expect_close(1007)


@pytest.mark.parametrize("bad", BAD_UTF8)
def test_invalid_utf8_in_fragments_of_a_byte(wire, bad):
    wire.send(frame(TEXT, b'{"x":"', fin=False))
    for byte in bad:
        wire.send(frame(CONT, bytes([byte]), fin=False))
    wire.expect_close(1007)


@pytest.mark.parametrize("cut", table(
    ("1 of 2", b"\xc3"), ("1 of 3", b"\xe2"), ("2 of 3", b"\xe2\x82"),
    ("1 of 4", b"\xf0"), ("2 of 4", b"\xf0\x9f"), ("3 of 4",
                                                   b"\xf0\x9f\x98"),
))
def test_truncated_utf8(wire, cut):
    """Wrong only when the message is over."""
    wire.send(frame(TEXT, b'{"x":"' + cut, fin=False))
    wire.pong()
    wire.send(frame(CONT, b""))
    wire.expect_close(1007)


def test_truncated_utf8_in_one_frame(wire):
    wire.send(text(b'{"x":"\xc3'))
    wire.expect_close(1007)


def test_utf8_across_fragments(node):
    who = "\u00e9\u20ac\U0001f600"
    message = compact({"type": "heartbeat", "client_id": who,
                       "timestamp_ms": 5})
    for i in range(len(message) + 1):
        w = node.connect()
        w.send(*fragments(message, i))
        w.expect({"type": "heartbeat_ack", "client_id": who,
                  "timestamp_ms": 5})


def test_utf8_is_not_asked_of_binary(wire):
    wire.send(frame(BINARY, b"\xff\xfe"))
    wire.expect(
        '{"type":"error","message":"binary messages are not supported"}')
    wire.send(frame(PING, b"\xff\xfe"))
    assert wire.recv_frame().payload == b"\xff\xfe"


# ---- close ----

@pytest.mark.parametrize("code", [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000,
    4999])
def test_close_is_answered(wire, code):
    wire.send(close(code, b"bye"))
    f = wire.recv_frame()
    assert f.opcode == CLOSE and f.fin
    assert struct.unpack("!H", f.payload[:2]) == (code,)
    wire.expect_end()


def test_empty_close_is_answered(wire):
    wire.send(close())
    f = wire.recv_frame()
    assert f.opcode == CLOSE and f.fin
    assert f.payload == b"" or f.payload[:2] == struct.pack("!H", 1000)
    wire.expect_end()


def test_close_with_the_longest_reason(wire):
    wire.send(close(1000, b"r" * 123))
    f = wire.recv_frame()
    assert f.opcode == CLOSE and f.payload[:2] == struct.pack("!H", 1000)
    wire.expect_end()


@pytest.mark.parametrize("code", [
    0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_bad_close_codes(wire, code):
    wire.send(close(code))
    wire.expect_close(1002)


def test_close_of_one_byte(wire):
    wire.send(frame(CLOSE, b"\x03"))
    wire.expect_close(1002)


def test_close_with_a_reason_that_is_no_utf8(wire):
    wire.send(close(1000, b"\xff"))
    wire.expect_close(1007)


def test_nothing_is_answered_after_close(wire):
    wire.send(close(1000), text(BEAT), frame(PING))
    f = wire.recv_frame()
    assert f.opcode == CLOSE
    wire.expect_end()


def test_close_within_a_message(wire):
    wire.send(frame(TEXT, BEAT[:9], fin=False), close(1000))
    assert wire.recv_frame().opcode == CLOSE
    wire.expect_end()


def test_close_before_any_message(node):
    w = node.connect()
    w.send(close(1000))
    assert w.recv_frame().opcode == CLOSE
    w.expect_end()


# ---- size ----

@pytest.mark.parametrize("size", [
    len(BEAT), 124, 125, 126, 127, 128, 4095, 4096, 4097, 65535, 65536])
def test_message_of(wire, size):
    message = padded(size) if size > len(BEAT) else BEAT
    assert len(message) == size
    wire.send(text(message))
    wire.expect(ACK)
    wire.send(*fragments(message, size // 3, size // 2))
    wire.expect(ACK)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [
    MAX + 1, 2 * MAX, 1 << 24, 1 << 31, 1 << 32, (1 << 32) + 5, 1 << 62,
    (1 << 63) - 1])
def test_too_large_is_known_from_the_header(wire, opcode, length):
    wire.send(header(opcode, length))
    wire.expect_close(1009, "message too large")


def test_too_large_in_fragments(wire):
    """The header that goes beyond the limit is enough."""
    wire.send(frame(TEXT, b"x" * (MAX - 5), fin=False),
              frame(CONT, b"y" * 5, fin=False))
    wire.pong()
    wire.send(header(CONT, 1))
    wire.expect_close(1009, "message too large")


def test_too_large_when_added_up(wire):
    """Lengths that would wrap an adder of 64 or 32 bits."""
    wire.send(frame(TEXT, b"x", fin=False), header(CONT, (1 << 63) - 1))
    wire.expect_close(1009, "message too large")


def test_too_large_when_added_up_in_32_bits(wire):
    wire.send(frame(TEXT, b"x" * 10, fin=False), header(CONT, (1 << 32) - 5))
    wire.expect_close(1009, "message too large")


def test_too_large_and_sent_all_the_same(wire):
    """The close is read although much of ours is still on its way."""
    wire.send(header(TEXT, 16 * MAX), b"x" * MAX)
    wire.expect_close(1009, "message too large")


# ---- fragments ----

def test_1024_continuations(wire):
    message = padded(1025)
    wire.send(*fragments(message, *range(1, 1025)))
    wire.expect(ACK)


def test_1025_continuations(wire):
    message = padded(1026)
    wire.send(*fragments(message, *range(1, 1026)))
    wire.expect_close(1008, "too many fragments")


def test_1025_continuations_and_no_end(wire):
    wire.send(frame(TEXT, b"{", fin=False))
    wire.send(*[frame(CONT, b" ", fin=False)] * 1024)
    wire.pong()
    wire.send(frame(CONT, b" ", fin=False))
    wire.expect_close(1008, "too many fragments")


def test_fragments_are_counted_by_message(wire):
    message = padded(1000)
    for _ in range(3):
        wire.send(*fragments(message, *range(1, 1000)))
        wire.expect(ACK)


def test_endless_empty_continuations(wire):
    """Called a protocol error, so 1002 is as good as the limit's code."""
    wire.send(frame(TEXT, b"{", fin=False))
    wire.send(*[frame(CONT, fin=False)] * 1025)
    f = wire.recv_frame()
    assert f.opcode == CLOSE
    assert struct.unpack("!H", f.payload[:2])[0] in (1002, 1008)
    wire.expect_end()


@pytest.mark.parametrize("parts", table(
    ("first", [b"", BEAT]), ("last", [BEAT, b""]),
    ("in the middle", [BEAT[:9], b"", BEAT[9:]]),
    ("several", [b"", b"", BEAT[:9], b"", b"", BEAT[9:], b"", b""]),
))
def test_empty_fragments(wire, parts):
    for i, part in enumerate(parts):
        wire.send(frame(CONT if i else TEXT, part,
                        fin=i == len(parts) - 1))
    wire.expect(ACK)


def test_empty_message(wire):
    wire.send(text(b""))
    wire.expect(INVALID)
    wire.send(frame(TEXT, fin=False), frame(CONT))
    wire.expect(INVALID)


def test_heartbeat_in_every_pair_of_fragments(wire):
    for i in range(len(BEAT) + 1):
        wire.send(*fragments(BEAT, i))
        wire.expect(ACK)


def test_heartbeat_in_every_triple_of_fragments(wire):
    n = 0
    for i in range(len(BEAT) + 1):
        for j in range(i, len(BEAT) + 1, 7):
            wire.send(*fragments(BEAT, i, j))
            n += 1
    for _ in range(n):
        wire.expect(ACK)


def test_heartbeat_in_fragments_of_a_byte(wire):
    wire.send(*fragments(BEAT, *range(1, len(BEAT))))
    wire.expect(ACK)


@pytest.mark.parametrize("data", table(
    ("short", text(BEAT)),
    ("of two bytes of length", text(padded(200))),
    ("of two fragments", b"".join(fragments(BEAT, 20))),
    ("between pings",
     frame(PING, b"abc") + text(BEAT) + frame(PING, b"defg")),
))
def test_heartbeat_split_at_every_byte(node, data):
    wires = [node.connect() for _ in range(len(data) + 1)]
    for i, w in enumerate(wires):
        w.send(data[:i])
    node.barrier()
    for i, w in enumerate(wires):
        w.send(data[i:])
    whole = node.connect()
    whole.send(data)
    node.barrier()
    reply = answers(whole)
    assert ACK in reply
    for w in wires:
        same(answers(w), reply)


def test_large_heartbeat_split_about_its_header(node):
    data = text(padded(65536))
    cuts = [*range(1, 20), 1000, len(data) - 1]
    wires = [node.connect() for _ in cuts]
    for i, w in zip(cuts, wires):
        w.send(data[:i])
    node.barrier()
    for i, w in zip(cuts, wires):
        w.send(data[i:])
    for w in wires:
        w.expect(ACK)


def answers(w):
    """All bytes until the node says goodbye to our close."""
    w.send(close(1000))
    while w.fill():
        pass
    got, w.buf = w.buf, b""
    return got


def test_heartbeat_in_single_bytes(node):
    data = text(BEAT)
    w = node.connect()
    for byte in data:
        w.send(bytes([byte]))
        node.barrier()
    w.expect(ACK)


def test_many_messages_in_one_packet(wire):
    wire.send(*[text(BEAT)] * 500)
    for _ in range(500):
        wire.expect(ACK)


@pytest.mark.parametrize("key", table(
    ("zero", bytes(4)), ("ones", b"\xff" * 4), ("usual", MASK),
    ("one byte", b"\x00\x00\x00\x01"),
))
def test_mask(wire, key):
    for size in (len(BEAT), 126, 1000, 1001, 1002, 1003):
        message = padded(size) if size > len(BEAT) else BEAT
        wire.send(text(message, key=key))
        wire.expect(ACK)


def test_mask_is_each_frames_own(wire):
    wire.send(frame(TEXT, BEAT[:9], fin=False, key=b"abcd"),
              frame(CONT, BEAT[9:14], fin=False, key=b"\0\1\2\3"),
              frame(PING, b"x", key=b"zzzz"),
              frame(CONT, BEAT[14:], key=b"wxyz"))
    assert wire.recv_frame().payload == b"x"
    wire.expect(ACK)


# ---- control frames ----

@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 124, 125])
def test_ping(wire, size):
    wire.pong(bytes(range(256 - size, 256)))


def test_pings_in_order(wire):
    wire.send(*[frame(PING, b"%d" % i) for i in range(100)])
    for i in range(100):
        f = wire.recv_frame()
        assert (f.opcode, f.payload) == (PONG, b"%d" % i)


def test_ping_before_any_message(node):
    node.connect().pong(b"early")


def test_pong_is_ignored(wire):
    wire.send(frame(PONG), frame(PONG, b"x" * 125))
    wire.send(text(BEAT))
    wire.expect(ACK)


def test_ping_between_fragments_is_answered_at_once(wire):
    for i in range(1, len(BEAT)):
        first, last = fragments(BEAT, i)
        wire.send(first)
        wire.pong(b"%d" % i)
        wire.send(frame(PONG), last)
        wire.expect(ACK)


def test_ping_within_a_character(wire):
    message = compact({"type": "heartbeat", "client_id": "c",
                       "timestamp_ms": 5, "x": "\u20ac"})
    i = message.index(b"\xe2") + 1
    first, last = fragments(message, i)
    wire.send(first, frame(PING, b"\xff"), last)
    assert wire.recv_frame().payload == b"\xff"
    wire.expect(ACK)


def test_long_reply(node):
    """Replies need longer lengths, too; Wire checks that they are right."""
    for length in (60, 70, 80, 256):
        who = "a" * length
        w = node.connect()
        w.say({"type": "heartbeat", "client_id": who, "timestamp_ms": 5})
        w.expect({"type": "heartbeat_ack", "client_id": who,
                  "timestamp_ms": 5})


def test_longest_reply(node):
    """Each byte of the id becomes six."""
    who = "\x01" * 256
    w = node.connect()
    w.say({"type": "heartbeat", "client_id": who, "timestamp_ms": 5})
    w.expect({"type": "heartbeat_ack", "client_id": who, "timestamp_ms": 5})
    w.say({"type": "route_request", "client_id": who})
    assert w.recv_text().count(b"\\u0001") == 256
