"""Single packets that no program sends on demand: which default decides about them.

What IP itself needs gets into a host that denies, also where conntrack can relate it to nothing;
what belongs to no connection does not get out of a workload.
"""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from tests.firewall import frames
from tests.firewall.frames import (
    BROADCAST,
    ZERO,
    Wire,
    arp,
    ethernet,
    icmp,
    icmp6,
    ipv4,
    tcp,
    token,
    udp,
    udp6,
)
from tests.firewall.lab import APP, GUEST, GUEST_ADDRESS, SNAPSHOT, WEB, Lab, mac_of
from volt_agent.model.snapshot import Change

pytestmark = pytest.mark.kernel

ROUTED = {
    "host-closed",
    "host-from-workload",
    "between-networks",
    "foreign-source",
    "mid-stream",
    "untrackable",
    "ipv6",
    "workload-from-outside",
}
HOST, OUTSIDE, OTHER = "192.0.2.1", "192.0.2.2", "203.0.113.9"
HOST6, ROUTER6, GROUP6 = "2001:db8::1", "fe80::99", "ff02::1"
DATA = b"\0" * 40
SYN, RST, ACK = 0x02, 0x04, 0x10


def hardware_address(lab: Lab, namespace: str, interface: str) -> str:
    (link,) = json.loads(lab.sh(namespace, "ip", "-j", "link", "show", interface))
    address: str = link["address"]
    return address


def link_local(lab: Lab) -> str:
    shown = lab.sh("host", "ip", "-j", "-6", "address", "show", "eth0", "scope", "link")
    entries = [each for link in json.loads(shown) for each in link.get("addr_info", ())]
    (address,) = (each["local"] for each in entries if "local" in each)
    return str(address)


def dropped_as(lab: Lab, source: tuple[str, str], arrives: tuple[str, str], frame: bytes) -> set:  # type: ignore[type-arg]
    """The counters that counted `frame`; empty if it got through.

    `source` and `arrives` are (namespace, interface): the frame is put on the one, and once another
    has come to the other after it, it has been decided about.
    """
    with (
        Wire(lab.path(source[0]), source[1]) as wire,
        Wire(lab.path(arrives[0]), arrives[1]) as end,
    ):
        before = lab.drops()
        wire.send(frame)
        last = token()
        wire.send(address_probe(frame[6:12].hex(":"), last))
        end.sees(last)
        after = lab.drops()
    return {name for name in ROUTED if after[name] > before[name]}


def address_probe(mac: str, data: bytes) -> bytes:
    """What every port may send (RFC 5227)."""
    return ethernet(BROADCAST, mac, frames.ARP, arp(1, (mac, ZERO), (BROADCAST, ZERO), data))


# ---- to a host that denies ----------------------------------------------------------------------

IP_NEEDS = {
    "destination unreachable": icmp(OTHER, HOST, 3, DATA),
    "time exceeded": icmp(OTHER, HOST, 11, DATA),
    "parameter problem": icmp(OTHER, HOST, 12, DATA),
    "group membership query": ipv4(OUTSIDE, "224.0.0.1", frames.IGMP, b"\x11\x64\xee\x9b\0\0\0\0"),
    "answer to a DHCP client": udp(OUTSIDE, "255.255.255.255", (67, 68), DATA),
}
IP6_NEEDS = {
    "destination unreachable": icmp6("2001:db8:9::9", HOST6, 1, DATA),
    "packet too big": icmp6("2001:db8:9::9", HOST6, 2, DATA),
    "time exceeded": icmp6("2001:db8:9::9", HOST6, 3, DATA),
    "parameter problem": icmp6("2001:db8:9::9", HOST6, 4, DATA),
    "router solicitation": icmp6(ROUTER6, GROUP6, 133, DATA),
    "router advertisement": icmp6(ROUTER6, GROUP6, 134, DATA),
    "neighbour solicitation": icmp6(ROUTER6, HOST6, 135, DATA),
    "neighbour advertisement": icmp6(ROUTER6, GROUP6, 136, DATA),
    "redirect": icmp6(ROUTER6, HOST6, 137, DATA),
    "listener query": icmp6(ROUTER6, GROUP6, 130, DATA),
    "listener report": icmp6(ROUTER6, GROUP6, 131, DATA),
    "listener done": icmp6(ROUTER6, GROUP6, 132, DATA),
    "listener report, version 2": icmp6(ROUTER6, GROUP6, 143, DATA),
}
OTHERS = {
    "timestamp request": icmp(OTHER, HOST, 13, DATA),
    "echo request": icmp(OTHER, HOST, 8, DATA),
    "from the port of a DHCP server": udp(OUTSIDE, HOST, (67, 69), DATA),
    "a protocol nobody asked for": ipv4(OUTSIDE, HOST, 47, DATA),
    "TCP out of nowhere": tcp(OUTSIDE, HOST, (80, 40000), ACK, DATA),
}
OTHERS6 = {
    "echo request": icmp6("2001:db8:9::9", HOST6, 128, DATA),
    "DHCPv6 to a global address": udp6("2001:db8:9::9", HOST6, (547, 546), DATA),
}
TO_HOST = [
    (name, kind, packet, accepted)
    for kind, accepted, packets in (
        (frames.IP, True, IP_NEEDS),
        (frames.IP6, True, IP6_NEEDS),
        (frames.IP, False, OTHERS),
        (frames.IP6, False, OTHERS6),
    )
    for name, packet in packets.items()
]


