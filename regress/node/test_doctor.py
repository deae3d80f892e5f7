"""ltpctl doctor: what it says of a node that is well, and of one that is not."""

import contextlib
import json
import os
import re
import secrets
import socket
import ssl
import subprocess
import threading
import time

import pytest

import ops
import pki
import relay
from node import BUILD, toml

KEY = secrets.token_urlsafe(32)
OTHER = secrets.token_urlsafe(32)
WEAK = "alice-0001"
TOKEN = "agent-7:" + secrets.token_urlsafe(32)
OLD_TOKEN = secrets.token_urlsafe(32)
SEED = secrets.token_hex(32)
SECRETS = {KEY, OTHER, WEAK, TOKEN, TOKEN.split(":")[1], OLD_TOKEN, SEED}
MARK = {"ok": "[OK]", "warning": "[WARN]", "error": "[ERR]"}
PREVIOUS = (OLD_TOKEN, relay.PREVIOUS)
WORKER = 2      # enum role

UNUSED = """\
[OK] token - not used
[OK] previous token - not used
[OK] certificate - not used
[OK] private key - not used
[OK] client CA - not used
[OK] client CRL - not used
[OK] signing key - not used
"""
HEALTHY = """\
[OK] configuration - DIR/ltpd.conf
[OK] node - pid PID, version VERSION, 2 workers
[OK] configuration in use - the node runs with what the file says
[OK] secrets in configuration - none
[OK] sandbox - all 5 processes
[OK] distributed security - disabled
[OK] plain listener - loopback only
[OK] authentication - api_key
[OK] address limits - off, on loopback only: ip_rate_limit_rps, \
max_connections_per_ip, max_half_open_per_ip, auth_failure_limit
[OK] proxies - none is trusted
[OK] API keys - DIR/keys.json: 1 keys, as loaded
""" + UNUSED + """\
[OK] audit log - not used
[OK] descriptors - LIMIT for each of 2 workers, 100 connections allowed
[OK] metrics - METRICS: healthy
"""
STOPPED = """\
[OK] configuration - DIR/ltpd.conf
[WARN] node - not running: sandbox, descriptors and metrics were not checked
    start ltpd
[OK] secrets in configuration - none
[OK] distributed security - disabled
[OK] plain listener - loopback only
[OK] authentication - api_key
[OK] address limits - off, on loopback only: ip_rate_limit_rps, \
max_connections_per_ip, max_half_open_per_ip, auth_failure_limit
[OK] proxies - none is trusted
[OK] API keys - DIR/keys.json: 1 keys
""" + UNUSED + """\
[OK] audit log - not used
[OK] ports - ADDRESS; METRICS
"""


def plain(node, text):
    """What differs from run to run, by its name."""
    for value, name in ((str(node.dir), "DIR"),
                        ("%s:%d" % node.address, "ADDRESS"),
                        ("%s:%d" % node.metrics_address, "METRICS")):
        text = text.replace(value, name)
    text = re.sub(r"pid \d+, version [^,]+,", "pid PID, version VERSION,",
                  text)
    return re.sub(r"\d+ for each", "LIMIT for each", text)


def run(node, *args, env=None):
    """
    Text and exit status, after a look at the JSON, which must say the same;
    at secrets, and at colour.
    """
    where = () if "-s" in args else ("-s", str(node.control))
    tell = ops.run_ctl(node, *where, "doctor", *args, env=env)
    as_json = ops.run_ctl(node, "--json", *where, "doctor", *args, env=env)
    for r in (tell, as_json):
        assert r.stderr == "" and "\x1b" not in r.stdout, r
        for secret in SECRETS | node.secrets:
            assert secret not in r.stdout, "a secret"
    assert tell.returncode == as_json.returncode
    answer = json.loads(as_json.stdout)
    assert set(answer) == {"ok", "status", "version", "checks"}
    assert answer["ok"] is (tell.returncode == 0)
    worst = max((c["status"] for c in answer["checks"]),
                key=list(MARK).index)
    assert answer["status"] == worst
    assert answer["ok"] is (worst != "error")
    assert tell.stdout == "".join(map(line_of, answer["checks"]))
    return tell.stdout, tell.returncode


def line_of(check):
    assert set(check) <= {"name", "status", "detail", "recommendation"}
    line = f"{MARK[check['status']]} {check['name']}"
    if "detail" in check:
        line += f" - {check['detail']}"
    if "recommendation" in check:
        assert check["status"] != "ok"
        line += f"\n    {check['recommendation']}"
    return line + "\n"


