"""Processes: who there is, who may what, and what a death costs."""

import os
import signal
import subprocess
import time

import pytest

import ops
from node import PROGRAMS, TIMEOUT, wait_for
from ops import RESPAWN, ROOT, beat, enter, process, processes, started

KEYS = {"alice": "alice-key-0001", "bob": "bob-key-0002"}
KINDS = ("worker", "auth", "metrics")

needs_root = pytest.mark.skipif(not ROOT, reason="takes root")


@pytest.fixture(scope="module")
def quiet(lab):
    """Nobody of this one dies."""
    with started(lab, KEYS, workers=2) as node:
        yield node


@pytest.fixture
def guarded(lab):
    with started(lab, KEYS, workers=2) as node:
        yield node


def names(pids):
    ps = subprocess.run(
        ["ps", "-o", "comm=,uid=,ruid=,gid=,rgid=", "-p",
         ",".join(map(str, pids))],
        check=True, capture_output=True, text=True)
    return sorted(line.split() for line in ps.stdout.splitlines())


# ---- who there is ----

@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["none", "api_key"])
def test_ps_shows_each_process_as_the_user_of_the_node(lab, workers, keys):
    with started(lab, keys, workers=workers) as node:
        uid, gid = str(lab.stage.uid), str(os.getgid())
        if ROOT:
            gid = uid
        expected = ["ltpd", "ltp-metrics"] + workers * ["ltp-worker"]
        if keys is not None:
            expected.append("ltp-auth")
        assert uid != "0"
        assert names(node.group()) == \
            sorted([name, uid, uid, gid, gid] for name in expected)


def test_every_child_is_one_of_the_supervisors(quiet):
    parents = {ops.stat_of(pid)[1] for pid in quiet.children}
    assert parents == {str(quiet.proc.pid)}


def test_show_processes_tells_what_ps_tells(quiet):
    rows = processes(quiet)
    assert [(r["process"], r["slot"]) for r in rows] == [
        ("ltpd", 0), ("worker", 0), ("worker", 1), ("metrics", 0),
        ("auth", 0)]
    assert {r["pid"] for r in rows} == quiet.group()
    assert {r["uid"] for r in rows} == {quiet.stage.uid}
    assert all(r["state"] == "ready" and r["restarts"] == 0 for r in rows)


def test_every_process_is_closed_to_its_own_user(quiet):
    """Not dumpable: no environment, memory or descriptor can be read."""
    for pid in quiet.group():
        for what in ("environ", "mem", "maps", "auxv"):
            path = f"/proc/{pid}/{what}"
            done = ops.as_node_user(quiet, "/bin/cat", path)
            assert done.returncode != 0 and done.stdout == b"", path
        done = ops.as_node_user(quiet, "/bin/ls", f"/proc/{pid}/fd")
        assert done.returncode != 0 and done.stdout == b"", pid


def test_every_process_says_that_it_is_not_dumpable(quiet):
    assert not any(r["sandbox"]["dumpable"] for r in processes(quiet))


def test_no_process_can_gain_privileges(quiet):
    for pid in quiet.group():
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            status = dict(line.split(":", 1) for line in f)
        assert status["NoNewPrivs"].strip() == "1", status["Name"]


def test_no_process_leaves_a_core(quiet):
    for pid in quiet.group():
        limits = subprocess.run(
            ["prlimit", "--pid", str(pid), "--core", "--noheadings",
             "-o", "SOFT,HARD"], capture_output=True, text=True)
        if limits.returncode == 0:
            assert limits.stdout.split() == ["0", "0"], pid


@needs_root
def test_children_have_an_empty_environment(lab):
    with started(lab, KEYS, env={"LTPD_TEST_MARK": "1"}) as node:
        for pid in node.children:
            with open(f"/proc/{pid}/environ", "rb") as f:
                assert f.read() == b"", pid


@needs_root
def test_children_have_the_channel_and_no_more(quiet):
    for pid in quiet.children:
        fds = {int(n): os.readlink(f"/proc/{pid}/fd/{n}")
               for n in os.listdir(f"/proc/{pid}/fd")}
        # stderr is for what goes wrong before READY, and given up then.
        assert fds[0] == fds[1] == fds[2] == "/dev/null"
        assert fds[3].startswith("socket:")
        # Beyond these only what a process makes itself or was passed.
        for n in fds.keys() - {0, 1, 2}:
            assert fds[n].startswith(("socket:", "pipe:", "anon_inode:")), \
                (pid, n, fds[n])


