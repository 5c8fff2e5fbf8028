"""Whose link is it? The same answer on both edges."""

from __future__ import annotations

import errno

from .ops import AddBridge, AddTap, AddVeth, AddVlan
from .refusals import Explained
from .state import Link


def check_ours(link: Link, op: AddBridge | AddVeth | AddTap, kind: str) -> None:
    """Pass if an earlier `op` made `link`, even if it was interrupted half-way.

    Ours bear the alias; one that does not yet has at least the MAC. Raises Explained (EEXIST) for
    somebody else's, or one of another kind.
    """
    is_ours = link.alias == op.alias or (not link.alias and link.mac == op.mac)
    if link.kind != kind or not is_ours:
        what = ", ".join(filter(None, (link.kind or "device", link.alias)))
        raise Explained(errno.EEXIST, f"there is another {op.name} already ({what})")


def check_our_vlan(link: Link, op: AddVlan, parent: int) -> None:
    """Pass if an earlier `op` made `link`, even if it was interrupted before it got its alias.

    Raises Explained (EEXIST) for anything else.
    """
    is_it = (link.kind, link.lower, link.vlan) == ("vlan", parent, op.id)
    if not is_it or link.alias not in ("", op.alias):
        what = ", ".join(filter(None, (link.kind or "device", link.alias)))
        raise Explained(errno.EEXIST, f"there is another {op.name} already ({what})")


def leads_elsewhere(op: AddVeth) -> Explained:
    """The refusal for a veth of ours whose other end is not where `op` wants it."""
    words = f"{op.name} is there already, but leads elsewhere than {op.peer_namespace}"
    return Explained(errno.EEXIST, words)


def peer_taken(op: AddVeth) -> Explained:
    """The refusal for a veth whose inner name belongs to another interface."""
    return Explained(errno.EEXIST, f"{op.peer} is there already in {op.peer_namespace}")