def row(node, name, *args, **how):
    """Mark, detail and recommendation of a check, and the exit status."""
    out, status = run(node, "-f", str(node.conf), *args, **how)
    found = re.findall(
        rf"^(\S+) {re.escape(name)}(?: - (.*))?\n((?:    .*\n)?)", out, re.M)
    assert len(found) == 1, out
    mark, detail, advice = found[0]
    assert (advice != "") is (mark != "[OK]"), out
    return mark, plain(node, detail), status


@pytest.fixture(scope="module")
def node(lab):
    with ops.started(lab, {"alice": KEY}, workers=2, max_connections=100) as n:
        yield n


@pytest.fixture
def confined(node):
    """The node, if it is built to be in a sandbox."""
    if ops.process(node, "worker")["sandbox"]["mechanism"] == "none":
        pytest.skip("a build without a sandbox is for debuggers")
    return node


@pytest.fixture
def down(lab):
    """A configuration, and no node."""
    with ops.prepared(lab) as n:
        yield n


@pytest.fixture(scope="module")
def ca(lab):
    return pki.Authority(lab.stage, ops.scratch(lab))


def rewrite(node, text="", **settings):
    """Another file, which the node has not read."""
    node.file("ltpd.conf", "".join(
        f"{k} = {toml(v)}\n" for k, v in (node.settings | settings).items()
        if v is not None) + text)


@contextlib.contextmanager
def rewritten(node, text="", **settings):
    rewrite(node, text, **settings)
    try:
        yield
    finally:
        rewrite(node)


def distributed(**settings):
    """The tables of a remote listener."""
    tls = {k[4:]: v for k, v in settings.items() if k.startswith("tls_")}
    rest = {k: v for k, v in settings.items() if not k.startswith("tls_")}
    text = "[distributed]\nenabled = true\n"
    text += "".join(f"{k} = {toml(v)}\n" for k, v in rest.items())
    if tls:
        text += "[distributed.tls]\nenabled = true\n"
        text += "".join(f"{k} = {toml(str(v))}\n" for k, v in tls.items())
    return text


# ---- all of it ----

def test_a_healthy_node(node, confined):
    out, status = run(node, "-f", str(node.conf))
    assert (plain(node, out), status) == (HEALTHY, 0)


def test_it_finds_the_file_that_the_node_has_read(node, confined):
    out, _ = run(node)
    assert plain(node, out) == HEALTHY


def test_it_finds_the_socket_in_the_file(node, confined):
    r = ops.run_ctl(node, "doctor", "-f", str(node.conf))
    assert (plain(node, r.stdout), r.returncode) == (HEALTHY, 0)


def test_a_stopped_node(lab):
    with ops.started(lab, {"alice": KEY}) as n:
        n.stop()
        n.over = True
        out, status = run(n, "-f", str(n.conf))
        assert (plain(n, out), status) == (STOPPED, 0)


def as_stranger(node, *args):
    if not ops.ROOT:
        pytest.skip("takes root")
    return ops.ctl_as(node, ops.STRANGER, ops.STRANGER, "doctor", "-f",
                      str(node.conf), *args)


def test_the_node_may_not_be_asked(node):
    """Nor may its files be read; but that is as it should be."""
    r = as_stranger(node)
    uid = ops.STRANGER
    assert "[WARN] node - " in r.stdout
    assert "Permission denied" in r.stdout
    assert f"[WARN] configuration - {node.conf}: uid {uid} may not read it\n" \
        "    run doctor as the user of ltpd\n" in r.stdout
    assert "[ERR]" not in r.stdout and r.returncode == 0


def test_a_member_of_control_group_who_may_not_read_the_file(node, confined):
    """What the node runs with can be checked all the same."""
    with relay.Relay(node) as r:
        os.chmod(r.path, 0o666)
        said = as_stranger(node, "-s", str(r.path)).stdout
    for line in ("[WARN] configuration - ", "[OK] node - ",
                 "[WARN] configuration in use - cannot be compared",
                 f"[WARN] API keys - {node.dir}/keys.json: uid "):
        assert line in said, said
    assert "[ERR]" not in said


def test_a_node_that_does_not_answer(lab):
    """It is asked once, and neither absent nor somebody else's."""
    with ops.started(lab) as n:
        command = n.stage.command("ltpctl/ltpctl", "-s", str(n.control),
                                  "doctor")
        with ops.stopped(n.proc.pid):
            begin = time.monotonic()
            r = subprocess.run(command, cwd="/", env=n.env,
                               capture_output=True, text=True, timeout=20)
            took = time.monotonic() - begin
    assert r.returncode == 1
    assert "[ERR] node - no answer within 5 s: sandbox, descriptors and " \
        "metrics were not checked\n    see the log, and restart ltpd" \
        in r.stdout
    assert "ports" not in r.stdout
    assert took < 9


