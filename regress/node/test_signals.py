"""Signals, the background, and the service manager."""

import contextlib
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

import ops
from node import CLOSE, TIMEOUT, close, compact, free_ports, text, wait_for
from ops import DRAIN, Daemon, beat, enter, started

ALICE = "alice-key-0001"
AWAY = (1001, "shutting down")
LATE = 0.5          # seconds that a busy machine may add


# ---- the end ----

def end_by_signal(number):
    def end(node):
        node.proc.send_signal(number)
    return end


def end_by_group(node):
    """As a terminal does, or a service manager that knows no better."""
    os.killpg(node.proc.pid, signal.SIGTERM)


def end_by_ltpctl(node):
    r = node.ctl("stop")
    assert (r.returncode, r.stderr) == (0, "")


ENDS = pytest.mark.parametrize("end", [
    end_by_signal(signal.SIGTERM), end_by_signal(signal.SIGINT),
    end_by_group, end_by_ltpctl,
], ids=["TERM", "INT", "TERM_to_the_group", "ltpctl_stop"])


@ENDS
def test_everybody_is_told_and_the_node_ends_well(lab, end):
    with started(lab, {"alice": ALICE}, workers=2) as node:
        wires = [enter(node, "alice", ALICE) for _ in range(10)]
        fresh = node.connect([("X-API-Key", ALICE)])
        begin = time.monotonic()
        end(node)
        for wire in (*wires, fresh):
            wire.expect_close(*AWAY)
        node.expect_exit(0, DRAIN)
        # Nobody was waited for in vain.
        assert time.monotonic() - begin < 1 + LATE
        assert not node.log_lines("died of signal|exited with|killed")
        assert not node.control.exists()
        for address in (node.address, node.metrics_address):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, TIMEOUT)


@ENDS
def test_a_node_without_clients_ends_at_once(lab, end):
    with started(lab) as node:
        begin = time.monotonic()
        end(node)
        node.expect_exit(0, DRAIN)
        assert time.monotonic() - begin < LATE


def test_who_only_asked_for_an_upgrade_gets_503(lab):
    with started(lab) as node:
        wire = node.wire()
        wire.send(b"GET / HTTP/1.1\r\n")
        node.barrier()
        node.proc.send_signal(signal.SIGTERM)
        wire.refused(503)
        node.expect_exit(0, DRAIN)


def stuff(wire, client_id):
    """
    Make the node's answers pile up: ask and do not read, until no question
    is taken any more.
    """
    ask = text(compact({"type": "heartbeat", "client_id": client_id,
                        "timestamp_ms": 1})) * 1000
    wire.sock.setblocking(False)
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 0.3:
        try:
            wire.sock.send(ask)
            quiet_since = time.monotonic()
        except BlockingIOError:
            os.sched_yield()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT],
                         ids=["TERM", "INT"])
def test_nobody_holds_the_node_up(lab, number):
    """
    Neither who does not read, nor who does not answer the close, nor who
    goes on talking.  Meanwhile nobody new comes in.
    """
    with started(lab, workers=2) as node:
        stuffed = enter(node, "stuffed", rcvbuf=4096)
        mute = enter(node, "mute")
        polite = enter(node, "polite")
        stuff(stuffed, "stuffed")
        begin = time.monotonic()
        node.proc.send_signal(number)
        polite.expect_close(*AWAY)
        f = mute.recv_frame()
        assert f.opcode == CLOSE and f.payload[2:].decode() == AWAY[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(node.address, TIMEOUT)
        assert node.proc.poll() is None, "the test needs a node that drains"
        assert ops.summary(node)["draining"] is True
        wait_for(lambda: node.get("/health")[0] == 503, "probes hear of it",
                 DRAIN / 2)
        node.expect_exit(0, DRAIN + LATE)
        assert time.monotonic() - begin <= DRAIN + LATE


def test_a_stopped_worker_does_not_hold_the_node_up(lab):
    with started(lab, workers=2) as node:
        os.kill(ops.process(node, "worker")["pid"], signal.SIGSTOP)
        node.proc.send_signal(signal.SIGTERM)
        node.expect_exit(0, DRAIN + LATE)


def test_who_takes_its_time_to_leave_does_not_bring_the_node_down(lab):
    """The clock ticks on while metrics and auth are without a channel."""
    with started(lab, {"alice": ALICE}) as node:
        slow = [ops.process(node, name)["pid"] for name in ("metrics", "auth")]
        for pid in slow:
            os.kill(pid, signal.SIGSTOP)
        node.proc.send_signal(signal.SIGTERM)
        wait_for(lambda: ops.process(node, "worker")["state"] == "down",
                 "the worker has left")
        assert node.ctl("show", "keys").returncode == 0
        # One tick is in here.
        time.sleep(1.1)
        for pid in slow:
            os.kill(pid, signal.SIGCONT)
        node.expect_exit(0, DRAIN)


def test_nothing_is_sent_to_a_child_that_was_dismissed(lab):
    """It cannot go, and a second passes: that of the counters."""
    with started(lab) as node:
        os.kill(ops.process(node, "metrics")["pid"], signal.SIGSTOP)
        node.proc.send_signal(signal.SIGTERM)
        node.expect_exit(0, DRAIN + LATE)


def test_a_second_signal_changes_nothing(lab):
    with started(lab) as node:
        wire = enter(node)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT,
                       signal.SIGHUP, signal.SIGUSR1):
            node.proc.send_signal(number)
        wire.expect_close(*AWAY)
        node.expect_exit(0, DRAIN)


