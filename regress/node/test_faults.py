"""Faults under load: whoever is not hit does not notice.

Other faults are elsewhere: half-open handshakes, resets and who does not read
in test_soak.py, running out of descriptors in test_start.py, a single death
of each process and back-off in test_processes.py, the places of an address in
test_address_limits.py, the audit log's disk in test_audit.py.
"""

import collections
import contextlib
import itertools
import json
import multiprocessing
import os
import re
import resource
import signal
import struct
import subprocess
import time

import pytest

import ops
from node import (CLOSE, CONT, PING, SANITIZERS, TEXT, Wire, compact, frame,
                  header, mask, request, text, wait_for)
from ops import HELLO_ACK, ROOT, beat, enter, hello, process, started, stopped

SANITIZED = any(name in os.environ for name in SANITIZERS)
PROMPT = 0.5            # seconds
RESUME = 1.0            # until whoever had to wait is served
MIB = 1024 * 1024


def comes_in(node):
    """Seconds that a good client needs from connect to its first answer."""
    begin = time.monotonic()
    with Wire(node.address) as w:
        w.upgrade()
        w.say(hello("visitor"))
        w.expect(HELLO_ACK)
        beat(w, 1, "visitor")
    return time.monotonic() - begin


# ---- kill -9 of workers ----

class Busy(ops.Herd):
    """
    Bursts of heartbeats, each of them answered once and in order.  Whoever
    loses its connection is written down, and comes again.
    """

    BURST = 20

    def __init__(self, node, count):
        self.losers = []
        super().__init__(node, count, lossy=True)

    def step(self):
        for i, client_id in enumerate(self.ids):
            try:
                self.burst(self.wires[i], client_id)
            except (EOFError, OSError):
                self.losers.append(client_id)
                self.again(i)
        self.rounds += 1

    def burst(self, wire, client_id):
        first = self.rounds * self.BURST
        numbers = range(first, first + self.BURST)
        wire.send(*(text(compact({
            "type": "heartbeat", "client_id": client_id, "timestamp_ms": n}))
            for n in numbers))
        for n in numbers:
            wire.expect({"type": "heartbeat_ack", "client_id": client_id,
                         "timestamp_ms": n})


def test_twenty_killed_workers_cost_the_others_nothing(lab):
    """Five deaths in a row are free, so each worker dies five times."""
    workers, kills = 4, 20
    took = []
    with started(lab, workers=workers) as node:
        with Busy(node, 5 * workers) as herd:
            for n in range(kills):
                herd.turns(1)
                homes = {s["client_id"]: s["worker"]
                         for s in ops.sessions(node)}
                seen = len(herd.losers)
                ops.kill_child(node, "worker", n % workers)
                took.append(comes_in(node))
                herd.turns()
                assert sorted(herd.losers[seen:]) == sorted(
                    c for c, slot in homes.items()
                    if slot == n % workers and c in herd.ids)
        for wire in herd.wires:
            wire.pong()
        print(f"{kills} kills: {herd.rounds * herd.BURST * len(herd.ids)} "
              f"heartbeats answered, {len(herd.losers)} connections of the "
              f"dead lost; the slowest new client took "
              f"{1000 * max(took):.1f} ms")
        assert max(took) < PROMPT
        node.metrics_are(ltp_ws_connections_current=len(herd.ids),
                         ltp_sessions_total=len(herd.ids))
        node.samples_are({'ltp_restarts_total{process="worker"}': kills})


def test_refusals_of_a_killed_worker_are_given_back(lab):
    """A few sockets at a time are refused politely; the dead hold none."""
    with started(lab, max_connections=1) as node:
        for _ in range(3):
            wires = [node.wire() for _ in range(65)]
            wait_for(lambda: ops.summary(node)["connections"]["current"] == 1,
                     "they have come")
            ops.kill_child(node, "worker")
            for w in wires:
                w.drop()
        wire = enter(node)
        with node.wire() as late:
            late.refused(503)
        beat(wire)


# ---- a crash loop ----

class Births:
    """Who became ready, from the log, which costs the node nothing."""

    READY = re.compile(r"worker\[\d+\]: ready pid=(\d+)\n")

    def __init__(self, node):
        self.path = node.log_path
        self.read = 0
        self.rest = ""

    def next(self):
        with open(self.path, encoding="utf-8", errors="replace") as log:
            log.seek(self.read)
            new = self.rest + log.read()
            self.read = log.tell()
        whole, _, self.rest = new.rpartition("\n")
        return [int(m[1]) for m in self.READY.finditer(whole + "\n")]


