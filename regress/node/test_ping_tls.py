"""ltpctl ping of wss:// addresses, and of a listener that numbers messages."""

import asyncio
import contextlib
import json
import re
import socket
import ssl
import subprocess
import threading

import pytest
import websockets

import ops
import pki
from node import TIMEOUT, wait_for

SECRET = "Kp3vZ8qLw2Xr9Tn5Jd7Bs4Hy6Mf1Gc0QaEuRiWoSxVl"
SESSION = "0b5b8a52-6a2c-4f0e-9d5b-0f0f5c1f6d11"


class Remote(threading.Thread):
    """
    Stands in for the remote listener: hello_ack names a session, and every
    later message must be of it, with a number greater than the last.
    """

    def __init__(self, context, session=SESSION):
        super().__init__(daemon=True)
        self.context = context
        self.session = session
        self.loop = asyncio.new_event_loop()
        self.port = None
        self.messages = []
        self.headers = []
        self.seq = 0

    async def serve(self, ws):
        self.headers.append(ws.request_headers)
        async for text in ws:
            m = json.loads(text)
            self.messages.append(m)
            await ws.send(json.dumps(self.reply(m)))

    def reply(self, m):
        if m["type"] == "hello":
            self.seq = 0
            ack = {"type": "hello_ack", "node_id": "node-a",
                   "accepted": True, "server_time_ms": 1,
                   "client_id": m["client_id"]}
            return ack | ({"session_id": self.session}
                          if self.session is not None else {})
        if self.session is not None and (
                m.get("session_id") != self.session or
                m.get("seq", 0) <= self.seq):
            return {"type": "error", "message": "replay detected",
                    "dist_code": "dist.replay_detected"}
        self.seq = m.get("seq", 0)
        if m["type"] == "heartbeat":
            return {"type": "heartbeat_ack", "client_id": m["client_id"],
                    "timestamp_ms": m["timestamp_ms"]}
        return {"type": "route_suggestion", "client_id": m["client_id"],
                "suggested_sector": "s", "reason": "r"}

    async def main(self):
        self.end = asyncio.Event()
        async with websockets.serve(self.serve, "127.0.0.1", 0,
                                    ssl=self.context) as server:
            self.port = server.sockets[0].getsockname()[1]
            await self.end.wait()

    def run(self):
        self.loop.run_until_complete(self.main())
        self.loop.close()

    def url(self, host="127.0.0.1"):
        scheme = "ws" if self.context is None else "wss"
        return f"{scheme}://{host}:{self.port}"


@contextlib.contextmanager
def remote(pair, **how):
    """Served with a certificate; clients: the CA that theirs must be of."""
    context = None
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        if "clients" in how:
            context.load_verify_locations(how.pop("clients"))
            context.verify_mode = ssl.CERT_REQUIRED
        if "version" in how:
            context.minimum_version = context.maximum_version = \
                how.pop("version")
    server = Remote(context, **how)
    server.start()
    wait_for(lambda: server.port, "the server listens")
    try:
        yield server
    finally:
        server.loop.call_soon_threadsafe(server.end.set)
        server.join(TIMEOUT)


@pytest.fixture(scope="module")
def place(lab):
    return ops.scratch(lab)


@pytest.fixture(scope="module")
def ca(lab, place):
    return pki.Authority(lab.stage, place)


@pytest.fixture(scope="module")
def server(ca):
    return ca.issue("server")


def ping(lab, *args):
    return subprocess.run(
        lab.stage.command("ltpctl/ltpctl", "-s", "/nonexistent", "ping",
                          "-i", "1", *map(str, args)),
        cwd="/", env={}, capture_output=True, text=True, timeout=TIMEOUT + 5)


def good(lab, *args):
    r = ping(lab, *args)
    assert (r.returncode, r.stderr) == (0, ""), r
    assert "3 answered" in r.stdout
    assert SECRET not in r.stdout
    return r.stdout


def refused(lab, said, *args):
    r = ping(lab, *args)
    assert r.returncode == 1, r
    assert re.search(said, r.stderr), r
    assert SECRET not in r.stdout + r.stderr
    r = ping(lab, "-j", *args)
    answer = json.loads(r.stdout)
    assert answer["ok"] is False and re.search(said, answer["error"]), r


