"""What incumbent and successor say to each other, as values and as octets. No I/O here.

A record is MAGIC, the version of the protocol (two octets, network order), and one message in
MessagePack. The first ten octets stay as they are in every version: that is how two programs which
cannot understand each other find out, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

VERSION = 1
MAGIC = b"volt-ho:"
_HEAD = len(MAGIC) + 2

# SCM_RIGHTS takes 253 descriptors at once (SCM_MAX_FD in include/net/scm.h).
MOST_DESCRIPTORS = 250
# Names of that many sockets fit into a record; the kernel's default send buffer holds three.
RECORD_MAX = 64 * 1024

T = TypeVar("T")


class BadMessageError(Exception):
    """Not a message of this protocol. `version` is the other side's, where that is the reason."""

    def __init__(self, reason: str, version: int | None = None) -> None:
        super().__init__(reason)
        self.version = version


class Offer(Struct, frozen=True, tag="offer"):
    """From the incumbent: what there is to understand before anything moves.

    Descriptors: a memfd with the rows of the store (`pack_rows`), and where the log goes.
    `store_version` is the layout of state.db, `generation` counts agents since the first one.
    """

    program: str
    generation: int
    store_version: int


class Ready(Struct, frozen=True, tag="ready"):
    """From the successor: it has understood everything; `pid` is the process that goes on."""

    program: str
    pid: int


class Refusal(Struct, frozen=True, tag="refusal"):
    """From the successor: it cannot take over, for a reason that fits into a line."""

    reason: str


class Descriptors(Struct, frozen=True, tag="descriptors"):
    """From the incumbent: one descriptor for each name."""

    names: tuple[str, ...]


class Take(Struct, frozen=True, tag="take"):
    """From the incumbent: it writes nothing any more. `since` is when it stopped (CLOCK_MONOTONIC,
    seconds)."""

    since: float


class Serving(Struct, frozen=True, tag="serving"):
    """From the successor: it has started, answers and accepts."""


class Connections(Struct, frozen=True, tag="connections"):
    """From the incumbent: a parcel of connections (see the package), which rest since `since`
    (CLOCK_MONOTONIC, seconds)."""

    since: float


class Done(Struct, frozen=True, tag="done"):
    """From the incumbent: no more connections come."""


Message = Offer | Ready | Refusal | Descriptors | Take | Serving | Connections | Done

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    return MAGIC + VERSION.to_bytes(2, "big") + _encoder.encode(message)


def decode(record: bytes) -> Message:
    """The message of a record. Raises BadMessageError."""
    if not record.startswith(MAGIC) or len(record) < _HEAD:
        raise BadMessageError("not a message of a hand-over")
    version = int.from_bytes(record[len(MAGIC) : _HEAD], "big")
    if version != VERSION:
        raise BadMessageError(
            f"it speaks version {version} of the hand-over, this agent version {VERSION}", version
        )
    try:
        found: Message = _decoder.decode(record[_HEAD:])
        return found
    except msgspec.MsgspecError as error:
        raise BadMessageError(f"not understood: {error}") from None


def pack_rows(rows: Sequence[tuple[str, str, str]]) -> bytes:
    """The rows of a store (kind, key, body) as octets."""
    return _encoder.encode([tuple(each) for each in rows])


def unpack_rows(octets: bytes) -> list[tuple[str, str, str]]:
    """What `pack_rows` made of them. Raises BadMessageError."""
    try:
        return msgspec.msgpack.decode(octets, type=list[tuple[str, str, str]])
    except msgspec.MsgspecError as error:
        raise BadMessageError(f"not the rows of a store: {error}") from None


def batches(items: Sequence[T], size: int = MOST_DESCRIPTORS) -> list[Sequence[T]]:
    """`items` in pieces that fit into a record."""
    return [items[start : start + size] for start in range(0, len(items), size)]
