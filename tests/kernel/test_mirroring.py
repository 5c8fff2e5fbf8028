"""Netlink messages applied to a mirror: plain values in, plain values out."""

from __future__ import annotations

import struct
from ipaddress import IPv4Interface

from hypothesis import given
from hypothesis import strategies as st

from volt_agent.kernel import ip_messages, netlink
from volt_agent.kernel.link_messages import DELETE_LINK, NEW_LINK
from volt_agent.kernel.mirroring import apply, difference, settings_changed
from volt_agent.kernel.netlink import Message
from volt_agent.kernel.state import Link, Mirror

ADDRESS = IPv4Interface("10.0.0.1/24")


def link(index: int, name: str, kind: int = NEW_LINK, family: int = 0, mtu: int = 1500) -> Message:
    header = struct.pack("=BxHiII", family, 1, index, 1, 0)
    body = header + netlink.text(3, name) + netlink.number(4, mtu)
    return Message(kind, 0, 0, body + port(mtu % 2 == 1) if family == 7 else body)


def port(hairpin: bool) -> bytes:
    """What a bridge tells of its port: IFLA_PROTINFO with IFLA_BRPORT_MODE."""
    return netlink.nested(12, netlink.attribute(1, b"\3"), netlink.attribute(4, bytes((hairpin,))))


def address(index: int, kind: int = ip_messages.NEW_ADDRESS) -> Message:
    return Message(kind, 0, 0, ip_messages.add_address(index, ADDRESS).body)


def settings(index: int) -> Message:
    body = bytes(4) + netlink.attribute(1, struct.pack("=i", index))
    return Message(ip_messages.NEW_SETTINGS, 0, 0, bytes((2,)) + body[1:])


def mirror_of(*messages: Message) -> Mirror:
    mirror = Mirror()
    apply(mirror, messages)
    return mirror


def test_links_come_change_and_go() -> None:
    """Each step names the interface it concerns; a step that changes nothing names none."""
    mirror = Mirror()
    assert apply(mirror, [link(5, "eth0")]) == {"eth0"}
    assert apply(mirror, [link(5, "eth0")]) == set()
    assert apply(mirror, [link(5, "eth0", mtu=1400)]) == {"eth0"}
    assert mirror.links["eth0"].mtu == 1400
    assert apply(mirror, [link(5, "eth0", kind=DELETE_LINK)]) == {"eth0"}
    assert not mirror.links
    assert apply(mirror, [link(5, "eth0", kind=DELETE_LINK)]) == set()


def test_a_renamed_link_concerns_both_names() -> None:
    """Whoever waits for either must hear of it."""
    mirror = mirror_of(link(5, "eth0"))
    assert apply(mirror, [link(5, "wan0")]) == {"eth0", "wan0"}
    assert set(mirror.links) == {"wan0"}


def test_two_links_may_swap_their_names() -> None:
    """In one helping, through a third name."""
    mirror = mirror_of(link(5, "a"), link(6, "b"))
    apply(mirror, [link(5, "t"), link(6, "a"), link(5, "b")])
    assert {name: each.index for name, each in mirror.links.items()} == {"a": 6, "b": 5}


def test_a_port_that_leaves_its_bridge_is_still_there() -> None:
    """The bridge's report of it (AF_BRIDGE) is a DELLINK too."""
    mirror = mirror_of(link(5, "eth0"))
    assert apply(mirror, [link(5, "eth0", kind=DELETE_LINK, family=7)]) == set()
    assert "eth0" in mirror.links


def test_a_bridge_tells_of_its_hairpins() -> None:
    """By a change of the port alone; what says nothing about it changes nothing."""
    mirror = mirror_of(link(5, "eth0"))
    assert apply(mirror, [link(5, "eth0", family=7, mtu=1501)]) == {"eth0"}
    assert mirror.links["eth0"].hairpin
    silent = Message(NEW_LINK, 0, 0, link(5, "eth0", family=7).body[:16])
    assert apply(mirror, [silent, link(6, "unknown", family=7)]) == set()
    assert apply(mirror, [link(5, "eth0", family=7, mtu=1500)]) == {"eth0"}
    assert not mirror.links["eth0"].hairpin


def test_addresses_come_and_go() -> None:
    """Also when they are told before their link."""
    mirror = mirror_of(address(5), link(5, "eth0"))
    assert mirror.addresses_of("eth0") == {ADDRESS}
    assert apply(mirror, [address(5)]) == set()
    assert apply(mirror, [address(5, ip_messages.DELETE_ADDRESS)]) == {"eth0"}
    assert mirror.addresses == {}


def test_settings_of_known_links_are_told() -> None:
    """Those of a link that is new are no change; "all" and "default" always are."""
    mirror = mirror_of(link(5, "eth0"))
    assert settings_changed(mirror, [settings(n) for n in (5, 6, -1, -2)]) == {
        "eth0",
        "all",
        "default",
    }


def test_the_difference_of_two_mirrors_names_every_change() -> None:
    """New, gone, changed, readdressed; not what is the same."""
    before = mirror_of(link(1, "same"), link(2, "gone"), link(3, "changed"), link(4, "readdressed"))
    after = mirror_of(
        link(1, "same"),
        link(3, "changed", mtu=9000),
        link(4, "readdressed"),
        address(4),
        link(5, "new"),
    )
    assert difference(before, after) == {"gone", "changed", "readdressed", "new"}


def test_unreadable_messages_are_passed_over() -> None:
    """The rest of the helping counts."""
    broken = Message(NEW_LINK, 0, 0, b"\0" * 16 + b"\xff\xff\xff\xff")
    assert apply(Mirror(), [broken, link(5, "eth0"), Message(NEW_LINK, 0, 0, b"")]) == {"eth0"}


STEPS = st.lists(
    st.builds(
        link,
        st.integers(1, 3),
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from([NEW_LINK, NEW_LINK, NEW_LINK, DELETE_LINK]),
        st.sampled_from([0, 0, 0, 7]),
        st.integers(68, 80),
    ),
    max_size=12,
)


def one_name_each(messages: list[Message]) -> bool:
    """Whether no two links ever bear one name, as the kernel guarantees."""
    names: dict[int, str] = {}
    for message in messages:
        index = struct.unpack_from("=i", message.body, 4)[0]
        name = netlink.to_text(netlink.attributes(message.body, 16)[3])
        if message.body[0] == 7:
            continue
        names.pop(index, None)
        if message.kind == NEW_LINK:
            if name in names.values():
                return False
            names[index] = name
    return True


@given(STEPS.filter(one_name_each), st.integers(0, 12))
def test_helpings_of_any_size_lead_to_the_same_mirror(steps: list[Message], cut: int) -> None:
    """Leaving out what a later message supersedes changes nothing in the end."""
    one_by_one, at_once, in_two = Mirror(), Mirror(), Mirror()
    for step in steps:
        apply(one_by_one, [step])
    apply(at_once, steps)
    apply(in_two, steps[:cut])
    apply(in_two, steps[cut:])
    links: list[dict[str, Link]] = [each.links for each in (one_by_one, at_once, in_two)]
    assert links[0] == links[1] == links[2]