@needs_root
def test_secrets_of_the_environment_are_wiped(lab):
    """They are in force, but nobody finds them where they came from."""
    secret = "environment-key-0001"
    with started(lab, auth_mode="api_key", secrets=[secret],
                 env={"AUTH_KEYS": f"alice:{secret}"}) as node:
        enter(node, "alice", secret)
        for pid in node.group():
            with open(f"/proc/{pid}/environ", "rb") as f:
                assert secret.encode() not in f.read(), pid


@needs_root
def test_root_is_refused(lab):
    with ops.prepared(lab) as node:
        done = subprocess.run(
            [str(lab.stage.bin / "ltpd/ltpd"), "-d", "-f", str(node.conf)],
            capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "root" in done.stderr


# ---- a child that cannot start ----

def break_program(node, name, how):
    """Give the node programs of its own, one of which is broken."""
    for program in PROGRAMS:
        path = node.dir / "bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((node.stage.bin / program).read_bytes())
        path.chmod(0o755)
    how(node.dir / "bin" / name / name)
    command = node.command
    node.command = lambda *args: [
        word.replace(str(node.stage.bin), str(node.dir / "bin"))
        for word in command(*args)]


def script(path):
    path.write_text("#!/bin/sh\nexit 3\n")


@pytest.mark.parametrize("name, how, cause", [
    ("ltp-metrics", os.unlink, "No such file"),
    ("ltp-auth", os.unlink, "No such file"),
    ("ltp-auth", lambda path: path.chmod(0o644), "Permission denied"),
    ("ltp-metrics", lambda path: path.write_text("nonsense"),
     "Exec format error"),
    ("ltp-worker", script, None),
    ("ltp-metrics", script, None),
], ids=["no_metrics", "no_auth", "auth_not_executable", "metrics_no_program",
        "worker_exits", "metrics_exits"])
def test_a_child_that_cannot_start_ends_the_node(lab, name, how, cause):
    role = name.removeprefix("ltp-")
    with ops.prepared(lab, KEYS, errors=f"{role}|cannot run") as node:
        break_program(node, name, how)
        node.launch()
        node.expect_exit(1)
        errors = node.log_lines(" error ")
        assert len(errors) == 1 and "did not start" in errors[0], errors
        assert role in errors[0]
        if cause is not None:
            assert node.log_lines(f"cannot run .*{name}: {cause}")
        assert not node.log_lines("ltpd: ready")
        assert not node.control.exists()


# ---- kill -9 of a child ----

def spread(node, count):
    """Clients with sessions, by the worker that has them."""
    wires = {f"c{i}": enter(node, f"c{i}") for i in range(count)}
    by_worker = {}
    for s in ops.sessions(node):
        by_worker.setdefault(s["worker"], {})[s["client_id"]] = \
            wires[s["client_id"]]
    return by_worker


def test_connections_are_spread_over_the_workers(lab):
    with started(lab, workers=2) as node:
        assert {slot: len(wires) for slot, wires in
                spread(node, 8).items()} == {0: 4, 1: 4}


def test_a_killed_worker_takes_only_its_own_clients(lab):
    with started(lab, workers=2) as node:
        by_worker = spread(node, 8)
        for client_id, wire in by_worker[1].items():
            beat(wire, 1, client_id)
        ops.kill_child(node, "worker", 0)
        for client_id, wire in by_worker[1].items():
            beat(wire, 2, client_id)
        for wire in by_worker[0].values():
            wire.expect_end()
        # What the dead one held is given back.
        shown = ops.summary(node)
        assert shown["connections"]["current"] == 4
        assert shown["sessions"]["current"] == 4
        assert len(ops.sessions(node)) == 4
        beat(enter(node, "new"), 1, "new")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV],
                         ids=["KILL", "SEGV"])
