"""Tables of what was measured, and whether it is what was promised."""

import os
import pathlib
import platform
import re
import time
from statistics import median

from servers import said

# The four that are compared with the floor: name, title.
CELLS = (("d1", "64 conns, depth 1"), ("d16", "64 conns, depth 16"),
         ("c1000", "1000 conns, depth 1"), ("connect", "connect + hello"))
AUDIT_LINES = 2     # a heartbeat and its answer
MIB = 1 << 20


def number(value):
    """Three digits that mean something."""
    if value is None:
        return ""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def row(*columns):
    return "| " + " | ".join(map(str, columns)) + " |"


def table(head, rows):
    return [row(*head), row(*("---" for _ in head)),
            *(row(*r) for r in rows), ""]


# ---- over rounds ----

def values(rounds, server, cell, key="cpu_us"):
    return [r[server][cell][key] for r in rounds
            if cell in r.get(server, {})]


def typical(rounds, server, cell, key="cpu_us"):
    found = values(rounds, server, cell, key)
    return median(found) if found else None


def typical_of(found):
    """Of several results of load, the median of each number."""
    return {key: median(r[key] for r in found) for key, value
            in found[0].items() if isinstance(value, (int, float))}


def ratios(rounds, server, cell, of="floor", key="cpu_us", of_cell=None):
    """Each within one round, since the host is another one in the next."""
    of_cell = of_cell or cell
    return [r[server][cell][key] / r[of][of_cell][key] for r in rounds
            if cell in r.get(server, {}) and of_cell in r.get(of, {})]


def ratio(*args, **how):
    found = ratios(*args, **how)
    return median(found) if found else None


def spread(found):
    return f"{min(found):.2f} to {max(found):.2f}" if found else ""


# ---- tables ----

def cpu_table(data):
    def line(name):
        rounds = data["rounds"]
        x = [ratio(rounds, name, cell) for cell, _ in CELLS]
        idle = data["memory"].get(name, {}).get("pss")
        return (name, *(number(typical(rounds, name, c)) for c, _ in CELLS),
                "" if idle is None else f"{max(idle, 0):,.0f} B",
                " / ".join(number(v) or "-" for v in x))

    head = ("server", *(title for _, title in CELLS), "idle conn",
            "x floor, the four")
    rows = [line(s["name"]) for s in data["servers"] if not s["absent"]]
    rows += [(s["name"], "absent: " + s["absent"], *[""] * 5)
             for s in data["servers"] if s["absent"]]
    return table(head, rows)


def latency_table(data):
    keys = ("p50_us", "p99_us", "p999_us")

    def line(name):
        return (name, *(" / ".join(
            number(typical(data["rounds"], name, cell, key)) or "-"
            for key in keys) for cell, _ in CELLS))

    return table(("server", *(title for _, title in CELLS)),
                 [line(s["name"]) for s in data["servers"]
                  if not s["absent"]])


def open_table(data):
    rows = []
    for name in ("floor", "floor again", "node", "node, 10,000 idle"):
        found = [r[name]["open"] for r in data["open"] if name in r]
        if found:
            rows.append((name, *(number(median(r[k] for r in found)) for k in
                                 ("p50_us", "p99_us", "p999_us", "cpu_us",
                                  "lag_p99_us"))))
    return table(("server", "p50", "p99", "p99.9", "CPU, us a message",
                  "generator late, p99"), rows)


def growth_table(data):
    counts = sorted({int(n) for r in data["growth"] for n in r["floor"]})
    rows = [(name, *(number(typical(data["growth"], name, str(n)))
                     for n in counts)) for name in ("floor", "node")]
    return table(("server", *(f"{n:,} conns" for n in counts)), rows)


# ---- TLS ----

TLS_CELLS = ("d1", "d16", "connect")
TLS_MAIN = "TLS 1.3, ECDSA"
TLS_LIBRARY = {"TLS 1.3, ECDSA": "tls13_ecdsa", "TLS 1.2, ECDSA": "tls12_ecdsa",
               "TLS 1.3, RSA": "tls13_rsa", "TLS 1.3, resumed": "tls13_resumed"}
