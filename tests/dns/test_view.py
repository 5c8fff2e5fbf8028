"""Who sees which networks, and when that is worked out again."""

from __future__ import annotations

from ipaddress import IPv4Address
from socket import inet_aton

import pytest

from volt_agent.dns.view import ASKERS_LIMIT, Sight, Subnets, Views, sight_of
from volt_agent.model.network import Network, Reservation
from volt_agent.model.snapshot import Change, Object, Snapshot

from .world import BACKEND, FRONTEND, INTERNAL, WORLD, attached, connection, network, port

SUBNETS = Subnets(WORLD.networks.values())


@pytest.mark.parametrize(
    ("asked", "source", "networks"),
    [
        pytest.param(BACKEND, "10.30.0.5", ("backend",), id="a workload on one network"),
        pytest.param(BACKEND, "10.30.0.2", ("backend", "frontend"), id="asked network first"),
        pytest.param(FRONTEND, "10.20.0.2", ("frontend", "backend"), id="the same on the other"),
        pytest.param(BACKEND, "10.30.0.6", ("backend",), id="its port is down"),
        pytest.param(BACKEND, "10.30.0.77", ("backend",), id="nobody's address"),
        pytest.param(BACKEND, "10.20.0.2", ("backend",), id="an address of another network"),
        pytest.param(BACKEND, "10.30.0.1", None, id="the gateway: the host"),
        pytest.param(BACKEND, "10.20.0.1", None, id="another gateway: the host"),
        pytest.param(BACKEND, "192.0.2.7", None, id="an address of the host's own"),
        pytest.param(BACKEND, "127.0.0.1", None, id="loopback"),
        pytest.param(INTERNAL, "10.50.0.9", ("internal",), id="an isolated network"),
    ],
)
def test_sight(asked: Network, source: str, networks: tuple[str, ...] | None) -> None:
    """The networks of the workload that owns the address; the host sees all."""
    sight = sight_of(WORLD, SUBNETS, asked, IPv4Address(source))
    assert sight == Sight(asked.name, networks)


def test_a_reserved_address_is_nobodys() -> None:
    """Who was disconnected does not keep the sight of his other networks."""
    gone = connection("backend", "web", "10.30.0.2")
    kept = Reservation("backend", "web", gone.address, gone.mac, 0.0)
    change = Change(put=(kept,), delete=(gone, port("backend", "web", "10.30.0.2")))
    sight = sight_of(WORLD.apply(change), SUBNETS, BACKEND, gone.address)
    assert sight == Sight("backend", ("backend",))


def test_subnets_hold_their_addresses() -> None:
    """Edges included; a range is held only as a whole."""
    assert SUBNETS.holding(IPv4Address("10.30.0.0")) == BACKEND
    assert SUBNETS.holding(IPv4Address("10.30.0.255")) == BACKEND
    assert SUBNETS.holding(IPv4Address("10.30.1.0")) is None
    assert SUBNETS.holding(IPv4Address("9.0.0.1")) is None
    first = int(IPv4Address("10.30.0.0"))
    assert SUBNETS.holding_all(first, first + 255) == BACKEND
    assert SUBNETS.holding_all(first, first + 256) is None


class Witness:
    """Views that have met all the askers there are."""

    def __init__(self, snapshot: Snapshot = WORLD) -> None:
        self.snapshot = snapshot
        self.views = Views()
        self.views.start(snapshot)
        for address, owner in snapshot.owners.items():
            self.views.meet(snapshot, snapshot.networks[owner.network], address.packed)

    def known(self, where: str) -> set[str]:
        return {str(IPv4Address(each)) for each in self.views.askers(where)}

    def commit(self, *put: Object, delete: tuple[Object, ...] = ()) -> bool:
        old, change = self.snapshot, Change(put=put, delete=delete)
        self.snapshot = old.apply(change)
        return self.views.follow(old, self.snapshot, change)


def test_askers_with_the_same_sight_share_a_view() -> None:
    """So that they share the finished tails too."""
    views = Witness().views
    views.meet(WORLD, BACKEND, inet_aton("10.30.0.77"))
    assert (
        views.askers("backend")[inet_aton("10.30.0.5")]
        is views.askers("backend")[inet_aton("10.30.0.77")]
    )
    assert (
        views.askers("backend")[inet_aton("10.30.0.5")]
        is not views.askers("backend")[inet_aton("10.30.0.2")]
    )


def test_a_change_forgets_the_askers_that_it_concerns() -> None:
    """All addresses of the workload that was connected, and no other's."""
    witness = Witness()
    assert not witness.commit(connection("internal", "db", "10.50.0.5", slot=1))
    assert witness.known("backend") == {"10.30.0.2", "10.30.0.6", "10.30.0.7"}
    assert witness.known("frontend") == {"10.20.0.2"}
    found = witness.views.meet(witness.snapshot, BACKEND, inet_aton("10.30.0.5"))
    assert found.sight == Sight("backend", ("backend", "internal"))


def test_a_disconnect_forgets_its_asker() -> None:
    """The address no longer sees the other networks of the workload."""
    witness = Witness()
    gone = (connection("backend", "web", "10.30.0.2", 1), port("backend", "web", "10.30.0.2"))
    witness.commit(delete=gone)
    assert "10.30.0.2" not in witness.known("backend")
    assert "10.20.0.2" not in witness.known("frontend")


def test_the_cost_of_a_change_does_not_grow_with_the_askers() -> None:
    """With 1,000 askers as with 10, a change puts one of them in question."""
    for count in (10, 1000):
        addresses = [f"10.60.{i >> 8}.{i & 255}" for i in range(2, count + 2)]
        wide = network("wide", "10.60.0.0/16")
        put = [each for i, a in enumerate(addresses) for each in attached("wide", f"w{i}", a)]
        witness = Witness(Snapshot().apply(Change(put=(wide, *put))))
        witness.commit(port("wide", "w3", addresses[3], up=False))
        assert witness.views.forgotten == 1
        assert len(witness.known("wide")) == count - 1


def test_a_changed_network_starts_all_over() -> None:
    """Which subnets there are decides every sight; listeners keep their dictionaries."""
    witness = Witness()
    held = witness.views.askers("backend")
    assert witness.commit(network("more", "10.70.0.0/24"))
    assert held == {}
    assert witness.views.askers("backend") is held
    assert witness.views.subnets.holding(IPv4Address("10.70.0.4")) is not None


def test_views_of_a_deleted_network_go() -> None:
    """Networks that come and go leave nothing behind."""
    witness = Witness()
    for round_ in range(50):
        extra = network(f"n{round_}", "10.70.0.0/24")
        witness.commit(extra)
        witness.views.meet(witness.snapshot, extra, inet_aton("10.70.0.9"))
        witness.commit(delete=(extra,))
        witness.views.leave(extra.name)
    assert "n4" not in repr(vars(witness.views))


def test_forged_sources_fill_nothing() -> None:
    """The memory of askers is bounded."""
    witness = Witness()
    for i in range(ASKERS_LIMIT + 500):
        witness.views.meet(WORLD, BACKEND, bytes([10, 99, i >> 8, i & 255]))
    assert len(witness.known("backend")) <= ASKERS_LIMIT
