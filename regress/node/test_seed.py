"""
The examples of the guide to distributed security start as they stand, but
for paths and ports, and let in whom they say.
"""

import contextlib
import os
import pathlib
import re
import secrets

import pytest

import ops
from node import Wire, free_ports, request
from ops import Ltpd
from pki import CLIENT, Authority
from remote import TlsWire, alive, bearer, greeted, hello, trusting

CONF = pathlib.Path(os.environ.get(
    "LTPD_SOURCE", pathlib.Path(__file__).resolve().parents[2])) / \
    "regress/conf"
TOKEN = secrets.token_hex(32)       # openssl rand -hex 32


class Seed(Ltpd):
    """The file is the example; the command line has what tests must choose."""

    def __init__(self, stage, *, example, files, definitions=(), **settings):
        super().__init__(stage, secrets=(TOKEN,), **settings)
        self.remote = ("127.0.0.1", free_ports(1)[0])
        self.example = (CONF / f"{example}.conf").read_text()
        self.files = files
        self.definitions = definitions
        self.token = self.file("distributed.token", TOKEN + "\n")

    def configure(self, **_):
        text = self.example.replace(
            "/home/you/.config/wa/distributed.token", str(self.token))
        for name, path in self.files.items():
            text = text.replace(f"/etc/wa/tls/{name}", str(path))
        assert "/home/you" not in text and "/etc/wa" not in text
        self.file("ltpd.conf", text)
        host = re.findall(r'^bind_addr = "(.*):4141"$', text, re.M)
        rows = {"addr": "%s:%d" % self.address,
                "metrics_addr": "%s:%d" % self.metrics_address,
                "control_socket": self.control, "id": "node-a", "workers": 2, "distributed.bind_addr":
                f"{(host or ['127.0.0.1'])[0]}:{self.remote[1]}"}
        self.args = [arg for name, value in rows.items()
                     for arg in ("-D", f"{name}={value}")]
        self.args += [arg for d in self.definitions for arg in ("-D", d)]


@pytest.fixture(scope="module")
def ca(lab):
    return Authority(lab.stage, ops.scratch(lab))


@pytest.fixture(scope="module")
def server(ca):
    cert, key = ca.issue("server")
    return {"server.crt": cert, "server.key": key}


@contextlib.contextmanager
def running(lab, example, files, **how):
    node = Seed(lab.stage, example=example, files=files, **how)
    lab.running.append(node)
    lab.recent.append(node)
    try:
        ops.place(node)
        node.start()
        yield node
        node.stop()
    finally:
        node.kill()
        lab.running.remove(node)


def works(node, context, client):
    """A session that does something."""
    with TlsWire(node.remote, context) as wire:
        wire.upgrade(bearer(TOKEN))
        wire.say(hello(client_id=client))
        session = greeted(wire)
        alive(wire, session, 1, client)
        alive(wire, session, 2, client)


def refused(node, context, client, token=TOKEN):
    """Not even by an upgrade, or at the hello."""
    try:
        with TlsWire(node.remote, context) as wire:
            wire.send(request(bearer(token)))
            if wire.response().status == 401:
                return "401"
            wire.say(hello(client_id=client))
            return wire.recv_text().decode()
    except (OSError, EOFError):
        return "TLS"


def posture(node, said):
    """What the guide's last step asks for."""
    if ops.process(node, "worker")["sandbox"]["mechanism"] == "none":
        return      # a build for debuggers, where doctor finds no sandbox
    done = ops.run_ctl(node, "-s", str(node.control), "doctor")
    assert done.returncode == 0, done
    assert f"[OK] distributed security - bind={said}\n" in done.stdout
    assert "[ERR]" not in done.stdout and TOKEN not in done.stdout


def test_the_minimal_remote_safe_setup(lab, ca, server):
    with running(lab, "10-seed-distributed", server) as node:
        works(node, trusting(ca), "agent-1")
        works(node, trusting(ca), "agent-2")
        assert refused(node, trusting(ca), "agent-1", "nonsense") == "401"
        # Nobody is answered in the clear.
        with Wire(node.remote) as wire:
            wire.send(request(bearer(TOKEN)))
            assert b"HTTP" not in wire.sock.recv(4096)
        posture(node, f"0.0.0.0:{node.remote[1]}, auth=token, "
                "tls=on (min 1.2), token=file:ok, allowlist=0")


def test_mtls_and_mixed_mode(lab, ca, server):
    clients = Authority(lab.stage, ops.scratch(lab), "clients-ca")
    files = {**server, "clients-ca.pem": clients.cert}

    def client(name):
        context = trusting(ca)
        context.load_cert_chain(*clients.issue(
            name, san=f"DNS:{name}", usage=CLIENT))
        return context
    with running(lab, "11-seed-mtls", files,
                 definitions=["distributed.enabled=true"]) as node:
        agent = client("agent-a")
        works(node, agent, "agent-a")
        works(node, client("agent-b"), "agent-b")
        assert "dist.auth_failed" in refused(node, agent, "agent-b")
        assert refused(node, client("agent-c"), "agent-c") == "401"
        assert refused(node, agent, "agent-a", "nonsense") == "401"
        assert refused(node, trusting(ca), "agent-a") == "TLS"
        posture(node, f"127.0.0.1:{node.remote[1]}, auth=token+mtls, "
                "tls=on (min 1.2), token=file:ok, allowlist=2")


def test_without_its_own_switch_the_second_is_a_fragment(lab, server):
    """It adds to the first: by itself, nothing is enabled."""
    files = {**server, "clients-ca.pem": server["server.crt"]}
    with running(lab, "11-seed-mtls", files) as node:
        assert "wss" not in str(ops.summary(node)["listeners"])