@pytest.mark.parametrize(
    ("kind", "packet", "accepted"),
    [case[1:] for case in TO_HOST],
    ids=[f"{case[0]}-{case[1]:04x}" for case in TO_HOST],
)
def test_denying_host_takes_what_ip_needs(
    lab: Lab, kind: int, packet: bytes, accepted: bool
) -> None:
    """And counts everything else as closed."""
    lab.load(SNAPSHOT)
    frame = ethernet(hardware_address(lab, "host", "eth0"), "02:00:00:00:00:77", kind, packet)
    drops = dropped_as(lab, ("outside", "eth0"), ("host", "eth0"), frame)
    assert drops == (set() if accepted else {"host-closed"})


def test_denying_host_takes_answers_to_its_dhcpv6_client(lab: Lab) -> None:
    """They come to its link-local address (RFC 8415, section 7.2)."""
    lab.load(SNAPSHOT)
    packet = udp6(ROUTER6, link_local(lab), (40000, 546), DATA)
    target = hardware_address(lab, "host", "eth0")
    frame = ethernet(target, "02:00:00:00:00:77", frames.IP6, packet)
    assert dropped_as(lab, ("outside", "eth0"), ("host", "eth0"), frame) == set()


# ---- from a workload to the host ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "counters"),
    [
        (udp("10.0.0.5", "10.0.0.1", (68, 67), DATA), set()),
        (udp("10.0.0.5", "10.0.0.1", (67, 67), DATA), set()),
        (udp("10.0.0.5", "10.30.0.1", (68, 67), DATA), {"host-from-workload"}),
        (udp("10.0.0.5", "10.0.0.1", (40000, 67), DATA), {"host-from-workload"}),
        (udp("10.0.0.5", "10.0.0.255", (138, 138), DATA), {"host-from-workload"}),
        (udp("10.30.0.5", "10.0.0.1", (40000, 53), DATA), {"foreign-source"}),
        (tcp("10.0.0.5", "10.0.0.1", (40000, 53), SYN | RST, DATA), {"untrackable"}),
    ],
    ids=[
        "renew",
        "relay",
        "DHCP of another network",
        "not a client",
        "broadcast",
        "DNS with the source of another network",
        "invalid TCP",
    ],
)
def test_workload_to_host(lab: Lab, packet: bytes, counters: set[str]) -> None:
    """DHCP with a lease, or of a relay (without port security); nothing by a false name."""
    lab.load(SNAPSHOT)
    lab.change(replace(WEB, port_security=False))
    frame = ethernet(hardware_address(lab, "host", "volt0"), WEB.mac, frames.IP, packet)
    assert dropped_as(lab, ("web", "eth0"), ("host", "volt0"), frame) == counters


# ---- from one workload to another ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "counters"),
    [(SYN, set()), (ACK, {"mid-stream"}), (SYN | RST, {"untrackable"})],
    ids=["new", "out of nowhere", "invalid"],
)
def test_connection_between_workloads_begins_at_its_beginning(
    lab: Lab, flags: int, counters: set[str]
) -> None:
    """One that was cut does not revive with the next packet of the side that is sending."""
    lab.load(SNAPSHOT)
    packet = tcp("10.0.0.5", "10.0.0.6", (40000 + flags, 9000), flags, DATA)
    frame = ethernet(APP.mac, WEB.mac, frames.IP, packet)
    assert dropped_as(lab, ("web", "eth0"), ("app", "eth0"), frame) == counters


def test_settling_takes_running_connections_of_workloads(lab: Lab) -> None:
    """As long as conntrack does not know what runs."""
    lab.load(SNAPSHOT)
    lab.change(replace(lab.snapshot.host, settling=True))
    packet = tcp("10.0.0.5", "10.0.0.6", (41000, 9000), ACK, DATA)
    frame = ethernet(APP.mac, WEB.mac, frames.IP, packet)
    assert dropped_as(lab, ("web", "eth0"), ("app", "eth0"), frame) == set()


# ---- without a guard ----------------------------------------------------------------------------


@pytest.mark.parametrize("towards", ["neighbour", "host"])
def test_ipv6_of_a_port_without_a_guard_yet(lab: Lab, towards: str) -> None:
    """The routed table drops it too: through br_netfilter, and on its way to the host."""
    lab.load(SNAPSHOT.apply(Change(delete=(GUEST,))))
    mac = mac_of(GUEST_ADDRESS)
    target, address, seen_at = {
        "neighbour": (APP.mac, "2001:db8:1::6", ("app", "eth0")),
        "host": (hardware_address(lab, "host", "volt0"), "2001:db8:1::1", ("host", "volt0")),
    }[towards]
    packet = udp6("2001:db8:1::66", address, (40000, 53), DATA)
    frame = ethernet(target, mac, frames.IP6, packet)
    assert "ipv6" in dropped_as(lab, ("guest", "eth0"), seen_at, frame)


# ---- from outside to a workload -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "packet", "counter"),
    [
        (frames.IP, udp(OUTSIDE, "10.0.0.5", (40000, 80), DATA), "workload-from-outside"),
        (frames.IP, tcp(OUTSIDE, "10.0.0.5", (40000, 80), SYN | RST, DATA), "untrackable"),
        (frames.IP6, udp6("2001:db8::2", "2001:db8:1::5", (40000, 80), DATA), "ipv6"),
    ],
    ids=["new", "invalid", "IPv6"],
)
def test_outside_to_workload(lab: Lab, kind: int, packet: bytes, counter: str) -> None:
    """Routed by the host, if it were not for the firewall; IPv6 too."""
    lab.load(SNAPSHOT)
    lab.sh("host", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    frame = ethernet(hardware_address(lab, "host", "eth0"), "02:00:00:00:00:77", kind, packet)
    assert dropped_as(lab, ("outside", "eth0"), ("host", "eth0"), frame) == {counter}