@pytest.mark.parametrize("args", [["-c", "1"], ["-i", "1"], ["x"]])
def test_usage(node, args):
    r = node.ctl("doctor", *args)
    assert r.returncode == 2 and "usage: " in r.stderr


def test_neither_file_nor_node(lab, down):
    """All that there is, is an environment."""
    path = key_file(down, json.dumps({"a": KEY}))
    env = {"AUTH_MODE": "api_key", "AUTH_KEYS_FILE": str(path),
           "LTPD_CONTROL_SOCKET": "/nonexistent"}
    out, status = run(down, "-s", "/nonexistent", env=env)
    assert status == 0 and f"[OK] API keys - {path}: 1 keys" in out
    assert out.startswith("[OK] configuration - ")


def test_without_a_node_it_looks_at_the_file_of_the_service():
    unit = (BUILD / "etc/ltpd.service").read_text()
    path = re.search(r"^ExecStart=.* -f (\S+)$", unit, re.M)[1]
    program = (BUILD / "ltpctl/ltpctl").read_bytes()
    assert f"{path}\0".encode() in program


# ---- the configuration ----

def test_a_configuration_that_does_not_parse(node):
    with rewritten(node, "nonsense = 1\n"):
        mark, detail, status = row(node, "configuration")
        assert (mark, status) == ("[ERR]", 1)
        assert re.fullmatch(r"DIR/ltpd.conf:\d+: nonsense: unknown keyword",
                            detail)
        # What the node runs with can be checked all the same.
        assert row(node, "authentication")[0] == "[OK]"


def test_a_configuration_that_does_not_parse_and_no_node(down):
    down.file("ltpd.conf", "nonsense = 1\n")
    out, status = run(down, "-f", str(down.conf))
    assert [line.split(" -")[0] for line in out.splitlines()
            if line[0] == "["] == ["[ERR] configuration", "[WARN] node"]
    assert status == 1


def test_a_configuration_that_is_not_there(down):
    mark, detail, status = row(down, "configuration", "-f", "/nonexistent")
    assert (mark, detail, status) == (
        "[ERR]", "/nonexistent: No such file or directory", 1)


def test_the_node_runs_with_something_else(node, confined):
    with rewritten(node, idle_ttl_ms=1234, workers=3):
        assert row(node, "configuration in use") == (
            "[WARN]", "stale, reload needed: idle_ttl_ms; "
            "stale, restart needed: workers", 0)


def test_what_the_shell_has_is_not_the_nodes(node):
    assert row(node, "configuration in use",
               env={"MAX_MESSAGE_BYTES": "4096"})[0] == "[OK]"


def test_secrets_in_the_configuration(down):
    rewrite(down, distributed(token=TOKEN), auth_mode="api_key",
            auth_keys=f"alice:{KEY}", node_signing_key=SEED)
    mark, detail, _ = row(down, "secrets in configuration")
    assert (mark, detail) == (
        "[WARN]", "auth_keys, node_signing_key, distributed.token")


# ---- who can reach it ----

@pytest.mark.parametrize("addr", ["0.0.0.0:7171", "[::]:7171",
                                  "192.0.2.1:7171"])
def test_a_plain_listener_beyond_loopback(down, addr):
    rewrite(down, addr=addr, allow_unsafe_expose=True)
    assert row(down, "plain listener")[:2] == (
        "[WARN]", f"{addr} is beyond loopback, in clear text")
    assert row(down, "authentication") == (
        "[ERR]", f"none, and {addr} is beyond loopback: anybody may connect",
        1)
    mark, detail, _ = row(down, "address limits")
    assert mark == "[WARN]" and detail.startswith(
        f"off, and {addr} is beyond loopback: ip_rate_limit_rps, ")


def test_how_clients_sign_in_is_not_guessed(down):
    """Of a file that ltpd refuses."""
    rewrite(down, auth_mode="jwt")
    assert row(down, "configuration")[0] == "[ERR]"
    assert row(down, "authentication")[1] == "jwt"


def test_limits_that_are_on(down):
    rewrite(down, addr="0.0.0.0:7171", allow_unsafe_expose=True,
            ip_rate_limit_rps=5, max_connections_per_ip=5,
            max_half_open_per_ip=5, auth_failure_limit=5)
    assert row(down, "address limits")[:2] == ("[OK]", "all on")


def test_a_node_that_runs_with_an_environment(node):
    """It listens where its file does not say."""
    with relay.Relay(node, {
            "auth_mode": ('"none"', "environment AUTH_MODE"),
            "ip_rate_limit_rps": ("7", "-D")}) as r:
        assert row(node, "authentication", "-s", str(r.path))[1] == \
            "none, on loopback only"
        assert "ip_rate_limit_rps" not in row(
            node, "address limits", "-s", str(r.path))[1]
        assert row(node, "configuration in use", "-s",
                   str(r.path))[0] == "[OK]"