def test_a_killed_child_has_a_successor(guarded, kind, number):
    """kill_child() waits no longer than is allowed."""
    bystander = {p["pid"] for p in processes(guarded)}
    alice = enter(guarded, "alice", KEYS["alice"])
    bob = enter(guarded, "bob", KEYS["bob"])
    victim, heir = ops.kill_child(guarded, kind, 0, number)

    assert heir["restarts"] == victim["restarts"] + 1
    assert heir["sandbox"] == victim["sandbox"]
    bystander.remove(victim["pid"])
    assert bystander < guarded.group()
    assert guarded.log_lines(
        rf" warn .*{kind}\S*: died of signal {int(number)} "
        rf".*pid={victim['pid']}")
    restarts = ops.summary(guarded)["counters"]["ltp_restarts_total"]
    assert restarts["process"] == {
        k: int(k == kind) for k in (*KINDS, "audit", "sign")}
    guarded.samples_are({
        f'ltp_restarts_total{{process="{k}"}}': int(k == kind)
        for k in KINDS})

    for client_id, wire in (("alice", alice), ("bob", bob)):
        if kind != "worker" or wire is bob:
            beat(wire, 2, client_id)
    beat(enter(guarded, "alice", KEYS["alice"]), 3, "alice")
    assert guarded.get("/livez")[0] == 200


def test_no_counter_goes_down_when_workers_are_killed(lab):
    """Under traffic, and with counts that have been reported before."""
    heartbeats = 'ltp_msgs_total{type="heartbeat"}'
    with started(lab, workers=2) as node, \
            ops.Herd(node, 10, lossy=True) as herd, \
            ops.Sampler(node) as sampler:
        for slot in (0, 1, 0, 1):
            seen = sampler.last.get(heartbeats, 0)
            wait_for(lambda: sampler.last.get(heartbeats, 0) > seen + 100,
                     "workers report")
            ops.kill_child(node, "worker", slot)
        herd.turns()
        node.samples_are({"ltp_ws_connections_current": 10,
                          'ltp_restarts_total{process="worker"}': 4})
        sampler.samples()
        assert herd.lost >= 10
        assert not sampler.fallen


def test_no_counter_goes_down_when_metrics_is_killed(lab):
    with started(lab) as node:
        beat(enter(node))
        node.samples_are({'ltp_msgs_total{type="heartbeat"}': 1})
        with ops.Sampler(node) as sampler:
            for _ in range(3):
                sampler.samples()
                ops.kill_child(node, "metrics")
            sampler.samples()
            assert not sampler.fallen


def test_health_is_well_right_after_metrics_was_killed(lab):
    """A probe must not take the node down for it."""
    with started(lab) as node:
        wait_for(lambda: node.get("/health")[0] == 200, "a report")
        ops.kill_child(node, "metrics")
        assert node.get("/health")[0] == 200


def test_new_clients_wait_for_a_killed_auth(guarded):
    """Or come when it is there again; none is refused, none is let in."""
    with ops.Herd(guarded, 0, keys=KEYS) as herd, \
            ops.Sampler(guarded) as sampler:
        for _ in range(3):
            herd.turns()
            victim = process(guarded, "auth")
            ops.slay(victim["pid"])
            late = [enter(guarded, i, key) for i, key in KEYS.items()]
            assert ops.status_for(guarded, "wrong") == (401,
                                                        "invalid api key")
            ops.successor(guarded, "auth", 0, victim["pid"])
            for client_id, wire in zip(KEYS, late):
                beat(wire, 1, client_id)
        guarded.settle()
        guarded.metrics_are(auth_failures_total=3,
                            ltp_sessions_total=2 + 3 * len(KEYS))
        assert not sampler.fallen


def test_questions_that_a_killed_auth_leaves_are_answered_503(guarded):
    auth = process(guarded, "auth")["pid"]
    os.kill(auth, signal.SIGSTOP)
    with guarded.wire() as wire:
        wire.send(ops.harness.request([("X-API-Key", KEYS["bob"])]))
        wire.quiet()
        os.kill(auth, signal.SIGKILL)
        wire.refused(503)
    ops.successor(guarded, "auth", 0, auth)
    guarded.settle()


# ---- back-off ----

def die_again_and_again(node, name, times):
    """Kill as soon as a successor is there; returns when each was born."""
    births = []
    pid = process(node, name)["pid"]
    for _ in range(times):
        os.kill(pid, signal.SIGKILL)
        p = ops.successor(node, name, 0, pid, 2 * RESPAWN)
        pid = p["pid"]
        births.append((time.monotonic(), ops.start_time(pid)))
    node.settle()
    return births


