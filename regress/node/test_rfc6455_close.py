"""
RFC 6455 by section: closing (5.5.1, 7) and UTF-8 (8.1), played to ws-echo.
The tables of UTF-8 are the well known ones; where a sequence goes wrong is
written in them, and Python's decoder must agree.
"""

import contextlib
import itertools
import socket
import struct
import threading
import time

import pytest

from echo import (ACCEPTED, BYE, BYE_REPLY, REQUEST, RESET, Echo, cuts, fail,
                  reply, rest, single_bytes, so_far)
from node import (BINARY, CLOSE, CONT, PING, PONG, TEXT, close, frame,
                  fragments, header, mask, same, table, text)

NO_TEXT = fail(1007, "invalid UTF-8")
LINGER = 1      # seconds that ws-echo waits for the client's end


@pytest.fixture(scope="module")
def echo():
    with Echo() as echo:
        yield echo


# ---- 7.4: close codes ----

# 1000 to 1003 and 1007 to 1011 are the RFC's, 1012 to 1014 were registered
# later, from 3000 on others are in charge.
LEGAL = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
NAMED = [0, 1, 999, *range(1000, 1018), 1100, 1999, 2000, 2999, 3000, 3001,
         3999, 4000, 4999, 5000, 5001, 9999, 32768, 65535]
SAMPLE = sorted({*range(0, 1100), *range(1100, 3000, 41),
                 *range(2990, 3010), *range(3000, 5000, 41),
                 *range(4990, 5010), *range(5010, 65536, 997)})


def closed(code):
    return reply(CLOSE, struct.pack("!H", code)) if code in LEGAL \
        else fail(1002, "bad close code")


@pytest.mark.parametrize("code", NAMED)
def test_7_4_code(echo, code):
    same(echo.play(close(code)), ACCEPTED + closed(code))
    same(echo.play(close(code, b"reason")), ACCEPTED + closed(code))


def test_7_4_codes(echo):
    for code, got in zip(SAMPLE, echo.play_all([[close(c)] for c in SAMPLE])):
        assert got == ACCEPTED + closed(code), code


@pytest.mark.long
def test_7_4_every_code(echo):
    every = range(65536)
    for code, got in zip(every, echo.play_all([[close(c)] for c in every])):
        assert got == ACCEPTED + closed(code), code


# ---- 5.5.1, 7: the closing handshake ----

@pytest.mark.parametrize("sent, answer", table(
    ("5.5.1 no code", close(), reply(CLOSE)),
    ("5.5.1 one byte", frame(CLOSE, b"\x03"),
     fail(1002, "bad close payload")),
    ("5.5.1 one byte of nothing", frame(CLOSE, b"\0"),
     fail(1002, "bad close payload")),
    *((f"5.5.1 a reason of {n}", close(1000, b"r" * n), BYE_REPLY)
      for n in (1, 2, 122, 123)),
    ("5.5.1 a reason of 124", header(CLOSE, 126)[:2],
     fail(1002, "control frame too long")),
    ("7.1.6 a reason of other letters",
     close(1000, "\u03ba\u1f79\U0001f600".encode()), BYE_REPLY),
    ("7.1.6 a reason with NUL", close(1000, b"a\0b"), BYE_REPLY),
    ("5.5.1 close, then text", BYE + text("x"), BYE_REPLY),
    ("5.5.1 close, then ping", BYE + frame(PING, b"x"), BYE_REPLY),
    ("5.5.1 close, then close", BYE + close(1001), BYE_REPLY),
    ("5.5.1 close, then a bad frame", BYE + b"\xff\xff", BYE_REPLY),
    ("5.5.1 close, then half a message", BYE + text("abc")[:4],
     BYE_REPLY),
    ("5.5.1 close, then 64 KiB", BYE + frame(BINARY, b"x" * 65536),
     BYE_REPLY),
    ("5.5.1 a bad close, then a good one", close(999) + BYE,
     fail(1002, "bad close code")),
    ("5.5.1 a bad frame, then close", b"\x83" + BYE,
     fail(1002, "unknown opcode")),
    ("7.1.2 after a ping", frame(PING, b"x") + BYE,
     reply(PONG, b"x") + BYE_REPLY),
    ("7.1.2 after a message", text("x") + close(4000),
     reply(TEXT, b"x") + reply(CLOSE, struct.pack("!H", 4000))),
    ("7.1.2 within a message", frame(TEXT, b"x", fin=False) + BYE,
     BYE_REPLY),
    ("7.1.2 within a message, which then goes on",
     frame(TEXT, b"x", fin=False) + BYE + frame(CONT, b"y"), BYE_REPLY),
    ("7.1.2 within a character", frame(TEXT, b"\xe2", fin=False) + BYE,
     BYE_REPLY),
))
def test_close(echo, sent, answer):
    same(echo.play(sent), ACCEPTED + answer)


