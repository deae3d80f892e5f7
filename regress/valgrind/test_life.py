"""One life of a node, all of its processes under valgrind's memcheck.

valgrind follows each exec, although a child's environment is empty and its
descriptors are closed.  Every process writes a report of its own, which must
be there when the node has stopped, and say: no error, nothing lost.
"""

import pathlib
import re
import tempfile

from node import BINARY, CONT, TEXT, frame
from ops import Ltpd, beat, ctl_json, enter, processes, started, status_for

VALGRIND = ("valgrind", "--trace-children=yes", "--leak-check=full",
            "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
            "--num-callers=20", "--child-silent-after-fork=yes",
            "--error-exitcode=99")
KEY = "a-key-for-valgrind-0001"
PROGRAMS = {"ltpd", "ltp-worker", "ltp-auth", "ltp-audit", "ltp-metrics"}


class Watched(Ltpd):
    """valgrind comes after the change of uid, or it could not write."""

    def command(self, *args):
        words = super().command(*args)
        at = words.index(str(self.stage.bin / "ltpd/ltpd"))
        return [*words[:at], *VALGRIND, f"--log-file={self.reports}/%p",
                *words[at:]]


def reports_of(directory):
    """What valgrind said, by the program it said it of."""
    said = {}
    for path in sorted(directory.iterdir()):
        text = path.read_text(errors="backslashreplace")
        command = re.search(r"Command: (\S+)", text)
        program = pathlib.Path(command[1]).name if command else path.name
        said.setdefault(program, []).append(text)
    return said


def live(node):
    """A little of everything that a node is for."""
    with enter(node, "alice", key=KEY) as wire:
        beat(wire, 1, "alice")
        wire.send(frame(TEXT, b'{"type":"heart', fin=False),
                  frame(CONT, b'beat","client_id":"alice",'
                              b'"timestamp_ms":2}'))
        wire.recv_text()
        wire.say({"type": "route_request", "client_id": "alice"})
        wire.recv_text()
        wire.pong(b"p")
        wire.send(frame(TEXT, b"\xff\xfe"))
        wire.expect_close(1007)
    # Its end is not waited for: it goes while its input is being read.
    with enter(node, "alice", key=KEY) as wire:
        wire.say({"type": "nonsense", "client_id": ["alice", {}]})
        wire.send(frame(BINARY, b"x" * 1000))
    assert status_for(node, "no such key")[0] == 401
    with node.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: \r\n\r\n")
        assert wire.response().status == 400
        wire.expect_end()
    assert node.get("/metrics")[0] == 200
    assert node.get("/health")[0] == 200
    assert node.ctl("show", "sessions").returncode == 0
    ctl_json(node, "show", "config")
    assert node.ctl("reload").returncode == 0
    node.file("keys.json", '{"alice": "%s", "bob": "another-key-0002"}' % KEY)
    assert node.ctl("reload").returncode == 0
    with enter(node, "alice", key=KEY) as wire:
        beat(wire, 3, "alice")


def test_a_life_without_an_error_and_without_a_leak(lab):
    reports = pathlib.Path(tempfile.mkdtemp(prefix="vg.", dir=lab.stage.dir))
    lab.stage.own(reports, 0o700)
    home = pathlib.Path(tempfile.mkdtemp(prefix="a.", dir=lab.stage.dir))
    lab.stage.own(home, 0o755)
    Watched.reports = reports
    try:
        with started(lab, {"alice": KEY}, Watched,
                     audit_log_file=str(home / "audit.jsonl")) as node:
            assert len(processes(node)) == len(PROGRAMS)
            live(node)
    finally:
        # One that was killed has no summary.
        said = reports_of(reports)
        bad = [text for texts in said.values() for text in texts
               if "ERROR SUMMARY: 0 errors" not in text]
        assert not bad, "\n".join(bad)
    assert set(said) == PROGRAMS
