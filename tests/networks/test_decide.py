"""What create, delete, connect and disconnect change."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.networks.build import (
    AROUND,
    apply,
    backend,
    ip,
    route,
    running,
    with_connection,
    with_network,
)
from volt_agent.errors import Invalid, NotFound, Refused
from volt_agent.model.network import Connection
from volt_agent.model.snapshot import Change, Snapshot
from volt_agent.model.workload import Workload
from volt_agent.networks.decide import (
    BRIDGE_PORTS_MAX,
    RESERVATIONS_MAX,
    connect,
    create_network,
    delete_network,
    disconnect,
)


def test_create_makes_a_bridge_with_the_first_address() -> None:
    """`create --name backend` makes volt-backend; the gateway is the subnet's first address."""
    network = backend().networks["backend"]
    assert (network.bridge, str(network.gateway)) == ("volt-backend", "10.30.0.1")
    assert network.nat


def test_the_default_network_has_its_own_device_name() -> None:
    """Network volt0 is device volt0."""
    snapshot = with_network(Snapshot(), "volt0", "10.0.0.0/24")
    assert snapshot.networks["volt0"].bridge == "volt0"


def test_long_names_get_a_stable_interface_name_that_fits() -> None:
    """Two long names that agree in their beginning do not get one device."""
    names = ["a" * 60 + "x", "a" * 60 + "y"]
    bridges = [
        with_network(Snapshot(), name, "10.1.0.0/24").networks[name].bridge for name in names
    ]
    assert all(len(each) <= 15 for each in bridges)
    assert len(set(bridges)) == 2


def test_repeating_a_create_changes_nothing_and_a_different_one_is_refused() -> None:
    """Identical: no change. Another subnet, NAT or MTU: refused, the difference named."""
    snapshot = backend()
    assert create_network(snapshot, AROUND, "backend", "10.30.0.0/24").is_empty
    assert create_network(snapshot, AROUND, "backend").is_empty
    for asked, word in (
        ({"subnet": "10.31.0.0/24"}, "subnet"),
        ({"nat": False}, "nat"),
        ({"mtu": 9000}, "mtu"),
    ):
        with pytest.raises(Refused, match=word):
            create_network(snapshot, AROUND, "backend", **asked)


@pytest.mark.parametrize(
    "name", ["", "a b", "../x", "UPPER", "x" * 64, "-a", "a-", "a.b", "ä", "a\n"]
)
def test_names_that_are_no_labels_are_refused(name: str) -> None:
    """Network and workload names are DNS labels."""
    with pytest.raises(Invalid):
        create_network(Snapshot(), AROUND, name)
    with pytest.raises(Invalid):
        connect(backend(), "backend", name)


def test_create_keeps_off_the_host() -> None:
    """A subnet the host routes elsewhere and a device that is not volt's are refused, by name."""
    with pytest.raises(Refused, match="eth0"):
        create_network(
            Snapshot(), replace(AROUND, routes=(route("10.30.0.0/16"),)), "b", "10.30.0.0/24"
        )
    with pytest.raises(Refused, match="volt-b"):
        create_network(Snapshot(), replace(AROUND, devices={"volt-b"}), "b", "10.30.0.0/24")
    for mtu in (0, 67, 65522):
        with pytest.raises(Invalid, match="MTU"):
            create_network(Snapshot(), AROUND, "b", None, None, mtu)


def test_delete_refuses_a_network_in_use_and_the_default() -> None:
    """A deleted network takes the addresses kept on it along."""
    snapshot = backend("web")
    with pytest.raises(Refused, match="in use by web"):
        delete_network(snapshot, "backend", "volt0")
    with pytest.raises(Refused, match="default"):
        delete_network(with_network(snapshot, "volt0", "10.0.0.0/24"), "volt0", "volt0")
    with pytest.raises(NotFound):
        delete_network(snapshot, "nope", "volt0")
    snapshot = apply(snapshot, disconnect(snapshot, "web", None, 5.0))
    assert len(snapshot.reservations) == 1
    snapshot = apply(snapshot, delete_network(snapshot, "backend", "volt0"))
    assert not snapshot.networks
    assert not snapshot.reservations
    assert not snapshot.owners