def test_a_reload_is_refused_while_the_node_ends(lab):
    with started(lab) as node:
        enter(node, "mute")
        node.proc.send_signal(signal.SIGTERM)
        wait_for(lambda: node.log_lines("ltpd: stopping"), "it is ending",
                 interval=0.002)
        r = node.ctl("reload")
        assert r.returncode == 1 and "stopping" in r.stderr
        node.expect_exit(0, DRAIN)


def test_a_client_that_closes_first_is_answered(lab):
    with started(lab) as node:
        wire = enter(node)
        wire.send(close(1000))
        node.proc.send_signal(signal.SIGTERM)
        f = wire.recv_frame()
        assert f.opcode == CLOSE
        wire.expect_end()
        node.expect_exit(0, DRAIN)


def test_hup_to_the_whole_group_is_one_reload(lab):
    with started(lab) as node:
        wire = enter(node)
        os.killpg(node.proc.pid, signal.SIGHUP)
        ops.wait_for_log(node, "reload: done")
        beat(wire)
        assert len(node.log_lines("reload: done")) == 1


# ---- the log file ----

class Visitors(ops.Background):
    """Clients that come and go; each leaves one line in the log."""

    PAUSE = 0

    def __init__(self, node):
        super().__init__()
        self.node = node
        self.count = 0

    def step(self):
        with self.node.wire() as wire:
            wire.upgrade()
            wire.say(ops.hello(f"visitor-{self.count}"))
            wire.expect(ops.HELLO_ACK)
        self.node.wires.clear()
        self.count += 1

    def more(self):
        goal = self.count + 20
        wait_for(lambda: self.count >= goal or self.error, "visitors")
        self.check()


def visitors_in(path):
    return re.findall(r"closed .* client_id=visitor-(\d+) ",
                      path.read_text())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_usr1_reopens_the_log_and_no_line_is_lost(lab):
    with started(lab, kind=Daemon, workers=2) as node, \
            Visitors(node) as visitors:
        old = [node.dir / f"old.{i}" for i in range(5)]
        for path in old:
            visitors.more()
            node.log_path.rename(path)
            visitors.more()
            node.proc.send_signal(signal.SIGUSR1)
            wait_for(node.log_path.exists, "there is a new log")
            assert mode(node.log_path) == 0o600
        visitors.more()
        visitors.leave.set()
        visitors.thread.join(TIMEOUT)
        expected = {str(n) for n in range(visitors.count)}

        def lines():
            return [n for path in (*old, node.log_path)
                    for n in visitors_in(path)]
        wait_for(lambda: set(lines()) == expected, "every line is there")
        assert len(lines()) == len(expected), "a line was written twice"
        assert all(visitors_in(path) for path in (*old, node.log_path))


def test_usr1_without_a_rename_goes_on_in_the_same_file(lab):
    with started(lab, kind=Daemon) as node:
        before = node.log()
        inode = node.log_path.stat().st_ino
        node.proc.send_signal(signal.SIGUSR1)
        ops.wait_for_log(node, "reopen")
        assert node.log().startswith(before)
        assert node.log_path.stat().st_ino == inode


def test_a_log_that_cannot_be_reopened_is_kept(lab):
    with started(lab, kind=Daemon) as node:
        moved = node.dir / "moved"
        node.log_path.rename(moved)
        node.log_path.mkdir()
        node.proc.send_signal(signal.SIGUSR1)
        wait_for(lambda: re.search(" (warn|error) .*log_file",
                                   moved.read_text()), "it is said")
        beat(enter(node))
        node.log_path.rmdir()
        moved.rename(node.log_path)