TLS_IDLE = ("plain", "remote, no TLS", "TLS 1.3, ECDSA", "TLS 1.2, ECDSA",
            "bun, TLS 1.3, ECDSA", "libwebsockets, TLS 1.3, ECDSA",
            "ws, TLS 1.3, ECDSA")


def tls_floors(tls, name, cell):
    """In each round, x what the listener without TLS and the library cost."""
    library = tls["library"].get(TLS_LIBRARY.get(name))
    if library is None:
        return []
    alone = library["handshake_ns" if cell == "connect" else "message_ns"]
    return [r[name][cell]["cpu_us"] /
            (r["remote, no TLS"][cell]["cpu_us"] + alone / 1000)
            for r in tls["rounds"] if "remote, no TLS" in r]


def tls_row(tls, name):
    rounds = tls["rounds"]
    connect = [r[name]["connect"] for r in rounds]
    sign = [c["shares"]["ltp-sign"] for c in connect
            if "ltp-sign" in c["shares"]]
    cpu = [typical(rounds, name, cell) for cell in TLS_CELLS]
    pss = tls["memory"].get(name, {}).get("pss")
    floors = [tls_floors(tls, name, cell) for cell in ("d1", "connect")]
    return (name, *map(number, cpu), number(median(sign)) if sign else "",
            f"{median(c['rate'] for c in connect):,.0f}",
            f"{1e6 / cpu[2]:,.0f}",
            "" if pss is None else f"{max(pss, 0):,.0f} B",
            " / ".join(number(ratio(rounds, name, cell, "plain"))
                       for cell in TLS_CELLS),
            " / ".join(number(median(f)) for f in floors if f))


def tls_table(data):
    tls = data["tls"]
    rows = [(name, number(cost["handshake_ns"] / 1000),
             number(cost["message_ns"] / 1000),
             number(tls["sign"]["rsa" if name == "TLS 1.3, RSA" else "ecdsa"] /
                    1000) if name != "TLS 1.3, resumed" else "")
            for name, key in TLS_LIBRARY.items()
            for cost in [tls["library"].get(key)] if cost]
    return [
        "The same node by each of its listeners, one worker; rounds: "
        f"{len(tls['rounds'])}. Connections a second: as the generator saw "
        "them, which has as much to compute as the server, and what one "
        "processor of the server would do. x plain: depth 1, depth 16, "
        "connect. x floor: depth 1 and connect, over the remote listener "
        "without TLS and the library alone.", "",
        *table(("listener", "64 conns, depth 1", "64 conns, depth 16",
                "connect + hello", "of it ltp-sign", "a second, seen",
                "a second, one processor", "idle session", "x plain",
                "x floor"), [tls_row(tls, name) for name in tls["names"]]),
        "The library alone, in memory, with the key at hand; microseconds "
        "of the server's end:", "",
        *table(("TLS", "handshake", "heartbeat and answer",
                "of the handshake the signature"), rows)]


# ---- what must be shown ----

class Claim:
    """One limit; value None when it was not measured."""

    def __init__(self, item, what, limit, value, text=None, beside=""):
        self.item = item
        self.what = what
        self.limit = limit
        self.value = value
        self.text = text or (lambda v: number(v) + " x")
        self.beside = beside

    @property
    def held(self):
        if self.value is None:
            return None
        return self.value <= self.limit

    def row(self):
        measured = "not measured"
        if self.value is not None:
            measured = self.text(self.value)
        verdict = {None: "-", True: "yes", False: "**no**"}[self.held]
        return (self.item, self.what, self.text(self.limit),
                measured + (f" ({self.beside})" if self.beside else ""),
                verdict)


def unit(name):
    return lambda v: f"{number(v)} {name}"


def claims_cpu(data):
    rounds = data["rounds"]

    def claim(item, server, cell, what, limit, of="floor"):
        found = ratios(rounds, server, cell, of)
        return Claim(item, what, limit, median(found) if found else None,
                     beside=spread(found))

    yield claim(1, "node", "d1", "64 sessions, depth 1, x floor", 1.15)
    yield claim(1, "node", "d1", "the same, x bun", 1.0, "bun")
    yield claim(2, "node", "d16", "64 sessions, depth 16, x floor", 1.5)
    yield claim(3, "node", "c1000", "1000 sessions, depth 1, x floor", 1.2)
    yield claim(4, "node", "connect", "connect to hello_ack, x floor", 1.6)
    yield claim(4, "node, api_key", "connect",
                "the same with api_key, x floor", 2.0)


