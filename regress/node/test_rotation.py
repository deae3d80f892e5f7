"""
What the supervisor does for the remote listener: its socket, tokens and
certificates, and that they change without a session being lost.
"""

import contextlib
import hashlib
import os
import re
import signal
import socket
import time

import pytest

import ops
import remote
from node import Wire, request, wait_for
from ops import prepared, started
from pki import CLIENT, Authority
from remote import put_pair, trusting

OLD = "3f9a0c47d1b2e6855a4c90b7"
NEW = "c1d75f2e80a94b3366f0e912"
KEY = "e7a1940bb3d65c2f80d4a1b7"
PAUSE = 2.0         # longer than a second look and a report take


class Remote(remote.Remote):
    def __init__(self, stage, **settings):
        super().__init__(stage, secrets=(OLD, NEW), **settings)


def reload(node):
    return node.ctl("reload")


def waits_until(condition, what):
    wait_for(condition, what, 5)


# ---- the listener ----

def test_the_remote_listener_is_one_more_of_the_workers(lab):
    with started(lab, kind=Remote, distributed={"token": OLD}) as node:
        assert "ws://%s:%d" % node.remote in str(
            ops.summary(node)["listeners"])
        assert {p["process"] for p in ops.processes(node)} == {
            "ltpd", "worker", "auth", "metrics"}
        assert node.lets_in(OLD)


def test_without_it_nothing_is_started_for_it(lab):
    with started(lab) as node:
        assert {p["process"] for p in ops.processes(node)} == {
            "ltpd", "worker", "metrics"}


def test_a_service_manager_may_pass_its_socket(lab):
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    names = "ltp:metrics:remote"
    wrap = ["env", f"LISTEN_FDNAMES={names}", *ops.activate(socks)]
    with prepared(lab, kind=Remote, wrap=wrap,
                  fds=tuple(s.fileno() for s in socks),
                  distributed={"token": OLD}) as node:
        node.address, node.metrics_address, node.remote = (
            s.getsockname() for s in socks)
        node.start()
        assert node.lets_in(OLD)
        node.stop()
    for s in socks:
        s.close()


@pytest.mark.parametrize("row", ["allow_insecure", "require_tls"])
def test_each_override_is_said_at_every_start(lab, row):
    rows = {"allow_insecure": {"allow_insecure": True},
            "require_tls": {"require_tls_for_non_loopback": False}}[row]
    with prepared(lab, kind=Remote,
                  distributed={"token": OLD, **rows}) as node:
        node.distributed["bind_addr"] = "0.0.0.0:%d" % node.remote[1]
        node.again()
        node.start()
        assert node.log_lines("warn .*distributed." + row)
        assert node.log_lines("warn .*ws://0.0.0.0:.* is plaintext and open")
        node.stop()


def test_who_is_over_the_cap_is_handed_over_to_be_told_so(lab):
    with started(lab, kind=Remote,
                 distributed={"token": OLD, "max_connections": 2}) as node:
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(Wire(node.remote))
            wait_for(lambda: node.metrics()["ltp_ws_connections_current"]
                     == 2, "two")
            with Wire(node.remote) as third:
                assert third.response().status == 503
            # The other listener has a limit of its own.
            with Wire(node.address) as other:
                other.upgrade()
        wait_for(lambda: node.lets_in(OLD), "places are given back")


# ---- tokens ----

def file_of(node, *tokens, **how):
    return node.token("".join(f"{t}\n" for t in tokens), **how)


@contextlib.contextmanager
def with_file(lab, **settings):
    with prepared(lab, kind=Remote, **settings) as node:
        node.distributed["token_path"] = file_of(node, OLD)
        node.distributed["token_prev_path"] = str(node.dir / "token.prev")
        node.again()
        node.start()
        yield node
        node.stop()


def test_a_token_is_replaced_by_mv_alone(lab):
    with with_file(lab) as node:
        assert node.lets_in(OLD) and not node.lets_in(NEW)
        file_of(node, NEW)
        waits_until(lambda: node.lets_in(NEW), "the new token")
        assert not node.lets_in(OLD)


