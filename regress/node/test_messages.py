"""What messages mean, in both dialects: section 2 of the node protocol."""

import decimal
import math
import random
import re
import struct

import pytest

from node import BINARY, compact, frame, request, same, table, wait_for

ALICE, BOB = "alice-key-0001", "bob-key-0002"
UUID4 = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

INVALID = b'{"type":"error","message":"invalid message"}'
MISMATCH = b'{"type":"error","message":"client_id mismatch"}'
NO_BINARY = b'{"type":"error","message":"binary messages are not supported"}'
FULL = b'{"type":"error","message":"session limit reached"}'
HELLO_ACK = b'{"type":"hello_ack","node_id":"node-a","accepted":true}'


def error(code, message):
    """An error of the session dialect."""
    return compact({"type": "error", "code": code, "message": message})


def hello(**more):
    return {"type": "hello", "client_id": "c", **more}


def heartbeat(timestamp=5, **more):
    return {"type": "heartbeat", "client_id": "c",
            "timestamp_ms": timestamp, **more}


def heartbeat_ack(timestamp=5, client_id="c"):
    return {"type": "heartbeat_ack", "client_id": client_id,
            "timestamp_ms": timestamp}


def route(**more):
    return {"type": "route_request", "client_id": "c", **more}


def orientation(**more):
    return {"type": "orientation", "client_id": "c", **more}


def still_works(w):
    """The connection has survived, and no more was said on it."""
    w.say(heartbeat(77))
    w.expect(heartbeat_ack(77))


@pytest.fixture(scope="module")
def node(lab):
    with lab.node() as node:
        yield node


@pytest.fixture
def wire(node):
    return node.connect()


# ---- the client dialect ----

def test_hello(wire):
    wire.say(hello())
    wire.expect(HELLO_ACK)


def test_hello_with_all_members(wire):
    wire.say(hello(session_tag="t", auth_token="x"))
    wire.expect(HELLO_ACK)


def test_hello_may_repeat(wire):
    for tag in ("a", "b", "c"):
        wire.say(hello(session_tag=tag))
        wire.expect(HELLO_ACK)


def test_heartbeat(wire):
    wire.say(heartbeat(5))
    wire.expect(b'{"type":"heartbeat_ack","client_id":"c","timestamp_ms":5}')


def test_orientation_has_no_reply(wire):
    wire.say(orientation(focus_momentum=0.8, time_orientation={
        "direction": "future", "strength": 0.9}))
    still_works(wire)


def test_orientation_and_route_as_in_the_contract(wire):
    wire.say(orientation(focus_momentum=0.8, time_orientation={
        "direction": "future", "strength": 0.9}))
    wire.say(route())
    wire.expect(
        b'{"type":"route_suggestion","client_id":"c",'
        b'"suggested_sector":"future_planning_high_momentum",'
        b'"reason":"client oriented to future",'
        b'"debug":{"focus_momentum":0.8,'
        b'"time_orientation":{"direction":"future","strength":0.9}}}')


def test_route_without_orientation(wire):
    wire.say(route())
    wire.expect(
        b'{"type":"route_suggestion","client_id":"c",'
        b'"suggested_sector":"neutral","reason":"default",'
        b'"debug":{"focus_momentum":null,"time_orientation":null}}')


@pytest.mark.parametrize("first", table(
    ("heartbeat", heartbeat()),
    ("route request", route()),
    ("orientation", orientation()),
    ("hello", hello()),
))
def test_any_message_may_come_first(wire, first):
    wire.say(first)
    if first["type"] != "orientation":
        assert b'"error"' not in wire.recv_text()
    still_works(wire)


REASONS = {
    None: ("neutral", "default"),
    "past": ("retrospective_safe", "client leaning towards past"),
    "present": ("present_focus", "client is present-oriented"),
    "future": ("future_planning", "client oriented to future"),
    "multi": ("multi_bridge", "client in multi-temporal state"),
}
MOMENTUMS = {
    None: "", "0.71": "_high_momentum", "0.7000000000000001":
    "_high_momentum", "1": "_high_momentum", "0.7": "", "0.5": "", "0.3": "",
    "0.29999999999999993": "_low_momentum", "0.1": "_low_momentum",
    "0": "_low_momentum", "-1": "_low_momentum",
}


def suggestion(member, who, sector, reason, momentum, direction, strength):
    oriented = "null" if direction is None else \
        f'{{"direction":"{direction}","strength":{strength}}}'
    return (f'{{"type":"route_suggestion","{member}":"{who}",'
            f'"suggested_sector":"{sector}","reason":"{reason}",'
            f'"debug":{{"focus_momentum":{momentum or "null"},'
            f'"time_orientation":{oriented}}}}}')


def members(momentum, direction):
    """Those of an orientation message, numbers as they are written."""
    text = ""
    if momentum is not None:
        text += f',"focus_momentum":{momentum}'
    if direction is not None:
        text += (f',"time_orientation":{{"direction":"{direction}",'
                 '"strength":0.5}')
    return text


def as_double(text):
    return text if text is None or "." in text else text + ".0"


@pytest.mark.parametrize("momentum", MOMENTUMS)
@pytest.mark.parametrize("direction", REASONS)
def test_sector(wire, direction, momentum):
    wire.say('{"type":"orientation","client_id":"c"'
             + members(momentum, direction) + "}")
    wire.say(route())
    sector, reason = REASONS[direction]
    wire.expect(suggestion("client_id", "c", sector + MOMENTUMS[momentum],
                           reason, as_double(momentum), direction, 0.5))


