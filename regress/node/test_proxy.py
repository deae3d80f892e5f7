"""nginx and Caddy in front of a node, as the examples in etc/ have them.

The examples themselves are run: only names of files, addresses and ports are
put in.  Clients are python3-websockets over TLS, which knows nothing of the
node, and Wire where the bytes matter.
"""

import asyncio
import contextlib
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import time
import warnings

import pytest
import websockets
import yaml

import node as harness
from node import TEXT, TIMEOUT, Wire, frame, free_ports, wait_for

ETC = pathlib.Path(os.environ.get(
    "LTPD_SOURCE", pathlib.Path(__file__).resolve().parents[2])) / "etc"
SITE = "ltp.example.org"
# Servers are not on the path of everybody.
PATH = os.environ.get("PATH", os.defpath) + \
    ":/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin"
LIMIT = 65536       # of a message, as in etc/ltpd.conf
KEYS = {"alice": "alice-key-of-the-proxy-test"}
HELLO = {"type": "hello", "client_id": "c"}
HELLO_ACK = {"type": "hello_ack", "node_id": "node-a", "accepted": True}


def fill_in(name, changes):
    """An example with other addresses, ports and paths in it."""
    text = (ETC / name).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{name}: {text.count(old)} times {old}"
        text = text.replace(old, new)
    return text


def request(fields=(), omit=()):
    """As of the node's own tests, but to the site."""
    return harness.request([("Host", SITE), *fields], omit=["Host", *omit])


def bearer(key):
    return [("Authorization", f"Bearer {key}")]


# ---- the proxies ----

class Certificate:
    """Signed by itself, for SITE."""

    def __init__(self, stage):
        self.cert = stage.dir / "site.crt"
        self.key = stage.dir / "site.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", f"/CN={SITE}", "-addext", f"subjectAltName=DNS:{SITE}",
             "-keyout", self.key, "-out", self.cert],
            check=True, capture_output=True)
        stage.own(self.cert, 0o644)
        stage.own(self.key, 0o600)

    def context(self):
        context = ssl.create_default_context(cafile=self.cert)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context


