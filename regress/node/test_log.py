"""The log as JSON: log_format of ltpd.conf(5), section 6."""

import json
import re

import pytest

from node import request, wait_for

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LEVELS = {"error", "warn", "info", "debug", "trace"}
HELLO = '{"type":"hello","client_id":%s}'


@pytest.fixture
def node(lab):
    with lab.node(log_level="debug", workers=1) as n:
        # The harness reads lines of text.
        n.check_log = lambda: None
        n.configure(log_format="json")
        assert n.ctl("reload").returncode == 0
        n.text_lines = len(n.log().splitlines())
        yield n


def lines(node):
    return [json.loads(line) for line in
            node.log().splitlines()[node.text_lines:]]


def closed(node):
    return wait_for(
        lambda: [x for x in lines(node) if x["message"].endswith(" closed")],
        "the end of the connection is logged")


def test_every_line_is_an_object(node):
    node.connect().ask(HELLO % '"c"')
    node.drop_wires()
    closed(node)
    for line in lines(node):
        assert TIME.fullmatch(line["time"]), line
        assert line["level"] in LEVELS, line
        assert line["process"] and line["message"], line


def test_pairs_are_members_and_figures_are_numbers(node):
    wire = node.connect()
    wire.ask(HELLO % '"c"')
    node.drop_wires()
    line, = closed(node)
    assert line["client_id"] == "c"
    assert line["client_ip"] == "127.0.0.1"
    assert line["remote_addr"].startswith("127.0.0.1:")
    assert line["reason"] == "connection lost"
    assert (line["messages_in"], line["messages_out"]) == (1, 1)
    assert line["bytes_in"] > 0 and line["duration_ms"] >= 0
    assert "=" not in line["message"]


@pytest.mark.parametrize("client_id", [
    '"a b"', '"\\" level=error"', '"\\n{}"', '"reason=x"', '"\\u0000"',
    '"\\u00e4"',
])
def test_no_client_writes_a_member_of_its_own(node, client_id):
    node.connect().ask(HELLO % client_id)
    node.drop_wires()
    line, = closed(node)
    assert set(line) == {
        "time", "level", "process", "message", "remote_addr", "client_ip",
        "client_id", "duration_ms", "messages_in", "messages_out",
        "bytes_in", "bytes_out", "code", "reason"}
    assert line["level"] == "info"
    assert line["reason"] == "connection lost"


def test_a_refusal_has_its_reason(node):
    wire = node.wire()
    wire.send(request(method="POST"))
    wire.refused(405)
    line, = wait_for(
        lambda: [x for x in lines(node) if "refused" in x["message"]],
        "the refusal is logged")
    assert line["level"] == "warn" and line["reason"]


def test_a_reload_changes_the_form(node):
    node.configure(log_format="text")
    assert node.ctl("reload").returncode == 0
    wait_for(lambda: " info ltpd reload: done" in node.log(), "text")
