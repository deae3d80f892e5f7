"""ltpctl token generate."""

import base64
import json
import os
import re
import stat
import subprocess

import pytest

import ops
from node import NOBODY, TIMEOUT

TOKEN = re.compile(r"[\w-]{43}")


@pytest.fixture
def place(lab):
    return ops.scratch(lab)


def generate(lab, *args, drop=True):
    program = lab.stage.command("ltpctl/ltpctl")
    return subprocess.run(
        [*(program if drop else program[-1:]), *args],
        cwd="/", env={}, capture_output=True, text=True, timeout=TIMEOUT)


def made(lab, *args, **how):
    r = generate(lab, *args, **how)
    assert (r.returncode, r.stderr) == (0, ""), r
    return r.stdout


def test_a_token_on_stdout(lab):
    tokens = {made(lab, "token", "generate") for _ in range(20)}
    assert len(tokens) == 20
    for token in tokens:
        assert token.endswith("\n") and TOKEN.fullmatch(token[:-1])
        assert len(base64.urlsafe_b64decode(token + "=")) == 32


@pytest.mark.parametrize("option", ["-i", "--id"])
def test_a_token_with_an_id(lab, option):
    out = made(lab, "token", "generate", option, "agent-7")
    assert re.fullmatch(rf"agent-7:{TOKEN.pattern}\n", out)


def test_as_json(lab):
    answer = json.loads(made(lab, "-j", "token", "generate", "-i", "a"))
    assert answer["ok"] is True and answer["id"] == "a"
    assert re.fullmatch(rf"a:{TOKEN.pattern}", answer["token"])


def test_a_token_in_a_file(lab, place):
    path = place / "token"
    assert made(lab, "token", "generate", "-o", str(path)) == ""
    assert re.fullmatch(rf"{TOKEN.pattern}\n", path.read_text())
    st = path.stat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid) == (0o600, lab.stage.uid)


def test_a_token_in_a_file_is_not_on_the_screen(lab, place):
    path = place / "token"
    answer = json.loads(made(lab, "-j", "token", "generate", "-o", str(path)))
    assert answer == {"ok": True, "file": str(path)}


@pytest.mark.skipif(not ops.ROOT, reason="takes root")
def test_root_makes_it_for_whom_the_directory_is(lab, place):
    path = place / "token"
    made(lab, "token", "generate", "-o", str(path), drop=False)
    assert path.stat().st_uid == lab.stage.uid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(not ops.ROOT, reason="takes root")
def test_root_makes_it_for_the_group_of_its_own_directory(lab, place):
    os.chown(place, 0, NOBODY)
    path = place / "token"
    made(lab, "token", "generate", "-o", str(path), drop=False)
    st = path.stat()
    assert (st.st_uid, st.st_gid) == (0, NOBODY)
    assert stat.S_IMODE(st.st_mode) == 0o640


def test_the_umask_neither_opens_nor_closes_it(lab, place):
    path = place / "token"
    old = os.umask(0o777)
    try:
        made(lab, "token", "generate", "-o", str(path))
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("what", ["file", "link", "dangling"])
def test_what_is_there_stays(lab, place, what):
    path, other = place / "token", place / "other"
    if what == "file":
        path.write_text("old")
    else:
        path.symlink_to(other)
    if what == "link":
        other.write_text("old")
    r = generate(lab, "token", "generate", "-o", str(path))
    assert r.returncode == 1 and "File exists" in r.stderr
    assert r.stdout == ""
    assert other.exists() is (what == "link")
    assert what == "dangling" or path.read_text() == "old"


def test_a_full_disk_leaves_no_file(lab, place):
    path = place / "token"
    r = subprocess.run(
        ["/usr/bin/prlimit", "--fsize=10",
         *lab.stage.command("ltpctl/ltpctl", "token", "generate", "-o",
                            str(path))],
        cwd="/", env={}, capture_output=True, text=True, timeout=TIMEOUT)
    assert r.returncode == 1 and str(path) in r.stderr, r
    assert not path.exists()


@pytest.mark.parametrize("ident", ["", "a:b", "a b", "\u00e4", "x" * 257])
def test_bad_ids(lab, ident):
    r = generate(lab, "token", "generate", "-i", ident)
    assert r.returncode == 1 and r.stdout == ""
    assert r.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [["x"], ["-c", "1"], ["-k", "x"]])
def test_usage(lab, args):
    r = generate(lab, "token", "generate", *args)
    assert r.returncode == 2 and "usage: " in r.stderr
