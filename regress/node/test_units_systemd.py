"""The units, run by systemd as they are, with all their protection.

manager.py says which systemd that is.  It takes root; as a plain user, or where
root may not make namespaces, test_units_filter.py has what is left.
"""

import json
import os
import pathlib
import re
import signal

import pytest

import node as harness
from manager import Cannot, Systemd, text_of
from node import TIMEOUT, free_ports, toml, wait_for
from ops import RESPAWN, Callers, beat, enter, let_in

ALICE = "alice-key-0001-0123456789abcdef"
BOB = "bob-key-0002-0123456789abcdef"
LOG = "/var/log/ltpd/ltpd.log"
CREDENTIAL = "/run/credentials/ltpd.service/keys.json"
UNITS = ("ltpd.service", "ltpd.socket", "ltpd-metrics.socket")
# For the test's sake alone: where errors of a start go, and less to wait for.
QUICK = """
[Service]
StandardError=append:/var/stderr
RestartSec=200ms
WatchdogSec=2s
"""


@pytest.fixture(scope="module")
def systemd():
    try:
        with Systemd() as s:
            yield s
    except Cannot as why:
        pytest.skip(f"no systemd of our own: {why}")


class Service:
    """ltpd.service, and enough of a Node for those who talk to one."""

    def __init__(self, systemd, **settings):
        self.systemd = systemd
        self.wires = []
        self.settings = {"id": "node-a", "workers": 2, "log_file": LOG,
                         "rate_limit_rps": 0, **settings}
        ports = free_ports(2)
        self.address = ("127.0.0.1", ports[0])
        self.metrics_address = ("127.0.0.1", ports[1])
        for name in UNITS:
            systemd.unit(name)
        systemd.drop_in("ltpd.service", "quick.conf", QUICK)
        self.configure(addr="%s:%d" % self.address,
                       metrics_addr="%s:%d" % self.metrics_address)

    wire = harness.Node.wire
    connect = harness.Node.connect
    drop_wires = harness.Node.drop_wires
    get = harness.Node.get

    def configure(self, **settings):
        self.settings.update(settings)
        self.systemd.file("etc/ltpd.conf", "".join(
            f"{n} = {toml(v)}\n" for n, v in self.settings.items()))

    def keys(self, keys, mode=0o600, gid=0):
        self.systemd.file("etc/ltpd/keys.json", json.dumps(keys), mode,
                          gid=gid)

    def verb(self, verb, status=0):
        return self.systemd.systemctl(verb, "ltpd.service", status=status)

    def start(self):
        self.systemd.systemctl("daemon-reload")
        self.verb("start")

    def state(self, name):
        return self.systemd.show("ltpd.service", name)

    def rows(self):
        done = self.systemd.ctl("-j", "show", "processes")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def activated(self):
        """As somebody does who follows ltpd(8)."""
        s = self.systemd
        s.unit("ltpd.socket",
               **{"127.0.0.1:7070": "%s:%d" % self.address})
        s.unit("ltpd-metrics.socket",
               **{"127.0.0.1:9090": "%s:%d" % self.metrics_address})
        s.drop_in("ltpd.service", "ltpd-activated.conf",
                  text_of("ltpd-activated.conf"))
        s.systemctl("daemon-reload")
        s.systemctl("start", "ltpd.socket", "ltpd-metrics.socket")


@pytest.fixture
def service(systemd):
    made = []

    def make(**settings):
        made.append(Service(systemd, **settings))
        return made[0]
    yield make
    for s in made:
        s.drop_wires()
    systemd.run("systemctl", "stop", *UNITS)
    systemd.run("systemctl", "reset-failed")
    systemd.clear()


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


def limit_of(pid, name):
    text = pathlib.Path(f"/proc/{pid}/limits").read_text()
    return re.search(rf"^{name}\s+(\S+)\s+(\S+)", text, re.M).groups()


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


# ---- the service ----

def test_the_service_runs(service, systemd):
    s = service()
    s.start()
    beat(enter(s))
    assert s.get("/livez")[0] == 200
    assert s.state("StatusText") == "serving, workers=2"
    assert s.state("ActiveState") == "active"
    assert systemd.run("systemctl", "reload", "ltpd").returncode == 0
    assert [r["state"] for r in s.rows()] == 4 * ["ready"]
    s.verb("stop")
    assert (s.state("Result"), s.state("ExecMainStatus"),
            s.state("NRestarts")) == ("success", "0", "0")
    assert "stopped" in systemd.log()