def test_connect_gives_each_workload_its_own_address_mac_and_interface() -> None:
    """Addresses count up from behind the gateway; interfaces are called vc-NAME."""
    snapshot = backend("api-server", "db-primary")
    api = snapshot.connections["backend/api-server"]
    other = snapshot.connections["backend/db-primary"]
    assert (api.address, other.address) == (ip("10.30.0.2"), ip("10.30.0.3"))
    assert (api.interface, other.interface) == ("vc-api-server", "vc-db-primary")
    assert api.mac != other.mac
    assert snapshot.workloads["api-server"] == Workload(name="api-server", kind="container")


def test_an_address_comes_back_to_who_had_it() -> None:
    """Disconnect and connect again: same address, same MAC, though a lower one is free."""
    snapshot = backend("a", "b")
    before = snapshot.connections["backend/b"]
    snapshot = apply(snapshot, disconnect(snapshot, "a", None, 1.0))
    snapshot = apply(snapshot, disconnect(snapshot, "b", None, 2.0))
    snapshot = with_connection(snapshot, "backend", "b")
    after = snapshot.connections["backend/b"]
    assert (after.address, after.mac) == (before.address, before.mac)
    assert set(snapshot.reservations) == {"backend/a"}


def test_a_full_subnet_takes_the_address_that_rested_longest() -> None:
    """Never-used addresses go first, then the oldest release; then the network is full."""
    snapshot = with_network(Snapshot(), "small", "10.9.0.0/29")
    for name in "abcde":
        snapshot = with_connection(snapshot, "small", name)
    with pytest.raises(Refused, match="full"):
        connect(snapshot, "small", "f")
    snapshot = apply(snapshot, disconnect(snapshot, "d", None, 1.0))
    snapshot = apply(snapshot, disconnect(snapshot, "b", None, 2.0))
    snapshot = with_connection(snapshot, "small", "f")
    assert snapshot.connections["small/f"].address == ip("10.9.0.5")
    assert set(snapshot.reservations) == {"small/b"}


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ("10.31.0.5", Refused),
        ("10.30.0.1", Refused),
        ("10.30.0.0", Refused),
        ("10.30.0.255", Refused),
        ("10.30.0.2", Refused),
        ("10.30.0", Invalid),
        ("::1", Invalid),
    ],
)
def test_a_static_address_must_be_free_and_inside(asked: str, error: type[Exception]) -> None:
    """Outside, gateway, network, broadcast, taken, malformed."""
    with pytest.raises(error):
        connect(backend("web"), "backend", "other", asked)


def test_a_static_address_may_be_one_that_is_only_kept() -> None:
    """Whoever asks for an address by name comes before whoever may return to it."""
    snapshot = backend("a")
    snapshot = apply(snapshot, disconnect(snapshot, "a", None, 1.0))
    snapshot = with_connection(snapshot, "backend", "b", "10.30.0.2")
    assert not snapshot.reservations
    assert with_connection(snapshot, "backend", "a").connections["backend/a"].address == ip(
        "10.30.0.3"
    )


@pytest.mark.parametrize("mac", ["", "02:00:00:00:00", "01:00:00:00:00:01", "zz:00:00:00:00:01"])
def test_bad_macs_are_refused(mac: str) -> None:
    """Malformed, or a group address."""
    with pytest.raises(Invalid):
        connect(backend(), "backend", "web", mac=mac)


def test_a_taken_mac_is_refused() -> None:
    """Two ports of one bridge with one MAC cannot work."""
    snapshot = backend("web")
    mac = snapshot.connections["backend/web"].mac
    with pytest.raises(Refused, match="web"):
        connect(snapshot, "backend", "other", mac=mac.upper())


def test_repeating_a_connect_changes_nothing_and_a_different_one_is_refused() -> None:
    """Same address again: nothing. Another address or MAC: refused."""
    snapshot = backend("web")
    assert connect(snapshot, "backend", "web").is_empty
    assert connect(snapshot, "backend", "web", "10.30.0.2").is_empty
    with pytest.raises(Refused, match=r"10\.30\.0\.2"):
        connect(snapshot, "backend", "web", "10.30.0.9")
    with pytest.raises(Refused, match="MAC"):
        connect(snapshot, "backend", "web", mac="02:00:00:00:00:09")


def test_kind_vm_before_the_first_start_makes_it_a_tap() -> None:
    """The connection keeps its address; after a first start the kind is settled."""
    snapshot = backend("db")
    snapshot = apply(snapshot, connect(snapshot, "backend", "db", kind="vm"))
    connection = snapshot.connections["backend/db"]
    assert (connection.kind, connection.interface) == ("vm", "vt-db")
    assert connection.address == ip("10.30.0.2")
    assert snapshot.workloads["db"].kind == "vm"
    with pytest.raises(Refused, match="web runs as a container"):
        connect(running(backend("web"), "web"), "backend", "web", kind="vm")


