"""
The remote listener and certificates of clients: who is refused, why, and as
whom others are let in.
"""

import contextlib
import select
import ssl
import subprocess

import pytest

import ops
from node import TIMEOUT, request, table, wait_for
from pki import CLIENT, SERVER, Authority
from remote import (SHARED, V12, V13, VERSIONS, alive, bearer, error, greeted,
                    hello, secured)

AGENT_A = "agent-a:4be1d0c97733ae58"
AGENT_B = "agent-b:91a6f02c5dd8e347"
DENIED = error("auth_failed", "client_id is not the proven one")


@pytest.fixture(scope="module")
def authority(lab):
    return Authority(lab.stage, ops.scratch(lab))


@pytest.fixture(scope="module")
def others(lab):
    """Of the same name, with another key."""
    return Authority(lab.stage, ops.scratch(lab))


@contextlib.contextmanager
def mutual(lab, authority, mode="mtls", distributed=None, revoked=(),
           crl_days=30, crl="nobody", **settings):
    """
    It knows its clients' certificates; token+mtls: and tokens, too.  crl:
    the list's name, of those who are revoked.
    """
    token = {"token": None} if mode == "mtls" else {
        "token": f"{SHARED},{AGENT_A},{AGENT_B}"}
    with secured(lab, authority, distributed={
            "auth_mode": mode, **token, **(distributed or {})},
            tls={"client_ca_path": str(authority.cert),
                 "client_crl_path": str(authority.crl(crl_days, revoked, crl))},
            **settings) as node:
        node.secrets.update((AGENT_A, AGENT_B))
        yield node


@pytest.fixture(scope="module")
def node(lab, authority):
    with mutual(lab, authority) as node:
        yield node


@pytest.fixture(scope="module")
def both(lab, authority):
    with mutual(lab, authority, "token+mtls") as node:
        yield node


@pytest.fixture(scope="module")
def agent_a(authority):
    return authority.issue("agent-a", san=None, usage=CLIENT)


# ---- who is refused ----

def alert(node, version, pair):
    """
    What the node says.  It stays a moment, so that who goes on talking does
    not lose that by a reset.
    """
    w = node.wire(version, pair, begin=False)
    with pytest.raises(ssl.SSLError) as refused:
        w.handshake()
        assert version == V13, "it knows no more, the node does"
        assert select.select([w.sock], [], [], TIMEOUT)[0]
        w.send(request())
        w.send(request())
        w.response()
    assert w.sock.recv(1) == b"", "something behind an alert"
    return refused.value.reason.lower().replace("_", " ")


def client(authority, name, **how):
    return authority.issue(name, san=None, usage=CLIENT, **how)


# Who it is; the alert, and that of 1.2 if it is another; the log's reason.
REFUSED = {
    "no certificate": (
        lambda ca, others: None, "alert certificate required",
        "alert handshake failure", "peer did not return a certificate"),
    "self-signed": (
        lambda ca, others: ca.alone("alone"),
        "alert unknown ca", None, "self-signed certificate"),
    "another CA of the same name": (
        lambda ca, others: client(others, "agent-a"),
        "alert unknown ca", None, "unable to get local issuer certificate"),
    "expired": (
        lambda ca, others: client(ca, "expired", days=-1),
        "alert certificate expired", None, "certificate has expired"),
    "not yet valid": (
        lambda ca, others: client(ca, "late", late=True),
        "alert bad certificate", None, "certificate is not yet valid"),
    "revoked": (
        lambda ca, others: client(ca, "revoked"),
        "alert certificate revoked", None, "certificate revoked"),
    "of a server": (
        lambda ca, others: ca.issue("server", usage=SERVER),
        "alert unsupported certificate", None,
        "unsuitable certificate purpose"),
}


@pytest.fixture(scope="module")
def refused(lab, authority, others):
    """
    A node for each, that has refused her; and what it said.  All at once,
    since it takes a while until things are counted.
    """
    with contextlib.ExitStack() as stack:
        nodes = {}
        for name, (make, *_) in REFUSED.items():
            pair = make(authority, others)
            node = stack.enter_context(mutual(
                lab, authority, crl=name.replace(" ", "-"),
                revoked=[pair[0]] if name == "revoked" else []))
            nodes[name] = node, [(v, alert(node, v, pair))
                                 for v in (V13, V12, V13, V12)]
        yield nodes


def test_an_address_may_not_try_certificates_without_end(
        lab, authority, others, agent_a):
    with mutual(lab, authority, auth_failure_limit=3) as node:
        for _ in range(3):
            alert(node, V13, client(others, "agent-a"))
        node.samples_are({"auth_failures_total": 3})
        w = node.wire(V13, agent_a, begin=False)
        with pytest.raises((ssl.SSLError, OSError)):
            w.handshake()
        wait_for(lambda: node.log_lines(
            'closing dist_code=dist.auth_failed .*'
            'reason="too many failed sign-ins"'), "the reason in the log")
        node.errors_are("dist.auth_failed", 4)


