"""
Everything that the remote listener needs changes hands while agents are at
work: none of them notices, and whoever comes next meets what is new.
"""

import contextlib
import socket
import ssl

import pytest

import ops
from node import TIMEOUT, request, wait_for
from ops import prepared
from pki import CLIENT, Authority
from remote import (Remote, TlsWire, alive, bearer, greeted, hello, put_pair,
                    trusting)

AGENTS = 50
OLD = "5e1f0c9b8a7d6e5f4c3b2a190817263f"
NEW = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
FAILURES = "tls_reload_failure_total"


class Agents(ops.Background):
    """Each of them wants each of its heartbeats answered."""

    PAUSE = 0.002

    def __init__(self, wires):
        super().__init__()
        self.wires = wires
        self.rounds = 0

    def step(self):
        self.rounds += 1
        for name, (wire, session) in self.wires.items():
            alive(wire, session, self.rounds, name)

    def turns(self, n=3):
        """Everybody has been answered n times from now on."""
        goal = self.rounds + n
        wait_for(lambda: self.rounds > goal or self.error,
                 "every heartbeat is answered")
        self.check()


@pytest.fixture(scope="module")
def servers(lab):
    return Authority(lab.stage, ops.scratch(lab), "servers")


@pytest.fixture(scope="module")
def authorities(lab):
    """Two CAs of agents; one is to take over from the other."""
    return [Authority(lab.stage, ops.scratch(lab), name)
            for name in ("clients-1", "clients-2")]


@pytest.fixture(scope="module")
def certificates(authorities):
    """Of the agents, and of three others: by the first CA, by the second."""
    found = {f"agent-{i}": authorities[0].issue(
        f"agent-{i}", san=f"DNS:agent-{i}", usage=CLIENT)
        for i in range(AGENTS)}
    found["early"] = authorities[0].issue("early", san="DNS:early",
                                          usage=CLIENT)
    found["late"] = authorities[1].issue("late", san="DNS:late", usage=CLIENT)
    found["lost"] = authorities[1].issue("lost", san="DNS:lost", usage=CLIENT)
    return found


class Rotating(Remote):
    """how: what the operator does when a file is in place, or nothing."""

    def __init__(self, stage, *, how, **settings):
        super().__init__(stage, **settings)
        self.how = how
        self.files = {"token_path": "token", "token_prev_path": "token.prev"}

    def changed(self, done):
        if self.how == "reload":
            result = self.ctl("reload")
            assert result.returncode == 0, result
            assert done()
        else:
            wait_for(done, "the file is read")

    def context(self, agent=None):
        context = trusting(self.servers)
        if agent is not None:
            context.load_cert_chain(*self.certificates[agent])
        return context

    def enter(self, agent, token):
        """A session; OSError or EOFError: it is refused."""
        wire = TlsWire(self.remote, self.context(agent))
        try:
            wire.send(request(bearer(token)))
            if wire.response().status != 101:
                raise EOFError("401")
            wire.say(hello(client_id=agent))
            return wire, greeted(wire)
        except Exception:
            wire.drop()
            raise

    def lets_in(self, agent, token):
        try:
            self.enter(agent, token)[0].drop()
            return True
        except (OSError, EOFError):
            return False

    def served(self):
        """The serial number; a client without a certificate sees that, too."""
        context = self.context()
        # The end of the handshake is that of the client in TLS 1.3.
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return self.serial(context)

    def put(self, name, *parts):
        return self.token("".join(p.read_text() for p in parts), name, 0o644)


def lists(authorities, *lost):
    """Of both CAs; lost: whom the second has revoked."""
    first, second = authorities
    return first.crl(7), second.crl(7, lost)


@contextlib.contextmanager
def working(lab, how, servers, authorities, certificates, **settings):
    """A node, and agents with sessions who are at work."""
    with prepared(lab, kind=Rotating, how=how, workers=2,
                  secrets=(OLD, NEW), **settings) as node:
        node.servers, node.certificates = servers, certificates
        put_pair(node, *servers.issue("first"))
        node.distributed.update(
            auth_mode="token+mtls", token_path=node.token(OLD),
            token_prev_path=str(node.dir / "token.prev"))
        node.tls = {
            "cert_path": str(node.dir / "server.crt"),
            "key_path": str(node.dir / "server.key"),
            "client_ca_path": node.put("ca.crt", authorities[0].cert),
            "client_crl_path": node.put("ca.crl", *lists(authorities))}
        node.again()
        node.start()
        node.settle()
        with contextlib.ExitStack() as stack:
            agents = Agents({})
            for i in range(AGENTS):
                name = f"agent-{i}"
                agents.wires[name] = node.enter(name, OLD)
                stack.callback(agents.wires[name][0].drop)
            stack.enter_context(agents)
            agents.turns()
            yield node, agents
            agents.turns()
            # Nobody has lost a session, or came a second time.
            assert {s["client_id"] for s in ops.sessions(node)} >= \
                set(agents.wires)
            assert not node.log_lines("closed .*client_id=agent-")
            assert all(p["restarts"] == 0 for p in ops.processes(node))
        node.stop()