def test_7_close_split_at_every_byte(echo):
    data = text("x") + close(3456, "\u20ac".encode())
    for got in echo.play_all([*cuts(data), single_bytes(data)]):
        same(got, ACCEPTED + reply(TEXT, b"x") +
             reply(CLOSE, struct.pack("!H", 3456)))


def test_7_1_1_the_server_ends_first(echo):
    """Its end comes at once, with ours still open, and only once."""
    with echo.dial() as sock:
        sock.sendall(REQUEST + BYE)
        same(rest(sock), ACCEPTED + BYE_REPLY)
        sock.sendall(text("too late"))
        assert sock.recv(1) == b""


@pytest.mark.parametrize("chatty", [False, True])
def test_7_1_1_who_does_not_end_is_left(echo, chatty):
    """Not at once, for he may still read; but whatever he still sends."""
    echo.empty()
    leave = threading.Event()

    def chat(sock):
        while chatty and not leave.wait(LINGER / 20):
            sock.sendall(b"x")
    with echo.dial() as sock:
        sock.sendall(REQUEST + BYE)
        same(rest(sock), ACCEPTED + BYE_REPLY)
        begin = time.monotonic()
        thread = threading.Thread(target=ignore(chat), args=[sock])
        thread.start()
        try:
            echo.empty(5 * LINGER)
        finally:
            leave.set()
            thread.join()
        assert time.monotonic() - begin > LINGER / 2


def ignore(function):
    """What the other side cut off is no failure."""
    def run(*args):
        try:
            function(*args)
        except OSError:
            pass
    return run


@pytest.mark.parametrize("sent", table(
    ("7.2.1 nothing", b""),
    ("7.2.1 half a header", text("abc")[:1]),
    ("7.2.1 half a frame", text("abc")[:-1]),
    ("7.2.1 half a message", frame(TEXT, b"x", fin=False)),
    ("7.2.1 half a ping", frame(PING, b"x" * 9)[:-1]),
    ("7.2.1 half a close", BYE[:-1]),
))
@pytest.mark.parametrize("how", ["end", "reset"])
def test_the_client_goes_without_close(echo, sent, how):
    """Nothing is said to that, and nothing is kept."""
    with echo.dial() as sock:
        sock.sendall(REQUEST + sent)
        echo.settle()
        same(so_far(sock), ACCEPTED)
        if how == "end":
            sock.shutdown(socket.SHUT_WR)
            same(rest(sock), ACCEPTED)
    echo.empty()


def test_7_1_1_half_closed_clients_are_answered(echo):
    """All that was asked for comes, however slowly it is read."""
    payload = bytes(range(256)) * 4096
    with echo.dial() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(REQUEST + frame(BINARY, payload) + text("last"))
        sock.shutdown(socket.SHUT_WR)
        echo.settle()
        assert rest(sock) == ACCEPTED + reply(BINARY, payload) + \
            reply(TEXT, b"last")


def test_7_1_5_a_close_that_meets_another(echo):
    """Both have said it: nobody answers again."""
    with echo.dial() as sock:
        sock.sendall(REQUEST + b"\x83")
        echo.settle()
        sock.sendall(close(1001))
        same(rest(sock), ACCEPTED + fail(1002, "unknown opcode"))


# ---- 8.1: UTF-8 ----