def test_orientation_merges(wire):
    def now(sector, reason, momentum, direction, strength=None):
        wire.say(route())
        wire.expect(suggestion("client_id", "c", sector, reason, momentum,
                               direction, strength))

    wire.say(orientation(focus_momentum=0.9))
    now("neutral_high_momentum", "default", "0.9", None)
    wire.say(orientation(
        time_orientation={"direction": "past", "strength": 0.25}))
    now("retrospective_safe_high_momentum", "client leaning towards past",
        "0.9", "past", 0.25)
    wire.say(orientation(focus_momentum=0.5, time_orientation=None))
    now("retrospective_safe", "client leaning towards past", "0.5", "past",
        0.25)
    wire.say(orientation(focus_momentum=None))
    now("retrospective_safe", "client leaning towards past", "0.5", "past",
        0.25)
    wire.say(hello())
    wire.expect(HELLO_ACK)
    now("retrospective_safe", "client leaning towards past", "0.5", "past",
        0.25)
    wire.say(orientation(focus_momentum=0.1, time_orientation={
        "direction": "multi", "strength": -1.5}))
    now("multi_bridge_low_momentum", "client in multi-temporal state",
        "0.1", "multi", -1.5)


def test_an_invalid_orientation_changes_nothing(wire):
    wire.say(orientation(focus_momentum=0.5, time_orientation={
        "direction": "past", "strength": 0.5}))
    wire.say(orientation(focus_momentum=0.9, time_orientation={
        "direction": "sideways", "strength": 0.5}))
    wire.expect(INVALID)
    wire.say(route())
    wire.expect(suggestion("client_id", "c", "retrospective_safe",
                           "client leaning towards past", "0.5", "past",
                           0.5))


@pytest.mark.parametrize("hint", table(
    ("string", "somewhere"),
    ("string of 256 bytes", "h" * 256),
    ("null", None),
    ("custom", {"Custom": "mine"}),
    ("custom of 256 bytes", {"Custom": "h" * 256}),
))
def test_hint_sector(wire, hint):
    wire.say(route(hint_sector=hint))
    wire.expect(suggestion("client_id", "c", "neutral", "default", None,
                           None, None))


# ---- what is JSON, and what is a message ----

BEAT = '"type":"heartbeat","client_id":"c","timestamp_ms":5'
ACK = heartbeat_ack()


def nested(levels):
    """A heartbeat whose deepest value is so deep in it."""
    inner = levels - 1
    return f'{{{BEAT},"x":{"[" * inner}{"]" * inner}}}'


def nested_objects(levels):
    inner = levels - 1
    return f'{{{BEAT},"x":' + '{"a":' * inner + "1" + "}" * inner + "}"


@pytest.mark.parametrize("message", table(
    ("type last", '{"client_id":"c","timestamp_ms":5,"type":"heartbeat"}'),
    ("type in the middle",
     '{"client_id":"c","type":"heartbeat","timestamp_ms":5}'),
    ("spaces everywhere",
     ' \t\r\n{ "type" :\n"heartbeat" , "client_id"\t:"c",'
     '"timestamp_ms" : 5 }\r\n\t '),
    ("escaped member name",
     '{"\\u0074ype":"heartbeat","client_id":"c","timestamp_ms":5}'),
    ("escaped type",
     '{"type":"h\\u0065artbeat","client_id":"c","timestamp_ms":5}'),
    ("escaped id",
     '{"type":"heartbeat","client_id":"\\u0063","timestamp_ms":5}'),
    ("unknown members", f'{{"x":1,{BEAT},"y":[],"z":{{}}}}'),
    ("unknown null", f'{{{BEAT},"x":null}}'),
    ("unknown literals", f'{{{BEAT},"x":[true,false,null]}}'),
    ("unknown empty name", f'{{{BEAT},"":1}}'),
    ("unknown string with all escapes",
     f'{{{BEAT},"x":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u12aB"}}'),
    ("unknown NUL", f'{{{BEAT},"x":"\\u0000"}}'),
    ("unknown name with NUL", f'{{{BEAT},"x\\u0000":1,"x":2}}'),
    ("unknown surrogate pair", f'{{{BEAT},"x":"\\ud83d\\ude00"}}'),
    ("unknown UTF-8", f'{{{BEAT},"x":"\u00e9\u20ac\U0001f600"}}'),
    ("unknown noncharacters", f'{{{BEAT},"x":"\ufffe\uffff\\uffff"}}'),
    ("unknown integer beyond 64 bits",
     f'{{{BEAT},"x":123456789012345678901234567890}}'),
    ("unknown integer of 1000 digits", f'{{{BEAT},"x":{"9" * 1000}}}'),
    ("unknown negative integer of 1000 digits",
     f'{{{BEAT},"x":-{"9" * 1000}}}'),
    ("unknown numbers",
     f'{{{BEAT},"x":[0,-0,0.0,-0.5,1e5,1E+5,1e-5,0e0,12.50]}}'),
    ("unknown type of another dialect", f'{{{BEAT},"session_tag":5}}'),
    ("the same name at different levels",
     f'{{{BEAT},"x":{{"type":1,"x":{{"type":2}}}}}}'),
    ("the same name side by side", f'{{{BEAT},"x":[{{"a":1}},{{"a":2}}]}}'),
    ("names that differ in case", f'{{{BEAT},"Type":"x","TYPE":"y"}}'),
    ("nested 32 deep", nested(32)),
    ("nested 32 deep in objects", nested_objects(32)),
    ("many levels side by side",
     f'{{{BEAT},"x":[{",".join(["[[]]"] * 100)}]}}'),
))
def test_accepts(wire, message):
    wire.say(message)
    wire.expect(ACK)


