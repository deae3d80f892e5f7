"""
The remote listener over TLS: real clients, what is negotiated, records, time,
and where the private key is.
"""

import asyncio
import contextlib
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest
import websockets
from websockets.exceptions import InvalidStatusCode

import ops
from memory import forms, needs_trace, scan
from node import (BUILD, PING, PONG, TEXT, TIMEOUT, Response, Wire,
                  close, compact, frame, header, mask, request, same, table,
                  wait_for)
from ops import prepared
from pki import Authority
from remote import (RECORD_MAX, SHARED, V12, V13, VERSIONS, Secured, TlsWire,
                    ack, alive, beat, bearer, entered, error, greeted, hello,
                    put_pair, secured)

GRACE = 1.5         # seconds that something may come too late
MANY = 500          # of those who stop in the middle
KINDS = ("rsa", "ec", "p384")


@pytest.fixture(scope="module")
def authority(lab):
    return Authority(lab.stage, ops.scratch(lab))


@pytest.fixture(scope="module")
def node(lab, authority):
    with secured(lab, authority, workers=2) as node:
        yield node


@pytest.fixture(scope="module")
def rsa(lab, authority):
    with secured(lab, authority, key="rsa") as node:
        yield node


@pytest.fixture(scope="module", params=KINDS)
def any_key(request, lab, authority):
    with secured(lab, authority, key=request.param) as node:
        yield node


@pytest.fixture
def fresh(lab, authority):
    """One that has counted nothing yet."""
    with secured(lab, authority) as node:
        yield node


# ---- openssl s_client ----