class Knocks(ops.Background):
    """Somebody new wants to come in all the time."""

    def __init__(self, node):
        super().__init__()
        self.node = node
        self.fates = collections.Counter()

    def step(self):
        self.fates[ops.let_in(self.node)] += 1


@pytest.mark.parametrize("seconds", [
    3, pytest.param(30, marks=pytest.mark.long)])
def test_a_crash_loop_costs_little_and_is_over_when_it_is(lab, seconds):
    """All workers are killed as soon as they are ready, again and again."""
    with started(lab, workers=2, log_level="debug") as node, \
            Knocks(node) as knocks:
        births = Births(node)
        kills = 0
        begin = time.monotonic()
        spent = ops.cpu_seconds([node.proc.pid])
        while time.monotonic() < begin + seconds:
            for pid in births.next():
                os.kill(pid, signal.SIGKILL)
                kills += 1
            time.sleep(0.005)
        over = time.monotonic()
        spent = ops.cpu_seconds([node.proc.pid]) - spent
        comes = wait_for(lambda: ops.let_in(node), "new clients are let in",
                         10, 0.01)
        back = time.monotonic() - over
        took = comes_in(node)
        node.settle()
        print(f"{kills} deaths in {over - begin:.1f} s; the supervisor used "
              f"{100 * spent / (over - begin):.1f} % of a processor; back "
              f"after {1000 * back:.0f} ms, then {1000 * took:.1f} ms; "
              f"meanwhile {dict(knocks.fates)}")
        # In each place five are free, then there is one a second.
        assert comes and seconds <= kills <= 2 * (5 + seconds + 2)
        assert spent < 0.2 * (over - begin) or SANITIZED
        node.samples_are({'ltp_restarts_total{process="worker"}': kills})


# ---- a supervisor that stands still ----

# Longer than a child may take to answer: the supervisor must not blame them.
@pytest.mark.parametrize("seconds", [
    3, pytest.param(13, marks=pytest.mark.long)])
def test_sessions_live_while_the_supervisor_is_stopped(lab, seconds):
    with started(lab, workers=2) as node, ops.Herd(node, 10) as herd:
        herd.turns()
        with stopped(node.proc.pid):
            before = herd.rounds
            end = time.monotonic() + seconds
            herd.turns()
            with node.wire() as late:
                late.send(request())
                late.quiet()
                time.sleep(max(0, end - time.monotonic()))
            waiting = node.wire()
            waiting.send(request(), text(compact(hello())))
            rounds = herd.rounds - before
        begin = time.monotonic()
        waiting.accepted()
        waiting.expect(HELLO_ACK)
        print(f"{rounds} rounds of heartbeats in {seconds} s, the slowest "
              f"answer took {1000 * herd.slowest:.1f} ms; who had come "
              f"meanwhile was let in after "
              f"{1000 * (time.monotonic() - begin):.1f} ms")
        assert time.monotonic() - begin < RESUME
        assert rounds > seconds and herd.slowest < PROMPT
        herd.turns()
        assert node.get("/livez")[0] == 200
        assert {p["restarts"] for p in ops.processes(node)} == {0}


# ---- a worker without memory ----

class AddressSpace:
    """A limit of a worker's address space, which its memory hits."""

    def __init__(self, node, slot):
        self.command = node.stage.command("")[:-1]
        self.pid = process(node, "worker", slot)["pid"]

    def size(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[0]) * resource.getpagesize()

    def limit(self, more):
        size = "unlimited" if more is None else self.size() + more
        subprocess.run([*self.command, "prlimit", "--pid", str(self.pid),
                        f"--as={size}:"], check=True)


def fate(w):
    """What became of a client whose worker has no memory."""
    if not w.readable(0):
        return "waits"
    try:
        f = w.recv_frame()
    except (EOFError, ConnectionError):
        return "cut off"
    assert f.opcode == CLOSE, f
    return struct.unpack("!H", f.payload[:2])[0]


def calm(node, level):
    """Log no less than this from now on."""
    node.configure(log_level=level)
    assert node.ctl("reload").returncode == 0


def make_hungry(wires, size):
    """Each sends a message but for its end."""
    unfinished = header(TEXT, size) + mask(b'{"' + (size - 3) * b"x")
    for w in wires:
        with contextlib.suppress(ConnectionError):
            w.send(unfinished)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs all addresses")
