"""
RFC 6455 and the node: what it answers to streams that ws-echo knows, what
is its own (binary, limits, the end), and a heartbeat cut in every way.
"""

import fcntl
import json
import socket
import termios
import time

import pytest

import test_rfc6455
import test_rfc6455_close
from echo import (ACCEPTED, BYE, REQUEST, Player, cuts, fail, reply, rest,
                  single_bytes)
from node import (BINARY, CLOSE, CONT, PING, PONG, TEXT, TIMEOUT, close,
                  compact, fragments, frame, header, same, table, text,
                  wait_for)

LIMIT = 1000
LINGER = 1      # seconds that the node waits for the client's end
MANY = 1000     # messages in one read of the node
BEAT = compact({"type": "heartbeat", "client_id": "c", "timestamp_ms": 5})
ACK = reply(TEXT, compact({"type": "heartbeat_ack", "client_id": "c",
                           "timestamp_ms": 5}))
INVALID = reply(TEXT, compact({"type": "error",
                               "message": "invalid message"}))
NO_BINARY = reply(TEXT, compact({
    "type": "error", "message": "binary messages are not supported"}))
TOO_LARGE = fail(1009, "message too large")


def closed(code=1000):
    """The node's answer to a close."""
    return fail(code, "closed by the client")


@pytest.fixture(scope="module")
def node(lab):
    # The player's clock never says anything valid.
    with lab.node(max_message_bytes=LIMIT, control_limit_rps=0,
                  handshake_timeout_ms=600000) as node:
        yield node


class NodePlayer(Player):
    """Connections come to a worker by way of the supervisor."""

    def __init__(self, node):
        super().__init__(node.address)
        self.settle = node.barrier


@pytest.fixture(scope="module")
def player(node):
    player = NodePlayer(node)
    yield player
    player.clock.drop()


# ---- as ws-echo ----

def test_5_the_node_refuses_what_ws_echo_refuses(player):
    """With the same bytes, in one piece and in single ones."""
    cases = [(sent, expected) for _, sent, expected in test_rfc6455.CASES
             if not sent.endswith(BYE) and
             expected.count(b"\x81\x01x") == 0 and
             expected.count(b"\x81\x02xy") == 0]
    assert len(cases) > 190
    streams = [[sent] for sent, _ in cases]
    streams += [single_bytes(sent) for sent, _ in cases]
    for got, (_, expected) in zip(player.play_all(streams), 2 * cases):
        same(got, ACCEPTED + expected)


def test_7_4_the_node_and_close_codes(player):
    codes = test_rfc6455_close.SAMPLE
    for code, got in zip(codes, player.play_all([[close(c)] for c in codes])):
        legal = code in test_rfc6455_close.LEGAL
        same(got, ACCEPTED + (closed(code) if legal else
                              fail(1002, "bad close code")))


def test_8_1_the_node_refuses_what_is_no_utf8(player):
    streams = []
    for _, sequence, at in test_rfc6455_close.INVALID:
        streams += test_rfc6455_close.fail_fast(b'{"x":"' + sequence,
                                                6 + at)
    streams = [s for s in streams if frame(PING) not in s[0]]
    got = player.play_all(streams, [ACCEPTED] * len(streams))
    for one in got:
        same(one, ACCEPTED + test_rfc6455_close.NO_TEXT)


# ---- of its own ----

@pytest.mark.parametrize("sent, expected", table(
    ("5.6 binary", frame(BINARY, b"x"), NO_BINARY),
    ("5.6 binary that looks like a heartbeat", frame(BINARY, BEAT),
     NO_BINARY),
    ("5.6 empty binary", frame(BINARY), NO_BINARY),
    ("5.6 binary that is no UTF-8", frame(BINARY, b"\xff"), NO_BINARY),
    ("5.6 binary of the limit", frame(BINARY, b"x" * LIMIT), NO_BINARY),
    ("5.6 binary in fragments, answered once",
     b"".join(fragments(b"abcdef", 2, 4, opcode=BINARY)), NO_BINARY),
    ("5.6 binary in fragments, ping between",
     frame(BINARY, b"x", fin=False) + frame(PING, b"p") + frame(CONT, b"y"),
     reply(PONG, b"p") + NO_BINARY),
    ("5.6 binary, then text", frame(BINARY, b"x") + text(BEAT),
     NO_BINARY + ACK),
    ("5.6 no JSON, but UTF-8", text("\u20ac"), INVALID),
    ("5.6 an escaped surrogate is UTF-8 and no JSON",
     text('{"type":"\\ud800"}'), INVALID),
    ("5.6 an empty text", text(b""), INVALID),
    ("5.6 an empty text in fragments", b"".join(fragments(b"", 0, 0)),
     INVALID),
    ("5.6 a byte order mark", text("\ufeff".encode() + BEAT), INVALID),
))
def test_data(player, sent, expected):
    same(player.play(sent, text(BEAT), BYE),
         ACCEPTED + expected + ACK + closed())


