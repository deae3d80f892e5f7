"""
ws-echo, the worker's own upgrade and frames without the node around them,
and streams of bytes that are played to it.

A stream is what a client sends after its request, in one piece or in
several; what comes back is compared whole, from the 101 to the end.  A
stream that breaks no rule ends with BYE, so that there is an end.
"""

import os
import signal
import socket
import struct
import subprocess

from node import (BUILD, CLOSE, TIMEOUT, WS_KEY, Wire, accept_of, close,
                  frame, request, same, wait_for)

PROGRAM = BUILD / "regress/client/ws-echo"
ABREAST = 300   # connections at a time
RESET = struct.pack("ii", 1, 0)
REQUEST = request()


def accepted(key=WS_KEY, protocol=None):
    """The 101, byte for byte."""
    chosen = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    return ("HTTP/1.1 101 Switching Protocols\r\n"
            "Upgrade: websocket\r\n"
            "Connection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_of(key)}\r\n"
            f"{chosen}\r\n").encode()


ACCEPTED = accepted()


def reply(opcode, payload=b""):
    """A frame as a server writes it."""
    return frame(opcode, payload, key=None)


def fail(code, reason):
    """The last frame from a server that will hear no more."""
    return reply(CLOSE, struct.pack("!H", code) + reason.encode())


BYE = close(1000)
BYE_REPLY = reply(CLOSE, struct.pack("!H", 1000))


class Player:
    """Plays streams to whoever serves WebSocket in a single process."""

    def __init__(self, address):
        self.address = address
        self.clock = Wire(address)
        self.clock.upgrade()

    def barrier(self):
        """
        All that was sent before has been read, on connections that are
        known: the first pong may overtake others in a wake-up.
        """
        self.clock.pong()
        self.clock.pong()

    def settle(self):
        """The same, and what has connected is known: a wake-up more."""
        self.clock.pong()
        self.barrier()

    def dial(self):
        sock = socket.create_connection(self.address, TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # So that thousands of connections leave nothing in the kernel.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return sock

    def play(self, *pieces, opening=REQUEST):
        """Send, and return all that comes until the end."""
        with self.dial() as sock:
            sock.sendall(opening)
            for piece in pieces:
                sock.sendall(piece)
            return rest(sock)

    def play_all(self, streams, before_last=None, opening=REQUEST):
        """
        The same with many streams, and each piece is read before the next
        one comes.  before_last: what must have come by then, by stream.
        """
        got = []
        for i in range(0, len(streams), ABREAST):
            some = streams[i:i + ABREAST]
            socks = [self.dial() for _ in some]
            try:
                for sock in socks:
                    sock.sendall(opening)
                self.settle()
                self.march(socks, some, before_last and
                           before_last[i:i + ABREAST])
                got += [rest(sock) for sock in socks]
            finally:
                for sock in socks:
                    sock.close()
        return got

    def march(self, socks, streams, before_last):
        for n in range(max(map(len, streams))):
            if n > 0:
                self.barrier()
            for i, (sock, pieces) in enumerate(zip(socks, streams)):
                if n == len(pieces) - 1 and before_last is not None:
                    same(so_far(sock), before_last[i])
                if n < len(pieces):
                    sock.sendall(pieces[n])


class Echo(Player):
    """One ws-echo, and a connection to it that stays."""

    def __init__(self, *args):
        assert PROGRAM.exists(), "make check TESTS= builds ws-echo"
        self.proc = subprocess.Popen([str(PROGRAM), *args, "0"],
                                     stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, text=True)
        said = self.proc.stdout.readline()
        assert said.startswith("listening on 127.0.0.1:"), said
        super().__init__(("127.0.0.1", int(said.rsplit(":", 1)[1])))
        self.idle = self.descriptors()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.proc.pid}/fd"))

    def empty(self, timeout=TIMEOUT):
        """Wait until only our own connection is left."""
        wait_for(lambda: self.descriptors() == self.idle,
                 "connections of ws-echo are gone", timeout, 0.005)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """Nobody is forgotten, and it ends well."""
        try:
            if kind is None:
                self.empty()
                self.clock.drop()
                self.proc.send_signal(signal.SIGTERM)
                assert self.proc.wait(TIMEOUT) == 0
        finally:
            self.clock.drop()
            self.proc.kill()
            self.proc.wait()
            self.proc.stdout.close()


def so_far(sock):
    """What has come, without waiting and without taking it away."""
    try:
        return sock.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def rest(sock):
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def single_bytes(data):
    return [data[i:i + 1] for i in range(len(data))]


def cuts(data):
    """In two pieces, in every way."""
    return [[data[:i], data[i:]] for i in range(1, len(data))]