def s_client(node, *args, said=b"", **how):
    """What it prints; it leaves when it has been told all."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % node.remote, "-CAfile",
         str(node.authority.cert), "-verify_return_error", "-verify_hostname",
         "localhost", "-servername", "localhost", *args],
        input=said, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=TIMEOUT, **how)
    return done.returncode, done.stdout.decode(errors="replace")


def agreed(node, *args):
    """The handshake is good; what was agreed upon."""
    status, said = s_client(node, *args)
    assert status == 0 and "Verification: OK" in said, said
    return said


def disagreed(node, *args, alert):
    """The node said why; the client did not give up by itself."""
    status, said = s_client(node, *args)
    assert status != 0 and re.search(f"alert {alert}", said), said


class Pipe(Wire):
    """openssl s_client, its input and output in place of a socket."""

    def __init__(self, node, *args, quiet=True):
        """quiet: it prints what the node says alone, and has no commands."""
        self.process = subprocess.Popen(
            ["openssl", "s_client", *(["-quiet"] if quiet else []),
             "-connect", "%s:%d" % node.remote, "-CAfile",
             str(node.authority.cert), "-verify_return_error", *args],
            bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else subprocess.STDOUT)
        self.buf = b""
        self.bytes_in = self.bytes_out = 0

    def send(self, *data):
        self.process.stdin.write(b"".join(data))

    def fill(self):
        pipe = self.process.stdout
        assert select.select([pipe], [], [], TIMEOUT)[0], "nothing is said"
        data = os.read(pipe.fileno(), 65536)
        self.buf += data
        return data != b""

    def drop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_holds_a_whole_conversation(any_key, version):
    with Pipe(any_key, version) as w:
        w.upgrade(bearer(SHARED))
        w.say(hello())
        session = greeted(w)
        for seq in range(3):
            alive(w, session, seq)
        w.say({"type": "route_request", "client_id": "c",
               "session_id": session, "seq": 9})
        assert json.loads(w.recv_text())["type"] == "route_suggestion"
        w.send(close(1000))
        w.expect_close(1000)
        assert w.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_every_kind_of_certificate_with_both_versions(any_key, version):
    said = agreed(any_key, version)
    kind = any_key.pair[0].stem.split("-")[1]
    assert "Peer signature type: " + {
        "rsa": "RSA-PSS", "ec": "ECDSA", "p384": "ECDSA"}[kind] in said
    assert "Compression: NONE" in said and "No ALPN negotiated" in said
    name = {"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"}[version]
    assert f"New, {name}, Cipher is " in said


@pytest.mark.parametrize("digest", ["SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize("scheme,kind", [("RSA", "RSA"),
                                         ("RSA-PSS", "RSA-PSS")])
def test_rsa_signs_as_1_2_always_did_and_with_pss(rsa, scheme, kind, digest):
    said = agreed(rsa, "-tls1_2", "-sigalgs", f"{scheme}+{digest}")
    assert f"Peer signature type: {kind}\n" in said
    assert f"Peer signing digest: {digest}\n" in said


WEAK = "DEFAULT:@SECLEVEL=0"


@pytest.mark.parametrize("args", table(
    ("SHA-1", ["-tls1_2", "-cipher", WEAK, "-sigalgs", "RSA+SHA1"]),
    ("RSA key exchange", ["-tls1_2", "-cipher", "AES128-GCM-SHA256"]),
    ("CBC", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"]),
    ("finite field DH", ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"]),
    ("no authentication", ["-tls1_2", "-cipher", "ADH:@SECLEVEL=0"]),
    ("an ECDSA certificate", ["-tls1_2", "-cipher",
                              "ECDHE-ECDSA-AES128-GCM-SHA256"]),
    ("another group", ["-tls1_3", "-groups", "P-521"])))
def test_what_is_weak_is_refused(rsa, args):
    disagreed(rsa, *args, alert="handshake failure")


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "AES256-GCM-SHA384",
                                    "CHACHA20-POLY1305"])
def test_the_ciphers_of_1_2(rsa, cipher):
    name = f"ECDHE-RSA-{cipher}"
    assert f"Cipher is {name}" in agreed(rsa, "-tls1_2", "-cipher", name)


def old_client(node, version):
    """One that would really speak it."""
    disagreed(node, version, "-cipher", WEAK, alert="protocol version")


def test_only_1_2_and_1_3_are_spoken(rsa):
    for version in "-tls1", "-tls1_1":
        old_client(rsa, version)
    agreed(rsa, "-tls1_2")
    agreed(rsa, "-tls1_3")


def test_1_2_can_be_refused(lab, authority):
    with secured(lab, authority, key="rsa",
                 tls={"min_tls_version": "1.3"}) as node:
        for version in "-tls1_1", "-tls1_2":
            old_client(node, version)
        agreed(node, "-tls1_3")
        node.samples_are({"ltp_tls_handshake_failures_total": 2})


def heard(pipe, what):
    while what not in pipe.buf:
        assert pipe.fill(), pipe.buf
    pipe.buf = pipe.buf.split(what, 1)[1]


def test_a_renegotiation_is_refused(rsa):
    with Pipe(rsa, "-tls1_2", quiet=False) as w:
        heard(w, b"Verify return code: 0 (ok)")
        w.send(b"R\n")
        heard(w, b"RENEGOTIATING")
        heard(w, b"no renegotiation")


@pytest.mark.parametrize("letter", [b"K", b"k"])
def test_keys_are_updated_as_often_as_a_client_likes(node, letter):
    """K: it wants ours to be new, too."""
    with Pipe(node, "-tls1_3", quiet=False) as w:
        heard(w, b"Verify return code: 0 (ok)")
        for _ in range(10):
            w.send(letter + b"\n")
            heard(w, b"KEYUPDATE")
        w.send(request(bearer("nonsense")))
        heard(w, b"HTTP/1.1 401 ")


def test_no_early_data_is_taken(node):
    with Pipe(node, "-tls1_3", quiet=False) as w:
        w.send(request(bearer("nonsense")))
        heard(w, b"Max Early Data: 0\n")


def test_http_1_1_is_the_protocol(node):
    for offer in "http/1.1", "h2,http/1.1":
        assert "ALPN protocol: http/1.1" in agreed(node, "-alpn", offer)
    assert "No ALPN negotiated" in agreed(node)
    for offer in "h2", "h2,spdy/3.1":
        disagreed(node, "-alpn", offer, alert="no application protocol")


# ---- curl ----

def curl(node, token, *args):
    """The response; curl itself would wait for the end of a WebSocket."""
    upgrade = [x for name, value in (
        ("Upgrade", "websocket"), ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        *bearer(token)) for x in ("-H", f"{name}: {value}")]
    with subprocess.Popen(
            ["curl", "-vsSN", "--http1.1", "--cacert",
             str(node.authority.cert), "-m", str(TIMEOUT), *upgrade, *args,
             "https://%s:%d/" % node.remote],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said, head = b"", b""
        while not head.endswith(b"\r\n\r\n"):
            line = process.stderr.readline()
            if not line:
                raise EOFError(said.decode())
            said += line
            head += line[2:] if line.startswith(b"< ") else b""
        r = Response(head[:-4])
        if r.status != 101:
            r.body = process.stdout.read()
        process.kill()
    return r


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_is_let_in_and_refused(any_key, version):
    args = [f"--tlsv{version}", "--tls-max", version]
    assert curl(any_key, SHARED, *args).status == 101
    r = curl(any_key, "nonsense", *args)
    assert (r.status, r.body) == (401, b"dist.auth_failed")


def test_curl_is_told_that_1_1_is_too_old(rsa):
    with pytest.raises(EOFError, match="alert protocol version"):
        curl(rsa, SHARED, "--tls-max", "1.1", "--ciphers", WEAK)


# ---- websockets of Python, WebSocket of node.js, ws ----

def run(coroutine):
    """To its end, and not for ever."""
    return asyncio.run(asyncio.wait_for(coroutine, 4 * TIMEOUT))


@pytest.mark.parametrize("version", VERSIONS)
def test_python_holds_a_whole_conversation(any_key, version):
    async def ask(ws, **message):
        await ws.send(json.dumps({"client_id": "py", **message}))
        return json.loads(await ws.recv())

    async def main():
        context = any_key.context(version)
        async with websockets.connect(
                "wss://localhost:%d/" % any_key.remote[1], ssl=context,
                host="127.0.0.1", compression="deflate",
                extra_headers=dict(bearer(SHARED))) as ws:
            assert ws.extensions == []
            session = (await ask(ws, type="hello"))["session_id"]
            for n in range(5):
                assert await ask(ws, type="heartbeat", timestamp_ms=n, seq=n,
                                 session_id=session) == {
                    "type": "heartbeat_ack", "client_id": "py",
                    "timestamp_ms": n}
            got = await ask(ws, type="route_request", seq=9,
                            session_id=session)
            assert got["type"] == "route_suggestion"
            await (await ws.ping(b"are you there"))
        assert ws.close_code == 1000
        with pytest.raises(InvalidStatusCode) as refused:
            await websockets.connect(
                "wss://localhost:%d/" % any_key.remote[1], ssl=context,
                host="127.0.0.1", extra_headers=dict(bearer("nonsense")))
        assert refused.value.status_code == 401
    run(main())


# A hello, three heartbeats, a route request, and a close.
SCRIPT = """
const [url, kind] = process.argv.slice(1);
const Kind = kind === "ws" ? require("ws") : WebSocket;
const ws = new Kind(url);
const fail = (why) => { console.log(why); process.exit(1); };
const say = (m) => ws.send(JSON.stringify({ client_id: "js", ...m }));
let session, seq = 0, beats = 0, routed = false;
ws.onopen = () => say({ type: "hello", auth_token: process.env.TOKEN });
ws.onerror = (e) => fail(`error ${e.message}`);
ws.onmessage = (e) => {
    const m = JSON.parse(e.data);
    if (m.type === "hello_ack")
        session = m.session_id;
    else if (m.type === "heartbeat_ack" && m.timestamp_ms === seq)
        beats++;
    else if (m.type === "route_suggestion")
        routed = true;
    else
        fail(e.data);
    seq++;
    if (beats < 3)
        say({ type: "heartbeat", session_id: session, seq,
            timestamp_ms: seq });
    else if (!routed)
        say({ type: "route_request", session_id: session, seq });
    else
        ws.close(1000);
};
ws.onclose = (e) => {
    if (beats !== 3 || !routed || !e.wasClean || e.code !== 1000)
        fail([beats, routed, e.wasClean, e.code]);
    process.exit(0);
};
"""
# Of the benchmark, and of Debian, which not every node.js looks at.
MODULES = os.pathsep.join((str(BUILD / "regress/bench/peers/node_modules"),
                           "/usr/share/nodejs"))


def node_js(kind):
    """The command, with a WebSocket of this kind; None: not here."""
    test = "typeof WebSocket" if kind == "WebSocket" else \
        "typeof require('ws')"
    for flag in ([], ["--experimental-websocket"]):
        command = [shutil.which("node") or "node", *flag]
        try:
            done = subprocess.run([*command, "-p", test], text=True,
                                  env={**os.environ, "NODE_PATH": MODULES},
                                  capture_output=True, timeout=4 * TIMEOUT)
        except OSError:
            return None
        if done.stdout.strip() == "function":
            return command
    return None


@pytest.mark.parametrize("kind", ["WebSocket", "ws"])
def test_node_js_holds_a_whole_conversation(node, kind):
    command = node_js(kind)
    if command is None and kind == "WebSocket":
        pytest.skip("a node.js without a WebSocket of its own")
    assert command is not None, "the package node-ws is not there"
    done = subprocess.run(
        [*command, "-e", SCRIPT, "wss://localhost:%d/" % node.remote[1],
         kind], capture_output=True, text=True, timeout=8 * TIMEOUT,
        env={**os.environ, "NODE_PATH": MODULES, "TOKEN": SHARED,
             "NODE_OPTIONS": "--dns-result-order=ipv4first",
             "NODE_EXTRA_CA_CERTS": str(node.authority.cert)})
    assert done.returncode == 0, done


def test_who_does_not_trust_the_ca_says_so_and_is_logged(fresh):
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsWire(fresh.remote, ssl.create_default_context())
    fresh.samples_are({"ltp_tls_handshake_failures_total": 1})
    wait_for(lambda: fresh.log_lines(
        'tls handshake failed .*reason="tls.* alert unknown ca"'), "the log")
    fresh.errors_are("dist.auth_failed", 0)


def test_who_does_not_speak_tls_is_counted(fresh):
    w = fresh.tcp()
    w.send(request(bearer(SHARED)))
    with contextlib.suppress(ConnectionError):
        while w.fill():
            pass
    assert b"HTTP/1.1" not in w.buf
    fresh.samples_are({"ltp_tls_handshake_failures_total": 1})
    wait_for(lambda: fresh.log_lines(
        'tls handshake failed .*reason="http request"'), "the log")


# ---- records ----

@pytest.mark.parametrize("version", VERSIONS)
def test_many_messages_in_one_record(node, version):
    w, session = entered(node, version=version)
    data = b"".join(frame(TEXT, compact(beat(session, n)))
                    for n in range(100))
    assert len(data) <= RECORD_MAX
    w.send(data)
    for n in range(100):
        w.expect(ack())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_in_records_of_a_byte(node, version):
    w = node.wire(version)
    for byte in request(bearer(SHARED)):
        w.send(bytes([byte]))
    w.accepted()
    w.say(hello())
    session = greeted(w)
    data = frame(TEXT, compact(beat(session, 1)))
    for byte in data:
        w.send(bytes([byte]))
    w.expect(ack())
    # The same, in one segment.
    data = frame(TEXT, compact(beat(session, 2)))
    w.sock.sendall(w.seal(*(bytes([byte]) for byte in data)))
    w.expect(ack())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_record_in_segments_of_a_byte(node, version):
    w, session = entered(node, version=version)
    data = w.seal(frame(TEXT, compact(beat(session, 1))) +
                  frame(TEXT, compact(beat(session, 2))))
    for byte in data:
        w.sock.sendall(bytes([byte]))
    w.expect(ack())
    w.expect(ack())


@pytest.mark.parametrize("version", VERSIONS)
def test_records_that_say_nothing_are_no_end(node, version):
    w, session = entered(node, version=version)
    # Python's write of nothing makes no record; a ping without a pong does.
    for seq in range(3):
        w.send(b"\x8a\x80\x00\x00\x00\x00" * 10)
        alive(w, session, seq)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_as_large_as_may_be(node, version):
    """Over many records, sent as one stream, and a small one behind it."""
    limit = 1048576
    w, session = entered(node, version=version)
    message = beat(session, 1)
    message["pad"] = "x" * (limit - len(compact({**message, "pad": ""})))
    data = compact(message)
    assert len(data) == limit
    w.send(frame(TEXT, data), frame(TEXT, compact(beat(session, 2))))
    w.expect(ack())
    w.expect(ack())


def test_who_says_too_much_hears_why_all_the_same(fresh):
    """What still comes is thrown away, lest a reset destroys the reply."""
    for version in V12, V13:
        w, _ = entered(fresh, version=version)
        size = 1048577
        w.send(header(TEXT, size), mask(b"x" * size))
        w.expect(error("message_too_large", "message too large"))
        w.expect_close(1009, "message too large")
    fresh.errors_are("dist.message_too_large", 2)
    fresh.logged("dist.message_too_large")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_close_notify_without_a_close_is_answered(fresh, version):
    """And so is what was said just before."""
    w, session = entered(fresh, version=version)
    last = w.seal(frame(TEXT, compact(beat(session, 1))))
    w.notify(last)
    w.expect(ack())
    w.expect_end()
    fresh.samples_are({"ltp_ws_connections_current": 0})


def test_an_end_without_close_notify_is_an_end(fresh):
    w, _ = entered(fresh)
    w.drop()
    fresh.samples_are({"ltp_ws_connections_current": 0})


def test_noise_in_place_of_a_record_is_the_end(fresh):
    w, session = entered(fresh)
    good = bytearray(w.seal(frame(TEXT, compact(beat(session, 1)))))
    good[-1] ^= 1
    w.sock.sendall(good)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        w.recv_frame()
    fresh.samples_are({"ltp_ws_connections_current": 0})


@pytest.mark.parametrize("version", VERSIONS)
def test_the_end_is_said_in_tls_too(node, version):
    """A close frame, a close_notify, and only then the end."""
    w, _ = entered(node, version=version)
    w.send(close(1000))
    w.expect_close(1000)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_came_along_with_the_finished_is_served(node, version):
    """Handshake and request in one segment."""
    w = node.wire(version, begin=False)
    w.sock.sendall(w.first_flight())
    while True:
        with contextlib.suppress(ssl.SSLWantReadError):
            w.tls.do_handshake()
            break
        if w.outgoing.pending:
            w.flush()       # of 1.2, which has two flights more
        w.feed()
    last = w.outgoing.read()
    w.sock.sendall(last + w.seal(request(bearer(SHARED)),
                                 frame(TEXT, compact(hello())),
                                 frame(PING, b"p")))
    w.accepted()
    greeted(w)
    assert w.recv_frame().payload == b"p"


def pending(node, version, *records):
    """So many records in one segment, read from the socket at once."""
    w = node.wire(version)
    w.sock.sendall(w.seal(*records))
    return w


@pytest.mark.parametrize("version", VERSIONS)
def test_records_behind_a_question_are_served_when_it_is_answered(
        fresh, version):
    """
    Auth is asked by the request, and again by the hello: each time the rest
    is in the library already, and the socket will not tell of it.
    """
    pid = ops.process(fresh, "auth")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        w = pending(fresh, version, request(bearer(SHARED)),
                    frame(TEXT, compact(hello())), frame(PING, b"one"),
                    frame(PING, b"two"))
        w.quiet(0.3)
    finally:
        os.kill(pid, signal.SIGCONT)
    w.accepted()
    greeted(w)
    for payload in b"one", b"two":
        f = w.recv_frame()
        assert (f.opcode, f.payload) == (PONG, payload)


@pytest.mark.parametrize("version", VERSIONS)
def test_half_a_record_behind_a_question(fresh, version):
    w = fresh.wire(version)
    data = w.seal(request(bearer(SHARED)), frame(TEXT, compact(hello())),
                  frame(PING, b"one"))
    w.sock.sendall(data[:-10])
    w.accepted()
    greeted(w)
    w.quiet(0.1)
    w.sock.sendall(data[-10:])
    assert w.recv_frame().payload == b"one"


# ---- a client that does not read ----

def fill_up(w, frames=200000):
    """Pings until the node takes no more; how many were sent whole."""
    ping = frame(PING, b"p" * 125)
    sent, rest = 0, b""
    w.sock.setblocking(False)
    quiet_since = time.monotonic()
    while sent < frames and time.monotonic() < quiet_since + 0.4:
        if not rest:
            rest = w.seal(ping * 100)
            sent += 100
        try:
            n = w.sock.send(rest)
            rest = rest[n:]
            quiet_since = time.monotonic()
        except BlockingIOError:
            select.select([], [w.sock], [], 0.1)
    w.sock.settimeout(TIMEOUT)
    return sent, rest


@pytest.mark.parametrize("version", VERSIONS)
def test_who_reads_late_gets_every_answer(fresh, version):
    w, session = entered(fresh, version=version, rcvbuf=4096)
    sent, rest = fill_up(w)
    assert rest, "the node took everything"
    # It is served, one worker or not, while that one is stuck.
    other, own = entered(fresh, "other")
    alive(other, own, 1, "other")
    w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    w.sock.setblocking(False)
    got, size = b"", sent * 127
    end = time.monotonic() + 4 * TIMEOUT
    while len(got) < size:
        assert time.monotonic() < end, (len(got), size)
        if rest:
            with contextlib.suppress(BlockingIOError):
                rest = rest[w.sock.send(rest):]
        try:
            w.fill()
        except BlockingIOError:
            select.select([w.sock], [w.sock] if rest else [], [], 1)
        got += w.buf
        w.buf = b""
    w.sock.settimeout(TIMEOUT)
    assert got == (b"\x8a\x7d" + b"p" * 125) * sent
    alive(w, session, 1)


def test_who_never_reads_is_closed(lab, authority):
    with secured(lab, authority, gc_interval_ms=200,
                 distributed={"idle_timeout_ms": 1000}) as node:
        w, _ = entered(node, rcvbuf=4096)
        _, rest = fill_up(w)
        assert rest, "the node took everything"
        node.samples_are({"ltp_ws_connections_current": 0}, 2 * TIMEOUT)


# ---- codes, where they differ from those without TLS ----

def test_who_is_one_too_many_is_told_so_behind_the_handshake(lab, authority):
    with secured(lab, authority,
                 distributed={"max_connections": 1}) as node:
        w, session = entered(node)
        for n in range(4):
            late = node.wire((V12, V13)[n % 2])
            if n < 2:
                late.send(request(bearer(SHARED)))
            r = late.refused(503)
            assert r.body == b"dist.connection_limit"
            assert r.field("Retry-After") is not None
        alive(w, session, 1)
        assert curl(node, SHARED).status == 503
        node.errors_are("dist.connection_limit", 5)
        node.logged("dist.connection_limit", "upgrade refused")


def test_an_address_with_too_many_is_cut_off_with_a_code(lab, authority):
    """In the log and the metrics, since it hears no word."""
    with secured(lab, authority, max_connections_per_ip=1) as node:
        w, session = entered(node)
        node.tcp().expect_end()
        node.errors_are("dist.connection_limit", 1)
        node.logged("dist.connection_limit", "closing")
        node.metrics_are(ltp_capacity_rejections_total=1)
        alive(w, session, 1)


def test_a_recorded_conversation_dies_at_its_second_message(node):
    """On other connections, and so on other workers."""
    w, session = entered(node, "rec")
    said = [compact(hello(client_id="rec")),
            *(compact(beat(session, n, "rec")) for n in (1, 2))]
    for message in said[1:]:
        w.say(message.decode())
        w.expect(ack("rec"))
    w.drop()
    for _ in range(4):
        w = node.wire()
        w.upgrade(bearer(SHARED))
        w.say(said[0].decode())
        greeted(w)
        for message in said[1:]:
            w.say(message.decode())
            w.expect(error("replay_detected", "replay detected"))


def recorded(node, version):
    """What an eavesdropper has: everything that was sent, sealed."""
    w = node.wire(version, begin=False)
    sent = [w.first_flight()]
    w.sock.sendall(sent[0])
    while True:
        try:
            w.tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            sent.append(w.outgoing.read())
            w.sock.sendall(sent[-1])
            w.feed()
    sent.append(w.outgoing.read() + w.seal(request(bearer(SHARED))))
    w.sock.sendall(sent[-1])
    w.accepted()
    return [data for data in sent if data]


def test_recorded_bytes_are_worth_nothing(fresh):
    for version in V12, V13:
        again = fresh.tcp()
        for data in recorded(fresh, version):
            with contextlib.suppress(ConnectionError):
                again.send(data)
                again.fill()
        with contextlib.suppress(ConnectionError):
            while again.fill():
                pass
    fresh.samples_are({"ltp_tls_handshakes_total": 2,
                       "ltp_tls_handshake_failures_total": 2})


# ---- time ----

class Stopped:
    """One that goes so far, and waits for the end."""

    def __init__(self, wire):
        self.wire = wire
        self.begun = time.monotonic()
        self.lasted = None
        wire.sock.setblocking(False)

    def ended(self):
        try:
            while True:
                if self.wire.sock.recv(65536) == b"":
                    break
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        self.lasted = time.monotonic() - self.begun
        return True


def silent(node):
    return Stopped(node.tcp())


def half_a_hello(node):
    w = node.wire(begin=False)
    begun = Stopped(w)
    flight = w.first_flight()
    w.sock.sendall(flight[:len(flight) // 2])
    return begun


def after_the_server_hello(node):
    w = node.wire(begin=False)
    begun = Stopped(w)
    w.sock.sendall(w.first_flight())
    return begun


def gone(crowd, timeout):
    """All have been closed; those that the node said something to, too."""
    poll = select.poll()
    left = {s.wire.sock.fileno(): s for s in crowd}
    for fd in left:
        poll.register(fd, select.POLLIN)
    end = time.monotonic() + timeout
    while left:
        assert time.monotonic() < end, f"{len(left)} are left"
        for fd, _ in poll.poll(100):
            if left[fd].ended():
                poll.unregister(fd)
                del left[fd]


@contextlib.contextmanager
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", [
    "ec", pytest.param("rsa", marks=pytest.mark.long)])
def test_who_stops_in_the_middle_is_gone_at_the_deadline(lab, authority,
                                                         kind):
    """And nobody else has to wait for that."""
    limit = 2.5
    with descriptors(), secured(
            lab, authority, workers=2, key=kind, max_connections=4096,
            distributed={"handshake_timeout_ms": int(limit * 1000),
                         "max_connections": 2048}) as node:
        begun = time.monotonic()
        crowd = []
        for n in range(MANY):
            crowd.append(silent(node))
            crowd.append((half_a_hello, after_the_server_hello)[n % 2](node))
        good = []
        for n in range(5):
            start = time.monotonic()
            good.append(entered(node, f"good-{n}"))
            assert time.monotonic() - start < 0.5
        assert time.monotonic() - begun < limit, "this host is too slow"
        assert not any(s.ended() for s in crowd), "somebody was cut off"
        gone(crowd, limit + 2 * GRACE)
        assert min(s.lasted for s in crowd) > limit - 0.05
        assert max(s.lasted for s in crowd) < limit + GRACE
        for n, (w, session) in enumerate(good):
            alive(w, session, 1, f"good-{n}")
        node.errors_are("dist.handshake_timeout", 2 * MANY)
        node.samples_are({"ltp_ws_connections_current": len(good),
                          "ltp_tls_handshakes_total": len(good)})
        node.logged("dist.handshake_timeout")


def test_who_is_slow_behind_the_handshake_is_told_so(lab, authority):
    with secured(lab, authority,
                 distributed={"handshake_timeout_ms": 500}) as node:
        w = node.wire()
        assert w.refused(408).body == b"dist.handshake_timeout"
        w = node.wire()
        w.upgrade(bearer(SHARED))
        w.expect_close(1008, "handshake timeout")
        node.errors_are("dist.handshake_timeout", 2)


# ---- where the key is, and what holds it ----

def private_numbers(key):
    """Of a key file, by name; leading zeros are nobody's."""
    text = subprocess.run(["openssl", "pkey", "-in", str(key), "-noout",
                           "-text"], check=True, capture_output=True,
                          text=True).stdout
    names = ("priv", "privateExponent", "prime1", "prime2", "exponent1",
             "exponent2", "coefficient")
    found = {m[1]: bytes.fromhex(re.sub(r"[\s:]", "", m[2])).lstrip(b"\0")
             for m in re.finditer(r"^(\w+):\n((?: +[\da-f:]+\n)+)", text,
                                  re.M) if m[1] in names}
    assert found
    return found


