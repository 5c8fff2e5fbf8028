"""Addresses of backends outside volt: host names, looked up again whenever their time is over.

What was found last stays in use for STALE_MAX when nobody answers any more, or says that there is
no such name: health checks tell whether somebody is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    import aiodns

log = logging.getLogger(__name__)

# Seconds. A record with a TTL of 0 is not asked for at each request, one of a week not forgotten.
TTL_MIN, TTL_MAX = 5.0, 300.0
RETRY = 5.0
STALE_MAX = 3600.0
# Questions on their way at once.
AT_ONCE = 32
# Addresses of one name that are used.
ADDRESSES_MAX = 32
_TIMEOUT, _TRIES = 2.0, 2


class OutsideNames:
    """`addresses` are those known, by host name; `on_change` is called with a name after its
    addresses are others."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self.addresses: dict[str, tuple[str, ...]] = {}
        self._on_change = on_change
        self._upstreams: Sequence[str] = ()
        self._resolver: aiodns.DNSResolver | None = None
        self._wanted: frozenset[str] = frozenset()
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._news = asyncio.Event()
        self._turn = asyncio.Semaphore(AT_ONCE)

    def __repr__(self) -> str:
        return f"<OutsideNames [{len(self.addresses)} of {len(self._wanted)} known]>"

    def want(self, hosts: Collection[str]) -> None:
        """Know the addresses of exactly these names."""
        self._wanted = frozenset(hosts)
        self._news.set()

    def configure(self, upstreams: Sequence[str]) -> None:
        """Ask these servers, `ADDRESS:PORT` each; none for no outside names at all."""
        if upstreams != self._upstreams:
            self._upstreams = upstreams
            self._forget_resolver()

    async def run(self) -> None:
        """Keep the addresses up to date."""
        self._scopes.clear()
        try:
            async with anyio.create_task_group() as group:
                while True:
                    self._news.clear()
                    for host in self._scopes.keys() - self._wanted:
                        self._scopes.pop(host).cancel()
                        self.addresses.pop(host, None)
                    for host in self._wanted - self._scopes.keys():
                        self._scopes[host] = scope = anyio.CancelScope()
                        group.start_soon(self._keep, host, scope, name=f"addresses of {host}")
                    await self._news.wait()
        finally:
            self._forget_resolver()

    async def _keep(self, host: str, scope: anyio.CancelScope) -> None:
        expires = 0.0
        with scope:
            while True:
                found, seconds = await self._look_up(host)
                now = time.monotonic()
                if found:
                    expires = now + seconds + STALE_MAX
                if found or now >= expires:
                    self._take(host, found)
                await anyio.sleep(seconds)

    def _take(self, host: str, found: tuple[str, ...]) -> None:
        if found == self.addresses.get(host, ()):
            return
        self.addresses[host] = found
        log.info("a host has other addresses", extra={"fields": {"host": host, "addresses": found}})
        self._on_change(host)

    async def _look_up(self, host: str) -> tuple[tuple[str, ...], float]:
        """The IPv4 addresses of a host, sorted, none where it fails; and when to ask again."""
        async with self._turn:
            resolver = self._resolver_now()
            if resolver is None:
                return (), RETRY
            from aiodns.error import DNSError

            try:
                found = await resolver.getaddrinfo(
                    host, family=socket.AF_INET, type=socket.SOCK_STREAM
                )
            except DNSError as error:
                log.debug("%s was not found: %s", host, error)
                return (), RETRY
        ttls = [each.ttl for each in found.nodes] + [each.ttl for each in found.cnames]
        addresses = sorted({_text(each.addr[0]) for each in found.nodes})[:ADDRESSES_MAX]
        return tuple(addresses), min(max(float(min(ttls, default=0)), TTL_MIN), TTL_MAX)

    def _resolver_now(self) -> aiodns.DNSResolver | None:
        if self._resolver is None:
            self._resolver = resolver_of(self._upstreams)
        return self._resolver

    def _forget_resolver(self) -> None:
        """Its questions fail, at once: an answer must not come to a loop that is over."""
        if self._resolver is not None:
            self._resolver.cancel()
            self._resolver = None


def resolver_of(upstreams: Sequence[str]) -> aiodns.DNSResolver | None:
    """Asks `upstreams`, `ADDRESS:PORT` each; None if there are none. It is bound to the running
    loop. Only DNS: /etc/hosts is about the host itself; and no search domains: a name is meant as
    it was written."""
    if not upstreams:
        return None
    # Imported here: most agents have no backends outside.
    import aiodns
    import pycares

    with contextlib.suppress(ValueError):
        return aiodns.DNSResolver(
            nameservers=upstreams,
            timeout=_TIMEOUT,
            tries=_TRIES,
            lookups="b",
            flags=pycares.ARES_FLAG_NOSEARCH,
        )
    return None


def _text(address: str | bytes) -> str:
    # pycares returned bytes up to version 4.
    return address if isinstance(address, str) else address.decode()