def test_usr1_in_the_foreground_changes_nothing(lab):
    with started(lab) as node:
        wire = enter(node)
        node.proc.send_signal(signal.SIGUSR1)
        beat(wire)
        assert ops.ctl_json(node, "reload") == {"ok": True}


def test_an_existing_log_is_appended_to(lab):
    with ops.prepared(lab, kind=Daemon) as node:
        line = "2000-01-01T00:00:00.000Z info ltpd ltpd: old times\n"
        node.file("ltpd.log", line)
        node.start()
        assert node.log().startswith(line)
        node.stop()


# ---- the background ----

def test_the_caller_returns_when_the_node_answers(lab):
    for _ in range(5):
        with started(lab, kind=Daemon, workers=2) as node:
            # At once, without waiting for anything.
            beat(enter(node))
            assert node.get("/livez")[0] == 200
            assert node.get("/health")[0] == 200
            assert node.said == ""
            assert mode(node.log_path) == 0o600


def test_the_background_is_a_session_of_its_own(lab):
    with started(lab, kind=Daemon) as node:
        assert os.getsid(node.proc.pid) == node.proc.pid
        terminal = ops.stat_of(node.proc.pid)[4]
        assert terminal == "0"
        assert not ops.ROOT or \
            os.readlink(f"/proc/{node.proc.pid}/cwd") == "/"


@pytest.mark.parametrize("which", ["addr", "metrics_addr"])
def test_the_caller_tells_that_a_port_is_taken(lab, which):
    with socket.socket() as taken, \
            ops.prepared(lab, kind=Daemon) as node:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node.configure(**{which: f"127.0.0.1:{port}"})
        node.launch()
        assert node.status == 1
        assert node.said.count("\n") == 1
        assert f"127.0.0.1:{port}" in node.said
        assert "in use" in node.said
        assert not node.control.exists()


def test_the_caller_tells_that_the_control_socket_is_taken(lab):
    with started(lab) as first, ops.prepared(lab, kind=Daemon) as node:
        node.configure(control_socket=str(first.control))
        node.launch()
        assert node.status == 1
        assert str(first.control) in node.said


def test_the_caller_tells_that_the_log_cannot_be_opened(lab):
    with ops.prepared(lab, kind=Daemon,
                      log_file="/nowhere/ltpd.log") as node:
        node.launch()
        assert node.status == 1
        assert node.said.count("\n") == 1
        assert "/nowhere/ltpd.log" in node.said


def test_the_background_holds_no_output_of_its_caller(lab):
    """Who reads what the caller says would wait for the end of the node."""
    with ops.prepared(lab, kind=Daemon) as node:
        out, theirs = os.pipe()
        node.caller = subprocess.Popen(
            node.command("-f", str(node.conf)), stdin=subprocess.DEVNULL,
            stdout=theirs, stderr=theirs, cwd="/", env=node.env)
        os.close(theirs)
        with open(out, "rb") as reader:
            assert node.caller.wait(TIMEOUT) == 0
            assert select.select([reader], [], [], TIMEOUT)[0], \
                "somebody still holds it"
            assert reader.read() == b""


# ---- the service manager ----