@pytest.mark.parametrize("sent, expected", table(
    ("10.4 text of the limit", text(b" " * (LIMIT - len(BEAT)) + BEAT),
     ACK + closed()),
    *((f"10.4 {name} of {size:#x}", header(opcode, size), TOO_LARGE)
      for name, opcode in (("text", TEXT), ("binary", BINARY))
      for size in (LIMIT + 1, 65536, 1 << 32, (1 << 63) - 1)),
    ("10.4 fragments", frame(TEXT, b" " * LIMIT, fin=False) +
     frame(PING, b"p") + header(CONT, 1), reply(PONG, b"p") + TOO_LARGE),
    ("10.4 fragments that would wrap", frame(TEXT, b"x", fin=False) +
     header(CONT, (1 << 63) - 1), TOO_LARGE),
    ("10.4 65 empty fragments in a row", frame(TEXT, fin=False) +
     frame(CONT, fin=False) * 64, fail(1002, "too many empty fragments")),
))
def test_limits(player, sent, expected):
    same(player.play(sent, BYE), ACCEPTED + expected)


# ---- 7: the end ----

def test_7_1_1_the_node_ends_first(player):
    """At once; who does not end as well is left after a second."""
    with player.dial() as silent, player.dial() as chatty:
        for sock in silent, chatty:
            sock.sendall(REQUEST + BYE)
            same(rest(sock), ACCEPTED + closed())
        begin = time.monotonic()
        while not gone(chatty):
            assert time.monotonic() < begin + 5 * LINGER
            time.sleep(LINGER / 20)
        assert time.monotonic() > begin + LINGER / 2
        wait_for(lambda: gone(silent), "the node ends", LINGER)


def gone(sock):
    """Whether what we send is refused."""
    try:
        sock.sendall(b"x")
        return False
    except OSError:
        return True


def delivered(sock):
    left = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    return left == bytes(4)


@pytest.mark.parametrize("batches", [1, *range(8, 13)])
def test_7_1_1_a_half_closed_client_is_answered(player, batches):
    """
    All that was asked for, and the close.  A batch is read at once, and
    about the tenth the kernel takes no more of the answers.
    """
    batch = frame(BINARY) * 5 * MANY
    with socket.socket() as sock:
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(player.address)
        sock.sendall(REQUEST)
        player.settle()
        for last in [b""] * (batches - 1) + [BYE]:
            sock.sendall(batch + last)
            wait_for(lambda: delivered(sock), "all is delivered",
                     interval=0.001)
            player.barrier()
        sock.shutdown(socket.SHUT_WR)
        player.barrier()
        assert rest(sock) == \
            ACCEPTED + NO_BINARY * 5 * MANY * batches + closed()


def test_7_1_5_a_close_that_meets_another(player):
    with player.dial() as sock:
        sock.sendall(REQUEST + b"\x83")
        player.settle()
        sock.sendall(close(1001) + text(BEAT))
        same(rest(sock), ACCEPTED + fail(1002, "unknown opcode"))


def test_7_1_5_a_close_that_meets_the_end_of_the_node(lab):
    """Whichever comes first, each side says it once."""
    with lab.node() as node:
        wires = [node.connect() for _ in range(20)]
        for w in wires[:10]:
            w.send(BYE)
        node.terminate()
        for w in wires[10:]:
            w.send(BYE)
        for w in wires:
            f = w.recv_frame()
            assert f.opcode == CLOSE
            assert reply(CLOSE, f.payload) in (
                closed(), fail(1001, "shutting down")), f
            w.expect_end()
            w.drop()


