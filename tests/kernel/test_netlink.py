"""The netlink codec: what is encoded is what pyroute2 reads, and garbage is refused cleanly."""

from __future__ import annotations

import errno
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from tests.kernel.samples import bridge, veth
from volt_agent.kernel import bridges, conntrack, ip_messages, link_messages, netlink
from volt_agent.kernel.netlink import Malformed, Message, Request, attribute, attributes, messages
from volt_agent.kernel.state import Link

ADDRESSES = st.builds(
    lambda number, prefix: IPv4Interface((IPv4Address(number), prefix)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


def as_pyroute2_reads(kind: Any, request: Request) -> Any:
    decoded = kind(netlink.encode(request, 1))
    decoded.decode()
    return decoded


# ---- framing ------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.binary(max_size=40))),
)
def test_messages_survive_the_wire(bodies: list[tuple[int, int, bytes]]) -> None:
    """Any number of messages in a datagram comes out as it went in, padding apart."""
    datagram = b"".join(
        netlink.encode(Request(kind, flags, body), number) + b"\0" * (-len(body) & 3)
        for number, (kind, flags, body) in enumerate(bodies)
    )
    assert list(messages(datagram)) == [
        Message(kind, flags | netlink.F_ACK | netlink.F_REQUEST, number, body)
        for number, (kind, flags, body) in enumerate(bodies)
    ]


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40)))
def test_attributes_survive_the_wire(values: dict[int, bytes]) -> None:
    """By type, whatever the length of the values."""
    body = b"".join(attribute(kind, value) for kind, value in values.items())
    assert attributes(b"head" + body, 4) == values
    for kind, value in values.items():
        assert netlink.repeated(body, kind) == [value]
        assert netlink.first(body + body, kind) == value
    assert netlink.first(body, 0x4000) == b""


def assert_nothing_but_malformed(garbage: bytes) -> None:
    """No decoder raises anything else, whatever it is given."""
    decoders = (
        lambda: list(messages(garbage)),
        lambda: attributes(garbage),
        lambda: netlink.repeated(garbage, 1),
        lambda: netlink.first(garbage, 1),
        lambda: link_messages.decode_port(garbage),
        lambda: netlink.refusal(Message(netlink.ERROR, netlink.F_ACK_ATTRIBUTES, 1, garbage)),
        lambda: link_messages.decode_link(garbage),
        lambda: link_messages.link_index(garbage),
        lambda: link_messages.peer_index(garbage),
        lambda: ip_messages.decode_address(garbage),
        lambda: ip_messages.decode_route(garbage),
        lambda: ip_messages.decode_settings(garbage),
        lambda: conntrack.decode(garbage),
    )
    for decode in decoders:
        with suppress(Malformed):
            decode()


@given(st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_else(garbage: bytes) -> None:
    """Random bytes."""
    assert_nothing_but_malformed(garbage)


ATTRIBUTES = st.recursive(
    st.binary(max_size=12),
    lambda inner: st.lists(st.tuples(st.integers(0, 60), inner), max_size=4).map(
        lambda pairs: b"".join(attribute(kind, value) for kind, value in pairs)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from([0, 2, 7]),
    st.lists(st.tuples(st.integers(0, 60), ATTRIBUTES), max_size=12),
    st.integers(0, 40),
)
def test_nearly_right_messages_are_malformed_and_nothing_else(
    family: int, pairs: list[tuple[int, bytes]], cut: int
) -> None:
    """Well-formed attributes with wrong lengths inside, and messages that end too early."""
    body = b"".join(attribute(kind, value) for kind, value in pairs)
    for header in (16, 8, 12, 4):
        whole = bytes([family, 24, 0, 0]) + bytes(header - 4) + body
        assert_nothing_but_malformed(whole)
        assert_nothing_but_malformed(whole[:-cut])


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"\0" * 15, "15 bytes left"),
        (struct.pack("=IHHII", 15, 16, 0, 0, 0), "a message of 15 bytes in 16"),
        (struct.pack("=IHHII", 17, 16, 0, 0, 0), "a message of 17 bytes in 16"),
    ],
)
def test_a_broken_datagram_says_what_is_wrong(datagram: bytes, why: str) -> None:
    """In numbers, for the log."""
    with pytest.raises(Malformed, match=why):
        list(messages(datagram))


def test_a_refusal_carries_the_kernels_own_words() -> None:
    """NLMSGERR_ATTR_MSG after the header of the request that was refused."""
    body = struct.pack("=i", -errno.EEXIST) + bytes(16) + netlink.text(1, "Address is there")
    error = netlink.refusal(Message(netlink.ERROR, netlink.F_ACK_ATTRIBUTES, 1, body))
    assert error is not None
    assert (error.errno, error.strerror) == (errno.EEXIST, "Address is there")


# ---- what is said -------------------------------------------------------------------------------


