"""
A node with a remote listener, what is said to it, and a client that speaks
TLS to it record by record.
"""

import contextlib
import json
import os
import re
import socket
import ssl
import time

import ops
from node import TIMEOUT, Wire, free_ports, request, table, toml, wait_for
from ops import Ltpd

RECORD_MAX = 16384  # bytes
SHARED = "7c40d1b58e93a2f6617b0c5d48ea93f2"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = table(("TLS 1.2", V12), ("TLS 1.3", V13))
NO_LIMITS = {"max_half_open_per_ip": 0, "max_connections_per_ip": 0,
             "auth_failure_limit": 0, "control_limit_rps": 0}


class Remote(Ltpd):
    """distributed, tls: rows of its tables; without tls there is none."""

    def __init__(self, stage, *, distributed=None, tls=None, **settings):
        super().__init__(stage, **settings)
        self.distributed = dict(distributed or {})
        self.tls = tls
        self.remote = ("127.0.0.1", free_ports(1)[0])

    def configure(self, **settings):
        super().configure(**settings)
        tables = {"distributed": {"enabled": True,
                                  "bind_addr": "%s:%d" % self.remote,
                                  **self.distributed}}
        if self.tls is not None:
            tables["distributed.tls"] = {"enabled": True, **self.tls}
        text = "".join(f"\n[{name}]\n" + "".join(
            f"{k} = {toml(v)}\n" for k, v in rows.items())
            for name, rows in tables.items())
        self.file("ltpd.conf", self.conf.read_text() + text)

    def again(self):
        """Write the configuration again, with what has changed in it."""
        ops.place(self)

    def again_here(self):
        """The same while it runs, where it listens."""
        self.configure(**{"addr": "%s:%d" % self.address,
                          "metrics_addr": "%s:%d" % self.metrics_address,
                          "control_socket": str(self.control),
                          **self.settings})

    def token(self, text, name="token", mode=0o600):
        """Put it in place as an operator does; the path."""
        self.file("fresh", text, mode)
        os.replace(self.dir / "fresh", self.dir / name)
        return str(self.dir / name)

    def lets_in(self, token):
        with Wire(self.remote) as wire:
            wire.send(request([("Authorization", f"Bearer {token}")]))
            status = wire.response().status
        assert status in (101, 401, 503), status
        return status == 101

    def secure(self, context):
        sock = socket.create_connection(self.remote, timeout=5)
        return context.wrap_socket(sock, server_hostname="localhost")

    def serial(self, context):
        """Of the certificate that is served."""
        with self.secure(context) as tls:
            return int(tls.getpeercert()["serialNumber"], 16)

    def wire(self, **how):
        w = Wire(self.remote, **how)
        self.wires.append(w)
        return w

    def errors_are(self, code, count):
        self.samples_are({f'ltp_dist_errors_total{{code="{code}"}}': count})

    def logged(self, code, what=""):
        wait_for(lambda: self.log_lines(f"{what}.* dist_code={code} "),
                 f"{code} in the log")


class Both(Remote):
    """Its clients come by the plain listener, as ever."""

    wire = Ltpd.wire


def put_pair(node, cert, key, name="server"):
    """As an operator does: each is moved into place, the key last."""
    for path, suffix, mode in ((cert, "crt", 0o644), (key, "key", 0o600)):
        node.token(path.read_text(), f"{name}.{suffix}", mode)


def trusting(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(authority.cert))
    return context


# ---- TLS ----

