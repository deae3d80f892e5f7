"""What /metrics says after each kind of event: section 6.

Every row has a node of its own, so that all counters can be compared, not
only those that should have moved; rows run side by side, because workers
report but once a second.
"""

import concurrent.futures
import re
import time

import pytest

from node import (BINARY, TEXT, basic, close, compact, frame, header,
                  request, table, text, wait_for)

ALICE, BOB = "alice-key-0001", "bob-key-0002"
KEYS = {"alice": ALICE, "bob": BOB}
PARALLEL = 12
REPORTED = 2.5      # seconds: twice a second, and some more

COUNTERS = (
    *[f'ltp_msgs_total{{type="{t}"}}' for t in (
        "hello", "heartbeat", "orientation", "route_request")],
    *[f'ltp_msg_rejected_total{{reason="{r}"}}' for r in (
        "rate_limit", "too_large", "invalid_json", "forbidden",
        "unauthorized")],
    'ltp_sessions_expired_total{reason="ttl"}',
    "ltp_capacity_rejections_total",
    "ws_invalid_json_total",
    "ws_invalid_json_suppressed_total",
    "rate_limit_violations_total",
    "ip_rate_limit_violations_total",
    "oversize_messages_total",
    "auth_failures_total",
    "auth_keys_reload_success_total",
    "auth_keys_reload_failure_total",
    *[f'log_suppressed_total{{category="{c}"}}' for c in (
        "ip_rate_limit", "rate_limit", "too_large", "invalid_json", "auth",
        "origin", "handshake")],
)
GAUGES = ("ltp_ws_connections_current", "ltp_sessions_total",
          "auth_keys_active", "janitor_expired_last_sweep")
HISTOGRAMS = ("janitor_sweep_duration_seconds",)


def msgs(kind):
    return f'ltp_msgs_total{{type="{kind}"}}'


def rejected(reason):
    return f'ltp_msg_rejected_total{{reason="{reason}"}}'


def suppressed(category):
    return f'log_suppressed_total{{category="{category}"}}'


def hello(**more):
    return compact({"type": "hello", "client_id": "c"} | more)


def beat(client_id="c"):
    return compact({"type": "heartbeat", "client_id": client_id,
                    "timestamp_ms": 5})


KEY_HELLO = compact({"type": "hello", "api_key": "k"})
ORIENTATION = compact({"type": "orientation", "client_id": "c"})
ROUTE = compact({"type": "route_request", "client_id": "c"})

ROWS = {}


def count(node, event, expected):
    everything = {**dict.fromkeys((*COUNTERS, *GAUGES), 0), **expected}
    event(node)
    node.drop_wires()
    node.samples_are(everything)
    # And so it stays: by now both the workers and the supervisor have
    # reported, also what was counted twice or should not have been.
    end = time.monotonic() + REPORTED
    while time.monotonic() < end:
        time.sleep(0.2)
        node.samples_are(everything, 0)


def row(expected, keys=None, **settings):
    """The function's event, on a node like this, counts so."""
    def add(event):
        ROWS[event.__name__] = (count, (event, expected), keys, settings)
        return event
    return add


def ask(w, *messages):
    for message in messages:
        w.ask(message)


@row({msgs("heartbeat"): 3, 'ltp_sessions_expired_total{reason="ttl"}': 3,
      "janitor_expired_last_sweep": 3}, idle_ttl_ms=500, gc_interval_ms=8000)
def expired_sessions_in_the_last_sweep(node):
    """The slowest row, so it goes first."""
    wires = [node.connect() for _ in range(3)]
    for w in wires:
        ask(w, beat())
        w.sock.settimeout(15)
    for w in wires:
        w.expect_close(1001)


@row({})
def nothing(node):
    pass


@row({})
def a_connection(node):
    node.connect().pong()


@row({msgs("hello"): 1})
def a_hello(node):
    ask(node.connect(), hello())


@row({msgs("hello"): 1, msgs("heartbeat"): 2, msgs("orientation"): 3,
      msgs("route_request"): 4})
def messages_of_the_client_dialect(node):
    w = node.connect()
    w.send(text(ORIENTATION) * 3)
    ask(w, hello(), beat(), beat(), *[ROUTE] * 4)


@row({msgs("hello"): 1, msgs("heartbeat"): 2, msgs("orientation"): 3,
      msgs("route_request"): 4})
def messages_of_the_session_dialect(node):
    w = node.connect()
    sid = w.ask(KEY_HELLO).split(b'"')[-2].decode()
    for kind, n in (("orientation", 3), ("route_request", 4)):
        w.send(text(compact({"type": kind, "session_id": sid})) * n)
    w.send(text(compact({"type": "heartbeat", "session_id": sid,
                         "timestamp_ms": 1})) * 2)
    for _ in range(6):
        w.recv_text()


