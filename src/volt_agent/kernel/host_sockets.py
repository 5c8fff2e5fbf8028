"""Closes TCP connections of the host's own programs, as `ss --kill` does (sock_diag(7)).

A socket is asked for by its two ends and closed by the cookie that the answer carries. Without the
cookie the kernel would take a listener for a connection that has just gone
(inet_diag_find_one_icsk() in net/ipv4/inet_diag.c).
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from functools import cache
from ipaddress import IPv4Address
from typing import TypeAlias

from .netlink import Malformed, Request
from .netlink_socket import NetlinkSocket

log = logging.getLogger(__name__)

End: TypeAlias = tuple[IPv4Address, int]

_NETLINK_SOCK_DIAG = 4  # linux/netlink.h
_BY_FAMILY, _DESTROY = 20, 21  # SOCK_DIAG_BY_FAMILY and SOCK_DESTROY in linux/sock_diag.h
# struct inet_diag_req_v2: family, protocol, extensions, states; then struct inet_diag_sockid.
_ASKED = struct.Struct("=BBBxI")
_ENDS = struct.Struct("!HH4s12x4s12x")  # both ports, both addresses; interface and cookie follow
_ANY_INTERFACE, _ANY_COOKIE = bytes(4), b"\xff" * 8
_FOUND_ENDS, _COOKIE = 4, slice(44, 52)  # where struct inet_diag_msg has them
# Not one of these is no kernel at fault: the socket has gone, or there is none such.
_GONE = (errno.ENOENT, errno.ESTALE)


class HostSockets:
    """The TCP sockets of the calling thread's network namespace. For worker threads."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(_NETLINK_SOCK_DIAG)
        self._is_here = cache(_is_here)

    def __enter__(self) -> HostSockets:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._netlink.close()

    def close_end(self, own: End, other: End) -> bool:
        """Reset the connection whose end here is `own`; whether there was one.

        Its program sees ECONNABORTED (tcp_abort() in net/ipv4/tcp.c). What the kernel refuses
        (built without INET_DIAG_DESTROY) is logged.
        """
        ends = _ENDS.pack(own[1], other[1], own[0].packed, other[0].packed)
        if not self._is_here(own[0]):
            return False
        try:
            found = self._netlink.get(_request(_BY_FAMILY, ends, _ANY_INTERFACE + _ANY_COOKIE)).body
            if len(found) < _COOKIE.stop:
                raise Malformed(f"a socket in {len(found)} bytes")
            if found[_FOUND_ENDS : _FOUND_ENDS + 4] != ends[:4]:  # a listener
                return False
            self._netlink.request(_request(_DESTROY, ends, _ANY_INTERFACE + found[_COOKIE]))
        except OSError as error:
            if error.errno not in _GONE:
                log.warning(
                    "cannot close the host's connection with %s:%d: %s", *other, error.strerror
                )
            return False
        return True


def _is_here(address: IPv4Address) -> bool:
    """Whether this is an address of the thread's namespace: only there can a socket be bound to it
    (or anywhere, with ip_nonlocal_bind)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True


def _request(kind: int, ends: bytes, which: bytes) -> Request:
    asked = _ASKED.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
    return Request(kind, 0, asked + ends + which)