class Manager:
    """The end of NOTIFY_SOCKET that a service manager has."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.bind(path)
        if not path.startswith("\0"):
            os.chmod(path, 0o666)

    def told(self):
        lines = self.sock.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(lab, abstract):
    with ops.prepared(lab) as node:
        path = str(node.dir / "notify.sock")
        manager = Manager("\0" + path if abstract else path)
        node.env["NOTIFY_SOCKET"] = "@" + path if abstract else path
        node.start()
        pid = str(node.proc.pid)
        assert manager.told() == {"READY": "1", "MAINPID": pid,
                                  "STATUS": "serving, workers=1"}

        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        node.proc.send_signal(signal.SIGHUP)
        told = manager.told()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert told.keys() == {"RELOADING", "MONOTONIC_USEC"}
        assert told["RELOADING"] == "1"
        assert before <= int(told["MONOTONIC_USEC"]) <= after
        assert manager.told() == {"READY": "1",
                                  "STATUS": "serving, generation=2"}

        node.proc.send_signal(signal.SIGTERM)
        assert manager.told()["STOPPING"] == "1"
        node.expect_exit()


def test_the_service_manager_does_not_wait_for_a_failed_reload(lab):
    """It waits for READY after a reload, whatever came of it."""
    with ops.prepared(lab) as node:
        path = str(node.dir / "notify.sock")
        manager = Manager(path)
        node.env["NOTIFY_SOCKET"] = path
        node.start()
        assert manager.told()["READY"] == "1"
        node.file("ltpd.conf", "nonsense\n")
        node.proc.send_signal(signal.SIGHUP)
        assert manager.told()["RELOADING"] == "1"
        told = manager.told()
        assert told["READY"] == "1"
        assert "failed" in told["STATUS"]
        node.stop()


def test_a_reload_that_must_not_start_ends_with_the_one_in_progress(lab):
    """The service manager waits for a READY after each of its signals."""
    with ops.prepared(lab, errors="killed") as node:
        path = str(node.dir / "notify.sock")
        manager = Manager(path)
        node.env["NOTIFY_SOCKET"] = path
        node.start()
        assert manager.told()["READY"] == "1"
        worker = ops.process(node, "worker")["pid"]
        os.kill(worker, signal.SIGSTOP)
        node.proc.send_signal(signal.SIGHUP)
        first = manager.told()
        node.proc.send_signal(signal.SIGHUP)
        second = manager.told()
        assert first["RELOADING"] == second["RELOADING"] == "1"
        assert int(first["MONOTONIC_USEC"]) < int(second["MONOTONIC_USEC"])
        ops.wait_for_log(node, "a reload is in progress")
        assert "READY" not in second
        os.kill(worker, signal.SIGCONT)
        assert manager.told()["READY"] == "1"
        node.stop()


# Signs of life, once a second.

def watched(node, usec="10000000", pid=""):
    """
    Start, wanting signs of life; pid: from whom, by default ltpd.  Returns
    the manager, who has heard that the node is ready.
    """
    path = str(node.dir / "notify.sock")
    manager = Manager(path)
    node.env.update(NOTIFY_SOCKET=path, WATCHDOG_USEC=usec)
    node.wrap = [sys.executable, "-c", WATCH, pid]
    node.start()
    assert manager.told()["READY"] == "1"
    return manager


WATCH = """
import os, sys
os.environ["WATCHDOG_PID"] = sys.argv[1] or str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_the_event_loop_gives_signs_of_life(lab):
    with ops.prepared(lab) as node:
        manager = watched(node)
        before = time.monotonic()
        for _ in range(3):
            assert manager.told() == {"WATCHDOG": "1"}
        # One may have been late, and the next is not for that.
        assert 1 < time.monotonic() - before < 5
        node.proc.send_signal(signal.SIGHUP)
        words = []
        while "READY" not in words:
            words += manager.told()
        assert [w for w in words if w in ("RELOADING", "READY")] == \
            ["RELOADING", "READY"]
        node.stop()


@pytest.mark.long
def test_who_does_not_run_gives_no_sign_of_life(lab):
    with ops.prepared(lab) as node:
        manager = watched(node)
        assert manager.told() == {"WATCHDOG": "1"}
        node.proc.send_signal(signal.SIGSTOP)
        # What was sent before the stop may still be there.
        manager.sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            for _ in range(2):
                manager.told()
        node.proc.send_signal(signal.SIGCONT)
        assert manager.told() == {"WATCHDOG": "1"}
        node.stop()


def test_signs_of_life_are_not_for_everybody(lab):
    ways = ({"pid": str(os.getpid())}, {"pid": "nobody"}, {"usec": "0"},
            {"usec": "soon"})
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(ops.prepared(lab)) for _ in ways]
        managers = [watched(node, **how) for node, how in zip(nodes, ways)]
        # As long as it takes for one that gives them.
        giver = stack.enter_context(ops.prepared(lab))
        manager = watched(giver)
        for _ in range(2):
            assert manager.told() == {"WATCHDOG": "1"}
        heard = select.select([m.sock for m in managers], [], [], 0)[0]
        assert heard == []
        for node in (*nodes, giver):
            node.stop()


def test_under_a_service_manager_the_node_stays_in_the_foreground(lab):
    """
    And logs as it is configured.  Without -d, which would be the other way
    to have that.
    """
    class Plain(ops.Ltpd):
        def command(self, *args):
            return super().command(*(a for a in args if a != "-d"))

    with ops.prepared(lab, kind=Plain) as node:
        path = str(node.dir / "notify.sock")
        manager = Manager(path)
        node.env["NOTIFY_SOCKET"] = path
        log = node.dir / "other.log"
        node.configure(log_file=str(log))
        node.launch()
        pid = str(node.proc.pid)
        assert manager.told()["MAINPID"] == pid
        assert node.proc.poll() is None
        assert " ltpd: ready" in log.read_text()
        assert node.log() == ""
        node.proc.send_signal(signal.SIGTERM)
        assert manager.told()["STOPPING"] == "1"
        assert node.proc.wait(TIMEOUT) == 0


