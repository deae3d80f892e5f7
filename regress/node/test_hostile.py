"""Children in the hands of somebody else.

regress/sandbox/hostile stands in for children of the node, with all that
they know and in no sandbox, and tells every lie that it can.  Whatever it
does, the supervisor kills it and says why, lives, and is no bigger for it;
nobody else notices.
"""

import collections
import contextlib
import ctypes
import json
import os
import random
import re
import struct
import subprocess
import time

import pytest

import ops
from node import BUILD, PROGRAMS, TIMEOUT, wait_for
from ops import beat, enter, process, processes
from pki import Authority
from remote import Both, put_pair, trusting
from test_rotation import OLD, ping, upgrade

HOSTILE = BUILD / "regress/sandbox/hostile"
MARK = b"hostile-shm="
SEED = int(os.environ.get("LTPD_SEED", "20261122"))
SANITIZED = "ASAN_OPTIONS" in os.environ

MIB = 1024 * 1024
GROWTH = 8 * MIB    # of the supervisor, at most
LIES_MAX = 1024
WORKERS = 40        # of which the first is an honest one
COUNTS = 10000      # of 2^40 each, more than a counter takes
# Who says it is not the supervisor.
CHILD = r" (worker\[\d+\]|auth|audit|metrics|sign) "
KEYS = {"alice": "alice-key-0001"}

pytestmark = pytest.mark.skipif(not HOSTILE.exists(),
                                reason="needs check_PROGRAMS of Linux")

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]


def longer(value):
    """A parameter whose like is tried in the short run already."""
    return pytest.param(value, marks=pytest.mark.long)


class Control(ctypes.Structure):
    """struct control of hostile.h, in memory that we share with them all."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "go", "turn", "count", "sent", "lives", "seed", "slots", "word",
        "scene", "players")] + [
            ("play", ctypes.c_char * 64),
            ("pid", ctypes.c_uint32 * LIES_MAX),
            ("seen", ctypes.c_uint32 * LIES_MAX)]


class Lie:
    def __init__(self, line):
        self.name, expect, early = line.split("\t")
        self.expect = expect or None
        self.early = early == "1"


def lies(*what):
    done = subprocess.run([str(HOSTILE), "list", *what], check=True,
                          capture_output=True, text=True)
    return [Lie(line) for line in done.stdout.splitlines()]


class Conspiracy:
    """Programs of a node's own, of which some are hostile."""

    def __init__(self, node, *names, slots=0):
        self.node = node
        # It goes when nobody has it any more, however we end.
        number = libc.shmget(0, ctypes.sizeof(Control), 0o1666)
        assert number != -1, os.strerror(ctypes.get_errno())
        place = libc.shmat(number, None, 0)
        self.control = Control.from_address(place)
        libc.shmctl(number, 0, None)
        self.control.slots = slots
        self.control.seed = SEED
        self.program = HOSTILE.read_bytes().replace(
            MARK + b"\0" * 16, MARK + b"%-15d\0" % number)
        self.bin = node.dir / "bin"
        for name in PROGRAMS:
            self.place(name, (node.stage.bin / name).read_bytes())
        for name in names:
            self.corrupt(name)
        command = node.command
        node.command = lambda *args: [
            word.replace(str(node.stage.bin), str(self.bin))
            for word in command(*args)]

    def place(self, name, content):
        path = self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.chmod(0o755)
        fresh.rename(path)

    def corrupt(self, name):
        path = self.path(name)
        self.place(f"{path}.real", (self.bin / path).read_bytes())
        self.place(path, self.program)

    def reform(self, name):
        """From its next life on it is honest."""
        path = self.path(name)
        self.place(path, (self.bin / f"{path}.real").read_bytes())

    @staticmethod
    def path(name):
        return next(p for p in PROGRAMS if p.endswith("/" + name))

    def go(self, play, count=0, word=0, players=0):
        """And wait until so many are at it."""
        control = self.control
        control.go = 0
        control.play = play.encode()
        control.turn = control.sent = control.players = 0
        control.count = count
        control.word = word
        control.scene += 1
        control.go = 1
        self.until(lambda: control.players >= players, "all play")

    def stop(self):
        self.control.go = 0

    def until(self, condition, what, timeout=6 * TIMEOUT):
        return wait_for(condition, what, timeout, 0.02)


