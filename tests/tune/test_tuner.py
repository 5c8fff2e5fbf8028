"""The tuner on the fake kernel: all or nothing, and the way back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from volt_agent.bus import Bus
from volt_agent.errors import Failed, StoreFailed, VoltError
from volt_agent.kernel.fake import FakeEdge
from volt_agent.model.host import TunedSetting
from volt_agent.model.snapshot import Change
from volt_agent.registry import Registry
from volt_agent.store import MemoryStore
from volt_agent.tune import Tuner

RMEM, WMEM = "net.core.rmem_max", "net.core.wmem_max"


class _Host:
    """A fake host with two buffer sizes, and a tuner on it."""

    def __init__(self, folder: Path, store: MemoryStore | None = None) -> None:
        self.path = folder / "sysctl.d" / "90-volt.conf"
        self.edge = FakeEdge(Bus())
        self.settings = self.edge.kernel.own.settings
        self.settings |= {"net/core/rmem_max": "1000", "net/core/wmem_max": "2000"}
        self.registry = Registry(store or MemoryStore())
        self.tuner = Tuner(self.registry, self.edge, self.path)
        asyncio.run(self.registry.open())

    @property
    def values(self) -> tuple[str, str]:
        return self.settings["net/core/rmem_max"], self.settings["net/core/wmem_max"]


class _FullStore(MemoryStore):
    async def write(self, change: Change) -> int:
        raise StoreFailed("no space left")


def test_both_buffers_are_set_and_kept(tmp_path: Path) -> None:
    """And given back one by one; the first value is the one to go back to."""
    host = _Host(tmp_path)

    async def scenario() -> None:
        await host.tuner.set({RMEM: "16777216", WMEM: "16777216"})
        await host.tuner.set({RMEM: "4096"})
        assert host.values == ("4096", "16777216")
        assert host.path.read_text().splitlines()[1:] == [f"{RMEM} = 4096", f"{WMEM} = 16777216"]
        assert host.path.stat().st_mode & 0o777 == 0o644
        assert (await host.tuner.reset(RMEM)).value == "1000"
        assert (await host.tuner.reset(WMEM)).value == "2000"

    asyncio.run(scenario())
    assert [*host.path.parent.iterdir()] == []
    assert host.registry.snapshot.tuned == {}


def test_the_second_fails_and_the_first_goes_back(tmp_path: Path) -> None:
    """A setting that is not there, found before anything is written; one that is refused, after."""
    host = _Host(tmp_path)

    async def scenario() -> None:
        with pytest.raises(VoltError, match=r"no setting net\.core\.none"):
            await host.tuner.set({RMEM: "1", "net.core.none": "2"})
        assert host.values == ("1000", "2000")
        with pytest.raises(VoltError, match="printable"):
            await host.tuner.set({RMEM: "1", WMEM: "é"})

    asyncio.run(scenario())
    assert host.values == ("1000", "2000")
    assert not host.path.exists()


def test_a_store_that_refuses_undoes_file_and_kernel(tmp_path: Path) -> None:
    """Nothing is set that would be forgotten."""
    host = _Host(tmp_path, _FullStore())
    with pytest.raises(StoreFailed):
        asyncio.run(host.tuner.set({RMEM: "1"}))
    assert host.values == ("1000", "2000")
    assert not host.path.exists()


def test_a_file_that_cannot_be_written_undoes_the_kernel(tmp_path: Path) -> None:
    """Where a file is in the place of the directory."""
    host = _Host(tmp_path)
    host.path.parent.write_text("")
    with pytest.raises(Failed, match="cannot write"):
        asyncio.run(host.tuner.set({RMEM: "1"}))
    assert host.values == ("1000", "2000")


def test_runtime_settings_of_an_earlier_boot_are_forgotten(tmp_path: Path) -> None:
    """The kernel has its own value again: that is the one to go back to now."""
    host = _Host(tmp_path)
    old = TunedSetting(name=RMEM, former="7", boot="an earlier one")

    async def scenario() -> None:
        await host.registry.commit(lambda now: Change(put=(old,)))
        assert await host.tuner.tuned() == []
        (found,) = await host.tuner.set({RMEM: "1"}, runtime=True)
        assert found.tuned is not None
        assert found.tuned.former == "1000"

    asyncio.run(scenario())
    assert not host.path.exists()