@row({msgs("heartbeat"): 20}, workers=2)
def messages_on_two_workers(node):
    for _ in range(10):
        ask(node.connect(), beat(), beat())


@row({"ws_invalid_json_total": 1, rejected("invalid_json"): 1})
def no_json(node):
    ask(node.connect(), "{")


@row({"ws_invalid_json_total": 1, rejected("invalid_json"): 1})
def an_unknown_type(node):
    ask(node.connect(), '{"type":"x","client_id":"c"}')


@row({"ws_invalid_json_total": 1, rejected("invalid_json"): 1})
def a_bad_field(node):
    ask(node.connect(), '{"type":"heartbeat","client_id":"c"}')


@row({"ws_invalid_json_total": 1, rejected("invalid_json"): 1})
def a_binary_message(node):
    w = node.connect()
    w.send(frame(BINARY, b"x"))
    w.recv_text()


@row({msgs("heartbeat"): 1, rejected("forbidden"): 1})
def a_client_id_mismatch(node):
    ask(node.connect(), beat(), beat("d"))


@row({msgs("hello"): 1, rejected("forbidden"): 1})
def a_session_mismatch(node):
    w = node.connect()
    ask(w, KEY_HELLO, '{"type":"route_request","session_id":"x"}')
    w.expect_close(1008)


@row({msgs("heartbeat"): 3, "rate_limit_violations_total": 1,
      rejected("rate_limit"): 1}, rate_limit_rps=1, rate_limit_burst=3)
def a_rate_limit(node):
    """However many messages come after it."""
    w = node.connect()
    ask(w, beat(), beat(), beat())
    w.send(text(beat()) * 9)
    w.expect_close(1008)


@row({msgs("heartbeat"): 3, "ip_rate_limit_violations_total": 1,
      rejected("rate_limit"): 1}, ip_rate_limit_rps=1, ip_rate_limit_burst=3)
def an_ip_rate_limit(node):
    w = node.connect()
    ask(w, beat(), beat(), beat())
    w.send(text(beat()) * 9)
    w.expect_close(1008)


@row({msgs("heartbeat"): 3, "ip_rate_limit_violations_total": 1,
      rejected("rate_limit"): 1}, rate_limit_rps=1, rate_limit_burst=3,
     ip_rate_limit_rps=1, ip_rate_limit_burst=3)
def both_rate_limits(node):
    w = node.connect()
    ask(w, beat(), beat(), beat())
    w.send(text(beat()))
    w.expect_close(1008)


@row({"oversize_messages_total": 1, rejected("too_large"): 1})
def a_message_too_large(node):
    w = node.connect()
    w.send(header(TEXT, 200000))
    w.expect_close(1009)


@row({msgs("heartbeat"): 1, "ltp_capacity_rejections_total": 1},
     max_sessions=1)
def a_session_over_the_limit(node):
    first, second = node.connect(), node.connect()
    ask(first, beat())
    ask(second, hello())


@row({msgs("heartbeat"): 1, "ltp_capacity_rejections_total": 1},
     max_sessions=1)
def a_session_over_the_limit_in_the_session_dialect(node):
    first, second = node.connect(), node.connect()
    ask(first, beat())
    ask(second, KEY_HELLO)
    second.expect_close(1013)


@row({"auth_failures_total": 1, "auth_keys_active": 2}, keys=KEYS)
def a_missing_key(node):
    w = node.wire()
    w.send(request())
    w.refused(401)


@row({"auth_failures_total": 1, "auth_keys_active": 2}, keys=KEYS)
def a_wrong_key(node):
    w = node.wire()
    w.send(request([("X-API-Key", "wrong")]))
    w.refused(401)


@row({"auth_failures_total": 1, "auth_keys_active": 2}, keys=KEYS)
def two_keys_that_disagree(node):
    w = node.wire()
    w.send(request([("X-API-Key", ALICE),
                    ("Authorization", f"Bearer {BOB}")]))
    w.refused(401)


@row({msgs("heartbeat"): 1, "auth_keys_active": 2}, keys=KEYS)
def a_good_key(node):
    ask(node.connect([("Authorization", basic(f"alice:{ALICE}"))]), beat())


@row({"auth_failures_total": 1, rejected("unauthorized"): 1,
      "auth_keys_active": 2}, keys=KEYS)
def a_wrong_key_in_the_hello(node):
    w = node.connect([("X-API-Key", ALICE)])
    ask(w, KEY_HELLO)
    w.expect_close(1008)


@row({"auth_failures_total": 1, rejected("unauthorized"): 1,
      "auth_keys_active": 2}, keys=KEYS)
