"""
Real clients: the websockets library talks to the node, and to ws-echo, which
has the same frames; so does node.js if it is there.
"""

import asyncio
import json
import shutil
import socket
import subprocess
import uuid

import pytest
import websockets
from websockets.exceptions import (ConnectionClosed, ConnectionClosedError,
                                   InvalidStatusCode)

from echo import Echo
from node import TIMEOUT

ALICE = "alice-key-0001"


def run(coroutine):
    """To its end, and not for ever."""
    return asyncio.run(asyncio.wait_for(coroutine, 4 * TIMEOUT))


def url(node, path="/", user=""):
    return "ws://%s%s:%d%s" % (user, *node.address, path)


async def ask(ws, **message):
    await ws.send(json.dumps(message))
    return json.loads(await ws.recv())


@pytest.fixture(scope="module")
def node(lab):
    with lab.node(workers=2) as node:
        yield node


@pytest.fixture(scope="module")
def guarded(lab):
    with lab.node({"alice": ALICE}, workers=2) as node:
        yield node


async def client_dialect(ws, who="me", claimed="me"):
    """A visit from hello to goodbye."""
    assert await ask(ws, type="hello", client_id=claimed,
                     session_tag="t") == {
        "type": "hello_ack", "node_id": "node-a", "accepted": True}
    assert await ask(ws, type="heartbeat", client_id=claimed,
                     timestamp_ms=1764000000000) == {
        "type": "heartbeat_ack", "client_id": who,
        "timestamp_ms": 1764000000000}
    oriented = {"focus_momentum": 0.8, "time_orientation": {
        "direction": "future", "strength": 0.9}}
    await ws.send(json.dumps({"type": "orientation", "client_id": claimed,
                              **oriented}))
    assert await ask(ws, type="route_request", client_id=claimed) == {
        "type": "route_suggestion", "client_id": who,
        "suggested_sector": "future_planning_high_momentum",
        "reason": "client oriented to future", "debug": oriented}
    assert await ask(ws, type="nonsense", client_id=claimed) == {
        "type": "error", "message": "invalid message"}
    await (await ws.ping(b"are you there"))


async def session_dialect(ws, key="k"):
    ack = await ask(ws, type="hello", api_key=key, client_label="me")
    sid = ack.pop("session_id")
    assert ack == {"type": "hello_ack", "node_id": "node-a",
                   "accepted": True}
    assert uuid.UUID(sid).version == 4
    assert await ask(ws, type="heartbeat", session_id=sid,
                     timestamp_ms=7) == {
        "type": "heartbeat_ack", "session_id": sid, "timestamp_ms": 7}
    oriented = {"focus_momentum": 0.8, "time_orientation": {
        "direction": "multi", "strength": 1.0}}
    await ws.send(json.dumps({"type": "orientation", "session_id": sid,
                              **oriented}))
    assert await ask(ws, type="route_request", session_id=sid,
                     hint_sector={"Custom": "x"}) == {
        "type": "route_suggestion", "session_id": sid,
        "suggested_sector": "multi_bridge",
        "reason": "client in multi-temporal state", "debug": oriented}
    assert await ask(ws, type="hello", api_key=key) == {
        "type": "error", "code": "INVALID",
        "message": "handshake already completed"}


def test_client_dialect(node):
    async def main():
        async with websockets.connect(url(node)) as ws:
            await client_dialect(ws)
        assert ws.close_code == 1000
    run(main())


def test_session_dialect(node):
    async def main():
        async with websockets.connect(url(node)) as ws:
            await session_dialect(ws)
        assert ws.close_code == 1000
    run(main())


def test_compression_is_offered_and_not_taken(node):
    async def main():
        async with websockets.connect(url(node),
                                      compression="deflate") as ws:
            assert ws.extensions == []
            await client_dialect(ws)
    run(main())


def test_subprotocol(node):
    async def main():
        async with websockets.connect(
                url(node, "/ltp"), subprotocols=["ltp.v0.2", "chat"]) as ws:
            assert ws.subprotocol == "ltp.v0.2"
            await client_dialect(ws)
    run(main())


@pytest.mark.parametrize("headers", [
    {"X-API-Key": ALICE}, {"Authorization": f"Bearer {ALICE}"},
    {"Authorization": f"ApiKey {ALICE}"}],
    ids=["X-API-Key", "Bearer", "ApiKey"])