@contextlib.contextmanager
def plot(lab, *names, keys=None, slots=0, audit=False, **settings):
    """A node of which some children are hostile, but wait."""
    with ops.prepared(lab, keys, errors=CHILD, **settings) as node:
        if audit:
            node.configure(audit_log_file=str(node.dir / "audit.log"))
        yield from unfold(node, Conspiracy(node, *names, slots=slots))


def unfold(node, plan):
    node.launch()
    assert node.ready(), node.log()
    yield node, plan
    plan.stop()
    if not node.over:
        node.settle(6 * TIMEOUT)
    node.stop()


class Vault(Both):
    """A node with a remote listener, whose clients do as those of others."""

    def agent(self, context):
        """One that has shown its token."""
        tls = self.secure(context)
        upgrade(tls)
        return tls


@contextlib.contextmanager
def vault(lab, *names, slots=0, **settings):
    """The same, with a private key; and what its clients trust."""
    authority = Authority(lab.stage, ops.scratch(lab))
    with ops.prepared(lab, kind=Vault, errors=CHILD, **settings) as node:
        put_pair(node, *authority.issue("server"))
        node.distributed["token"] = OLD
        node.tls = {"cert_path": str(node.dir / "server.crt"),
                    "key_path": str(node.dir / "server.key")}
        node.configure()
        plan = Conspiracy(node, *names, slots=slots)
        for pair in unfold(node, plan):
            yield (*pair, trusting(authority))


def memory(node):
    """Bytes of the supervisor that are in memory."""
    with open(f"/proc/{node.proc.pid}/status", encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1]) * 1024


def descriptors(node):
    """Of the supervisor, when nothing is going on."""
    return process(node, "ltpd")["descriptors"]


class Watch:
    """What the supervisor is made of, before and after."""

    def __init__(self, node):
        self.node = node
        self.pid = node.proc.pid
        self.fds = descriptors(node)
        self.memory = self.most = memory(node)

    def look(self):
        assert self.node.proc.poll() is None, "the supervisor has died"
        self.most = max(self.most, memory(self.node))

    def end(self, what, **numbers):
        self.node.settle(6 * TIMEOUT)
        self.look()
        fds = descriptors(self.node)
        print(f"{what}: {numbers} growth={(self.most - self.memory) // 1024}"
              f" KiB descriptors={self.fds},{fds}")
        assert process(self.node, "ltpd")["pid"] == self.pid
        assert fds == self.fds, "descriptors have leaked"
        if not SANITIZED:
            assert self.most - self.memory <= GROWTH


def everybody(workers):
    """The slots of all workers but the first."""
    return (1 << workers) - 2


ACCUSED = "broke a rule of its channel to a sibling"


def violations(node):
    """What children were killed for, by pid."""
    return {int(m[2]): m[1] for m in re.finditer(
        r"killed: (.*) pid=(\d+)", node.log())}


@contextlib.contextmanager
def onlookers(node, keys=None):
    """Clients of the honest worker that must not notice anything."""
    with ops.Herd(node, 4, keys) as herd:
        herd.turns()
        yield herd
        herd.turns()
        assert herd.lost == 0


def all_told(plan, told, count):
    def over():
        return plan.control.turn >= count and told()
    plan.until(over, "all lies are told")


# ---- lies ----

def tell(node, plan, play, expected):
    """Have all of these told, and compare what was made of them."""
    count = len(expected)
    plan.go(play, count)
    plan.until(lambda: plan.control.turn >= count, "all lies are told")
    pids = plan.control.pid

    def all_killed():
        killed = violations(node)
        return all(pids[i] == 0 or pids[i] in killed for i in range(count))
    with contextlib.suppress(AssertionError):
        plan.until(all_killed, "all liars are killed", 2 * TIMEOUT)
    plan.stop()
    killed = violations(node)
    return [(lie.name, killed.get(pids[i]), lie.expect)
            for i, lie in enumerate(expected) if pids[i] != 0]


def believed(told):
    """Those that had another end than the expected one."""
    return [(name, got, wanted) for name, got, wanted in told
            if got != (wanted or "unknown message type")]