def test_ready_is_not_said_before_the_node_answers(lab):
    with ops.prepared(lab) as node:
        path = str(node.dir / "notify.sock")
        manager = Manager(path)
        node.env["NOTIFY_SOCKET"] = path
        answers = []

        def ask():
            manager.told()
            answers.append(ops.let_in(node))
        thread = threading.Thread(target=ask)
        thread.start()
        node.start()
        thread.join(TIMEOUT)
        assert answers == [True]
        node.stop()


def test_an_unusable_notify_socket_is_no_reason_to_stay_down(lab):
    for path in ("/nowhere/notify.sock", "relative", "", "/" + 200 * "x"):
        with started(lab, env={"NOTIFY_SOCKET": path}) as node:
            assert ops.let_in(node)


# ---- sockets that the service manager opened ----

def listening(n):
    socks = []
    for _ in range(n):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        socks.append(sock)
    return socks


def activated(node, names, pid=""):
    """Start with as many sockets as there are names; their addresses."""
    socks = listening(len(names))
    node.wrap = ops.activate(socks, pid)
    node.fds = [s.fileno() for s in socks]
    if any(names):
        node.env["LISTEN_FDNAMES"] = ":".join(names)
    node.launch()
    assert node.ready(), node.log()
    node.children = node.group() - {node.proc.pid}
    addresses = [s.getsockname() for s in socks]
    for sock in socks:
        sock.close()
    return addresses


def is_served(address):
    try:
        socket.create_connection(address, TIMEOUT).close()
    except ConnectionRefusedError:
        return False
    return True


def test_passed_sockets_are_served(lab):
    with ops.prepared(lab) as node:
        configured = node.address
        for address in activated(node, ["", ""]):
            node.address = address
            beat(enter(node))
        # They stand for the configured ones; metrics was not passed.
        assert not is_served(configured)
        assert node.get("/livez")[0] == 200
        node.stop()


def test_a_passed_socket_may_be_that_of_metrics(lab):
    with ops.prepared(lab) as node:
        configured = node.metrics_address
        ltp, node.metrics_address = activated(node, ["ltp", "metrics"])
        node.address = ltp
        beat(enter(node))
        assert node.get("/livez")[0] == 200
        assert not is_served(configured)
        listeners = ops.summary(node)["listeners"]
        assert listeners == [
            {"kind": "ltp", "url": "ws://%s:%d" % ltp},
            {"kind": "metrics", "url": "http://%s:%d" % node.metrics_address}]
        node.stop()


def test_only_metrics_may_be_passed(lab):
    with ops.prepared(lab) as node:
        node.metrics_address, = activated(node, ["metrics"])
        beat(enter(node))
        assert node.get("/livez")[0] == 200
        node.stop()


def test_sockets_of_somebody_else_are_not_served(lab):
    """LISTEN_PID names another process."""
    with ops.prepared(lab) as node:
        address, = activated(node, [""], str(os.getpid()))
        beat(enter(node))
        # It is still open, but nobody takes anything from it.
        with pytest.raises((OSError, EOFError)):
            wire = ops.harness.Wire(address)
            wire.sock.settimeout(0.3)
            wire.upgrade()
        node.stop()


def test_passed_sockets_survive_a_reload_and_a_killed_worker(lab):
    with ops.prepared(lab) as node:
        node.address, = activated(node, [""])
        wire = enter(node)
        assert node.ctl("reload").returncode == 0
        beat(wire)
        ops.kill_child(node, "worker")
        beat(enter(node))
        node.stop()


def test_what_is_no_listening_socket_is_refused(lab):
    with ops.prepared(lab) as node, socket.socket() as sock:
        sock.bind(("127.0.0.1", free_ports(1)[0]))
        node.wrap = ops.activate([sock])
        node.fds = [sock.fileno()]
        node.launch()
        assert node.proc.wait(TIMEOUT) == 1
        assert "LISTEN_FDS" in node.log()


def test_passed_sockets_must_keep_the_bind_rule(lab):
    with ops.prepared(lab) as node, socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        sock.listen()
        node.wrap = ops.activate([sock])
        node.fds = [sock.fileno()]
        node.launch()
        assert node.proc.wait(TIMEOUT) == 1
        assert "loopback" in node.log()
