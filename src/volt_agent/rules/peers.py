"""The ends of rules and policies, as users write them: names, CIDRs, `any`, `host`, `outside`."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import (
    AddressValueError,
    IPv4Network,
    IPv6Network,
    NetmaskValueError,
)
from typing import Literal, cast

from ..errors import Invalid, NotFound
from ..model.firewall import Peer
from ..model.lookup import known_workloads, meant, shortened
from ..model.names import check_name
from ..model.snapshot import Snapshot

Word = Literal["any", "host", "outside"]


def parse_end(snapshot: Snapshot, text: str, words: Collection[Word]) -> Peer:
    """The end of a rule: one of `words`, a CIDR or address, a workload or a network.

    The words go before names. Raises Invalid for what is none of these, NotFound for a name that
    nobody has.
    """
    if text in words:
        return Peer(kind=cast("Word", text))
    if any(sign in text for sign in "./:"):
        return Peer(kind="range", name=str(_range(text)))
    return named_end(snapshot, text)


def named_end(snapshot: Snapshot, name: str) -> Peer:
    """The workload or network called `name`; the workload, if there are both. Raises NotFound."""
    check_name("workload", name)
    workloads = known_workloads(snapshot)
    if name in workloads:
        return Peer(kind="workload", name=name)
    if name in snapshot.networks:
        return Peer(kind="network", name=name)
    raise NotFound(
        f"there is no workload or network {shortened(name)}",
        meant(name, {*workloads, *snapshot.networks}),
    )


def _range(text: str) -> IPv4Network:
    shown = shortened(text)
    try:
        return IPv4Network(text)
    except (AddressValueError, NetmaskValueError):
        if _is_ipv6(text):
            raise Invalid(f"{shown} is IPv6; workloads have IPv4 only for now") from None
    except ValueError:  # host bits set
        subnet = IPv4Network(text, strict=False)
        raise Invalid(
            f"{shown} is an address inside a subnet",
            f"write {subnet} for all of it, or {text.partition('/')[0]} for the one address",
        ) from None
    raise Invalid(
        f"{shown!r} is neither an address nor a subnet", "write 10.30.0.10 or 10.30.0.0/24"
    )


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Network(text, strict=False)
    except ValueError:
        return False
    return True