@pytest.mark.parametrize("how", ["reload", "SIGHUP"])
def test_a_token_is_read_again_when_it_is_asked_for(lab, how):
    with with_file(lab) as node:
        file_of(node, NEW)
        if how == "reload":
            assert reload(node).returncode == 0
        else:
            node.proc.send_signal(signal.SIGHUP)
            wait_for(lambda: node.log_lines("reload: done"), "done")
        assert node.lets_in(NEW) and not node.lets_in(OLD)


def test_the_previous_token_is_good_during_a_rollover(lab):
    with with_file(lab) as node:
        node.token(OLD, "token.prev")
        file_of(node, NEW)
        waits_until(lambda: node.lets_in(NEW), "the new token")
        assert node.lets_in(OLD)
        (node.dir / "token.prev").unlink()
        waits_until(lambda: not node.lets_in(OLD), "the end of the old one")
        assert node.lets_in(NEW)


def shown_tokens(node):
    """What is loaded, in the order of show keys, whose table agrees."""
    rows = [k for k in ops.ctl_json(node, "show", "keys")
            if k["realm"] == "tokens"]
    table = [line.split() for line in
             node.ctl("show", "keys").stdout.splitlines()]
    assert table[0][:3] == ["ID", "REALM", "SOURCE"]
    assert table[1:] == [[k["id"] or "-", "tokens", k["source"],
                          k["digest_prefix"], k["loaded"], "-", "-"]
                         for k in rows]
    assert all(k["sessions"] is None and k["last_used"] is None
               for k in rows)
    return [(k["id"], k["source"], k["digest_prefix"]) for k in rows]


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()[:8]


def test_show_keys_has_tokens_and_where_they_come_from(lab):
    named = f"alice:{OLD}"
    with with_file(lab) as node:
        assert shown_tokens(node) == [("", "file", digest(OLD))]
        node.token(OLD, "token.prev")
        file_of(node, NEW, named)
        assert reload(node).returncode == 0
        # An id, and the digest of the whole line.
        assert shown_tokens(node) == [("", "file", digest(NEW)),
                                      ("alice", "file", digest(named)),
                                      ("", "previous", digest(OLD))]
    for source, rows in (("config", {"token": OLD}),
                         ("environment", {"token_env": "AGENT_TOKEN"})):
        with started(lab, kind=Remote, env={"AGENT_TOKEN": OLD},
                     distributed=rows) as node:
            assert shown_tokens(node) == [("", source, digest(OLD))]


def test_show_keys_has_no_token_of_a_bad_file(lab):
    with with_file(lab, errors="token_path") as node:
        file_of(node, NEW, mode=0o644)
        waits_until(lambda: not node.lets_in(OLD), "nobody is let in")
        assert shown_tokens(node) == []


@pytest.mark.parametrize("keep", [True, False])
def test_a_bad_token_file_does_what_reload_failure_says(lab, keep):
    how = {"reload_failure": "keep"} if keep else {}
    with with_file(lab, errors="token_path", **how) as node:
        file_of(node, NEW, mode=0o644)
        name = "ltp_tokens_reload_failure_total"
        node.samples_are({name: 1})
        assert not node.lets_in(NEW)
        wait_for(lambda: node.lets_in(OLD) == keep, "what was asked for")
        done = reload(node)
        assert done.returncode != 0 and "mode 0644" in done.stderr
        node.samples_are({name: 2})
        assert node.lets_in(OLD) == keep
        file_of(node, NEW)
        waits_until(lambda: node.lets_in(NEW), "the new token")
        assert node.log_lines("error .*token_path: .*mode 0644 is too open")


@pytest.mark.parametrize("how", ["reload", "replace"])
def test_a_bad_key_file_does_not_keep_tokens_from_changing(lab, how):
    with prepared(lab, {"alice": KEY}, kind=Remote, errors="keys") as node:
        node.secrets.add(KEY)
        node.distributed["token_path"] = file_of(node, OLD)
        node.again()
        node.start()
        (node.dir / "keys.json").chmod(0o644)
        wait_for(lambda: node.log_lines("error .*mode 0644"), "it is seen")
        file_of(node, NEW)
        if how == "reload":
            assert reload(node).returncode == 1
        waits_until(lambda: node.lets_in(NEW), "the new token")
        assert not node.lets_in(OLD)
        node.stop()