VALID = (
    ("the word kosme", "\u03ba\u1f79\u03c3\u03bc\u03b5"),
    ("NUL", "\0"), ("the last of one byte", "\x7f"),
    ("the first of two bytes", "\x80"), ("the last of two bytes", "\u07ff"),
    ("the first of three bytes", "\u0800"),
    ("the last of three bytes", "\uffff"),
    ("the first of four bytes", "\U00010000"),
    ("the last of all", "\U0010ffff"),
    ("before the surrogates", "\ud7ff"), ("after the surrogates", "\ue000"),
    ("the replacement character", "\ufffd"), ("a byte order mark", "\ufeff"),
    ("a byte order mark turned round", "\ufffe"),
    ("noncharacters", "\ufdd0\ufdef\U0001fffe\U0001ffff\U0010fffe"),
    ("the edges of the lead bytes", "\u0fff\u1000\ucfff\ud000\U0003ffff"
                                    "\U00040000\U000fffff\U00100000"),
    ("combining marks", "e\u0301\u0302"),
    ("a text", "Gr\u00fc\u00dfe \u4e16\u754c \U0001f30d!"),
)
# Bytes, and which of them is the first that is wrong.
INVALID = (
    # 3.1 and 3.2 of the well known list: lone continuations and beginnings
    ("a lone 80", b"\x80", 0), ("a lone bf", b"\xbf", 0),
    ("two continuations", b"\x80\xbf", 0),
    ("all continuations", bytes(range(0x80, 0xc0)), 0),
    ("a continuation too many of two", b"\xc3\xa9\x80", 2),
    ("a continuation too many of four", b"\xf0\x90\x80\x80\x80", 4),
    ("two bytes cut short", b"\xc2 ", 1), ("df cut short", b"\xdf ", 1),
    ("e0 cut short", b"\xe0 ", 1), ("ef cut short", b"\xef ", 1),
    ("three bytes cut short by one", b"\xe2\x82 ", 2),
    ("f0 cut short", b"\xf0 ", 1), ("f4 cut short", b"\xf4 ", 1),
    ("four bytes cut short by two", b"\xf0\x90 ", 2),
    ("four bytes cut short by one", b"\xf0\x90\x80 ", 3),
    ("two beginnings of two", b"\xc3\xc3", 1),
    ("two beginnings of three", b"\xe2\xe2", 1),
    ("two beginnings of four", b"\xf0\xf0", 1),
    ("a beginning within four bytes", b"\xf0\x90\x80\xc3", 3),
    # 3.5 and 2.2: bytes that are nowhere
    ("fe", b"\xfe", 0), ("ff", b"\xff", 0), ("fe fe ff ff",
                                             b"\xfe\xfe\xff\xff", 0),
    ("f5", b"\xf5\x80\x80\x80", 0), ("f7 bf bf bf", b"\xf7\xbf\xbf\xbf", 0),
    ("five bytes", b"\xf8\x88\x80\x80\x80", 0),
    ("the last five bytes", b"\xfb\xbf\xbf\xbf\xbf", 0),
    ("six bytes", b"\xfc\x84\x80\x80\x80\x80", 0),
    ("the last six bytes", b"\xfd\xbf\xbf\xbf\xbf\xbf", 0),
    # 4: overlong
    ("an overlong slash of two", b"\xc0\xaf", 0),
    ("an overlong slash of three", b"\xe0\x80\xaf", 1),
    ("an overlong slash of four", b"\xf0\x80\x80\xaf", 1),
    ("an overlong slash of five", b"\xf8\x80\x80\x80\xaf", 0),
    ("an overlong slash of six", b"\xfc\x80\x80\x80\x80\xaf", 0),
    ("the last overlong of two", b"\xc1\xbf", 0),
    ("the last overlong of three", b"\xe0\x9f\xbf", 1),
    ("the last overlong of four", b"\xf0\x8f\xbf\xbf", 1),
    ("an overlong NUL of two", b"\xc0\x80", 0),
    ("an overlong NUL of three", b"\xe0\x80\x80", 1),
    ("an overlong NUL of four", b"\xf0\x80\x80\x80", 1),
    # 5: surrogates, and what lies beyond the last character
    ("the first high surrogate", b"\xed\xa0\x80", 1),
    ("the last high surrogate", b"\xed\xaf\xbf", 1),
    ("the first low surrogate", b"\xed\xb0\x80", 1),
    ("the last low surrogate", b"\xed\xbf\xbf", 1),
    ("a pair of surrogates", b"\xed\xa0\x80\xed\xb0\x80", 1),
    ("beyond the last of all", b"\xf4\x90\x80\x80", 1),
    ("far beyond the last of all", b"\xf4\xbf\xbf\xbf", 1),
)
TRUNCATED = (
    ("1 of 2", b"\xc3"), ("1 of 3", b"\xe2"), ("2 of 3", b"\xe2\x82"),
    ("1 of 4", b"\xf0"), ("2 of 4", b"\xf0\x9f"), ("3 of 4",
                                                   b"\xf0\x9f\x98"),
    ("2 of the first of 3", b"\xe0\xa0"), ("2 of the last of 4",
                                           b"\xf4\x8f"),
)
# Before it: plain, multi-byte, and so long that words are passed over.
BEGINNINGS = (b"", "\u03ba\u1f79\u03c3\u03bc\u03b5".encode(),
              b"0123456789" * 7)


