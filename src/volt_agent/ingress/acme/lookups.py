"""What public DNS says of a host: addresses, and CAA records with tree climbing.

By the servers of `network.dns.upstream`, all questions at once, and for ANSWER_WITHIN at most: an
order must not wait for a resolver that is only asked for advice.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..outside import resolver_of
from .preflight import Caa, Names, climb

if TYPE_CHECKING:
    import aiodns

ANSWER_WITHIN = 3.0
_LABELS_MAX = 10
_ADDRESSES_MAX = 32


class _Missing(Exception):
    """There is no such name."""


async def look_up(host: str, upstreams: Sequence[str]) -> Names:
    """Ask `upstreams`, `ADDRESS:PORT` each; none for nothing known."""
    # The first import takes longer than the loop may be held up.
    await asyncio.to_thread(importlib.import_module, "aiodns")
    resolver = resolver_of(upstreams)
    if resolver is None:
        return Names(addresses=None, caa=None)
    try:
        addresses, caa = await asyncio.gather(_addresses(resolver, host), _caa(resolver, host))
    except _Missing:
        return Names(exists=False, addresses=())
    finally:
        resolver.cancel()
    return Names(True, addresses, *caa)


async def _addresses(resolver: aiodns.DNSResolver, host: str) -> tuple[str, ...] | None:
    """None: not known."""
    found = await asyncio.gather(*(_ask(resolver, host, kind) for kind in ("A", "AAAA")))
    known = [each for each in found if each is not None]
    addresses = sorted({str(data.addr) for each in known for data in each})[:_ADDRESSES_MAX]
    # One of both is enough to go on with; but that there is none, both have to say.
    return tuple(addresses) if addresses or len(known) == len(found) else None


async def _caa(
    resolver: aiodns.DNSResolver, host: str
) -> tuple[tuple[Caa, ...] | None, str | None]:
    """The records closest to `host` and where they are."""
    places = climb(host)[:_LABELS_MAX]
    answers = await asyncio.gather(*(_caa_at(resolver, each) for each in places))
    for place, found in zip(places, answers, strict=True):
        if found is None:
            return None, None
        if found:
            return found, place
    return (), None


async def _caa_at(resolver: aiodns.DNSResolver, place: str) -> tuple[Caa, ...] | None:
    try:
        found = await _ask(resolver, place, "CAA")
    except _Missing:
        return ()
    if found is None:
        return None
    return tuple(Caa(int(each.critical), _text(each.tag), _text(each.value)) for each in found)


async def _ask(resolver: aiodns.DNSResolver, name: str, kind: str) -> list[Any] | None:
    """The data of the records; None if nobody answers, or not sensibly. Raises _Missing."""
    from aiodns.error import ARES_ENODATA, ARES_ENOTFOUND, DNSError

    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            result = await resolver.query_dns(name, kind)
    except TimeoutError:
        return None
    except DNSError as error:
        code = error.args[0] if error.args else None
        if code == ARES_ENOTFOUND:
            raise _Missing from None
        return [] if code == ARES_ENODATA else None
    with contextlib.suppress(AttributeError):
        return [each.data for each in result.answer if hasattr(each.data, _FIELD[kind])]
    return None


_FIELD = {"A": "addr", "AAAA": "addr", "CAA": "tag"}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("ascii", "replace")