@pytest.mark.parametrize("kind", ["worker"])
def test_back_off(lab, kind):
    """Five restarts at once, then one a second; the others do not care."""
    with started(lab, workers=2) as node:
        begin = time.monotonic()
        by_worker = spread(node, 2)
        births = die_again_and_again(node, kind, 12)
        assert births[4][0] - begin < RESPAWN
        starts = [start for _, start in births]
        gaps = [b - a for a, b in zip(starts[4:], starts[5:])]
        # A tick may be missing at either end.
        assert all(1 - 2 / ops.TICK <= gap <= 1.5 for gap in gaps), gaps
        (client_id, wire), = by_worker[1].items()
        beat(wire, 1, client_id)
        assert process(node, kind)["restarts"] == 12
        assert len(node.log_lines("died of signal 9")) == 12


def test_nobody_waits_long_for_an_auth_that_keeps_dying(guarded):
    """A second at most, then 503; and never is anybody let in unasked."""
    alice = enter(guarded, "alice", KEYS["alice"])
    die_again_and_again(guarded, "auth", 6)
    ops.slay(process(guarded, "auth")["pid"])
    begin = time.monotonic()
    status, _ = ops.status_for(guarded, "wrong")
    assert status in (401, 503) and time.monotonic() - begin < RESPAWN
    beat(alice, 1, "alice")
    guarded.settle()
    assert ops.status_for(guarded, "wrong")[0] == 401
    assert ops.let_in(guarded, KEYS["bob"])


@pytest.mark.long
def test_back_off_is_forgotten_after_a_minute(lab):
    with started(lab) as node:
        die_again_and_again(node, "worker", 6)
        pid = process(node, "worker")["pid"]
        wait_for(lambda: process(node, "worker")["uptime_ms"] > 60500,
                 "a minute", 70, 0.5)
        assert process(node, "worker")["pid"] == pid
        begin = time.monotonic()
        births = die_again_and_again(node, "worker", 5)
        assert births[-1][0] - begin < RESPAWN


# ---- kill -9 of the supervisor ----

def test_a_killed_supervisor_leaves_nobody(guarded):
    wire = enter(guarded, "alice", KEYS["alice"])
    os.kill(guarded.proc.pid, signal.SIGKILL)
    guarded.proc.wait(TIMEOUT)
    wait_for(lambda: not guarded.group(), "all children have gone", 2)
    wire.expect_end()
    assert guarded.control.exists(), "the test needs a stale socket"

    guarded.launch()
    assert guarded.ready(), guarded.log()
    guarded.settle()
    beat(enter(guarded, "alice", KEYS["alice"]), 1, "alice")


def test_a_stopped_child_does_not_outlive_a_killed_supervisor(lab):
    with started(lab) as node:
        os.kill(process(node, "worker")["pid"], signal.SIGSTOP)
        os.kill(node.proc.pid, signal.SIGKILL)
        node.expect_exit(-signal.SIGKILL)


def test_two_nodes_do_not_share_a_control_socket(lab):
    with started(lab) as first, \
            ops.prepared(lab, errors="control_socket") as second:
        wire = enter(first)
        inode = first.control.stat().st_ino
        second.configure(control_socket=str(first.control))
        second.launch()
        second.expect_exit(1)
        errors = second.log_lines(" error ")
        assert len(errors) == 1 and str(first.control) in errors[0], errors
        assert "in use" in errors[0]

        assert first.control.stat().st_ino == inode
        assert ops.summary(first)["pid"] == first.proc.pid
        beat(wire)


# ---- what children do not hear ----

def test_children_leave_signals_to_the_supervisor(quiet):
    """A terminal or a service manager signals the whole group."""
    alice = enter(quiet, "alice", KEYS["alice"])
    for pid in quiet.children:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                       signal.SIGUSR1, signal.SIGPIPE):
            os.kill(pid, number)
    beat(alice, 1, "alice")
    beat(enter(quiet, "bob", KEYS["bob"]), 1, "bob")
    assert quiet.group() - {quiet.proc.pid} == quiet.children
    assert quiet.get("/livez")[0] == 200
