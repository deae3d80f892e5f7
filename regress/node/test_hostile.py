"""Children in the hands of somebody else.

regress/sandbox/hostile stands in for children of the node, with all that
they know and in no sandbox, and tells every lie that it can.  Whatever it
does, the supervisor kills it and says why, lives, and is no bigger for it;
nobody else notices.
"""

import contextlib
import ctypes
import os
import re
import shutil
import struct
import subprocess
import threading
import time

import pytest

import ops
from node import BUILD, PROGRAMS, TIMEOUT, wait_for
from ops import beat, enter, process, processes, started

HOSTILE = BUILD / "regress/sandbox/hostile"
MARK = b"hostile-shm="
SEED = int(os.environ.get("LTPD_SEED", "20261122"))
SANITIZED = "ASAN_OPTIONS" in os.environ

MIB = 1024 * 1024
GROWTH = 8 * MIB    # of the supervisor, at most
LIES_MAX = 1024
WORKERS = 24        # of which the first is an honest one

pytestmark = pytest.mark.skipif(not HOSTILE.exists(),
                                reason="needs check_PROGRAMS of Linux")

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]


class Control(ctypes.Structure):
    """struct control of hostile.h, in memory that we share with them all."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "go", "turn", "count", "sent", "lives", "seed", "slots", "word")] + [
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
        real = self.bin / name / name
        self.place(f"{name}/{name}.real", real.read_bytes())
        self.place(f"{name}/{name}", self.program)

    def reform(self, name):
        """From its next life on it is honest."""
        real = self.bin / name / (name + ".real")
        self.place(f"{name}/{name}", real.read_bytes())

    def go(self, play, count=0, word=0):
        control = self.control
        control.go = 0
        control.play = play.encode()
        control.turn = control.sent = 0
        control.count = count
        control.word = word
        control.go = 1

    def stop(self):
        self.control.go = 0

    def until(self, condition, what, timeout=6 * TIMEOUT):
        return wait_for(condition, what, timeout, 0.02)


@contextlib.contextmanager
def plot(lab, *names, keys=None, slots=0, **settings):
    """A node of which some children are hostile, but wait."""
    with ops.prepared(lab, keys, **settings) as node:
        plan = Conspiracy(node, *names, slots=slots)
        node.launch()
        assert node.ready(), node.log()
        yield node, plan
        plan.stop()
        node.settle(6 * TIMEOUT)
        node.stop()


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


def violations(node):
    """What children were killed for, by pid."""
    return {int(m[2]): m[1] for m in re.finditer(
        r"killed: (.*) pid=(\d+)", node.log())}


@contextlib.contextmanager
def onlookers(node, count=4):
    """Clients of the honest worker that must not notice anything."""
    with ops.Herd(node, count) as herd:
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


def test_every_lie_of_a_worker_is_its_last(lab):
    with plot(lab, "ltp-worker", slots=everybody(WORKERS),
              workers=WORKERS) as (node, plan), onlookers(node):
        watch = Watch(node)
        late = tell(node, plan, "lies", lies("ltp-worker"))
        early = tell(node, plan, "early", lies("ltp-worker"))
        assert not believed(late + early)
        assert len(late) + len(early) == len(lies("ltp-worker"))
        watch.end("lies of workers", sent=len(late) + len(early),
                  kills=len(violations(node)))