# ---- 5.4, 6.2: one heartbeat, cut in every way ----

class Beat:
    """A heartbeat, a connection that may say it, and the reply to it."""

    def __init__(self, player, wire, message):
        self.player = player
        self.wire = wire
        self.message = compact(message)
        self.say([text(self.message)])
        self.reply = reply(TEXT, wire.recv_frame().payload)

    def say(self, pieces):
        """Each piece is read before the next one comes."""
        for i, piece in enumerate(pieces):
            if i > 0:
                self.player.barrier()
            self.wire.send(piece)

    def expect(self, *before):
        same(self.wire.take(len(b"".join(before)) + len(self.reply)),
             b"".join(before) + self.reply)

    def pairs(self):
        return [fragments(self.message, i)
                for i in range(len(self.message) + 1)]

    def triples(self):
        n = len(self.message)
        return [fragments(self.message, i, j)
                for i in range(n + 1) for j in range(i, n + 1)]


def client_beat(wire):
    return {"type": "heartbeat", "client_id": "c", "timestamp_ms": 5}


def letters_beat(wire):
    return {"type": "heartbeat", "client_id": "\u00e9\u20ac\U0001f600",
            "timestamp_ms": -5, "x": "\u0394"}


def session_beat(wire):
    ack = json.loads(wire.ask({"type": "hello", "api_key": "k"}))
    return {"type": "heartbeat", "session_id": ack["session_id"],
            "timestamp_ms": 5}


@pytest.fixture(params=[client_beat, letters_beat, session_beat],
                ids=lambda f: f.__name__)
def beat(request, node, player):
    wire = node.connect()
    return Beat(player, wire, request.param(wire))


def test_6_2_heartbeat_in_every_two_packets(beat):
    for data, *before in (
            (text(beat.message),),
            (b"".join(fragments(beat.message, 20)),),
            (frame(PING, b"ab") + text(beat.message), reply(PONG, b"ab"))):
        for pieces in cuts(data):
            beat.say(pieces)
            beat.expect(*before)


def test_6_2_long_heartbeat_in_every_two_packets(beat):
    """A length of two bytes."""
    data = text(beat.message[:-1] + b',"y":"' + b"y" * 100 + b'"}')
    assert data[1] & 127 == 126
    for pieces in cuts(data):
        beat.say(pieces)
        beat.expect()


def test_6_2_heartbeat_in_single_bytes(beat):
    for pieces in [text(beat.message)], fragments(beat.message, 11), \
            fragments(beat.message, *range(1, len(beat.message))):
        beat.say(single_bytes(b"".join(pieces)))
        beat.expect()


def test_5_4_heartbeat_in_every_pair_of_fragments(beat):
    for first, last in beat.pairs():
        beat.say([first + last])
        beat.expect()
        beat.say([first, last])
        beat.expect()


def test_5_4_heartbeat_in_every_pair_of_fragments_with_a_ping_between(beat):
    for i, (first, last) in enumerate(beat.pairs()):
        ping = b"%d" % i
        beat.say([first + frame(PING, ping) + last])
        beat.expect(reply(PONG, ping))
        beat.say([first + frame(PONG, ping), frame(PING, ping), last])
        beat.expect(reply(PONG, ping))


def test_5_4_heartbeat_in_every_triple_of_fragments(beat):
    triples = beat.triples()
    for i in range(0, len(triples), MANY):
        some = triples[i:i + MANY]
        beat.say([b"".join(b"".join(frames) for frames in some)])
        for _ in some:
            beat.expect()


def test_5_4_heartbeat_in_triples_of_fragments_and_packets(beat):
    for first, second, last in beat.triples()[::41]:
        beat.say([first, frame(PING, b"1"), second + frame(PING, b"2"),
                  last])
        beat.expect(reply(PONG, b"1"), reply(PONG, b"2"))


def test_5_4_heartbeat_in_pairs_of_fragments_and_packets(beat):
    """A packet may end anywhere in either of the frames."""
    for frames in beat.pairs()[::31]:
        data = frames[0] + frame(PING, b"p") + frames[1]
        for pieces in cuts(data):
            beat.say(pieces)
            beat.expect(reply(PONG, b"p"))
