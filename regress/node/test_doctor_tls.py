"""ltpctl doctor: certificates, CAs and lists, by the rules of ltpd."""

import os
import subprocess

import pytest

import ops
import pki
from ops import prepared
from remote import Secured, secured
from test_doctor import row

CHECKS = {"cert_path": "certificate", "client_ca_path": "client CA",
          "client_crl_path": "client CRL"}
DAMAGED = "-----BEGIN {0}-----\nAAAA\n-----END {0}-----\n"


@pytest.fixture(scope="module")
def ca(lab):
    return pki.Authority(lab.stage, ops.scratch(lab))


@pytest.fixture
def down(lab, ca):
    """A configuration with certificates of all kinds, and no node."""
    with prepared(lab, kind=Secured, authority=ca,
                  distributed={"auth_mode": "token+mtls"}) as node:
        node.token(ca.cert.read_text(), "ca.crt", 0o644)
        node.token(ca.crl(7).read_text(), "ca.crl", 0o644)
        node.tls["client_ca_path"] = str(node.dir / "ca.crt")
        node.tls["client_crl_path"] = str(node.dir / "ca.crl")
        node.again()
        yield node


def says(node, keyword):
    return row(node, CHECKS[keyword])


def refused_by_ltpd(node):
    r = subprocess.run(node.command("-d", "-f", str(node.conf)), cwd="/",
                       env=node.env, capture_output=True, text=True,
                       timeout=10)
    assert r.returncode != 0
    return r.stderr


def add(node, keyword, text, mode=0o644):
    """More of it behind what is there."""
    name = os.path.basename(node.tls[keyword])
    node.token((node.dir / name).read_text() + text, name, mode)


@pytest.mark.parametrize("keyword", CHECKS)
def test_all_is_well(down, keyword):
    assert says(down, keyword)[0] == "[OK]"


# ---- what ltpd refuses, by the same words ----

@pytest.mark.parametrize("keyword", CHECKS)
@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write(down, keyword, mode):
    os.chmod(down.tls[keyword], mode)
    mark, detail, status = says(down, keyword)
    assert (mark, status) == ("[ERR]", 1)
    assert detail.endswith(f": mode {mode:04o} lets others write it")
    assert f"mode {mode:04o} lets others write it" in refused_by_ltpd(down)


@pytest.mark.parametrize("keyword", CHECKS)
def test_a_file_in_a_directory_that_others_may_write(down, keyword):
    os.chmod(down.dir, 0o777)
    assert "writable by others (mode 0777)" in says(down, keyword)[1]


@pytest.mark.parametrize("keyword", CHECKS)
def test_it_does_not_wait_for_a_fifo(down, keyword):
    os.unlink(down.tls[keyword])
    os.mkfifo(down.tls[keyword])
    down.stage.own(down.dir / os.path.basename(down.tls[keyword]), 0o600)
    mark, detail, status = says(down, keyword)
    assert (mark, status) == ("[ERR]", 1)
    assert detail.endswith(": not a regular file")
    assert "not a regular file" in refused_by_ltpd(down)


@pytest.mark.parametrize("keyword, kind, said", [
    ("cert_path", "CERTIFICATE", "the certificate file is damaged"),
    ("client_ca_path", "CERTIFICATE",
     "the file of the clients' CAs is damaged"),
    ("client_crl_path", "X509 CRL", "the CRL file is damaged")])
def test_a_damaged_one_behind_a_good_one(down, keyword, kind, said):
    add(down, keyword, DAMAGED.format(kind))
    mark, detail, status = says(down, keyword)
    assert (mark, status) == ("[ERR]", 1) and detail.endswith(f": {said}")
    assert said in refused_by_ltpd(down)


@pytest.mark.parametrize("keyword", CHECKS)
def test_a_private_key_beside_certificates(down, keyword):
    add(down, keyword, (down.dir / "server.key").read_text())
    said = "a private key is in the file of certificates"
    mark, detail, status = says(down, keyword)
    assert (mark, status) == ("[ERR]", 1) and said in detail
    assert said in refused_by_ltpd(down)


def test_a_key_that_no_worker_can_use(down, ca):
    cert, key = ca.issue("odd", kind="ed25519")
    down.token(cert.read_text(), "server.crt", 0o644)
    down.token(key.read_text(), "server.key")
    said = "the certificate's key is neither RSA nor EC on P-256"
    mark, detail, status = says(down, "cert_path")
    assert (mark, status) == ("[ERR]", 1) and said in detail
    assert said in refused_by_ltpd(down)


def test_a_key_file_that_is_too_long(down):
    text = (down.dir / "server.key").read_text()
    down.token(text + "x" * 65536, "server.key")
    mark, detail, _ = row(down, "private key")
    assert mark == "[ERR]" and detail.endswith("larger than 65536 bytes")
    assert "larger than 65536 bytes" in refused_by_ltpd(down)


# ---- what time does to the second of them ----

@pytest.mark.parametrize("days, mark, said", [
    (-1, "[ERR]", "certificate 2 expired "),
    (20, "[WARN]", "certificate 2 expires within 30 days, ")])
@pytest.mark.parametrize("keyword", ["cert_path", "client_ca_path"])
def test_the_dates_of_a_second_certificate(down, ca, keyword, days, mark,
                                           said):
    add(down, keyword, ca.issue("second", days=days)[0].read_text())
    got, detail, _ = says(down, keyword)
    assert said in detail
    assert got == ("[ERR]" if keyword == "client_ca_path" else mark)


def another(lab):
    """A CA of the same kind, but another."""
    return pki.Authority(lab.stage, ops.scratch(lab), name="other")


def test_a_second_list_that_is_old(down, lab):
    other = another(lab)
    add(down, "client_ca_path", other.cert.read_text())
    add(down, "client_crl_path", other.crl(7).read_text())
    assert says(down, "client_crl_path")[0] == "[OK]"
    add(down, "client_crl_path", other.crl(-1).read_text())
    mark, detail, status = says(down, "client_crl_path")
    assert (mark, status) == ("[ERR]", 1) and "was good until " in detail


def test_a_ca_without_a_list(down, lab):
    other = another(lab)
    add(down, "client_ca_path", other.cert.read_text())
    mark, detail, status = says(down, "client_crl_path")
    assert (mark, status) == ("[ERR]", 1)
    assert detail.endswith("no list of CN=other, whose clients are refused")


def test_a_list_of_somebody_of_the_same_name(down, lab):
    fake = pki.Authority(lab.stage, ops.scratch(lab))
    down.token(fake.crl(7).read_text(), "ca.crl", 0o644)
    mark, detail, _ = says(down, "client_crl_path")
    assert mark == "[ERR]" and "no list of CN=ca" in detail


# ---- what is served ----

@pytest.mark.parametrize("mode", ["token", "token+mtls"])
def test_a_signer_that_does_not_sign(lab, ca, mode):
    """Nothing is shown before it has signed."""
    with secured(lab, ca, distributed={"auth_mode": mode},
                 tls={"client_ca_path": str(ca.cert)}) as node:
        assert says(node, "cert_path")[0] == "[OK]"
        with ops.stopped(ops.process(node, "sign")["pid"]):
            assert says(node, "cert_path")[:2] == (
                "[ERR]", "%s:%d: no TLS handshake" % node.remote)
