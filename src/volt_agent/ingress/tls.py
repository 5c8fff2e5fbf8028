"""The certificates that clients are shown, by the name that they ask for.

Files are read and checked in a worker thread, when a route comes and when they have changed. A
change that cannot be used (half written, a key that does not match yet) leaves the certificate that
was read before in use, and is reported. Connections keep the context that they began with.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from ..errors import Refused
from ..model.route import ANY_HOST, Route
from .certificate import Certificate, Files, check_host, warnings
from .tls_profile import server_context

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0  # seconds between two looks at the files: a stat of each
# What tells that a file was written, replaced, or made readable.
Mark = tuple[int, int, int, int]
Marks = tuple[Mark | None, Mark | None]


class Usable(Struct, frozen=True):
    """A certificate and how connections use it."""

    certificate: Certificate
    context: ssl.SSLContext


class Entry(Struct, frozen=True):
    """What became of a pair of files: `usable` is what was last read well, `problem` why it is not
    what is there now. `marks` are those of the last try."""

    usable: Usable | None
    problem: str | None
    marks: Marks


class Certificates:
    """See the module. All but `context_for` and `state_of` is awaited by one task at a time."""

    def __init__(self) -> None:
        self._wanted: dict[str, Files] = {}
        self._entries: dict[Files, Entry] = {}
        self._contexts: dict[bytes, ssl.SSLContext] = {}
        self._turn = asyncio.Lock()

    def context_for(self, server_name: bytes | None) -> ssl.SSLContext | None:
        """For a client that asks for `server_name` (lower case), or for none. The exact name comes
        first, then the longest wildcard, then the default route's; None if there is no certificate.
        """
        contexts = self._contexts
        name = server_name or b""
        found = contexts.get(name)
        while found is None and (dot := name.find(b".")) >= 0:
            name = name[dot + 1 :]
            found = contexts.get(b"*." + name)
        return found or contexts.get(ANY_HOST.encode())

    def state_of(self, hostname: str, now: datetime) -> str:
        """How it is with the certificate of a route's `hostname`, in words."""
        files = self._wanted.get(hostname)
        entry = self._entries.get(files) if files is not None else None
        if entry is None:
            return "missing"
        if entry.usable is None:
            return f"unusable: {entry.problem}"
        certificate = entry.usable.certificate
        word = "expired on" if certificate.not_after < now else "valid until"
        state = f"{word} {certificate.not_after:%Y-%m-%d}"
        return state if entry.problem is None else f"{state}; not replaced: {entry.problem}"

    def served(self) -> dict[str, tuple[Files, Entry]]:
        """The files for each host name, and what became of them."""
        return {
            hostname: (files, self._entries[files])
            for hostname, files in self._wanted.items()
            if files in self._entries
        }

    async def use(self, wanted: Mapping[str, Files]) -> list[str]:
        """Show these certificates from now on, by the routes' host names; returns what is wrong
        with them. Those that were in use already are not read again."""
        async with self._turn:
            self._wanted = dict(wanted)
            kept = set(wanted.values())
            self._entries = {each: entry for each, entry in self._entries.items() if each in kept}
            return await self._read(each for each in kept if each not in self._entries)

    async def reload(self) -> list[str]:
        """Read again what has changed, and what could not be used; returns what is wrong now."""
        if not self._entries:
            return []
        async with self._turn:
            looked = await asyncio.to_thread(_marks_of, tuple(self._entries))
            await self._read(
                files
                for files, marks in looked.items()
                if marks != self._entries[files].marks or self._entries[files].problem
            )
            return [each.problem for each in self._entries.values() if each.problem is not None]

    async def watch(self) -> None:
        """Look after the files for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.reload()

    async def _read(self, changed: Iterable[Files]) -> list[str]:
        for files in changed:
            known = self._entries.get(files)
            entry = await asyncio.to_thread(_try, files, known.usable if known else None)
            self._entries[files] = entry
            _report(files, known, entry)
        self._contexts = {
            hostname.encode(): entry.usable.context
            for hostname, files in self._wanted.items()
            if (entry := self._entries[files]).usable is not None
        }
        return [each.problem for each in self._entries.values() if each.problem is not None]


def manual_files(routes: Iterable[Route]) -> dict[str, Files]:
    """The files of the routes with manual certificates, by host name. Of several routes for one
    host the oldest decides: the name is all that is known when a certificate is chosen."""
    found: dict[str, Files] = {}
    for route in sorted(routes, key=lambda each: each.sequence):
        if route.tls == "manual" and route.certificate and route.private_key:
            found.setdefault(route.hostname, Files(route.certificate, route.private_key))
    return found


def automatic_hosts(routes: Iterable[Route]) -> list[str]:
    """The hosts that a certificate is to be got for: those with `--tls auto`, but for those for
    which an older route brings its own."""
    found: dict[str, Route] = {}
    for route in sorted(routes, key=lambda each: each.sequence):
        if route.tls in ("auto", "manual"):
            found.setdefault(route.hostname, route)
    return [host for host, route in found.items() if route.tls == "auto"]


def load_usable(files: Files) -> Usable:
    """Read `files` for use. Blocks for some ms; raises Refused."""
    from .pem import load

    certificate = load(files)
    try:
        return Usable(certificate, server_context(certificate))
    except ssl.SSLError as error:
        # For example a signature that is too weak.
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise Refused(f"{files.certificate} cannot be used: {reason}") from None


async def check_route(route: Route) -> list[str]:
    """Check the certificate of a route that is to be made; returns warnings. Raises Refused."""
    if route.tls != "manual" or not route.certificate or not route.private_key:
        return []
    files = Files(route.certificate, route.private_key)
    return await asyncio.to_thread(_check, files, route.hostname)


def _check(files: Files, hostname: str) -> list[str]:
    certificate = load_usable(files).certificate
    check_host(certificate, hostname, files.certificate)
    return warnings(certificate, files, datetime.now(UTC))


def _try(files: Files, former: Usable | None) -> Entry:
    """Read `files`, or say why they cannot be used and stay with `former`."""
    marks = _marks(files)  # before reading: what is written meanwhile is seen the next time
    try:
        return Entry(load_usable(files), None, marks)
    except Refused as error:
        return Entry(former, error.message, marks)


def _report(files: Files, known: Entry | None, entry: Entry) -> None:
    if entry.problem is None:
        if known is not None:
            log.info("the certificate %s was read again", files.certificate)
    elif known is None or entry.problem != known.problem:
        kept = "" if entry.usable is None else "; the one before stays in use"
        log.error("%s%s", entry.problem, kept)


def _marks_of(all_files: Iterable[Files]) -> dict[Files, Marks]:
    return {each: _marks(each) for each in all_files}


def _marks(files: Files) -> Marks:
    return _mark(files.certificate), _mark(files.private_key)


def _mark(path: str) -> Mark | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