def anothers_key_in_the_hello(node):
    w = node.connect([("X-API-Key", ALICE)])
    ask(w, compact({"type": "hello", "api_key": BOB}))
    w.expect_close(1008)


@row({msgs("heartbeat"): 1, 'ltp_sessions_expired_total{reason="ttl"}': 1},
     idle_ttl_ms=100, gc_interval_ms=50)
def an_expired_session(node):
    w = node.connect()
    ask(w, beat())
    w.expect_close(1001)


@row({})
def a_protocol_error(node):
    w = node.connect()
    w.send(frame(3))
    w.expect_close(1002)


@row({})
def invalid_utf8(node):
    w = node.connect()
    w.send(frame(TEXT, b"\xff"))
    w.expect_close(1007)


@row({})
def a_bad_request(node):
    w = node.wire()
    w.send(request(omit=["Host"]))
    w.refused(400)


@row({})
def a_request_with_a_wrong_method(node):
    w = node.wire()
    w.send(request(method="POST"))
    w.refused(405)


@row({})
def a_refused_origin(node):
    w = node.wire()
    w.send(request([("Origin", "https://example.org")]))
    w.refused(403)


@row({}, handshake_timeout_ms=100)
def a_handshake_deadline(node):
    node.connect().expect_close(1008)


@row({msgs("heartbeat"): 1})
def a_reset(node):
    w = node.connect()
    ask(w, beat())
    w.send(text(beat())[:5])
    w.reset()


# ---- what is not logged is counted ----

TIMES = 7
SUMS = {}


def add_up(node, name, events):
    """Lines in the log and lines left out are as many as events."""
    def logged():
        return len(node.log_lines(r"^\S+ warn .*remote_addr="))

    events(node)
    wait_for(lambda: logged() + node.metrics()[suppressed(name)] == TIMES,
             f"{TIMES} in all", interval=0.1)
    assert 1 <= logged() <= 2, "one line a second"


def category(name, keys=None, **settings):
    """The function makes TIMES events of this category."""
    def add(events):
        SUMS[events.__name__] = (add_up, (name, events), keys, settings)
        return events
    return add


@category("rate_limit", rate_limit_rps=1, rate_limit_burst=1)
def rate_limits(node):
    for _ in range(TIMES):
        w = node.connect()
        w.send(text(beat()) * 2)
        w.recv_text()
        w.expect_close(1008)


@category("ip_rate_limit", ip_rate_limit_rps=1, ip_rate_limit_burst=1)
def ip_rate_limits(node):
    ask(node.connect(), beat())
    for _ in range(TIMES):
        w = node.connect()
        w.send(text(beat()))
        w.expect_close(1008)


@category("too_large")
def large_messages(node):
    for _ in range(TIMES):
        w = node.connect()
        w.send(header(TEXT, 200000))
        w.expect_close(1009)


@category("auth", keys=KEYS)
def missing_keys(node):
    for _ in range(TIMES):
        w = node.wire()
        w.send(request())
        w.refused(401)


@category("origin")
def refused_origins(node):
    for _ in range(TIMES):
        w = node.wire()
        w.send(request([("Origin", "https://example.org")]))
        w.refused(403)


@category("handshake", handshake_timeout_ms=100)
def handshake_deadlines(node):
    for w in [node.connect() for _ in range(TIMES)]:
        w.expect_close(1008)


@category("invalid_json")
def bad_json_of_many(node):
    for _ in range(TIMES):
        ask(node.connect(), "{")


@category("invalid_json")
def bad_json_of_one(node):
    ask(node.connect(), *["{"] * TIMES)


# ---- the rows, side by side ----

class Result:
    """What became of a row."""

    def __init__(self):
        self.node = None
        self.error = None


def play(lab, check, args, keys, settings):
    result = Result()
    try:
        with lab.node(keys, **settings) as node:
            result.node = node
            check(node, *args)
    except Exception as e:
        result.error = e
    return result


@pytest.fixture(scope="module")
def outcome(lab):
    """Raises what went wrong with the row of this name."""
    rows = {**ROWS, **SUMS}
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        futures = {name: pool.submit(play, lab, *row)
                   for name, row in rows.items()}
    lab.recent.clear()

    def look(name):
        result = futures[name].result()
        if result.node is not None:
            lab.recent.append(result.node)
        if result.error is not None:
            raise result.error
    return look


@pytest.mark.parametrize("event", ROWS)
def test_counters_after(outcome, event):
    outcome(event)


@pytest.mark.parametrize("events", SUMS)
def test_log_lines_and_suppressed_ones_add_up(outcome, events):
    outcome(events)


@pytest.fixture(scope="module")
def node(lab):
    with lab.node() as node:
        yield node


# ---- the line at the end of a connection ----