def test_bad_certificates_behind_a_proxy_are_not_held_against_it(
        lab, authority, others, agent_a):
    with mutual(lab, authority, "token+mtls", auth_failure_limit=2,
                trust_proxy=True, allow_proxy_cidr=["127.0.0.0/8"]) as node:
        for _ in range(3):
            alert(node, V13, client(others, "agent-a"))
        node.samples_are({"auth_failures_total": 3})
        node.errors_are("dist.auth_failed", 3)
        w = node.wire(V13, agent_a)
        w.upgrade(bearer(SHARED))
        w.say(hello(client_id="agent-a"))
        greeted(w)


@pytest.mark.parametrize("name", REFUSED)
def test_a_certificate_is_refused_in_the_handshake(refused, name):
    _, says_1_3, says_1_2, reason = REFUSED[name]
    node, said = refused[name]
    for version, what in said:
        assert what.endswith(says_1_3 if version == V13 else
                             says_1_2 or says_1_3)
    node.errors_are("dist.auth_failed", 4)
    node.samples_are({"ltp_tls_handshake_failures_total": 4,
                      "auth_failures_total": 4})
    assert node.log_lines("warn .* tls handshake failed "
                          f'dist_code=dist.auth_failed .*"{reason}"')
    wait_for(lambda: len(node.log_lines(
        f'info .* closed .*reason="{reason}"')) == 4, "four lines")


def test_a_list_that_is_too_old_lets_nobody_in(lab, authority, agent_a):
    with mutual(lab, authority, crl_days=-1, crl="old",
                errors="client_crl") as node:
        assert alert(node, V13, agent_a).endswith("certificate expired")
        node.errors_are("dist.auth_failed", 1)
        assert node.log_lines('dist_code=dist.auth_failed .*"CRL has expired"')


def test_who_is_revoked_later_does_not_come_again(lab, authority, agent_a):
    with mutual(lab, authority, crl="later") as node:
        w = node.wire(pair=agent_a)
        w.upgrade()
        w.say(hello(client_id="agent-a"))
        session = greeted(w)
        authority.crl(30, [agent_a[0]], "later")
        assert node.ctl("reload").returncode == 0
        for version in V12, V13:
            assert alert(node, version,
                         agent_a).endswith("certificate revoked")
        # As long as she stays.
        alive(w, session, 1, "agent-a")


def test_who_has_no_name_is_refused_behind_the_handshake(lab, authority):
    """A name that is no id is none, and another does not stand in for it."""
    pair = authority.issue("agent-a-but-longer", cn="agent-a", usage=CLIENT,
                           san="URI:urn:" + "x" * 300)
    with mutual(lab, authority) as node:
        for version in V12, V13:
            w = node.wire(version, pair)
            w.send(request())
            w.expect_end()
        node.errors_are("dist.auth_failed", 2)
        assert node.log_lines('dist_code=dist.auth_failed .*'
                              '"the certificate names nobody"')


def test_curl_and_openssl_are_told_why(node, authority, agent_a):
    def curl(*args):
        return subprocess.run(
            ["curl", "-sS", "--http1.1", "--cacert", str(authority.cert),
             "-m", str(TIMEOUT), *args, "https://%s:%d/" % node.remote],
            capture_output=True, text=True)

    def s_client(*args):
        return subprocess.run(
            ["openssl", "s_client", "-quiet", "-connect",
             "%s:%d" % node.remote, *args],
            input=request(method="POST").decode(), capture_output=True,
            text=True, timeout=TIMEOUT)
    names = [("--cert", "--key", curl), ("-cert", "-key", s_client)]
    pair = authority.alone("curl")
    for cert, key, run in names:
        assert "alert certificate required" in run().stderr
        done = run(cert, str(pair[0]), key, str(pair[1]))
        assert "alert unknown ca" in done.stderr, done
        assert "reset" not in done.stderr
    assert "HTTP/1.1 405 " in s_client("-cert", str(agent_a[0]), "-key",
                              str(agent_a[1])).stdout
    done = curl("-o", "/dev/null", "-w", "%{http_code}", "--cert",
                str(agent_a[0]), "--key", str(agent_a[1]))
    assert done.stdout == "426", done


# ---- as whom ----

