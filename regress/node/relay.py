"""A control socket between ltpctl and a node that changes what it hears.

So a node can be shown that is not as it should be, without a build that
makes one.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import socket
import struct
import threading

import ops
from node import TIMEOUT

SOURCE = pathlib.Path(os.environ.get(
    "LTPD_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
HEADER = struct.Struct("=HHI")      # struct msg_hdr
CONFIG = struct.Struct("=HHI")      # struct msg_ctl_config
KEY = struct.Struct("=4sBBHqqq")    # struct msg_ctl_key
PROCESS = {"pid": (8, "=I"), "mechanism": (72, "B"),
           "landlock_abi": (74, "B"), "dumpable": (76, "B")}
SHOW_KEYS = 4
REALM_TOKENS = 1
FILE, PREVIOUS = 3, 4     # enum key_source


def message_types():
    """enum msg_type, by name."""
    text = (SOURCE / "common/msg.h").read_text()
    body = re.search(r"enum msg_type \{(.*?)\};", text, re.S)[1]
    names = re.findall(r"\b(MSG_\w+)", re.sub(r"/\*.*?\*/", "", body,
                                              flags=re.S))
    return {name: i for i, name in enumerate(names)}


class Relay:
    """
    settings: what show config is to say, by name: value as the file has it,
    and origin.  process: fields of the processes of a role.  tokens: those
    that are loaded, from a file or (token, source).  version: what the node calls itself.
    """

    def __init__(self, node, settings=None, process=None, tokens=(),
                 version=None):
        self.node = node
        self.path = node.dir / "relay.sock"
        self.settings = settings or {}
        self.process = process or {}
        self.tokens = tokens
        self.version = version
        self.types = message_types()
        self.shown = None
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.settimeout(TIMEOUT)

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.listener.bind(str(self.path))
        self.node.stage.own(self.path, 0o600)
        self.listener.listen()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.listener.close()
        self.path.unlink()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                client.settimeout(TIMEOUT)
                with client, ops.operator(self.node) as ltpd:
                    self.serve(client, ltpd)

    def serve(self, client, ltpd):
        """Every request has an answer that ends with CTL_END, or is hello."""
        while request := client.recv(65536):
            kind = HEADER.unpack_from(request)[0]
            self.shown = None
            if kind == self.types["MSG_CTL_SHOW"]:
                self.shown, = struct.unpack_from("=I", request, HEADER.size)
            ltpd.send(request)
            while True:
                answer = ltpd.recv(65536)
                if not answer:
                    return
                kind = HEADER.unpack_from(answer)[0]
                end = kind in (self.types["MSG_CTL_END"],
                               self.types["MSG_CTL_HELLO"])
                if end and self.shown == SHOW_KEYS:
                    for token in self.tokens:
                        client.send(self.token(token))
                client.send(self.change(kind, answer[HEADER.size:]))
                if end:
                    break

    def message(self, kind, payload):
        return HEADER.pack(kind, 0, len(payload)) + payload

    def change(self, kind, payload):
        for name, change in (("MSG_CTL_PROCESS", self.change_process),
                             ("MSG_CTL_CONFIG", self.change_setting),
                             ("MSG_CTL_SUMMARY", self.change_summary)):
            if kind == self.types[name]:
                payload = change(payload)
        return self.message(kind, payload)

    def change_process(self, payload):
        role, = struct.unpack_from("=I", payload)
        payload = bytearray(payload)
        for name, value in self.process.get(role, {}).items():
            at, form = PROCESS[name]
            struct.pack_into(form, payload, at, value)
        return bytes(payload)

    def change_setting(self, payload):
        name_len, origin_len, value_len = CONFIG.unpack_from(payload)
        rest = payload[CONFIG.size:]
        name = rest[:name_len].decode()
        if name not in self.settings:
            return payload
        value, origin = (s.encode() for s in self.settings[name])
        return CONFIG.pack(name_len, len(origin), len(value)) + \
            name.encode() + value + origin

    def change_summary(self, payload):
        """The version, and behind it the node's id, are at the end."""
        if self.version is None:
            return payload
        head = payload[:-len("0.1.0node-a")]
        assert payload.endswith(b"0.1.0node-a"), payload
        head = bytearray(head)
        # version_len is 12 bytes from the end of the struct.
        struct.pack_into("=H", head, len(head) - 12, len(self.version))
        return bytes(head) + self.version.encode() + b"node-a"

    def token(self, token):
        """MSG_CTL_KEY of a token."""
        token, source = token if isinstance(token, tuple) else (token, FILE)
        ident = token.partition(":")[0] if ":" in token else ""
        digest = hashlib.sha256(token.encode()).digest()
        payload = KEY.pack(digest[:4], source, REALM_TOKENS, len(ident), 1, -1,
                           -1) + ident.encode()
        return self.message(self.types["MSG_CTL_KEY"], payload)
