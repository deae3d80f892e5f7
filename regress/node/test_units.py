"""What starts a node: units for systemd, a script for rc.d, a profile for
AppArmor; and that the programs are built as they should be.

test_units_systemd.py runs the units."""

import os
import pathlib
import re
import subprocess
import tempfile

import pytest

import manager
from manager import SOURCE, text_of
from node import BUILD, PROGRAMS, TIMEOUT

ROOT = os.getuid() == 0
# What systemd-analyze may say at most, in tenths.
EXPOSURE = 11
EXPOSURE_ACTIVATED = 3
UNITS = ("ltpd.service", "ltpd.socket", "ltpd-metrics.socket")
DROP_IN = "ltpd-activated.conf"


def run(*args, **how):
    return subprocess.run(args, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=4 * TIMEOUT, **how)


@pytest.fixture(scope="module")
def units():
    """The units, with programs that exist; with and without the drop-in."""
    with tempfile.TemporaryDirectory(prefix="ltpd-units.") as d:
        top = pathlib.Path(d)
        for kind in ("service", "activated"):
            (top / kind).mkdir()
            for name in UNITS:
                text = text_of(name, **{
                    "@SBINDIR@/ltpd": str(BUILD / "ltpd/ltpd"),
                    "@SBINDIR@/ltpctl": str(BUILD / "ltpctl/ltpctl"),
                    "@LIBEXECDIR@": str(BUILD)})
                (top / kind / name).write_text(text)
        over = top / "activated/ltpd.service.d"
        over.mkdir()
        (over / DROP_IN).write_text(text_of(DROP_IN))
        yield top


# ---- systemd ----

@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("kind", ["service", "activated"])
def test_systemd_finds_no_fault_with(units, kind, name):
    done = run("systemd-analyze", "verify", "--man=no",
               str(units / kind / name))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def exposure(path, most):
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager",
               f"--threshold={most}", str(path))
    m = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert m is not None, done
    open_points = [line for line in done.stdout.splitlines()
                   if line.startswith("✗")]
    assert done.returncode == 0, "\n".join([m[0], *open_points])
    assert float(m[1]) * 10 <= most, m[0]


def test_the_service_exposes_little(units):
    exposure(units / "service/ltpd.service", EXPOSURE)


def test_the_service_with_passed_sockets_exposes_less(units):
    exposure(units / "activated/ltpd.service", EXPOSURE_ACTIVATED)


@pytest.mark.parametrize("name", ["ltpd.service", "ltpd.tmpfiles", "ltpd.rc",
                                  "ltpd.apparmor"])
def test_what_is_installed_names_real_paths(name):
    text = (BUILD / "etc" / name).read_text()
    assert re.findall(r"@[A-Z]+@|\$\{|NONE", text.replace(
        "${daemon}", "").replace("${daemon_flags}", "")) == []
    assert "/sbin/ltpd" in text or name == "ltpd.tmpfiles"