def secret_file(lab, place, name, text, mode=0o600):
    path = place / name
    path.write_text(text)
    lab.stage.own(path, mode)
    return path


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_ping_over_tls(lab, ca, server, version, host):
    with remote(server, version=ssl.TLSVersion[version]) as s:
        good(lab, "--ca", ca.cert, s.url(host))


def test_messages_of_a_session_are_numbered(lab, ca, server):
    with remote(server) as s:
        good(lab, "--ca", ca.cert, s.url())
    hello, *rest = s.messages
    assert "session_id" not in hello and "seq" not in hello
    assert [m["session_id"] for m in rest] == [SESSION] * 4
    assert [m["seq"] for m in rest] == [1, 2, 3, 4]


def test_without_a_session_nothing_is_numbered(lab):
    with remote(None, session=None) as s:
        good(lab, s.url())
    assert not any("seq" in m or "session_id" in m for m in s.messages)


@pytest.mark.parametrize("session", ["", "x" * 200, 7])
def test_a_bad_session_is_refused(lab, session):
    with remote(None, session=session) as s:
        refused(lab, "bad session_id", s.url())


def test_a_stranger_is_not_trusted(lab, server):
    with remote(server) as s:
        refused(lab, "certificate: .*issuer", s.url())


def test_the_wrong_ca_is_not_trusted(lab, place, server):
    other = pki.Authority(lab.stage, place, "other")
    with remote(server) as s:
        refused(lab, "certificate: ", "--ca", other.cert, s.url())


@pytest.mark.parametrize("san, host", [
    ("DNS:elsewhere.example", "localhost"), ("IP:127.0.0.2", "127.0.0.1"),
    ("DNS:127.0.0.1", "127.0.0.1")])
def test_another_name_is_not_trusted(lab, ca, san, host):
    with remote(ca.issue("misnamed", san=san)) as s:
        refused(lab, "certificate: .*mismatch", "--ca", ca.cert,
                s.url(host))


def test_what_has_expired_is_not_trusted(lab, ca):
    with remote(ca.issue("late", days=-1)) as s:
        refused(lab, "certificate: .*expired", "--ca", ca.cert, s.url())


def test_the_certificate_of_a_client_is_no_server(lab, ca):
    with remote(ca.issue("client-only", usage=pki.CLIENT)) as s:
        refused(lab, "certificate: ", "--ca", ca.cert, s.url())


@pytest.mark.parametrize("san, cn, identity", [
    ("DNS:a.example,URI:urn:agent:a", "x", "urn:agent:a"),
    ("email:a@a.example,DNS:a.example", "x", "a.example"),
    ("email:a@a.example,IP:10.0.0.1", "x", "a@a.example"),
    ("IP:10.0.0.1", "x", "10.0.0.1"), (None, "agent-a", "agent-a")])
def test_a_client_with_a_certificate(lab, ca, server, san, cn, identity):
    cert, key = ca.issue("client", san=san, cn=cn, usage=pki.CLIENT)
    with remote(server, clients=ca.cert) as s:
        good(lab, "--ca", ca.cert, "--cert", cert, "--cert-key", key, s.url())
    assert {m["client_id"] for m in s.messages} == {identity}


def test_a_name_that_is_not_in_utf8(lab, ca, server):
    """T61String, in Latin-1: the node has it in UTF-8, and so has ping."""
    conf = ca.home / "t61.cnf"
    conf.write_text("[req]\nstring_mask = MASK:0x4\nprompt = no\n"
                    "distinguished_name = dn\n[dn]\nCN = agent-\xe9\n",
                    encoding="latin-1")
    key, csr, cert = (ca.home / f"t61.{x}" for x in ("key", "csr", "crt"))
    ca.openssl("req", "-new", "-config", conf, *ca.fresh(key), "-out", csr)
    ca.openssl("x509", "-req", "-in", csr, "-CA", ca.cert, "-CAkey", ca.key,
               "-set_serial", "4711", "-out", cert)
    assert b"agent-\xe9" in ssl.PEM_cert_to_DER_cert(cert.read_text())
    ca.own(cert, key)
    with remote(server, clients=ca.cert) as s:
        good(lab, "--ca", ca.cert, "--cert", cert, "--cert-key", key, s.url())
    assert {m["client_id"] for m in s.messages} == {"agent-\xe9"}


