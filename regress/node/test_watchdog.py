"""A child that stands still: stopped here, as one that spins would be."""

import os
import signal
import time

import pytest

import ops
from node import Wire, request, text, compact, wait_for
from ops import HELLO_ACK, beat, enter, hello, process, started

KEYS = {"alice": "alice-key-0001", "bob": "bob-key-0002"}
ALICE = KEYS["alice"]
PATIENCE = 10           # seconds without an answer
PROMPT = 0.5


def comes_in(node):
    """Seconds that a good client needs from connect to its first answer."""
    begin = time.monotonic()
    with Wire(node.address) as w:
        w.send(request([("X-API-Key", ALICE)]), text(compact(hello())))
        w.accepted()
        w.expect(HELLO_ACK)
    return time.monotonic() - begin


def connections(node, slot):
    return process(node, "worker", slot)["connections"]


def in_each_worker(node):
    """A session of alice in each of two workers, by slot."""
    found = {}
    known = set()
    while len(found) < 2:
        w = enter(node, "alice", ALICE)
        new, = (s for s in ops.sessions(node) if s["connection"] not in known)
        known.add(new["connection"])
        found.setdefault(new["worker"], w)
    return found


def test_new_clients_go_elsewhere_while_a_worker_stands_still(lab):
    """Within two seconds; and nobody is lost when it goes on in time."""
    with started(lab, KEYS, workers=2) as node:
        wires = in_each_worker(node)
        here, there = wires[0], wires[1]
        pid = process(node, "worker", 0)["pid"]
        begin = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        # Who comes at once may still be given to it.
        early = node.wire()
        early.send(request([("X-API-Key", ALICE)]), text(compact(hello())))
        beat(there, 1, "alice")
        time.sleep(begin + 2.5 - time.monotonic())
        took = [comes_in(node) for _ in range(40)]
        beat(there, 2, "alice")
        os.kill(pid, signal.SIGCONT)
        early.accepted()
        early.expect(HELLO_ACK)
        beat(here, 1, "alice")
        print(f"the slowest of {len(took)} new clients took "
              f"{1000 * max(took):.1f} ms")
        assert max(took) < PROMPT
        assert process(node, "worker", 0)["restarts"] == 0

        held = connections(node, 0)
        wait_for(lambda: enter(node, "alice", ALICE) and
                 connections(node, 0) > held, "it gets clients again")


def test_all_workers_stand_still_for_a_moment(lab):
    """There is nobody better: clients wait, and are served."""
    with started(lab, KEYS, workers=2) as node:
        pids = [process(node, "worker", slot)["pid"] for slot in (0, 1)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2)
        wires = [node.wire() for _ in range(10)]
        for w in wires:
            w.send(request([("X-API-Key", ALICE)]), text(compact(hello())))
        time.sleep(0.5)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for w in wires:
            w.accepted()
            w.expect(HELLO_ACK)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["worker", "auth", "metrics", "audit"])
def test_a_child_that_stands_still_is_replaced(lab, kind):
    log = ops.scratch(lab) / "audit.jsonl"
    with started(lab, KEYS, workers=2, audit_log_file=str(log)) as node:
        alice = in_each_worker(node)[1]
        victim = process(node, kind)
        others = node.group() - {victim["pid"]}
        begin = time.monotonic()
        os.kill(victim["pid"], signal.SIGSTOP)
        n = 0
        while not node.log_lines("has not answered"):
            beat(alice, n := n + 1, "alice")
            assert time.monotonic() < begin + PATIENCE + 3, "in vain"
            time.sleep(0.05)
        noticed = time.monotonic() - begin
        heir = ops.successor(node, kind, 0, victim["pid"])
        node.settle()
        back = time.monotonic() - begin - noticed
        print(f"{kind} was killed after {noticed:.1f} s, its successor was "
              f"ready {1000 * back:.0f} ms later; {n} beats meanwhile")
        assert noticed > PATIENCE - 1
        assert node.log_lines(
            rf" warn .*{kind}\S*: killed: has not answered for "
            rf"{PATIENCE} s pid={victim['pid']}$")
        assert heir["restarts"] == 1 and others < node.group()
        beat(alice, 0, "alice")
        wait_for(lambda: node.get("/health")[0] == 200, "it is well")
        assert comes_in(node) < PROMPT
        node.samples_are({f'ltp_restarts_total{{process="{kind}"}}': 1})