REST = "IP:10.1.2.3,email:Ann@Example.Test"
NAMES = table(
    ("URI", f"{REST},DNS:Host.Example.Test,URI:spiffe://example.test/A",
     "spiffe://example.test/A"),
    ("DNS", f"{REST},DNS:Host.Example.Test,DNS:second.example.test",
     "host.example.test"),
    ("email", REST, "Ann@example.test"),
    ("IPv4", "IP:10.1.2.3", "10.1.2.3"),
    ("IPv6", "IP:2001:db8:0:0:0:0:0:1", "2001:db8::1"),
    ("common name", None, "Agent C"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("san,name", NAMES)
def test_the_first_kind_of_name_is_the_id(node, authority, san, name,
                                          version):
    pair = authority.issue("named", san=san, usage=CLIENT, cn="Agent C")
    w = node.wire(version, pair)
    w.upgrade()
    w.say(hello(client_id=name))
    alive(w, greeted(w), 1, name)
    rows = ops.ctl_json(node, "show", "sessions")
    assert name in {row["client_id"] for row in rows}
    # Whatever else is in it is not the id.
    for claimed in "mallory", "second.example.test", "agent c2":
        w = node.wire(version, pair)
        w.upgrade()
        w.say(hello(client_id=claimed))
        w.expect(DENIED)
        w.expect_close(1008, "client_id is not the proven one")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["ec", "p384", "rsa", "ed25519"])
def test_every_kind_of_key_proves_who_it_is(node, authority, kind, version):
    pair = client(authority, f"agent-{kind}", kind=kind)
    w = node.wire(version, pair)
    w.upgrade()
    w.say(hello(client_id=f"agent-{kind}"))
    alive(w, greeted(w), 1, f"agent-{kind}")


def test_the_id_need_not_be_claimed(node, agent_a):
    w = node.wire(pair=agent_a)
    w.upgrade()
    w.say({"type": "hello", "api_key": "whatever"})
    session = greeted(w)
    w.say({"type": "heartbeat", "session_id": session, "seq": 1,
           "timestamp_ms": 5})
    w.expect({"type": "heartbeat_ack", "session_id": session,
              "timestamp_ms": 5})
    assert ("agent-a", "mtls_subject") in {
        (row["client_id"], row["identity_source"])
        for row in ops.ctl_json(node, "show", "sessions")}


def test_a_claimed_id_that_differs_is_counted_and_logged(lab, authority,
                                                         agent_a):
    with mutual(lab, authority) as node:
        w = node.wire(pair=agent_a)
        w.upgrade()
        w.say(hello(client_id="agent-b"))
        w.expect(DENIED)
        w.expect_close(1008)
        w = node.wire(pair=agent_a)
        w.upgrade()
        w.say(hello(client_id="AGENT-A"))
        session = greeted(w)
        # Nor may it change later.
        w.say({"type": "heartbeat", "client_id": "agent-b", "seq": 1,
               "session_id": session, "timestamp_ms": 5})
        w.expect(error("auth_failed", "client_id is not the session's"))
        w.expect_close(1008)
        node.errors_are("dist.auth_failed", 2)
        node.logged("dist.auth_failed", "closing")
        assert node.log_lines("client_id=agent-a .*"
                              '"client_id is not the proven one"')


def test_an_id_that_is_not_on_the_list_is_refused_at_the_upgrade(
        lab, authority, agent_a):
    with mutual(lab, authority, distributed={
            "allow_agent_ids": ["agent-c"]}) as node:
        w = node.wire(pair=agent_a)
        w.send(request())
        assert w.refused(401).body == b"dist.auth_failed"
        w = node.wire(pair=authority.issue("x", san=None, usage=CLIENT,
                                           cn="Agent-C"))
        w.upgrade()
        w.say(hello(client_id="agent-c"))
        greeted(w)
        node.errors_are("dist.auth_failed", 1)
        node.logged("dist.auth_failed", "upgrade refused")


# ---- token and certificate ----

@pytest.mark.parametrize("where", ["header", "hello"])
@pytest.mark.parametrize("token", [SHARED, AGENT_A], ids=["shared", "own"])
def test_a_token_and_a_certificate_that_agree(both, agent_a, token, where):
    w = both.wire(pair=agent_a)
    w.upgrade(bearer(token) if where == "header" else ())
    w.say(hello(client_id="agent-a", **(
        {} if where == "header" else {"auth_token": token})))
    alive(w, greeted(w), 1, "agent-a")


@pytest.mark.parametrize("where", ["header", "hello"])
@pytest.mark.parametrize("token", [AGENT_B, "nonsense"],
                         ids=["another's", "wrong"])
def test_a_token_and_a_certificate_that_differ(both, agent_a, token, where):
    w = both.wire(pair=agent_a)
    if where == "header":
        w.send(request(bearer(token)))
        assert w.refused(401).body == b"dist.auth_failed"
        return
    w.upgrade()
    w.say(hello(client_id="agent-a", auth_token=token))
    w.expect(error("auth_failed", "invalid token"))
    w.expect_close(1008, "invalid token")


def test_neither_stands_in_for_the_other(lab, authority, agent_a):
    with mutual(lab, authority, "token+mtls") as node:
        assert "required" in alert(node, V13, None)
        w = node.wire(pair=agent_a)
        w.upgrade()
        w.say(hello(client_id="agent-a"))
        w.expect(error("auth_failed", "token is missing"))
        w.expect_close(1008)
        # A shared token lets its bearer be whom the certificate names.
        w = node.wire(pair=agent_a)
        w.upgrade(bearer(SHARED))
        w.say(hello(client_id="agent-b"))
        w.expect(DENIED)
        w.expect_close(1008)
        node.errors_are("dist.auth_failed", 3)
        assert not any(s in node.log() for s in (AGENT_A, AGENT_B))