def claims_idle(data):
    pss = data["memory"].get("node", {})
    yield Claim(5, f"an idle session of {pss.get('connections', 10000):,}, Pss",
                400, pss.get("pss"), unit("B"))
    rest = data["rest"]
    yield Claim(5, "two workers, audit on, at rest, Pss", 8,
                rest and rest["pss"] / MIB, unit("MiB"),
                rest and f"private {number(rest['private'] / MIB)} MiB" or "")
    idle = pss.get("idle_cpu")
    yield Claim(5, "processor, all sessions silent", 0.1,
                None if idle is None else idle * 100,
                lambda v: f"{v:.3f} %")


def sign_ratios(data):
    """What a signed line costs more than another, x the signature alone."""
    signed, plain = "node, audit signed", "node, audit"
    return [(r[signed]["d1"]["cpu_us"] - r[plain]["d1"]["cpu_us"]) * 1000 /
            AUDIT_LINES / data["sign_ns"] for r in data["rounds"]
            if "d1" in r.get(signed, {}) and "d1" in r.get(plain, {})]


def claims_audit(data):
    rounds = data["rounds"]
    found = ratios(rounds, "node, audit", "d1")
    yield Claim(6, "audit log, depth 1, x floor", 1.5,
                median(found) if found else None, beside=spread(found))
    yield Claim(6, "audit log, depth 16", 4,
                typical(rounds, "node, audit", "d16"), unit("us"))
    found = sign_ratios(data)
    yield Claim(6, "a signed line more, x Ed25519 alone", 1.3,
                median(found) if found else None,
                beside=f"Ed25519 {data['sign_ns'] / 1000:.1f} us"
                if found else "")


def claims_open(data):
    rounds = data["open"]
    for key, limit in (("p50_us", 1.2), ("p99_us", 1.5)):
        again = ratios(rounds, "floor again", "open", key=key)
        yield Claim(7, f"open loop, {key[:3]}, x floor", limit,
                    ratio(rounds, "node", "open", key=key),
                    beside="floor against floor " + spread(again)
                    if again else "")
    for key in ("p50_us", "p99_us"):
        found = ratios(rounds, "node, 10,000 idle", "open", "node", key)
        yield Claim(7, f"10,000 idle sessions change its {key[:3]} by", 20,
                    median(found) * 100 - 100 if found else None,
                    lambda v: f"{v:+.0f} %")


def claims_scale(data):
    calls = data["calls"].get("node")
    yield Claim(8, "system calls per heartbeat, depth 1", 2.2,
                calls and calls[0], number, calls and calls[1] or "")
    found = []
    for r in data["growth"]:
        low, high = (str(n) for n in data["growth_claim"])
        if high in r["node"]:
            node, floor = (r[s][high]["cpu_us"] / r[s][low]["cpu_us"]
                           for s in ("node", "floor"))
            found.append(node / floor)
    yield Claim(8, "growth of CPU per message, 100 to 15,000, x floor's",
                1.3, median(found) if found else None, beside=spread(found))


def claims_tls(data):
    tls = data.get("tls")
    if not tls or not tls["rounds"]:
        return

    def claim(what, limit, found):
        return Claim("TLS", what, limit, median(found) if found else None,
                     beside=spread(found))

    yield claim("a heartbeat, x without TLS and the library alone", 2.0,
                tls_floors(tls, TLS_MAIN, "d1"))
    yield claim("connect to hello_ack, x without TLS and the library alone",
                2.0, tls_floors(tls, TLS_MAIN, "connect"))
    yield claim("the plain listener beside TLS, depth 1, x without", 1.1,
                ratios(tls["rounds"], "plain, beside TLS", "d1", "plain"))
    calls = tls["calls"]
    yield Claim("TLS", "system calls per heartbeat, depth 1", 2.2,
                calls and calls[0], number, calls and calls[1] or "")


def claims(data):
    for make in (claims_cpu, claims_idle, claims_audit, claims_open,
                 claims_scale, claims_tls):
        yield from make(data)


def claims_table(data):
    rows = [c.row() for c in claims(data)]
    rows.append((9, "the tests of behaviour stay green", "all",
                 "see make check", "-"))
    return table(("item", "must show", "at most", "measured", "held"), rows)


