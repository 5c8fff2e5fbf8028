"""The guard of each port: what a workload may put on its bridge, with real frames.

After every frame that is in question another one follows that is in order, from the same port to
the same place: once that one is seen, the first has arrived or was dropped.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from tests.firewall import frames
from tests.firewall.frames import BROADCAST, ZERO, Wire, arp, ethernet, token, udp, udp6
from tests.firewall.lab import APP, GUEST, GUEST_ADDRESS, NETWORKS, SNAPSHOT, WEB, Lab, mac_of
from tests.support.namespaces import socket_in
from volt_agent.model.network import Connection
from volt_agent.model.snapshot import Change, Object
from volt_agent.model.workload import Port

pytestmark = pytest.mark.kernel

MINE, APPS = WEB.mac, APP.mac
STRANGE = "02:00:00:00:00:99"
GATEWAY = "10.0.0.1"
GUEST_MAC = mac_of(GUEST_ADDRESS)
PORTS = (40000, 9000)
REQUEST, REPLY = 1, 2

Frame = Callable[[bytes], bytes]
FrameFrom = Callable[[str, str, bytes], bytes]


def plain(mac: str, address: str, data: bytes) -> bytes:
    """What every port sends: a datagram to its neighbour."""
    return ethernet(APPS, mac, frames.IP, udp(address, "10.0.0.6", PORTS, data))


def discover(mac: str, _address: str, data: bytes) -> bytes:
    """A DHCP client's first words (RFC 2131, section 4.1)."""
    return ethernet(BROADCAST, mac, frames.IP, udp(ZERO, "255.255.255.255", (68, 67), data))


def probe(mac: str, address: str, data: bytes) -> bytes:
    """Does anybody have this address? (RFC 5227, section 2.1.1)"""
    return ethernet(
        BROADCAST, mac, frames.ARP, arp(REQUEST, (mac, ZERO), (BROADCAST, address), data)
    )


def announce(mac: str, address: str, data: bytes, operation: int = REPLY) -> bytes:
    """This address is at this MAC."""
    return ethernet(
        BROADCAST, mac, frames.ARP, arp(operation, (mac, address), (APPS, address), data)
    )


ALLOWED: dict[str, FrameFrom] = {
    "datagram": plain,
    "dhcp client": discover,
    "address probe": probe,
    "arp reply": announce,
    "arp request": lambda mac, address, data: announce(mac, address, data, REQUEST),
}

# What is wrong with it -> the frame, and the counter that counts it.
FALSE: dict[str, tuple[Frame, str]] = {
    "another MAC": (lambda data: plain(STRANGE, "10.0.0.5", data), "spoofed-mac"),
    "the neighbour's MAC": (lambda data: plain(APPS, "10.0.0.5", data), "spoofed-mac"),
    "a free address": (lambda data: plain(MINE, "10.0.0.99", data), "spoofed-address"),
    "the gateway's address": (lambda data: plain(MINE, GATEWAY, data), "spoofed-address"),
    "an address from elsewhere": (lambda data: plain(MINE, "8.8.8.8", data), "spoofed-address"),
    "no address, not DHCP": (lambda data: plain(MINE, ZERO, data), "spoofed-address"),
    "a DHCP server": (
        lambda data: ethernet(
            BROADCAST, MINE, frames.IP, udp("10.0.0.5", "255.255.255.255", (67, 68), data)
        ),
        "dhcp-server",
    ),
    "ARP for the gateway": (lambda data: announce(MINE, GATEWAY, data), "spoofed-arp"),
    "ARP for the neighbour": (
        lambda data: announce(MINE, "10.0.0.6", data, REQUEST),
        "spoofed-arp",
    ),
    "ARP with another MAC inside": (
        lambda data: ethernet(
            BROADCAST, MINE, frames.ARP, arp(REPLY, (STRANGE, "10.0.0.5"), (APPS, GATEWAY), data)
        ),
        "spoofed-arp",
    ),
    "ARP with no address in a reply": (lambda data: announce(MINE, ZERO, data), "spoofed-arp"),
    "IPv6": (
        lambda data: ethernet(APPS, MINE, frames.IP6, udp6("fe80::5", "fe80::6", PORTS, data)),
        "port-ipv6",
    ),
    "a VLAN tag": (
        lambda data: ethernet(
            APPS, MINE, frames.IP, udp("10.0.0.5", "10.0.0.6", PORTS, data), vlan=7
        ),
        "other-protocol",
    ),
    "IPv6 in a VLAN": (
        lambda data: ethernet(
            APPS, MINE, frames.IP6, udp6("fe80::5", "fe80::6", PORTS, data), vlan=7
        ),
        "other-protocol",
    ),
    "spanning tree": (
        # IEEE 802.1D: an LLC frame, its length in place of a type.
        lambda data: ethernet("01:80:c2:00:00:00", MINE, 60, b"\x42\x42\x03" + data),
        "other-protocol",
    ),
    "another protocol": (lambda data: ethernet(APPS, MINE, 0x88B5, data), "other-protocol"),
}
# With the neighbour's MAC, web would take over its port for every frame after it.
LIFTED = [name for name in FALSE if name != "the neighbour's MAC"]
# What passes only where the network as a whole has no port security.
OF_NO_SUBNET = {"an address from elsewhere", "no address, not DHCP"}


