"""What is left of many who came and went, and of who does not go."""

import contextlib
import itertools
import multiprocessing
import os
import shutil
import struct
import subprocess
import time

import pytest

import ops
from node import (CLOSE, SANITIZERS, TIMEOUT, Wire, compact, request, text,
                  wait_for)
from ops import HELLO_ACK, ROOT, beat, enter, hello, sessions, started

ALICE = "alice-key-0001"
KEYS = {"alice": ALICE, "bob": "bob-key-0002"}
VISITORS = 4            # processes
PLACES = 100            # of an address
TOLERANCE = 512 * 1024  # bytes of memory
SANITIZED = any(name in os.environ for name in SANITIZERS)
PROMPT = 0.5            # seconds
DAY = 24 * 60 * 60

HELLO = text(compact(hello()))
KEY_HELLO = text(compact({"type": "hello", "api_key": ALICE}))
BEAT = text(compact({"type": "heartbeat", "client_id": "c",
                     "timestamp_ms": 5}))


# ---- connect, hello, reset ----

def answered(w, asking):
    w.send(asking, HELLO)
    w.accepted()
    w.expect(HELLO_ACK)


def answered_and_busy(w, asking):
    w.send(asking, KEY_HELLO)
    w.accepted()
    w.recv_text()
    w.send(BEAT, BEAT[:20])


def not_answered(w, asking):
    w.send(asking, HELLO)


def half_way(w, asking):
    w.send(asking, KEY_HELLO[:-9])
    w.accepted()


WAYS = (answered, not_answered, answered_and_busy, half_way)


def visit(address, times):
    asking = request([("X-API-Key", ALICE)])
    for _ in range(times):
        for way in WAYS:
            w = Wire(address)
            way(w, asking)
            w.reset()


def visits(node, count):
    context = multiprocessing.get_context("fork")
    times = count // VISITORS // len(WAYS)
    visitors = [context.Process(target=visit, args=(node.address, times))
                for _ in range(VISITORS)]
    for v in visitors:
        v.start()
    for v in visitors:
        v.join()
    assert [v.exitcode for v in visitors] == VISITORS * [0]


def has_places(node):
    """Of all that its address may have, none is held by a dead hand."""
    wires = [node.connect([("X-API-Key", ALICE)]) for _ in range(PLACES)]
    w = node.wire()
    w.send(request([("X-API-Key", ALICE)]))
    w.refused(429)
    for w in [*wires, w]:
        w.drop()


def is_empty(node):
    """By the state of this moment first; /metrics is a second behind."""
    gauges = dict.fromkeys(("ltp_ws_connections_current",
                            "ltp_sessions_total"), 0)
    wait_for(lambda: ops.summary(node)["gauges"].items() >= gauges.items(),
             "nobody is there", 2 * TIMEOUT)
    node.samples_are(gauges)
    assert sessions(node) == []
    assert [k["sessions"] for k in ops.ctl_json(node, "show", "keys")] == \
        [0, 0]


def resources(node):
    return {(p["process"], p["slot"], p["pid"]):
            (p["descriptors"], p["resident_bytes"])
            for p in ops.processes(node)}


# Three of four say a whole hello.
@pytest.mark.parametrize("count", [
    4000, pytest.param(134000, marks=pytest.mark.long)])
def test_nothing_is_left_of_clients_that_reset(lab, count):
    with started(lab, KEYS, workers=2, max_connections_per_ip=PLACES,
                 max_half_open_per_ip=PLACES) as node:
        node.configure(log_level="warn")
        assert node.ctl("reload").returncode == 0
        visits(node, 1000)
        is_empty(node)
        has_places(node)
        is_empty(node)
        before = resources(node)
        begin = time.monotonic()
        visits(node, count)
        seconds = time.monotonic() - begin
        is_empty(node)
        has_places(node)
        is_empty(node)
        # One may have been a look at /metrics.
        wait_for(lambda: all(fds <= before[name][0] for name, (fds, _)
                             in resources(node).items()),
                 "no more descriptors than before")
        after = resources(node)
        print(f"{count} visits in {seconds:.1f} s; descriptors and bytes "
              f"before {before}, after {after}")
        assert set(after) == set(before)
        for name, (_, bytes_) in after.items():
            # Sanitizers keep what was freed for a while.
            assert bytes_ <= before[name][1] + TOLERANCE or SANITIZED, name


