"""
ltpctl doctor, word by word: of a node that uses everything there is, of the
same one when it is down, and with one thing broken for each of the checks.
"""

import contextlib
import json
import re
import secrets
import socket

import pytest

import ops
import pki
import relay
import test_doctor
from node import Wire, toml, wait_for
from ops import prepared
from remote import Remote, put_pair
from test_doctor import WORKER, run

KEY = secrets.token_urlsafe(32)
TOKEN = "agent-7:" + secrets.token_urlsafe(32)
PREVIOUS = secrets.token_urlsafe(32)
SEED = secrets.token_hex(32)
EXPOSED = {"addr": "0.0.0.0:7171", "allow_unsafe_expose": True}

COMMON = """\
[OK] secrets in configuration - none
"""
LISTENERS = """\
[OK] distributed security - bind=REMOTE, auth=token+mtls, \
tls=on (min 1.3), token=file:ok, allowlist=2
[OK] plain listener - loopback only
[OK] authentication - api_key
[OK] address limits - off, on loopback only: ip_rate_limit_rps, \
max_connections_per_ip, max_half_open_per_ip, auth_failure_limit
[OK] proxies - in private networks only
"""
HEALTHY = """\
[OK] configuration - DIR/ltpd.conf
[OK] node - pid PID, version VERSION, 2 workers
[OK] configuration in use - the node runs with what the file says
""" + COMMON + """\
[OK] sandbox - all 7 processes
""" + LISTENERS + """\
[OK] API keys - DIR/keys.json: 1 keys, as loaded
[OK] token - DIR/token, as loaded
[OK] previous token - DIR/token.prev, as loaded
[OK] certificate - DIR/server.crt: CN=first, until DATE
[OK] private key - DIR/server.key: that of the certificate
[OK] client CA - DIR/ca.crt: 1
[OK] client CRL - DIR/ca.crl: good until DATE
[OK] signing key - DIR/seed
[OK] audit log - DIR/audit.log: writable, no lines
[OK] descriptors - LIMIT for each of 2 workers, 356 connections allowed
[OK] metrics - METRICS: healthy
"""
STOPPED = """\
[OK] configuration - DIR/ltpd.conf
[WARN] node - not running: sandbox, descriptors and metrics were not checked
    start ltpd
""" + COMMON + LISTENERS + """\
[OK] API keys - DIR/keys.json: 1 keys
[OK] token - DIR/token
[OK] previous token - DIR/token.prev
[OK] certificate - DIR/server.crt: CN=first, until DATE
[OK] private key - DIR/server.key: that of the certificate
[OK] client CA - DIR/ca.crt: 1
[OK] client CRL - DIR/ca.crl: good until DATE
[OK] signing key - DIR/seed
[OK] audit log - DIR/audit.log: writable, no lines
[OK] ports - ADDRESS; METRICS; REMOTE
"""
STALE = "    ltpctl reload, and see the log if that does not help\n"
OPEN = "    chown it to the user of ltpd, and chmod 600\n"


class Whole(Remote):
    """Nothing of it is `not used'."""

    def __init__(self, stage, *, authority, **settings):
        super().__init__(stage, secrets=(KEY, TOKEN, TOKEN.split(":")[1],
                                         PREVIOUS, SEED),
                         workers=2, max_connections=100, trust_proxy=True,
                         **settings)
        self.authority = authority
        self.settings.update(
            audit_log_file=str(self.dir / "audit.log"),
            node_signing_key_file=str(self.file("seed", SEED)))
        put_pair(self, *authority.issue("first"))
        # What is between the lines of a key in PEM is one secret more.
        self.secrets |= set((self.dir / "server.key").read_text()
                            .splitlines()[1:-1])
        self.file("ca.crt", authority.cert.read_text(), 0o644)
        self.file("ca.crl", authority.crl(7).read_text(), 0o644)
        self.distributed.update(
            auth_mode="token+mtls", allow_agent_ids=["agent-7", "agent-8"],
            token_path=self.token(TOKEN + "\n"),
            token_prev_path=self.token(PREVIOUS + "\n", "token.prev"))
        self.tls = {"min_tls_version": "1.3",
                    "cert_path": str(self.dir / "server.crt"),
                    "key_path": str(self.dir / "server.key"),
                    "client_ca_path": str(self.dir / "ca.crt"),
                    "client_crl_path": str(self.dir / "ca.crl")}

    def more(self, line):
        """One more line of the file; first, for it is of no table."""
        self.file("ltpd.conf", line + "\n" + self.conf.read_text())

    def edit(self, **rows):
        """What is set at the top of the file."""
        kept = "".join(line for line in
                       self.conf.read_text().splitlines(True)
                       if line.split(" ")[0] not in rows)
        self.file("ltpd.conf", "".join(
            f"{k} = {toml(v)}\n" for k, v in rows.items()) + kept)

    def end(self):
        self.stop()
        self.over = True


def plain(node, text):
    """What differs from run to run, by its name."""
    text = text.replace("%s:%d" % node.remote, "REMOTE")
    text = re.sub(r"\w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT", "DATE", text)
    return test_doctor.plain(node, text)