def rotate_certificate(node, agents, servers):
    before = node.served()
    put_pair(node, *servers.issue("second"))
    node.changed(lambda: node.served() == before + 1)
    agents.turns()


def rotate_ca(node, agents, authorities):
    """First both, then the second alone."""
    assert node.lets_in("early", OLD) and not node.lets_in("late", OLD)
    node.put("ca.crt", *(a.cert for a in authorities))
    node.changed(lambda: node.lets_in("late", OLD))
    assert node.lets_in("late", OLD)
    agents.turns()
    node.put("ca.crt", authorities[1].cert)
    node.changed(lambda: not node.lets_in("early", OLD))
    assert node.lets_in("late", OLD)
    agents.turns()


def rotate_crl(node, agents, authorities):
    assert node.lets_in("lost", OLD)
    node.put("ca.crl", *lists(authorities, node.certificates["lost"][0]))
    node.changed(lambda: not node.lets_in("lost", OLD))
    assert node.lets_in("late", OLD)
    agents.turns()


def rotate_token(node, agents):
    node.token(OLD, "token.prev")
    node.token(NEW)
    node.changed(lambda: node.lets_in("late", NEW))
    assert node.lets_in("late", OLD)
    agents.turns()
    (node.dir / "token.prev").unlink()
    node.changed(lambda: not node.lets_in("late", OLD))
    assert node.lets_in("late", NEW)
    agents.turns()


@pytest.mark.parametrize("how", ["reload", "replace"])
def test_all_of_it_is_rotated_under_load(lab, how, servers, authorities,
                                         certificates):
    with working(lab, how, servers, authorities, certificates) as (node,
                                                                   agents):
        rotate_certificate(node, agents, servers)
        rotate_ca(node, agents, authorities)
        rotate_crl(node, agents, authorities)
        rotate_token(node, agents)
        node.samples_are({FAILURES: 0,
                          "ltp_tokens_reload_failure_total": 0})


@pytest.mark.parametrize("how", ["reload", "replace"])
def test_a_bad_pair_under_load_is_refused_and_counted(
        lab, how, servers, authorities, certificates):
    with working(lab, how, servers, authorities, certificates,
                 errors="distributed.tls") as (node, agents):
        before = node.served()
        _, stray = servers.issue("stray")
        node.token(stray.read_text(), "server.key")
        if how == "reload":
            done = node.ctl("reload")
            assert done.returncode == 1
            assert "distributed.tls" in done.stderr
        node.samples_are({FAILURES: 1})
        assert node.log_lines("error .*distributed.tls.*are kept")
        assert node.served() == before
        assert node.lets_in("early", OLD)
        agents.turns()


@pytest.mark.parametrize("name", ["ca.crt", "ca.crl"])
@pytest.mark.parametrize("how", ["reload", "replace"])
def test_a_bad_list_under_load_is_refused_and_counted(
        lab, how, name, servers, authorities, certificates):
    with working(lab, how, servers, authorities, certificates,
                 errors="distributed.tls") as (node, agents):
        good = (node.dir / name).read_text()
        node.token("nonsense", name, 0o644)
        if how == "reload":
            done = node.ctl("reload")
            assert done.returncode == 1
            assert "distributed.tls" in done.stderr
        node.samples_are({FAILURES: 1})
        assert node.log_lines("error .*distributed.tls.*are kept")
        # Nobody is shut out, and nobody let in.
        assert node.lets_in("early", OLD)
        assert not node.lets_in("late", OLD)
        agents.turns()
        node.token(good, name, 0o644)
        node.changed(lambda: node.lets_in("early", OLD))
        node.samples_are({FAILURES: 1})


def test_a_session_of_tls_does_not_outlive_a_crl(lab, servers, authorities,
                                                 certificates):
    """Whoever is revoked cannot come back with a ticket from before."""
    with prepared(lab, kind=Rotating, how="reload", secrets=(OLD,)) as node:
        node.servers, node.certificates = servers, certificates
        put_pair(node, *servers.issue("first"))
        node.distributed["auth_mode"] = "mtls"
        node.tls = {
            "cert_path": str(node.dir / "server.crt"),
            "key_path": str(node.dir / "server.key"),
            "client_ca_path": node.put("ca.crt", authorities[1].cert),
            "client_crl_path": node.put("ca.crl", *lists(authorities))}
        node.again()
        node.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            node.put("ca.crl", *lists(authorities))
            assert node.ctl("reload").returncode == 0
            context = node.context("lost")
            context.maximum_version = context.minimum_version = version
            with node.secure(context) as tls:
                tls.sendall(request())
                assert tls.recv(4096).startswith(b"HTTP/1.1 101 ")
                ticket = tls.session
            node.put("ca.crl",
                     *lists(authorities, certificates["lost"][0]))
            assert node.ctl("reload").returncode == 0
            with pytest.raises(OSError), socket.create_connection(
                    node.remote, TIMEOUT) as sock:
                with context.wrap_socket(sock, session=ticket,
                                         server_hostname="localhost") as tls:
                    tls.sendall(request())
                    assert not tls.session_reused
                    # With TLS 1.3 the refusal comes here.
                    assert tls.recv(4096) == b"", "it was let in"
                    raise OSError("an end without an alert")
        node.stop()
