"""Connections of the ingress as values: what has to be known besides their descriptors.

What travels is what holds nothing but bytes and waits for an event: plain clients between two
requests, tunnels, and TLS connections of which nothing was taken yet. A request in flight and what
ends TLS has more to it (a parser's state, keys) and stays with the process that began it.

A connection has one descriptor, or two: of a tunnel the client's comes first. They travel in the
order of the connections in a packet, as SCM_RIGHTS (unix(7)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

# A message carries at most 253 descriptors (SCM_MAX_FD).
MOST_DESCRIPTORS = 240
# Bytes after which a packet is full; what waits of one connection may exceed it, once.
FULL = 131_072


class Malformed(ValueError):
    """What came is no packet of connections."""


class Hello(Struct, frozen=True, tag="hello", array_like=True):
    """A TLS connection of `address` of which nothing was read, only looked at."""

    address: str


class Waiting(Struct, frozen=True, tag="waiting", array_like=True):
    """A plain client of `address` between two requests. `ahead` came of the next ones, `output` is
    still to be sent; in `seconds` its patience or ours is over."""

    address: str
    ahead: bytes
    output: bytes
    seconds: float


class Side(Struct, frozen=True, array_like=True):
    """One side of a tunnel. `output` is still to be sent there; `received` bytes came from there,
    and no more will if it `has_ended`."""

    output: bytes
    has_ended: bool
    received: int


class Tunnel(Struct, frozen=True, tag="tunnel", array_like=True):
    """Two connections whose bytes are passed on. `route` is what it belongs to, `backend` what the
    user named there (NAME:PORT), found at `endpoint` (address and port). It ends after `idle`
    seconds without a byte, and as it is now in `seconds`."""

    address: str
    route: str
    backend: str
    endpoint: tuple[str, int]
    idle: float
    seconds: float
    client: Side
    server: Side


class Kept(Struct, frozen=True, tag="kept", array_like=True):
    """A tunnel whose process may die: where its counters were when nothing was under way, from the
    client's socket to the server's and back (`ingress.positions.advance`)."""

    tunnel: Tunnel
    forth: int
    back: int


Connection = Hello | Waiting | Tunnel

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Connection])
_kept_decoder = msgspec.msgpack.Decoder(Kept)


def descriptors_of(connection: Connection) -> int:
    """How many descriptors it comes with."""
    return 2 if isinstance(connection, Tunnel) else 1


def encode(connections: Iterable[Connection]) -> bytes:
    """A packet of them (MessagePack)."""
    return _encoder.encode(list(connections))


def decode(packet: bytes) -> list[Connection]:
    """The connections of a packet. Raises Malformed."""
    try:
        return _decoder.decode(packet)
    except (msgspec.DecodeError, ValueError) as error:
        raise Malformed(str(error)) from error


def encode_kept(kept: Kept) -> bytes:
    """The note under which its sockets are held."""
    return _encoder.encode(kept)


def decode_kept(note: bytes) -> Kept:
    """Raises Malformed."""
    try:
        return _kept_decoder.decode(note)
    except (msgspec.DecodeError, ValueError) as error:
        raise Malformed(str(error)) from error


def packets(
    connections: Iterable[tuple[Connection, tuple[int, ...]]],
) -> Iterator[tuple[bytes, list[int]]]:
    """Packets of connections with their descriptors, each small enough for one message."""
    batch: list[Connection] = []
    attached: list[int] = []
    size = 0
    for connection, descriptors in connections:
        waits = _waiting(connection)
        if batch and (len(attached) + 2 > MOST_DESCRIPTORS or size + waits > FULL):
            yield encode(batch), attached
            batch, attached, size = [], [], 0
        batch.append(connection)
        attached.extend(descriptors)
        size += waits
    if batch:
        yield encode(batch), attached


def unpack(packet: bytes, descriptors: list[int]) -> list[tuple[Connection, tuple[int, ...]]]:
    """The connections of a packet with their descriptors, which stay the caller's when Malformed is
    raised."""
    connections = decode(packet)
    if sum(map(descriptors_of, connections)) != len(descriptors):
        raise Malformed(f"{len(descriptors)} descriptors do not belong to these connections")
    rest = iter(descriptors)
    return [(each, tuple(next(rest) for _ in range(descriptors_of(each)))) for each in connections]


def _waiting(connection: Connection) -> int:
    """About how many bytes it takes."""
    if isinstance(connection, Waiting):
        return 64 + len(connection.ahead) + len(connection.output)
    if isinstance(connection, Tunnel):
        return 256 + len(connection.client.output) + len(connection.server.output)
    return 64