def hopeful(data):
    """Whether it may still become text, as Python sees it."""
    for n in range(4):
        for end in itertools.product(b"\x80\x90\xa0", repeat=n):
            with contextlib.suppress(UnicodeDecodeError):
                (data + bytes(end)).decode()
                return True
    return False


def wrong_at(data):
    """The first byte that leaves no hope; None: there is some."""
    for i in range(len(data)):
        if not hopeful(data[:i + 1]):
            return i
    return None


def test_8_1_the_tables_are_right():
    for _, sequence, at in INVALID:
        assert wrong_at(sequence) == at, sequence
    for _, sequence in TRUNCATED:
        assert wrong_at(sequence) is None
        with pytest.raises(UnicodeDecodeError):
            sequence.decode()


@pytest.mark.parametrize("word", table(*(("8.1 " + n, w.encode())
                                         for n, w in VALID)))
def test_valid_text(echo, word):
    """However it is cut; and it is never refused before it is complete."""
    for begin in BEGINNINGS:
        data = begin + word + b"."
        back = reply(TEXT, data)
        first = len(begin)
        sent = [text(data)]
        answer = [back]
        for i in range(first, len(data) + 1):
            sent += fragments(data, i)
            answer.append(back)
            one, two = fragments(data, i)
            sent += [one, frame(PING, b"\xff"), two]
            answer += [reply(PONG, b"\xff"), back]
            for j in range(i, len(data) + 1):
                sent += fragments(data, i, j)
                answer.append(back)
        sent += fragments(data, *range(1, len(data)))
        answer.append(back)
        same(echo.play(b"".join(sent), BYE),
             ACCEPTED + b"".join(answer) + BYE_REPLY)


def test_8_1_valid_text_split_at_every_byte(echo):
    streams, expected = [], []
    for _, word in VALID:
        for data in (text(word), b"".join(fragments(word.encode(), 1))):
            streams += [[*pieces, BYE] for pieces in cuts(data)]
            streams.append([*single_bytes(data), BYE])
            expected += [reply(TEXT, word.encode())] * len(data)
    before = [ACCEPTED + e for e in expected]
    for got, one in zip(echo.play_all(streams, before), before):
        same(got, one + BYE_REPLY)


def fail_fast(data, at):
    """
    Ways to send data up to the byte that is wrong, alone in the last piece;
    what follows is announced and never comes.
    """
    start, wrong = data[:at], data[at:at + 1]
    whole = header(TEXT, 1000) + mask(data[:at + 1])
    yield [whole[:-1], whole[-1:]]
    yield single_bytes(whole)
    each = [frame(CONT if i else TEXT, data[i:i + 1], fin=False)
            for i in range(at + 1)]
    yield [b"".join(each)[:-1], each[-1][-1:]]
    yield [b"".join([frame(TEXT, start, fin=False), frame(PING)]),
           header(CONT, 1000, key=b"abcd") + mask(wrong, b"abcd")]
    yield [frame(TEXT, b"", fin=False) + frame(CONT, start, fin=False) +
           header(CONT, 1), mask(wrong)]


@pytest.mark.parametrize("sequence, at", table(
    *(("8.1 " + row[0], *row[1:]) for row in INVALID)))
