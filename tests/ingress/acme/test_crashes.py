"""An agent that is killed at any step of an order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingress.acme.fake_ca import FakeCa
from tests.ingress.acme.life import REPLY
from volt_agent.ingress.acme.ledger import FIRST_DELAY

# More than an order has.
ACTIONS_MAX = 60


class Lives:
    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.ingress.acme.life"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def live(self, ca: FakeCa, folder: Path, ahead: float = 0.0, last: int = -1) -> str:
        """One life, and its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{ca.directory} {folder} {ahead} {last}\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        assert reply.startswith(REPLY), reply
        return reply.removeprefix(REPLY).strip()

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    lives = Lives()
    yield lives
    lives.close()


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
def test_killed_at_every_step(lives: Lives, tmp_path: Path, stride: int) -> None:
    """The next agent goes on: there is one account, and no second order within the back-off; it is
    only lost where nobody can know whether the CA has it, and then tried again after it."""
    lost = []
    for last in range(0, ACTIONS_MAX, stride):
        folder = tmp_path / str(last)
        with FakeCa(lambda _host, _token: b"there") as ca:
            end = lives.live(ca, folder, last=last)
            if end != "killed":
                break
            after = lives.live(ca, folder)
            assert len(ca.keys) <= 1
            assert ca.asked["order"] <= 1
            if not after.startswith("valid"):
                assert "the agent ended while the certificate was ordered" in after
                lost.append(last)
                ca.skew = 2 * FIRST_DELAY
                after = lives.live(ca, folder, ahead=2 * FIRST_DELAY)
            assert after.startswith("valid until"), after
            assert len(ca.keys) == 1
    assert end.startswith("valid until"), "an order without a kill in it"
    assert last > 12, "it was killed at each action"
    assert len(lost) <= 3, lost
