"""
The sandbox, from inside.  A build with regression hooks takes a step that is
forbidden when it is sent a real-time signal: the step's place in the list that
ltpd -V prints is the signal's number.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import time

import pytest

from node import wait_for
from ops import (RESPAWN, beat, enter, prepared, process, processes, run_ltpd,
                 scratch, started, successor, summary, wait_for_log)
from pki import Authority
from remote import Both, put_pair
from test_rotation import OLD

MADE = pathlib.Path("/tmp/ltpd-regress-hook")

KEYS = {"alice": "alice-key-0001"}
CHILDREN = ("worker", "auth", "metrics", "audit", "sign")

# The system call that the kernel stops, by step.  None: it comes by another
# architecture's numbers, and nobody can name it.
CALLS = {
    "open": "openat",
    "openat2": "openat2",
    "create": "openat",
    "read_parents_memory": "openat",
    "socket": "socket",
    "connect": "connect",
    "bind": "bind",
    "abstract_socket": "connect",
    "execve": "execve",
    "fork": "clone",
    "clone3": "clone3",
    "kill_parent": "kill",
    "ptrace_parent": "ptrace",
    "write_parents_memory": "process_vm_writev",
    "steal_parents_descriptor": "pidfd_getfd",
    "mmap_executable": "mmap",
    "mprotect_executable": "mprotect",
    "io_uring": "io_uring_setup",
    "userfaultfd": "userfaultfd",
    "memfd": "memfd_create",
    "dumpable": "prctl",
    "unshare": "unshare",
    "terminal_input": "ioctl",
    "sigaction": "rt_sigaction",
    "i386": None,
    "x32": None,
}

DENIED = "refused: Permission denied"
FORBIDDEN = "refused: Operation not permitted"
DONE = "done"

# What is left of it when there is nothing but Landlock; what is not here is
# not Landlock's business.
LANDLOCK = {
    "open": DENIED,
    "openat2": DENIED,
    "create": DENIED,
    "read_parents_memory": DENIED,
    "connect": DENIED,
    "bind": DENIED,
    "abstract_socket": FORBIDDEN,
    "execve": DENIED,
    "kill_parent": FORBIDDEN,
    "ptrace_parent": FORBIDDEN,
    "write_parents_memory": FORBIDDEN,
    "steal_parents_descriptor": FORBIDDEN,
}

# The same steps without any sandbox: they are real.  The parent's memory is
# closed to its children all the same, since it is not dumpable.
BARE = {
    "open": DONE,
    "openat2": DONE,
    "create": DONE,
    "read_parents_memory": DENIED,
    "socket": DONE,
    "connect": "refused: Connection refused",
    "bind": DONE,
    "abstract_socket": DONE,
    # It has another program, which has no channel; who comes first?
    "execve": r"(exited with status 0|died of signal 9 \(Killed\))",
    "fork": DONE,
    "clone3": DONE,
    "kill_parent": DONE,
    "ptrace_parent": FORBIDDEN,
    "write_parents_memory": FORBIDDEN,
    "mmap_executable": DONE,
    "mprotect_executable": DONE,
    "memfd": DONE,
    "dumpable": DONE,
    "sigaction": DONE,
}

# The supervisor has no filter; Landlock leaves it its own directories, and
# the sockets of its service manager.
SUPERVISOR = {**LANDLOCK, "abstract_socket": DONE}


@pytest.fixture(scope="module")
def steps(lab):
    """Signals by the name of the step."""
    with prepared(lab) as node:
        text = run_ltpd(node, "-V").stdout
    names = re.search("^regress hooks: (.*)$", text, re.M)[1].split()
    return {name: signal.SIGRTMIN + i for i, name in enumerate(names)}


@pytest.fixture(scope="module", autouse=True)
def outside():
    """Whom a step tries to reach, and what one leaves."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0ltpd-regress-hook")
        listener.listen(64)
        yield
    MADE.unlink(missing_ok=True)


@contextlib.contextmanager
def caged(lab, mode):
    """Two workers, with TLS, and one child of each other kind."""
    pair = Authority(lab.stage, scratch(lab)).issue("server")
    with prepared(lab, KEYS, kind=Both, workers=2, sandbox=mode) as node:
        put_pair(node, *pair)
        node.distributed["token"] = OLD
        node.tls = {"cert_path": str(node.dir / "server.crt"),
                    "key_path": str(node.dir / "server.key")}
        node.configure(audit_log_file=str(node.dir / "audit.log"))
        node.start()
        yield node
        node.settle()
        node.stop()


class Cages:
    """
    Nodes by mode.  A child that dies too often is not replaced at once, so a
    node is good for some steps only.
    """

    GOOD_FOR = 5

    def __init__(self, lab):
        self.lab = lab
        self.mode = self.context = self.node = None
        self.used = 0

    def node_for(self, mode):
        if self.mode != mode or self.used == self.GOOD_FOR:
            self.end()
            self.mode, self.used = mode, 0
            self.context = caged(self.lab, mode)
            self.node = self.context.__enter__()
        self.used += 1
        return self.node

    def end(self):
        if self.context is not None:
            self.context.__exit__(None, None, None)
        self.context = None


@pytest.fixture(scope="module")
def cages(lab):
    cages = Cages(lab)
    yield cages
    cages.end()