class Proxy:
    """One server before one node, with a directory inside the node's."""

    def __init__(self, node, certificate):
        self.node = node
        self.stage = node.stage
        self.certificate = certificate
        self.dir = node.dir / self.name
        self.dir.mkdir()
        self.stage.own(self.dir, 0o755)
        # Beside the node's log: kept when the test fails.
        self.log_path = node.dir / f"{self.name}.log"
        self.proc = None

    def file(self, name, content):
        path = self.dir / name
        path.write_text(content)
        self.stage.own(path, 0o644)
        return path

    def find(self):
        return shutil.which(self.name, path=PATH)

    def start(self):
        assert self.find() is not None, f"{self.name} is not installed"
        for attempt in range(5):
            self.port, = free_ports(1)
            self.launch()
            if wait_for(self.settled, f"{self.name} is ready",
                        2 * TIMEOUT) == "ready":
                return
            assert "in use" in self.log() and attempt < 4, self.log()

    def command(self, *args):
        drop = self.stage.command("x")[:-1]     # what gives up root
        return [*drop, self.find(), *args]

    def launch(self):
        with open(self.log_path, "wb") as log:
            self.proc = subprocess.Popen(
                self.command(*self.arguments()),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.dir, env=self.environment(), start_new_session=True)

    def settled(self):
        """Nobody else has the certificate's key."""
        if self.proc.poll() is not None:
            return "gone"
        with contextlib.suppress(OSError), self.wire():
            return "ready"
        return None

    def stop(self):
        if self.proc is None or self.proc.poll() is not None:
            return
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(TIMEOUT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()

    def environment(self):
        return {"PATH": PATH}

    def log(self):
        return self.log_path.read_text(errors="backslashreplace")

    # who talks to it

    def connect(self, source="127.0.0.1", fields=(), target="/", **how):
        """For async with: a WebSocket client."""
        host = "::1" if ":" in source else "127.0.0.1"
        return websockets.connect(
            f"wss://{SITE}:{self.port}{target}", host=host, port=self.port,
            ssl=self.certificate.context(), server_hostname=SITE,
            local_addr=(source, 0), extra_headers=list(fields),
            open_timeout=TIMEOUT, close_timeout=TIMEOUT, ping_interval=None,
            **how)

    def wire(self, source=None):
        """Bytes over TLS, not yet upgraded."""
        w = Wire(("127.0.0.1", self.port), source=source)
        try:
            w.sock = self.certificate.context().wrap_socket(
                w.sock, server_hostname=SITE)
        except OSError:
            w.drop()
            raise
        self.node.wires.append(w)
        return w

    def ask(self, method="GET", fields=(), body=None):
        """A plain HTTP request: the status, the header, the body."""
        with self.wire() as w:
            c = http.client.HTTPConnection(SITE)
            c.sock = w.sock
            c.request(method, "/", body, dict(fields))
            r = c.getresponse()
            return r.status, r.headers, r.read()


class Nginx(Proxy):
    name = "nginx"

    @property
    def access_log(self):
        return self.node.dir / "nginx-access.log"

    def log(self):
        requests = self.access_log.read_text() \
            if self.access_log.exists() else ""
        return super().log() + requests

    def arguments(self):
        self.file("ltpd.conf", fill_in("nginx-ltpd.conf", {
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "listen [::]:443 ssl;": f"listen [::1]:{self.port} ssl;",
            "/etc/nginx/ltpd.crt": str(self.certificate.cert),
            "/etc/nginx/ltpd.key": str(self.certificate.key),
            "server 127.0.0.1:7070;": "server %s:%d;" % self.node.address,
        }))
        temporary = "".join(
            f"\t{kind}_temp_path {self.dir}/{kind};\n" for kind in
            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        main = self.file("nginx.conf", (
            "daemon off;\n"
            "worker_processes 2;\n"
            f"pid {self.dir}/pid;\n"
            "error_log stderr info;\n"
            "events {\n\tworker_connections 512;\n}\n"
            "http {\n"
            f"\taccess_log {self.access_log} combined;\n"
            f"{temporary}"
            f"\tinclude {self.dir}/ltpd.conf;\n"
            "}\n"))
        return ["-p", str(self.dir), "-c", str(main), "-e", "stderr"]

    def complaints(self):
        return re.findall(r".*\[(?:warn|error|crit|alert|emerg)\].*",
                          self.log())


class Caddy(Proxy):
    name = "caddy"
    # Warnings that say what the example wants, or that the test's
    # certificate is nobody's.
    harmless = ("automatic HTTP->HTTPS redirects are disabled",
                "stapling OCSP")

    def arguments(self):
        conf = self.file("Caddyfile", fill_in("Caddyfile", {
            "ltp.example.org:443": f"{SITE}:{self.port}",
            "unix//var/lib/caddy/": f"unix/{self.dir}/",
            "bind 192.0.2.1 2001:db8::1": "bind 127.0.0.1 ::1",
            "/etc/caddy/ltpd.crt": str(self.certificate.cert),
            "/etc/caddy/ltpd.key": str(self.certificate.key),
            "reverse_proxy 127.0.0.1:7070":
                "reverse_proxy %s:%d" % self.node.address,
        }))
        return ["run", "--config", str(conf), "--adapter", "caddyfile"]

    def environment(self):
        # All that Caddy writes besides.
        return {**super().environment(), "HOME": str(self.dir),
                "XDG_DATA_HOME": str(self.dir),
                "XDG_CONFIG_HOME": str(self.dir)}

    def complaints(self):
        lines = map(json.loads, self.log().splitlines())
        return [line for line in lines if line["level"] != "info" and
                line["msg"] not in self.harmless]


PROXIES = {p.name: p for p in (Nginx, Caddy)}


class Node(harness.Node):
    """May have been stopped by its test."""

    def stop(self):
        if self.proc.poll() is None:
            super().stop()
        else:
            self.check_log()


@contextlib.contextmanager
def behind(kind, lab, certificate, keys=None, **settings):
    """A proxy and, as its node, the node behind it."""
    settings = {"workers": 2, "trust_proxy": True,
                "max_message_bytes": LIMIT, **settings}
    node = Node(lab.stage, **settings)
    lab.running.append(node)
    lab.recent.append(node)
    try:
        if keys is not None:
            node.configure(auth_mode="api_key",
                           auth_keys_file=node.keys(keys))
        node.start()
        proxy = PROXIES[kind](node, certificate)
        try:
            proxy.start()
            yield proxy
        finally:
            proxy.stop()
        node.stop()
    finally:
        node.kill()
        lab.running.remove(node)


@pytest.fixture(scope="module")
def certificate(lab):
    return Certificate(lab.stage)


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request, lab, certificate):
    with behind(request.param, lab, certificate) as proxy:
        yield proxy


@pytest.fixture(scope="module", params=PROXIES)
def guarded(request, lab, certificate):
    with behind(request.param, lab, certificate, KEYS) as proxy:
        yield proxy


# ---- the clients ----

def run(test):
    """A test that is a coroutine."""
    @functools.wraps(test)
    def wrapper(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))
    return wrapper


