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
from node import TIMEOUT, Wire, free_ports, request, toml, wait_for
from ops import Ltpd

RECORD_MAX = 16384  # bytes


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
    Each send is a record of its own, up to 16 KiB.  An end without a
    close_notify is an error, and so is an alert.
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

    def notify(self):
        """Say that nothing follows; what comes may still be read."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()


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
