"""What is asked of the kernel, given what is there."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from msgspec.structs import replace

from tests.networks.build import (
    backend,
    bridge_link,
    mirror_of,
    port_link,
    with_connection,
    with_network,
)
from volt_agent.kernel.ops import (
    AddAddress,
    AddBridge,
    AddRoute,
    AddTap,
    AddVeth,
    DeleteLink,
    SetLink,
    SetNeighbour,
)
from volt_agent.kernel.state import Inside, Link, Mirror, Route
from volt_agent.networks.decide import connect
from volt_agent.networks.plan import (
    free_name_inside,
    plan_bridge,
    plan_greeting,
    plan_inside,
    plan_tap,
    plan_veth,
)

SNAPSHOT = backend("web")
BACKEND = SNAPSHOT.networks["backend"]
WEB = SNAPSHOT.connections["backend/web"]
GATEWAY = IPv4Interface("10.30.0.1/24")


def test_a_missing_bridge_is_made_addressed_and_brought_up() -> None:
    """In that order: nothing is up before it is complete."""
    ops = plan_bridge(BACKEND, Mirror(), netfilter=True)
    assert [type(op) for op in ops] == [AddBridge, AddAddress, SetLink]
    assert ops[1] == AddAddress(name="volt-backend", address=GATEWAY)
    assert ops[2] == SetLink(name="volt-backend", up=True)


def test_a_right_bridge_is_left_alone() -> None:
    """A restart changes nothing that is already right; foreign extra addresses stay."""
    mirror = mirror_of(bridge_link(BACKEND), volt_backend="10.30.0.1/24")
    assert plan_bridge(BACKEND, mirror, netfilter=True) == []
    mirror.addresses[10] |= {IPv4Interface("10.99.0.1/24")}
    assert plan_bridge(BACKEND, mirror, netfilter=True) == []


def test_whatever_is_wrong_with_a_bridge_is_mended() -> None:
    """Address gone, down, another MTU, netfilter or loopback off: each is one operation."""
    gone = mirror_of(bridge_link(BACKEND))
    assert plan_bridge(BACKEND, gone, True) == [AddAddress(name="volt-backend", address=GATEWAY)]
    for wrong, right in (
        ({"up": False}, SetLink(name="volt-backend", up=True)),
        ({"mtu": 9000}, SetLink(name="volt-backend", mtu=1500)),
        ({"netfilter": False}, SetLink(name="volt-backend", netfilter=True)),
        ({"localnet": False}, SetLink(name="volt-backend", localnet=True)),
    ):
        mirror = mirror_of(bridge_link(BACKEND, **wrong), volt_backend="10.30.0.1/24")
        assert plan_bridge(BACKEND, mirror, True) == [right]
    mirror = mirror_of(bridge_link(BACKEND, netfilter=False), volt_backend="10.30.0.1/24")
    assert plan_bridge(BACKEND, mirror, netfilter=False) == []


def test_a_hashed_bridge_bears_its_whole_name() -> None:
    """Where the interface name had to be cut, the altname has all of it."""
    network = with_network(backend(), "a-very-long-network", "10.8.0.0/24").networks[
        "a-very-long-network"
    ]
    (bridge, *_) = plan_bridge(network, Mirror(), True)
    assert isinstance(bridge, AddBridge)
    assert bridge.altname == "volt-a-very-long-network"
    (plain, *_) = plan_bridge(BACKEND, Mirror(), True)
    assert isinstance(plain, AddBridge)
    assert plain.altname is None


def test_a_container_is_attached_from_the_inside_out() -> None:
    """The host's end comes up last, when address and default route are there."""
    mirror = mirror_of(bridge_link(BACKEND))
    ops = plan_veth(WEB, SNAPSHOT, mirror, "/run/netns/web", "eth0")
    assert [type(op) for op in ops] == [
        AddVeth,
        SetLink,
        AddAddress,
        SetLink,
        AddRoute,
        SetLink,
    ]
    assert ops[-1] == SetLink(name="vc-web", up=True)
    assert all(op.namespace == "/run/netns/web" for op in ops[1:-1])
    veth = ops[0]
    assert isinstance(veth, AddVeth)
    assert (veth.master, veth.peer, veth.peer_mac) == ("volt-backend", "eth0", WEB.mac)


def test_who_asked_early_is_told_once_frames_pass() -> None:
    """Before its bridge hands on frames to a port, what waited for it would be lost."""
    greeting = [SetNeighbour(name="volt-backend", address=WEB.address, mac=WEB.mac)]
    for port, expected in (
        (port_link(WEB, carrier=False, running=False), []),
        (port_link(WEB, running=False), []),
        (port_link(WEB), greeting),
    ):
        mirror = mirror_of(bridge_link(BACKEND), port)
        assert plan_greeting(WEB, BACKEND, mirror) == expected
    assert plan_greeting(WEB, BACKEND, mirror_of(port_link(WEB))) == []


