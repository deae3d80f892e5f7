"""A build with --disable-distributed."""

import os
import pathlib
import subprocess

import pytest

import ops
from node import BUILD
from ops import prepared, started

SOURCE = pathlib.Path(os.environ["LTPD_SOURCE"])
MISSING = "this ltpd is built without remote listeners"
ENABLED = "\n[distributed]\nenabled = true\n"


def test_it_says_so(lab):
    with prepared(lab) as node:
        done = ops.run_ltpd(node, "-V")
    assert "remote listeners: not built in\n" in done.stdout


def test_what_is_for_remote_listeners_alone_is_not_installed():
    programs = {path.name for path in (BUILD / "install").rglob("*")
                if path.is_file() and os.access(path, os.X_OK)}
    assert programs == {"ltpd", "ltpctl", "ltp-worker", "ltp-auth",
                        "ltp-metrics", "ltp-audit"}


@pytest.mark.parametrize("args", [["-n"], ["-d"], []])
def test_a_remote_listener_is_an_error_at_the_start(lab, args):
    with prepared(lab) as node:
        node.file("ltpd.conf", node.conf.read_text() + ENABLED)
        line = node.conf.read_text().count("\n")
        done = ops.run_ltpd(node, *args, "-f", str(node.conf))
        assert (done.returncode, done.stderr) == (
            1, f"ltpd: {node.conf}:{line}: distributed.enabled: {MISSING}\n")


def test_a_reload_does_not_bring_one(lab):
    with started(lab, errors=MISSING) as node:
        node.file("ltpd.conf", node.conf.read_text() + ENABLED)
        done = node.ctl("reload")
        assert done.returncode == 1 and MISSING in done.stderr
        ops.beat(ops.enter(node))


def test_a_node_works_and_its_doctor_says_so(lab):
    with started(lab) as node:
        ops.beat(ops.enter(node))
        assert {p["process"] for p in ops.processes(node)} == {
            "ltpd", "worker", "metrics"}
        said = node.ctl("doctor")
        assert said.returncode == 0, said
        assert "[OK] distributed security - disabled, not built in\n" in \
            said.stdout
        node.file("ltpd.conf", node.conf.read_text() + ENABLED)
        said = node.ctl("doctor", "-f", str(node.conf))
        assert said.returncode == 1, said
        assert f"distributed.enabled: {MISSING}\n" in said.stdout


def test_its_configurations():
    done = subprocess.run(
        [SOURCE / "regress/conf/run", BUILD / "ltpd/ltpd"], check=False,
        capture_output=True, text=True)
    bad = [line for line in done.stdout.splitlines()
           if not line.startswith(("ok", "1.."))]
    assert done.returncode == 0 and bad == [], bad