async def ask(client, message):
    """Send one message, return the answer."""
    if isinstance(message, dict):
        message = json.dumps(message)
    await client.send(message)
    return json.loads(await asyncio.wait_for(client.recv(), TIMEOUT))


async def greet(client):
    """Say hello and be welcome."""
    assert await ask(client, HELLO) == HELLO_ACK


def greeted(proxy):
    """The same of a Wire."""
    w = proxy.wire()
    w.send(request())
    w.accepted()
    w.say(HELLO)
    w.expect(HELLO_ACK)
    return w


async def closed(client, timeout=TIMEOUT):
    """Wait until it is closed by the other side: code and reason."""
    with pytest.raises(websockets.ConnectionClosed):
        while True:
            await asyncio.wait_for(client.recv(), timeout)
    assert client.close_rcvd is not None, "no close frame"
    return client.close_rcvd.code, client.close_rcvd.reason


async def exhaust(client):
    """
    Send until it is closed: how many messages passed, and the end.  One at a
    time, for what is sent after the node's close frame may make nginx reset
    the connection, and then the client need not see the frame.
    """
    for passed in range(50):
        try:
            await greet(client)
        except websockets.ConnectionClosed:
            return passed, await closed(client)
    assert False, "no limit"


def sessions(proxy):
    r = proxy.node.ctl("-j", "show", "sessions")
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def clients(proxy):
    """The address of each session's client; a proxy tells no port."""
    found = {}
    for s in sessions(proxy):
        ip = re.fullmatch(r"\[?(.+?)\]?(?::0)?", s["peer"])[1]
        found[s["client_id"]] = ip
    return found


# ---- what the proxy is for ----

@run
async def test_a_session_lives_behind_the_proxy(proxy):
    async with proxy.connect() as client:
        await greet(client)
        assert await ask(client, {
            "type": "heartbeat", "client_id": "c", "timestamp_ms": 5}) == {
            "type": "heartbeat_ack", "client_id": "c", "timestamp_ms": 5}
        await client.send(json.dumps({
            "type": "orientation", "client_id": "c", "focus_momentum": 0.8,
            "time_orientation": {"direction": "future", "strength": 0.9}}))
        answer = await ask(client, {"type": "route_request",
                                    "client_id": "c"})
        assert answer["type"] == "route_suggestion"
        assert answer["suggested_sector"] == \
            "future_planning_high_momentum"
        await asyncio.wait_for(await client.ping(b"are you there"), TIMEOUT)


@run
async def test_an_answer_does_not_wait_for_more(proxy):
    async with proxy.connect() as client:
        await greet(client)
        started = time.monotonic()
        for i in range(100):
            answer = await ask(client, {"type": "heartbeat",
                                        "client_id": "c", "timestamp_ms": i})
            assert answer["timestamp_ms"] == i
        # Nagle's algorithm would cost 40 ms each.
        assert time.monotonic() - started < 2


@run
async def test_a_subprotocol_passes_and_no_extension_does(proxy):
    async with proxy.connect(target="/any/path?a=b",
                             subprotocols=["other", "ltp.v0.1"]) as client:
        assert client.subprotocol == "ltp.v0.1"
        assert client.extensions == []
        await greet(client)


@run
async def test_messages_up_to_the_limit_pass(proxy):
    async with proxy.connect() as client:
        await greet(client)
        empty = json.dumps({**HELLO, "pad": ""})
        whole = json.dumps({**HELLO, "pad": (LIMIT - len(empty)) * "x"})
        assert len(whole) == LIMIT
        for message in (whole, [whole[:9], whole[9:40000], whole[40000:]]):
            await client.send(message)
            assert json.loads(await client.recv()) == HELLO_ACK
        await client.send(whole + " ")
        assert await closed(client) == (1009, "message too large")


def test_tls_is_1_2_or_1_3_and_speaks_http_1_1(proxy):
    with proxy.wire() as w:
        assert w.sock.selected_alpn_protocol() in (None, "http/1.1")
        assert w.sock.version() == "TLSv1.3"
    old = proxy.certificate.context()
    warnings.simplefilter("ignore", DeprecationWarning)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with Wire(("127.0.0.1", proxy.port)) as w:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(w.sock, server_hostname=SITE)


