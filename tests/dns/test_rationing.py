"""Who is answered when more questions come in than can be answered."""

from __future__ import annotations

import socket

import pytest

from volt_agent.dns import rationing
from volt_agent.dns.listener import DRAIN
from volt_agent.dns.rationing import CALM, CROWDED, PATIENCE, RATION, READ, Rationing

from .test_listener import wired
from .world import Desk, packet, run

TURNS = PATIENCE // DRAIN


def test_a_short_queue_is_never_rationed() -> None:
    """However long it goes on."""
    decision = Rationing()
    assert not any(decision.is_due(CROWDED - 1, DRAIN, turn) for turn in range(2 * TURNS))


def test_a_long_queue_is_worked_off_first() -> None:
    """What piled up in a restart is answered; what then still comes is rationed."""
    decision = Rationing()
    assert [decision.is_due(CROWDED, DRAIN, 0.0) for _ in range(TURNS)].index(True) == TURNS - 1
    assert not decision.is_due(0, DRAIN, 0.1)
    assert decision.is_due(CROWDED, DRAIN, 0.2)


def test_patience_comes_back() -> None:
    """After a while without a crowd."""
    decision = Rationing()
    for _ in range(TURNS):
        decision.is_due(CROWDED, DRAIN, 1.0)
    assert not decision.is_due(0, DRAIN, 1.1 + CALM)
    assert not decision.is_due(CROWDED, DRAIN, 1.2 + CALM)


def test_a_flood_does_not_starve_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One asker sends more than fits into a turn; the one behind him is answered in the next."""
    monkeypatch.setattr(rationing, "CROWDED", 1)
    monkeypatch.setattr(rationing, "PATIENCE", DRAIN)

    async def main() -> None:
        async with wired(Desk()) as wire:
            wire.listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            for i in range(READ):
                wire.client.send(packet("db", id=i))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("127.0.0.2", 0))
                other.sendto(packet("db"), wire.client.getpeername())
                assert wire.listener.drain()  # as if there was no crowd
                assert wire.listener.drain()
                other.settimeout(0)
                assert other.recv(100)
            counters = wire.desk.counters
            assert counters.queries == READ + 1
            # The flood's first DRAIN, its ration, and the other's one question.
            assert counters.cached + counters.local == DRAIN + RATION + 1
            assert counters.rationed == READ - DRAIN - RATION

    run(main())


def test_the_kernels_own_losses_are_told() -> None:
    """What does not even fit into the queue."""

    async def main() -> None:
        async with wired(Desk()) as wire:
            assert wire.listener.overflows == 0
            wire.listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for i in range(100):
                wire.client.send(packet("db", id=i))
            assert wire.listener.overflows > 50

    run(main())