def test_a_token_of_the_environment_is_wiped_and_survives_a_reload(lab):
    with prepared(lab, kind=Remote, env={"AGENT_TOKEN": OLD},
                  distributed={"token_env": "AGENT_TOKEN"}) as node:
        node.start()
        environ = open(f"/proc/{node.proc.pid}/environ", "rb")
        assert OLD.encode() not in environ.read()
        environ.close()
        assert node.lets_in(OLD)
        assert reload(node).returncode == 0
        assert node.lets_in(OLD)
        node.stop()


def test_a_failed_reload_uses_up_no_token_of_the_environment(lab):
    """A reload that fails later on had wiped it before."""
    with prepared(lab, kind=Remote, errors="token_prev_path",
                  env={"FIRST_TOKEN": OLD, "SECOND_TOKEN": NEW},
                  distributed={"token_env": "FIRST_TOKEN"}) as node:
        node.start()
        node.distributed["token_env"] = "SECOND_TOKEN"
        node.settings["auth_keys"] = "no keys"
        node.again_here()
        assert "auth_keys" in reload(node).stderr
        del node.settings["auth_keys"]
        assert node.lets_in(OLD) and not node.lets_in(NEW)
        # Nor does a previous token that is bad.
        node.distributed["token_prev_path"] = node.token("", "token.prev")
        node.again_here()
        assert "token_prev_path" in reload(node).stderr
        del node.distributed["token_prev_path"]
        node.again_here()
        assert reload(node).returncode == 0
        assert node.lets_in(NEW) and not node.lets_in(OLD)
        with open(f"/proc/{node.proc.pid}/environ", "rb") as environ:
            assert NEW.encode() not in environ.read()
        node.stop()


@pytest.mark.parametrize("text,why", [
    ("", "no token"), (f"{OLD} x", "token 1 is not of printable ASCII"),
    (f":{OLD}", "token 1 has an empty id"),
    ("alice:", "token 1 has an empty secret"),
    ("x" * 1025, "token 1 is too long"),
    ("a" * 257 + ":x", "token 1 has an id that is too long")])
def test_what_is_no_token_stops_the_start(lab, text, why):
    with prepared(lab, kind=Remote) as node:
        node.distributed["token_path"] = node.token(text)
        node.again()
        done = ops.run_ltpd(node, "-n", "-f", str(node.conf))
        assert done.returncode == 1
        assert re.search(rf"distributed\.token_path: .*: {why}", done.stderr)
        assert OLD not in done.stderr


def test_a_variable_that_is_not_set_stops_the_start(lab):
    with prepared(lab, kind=Remote,
                  distributed={"token_env": "AGENT_TOKEN"}) as node:
        done = ops.run_ltpd(node, "-n", "-f", str(node.conf))
        assert done.returncode == 1
        assert "distributed.token_env: AGENT_TOKEN is not set" in done.stderr


def test_the_interval_finds_a_token_that_is_not_seen(lab):
    """In a directory that ltpd may pass and not read."""
    with prepared(lab, kind=Remote, auth_keys_reload_interval_secs=1) as node:
        folder = node.dir / "blind"
        folder.mkdir()
        node.stage.own(folder, 0o311)
        node.distributed["token_path"] = node.token(OLD, "blind/token")
        node.again()
        node.start()
        assert node.log_lines("warn .*blind/token is not watched")
        node.token(NEW, "blind/token")
        waits_until(lambda: node.lets_in(NEW), "the new token")
        assert not node.lets_in(OLD)
        node.stop()


# ---- certificates ----

@pytest.fixture(scope="module")
def authority(lab):
    return Authority(lab.stage, ops.scratch(lab))


@contextlib.contextmanager
def secured(lab, authority, errors=None, **rows):
    cert, key = authority.issue("first")
    with prepared(lab, kind=Remote, workers=2, errors=errors) as node:
        put_pair(node, cert, key)
        node.distributed["token"] = OLD
        node.tls = {"cert_path": str(node.dir / "server.crt"),
                    "key_path": str(node.dir / "server.key"), **rows}
        node.again()
        node.start()
        node.settle()
        yield node
        node.stop()