@pytest.fixture(scope="module")
def ca(lab):
    return pki.Authority(lab.stage, ops.scratch(lab))


@contextlib.contextmanager
def whole(lab, ca, **settings):
    with prepared(lab, {"alice": KEY}, kind=Whole, authority=ca,
                  **settings) as node:
        node.start()
        if ops.process(node, "worker")["sandbox"]["mechanism"] == "none":
            pytest.skip("a build without a sandbox is for debuggers")
        yield node
        node.stop()


def well(node, expected):
    out, status = run(node, "-f", str(node.conf))
    assert (plain(node, out), status) == (expected, 0)
    as_json = ops.run_ctl(node, "-j", "-s", str(node.control), "doctor",
                          "-f", str(node.conf))
    return plain(node, as_json.stdout)


def of_json(text):
    """The checks of a text, as the one line of JSON that it should be."""
    checks = []
    for line in text.splitlines():
        if line.startswith("    "):
            checks[-1]["recommendation"] = line.strip()
            continue
        mark, name, detail = re.fullmatch(r"\[(\w+)\] (.*?) - (.*)",
                                          line).groups()
        checks.append({"name": name, "status": {
            "OK": "ok", "WARN": "warning", "ERR": "error"}[mark],
            "detail": detail})
    return checks


def test_a_node_that_uses_everything(lab, ca):
    with whole(lab, ca) as node:
        said = well(node, HEALTHY)
        assert said.startswith('{"ok":true,"status":"ok","version":"')
        assert said.endswith("]}\n") and said.count("\n") == 1
        assert '"checks":[{"name":"configuration","status":"ok",' \
            '"detail":"DIR/ltpd.conf"},{"name":"node"' in said
        assert json.loads(said)["checks"] == of_json(HEALTHY)


def test_the_same_node_stopped(lab, ca):
    with whole(lab, ca) as node:
        node.end()
        said = well(node, STOPPED)
        assert said.startswith('{"ok":true,"status":"warning","version":"')
        assert '{"name":"node","status":"warning","detail":"not running: ' \
            'sandbox, descriptors and metrics were not checked",' \
            '"recommendation":"start ltpd"}' in said
        assert json.loads(said)["checks"] == of_json(STOPPED)


# ---- one broken thing for each check ----

def down(node, **rows):
    node.end()
    node.edit(**rows)


@contextlib.contextmanager
def via(node, **what):
    with relay.Relay(node, **what) as r:
        yield "-s", str(r.path)


def a_mode(name):
    def too_open(node):
        (node.dir / name).chmod(0o644)
    return too_open


def another_certificate(node):
    cert, _ = node.authority.issue("second")
    node.token(cert.read_text(), "server.crt", 0o644)


def garbage_for_a_ca(node):
    node.token("nonsense\n", "ca.crt", 0o644)


def an_old_list(node):
    node.token(node.authority.crl(-1).read_text(), "ca.crl", 0o644)


def inline_token(node):
    """In place of the file, in an example of its own."""
    node.end()
    text = node.conf.read_text()
    node.file("ltpd.conf", re.sub(r"token_path = .*", f'token = "{TOKEN}"',
                                  text))


def audit_log_changed(node):
    """A client's lines, and a digit of the last one."""
    with Wire(node.address) as wire:
        wire.upgrade([("X-API-Key", KEY)])
        wire.say(ops.hello("alice"))
        wire.recv_text()
    log = node.dir / "audit.log"
    wait_for(lambda: ops.summary(node)["gauges"]["ltp_audit_next_index"] > 1,
             "lines are written")
    head, tail = log.read_text().rsplit('"prev_hash":"', 1)
    log.write_text(head + '"prev_hash":"' +
                   ("1" if tail[0] == "0" else "0") + tail[1:])


@contextlib.contextmanager
def metrics_stopped(node):
    with ops.stopped(ops.process(node, "metrics")["pid"]):
        yield ()


@contextlib.contextmanager
def port_taken(node):
    node.end()
    with socket.create_server(node.remote):
        yield ()