@pytest.mark.parametrize("cidr, mark", [
    (["10.1.0.0/16", "::1", "fd00::/8"], "[OK]"), (["0.0.0.0/0"], "[WARN]"),
    (["10.0.0.0/7"], "[WARN]"), (["2000::/3"], "[WARN]"), ([], "[WARN]")])
def test_proxies(down, cidr, mark):
    rewrite(down, trust_proxy=True, allow_proxy_cidr=cidr)
    assert row(down, "proxies")[0] == mark


# ---- processes ----

@pytest.mark.parametrize("fields, mark, said", [
    ({"mechanism": 0}, "[ERR]", r"worker\[0\] is not in its sandbox: .*"),
    ({"dumpable": 1}, "[ERR]", r"worker\[0\] is not in its sandbox: .*"),
    ({"landlock_abi": 0}, "[WARN]", r"worker\[0\] has no Landlock; .*"),
    ({"pid": 0}, "[WARN]", r"worker\[0\] is not running; .*")])
def test_a_process_out_of_its_sandbox(node, confined, fields, mark, said):
    with relay.Relay(node, process={WORKER: fields}) as r:
        got, detail, status = row(node, "sandbox", "-s", str(r.path))
    assert got == mark and re.match(said, detail)
    assert status == (1 if mark == "[ERR]" else 0)


def test_a_build_for_tests(node, confined):
    with relay.Relay(node, version="0.1.0+regress-hooks") as r:
        assert row(node, "sandbox", "-s", str(r.path)) == (
            "[ERR]", "built with regress hooks, for tests alone", 1)


def test_a_node_of_another_version(node):
    with relay.Relay(node, version="0.0.9") as r:
        mark, detail, _ = row(node, "node", "-s", str(r.path))
    assert mark == "[WARN]" and detail.startswith("version 0.0.9, this ltpctl")


def test_landlock_optional(node, confined):
    with relay.Relay(node, {"landlock_optional": ("true", "-D")}) as r:
        assert row(node, "sandbox", "-s", str(r.path)) == (
            "[WARN]",
            "landlock_optional: a kernel without Landlock would do", 0)


def test_too_few_descriptors(lab):
    with ops.started(lab, wrap=["/usr/bin/prlimit", "--nofile=200:200"],
                     max_connections=500) as n:
        assert row(n, "descriptors")[:2] == (
            "[WARN]", "LIMIT for each of 1 workers, 500 connections allowed")


def test_metrics_that_cannot_be_had(lab):
    with ops.started(lab) as n:
        with ops.stopped(ops.process(n, "metrics")["pid"]):
            assert row(n, "metrics")[0] == "[ERR]"


def test_ports_in_use(down):
    with socket.create_server(down.address):
        mark, detail, status = row(down, "ports")
    assert (mark, detail, status) == (
        "[ERR]", "ADDRESS: Address already in use", 1)


# ---- keys ----

def test_keys_that_the_node_does_not_have(node):
    path = node.file("stale.json", json.dumps({"alice": OTHER}))
    with relay.Relay(node, {"auth_keys_file":
                            (toml(str(path)), "x:1")}) as r:
        assert row(node, "API keys", "-s", str(r.path)) == (
            "[ERR]", "DIR/stale.json: stale, reload needed", 1)


@pytest.mark.parametrize("keys", [{}, {"alice": KEY, "bob": OTHER}])
def test_keys_that_are_fewer_or_more(node, keys):
    path = node.file("stale.json", json.dumps(keys))
    with relay.Relay(node, {"auth_keys_file":
                            (toml(str(path)), "x:1")}) as r:
        assert row(node, "API keys", "-s", str(r.path))[:2] == (
            "[ERR]", "DIR/stale.json: stale, reload needed")


def key_file(down, content, mode=0o600):
    path = down.file("keys.json", content, mode)
    rewrite(down, auth_mode="api_key", auth_keys_file=str(path))
    return path


@pytest.mark.parametrize("content, mode, mark, said", [
    (json.dumps({"a": KEY}), 0o600, "[OK]", "1 keys"),
    (json.dumps({"a": KEY}), 0o644, "[ERR]", "mode 0644 is too open"),
    (json.dumps({"a": KEY, "alice": WEAK}), 0o600, "[WARN]",
     "can be guessed: the key of alice"),
    ("[]", 0o600, "[ERR]", "keys.json"), ("{", 0o600, "[ERR]", "keys.json")])
def test_key_files(down, content, mode, mark, said):
    key_file(down, content, mode)
    got, detail, status = row(down, "API keys")
    assert got == mark and said in detail
    assert status == (1 if mark == "[ERR]" else 0)


