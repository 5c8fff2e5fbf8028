"""What the registry may rely on, of the real store and of the one in memory."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from volt_agent.errors import Refused, StoreFailed
from volt_agent.model.host import HostPolicy
from volt_agent.model.network import Connection, Network, Reservation
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Instance, Workload
from volt_agent.store import MemoryStore, SqliteStore, Store

NETWORK = Network(
    name="backend",
    bridge="volt-backend",
    subnet=IPv4Network("10.30.0.0/24"),
    gateway=IPv4Address("10.30.0.1"),
    mtu=1500,
    nat=False,
)
CONNECTION = Connection(
    network="backend",
    workload="db",
    kind="vm",
    address=IPv4Address("10.30.0.2"),
    mac="02:00:00:00:00:01",
    interface="vt-db",
    slot=0,
)
RESERVATION = Reservation("backend", "old", IPv4Address("10.30.0.3"), "02:00:00:00:00:02", 1.5)
WORKLOAD = Workload(name="db", kind="vm", runtime="tap")
INSTANCE = Instance(name="db", kind="vm", runtime="tap", identity="1")

EVERYTHING = Change(put=(NETWORK, CONNECTION, RESERVATION, WORKLOAD))


@pytest.fixture(params=[SqliteStore, lambda _: MemoryStore()], ids=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    make: Callable[[Path], Store] = request.param
    return make(tmp_path / "state")


async def reopened(store: Store) -> set[Object]:
    await store.close()
    return set((await store.open()).put)


def test_a_new_store_is_empty(store: Store) -> None:
    """The first start finds nothing, at revision 0."""

    async def run() -> None:
        assert await store.open() == Change()
        assert store.revision == 0
        await store.close()

    asyncio.run(run())


def test_what_is_written_is_there_after_reopening(store: Store) -> None:
    """Every kind of desired object comes back equal, networks first."""

    async def run() -> None:
        await store.open()
        assert await store.write(EVERYTHING) == 1
        await store.close()
        assert await store.open() == EVERYTHING
        assert store.revision == 1
        await store.close()

    asyncio.run(run())


def test_deletes_go_before_puts(store: Store) -> None:
    """An object that is deleted and put in one change is there afterwards, in its new form."""

    async def run() -> None:
        await store.open()
        await store.write(EVERYTHING)
        taller = replace(NETWORK, mtu=9000)
        await store.write(Change(put=(taller,), delete=(NETWORK, CONNECTION)))
        assert await reopened(store) == {taller, RESERVATION, WORKLOAD}
        await store.close()

    asyncio.run(run())


def test_observed_objects_are_left_out(store: Store) -> None:
    """A change keeps the revision if nothing in it was asked for; of a mixed one a part is kept."""

    async def run() -> None:
        await store.open()
        assert await store.write(Change(put=(INSTANCE,), delete=(HostPolicy(),))) == 0
        assert await store.write(Change(put=(INSTANCE, WORKLOAD))) == 1
        assert await reopened(store) == {WORKLOAD}
        await store.close()

    asyncio.run(run())


def test_deleting_what_is_not_there(store: Store) -> None:
    """It succeeds and counts as a change: the registry knows what it does."""

    async def run() -> None:
        await store.open()
        assert await store.write(Change(delete=(NETWORK,))) == 1
        await store.close()

    asyncio.run(run())


def test_a_closed_store_refuses(store: Store) -> None:
    """Nothing is written before `open` or after `close`; closing twice is fine."""

    async def run() -> None:
        with pytest.raises(StoreFailed, match="closed"):
            await store.write(EVERYTHING)
        await store.open()
        await store.close()
        await store.close()
        with pytest.raises(StoreFailed, match="closed"):
            await store.write(EVERYTHING)

    asyncio.run(run())


_NAMES = st.sampled_from(["a", "b", "c"])
_OBJECTS = st.builds(Workload, name=_NAMES, kind=st.sampled_from(["container", "vm"])) | st.builds(
    Reservation,
    network=_NAMES,
    workload=_NAMES,
    address=st.ip_addresses(v=4),
    mac=st.text(max_size=5),
    released=st.floats(allow_nan=False, allow_infinity=False),
)
_CHANGES = st.builds(
    Change,
    put=st.lists(_OBJECTS, max_size=4).map(tuple),
    delete=st.lists(_OBJECTS, max_size=3).map(tuple),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_CHANGES, max_size=6))
def test_a_store_means_what_a_snapshot_means(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Change]
) -> None:
    """After any changes both stores hold exactly what the snapshot holds."""

    async def run(store: Store) -> Snapshot:
        await store.open()
        for change in changes:
            await store.write(change)
        await store.close()
        found = Snapshot().apply(await store.open())
        await store.close()
        return found

    wanted = Snapshot()
    for change in changes:
        wanted = wanted.apply(change)
    for store in (MemoryStore(), SqliteStore(tmp_path_factory.mktemp("state"))):
        found = asyncio.run(run(store))
        assert found.workloads == wanted.workloads
        assert found.reservations == wanted.reservations


def test_a_failing_memory_store_keeps_what_it_had() -> None:
    """`failure` makes writes fail as a full disk does: nothing of the change is kept."""

    async def run() -> None:
        store = MemoryStore()
        await store.open()
        await store.write(EVERYTHING)
        store.failure = StoreFailed("no space left on the disk")
        with pytest.raises(StoreFailed, match="no space"):
            await store.write(Change(delete=(NETWORK,)))
        store.failure = None
        assert await reopened(store) == set(EVERYTHING.put)
        assert store.revision == 1

    asyncio.run(run())


def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    """Only one store has a directory open, and the refusal names the process that has it."""

    async def run() -> None:
        first, second = SqliteStore(tmp_path), SqliteStore(tmp_path)
        await first.open()
        with pytest.raises(Refused, match=r"another agent \(process [0-9]+\) is using"):
            await second.open()
        await first.write(EVERYTHING)
        await first.close()
        assert await second.open() == EVERYTHING
        await second.close()

    asyncio.run(run())


def test_the_loop_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """While a write takes its time, other tasks run; a cancelled caller does not stop it."""

    async def run() -> None:
        store = SqliteStore(tmp_path)
        await store.open()
        go_on = threading.Event()
        assert store._thread is not None
        store._thread.submit(go_on.wait, 60)
        writing = asyncio.create_task(store.write(EVERYTHING))
        began = time.monotonic()
        for _ in range(100):
            await asyncio.sleep(0)
        assert time.monotonic() - began < 30
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go_on.set()
        assert await reopened(store) == set(EVERYTHING.put)
        await store.close()

    asyncio.run(run())


def test_files_are_private(tmp_path: Path) -> None:
    """The directory is made 0700 and everything in it 0600, whatever the umask."""

    async def run() -> None:
        store = SqliteStore(tmp_path / "a" / "b")
        await store.open()
        await store.write(EVERYTHING)
        modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "a/b").iterdir()}
        assert modes == dict.fromkeys(("state.db", "state.db-wal", "state.lock"), 0o600)
        assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
        await store.close()

    asyncio.run(run())