# ---- who the client is ----

FORGED = {
    "nothing": [],
    "an_address": [("X-Forwarded-For", "203.0.113.7")],
    "a_list": [("X-Forwarded-For", "203.0.113.7, 127.0.0.1")],
    "two_fields": [("X-Forwarded-For", "203.0.113.7"),
                   ("X-Forwarded-For", "203.0.113.8")],
    "no_address": [("X-Forwarded-For", "what, ever")],
    "in_lower_case": [("x-forwarded-for", "203.0.113.7")],
    "with_underscores": [("X_Forwarded_For", "203.0.113.7")],
    "Forwarded": [("Forwarded", "for=203.0.113.7")],
    "X-Real-IP": [("X-Real-IP", "203.0.113.7")],
}


@pytest.mark.parametrize("source", ["127.0.0.21", "::1"])
@pytest.mark.parametrize("fields", FORGED.values(), ids=FORGED)
@run
async def test_the_session_has_the_clients_address(proxy, source, fields):
    """
    All of loopback is in allow_proxy_cidr, so that an address of the
    client's invention would count, if one reached the node.
    """
    async with proxy.connect(source, fields) as client:
        await greet(client)
        assert clients(proxy) == {"c": source}


def test_connection_cannot_take_the_address_away(proxy):
    """Fields that Connection names are not to be forwarded."""
    with proxy.wire("127.0.0.22") as w:
        w.send(request(
            [("Connection", "Upgrade, X-Forwarded-For, Host"),
             ("X-Forwarded-For", "203.0.113.7")], omit=["Connection"]))
        w.accepted()
        w.say(HELLO)
        w.expect(HELLO_ACK)
        assert clients(proxy) == {"c": "127.0.0.22"}
        w.drop()
    assert proxy.node.log_lines("no X-Forwarded-For") == []


@pytest.fixture(params=PROXIES)
def limited(request, lab, certificate):
    with behind(request.param, lab, certificate, ip_rate_limit_rps=1,
                ip_rate_limit_burst=5) as proxy:
        yield proxy


@run
async def test_the_limit_per_address_counts_the_client(limited):
    over = 1008, "ip rate limit exceeded"
    async with limited.connect("127.0.0.31") as one, \
            limited.connect("127.0.0.32") as other:
        passed, end = await exhaust(one)
        assert 5 <= passed <= 7 and end == over
        await greet(other)
    forged = FORGED["an_address"]
    async with limited.connect("127.0.0.31", forged) as again, \
            limited.connect("127.0.0.32") as other:
        passed, end = await exhaust(again)
        assert passed <= 2 and end == over
        await greet(other)
    limited.node.metrics_are(ip_rate_limit_violations_total=2)


# ---- how it ends ----

@run
async def test_a_clients_close_is_answered(proxy):
    async with proxy.connect() as client:
        await greet(client)
        await client.close(4000, "my own reason")
        assert (client.close_rcvd.code, client.close_sent.code) == \
            (4000, 4000)
    wait_for(lambda: sessions(proxy) == [], "the session is gone")


@pytest.mark.parametrize("data, code", [
    (frame(TEXT, "{}", key=None), 1002),
    (frame(TEXT, "{}", rsv=4), 1002),
    (frame(TEXT, b"\xff\xfe"), 1007),
], ids=["no_mask", "reserved_bit", "no_utf8"])
def test_a_close_for_a_protocol_error_passes(proxy, data, code):
    w = greeted(proxy)
    w.send(data)
    w.expect_close(code)


@pytest.mark.parametrize("how", [Wire.drop, Wire.reset])
def test_a_client_that_vanishes_leaves_no_session(proxy, how):
    w = greeted(proxy)
    assert clients(proxy) == {"c": "127.0.0.1"}
    how(w)
    wait_for(lambda: sessions(proxy) == [], "the session is gone")


@pytest.mark.parametrize("kind", PROXIES)
@run
async def test_an_idle_session_is_closed_by_the_node_alone(
        kind, lab, certificate):
    with behind(kind, lab, certificate, idle_ttl_ms=1000,
                gc_interval_ms=50) as proxy:
        async with proxy.connect() as client:
            await greet(client)
            for i in range(6):
                await asyncio.sleep(0.25)
                await ask(client, {"type": "heartbeat", "client_id": "c",
                                   "timestamp_ms": i})
            assert await closed(client) == (1001, "idle timeout")


