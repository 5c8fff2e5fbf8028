"""Proves that frames between two ports of one bridge pass the inet forward hook.

No single setting tells whether br_netfilter is there, loaded and willing, so it is tried: with two
ports of a bridge in a network namespace that lives as long as the attempt.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import time
from collections.abc import Callable

from ..errors import KernelRefused
from . import bridges
from .link_messages import add_veth, set_link
from .netlink_socket import NetlinkSocket
from .nft import in_scratch
from .ops import AddBridge, AddVeth

log = logging.getLogger(__name__)

_RULES = "table inet t { chain c { type filter hook forward priority 0; policy drop; }\n}\n"

_BRIDGE, _MTU = "br", 1500
_IP, _OTHER = 0x0800, 0x88B5  # IPv4; IEEE 802, for local experiments: no business of netfilter
_FLOODED = bytes.fromhex("020000000099")  # nobody's: sent out of every other port
# A packet of UDP (RFC 791) without a word in it, from 192.0.2.1 to 192.0.2.2, and its checksum.
_HEADER = struct.pack("!BBHIBBH4s4s", 69, 0, 28, 0, 64, 17, 0xF6CD, b"\xc0\0\2\1", b"\xc0\0\2\2")
_PACKET = _HEADER + struct.pack("!HHHH", 9, 9, 8, 0)
# Seconds. A port forwards once the kernel has looked at its carrier, in the background
# (net/core/link_watch.c); after that frames are there when send() returns. On a very busy machine
# both take their time.
_PATIENCE, _RESEND = 10.0, 0.01
# Two frames sent on different processors may overtake each other.
_TRIES = 3


async def enforces_within_bridge() -> bool:
    """Whether this kernel can hold apart two ports of one bridge. Takes some 50 ms; never raises.

    False too where it cannot be tried: a policy that might not be enforced is no policy.
    """
    try:
        return await in_scratch(_try)
    except (KernelRefused, OSError) as error:
        log.warning("cannot try whether policies hold within one bridge: %s", error)
        return False


def _try(nft: Callable[[str], bytes]) -> bool:
    """A frame that gets through, and does not once the forward hook drops."""
    _build()
    with _raw("p1") as sender, _raw("p2") as receiver:
        _await_way(sender, receiver)
        if not _gets_through(sender, receiver):
            raise OSError("no packet passes between two ports of a fresh bridge")
        nft(_RULES)
        return not _gets_through(sender, receiver)


def _build() -> None:
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with NetlinkSocket() as netlink:
            netlink.request(
                bridges.add_bridge(AddBridge(name=_BRIDGE, mac=_mac(0), mtu=_MTU, alias=""))
            )
            netlink.request(bridges.call_netfilter(_BRIDGE, True))
            netlink.request(set_link(_BRIDGE, up=True))
            for number in (1, 2):
                _add_port(netlink, number, own)
    finally:
        os.close(own)


def _add_port(netlink: NetlinkSocket, number: int, namespace: int) -> None:
    port, peer = f"b{number}", f"p{number}"
    veth = AddVeth(
        name=port,
        master=_BRIDGE,
        alias="",
        mtu=_MTU,
        mac=_mac(16 + number),
        peer=peer,
        peer_mac=_mac(32 + number),
        peer_namespace="",
    )
    netlink.request(add_veth(veth, socket.if_nametoindex(_BRIDGE), namespace))
    for name in (port, peer):
        netlink.request(set_link(name, up=True))


def _mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def _raw(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))  # ETH_P_ALL
    sock.bind((interface, 0))
    sock.settimeout(_PATIENCE)
    return sock


def _await_way(sender: socket.socket, receiver: socket.socket) -> None:
    """Wait until both ports forward. Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE
    receiver.settimeout(_RESEND)
    while True:
        _send(sender, _OTHER, b"early")
        try:
            while not _is_frame(receiver.recv(2048), _OTHER, b"early"):
                pass
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
        else:
            receiver.settimeout(_PATIENCE)
            return


def _gets_through(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether the packet arrives before a frame sent after it, which nothing holds up."""
    return any(_arrives_first(sender, receiver, b"try %d" % each) for each in range(_TRIES))


def _arrives_first(sender: socket.socket, receiver: socket.socket, mark: bytes) -> bool:
    _send(sender, _IP, _PACKET)
    _send(sender, _OTHER, mark)
    arrived = False
    while True:
        frame = receiver.recv(2048)
        if _is_frame(frame, _OTHER, mark):
            return arrived
        arrived |= _is_frame(frame, _IP, _HEADER)


def _send(sender: socket.socket, kind: int, body: bytes) -> None:
    source = bytes.fromhex(_mac(33).replace(":", ""))
    sender.send(_FLOODED + source + struct.pack("!H", kind) + body.ljust(46, b"\0"))


def _is_frame(frame: bytes, kind: int, body: bytes) -> bool:
    return frame[12:].startswith(struct.pack("!H", kind) + body)