@pytest.mark.parametrize("message", table(
    # not an object, not JSON
    ("nothing", ""),
    ("only spaces", "  \n"),
    ("an array", "[]"),
    ("a string", '"hello"'),
    ("a number", "5"),
    ("null", "null"),
    ("a message in an array", f"[{{{BEAT}}}]"),
    ("an empty object", "{}"),
    ("an open object", "{"),
    ("an open member", f"{{{BEAT}"),
    ("an open string", '{"type":"heartbeat'),
    ("an open array", f'{{{BEAT},"x":['),
    ("a byte after it", f"{{{BEAT}}}x"),
    ("a brace after it", f"{{{BEAT}}}}}"),
    ("another message after it", f"{{{BEAT}}}{{{BEAT}}}"),
    ("a NUL after it", f"{{{BEAT}}}\0"),
    ("a byte order mark", f"\ufeff{{{BEAT}}}"),
    ("a comma too many", f"{{{BEAT},}}"),
    ("a comma first", f"{{,{BEAT}}}"),
    ("a comma too few", f'{{{BEAT} "x":1}}'),
    ("a comma too many in an array", f'{{{BEAT},"x":[1,]}}'),
    ("no colon", f'{{{BEAT},"x"}}'),
    ("no value", f'{{{BEAT},"x":}}'),
    ("a name that is a number", f"{{{BEAT},5:1}}"),
    ("a bare name", f"{{{BEAT},x:1}}"),
    ("single quotes", f"{{{BEAT},'x':1}}"),
    ("a comment", f"{{{BEAT}/* */}}"),
    ("a line comment", f"{{{BEAT}}}//"),
    ("brackets crossed", f'{{{BEAT},"x":[{{]}}}}'),
    ("a form feed as space", f"\f{{{BEAT}}}"),
    ("a no-break space", f"\u00a0{{{BEAT}}}"),
    # literals and numbers
    ("True", f'{{{BEAT},"x":True}}'),
    ("tru", f'{{{BEAT},"x":tru}}'),
    ("truex", f'{{{BEAT},"x":truex}}'),
    ("NaN", f'{{{BEAT},"x":NaN}}'),
    ("Infinity", f'{{{BEAT},"x":Infinity}}'),
    ("undefined", f'{{{BEAT},"x":undefined}}'),
    ("a leading zero", f'{{{BEAT},"x":01}}'),
    ("a negative leading zero", f'{{{BEAT},"x":-01}}'),
    ("a plus sign", f'{{{BEAT},"x":+1}}'),
    ("a bare minus", f'{{{BEAT},"x":-}}'),
    ("no digit before the point", f'{{{BEAT},"x":.5}}'),
    ("no digit after the point", f'{{{BEAT},"x":1.}}'),
    ("no digit in the exponent", f'{{{BEAT},"x":1e}}'),
    ("no digit in a signed exponent", f'{{{BEAT},"x":1e+}}'),
    ("hexadecimal", f'{{{BEAT},"x":0x10}}'),
    # strings
    ("a raw newline in a string", f'{{{BEAT},"x":"\n"}}'),
    ("a raw tab in a string", f'{{{BEAT},"x":"\t"}}'),
    ("a raw NUL in a string", f'{{{BEAT},"x":"\0"}}'),
    ("a raw 1f in a string", f'{{{BEAT},"x":"\x1f"}}'),
    ("an unknown escape", f'{{{BEAT},"x":"\\x41"}}'),
    ("an escape in capitals", f'{{{BEAT},"x":"\\U0041"}}'),
    ("three digits in an escape", f'{{{BEAT},"x":"\\u041"}}'),
    ("no digit in an escape", f'{{{BEAT},"x":"\\u00g0"}}'),
    ("a high surrogate alone", f'{{{BEAT},"x":"\\ud800"}}'),
    ("a low surrogate alone", f'{{{BEAT},"x":"\\udc00"}}'),
    ("a high surrogate and a letter", f'{{{BEAT},"x":"\\ud800x"}}'),
    ("a high surrogate and an escape", f'{{{BEAT},"x":"\\ud800\\n"}}'),
    ("a high surrogate and no low one", f'{{{BEAT},"x":"\\ud800\\u0041"}}'),
    ("two high surrogates", f'{{{BEAT},"x":"\\ud800\\ud800"}}'),
    ("surrogates the wrong way round", f'{{{BEAT},"x":"\\udc00\\ud800"}}'),
    ("a lone surrogate in a name", f'{{{BEAT},"\\ud800":1}}'),
    # duplicates
    ("type twice", f'{{{BEAT},"type":"heartbeat"}}'),
    ("client_id twice", f'{{"client_id":"c",{BEAT}}}'),
    ("an unknown member twice", f'{{{BEAT},"x":1,"x":1}}'),
    ("an escaped name twice", f'{{{BEAT},"x":1,"\\u0078":1}}'),
    ("an empty name twice", f'{{{BEAT},"":1,"":1}}'),
    ("a name with NUL twice", f'{{{BEAT},"x\\u0000":1,"x\\u0000":1}}'),
    ("twice in an object", f'{{{BEAT},"x":{{"a":1,"a":2}}}}'),
    ("twice in an array", f'{{{BEAT},"x":[1,{{"a":1,"b":2,"a":3}}]}}'),
    ("twice at the bottom",
     f'{{{BEAT},"x":' + "[" * 30 + '{"a":1,"a":2}' + "]" * 30 + "}"),
    # depth
    ("nested 33 deep", nested(33)),
    ("nested 33 deep in objects", nested_objects(33)),
    ("nested 10000 deep", nested(10000)),
    ("nested and never closed", f'{{{BEAT},"x":{"[" * 10000}'),
    # type
    ("no type", '{"client_id":"c","timestamp_ms":5}'),
    ("null type", '{"type":null,"client_id":"c"}'),
    ("a number for type", '{"type":1,"client_id":"c"}'),
    ("an empty type", '{"type":"","client_id":"c"}'),
    ("an unknown type", '{"type":"goodbye","client_id":"c"}'),
    ("a type in capitals",
     '{"type":"Heartbeat","client_id":"c","timestamp_ms":5}'),
    ("a type with a space",
     '{"type":"heartbeat ","client_id":"c","timestamp_ms":5}'),
    ("a type with NUL",
     '{"type":"heartbeat\\u0000","client_id":"c","timestamp_ms":5}'),
    ("a type of the node", '{"type":"heartbeat_ack","client_id":"c",'
     '"timestamp_ms":5}'),
    ("a type of the third dialect",
     '{"type":"handshake_init","client_id":"c"}'),
    # fields
    ("no client_id", '{"type":"heartbeat","timestamp_ms":5}'),
    ("null client_id",
     '{"type":"heartbeat","client_id":null,"timestamp_ms":5}'),
    ("a number for client_id",
     '{"type":"heartbeat","client_id":1,"timestamp_ms":5}'),
    ("an object for client_id",
     '{"type":"heartbeat","client_id":{},"timestamp_ms":5}'),
    ("hello without client_id", '{"type":"hello"}'),
    ("a number for session_tag", hello(session_tag=1)),
    ("an array for session_tag", hello(session_tag=["t"])),
    ("a number for auth_token", hello(auth_token=1)),
    ("a string for focus_momentum", orientation(focus_momentum="0.5")),
    ("true for focus_momentum", orientation(focus_momentum=True)),
    ("an array for focus_momentum", orientation(focus_momentum=[0.5])),
    ("a focus_momentum beyond a double",
     '{"type":"orientation","client_id":"c","focus_momentum":1e400}'),
    ("a string for time_orientation",
     orientation(time_orientation="future")),
    ("an array for time_orientation", orientation(time_orientation=[])),
    ("an empty time_orientation", orientation(time_orientation={})),
    ("a time_orientation without direction",
     orientation(time_orientation={"strength": 1})),
    ("a time_orientation without strength",
     orientation(time_orientation={"direction": "past"})),
    ("a null direction",
     orientation(time_orientation={"direction": None, "strength": 1})),
    ("a null strength",
     orientation(time_orientation={"direction": "past", "strength": None})),
    ("an unknown direction",
     orientation(time_orientation={"direction": "up", "strength": 1})),
    ("a direction in capitals",
     orientation(time_orientation={"direction": "Past", "strength": 1})),
    ("a number for direction",
     orientation(time_orientation={"direction": 1, "strength": 1})),
    ("a string for strength",
     orientation(time_orientation={"direction": "past", "strength": "1"})),
    ("a number for hint_sector", route(hint_sector=1)),
    ("an array for hint_sector", route(hint_sector=["x"])),
    ("an empty object for hint_sector", route(hint_sector={})),
    ("a hint_sector in lower case", route(hint_sector={"custom": "x"})),
    ("a number for a custom hint_sector", route(hint_sector={"Custom": 1})),
))
def test_refuses(wire, message):
    """On a connection that speaks no dialect yet, and on one that does."""
    for _ in range(2):
        wire.say(message)
        wire.expect(INVALID)
        still_works(wire)