@pytest.mark.parametrize("room, size", [(4 * MIB, 100000), (65536, 2000)],
                         ids=["large", "small"])
def test_a_worker_without_memory_refuses_and_lives(lab, room, size):
    """
    Its clients hold messages without an end until there is no room for more.
    It says goodbye to whom it cannot serve and goes on; nobody of another
    worker notices.
    """
    with started(lab, workers=2, handshake_timeout_ms=600000) as node:
        wires = {f"c{i}": enter(node, f"c{i}") for i in range(300)}
        homes = {s["client_id"]: s["worker"] for s in ops.sessions(node)}
        hungry = [w for i, w in wires.items() if homes[i] == 0]
        others = {i: w for i, w in wires.items() if homes[i] == 1}
        space = AddressSpace(node, 0)
        space.limit(room)
        make_hungry(hungry, size)
        took = []
        for n in range(5):
            for client_id, w in others.items():
                begin = time.monotonic()
                beat(w, n, client_id)
                took.append(time.monotonic() - begin)
        fates = collections.Counter(map(fate, hungry))
        # New ones come to the worker that has fewest, which is this one.
        new = collections.Counter(ops.let_in(node) for _ in range(100))
        print(f"of {len(hungry)} hungry clients {dict(fates)}; new ones let "
              f"in: {dict(new)}; the slowest beat of another took "
              f"{1000 * max(took):.1f} ms")
        assert fates[1011] + fates["cut off"] > 50 and fates["waits"] > 10
        assert max(took) < PROMPT
        ops.wait_for_log(node, 'reason="out of memory"')
        for w in hungry:
            w.drop()
        space.limit(None)
        node.metrics_are(ltp_ws_connections_current=len(others))
        again = [enter(node, f"d{i}") for i in range(len(hungry))]
        make_hungry(again, size)
        node.metrics_are(ltp_ws_connections_current=len(wires))
        assert set(map(fate, again)) == {"waits"}
        assert {p["restarts"] for p in ops.processes(node)} == {0}


# ---- who asks much and reads nothing ----

def test_who_never_reads_costs_a_mebibyte_at_most(lab):
    """Tiny questions with the longest answers: an identity of 256 bytes."""
    count = 20
    identity, key = 256 * "i", "identity-key-0001"
    with started(lab, {identity: key}) as node:
        calm(node, "warn")
        wires = []
        for _ in range(count):
            w = node.connect([("X-API-Key", key)], rcvbuf=4096, sndbuf=16384)
            w.ask(hello())
            w.say({"type": "orientation", "client_id": "c",
                   "focus_momentum": 0.12345678901234567,
                   "time_orientation": {"direction": "future",
                                        "strength": 0.12345678901234567}})
            w.pong()
            wires.append(w)
        before = node.resident()
        ops.flood(wires, text(b'{"type":"route_request","client_id":"c"}')
                  * 500)
        grown = 1024 * (node.resident() - before)
        took = [comes_in_with(node, key) for _ in range(20)]
        print(f"{grown / count / 1024:.0f} KiB for each who does not read; "
              f"the slowest new client took {1000 * max(took):.1f} ms")
        assert grown < count * MIB or SANITIZED
        assert max(took) < PROMPT
        for w in wires:
            w.reset()
        node.metrics_are(ltp_ws_connections_current=0)


def comes_in_with(node, key):
    begin = time.monotonic()
    with Wire(node.address) as w:
        w.upgrade([("X-API-Key", key)])
        assert b"hello_ack" in w.ask(hello())
    return time.monotonic() - begin


# ---- endless fragments, empty frames, pings ----

PESTS = {
    "pings": (frame(PING, b"x") * 500, (1008, "rate limit exceeded")),
    "empty_frames": (
        frame(TEXT, b"{", fin=False) + frame(CONT, fin=False) * 500,
        (1002, "too many empty fragments")),
    "fragments_of_a_byte": (
        frame(TEXT, b"{", fin=False) + frame(CONT, b" ", fin=False) * 1500,
        (1008, "too many fragments")),
    "messages_in_fragments": (
        (frame(TEXT, b"{", fin=False) + frame(CONT, b"}")) * 500,
        (1008, "rate limit exceeded")),
}


