"""Notices when somebody else changes volt's nftables tables.

The kernel tells the group NFNLGRP_NFTABLES of every transaction: a message for each object that
came or went, and at the end one for the new generation, with the name of the thread that made it
(nf_tables_commit() and nf_tables_gen_notify() in net/netfilter/nf_tables_api.c). volt's own thread
is known by its name (`Nft.comm`). This guards against mistakes, not against root.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterator

from msgspec import Struct

from ..bus import Bus
from ..events import RulesetTampered
from . import netlink

log = logging.getLogger(__name__)

Place = tuple[int, str]

# linux/netfilter/nfnetlink.h: the group, and the subsystem in the high byte of a message's type.
_GROUP = 7
_SUBSYSTEM = 10
# linux/netfilter/nf_tables.h
_NEW_GENERATION = 15  # NFT_MSG_NEWGEN
_GENERATION_BY = 3  # NFTA_GEN_PROC_NAME
_TABLE = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE and so on: all 1
_HEADER_SIZE = 4  # struct nfgenmsg: family, version, resource

# linux/netfilter.h, NFPROTO_*
_FAMILIES = {"inet": 1, "bridge": 7}

# linux/netlink.h and asm-generic/socket.h, for which this Python has no names.
_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33

# 10,000 connections loaded at once are told in 2.6 MB; what does not fit costs a verification.
_RECEIVE_BUFFER = 16 << 20
# The kernel packs notifications into datagrams of one page, longer ones have their own.
_DATAGRAM_MAX = 1 << 16

# Datagrams per wake-up: a large transaction must not hold up the loop.
_DRAIN = 16


class Transaction(Struct, frozen=True):
    """One transaction: who made it, and the tables it touched as (address family number, name)."""

    by: str
    tables: frozenset[Place]


class Reader:
    """Puts transactions together from datagrams. Keeps at most the tables of one transaction."""

    def __init__(self) -> None:
        self._touched: set[Place] = set()

    def read(self, datagram: bytes) -> Iterator[Transaction]:
        """The transactions that end in `datagram`. Raises netlink.Malformed."""
        for message in netlink.messages(datagram):
            subsystem, kind = divmod(message.kind, 256)
            if subsystem != _SUBSYSTEM or len(message.body) < _HEADER_SIZE:
                continue
            attributes = netlink.attributes(message.body, _HEADER_SIZE)
            if kind == _NEW_GENERATION:
                by = netlink.to_text(attributes.get(_GENERATION_BY, b""))
                yield Transaction(by, frozenset(self._touched))
                self._touched.clear()
            elif _TABLE in attributes:
                self._touched.add((message.body[0], netlink.to_text(attributes[_TABLE])))

    def forget(self) -> None:
        """Messages were lost: what was read of the present transaction means nothing."""
        self._touched.clear()


class TamperWatch:
    """Publishes RulesetTampered for every foreign transaction that touches one of `tables`.

    `own` is the thread name of volt's transactions; `tables` are (family, name). If the kernel had
    to drop messages, RulesetTampered comes with `by` "": nobody knows, so verify. `on_foreign` gets
    the foreign transactions that leave `tables` alone: they may still add a chain that drops
    volt's traffic.
    """

    def __init__(
        self,
        bus: Bus,
        own: str,
        tables: tuple[tuple[str, str], ...],
        on_foreign: Callable[[Transaction], None] | None = None,
    ) -> None:
        self._bus = bus
        self._own = own
        self._tables = frozenset((_FAMILIES[family], name) for family, name in tables)
        self._on_foreign = on_foreign
        self._reader = Reader()
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Watch the network namespace of this thread from now on, on the running loop."""
        self._socket = _listening_socket()
        asyncio.get_running_loop().add_reader(self._socket, self._drain, self._socket)

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _drain(self, sock: socket.socket) -> None:
        for _ in range(_DRAIN):
            try:
                self._take(sock.recv(_DATAGRAM_MAX))
            except BlockingIOError:
                return
            except netlink.Malformed as error:
                log.warning("an nftables notification cannot be read: %s", error)
                self._lost()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._lost()

    def _take(self, datagram: bytes) -> None:
        for transaction in self._reader.read(datagram):
            if transaction.by == self._own:
                continue
            if transaction.tables & self._tables:
                self._bus.publish(RulesetTampered(by=transaction.by))
            elif self._on_foreign is not None:
                self._on_foreign(transaction)

    def _lost(self) -> None:
        self._reader.forget()
        self._bus.publish(RulesetTampered(by=""))


def _listening_socket() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    sock = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:  # in a user namespace: up to net.core.rmem_max
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.bind((0, 0))
    sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
    return sock
