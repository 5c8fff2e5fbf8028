"""The sockets of a network's name server: on its gateway address, deaf to other devices."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress

from ..errors import Failed, VoltError
from ..service import ServiceManager

# Linux values that Python 3.11 does not name (asm-generic/socket.h, linux/in.h).
_SO_RCVBUFFORCE = 33
_SO_BINDTOIFINDEX = 62
_IP_FREEBIND = 15

# What arrives during a restart waits in this buffer. At 500 queries a second, a pause of half a
# second lost 17 of them with the kernel's default and none with this.
RECEIVE_BUFFER = 4 * 1024 * 1024
_BACKLOG = 1024

_TRANSPORTS = {socket.SOCK_DGRAM: "udp", socket.SOCK_STREAM: "tcp"}


def kept_name(kind: socket.SocketKind, network: str) -> str:
    """The name under which the service manager keeps a socket: `dns-udp-backend`."""
    return f"dns-{_TRANSPORTS[kind]}-{network}"


def obtain(
    manager: ServiceManager,
    kind: socket.SocketKind,
    network: str,
    address: tuple[str, int],
    ifindex: int,
) -> socket.socket:
    """A socket of `kind` bound to `address` and to the device `ifindex`.

    The one that the service manager kept for us, queued queries and all, if it is still what it
    should be; else a new one, which is given to the manager to keep. Raises VoltError.
    """
    name = kept_name(kind, network)
    kept = manager.inherited(name)
    if kept is not None and _is_good(kept, kind, address):
        # Even if nothing has changed: the bridge may have been made anew meanwhile, and a socket on
        # a device that is gone hears nothing and says nothing.
        with suppress(OSError):
            bind_to_device(kept, ifindex)
            return kept
    if kept is not None:
        kept.close()
        manager.forget(name)
    try:
        made = _make(kind, address, ifindex)
    except OSError as error:
        raise _explained(error, kind, address) from error
    manager.keep(name, made)
    return made


def bind_to_device(sock: socket.socket, ifindex: int) -> None:
    """Hear only the device `ifindex`, and what the host itself sends to the address there.

    What is queued stays queued. Raises OSError.
    """
    sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, ifindex)


def _make(kind: socket.SocketKind, address: tuple[str, int], ifindex: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        # The bridge may be there a moment before its address is.
        made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        bind_to_device(made, ifindex)
        if kind == socket.SOCK_STREAM:
            # Connections of the last life in TIME_WAIT must not stop this one.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            _enlarge_buffer(made)
        made.bind(address)
        if kind == socket.SOCK_STREAM:
            made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _enlarge_buffer(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:  # in a user namespace; then as much as net.core.rmem_max allows
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def _is_good(sock: socket.socket, kind: socket.SocketKind, address: tuple[str, int]) -> bool:
    """Whether a kept socket is of `kind`, IPv4, and bound to `address` (and listens, for TCP)."""
    try:
        listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        same = sock.family == socket.AF_INET and sock.getsockname() == address
    except OSError:
        return False
    return same and sock.type == kind and listens == (kind == socket.SOCK_STREAM)


def _explained(error: OSError, kind: socket.SocketKind, address: tuple[str, int]) -> VoltError:
    host, port = address
    hint = None
    if error.errno == errno.EADDRINUSE:
        hint = (
            f"another server holds port {port}, perhaps on all addresses: `ss -lnp sport = {port}`"
        )
    reason = os.strerror(error.errno or 0)
    transport = _TRANSPORTS[kind]
    return Failed(f"cannot answer names on {host} port {port} ({transport}): {reason}", hint)
