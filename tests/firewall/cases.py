"""One attempt and what has to come of it, by real packets and in the model behind `policy test`.

All attempts of a file run at once in one state of a lab; each is then a test of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from tests.firewall.lab import Lab
from tests.support.traffic import Outcome
from volt_agent.firewall.verdict import Origin, Packet, Service, decide
from volt_agent.model.snapshot import Snapshot

SOON, PATIENT = 0.7, 3.0

HOST, OUTSIDE, OTHER, LOOPBACK = "192.0.2.1", "192.0.2.2", "172.31.0.5", "127.0.0.1"
WEB, APP, DB_, CACHE, ISO = "10.0.0.5", "10.0.0.6", "10.0.0.10", "10.30.0.5", "10.50.0.5"
GATEWAY, GATEWAY2, GATEWAY3 = "10.0.0.1", "10.30.0.1", "10.50.0.1"
ADDRESS = {"web": WEB, "app": APP, "db": DB_, "cache": CACHE, "iso": ISO}
ADDRESS |= {"host": HOST, "outside": OUTSIDE, "other": OTHER}

Protocol: TypeAlias = Literal["tcp", "udp", "ping"]
_ORIGINS: dict[str, Origin] = {"host": "host", "outside": "outside", "other": "outside"}
_SERVICES: dict[Protocol, Service] = {"tcp": "tcp", "udp": "udp", "ping": "icmp"}


class Case(Struct, frozen=True):
    """One attempt; `seen_as` None: it gets nowhere, "": it gets through, else as whom."""

    source: str
    target: str
    protocol: Protocol
    port: int
    seen_as: str | None

    def __str__(self) -> str:
        return f"{self.source} to {self.target}:{self.port} {self.protocol}"

    def check(self, outcome: Outcome) -> None:
        """The packet arrived where it should, as whom it should."""
        assert outcome.answered == (self.seen_as is not None), outcome
        if self.seen_as is None:
            assert not outcome.arrived
        elif self.seen_as:
            assert outcome.seen_as == self.seen_as

    def check_model(self, snapshot: Snapshot) -> None:
        """`policy test` answers what the kernel does."""
        packet = Packet(
            origin=_ORIGINS.get(self.source, "workload"),
            source=IPv4Address(ADDRESS[self.source]),
            destination=IPv4Address(self.target),
            protocol=_SERVICES[self.protocol],
            port=self.port,
            is_local=self.target in (HOST, LOOPBACK),
        )
        assert decide(snapshot, packet).allowed == (self.seen_as is not None)


def case(source: str, target: str, service: str, seen_as: str | None) -> Case:
    """`service`: "tcp 80", "udp 53" or "ping"."""
    protocol, _space, port = service.partition(" ")
    return Case(source, target, protocol, int(port or 0), seen_as)  # type: ignore[arg-type]


def outcomes_of(
    bed: Lab, state: Snapshot, cases: Sequence[Case], tcp: Iterable[int], udp: Iterable[int]
) -> dict[Case, Outcome]:
    """What came of all cases, in `state`, with these ports served everywhere."""
    for name in ADDRESS:
        bed.run(bed.traffic.serve(bed.path(name), tuple(tcp), tuple(udp)))
    bed.load(state)
    found = dict(zip(cases, _attempt(bed, cases, SOON), strict=True))
    missed = [each for each in cases if each.seen_as is not None and not found[each].answered]
    found.update(zip(missed, _attempt(bed, missed, PATIENT), strict=True))
    return found


def _attempt(bed: Lab, cases: Sequence[Case], within: float) -> list[Outcome]:
    attempts = [
        {
            "source": bed.path(each.source),
            "target": each.target,
            "protocol": each.protocol,
            "port": each.port,
        }
        for each in cases
    ]
    return msgspec.convert(bed.run(bed.traffic.probe(attempts, within)), list[Outcome])