@contextlib.contextmanager
def crowd(lab, workers, keys=None, **settings):
    """
    One honest worker with clients and many that are hostile.  Each of these
    has died once: the supervisor wipes what the dead held in the shared
    table, and so has all of that in its memory.
    """
    with plot(lab, "ltp-worker", keys=keys, slots=everybody(workers),
              workers=workers, **settings) as (node, plan), \
            onlookers(node, keys):
        plan.go("break")
        plan.until(lambda: len(violations(node)) >= workers - 1, "all die")
        plan.stop()
        node.settle()
        yield node, plan, Watch(node)


def test_every_lie_of_a_worker_is_its_last(lab):
    expected = lies("ltp-worker")
    with crowd(lab, WORKERS) as (node, plan, watch):
        told = tell(node, plan, "lies", expected)
        told += tell(node, plan, "early", expected)
        assert not believed(told)
        assert len(told) == len(expected)
        watch.end("lies of workers", sent=len(told),
                  kills=len(violations(node)))


def ask_about(node, plan, count, *verb):
    """The operator asks until so many lies are told."""
    def asked():
        done = node.ctl(*verb)
        assert "supervisor" not in done.stderr, done
        return plan.control.turn >= count
    plan.until(asked, "all lies are told")


def test_no_false_list_of_sessions_is_passed_on(lab):
    """The operator sees what honest workers say, and none of the lies."""
    expected = lies("pages")
    with crowd(lab, len(expected) + 1) as (node, plan, watch):
        plan.go("pages", len(expected), players=len(expected))
        ask_about(node, plan, len(expected), "show", "sessions")
        plan.stop()
        node.settle()
        killed = violations(node)
        assert not believed([
            (lie.name, killed.get(plan.control.pid[i]), lie.expect)
            for i, lie in enumerate(expected)])
        assert len(ops.sessions(node)) == 4
        watch.end("lists of sessions", sent=plan.control.sent,
                  kills=len(killed))


def test_a_list_of_sessions_has_an_end(lab):
    with crowd(lab, 2) as (node, plan, watch):
        plan.go("endless_pages", players=1)
        assert len(ops.sessions(node)) >= 4
        assert "answers what nobody asked" in violations(node).values()
        watch.end("pages without an end", sent=plan.control.sent)


def test_a_session_is_killed_once(lab):
    with crowd(lab, 3) as (node, plan, watch):
        plan.go("killed_twice", players=2)
        assert node.ctl("disconnect", "99999").returncode == 0
        node.settle()
        assert list(violations(node).values()).count(
            "answers what nobody asked") == 2
        watch.end("sessions killed twice")


@pytest.mark.parametrize("play", ["close", longer("shutdown"),
                                  longer("empty")])
def test_a_worker_without_a_channel_is_replaced(lab, play):
    with crowd(lab, 3) as (node, plan, watch):
        old = {process(node, "worker", i)["pid"] for i in (1, 2)}
        plan.go(play)
        plan.until(lambda: all(node.log_lines(f"died of signal 9 .*={pid}")
                               for pid in old), "both are killed")
        plan.stop()
        watch.end(play)


def test_nothing_leaks_for_a_worker_that_is_deaf_when_ready(lab):
    """It could be passed a channel to auth and to audit, and has gone."""
    with crowd(lab, 10, KEYS, audit=True) as (node, plan, watch):
        plan.go("deaf_when_ready")
        plan.until(lambda: len(node.log_lines("died of signal 9")) > 35,
                   "many deaths")
        plan.stop()
        watch.end("deaf when ready",
                  deaths=len(node.log_lines("died of signal 9")))


@pytest.mark.parametrize("play", ["flood", longer("log_flood")])
def test_a_flood_keeps_nobody_from_the_supervisor(lab, play):
    with crowd(lab, 3) as (node, plan, watch):
        plan.go(play)
        slowest = 0
        for _ in range(10):
            begin = time.monotonic()
            ops.summary(node)
            slowest = max(slowest, time.monotonic() - begin)
            watch.look()
            time.sleep(0.05)
        beat(enter(node, "late"), 1, "late")
        plan.stop()
        assert slowest < 3
        watch.end(play, sent=plan.control.sent,
                  slowest_answer_ms=round(slowest * 1000))


