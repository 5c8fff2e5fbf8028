"""Certificates that look after themselves, with a world around them that a test makes up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anyio

from tests.ingress.acme.fake_ca import authority
from tests.ingress.authority import key_pem, pem_of
from volt_agent.config import AcmeSection
from volt_agent.events import Event
from volt_agent.ingress.acme.ledger import Record
from volt_agent.ingress.acme.manager import Certificates
from volt_agent.ingress.acme.outlook import Outlook
from volt_agent.ingress.acme.preflight import Door, Names
from volt_agent.ingress.acme.renewal import renewal_time
from volt_agent.ingress.acme.state import HostCertificate
from volt_agent.ingress.acme.storage import Storage, Stored
from volt_agent.ingress.certificate import Files

P = ParamSpec("P")
T = TypeVar("T")
WITHIN = 30.0  # seconds that anything may take
HOST = "app.example.com"


def on_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test on a loop of its own."""

    @wraps(test)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        asyncio.run(test(*arguments, **options))

    return run


class Bench:
    """`ahead` is how far the clock of this host is ahead of the real one, in seconds. `installed`
    are the certificates shown; `events` what was published."""

    def __init__(self, settings: AcmeSection, folder: Path) -> None:
        self.ahead = 0.0
        self.door, self.names = Door(80), Names(True, ("192.0.2.1",))
        self.looked_up = 0
        self.installed: dict[str, Files] = {}
        self.events: list[Event] = []
        outlook = Outlook(_at_once, self._door_now, self._look_up, frozenset)
        self.certificates = Certificates(
            settings, folder, self.events.append, self._install, outlook, self.now
        )

    def now(self) -> float:
        return time.time() + self.ahead

    def state(self, host: str = HOST) -> HostCertificate:
        return self.certificates.state(host)

    def is_under_way(self, host: str = HOST) -> bool:
        """Whether an attempt is going on, or would begin at once."""
        certificates = self.certificates
        entry = certificates._hosts[host]
        return entry.is_ordering or certificates._seconds_left(entry) <= 0

    def of(self, kind: type[T]) -> list[T]:
        """The events of one kind."""
        return [each for each in self.events if isinstance(each, kind)]

    async def until(self, condition: Callable[[], object], what: str = "it is so") -> None:
        """Wait for a condition."""
        ends = time.monotonic() + WITHIN
        while not condition():
            assert time.monotonic() < ends, f"not within {WITHIN:.0f} s: {what}; {self.events}"
            await asyncio.sleep(0.01)

    async def until_said(self, kind: type[Event]) -> None:
        """Wait for an event, and until it shows."""
        await self.until(lambda: self.of(kind), kind.__name__)
        await self.until(lambda: self.state().state != "issuing", "the attempt is over")

    async def until_state(self, state: str, *hosts: str) -> None:
        wanted = hosts or (HOST,)
        await self.until(
            lambda: all(self.state(each).state == state for each in wanted), f"it is {state}"
        )

    # ---- inside ---------------------------------------------------------------------------------

    def _install(self, host: str, files: Files | None) -> None:
        if files is None:
            self.installed.pop(host, None)
        else:
            self.installed[host] = files

    def _door_now(self, _own: Iterable[str]) -> Door:
        return self.door

    async def _look_up(self, _host: str) -> Names:
        self.looked_up += 1
        return self.names


@contextmanager
def loop_steps() -> Iterator[list[float]]:
    """The processor time (seconds) of each step that the loop does meanwhile."""
    steps, run = [0.0], asyncio.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        steps.append(time.thread_time() - began)

    asyncio.Handle._run = measured  # type: ignore[assignment, method-assign]
    try:
        yield steps
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


def store(folder: Path, directory: str, host: str = HOST, **options: Any) -> Stored:
    """A certificate from `directory` that is there already."""
    leaf, key = authority().issue(host, **options)
    chain = pem_of([leaf, authority().intermediate])
    storage = Storage(folder)
    stored = storage.save(host, chain, key_pem(key))
    renew_at = renewal_time(stored.not_before, stored.not_after, 0.5)
    storage.save_record(host, Record(directory=directory, renew_at=renew_at))
    return stored


@asynccontextmanager
async def running(
    settings: AcmeSection, folder: Path, *hosts: str, ahead: float = 0.0
) -> AsyncIterator[Bench]:
    """An agent's life as far as certificates are concerned, with these hosts wanted."""
    bench = Bench(settings, folder)
    bench.ahead = ahead
    bench.certificates.want(hosts)
    await bench.certificates.load()
    async with anyio.create_task_group() as group:
        group.start_soon(bench.certificates.run)
        yield bench
        group.cancel_scope.cancel()


async def _at_once() -> None:
    pass