TIMESTAMPS = table(
    ("zero", "0"), ("one", "1"), ("minus one", "-1"),
    ("now", "1764000000000"),
    ("largest", str(2 ** 63 - 1)), ("smallest", str(-2 ** 63)),
)
NO_TIMESTAMPS = table(
    ("beyond the largest", str(2 ** 63)),
    ("beyond the smallest", str(-2 ** 63 - 1)),
    ("beyond unsigned", str(2 ** 64)), ("huge", "9" * 100),
    ("negative and huge", "-" + "9" * 100),
    ("minus zero", "-0"), ("a fraction", "1.0"), ("half", "0.5"),
    ("an exponent", "1e3"), ("a capital exponent", "1E3"),
    ("an exponent of zero", "1e0"), ("a string", '"1"'), ("true", "true"),
    ("null", "null"), ("an array", "[1]"), ("an object", "{}"),
    ("a leading zero", "01"), ("a plus sign", "+1"),
)


@pytest.mark.parametrize("timestamp", TIMESTAMPS)
def test_timestamp(wire, timestamp):
    wire.say('{"type":"heartbeat","client_id":"c",'
             f'"timestamp_ms":{timestamp}}}')
    wire.expect('{"type":"heartbeat_ack","client_id":"c",'
                f'"timestamp_ms":{timestamp}}}')


@pytest.mark.parametrize("timestamp", NO_TIMESTAMPS)
def test_no_timestamp(wire, timestamp):
    wire.say('{"type":"heartbeat","client_id":"c",'
             f'"timestamp_ms":{timestamp}}}')
    wire.expect(INVALID)
    still_works(wire)


def test_timestamp_is_required(wire):
    wire.say('{"type":"heartbeat","client_id":"c"}')
    wire.expect(INVALID)


LENGTHS = table(
    ("no byte", "", False), ("1 byte", "x", True),
    ("256 bytes", "x" * 256, True), ("257 bytes", "x" * 257, False),
    ("10000 bytes", "x" * 10000, False),
    ("256 bytes of two each", "\u00e9" * 128, True),
    ("258 bytes of two each", "\u00e9" * 129, False),
    ("256 bytes of four each", "\U0001f600" * 64, True),
    ("260 bytes of four each", "\U0001f600" * 65, False),
    ("256 NULs", "\0" * 256, True), ("257 NULs", "\0" * 257, False),
)


@pytest.mark.parametrize("value, good", LENGTHS)
@pytest.mark.parametrize("where", [
    "client_id", "session_tag", "hint_sector", "Custom", "client_label"])