def test_with_a_key(guarded, headers):
    async def main():
        async with websockets.connect(url(guarded),
                                      extra_headers=headers) as ws:
            await client_dialect(ws, "alice", "whoever")
        async with websockets.connect(url(guarded),
                                      extra_headers=headers) as ws:
            await session_dialect(ws, ALICE)
    run(main())


def test_with_a_key_in_the_url(guarded):
    async def main():
        async with websockets.connect(
                url(guarded, user=f"alice:{ALICE}@")) as ws:
            await client_dialect(ws, "alice", "whoever")
    run(main())


def test_without_a_key(guarded):
    async def main():
        with pytest.raises(InvalidStatusCode) as refused:
            await websockets.connect(url(guarded))
        assert refused.value.status_code == 401
    run(main())


def test_with_an_origin(node):
    async def main():
        with pytest.raises(InvalidStatusCode) as refused:
            await websockets.connect(url(node),
                                     origin="https://example.org")
        assert refused.value.status_code == 403
    run(main())


def test_fragmented_message(node):
    async def main():
        async with websockets.connect(url(node)) as ws:
            message = json.dumps({"type": "heartbeat", "client_id": "me",
                                  "timestamp_ms": 1})
            await ws.send(message[i:i + 5]
                          for i in range(0, len(message), 5))
            assert json.loads(await ws.recv()) == {
                "type": "heartbeat_ack", "client_id": "me",
                "timestamp_ms": 1}
    run(main())


def test_large_message(node):
    async def main():
        async with websockets.connect(url(node)) as ws:
            assert await ask(ws, type="heartbeat", client_id="me",
                             timestamp_ms=1, x="x" * 130000) == {
                "type": "heartbeat_ack", "client_id": "me",
                "timestamp_ms": 1}
    run(main())


def test_too_large_message(node):
    async def main():
        async with websockets.connect(url(node)) as ws:
            with pytest.raises(ConnectionClosed):
                await ws.send("x" * 200000)
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == \
                (1009, "message too large")
    run(main())


def test_binary_message(node):
    async def main():
        async with websockets.connect(url(node)) as ws:
            await ws.send(b"\x00\x01")
            assert json.loads(await ws.recv()) == {
                "type": "error",
                "message": "binary messages are not supported"}
            await client_dialect(ws)
    run(main())


@pytest.mark.parametrize("code, reason", [
    (1000, "done"), (1001, "gone"), (4000, "why not")])
def test_close(node, code, reason):
    async def main():
        ws = await websockets.connect(url(node))
        await client_dialect(ws)
        await ws.close(code, reason)
        assert ws.close_rcvd is not None and ws.close_rcvd.code == code
    run(main())


def test_a_crowd(node):
    """Connections on both workers, each with its own orientation."""
    async def one(i):
        async with websockets.connect(url(node)) as ws:
            await ws.send(json.dumps({
                "type": "orientation", "client_id": f"c{i}",
                "focus_momentum": i / 4}))
            for n in range(20):
                assert await ask(ws, type="heartbeat", client_id=f"c{i}",
                                 timestamp_ms=n) == {
                    "type": "heartbeat_ack", "client_id": f"c{i}",
                    "timestamp_ms": n}
            got = await ask(ws, type="route_request", client_id=f"c{i}")
            assert got["client_id"] == f"c{i}"
            assert got["debug"]["focus_momentum"] == i / 4

    async def main():
        await asyncio.gather(*[one(i) for i in range(150)])
    run(main())
    node.metrics_are(ltp_ws_connections_current=0, ltp_sessions_total=0)


def test_the_end_of_the_node(lab):
    with lab.node(workers=2) as node:
        async def main():
            all_ = [await websockets.connect(url(node)) for _ in range(10)]
            for ws in all_[::2]:
                await client_dialect(ws)
            node.terminate()
            for ws in all_:
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                assert ws.close_code == 1001
        run(main())


