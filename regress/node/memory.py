"""Secrets in the memory of processes: what they may look like there."""

import base64
import collections
import subprocess
import urllib.parse

import pytest

import node as harness
from node import BUILD, MASK

MEMSCAN = BUILD / "regress/client/memscan"
WINDOW = 12         # bytes of a secret that are a find


def swapped(data, size):
    """As words of the other byte order: what a digest works on."""
    data = data[:len(data) // size * size]
    return b"".join(data[i:i + size][::-1]
                    for i in range(0, len(data), size))


def forms(data, word=4):
    """Every way to write it down that somebody might have thought of."""
    yield data
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for encode in base64.b64encode, base64.urlsafe_b64encode:
        for shift in range(3):
            # Digits that depend on nothing but the secret.
            coded = encode(bytes(shift) + data)
            yield coded[-(-shift * 8 // 6):(shift + len(data)) * 8 // 6]
    yield "".join(f"%{c:02X}" for c in data).encode()
    yield "".join(f"%{c:02x}" for c in data).encode()
    yield urllib.parse.quote_from_bytes(data, safe="").encode()
    yield data.decode("latin-1").encode("utf-16-le")
    yield swapped(data, word)
    for phase in range(4):
        key = (MASK * (len(data) // 4 + 2))[phase:]
        yield bytes(a ^ b for a, b in zip(data, key))


CAP_SYS_PTRACE = 19


def may_trace():
    """Whether this process may look into others that are not dumpable."""
    return bool(harness.capabilities() & 1 << CAP_SYS_PTRACE)


needs_trace = pytest.mark.skipif(
    not may_trace(), reason="takes CAP_SYS_PTRACE: the processes are not "
    "dumpable; run as root, or see the last test of this file")

Find = collections.namedtuple("Find", "pid row name first length where")


def scan(safe, pids):
    """Every piece of every secret that is in these processes."""
    lines = "".join(f"{name} {form.hex()}\n"
                    for name, form in safe.patterns())
    done = subprocess.run([str(MEMSCAN), *map(str, pids)], input=lines,
                          capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("the shadow of a sanitizer")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        pid, name, first, length, where = line.split(" ", 4)
        row, name = name.split("|")
        yield Find(int(pid), row.replace("_", " "), name, int(first),
                   int(length), where)