def test_an_attached_port_is_left_alone_and_an_unplugged_one_plugged_in() -> None:
    """Nothing to do; or the bridge again, as a hairpin; or up again."""
    good = mirror_of(bridge_link(BACKEND), port_link(WEB))
    assert plan_veth(WEB, SNAPSHOT, good, "/run/netns/web", "eth0") == []
    out = mirror_of(bridge_link(BACKEND), port_link(WEB, master=0, up=False))
    assert plan_veth(WEB, SNAPSHOT, out, "/run/netns/web", "eth0") == [
        SetLink(name="vc-web", master="volt-backend"),
        SetLink(name="vc-web", hairpin=True),
        SetLink(name="vc-web", up=True),
    ]
    straight = mirror_of(bridge_link(BACKEND), port_link(WEB, hairpin=False))
    assert plan_veth(WEB, SNAPSHOT, straight, "/run/netns/web", "eth0") == [
        SetLink(name="vc-web", hairpin=True)
    ]


def test_a_stranger_under_our_name_gives_way() -> None:
    """vc-NAME is ours by contract: what bears it without our alias is removed first."""
    mirror = mirror_of(bridge_link(BACKEND), port_link(WEB, alias=""))
    ops = plan_veth(WEB, SNAPSHOT, mirror, "/run/netns/web", "eth0")
    assert ops[0] == DeleteLink(name="vc-web")
    assert isinstance(ops[1], AddVeth)


def test_what_was_renamed_gives_way() -> None:
    """Rules know a port by its name: under another one it would be without its guard."""
    renamed = replace(port_link(WEB), name="eth7")
    mirror = mirror_of(bridge_link(BACKEND), renamed)
    ops = plan_veth(WEB, SNAPSHOT, mirror, "/run/netns/web", "eth0")
    assert ops[0] == DeleteLink(name="eth7")
    assert isinstance(ops[1], AddVeth)
    both = mirror_of(bridge_link(BACKEND), port_link(WEB), replace(renamed, index=99))
    gone = [DeleteLink(name="eth7")]
    assert plan_veth(WEB, SNAPSHOT, both, "/run/netns/web", "eth0") == gone
    assert plan_tap(WEB, BACKEND, both) == gone
    bridge = replace(bridge_link(BACKEND), name="br7")
    assert plan_bridge(BACKEND, mirror_of(bridge), True)[0] == DeleteLink(name="br7")


def test_only_the_first_network_with_nat_carries_the_default_route() -> None:
    """An internal network comes first here, and gives no way out."""
    snapshot = with_network(backend(), "inner", "10.50.0.0/24", nat=False)
    snapshot = with_connection(snapshot, "inner", "web")
    snapshot = with_connection(snapshot, "backend", "web")
    mirror = mirror_of(bridge_link(BACKEND))
    for network, expected in (("inner", 0), ("backend", 1)):
        connection = snapshot.connections[f"{network}/web"]
        ops = plan_veth(connection, snapshot, mirror, "/run/netns/web", "eth0")
        assert sum(isinstance(op, AddRoute) for op in ops) == expected


def inside(**changes: object) -> Inside:
    eth0 = Link(index=2, name="eth0", kind="veth", up=True, mac=WEB.mac)
    fields: dict[str, object] = {
        "links": {"lo": Link(index=1, name="lo", up=True), "eth0": eth0},
        "addresses": {"eth0": frozenset([IPv4Interface("10.30.0.2/24")])},
        "routes": (Route(IPv4Network("0.0.0.0/0"), BACKEND.gateway, "eth0"),),
    }
    return Inside(**{**fields, **changes})  # type: ignore[arg-type]


def test_what_is_missing_inside_is_put_back() -> None:
    """Nothing; the address; the route; a renamed end is still ours, a former life is not."""
    path = "/run/netns/web"
    assert plan_inside(WEB, SNAPSHOT, inside(), path) == []
    assert plan_inside(WEB, SNAPSHOT, inside(addresses={}), path) == [
        AddAddress(namespace=path, name="eth0", address=IPv4Interface("10.30.0.2/24"))
    ]
    (put_back,) = plan_inside(WEB, SNAPSHOT, inside(routes=()), path) or []
    assert isinstance(put_back, AddRoute)
    renamed = Link(index=2, name="lan", kind="veth", up=True, mac=WEB.mac)
    state = inside(links={"lan": renamed}, addresses={}, routes=())
    assert {op.name for op in plan_inside(WEB, SNAPSHOT, state, path) or []} == {"lan"}  # type: ignore[attr-defined]
    assert plan_inside(WEB, SNAPSHOT, inside(links={}), path) is None


def test_a_taken_name_inside_is_stepped_over() -> None:
    """eth0 is there already: ours is eth1."""
    assert free_name_inside(WEB, inside()) == "eth1"
    assert free_name_inside(WEB, inside(links={})) == "eth0"


def test_a_virtual_machine_gets_a_tap_before_it_runs() -> None:
    """Made up front, mended like any port."""
    snapshot = SNAPSHOT.apply(connect(SNAPSHOT, "backend", "db", kind="vm"))
    db = snapshot.connections["backend/db"]
    mirror = mirror_of(bridge_link(BACKEND))
    assert [type(op) for op in plan_tap(db, BACKEND, mirror)] == [AddTap, SetLink]
    mirror.put_link(replace(port_link(db), kind="tun", carrier=False))
    assert plan_tap(db, BACKEND, mirror) == []
