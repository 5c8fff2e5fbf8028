"""Extended DNS errors (RFC 8914): why an answer is not what the asker hoped for."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct as Layout
from typing import Final

_OPTION: Final = Layout("!HH")
_CODE: Final = 15
# Longer text is for people who will not see it anyhow; replies have to stay small.
_TEXT_MAX = 80


class Info(IntEnum):
    """The codes that volt gives itself (RFC 8914, section 5.2)."""

    OTHER = 0
    STALE_ANSWER = 3
    CACHED_ERROR = 13
    NOT_READY = 14
    BLOCKED = 15
    PROHIBITED = 18
    STALE_NXDOMAIN = 19
    NO_REACHABLE_AUTHORITY = 22
    NETWORK_ERROR = 23


def option(code: int, text: str = "") -> bytes:
    """The EDNS option that says so; `text` is for people."""
    octets = text.encode()[:_TEXT_MAX]
    return _OPTION.pack(_CODE, 2 + len(octets)) + code.to_bytes(2, "big") + octets


def code_in(options: bytes) -> int | None:
    """The first error that the options of an upstream server's OPT record tell, if they do."""
    at = 0
    while at + _OPTION.size <= len(options):
        kind, length = _OPTION.unpack_from(options, at)
        at += _OPTION.size
        if kind == _CODE and length >= 2 and at + 2 <= len(options):
            return int.from_bytes(options[at : at + 2], "big")
        at += length
    return None
