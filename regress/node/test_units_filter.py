"""What of the units' protection needs no systemd to be tried.

The node runs under the very filter of system calls and of address families, and
with the limits, that the unit asks for; libseccomp makes them as systemd does.
And sockets are passed as systemd passes them, which holds them while the node
is restarted.  test_units_systemd.py has all of it, where that can run.
"""

import json
import re
import signal
import socket
import subprocess

import pytest

import ops
from manager import sanitized, text_of
from node import TIMEOUT, wait_for
from ops import Callers, beat, enter, let_in, started

ALICE = "alice-key-0001"
BOB = "bob-key-0002"

# argv: a JSON object as confinement() makes it, and the program.
CONFINE = r"""
import ctypes, json, os, resource, socket, sys
how = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
lib = ctypes.CDLL("libseccomp.so.2")
lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_release.argtypes = [ctypes.c_void_p]
lib.seccomp_load.argtypes = [ctypes.c_void_p]
ALLOW, ERRNO = 0x7fff0000, 0x00050000
EPERM, EAFNOSUPPORT = 1, 97
NE, LT, GT, MASKED_EQ = 1, 2, 6, 7

class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]

def rule(ctx, action, name, *tests):
    number = lib.seccomp_syscall_resolve_name(name.encode())
    if number < 0:
        return      # of another architecture
    array = (Compare * max(len(tests), 1))(*(Compare(*t) for t in tests))
    error = lib.seccomp_rule_add_array(
        ctypes.c_void_p(ctx), ctypes.c_uint(action), number, len(tests),
        array)
    assert error == 0, (name, error)

def enter(ctx):
    assert lib.seccomp_load(ctx) == 0
    lib.seccomp_release(ctx)

for name, limit in how["limits"].items():
    number = getattr(resource, name)
    soft, hard = resource.getrlimit(number)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(number, (limit, limit))
os.umask(0o077)
assert libc.prctl(38, 1, 0, 0, 0) == 0     # PR_SET_NO_NEW_PRIVS

# MemoryDenyWriteExecute
ctx = lib.seccomp_init(ALLOW)
W, X = 2, 4
rule(ctx, ERRNO | EPERM, "mmap", (2, MASKED_EQ, W | X, W | X))
for name in ("mprotect", "pkey_mprotect"):
    rule(ctx, ERRNO | EPERM, name, (2, MASKED_EQ, X, X))
rule(ctx, ERRNO | EPERM, "shmat", (2, MASKED_EQ, 0o100000, 0o100000))
enter(ctx)
# RestrictAddressFamilies
ctx = lib.seccomp_init(ALLOW)
last = -1
for family in sorted(getattr(socket, f) for f in how["families"]):
    for hole in range(last + 1, family):
        rule(ctx, ERRNO | EAFNOSUPPORT, "socket", (0, 4, hole, 0))
    last = family
rule(ctx, ERRNO | EAFNOSUPPORT, "socket", (0, GT, last, 0))
enter(ctx)
# RestrictNamespaces
ctx = lib.seccomp_init(ALLOW)
for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000,
             0x20000000, 0x40000000):
    rule(ctx, ERRNO | EPERM, "unshare", (0, MASKED_EQ, flag, flag))
    rule(ctx, ERRNO | EPERM, "clone", (0, MASKED_EQ, flag, flag))
rule(ctx, ERRNO | 38, "clone3")
rule(ctx, ERRNO | EPERM, "setns")
enter(ctx)
# RestrictSUIDSGID
ctx = lib.seccomp_init(ALLOW)
for bit in (0o4000, 0o2000):
    for name, arg in ("chmod", 1), ("fchmod", 1), ("fchmodat", 2), \
            ("mkdir", 1), ("mkdirat", 2), ("mknod", 1), ("mknodat", 2):
        rule(ctx, ERRNO | EPERM, name, (arg, MASKED_EQ, bit, bit))
enter(ctx)
# SystemCallFilter
ctx = lib.seccomp_init(ERRNO | EPERM)
for name in how["calls"]:
    rule(ctx, ALLOW, name)
enter(ctx)
os.execv(sys.argv[2], sys.argv[2:])
"""


def settings_of(*names):
    """The units' settings, each with all its values; empty ones reset."""
    found = {}
    for name in names:
        for m in re.finditer(r"^(\w+)=(.*)$", text_of(name), re.M):
            if m[2] == "":
                found[m[1]] = []
            else:
                found.setdefault(m[1], []).append(m[2])
    return found


def groups():
    """What systemd says its groups of system calls are."""
    done = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"],
                          capture_output=True, text=True, check=True,
                          timeout=TIMEOUT)
    found = {}
    for line in done.stdout.splitlines():
        line = line.split("#")[0]
        if line.startswith("@"):
            members = found.setdefault(line.strip(), [])
        elif line.strip():
            members.append(line.strip())
    return found


def expand(words, known):
    for word in words:
        if word.startswith("@"):
            yield from expand(known[word], known)
        else:
            yield word


def confinement(*names):
    unit = settings_of(*names)
    for name in ("MemoryDenyWriteExecute", "RestrictNamespaces",
                 "RestrictSUIDSGID", "NoNewPrivileges"):
        assert unit[name] == ["yes"], name
    known = groups()
    calls = set()
    for line in unit["SystemCallFilter"]:
        if line.startswith("~"):
            calls -= set(expand(line[1:].split(), known))
        else:
            calls |= set(expand(line.split(), known))
    # systemd lets these through, whatever the list is.
    calls |= set(expand(["@default", "execve"], known))
    return {"calls": sorted(calls),
            "families": " ".join(unit["RestrictAddressFamilies"]).split(),
            "limits": {"RLIMIT_NOFILE": int(unit["LimitNOFILE"][-1]),
                       "RLIMIT_CORE": int(unit["LimitCORE"][-1])}}