@pytest.mark.long
def test_a_worker_that_hears_nothing_fills_no_memory(lab):
    """Whatever an operator has it told."""
    with crowd(lab, 3) as (node, plan, watch):
        plan.go("deaf")
        hello, verbose = ops.overheard(node, "log", "verbose")
        brief = ops.overheard(node, "log", "brief")[1]
        with ops.operator(node) as sock:
            sock.send(hello)
            sock.recv(65536)
            for i in range(4000):
                sock.send(verbose if i % 2 else brief)
                sock.recv(65536)
                if i % 500 == 0:
                    watch.look()
        plan.stop()
        watch.end("deaf")


def test_a_descendant_that_talks_on_holds_up_nothing(lab):
    """A dead worker's last words are an end somewhere."""
    with crowd(lab, 3) as (node, plan, watch):
        plan.go("grandchild", 1)
        plan.until(lambda: node.log_lines("exited with status 0"), "it dies")
        begin = time.monotonic()
        ops.summary(node)
        plan.until(lambda: plan.control.word == 8, "they hear of the end")
        assert time.monotonic() - begin < 1.5
        plan.stop()
        watch.end("grandchild", sent=plan.control.sent)


def test_no_counter_goes_round(lab):
    """Nor does it when all workers lie as much as is believed."""
    name = 'ltp_msgs_total{type="hello"}'
    with crowd(lab, 3) as (node, plan, watch), ops.Sampler(node) as sampler:
        plan.go("wrap", COUNTS)
        plan.until(lambda: plan.control.sent >= COUNTS, "all is sent")
        plan.stop()
        node.samples_are({name: 2**53})
        node.samples_are({name: 2**53})
        assert not sampler.fallen
        watch.end("wrap", sent=plan.control.sent, count=sampler.last[name])


def test_ready_with_odd_descriptors_is_only_that(lab):
    """Show processes reads none of them, and says what it knows."""
    things = 14
    with crowd(lab, things + 1) as (node, plan, watch):
        plan.go("odd_ready", things)
        plan.until(lambda: plan.control.turn >= things, "all are sent")
        rows = [r for r in node.settle() if r["process"] == "worker"]
        killed = violations(node)
        assert not [i for i in range(things) if plan.control.pid[i] in killed]
        assert [r["cpu_us"] for r in rows[1:]] == things * [None]
        node.get("/metrics")
        plan.go("break")
        plan.until(lambda: len(violations(node)) >= 3 * things, "all die")
        plan.stop()
        watch.end("odd descriptors", sent=things)


@pytest.mark.parametrize("word", [0, longer(1), longer(2**31),
                                  longer(2**32 - 1)])
def test_a_spoilt_table_spoils_limits_alone(lab, word):
    """All of the shared table, while the node works."""
    with plot(lab, "ltp-worker", slots=2, workers=2) as (node, plan):
        watch = Watch(node)
        with onlookers(node):
            plan.go("shared", word=word)
            plan.until(lambda: plan.control.sent > 20, "values are written")
            for _ in range(5):
                node.wire().drop()
                ops.summary(node)
                processes(node)
                gauges = node.metrics()
                assert 0 <= gauges["ltp_ws_connections_current"] < 2**32
                assert 0 <= gauges["ltp_sessions_total"] < 2**32
                watch.look()
            plan.stop()
            plan.until(lambda: violations(node), "it is killed")
        # The other worker's share is spoilt as long as that one lives.
        ops.kill_child(node, "worker", 0)
        ops.kill_child(node, "worker", 1)
        assert ops.summary(node)["connections"]["current"] == 0
        plan.reform("ltp-worker")
        ops.kill_child(node, "worker", 1)
        for _ in range(4):
            beat(enter(node))
        watch.end("shared table", rounds=plan.control.sent)


# ---- random ----

