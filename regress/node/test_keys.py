"""Keys: ltpctl edits the file, the node watches it, and no key is seen."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import node as harness
import ops
from node import TIMEOUT, table, wait_for
from ops import (ROOT, STRANGER, Background, Herd, beat, ctl_json, enter,
                 started, status_for, wait_for_log)

ALICE, BOB, CAROL = "alice-key-0001", "bob-key-0002", "carol-key-0003"
KEYS = {"alice": ALICE, "bob": BOB}
IN = 101
REFUSED = (401, "invalid api key")
CLOSED = (401, "authentication is not available")
REVOKED = (1008, "key revoked")
SOON = 1.0          # seconds until a change holds
# Seconds that nobody waits while the file is read; more under what is slow.
STALL = TIMEOUT / 100
ATTEMPTS = 3        # for what other programs may delay
TRIES = 20          # to be as fast as the test must be
SECOND_LOOK = 0.1   # seconds until a bad file is read again
KEY = re.compile(r"[A-Za-z0-9_-]{43}")
NOTHING = "{}\n"


@pytest.fixture
def node(lab):
    with started(lab, KEYS, workers=2) as node:
        yield node


def key_file(node):
    return node.dir / "keys.json"


def content(node):
    return json.loads(key_file(node).read_text())


def ltpctl(node, *args):
    """What it says, when it works."""
    r = node.ctl("key", *map(str, args))
    assert (r.returncode, r.stderr) == (0, ""), (args, r)
    return r.stdout


def failed(node, *args):
    """What it says, when it does not."""
    r = node.ctl("key", *map(str, args))
    assert (r.returncode, r.stdout) == (1, ""), (args, r)
    assert r.stderr.startswith("ltpctl: ") and r.stderr.count("\n") == 1
    for secret in node.secrets:
        assert secret not in r.stderr
    return r.stderr[len("ltpctl: "):-1]


def made(node, said):
    """The key that was printed, alone on its line."""
    key, = said.splitlines()
    assert KEY.fullmatch(key), key
    node.secrets.add(key)
    return key


def add(node, client_id, path=None):
    return made(node, ltpctl(node, "add", path or key_file(node), client_id))


def rotate(node, client_id, path=None):
    return made(node,
                ltpctl(node, "rotate", path or key_file(node), client_id))


def remove(node, client_id, path=None):
    ltpctl(node, "remove", path or key_file(node), client_id)


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def soon(node, key, answer):
    """Within a second the upgrade with this key is answered so."""
    wait_for(lambda: said_to(node, key) == answer, f"{answer}", SOON, 0.005)


def said_to(node, key):
    status, body = status_for(node, key)
    return IN if status == IN else (status, body)


def shown(node):
    return {k["id"]: k for k in ctl_json(node, "show", "keys")}


def failures(node):
    counters = ops.summary(node)["counters"]
    return counters["auth_keys_reload_failure_total"]


# ---- a change takes hold by itself ----

def test_an_added_key_works_within_a_second(node):
    carol = add(node, "carol")
    soon(node, carol, IN)
    beat(enter(node, "carol", carol), 1, "carol")
    assert content(node) == {**KEYS, "carol": carol}
    counters = ops.summary(node)["counters"]
    assert counters["ltp_reloads_total"] == 0
    assert counters["auth_keys_reload_success_total"] == 1


def test_a_generated_key_works_within_a_second(node):
    carol = made(node, ltpctl(node, "generate", "-o", key_file(node),
                              "carol"))
    soon(node, carol, IN)
    made(node, ltpctl(node, "generate", "dave"))
    assert content(node) == {**KEYS, "carol": carol}


def test_a_rotated_key_ends_the_old_one_and_no_session(node):
    """Four connections, so that both workers have some."""
    wires = [enter(node, "alice", ALICE) for _ in range(4)]
    alice = rotate(node, "alice")
    soon(node, alice, IN)
    assert said_to(node, ALICE) == REFUSED
    for n in range(3):
        for wire in wires:
            beat(wire, n, "alice")
    assert shown(node)["alice"]["sessions"] == 4
    assert said_to(node, BOB) == IN
    # What it was first is forgotten, whatever comes next.
    again = rotate(node, "alice")
    soon(node, again, IN)
    assert said_to(node, alice) == said_to(node, ALICE) == REFUSED
    for wire in wires:
        beat(wire, 9, "alice")


def test_a_removed_key_closes_its_sessions(node):
    """Those in the session dialect, and who has said nothing yet, too."""
    wires = [enter(node, "alice", ALICE) for _ in range(4)]
    other = node.connect([("X-API-Key", ALICE)])
    other.say({"type": "hello", "api_key": ALICE})
    assert b"session_id" in other.recv_text()
    silent = node.connect([("X-API-Key", ALICE)])
    bob = enter(node, "bob", BOB)
    begin = time.monotonic()
    remove(node, "alice")
    for wire in (*wires, other, silent):
        wire.expect_close(*REVOKED)
    assert time.monotonic() - begin < SOON
    assert said_to(node, ALICE) == REFUSED
    beat(bob, 1, "bob")
    assert shown(node).keys() == {"bob"}
    assert len(node.log_lines(r' info .*"?key revoked"?')) >= 6
    # The same id comes back with another key.
    alice = add(node, "alice")
    soon(node, alice, IN)
    assert said_to(node, ALICE) == REFUSED


def test_the_last_key_removed_closes_its_sessions(node):
    """A file without keys is good, and lets nobody in."""
    alice, bob = enter(node, "alice", ALICE), enter(node, "bob", BOB)
    remove(node, "alice")
    alice.expect_close(*REVOKED)
    remove(node, "bob")
    bob.expect_close(*REVOKED)
    assert key_file(node).read_text() == NOTHING
    assert said_to(node, BOB) == CLOSED
    assert shown(node) == {}
    assert failures(node) == 0
    bob = add(node, "bob")
    soon(node, bob, IN)


def test_a_removed_key_closes_no_session_while_another_source_has_it(lab):
    """The file wins while it has the id, and no longer."""
    with started(lab, KEYS, workers=2, secrets=[CAROL],
                 env={"AUTH_KEYS": f"alice:{CAROL}"}) as node:
        wire = enter(node, "alice", ALICE)
        assert said_to(node, CAROL) == REFUSED
        remove(node, "alice")
        soon(node, CAROL, IN)
        assert said_to(node, ALICE) == REFUSED
        beat(wire, 1, "alice")
        assert shown(node)["alice"]["source"] == "environment"


# ---- what is shown ----

def seconds_ago(text):
    then = time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
    return time.mktime(time.gmtime()) - then


def test_show_keys(lab):
    with started(lab, KEYS, workers=2, secrets=[CAROL],
                 env={"AUTH_KEYS": f"carol:{CAROL}"}) as node:
        wires = [enter(node, "bob", BOB) for _ in range(3)]
        keys = shown(node)
        assert keys.keys() == {"alice", "bob", "carol"}
        for client_id, key in (("alice", ALICE), ("bob", BOB),
                               ("carol", CAROL)):
            row = keys[client_id]
            assert row.keys() == {"id", "realm", "source", "digest_prefix",
                                  "loaded", "sessions", "last_used"}
            assert row["digest_prefix"] == digest(key)
            assert row["source"] == ("environment" if client_id == "carol"
                                     else "file")
            assert 0 <= seconds_ago(row["loaded"]) < 2 * TIMEOUT
        assert keys["alice"]["sessions"] == 0
        assert keys["alice"]["last_used"] is None
        assert keys["bob"]["sessions"] == 3
        assert 0 <= seconds_ago(keys["bob"]["last_used"]) < TIMEOUT

        wires.pop().drop()
        wait_for(lambda: shown(node)["bob"]["sessions"] == 2, "one has gone")
        alice = rotate(node, "alice")
        wait_for(lambda: shown(node)["alice"]["digest_prefix"] ==
                 digest(alice), "the new digest is shown", SOON)
        after = shown(node)
        assert after["bob"] == {**keys["bob"], "sessions": 2}
        assert after["carol"] == keys["carol"]
        assert after["alice"]["last_used"] is None
        text = node.ctl("show", "keys").stdout
        assert re.search(rf"^bob +keys +file +{digest(BOB)} +\S+Z +2 \S+Z$", text,
                         re.M)
        assert ALICE not in text and BOB not in text and alice not in text


def test_key_list(node):
    dave = add(node, "dave x ü")
    rows = json.loads(node.ctl("-j", "key", "list",
                               str(key_file(node))).stdout)
    assert rows == [{"id": "alice", "digest_prefix": digest(ALICE)},
                    {"id": "bob", "digest_prefix": digest(BOB)},
                    {"id": "dave x ü", "digest_prefix": digest(dave)}]
    lines = ltpctl(node, "list", key_file(node)).splitlines()
    assert [line.split() for line in lines[1:3]] == \
        [["alice", digest(ALICE)], ["bob", digest(BOB)]]
    assert lines[3].split() == ["dave\\sx\\s\\303\\274", digest(dave)]


def test_key_verbs_in_json(node):
    path = str(key_file(node))
    for args, client_id in ((("generate", "c1"), "c1"),
                            (("add", path, "c2"), "c2"),
                            (("rotate", path, "c2"), "c2"),
                            (("generate", "-o", path, "c3"), "c3")):
        answer = ctl_json(node, "key", *args)
        assert list(answer) == ["ok", "id", "key"], answer
        assert (answer["ok"], answer["id"]) == (True, client_id)
        made(node, answer["key"])
    assert ctl_json(node, "key", "remove", path, "c2") == {"ok": True}
    r = node.ctl("-j", "key", "remove", path, "c2")
    assert (r.returncode, r.stderr) == (1, "")
    assert json.loads(r.stdout) == {
        "ok": False, "error": f"keys: {path}: there is no id 'c2'"}


# ---- ltpctl and the file ----

def test_what_cannot_be_done_changes_nothing(node):
    path = key_file(node)
    before = path.read_bytes(), path.stat().st_ino
    assert failed(node, "add", path, "alice") == \
        f"keys: {path}: id 'alice' is there already"
    assert failed(node, "generate", "-o", path, "bob") == \
        f"keys: {path}: id 'bob' is there already"
    assert failed(node, "rotate", path, "carol") == \
        f"keys: {path}: there is no id 'carol'"
    assert failed(node, "add", path, "") == "keys: an id is empty"
    assert "longer than 256" in failed(node, "add", path, "x" * 257)
    assert "control" in failed(node, "add", path, "a\nb")
    assert "No such file" in failed(node, "rotate", node.dir / "no", "alice")
    assert "No such file" in failed(node, "list", node.dir / "no")
    assert (path.read_bytes(), path.stat().st_ino) == before
    assert sorted(p.name for p in node.dir.iterdir()) == \
        ["keys.json", "ltpd.conf", "ltpd.log", "ltpd.sock"]


def test_owner_group_and_mode_are_kept(node):
    path = key_file(node)
    for mode in (0o400, 0o640, 0o600):
        path.chmod(mode)
        before = path.stat()
        rotate(node, "alice")
        after = path.stat()
        assert after.st_ino != before.st_ino
        assert (after.st_mode, after.st_uid, after.st_gid) == \
            (before.st_mode, before.st_uid, before.st_gid)
    new = node.dir / "new.json"
    made(node, ltpctl(node, "generate", "-o", new, "x"))
    assert new.stat().st_mode & 0o7777 == 0o640


@pytest.mark.skipif(not ROOT, reason="root's to do")
def test_root_keeps_the_owner(node):
    """Root edits what belongs to the user of the node, who still reads it."""
    path = key_file(node)
    before = path.stat()
    r = subprocess.run([node.stage.bin / "ltpctl/ltpctl", "key", "add",
                        path, "carol"], capture_output=True, text=True,
                       timeout=TIMEOUT)
    assert (r.returncode, r.stderr) == (0, "")
    soon(node, made(node, r.stdout), IN)
    assert (path.stat().st_uid, path.stat().st_gid) == \
        (before.st_uid, before.st_gid) == (harness.NOBODY, harness.NOBODY)


def test_a_full_disk_leaves_the_old_file(node):
    """Of which a limit on the size of files is a likeness."""
    path = key_file(node)
    before = path.read_bytes(), sorted(os.listdir(node.dir))
    r = subprocess.run(
        ["/usr/bin/prlimit", "--fsize=20",
         *node.stage.command("ltpctl/ltpctl", "key", "add", str(path), "x")],
        capture_output=True, text=True, timeout=TIMEOUT)
    assert (r.returncode, r.stdout) == (1, "")
    assert "cannot write a new one: File too large" in r.stderr
    assert (path.read_bytes(), sorted(os.listdir(node.dir))) == before
    time.sleep(2 * SECOND_LOOK)
    assert failures(node) == 0


@contextlib.contextmanager
def locked(path):
    """As an editor has it."""
    with open(path, "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def waiting(node, *args):
    """ltpctl, while somebody else edits the file."""
    with locked(key_file(node)):
        p = subprocess.Popen(
            node.stage.command("ltpctl/ltpctl", "key", *args), env=node.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: opened(p.pid, key_file(node)), "it waits")
            yield p
        except BaseException:
            p.kill()
            p.communicate()
            raise


def opened(pid, path):
    """As far as can be seen: what is not dumpable hides it but from root."""
    proc = pathlib.Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):
        return str(path) in {os.readlink(fd) for fd in
                             (proc / "fd").iterdir()}
    return not ROOT and (proc / "environ").stat().st_uid == 0


def test_who_waits_shows_no_key(node):
    """Neither to other users, nor to a core."""
    path = str(key_file(node))
    with waiting(node, "rotate", path, "alice") as p:
        proc = pathlib.Path(f"/proc/{p.pid}")
        # A build without a sandbox is for debuggers.
        assert (proc / "environ").stat().st_uid == 0 or \
            ops.process(node, "worker")["sandbox"]["mechanism"] == "none"
        limits = (proc / "limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M)
        assert (proc / "cmdline").read_bytes().split(b"\0")[1:-1] == \
            [b"key", b"rotate", path.encode(), b"alice"]
        if ROOT:
            assert ALICE.encode() not in (proc / "environ").read_bytes()
    out, err = p.communicate(timeout=TIMEOUT)
    assert (p.returncode, err) == (0, "")
    soon(node, made(node, out), IN)


def test_who_waited_edits_the_file_that_is_there_then(node):
    with waiting(node, "add", str(key_file(node)), "dave") as p:
        node.keys({"carol": CAROL})
    out, err = p.communicate(timeout=TIMEOUT)
    assert (p.returncode, err) == (0, "")
    assert content(node) == {"carol": CAROL, "dave": made(node, out)}


EDITORS = 8


@pytest.mark.parametrize("there", [True, False], ids=["old_file", "new_file"])
def test_editors_take_turns(node, there):
    path = key_file(node) if there else node.dir / "other.json"
    crowd = [subprocess.Popen(
        node.stage.command("ltpctl/ltpctl", "key", "generate", "-o",
                           str(path), f"id-{i}"), env=node.env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for i in range(EDITORS)]
    keys = {}
    for i, p in enumerate(crowd):
        out, err = p.communicate(timeout=2 * TIMEOUT)
        assert (p.returncode, err) == (0, "")
        keys[f"id-{i}"] = made(node, out)
    assert json.loads(path.read_text()) == {**(KEYS if there else {}),
                                            **keys}
    assert not list(node.dir.glob(".ltpctl*"))


# ---- replaced again and again ----

class Knock(Background):
    """A key that is good all the time, at the door again and again."""

    PAUSE = 0.005

    def __init__(self, node, key):
        super().__init__()
        self.node, self.key = node, key
        self.refused = []
        self.slowest = 0.0

    def step(self):
        begin = time.monotonic()
        got = said_to(self.node, self.key)
        self.slowest = max(self.slowest, time.monotonic() - begin)
        if got != IN:
            self.refused.append(got)

    def forget(self):
        self.refused.clear()
        self.slowest = 0.0


ROUNDS = 15
HERD = 20
FLURRY = 100


def test_replacement_under_load(lab):
    """
    Whoever is in stays in, whoever has a good key gets in, at any time; what
    changes holds within a second.
    """
    keys = {f"id-{i}": f"key-of-{i}-{i * i}" for i in range(HERD)}
    with started(lab, {**keys, **KEYS}, workers=2) as node, \
            Herd(node, HERD, keys=keys) as herd, Knock(node, BOB) as knock:
        old = ALICE
        for n in range(ROUNDS):
            guest = add(node, "guest")
            soon(node, guest, IN)
            wire = enter(node, "guest", guest)
            new = rotate(node, "alice")
            soon(node, new, IN)
            assert said_to(node, old) == REFUSED
            beat(wire, n, "guest")
            remove(node, "guest")
            wire.expect_close(*REVOKED)
            assert said_to(node, guest) == REFUSED
            old = new
            herd.check()
        herd.turns()
        assert knock.refused == []
        assert failures(node) == 0
        counters = ops.summary(node)["counters"]
        assert counters["auth_keys_reload_success_total"] == 3 * ROUNDS
        rows = shown(node)
        assert all(rows[i]["sessions"] == 1 for i in keys)


def test_a_flurry_of_replacements(lab):
    """Faster than they can be read: the last one counts, none is half."""
    with started(lab, KEYS, workers=2) as node, \
            Herd(node, 1, keys={"bob": BOB}) as herd, \
            Knock(node, BOB) as knock:
        for n in range(FLURRY):
            node.keys({"bob": BOB, **{f"id-{n}-{i}": f"key-{n}-{i}"
                                      for i in range(n)}})
        node.keys({"bob": BOB, "carol": CAROL})
        soon(node, CAROL, IN)
        assert said_to(node, "key-9-1") == REFUSED
        herd.turns()
        assert knock.refused == []
        assert failures(node) == 0


def test_a_worker_that_dies_after_it_understood(node):
    """
    It knows the new keys and has gone when the last one does; the supervisor
    hears both at once.
    """
    victim, slow = (ops.process(node, "worker", i)["pid"] for i in range(2))
    os.kill(slow, signal.SIGSTOP)
    node.keys({"bob": BOB, "carol": CAROL})
    time.sleep(2 * SECOND_LOOK)
    os.kill(node.proc.pid, signal.SIGSTOP)
    ops.slay(victim)
    os.kill(slow, signal.SIGCONT)
    time.sleep(SECOND_LOOK)
    os.kill(node.proc.pid, signal.SIGCONT)
    ops.successor(node, "worker", 0, victim)
    node.settle()
    soon(node, CAROL, IN)
    assert said_to(node, ALICE) == REFUSED


# ---- mounted secrets ----

def mount(node, name, keys):
    """A directory of its own for each version; ..data points to the last."""
    folder = node.dir / f"..{name}"
    folder.mkdir()
    node.stage.own(folder, 0o755)
    node.keys(keys, f"..{name}/keys.json")
    fresh = node.dir / "..data_tmp"
    fresh.symlink_to(folder.name)
    fresh.rename(node.dir / "..data")


@pytest.fixture
def mounted(lab):
    with ops.prepared(lab, {}, workers=2) as node:
        mount(node, "1", KEYS)
        key_file(node).unlink()
        key_file(node).symlink_to("..data/keys.json")
        node.start()
        yield node
        node.stop()


def links_of(node):
    return os.readlink(key_file(node)), os.readlink(node.dir / "..data")


def test_a_mounted_secret_is_rotated(mounted):
    """Only a link changes, and the file's own path not at all."""
    node = mounted
    bob = enter(node, "bob", BOB)
    for n in range(2, 6):
        alice = enter(node, "alice", ALICE) if n == 2 else None
        mount(node, str(n), {"bob": BOB, f"c{n}": f"key-of-c{n}"})
        soon(node, f"key-of-c{n}", IN)
        assert said_to(node, ALICE) == REFUSED
        assert n == 2 or said_to(node, f"key-of-c{n - 1}") == REFUSED
        if alice is not None:
            alice.expect_close(*REVOKED)
        beat(bob, n, "bob")
    # The old version goes, as it does in a pod.
    for path in (node.dir / "..2/keys.json", node.dir / "..3/keys.json"):
        path.unlink()
        path.parent.rmdir()
    time.sleep(2 * SECOND_LOOK)
    assert failures(node) == 0
    assert said_to(node, "key-of-c5") == IN


