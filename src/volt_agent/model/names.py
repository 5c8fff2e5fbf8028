"""Which names are allowed, and the interface names that follow from them.

Names of workloads, networks and objects are DNS labels (RFC 1123, section 2.1): lower case letters,
digits and hyphens, at most 63: each of them becomes a host name, an nftables element or both.
"""

from __future__ import annotations

import hashlib
import re

from ..errors import Invalid

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# IFNAMSIZ is 16 with the terminating zero (include/uapi/linux/if.h).
INTERFACE_NAME_MAX = 15
ALIAS_PREFIX = "volt:"
_VLAN_ALIAS = f"{ALIAS_PREFIX}vlan/"


def check_name(what: str, name: str) -> str:
    """Return `name` if it may name a `what` ("network", "workload", ...), else raise Invalid."""
    if _LABEL.fullmatch(name):
        return name
    shown = name if len(name) <= 70 else name[:67] + "..."
    raise Invalid(
        f"{what} name {shown!r} is not allowed",
        "use lower case letters, digits and hyphens, 63 at most, no hyphen at either end",
    )


def is_label(name: str) -> bool:
    """Whether `name` may name anything of volt's."""
    return _LABEL.fullmatch(name) is not None


def label_from(foreign: str) -> str:
    """The name under which volt knows a machine or port called `foreign`.

    Lower case; every run of other characters becomes one hyphen; hyphens at the ends go; cut to 63.
    An empty result becomes `x-` and a hash, so that every machine has a name.
    """
    label = re.sub(r"[^a-z0-9-]+", "-", foreign.lower()).strip("-")[:63].strip("-")
    return label or "x-" + _digest(foreign, 8)


def second_label_from(foreign: str) -> str:
    """The name of a machine whose `label_from` belongs to another one: with a hash of its own."""
    return f"{label_from(foreign)[:54].strip('-')}-{_digest(foreign, 8)}"


def bridge_interface(network: str) -> str:
    """The device of a network's bridge: `volt-NAME`, hashed where 15 characters do not suffice."""
    return _fit("volt-", network, network)


def port_interface(prefix: str, network: str, workload: str, first: bool) -> str:
    """The host's end of a connection: `vc-NAME` or `vt-NAME`.

    A workload's further connections (`first` is False) and long names get a stable hash of
    (network, workload), so that a connection keeps its interface name for life.
    """
    if first:
        return _fit(prefix, workload, f"{network}/{workload}")
    return _hashed(prefix, workload, f"{network}/{workload}")


def port_alias(network: str, workload: str) -> str:
    """The alias (IFLA_IFALIAS) by which volt recognises a port that it made."""
    return f"{ALIAS_PREFIX}{network}/{workload}"


def bridge_alias(network: str) -> str:
    """The alias (IFLA_IFALIAS) by which volt recognises a bridge that it made."""
    return ALIAS_PREFIX + network


def vlan_interface(parent: str, number: int) -> str:
    """The device of a VLAN: `PARENT.ID`, hashed where 15 characters do not suffice."""
    whole = f"{parent}.{number}"
    return whole if len(whole) <= INTERFACE_NAME_MAX else f"vlan{number}-{_digest(whole, 6)}"


def vlan_alias(parent: str, number: int) -> str:
    """The alias (IFLA_IFALIAS) by which volt recognises a VLAN that it made."""
    return f"{_VLAN_ALIAS}{parent}/{number}"


def is_vlan_alias(alias: str) -> bool:
    """Whether `alias` is that of a VLAN. None of a port or bridge is: those have one slash or none,
    and labels on both sides of it."""
    return alias.startswith(_VLAN_ALIAS) and alias.count("/") == 2


def stable_mac(*parts: str) -> str:
    """A locally administered unicast MAC (IEEE 802, the 02 bit) that follows from `parts`."""
    digest = hashlib.blake2s("/".join(parts).encode(), digest_size=5).digest()
    return ":".join(f"{octet:02x}" for octet in (2, *digest))


def _fit(prefix: str, name: str, identity: str) -> str:
    whole = prefix + name
    return whole if len(whole) <= INTERFACE_NAME_MAX else _hashed(prefix, name, identity)


def _hashed(prefix: str, name: str, identity: str) -> str:
    room = INTERFACE_NAME_MAX - len(prefix) - 7
    return f"{prefix}{name[: max(room, 0)].strip('-')}-{_digest(identity, 6)}"[:INTERFACE_NAME_MAX]


def _digest(text: str, length: int) -> str:
    # File names can bring bytes that are no UTF-8, as lone surrogates (PEP 383).
    return hashlib.blake2s(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]