def test_every_process_is_what_the_unit_makes_it(service, systemd):
    s = service()
    s.start()
    pids = systemd.pids()
    assert len(pids) == 4
    for pid in pids:
        status = status_of(pid)
        assert status["Uid"].split() == 4 * [str(systemd.uid)]
        assert status["Gid"].split() == 4 * [str(systemd.gid)]
        assert {status[n] for n in ("CapBnd", "CapPrm", "CapEff", "CapInh",
                                    "CapAmb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        for kind in ("user", "mnt", "ipc"):
            assert namespace(pid, kind) != namespace(systemd.pid, kind)
    for row in s.rows():
        assert row["state"] == "ready", row
    main = systemd.main_pid()
    assert main in pids
    # Our systemd cannot give more than it has.
    _, most = limit_of(systemd.pid, "Max open files")
    files = str(min(65536, int(most)))
    assert limit_of(main, "Max open files") == (files, files)
    assert limit_of(main, "Max core file size") == ("0", "0")


# What ltpd may write; the rest of it belongs to the kernel, or to root.
WRITABLE = {"/etc/ltpd", "/run/ltpd", "/tmp", "/var/tmp", "/var/lib/ltpd",
            "/var/log/ltpd", "/dev/shm", "/dev/pts", "/dev/mqueue", "/proc"}


def mounts_of(pid):
    """Options by place, of what is not covered by another mount."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as f:
        rows = {row[0]: (row[1], row[4], row[5].split(","))
                for row in map(str.split, f)}

    def seen(number):
        if number not in rows:
            return True
        over, path, _ = rows[number]
        for other, (parent, place, _) in rows.items():
            covers = place == rows[over][1] if over in rows else False
            if parent == over and other != number and \
                    (covers or path.startswith(place.rstrip("/") + "/")):
                return False
        return seen(over)
    covered = {parent for parent, place, _ in rows.values()
               if parent in rows and rows[parent][1] == place}
    return {path: how for number, (_, path, how) in rows.items()
            if number not in covered and seen(number) and
            not path.startswith("/sys/fs/cgroup")}


def test_nothing_can_be_both_written_and_run(service, systemd):
    s = service()
    s.start()
    mounts = mounts_of(systemd.main_pid())
    writable = {path for path, how in mounts.items() if "rw" in how}
    assert writable - WRITABLE == set()
    assert all("noexec" in mounts[path] for path in writable - {"/dev/pts"})
    assert all("nosuid" in how for how in mounts.values())
    assert "noexec" in mounts["/"]
    denied = systemd.run("nsenter", f"--target={s.state('MainPID')}",
                         "--mount", "--wd=/", "/bin/true")
    assert "Permission denied" in denied.stderr, "a program can be run"
    # And what is not its business is not there.
    root = pathlib.Path(f"/proc/{systemd.main_pid()}/root")
    assert list((root / "root").iterdir()) == []
    assert list((root / "tmp").iterdir()) == []
    assert not (root / "dev/kmsg").exists()
    assert not (root / "proc/cpuinfo").exists()
    assert (root / "dev/null").exists()


def test_a_reload_has_its_status(service, systemd):
    s = service()
    s.start()
    wire = enter(s)
    s.configure(max_connections=100)
    s.verb("reload")
    assert s.state("StatusText") == "serving, generation=2"
    assert "reload: done" in systemd.log()
    s.systemd.file("etc/ltpd.conf", "nonsense\n")
    s.verb("reload", status=1)
    assert "failed" in s.state("StatusText")
    assert s.state("ActiveState") == "active"
    beat(wire)


def test_a_key_file_on_the_disk_is_read_again(service, systemd):
    s = service(auth_mode="api_key", auth_keys_file="/etc/ltpd/keys.json")
    s.keys({"alice": ALICE}, 0o640, systemd.gid)
    s.start()
    assert let_in(s, ALICE) and not let_in(s, BOB)
    s.keys({"bob": BOB}, 0o640, systemd.gid)
    wait_for(lambda: let_in(s, BOB), "the new key is known")
    assert not let_in(s, ALICE)


def test_a_credential_is_read_at_the_start(service, systemd):
    """The unit says so: a reload is not enough."""
    s = service(auth_mode="api_key", auth_keys_file=CREDENTIAL)
    s.keys({"alice": ALICE})
    s.start()
    assert let_in(s, ALICE) and not let_in(s, BOB)
    s.keys({"bob": BOB})
    s.verb("reload")
    assert let_in(s, ALICE) and not let_in(s, BOB)
    s.verb("restart")
    assert let_in(s, BOB) and not let_in(s, ALICE)


def test_without_a_key_file_nobody_is_let_in(service, systemd):
    """A credential that is not there hinders only those who ask for it."""
    s = service()
    (systemd.dir / "etc/ltpd/keys.json").unlink(missing_ok=True)
    s.start()
    s.verb("stop")
    s.configure(auth_mode="api_key", auth_keys_file=CREDENTIAL)
    s.verb("start", status=1)
    assert re.search(f"keys: {CREDENTIAL}: .*",
                     (systemd.dir / "var/stderr").read_text())


@pytest.mark.long
def test_the_log_is_rotated(service, systemd):
    s = service()
    s.start()
    log = systemd.dir / "var/log/ltpd/ltpd.log"
    assert log.stat().st_uid == systemd.uid
    log.rename(log.with_name("ltpd.log.1"))
    assert systemd.ctl("log", "rotate").returncode == 0
    assert "log reopened" in log.read_text()
    assert "log reopened" not in log.with_name("ltpd.log.1").read_text()


@pytest.mark.long
def test_the_audit_log_is_written(service, systemd):
    s = service(audit_log_file="/var/log/ltpd/audit.log")
    s.start()
    beat(enter(s))
    audit = systemd.dir / "var/log/ltpd/audit.log"
    wait_for(lambda: audit.read_text().count("\n") >= 2, "lines")
    assert audit.stat().st_mode & 0o7777 == 0o600


OPERATORS = 777
# What ltpd(8) says.
CONTROL_GROUP = """
[Service]
PrivateUsers=no
SupplementaryGroups=operators
SystemCallFilter=@chown
"""


def test_a_group_may_operate_it(service, systemd):
    s = service(control_group="operators")
    systemd.drop_in("ltpd.service", "group.conf", CONTROL_GROUP)
    group = systemd.dir / "etc/group"
    before = group.read_text()
    group.write_text(f"{before}operators:x:{OPERATORS}:nobody\n")
    s.start()

    def status(groups):
        return systemd.run(
            "setpriv", "--reuid=65534", "--regid=65534", groups,
            "/usr/local/ltpctl/ltpctl", "show", "summary").returncode
    assert status(f"--groups={OPERATORS}") == 0
    assert status("--clear-groups") == 1
    group.write_text(before)


@pytest.mark.long
def test_a_worker_that_dies_is_replaced(service, systemd):
    s = service(workers=1)
    s.start()
    row = next(r for r in s.rows() if r["process"] == "worker")
    assert systemd.run("kill", "-KILL", str(row["pid"])).returncode == 0
    wait_for(lambda: let_in(s), "a new worker", RESPAWN)
    assert s.state("NRestarts") == "0"


def test_who_hangs_is_replaced(service, systemd):
    """The watchdog's work."""
    s = service()
    s.start()
    first = s.state("MainPID")
    os.kill(systemd.main_pid(), signal.SIGSTOP)
    wait_for(lambda: s.state("NRestarts") == "1", "the watchdog barks",
             2 * TIMEOUT, 0.1)
    wait_for(lambda: s.state("ActiveState") == "active", "a new node",
             2 * TIMEOUT, 0.05)
    beat(enter(s))
    assert s.state("MainPID") != first


@pytest.mark.long
def test_who_dies_is_started_again(service, systemd):
    s = service()
    s.start()
    first = s.state("MainPID")
    os.kill(systemd.main_pid(), signal.SIGKILL)
    wait_for(lambda: s.state("MainPID") not in ("0", first) and
             s.state("ActiveState") == "active", "a new node", 2 * TIMEOUT,
             0.05)
    beat(enter(s))


# ---- with passed sockets ----

def test_a_client_starts_the_service_that_has_no_network(service, systemd):
    s = service()
    s.activated()
    assert s.state("ActiveState") == "inactive"
    beat(enter(s))
    assert s.state("ActiveState") == "active"
    assert s.get("/livez")[0] == 200
    for pid in systemd.pids():
        assert namespace(pid, "net") != namespace(systemd.pid, "net")
    s.verb("reload")
    assert "WARN" not in systemd.log().upper()


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_no_connect_is_refused_by_a_restart(service, systemd, how):
    s = service()
    s.activated()
    with Callers(s) as callers:
        callers.turns()
        first = s.state("MainPID")
        if how == "restart":
            s.verb("restart")
        else:
            os.kill(systemd.main_pid(), signal.SIGKILL)
            wait_for(lambda: s.state("MainPID") not in ("0", first),
                     "a new node", 2 * TIMEOUT, 0.05)
        callers.turns()
    assert s.state("MainPID") != first
    assert callers.refused == 0
    assert callers.served > 0