def test_ltpctl_follows_the_links(mounted):
    node = mounted
    before = links_of(node)
    carol = add(node, "carol")
    soon(node, carol, IN)
    alice = rotate(node, "alice")
    soon(node, alice, IN)
    remove(node, "bob")
    soon(node, BOB, REFUSED)
    assert links_of(node) == before
    assert json.loads((node.dir / "..1/keys.json").read_text()) == \
        {"alice": alice, "carol": carol}
    assert os.listdir(node.dir / "..1") == ["keys.json"]


# ---- files that are no good ----

GOOD = json.dumps(KEYS)


def written(text):
    def breaks(node):
        node.file("keys.json", text)
    return breaks


def too_large(node):
    path = node.file("keys.json.large", GOOD)
    os.truncate(path, 100 << 20)
    path.rename(key_file(node))


def fifo(node):
    path = node.dir / "fifo"
    os.mkfifo(path)
    node.stage.own(path, 0o600)
    path.rename(key_file(node))


def directory(node):
    key_file(node).unlink()
    key_file(node).mkdir()


def link_to(target):
    def breaks(node):
        path = node.dir / "link"
        path.symlink_to(target)
        path.rename(key_file(node))
    return breaks


def link_to_the_open(node):
    """Into a directory where anybody could put another file."""
    folder = node.dir / "open"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    node.file("open/keys.json", GOOD)
    link_to("open/keys.json")(node)