def test_a_key_file_that_is_not_there(down):
    key_file(down, "{}").unlink()
    assert row(down, "API keys") == (
        "[ERR]", "DIR/keys.json: No such file or directory", 1)


@pytest.mark.parametrize("text, mark", [
    (f"a:{KEY},b:{WEAK}", "[WARN]"), (f"a:{KEY}", "[OK]")])
def test_keys_in_the_configuration_that_can_be_guessed(down, text, mark):
    rewrite(down, auth_mode="api_key", auth_keys=text)
    got, detail, _ = row(down, "API keys")
    assert got == mark
    assert (detail == "auth_keys: can be guessed") is (mark == "[WARN]")


# ---- files that only root may read ----

def as_root(node, control=None):
    if not ops.ROOT:
        pytest.skip("takes root")
    return subprocess.run(
        [str(node.stage.bin / "ltpctl/ltpctl"), "-s",
         str(control or node.control), "doctor", "-f", str(node.conf)],
        cwd="/", env=node.env, capture_output=True, text=True,
        timeout=10).stdout


def test_a_file_that_root_may_read_and_the_node_may_not(node):
    path = node.file("roots.json", json.dumps({"alice": KEY}))
    with relay.Relay(node, {"auth_keys_file": (toml(str(path)), "x:1")}) as r:
        assert f"[OK] API keys - {path}: " in as_root(node, r.path)
        os.chown(path, 0, 0)
        said = as_root(node, r.path)
    assert f"[ERR] API keys - {path}: Permission denied\n" \
        "    chown it to the user of ltpd" in said


def test_without_a_node_it_is_not_root_who_reads(down):
    path = token_file(down)
    rewrite(down, distributed(token_path=path))
    assert f"[OK] token - {path}\n" in as_root(down)
    os.chown(path, 0, 0)
    said = as_root(down)
    assert f"[ERR] token - {path}: Permission denied\n" in said, said
    # Whose it is, its directory told; without that, it may be in this group.
    os.chmod(path, 0o640)
    assert f"[ERR] token - {path}: Permission denied\n" in as_root(down)
    os.chown(down.dir, 0, 0)
    assert f"[OK] token - {path}\n" in as_root(down)
    os.chmod(path, 0o600)
    assert f"[ERR] token - {path}: Permission denied\n" in as_root(down)


# ---- the remote listener ----

def security(node, *args, **how):
    return row(node, "distributed security", *args, **how)


def token_file(node, content=TOKEN + "\n", mode=0o600, name="token"):
    return str(node.file(name, content, mode))


def test_a_token_in_a_file(down):
    rewrite(down, distributed(token_path=token_file(down)))
    assert security(down)[:2] == (
        "[OK]", "bind=127.0.0.1:4141, auth=token, tls=off, token=file:ok, "
        "allowlist=0")
    assert row(down, "token")[:2] == ("[OK]", "DIR/token")
    assert row(down, "configuration")[:2] == ("[OK]", "DIR/ltpd.conf")


def test_a_token_in_the_configuration(down):
    rewrite(down, distributed(token=TOKEN, allow_agent_ids=["a", "b"]))
    assert security(down)[:2] == (
        "[OK]", "bind=127.0.0.1:4141, auth=token, tls=off, token=inline:ok, "
        "allowlist=2")


def test_a_token_in_the_environment(down):
    rewrite(down, distributed(token_env="A_TOKEN"))
    assert security(down, env={"A_TOKEN": TOKEN})[:2] == (
        "[OK]", "bind=127.0.0.1:4141, auth=token, tls=off, token=env:ok, "
        "allowlist=0")
    assert row(down, "token", env={"A_TOKEN": WEAK})[0] == "[WARN]"
    # Where ltpd is started there may be one.
    mark, detail, status = security(down)
    assert (mark, status) == ("[WARN]", 0) and "token=env:unknown," in detail
    assert row(down, "token")[0] == "[WARN]"


def test_a_token_file_of_somebody_else(down):
    """It may be good; nobody knows but its owner."""
    rewrite(down, distributed(token_path=token_file(down)))
    down.conf.chmod(0o644)
    r = as_stranger(down)
    assert "[WARN] token - " in r.stdout and r.returncode == 0
    assert re.search(r"\[WARN\] distributed security - .*, "
                     r"token=file:unknown, ", r.stdout), r.stdout


@pytest.mark.parametrize("settings, token, said", [
    ({}, "missing:err", "there is none"),
    ({"token": TOKEN, "token_env": "A_TOKEN"}, "inline:err",
     "the source is ambiguous"),
    ({"token_path": "/nonexistent"}, "file:err",
     "/nonexistent: No such file or directory")])