@pytest.fixture
def web(lab: Lab) -> Iterator[Wire]:
    with Wire(lab.path("web"), "eth0") as wire:
        yield wire


@pytest.fixture
def guest(lab: Lab) -> Iterator[Wire]:
    with Wire(lab.path("guest"), "eth0") as wire:
        yield wire


@pytest.fixture
def app(lab: Lab) -> Iterator[Wire]:
    with Wire(lab.path("app"), "eth0") as wire:
        yield wire


def passes(source: Wire, seen_at: Wire, frame: Frame, in_order: Frame) -> bool:
    """Whether `frame` gets from one to the other; `in_order` surely does."""
    questioned, last = token(), token()
    source.send(frame(questioned))
    source.send(in_order(last))
    return questioned in seen_at.sees(last)


def of(frame: FrameFrom, mac: str, address: str) -> Frame:
    return lambda data: frame(mac, address, data)


@pytest.fixture(params=["container", "vm"])
def bound(lab: Lab, request: pytest.FixtureRequest) -> Connection:
    """The connection of web in force, as a container or as a virtual machine."""
    lab.load(SNAPSHOT)
    connection = replace(WEB, kind=request.param)
    lab.change(connection)
    return connection


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.usefixtures("bound")
def test_bound_port_may(web: Wire, app: Wire, name: str) -> None:
    """Speak as itself, ask a DHCP server, and use ARP about itself."""
    frame = of(ALLOWED[name], MINE, "10.0.0.5")
    # A DHCP client speaks from no address of the subnet: it reaches the gateway only.
    reaches_neighbour = name != "dhcp client"
    assert passes(web, app, frame, of(plain, MINE, "10.0.0.5")) == reaches_neighbour


@pytest.mark.parametrize("name", FALSE)
def test_bound_port_may_not(lab: Lab, bound: Connection, web: Wire, app: Wire, name: str) -> None:
    """Speak as somebody else, be a DHCP server, or speak anything but IPv4 and ARP."""
    frame, counter = FALSE[name]
    before = lab.drops()[counter]
    assert not passes(web, app, frame, of(plain, MINE, "10.0.0.5"))
    assert lab.drops()[counter] > before


@pytest.mark.parametrize("where", ["connection", "network"])
@pytest.mark.parametrize("name", LIFTED)
def test_without_port_security_a_port_may(
    lab: Lab, web: Wire, app: Wire, name: str, where: str
) -> None:
    """Use any MAC and address, but no IPv6; on the network also addresses of no subnet.

    This is the counter-check of the tests above: the frames are right, the guard stops them.
    """
    lab.load(SNAPSHOT)
    lifted: dict[str, Object] = {
        "connection": replace(WEB, port_security=False),
        "network": replace(NETWORKS[0], port_security=False),
    }
    lab.change(lifted[where])
    frame, counter = FALSE[name]
    before = lab.drops()
    expected = name != "IPv6" and (where == "network" or name not in OF_NO_SUBNET)
    assert passes(web, app, frame, of(plain, MINE, "10.0.0.5")) == expected
    after = lab.drops()
    dropped_by = counter if name == "IPv6" else "foreign-source"
    assert (after[dropped_by] > before[dropped_by]) == (not expected)


def test_false_frames_teach_the_bridge_nothing(lab: Lab, web: Wire, app: Wire) -> None:
    """Where a MAC lives is learned behind the guard."""
    lab.load(SNAPSHOT)
    unheard_of = "02:00:00:00:00:98"
    assert not passes(web, app, of(plain, unheard_of, "10.0.0.5"), of(plain, MINE, "10.0.0.5"))
    known = lab.sh("host", "bridge", "fdb", "show", "br", "volt0")
    assert MINE in known
    assert unheard_of not in known


def test_foreign_port_learns_its_address(lab: Lab, guest: Wire, app: Wire) -> None:
    """A port that volt did not make speaks DHCP only, until its lease binds it."""
    lab.load(SNAPSHOT)
    with Wire(lab.path("host"), "volt0") as gateway:

        def may(frame: FrameFrom, mac: str = GUEST_MAC, address: str = GUEST_ADDRESS) -> bool:
            in_order = of(discover, GUEST_MAC, ZERO)
            return passes(guest, gateway, of(frame, mac, address), in_order)

        def to_gateway(mac: str, address: str, data: bytes) -> bytes:
            return ethernet(BROADCAST, mac, frames.IP, udp(address, GATEWAY, PORTS, data))

        stages: list[tuple[Port, bool, bool, bool]] = [
            # port, DHCP with another MAC, its own address, another address
            (GUEST, True, False, False),
            (replace(GUEST, mac=GUEST_MAC), False, False, False),
            (
                replace(GUEST, mac=GUEST_MAC, address=IPv4Address(GUEST_ADDRESS)),
                False,
                True,
                False,
            ),
        ]
        for port, strange_dhcp, own, other in stages:
            lab.change(port)
            assert may(discover)
            assert may(probe)
            assert may(discover, STRANGE) == strange_dhcp
            assert may(to_gateway) == own
            assert may(announce) == own
            assert may(to_gateway, GUEST_MAC, "10.0.0.67") == other
            assert may(announce, GUEST_MAC, GATEWAY) == other