def test_a_veth_request_names_both_ends() -> None:
    """As pyroute2 decodes it."""
    read = as_pyroute2_reads(ifinfmsg, link_messages.add_veth(veth("/run/netns/x"), 7, 12))
    assert read.get("IFLA_IFNAME") == "vc-1"
    assert read.get("IFLA_MASTER") == 7
    assert read.get("IFLA_ADDRESS") == "02:00:00:02:00:01"
    info = read.get("IFLA_LINKINFO")
    assert info.get("IFLA_INFO_KIND") == "veth"
    peer = info.get("IFLA_INFO_DATA").get("VETH_INFO_PEER")
    assert peer.get("IFLA_IFNAME") == "eth0"
    assert peer.get("IFLA_ADDRESS") == "02:00:00:03:00:01"
    assert peer.get("IFLA_NET_NS_FD") == 12


def test_a_changed_link_says_only_what_changes() -> None:
    """Flags are masked by `change`; absent properties are absent attributes."""
    read = as_pyroute2_reads(ifinfmsg, link_messages.set_link("eth0", mtu=1400))
    assert (read["flags"], read["change"]) == (0, 0)
    assert dict(read["attrs"]) == {"IFLA_IFNAME": "eth0", "IFLA_MTU": 1400}
    request = link_messages.set_link("eth0", up=False, master=0)
    down = as_pyroute2_reads(ifinfmsg, request)
    assert (down["flags"], down["change"]) == (0, 1)
    assert down.get("IFLA_MASTER") == 0


@given(st.integers(1, 2**31 - 1), ADDRESSES)
def test_addresses_are_those_that_pyroute2_reads(index: int, address: IPv4Interface) -> None:
    """And decoding gives back what was encoded."""
    request = ip_messages.add_address(index, address)
    read = as_pyroute2_reads(ifaddrmsg, request)
    assert (read["index"], read["prefixlen"]) == (index, address.network.prefixlen)
    assert read.get("IFA_LOCAL") == str(address.ip)
    assert ip_messages.decode_address(request.body) == (index, address)


@given(ADDRESSES, st.integers(0, 2**32 - 1), st.integers(1, 2**31 - 1))
def test_routes_are_those_that_pyroute2_reads(
    destination: IPv4Interface, gateway: int, out: int
) -> None:
    """And decoding gives back what was encoded."""
    hop = ip_messages.Hop(destination.network, IPv4Address(gateway), out)
    request = ip_messages.add_route(hop)
    read = as_pyroute2_reads(rtmsg, request)
    assert read["dst_len"] == destination.network.prefixlen
    assert read.get("RTA_GATEWAY") == str(IPv4Address(gateway))
    assert read.get("RTA_OIF") == out
    assert ip_messages.decode_route(request.body) == hop


def test_a_route_over_several_gateways_is_told_by_the_first() -> None:
    """RTA_MULTIPATH holds next hops, each with attributes of its own."""
    header = struct.pack("=BBBBBBBBI", 2, 8, 0, 0, 254, 4, 0, 1, 0)
    hops = b"".join(
        struct.pack("=HBBi", 16, 0, 0, index) + attribute(5, bytes((10, 0, 0, index)))
        for index in (3, 4)
    )
    body = header + attribute(1, bytes((10, 0, 0, 0))) + attribute(9, hops)
    assert ip_messages.decode_route(body) == ip_messages.Hop(
        IPv4Network("10.0.0.0/8"), IPv4Address("10.0.0.3"), 3
    )


def test_what_pyroute2_writes_for_bridges_we_read() -> None:
    """The two codecs meet: flags, alternative names, kind."""
    assert not link_of(bridges.add_bridge(bridge())).netfilter
    link = link_of(bridges.call_netfilter("volt-backend", True))
    assert (link.name, link.kind, link.netfilter) == ("volt-backend", "bridge", True)
    assert not link_of(bridges.call_netfilter("volt-backend", False)).netfilter
    assert link_of(bridges.add_altname("volt-backend", "x" * 100)).altnames == ("x" * 100,)


def link_of(request: Request) -> Link:
    link = link_messages.decode_link(request.body)
    assert link is not None
    return link


def test_reports_about_bridge_ports_and_wireless_events_describe_no_link() -> None:
    """A bridge says "port left" as a DELLINK of family AF_BRIDGE: the link is still there."""
    name = netlink.text(3, "eth0")
    port = struct.pack("=BxHiII", 7, 1, 5, 0, 0) + name
    assert link_messages.decode_link(port) is None
    assert link_messages.link_index(port) is None
    wireless = struct.pack("=BxHiII", 0, 1, 5, 0, 0) + name + attribute(11, b"roam")
    assert link_messages.decode_link(wireless) is None


def test_names_that_are_not_text_are_shown_escaped() -> None:
    """Interface names are bytes to the kernel; two different ones never look the same."""
    assert netlink.to_text(b"eth\xff\0rest") == "eth\\xff"