def annoy(address, data, expected, until):
    """Come, say it until told to leave, and come again."""
    rounds = 0
    while time.monotonic() < until:
        with Wire(address) as w:
            w.upgrade()
            with contextlib.suppress(ConnectionError):
                w.send(data)
            while (f := w.recv_frame()).opcode != CLOSE:
                pass
            code, = struct.unpack("!H", f.payload[:2])
            assert (code, f.payload[2:].decode()) == expected
        rounds += 1
    assert rounds > 1


@pytest.mark.parametrize("seconds", [
    1, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", PESTS)
def test_pests_are_closed_and_slow_nobody_down(lab, kind, seconds):
    data, expected = PESTS[kind]
    context = multiprocessing.get_context("fork")
    with started(lab, rate_limit_rps=1000, rate_limit_burst=100) as node:
        calm(node, "error")
        w = enter(node)
        until = time.monotonic() + seconds
        pests = [context.Process(target=annoy, args=(
            node.address, data, expected, until)) for _ in range(4)]
        spent = ops.cpu_seconds(node.children)
        begin = time.monotonic()
        for p in pests:
            p.start()
        took = []
        for n in itertools.count():
            start = time.monotonic()
            if start > until:
                break
            beat(w, n)
            took.append(time.monotonic() - start)
            took.append(comes_in(node))
            time.sleep(0.01)
        for p in pests:
            p.join()
        spent = ops.cpu_seconds(node.children) - spent
        closed = node.metrics()["ltp_connections_total"] - len(took) / 2
        print(f"{closed:.0f} {kind} in {time.monotonic() - begin:.1f} s, "
              f"{100 * spent / (time.monotonic() - begin):.0f} % of a "
              f"processor; the slowest of {len(took)} good ones took "
              f"{1000 * max(took):.1f} ms")
        assert [p.exitcode for p in pests] == [0] * len(pests)
        assert max(took) < PROMPT


# ---- the disk of the log is full ----

class Limited:
    """The log may not grow: a limit of the supervisor's."""

    def __init__(self, lab):
        self.home = ops.scratch(lab)
        self.command = lab.stage.command("")[:-1]

    def limit(self, node, size):
        subprocess.run([*self.command, "prlimit", "--pid",
                        str(node.proc.pid), f"--fsize={size}:"], check=True)

    def fill(self, node):
        self.limit(node, node.log_path.stat().st_size + 50)

    def free(self, node):
        self.limit(node, "unlimited")

    def end(self):
        pass


@pytest.fixture(params=[Limited, pytest.param(ops.Tmpfs, marks=(
    pytest.mark.skipif(not ROOT, reason="only root can mount")))])
def disk(lab, request):
    disk = request.param(lab)
    yield disk
    disk.end()


GAP = re.compile(r"\S+ warn ltpd log_file: could not be written "
                 r'lines_dropped=(\d+) reason="(.+)"')


def said_of_the_gap(line, form):
    if form == "text":
        m = GAP.fullmatch(line)
        return int(m[1]), m[2]
    said = json.loads(line)
    assert said["message"] == "log_file: could not be written"
    return said["lines_dropped"], said["reason"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_disk_costs_log_lines_and_nothing_else(lab, disk, form):
    """They are counted, and where they should be it says how many."""
    log = disk.home / "ltpd.log"
    with ops.prepared(lab, kind=ops.Daemon, log_file=str(log),
                      log_format=form) as node:
        node.log_path = log
        node.start()
        wire = enter(node)
        dropped = "ltp_log_dropped_total"
        node.samples_are({dropped: 0})
        disk.fill(node)
        for _ in range(100):
            comes_in(node)
        wait_for(lambda: node.metrics()[dropped] > 50, "they are counted")
        beat(wire)
        assert node.get("/health")[0] == 200
        assert node.ctl("show", "summary").returncode == 0
        before = len(node.log().splitlines())
        count = node.metrics()[dropped]
        disk.free(node)
        comes_in(node)
        lines = wait_for(
            lambda: (n := node.log().splitlines()[before:])[1:] and n,
            "lines are written again")
        # The last one of those that could be written may be a torn one.
        torn = node.log().splitlines()[before - 1]
        node.errors = "^" + (re.escape(torn) if form == "text" else "[{]")
        assert said_of_the_gap(lines[0], form)[0] == count
        print(f"{count:.0f} lines lost: {lines[0]}")
        assert "closed" in lines[1]
        node.samples_are({dropped: count})
        node.stop()
