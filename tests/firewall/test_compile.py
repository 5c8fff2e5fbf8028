"""What each kind of object contributes to the ruleset."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from tests.firewall.lab import GUEST, NETWORKS, SNAPSHOT, WEB
from volt_agent.errors import Invalid
from volt_agent.firewall.compile import dependents, fragment, sources
from volt_agent.firewall.quote import quoted
from volt_agent.firewall.ruleset import Element
from volt_agent.firewall.spelling import Spelling
from volt_agent.firewall.tables import FAMILY_OF_SET
from volt_agent.model.host import HostPolicy, HostPort
from volt_agent.model.network import Network, Reservation
from volt_agent.model.snapshot import Change, Object, Snapshot
from volt_agent.model.workload import Instance, Port, Workload

DEFAULT, BACKEND, INTERNAL = NETWORKS


def elements(each: Object, snapshot: Snapshot = SNAPSHOT) -> dict[str, list[str]]:
    """The fragment as set name -> keys."""
    found: dict[str, list[str]] = {}
    for element in fragment(each, Spelling(snapshot)):
        found.setdefault(element.set, []).append(element.key)
    return found


def with_put(*put: Object) -> Snapshot:
    return SNAPSHOT.apply(Change(put=put))


def test_network_with_nat() -> None:
    """A network brings its bridge, its gateway, its sources and its way out."""
    assert elements(BACKEND) == {
        "bridges": ['"volt-backend"'],
        "same-bridge": ['"volt-backend" . "volt-backend"'],
        "gateways": ["10.30.0.1"],
        "own-gateway": ['"volt-backend" . 10.30.0.1'],
        "sources": ['"volt-backend" . 10.30.0.0/24'],
        "nat-bridges": ['"volt-backend"'],
    }


def test_network_without_nat_has_no_way_out() -> None:
    """Without NAT a network differs from another in just that."""
    assert "nat-bridges" not in elements(INTERNAL)


def test_network_without_port_security_takes_any_source() -> None:
    """Nested machines may have addresses of their own."""
    assert elements(replace(BACKEND, port_security=False))["sources"] == [
        '"volt-backend" . 0.0.0.0/0'
    ]


def test_connection_is_bound_to_mac_and_address() -> None:
    """Compiled from what is desired: whether the workload runs makes no difference."""
    assert elements(WEB) == {
        "bound-ports": ['"vc-web"'],
        "taken-macs": ["02:00:0a:00:00:05"],
        "port-macs": ['"vc-web" . 02:00:0a:00:00:05'],
        "port-addresses": ['"vc-web" . 10.0.0.5'],
    }


@pytest.mark.parametrize(
    "change",
    [replace(WEB, port_security=False), replace(DEFAULT, port_security=False)],
    ids=["on the connection", "on the network"],
)
def test_port_security_off_lifts_the_guard(change: Object) -> None:
    """Off on either, the port is bound to nothing."""
    after = with_put(change)
    assert elements(after.connections[WEB.key], after) == {
        "taken-macs": ["02:00:0a:00:00:05"],
        "lifted-ports": ['"vc-web"'],
    }


def test_port_that_volt_made_is_guarded_by_its_connection() -> None:
    """Seeing it start or stop changes nothing; one whose connection is gone is bound to nothing."""
    port = Port("default", "web", WEB.interface, ifindex=1, up=True)
    assert elements(port) == {}
    assert elements(port, SNAPSHOT.apply(Change(delete=(WEB,)))) == {"bound-ports": ['"vc-web"']}


def test_foreign_port_learns_step_by_step() -> None:
    """Nothing but DHCP at first, then bound to its MAC, then to its address too."""
    assert elements(GUEST) == {"learning-ports": ['"vb-guest"']}
    with_mac = replace(GUEST, mac="02:00:0A:00:00:42")
    assert elements(with_mac) == {
        "bound-ports": ['"vb-guest"'],
        "taken-macs": ["02:00:0a:00:00:42"],
        "port-macs": ['"vb-guest" . 02:00:0a:00:00:42'],
    }
    with_lease = replace(with_mac, address=IPv4Address("10.0.0.66"))
    assert elements(with_lease)["port-addresses"] == ['"vb-guest" . 10.0.0.66']


def test_foreign_port_of_a_connected_workload_may_begin_with_its_mac() -> None:
    """The connection has a MAC, which may be the one that the port's machine was started with."""
    connection = replace(WEB, workload="guest", interface="vc-guest")
    assert elements(GUEST, with_put(connection)) == {
        "learning-ports": ['"vb-guest"'],
        "port-macs": ['"vb-guest" . 02:00:0a:00:00:05'],
    }