def mode(bits):
    def breaks(node):
        key_file(node).chmod(bits)
    return breaks


def open_directory(node):
    node.dir.chmod(0o777)


def other_owner(node):
    path = node.file("keys.json.other", GOOD, 0o640)
    os.chown(path, STRANGER, harness.NOBODY)
    path.rename(key_file(node))


def removed(node):
    key_file(node).unlink()


BAD = [
    ("truncated", written(GOOD[:-9]), "line 1: not valid JSON"),
    ("empty", written(""), "line 1: not valid JSON"),
    ("not JSON", written(f"alice = {ALICE}\n"), "line 1: not valid JSON"),
    ("not an object", written(json.dumps([ALICE, BOB])),
     "not a JSON object of ids and keys"),
    ("an id twice", written('{"bob": "%s",\n"bob": "%s"}' % (BOB, CAROL)),
     "line 2: an id is given twice"),
    ("a key twice", written('{"alice": "%s", "bob": "%s"}' % (BOB, BOB)),
     "ids '(alice|bob)' and '(alice|bob)' have the same key"),
    ("an empty key", written('{"alice": "%s", "bob": ""}' % ALICE),
     "id 'bob': the key is empty"),
    ("a key that is no string", written('{"bob": ["%s"]}' % BOB),
     "id 'bob': the key is no string"),
    ("100 MiB", too_large, "larger than 1048576 bytes"),
    # The node may look before the other one is in its place.
    ("FIFO", fifo, "(not a regular|No such) file"),
    ("directory", directory, "(not a regular|No such) file"),
    ("link to nothing", link_to("nothing"), "No such file or directory"),
    ("link to itself", link_to("keys.json"), "Too many levels of symbolic"),
    ("link to where others write", link_to_the_open,
     r"directory \S+/open is writable by others \(mode 0777\)"),
    ("readable by others", mode(0o644), "mode 0644 is too open"),
    ("writable by the group", mode(0o660), "mode 0660 is too open"),
    ("in a directory that others write", open_directory,
     r"directory \S+ is writable by others \(mode 0777\)"),
    ("removed", removed, "No such file or directory"),
]
if ROOT:
    BAD += [
        ("of another owner", other_owner,
         rf"belongs to uid {STRANGER}, must be root's or ours"),
        # Root's tests run ltpd as somebody who is not root.
        ("not readable by ltpd", mode(0o000), "Permission denied"),
    ]