def test_a_worker_lives_on_after_its_first_client_certificate(lab, authority):
    """Whose dates are in UTC, for which libc wants to know the local time."""
    with prepared(lab, kind=Remote) as node:
        put_pair(node, *authority.issue("first"))
        node.distributed["auth_mode"] = "mtls"
        node.tls = {
            "cert_path": str(node.dir / "server.crt"),
            "key_path": str(node.dir / "server.key"),
            "client_ca_path": node.token(authority.cert.read_text(), "ca.crt")}
        node.again()
        node.start()
        pids = {row["pid"] for row in node.settle()}
        context = trusting(authority)
        context.load_cert_chain(*authority.issue("agent", usage=CLIENT))
        for _ in range(4):
            with node.secure(context) as tls:
                upgrade(tls)
        assert {row["pid"] for row in node.settle()} == pids
        node.stop()


def test_an_ltp_sign_that_began_without_a_key_takes_the_next(lab, authority):
    """Its first certificate may come when it is in its sandbox."""
    context = trusting(authority)
    with secured(lab, authority, errors="distributed.tls") as node:
        # The very file that is in force is spoilt.
        (node.dir / "server.key").write_text("spoilt")
        ops.kill_child(node, "sign")
        ops.wait_for_log(node, "no key to sign with")
        pid = node.settle() and ops.process(node, "sign")["pid"]
        cert, key = authority.issue("healed")
        put_pair(node, cert, key)

        def served():
            try:
                return node.serial(context) == authority.serial
            except OSError:
                return False
        waits_until(served, "the new certificate is served")
        assert ops.process(node, "sign")["pid"] == pid


def upgrade(tls):
    tls.sendall(request([("Authorization", f"Bearer {OLD}")]))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = tls.recv(1)
        assert more, head
        head += more
    assert head.startswith(b"HTTP/1.1 101 "), head


def ping(tls):
    """A ping, masked with nothing, and its pong."""
    tls.sendall(b"\x89\x84\x00\x00\x00\x00ping")
    assert tls.recv(6) == b"\x8a\x04ping"


def test_with_tls_there_is_ltp_sign_and_workers_serve(lab, authority):
    with secured(lab, authority) as node:
        assert "wss://%s:%d" % node.remote in str(
            ops.summary(node)["listeners"])
        row = ops.process(node, "sign")
        assert row["state"] == "ready"
        with node.secure(trusting(authority)) as tls:
            upgrade(tls)
            ping(tls)


def test_a_new_certificate_is_served_and_old_sessions_live(lab, authority):
    with secured(lab, authority) as node:
        context = trusting(authority)
        before = node.serial(context)
        with node.secure(context) as tls:
            upgrade(tls)
            put_pair(node, *authority.issue("second"))
            waits_until(lambda: node.serial(context) != before,
                        "the new certificate")
            ping(tls)
        # Longer than it takes to count what was half-done in between.
        time.sleep(PAUSE)
        node.samples_are({"tls_reload_failure_total": 0})


def test_a_link_may_be_turned(lab, authority):
    with secured(lab, authority) as node:
        put_pair(node, *authority.issue("one"), name="one")
        put_pair(node, *authority.issue("two"), name="two")
        for suffix in ("crt", "key"):
            os.symlink(f"one.{suffix}", node.dir / f"live.{suffix}")
        node.tls = {"cert_path": str(node.dir / "live.crt"),
                    "key_path": str(node.dir / "live.key")}
        node.file("ltpd.conf", re.sub(r"server\.(crt|key)", r"live.\1",
                                      node.conf.read_text()))
        assert reload(node).returncode == 0
        context = trusting(authority)
        one = node.serial(context)
        for suffix in ("crt", "key"):
            os.symlink(f"two.{suffix}", node.dir / "fresh")
            os.replace(node.dir / "fresh", node.dir / f"live.{suffix}")
        waits_until(lambda: node.serial(context) != one,
                    "what the link stands for")
        # The target itself is watched, too.
        two = node.serial(context)
        put_pair(node, *authority.issue("three"), name="two")
        waits_until(lambda: node.serial(context) != two, "its new content")


