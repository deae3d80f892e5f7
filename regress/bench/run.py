#!/usr/bin/env python3
"""
Compare the node with the floor and with its peers: `make bench'.

Each round starts every server afresh, pinned to one processor with the load
generator on another; what is compared is measured one right after the other.  What was measured goes to standard output as
tables, and to RESULTS.md and bench.json or scale.json in the build directory.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import sys
import time
from types import SimpleNamespace

import probe
import report
from servers import (BENCH, SOURCE, BenchError, Bun, Floor, Lws, Nats, Node,
                     Remote, Stage, Ws, said)

PHASES = ("rounds", "memory", "open", "growth", "calls", "tls", "scale")
IDLE = 10000            # sessions
OPEN_RATE = 40000       # messages a second
SLICES = 3              # of a round, so that a hiccup of the host spoils one
OPEN_SLICES = 13        # short: one hiccup is the p99 of the slice it falls in
GROWTH_RATE = 20000
GROWTH_CLAIM = (100, 15000)
# ltp-sign answers a worker a thousand times a second, after as many at once.
TLS_CONNECTIONS = 800
TLS_IDLE = 1000
SPARE_FILES = 300       # descriptors of a process besides its connections

# How long, and how often.  Seconds, but for rounds and connections.
FULL = dict(rounds=5, seconds=0.3, warm_up=0.1, connections=3500,
            open_rounds=9, open_seconds=0.2, idle=12, growth_rounds=5,
            growth=GROWTH_CLAIM, tls_rounds=3, phases=PHASES[:6])
QUICK = dict(rounds=1, seconds=0.2, warm_up=0.1, connections=1500,
             open_rounds=2, open_seconds=0.2, idle=3, growth_rounds=0,
             growth=(), tls_rounds=1, phases=("rounds", "memory", "open", "calls"))
SCALE = dict(FULL, growth_rounds=3, phases=("growth", "scale"),
             growth=(100, 1000, 5000, 10000, 15000, 19000))


BEGIN = time.monotonic()


def say(text):
    seconds = time.monotonic() - BEGIN
    print(f"bench: {seconds:4.0f} s: {text}", file=sys.stderr, flush=True)


def shuffled(servers):
    """What the host does every so often must not always meet the same."""
    return random.sample(servers, len(servers))


class Bench:
    def __init__(self, plan, stage):
        self.plan = plan
        self.stage = stage
        cpus = sorted(os.sched_getaffinity(0))
        self.client_cpus = {cpus[-1]}
        self.server_cpus = cpus[:-1] or cpus
        if len(cpus) < 2:
            say("one processor: server and client share it")
        self.data = {
            "plan": plan.name, "machine": report.machine(), "error": None,
            "servers": [], "rounds": [],
            "memory": {}, "rest": None, "open": [], "growth": [],
            "calls": {}, "tls": None, "scale": [], "open_rate": OPEN_RATE,
            "growth_rate": GROWTH_RATE, "growth_claim": GROWTH_CLAIM,
            "sign_ns": int(said(str(BENCH / "signcost")) or 0),
        }

    # who takes part

    def node(self, name="node", **how):
        return Node(name, self.stage, **how)

    def field(self):
        """Every server, with the cells that it is measured in."""
        all_cells = [cell for cell, _ in report.CELLS]
        yield Floor("floor"), all_cells
        yield Floor("floor, passed", "-p"), all_cells
        yield self.node(), all_cells
        yield self.node("node, api_key", key=True), \
            all_cells if not self.plan.quick else ["connect"]
        yield self.node("node, audit", audit="file"), \
            all_cells if not self.plan.quick else ["d1", "d16"]
        yield self.node("node, audit signed", audit="signed"), ["d1"]
        if self.plan.quick:
            return
        yield self.node("node, 2 workers", workers=2), all_cells
        yield self.node("node, 4 workers", workers=4), all_cells
        for peer in (Bun("bun"), Lws("libwebsockets"), Ws("ws"),
                     Nats("nats-server", self.stage)):
            yield peer, all_cells

    def present(self):
        """Those of the field that are here; all are noted."""
        found = []
        for server, cells in self.field():
            if self.plan.servers and server.name not in self.plan.servers:
                continue
            absent = server.absent()
            self.data["servers"].append(
                {"name": server.name, "absent": absent,
                 "version": None if absent else server.version()})
            if absent:
                say(f"{server.name}: {absent}")
            else:
                found.append((server, cells))
        return found

    @contextlib.contextmanager
    def running(self, server):
        """More workers than one get more processors, if there are any."""
        workers = getattr(server, "workers", 1)
        with server.running(set(self.server_cpus[:workers])):
            yield server

    def load(self, server, *args):
        return probe.load(server, self.client_cpus, *args)

    def held(self, server, connections):
        return probe.held(server, self.client_cpus, connections)

    # the four cells

    def cell(self, server, name):
        p = self.plan
        timed = ("-t", p.seconds, "-w", p.warm_up)
        if name == "d1":
            return self.load(server, "closed", 64, *timed)
        if name == "d16":
            return self.load(server, "closed", 64, "-d", 16, *timed)
        if name == "c1000":
            return self.load(server, "closed", 1000, *timed)
        return self.load(server, "connect", p.connections)

    def rounds(self, servers):
        for i in range(self.plan.rounds):
            say(f"round {i + 1} of {self.plan.rounds}")
            self.data["rounds"].append(self.round(servers))

    def round(self, servers):
        """All are up: those that are not measured have nothing to do."""
        found = {server.name: {cell: [] for cell in cells}
                 for server, cells in servers}
        with contextlib.ExitStack() as stack:
            for server, _ in servers:
                stack.enter_context(self.running(server))
            for _ in range(SLICES):
                for cell, _ in report.CELLS:
                    for server, cells in shuffled(servers):
                        if cell in cells:
                            found[server.name][cell].append(
                                self.cell(server, cell))
        return {name: {cell: report.typical_of(slices)
                       for cell, slices in cells.items()}
                for name, cells in found.items()}

    # memory, and the processor of those who are silent

    def memory(self, servers):
        for server, _ in servers:
            if self.plan.quick and server.name != "node":
                continue
            say(f"memory: {server.name}")
            with self.running(server):
                self.data["memory"][server.name] = self.idle(server)
        with self.running(self.node("node at rest", workers=2,
                                    audit="file")) as node:
            time.sleep(2)
            rest = probe.memory(node)
            if rest is not None:
                self.data["rest"] = dict(zip(("pss", "private"), rest))

    def idle(self, server):
        # What is made once, for the first connections, is no session's.
        self.load(server, "connect", 500)
        found = self.per_session(server, IDLE, IDLE)
        if server.name == "node":
            with self.held(server, IDLE):
                time.sleep(1)
                found["idle_cpu"] = probe.idle_cpu(server, self.plan.idle)
        return found

    def per_session(self, server, sessions, most):
        kernel = probe.kernel_memory()
        before = probe.memory(server)
        with probe.held_all(server, self.client_cpus, sessions, most):
            time.sleep(1)
            after = probe.memory(server)
            if kernel is not None:
                # Both ends are on this host.
                kernel = (probe.kernel_memory() - kernel) / sessions / 2
        if before is None:
            return {"connections": sessions, "pss": None, "kernel": kernel}
        return {"connections": sessions, "kernel": kernel,
                "base": before[0], "total": after[0],
                "pss": (after[0] - before[0]) / sessions,
                "private": (after[1] - before[1]) / sessions}

    # open loop

    def open(self):
        for i in range(self.plan.open_rounds):
            say(f"open loop, round {i + 1} of {self.plan.open_rounds}")
            self.data["open"].append(self.open_round())

    def open_round(self):
        servers = (Floor("floor"), self.node(), Floor("floor again"),
                   self.node("node, 10,000 idle"))
        found = {server.name: [] for server in servers}
        with contextlib.ExitStack() as stack:
            for server in servers:
                stack.enter_context(self.running(server))
            stack.enter_context(self.held(servers[-1], IDLE))
            for _ in range(OPEN_SLICES):
                for server in shuffled(servers):
                    found[server.name].append(self.load(
                        server, "open", 64, "-r", OPEN_RATE, "-t",
                        self.plan.open_seconds, "-w", 0.1))
        return {name: {"open": report.typical_of(slices)}
                for name, slices in found.items()}

    # how it grows

    def growth(self):
        for i in range(self.plan.growth_rounds):
            say(f"growth, round {i + 1} of {self.plan.growth_rounds}")
            found = {"floor": {}, "node": {}}
            for n in self.plan.growth:
                for server in (Floor("floor"), self.node()):
                    with self.running(server):
                        found[server.name][str(n)] = self.load(
                            server, "open", n, "-r", GROWTH_RATE,
                            "-t", 1.5, "-w", 1.0)
            self.data["growth"].append(found)

    def scale(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        most = min(limit, self.plan.most) - SPARE_FILES
        for workers in (1, 2, 4):
            for sessions in (1000, 10000, most * workers):
                say(f"memory of {sessions:,} sessions, {workers} workers")
                with self.running(self.node(workers=workers)) as node:
                    self.load(node, "connect", 500)
                    found = self.per_session(node, sessions, most)
                if found["pss"] is None:
                    raise BenchError("memory takes root")
                self.data["scale"].append(
                    {"workers": workers, "sessions": sessions, **found})

    def calls(self):
        say("system calls")
        for server in (Floor("floor"), self.node()):
            with self.running(server):
                found = probe.system_calls(server, self.client_cpus,
                                           self.plan.seconds)
            if found is not None:
                self.data["calls"][server.name] = found

    # TLS

    def tls_field(self):
        """Names are those that report.py compares."""
        ec = self.stage.pair("ec")

        def remote(name, **how):
            return Remote(name, self.stage, **how)

        yield self.node("plain")
        yield remote("plain, beside TLS", pair="ec", plain=True)
        yield remote("remote, no TLS")
        yield remote("TLS 1.3, ECDSA", pair="ec")
        yield remote("TLS 1.2, ECDSA", pair="ec", version="1.2")
        yield remote("TLS 1.3, RSA", pair="rsa")
        yield remote("TLS 1.3, resumed", pair="ec", resumed=True)
        if not self.plan.quick:
            yield Bun("bun, TLS 1.3, ECDSA", ec)
            yield Lws("libwebsockets, TLS 1.3, ECDSA", ec)
            yield Ws("ws, TLS 1.3, ECDSA", ec)

    def tls(self):
        servers = []
        for server in self.tls_field():
            absent = server.absent()
            if absent:
                say(f"{server.name}: {absent}")
            else:
                servers.append(server)
        found = self.data["tls"] = {
            "names": [server.name for server in servers],
            "rounds": [], "memory": {}, "calls": None,
            "library": json.loads(said(str(BENCH / "tlscost")) or "{}"),
            "sign": {kind: int(said(str(BENCH / "signcost"), kind) or 0)
                     for kind in ("ecdsa", "rsa")},
        }
        for i in range(self.plan.tls_rounds):
            say(f"TLS, round {i + 1} of {self.plan.tls_rounds}")
            found["rounds"].append(self.tls_round(servers))
        for server in servers:
            if server.name in report.TLS_IDLE:
                say(f"TLS, memory: {server.name}")
                found["memory"][server.name] = self.tls_idle(server)
            if server.name == report.TLS_MAIN:
                with self.running(server):
                    found["calls"] = probe.system_calls(
                        server, self.client_cpus, self.plan.seconds)

    def tls_idle(self, server):
        with self.running(server):
            self.load(server, "connect", 200)
            time.sleep(0.5)
            return self.per_session(server, TLS_IDLE, TLS_IDLE)

    def tls_round(self, servers):
        found = {server.name: {} for server in servers}
        with contextlib.ExitStack() as stack:
            for server in servers:
                stack.enter_context(self.running(server))
            for cell in report.TLS_CELLS:
                for server in shuffled(servers):
                    found[server.name][cell] = self.tls_cell(server, cell)
        return found

    def tls_cell(self, server, name):
        if name != "connect":
            return self.cell(server, name)
        result = self.load(server, "connect", TLS_CONNECTIONS)
        if getattr(server, "resumed", False) and \
                result["resumed"] < TLS_CONNECTIONS:
            raise BenchError(f"{server.name}: no tickets")
        return {**result, "shares": probe.shares(server, result)}

    def run(self):
        of_all = {"rounds", "memory"}
        servers = self.present() if of_all & set(self.plan.phases) else []
        for phase in self.plan.phases:
            if phase in of_all:
                getattr(self, phase)(servers)
            else:
                getattr(self, phase)()


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    how = p.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true",
                     help="node and floor alone, within a minute")
    how.add_argument("--scale", action="store_true",
                     help="how CPU and memory grow with sessions")
    p.add_argument("--rounds", type=int, help="of everything that has rounds")
    p.add_argument("--phases", help="some of " + ",".join(PHASES))
    p.add_argument("--server", action="append", dest="servers", default=[],
                   help="only these (the floor must be one), as named in "
                   "the table; may be repeated")
    p.add_argument("--most", type=int, default=20000,
                   help="scale: descriptors that a process may have")
    p.add_argument("--publish", action="store_true",
                   help="write RESULTS.md into the source as well")
    args = p.parse_args()
    if args.publish and (args.quick or args.phases or args.servers):
        p.error("only whole results are published")
    return args


def plan_of(args):
    plan = SimpleNamespace(**(QUICK if args.quick else
                              SCALE if args.scale else FULL))
    plan.name = "quick" if args.quick else \
        "scale" if args.scale else "bench"
    plan.quick = args.quick
    plan.servers = args.servers
    plan.most = args.most
    if args.rounds:
        plan.rounds = plan.open_rounds = plan.growth_rounds = args.rounds
        plan.tls_rounds = args.rounds
    if args.phases:
        plan.phases = args.phases.split(",")
        if not set(plan.phases) <= set(PHASES):
            sys.exit(f"phases are {', '.join(PHASES)}")
    return plan


def raise_limit(need):
    """Root may have more descriptors than it has been given."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < need:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (need, need))
            return
        say(f"only {hard} descriptors: some of this will fail")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def write(data, publish):
    """RESULTS.md is of the last runs of both kinds that are not quick."""
    print(report.render(data), end="")
    (BENCH / f"{data['plan']}.json").write_text(
        json.dumps(data, indent=1) + "\n")
    if data["plan"] == "quick" or data["error"]:
        return
    last = [json.loads(path.read_text()) for path in
            (BENCH / "bench.json", BENCH / "scale.json") if path.exists()]
    (BENCH / "RESULTS.md").write_text("\n".join(
        report.render(d) for d in last if not d["error"]))
    if publish:
        shutil.copy(BENCH / "RESULTS.md", SOURCE / "RESULTS.md")


def main():
    args = arguments()
    plan = plan_of(args)
    stage = Stage()
    try:
        raise_limit(max(GROWTH_CLAIM) + SPARE_FILES)
        bench = Bench(plan, stage)
        try:
            bench.run()
        except BenchError as error:
            bench.data["error"] = str(error)
    finally:
        stage.remove()
    write(bench.data, args.publish)
    say(bench.data["error"] or "done")
    return 1 if bench.data["error"] else 0


sys.exit(main())