POLICIES = {"closed": "new handshakes are refused",
            "keep": "the last good keys are kept"}


@pytest.fixture(scope="module", params=POLICIES)
def policy(lab, request):
    """One node for all files: each must leave it as good as it was."""
    with started(lab, KEYS, workers=2, reload_failure=request.param,
                 secrets=[CAROL], errors=" error ltpd keys: ") as node:
        yield node, request.param


def mend(node):
    """A good file again, with a key that was not there before."""
    node.dir.chmod(0o755)
    with contextlib.suppress(OSError):
        key_file(node).rmdir()
    mend.number += 1
    key = f"key-of-guest-{mend.number}"
    node.keys({**KEYS, "guest": key})
    return key


mend.number = 0


def expect_bad(node, rule, said):
    """What the documents promise while the file is no good."""
    before = len(node.log_lines(" error "))

    def told():
        return node.log_lines(" error ")[before:]
    yield
    wait_for(told, "an error in the log", SOON)
    if rule == "closed":
        soon(node, ALICE, CLOSED)
        assert said_to(node, "wrong") == CLOSED
        assert shown(node) == {}
    else:
        assert said_to(node, ALICE) == IN
        assert said_to(node, "wrong") == REFUSED
        assert shown(node).keys() == {"alice", "bob", "guest"}
    line, = told()
    assert re.search(rf" error ltpd keys: {key_file(node)}: {said}.*: "
                     rf"{POLICIES[rule]}$", line), line
    yield