def babble(lab, count):
    """While the operator asks, so that there is something to answer."""
    with crowd(lab, WORKERS, KEYS, audit=True) as (node, plan, watch):
        print(f"seed={SEED}")
        plan.go("random", count)

        def all_sent():
            for verb in (["show", "sessions"], ["disconnect", "99999"],
                         ["show", "processes"], ["show", "keys"]):
                node.ctl(*verb)
            watch.look()
            return plan.control.sent >= count
        plan.until(all_sent, "all is sent", 60 * TIMEOUT)
        plan.stop()
        node.settle(6 * TIMEOUT)
        reasons = collections.Counter(violations(node).values())
        print(reasons)
        watch.end("random", sent=plan.control.sent, lives=plan.control.lives,
                  kills=sum(reasons.values()))
        assert len(reasons) > 2


def test_random_messages(lab):
    babble(lab, 30000)


@pytest.mark.long
def test_a_million_random_messages(lab):
    babble(lab, 1000000)


# ---- siblings ----

def tell_siblings(node, plan, play, expected, count=None):
    """
    Each of these ends the channel to the sibling it is told to; the liar, if
    the sibling has not accused it by then, has itself killed.
    """
    count = count or len(expected)
    plan.go(play, count)
    plan.until(lambda: plan.control.turn >= count, "all lies are told")
    pids = plan.control.pid
    plan.until(lambda: all(pids[i] in violations(node)
                           for i in range(count)), "all liars have gone")
    plan.stop()
    # The sibling hangs up and accuses the liar, who may die before it sees.
    ends = violations(node)
    return [lie.name for i, lie in enumerate(expected[:count])
            if not plan.control.seen[i] and ends[pids[i]] != ACCUSED]


@pytest.mark.parametrize("sibling", ["auth", longer("audit")])
def test_a_sibling_hangs_up_on_a_lying_worker(lab, sibling):
    """And says why, and serves the others."""
    expected = lies("ltp-worker", f"ltp-{sibling}")
    with crowd(lab, WORKERS, KEYS, audit=True) as (node, plan, watch):
        pid = process(node, sibling)["pid"]
        assert not tell_siblings(node, plan, f"lies_to_{sibling}", expected)
        node.settle()
        assert ACCUSED in violations(node).values()
        assert process(node, sibling)["pid"] == pid, "it has died"
        for reason in {lie.expect for lie in expected} - {None}:
            assert node.log_lines(f" warn {sibling} worker.*: {reason}"), \
                reason
        assert ops.status_for(node, "wrong") == (401, "invalid api key")
        beat(enter(node, "alice", KEYS["alice"]), 1, "alice")
        watch.end(f"lies to {sibling}", sent=len(expected))


@pytest.mark.parametrize("sibling", ["auth", longer("audit")])
def test_a_worker_hangs_up_on_a_lying_sibling(lab, sibling):
    """
    Its clients stay, and when an honest one has come in the liar's place all
    is well again.
    """
    expected = lies(f"ltp-{sibling}", "ltp-worker")
    count = 5           # more would have to wait for the next second
    with plot(lab, f"ltp-{sibling}", keys=KEYS, workers=2, audit=True,
              audit_required=False) as (node, plan):
        if sibling == "audit":
            enter(node, "alice", KEYS["alice"])
        pids = {process(node, "worker", i)["pid"] for i in (0, 1)}
        watch = Watch(node)
        assert not tell_siblings(node, plan, "lies_to_workers", expected,
                                 count)
        plan.reform(f"ltp-{sibling}")
        node.settle(4 * TIMEOUT)
        ops.kill_child(node, sibling)
        assert pids == {process(node, "worker", i)["pid"] for i in (0, 1)}
        for _ in range(4):
            beat(enter(node, "alice", KEYS["alice"]), 1, "alice")
        watch.end(f"lies of {sibling} to workers", sent=count)


