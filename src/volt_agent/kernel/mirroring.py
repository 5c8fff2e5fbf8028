"""How netlink messages change the mirror: plain functions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from .ip_messages import (
    ALL_LINKS,
    DEFAULT_LINK,
    DELETE_ADDRESS,
    NEW_ADDRESS,
    NEW_SETTINGS,
    decode_address,
    decode_settings,
)
from .link_messages import DELETE_LINK, NEW_LINK, decode_link, decode_port, link_index
from .netlink import Malformed, Message
from .state import Link, Mirror

log = logging.getLogger(__name__)

T = TypeVar("T")

_SPECIAL = {ALL_LINKS: "all", DEFAULT_LINK: "default"}  # as under /proc/sys/net/ipv4/conf


def apply(mirror: Mirror, messages: Sequence[Message]) -> set[str]:
    """Take `messages` into `mirror`; returns the names of the interfaces that changed.

    Most change nothing that the mirror holds: the kernel announces a link anew for each of its many
    attributes. Of several in a row about one link only the last is decoded.
    """
    changed: set[str] = set()
    latest = _latest_links(messages)
    for position, message in enumerate(messages):
        if position in latest:
            changed |= _link_seen(mirror, latest[position])
        elif message.kind == NEW_LINK:
            changed |= _port_reported(mirror, message.body)
        elif message.kind == DELETE_LINK:
            changed |= _link_gone(mirror, message.body)
        elif message.kind in (NEW_ADDRESS, DELETE_ADDRESS):
            changed |= _address_changed(mirror, message.body, message.kind == NEW_ADDRESS)
    return changed


def settings_changed(mirror: Mirror, messages: Sequence[Message]) -> set[str]:
    """The interfaces ("all" and "default" among them) whose settings `messages` announce.

    Not those of links that are not in the mirror: their first settings are no change.
    """
    indexes = (
        _legible(decode_settings, each.body) for each in messages if each.kind == NEW_SETTINGS
    )
    return {
        _SPECIAL.get(index) or mirror.by_index[index].name
        for index in indexes
        if index is not None and (index in _SPECIAL or index in mirror.by_index)
    }


def difference(before: Mirror, after: Mirror) -> set[str]:
    """The names of the interfaces that differ in any way."""
    names = before.links.keys() | after.links.keys()
    return {
        name
        for name in names
        if before.links.get(name) != after.links.get(name)
        or before.addresses_of(name) != after.addresses_of(name)
    }


def _latest_links(messages: Sequence[Message]) -> dict[int, Link]:
    """The links described by `messages`, by position; of several about one link the last."""
    latest: dict[int, Link] = {}
    described: set[int] = set()
    for position in range(len(messages) - 1, -1, -1):
        kind, _flags, _sequence, body = messages[position]
        if kind == NEW_LINK and _legible(link_index, body) not in described:
            link = _legible(decode_link, body)
            if link is not None:
                described.add(link.index)
                latest[position] = link
    return latest


def _legible(decode: Callable[[bytes], T | None], body: bytes) -> T | None:
    try:
        return decode(body)
    except Malformed:
        log.exception("unreadable message from the kernel")
        return None


def _link_seen(mirror: Mirror, link: Link) -> set[str]:
    before = mirror.by_index.get(link.index)
    if before == link:
        return set()
    mirror.put_link(link)
    return {link.name} if before is None else {before.name, link.name}


def _port_reported(mirror: Mirror, body: bytes) -> set[str]:
    index, hairpin = _legible(decode_port, body) or (0, False)
    link = mirror.by_index.get(index)
    return _link_seen(mirror, replace(link, hairpin=hairpin)) if link is not None else set()


def _link_gone(mirror: Mirror, body: bytes) -> set[str]:
    index = _legible(link_index, body)
    known = mirror.drop_link(index) if index is not None else None
    return {known.name} if known is not None else set()


def _address_changed(mirror: Mirror, body: bytes, is_new: bool) -> set[str]:
    decoded = _legible(decode_address, body)
    if decoded is None:
        return set()
    index, address = decoded
    before = mirror.addresses.get(index, frozenset())
    after = before | {address} if is_new else before - {address}
    if after == before:
        return set()
    if after:
        mirror.addresses[index] = after
    else:
        del mirror.addresses[index]
    return {mirror.by_index[index].name} if index in mirror.by_index else set()