def episode(node, rule, breaks, said):
    """From good to bad and back; the longest that anybody had to wait."""
    guest = mend(node)
    soon(node, guest, IN)
    failed_before = failures(node)
    bad = expect_bad(node, rule, said)
    with Herd(node, 1, keys={"bob": BOB}) as herd, \
            Knock(node, BOB) as knock:
        # What the connections themselves cost is no stall.
        herd.turns()
        herd.slowest = 0.0
        knock.forget()
        next(bad)
        breaks(node)
        next(bad)
        herd.turns()
        again = mend(node)
        soon(node, again, IN)
        assert said_to(node, guest) == REFUSED
        herd.turns()
    assert failures(node) > failed_before
    assert shown(node)["bob"]["sessions"] >= 1
    return max(herd.slowest, knock.slowest)


@pytest.mark.parametrize("breaks, said", table(*BAD))
def test_a_file_that_is_no_good(policy, breaks, said):
    """
    Sessions live on and are served without a stall; other programs on this
    host may cause one, but not each time.
    """
    node, rule = policy
    waits = []
    for _ in range(ATTEMPTS):
        waits.append(episode(node, rule, breaks, said))
        if waits[-1] <= STALL:
            break
        node.drop_wires()
    assert waits[-1] <= STALL, waits


def test_sessions_whose_key_is_gone_when_the_file_is_good_again(lab):
    """They outlive the failure, not the good file that has them no more."""
    with started(lab, KEYS, workers=2, errors=" error ltpd keys: ") as node:
        alice, bob = enter(node, "alice", ALICE), enter(node, "bob", BOB)
        node.file("keys.json", "{")
        soon(node, ALICE, CLOSED)
        beat(alice, 1, "alice")
        node.keys({"bob": BOB})
        alice.expect_close(*REVOKED)
        beat(bob, 1, "bob")


