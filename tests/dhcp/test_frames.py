"""Frames around messages."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from volt_agent.dhcp.frames import EVERYBODY, Datagram, read, read_arp_reply, who_has, write

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
ports = st.integers(0, 65535)
datagrams = st.builds(
    Datagram,
    source_mac=st.just("02:00:00:00:00:07"),
    target_mac=st.just(EVERYBODY),
    source=addresses,
    target=addresses,
    source_port=ports,
    target_port=ports,
    data=st.binary(max_size=600),
)


@given(datagrams)
def test_what_is_written_reads_the_same(datagram: Datagram) -> None:
    """With its checksums, and with the padding of a short Ethernet frame."""
    frame = write(datagram)
    assert read(frame) == datagram
    assert read(frame + bytes(20)) == datagram


@given(datagrams, st.data())
def test_a_damaged_datagram_is_none(datagram: Datagram, data: st.DataObject) -> None:
    """One changed octet of the IP packet is noticed, and so is every cut."""
    frame = write(datagram)
    at = data.draw(st.integers(14, len(frame) - 1))
    damaged = frame[:at] + bytes((frame[at] ^ data.draw(st.integers(1, 255)),)) + frame[at + 1 :]
    assert read(damaged) is None or damaged[40:42] == b"\0\0"  # 0: it says it has no checksum
    assert read(frame[:at]) is None


@given(st.binary(max_size=200))
def test_garbage_is_none(frame: bytes) -> None:
    """Nothing raises."""
    read(frame)
    read_arp_reply(frame)


def test_checksum_that_was_never_filled_in() -> None:
    """What this machine sends to itself has none yet."""
    datagram = Datagram(EVERYBODY, EVERYBODY, IPv4Address(1), IPv4Address(2), 68, 67, b"discover")
    frame = write(datagram)
    unfinished = frame[:40] + b"\x12\x34" + frame[42:]
    assert read(unfinished) is None
    assert read(unfinished, has_checksum=False) == datagram


def test_arp() -> None:
    """A request asks everybody; its reply names who has the address."""
    asked, mac = IPv4Address("10.30.0.5"), "02:00:00:00:00:05"
    request = who_has(asked, IPv4Address("10.30.0.1"), "02:00:00:00:00:01")
    assert read_arp_reply(request) is None
    reply = request[:20] + b"\0\2" + bytes.fromhex(mac.replace(":", "")) + asked.packed
    assert read_arp_reply(reply + bytes(10)) == (asked, mac)
