"""Machines on a private bus: what is reported, and what a lost bus or a liar changes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from tests.runtimes.machined_service import FakeMachined, PrivateBus
from volt_agent.bus import Bus
from volt_agent.events import InstanceStarted, InstanceStopped
from volt_agent.kernel.fake import FakeEdge
from volt_agent.kernel.ops import AddBridge
from volt_agent.model.workload import Instance
from volt_agent.runtimes.machine_bus import ADDRESS, MANAGER, SERVICE
from volt_agent.runtimes.machined import Machined

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


class Watched:
    """The runtime under test beside a machined of the test's, and what the runtime has said."""

    def __init__(self, private: PrivateBus) -> None:
        self.bus, self.machined = Bus(), FakeMachined(private.address)
        self.edge = FakeEdge(self.bus)
        self.said: list[str] = []
        self.running: dict[str, Instance] = {}
        self._news = asyncio.Event()
        self.bus.subscribe(InstanceStarted, self._started)
        self.bus.subscribe(InstanceStopped, self._stopped)
        self.runtime = Machined(self.bus, self.edge)

    def _started(self, event: InstanceStarted) -> None:
        self.running[event.instance.name] = event.instance
        self.said.append("+" + event.instance.name)
        self._news.set()

    def _stopped(self, event: InstanceStopped) -> None:
        del self.running[event.instance.name]
        self.said.append("-" + event.instance.name)
        self._news.set()

    async def until(self, *expected: str) -> None:
        try:
            async with asyncio.timeout(60):
                while self.said != list(expected):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.runtime} said {self.said}, not {expected}") from None


@asynccontextmanager
async def watching(private: PrivateBus, *machines: str) -> AsyncIterator[Watched]:
    """A runtime that has found `machines`, all of them led by this process."""
    watched = Watched(private)
    async with watched.machined.serving(), asyncio.TaskGroup() as group:
        for name in machines:
            await watched.machined.add(name, os.getpid())
        await watched.edge.start()
        await watched.runtime.start()
        task = group.create_task(watched.runtime.run())
        yield watched
        task.cancel()
        await watched.runtime.close()


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    private = PrivateBus(tmp_path)
    private.start()
    monkeypatch.setenv(ADDRESS, private.address)
    yield private
    private.stop()


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """The pid of a process in a network namespace of its own."""
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo in; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


def test_machines_come_and_go(private: PrivateBus, elsewhere: int) -> None:
    """What is there at the start, what signals tell of, and never the host itself."""

    async def run() -> None:
        async with watching(private, "web") as watched:
            assert watched.said == ["+web"]
            await watched.machined.add("db", elsewhere)
            await watched.until("+web", "+db")
            await watched.machined.remove("web")
            await watched.until("+web", "+db", "-web")
            db = watched.running["db"]
            assert (db.kind, db.runtime, db.leader) == ("container", "machined", elsewhere)
            assert db.namespace == f"/proc/{elsewhere}/ns/net"

    asyncio.run(run())


def test_a_machine_without_a_network_of_its_own_has_no_namespace(private: PrivateBus) -> None:
    """This process leads it, so its network is the agent's. A vm's leader is no way in either."""

    async def run() -> None:
        async with watching(private, "sharing") as watched:
            assert watched.running["sharing"].namespace is None
            await watched.machined.add("guest", os.getpid(), kind="vm")
            await watched.until("+sharing", "+guest")
            assert watched.running["guest"].kind == "vm"

    asyncio.run(run())


def test_a_machine_on_a_bridge_is_told_apart(private: PrivateBus, elsewhere: int) -> None:
    """nspawn names the bridge itself as the machine's interface."""

    async def run() -> None:
        async with watching(private) as watched:
            bridge = AddBridge(name="br", mac="02:00:00:00:00:01", mtu=1500, alias="")
            await watched.edge.execute([bridge])
            index = watched.edge.mirror.links["br"].index
            await watched.machined.add("bridged", elsewhere, links=[index])
            await watched.machined.add("plain", elsewhere, links=[index + 100])
            await watched.until("+bridged", "+plain")
            assert watched.running["bridged"].bridged
            assert not watched.running["plain"].bridged

    asyncio.run(run())


def test_a_new_life_under_an_old_name_is_told_apart(private: PrivateBus, elsewhere: int) -> None:
    """Another leader is another life, even if nobody told of the end of the first."""

    async def run() -> None:
        async with watching(private, "web") as watched:
            await watched.machined.add("web", elsewhere)
            await watched.until("+web", "-web", "+web")

    asyncio.run(run())


def test_a_lost_bus_ends_no_machine(private: PrivateBus) -> None:
    """They run on; what has changed meanwhile is found when the bus is back."""

    async def run() -> None:
        async with watching(private, "web", "db") as watched:
            private.stop()
            private.start()
            async with FakeMachined(private.address, db=os.getpid(), new=os.getpid()).serving():
                await watched.until("+db", "+web", "-web", "+new")

    asyncio.run(run())


def test_a_restarted_machined_is_asked_anew(private: PrivateBus) -> None:
    """Signals may have been missed while it was away."""

    async def run() -> None:
        async with watching(private, "web") as watched:
            other = FakeMachined(private.address)
            await watched.machined.leave()
            async with other.serving():
                await watched.until("+web", "-web")

    asyncio.run(run())


def test_a_forged_signal_changes_nothing(private: PrivateBus) -> None:
    """Anybody may send one; machined is asked, and knows better."""

    async def run() -> None:
        async with watching(private, "web") as watched:
            assert watched.runtime._bus is not None
            liar = await MessageBus(bus_address=private.address).connect()
            for member, name in (("MachineRemoved", "web"), ("MachineNew", "x" * 5000)):
                await liar.send(_forged(watched.runtime._bus._bus.unique_name, member, name))
            await liar.send(_forged(watched.runtime._bus._bus.unique_name, "MachineNew", 7))
            liar.disconnect()
            await liar.wait_for_disconnect()  # type: ignore[no-untyped-call]
            await watched.machined.add("db", os.getpid())
            await watched.until("+web", "+db")

    asyncio.run(run())


def _forged(destination: str | None, member: str, body: object) -> Message:
    return Message(
        message_type=MessageType.SIGNAL,
        destination=destination,
        path=MANAGER,
        interface=f"{SERVICE}.Manager",
        member=member,
        signature="s" if isinstance(body, str) else "i",
        body=[body],
    )


def test_names_that_are_no_labels_are_mapped(private: PrivateBus) -> None:
    """Web.Front becomes web-front; a label belongs to the machine that bears it."""

    async def run() -> None:
        async with watching(private, "Web.Front", "web_1") as watched:
            assert sorted(watched.running) == ["web-1", "web-front"]
            await watched.machined.add("web-1", os.getpid())
            async with asyncio.timeout(60):
                while len(watched.running) != 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert {"web-1", "web-front"} < set(watched.running)
            assert watched.said[-2] == "+web-1"

    asyncio.run(run())


def test_without_a_bus_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No crash, nothing reported, and the tries that follow are silent."""
    monkeypatch.setenv(ADDRESS, f"unix:path={tmp_path}/nobody")
    monkeypatch.setattr("volt_agent.runtimes.machined.RETRY_FIRST", 0.01)

    async def run() -> None:
        bus = Bus()
        runtime = Machined(bus, FakeEdge(bus))
        await runtime.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runtime.run(), 0.3)
        await runtime.close()

    with caplog.at_level("INFO"):
        asyncio.run(run())
    (line,) = [each.message for each in caplog.records if "machined" in each.name]
    assert line == (
        "machines of systemd-machined are not seen: no system bus (No such file or directory)"
    )