class TlsWire(Wire):
    """
    Each send is a record of its own, up to 16 KiB.  An alert is an error,
    and so is an end without one, if the context says so.
    """

    def __init__(self, address, context, begin=True, **how):
        super().__init__(address, **how)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing,
                                    server_hostname="localhost")
        if begin:
            self.handshake()

    def flush(self):
        self.sock.sendall(self.outgoing.read())

    def feed(self):
        data = self.sock.recv(65536)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def first_flight(self):
        """What a handshake begins with, not sent."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                self.flush()
                return
            except ssl.SSLWantReadError:
                self.flush()
                self.feed()
            except ssl.SSLError:
                self.flush()
                raise

    def seal(self, *records):
        """These records as they go over the wire."""
        for data in records:
            assert len(data) <= RECORD_MAX and \
                self.tls.write(data) == len(data)
        return self.outgoing.read()

    def send(self, *data):
        data = b"".join(data)
        parts = [data[i:i + RECORD_MAX]
                 for i in range(0, len(data), RECORD_MAX)]
        self.sock.sendall(self.seal(*parts))
        self.bytes_out += len(data)

    def fill(self):
        while True:
            try:
                data = self.tls.read(65536)
                self.buf += data
                self.bytes_in += len(data)
                return data != b""
            except ssl.SSLWantReadError:
                self.feed()
            except ssl.SSLZeroReturnError:
                return False

    def readable(self, seconds):
        """Whether there is anything but TLS's own affairs."""
        end = time.monotonic() + seconds
        while self.buf == b"":
            left = max(0, end - time.monotonic())
            self.sock.settimeout(left or 0.001)
            try:
                if not self.fill():
                    return True
            except TimeoutError:
                return False
            finally:
                self.sock.settimeout(TIMEOUT)
        return True

    def notify(self, last=b""):
        """
        Say that nothing follows what was sealed last; what comes may still
        be read.
        """
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.sock.sendall(last + self.outgoing.read())


class Secured(Remote):
    """With TLS and a token for all; key: its kind."""

    def __init__(self, stage, *, authority, key="ec", distributed=None,
                 tls=None, **settings):
        super().__init__(stage, secrets=(SHARED,), distributed={
            "token": SHARED, **(distributed or {})},
            **{**NO_LIMITS, **settings})
        self.authority = authority
        self.pair = authority.issue(f"server-{key}", kind=key)
        put_pair(self, *self.pair)
        self.tls = {"cert_path": str(self.dir / "server.crt"),
                    "key_path": str(self.dir / "server.key"), **(tls or {})}
        self.distributed = {name: value for name, value
                            in self.distributed.items() if value is not None}

    def context(self, version=None, pair=None):
        """Of a client; pair: its certificate and key."""
        context = trusting(self.authority)
        # Python takes the end of the connection for one.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    def wire(self, version=None, pair=None, begin=True, **how):
        w = TlsWire(self.remote, self.context(version, pair), begin, **how)
        self.wires.append(w)
        return w

    def tcp(self, **how):
        return super().wire(**how)


@contextlib.contextmanager
def secured(lab, authority, **settings):
    with ops.prepared(lab, kind=Secured, authority=authority,
                      **settings) as node:
        node.start()
        node.settle()
        yield node
        node.stop()


# ---- messages ----

def bearer(token):
    return [] if token is None else [("Authorization", f"Bearer {token}")]


def hello(**more):
    return {"type": "hello", "client_id": "c", **more}


def beat(session, seq, client="c"):
    return {"type": "heartbeat", "client_id": client, "timestamp_ms": 5,
            "session_id": session, "seq": seq}


def ack(client="c"):
    return {"type": "heartbeat_ack", "client_id": client, "timestamp_ms": 5}


def error(code, message, name=None):
    named = {} if name is None else {"code": name}
    return {"type": "error", **named, "message": message,
            "dist_code": f"dist.{code}"}


def greeted(wire):
    """The session id of the hello_ack."""
    reply = json.loads(wire.recv_text())
    assert set(reply) == {"type", "node_id", "accepted", "session_id"}, reply
    assert reply["type"] == "hello_ack" and reply["accepted"] is True
    assert re.fullmatch(r"[0-9a-f-]{36}", reply["session_id"])
    return reply["session_id"]


def alive(wire, session, seq, client="c"):
    wire.say(beat(session, seq, client))
    wire.expect(ack(client))


def entered(node, client="c", **how):
    """A session of a node with TLS, and its own."""
    w = node.wire(**how)
    w.upgrade(bearer(SHARED))
    w.say(hello(client_id=client))
    return w, greeted(w)