def take(node, process_, slot, name, number, outcome):
    """
    Take a step in a process and wait until the log tells what came of it;
    returns the process's pid.
    """
    pid = process(node, process_, slot)["pid"]
    who = rf"worker\[{slot}\]" if process_ == "worker" else process_
    if outcome.startswith(("died", "(exited")):
        pattern = f" ltpd {who}: {outcome} pid={pid}$"
    else:
        pattern = f" {who} hook: {name}: {outcome}$"
    before = len(node.log_lines(pattern))
    os.kill(pid, number)
    wait_for(lambda: len(node.log_lines(pattern)) > before,
             f"/{pattern}/ in the log", 2, 0.005)
    return pid


def idle_worker(node):
    """The slot of the one that serves nobody."""
    return next(p["slot"] for p in processes(node)
                if p["process"] == "worker" and p["sessions"] == 0)


def killed(name):
    call = f": {CALLS[name]}" if CALLS[name] else ""
    return rf"died of signal 31 \(Bad system call{call}\)"


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("mode", ["both", "seccomp"])
def test_a_child_dies_of_what_it_must_not_do(cages, steps, mode, name):
    """And is replaced; the other worker's session notices nothing."""
    node = cages.node_for(mode)
    wire = enter(node, key=KEYS["alice"])
    slot = idle_worker(node)
    for child in CHILDREN:
        number = slot if child == "worker" else 0
        if (child, name) == ("metrics", "socket"):
            # getnameinfo(3) tries, and lives without.
            take(node, child, number, name, steps[name], DENIED)
            continue
        pid = take(node, child, number, name, steps[name], killed(name))
        successor(node, child, number, pid, RESPAWN)
        beat(wire, client_id="alice")
    wire.drop()


@pytest.mark.parametrize("name", LANDLOCK)
def test_landlock_alone_refuses_it(cages, steps, name):
    """Of what seccomp would have stopped, what Landlock knows of."""
    node = cages.node_for("landlock")
    for child in CHILDREN:
        take(node, child, 0, name, steps[name], LANDLOCK[name])
    node.settle()


@pytest.mark.parametrize("name", BARE)
def test_without_a_sandbox_the_same_is_done(cages, steps, name):
    """So it is the sandbox, and not a mistake in the step, that stops it."""
    node = cages.node_for("none")
    pid = take(node, "worker", 0, name, steps[name], BARE[name])
    if name == "execve":
        successor(node, "worker", 0, pid)
    node.settle()


@pytest.mark.parametrize("name", SUPERVISOR)
def test_landlock_shuts_the_supervisor_in(lab, steps, name):
    with started(lab, KEYS) as node:
        take(node, "ltpd", 0, name, steps[name], SUPERVISOR[name])


def test_a_logged_call_is_made_all_the_same(cages, steps):
    """The mode in which a list is found out."""
    node = cages.node_for("log")
    assert process(node, "worker")["sandbox"]["seccomp"] == 2
    take(node, "worker", 0, "memfd", steps["memfd"], DONE)
    node.settle()


def test_a_child_that_spins_is_replaced(lab, steps):
    """The watchdog: nobody waits for it meanwhile."""
    with started(lab, workers=2) as node:
        wire = enter(node)
        slot = idle_worker(node)
        pid = process(node, "worker", slot)["pid"]
        os.kill(pid, steps["spin"])
        # For two seconds it may still be chosen.
        soon, late = time.monotonic() + 3, time.monotonic() + 9
        served = 0
        while time.monotonic() < late:
            beat(wire)
            if time.monotonic() > soon:
                enter(node).drop()
                served += 1
            time.sleep(0.1)
        wait_for_log(node, rf" ltpd worker\[{slot}\]: killed: "
                     rf"has not answered for 10 s pid={pid}$", 5)
        successor(node, "worker", slot, pid)
        beat(wire)
        node.settle()
        assert served > 10


# ---- how it is said ----

def test_the_build_says_what_it_is(lab):
    with started(lab) as node:
        assert node.log_lines("warn ltpd ltpd: built with regress hooks, "
                              "for tests alone$")
        assert summary(node)["version"].endswith("+regress-hooks")
        assert "\nregress hooks: open " in run_ltpd(node, "-V").stdout


@pytest.mark.parametrize("mode, mechanism, seccomp, abi", [
    ("both", "seccomp", 2, True),
    ("seccomp", "seccomp", 2, False),
    ("landlock", "landlock", 0, True),
    ("none", "none", 0, False),
])
def test_show_processes_tells_what_was_entered(lab, mode, mechanism, seccomp,
                                               abi):
    with caged(lab, mode) as node:
        for p in processes(node)[1:]:
            box = p["sandbox"]
            assert box["mechanism"] == mechanism
            assert box["seccomp"] == seccomp
            assert (box["landlock_abi"] > 0) == abi
            assert ("read_file" in box["landlock_fs"]) == abi
            assert not box["dumpable"] and box["no_new_privs"]


def test_an_unknown_mode_does_not_start(lab):
    with prepared(lab, sandbox="some") as node:
        done = run_ltpd(node, "-d", "-f", str(node.conf))
        assert done.returncode == 1
        assert done.stderr.endswith("sandbox: no such mode: some\n")