def test_invalid_text(echo, sequence, at):
    """Refused at the very byte, and not before."""
    streams, before = [], []
    for begin in BEGINNINGS:
        for way in fail_fast(begin + sequence, len(begin) + at):
            streams.append(way)
            pinged = frame(PING) in way[0]
            before.append(ACCEPTED + (reply(PONG) if pinged else b""))
        streams.append([text(begin + sequence + b"edited")])
        before.append(ACCEPTED)
    for got, one in zip(echo.play_all(streams, before), before):
        same(got, one + NO_TEXT)


@pytest.mark.parametrize("sequence", table(*(("8.1 " + n, s)
                                             for n, s in TRUNCATED)))
def test_truncated_text(echo, sequence):
    """Good until the message ends, whatever way it does."""
    for begin in BEGINNINGS:
        data = begin + sequence
        whole = text(data)
        ways = [[whole[:-1], whole[-1:]]]
        for end in (frame(CONT), frame(CONT, b"")):
            ways.append([frame(TEXT, data, fin=False), end])
            ways.append([b"".join(fragments(data, *range(1, len(data)),
                                            len(data))[:-1]), end])
        got = echo.play_all(ways, [ACCEPTED] * len(ways))
        for one in got:
            same(one, ACCEPTED + NO_TEXT)
        # The next message is no continuation of this one.
        same(echo.play(whole + text(b"\x80")), ACCEPTED + NO_TEXT)


def test_8_1_every_first_byte_and_edges_of_the_second(echo):
    """Refused at the byte that leaves no hope."""
    streams, before, good = [], [], []
    for lead in range(0x80, 0x100):
        for second in (0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                       0xc0, 0xed, 0xff):
            data = bytes([lead, second])
            at = wrong_at(data)
            if at is None:
                good.append(data)
                continue
            sent = header(TEXT, 1000) + mask(data[:at + 1])
            streams.append([sent[:-1], sent[-1:]])
            before.append(ACCEPTED)
            if at == 0:
                break
    assert len(streams) > 350 and len(good) > 200
    for got, stream in zip(echo.play_all(streams, before), streams):
        assert got == ACCEPTED + NO_TEXT, stream
    # The others only miss what follows.
    streams = [[frame(TEXT, data, fin=False), BYE] for data in good]
    got = echo.play_all(streams, [ACCEPTED] * len(streams))
    assert got == [ACCEPTED + BYE_REPLY] * len(streams)


@pytest.mark.parametrize("reason", table(
    *(("7.1.6 " + row[0], row[1]) for row in INVALID
      if len(row[1]) <= 123),
    *(("7.1.6 " + n, s) for n, s in TRUNCATED)))
def test_close_reason_that_is_no_text(echo, reason):
    same(echo.play(close(1000, reason)), ACCEPTED + NO_TEXT)
    same(echo.play(close(1000, b"a" * (123 - len(reason)) + reason)),
         ACCEPTED + NO_TEXT)


def test_7_1_6_close_reasons(echo):
    for _, word in VALID:
        same(echo.play(close(1000, word.encode())), ACCEPTED + BYE_REPLY)


def test_8_1_is_not_asked_of_binary(echo):
    sent, answer = [], []
    for sequence in [row[1] for row in (*INVALID, *TRUNCATED)]:
        sent += [frame(BINARY, sequence), frame(PING, sequence),
                 *fragments(sequence, 1, opcode=BINARY)]
        answer += [reply(BINARY, sequence), reply(PONG, sequence),
                   reply(BINARY, sequence)]
    same(echo.play(b"".join(sent), BYE),
         ACCEPTED + b"".join(answer) + BYE_REPLY)


def test_8_1_a_message_is_checked_apart_from_the_last(echo):
    """Neither what was good nor what was bad stays."""
    word = "\u20ac".encode()
    same(echo.play(text(word) + frame(BINARY, b"\xe2") + text(word) +
                   frame(BINARY, b"\xe2", fin=False) +
                   frame(CONT, b"\xff") + text(word), BYE),
         ACCEPTED + reply(TEXT, word) + reply(BINARY, b"\xe2") +
         reply(TEXT, word) + reply(BINARY, b"\xe2\xff") +
         reply(TEXT, word) + BYE_REPLY)