# ---- half-open connections ----

HALF_OPEN = 500
DEADLINE = 2            # seconds


def comes_in(node):
    """Seconds that a good client needs from connect to its first answer."""
    begin = time.monotonic()
    with Wire(node.address) as w:
        w.upgrade()
        w.say(hello())
        w.expect(HELLO_ACK)
        beat(w)
    return time.monotonic() - begin


def test_half_open_connections_keep_nobody_out(lab):
    """Neither while they are there nor when all their time is up at once."""
    with started(lab, workers=2,
                 handshake_timeout_ms=1000 * DEADLINE) as node:
        silent = (b"", request()[:30], request(), request() + HELLO[:9])
        begin = time.monotonic()
        wires = []
        for data in itertools.islice(itertools.cycle(silent), HALF_OPEN):
            wires.append(node.wire())
            wires[-1].send(data)
        last = time.monotonic()
        assert last - begin < DEADLINE / 2
        took = []
        while time.monotonic() < last + DEADLINE + 0.5:
            took.append(comes_in(node))
            time.sleep(0.02)
        print(f"{len(took)} good clients, the slowest needed "
              f"{1000 * max(took):.1f} ms")
        assert max(took) < PROMPT
        for i, w in enumerate(wires):
            if i % len(silent) < 2:
                assert w.response().status == 408
                w.expect_end()
            else:
                w.accepted()
                w.expect_close(1008, "handshake timeout")
        node.metrics_are(ltp_handshake_timeouts_total=HALF_OPEN,
                         ltp_ws_connections_current=0)


# ---- who does not read ----

SLOW = 50
EACH = 128 * 1024       # bytes that the node may keep for one


def resident(node):
    return sum(p["resident_bytes"] for p in ops.processes(node))


@contextlib.contextmanager
def besieged(lab, **settings):
    """A node, clients who only send, and the memory it had before them."""
    with started(lab, workers=2, **settings) as node:
        wires = [enter(node, f"slow-{i}", rcvbuf=4096, sndbuf=16384)
                 for i in range(SLOW)]
        before = resident(node)
        ops.flood(wires, BEAT * 500)
        yield node, wires, before


def test_who_does_not_read_slows_nobody_down(lab):
    with besieged(lab) as (node, wires, before):
        assert resident(node) - before < SLOW * EACH
        took = [comes_in(node) for _ in range(50)]
        w = enter(node)
        for n in range(200):
            for slow in wires:
                with contextlib.suppress(BlockingIOError):
                    slow.sock.recv(64)
            begin = time.monotonic()
            beat(w, n)
            took.append(time.monotonic() - begin)
        print(f"the slowest of {len(took)} took {1000 * max(took):.1f} ms; "
              f"{resident(node) - before} bytes for {SLOW} slow readers")
        assert max(took) < PROMPT
        assert resident(node) - before < SLOW * EACH
        for slow in wires:
            slow.reset()
        node.metrics_are(ltp_ws_connections_current=1, ltp_sessions_total=1)


def test_who_never_reads_goes_when_its_time_is_up(lab):
    """Though the goodbye cannot be said."""
    with besieged(lab, idle_ttl_ms=1000, gc_interval_ms=100) as (node, *_):
        node.samples_are({'ltp_sessions_expired_total{reason="ttl"}': SLOW,
                          "ltp_ws_connections_current": 0,
                          "ltp_sessions_total": 0}, 2 * TIMEOUT)
        assert len(node.log_lines(
            'client_id=slow-.* reason="idle timeout"')) == SLOW


# ---- the wall clock ----

SHIM = r"""
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/time.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static int (*real)(clockid_t, struct timespec *);
static const volatile long *ahead;

__attribute__((constructor)) static void
start(void)
{
	int fd = open(FILE_WITH_SECONDS, O_RDONLY);
	void *p = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0);

	ahead = p == MAP_FAILED ? NULL : p;
	close(fd);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int rv;

	if (real == NULL)
		real = (int (*)(clockid_t, struct timespec *))dlsym(
		    RTLD_NEXT, "clock_gettime");
	rv = real(id, ts);
	if (rv == 0 && ahead != NULL &&
	    (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += *ahead;
	return rv;
}

int
gettimeofday(struct timeval *tv, void *tz)
{
	struct timespec ts;

	(void)tz;
	if (clock_gettime(CLOCK_REALTIME, &ts) == -1)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *t)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) == -1)
		return -1;
	if (t != NULL)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
"""


