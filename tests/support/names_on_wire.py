"""Questions to a DNS server from a namespace, and what it says."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from dnslib import QTYPE, RCODE, DNSRecord

from .namespaces import socket_in

DNS_PORT = 53
# Between two questions of `first_right_answer`: the resolution of what it measures.
PAUSE = 0.0005


def question(name: str, kind: str = "A") -> bytes:
    """A query with a random id and recursion desired."""
    record: Any = DNSRecord.question(name, kind)
    record.header.id = int.from_bytes(os.urandom(2))
    return bytes(record.pack())


def read_answer(data: bytes) -> dict[str, Any]:
    """The reply as `{"rcode", "flags", "records": [{"name", "type", "ttl", "data"}]}`."""
    reply: Any = DNSRecord.parse(data)
    return {
        "rcode": RCODE[reply.header.rcode],
        "authoritative": bool(reply.header.aa),
        "truncated": bool(reply.header.tc),
        "authority": [QTYPE[each.rtype] for each in reply.auth],
        "records": [
            {
                "name": str(each.rname).rstrip("."),
                "type": QTYPE[each.rtype],
                "ttl": each.ttl,
                "data": str(each.rdata).rstrip("."),
            }
            for each in reply.rr
        ],
    }


async def query(
    where: str, server: str, name: str, kind: str = "A", protocol: str = "udp", within: float = 30.0
) -> dict[str, Any]:
    """Ask once and return what `read_answer` reads. Raises TimeoutError and OSError."""
    ask = _ask_tcp if protocol == "tcp" else _ask_udp
    async with asyncio.timeout(within):
        return read_answer(await ask(where, server, question(name, kind)))


async def first_right_answer(
    where: str, server: str, name: str, address: str | None, within: float
) -> float:
    """Ask until the answer is `address` (None: NXDOMAIN); returns the monotonic time of it.

    Raises TimeoutError after `within` seconds.
    """
    return await asyncio.to_thread(_ask_until_right, where, server, name, address, within)


def _ask_until_right(
    where: str, server: str, name: str, address: str | None, within: float
) -> float:
    # In a thread, with one socket and one question: the loop's clock has a resolution of 1 ms.
    deadline, wire = time.monotonic() + within, question(name)
    with socket_in(where, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.connect((server, DNS_PORT))
        while time.monotonic() < deadline:
            with suppress(OSError):
                sock.send(wire)
                reply = sock.recv(65535)
                arrived = time.monotonic()
                if is_right(read_answer(reply), address):
                    return arrived
            time.sleep(PAUSE)
    raise TimeoutError(f"no right answer for {name} within {within:g} s")


def is_right(answer: dict[str, Any], address: str | None) -> bool:
    """Whether an answer says just `address`, or for None that there is no such name."""
    if address is None:
        return bool(answer["rcode"] == "NXDOMAIN")
    return [each["data"] for each in answer["records"]] == [address]


async def _ask_udp(where: str, server: str, wire: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket_in(where, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((server, DNS_PORT))
        await loop.sock_sendall(sock, wire)
        while True:
            reply = await loop.sock_recv(sock, 65535)
            if reply[:2] == wire[:2]:
                return reply


async def _ask_tcp(where: str, server: str, wire: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket_in(where, socket.AF_INET, socket.SOCK_STREAM) as sock:
        await loop.sock_connect(sock, (server, DNS_PORT))
        await loop.sock_sendall(sock, struct.pack("!H", len(wire)) + wire)
        received = b""
        while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2]):
            part = await loop.sock_recv(sock, 65535)
            if not part:
                raise ConnectionResetError("the server closed the connection")
            received += part
    return received[2:]