def test_a_worker_that_asks_and_never_listens_fills_no_memory_of_auth(lab):
    """Auth hears it no further until it takes the answers."""
    with crowd(lab, 2, KEYS) as (node, plan, watch):
        auth = process(node, "auth")
        plan.go("ask_deaf", players=1)
        plan.until(lambda: plan.control.sent > 1000, "it asks")
        sent = 0
        for _ in range(20):
            time.sleep(0.05)
            if sent == plan.control.sent:
                break
            sent = plan.control.sent
        assert ops.status_for(node, "wrong") == (401, "invalid api key")
        now = process(node, "auth")
        assert now["pid"] == auth["pid"]
        growth = now["resident_bytes"] - auth["resident_bytes"]
        assert SANITIZED or growth < 2 * MIB
        assert not node.log_lines("is lost")
        plan.stop()
        watch.end("deaf to auth", sent=sent, growth_of_auth=growth // 1024)


def test_an_auth_that_keeps_asking_who_is_here_is_heard_once(lab):
    with plot(lab, "ltp-auth", keys=KEYS, workers=2) as (node, plan):
        watch = Watch(node)
        plan.go("who_flood", players=1)
        assert ops.wait_for_log(node, "asks twice who is here")
        plan.stop()
        plan.reform("ltp-auth")
        ops.kill_child(node, "auth")
        for _ in range(4):
            beat(enter(node, "alice", KEYS["alice"]), 1, "alice")
        watch.end("who floods")


# ---- the private key ----

def test_sign_hangs_up_on_a_lying_worker(lab):
    """And signs for the others."""
    workers = 24
    expected = lies("ltp-worker-tls", "ltp-sign")
    with vault(lab, "ltp-worker-tls", slots=everybody(workers),
               workers=workers) as (node, plan, trust):
        watch = Watch(node)
        pid = process(node, "sign")["pid"]
        with ops.Herd(node, 2) as herd:
            herd.turns()
            assert not tell_siblings(node, plan, "lies_to_sign", expected)
            herd.turns()
            assert herd.lost == 0
        node.settle()
        assert ACCUSED in violations(node).values()
        assert process(node, "sign")["pid"] == pid, "it has died"
        for reason in {lie.expect for lie in expected} - {None}:
            assert node.log_lines(f" warn sign worker.*: {reason}"), reason
        assert node.log_lines(" warn sign sign: questions of a worker refused")
        with node.agent(trust) as tls:
            ping(tls)
        watch.end("lies to sign", sent=len(expected))


def test_a_worker_hangs_up_on_a_lying_sign(lab):
    """Who is in stays; when there is an honest one, others come in again."""
    expected = lies("ltp-sign", "ltp-worker")
    with vault(lab, "ltp-sign", workers=2) as (node, plan, trust):
        pids = {process(node, "worker", i)["pid"] for i in (0, 1)}
        watch = Watch(node)
        with pytest.raises(OSError):
            node.agent(trust)
        plan.reform("ltp-sign")
        ops.kill_child(node, "sign")
        node.settle()
        with node.agent(trust) as tls:
            plan.corrupt("ltp-sign")
            ops.kill_child(node, "sign")
            assert not tell_siblings(node, plan, "lies_to_workers", expected,
                                     4)
            ping(tls)
            plan.reform("ltp-sign")
            node.settle(4 * TIMEOUT)
            ops.kill_child(node, "sign")
            ping(tls)
            with node.agent(trust) as other:
                ping(other)
        assert pids == {process(node, "worker", i)["pid"] for i in (0, 1)}
        watch.end("lies of sign to workers", sent=4)


def own_lies_of_sign():
    """Those that no other child can tell."""
    return [i for i, lie in enumerate(lies("ltp-sign"))
            if lie.name.startswith(("sign_loaded", "counts"))]


@pytest.mark.parametrize("count", [6, longer(None)])
def test_a_sign_that_lies_to_the_supervisor_is_killed(lab, count):
    """Of its verdicts, too, none is taken that nobody has asked for."""
    expected = lies("ltp-sign")
    first = own_lies_of_sign()[0] if count else 0
    end = first + count if count else len(expected)
    with vault(lab, "ltp-sign", workers=2) as (node, plan, trust):
        watch = Watch(node)
        pids = {process(node, "worker", i)["pid"] for i in (0, 1)}
        plan.go("lies", 0)
        plan.control.turn = first
        plan.control.count = end
        plan.until(lambda: plan.control.turn >= end, "all lies are told",
                   2 * len(expected))
        told = [(lie.name, plan.control.pid[i], lie.expect)
                for i, lie in enumerate(expected[:end])
                if plan.control.pid[i] != 0]
        plan.until(lambda: all(pid in violations(node)
                               for _, pid, _ in told), "all are killed")
        plan.stop()
        killed = violations(node)
        assert not believed([(name, killed[pid], expect)
                             for name, pid, expect in told])
        node.settle(2 * TIMEOUT)
        plan.reform("ltp-sign")
        ops.kill_child(node, "sign")
        with node.agent(trust) as tls:
            ping(tls)
        assert pids == {process(node, "worker", i)["pid"] for i in (0, 1)}
        watch.end("lies of sign", sent=len(told), kills=len(killed))


def test_a_certificate_may_come_while_tokens_are_on_their_way(lab):
    """
    One worker keeps new tokens waiting; a reload with a new certificate takes
    their place, and its key is there when it is in force.
    """
    with vault(lab, "ltp-worker-tls", slots=2, workers=2) as (node, plan,
                                                              trust):
        authority = Authority(lab.stage, ops.scratch(lab), "other")
        trust.load_verify_locations(str(authority.cert))
        del node.distributed["token"]
        node.distributed["token_path"] = node.token(OLD)
        node.configure()
        assert node.ctl("reload").returncode == 0
        plan.go("deaf", players=1)
        node.token(OLD + "\n" + OLD + "0")
        # More than a few pings.
        plan.until(lambda: plan.control.word > 64, "tokens are on their way")
        put_pair(node, *authority.issue("second"))
        assert node.ctl("reload").returncode == 0
        assert "did not acknowledge a configuration" in \
            violations(node).values()
        plan.stop()
        plan.reform("ltp-worker-tls")
        node.settle()
        with node.agent(trust) as tls:
            assert ("commonName", "other") in (
                tls.getpeercert()["issuer"][0])
            ping(tls)


def test_a_worker_that_takes_others_numbers_has_nobody_called_a_liar(lab):
    """Auth knows a connection by its number and its worker."""
    with vault(lab, "ltp-worker-tls", slots=2, workers=2) as (node, plan,
                                                              trust):
        watch = Watch(node)
        pid = process(node, "worker", 0)["pid"]
        plan.go("squat", 2000, players=1)
        plan.until(lambda: plan.control.sent >= 2000, "all are taken")
        for i in range(4):
            with node.agent(trust) as tls:
                say(tls, {"type": "hello", "client_id": f"agent{i}"})
                assert b'"hello_ack"' in tls.recv(4096)
        assert process(node, "worker", 0)["pid"] == pid, node.log()
        assert not node.log_lines("enters twice")
        plan.stop()
        plan.reform("ltp-worker-tls")
        ops.kill_child(node, "worker", 1)
        watch.end("numbers of others", sent=plan.control.sent)


def say(tls, message):
    """One text frame, masked with nothing."""
    text = json.dumps(message).encode()
    assert len(text) < 126
    tls.sendall(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)


# ---- other children ----

@pytest.mark.long
@pytest.mark.parametrize("kind", ["auth", "audit", "metrics"])
def test_every_lie_of_another_child_is_its_last(lab, kind):
    lies_of_one(lab, kind, None)


@pytest.mark.parametrize("kind", [longer("auth"), "audit",
                                  longer("metrics")])
def test_some_lies_of_another_child_are_its_last(lab, kind):
    """Those that only it can tell, as far as it dies for free."""
    lies_of_one(lab, kind, 5)


# The first that others do not tell.
OWN = {"auth": "keys_page", "audit": "audit_state", "metrics": "ready twice"}


def lies_of_one(lab, kind, count):
    expected = lies(f"ltp-{kind}")
    with plot(lab, f"ltp-{kind}", keys=KEYS, audit=True,
              audit_required=False) as (node, plan):
        watch = Watch(node)
        first = next(i for i, lie in enumerate(expected)
                     if lie.name.startswith(OWN[kind])) if count else 0
        plan.go("lies", 0)
        plan.control.turn = first
        plan.control.count = first + count if count else len(expected)
        end = plan.control.count
        plan.until(lambda: plan.control.turn >= end, "all lies are told",
                   2 * len(expected))
        told = [(lie.name, plan.control.pid[i], lie.expect)
                for i, lie in enumerate(expected[:end])
                if plan.control.pid[i] != 0]
        plan.until(lambda: all(pid in violations(node)
                               for _, pid, _ in told), "all are killed")
        plan.stop()
        killed = violations(node)
        assert not believed([(name, killed[pid], expect)
                             for name, pid, expect in told])
        node.settle(2 * TIMEOUT)
        plan.reform(f"ltp-{kind}")
        ops.kill_child(node, kind)
        watch.end(f"lies of {kind}", sent=len(told), kills=len(killed))


@pytest.mark.parametrize("play", ["audit_flips", "audit_back"])
def test_an_audit_whose_state_cannot_be_is_killed(lab, play):
    with plot(lab, "ltp-audit", audit=True, workers=2) as (node, plan):
        watch = Watch(node)
        pids = {process(node, "worker", i)["pid"] for i in (0, 1)}
        plan.go(play)
        ops.wait_for_log(node, "killed: says what cannot be of the audit log")
        plan.stop()
        node.settle()
        assert pids == {process(node, "worker", i)["pid"] for i in (0, 1)}
        plan.reform("ltp-audit")
        ops.kill_child(node, "audit")
        beat(enter(node))
        watch.end(play)


# ---- what once went wrong ----

def test_a_stopping_node_does_not_fall_over_a_child_that_stays(lab):
    """Once a second the supervisor would tell metrics how it is."""
    with plot(lab, "ltp-metrics") as (node, plan):
        plan.go("stay", players=1)
        node.settle()
        node.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            node.proc.wait(1.2)
        plan.stop()
        node.expect_exit(0)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["auth", "audit", "metrics"])