def test_an_auth_that_started_in_between_finds_out_who_is_here(lab):
    """It has seen neither the sign-ins nor the keys that there were."""
    with started(lab, KEYS, workers=2, errors=" error ltpd keys: ") as node:
        alice, bob = enter(node, "alice", ALICE), enter(node, "bob", BOB)
        node.file("keys.json", "{")
        soon(node, ALICE, CLOSED)
        victim = ops.process(node, "auth")["pid"]
        ops.slay(victim)
        ops.successor(node, "auth", 0, victim)
        node.keys({"bob": BOB})
        alice.expect_close(*REVOKED)
        beat(bob, 1, "bob")
        wait_for(lambda: shown(node)["bob"]["sessions"] == 1,
                 "the session is counted for its key")
        node.settle()


def test_health_follows_the_file(lab):
    with started(lab, KEYS, workers=2, errors=" error ltpd keys: ") as node:
        removed(node)
        wait_for(lambda: node.get("/health")[0] == 503, "it is not healthy",
                 2 * SOON)
        node.metrics_are(auth_keys_active=0,
                         auth_keys_reload_failure_total=1)
        node.keys(KEYS)
        wait_for(lambda: node.get("/health")[0] == 200, "it is healthy",
                 2 * SOON)
        node.metrics_are(auth_keys_active=2,
                         auth_keys_reload_success_total=1)