def test_foreign_port_follows_the_connection_of_its_workload() -> None:
    """Port security can be lifted for a workload whose port somebody else made."""
    connection = replace(WEB, workload="guest", interface="vc-guest", port_security=False)
    assert elements(GUEST, with_put(connection)) == {"lifted-ports": ['"vb-guest"']}


@pytest.mark.parametrize("name", ['vb-"', "vb-*", "vb-\\", "vb-ü", "v" * 16])
def test_foreign_port_with_an_unspeakable_name_is_left_out(name: str) -> None:
    """A name that nft would misread must not be able to block every change."""
    assert elements(replace(GUEST, interface=name)) == {}


def test_denying_host_lets_in_what_is_listed() -> None:
    """Ports, interfaces and ping of the host's policy."""
    policy = HostPolicy(
        ports=(HostPort("udp", 53, 53), HostPort("tcp", 8000, 8010)),
        interfaces=("virbr0", "tun0", "virbr0"),
        ping=True,
    )
    assert elements(policy) == {
        "host-denies": ["ipv4", "ipv6"],
        "host-pings": ["ipv4", "ipv6"],
        "host-interfaces": ['"tun0"', '"virbr0"'],
        "host-ports": ["6 . 8000-8010", "17 . 53"],
    }


@pytest.mark.parametrize(
    ("ports", "merged"),
    [
        ([(22, 22), (20, 30)], ["20-30"]),
        ([(20, 30), (25, 40)], ["20-40"]),
        ([(1, 5), (6, 9)], ["1-9"]),
        ([(1, 5), (7, 9)], ["1-5", "7-9"]),
        ([(80, 80), (80, 80)], ["80"]),
        ([(1, 65535)], ["1-65535"]),
    ],
)
def test_overlapping_ports_are_merged(ports: list[tuple[int, int]], merged: list[str]) -> None:
    """The kernel refuses overlapping ranges in one set."""
    policy = HostPolicy(ports=tuple(HostPort("tcp", *each) for each in ports))
    assert elements(policy)["host-ports"] == [f"6 . {each}" for each in merged]


def test_settling_host_denies_nothing() -> None:
    """The switch for the first seconds takes the place of the one that denies."""
    assert elements(HostPolicy(settling=True)) == {"settling": ["ipv4", "ipv6"]}
    assert elements(HostPolicy(inbound="allow")) == {}


def test_what_only_is_or_was_there_contributes_nothing() -> None:
    """Workloads, their runs and reservations are no matter of the firewall."""
    address = IPv4Address("10.0.0.9")
    for each in (
        Workload(name="web", kind="container"),
        Instance(name="web", kind="container", runtime="netns", identity="1"),
        Reservation("default", "old", address, "02:00:00:00:00:09", released=0.0),
    ):
        assert fragment(each, Spelling(SNAPSHOT)) == ()


def test_every_element_belongs_to_a_declared_set() -> None:
    """Nothing is compiled into a set that the tables do not have."""
    everything = [*dict(sources(SNAPSHOT)).values(), replace(GUEST, mac="02:00:00:00:00:01")]
    spelling = Spelling(SNAPSHOT)
    compiled = [element for each in everything for element in fragment(each, spelling)]
    assert {element.set for element in compiled} <= FAMILY_OF_SET.keys()
    assert Element("bridges", '"volt0"') in compiled


def test_dependents_of_a_network_are_its_ports() -> None:
    """Whose guards follow its port security."""
    keys = [each.key for each in dependents(DEFAULT, SNAPSHOT)]
    assert sorted(keys) == ["default/app", "default/guest", "default/web"]


def test_dependent_of_a_connection_is_the_port_of_its_workload() -> None:
    """A connection without a port of its own has none."""
    assert list(dependents(replace(WEB, workload="guest"), SNAPSHOT)) == [GUEST]
    assert list(dependents(WEB, SNAPSHOT)) == []


@pytest.mark.parametrize("name", ["", 'a"', "a b", "eth*", "a\\", "x" * 16, "ü", "a\nb"])
def test_names_that_nft_would_misread_are_refused(name: str) -> None:
    """A bridge or interface name from the configuration cannot become another rule."""
    with pytest.raises(Invalid, match="cannot be used in firewall rules"):
        quoted(name)


def test_a_bridge_with_such_a_name_is_refused() -> None:
    """The change fails as a whole, with the name in its message."""
    with pytest.raises(Invalid, match="br"):
        fragment(Network("n", 'br"', DEFAULT.subnet, DEFAULT.gateway, 1500), Spelling(SNAPSHOT))