def test_tokens_that_are_none(down, settings, token, said):
    rewrite(down, distributed(**settings))
    mark, detail, status = security(down)
    assert (mark, status) == ("[ERR]", 1) and f"token={token}," in detail
    assert row(down, "token")[:2] == ("[ERR]", said)
    assert row(down, "configuration")[0] == (
        "[OK]" if "nonexistent" in said else "[ERR]")


@pytest.mark.parametrize("content, mode, mark, said", [
    (TOKEN, 0o604, "[ERR]", "DIR/token: mode 0604 is too open"),
    (f"{TOKEN}\n{OLD_TOKEN}\r\n", 0o600, "[OK]", "DIR/token"),
    ("", 0o600, "[ERR]", "DIR/token: no token"),
    ("a b", 0o600, "[ERR]", "token 1 is not of printable ASCII"),
    (f"{TOKEN}\nagent-7:", 0o600, "[ERR]", "token 2 has an empty secret"),
    ("agent-7:" + WEAK, 0o600, "[WARN]", "DIR/token: can be guessed"),
    (f"{TOKEN}\n{WEAK}", 0o600, "[WARN]", "DIR/token: can be guessed"),
    ("password1234567890abcd", 0o600, "[WARN]", "DIR/token: can be guessed"),
    ("".join(8 * c for c in "abcdefgh"), 0o600, "[WARN]",
     "DIR/token: can be guessed"),
    ("7c40d1b58e93a2f6617b0c5d48ea93f2", 0o600, "[OK]", "DIR/token"),
    ("3xa0bKp2hYtZ1vQ8mWnR5s", 0o600, "[OK]", "DIR/token"),
    ("x" * 5000, 0o600, "[ERR]", "token 1 is too long"),
    ("x" * 70000, 0o600, "[ERR]", "larger than")])
def test_token_files(down, content, mode, mark, said):
    rewrite(down, distributed(token_path=token_file(down, content, mode)))
    got, detail, _ = row(down, "token")
    assert got == mark and said in detail
    assert ("token=file:ok" in security(down)[1]) is (mark != "[ERR]")


def running(node, **settings):
    """What a node with a remote listener says that it runs with."""
    said = {"distributed.enabled": ("true", "x:1")}
    for name, value in settings.items():
        name = name.replace("tls_", "tls.", 1)
        said[f"distributed.{name}"] = (toml(value), "x:1")
    return said


def test_a_token_that_is_loaded(node):
    said = running(node, token_path=token_file(node))
    with relay.Relay(node, said, tokens=[TOKEN]) as r:
        assert row(node, "token", "-s", str(r.path))[:2] == (
            "[OK]", "DIR/token, as loaded")
        assert "token=file:ok" in security(node, "-s", str(r.path))[1]


@pytest.mark.parametrize("loaded", [[], [OLD_TOKEN], [TOKEN, OLD_TOKEN]])
def test_a_token_that_is_stale(node, loaded):
    said = running(node, token_path=token_file(node))
    with relay.Relay(node, said, tokens=loaded) as r:
        assert row(node, "token", "-s", str(r.path)) == (
            "[ERR]", "DIR/token: stale, reload needed", 1)
        assert "token=file:err" in security(node, "-s", str(r.path))[1]


@pytest.mark.parametrize("there, loaded, mark, said", [
    (True, [TOKEN, PREVIOUS], "[OK]", "DIR/prev, as loaded"),
    (True, [TOKEN], "[ERR]", "DIR/prev: stale, reload needed"),
    (False, [TOKEN, PREVIOUS], "[ERR]", "DIR/prev: stale, reload needed"),
    (False, [TOKEN], "[OK]", "DIR/prev: there is none")])
def test_the_previous_token(node, there, loaded, mark, said):
    prev = token_file(node, OLD_TOKEN, name="prev")
    if not there:
        os.unlink(prev)
    said_by_node = running(node, token_path=token_file(node),
                           token_prev_path=prev)
    with relay.Relay(node, said_by_node, tokens=loaded) as r:
        assert row(node, "previous token", "-s", str(r.path))[:2] == (
            mark, said)


def remote(down, ca, name="node", cert=None, key=None, **settings):
    """A remote listener with TLS; the certificate and its key."""
    if cert is None:
        cert, key = ca.issue(name)
    rewrite(down, distributed(
        bind_addr="0.0.0.0:4141", token_path=token_file(down),
        tls_cert_path=cert, tls_key_path=key, **settings))


def test_tls(down, ca):
    remote(down, ca)
    assert security(down)[:2] == (
        "[OK]", "bind=0.0.0.0:4141, auth=token, tls=on (min 1.2), "
        "token=file:ok, allowlist=0")
    mark, detail, _ = row(down, "certificate")
    assert mark == "[OK]" and "CN=node, until " in detail
    mark, detail, _ = row(down, "private key")
    assert mark == "[OK]" and detail.endswith(": that of the certificate")
    out, status = run(down, "-f", str(down.conf))
    assert status == 0 and "[ERR]" not in out