# ---- where nothing can be watched ----

@pytest.fixture
def blind(lab):
    """A directory that ltpd may pass and not read: it looks each second."""
    with ops.prepared(lab, {}, workers=2, auth_keys_reload_interval_secs=1,
                      errors=" error ltpd (keys|reload): ") as node:
        folder = node.dir / "blind"
        folder.mkdir()
        node.stage.own(folder, 0o311)
        node.settings["auth_keys_file"] = node.keys(KEYS, "blind/keys.json")
        node.configure()
        node.start()
        yield node, "blind/keys.json"
        node.stop()


def test_the_interval_finds_what_is_not_seen(blind):
    node, name = blind
    assert node.log_lines(f" warn ltpd keys: {node.dir}/{name} is not watched")
    node.keys({"bob": BOB, "carol": CAROL}, name)
    wait_for(lambda: said_to(node, CAROL) == IN, "the new key", 1 + SOON)
    assert said_to(node, ALICE) == REFUSED
    assert failures(node) == 0


def test_the_same_failure_counts_again_after_a_reload(blind):
    """Good in between, if only by the operator's word."""
    node, name = blind
    for _ in range(2):
        node.file(name, "{")
        wait_for(lambda: said_to(node, BOB) == CLOSED, "it is noticed",
                 1 + SOON)
        node.keys(KEYS, name)
        wait_for(lambda: node.ctl("reload").returncode == 0, "a reload")
        assert said_to(node, BOB) == IN