def test_length_of_ids(wire, where, value, good):
    if where == "client_label":
        message = {"type": "hello", "api_key": "k", where: value}
    elif where == "Custom":
        message = route(hint_sector={"Custom": value})
    elif where == "hint_sector":
        message = route(hint_sector=value)
    else:
        message = hello(**{where: value})
    got = wire.ask(message)
    if good:
        assert b'"error"' not in got
    elif where == "client_label":
        same(got, error("INVALID", "invalid message"))
    else:
        same(got, INVALID)


def test_length_of_escaped_ids(wire):
    """What counts is the string, not how it was written."""
    wire.say('{"type":"heartbeat","client_id":"' + "\\u00e9" * 128
             + '","timestamp_ms":5}')
    wire.expect(heartbeat_ack(client_id="\u00e9" * 128))


# ---- what the node writes ----

@pytest.mark.parametrize("written, printed", table(
    ("quote", '\\"', '\\"'), ("backslash", "\\\\", "\\\\"),
    ("slash", "/", "/"), ("escaped slash", "\\/", "/"),
    ("backspace", "\\b", "\\b"), ("form feed", "\\f", "\\f"),
    ("newline", "\\n", "\\n"), ("carriage return", "\\r", "\\r"),
    ("tab", "\\t", "\\t"), ("newline by number", "\\u000a", "\\n"),
    ("tab by number", "\\u0009", "\\t"),
    ("quote by number", "\\u0022", '\\"'),
    ("backslash by number", "\\u005C", "\\\\"),
    ("letter by number", "\\u0041", "A"),
    ("NUL", "\\u0000", "\\u0000"), ("control 1", "\\u0001", "\\u0001"),
    ("vertical tab", "\\u000B", "\\u000b"),
    ("escape", "\\u001B", "\\u001b"), ("control 1f", "\\u001F", "\\u001f"),
    ("DEL", "\\u007f", "\x7f"), ("raw DEL", "\x7f", "\x7f"),
    ("C1 control", "\\u0085", "\x85"),
    ("two bytes", "\\u00E9", "\u00e9"), ("raw two bytes", "\u00e9",
                                         "\u00e9"),
    ("three bytes", "\\u20ac", "\u20ac"),
    ("line separator", "\\u2028", "\u2028"),
    ("four bytes", "\\uD83D\\ude00", "\U0001f600"),
    ("raw four bytes", "\U0001f600", "\U0001f600"),
    ("the last code point", "\\udbff\\udfff", "\U0010ffff"),
    ("a noncharacter", "\\uffff", "\uffff"),
    ("the replacement character", "\ufffd", "\ufffd"),
    ("markup", "<&'>", "<&'>"),
))
def test_strings(wire, written, printed):
    wire.say(f'{{"type":"heartbeat","client_id":"a{written}z",'
             '"timestamp_ms":5}')
    wire.expect(f'{{"type":"heartbeat_ack","client_id":"a{printed}z",'
                '"timestamp_ms":5}')


@pytest.mark.parametrize("written, printed", table(
    ("one", "1", "1.0"), ("zero", "0", "0.0"),
    ("zero with fraction", "0.0", "0.0"),
    ("minus zero", "-0", "-0.0"), ("minus zero with fraction", "-0.0",
                                   "-0.0"),
    ("a tenth", "0.1", "0.1"), ("trailing zeros", "2.500", "2.5"),
    ("negative", "-2.5", "-2.5"),
    ("a sum", "0.30000000000000004", "0.30000000000000004"),
    ("a third", "0.3333333333333333", "0.3333333333333333"),
    ("too many digits", "0.1000000000000000055511151231257827", "0.1"),
    ("exponent", "1e3", "1000.0"), ("capital exponent", "1E+2", "100.0"),
    ("the smallest plain", "1e-5", "0.00001"),
    ("plain and small", "1.25e-5", "0.0000125"),
    ("below it", "9.99e-6", "9.99e-6"), ("ten to the -6", "1e-6", "1e-6"),
    ("ten to the -7", "0.0000001", "1e-7"),
    ("negative and small", "-1.5e-10", "-1.5e-10"),
    ("the largest plain", "9999999999999998", "9999999999999998.0"),
    ("ten to the 15", "1e15", "1000000000000000.0"),
    ("plain with fraction", "123456789012345.67", "123456789012345.67"),
    ("ten to the 16", "1e16", "1e16"),
    ("ten to the 16 in digits", "10000000000000000", "1e16"),
    ("15 times ten to the 19", "1.5e20", "1.5e20"),
    ("a large integer", "12345678901234567890", "1.2345678901234567e19"),
    ("two to the 63", "9223372036854775808", "9.223372036854776e18"),
    ("two to the 53", "9007199254740993", "9007199254740992.0"),
    ("the largest", "1.7976931348623157e308", "1.7976931348623157e308"),
    ("the smallest normal", "2.2250738585072014e-308",
     "2.2250738585072014e-308"),
    ("the smallest", "5e-324", "5e-324"),
    ("what rounds to nothing", "1e-400", "0.0"),
    ("ten to the 22", "1e22", "1e22"), ("ten to the 23", "1e23", "1e23"),
    ("ten to the 100", "1e100", "1e100"),
    ("hard to round", "2.2250738585072011e-308", "2.225073858507201e-308"),
    ("nine quintillion", "9007199254740991e3", "9.007199254740991e18"),
))
def test_numbers(wire, written, printed):
    for momentum, strength in ((written, "1"), ("1", written)):
        wire.say('{"type":"orientation","client_id":"c",'
                 f'"focus_momentum":{momentum},"time_orientation":'
                 f'{{"strength":{strength},"direction":"past"}}}}')
        got = wire.ask(route()).split(b'"debug":')[1].decode()
        momentum = printed if momentum is written else "1.0"
        strength = printed if strength is written else "1.0"
        same(got, f'{{"focus_momentum":{momentum},"time_orientation":'
                  f'{{"direction":"past","strength":{strength}}}}}}}')