class Keys:
    """Patterns for a scan."""

    def __init__(self):
        self.numbers = {}

    def put(self, name, key):
        self.numbers.update({f"{name}.{part}": data for part, data
                             in private_numbers(key).items()})

    def patterns(self):
        for name, data in self.numbers.items():
            # The library's own numbers have their lowest word first.
            for form in {*forms(data, 8), data[::-1]}:
                yield f"key|{name}", form


@needs_trace
@pytest.mark.parametrize("kind", KINDS)
def test_the_private_key_is_in_the_memory_of_ltp_sign_alone(lab, authority,
                                                            kind):
    keys = Keys()
    with prepared(lab, kind=Secured, authority=authority, key=kind,
                  workers=2, log_level="trace") as node:
        node.settings["audit_log_file"] = str(node.dir / "audit.jsonl")
        keys.put("first", node.pair[1])
        node.again()
        node.start()
        node.settle()
        conversations(node)
        only_in_sign(node, keys, {"first"})
        # A new one; the one before is kept for those in mid-handshake.
        pair = authority.issue(f"next-{kind}", kind=kind)
        keys.put("next", pair[1])
        put_pair(node, *pair)
        assert node.ctl("reload").returncode == 0
        conversations(node)
        only_in_sign(node, keys, {"first", "next"})
        # One that is not kept any more is nowhere, nor is its file's text.
        last = authority.issue(f"last-{kind}", kind=kind)
        keys.put("last", last[1])
        put_pair(node, *last)
        assert node.ctl("reload").returncode == 0
        conversations(node)
        only_in_sign(node, keys, {"next", "last"})
        node.stop()
        lines = [line for key in (node.pair[1], pair[1], last[1])
                 for line in key.read_text().splitlines()]
        for path in node.log_path, node.dir / "audit.jsonl":
            data = path.read_bytes()
            assert not any(line.encode() in data for line in lines)
            assert not any(form in data for _, form in keys.patterns())


