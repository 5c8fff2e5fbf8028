"""Named namespaces come and go on the real kernel, in a folder of the test's own."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from volt_agent.bus import Bus
from volt_agent.events import InstanceStarted, InstanceStopped
from volt_agent.kernel.namespaces import identity
from volt_agent.model.names import second_label_from
from volt_agent.runtimes.netns import NamedNamespaces

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

CLONE_NEWNET, MS_BIND, MNT_DETACH = 0x40000000, 0x1000, 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount_namespace(path: Path) -> None:
    """A fresh network namespace mounted on `path`, as `ip netns add` does it."""

    def work() -> None:
        assert _libc.unshare(CLONE_NEWNET) == 0
        source = b"/proc/thread-self/ns/net"
        assert _libc.mount(source, bytes(path), b"none", MS_BIND, None) == 0

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def add(folder: Path, name: str) -> None:
    (folder / name).touch(mode=0o000)
    mount_namespace(folder / name)


def delete(folder: Path, name: str) -> None:
    _libc.umount2(bytes(folder / name), MNT_DETACH)
    (folder / name).unlink()


class Watched:
    """The runtime under test, and what it has said."""

    def __init__(self, folder: Path) -> None:
        self.bus, self.said = Bus(), list[str]()
        self.lives = list[str]()
        self._news = asyncio.Event()
        self.bus.subscribe(InstanceStarted, lambda event: self._note("+", event))
        self.bus.subscribe(InstanceStopped, lambda event: self._note("-", event))
        self.runtime = NamedNamespaces(self.bus, folder)

    def _note(self, sign: str, event: InstanceStarted | InstanceStopped) -> None:
        self.said.append(sign + event.instance.name)
        self.lives.append(event.instance.identity)
        self._news.set()

    async def until(self, *expected: str) -> None:
        async with asyncio.timeout(60):
            while self.said != list(expected):
                self._news.clear()
                await self._news.wait()

    async def __aenter__(self) -> Watched:
        await self.runtime.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.runtime.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "netns"
    yield folder
    for path in folder.glob("*"):
        while _libc.umount2(bytes(path), MNT_DETACH) == 0:
            pass
        path.unlink()


def test_a_namespace_is_reported_when_it_is_mounted(folder: Path) -> None:
    """Not when the empty file appears; and its end when the file goes."""

    async def scenario() -> None:
        folder.mkdir()
        async with Watched(folder) as watched:
            (folder / "web").touch()
            await asyncio.sleep(0.05)
            assert watched.said == []
            await asyncio.to_thread(mount_namespace, folder / "web")
            await watched.until("+web")
            await asyncio.to_thread(delete, folder, "web")
            await watched.until("+web", "-web")

    asyncio.run(scenario())


def test_what_is_there_at_the_start_is_reported(folder: Path) -> None:
    """As if it had just begun."""

    async def scenario() -> None:
        folder.mkdir()
        await asyncio.to_thread(add, folder, "web")
        async with Watched(folder) as watched:
            await watched.until("+web")

    asyncio.run(scenario())


def test_the_folder_may_come_later(folder: Path) -> None:
    """/run/netns does not exist before the first `ip netns add` since boot."""

    async def scenario() -> None:
        async with Watched(folder) as watched:
            folder.mkdir()
            await asyncio.to_thread(add, folder, "web")
            await watched.until("+web")

    asyncio.run(scenario())


def test_a_new_life_under_an_old_name_is_told_apart(folder: Path) -> None:
    """Deleted and added again: a stop, and a start with another identity."""

    async def scenario() -> None:
        folder.mkdir()
        await asyncio.to_thread(add, folder, "web")
        async with Watched(folder) as watched:
            await watched.until("+web")
            keep = os.open(folder / "web", os.O_RDONLY)  # so that the inode is not used again
            await asyncio.to_thread(delete, folder, "web")
            await asyncio.to_thread(add, folder, "web")
            await watched.until("+web", "-web", "+web")
            os.close(keep)
            assert watched.lives[0] == watched.lives[1] != watched.lives[2]

    asyncio.run(scenario())


def test_names_that_are_no_labels_are_mapped(folder: Path) -> None:
    """Web.Front becomes web-front; a second one that maps to the same gets a name of its own."""

    async def scenario() -> None:
        folder.mkdir()
        for name in ("Web.Front", "web_front"):
            await asyncio.to_thread(add, folder, name)
        async with Watched(folder) as watched:
            names = [each.removeprefix("+") for each in watched.said]
            assert names[0] == "web-front"
            assert len(set(names)) == 2

    asyncio.run(scenario())


def test_a_label_belongs_to_the_namespace_that_bears_it(folder: Path) -> None:
    """After a restart `Web` does not get the name (and the address) of `web`."""

    async def scenario() -> None:
        folder.mkdir()
        for name in ("Web", "web"):
            await asyncio.to_thread(add, folder, name)
        async with Watched(folder) as watched:
            assert watched.said[0] == "+web"
            assert watched.lives[0] == identity(str(folder / "web"))

    asyncio.run(scenario())


def test_a_borrowed_label_goes_back_to_its_owner(folder: Path) -> None:
    """Web runs as web until web itself comes."""

    async def scenario() -> None:
        folder.mkdir()
        await asyncio.to_thread(add, folder, "Web")
        async with Watched(folder) as watched:
            await watched.until("+web")
            await asyncio.to_thread(add, folder, "web")
            other = "+" + second_label_from("Web")
            await watched.until("+web", "-web", "+web", other)
            assert watched.lives[2] == identity(str(folder / "web"))

    asyncio.run(scenario())


def test_names_that_map_to_one_label_are_all_told_apart(folder: Path) -> None:
    """Also those that end alike."""

    async def scenario() -> None:
        folder.mkdir()
        for name in ("x_web", "x__web", "x._web", "_" * 200 + "x_web"):
            await asyncio.to_thread(add, folder, name)
        async with Watched(folder) as watched:
            assert len(set(watched.said)) == 4

    asyncio.run(scenario())


def test_a_name_that_is_no_text_is_a_name(folder: Path) -> None:
    """File names are bytes (PEP 383); it is the same name before and after a restart."""

    async def scenario() -> None:
        folder.mkdir()
        async with Watched(folder) as watched:
            await asyncio.to_thread(add, folder, os.fsdecode(b"\xff\xfe"))
            await asyncio.to_thread(add, folder, os.fsdecode(b"web\xff"))
            async with asyncio.timeout(60):
                while len(watched.said) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        async with Watched(folder) as again:
            assert sorted(again.said) == sorted(watched.said)

    asyncio.run(scenario())


def test_the_agents_own_namespace_is_no_workload(folder: Path) -> None:
    """An agent in `ip netns exec host` does not attach its host to itself."""

    async def scenario() -> None:
        folder.mkdir()
        (folder / "self").touch()
        source = b"/proc/self/ns/net"
        assert _libc.mount(source, bytes(folder / "self"), b"none", MS_BIND, None) == 0
        async with Watched(folder) as watched:
            assert watched.said == []

    asyncio.run(scenario())