def printed(x):
    """A double as the contract says; Python knows its shortest digits."""
    if x == 0:
        return "-0.0" if math.copysign(1, x) < 0 else "0.0"
    sign, digits, exponent = decimal.Decimal(repr(x)).as_tuple()
    digits = "".join(map(str, digits))
    point = len(digits) + exponent      # of digits before the point
    digits = digits.rstrip("0")
    if -4 <= point <= 16:
        whole = digits[:max(point, 0)].ljust(point, "0") or "0"
        part = "0" * -point + digits[max(point, 0):] or "0"
        body = f"{whole}.{part}"
    else:
        part = "." + digits[1:] if len(digits) > 1 else ""
        body = f"{digits[0]}{part}e{point - 1}"
    return "-" * sign + body


def test_printed_is_what_the_contract_says():
    assert [printed(float(x)) for x in (
        "1", "1e16", "1e-6", "1.5e20", "-0.0", "1e-5", "9.5e15", "0.02")
    ] == ["1.0", "1e16", "1e-6", "1.5e20", "-0.0", "0.00001",
          "9500000000000000.0", "0.02"]


def doubles(rng):
    """Any bit pattern, and short decimals about the limits of plainness."""
    while True:
        x, = struct.unpack("<d", rng.randbytes(8))
        if math.isfinite(x):
            yield x
        yield round(rng.uniform(-2, 2), rng.randrange(18))
        yield rng.uniform(1, 10) * 10.0 ** rng.randrange(-8, 20)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_random_numbers(wire, seed):
    numbers = doubles(random.Random(seed))
    for _ in range(300):
        momentum, strength = next(numbers), next(numbers)
        wire.say(orientation(focus_momentum=momentum, time_orientation={
            "direction": "past", "strength": strength}))
        got = wire.ask(route()).split(b'"debug":')[1].decode()
        same(got, f'{{"focus_momentum":{printed(momentum)},'
                  '"time_orientation":{"direction":"past",'
                  f'"strength":{printed(strength)}}}}}}}')


# ---- whose connection it is ----

def test_another_client_id_is_refused(wire):
    wire.say(heartbeat())
    wire.expect(ACK)
    for message in (heartbeat(client_id="d"), hello(client_id="d"),
                    route(client_id="d"), orientation(client_id="d"),
                    heartbeat(client_id="C"), heartbeat(client_id="c ")):
        wire.say(message)
        wire.expect(MISMATCH)
    still_works(wire)


def test_ids_with_nul_are_compared_whole(wire):
    wire.say(heartbeat(client_id="c\0a"))
    wire.expect(heartbeat_ack(client_id="c\0a"))
    wire.say(heartbeat(client_id="c\0b"))
    wire.expect(MISMATCH)


def test_an_invalid_first_message_claims_no_id(wire):
    wire.say({"type": "heartbeat", "client_id": "d", "timestamp_ms": "x"})
    wire.expect(INVALID)
    still_works(wire)


def test_one_id_on_two_connections_is_two_sessions(node):
    first, second = node.connect(), node.connect()
    first.say(orientation(focus_momentum=0.9))
    second.say(orientation(focus_momentum=0.1))
    for w, suffix in ((first, b"_high_"), (second, b"_low_")):
        assert b'"neutral' + suffix in w.ask(route())
    second.drop()
    node.barrier()
    assert b'"neutral_high_' in first.ask(route())


@pytest.mark.parametrize("payload", table(
    ("empty", b""), ("bytes", b"\x00\xff\xfe"), ("JSON", compact(heartbeat())),
))
def test_binary(wire, payload):
    """Before and after the first message."""
    for _ in range(2):
        wire.send(frame(BINARY, payload))
        wire.expect(NO_BINARY)
        still_works(wire)


@pytest.fixture(scope="module")
def guarded(lab):
    with lab.node({"alice": ALICE, "bob": BOB}) as node:
        yield node


@pytest.fixture
def alice(guarded):
    return guarded.connect([("X-API-Key", ALICE)])


def test_with_authentication_the_id_is_the_keys(alice):
    for claimed in ("c", "bob", "alice", "d"):
        alice.say(heartbeat(client_id=claimed))
        alice.expect(heartbeat_ack(client_id="alice"))
        alice.say(hello(client_id=claimed))
        alice.expect(HELLO_ACK)
        alice.say(route(client_id=claimed))
        alice.expect(suggestion("client_id", "alice", "neutral", "default",
                                None, None, None))


def test_with_authentication_client_id_must_still_be_there(alice):
    alice.say({"type": "heartbeat", "timestamp_ms": 5})
    alice.expect(INVALID)
    alice.say({"type": "heartbeat", "client_id": 1, "timestamp_ms": 5})
    alice.expect(INVALID)
    alice.say(heartbeat())
    alice.expect(heartbeat_ack(client_id="alice"))


def test_two_connections_with_one_key_are_two_sessions(guarded):
    """In a reference node they share one, and the first to go deletes it."""
    first = guarded.connect([("X-API-Key", ALICE)])
    second = guarded.connect([("X-API-Key", ALICE)])
    first.say(orientation(focus_momentum=0.9))
    second.say(orientation(focus_momentum=0.1))
    assert b'"neutral_low_' in second.ask(route())
    second.drop()
    guarded.connect([("X-API-Key", BOB)]).pong()
    assert b'"neutral_high_' in first.ask(route())


# ---- the session dialect ----

def session(w, **more):
    """Say hello; the session's id."""
    got = w.ask({"type": "hello", "api_key": "k", **more})
    start = b'{"type":"hello_ack","node_id":"node-a","accepted":true,' \
            b'"session_id":"'
    assert got.startswith(start) and got.endswith(b'"}')
    sid = got[len(start):-2]
    assert UUID4.fullmatch(sid), sid
    return sid.decode()