def test_a_client_without_its_certificate(lab, ca, server):
    with remote(server, clients=ca.cert,
                version=ssl.TLSVersion.TLSv1_2) as s:
        refused(lab, "handshake|certificate", "--ca", ca.cert, s.url())
    # With TLS 1.3 the client learns it from the first thing that it reads.
    with remote(server, clients=ca.cert) as s:
        refused(lab, "certificate|closed without an answer|reset", "--ca",
                ca.cert, s.url())


def test_a_key_that_is_not_of_the_certificate(lab, ca, server):
    cert, _ = ca.issue("one", usage=pki.CLIENT)
    _, key = ca.issue("two", usage=pki.CLIENT)
    refused(lab, "not the key of the certificate", "--ca", ca.cert, "--cert",
            cert, "--cert-key", key, "wss://127.0.0.1:1")


def test_a_key_that_others_can_read(lab, ca):
    cert, key = ca.issue("open", usage=pki.CLIENT)
    lab.stage.own(key, 0o604)
    refused(lab, "mode 0604 is too open", "--ca", ca.cert, "--cert", cert,
            "--cert-key", key, "wss://127.0.0.1:1")


@pytest.mark.parametrize("args, said", [
    (["--cert", "/x", "wss://127.0.0.1:1"], "go together"),
    (["--ca", "/nonexistent", "wss://127.0.0.1:1"], "/nonexistent"),
    (["--ca", "/x", "ws://127.0.0.1:1"], "for wss"),
    (["--token-file", "/nonexistent", "wss://127.0.0.1:1"], "/nonexistent"),
    (["http://127.0.0.1:1"], "not a ws:// or wss:// address"),
    (["wss://user@127.0.0.1:1"], "--token-file")])
def test_what_cannot_be(lab, args, said):
    refused(lab, re.escape(said), *args)


@pytest.mark.parametrize("url", [
    "ws://user:{}@127.0.0.1:1", "wss://:{}/x@127.0.0.1:1", "{}@127.0.0.1",
    "http://user:{}@127.0.0.1:1", "ws://user:{}" + 3000 * "x" + "@h"],
    ids=["ws", "slash", "no scheme", "http", "long"])
@pytest.mark.parametrize("form", [[], ["-j"]])
def test_a_password_in_an_address_is_not_repeated(lab, url, form):
    r = ping(lab, *form, url.format(SECRET))
    assert r.returncode == 1
    assert SECRET not in r.stdout + r.stderr, "a secret"


@pytest.mark.parametrize("tls", [True, False])
def test_a_token_is_shown(lab, place, ca, server, tls):
    token = secret_file(lab, place, "token", f"agent-7:{SECRET}\n")
    with remote(server if tls else None) as s:
        good(lab, *(["--ca", ca.cert] if tls else []), "--token-file", token,
             s.url())
    assert s.headers[0]["Authorization"] == f"Bearer agent-7:{SECRET}"
    assert {m["client_id"] for m in s.messages} == {"agent-7"}


def test_a_token_without_an_id(lab, place, ca, server):
    token = secret_file(lab, place, "token", SECRET)
    with remote(server) as s:
        good(lab, "--ca", ca.cert, "--token-file", token, "--id", "agent-8",
             s.url())
        good(lab, "--ca", ca.cert, "--token-file", token, s.url())
    assert s.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert s.messages[0]["client_id"] == "agent-8"
    assert s.messages[-1]["client_id"].startswith("ltpctl-")


def test_a_token_that_others_can_read(lab, place):
    token = secret_file(lab, place, "token", SECRET, 0o644)
    refused(lab, "mode 0644 is too open", "--token-file", token,
            "wss://127.0.0.1:1")


def test_something_that_speaks_no_tls(lab, ca):
    with remote(None) as s:
        refused(lab, "TLS", "--ca", ca.cert,
                s.url().replace("ws://", "wss://"))


def test_somebody_who_goes_in_the_handshake(lab, ca):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def go():
            with contextlib.suppress(OSError):
                for _ in range(2):
                    listener.accept()[0].close()
        threading.Thread(target=go, daemon=True).start()
        refused(lab, "closed in the handshake|reset|Broken pipe|unexpected eof",
                "--ca", ca.cert,
                "wss://127.0.0.1:%d" % listener.getsockname()[1])