def test_the_user_is_made(tmp_path):
    """By name and as nobody who may log in."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "sysusers.conf").write_text(text_of("ltpd.sysusers"))
    if not ROOT:
        # It would give files to root.
        pytest.skip("this user is not root: systemd-sysusers cannot write")
    done = run("systemd-sysusers", f"--root={tmp_path}",
               str(tmp_path / "sysusers.conf"))
    assert done.returncode == 0, done
    name, _, uid, gid, _, home, shell = \
        (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert (name, home) == ("_ltpd", "/")
    assert shell.endswith("/nologin")
    assert (tmp_path / "etc/group").read_text().startswith(f"_ltpd:x:{gid}:")
    assert 0 < int(uid) < 1000


def test_the_directories_are_made(tmp_path):
    if not ROOT:
        pytest.skip("this user is not root: systemd-tmpfiles cannot give "
                    "directories to _ltpd")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n"
                                         "_ltpd:x:990:991::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n_ltpd:x:991:\n")
    conf = tmp_path / "tmpfiles.conf"
    conf.write_text(text_of("ltpd.tmpfiles"))
    done = run("systemd-tmpfiles", "--create", f"--root={tmp_path}",
               str(conf))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = {}
    for path in ("run/ltpd", "var/lib/ltpd", "var/log/ltpd", "etc/ltpd"):
        st = (tmp_path / path).stat()
        made[path] = (oct(st.st_mode & 0o7777), st.st_uid, st.st_gid)
    assert made == {"run/ltpd": ("0o755", 990, 991),
                    "var/lib/ltpd": ("0o700", 990, 991),
                    "var/log/ltpd": ("0o750", 990, 991),
                    "etc/ltpd": ("0o2755", 0, 991)}


# ---- rc.d ----

# As much of rc.subr(8) as the script needs.
RC_SUBR = """
rc_exec() { echo "as ${daemon_user}"; eval "$1"; }
rc_cmd() {
	case $1 in
	configtest) rc_configtest ;;
	reload) rc_reload ;;
	start) rc_pre && rc_exec "${daemon} ${daemon_flags}" ;;
	esac
}
"""


class Rc:
    """The script with a base system that only says what it was asked."""

    def __init__(self, top):
        self.calls = top / "calls"
        for name in ("ltpd", "ltpctl", "install"):
            stub = top / name
            stub.write_text(f'#!/bin/sh\necho {name} "$@"\n'
                            f'[ ! -e {top}/{name}.fails ]\n')
            stub.chmod(0o755)
        (top / "rc.subr").write_text(RC_SUBR)
        self.script = top / "ltpd.rc"
        self.script.write_text(text_of("ltpd.rc", **{
            "@SBINDIR@/ltpd": f"{top}/ltpd",
            "@SBINDIR@/ltpctl": f"{top}/ltpctl",
            "/etc/rc.d/rc.subr": f"{top}/rc.subr"}))
        self.top = top

    def __call__(self, verb):
        done = run("sh", str(self.script), verb,
                   env={"PATH": f"{self.top}:/usr/bin:/bin"})
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()


def test_rc_starts_the_node_as_its_user_with_a_directory(tmp_path):
    assert Rc(tmp_path)("start") == (0, [
        "install -d -o _ltpd -g _ltpd -m 755 /run/ltpd",
        "as _ltpd", "ltpd -f /etc/ltpd.conf"])


@pytest.mark.parametrize("verb, said", [
    ("configtest", ["as _ltpd", "ltpd -n -f /etc/ltpd.conf"]),
    ("reload", ["ltpctl reload"])])
def test_rc_has_the_status_of(tmp_path, verb, said):
    rc = Rc(tmp_path)
    assert rc(verb) == (0, said)
    (tmp_path / (said[-1].split()[0] + ".fails")).touch()
    assert rc(verb) == (1, said)


# ---- AppArmor ----

def test_apparmor_takes_the_profile(tmp_path):
    """Its parser does; no kernel is asked to enforce it."""
    profile = tmp_path / "ltpd"
    parser = ["apparmor_parser", "--skip-kernel-load", "--skip-cache",
              "--stdout", str(profile)]
    text = text_of("ltpd.apparmor", **{
        "@SBINDIR@/ltpd": "/usr/sbin/ltpd",
        "@SBINDIR@/ltpctl": "/usr/sbin/ltpctl"})
    env = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}

    def status():
        return subprocess.run(parser, stdin=subprocess.DEVNULL, env=env,
                              capture_output=True, timeout=4 * TIMEOUT)
    profile.write_text(text)
    done = status()
    assert done.returncode == 0 and len(done.stdout) > 1000, done.stderr
    profile.write_text(text.replace("network inet stream,", "network blue,"))
    assert status().returncode != 0


# ---- how the programs are built ----

@pytest.mark.parametrize("name", PROGRAMS)
def test_libcrypto_is_loaded_by_who_signs_or_verifies_alone(name):
    """It costs each process 400 KiB, and gives who breaks in a tool.

    ldd also tells what a library brings along."""
    direct = run("readelf", "-W", "-d", str(BUILD / name)).stdout
    loaded = run("ldd", str(BUILD / name)).stdout
    assert "libbsd.so" in direct and "libc.so" in loaded
    signs = name in ("ltp-audit/ltp-audit", "ltpctl/ltpctl",
                     "ltp-sign/ltp-sign", "ltp-worker/ltp-worker-tls")
    assert ("libcrypto" in direct, "libcrypto" in loaded) == (signs, signs)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_hardened(name):
    """What hardening-check(1) looks for."""
    path = str(BUILD / name)
    elf = run("readelf", "-W", "-h", "-l", "-d", "-n", "--dyn-syms",
              path).stdout
    assert re.search(r"Type:\s+DYN \(Position-Independent Executable", elf)
    assert "GNU_RELRO" in elf
    assert re.search(r"\(FLAGS(_1)?\).*\b(BIND_)?NOW\b", elf)
    stack = re.search(r"GNU_STACK\s.*", elf)[0]
    assert " RW " in stack, stack
    assert "__stack_chk_fail" in elf
    if os.uname().machine == "x86_64":
        assert "IBT, SHSTK" in elf
    # Neither goes with the other.
    sanitized = "__asan_init" in elf or "__ubsan" in elf
    assert sanitized or re.search(r"__\w+_chk@", elf), "nothing is fortified"