class Confined(ops.Ltpd):
    """ltpd, and each of its children by inheritance."""

    units = ("ltpd.service",)

    def __init__(self, *args, **settings):
        if sanitized():
            pytest.skip("a sanitizer needs what the unit forbids")
        super().__init__(*args, **settings)

    def command(self, *args):
        # After the user has been changed: that is forbidden, too.
        plain = self.stage.command("ltpd/ltpd", *args)
        at = plain.index(str(self.stage.bin / "ltpd/ltpd"))
        return [*self.wrap, *plain[:at], "/usr/bin/python3", "-c", CONFINE,
                json.dumps(confinement(*self.units)), *plain[at:]]


class Activated(Confined):
    units = ("ltpd.service", "ltpd-activated.conf")


def test_the_filter_is_that_of_the_unit():
    how = confinement("ltpd.service")
    calls = set(how["calls"])
    assert calls >= {"seccomp", "landlock_create_ruleset", "accept4",
                     "landlock_restrict_self", "landlock_add_rule"}
    assert not calls & {"chroot", "mount", "ptrace", "reboot", "setuid",
                        "init_module", "bpf", "io_uring_setup",
                        "process_vm_writev", "clock_settime", "userfaultfd",
                        "keyctl"}
    assert how["families"] == ["AF_UNIX", "AF_INET", "AF_INET6"]
    assert confinement("ltpd.service", "ltpd-activated.conf")["families"] == \
        ["AF_UNIX"]


@pytest.mark.parametrize("call", ["socket", "chroot", "mmap", "unshare"])
def test_the_filter_bites(call):
    attempt = {
        "socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "chroot": "os.chroot('/')",
        "mmap": "mmap.mmap(-1, 4096, prot=7)",
        "unshare": "sys.exit(ctypes.CDLL(None).unshare(0x10000000))",
    }[call]
    program = ["/usr/bin/python3", "-c",
               f"import ctypes, mmap, os, socket, sys; {attempt}"]
    assert call == "chroot" or \
        subprocess.run(program, capture_output=True).returncode == 0
    how = json.dumps(confinement("ltpd.service"))
    done = subprocess.run(["/usr/bin/python3", "-c", CONFINE, how, *program],
                          capture_output=True, text=True)
    assert done.returncode != 0
    assert "not permitted" in done.stderr or "not supported" in done.stderr \
        or (call, done.stderr) == ("unshare", "")


def test_the_node_works_under_the_filter_of_the_unit(lab):
    with started(lab, kind=Confined, keys={"alice": ALICE}, workers=2,
                 secrets=(BOB,)) as node:
        wire = enter(node, "alice", ALICE)
        for row in ops.processes(node):
            assert row["state"] == "ready"
        node.keys({"alice": ALICE, "bob": BOB})
        wait_for(lambda: let_in(node, BOB), "the new key is known")
        assert node.ctl("reload").returncode == 0
        assert node.get("/livez")[0] == 200
        ops.kill_child(node, "worker", 1)
        beat(wire, client_id="alice")


def test_logs_are_written_and_rotated_under_the_filter(lab):
    with ops.prepared(lab, kind=Confined) as node:
        audit = node.dir / "audit.log"
        node.configure(audit_log_file=str(audit))
        node.start()
        beat(enter(node))
        wait_for(lambda: audit.read_text().count("\n") >= 2, "lines")
        audit.rename(node.dir / "audit.1")
        assert node.ctl("log", "rotate").returncode == 0
        beat(enter(node, "d"), client_id="d")
        wait_for(lambda: audit.exists() and audit.read_text() != "", "lines")
        node.stop()


# ---- sockets that outlive the node ----

class Holder:
    """What holds the sockets, and starts the node with them."""

    def __init__(self, node):
        self.node = node
        self.socks = []
        for _ in range(2):
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            sock.listen(1024)
            self.socks.append(sock)
        node.address, node.metrics_address = \
            (sock.getsockname() for sock in self.socks)
        node.fds = [s.fileno() for s in self.socks]
        # LISTEN_PID is ltpd's, whatever runs before it is exec'd in place.
        node.wrap = ops.activate(self.socks)
        node.env["LISTEN_FDNAMES"] = "ltp:metrics"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for sock in self.socks:
            sock.close()

    def start(self):
        self.node.launch()
        assert self.node.ready(), self.node.log()
        self.node.settle()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_connect_is_refused_while_the_node_is_restarted(lab, number):
    with ops.prepared(lab, kind=Activated, workers=2) as node, \
            Holder(node) as holder:
        holder.start()
        with Callers(node) as callers:
            callers.turns()
            for _ in range(2):
                node.proc.send_signal(number)
                status = node.proc.wait(2 * TIMEOUT)
                assert status == (0 if number == signal.SIGTERM else -number)
                wait_for(lambda: not node.group(), "its children have gone")
                served = callers.served
                # Nobody is there: this one waits, and so do the callers.
                with ops.harness.Wire(node.address) as early:
                    early.send(ops.harness.request())
                    assert not early.readable(0.1)
                    assert callers.served == served
                    holder.start()
                    early.accepted()
                    early.pong()
                callers.turns()
        assert callers.refused == 0
        # Those that were with the node when it went: at most one of each
        # caller for each time.
        assert callers.lost <= 2 * callers.count
        assert node.get("/livez")[0] == 200
        node.stop()


def test_the_node_with_passed_sockets_opens_none_of_the_network(lab):
    """Its filter has no family but AF_UNIX; without the sockets it fails."""
    with ops.prepared(lab, kind=Activated) as node:
        node.launch()
        assert node.proc.wait(TIMEOUT) == 1
        assert "Address family not supported" in node.log()
