"""What is measured of a server: by load from outside, and by /proc."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time

from servers import BENCH, BenchError

PER_SOURCE = 2000   # connections from one address, under the node's limit
PAGE = os.sysconf("SC_PAGESIZE")


def sources(connections):
    return max(8, -(-connections // PER_SOURCE))


def arguments(server, mode, connections, options, among=0):
    """among: so many connections, of several generators, share sources."""
    return [str(BENCH / "load"), "-c", str(connections),
            "-s", str(sources(max(among, connections))), "-f", "64",
            "-p", ",".join(map(str, server.pids)),
            *server.options, *map(str, options), mode, server.what,
            str(server.port)]


def spawn(command, cpus, **how):
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus), **how)


def result(server, proc, out, err):
    if proc.returncode != 0:
        raise BenchError(f"{server.name}: {err.strip() or proc.args}")
    return json.loads(out.splitlines()[-1])


def load(server, cpus, mode, connections, *options, prefix=()):
    """Run load once.  cpu_us is added: per message, or per connection."""
    proc = spawn([*prefix, *arguments(server, mode, connections, options)],
                 cpus, stdin=subprocess.DEVNULL)
    out, err = proc.communicate()
    r = result(server, proc, out, err)
    r["cpu_us"] = r["cpu_ns"] / 1000 / max(1, r["messages"])
    return r


def shares(server, result):
    """What each program of a server used, microseconds a message."""
    used = dict.fromkeys(map(program, server.pids), 0)
    for pid, ns in zip(server.pids, result["cpu_each_ns"]):
        used[program(pid)] += ns / 1000 / max(1, result["messages"])
    return used


def program(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


@contextlib.contextmanager
def held(server, cpus, connections, among=0):
    """So many greeted connections that say nothing.  None may be closed."""
    proc = spawn(arguments(server, "hold", connections, (), among), cpus,
                 stdin=subprocess.PIPE)
    try:
        if proc.stdout.readline().split() != ["held", str(connections)]:
            proc.wait()
            raise BenchError(f"{server.name}: {proc.stderr.read().strip()}")
        yield
        out, err = proc.communicate("")
        result(server, proc, out, err)
    finally:
        proc.kill()
        proc.communicate()


@contextlib.contextmanager
def held_all(server, cpus, connections, most):
    """Likewise, with as many holders as their descriptors need."""
    with contextlib.ExitStack() as stack:
        for first in range(0, connections, most):
            n = min(most, connections - first)
            stack.enter_context(held(server, cpus, n, connections))
        yield


# ---- memory ----

def rollup(pid):
    """Pss and private bytes of one process; it takes root."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:
        return None
    kib = {name: int(n) for name, n in
           re.findall(r"^(\w+): +(\d+) kB$", text, re.M)}
    return (kib["Pss"] * 1024,
            (kib["Private_Clean"] + kib["Private_Dirty"]) * 1024)


def memory(server):
    """Pss and private bytes of all its processes; None without root."""
    rolls = [rollup(pid) for pid in server.pids]
    if None in rolls:
        return None
    return tuple(map(sum, zip(*rolls)))


def slabs():
    """Bytes in the kernel's slabs; None without root."""
    try:
        text = pathlib.Path("/proc/slabinfo").read_text()
    except PermissionError:
        return None
    rows = [line.split() for line in text.splitlines()[2:]]
    return sum(int(row[1]) * int(row[3]) for row in rows)


def buffers():
    """Bytes that TCP sockets have in buffers."""
    text = pathlib.Path("/proc/net/sockstat").read_text()
    return int(re.search(r"^TCP:.* mem (\d+)", text, re.M)[1]) * PAGE


def kernel_memory():
    """Of the whole host: only differences mean something."""
    return None if slabs() is None else slabs() + buffers()


# ---- processor time ----

def cpu_ns(pid):
    """The scheduler's account of a process, all threads, nanoseconds."""
    clock = ctypes.c_int(~pid << 3 | 2).value
    return time.clock_gettime_ns(clock)


def idle_cpu(server, seconds):
    """The share of one processor that its processes use, as it is."""
    begin = time.monotonic_ns()
    used = -sum(map(cpu_ns, server.pids))
    time.sleep(seconds)
    used += sum(map(cpu_ns, server.pids))
    return used / (time.monotonic_ns() - begin)


# ---- system calls ----

def calls_perf(server, cpus, options):
    with tempfile.NamedTemporaryFile("r") as counts:
        r = load(server, cpus, "closed", 64, *options, prefix=(
            "perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p",
            ",".join(map(str, server.pids)), "-o", counts.name, "--"))
        counted = re.search(r"^(\d+),.*raw_syscalls", counts.read(), re.M)
    return (int(counted[1]), r) if counted else None


def calls_strace(server, cpus, options):
    """Slower, so that more replies share a wait: a lower bound."""
    pids = [arg for pid in server.pids for arg in ("-p", str(pid))]
    strace = subprocess.Popen(["strace", "-qq", "-c", "-f", *pids],
                              stderr=subprocess.PIPE, text=True)
    text = []
    reader = threading.Thread(
        target=lambda: text.append(strace.stderr.read()))
    reader.start()
    time.sleep(0.5)
    try:
        r = load(server, cpus, "closed", 64, *options)
    finally:
        strace.terminate()
        reader.join()
        strace.wait()
    total = re.search(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+).*total", text[0],
                      re.M)
    return (int(total[1]), r) if total else None


def system_calls(server, cpus, seconds):
    """
    Calls per message at depth 1, and the tool that counted them.  Two runs
    that greet as many, so that the difference is the messages'.
    """
    for tool, count in (("perf", calls_perf), ("strace", calls_strace)):
        # perf is there and yet may not be allowed, or have no tracepoints.
        with contextlib.suppress(FileNotFoundError, BenchError):
            few, many = (count(server, cpus, ("-t", t, "-w", 0))
                         for t in (0, seconds))
            if few is not None and many is not None:
                return ((many[0] - few[0]) /
                        (many[1]["sent"] - few[1]["sent"]), tool)
    return None