def test_a_child_that_does_not_leave_is_killed(lab, kind):
    """The supervisor still has to stop, and not to fall over it."""
    with plot(lab, f"ltp-{kind}", keys=KEYS, audit=True) as (node, plan):
        plan.go("stay", players=1)
        node.settle()
        node.terminate()
        node.expect_exit(0, 2 * TIMEOUT)
        assert "did not leave in time" in violations(node).values()


def test_a_connection_that_lingers_does_not_stop_the_supervisor(lab):
    """Whose last close(2) waits for a peer that reads nothing."""
    with plot(lab, "ltp-worker", slots=2, workers=2) as (node, plan):
        watch = Watch(node)
        plan.go("linger", players=1)
        with node.wire(rcvbuf=4096), node.wire(rcvbuf=4096):
            ops.wait_for_log(node, "unexpected descriptor")
            begin = time.monotonic()
            assert ops.summary(node)["pid"] == node.proc.pid
            assert time.monotonic() - begin < 1
            plan.stop()
        watch.end("linger")


def test_a_line_of_a_child_does_not_pretend_to_be_another_s(lab):
    with plot(lab, "ltp-worker", slots=2, workers=2) as (node, plan):
        node.configure(log_format="json")
        assert node.ctl("reload").returncode == 0
        plan.go("forge")
        line = json.loads(ops.wait_for_log(node, "forged")[0])
        plan.stop()
        assert line["process"] == "worker[1]"
        assert line["message"] == "forged"
        assert line["level"] == "warn"
        assert line["time"].startswith("20")
        node.check_log = lambda: None   # lines are JSON


# ---- the control socket ----

def test_lies_of_an_operator_harm_nobody(lab):
    """Every one ends that connection, or is refused, and that is all."""
    rng = random.Random(SEED)
    with ops.started(lab) as node, onlookers(node):
        watch = Watch(node)
        hello, stop = ops.overheard(node, "stop")
        for n in range(600):
            kind = n % 128 if n < 256 else rng.randrange(65536)
            size = rng.choice([0, 0, 1, 4, 8, 256, 257, rng.randrange(17000)])
            said = size if n % 5 else rng.randrange(2**32)
            data = struct.pack("=HHI", kind, 0, said) + rng.randbytes(size)
            if kind == struct.unpack_from("=H", stop)[0]:
                continue
            with ops.operator(node) as sock:
                if n % 3:
                    sock.send(hello)
                with contextlib.suppress(BrokenPipeError):
                    sock.send(data)
            if n % 100 == 0:
                ops.summary(node)
                watch.look()
        node.settle()
        watch.end("operators", sent=600)
