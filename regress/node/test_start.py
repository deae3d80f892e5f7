"""The start: options, settings, listeners; and what runs out later."""

import contextlib
import os
import re
import select
import socket
import time

import pytest

import ops
from node import BUILD, free_ports, wait_for
from ops import (beat, config, enter, process, processes, run_ltpd, started,
                 summary)

SECRET = "secret-key-0001"
REFUSALS = 64       # sockets over the cap that are refused politely
FEW = 64            # descriptors
CROWD = 200
IDLE = 0.1          # share of a processor that is idle enough


@pytest.fixture
def node(lab):
    with ops.prepared(lab) as node:
        yield node


def said(done, status):
    """One line on stderr, nothing on stdout."""
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.startswith("ltpd: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# ---- options ----

@pytest.mark.parametrize("args", [
    ["-x"], ["-D"], ["-f"], ["word"], ["-d", "word"], ["--nonsense"],
], ids=" ".join)
def test_bad_options(node, args):
    done = run_ltpd(node, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: ltpd [-dhnVv] [-D name=value] [-f file]" in done.stderr


def test_help(node):
    done = run_ltpd(node, "-h")
    assert (done.returncode, done.stderr) == (0, "")
    for option in "DdfnVv":
        assert re.search(rf"^ +-{option}\b", done.stdout, re.MULTILINE)


def test_version(node):
    done = run_ltpd(node, "-V")
    assert (done.returncode, done.stderr) == (0, "")
    first, *features = done.stdout.splitlines()
    assert re.fullmatch(r"ltpd \d+\.\d+\.\d+\S*", first)
    assert any(line.startswith("sandbox: ") for line in features)
    with contextlib.ExitStack() as stack:
        stack.callback(node.kill)
        node.start()
        assert summary(node)["version"] == first.split()[1]
        node.stop()


def test_check(node):
    done = run_ltpd(node, "-n", "-f", str(node.conf))
    assert (done.returncode, done.stdout) == (0, "")
    assert "OK" in done.stderr
    node.file("ltpd.conf", "max_sessions = 1\nnonsense = 1\n")
    assert f"{node.conf}:2: nonsense" in said(
        run_ltpd(node, "-n", "-f", str(node.conf)), 1)


def test_check_touches_nothing(lab):
    """It may be run beside the node that it is for."""
    with started(lab) as node:
        before = node.log()
        assert run_ltpd(node, "-n", "-f", str(node.conf)).returncode == 0
        assert node.control.exists() and node.log() == before
        assert ops.let_in(node)


def test_check_without_a_file(node):
    assert run_ltpd(node, "-n").returncode == 0
    assert "127.0.0.1:7070" in run_ltpd(node, "-nn").stdout


def in_force(printed):
    """The settings of -nn without their origins."""
    return [re.sub(' # [^"]*$', "", line) for line in printed.splitlines()
            if not line.startswith("#")]


def test_print_and_parse_again(node):
    node.configure(allowed_origins=["https://a.example", "*"],
                   trust_proxy=True, max_sessions=5)
    first = run_ltpd(node, "-nn", "-f", str(node.conf), "-D", "workers=3",
                     env={"LTP_NODE_MAX_CONNECTIONS": "9"})
    assert (first.returncode, first.stderr) == (0, "")
    path = node.file("printed.conf", first.stdout)
    second = run_ltpd(node, "-nn", "-f", str(path))
    assert (second.returncode, second.stderr) == (0, "")
    assert in_force(second.stdout) == in_force(first.stdout)
    for line in (rf"max_sessions = 5 # {node.conf}:\d+",
                 r"max_connections = 9 # .*LTP_NODE_MAX_CONNECTIONS",
                 "workers = 3 # -D", "idle_ttl_ms = 60000 # default"):
        assert re.search(f"^{line}$", first.stdout, re.MULTILINE), line


def test_verbose(lab):
    for option, levels in (("-v", {"debug"}), ("-vv", {"debug", "trace"})):
        with started(lab, args=[option]) as node:
            assert summary(node)["log_level"] in levels
            enter(node).drop()
            ops.wait_for_log(node, " debug worker")


# ---- settings ----

def test_a_missing_file(node):
    for args in (["-n"], ["-nn"], ["-d"], []):
        path = str(node.dir / "missing.conf")
        err = said(run_ltpd(node, *args, "-f", path), 1)
        assert path in err and "No such file" in err


@pytest.mark.parametrize("path", ["/", "/dev/null", "/dev/zero"])
def test_what_is_no_file(node, path):
    assert path in said(run_ltpd(node, "-d", "-f", path), 1)


BAD_VALUES = [
    ("addr", "127.0.0.1", "LTP_NODE_ADDR"),
    ("addr", "localhost:7070", "LTP_NODE_ADDR"),
    ("addr", "0.0.0.0:7070", "LTP_NODE_ADDR"),
    ("metrics_addr", "127.0.0.1:70700", "LTP_NODE_METRICS_ADDR"),
    ("id", "", "LTP_NODE_ID"),
    ("max_connections", "0", "LTP_NODE_MAX_CONNECTIONS"),
    ("max_connections", "10k", "LTP_NODE_MAX_CONNECTIONS"),
    ("max_sessions", "-1", "LTP_NODE_MAX_SESSIONS"),
    ("max_message_bytes", "1e6", "LTP_NODE_MAX_MESSAGE_BYTES"),
    ("max_message_bytes", "99999999999", "MAX_MESSAGE_BYTES"),
    ("handshake_timeout_ms", "0", "LTP_NODE_HANDSHAKE_TIMEOUT_MS"),
    ("idle_ttl_ms", "60 000", "LTP_NODE_IDLE_TTL_MS"),
    ("gc_interval_ms", "0x10", "LTP_NODE_GC_INTERVAL_MS"),
    ("rate_limit_rps", "", "RATE_LIMIT_RPS"),
    ("rate_limit_burst", "0", "RATE_LIMIT_BURST"),
    ("ip_rate_limit_rps", "18446744073709551616", "IP_RATE_LIMIT_RPS"),
    ("auth_mode", "open", "AUTH_MODE"),
    ("auth_mode", "jwt", "AUTH_MODE"),
    ("auth_keys_file", "keys.json", "AUTH_KEYS_FILE"),
    ("trust_proxy", "maybe", "TRUST_PROXY"),
    ("allow_proxy_cidr", "10.0.0.0/33", "LTP_ALLOW_PROXY_CIDR"),
    ("workers", "1000", "TOKIO_WORKER_THREADS"),
    ("control_socket", "ltpd.sock", "LTPD_CONTROL_SOCKET"),
    ("log_level", "loud", None),
    ("dialect", "latin", None),
    ("allowed_origins", "example.org", None),
    ("reload_failure", "open", None),
]


@pytest.mark.parametrize("name, value, variable", BAD_VALUES,
                         ids=[f"{n}={v}" for n, v, _ in BAD_VALUES])
def test_a_bad_value_stops_the_start(node, name, value, variable):
    """In the environment and on the command line; name and value are said."""
    def names(err, where):
        assert name in err and where in err
        # What is not there cannot be shown, "jwt" is called by its name.
        assert value in err
    file = ["-f", str(node.conf)]
    for first in ("-d", "-n"):
        names(said(run_ltpd(node, first, *file, "-D", f"{name}={value}"), 1),
              "-D")
        if variable is not None:
            names(said(run_ltpd(node, first, *file, env={variable: value}),
                       1), variable)


BAD_LINES = [
    ("max_sessions = 0", "max_sessions", "0"),
    ("max_sessions = true", "max_sessions", "true"),
    ("max_sessions = 1.5", "max_sessions", "1.5"),
    ("id = ''", "id", "double quotes"),
    ("addr = []", "addr", ""),
    ("trust_proxy = 1", "trust_proxy", "1"),
    ("auth_mode = none", "auth_mode", "none"),
    ('log_level = "INFO"', "log_level", "INFO"),
    ('log_file = "ltpd.log"', "log_file", "ltpd.log"),
    ('allow_proxy_cidr = ["x"]', "allow_proxy_cidr", "x"),
]


@pytest.mark.parametrize("line, name, value", BAD_LINES,
                         ids=[row[0] for row in BAD_LINES])
def test_a_bad_line_stops_the_start(node, line, name, value):
    path = node.file("bad.conf", f"# a comment\n{line}\n")
    for first in ("-d", "-n"):
        err = said(run_ltpd(node, first, "-f", str(path)), 1)
        assert f"{path}:2: {name}: " in err and value in err


def test_what_overrides_what(lab):
    """The file, then the environment, then -D."""
    with started(lab, max_sessions=1, max_connections=1, workers=1,
                 env={"LTP_NODE_MAX_SESSIONS": "2",
                      "LTP_NODE_MAX_CONNECTIONS": "2",
                      "MAX_MESSAGE_BYTES": "2000"},
                 args=["-D", "max_sessions=3", "-D", "dialect=client",
                       "-D", "max_sessions=4"]) as node:
        c = config(node)
        assert c["max_sessions"]["value"] == 4
        assert c["max_connections"]["value"] == 2
        assert c["max_message_bytes"]["value"] == 2000
        assert c["dialect"]["value"] == "client"
        # A reload does not forget them.
        node.configure(max_sessions=9, max_connections=9)
        assert node.ctl("reload").returncode == 0
        assert {n: s["value"] for n, s in config(node).items()} == \
            {n: s["value"] for n, s in c.items()}


@pytest.mark.parametrize("definition, text", [
    ("max_sessions", "keyword=value"), ("=1", "keyword=value"),
    ("nonsense=1", "nonsense"), ("max_sessions=", "max_sessions"),
])
def test_bad_definitions(node, definition, text):
    err = said(run_ltpd(node, "-n", "-D", definition), 1)
    assert "-D" in err and text in err


@pytest.mark.parametrize("name", ["auth_keys", "auth_jwt_secret",
                                  "node_signing_key", "distributed.token"])
def test_secrets_are_refused_on_the_command_line(node, name):
    """Everybody can read it there; nor are they repeated."""
    err = said(run_ltpd(node, "-n", "-D", f"{name}=alice:{SECRET}"), 1)
    assert name in err and SECRET not in err


def test_secrets_are_never_printed(lab):
    keys = {"alice": SECRET, "bob": SECRET + "2"}
    with started(lab, {"bob": keys["bob"]}, args=["-vv"],
                 secrets=keys.values(),
                 env={"AUTH_KEYS": f"alice:{SECRET}"}) as node:
        beat(enter(node, "alice", SECRET), 1, "alice")
        beat(enter(node, "bob", keys["bob"]), 1, "bob")
        assert ops.status_for(node, SECRET + "3")[0] == 401
        outs = [node.ctl(*form, "show", what).stdout
                for form in ([], ["-j"])
                for what in ("config", "keys", "sessions", "summary")]
        outs += [node.get("/metrics")[2], node.get("/health")[2], node.log()]
        printed = run_ltpd(node, "-nn", "-f", str(node.conf))
        assert "auth_keys = <set>" in printed.stdout
        assert not any(SECRET in out for out in (*outs, printed.stdout))


@pytest.mark.parametrize("keys", [
    f"alice:{SECRET},", f"alice:{SECRET},alice:x", f"alice:{SECRET},:x",
    f"{SECRET}", f"alice:{SECRET},bob:{SECRET}", "alice:",
])
def test_bad_keys_stop_the_start(node, keys):
    err = said(run_ltpd(node, "-d", "-f", str(node.conf),
                        env={"AUTH_MODE": "api_key", "AUTH_KEYS": keys}), 1)
    assert "AUTH_KEYS" in err and SECRET not in err


def test_api_key_without_keys_stops_the_start(node):
    for env in ({}, {"AUTH_KEYS": ""},
                {"AUTH_KEYS_FILE": str(node.dir / "missing.json")}):
        err = said(run_ltpd(node, "-d", "-f", str(node.conf),
                            env={"AUTH_MODE": "api_key"} | env), 1)
        assert re.search("auth_mode|AUTH_KEYS|missing.json", err)


def test_a_configuration_with_a_secret_must_be_closed(node):
    node.configure(auth_mode="api_key", auth_keys=f"alice:{SECRET}")
    node.conf.chmod(0o644)
    err = said(run_ltpd(node, "-d", "-f", str(node.conf)), 1)
    assert "0644" in err and SECRET not in err
    node.conf.chmod(0o600)
    assert run_ltpd(node, "-n", "-f", str(node.conf)).returncode == 0


# ---- listeners ----

@pytest.mark.parametrize("which", ["addr", "metrics_addr"])
def test_a_port_in_use(node, which):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        node.configure(**{which: address})
        err = said(run_ltpd(node, "-d", "-f", str(node.conf)), 1)
        assert address in err and "in use" in err
        assert not node.control.exists()


def test_an_address_that_is_not_ours(node):
    node.configure(addr="192.0.2.1:7070", allow_unsafe_expose=True)
    err = said(run_ltpd(node, "-d", "-f", str(node.conf)), 1)
    assert "192.0.2.1:7070" in err


def test_an_exposed_address_takes_a_word(node):
    port, metrics = free_ports(2)
    node.configure(addr=f"0.0.0.0:{port}",
                   metrics_addr=f"127.0.0.1:{metrics}")
    err = said(run_ltpd(node, "-d", "-f", str(node.conf)), 1)
    assert f"0.0.0.0:{port}" in err
    node.configure(allow_unsafe_expose=True)
    node.launch()
    assert node.ready(), node.log()
    node.children = node.group() - {node.proc.pid}
    assert node.log_lines(rf" warn .*0\.0\.0\.0:{port}")
    node.address = ("127.0.0.1", port)
    beat(enter(node))
    # That is where ltpctl finds it, too.
    assert node.ctl("ping", "-i", "10").returncode == 0
    node.stop()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_several_listeners(node):
    ports = free_ports(3)
    addresses = [("127.0.0.1", ports[0]), ("127.0.0.2", ports[0]),
                 ("127.0.0.1", ports[1])]
    if has_ipv6():
        addresses.append(("::1", ports[0]))
    texts = [("[%s]:%d" if ":" in a[0] else "%s:%d") % a for a in addresses]
    node.configure(addr=texts, metrics_addr=f"127.0.0.1:{ports[2]}")
    node.launch()
    assert node.ready(), node.log()
    node.children = node.group() - {node.proc.pid}
    node.metrics_address = ("127.0.0.1", ports[2])
    assert [x["url"] for x in summary(node)["listeners"]] == [
        *(f"ws://{t}" for t in texts), f"http://127.0.0.1:{ports[2]}"]
    for t in texts:
        assert node.log_lines(rf" ltpd: listening on ltp ws://{re.escape(t)}")
    for address, t in zip(addresses, texts):
        node.address = address
        beat(enter(node))
        assert node.ctl("ping", "-i", "10", f"ws://{t}").returncode == 0
    assert node.get("/livez")[0] == 200
    node.stop()


# ---- workers ----

@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers(lab, workers):
    with started(lab, workers=workers) as node:
        rows = [p for p in processes(node) if p["process"] == "worker"]
        assert [p["slot"] for p in rows] == list(range(workers))
        for i in range(2 * workers):
            beat(enter(node, f"c{i}"), 1, f"c{i}")
        rows = [p for p in processes(node) if p["process"] == "worker"]
        assert [p["connections"] for p in rows] == workers * [2]
        assert [p["sessions"] for p in rows] == workers * [2]
        node.metrics_are(ltp_workers=workers, ltp_workers_configured=workers,
                         ltp_ws_connections_current=2 * workers)


def test_by_default_as_many_workers_as_processors(node):
    del node.settings["workers"]
    node.configure()
    out = run_ltpd(node, "-nn", "-f", str(node.conf)).stdout
    assert f"\nworkers = {os.cpu_count()} " in out


def test_the_node_names_itself(lab):
    names = set()
    for _ in range(2):
        with ops.prepared(lab) as node:
            del node.settings["id"]
            node.start()
            names.add(summary(node)["node_id"])
            node.stop()
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-" \
        "[0-9a-f]{12}"
    assert len(names) == 2
    assert all(re.fullmatch(f"ltp-node-{uuid}", name) for name in names)


# ---- too many clients ----

def connect_many(node, count):
    """Connections of all sorts, as many as the backlog takes."""
    socks = []
    for _ in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(node.address)
        socks.append(sock)
    return socks


def close_all(socks):
    for sock in socks:
        sock.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_out_of_descriptors(lab, workers):
    """
    The node neither dies nor spins, serves whom it has, and takes new
    clients when others have left.
    """
    wrap = ["/usr/bin/prlimit", f"--nofile={FEW}"]
    with started(lab, wrap=wrap, workers=workers,
                 handshake_timeout_ms=600000) as node:
        wire = enter(node)
        crowd = connect_many(node, CROWD)
        pids = node.group()
        # What can be accepted has been when nothing moves any more.
        wait_for(lambda: quiet(pids), "the node comes to rest")
        begin, spent = time.monotonic(), ops.cpu_seconds(pids)
        while time.monotonic() - begin < 2:
            beat(wire)
            select.select([], [], [], 0.1)
        spent = ops.cpu_seconds(pids) - spent
        assert spent < IDLE * (time.monotonic() - begin)
        assert node.group() == pids
        assert node.get("/livez")[0] == 200

        close_all(crowd)
        left = time.monotonic()
        wait_for(lambda: ops.let_in(node), "new clients are let in", 2)
        print(f"{100 * spent / (left - begin):.1f} % of a processor; new "
              f"clients after {1000 * (time.monotonic() - left):.0f} ms")
        beat(wire)
        wire.drop()
        node.metrics_are(ltp_ws_connections_current=0, ltp_sessions_total=0)
        assert node.group() == pids
        assert not node.log_lines(" error ")


def quiet(pids):
    """The processes use next to nothing for a moment."""
    before = ops.cpu_seconds(pids)
    select.select([], [], [], 0.25)
    return ops.cpu_seconds(pids) - before <= 0.02


def test_the_control_socket_answers_without_descriptors(lab):
    wrap = ["/usr/bin/prlimit", f"--nofile={FEW}"]
    with started(lab, wrap=wrap, handshake_timeout_ms=600000) as node:
        crowd = connect_many(node, CROWD)
        operators = []
        with contextlib.suppress(OSError):
            for _ in range(CROWD):
                operators.append(ops.operator(node))
        close_all(operators)
        wait_for(lambda: node.ctl("show", "summary").returncode == 0,
                 "ltpctl is answered")
        close_all(crowd)
        wait_for(lambda: ops.let_in(node), "new clients are let in", 2)


def fate(sock):
    """What became of a connection: "503", "closed" or None so far."""
    try:
        data = sock.recv(4096, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except ConnectionError:
        return "closed"
    if data == b"":
        return "closed"
    assert data.startswith(b"HTTP/1.1 503 "), data
    assert b"\r\nRetry-After: " in data
    return "503"


def fates_of(socks):
    """When everybody has got an answer."""
    return wait_for(
        lambda: (f := [fate(s) for s in socks]) and None not in f and f,
        "everybody has got an answer")


def test_over_max_connections(lab):
    cap, over = 10, 200
    with started(lab, max_connections=cap, workers=2,
                 handshake_timeout_ms=600000) as node:
        wires = [enter(node, f"c{i}") for i in range(cap)]
        crowd = connect_many(node, over)
        fates = fates_of(crowd)
        polite, rude = fates.count("503"), fates.count("closed")
        # Those who were refused were still there, or these would be more.
        assert REFUSALS <= polite < over and polite + rude == over
        for i, wire in enumerate(wires):
            beat(wire, 1, f"c{i}")
        node.samples_are({"ltp_ws_connections_current": cap,
                          "ltp_sessions_total": cap,
                          "ltp_connections_total": cap + over,
                          "ltp_connections_refused_total": rude,
                          'ltp_upgrades_total{status="503"}': polite})
        close_all(crowd)
        for wire in wires:
            wire.drop()
        node.metrics_are(ltp_ws_connections_current=0, ltp_sessions_total=0)
        for i in range(cap):
            enter(node, f"d{i}")


def test_refusals_make_room_for_more(lab):
    """Who is refused is forgotten when it leaves, or after a second."""
    with started(lab, max_connections=1) as node:
        wire = enter(node)

        def all_are_told():
            crowd = connect_many(node, REFUSALS)
            fates = fates_of(crowd)
            close_all(crowd)
            return set(fates) == {"503"}
        for _ in range(3):
            wait_for(all_are_told, "there is room for all refusals again")
        beat(wire)


# ---- a kernel without Landlock ----

# What a process of this system cannot do without is not tested without.
POOR = BUILD / "regress/client/without-landlock"
needs_poor = pytest.mark.skipif(not POOR.exists(), reason="not on this system")


@needs_poor
def test_a_kernel_without_landlock_must_be_asked_for(lab):
    with ops.prepared(lab, wrap=[str(POOR)]) as node:
        done = run_ltpd(node, "-d", "-f", str(node.conf))
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert " error ltpd sandbox: the kernel has no Landlock, and " \
            "landlock_optional is not set: " in done.stderr
        assert not node.control.exists()


@needs_poor
def test_a_kernel_without_landlock_will_do_if_asked_for(lab):
    with started(lab, wrap=[str(POOR)], landlock_optional=True) as node:
        assert len(node.log_lines("warn .*sandbox: the kernel has no "
                                  "Landlock, .* goes without$")) == 3
        for p in processes(node):
            assert p["sandbox"]["landlock_abi"] == 0
            assert p["sandbox"]["landlock_fs"] == []
        assert process(node, "worker")["sandbox"]["seccomp"] == 2
        beat(enter(node))
