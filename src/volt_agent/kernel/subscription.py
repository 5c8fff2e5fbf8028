"""A netlink socket that listens: joins groups, hands out small helpings, notices losses."""

from __future__ import annotations

import errno
import logging
import select
import socket
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from .netlink import Malformed, Message, Request, encode, messages, to_signed
from .netlink_socket import (
    ADD_MEMBERSHIP,
    CAP_ACK,
    DATAGRAM_MAX,
    EXT_ACK,
    LISTEN_ALL_NSID,
    SOL_NETLINK,
    STRICT_CHECK,
)

log = logging.getLogger(__name__)

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
OWN_NAMESPACE = -1
_PATIENCE = 10.0  # seconds, for an answer that the kernel gives as soon as it has its lock


class Helping(NamedTuple):
    """Some of what has arrived: datagrams, each with the namespace (nsid) that it came from.

    `lost`: the kernel has dropped messages (ENOBUFS) since the last helping. It goes on dropping,
    silently, until the socket has been read empty (NETLINK_S_CONGESTED in
    net/netlink/af_netlink.c): only when a later helping is `empty` is it worth asking anew.
    """

    datagrams: list[tuple[int, bytes]]
    lost: bool
    empty: bool

    def messages(self) -> list[Message]:
        """What they say. Unreadable ones are logged and passed over."""
        found: list[Message] = []
        for _namespace, datagram in self.datagrams:
            try:
                found += messages(datagram)
            except Malformed:
                log.exception("unreadable datagram from the kernel")
        return found


class Subscription:
    """A bound socket in the namespace of the thread that makes it.

    With `everywhere` it also hears from all namespaces that have an id here (rtnetlink's nsid), and
    tells from which. `buffer` is in bytes; messages take two to three times their size in it.
    """

    def __init__(self, groups: Sequence[int], buffer: int, everywhere: bool = False) -> None:
        flags = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, flags, socket.NETLINK_ROUTE)
        self._sequence = 0
        try:
            self._subscribe(groups, buffer, everywhere)
        except OSError:
            self._socket.close()
            raise

    def _subscribe(self, groups: Sequence[int], buffer: int, everywhere: bool) -> None:
        for option in (CAP_ACK, EXT_ACK, STRICT_CHECK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        if everywhere:
            self._socket.setsockopt(SOL_NETLINK, LISTEN_ALL_NSID, 1)
        self._set_buffer(buffer)
        self._socket.bind((0, 0))
        for group in groups:
            self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)

    def _set_buffer(self, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
        except PermissionError:  # root of a user namespace only
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            _tell_of_small_buffer(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: Request, flags: int) -> int:
        """Send a request; the answers, with the sequence number returned, come in order with
        everything else. Raises OSError."""
        self._sequence += 1
        self._socket.send(encode(request, self._sequence, flags))
        return self._sequence

    def inquire(self, request: Request) -> None:
        """Send a request for an answer that nobody waits for: it comes with everything else, in
        order, with the sequence number 0. From any thread. Raises OSError."""
        self._socket.send(encode(request, 0, 0))

    def wait(self) -> None:
        """Block until something has arrived. Raises TimeoutError."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(_PATIENCE * 1000):
            raise TimeoutError(errno.ETIMEDOUT, "the kernel does not answer")

    def receive(self, limit: int) -> Helping:
        """What has arrived: at most `limit` datagrams, without waiting. Raises OSError."""
        found: list[tuple[int, bytes]] = []
        lost = False
        for _ in range(limit):
            try:
                data, ancillary, flags, sender = self._socket.recvmsg(DATAGRAM_MAX, 64)
            except BlockingIOError:
                return Helping(found, lost, empty=True)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            if flags & socket.MSG_TRUNC:
                lost = True
            elif sender[0] == 0:  # the kernel's port; anybody else is making things up
                found.append((_namespace_of(ancillary), data))
        return Helping(found, lost, empty=False)


@cache
def _tell_of_small_buffer(size: int) -> None:
    """Once: all sockets are limited alike, by net.core.rmem_max."""
    log.info(
        "netlink buffers of %d KiB only (no CAP_NET_ADMIN over the machine): "
        "after bursts of changes all links will be read again",
        size >> 10,
    )


def _namespace_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The nsid that a message came from; OWN_NAMESPACE where none is given."""
    for level, kind, data in ancillary:
        if level == SOL_NETLINK and kind == LISTEN_ALL_NSID:
            return to_signed(data)
    return OWN_NAMESPACE