def test_what_runs_settles_the_kind() -> None:
    """A namespace that was connected as a vm by mistake can be connected again as what it is."""
    snapshot = with_network(Snapshot(), "backend", "10.30.0.0/24")
    snapshot = running(apply(snapshot, connect(snapshot, "backend", "db", kind="vm")), "db")
    snapshot = apply(snapshot, disconnect(snapshot, "db", None, 1.0))
    snapshot = apply(snapshot, connect(snapshot, "backend", "db"))
    assert snapshot.connections["backend/db"].kind == "container"


def test_a_second_network_gets_another_interface() -> None:
    """vc-NAME belongs to the first connection for life; slots count up."""
    snapshot = with_network(backend("web"), "front", "10.40.0.0/24")
    snapshot = with_connection(snapshot, "front", "web")
    first, second = snapshot.connections_of["web"]
    assert (first.network, second.network) == ("backend", "front")
    assert (first.slot, second.slot) == (0, 1)
    assert first.interface == "vc-web"
    assert second.interface != first.interface
    assert len(second.interface) <= 15


def test_an_explicit_connect_replaces_an_automatic_one() -> None:
    """What joined the default network by itself leaves it when the user says where it belongs."""
    snapshot = with_network(backend(), "volt0", "10.0.0.0/24")
    snapshot = apply(snapshot, connect(snapshot, "volt0", "web", automatic=True))
    snapshot = with_connection(snapshot, "backend", "web")
    assert [each.network for each in snapshot.connections_of["web"]] == ["backend"]
    assert "volt0/web" in snapshot.reservations
    again = connect(snapshot, "backend", "web")
    assert again.is_empty


def test_an_automatic_connection_becomes_explicit_when_asked_for() -> None:
    """connect on the very network it had joined by itself: same address, no longer automatic."""
    snapshot = with_network(Snapshot(), "volt0", "10.0.0.0/24")
    snapshot = apply(snapshot, connect(snapshot, "volt0", "web", automatic=True))
    before = snapshot.connections["volt0/web"]
    snapshot = with_connection(snapshot, "volt0", "web")
    after = snapshot.connections["volt0/web"]
    assert after == replace(before, automatic=False)
    assert not snapshot.reservations


def test_disconnect_leaves_one_network_or_all() -> None:
    """Leaving the last one is remembered, so that auto_connect does not undo it."""
    snapshot = with_network(backend("web"), "front", "10.40.0.0/24")
    snapshot = with_connection(snapshot, "front", "web")
    one = apply(snapshot, disconnect(snapshot, "web", "front", 1.0))
    assert [each.network for each in one.connections_of["web"]] == ["backend"]
    assert not one.workloads["web"].detached
    none = apply(snapshot, disconnect(snapshot, "web", None, 1.0))
    assert "web" not in none.connections_of
    assert none.workloads["web"].detached
    with pytest.raises(NotFound):
        disconnect(none, "web", None, 2.0)
    with pytest.raises(NotFound):
        disconnect(none, "nobody", None, 2.0)


def test_a_bridge_takes_1024_ports() -> None:
    """The 1,025th is refused before the kernel would."""
    snapshot = with_network(Snapshot(), "big", "10.9.0.0/16")
    network = snapshot.networks["big"]
    crowd = tuple(
        Connection("big", f"w{n}", "container", network.gateway + 1 + n, f"m{n}", f"vc-w{n}", 0)
        for n in range(BRIDGE_PORTS_MAX)
    )
    with pytest.raises(Refused, match="1024"):
        connect(snapshot.apply(Change(put=crowd)), "big", "late")


def test_kept_addresses_are_bounded() -> None:
    """Workloads that never return do not fill the store: the longest gone are forgotten."""
    snapshot = with_network(Snapshot(), "big", "10.9.0.0/16")
    for number in range(RESERVATIONS_MAX + 3):
        snapshot = with_connection(snapshot, "big", f"w{number}")
        snapshot = apply(snapshot, disconnect(snapshot, f"w{number}", None, float(number)))
    assert len(snapshot.reservations) == RESERVATIONS_MAX
    assert "big/w0" not in snapshot.reservations
    assert f"big/w{RESERVATIONS_MAX + 2}" in snapshot.reservations