# ---- caught half-written ----

def in_time(node, *steps):
    """
    Steps that all come between the first and the second look at the file;
    each after so many seconds.  False: we were too slow.
    """
    begin = time.monotonic()
    for wait, text in steps:
        time.sleep(wait)
        with open(key_file(node), "w", encoding="utf-8") as f:
            f.write(text)
    return time.monotonic() - begin < 0.8 * SECOND_LOOK


@pytest.mark.parametrize("steps", table(
    ("in two parts", [(0, GOOD[:9]), (0.05, None)]),
    # Each of these closes the file, and so calls for a look.
    ("in four parts", [(0, ""), (0.025, GOOD[:9]), (0.025, GOOD[:19]),
                       (0.02, None)]),
))
def test_a_file_caught_half_written_is_read_again(lab, steps):
    with started(lab, KEYS, workers=2, errors=" error ltpd keys: ") as node, \
            Herd(node, 1, keys={"bob": BOB}) as herd, \
            Knock(node, BOB) as knock:
        for n in range(TRIES):
            whole = json.dumps({**KEYS, "carol": f"key-of-carol-{n}"})
            knock.forget()
            before = failures(node)
            good = in_time(node, *[(wait, text if text is not None else whole)
                                   for wait, text in steps])
            soon(node, f"key-of-carol-{n}", IN)
            if good:
                break
        assert good, "this host is too slow to tell"
        assert failures(node) == before
        assert knock.refused == []
        herd.turns()