BROKEN = {
    "configuration": (
        lambda node: node.more("nonsense = 1"), """\
[ERR] configuration - DIR/ltpd.conf:1: nonsense: unknown keyword
    correct it; ltpd -n tells whether it is right
"""),
    "node": (
        lambda node: node.end(), """\
[WARN] node - not running: sandbox, descriptors and metrics were not checked
    start ltpd
"""),
    "configuration in use": (
        lambda node: node.edit(idle_ttl_ms=1234, workers=3), """\
[WARN] configuration in use - stale, reload needed: idle_ttl_ms; \
stale, restart needed: workers
    ltpctl reload; restart ltpd, or undo the change
"""),
    "secrets in configuration": (inline_token, """\
[WARN] secrets in configuration - distributed.token
    put each into a file of its own, which can be replaced without touching \
the configuration
"""),
    "sandbox": (
        lambda node: via(node, process={WORKER: {"dumpable": 1}}), """\
[ERR] sandbox - worker[0] is not in its sandbox: SANDBOX
    install a build with its sandbox
"""),
    "distributed security": (a_mode("token"), """\
[ERR] distributed security - bind=REMOTE, auth=token+mtls, \
tls=on (min 1.3), token=file:err, allowlist=2
    see the check of the token
"""),
    "plain listener": (
        lambda node: down(node, **EXPOSED), """\
[WARN] plain listener - 0.0.0.0:7171 is beyond loopback, in clear text
    listen on loopback behind a proxy that speaks TLS, or use the remote \
listener
"""),
    "authentication": (
        lambda node: down(node, auth_mode="none", **EXPOSED), """\
[ERR] authentication - none, and 0.0.0.0:7171 is beyond loopback: \
anybody may connect
    set auth_mode = "api_key"
"""),
    "address limits": (
        lambda node: down(node, **EXPOSED), """\
[WARN] address limits - off, and 0.0.0.0:7171 is beyond loopback: \
ip_rate_limit_rps, max_connections_per_ip, max_half_open_per_ip, \
auth_failure_limit
    set them, or one address can take it all
"""),
    "proxies": (
        lambda node: down(node, allow_proxy_cidr=["0.0.0.0/0"]), """\
[WARN] proxies - who comes from there says where it comes from: 0.0.0.0/0
    allow_proxy_cidr should name private networks only
"""),
    "API keys": (a_mode("keys.json"), """\
[ERR] API keys - DIR/keys.json: mode 0644 is too open
""" + OPEN),
    "token": (a_mode("token"), """\
[ERR] token - DIR/token: mode 0644 is too open
""" + OPEN),
    "previous token": (a_mode("token.prev"), """\
[ERR] previous token - DIR/token.prev: mode 0644 is too open
""" + OPEN),
    "certificate": (another_certificate, """\
[ERR] certificate - DIR/server.crt: stale, reload needed
""" + STALE),
    "private key": (another_certificate, """\
[ERR] private key - DIR/server.key: not the key of the certificate
    put the pair in place together, then ltpctl reload
"""),
    "client CA": (garbage_for_a_ca, """\
[ERR] client CA - DIR/ca.crt: the file of the clients' CAs holds no \
certificate in PEM
    put a PEM file there, or correct the path
"""),
    "client CRL": (an_old_list, """\
[ERR] client CRL - DIR/ca.crl: was good until DATE
    get the new list of the CA
"""),
    "signing key": (a_mode("seed"), """\
[ERR] signing key - DIR/seed: mode 0644 is too open
""" + OPEN),
    "audit log": (audit_log_changed, """\
[ERR] audit log - DIR/audit.log: LINE
    see ltpctl trace verify
"""),
    "descriptors": (
        lambda node: via(node, settings={
            "max_connections": ("999999", "-D")}), """\
[WARN] descriptors - LIMIT for each of 2 workers, 1000255 connections \
allowed
    raise the limit (ulimit -n, LimitNOFILE=), or lower max_connections
"""),
    "metrics": (metrics_stopped, """\
[ERR] metrics - METRICS: Connection timed out
    see the log, and show processes
"""),
    "ports": (port_taken, """\
[ERR] ports - REMOTE: Address already in use
    end what has it, or listen elsewhere
"""),
}


def test_there_is_something_broken_for_each_check():
    names = {c["name"] for c in of_json(HEALTHY) + of_json(STOPPED)}
    assert set(BROKEN) == names and len(names) == 22


@pytest.mark.parametrize("name", BROKEN)
def test_it_says_what_is_broken(lab, ca, name):
    how, expected = BROKEN[name]
    with whole(lab, ca, errors="distributed|token|keys|audit") as node, \
            contextlib.ExitStack() as stack:
        done = how(node)
        args = stack.enter_context(done) if done is not None else ()
        out, status = run(node, "-f", str(node.conf), *args)
        found = re.findall(rf"^\[\w+\] {re.escape(name)} - .*\n(?:    .*\n)?",
                           out, re.M)
        assert len(found) == 1, out
        text = plain(node, found[0])
        text = re.sub(r"(its sandbox: ).*", r"\1SANDBOX", text)
        text = re.sub(r"(audit\.log: ).*", r"\1LINE", text)
        assert text == expected
        assert status == (1 if "[ERR]" in out else 0)
        assert "[ERR]" in expected or status == 0, out
        stack.close()
        if name == "audit log":
            node.kill()
            node.over = True


def test_it_is_no_agent_that_was_refused(lab, ca):
    """A look at the certificate does not count as a failed sign-in."""
    with whole(lab, ca, auth_failure_limit=1) as node:
        for _ in range(3):
            assert run(node, "-f", str(node.conf))[1] == 0
        # What it is counted as: who does not like the certificate.
        node.samples_are({
            'ltp_dist_errors_total{code="dist.auth_failed"}': 0,
            "ltp_tls_handshake_failures_total": 6})
        assert not node.log_lines("dist.auth_failed")