def test_rate_limit(lab):
    with lab.node(rate_limit_rps=1, rate_limit_burst=3) as node:
        async def main():
            async with websockets.connect(url(node)) as ws:
                with pytest.raises(ConnectionClosedError) as closed:
                    for n in range(9):
                        await ask(ws, type="heartbeat", client_id="me",
                                  timestamp_ms=n)
                assert n == 3
                assert closed.value.rcvd.code == 1008
                assert closed.value.rcvd.reason == "rate limit exceeded"
        run(main())


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_two_listeners(lab):
    with lab.node(ipv6=True) as node:
        async def main():
            for where in (url(node), f"ws://[::1]:{node.address[1]}/"):
                async with websockets.connect(where) as ws:
                    await client_dialect(ws)
        run(main())


# ---- ws-echo ----

TEXTS = ["", "a", "\u00e9\u20ac\U0001f600", *("x" * n for n in (
    125, 126, 127, 65535, 65536, 1 << 20))]


@pytest.fixture(scope="module")
def echo():
    with Echo() as echo:
        yield echo


def test_echo(echo):
    async def main():
        async with websockets.connect(url(echo), max_size=None) as ws:
            for text in TEXTS:
                await ws.send(text)
                assert await ws.recv() == text
                await ws.send(text.encode())
                assert await ws.recv() == text.encode()
                await (await ws.ping(text.encode()[:125]))
        assert ws.close_code == 1000
    run(main())


def test_echo_of_fragments(echo):
    async def main():
        async with websockets.connect(url(echo)) as ws:
            for step in (1, 2, 7, 100):
                for text in TEXTS[1:-3]:
                    # The library has no fragments within a character.
                    await ws.send(text[i:i + step]
                                  for i in range(0, len(text), step))
                    assert await ws.recv() == text
                    data = text.encode()
                    await ws.send(data[i:i + step]
                                  for i in range(0, len(data), step))
                    assert await ws.recv() == data
    run(main())


def test_echo_and_compression(echo):
    async def main():
        async with websockets.connect(url(echo),
                                      compression="deflate") as ws:
            assert ws.extensions == []
            await ws.send("x" * 1000)
            assert await ws.recv() == "x" * 1000
    run(main())


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
def test_echo_of_a_close(echo, code):
    async def main():
        ws = await websockets.connect(url(echo))
        await ws.close(code, "\u20ac")
        assert ws.close_rcvd is not None and ws.close_rcvd.code == code
        assert ws.close_rcvd_then_sent is False
    run(main())


# Says each text, then each as bytes, wants them back, and closes.
SCRIPT = """
const url = process.argv[1];
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
const ws = new WebSocket(url, ["chat", "ltp.v0.1"]);
const encoder = new TextEncoder(), decoder = new TextDecoder();
const all = [...texts, ...texts.map((t) => encoder.encode(t))];
let n = 0;
const fail = (why) => { console.log(why); process.exit(1); };
const same = (a, b) => typeof b === "string" ? a === b :
    a instanceof ArrayBuffer && decoder.decode(a) === decoder.decode(b);
ws.binaryType = "arraybuffer";
ws.onopen = () => ws.send(all[0]);
ws.onerror = (e) => fail(`error ${e.message}`);
ws.onmessage = (e) => {
    if (!same(e.data, all[n]))
        fail(`message ${n}`);
    if (++n < all.length)
        ws.send(all[n]);
    else
        ws.close(4321, "\u20ac");
};
ws.onclose = (e) => {
    if (n !== all.length || !e.wasClean || e.code !== 4321 ||
        ws.protocol !== "ltp.v0.1" || ws.extensions !== "")
        fail([n, e.wasClean, e.code, ws.protocol, ws.extensions]);
    process.exit(0);
};
"""


def node_js():
    """The command, with a WebSocket of its own; None: not here."""
    for flag in ([], ["--experimental-websocket"]):
        command = [shutil.which("node") or "node", *flag]
        try:
            done = subprocess.run([*command, "-p", "typeof WebSocket"],
                                  capture_output=True, text=True,
                                  timeout=4 * TIMEOUT)
        except OSError:
            return None
        if done.stdout.strip() == "function":
            return command
    return None


def test_echo_with_node_js(echo):
    command = node_js()
    if command is None:
        pytest.skip("no node.js with WebSocket here")
    done = subprocess.run([*command, "-e", SCRIPT, url(echo)],
                          input=json.dumps(TEXTS), capture_output=True,
                          text=True, timeout=8 * TIMEOUT)
    assert done.returncode == 0, done
