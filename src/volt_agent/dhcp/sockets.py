"""The sockets of a network: one that hears and speaks frames, one that holds the port.

The first one is kept by the service manager, so that what clients ask while the agent restarts is
answered by the next one.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import socket
import struct
from contextlib import suppress

from ..errors import Failed
from ..service import ServiceManager
from .frames import SERVER_PORT

# Linux values that Python 3.11 does not name (asm-generic/socket.h, linux/if_packet.h).
_SO_ATTACH_FILTER, _SO_BINDTOIFINDEX = 26, 62
_SOL_PACKET, _PACKET_AUXDATA = 263, 8
_ETH_P_IP, _ETH_P_ARP = 0x0800, 0x0806
_CHECKSUM_NOT_READY, _VLAN_VALID = 1 << 3, 1 << 4  # TP_STATUS_*
_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata

_FRAME_MAX = 2048
_RECEIVE_BUFFER = 1 << 20

# Classic BPF (linux/filter.h): code, jump if true, jump if false, operand. UDP, no fragment, to
# port 67; so the agent is not woken by what else reaches the bridge.
_TO_SERVER = (
    (0x30, 0, 0, 23),  # ldb  the protocol
    (0x15, 0, 6, 17),  # jeq  UDP
    (0x28, 0, 0, 20),  # ldh  fragment flags and offset
    (0x45, 4, 0, 0x3FFF),  # jset a fragment
    (0xB1, 0, 0, 14),  # ldxb the length of the IP header
    (0x48, 0, 0, 16),  # ldh  the target port
    (0x15, 0, 1, SERVER_PORT),
    (0x06, 0, 0, _FRAME_MAX),  # ret
    (0x06, 0, 0, 0),
)
_REPLIES = (
    (0x28, 0, 0, 20),  # ldh  the operation (RFC 826)
    (0x15, 0, 1, 2),  # jeq  reply
    (0x06, 0, 0, _FRAME_MAX),
    (0x06, 0, 0, 0),
)
_NOTHING = ((0x06, 0, 0, 0),)
_Program = tuple[tuple[int, int, int, int], ...]


def kept_name(network: str) -> str:
    """The name under which the service manager keeps a network's packet socket: `dhcp-backend`."""
    return f"dhcp-{network}"


def obtain(manager: ServiceManager, network: str, bridge: str) -> socket.socket:
    """A packet socket for what is sent to a DHCP server on `bridge`.

    The one that the service manager kept for us, with what clients have asked meanwhile, if it is
    still on that bridge; else a new one, which is given to the manager to keep. Raises Failed.
    """
    name = kept_name(network)
    kept = manager.inherited(name)
    if kept is not None:
        if _is_good(kept, bridge):
            return kept
        kept.close()
        manager.forget(name)
    made = _packet_socket(bridge, _ETH_P_IP, _TO_SERVER)
    manager.keep(name, made)
    return made


def hear_arp(bridge: str) -> socket.socket:
    """A packet socket for ARP replies on `bridge`. Raises Failed."""
    return _packet_socket(bridge, _ETH_P_ARP, _REPLIES)


def close(sock: socket.socket) -> None:
    """Close a packet socket in a thread: the kernel waits until no processor uses it any more
    (synchronize_net in packet_release), which takes milliseconds."""
    asyncio.get_running_loop().run_in_executor(None, sock.close)


def hold_port(bridge: str, ifindex: int, gateway: str) -> socket.socket:
    """A UDP socket on port 67 of `gateway`, the address of `bridge`, that takes nothing in. Raises
    Failed.

    Without it the kernel would answer clients that the port is closed; with it another DHCP server
    that wants every interface is noticed when either starts.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        held.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, ifindex)
        _attach(held, _NOTHING)
        held.bind((gateway, SERVER_PORT))
    except OSError as error:
        held.close()
        raise _explained(bridge, error) from error
    return held


def receive(sock: socket.socket) -> tuple[bytes, bool]:
    """The next frame, and whether its checksums are filled in; b"" for one with a VLAN tag.

    Raises BlockingIOError when there is none, and OSError.
    """
    frame, ancillary, _, _ = sock.recvmsg(_FRAME_MAX, socket.CMSG_SPACE(_AUXDATA.size))
    status = 0
    for level, kind, data in ancillary:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA) and len(data) >= 4:
            status = int.from_bytes(data[:4], "little" if _IS_LITTLE else "big")
    return (b"" if status & _VLAN_VALID else frame), not status & _CHECKSUM_NOT_READY


def mac_of(sock: socket.socket) -> str:
    """The MAC of the bridge that a packet socket is bound to. Raises OSError once that is gone."""
    address: bytes = sock.getsockname()[4]
    return address.hex(":")


_IS_LITTLE = struct.pack("=H", 1) == b"\x01\x00"


def _is_good(kept: socket.socket, bridge: str) -> bool:
    """Whether a kept socket hears DHCP on `bridge`: one whose bridge is gone is on no device."""
    if (kept.family, kept.type) != (socket.AF_PACKET, socket.SOCK_RAW):
        return False
    try:
        _attach(kept, _TO_SERVER)  # the last agent's may have been another
        return bool(kept.getsockname()[:2] == (bridge, _ETH_P_IP))
    except OSError:
        return False


def _packet_socket(bridge: str, protocol: int, program: _Program) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        # Without a protocol it hears nothing until it is bound, with its filter in place.
        made = socket.socket(socket.AF_PACKET, kind, 0)
    except OSError as error:
        raise _explained(bridge, error) from error
    try:
        _attach(made, program)
        made.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        with suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        made.bind((bridge, protocol))
    except OSError as error:
        made.close()
        raise _explained(bridge, error) from error
    return made


def _attach(sock: socket.socket, program: _Program) -> None:
    """Attach a classic BPF program (socket(7), SO_ATTACH_FILTER). Raises OSError."""
    code = b"".join(struct.pack("=HBBI", *each) for each in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("@HP", len(program), ctypes.addressof(buffer))  # struct sock_fprog
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)


def _explained(bridge: str, error: OSError) -> Failed:
    hint = None
    if error.errno == errno.EADDRINUSE:
        hint = (
            "another DHCP server holds port 67, perhaps on all interfaces: "
            "`ss -lnup sport = 67`; or switch volt's off: network.dhcp.enabled: false"
        )
    return Failed(f"cannot lease addresses on {bridge}: {os.strerror(error.errno or 0)}", hint)