class Clock:
    """
    The wall clock of one node, so that nobody else's is set: a library that
    is loaded into its processes, by way of an /etc of their own, since they
    have no environment; it reads the difference from memory, since they
    cannot make system calls.
    """

    def __init__(self, lab):
        self.dir = lab.stage.dir / "clock"
        etc = self.dir / "etc"
        etc.mkdir(parents=True)
        self.file = self.dir / "ahead"
        self.file.write_bytes(struct.pack("l", 0))
        source, shim = self.dir / "shim.c", self.dir / "shim.so"
        source.write_text(SHIM)
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O",
             f'-DFILE_WITH_SECONDS="{self.file}"', "-o", str(shim),
             str(source), "-ldl"], check=True)
        (etc / "ld.so.preload").write_text(f"{shim}\n")
        self.wrap = ["unshare", "--mount", "sh", "-c",
                     "mount -t overlay -o lowerdir=" + f"{etc}:/etc"
                     ' overlay /etc && exec "$@"', "sh"]

    def set(self, seconds):
        with open(self.file, "r+b", buffering=0) as f:
            f.write(struct.pack("l", seconds))

    def works(self):
        return subprocess.run([*self.wrap, "true"],
                              capture_output=True).returncode == 0


@pytest.fixture
def clock(lab):
    clock = Clock(lab)
    yield clock
    shutil.rmtree(clock.dir)


class Jump:
    """What must not be noticed when the clock is set."""

    RPS, BURST = 50, 50
    TTL = 1.5           # seconds

    def __init__(self, node, clock):
        self.node = node
        self.clock = clock
        self.numbers = itertools.count(1)
        self.address = None
        self.used_up = None     # its limit: between these two times

    def day_in_the_log(self):
        return self.node.log().splitlines()[-1][:10]

    def to(self, seconds):
        self.address = f"192.0.2.{next(self.numbers)}"
        idle = enter(self.node, "idle")
        since = time.monotonic()
        assert self.use_up() >= self.BURST
        self.clock.set(seconds)
        self.limit_is_as_it_was()
        silent = self.node.connect()
        silent_since = time.monotonic()
        while time.monotonic() < since + 0.8 * self.TTL:
            assert not idle.readable(0.05), "it expired too early"
        self.limit_is_as_it_was()
        idle.expect_close(1001, "idle timeout")
        assert time.monotonic() - since < self.TTL + 1
        silent.expect_close(1008, "handshake timeout")
        assert abs(time.monotonic() - silent_since - self.TTL) < 0.5
        assert self.day_in_the_log() == \
            time.strftime("%Y-%m-%d", time.gmtime(time.time() + seconds))

    def use_up(self):
        """How many messages of the address pass."""
        begin = time.monotonic()
        passed = 0
        with Wire(self.node.address) as w:
            w.upgrade([("X-Forwarded-For", self.address)])
            w.send(BEAT * 2 * self.BURST)
            while w.recv_frame().opcode != CLOSE:
                passed += 1
        self.used_up = begin, time.monotonic()
        return passed

    def limit_is_as_it_was(self):
        """What passes is what time has given, neither more nor nothing."""
        earliest, latest = self.used_up
        least = self.RPS * (time.monotonic() - latest)
        passed = self.use_up()
        most = self.RPS * (time.monotonic() - earliest)
        assert min(least, self.BURST) - 1 <= passed <= most + 1


class Calm(ops.Herd):
    PAUSE = Jump.TTL / 3


@pytest.mark.long
@pytest.mark.skipif(not ROOT, reason="takes root")
def test_the_wall_clock_may_be_set(lab, clock):
    if not clock.works():
        pytest.skip("no mount namespace, or no overlay in it")
    with started(lab, wrap=clock.wrap, workers=2, trust_proxy=True,
                 idle_ttl_ms=int(1000 * Jump.TTL), gc_interval_ms=100,
                 handshake_timeout_ms=int(1000 * Jump.TTL),
                 ip_rate_limit_rps=Jump.RPS,
                 ip_rate_limit_burst=Jump.BURST) as node:
        jump = Jump(node, clock)
        with Calm(node, 10) as herd:
            for seconds in (DAY, 0, -DAY, 0):
                jump.to(seconds)
                herd.turns()
                assert node.get("/health")[0] == 200
        node.drop_wires()
