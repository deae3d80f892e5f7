"""A systemd of our own, to run the units as they are.

It is the first process of namespaces of its own (processes, mounts, names,
System V IPC, control groups), sees this system's programs below an /etc,
/run, /var and /usr/local of its own, and knows no unit but ours.  The network
is this system's.  That takes root, or rather CAP_SYS_ADMIN, and control groups
of version 2.
"""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

from node import BUILD, PROGRAMS, TIMEOUT, wait_for

SOURCE = pathlib.Path(os.environ.get(
    "LTPD_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
SYSTEMD = "/lib/systemd/systemd"
USER = "_ltpd"

# What ours refer to, and what systemd cannot do without.
TARGETS = ("default", "basic", "sysinit", "sockets", "network", "shutdown",
           "umount", "multi-user", "exit")
ETC = ("ld.so.cache", "nsswitch.conf", "localtime", "passwd", "group",
       "ssl", "protocols", "services", "hosts")
# Nothing that is meant for this system shall get there by mistake.
NOT_OURS = ("sys_time", "sys_boot", "sys_module", "sys_rawio", "syslog",
            "mac_admin", "mac_override", "wake_alarm", "audit_control")

SETUP = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
mount -o remount,ro,bind /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$1/console" /dev/console
mount --bind "$1/usr" /usr/local
mount --bind "$1/var" /var
mount --bind "$1/etc" /etc
# Among ourselves: credentials get to a service that way.
mount --make-rshared /
shift
exec "$@"
"""


def text_of(name, **over):
    """A file of etc/ as make would write it, for our /usr/local."""
    for path in (SOURCE / "etc" / name, SOURCE / "etc" / (name + ".in")):
        if path.exists():
            break
    text = path.read_text()
    places = {"@SBINDIR@/ltpctl": "/usr/local/ltpctl/ltpctl",
              "@SBINDIR@/ltpd": "/usr/local/ltpd/ltpd",
              "@LIBEXECDIR@": "/usr/local", "@SYSCONFDIR@": "/etc",
              "@RUNSTATEDIR@": "/run", "@LOCALSTATEDIR@": "/var", **over}
    for a, b in places.items():
        text = text.replace(a, b)
    assert not re.search("@[A-Z]+@", text), text
    return text


def sanitized():
    """Such programs need what the units forbid: /proc, ptrace, address space."""
    return b"__asan_init" in (BUILD / "ltpd/ltpd").read_bytes()


class Cannot(Exception):
    """Why there is no systemd here."""


def own_cgroup():
    """Our directory of the hierarchy of version 2."""
    group = mount = None
    for line in open("/proc/self/cgroup", encoding="ascii"):
        number, _, path = line.rstrip("\n").split(":", 2)
        if number == "0":
            group = path
    for line in open("/proc/self/mountinfo", encoding="utf-8"):
        fields, _, rest = line.partition(" - ")
        if rest.split()[0] == "cgroup2":
            mount = fields.split()[4]
    if group is None or mount is None:
        raise Cannot("no control groups of version 2 are mounted here")
    return pathlib.Path(mount) / group.lstrip("/")


class Systemd:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ltpd-systemd."))
        self.units = self.dir / "etc/systemd/system"
        self.cgroup = None
        self.outer = None
        self.pid = None

    def __enter__(self):
        try:
            self.lay_out()
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        if self.outer is not None:
            # The first process takes all others with it.
            self.outer.kill()
            self.outer.wait()
        if self.cgroup is not None:
            wait_for(self.remove_cgroup, "the control group is empty")
        shutil.rmtree(self.dir, ignore_errors=True)

    def remove_cgroup(self):
        with contextlib.suppress(OSError):
            for path, _, _ in os.walk(self.cgroup, topdown=False):
                os.rmdir(path)
        return not self.cgroup.exists()

    # what it finds

    def lay_out(self):
        self.dir.chmod(0o755)
        for name in ("etc", "usr", "var"):
            (self.dir / name).mkdir()
        (self.dir / "console").touch()
        for name in PROGRAMS:
            target = self.dir / "usr" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(BUILD / name, target)
            target.chmod(0o755)
        etc = self.dir / "etc"
        for name in ETC:
            path = pathlib.Path("/etc", name)
            if path.is_file():
                shutil.copy(path, etc / name)
        (etc / "machine-id").write_text("0123456789abcdef" * 2 + "\n")
        self.make_user()
        self.units.mkdir(parents=True)
        for name in TARGETS:
            (self.units / f"{name}.target").write_text(
                "[Unit]\nDefaultDependencies=no\n")

    def make_user(self):
        conf = self.dir / "sysusers.conf"
        conf.write_text(text_of("ltpd.sysusers"))
        subprocess.run(["systemd-sysusers", f"--root={self.dir}", str(conf)],
                       check=True, capture_output=True)
        line = next(line for line in
                    (self.dir / "etc/passwd").read_text().splitlines()
                    if line.startswith(USER + ":"))
        self.uid, self.gid = map(int, line.split(":")[2:4])

    def file(self, name, content, mode=0o644, uid=0, gid=0):
        """Below our directory, put there in one step."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(content)
        fresh.chmod(mode)
        os.chown(fresh, uid, gid)
        fresh.rename(path)
        return path

    def unit(self, name, **over):
        self.file(f"etc/systemd/system/{name}", text_of(name, **over))

    def drop_in(self, unit, name, content):
        self.file(f"etc/systemd/system/{unit}.d/{name}", content)

    def clear(self):
        """Nothing is left of the node of the last test."""
        for path in (*self.units.glob("*.d"), *self.dir.glob("var/l*/ltpd"),
                     self.dir / "etc/ltpd"):
            shutil.rmtree(path, ignore_errors=True)
        (self.dir / "var/stderr").unlink(missing_ok=True)

    # its life

    def boot(self):
        if os.getuid() != 0:
            raise Cannot("this user is not root")
        if sanitized():
            raise Cannot("a sanitizer needs what the unit forbids")
        if not os.access(SYSTEMD, os.X_OK):
            raise Cannot(f"no {SYSTEMD} here")
        cgroup = own_cgroup() / f"ltpd-test.{os.getpid()}"
        try:
            cgroup.mkdir()
        except OSError as e:
            raise Cannot(f"no control group of our own: {e}") from e
        self.cgroup = cgroup
        setup = self.dir / "setup"
        setup.write_text(SETUP)
        drop = ",".join("-" + cap for cap in NOT_OURS)
        with open(self.dir / "boot.log", "wb") as log:
            self.outer = subprocess.Popen(
                ["sh", "-c", 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"',
                 "sh", str(cgroup), "setpriv", "--pdeathsig", "KILL",
                 "unshare", "--pid", "--mount", "--uts",
                 "--ipc", "--cgroup", "--fork", "--kill-child", "--",
                 "sh", str(setup), str(self.dir),
                 "setpriv", f"--bounding-set={drop}", "env", "-i",
                 "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "container=ltpd-test",
                 "SYSTEMD_UNIT_PATH=/etc/systemd/system",
                 SYSTEMD, "--system", "--log-target=console",
                 "--show-status=no"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(self.up, "systemd is up", 2 * TIMEOUT)
        except AssertionError as e:
            raise Cannot("systemd does not come up: " + self.said()) from e

    def said(self):
        return ((self.dir / "boot.log").read_text(errors="replace") +
                (self.dir / "console").read_text(errors="replace"))

    def up(self):
        if self.outer.poll() is not None:
            raise Cannot("no namespaces of our own: " + self.said().strip())
        if self.pid is None:
            children = pathlib.Path(
                f"/proc/{self.outer.pid}/task/{self.outer.pid}/children")
            pids = children.read_text().split()
            if pids and pathlib.Path(
                    f"/proc/{pids[0]}/comm").read_text() == "systemd\n":
                self.pid = int(pids[0])
            return False
        return self.run("systemctl", "is-active", "default.target"
                        ).stdout == "active\n"

    # what is done with it

    def run(self, *args, timeout=6 * TIMEOUT):
        """A command among its processes and files."""
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc",
             "--uts", "--cgroup", "--", "env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
             "LTPD_CONTROL_SOCKET=/run/ltpd/ltpd.sock", *args],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout)

    def systemctl(self, *args, status=0):
        done = self.run("systemctl", *args)
        assert done.returncode == status, \
            f"{shlex.join(args)}: {done}\n{self.said()}\n{self.log()}"
        return done.stdout

    def show(self, unit, name):
        return self.systemctl("show", "-P", name, unit).strip()

    def ctl(self, *args):
        return self.run("/usr/local/ltpctl/ltpctl", *args)

    def log(self):
        path = self.dir / "var/log/ltpd/ltpd.log"
        return path.read_text() if path.exists() else "no log"

    def main_pid(self):
        """The supervisor, as this system numbers it."""
        inner = self.show("ltpd.service", "MainPID")
        for path in self.cgroup.rglob("ltpd.service/cgroup.procs"):
            for pid in path.read_text().split():
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                if re.search(rf"^NSpid:\s.*\b{inner}$", status, re.M):
                    return int(pid)
        return None

    def pids(self):
        for path in self.cgroup.rglob("ltpd.service/cgroup.procs"):
            return [int(pid) for pid in path.read_text().split()]
        return []