def test_tls_that_is_off(down):
    rewrite(down, distributed(bind_addr="0.0.0.0:4141",
                              token_path=token_file(down)))
    assert security(down)[0] == "[ERR]"
    rewrite(down, distributed(bind_addr="0.0.0.0:4141", allow_insecure=True,
                              token_path=token_file(down)))
    assert security(down)[:2] == (
        "[WARN]", "bind=0.0.0.0:4141, auth=token, tls=off, token=file:ok, "
        "allowlist=0")


def test_mtls(down, ca):
    cert, key = ca.issue("node")
    rewrite(down, distributed(
        auth_mode="mtls", tls_cert_path=cert, tls_key_path=key,
        tls_min_tls_version="1.3", tls_client_ca_path=ca.cert))
    assert security(down)[:2] == (
        "[OK]", "bind=127.0.0.1:4141, auth=mtls, tls=on (min 1.3), "
        "token=n/a, allowlist=0")
    assert row(down, "token")[:2] == ("[OK]", "not used")
    mark, detail, _ = row(down, "client CA")
    assert mark == "[OK]" and detail.endswith("ca.crt: 1")


def test_mtls_without_tls_or_ca(down, ca):
    rewrite(down, distributed(auth_mode="mtls"))
    assert security(down)[0] == "[ERR]"
    cert, key = ca.issue("node")
    rewrite(down, distributed(auth_mode="mtls", tls_cert_path=cert,
                              tls_key_path=key))
    assert security(down)[0] == "[ERR]"


@pytest.mark.parametrize("how, mark, said", [
    ({"days": -1}, "[ERR]", "expired "),
    ({"days": 29}, "[WARN]", "expires within 30 days, "),
    ({"usage": pki.CLIENT}, "[ERR]", "not for a TLS server"),
    ({"san": None}, "[WARN]", "no subjectAltName"),
    ({"kind": "weak"}, "[ERR]", "the certificate's RSA key has 1024 bits"),
    ({"kind": "rsa"}, "[OK]", "CN=odd, until ")])
def test_certificates(down, ca, how, mark, said):
    remote(down, ca, "odd", **dict(zip(("cert", "key"),
                                       ca.issue("odd", **how))))
    got, detail, _ = row(down, "certificate")
    assert got == mark and said in detail


@pytest.mark.parametrize("content, said", [
    (None, "No such file"), ("nothing", "no certificate")])
def test_certificates_that_are_none(down, ca, content, said):
    path = down.dir / "no.crt"
    if content is not None:
        down.file("no.crt", content, 0o644)
    remote(down, ca, cert=path, key=ca.issue("node")[1])
    mark, detail, status = row(down, "certificate")
    assert (mark, status) == ("[ERR]", 1) and said in detail


