"""The default network follows the configuration as far as nobody is hurt."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from tests.networks.build import AROUND, apply, ip, route, with_connection, with_network
from volt_agent.errors import Refused
from volt_agent.model.snapshot import Snapshot
from volt_agent.networks.decide import disconnect
from volt_agent.networks.default import make_default, move_default

ELSEWHERE = replace(AROUND, default_subnet=IPv4Network("10.77.0.0/24"), default_mtu=1400)


def made() -> Snapshot:
    return apply(Snapshot(), make_default(Snapshot(), AROUND))


def test_it_is_made_once() -> None:
    """From then on it is as it is, subnet included; only the MTU follows."""
    first = made()
    assert str(first.networks["volt0"].subnet) == "10.0.0.0/24"
    assert make_default(first, AROUND).is_empty
    second = apply(first, make_default(first, ELSEWHERE))
    assert second.networks["volt0"] == replace(first.networks["volt0"], mtu=1400)


def test_an_unused_one_moves() -> None:
    """Its own route is no clash, addresses that were kept are forgotten."""
    snapshot = with_connection(made(), "volt0", "web")
    snapshot = apply(snapshot, disconnect(snapshot, "web", None, 1.0))
    around = replace(
        ELSEWHERE, routes=(route("10.0.0.0/24", "volt0"), route("10.77.0.0/24", "volt0"))
    )
    moved = apply(snapshot, move_default(snapshot, around, ()))
    assert str(moved.networks["volt0"].subnet) == "10.77.0.0/24"
    assert moved.networks["volt0"].gateway == ip("10.77.0.1")
    assert not moved.reservations
    assert move_default(moved, around, ["eth1"]).is_empty


def test_one_in_use_stays() -> None:
    """Whoever is on it is named: workloads by their names, foreign ports by theirs."""
    snapshot = with_connection(made(), "volt0", "web")
    with pytest.raises(Refused, match=r"^web use it") as refused:
        move_default(snapshot, ELSEWHERE, ["vc-web"])
    assert "--network volt0" in (refused.value.hint or "")
    with pytest.raises(Refused, match=r"^vb-guest use it"):
        move_default(made(), ELSEWHERE, ["vb-guest"])


def test_a_clash_is_named() -> None:
    """With another network, or with a route of the host."""
    with pytest.raises(Refused, match="network backend"):
        move_default(with_network(made(), "backend", "10.77.0.0/16"), ELSEWHERE, ())
    with pytest.raises(Refused, match=r"route 10\.77\.0\.0/16 on eth0"):
        move_default(made(), replace(ELSEWHERE, routes=(route("10.77.0.0/16"),)), ())