def beats(w, sid):
    """The session lives, and no more was said."""
    w.say({"type": "heartbeat", "session_id": sid, "timestamp_ms": 5})
    w.expect({"type": "heartbeat_ack", "session_id": sid,
              "timestamp_ms": 5})


def test_session_hello(wire):
    session(wire)


@pytest.mark.parametrize("more", table(
    ("a label", {"client_label": "x"}),
    ("a null label", {"client_label": None}),
    ("a client_id too", {"client_id": "c"}),
    ("unknown members", {"x": {"y": [1, 2]}, "session_tag": 5}),
))
def test_session_hello_with(wire, more):
    beats(wire, session(wire, **more))


def test_session_ids_differ(node):
    ids = {session(node.connect()) for _ in range(50)}
    assert len(ids) == 50


def test_session_heartbeat(wire):
    beats(wire, session(wire))


@pytest.mark.parametrize("timestamp", TIMESTAMPS)
def test_session_timestamp(wire, timestamp):
    sid = session(wire)
    wire.say(f'{{"type":"heartbeat","session_id":"{sid}",'
             f'"timestamp_ms":{timestamp}}}')
    wire.expect(f'{{"type":"heartbeat_ack","session_id":"{sid}",'
                f'"timestamp_ms":{timestamp}}}')


@pytest.mark.parametrize("momentum", MOMENTUMS)
@pytest.mark.parametrize("direction", REASONS)
def test_session_sector(wire, direction, momentum):
    """Momentum does not matter to it."""
    sid = session(wire)
    wire.say(f'{{"type":"orientation","session_id":"{sid}"'
             + members(momentum, direction) + "}")
    wire.say({"type": "route_request", "session_id": sid})
    sector, reason = REASONS[direction]
    if direction is None:
        sector = "base_neutral"
    wire.expect(suggestion("session_id", sid, sector, reason,
                           as_double(momentum), direction, 0.5))


def test_session_with_the_keys_id(alice):
    beats(alice, session(alice, api_key=ALICE))


@pytest.mark.parametrize("message", table(
    ("heartbeat",
     {"type": "heartbeat", "session_id": "s", "timestamp_ms": 5}),
    ("orientation", {"type": "orientation", "session_id": "s"}),
    ("route request", {"type": "route_request", "session_id": "s"}),
))
def test_session_handshake_required(wire, message):
    wire.say(message)
    wire.expect(error("INVALID", "handshake required"))
    wire.expect_close(1008)


@pytest.fixture(scope="module")
def session_node(lab):
    with lab.node(dialect="session") as node:
        yield node


@pytest.mark.parametrize("message", table(
    ("client hello", hello()),
    ("client heartbeat", heartbeat()),
    ("client route request", route()),
    ("hello without a key", {"type": "hello"}),
))
def test_session_invalid_handshake(session_node, message):
    w = session_node.connect()
    w.say(message)
    w.expect(error("INVALID", "invalid handshake"))
    w.expect_close(1008)


def test_session_handshake_required_by_configuration(session_node):
    w = session_node.connect()
    w.say({"type": "heartbeat", "session_id": "s", "timestamp_ms": 5})
    w.expect(error("INVALID", "handshake required"))
    w.expect_close(1008)


def test_session_binary_handshake(session_node):
    w = session_node.connect()
    w.send(frame(BINARY, b"\x00"))
    w.expect(error("INVALID", "binary handshake not supported"))
    w.expect_close(1008)


def test_session_by_configuration(session_node):
    w = session_node.connect()
    sid = session(w)
    beats(w, sid)
    w.send(frame(BINARY, b"\x00"))
    w.expect(error("INVALID", "binary messages are not supported"))
    beats(w, sid)


@pytest.mark.parametrize("key", table(
    ("a wrong one", "wrong"), ("of another id", BOB), ("an empty one", ""),
))
def test_session_unauthorized(alice, key):
    alice.say({"type": "hello", "api_key": key})
    alice.expect(error("UNAUTHORIZED", "unauthorized"))
    alice.expect_close(1008)


def test_session_second_hello(wire):
    sid = session(wire)
    for key in ("k", "other"):
        wire.say({"type": "hello", "api_key": key})
        wire.expect(error("INVALID", "handshake already completed"))
    beats(wire, sid)


@pytest.mark.parametrize("message", table(
    ("heartbeat", {"type": "heartbeat", "timestamp_ms": 5}),
    ("orientation", {"type": "orientation"}),
    ("route request", {"type": "route_request"}),
))
def test_session_mismatch(wire, message):
    session(wire)
    wire.say({**message,
              "session_id": "00000000-0000-4000-8000-000000000000"})
    wire.expect(error("FORBIDDEN", "session mismatch"))
    wire.expect_close(1008)


def test_session_of_another_connection_is_a_mismatch(node):
    sid = session(node.connect())
    w = node.connect()
    session(w)
    w.say({"type": "heartbeat", "session_id": sid, "timestamp_ms": 5})
    w.expect(error("FORBIDDEN", "session mismatch"))
    w.expect_close(1008)


@pytest.mark.parametrize("message", table(
    ("no JSON", "{"), ("no object", "[]"), ("an empty object", "{}"),
    ("an unknown type", '{"type":"x","session_id":"SID"}'),
    ("no type", '{"session_id":"SID"}'),
    ("no session_id", '{"type":"heartbeat","timestamp_ms":5}'),
    ("a null session_id",
     '{"type":"heartbeat","session_id":null,"timestamp_ms":5}'),
    ("a number for session_id",
     '{"type":"heartbeat","session_id":1,"timestamp_ms":5}'),
    ("a client message",
     '{"type":"heartbeat","client_id":"c","timestamp_ms":5}'),
    ("a string for the timestamp",
     '{"type":"heartbeat","session_id":"SID","timestamp_ms":"5"}'),
    ("a fraction for the timestamp",
     '{"type":"heartbeat","session_id":"SID","timestamp_ms":5.0}'),
    ("an unknown direction",
     '{"type":"orientation","session_id":"SID",'
     '"time_orientation":{"direction":"up","strength":1}}'),
    ("a member twice",
     '{"type":"heartbeat","session_id":"SID","timestamp_ms":5,"x":1,"x":1}'),
    ("nothing", ""),
))
def test_session_invalid_message(wire, message):
    sid = session(wire)
    wire.say(message.replace("SID", sid))
    wire.expect(error("INVALID", "invalid message"))
    beats(wire, sid)