@pytest.mark.parametrize("security", [True, False], ids=["bound", "lifted"])
def test_learning_port_takes_nobodys_place(
    lab: Lab, guest: Wire, app: Wire, web: Wire, security: bool
) -> None:
    """With the MAC of another it would get all that is for that one; the bridge must not learn."""
    lab.load(SNAPSHOT)
    lab.change(replace(APP, port_security=security))
    app.send(announce(APPS, "10.0.0.6", token()))
    with Wire(lab.path("host"), "volt0") as gateway:
        for frame in (discover, probe):
            assert not passes(guest, gateway, of(frame, APPS, ZERO), of(discover, GUEST_MAC, ZERO))
    last = token()
    web.send(plain(MINE, "10.0.0.5", last))
    app.sees(last)


def test_learning_port_may_use_the_mac_that_was_chosen_for_it(lab: Lab, guest: Wire) -> None:
    """`connect --mac` names it before the port is there."""
    connection = replace(APP, workload="guest", interface="vt-guest", mac=GUEST_MAC)
    lab.load(SNAPSHOT.apply(Change(delete=(APP,), put=(connection,))))
    with Wire(lab.path("host"), "volt0") as gateway:
        frame = of(discover, GUEST_MAC, ZERO)
        assert passes(guest, gateway, frame, of(discover, STRANGE, ZERO))


def test_port_without_a_guard_yet_is_held_to_its_subnet(lab: Lab, guest: Wire, app: Wire) -> None:
    """Between a foreign port's appearance and its guard it cannot speak for other networks."""
    lab.load(SNAPSHOT.apply(Change(delete=(GUEST,))))
    in_order = of(plain, GUEST_MAC, GUEST_ADDRESS)
    assert not passes(guest, app, of(plain, GUEST_MAC, "10.30.0.5"), in_order)
    assert not passes(guest, app, of(plain, GUEST_MAC, "8.8.8.8"), in_order)


def test_dhcp_reaches_the_host_and_no_other_workload(lab: Lab, web: Wire, app: Wire) -> None:
    """The host's DHCP server answers; what others would answer is none of their business."""
    lab.load(SNAPSHOT)
    with socket_in(lab.path("host"), socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 67))
        server.settimeout(60)
        question = token()
        web.send(discover(MINE, ZERO, question))
        assert server.recv(100) == question
    assert not passes(web, app, of(discover, MINE, ZERO), of(plain, MINE, "10.0.0.5"))


@pytest.mark.parametrize(("source", "target"), [("10.0.0.5", "127.0.0.1"), ("127.0.0.1", GATEWAY)])
def test_loopback_of_the_host_is_out_of_reach(
    lab: Lab, web: Wire, source: str, target: str
) -> None:
    """Although the bridge has route_localnet, as forwards of 127.0.0.1 need it.

    Port security is off: only the guard of the raw hook is between web and the host's loopback.
    """
    lab.load(SNAPSHOT)
    lab.change(replace(WEB, port_security=False))
    address = json.loads(lab.sh("host", "ip", "-j", "link", "show", "volt0"))[0]["address"]
    before = lab.drops()
    web.send(ethernet(address, MINE, frames.IP, udp(source, target, (40000, 53), token())))
    with Wire(lab.path("host"), "volt0") as gateway:
        last = token()
        web.send(probe(MINE, "10.0.0.5", last))
        gateway.sees(last)
    after = lab.drops()
    assert after["loopback-from-workload"] == before["loopback-from-workload"] + 1


@pytest.mark.parametrize("name", ["a free address", "the neighbour's MAC", "ARP for the gateway"])
def test_guard_holds_where_the_bridge_calls_no_netfilter(
    lab: Lab, bound: Connection, web: Wire, app: Wire, name: str
) -> None:
    """It is a hook of the bridge itself, and needs no br_netfilter."""
    frame, counter = FALSE[name]
    lab.sh("host", "ip", "link", "set", "volt0", "type", "bridge", "nf_call_iptables", "0")
    try:
        before = lab.drops()[counter]
        assert not passes(web, app, frame, of(plain, MINE, "10.0.0.5"))
        assert lab.drops()[counter] > before
    finally:
        lab.sh("host", "ip", "link", "set", "volt0", "type", "bridge", "nf_call_iptables", "1")