@pytest.mark.parametrize("what", ["mismatch", "garbage", "mode", "gone"])
def test_a_bad_pair_is_counted_and_the_old_one_stays(lab, authority, what):
    name = "tls_reload_failure_total"
    with secured(lab, authority, errors="distributed.tls") as node:
        context = trusting(authority)
        before = node.serial(context)
        if what == "mismatch":
            _, key = authority.issue("other")
            node.token(key.read_text(), "server.key")
        elif what == "garbage":
            node.token("nonsense", "server.crt", 0o644)
        elif what == "mode":
            (node.dir / "server.key").chmod(0o644)
        else:
            (node.dir / "server.crt").unlink()
        node.samples_are({name: 1})
        assert node.log_lines("error .*distributed.tls.*are kept")
        assert node.serial(context) == before
        done = reload(node)
        assert done.returncode != 0 and "distributed.tls" in done.stderr
        node.samples_are({name: 2})
        assert node.serial(context) == before
        put_pair(node, *authority.issue("better"))
        waits_until(lambda: node.serial(context) != before, "the good one")
        assert reload(node).returncode == 0
        node.samples_are({name: 2})


def test_each_failed_rotation_is_counted(lab, authority):
    """The second with the same error as the first was not."""
    name = "tls_reload_failure_total"
    with secured(lab, authority, errors="distributed.tls") as node:
        context = trusting(authority)
        for failures, how in ((1, "mv"), (2, "mv"), (3, "reload")):
            before = node.serial(context)
            cert, key = authority.issue("next")
            node.token(cert.read_text(), "server.crt", 0o644)
            node.samples_are({name: failures})
            node.token(key.read_text(), "server.key")
            if how == "reload":
                assert reload(node).returncode == 0
            waits_until(lambda: node.serial(context) != before, "the new one")
        assert len(node.log_lines("error .*are kept")) == 3


def test_a_reload_takes_a_new_pair_at_once(lab, authority):
    with secured(lab, authority) as node:
        context = trusting(authority)
        before = node.serial(context)
        put_pair(node, *authority.issue("second"))
        assert reload(node).returncode == 0
        assert node.serial(context) != before


def test_ltp_sign_is_replaced_with_its_key(lab, authority):
    with secured(lab, authority) as node:
        context = trusting(authority)
        put_pair(node, *authority.issue("second"))
        assert reload(node).returncode == 0
        serial = node.serial(context)
        ops.kill_child(node, "sign")
        wait_for(lambda: node.serial(context) == serial, "it signs again")
        node.samples_are({'ltp_restarts_total{process="sign"}': 1})


def test_a_worker_that_comes_later_can_ask_ltp_sign(lab, authority):
    with secured(lab, authority) as node:
        context = trusting(authority)
        for slot in range(2):
            ops.kill_child(node, "worker", slot)
        for _ in range(4):
            node.serial(context)


def test_a_good_pair_passes_the_check(lab, authority):
    with secured(lab, authority) as node:
        done = ops.run_ltpd(node, "-n", "-f", str(node.conf))
        assert (done.returncode, done.stderr) == (0, "configuration OK\n")


@pytest.mark.parametrize("what,why", [
    ("mismatch", "does not belong to the certificate"),
    ("garbage", "holds no certificate")])
def test_a_bad_pair_stops_the_start(lab, authority, what, why):
    cert, key = authority.issue("first")
    with prepared(lab, kind=Remote, distributed={"token": OLD}) as node:
        put_pair(node, cert, key)
        if what == "mismatch":
            node.token(authority.issue("x")[1].read_text(), "server.key")
        else:
            node.token("nonsense", "server.crt", 0o644)
        node.tls = {"cert_path": str(node.dir / "server.crt"),
                    "key_path": str(node.dir / "server.key")}
        node.again()
        checked = ops.run_ltpd(node, "-n", "-f", str(node.conf))
        assert checked.returncode == 1
        assert re.search(rf"distributed\.tls: .*{why}", checked.stderr)
        node.launch()
        node.proc.wait(5)
        assert node.proc.returncode == 1
        assert re.search(rf"distributed\.tls: .*{why}", node.log())
        node.over = True