def test_session_binary(wire):
    sid = session(wire)
    wire.send(frame(BINARY, b"\x00\x01"))
    wire.expect(error("INVALID", "binary messages are not supported"))
    beats(wire, sid)


@pytest.mark.parametrize("message", table(
    ("a number for the key", {"type": "hello", "api_key": 1}),
    ("a number for the label",
     {"type": "hello", "api_key": "k", "client_label": 1}),
    ("an unknown type", {"type": "x", "session_id": "s"}),
))
def test_session_invalid_first_message(wire, message):
    """It settles the dialect and nothing else."""
    wire.say(message)
    wire.expect(error("INVALID", "invalid message"))
    beats(wire, session(wire))


# ---- which dialect ----

CLIENT, SESSION = "client", "session"


@pytest.mark.parametrize("first, dialect", table(
    ("hello with client_id", hello(), CLIENT),
    ("hello with neither", {"type": "hello"}, CLIENT),
    ("hello with session_id and client_id", hello(session_id="s"), CLIENT),
    ("an empty object", {}, CLIENT),
    ("an unknown type", {"type": "x"}, CLIENT),
    ("heartbeat with neither", {"type": "heartbeat", "timestamp_ms": 5},
     CLIENT),
    ("heartbeat with a key", heartbeat(api_key="k"), CLIENT),
    ("heartbeat with both", heartbeat(session_id="s"), CLIENT),
    ("hello with a key", {"type": "hello", "api_key": "k"}, SESSION),
    ("hello with a key and client_id", hello(api_key="k"), SESSION),
    ("hello with session_id", {"type": "hello", "session_id": "s"}, SESSION),
    ("an unknown type with session_id", {"type": "x", "session_id": "s"},
     SESSION),
    ("no type with session_id", {"session_id": "s"}, SESSION),
))
def test_first_object_settles_the_dialect(wire, first, dialect):
    wire.ask(first)
    wire.say("{")
    wire.expect(INVALID if dialect == CLIENT
                else error("INVALID", "invalid message"))
    if dialect == CLIENT:
        still_works(wire)


@pytest.mark.parametrize("noise", table(
    ("no JSON", "{"), ("an array", "[]"), ("nothing", ""),
    ("an object that is none", '{"type":"hello","client_id":"c"'),
))
def test_what_is_no_object_settles_nothing(wire, noise):
    wire.say(noise)
    wire.expect(INVALID)
    beats(wire, session(wire))


def test_binary_settles_nothing(wire):
    wire.send(frame(BINARY, b"x"))
    wire.expect(NO_BINARY)
    beats(wire, session(wire))


def test_the_client_dialect_stays(wire):
    still_works(wire)
    wire.say({"type": "hello", "api_key": "k"})
    wire.expect(INVALID)
    wire.say({"type": "heartbeat", "session_id": "s", "timestamp_ms": 5})
    wire.expect(INVALID)
    still_works(wire)


def test_the_client_dialect_by_configuration(lab):
    with lab.node(dialect="client") as node:
        w = node.connect()
        w.say({"type": "hello", "api_key": "k"})
        w.expect(INVALID)
        w.say({"type": "heartbeat", "session_id": "s", "timestamp_ms": 5})
        w.expect(INVALID)
        w.say(hello(api_key="k"))
        w.expect(HELLO_ACK)
        still_works(w)


# ---- room for sessions ----

@pytest.mark.parametrize("workers", [1, 2])
def test_session_limit(lab, workers):
    """For the node as a whole; nobody is thrown out, room is used again."""
    with lab.node(max_sessions=2, workers=workers) as node:
        first, second = node.connect(), node.connect()
        still_works(first)
        beats(second, session(second))
        third = node.connect()
        for message in (hello(), heartbeat(), route(), orientation()):
            third.say(message)
            third.expect(FULL)
        third.pong()
        fourth = node.connect()
        fourth.say({"type": "hello", "api_key": "k"})
        fourth.expect(error("RATE_LIMIT", "session limit reached"))
        fourth.expect_close(1013)
        still_works(first)
        first.drop()
        wait_for(lambda: third.ask(hello()) == HELLO_ACK, "there is room")
        still_works(third)


def test_a_session_counts_once(lab):
    with lab.node(max_sessions=1) as node:
        w = node.connect()
        for _ in range(3):
            w.say(hello())
            w.expect(HELLO_ACK)
        still_works(w)
        w.say(heartbeat(client_id="d"))
        w.expect(MISMATCH)
        node.metrics_are(ltp_sessions_total=1)


def test_sessions_are_counted(node):
    """Connections without one are none."""
    wires = [node.connect() for _ in range(5)]
    for w in wires[:3]:
        still_works(w)
    session(wires[3])
    node.metrics_are(ltp_sessions_total=4, ltp_ws_connections_current=5)
    for w in wires:
        w.drop()
    node.metrics_are(ltp_sessions_total=0, ltp_ws_connections_current=0)


def test_no_key_is_needed_without_authentication(node):
    """A reference node refuses everybody here."""
    w = node.wire()
    w.send(request())
    w.accepted()
    beats(w, session(w, api_key="whatever"))
