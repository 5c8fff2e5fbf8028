"""`volt` in this process, against a real control server with handlers that answer from memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
from msgspec import Struct

from tests.control.rig import Rig
from volt_agent.cli import main


class Result(Struct, frozen=True):
    """What a command line gave."""

    status: int
    out: str
    err: str


Volt = Callable[..., Result]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A control server that every `volt` of the test finds."""
    with Rig() as rig:
        monkeypatch.setenv("VOLT_SOCKET", rig.path)
        yield rig


@pytest.fixture
def volt(capsys: pytest.CaptureFixture[str]) -> Iterator[Volt]:
    """Run a command line in this process."""

    def run(*args: str) -> Result:
        capsys.readouterr()
        status = main(args)
        out, err = capsys.readouterr()
        return Result(status, out, err)

    yield run
    # main() stops the collector for the rest of what it takes for a short-lived process.
    gc.unfreeze()
    gc.enable()
