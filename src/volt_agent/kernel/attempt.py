"""Tries a connection from inside a network namespace: what `policy test --live` does.

Nothing is started in there: a thread visits the namespace to make a socket, and the socket stays in
the namespace in which it was made (socket(2) and network_namespaces(7)).
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from ipaddress import IPv4Address
from typing import Literal

from ..errors import KernelRefused
from .namespaces import entered, open_namespace
from .worker import Worker

Protocol = Literal["tcp", "udp", "icmp"]

# `answered`: the target did. `refused`: a TCP reset or an ICMP port unreachable came back, from the
# target or from a rule in its place. `unreachable`: another ICMP error, or no route at all.
# `silent`: nothing came back in time.
Outcome = Literal["answered", "refused", "unreachable", "silent"]

# A lost SYN is sent again after one second (RFC 6298): two attempts.
TIMEOUT = 2.0
_RESEND = 0.5  # of datagrams
_ECHO_REQUEST, _ECHO_REPLY, _IP_HEADER = 8, 0, 20


async def attempt(
    worker: Worker,
    namespace: str | None,
    protocol: Protocol,
    address: IPv4Address,
    port: int,
    within: float = TIMEOUT,
) -> Outcome:
    """What comes of one attempt from `namespace` (a path; None: the agent's own) `within` so
    many seconds. Raises KernelRefused if the namespace cannot be entered."""
    with await worker.run(lambda: _socket_in(namespace, protocol)) as sock:
        try:
            async with asyncio.timeout(within):
                return await _tried(sock, protocol, str(address), port)
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:  # ours, or the kernel's own (ETIMEDOUT)
            return "silent"
        except OSError:
            return "unreachable"


async def _tried(sock: socket.socket, protocol: Protocol, address: str, port: int) -> Outcome:
    loop = asyncio.get_running_loop()
    if protocol == "tcp":
        await loop.sock_connect(sock, (address, port))
        return "answered"
    sock.connect((address, port))  # sends nothing; asyncio does not know raw sockets
    data, mark = _question(protocol)
    while True:
        await loop.sock_sendall(sock, data)
        try:
            async with asyncio.timeout(_RESEND):
                while not _is_answer(protocol, await loop.sock_recv(sock, 2048), mark):
                    pass
                return "answered"
        except TimeoutError:
            # The outer limit raises the same, but at the next await, as a cancellation.
            continue


def _question(protocol: Protocol) -> tuple[bytes, bytes]:
    """What to send, and by what the answer is known."""
    if protocol == "udp":
        return b"\0", b""
    mark = os.urandom(4)  # identifier and sequence number (RFC 792)
    head = struct.pack("!BBH", _ECHO_REQUEST, 0, 0) + mark
    return head[:2] + struct.pack("!H", _checksum(head)) + mark, mark


def _is_answer(protocol: Protocol, data: bytes, mark: bytes) -> bool:
    """Any datagram is; a raw ICMP socket sees every message, behind its IP header."""
    if protocol == "udp":
        return True
    message = data[_IP_HEADER:]
    return message[:1] == bytes((_ECHO_REPLY,)) and message[4:8] == mark


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(word for (word,) in struct.iter_unpack("!H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF - (total + (total >> 16)) & 0xFFFF


def _socket_in(namespace: str | None, protocol: Protocol) -> socket.socket:
    """In the worker's thread."""
    if namespace is None:
        return _socket(protocol)
    try:
        handle = open_namespace(namespace)
        try:
            with entered(handle):
                return _socket(protocol)
        finally:
            os.close(handle)
    except OSError as error:
        reason = error.strerror or str(error)
        raise KernelRefused(f"cannot enter {namespace}: {reason}", error.errno or 0) from error


def _socket(protocol: Protocol) -> socket.socket:
    kind, number = {
        "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
        "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
        "icmp": (socket.SOCK_RAW, socket.IPPROTO_ICMP),
    }[protocol]
    return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK, number)