# ---- how it grows ----

def scale_table(data):
    """Memory per session, the kernel's part apart, and what follows."""
    def kernel(s):
        return "" if s["kernel"] is None else f"{s['kernel']:,.0f} B"

    lines = table(
        ("workers", "sessions", "Pss, the node", "Pss a session",
         "private a session", "kernel a connection, its own end"),
        [(s["workers"], f"{s['sessions']:,}",
          number(s["total"] / MIB) + " MiB", f"{s['pss']:,.0f} B",
          f"{s['private']:,.0f} B", kernel(s)) for s in data["scale"]])
    largest = max(data["scale"], key=lambda s: s["sessions"])
    rows = []
    for n in (100000, 1000000):
        user = largest["base"] + n * largest["pss"]
        own = largest["kernel"]
        rows.append((f"{n:,}", number(user / MIB) + " MiB",
                     "" if own is None else number(n * own / MIB) + " MiB"))
    return [*lines, f"Extrapolated from {largest['sessions']:,} sessions:",
            "", *table(("idle sessions", "the node", "the kernel"), rows)]


# ---- the whole ----

def busy(seconds=1):
    """How many processors are busy with others, those of the host too."""
    def spent():
        with open("/proc/stat", encoding="ascii") as f:
            times = [int(t) for t in f.readline().split()[1:9]]
        return sum(times) - sum(times[3:5])
    before = spent()
    time.sleep(seconds)
    return (spent() - before) / os.sysconf("SC_CLK_TCK") / seconds


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.+)$", info, re.M)
    memory = re.search(r"(\d+)", pathlib.Path("/proc/meminfo").read_text())
    compiler = said(*os.environ.get("CC", "cc").split(), "--version")
    return {
        "processor": model[1] if model else platform.machine(),
        "processors": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / MIB, 1),
        "kernel": platform.release(),
        "compiler": (compiler or "unknown").splitlines()[0],
        "flags": os.environ.get("CFLAGS", ""),
        "busy": busy(),
    }


def preamble(data):
    m = data["machine"]
    lines = [
        f"{m['processor']}, {m['processors']} processors, "
        f"{m['memory_gib']} GiB; Linux {m['kernel']}; {m['compiler']}"
        + (f", `{m['flags']}`." if m["flags"] else "."), "",
        *(f"* {s['name']}: {s['version']}" for s in data["servers"]
          if s["version"])]
    lines += [""] * (lines[-1] != "")
    if m["busy"] > 0.1:
        lines += [f"**The host was not idle when this began: {m['busy']:.1f} "
                  "of its processors were busy.  Mistrust the numbers.**", ""]
    if data["error"]:
        lines += [f"**It ended early, with: {data['error']}**", ""]
    if data["memory"].get("node", {}).get("pss", 0) is None:
        lines += ["Memory was not measured: that takes root.", ""]
    return lines


def sections(data):
    if data["rounds"]:
        yield "CPU, microseconds per message or connection", [
            f"Medians; rounds: {len(data['rounds'])}. x floor: the median of "
            "the ratios within each round. An idle connection is Pss, all "
            "processes of a server.", "", *cpu_table(data)]
        yield "Latency, microseconds: p50 / p99 / p99.9", latency_table(data)
    if data["open"]:
        yield (f"Open loop at {data['open_rate']:,} messages a second, "
               f"{len(data['open'])} rounds, microseconds", open_table(data))
    if data["growth"]:
        yield ("CPU per message as sessions grow, at "
               f"{data['growth_rate']:,} messages a second",
               growth_table(data))
    if data.get("tls") and data["tls"]["rounds"]:
        yield "TLS side by side, microseconds of CPU", tls_table(data)
    if data["scale"]:
        yield "Memory as sessions grow", scale_table(data)
    if data["plan"] != "scale":
        yield "Must show", claims_table(data)


TITLES = {"bench": "Results", "quick": "Results of a quick run",
          "scale": "Results as sessions grow"}


def render(data):
    lines = [f"# {TITLES[data['plan']]}", "", *preamble(data)]
    for title, text in sections(data):
        lines += [f"## {title}", "", *text]
    return "\n".join(lines).rstrip() + "\n"
