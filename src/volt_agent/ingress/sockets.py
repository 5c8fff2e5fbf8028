"""The listening sockets of the ingress: kept by the service manager, or bound anew."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, cast

from ..model.route import Scheme
from ..service import ServiceManager

# As nginx and HAProxy have it at most: connections that wait to be accepted (listen(2); the kernel
# takes net.core.somaxconn, 4096 by default, if that is less).
BACKLOG = 4096
_ADDRESSES = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
# The kernel has no IPv6, or it is switched off.
_WITHOUT_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def kept_names(scheme: Scheme) -> tuple[str, str]:
    """The names under which the service manager keeps the sockets of a scheme."""
    return f"ingress-{scheme}-4", f"ingress-{scheme}-6"


def obtain(manager: ServiceManager, scheme: Scheme, port: int) -> list[socket.socket]:
    """Sockets that listen on `port` of all addresses: one for IPv4, one for IPv6 if there is any.

    Those that the manager kept, with the connections that wait in them, if they are still what they
    should be. Raises OSError (EADDRINUSE, EACCES), and then none is open.
    """
    found: list[socket.socket] = []
    try:
        for name, family in zip(kept_names(scheme), _ADDRESSES, strict=True):
            one = _obtain(manager, name, family, port)
            if one is not None:
                found.append(one)
    except OSError:
        for each in found:
            each.close()
        forget(manager, scheme)
        raise
    return found


def forget(manager: ServiceManager, scheme: Scheme) -> None:
    """Have the manager drop what it keeps for a scheme."""
    for name in kept_names(scheme):
        manager.forget(name)


def _obtain(
    manager: ServiceManager, name: str, family: socket.AddressFamily, port: int
) -> socket.socket | None:
    kept = manager.inherited(name)
    if kept is not None:
        if _is_good(kept, family, port):
            return kept
        kept.close()
        manager.forget(name)
    try:
        made = _make(family, port)
    except OSError as error:
        if family == socket.AF_INET6 and error.errno in _WITHOUT_IPV6:
            return None
        raise
    manager.keep(name, made)
    return made


def _make(family: socket.AddressFamily, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Connections of the last life in TIME_WAIT must not stop this one.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((_ADDRESSES[family], port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _is_good(sock: socket.socket, family: socket.AddressFamily, port: int) -> bool:
    try:
        listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        return listens and sock.family == family and sock.getsockname()[1] == port
    except OSError:
        return False


class _Accepted(socket.SocketType):
    """The class in C, and what TLS needs of its socket."""

    __slots__ = ("__weakref__",)


def adopted(descriptor: int) -> socket.socket:
    """As `accept` makes them, of a connection that another process has accepted."""
    os.set_inheritable(descriptor, False)
    made: Any = _Accepted(fileno=descriptor)
    made.setblocking(False)
    return cast("socket.socket", made)


def accept(listening: socket.socket, family: int) -> tuple[socket.socket, str]:
    """The next connection, non-blocking, and its peer's address; `family` is that of `listening`.
    Raises OSError as accept(2) does.

    What `socket.socket.accept` adds to the class in C (files, `with`, names for numbers) is not
    used on the data path, and costs 10 of 30 us for each connection.
    """
    direct: Any = listening
    descriptor, address = direct._accept()
    made: Any = _Accepted(family, socket.SOCK_STREAM, 0, descriptor)
    made.setblocking(False)
    return made, address[0]
