"""Fixtures, and a reporter that speaks TAP."""

import os
import pathlib
import re
import shutil
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

pytest.register_assert_rewrite("node", "echo", "remote")

import node as harness  # noqa: E402

ARTIFACTS = pathlib.Path(os.environ.get(
    "LTPD_ARTIFACTS",
    pathlib.Path(__file__).resolve().parents[1] / "artifacts"))
LAB = pytest.StashKey()


def pytest_addoption(parser):
    group = parser.getgroup("ltpd")
    group.addoption("--tap", action="store_true", help="report as TAP")
    group.addoption("--long", action="store_true",
                    help="run tests marked long, too")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes more than some seconds")
    # No node is left behind when the run is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if config.getoption("--tap"):
        config.pluginmanager.unregister(name="terminalreporter")
        config.pluginmanager.register(Tap(sys.stdout), "tap")


def pytest_unconfigure(config):
    # Not in the fixture: the last teardown may still fail, and save.
    if LAB in config.stash:
        config.stash[LAB].end()


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        items[:] = [i for i in items if i.get_closest_marker("long") is None]


class Tap:
    def __init__(self, out):
        # Tests are captured by descriptor; keep one that is not.
        self.out = os.fdopen(os.dup(out.fileno()), "w")
        self.number = 0
        self.broken = False

    def say(self, line):
        print(line, file=self.out, flush=True)

    def explain(self, report):
        for line in str(report.longreprtext).splitlines():
            self.say(f"# {line}")

    def pytest_collectreport(self, report):
        if report.failed:
            self.explain(report)
            self.say(f"Bail out! {report.nodeid}")
            self.broken = True

    def pytest_collection_finish(self, session):
        if not self.broken:
            self.say(f"1..{len(session.items)}")

    def pytest_internalerror(self, excrepr):
        for line in str(excrepr).splitlines():
            self.say(f"# {line}")
        self.say("Bail out! pytest failed")

    def pytest_keyboard_interrupt(self, excinfo):
        if not self.broken:
            self.say(f"Bail out! {str(excinfo.value) or 'interrupted'}")

    def pytest_runtest_logreport(self, report):
        """
        One line a test, when it is all over; whatever phase failed, the
        test failed.
        """
        if report.when == "setup":
            self.ok, self.skipped = True, None
        if report.failed:
            self.ok = False
            self.explain(report)
        elif report.skipped:
            self.skipped = report.longrepr[2]
        if report.when != "teardown":
            return
        self.number += 1
        name = report.nodeid.replace("#", "\\#")
        line = f"{'ok' if self.ok else 'not ok'} {self.number} - {name}"
        if self.skipped is not None:
            line += f" # SKIP {self.skipped}"
        self.say(line)


@pytest.fixture(scope="session")
def lab(request):
    for name in harness.PROGRAMS:
        if not (harness.BUILD / name).exists():
            pytest.exit(f"{harness.BUILD / name} is not built", 1)
    lab = request.config.stash[LAB] = harness.Lab()
    return lab


@pytest.fixture(autouse=True)
def each(lab):
    """No connection outlives its test."""
    yield
    for node in lab.running:
        node.drop_wires()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if LAB in item.config.stash:
        item.config.stash[LAB].recent.clear()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    if outcome.get_result().failed and LAB in item.config.stash:
        save(item, item.config.stash[LAB])


def save(item, lab):
    """What a failed test leaves behind."""
    name = re.sub(r"[^\w.-]+", "_", item.nodeid)
    target = ARTIFACTS / name
    shutil.rmtree(target, ignore_errors=True)
    nodes = [v for v in item.funcargs.values()
             if isinstance(v, harness.Node)]
    nodes += [n for n in lab.recent if n not in nodes]
    for i, node in enumerate(nodes):
        node.save(target / str(i) if len(nodes) > 1 else target)