@contextlib.contextmanager
def serving(cert, key, **settings):
    """Somebody who shakes hands with this certificate; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    for name, value in settings.items():
        setattr(context, name, value)

    def shake(listener):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with contextlib.suppress(OSError), sock:
                    sock.settimeout(1)
                    context.wrap_socket(sock, server_side=True).close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=shake, args=[listener], daemon=True).start()
        yield "%s:%d" % listener.getsockname()


@pytest.mark.parametrize("settings", [
    {}, {"verify_mode": ssl.CERT_REQUIRED},
    {"verify_mode": ssl.CERT_REQUIRED,
     "maximum_version": ssl.TLSVersion.TLSv1_2}])
def test_a_certificate_that_is_served(node, ca, settings):
    cert, key = ca.issue("served")
    with serving(cert, key, **settings) as address:
        said = running(node, bind_addr=address, tls_enabled=True,
                       tls_cert_path=str(cert), tls_key_path=str(key))
        with relay.Relay(node, said) as r:
            mark, detail, _ = row(node, "certificate", "-s", str(r.path))
            assert mark == "[OK]" and "CN=served" in detail
            ca.issue("served")
            mark, detail, status = row(node, "certificate", "-s", str(r.path))
    assert (mark, status) == ("[ERR]", 1)
    assert detail.endswith("served.crt: stale, reload needed")


def test_a_certificate_that_is_not_served(node, ca):
    cert, key = ca.issue("served")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "%s:%d" % listener.getsockname()
    said = running(node, bind_addr=address, tls_enabled=True,
                   tls_cert_path=str(cert), tls_key_path=str(key))
    with relay.Relay(node, said) as r:
        assert row(node, "certificate", "-s", str(r.path))[:2] == (
            "[ERR]", f"{address}: no TLS handshake")


def test_private_keys(down, lab, ca):
    cert, key = ca.issue("node")
    _, other = ca.issue("other")
    remote(down, ca, cert=cert, key=other)
    mark, detail, status = row(down, "private key")
    assert (mark, status) == ("[ERR]", 1)
    assert detail.endswith("not the key of the certificate")
    lab.stage.own(key, 0o644)
    remote(down, ca, cert=cert, key=key)
    assert row(down, "private key")[1].endswith("mode 0644 is too open")
    remote(down, ca, cert=cert, key=cert)
    assert row(down, "private key")[0] == "[ERR]"


@pytest.mark.parametrize("kind, said", [
    ("none", "no certificate"), ("leaf", "not the certificate of a CA")])
def test_a_client_ca_that_is_none(down, ca, kind, said):
    leaf, _ = ca.issue("leaf")
    path = leaf if kind == "leaf" else down.file("x.crt", "x", 0o644)
    remote(down, ca, auth_mode="token+mtls", tls_client_ca_path=path)
    mark, detail, _ = row(down, "client CA")
    assert mark == "[ERR]" and said in detail


def test_a_client_crl(down, ca):
    remote(down, ca, tls_client_crl_path=down.file("x.crl", "x", 0o644))
    assert row(down, "client CRL")[0] == "[ERR]"
    for days, mark in ((7, "[OK]"), (-1, "[ERR]")):
        remote(down, ca, tls_client_crl_path=ca.crl(days))
        assert row(down, "client CRL")[0] == mark


# ---- the audit log ----

@contextlib.contextmanager
def audited(lab, **settings):
    home = ops.scratch(lab)
    with ops.started(lab, audit_log_file=str(home / "audit.log"),
                     **settings) as n:
        n.audit = home / "audit.log"
        yield n


def test_the_audit_log(lab):
    with audited(lab) as n:
        assert row(n, "audit log")[1].endswith("writable, no lines")
        ops.beat(ops.enter(n))
        ops.wait_for(lambda: ops.summary(n)["gauges"]["ltp_audit_next_index"]
                     == 4, "lines are written")
        assert row(n, "audit log")[1].endswith("writable, the head is intact")
        text = n.audit.read_text()
        head, tail = text.rsplit('"prev_hash":"', 1)
        n.audit.write_text(head + '"prev_hash":"0' + tail)
        assert row(n, "audit log")[0] == "[ERR]"
        n.audit.write_text(text.splitlines(True)[0])
        mark, detail, status = row(n, "audit log")
        assert (mark, status) == ("[ERR]", 1)
        assert re.search(r"ends at line 1, but \d+ were written", detail)
        n.audit.write_text("")
        mark, detail, status = row(n, "audit log")
        assert (mark, status) == ("[ERR]", 1)
        assert re.search(r"ends at line 0, but \d+ were written", detail)
        n.audit.write_text(text)


def test_an_audit_log_after_a_rotation(lab):
    with audited(lab) as n:
        ops.beat(ops.enter(n))
        ops.wait_for(lambda: ops.summary(n)["gauges"]["ltp_audit_next_index"]
                     == 4, "lines are written")
        n.audit.rename(n.audit.with_suffix(".1"))
        assert n.ctl("log", "rotate").returncode == 0
        assert row(n, "audit log")[1].endswith("writable, the head is intact")


def test_an_audit_log_that_is_no_file(down):
    os.mkfifo(down.dir / "audit.log")
    down.stage.own(down.dir / "audit.log", 0o600)
    rewrite(down, audit_log_file=str(down.dir / "audit.log"))
    mark, detail, status = row(down, "audit log")
    assert (mark, status) == ("[ERR]", 1)
    assert detail.endswith("audit.log: not a regular file")


def test_an_audit_log_that_is_gone(lab):
    with audited(lab) as n:
        n.audit.rename(n.audit.with_suffix(".1"))
        assert row(n, "audit log")[0] == "[ERR]"


@pytest.mark.parametrize("content, mode, mark", [
    (SEED, 0o600, "[OK]"), (SEED.upper() + "\n", 0o600, "[OK]"),
    ("0" * 64, 0o600, "[WARN]"), ("0123456789abcdef" * 4, 0o600, "[WARN]"),
    (SEED[1:], 0o600, "[ERR]"), (SEED, 0o644, "[ERR]")])
def test_the_signing_key(down, content, mode, mark):
    path = down.file("seed", content, mode)
    rewrite(down, audit_log_file=str(down.dir / "audit.log"),
            node_signing_key_file=str(path))
    assert row(down, "signing key")[0] == mark
    assert row(down, "audit log")[1].endswith("begins with the next start")