@pytest.mark.parametrize("kind", PROXIES)
@run
async def test_a_node_that_stops_says_1001_and_then_there_is_502(
        kind, lab, certificate):
    with behind(kind, lab, certificate, KEYS) as proxy:
        async with proxy.connect(fields=bearer(KEYS["alice"])) as client:
            assert (await ask(client, HELLO))["accepted"] is True
            proxy.node.proc.send_signal(signal.SIGTERM)
            code, reason = await closed(client)
            assert code == 1001 and reason != ""
        assert proxy.node.proc.wait(TIMEOUT) == 0
        for fields in (bearer(KEYS["alice"]),
                       [("X-API-Key", KEYS["alice"])]):
            with pytest.raises(websockets.InvalidStatusCode) as refused:
                async with proxy.connect(fields=fields):
                    pass
            assert refused.value.status_code == 502
        # It has something to complain about, but not with a key in it.
        assert proxy.complaints() != []
        assert KEYS["alice"] not in proxy.log()


@run
async def test_a_reload_of_nginx_disturbs_nobody(lab, certificate):
    with behind("nginx", lab, certificate) as proxy:
        async with proxy.connect() as client:
            await greet(client)
            proxy.proc.send_signal(signal.SIGHUP)
            wait_for(lambda: "gracefully shutting down" in proxy.log(),
                     "other workers of nginx")
            await greet(client)
            async with proxy.connect() as other:
                await greet(other)


@run
async def test_a_reload_of_caddy_says_1001(lab, certificate):
    with behind("caddy", lab, certificate) as proxy:
        async with proxy.connect() as client:
            await greet(client)
            done = subprocess.run(
                proxy.command("reload", "--force", "--adapter", "caddyfile",
                              "--config", str(proxy.dir / "Caddyfile")),
                cwd=proxy.dir, env=proxy.environment(), timeout=TIMEOUT)
            assert done.returncode == 0
            assert (await closed(client))[0] == 1001
        async with proxy.connect() as client:
            await greet(client)


def test_caddys_configuration_is_closed_to_others(lab, certificate):
    with behind("caddy", lab, certificate) as proxy:
        assert (proxy.dir / "admin.sock").stat().st_mode & 0o022 == 0
        listening = subprocess.run(["ss", "-Hlntp"], capture_output=True,
                                   check=True, text=True).stdout
        ports = re.findall(rf"(\S+:\d+) .*pid={proxy.proc.pid},", listening)
        assert sorted(ports) == [f"127.0.0.1:{proxy.port}",
                                 f"[::1]:{proxy.port}"]


@pytest.mark.long
@run
async def test_a_silent_session_outlives_the_usual_time_outs(
        lab, certificate):
    """75 s with nothing sent; nginx by itself would wait for 60."""
    with contextlib.ExitStack() as stack:
        clients = []
        for kind in PROXIES:
            proxy = stack.enter_context(behind(
                kind, lab, certificate, idle_ttl_ms=120000))
            clients.append(await proxy.connect())
            await greet(clients[-1])
        await asyncio.sleep(75)
        for client in clients:
            await greet(client)
            await client.close()


@pytest.mark.long
def test_a_request_that_never_ends_is_ended(proxy):
    w = proxy.wire()
    w.send(request()[:-2])
    w.sock.settimeout(15)
    started = time.monotonic()
    while w.fill():
        pass
    assert 3 < time.monotonic() - started < 10


# ---- refusals ----

@run
async def test_the_right_key_is_let_in(guarded):
    for fields in (bearer(KEYS["alice"]), [("X-API-Key", KEYS["alice"])]):
        async with guarded.connect(fields=fields) as client:
            answer = await ask(client, {"type": "heartbeat",
                                        "client_id": "c", "timestamp_ms": 5})
            assert answer["client_id"] == "alice"


@pytest.mark.parametrize("fields, body", [
    ([], b"missing api key"),
    ([("X-API-Key", "wrong")], b"invalid api key"),
    ([("Authorization", "Bearer wrong")], b"invalid api key"),
    ([("X-API-Key", KEYS["alice"]), ("Authorization", "Bearer wrong")],
     b"invalid api key"),
])
def test_refused_credentials_get_the_nodes_401(guarded, fields, body):
    with guarded.wire() as w:
        w.send(request(fields))
        r = w.response()
        assert (r.status, r.body) == (401, body)


def test_a_request_that_is_no_upgrade_gets_the_nodes_answer(proxy):
    status, header, _ = proxy.ask()
    assert (status, header["Sec-WebSocket-Version"]) == (426, "13")
    assert proxy.ask("POST")[0] == 405