def last_line(node, w):
    """What the log says of this connection, as a dictionary."""
    port = w.sock.getsockname()[1]
    w.drop()
    line, = wait_for(lambda: node.log_lines(
        rf" closed remote_addr=127\.0\.0\.1:{port} "), "the line")
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)
    return {name: value.strip('"') for name, value in pairs}


def test_line_of_a_session(node):
    w = node.connect()
    ask(w, hello(), beat(), "{", ROUTE)
    w.say(ORIENTATION)
    w.send(close(1000))
    w.recv_frame()
    line = last_line(node, w)
    assert line["client_ip"] == "127.0.0.1"
    assert line["client_id"] == "c"
    assert line["messages_in"] == "5"
    assert line["messages_out"] == "4"
    assert line["bytes_in"] == str(w.bytes_out)
    assert line["bytes_out"] == str(w.bytes_in)
    assert int(line["duration_ms"]) < 5000
    assert line["code"] == "1000"
    assert line["reason"] != ""


def test_line_of_a_connection_that_said_nothing(node):
    line = last_line(node, node.wire())
    assert "client_id" not in line
    assert line["messages_in"] == line["messages_out"] == "0"
    assert line["bytes_in"] == line["bytes_out"] == "0"


def test_line_of_a_refusal(node):
    w = node.wire()
    w.send(request(method="POST"))
    w.refused(405)
    line = last_line(node, w)
    assert line["code"] == "405"
    assert line["bytes_out"] == str(w.bytes_in)


@pytest.mark.parametrize("who", table(
    ("newline", "x\n2000-01-01T00:00:00.000Z error ltpd ltpd: forged"),
    ("escape sequence", "\x1b[2J"), ("quote", 'a" reason="forged'),
    ("space", "a reason=forged"), ("DEL and C1", "\x7f\x85\u009b"),
    ("UTF-8", "\u00e9\u202e"),
))
def test_no_client_writes_the_log(node, who):
    """What it chose is encoded: printable ASCII, and one word."""
    w = node.connect()
    ask(w, hello(client_id=who))
    line = last_line(node, w)
    assert "forged" not in line["reason"]
    assert re.fullmatch(r"[!-~]+", line["client_id"])
    assert node.log().isascii()


# ---- the pages ----

def test_exposition(node):
    status, headers, body = node.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert body.endswith("\n")
    family, kinds = None, {}
    for line in body.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in kinds, f"{family} comes twice"
            assert len(line.split(" ", 3)[3]) > 0
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == family
            kinds[family] = line.split(" ")[3]
        else:
            name = line.split("{")[0].split(" ")[0]
            if kinds[family] == "histogram":
                assert name in (family + "_bucket", family + "_sum",
                                family + "_count")
            else:
                assert name == family
    for names, kind in ((COUNTERS, "counter"), (GAUGES, "gauge"),
                        (HISTOGRAMS, "histogram")):
        for name in names:
            assert kinds[name.split("{")[0]] == kind
    assert all(family.startswith(("ltp_", "ws_", "rate_limit_",
                                  "ip_rate_limit_", "oversize_", "auth_",
                                  "log_", "janitor_", "tls_"))
               for family in kinds)


def test_histograms(lab):
    with lab.node(gc_interval_ms=50) as node:
        for _ in range(3):
            ask(node.connect(), beat())

        def filled():
            samples = node.metrics()
            return samples if samples[
                "ltp_handshake_latency_seconds_count"] == 3 else None
        samples = wait_for(filled, "three handshakes are counted")
        for name in ("janitor_sweep_duration_seconds",
                     "ltp_accept_latency_seconds",
                     "ltp_handshake_latency_seconds"):
            buckets = [v for n, v in samples.items()
                       if n.startswith(name + "_bucket")]
            assert buckets == sorted(buckets)
            assert buckets[-1] == samples[name + "_count"] > 0
            assert samples[name + "_sum"] >= 0


@pytest.mark.parametrize("path", ["/health", "/livez"])
def test_who_is_ready_is_well(lab, path):
    """From the first moment on."""
    with lab.node() as node:
        status, _, body = node.get(path)
        assert status == 200, body


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/x", "/etc"])
def test_no_other_page(node, path):
    status, _, _ = node.get(path)
    assert status == 404


def test_secrets_are_not_shown(lab):
    with lab.node(auth_mode="api_key",
                  auth_keys=f"alice:{ALICE},bob:{BOB}") as node:
        ask(node.connect([("X-API-Key", ALICE)]), beat())
        for what in ("summary", "processes", "sessions", "keys", "config"):
            shown = node.ctl("show", what)
            assert shown.returncode == 0, shown
            for secret in (ALICE, BOB):
                assert secret not in shown.stdout + shown.stderr
        shown = node.ctl("show", "config")
        assert "<set>" in shown.stdout