def conversations(node):
    for n in range(8):
        for version in V12, V13:
            w, session = entered(node, f"c{n}", version=version)
            alive(w, session, 1, f"c{n}")
            w.drop()


def only_in_sign(node, keys, names):
    processes = {p["pid"]: p["process"] for p in ops.processes(node)}
    same(set(processes.values()),
         {"ltpd", "worker", "auth", "metrics", "audit", "sign"})
    finds = list(scan(keys, processes))
    # The supervisor has the file open, for the next ltp-sign.
    strange = [f for f in finds if processes[f.pid] != "sign" and not (
        processes[f.pid] == "ltpd" and f.where.startswith("file /"))]
    assert not strange, strange
    same({f.name.split(".")[0] for f in finds if "memory" in f.where}, names)


def test_who_holds_the_key_and_who_serves_are_in_a_sandbox(node):
    for row in ops.processes(node):
        with open(f"/proc/{row['pid']}/status", encoding="ascii") as f:
            status = dict(line.split(":\t", 1) for line in f)
        assert status["NoNewPrivs"].strip() == "1", row
        if row["process"] in ("sign", "worker"):
            assert status["Seccomp"].strip() == "2", row
    names = {os.path.basename(os.readlink(f"/proc/{row['pid']}/exe"))
             for row in ops.processes(node) if row["process"] == "worker"}
    assert names == {"ltp-worker-tls"}


def test_ltp_sign_has_no_descriptor_of_a_file_or_the_network(node):
    pid = ops.process(node, "sign")["pid"]
    kinds = {re.sub(r"[:\[].*", "", os.readlink(f"/proc/{pid}/fd/{fd}"))
             for fd in os.listdir(f"/proc/{pid}/fd")}
    assert kinds <= {"/dev/null", "socket", "anon_inode", "pipe"}, kinds
