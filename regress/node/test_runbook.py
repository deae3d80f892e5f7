"""The commands that the manual pages give for rotating, each as written."""

import contextlib
import os
import pathlib
import re
import subprocess

import pytest

import ops
from node import NOBODY, TIMEOUT, request
from ops import prepared
from pki import Authority
from remote import Remote, TlsWire, bearer, put_pair, trusting

SOURCE = pathlib.Path(os.environ.get(
    "LTPD_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
URL = "wss://node.example.org:4141"
OLD = "9d0b7c5e4f3a2d1c8b7a6f5e4d3c2b1a"


def blocks(page):
    """The examples of a page that rotate something, a list of commands each."""
    text = (SOURCE / page).read_text()
    found = re.findall(r"^\.Bd -literal -offset indent\n(.*?)^\.Ed", text,
                       re.M | re.S)
    commands = [[line.removeprefix("# ") for line in block.splitlines()]
                for block in found
                if all(line.startswith("# ") for line in block.splitlines())]
    return [block for block in commands
            if any(c.startswith(("ltpctl ping --token", "rm token"))
                   for c in block)]


LTPD = blocks("ltpd/ltpd.8.in")
LTPCTL = blocks("ltpctl/ltpctl.8.in")


def test_the_pages_have_what_is_run_here():
    """What the guide asks for: write, chmod, mv, reload, doctor, a client."""
    def words(block):
        return [re.match(r"ltpctl \w+|\w+", c)[0] for c in block]
    token, end, certificate = LTPD
    assert words(token) == ["cd", "umask", "cp", "openssl", "chmod", "mv",
                            "ltpctl reload", "ltpctl doctor", "ltpctl ping"]
    assert words(end) == ["rm", "ltpctl reload"]
    assert words(certificate) == [
        "cd", "umask", "mkdir", "install", "ln", "mv", "ltpctl reload",
        "ltpctl doctor", "ltpctl ping"]
    assert [words(b) for b in LTPCTL] == [
        ["cd", "ltpctl token", "cp", "mv", "ltpctl reload", "ltpctl doctor",
         "ltpctl ping"]]


@pytest.fixture(scope="module")
def ca(lab):
    return Authority(lab.stage, ops.scratch(lab))


@pytest.fixture(params=["root", "ltpd"])
def operator(request):
    if request.param == "root" and not ops.ROOT:
        pytest.skip("takes root")
    return request.param


class Runbook(Remote):
    """As the pages have it: what is theirs is in node.etc."""

    def make_etc(self, operator):
        """Root's, for the group of the node; or the node's own."""
        self.shell = [] if operator == "root" else self.stage.drop
        self.etc = self.dir / "etc"
        for path in (self.etc, self.etc / "pair-1"):
            path.mkdir()
            self.give(path, 0o2755)

    def give(self, path, mode):
        if ops.ROOT:
            os.chown(path, 0 if self.shell == [] else NOBODY, NOBODY)
        path.chmod(mode)

    def put(self, name, text):
        path = self.etc / name
        path.write_text(text)
        self.give(path, 0o640)
        return str(path)

    def put_first_pair(self, cert, key):
        for path, name in ((cert, "server.crt"), (key, "server.key")):
            self.put(f"pair-1/{name}", path.read_text())
        os.symlink("pair-1", self.etc / "live")

    def run(self, commands):
        """A shell of the operator's."""
        script = "set -eu\n" + "".join(f"{c}\n" for c in commands)
        for page, ours in (("@SYSCONFDIR@/ltpd", str(self.etc)),
                           (URL, "wss://localhost:%d" % self.remote[1])):
            script = script.replace(page, ours)
        env = {"PATH": f"{self.stage.bin}/ltpctl:/usr/bin:/bin",
               "HOME": str(self.dir), "SSL_CERT_FILE": str(self.ca),
               "LTPD_CONTROL_SOCKET": str(self.control)}
        done = subprocess.run(
            [*self.shell, "/bin/sh", "-c", script], cwd="/",
            env=self.env | env, capture_output=True, text=True,
            timeout=2 * TIMEOUT)
        assert (done.returncode, done.stderr) == (0, ""), done
        for secret in self.secrets | self.tokens():
            assert secret not in done.stdout, "a secret"
        return done.stdout

    def tokens(self):
        """Those of its files, which are secrets from now on."""
        found = {p.read_text().strip() for p in self.etc.glob("token*")}
        self.secrets |= found
        return found

    def context(self):
        return trusting(self.authority)

    def lets_in(self, token):
        with TlsWire(self.remote, self.context()) as wire:
            wire.send(request(bearer(token)))
            status = wire.response().status
        assert status in (101, 401), status
        return status == 101


@contextlib.contextmanager
def running(lab, ca, operator):
    with prepared(lab, kind=Runbook, secrets=(OLD,)) as node:
        node.authority, node.ca = ca, ca.cert
        node.make_etc(operator)
        node.put_first_pair(*ca.issue("first"))
        node.distributed.update(
            token_path=node.put("token", OLD + "\n"),
            token_prev_path=str(node.etc / "token.prev"))
        node.tls = {"cert_path": str(node.etc / "live/server.crt"),
                    "key_path": str(node.etc / "live/server.key")}
        node.again()
        node.start()
        if ops.process(node, "worker")["sandbox"]["mechanism"] == "none":
            pytest.skip("doctor finds no sandbox: a build for debuggers")
        assert node.lets_in(OLD)
        yield node
        node.stop()


def token_of(node):
    return (node.etc / "token").read_text().strip()


def well(said):
    """Doctor found nothing wrong, and the client was answered."""
    assert "[OK] token - " in said and "[OK] certificate - " in said, said
    assert "[ERR]" not in said and "[WARN]" not in said, said
    assert "3 heartbeats sent, 3 answered" in said, said


def test_the_tokens_runbook(lab, ca, operator):
    with running(lab, ca, operator) as node:
        well(node.run(LTPD[0]))
        new = token_of(node)
        assert new != OLD and node.lets_in(new) and node.lets_in(OLD)
        assert (node.etc / "token").stat().st_mode & 0o777 == 0o640
        # The second block is of the same shell.
        node.run([LTPD[0][0], *LTPD[1]])
        assert node.lets_in(new) and not node.lets_in(OLD)


def test_the_tokens_runbook_of_ltpctl(lab, ca, operator):
    with running(lab, ca, operator) as node:
        well(node.run(LTPCTL[0]))
        new = token_of(node)
        assert new != OLD and node.lets_in(new) and node.lets_in(OLD)


def test_the_certificates_runbook(lab, ca, operator):
    with running(lab, ca, operator) as node:
        new = node.dir / "new"
        new.mkdir()
        node.stage.own(new, 0o700)
        put_pair(node, *ca.issue("second"), name="new/server")
        before = node.serial(node.context())
        well(node.run(LTPD[2]))
        assert node.serial(node.context()) == before + 1
        node.samples_are({"tls_reload_failure_total": 0})
