"""Ask a name server as fast as it answers: `inside_blast SERVER SOURCE FILE SECONDS [flood]`.

FILE has a name per line; they are asked for in order, again and again, or just once for 0 seconds.
All packets are made beforehand, and many go out and come in with one system call (sendmmsg(2),
recvmmsg(2)), which costs a quarter of what any server spends on a question: so the server is what
is measured. WINDOW questions are on their way at a time; a flood waits for no answer at all. Prints
what came of it as JSON.
"""

from __future__ import annotations

import ctypes
import json
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

WINDOW = 100
BATCH = 50
_REPLY = 2048  # octets of room for each
_WAIT_FOR_ONE = 0x10000  # MSG_WAITFORONE (linux/socket.h)
# No reply for so long: what is on its way counts as lost.
_PATIENCE = struct.pack("ll", 1, 0)


class _Piece(ctypes.Structure):
    """struct iovec"""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr of a connected socket: only the pieces matter."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class Packets:
    """Buffers of one size each, as the kernel wants them described."""

    def __init__(self, sizes: Sequence[int], stride: int) -> None:
        self.octets = bytearray(stride * len(sizes))
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.octets))
        pieces = [_Piece(base + stride * i, size) for i, size in enumerate(sizes)]
        self._pieces = (_Piece * len(sizes))(*pieces)
        self._messages = (_Message * len(sizes))()
        for piece, message in zip(self._pieces, self._messages, strict=True):
            message.header.pieces, message.header.count = ctypes.addressof(piece), 1
        self._at = ctypes.addressof(self._messages)

    def at(self, number: int) -> int:
        """Where the description of packet `number` is, and those of its followers."""
        return self._at + number * ctypes.sizeof(_Message)


def query(name: str) -> bytes:
    """A question for an address, without EDNS."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return struct.pack("!HHHHHH", 0x5A5A, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def forge(names: Sequence[str]) -> Packets:
    queries = [query(name) for name in names]
    stride = max(map(len, queries))
    packets = Packets([len(each) for each in queries], stride)
    for number, each in enumerate(queries):
        packets.octets[number * stride : number * stride + len(each)] = each
    return packets


def blast(sock: socket.socket, names: Sequence[str], seconds: float) -> dict[str, Any]:
    """Ask for `names` until the time is over; with no time at all, once."""
    libc = ctypes.CDLL(None, use_errno=True)
    queries, replies = forge(names), Packets([_REPLY] * BATCH, _REPLY)
    flags, rcodes = memoryview(replies.octets)[3::_REPLY], Counter[int]()
    began = time.monotonic()
    position = on_way = completed = lost = 0
    while on_way or (time.monotonic() - began < seconds if seconds else position < len(names)):
        over = time.monotonic() - began >= seconds if seconds else position == len(names)
        position = position if over or position < len(names) else 0
        count = 0 if over else min(WINDOW - on_way, BATCH, len(names) - position)
        if count > 0:
            sent = libc.sendmmsg(sock.fileno(), ctypes.c_void_p(queries.at(position)), count, 0)
            position, on_way = position + max(sent, 0), on_way + max(sent, 0)
        got = libc.recvmmsg(
            sock.fileno(), ctypes.c_void_p(replies.at(0)), BATCH, _WAIT_FOR_ONE, None
        )
        if got <= 0:
            lost, on_way = lost + on_way, 0
            continue
        completed, on_way = completed + got, max(on_way - got, 0)
        rcodes.update(bytes(flags[:got]))
    return {
        "completed": completed,
        "lost": lost,
        "seconds": time.monotonic() - began,
        "rcodes": {str(code & 0xF): number for code, number in rcodes.items()},
    }


def flood(sock: socket.socket, names: Sequence[str], seconds: float) -> dict[str, Any]:
    """Ask for `names` without regard for answers, until the time is over."""
    libc = ctypes.CDLL(None, use_errno=True)
    queries, replies = forge(names), Packets([_REPLY] * BATCH, _REPLY)
    into, starts = ctypes.c_void_p(replies.at(0)), range(0, len(names) - BATCH, BATCH)
    began = time.monotonic()
    sent = completed = 0
    while time.monotonic() - began < seconds:
        for start in starts:
            out = ctypes.c_void_p(queries.at(start))
            sent += max(libc.sendmmsg(sock.fileno(), out, BATCH, socket.MSG_DONTWAIT), 0)
            got = libc.recvmmsg(sock.fileno(), into, BATCH, socket.MSG_DONTWAIT, None)
            completed += max(got, 0)
    return {"completed": completed, "sent": sent, "seconds": time.monotonic() - began}


def main() -> None:
    server, source, file, seconds, *how = sys.argv[1:]
    with open(file) as lines:
        names = lines.read().split()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        sock.bind((source, 0))
        sock.connect((server, 53))
        print(json.dumps((flood if how else blast)(sock, names, float(seconds))))


if __name__ == "__main__":
    main()