def test_an_unknown_origin_gets_the_nodes_403(proxy):
    with proxy.wire() as w:
        w.send(request([("Origin", "https://evil.example.org")]))
        assert w.response().status == 403


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0"])
def test_no_other_protocol_is_negotiated(proxy, protocol):
    with proxy.wire() as w:
        w.send(request([("Upgrade", protocol)], omit=["Upgrade"]))
        assert w.response().status in (400, 426)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_with_a_body_is_refused(proxy, method):
    status, _, _ = proxy.ask(method, body=b"x" * 4096)
    assert status in (400, 405, 413)


def test_a_header_that_is_too_large_is_refused(proxy):
    with proxy.wire() as w:
        w.send(request([("X-Big", 20000 * "x")]))
        assert w.response().status in (400, 431)


# ---- limits of nginx's own; Caddy has none ----

@pytest.fixture
def nginx(lab, certificate):
    with behind("nginx", lab, certificate) as proxy:
        yield proxy


def knock(proxy, source):
    """Ask to be let in: the connection and the answer to that."""
    w = proxy.wire(source)
    w.send(request())
    return w, w.response()


def test_nginx_limits_the_open_connections_of_a_client(nginx):
    answers = [knock(nginx, "127.0.0.41") for _ in range(65)]
    assert [r.status for _, r in answers] == 64 * [101] + [429]
    assert answers[-1][1].field("Retry-After") == "1"
    assert knock(nginx, "127.0.0.42")[1].status == 101
    answers[0][0].drop()
    wait_for(lambda: knock(nginx, "127.0.0.41")[1].status == 101,
             "room for another")


def test_nginx_limits_the_new_connections_of_a_client(nginx):
    def one(source):
        w, r = knock(nginx, source)
        w.drop()
        return r.status
    answers = [one("127.0.0.43") for _ in range(250)]
    assert answers[:100] == 100 * [101]
    assert 429 in answers
    assert one("127.0.0.44") == 101


# ---- the examples as texts ----

def duration(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)?", text).groups()
    return int(number) * {"ms": 0.001, None: 1, "s": 1, "m": 60,
                          "h": 3600}[unit]


def idle_time():
    """Seconds after which a node with etc/ltpd.conf ends a session."""
    conf = (ETC / "ltpd.conf").read_text()
    return sum(int(re.search(rf"^{name} = (\d+)$", conf, re.M)[1])
               for name in ("idle_ttl_ms", "gc_interval_ms")) / 1000


def code(name):
    """An example without its comments."""
    return re.sub(r"^\s*#.*\n", "", (ETC / name).read_text(), flags=re.M)


def test_nginx_waits_longer_than_the_node():
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        values = re.findall(rf"^\s*{name} (\S+);$", code("nginx-ltpd.conf"),
                            re.M)
        assert len(values) == 1 and duration(values[0]) > idle_time()


def test_caddy_and_traefik_wait_for_ever():
    """What would end a stream is not there."""
    assert not re.search(r"read_timeout|write_timeout|stream_timeout",
                         code("Caddyfile"))
    assert not re.search(r"readTimeout|writeTimeout",
                         code("traefik-ltpd.yml").split("\n---\n")[1])


def test_no_proxy_buffers():
    assert "proxy_buffering off;" in code("nginx-ltpd.conf")
    assert "flush_interval -1" in code("Caddyfile")
    assert "flushInterval: -1ms" in code("traefik-ltpd.yml")


@pytest.mark.parametrize("kind", PROXIES)
def test_the_example_gives_no_reason_to_complain(kind, lab, certificate):
    with behind(kind, lab, certificate) as proxy:
        assert proxy.complaints() == []


def test_the_example_for_traefik_is_yaml_and_said_to_be_untested():
    text = (ETC / "traefik-ltpd.yml").read_text()
    static, dynamic = yaml.safe_load_all(text)
    assert "UNTESTED" in text.split("entryPoints:")[0]
    entry = static["entryPoints"]["ltp"]
    assert entry["forwardedHeaders"] == {"insecure": False,
                                         "trustedIPs": []}
    http_ = dynamic["http"]
    router = http_["routers"]["ltpd"]
    assert router["entryPoints"] == list(static["entryPoints"])
    assert set(router["middlewares"]) == set(http_["middlewares"])
    assert router["tls"]["options"] in dynamic["tls"]["options"]
    balancer = http_["services"][router["service"]]["loadBalancer"]
    assert balancer["serversTransport"] in http_["serversTransports"]
