"""The keys of set elements, from nft's language to the kernel's form."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import lru_cache

_IFNAMSIZ = 16
_FAMILIES = {"ipv4": 2, "ipv6": 10}  # NFPROTO_IPV4, NFPROTO_IPV6


def key_bytes(text: str, types: str) -> bytes:
    """A key, or the data of a map, of these types ("ipv4_addr . inet_service").

    Parts of several are padded to 4 bytes each (the kernel's registers). Raises ValueError for what
    is no single value of the types, ranges among it.
    """
    try:
        fields = [form(part) for form, part in zip(_forms(types), text.split(" . "), strict=True)]
    except (KeyError, OverflowError, OSError) as error:
        raise ValueError(f"{text!r} is no {types}") from error
    return fields[0] if len(fields) == 1 else b"".join(map(_padded, fields))


@lru_cache(maxsize=256)
def _forms(types: str) -> tuple[Callable[[str], bytes], ...]:
    return tuple(_FORMS[kind] for kind in types.split(" . "))


def _interface(text: str) -> bytes:
    return text.strip('"').encode().ljust(_IFNAMSIZ, b"\0")


def _mac(text: str) -> bytes:
    value = bytes.fromhex(text.replace(":", ""))
    if len(value) != 6:
        raise ValueError(f"{text!r} is no MAC")
    return value


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) & 3)


_FORMS: dict[str, Callable[[str], bytes]] = {
    "ifname": _interface,
    "ether_addr": _mac,
    "ipv4_addr": lambda text: socket.inet_pton(socket.AF_INET, text),
    "nf_proto": lambda text: bytes((_FAMILIES[text],)),
    "inet_proto": lambda text: int(text).to_bytes(1, "big"),
    "inet_service": lambda text: int(text).to_bytes(2, "big"),
}
